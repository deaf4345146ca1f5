"""Tiny tasks with known answers, made in code: what the contract tries explainers and metrics on.

Every sample shows the evidence of its own class and noise elsewhere. Three kinds of samples (table,
grey and colour images), three kinds of networks: a smooth one and a transformer with a region that
they ignore, and a linear one whose exact attributions are known. Nothing here is trained, and no
global random state is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gpex_bench.models.blocks.transformer import PatchTransformer, VitModel, linear_patches
from gpex_bench.types import (
    Attribution,
    Dataset,
    Examples,
    Explainer,
    Model,
    Need,
    Posterior,
    Query,
    Split,
    Surrogate,
    Task,
    Truth,
    settings,
)

SHAPES = {"table": (8,), "grey images": (1, 12, 12), "colour images": (3, 12, 12)}
N_CLASSES, N_TRAIN, N_TEST, N_QUERIES = 3, 24, 6, 3


def evidence(shape: tuple[int, ...]) -> Bool[Tensor, "class *feature"]:
    """Return where the evidence of each class is: two columns, or a patch on the diagonal."""
    mask = torch.zeros(N_CLASSES, *shape, dtype=torch.bool)
    for c in range(N_CLASSES):
        if len(shape) == 1:
            start = 2 * c
            mask[c, start : start + 2] = True
        else:
            side = slice(4 * c, 4 * c + 4)
            mask[c, :, side, side] = True
    return mask


def ignored(shape: tuple[int, ...]) -> Bool[Tensor, "*feature"]:
    """Return what the smooth network ignores: the last column, or the lower left corner."""
    mask = torch.zeros(shape, dtype=torch.bool)
    if len(shape) == 1:
        mask[-1] = True
    else:
        mask[:, 8:, :4] = True
    return mask


def dataset(
    kind: str,
    shape: tuple[int, ...] | None = None,
    n_train: int = N_TRAIN,
    n_classes: int = N_CLASSES,
) -> Dataset:
    """Return the planted dataset of a kind (a key of SHAPES); sample ids do not start at 0.

    Args:
        kind: of sample.
        shape: of an input, in place of that of its kind.
        n_train: training samples.
        n_classes: at most N_CLASSES.
    """
    shape = shape or SHAPES[kind]
    generator = torch.Generator().manual_seed(1)
    n = n_train + N_TEST
    y = torch.arange(n) % n_classes
    mask = evidence(shape)
    x = 0.3 * torch.rand(n, *shape, generator=generator)
    x = x + mask[y] * (0.5 + 0.5 * torch.rand(n, *shape, generator=generator))

    train, test = (
        Split(x=x[rows].clone(), y=y[rows], sample=100 + torch.arange(n)[rows])
        for rows in (slice(n_train), slice(n_train, n))
    )
    return Dataset(
        name=f"toy {kind}",
        train=train,
        test=test,
        classes=tuple("abc"[:n_classes]),
        features=tuple(f"column {i}" for i in range(shape[0])) if len(shape) == 1 else (),
        baseline=torch.full(shape, 0.1),
        truth=Truth(mask=mask[test.y], train_group=train.y, test_group=test.y),
    )


def query(data: Dataset) -> Query:
    """Return a query of the first test samples, each explained for its own class."""
    test = data.test
    return Query(x=test.x, target=test.y, sample=test.sample).rows(slice(N_QUERIES))


class Smooth(Model):
    """A small network of smooth units that does not look at `ignored`."""

    unit: ClassVar[type[nn.Module]] = nn.Softplus
    seen: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("seen", (~ignored(shape)).float())
        # Layers draw their first weights from the global state.
        with torch.random.fork_rng(devices=[]):
            if len(shape) == 1:
                self.trunk = nn.Sequential(nn.Linear(shape[0], 16), self.unit())
            else:
                convolution = nn.Sequential(
                    nn.Conv2d(shape[0], 4, 3), self.unit(), nn.AvgPool2d(2), nn.Flatten()
                )
                self.trunk = nn.Sequential(convolution, nn.Linear(100, 16), self.unit())
            self.head = nn.Linear(16, N_CLASSES)
        _fix_weights(self)

    def embed(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch width"]:
        """Return the last hidden layer."""
        return self.trunk(x * self.seen)


class Rectified(Smooth):
    """The same network of ReLUs, for methods that are defined for these alone."""

    unit = nn.ReLU


class Tokens(VitModel):
    """A small transformer over patches of 4 pixels that does not look at `ignored`."""

    seen: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        width = 8
        with torch.random.fork_rng(devices=[]):
            trunk = PatchTransformer(
                linear_patches(shape[0], 4, width),
                (shape[1] // 4, shape[2] // 4),
                width=width,
                n_blocks=2,
                n_heads=2,
                has_class_token=False,
            )
            super().__init__(trunk, width, 16, N_CLASSES)
        _fix_weights(self)
        self.register_buffer("seen", (~ignored(shape)).float())

    def embed(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch wide"]:
        """Return the last hidden layer."""
        return super().embed(x * self.seen)


class Linear(Model):
    """Logit of a class = 4 x the mean of its evidence.

    The exact attribution is weight x (x - baseline).
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        mask = evidence(shape).flatten(1).float()
        with torch.random.fork_rng(devices=[]):
            self.head = nn.Linear(mask.shape[1], N_CLASSES, bias=False)
        self.head.weight.data = 4 * mask / mask.sum(1, keepdim=True)

    def embed(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch width"]:
        """Return the flat input."""
        return self.flatten(x)


class StandIn(Surrogate):
    """A Gaussian process with a linear kernel and made-up coefficients.

    Enough for every method of the contract.
    """

    x: Tensor
    alpha: Tensor
    prior: Tensor

    def __init__(self, data: Dataset) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.register_buffer("x", data.train.x)
        self.register_buffer(
            "alpha", torch.randn(N_TRAIN, N_CLASSES, generator=generator) / N_TRAIN
        )
        self.register_buffer("prior", torch.tensor([0.5, -0.5, 0.0]))

    def posterior(self, x: Float[Tensor, "batch *feature"]) -> Posterior:
        """Return the posterior of every head; the variance is made up."""
        mean = x.flatten(1) @ self.x.flatten(1).T @ self.alpha + self.prior
        return Posterior(mean=mean, variance=torch.ones_like(mean))

    def similarity(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch n_train"]:
        """Return the inner products with the training samples."""
        return x.flatten(1) @ self.x.flatten(1).T

    def contribution(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch n_train"]:
        """Return the share of each training sample in the posterior mean."""
        return self.similarity(x, target) * self.alpha.T[target]

    def offset(self, target: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        """Return the prior mean of each target."""
        return self.prior[target]

    def relevance(
        self, x: Float[Tensor, "batch channel height width"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch height width"] | None:
        """Return where the posterior mean comes from: x times the summed training samples."""
        if x.ndim != 4:
            return None
        weighted = torch.einsum("nb,n...->b...", self.alpha[:, target], self.x)
        return (x * weighted).sum(1)


def _fix_weights(model: nn.Module) -> None:
    """Set the weights to fixed normal numbers of a size that keeps the activations near 1."""
    generator = torch.Generator().manual_seed(3)
    for weight in model.parameters():
        fan_in = weight[0].numel() if weight.ndim > 1 else 100
        weight.data = torch.randn(weight.shape, generator=generator) / fan_in**0.5


def tasks(
    network: type[Smooth] | type[Linear], has_surrogate: bool = False
) -> Iterator[tuple[str, Task, Query]]:
    """Yield a task and a query of its first test samples, per kind of sample."""
    for kind, shape in SHAPES.items():
        data = dataset(kind)
        surrogate = StandIn(data).eval() if has_surrogate else None
        task = Task(model=network(shape).eval(), data=data, surrogate=surrogate, seed=5)
        yield kind, task, query(data)


def applies(needs: frozenset[Need], task: Task) -> bool:
    """Return whether a task has the form of input that an explainer or a metric needs."""
    missing = Need.TABLE if task.data.is_image else Need.IMAGE
    return missing not in needs


@settings
class Known(Explainer):
    """Maps of which it is known how they should score on the linear network."""

    reference: ClassVar[str] = "none"
    kind = "control"
    relative_to = "baseline"
    offers = frozenset({Need.RESIDUAL})

    how: Literal["exact", "inverse", "steady", "jumpy", "narrow", "even", "crooked"] = "exact"

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the map; `jumpy` follows input and seed wildly, `crooked` breaks every axiom."""
        x, even = query.x, torch.ones_like(query.x)
        place = torch.arange(x[0].numel()).view(x.shape[1:])
        with torch.enable_grad():
            seen = x.clone().requires_grad_()
            own = task.model(seen).gather(1, query.target[:, None]).sum()
            (gradient,) = torch.autograd.grad(own, seen)

        exact = gradient * (x - task.data.baseline)
        maps = {
            "exact": exact,
            "inverse": -exact,
            "jumpy": torch.sin(1e4 * x + task.seed * place),
            "narrow": even * (place == 0),
            "crooked": even * place * len(list(task.model.modules())),
        }
        values = maps.get(self.how, even)
        promised = exact.flatten(1).sum(1)
        return Attribution(values=values, residual=promised - values.flatten(1).sum(1))


@settings
class KnownExamples(Explainer):
    """Training samples of the group of the query, or of other groups."""

    reference: ClassVar[str] = "none"
    kind = "control"
    relative_to = "nothing"
    explains: ClassVar[type] = Examples

    own: bool = True

    def explain(self, task: Task, query: Query) -> Examples:
        """Return five samples with falling weights."""
        same = task.data.train.y[None] == query.target[:, None]
        wanted = (same == self.own).float()
        order = wanted.sort(dim=1, descending=True, stable=True).indices

        falling = torch.linspace(1, 0.2, 5)
        weight = falling.repeat(len(order), 1)
        return Examples(index=order[:, :5], weight=weight)

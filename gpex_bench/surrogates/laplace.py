"""Last-layer Laplace: the network itself, with the uncertainty of its last layer.

The weights of the last layer get a Gaussian around their trained values with the precision H + tau
I, where H is the generalised Gauss-Newton matrix of the cross-entropy on the training samples and
tau the precision of a Gaussian prior that maximises the Laplace evidence (daxberger2021laplace;
mackay1992bayesian). H is Kronecker-factored or diagonal, computed by laplace-torch. The mean is the
network, so the match is perfect by construction; the variance is that of the logits. Training
samples have no shares in it, so there are neither contributions nor neighbours.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gpex_bench.surrogates.gp.embedding import Embedding, embedded
from gpex_bench.types import (
    Dataset,
    Kind,
    Model,
    Posterior,
    Progress,
    Recipe,
    Surrogate,
    demands,
    settings,
)
from gpex_bench.types.demands import Refused

BATCH = 500


class LaplaceSurrogate(Surrogate):
    """The network's logits and their variance; calling it gives the embedding.

    In the eigenbases of the factors the covariance is diagonal: with z = Q_in' u and the
    eigenvectors Q_out of logits,

        var_c(x) = sum_jk Q_out[c, k]^2 z_j^2 C[k, j] + sum_k Q_bias[c, k]^2 c_k.

    The diagonal form has Q = I.
    """

    no_intervals: ClassVar[str] = (
        "its mean is the network's own output, and its variance is that of networks with another "
        "last layer"
    )

    inner: Tensor  # Q_in [width, width]; [0, 0] means the identity
    outer: Tensor  # Q_out [head, head]
    bias_outer: Tensor  # Q_bias [head, head]
    covariance: Tensor  # C [head, width]
    bias_covariance: Tensor  # c [head]
    prior: Tensor  # tau

    def __init__(self, model: Model, width: int, heads: int, is_diagonal: bool) -> None:
        super().__init__()
        self.features = Embedding(model)
        double = partial(torch.zeros, dtype=torch.float64)
        inner_size = 0 if is_diagonal else width
        self.register_buffer("inner", double(inner_size, inner_size))
        self.register_buffer("outer", double(heads, heads))
        self.register_buffer("bias_outer", double(heads, heads))
        self.register_buffer("covariance", double(heads, width))
        self.register_buffer("bias_covariance", double(heads))
        self.register_buffer("prior", double(()))

    def forward(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch width"]:
        """Return the embeddings."""
        return self.features.network.embed(x)

    def posterior(self, x: Float[Tensor, "batch *feature"]) -> Posterior:
        """Return the network's logits, and their variance over the last layer's posterior."""
        u = self(x)
        mean = self.features.network.head(u)

        z = u.double()
        if self.inner.numel():
            z = z @ self.inner
        of_weights = z.square() @ self.covariance.T @ self.outer.square().T
        of_bias = self.bias_outer.square() @ self.bias_covariance
        variance = of_weights + of_bias
        return Posterior(mean=mean, variance=variance.to(x.dtype))

    def offset(self, target: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        """Return 0: the prior of the last layer's weights is centred at zero."""
        return torch.zeros(len(target))


@settings
class Laplace(Recipe):
    """Laplace's approximation of the last layer (laplace-torch): variances of the logits."""

    takes_explained: ClassVar[frozenset[str]] = frozenset({"logits"})
    exact: ClassVar[bool] = True

    structure: Literal["kron", "diag"] = "kron"  # of H
    prior_steps: int = 100  # of Adam on log tau
    device: str = "cpu"  # where the training samples are embedded

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "prior_steps")
        demands.one_of(self, structure=("kron", "diag"))

    def fit(self, model: Model, data: Dataset, seed: int, progress: Progress) -> LaplaceSurrogate:
        """Compute H on the training labels and tune the prior; nothing is random.

        Raises:
            ValueError: the network has no heads or explains outputs that are no class scores, its
                outputs are not finite, or its last layer has no bias.
        """
        u, _ = embedded(model, data.train.x, self.device)
        _check_classes(model, data)
        state = self._state(model.head, u, data.train.y)
        return self.restore(model, data, state)

    def restore(self, model: Model, data: Dataset, state: Mapping[str, Tensor]) -> LaplaceSurrogate:
        """Return the fitted surrogate whose state_dict this is; ValueError for a foreign one."""
        heads, width = demands.entry(state, "covariance", self).shape
        empty = LaplaceSurrogate(model, width, heads, self.structure == "diag")
        return demands.loaded(empty, state, self)

    def _state(
        self, head: nn.Linear, u: Float[Tensor, "n width"], y: Int[Tensor, "n"]
    ) -> dict[str, Tensor]:
        """Return the posterior of the last layer as laplace-torch finds it."""
        fitted = self.library(head, u, y)
        tau = fitted.prior_precision.detach().double().reshape(())
        if self.structure == "diag":
            state = _diagonal_state(fitted.H, head, tau)
        else:
            state = _kronecker_state(fitted.H, tau)
        state["prior"] = tau
        return {name: tensor.detach().double() for name, tensor in state.items()}

    def library(self, head: nn.Linear, u: Float[Tensor, "n width"], y: Int[Tensor, "n"]) -> Any:
        """Return laplace-torch's own fitted object, in float64.

        Its network is this head on given embeddings.
        """
        from laplace import Laplace as library
        from torch.utils.data import DataLoader, TensorDataset

        last = deepcopy(head).cpu().double().requires_grad_(True)
        network = nn.Sequential(OrderedDict(embedding=nn.Identity(), head=last))
        fitted = library(
            network,
            "classification",
            subset_of_weights="last_layer",
            hessian_structure=self.structure,
        )

        # a loader draws a number, also when it does not shuffle
        with torch.random.fork_rng(devices=[]):
            loader = DataLoader(TensorDataset(u.double(), y), batch_size=BATCH)
            fitted.fit(loader)
        with warnings.catch_warnings():
            # of predictions that we do not ask for
            warnings.filterwarnings("ignore", "By default `link_approx`")
            fitted.optimize_prior_precision(
                method="marglik", n_steps=self.prior_steps, pred_type="glm"
            )
        return fitted


def _diagonal_state(hessian: Tensor, head: nn.Linear, tau: Tensor) -> dict[str, Tensor]:
    """Return the posterior for a diagonal H: variances 1 / (H + tau) of the weights."""
    variance = (hessian.detach().double() + tau).reciprocal()
    weights, bias = variance.split([head.weight.numel(), head.bias.numel()])
    eye = torch.eye(len(bias), dtype=torch.float64)
    return {
        "inner": torch.zeros(0, 0),
        "outer": eye,
        "bias_outer": eye,
        "covariance": weights.view_as(head.weight),
        "bias_covariance": bias,
    }


def _kronecker_state(hessian: Any, tau: Tensor) -> dict[str, Tensor]:
    """Return the posterior for H = outer x inner: variances 1 / (H + tau), in its eigenbasis."""
    (outer, inner), (bias_outer,) = hessian.eigenvectors
    (outer_value, inner_value), (bias_value,) = hessian.eigenvalues
    weights = outer_value.double()[:, None] * inner_value.double()
    return {
        "inner": inner,
        "outer": outer,
        "bias_outer": bias_outer,
        "covariance": (weights + tau).reciprocal(),
        "bias_covariance": (bias_value.double() + tau).reciprocal(),
    }


def _check_classes(model: Model, data: Dataset) -> None:
    """Raise ValueError unless the explained outputs are class scores of a layer with a bias.

    Raises:
        Refused: a subclass of it, where outputs have no softmax over at least two classes.
    """
    x = data.train.x[:2]
    n_heads = model.head.out_features
    if data.kind is not Kind.CLASSES or n_heads < 2:
        raise Refused(
            "laplace needs the logits of at least two classes: its variance is that of a softmax. "
            f"{type(model).__name__} has {n_heads} outputs and {data.name} is of kind {data.kind}; "
            "choose another surrogate, such as last_layer."
        )
    with torch.no_grad():
        explained, logits = model.explained(x), model(x)
    if explained.shape != logits.shape or not torch.equal(explained, logits):
        raise ValueError(
            f"laplace can only be fitted to class scores: its variance comes from class labels. "
            f"{type(model).__name__} explains other outputs ({explained.shape[1]} heads); "
            "choose another surrogate, such as last_layer."
        )
    if model.head.bias is None:
        raise ValueError(
            f"laplace needs a last layer with a bias, got {model.head} in {type(model).__name__}."
        )

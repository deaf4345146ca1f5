"""How networks are trained: one loop for all architectures.

A network is trained on the whole training split for a fixed number of epochs, with AdamW
(loshchilov2019decoupled) and a one-cycle learning rate (smith2019super). There is no early stopping
and no selection of a checkpoint, so that no split is looked at but the training one.

Training images may be shifted by a few pixels, and a random part of a row may be replaced by the
baseline (as in zhong2020random). The latter teaches a network what absence looks like: without it,
a network often gives one class to inputs without any evidence, so that removing the evidence for
that class changes nothing, and scores that remove features leave the distribution that it was
trained on (hase2021out).

A network may also be trained on inputs that were changed against it (goodfellow2015explaining,
madry2018towards): its adversarially trained twin. One step from a random start is what wong2020fast
found to be enough; more make it PGD. How far inputs are moved grows over the first half of the
epochs (ours): small networks learn nothing from all at once.

All randomness comes from the given seed: the global random state is left as it was found. On one
machine with one number of threads the same seed gives the same bits on the CPU; a GPU may differ in
the last bits.
"""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from gpex_bench.models.training import losses
from gpex_bench.types import Architecture, Dataset, Kind, Model, Need, demands, settings
from gpex_bench.types.outputs import n_outputs, prediction

WARM_UP = 0.25  # share of the steps in which the learning rate rises
# rows (and columns) of the grids of cells that are occluded in images, one grid a batch
CELLS = (4, 8, 16, 32)


@settings
class Training:
    """How a network is trained."""

    epochs: int = 12
    learning_rate: float = 3e-3  # peak of the cycle
    weight_decay: float = 1e-2
    batch_size: int = 64
    # largest shift of a training image along each axis, in pixels; a table is never shifted
    shift: int = 0
    # share of the training rows of which a random part is replaced by the baseline
    occluded: float = 0.0
    # how far each input entry is moved against the network, in units of the data; 0: not
    adversarial: float = 0.0
    attack_steps: int = 1  # gradient steps of that
    device: str = "cpu"  # where to train; the trained network is on the CPU

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "epochs", "batch_size", "attack_steps")
        demands.positive(self, "learning_rate")
        demands.at_least(self, 0, "weight_decay", "shift", "adversarial")
        demands.share(self, "occluded")


@settings
class ZooTraining(Training):
    """How the convolutional networks of the zoo are trained."""

    epochs: int = 14
    shift: int = 2
    occluded: float = 0.5


@settings
class TrainedArchitecture(Architecture, ABC):
    """An architecture that this loop trains, as its hyperparameter `training` says."""

    training: Training
    one_logit: bool = False  # for two classes: one logit, of the second, in place of one of each

    @property
    def regime(self) -> str:
        """How it is trained, in words: with occluded inputs or not, and whether adversarially."""
        how = "with" if self.training.occluded > 0 else "without"
        adversarial = ", adversarially" if self.training.adversarial > 0 else ""
        return f"trained {how} occluded inputs{adversarial}"

    def n_heads(self, data: Dataset) -> int:
        """Return how many outputs a network for this dataset has; raises ValueError."""
        return n_outputs(data, self.one_logit)

    def train(self, data: Dataset, seed: int, progress: Callable[[str], None]) -> Model:
        """Return the trained network in eval mode; its parameters require no gradients."""
        model = initialise(self.build, data, seed)
        return fit(model, data, self.training, seed, progress)


def initialise(build: Callable[[Dataset], Model], data: Dataset, seed: int) -> Model:
    """Return an untrained network whose weights depend on the seed only."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build(data)


def fit(
    model: Model, data: Dataset, how: Training, seed: int, progress: Callable[[str], None]
) -> Model:
    """Train a network in place on data.train and return it in eval mode, on the CPU.

    Its parameters no longer require gradients: explainers need the gradient of the input only.

    Raises:
        ValueError: if `shift` is not smaller than the images.
        FloatingPointError: if the loss is no longer a finite number.
    """
    side = min(data.baseline.shape[-2:])
    if data.is_image and how.shift >= side:
        raise ValueError(
            f"shift must be smaller than the {side} pixels of an image's side, got {how.shift}."
        )
    units = losses.Units.of(data) if data.kind is Kind.NUMBER else None
    if units is not None:
        data = units.standardised(data)

    generator = torch.Generator().manual_seed(seed)
    model.to(how.device).train()
    steps_per_epoch = -(-len(data.train.y) // how.batch_size)
    n_steps = how.epochs * steps_per_epoch
    optimiser = AdamW(model.parameters(), lr=how.learning_rate, weight_decay=how.weight_decay)
    schedule = OneCycleLR(optimiser, how.learning_rate, total_steps=n_steps + 1, pct_start=WARM_UP)

    for epoch in range(1, how.epochs + 1):
        batches = _batches(data, how, generator)
        # grows over the first half of the epochs
        radius = how.adversarial * min(1.0, 2 * (epoch - 1) / how.epochs)
        if radius:
            batches = _attack_batches(
                model,
                batches,
                kind=data.kind,
                radius=radius,
                steps=how.attack_steps,
                box=data_range(data),
                generator=generator,
            )

        loss, success = _epoch(model, batches, data.kind, optimiser, schedule)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"Training diverged in epoch {epoch} of {how.epochs}: the loss is {loss}. Check "
                f"that the inputs are finite, or lower learning_rate (now {how.learning_rate})."
            )
        progress(_line(epoch, how.epochs, loss, success, data.kind))

    if units is not None:
        units.restore(model.head)
    return model.cpu().eval().requires_grad_(False)


def _line(epoch: int, n_epochs: int, loss: float, success: float, kind: Kind) -> str:
    """Return the line of progress of an epoch."""
    text = f"{success:.3f}" if kind is Kind.NUMBER else f"{success:.1%}"
    return f"epoch {epoch}/{n_epochs}: loss {loss:.4f}, training {losses.SUCCESS[kind]} {text}"


def _batches(
    data: Dataset, how: Training, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield inputs and targets of the training split once, in random order."""
    split = data.train
    order = torch.randperm(len(split.y), generator=generator)
    for rows in order.split(how.batch_size):
        x = split.x[rows]
        if how.shift and data.is_image:
            x = shift_images(x, data.baseline, how.shift, generator)
        if how.occluded:
            x = occlude(x, data.baseline, how.occluded, generator)
        yield x.to(how.device), split.y[rows].to(how.device)


def _attack_batches(
    model: Model, batches: Iterable[tuple[Tensor, Tensor]], **how: Any
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches, each attacked with the network as it is by then; `how` is for `attack`."""
    for x, y in batches:
        yield attack(model, x, y, **how), y


def data_range(data: Dataset) -> tuple[Tensor, Tensor]:
    """Return smallest and largest training values: of each column, or of all entries of images."""
    x = data.train.x
    if data.is_image:
        return x.amin(), x.amax()
    return x.amin(0), x.amax(0)


def attack(  # noqa: PLR0913 - an attack is these
    model: Model,
    x: Float[Tensor, "batch *feature"],
    y: Shaped[Tensor, "batch *label"],
    *,
    kind: Kind,
    radius: float,
    steps: int,
    box: tuple[Tensor, Tensor],
    generator: torch.Generator,
) -> Float[Tensor, "batch *feature"]:
    """Return inputs that were moved to raise the loss of their targets.

    This is projected gradient ascent (madry2018towards). It starts at random; a step moves each
    entry by 2.5 radius / steps, or by 1.25 radius if there is one only (wong2020fast). The network
    is in eval mode meanwhile, so that its batch norms do not see these inputs.

    Args:
        model: the network; its parameters get no gradients.
        x: the inputs.
        y: their targets: classes, labels, or numbers in the units of the outputs.
        kind: what the targets are.
        radius: how far an entry may be from where it was, in units of the data.
        steps: how many gradient steps.
        box: smallest and largest values that an input may have.
        generator: where the random start comes from; on the CPU.
    """
    was_training = model.training
    model.eval()

    least = box[0].to(x)
    most = box[1].to(x)
    low = (x + -radius).clamp(least, most)
    high = (x + radius).clamp(least, most)
    start = torch.rand(x.shape, generator=generator).to(x)
    moved = low + start * (high - low)
    step = 2.5 * radius / max(steps, 2)
    with torch.enable_grad():
        for _ in range(steps):
            moved.requires_grad_()
            loss = losses.loss(model(moved), y, kind, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, moved)
            ascended = moved.detach() + step * gradient.sign()
            moved = torch.minimum(torch.maximum(ascended, low), high)

    model.train(was_training)
    return moved


def _epoch(
    model: Model,
    batches: Iterable[tuple[Tensor, Tensor]],
    kind: Kind,
    optimiser: Optimizer,
    schedule: LRScheduler,
) -> tuple[float, float]:
    """Take one step for each batch; return the mean loss and the mean success on the way."""
    n = 0
    success = 0.0
    loss_sum = 0.0
    for x, y in batches:
        logits = model(x)
        loss = losses.loss(logits, y, kind)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()

        n += len(y)
        loss_sum += loss.item() * len(y)
        success += losses.success(logits.detach(), y, kind).sum().item()
    return loss_sum / n, success / n


def shift_images(
    x: Float[Tensor, "batch channel height width"],
    baseline: Float[Tensor, "channel height width"],
    most: int,
    generator: torch.Generator,
) -> Float[Tensor, "batch channel height width"]:
    """Shift each image by up to `most` pixels along each axis; new pixels are the baseline's."""
    height, width = x.shape[-2:]
    shifts = torch.randint(-most, most + 1, (2, len(x), 1), generator=generator)
    down, right = shifts

    # where a pixel comes from: [batch, height, 1] and [batch, 1, width]
    row = (torch.arange(height) - down)[:, :, None]
    column = (torch.arange(width) - right)[:, None, :]
    is_row = (row >= 0) & (row < height)
    is_column = (column >= 0) & (column < width)
    is_inside = is_row & is_column

    batch = torch.arange(len(x))[:, None, None]
    nearest_row = row.clamp(0, height - 1)
    nearest_column = column.clamp(0, width - 1)
    pixels = x[batch, :, nearest_row, nearest_column]
    shifted = pixels.permute(0, 3, 1, 2)
    return torch.where(is_inside[:, None], shifted, baseline)


def occlude(
    x: Float[Tensor, "batch *feature"],
    baseline: Float[Tensor, "*feature"],
    share: float,
    generator: torch.Generator,
) -> Float[Tensor, "batch *feature"]:
    """Replace a random part of a share of the rows by the baseline.

    Of a table these are columns, of an image cells of a grid. The size of the cells is drawn for
    the batch, so that no outline of what is gone is typical. How much of a row is replaced is
    uniform between nothing and all of it.
    """
    is_image = x.ndim == 4
    side = CELLS[int(torch.randint(len(CELLS), (), generator=generator))]
    cells = (1, side, side) if is_image else x.shape[1:]
    ones = [1] * len(cells)

    part = torch.rand(len(x), *ones, generator=generator)
    is_chosen = torch.rand(len(x), *ones, generator=generator) < share
    is_gone = torch.rand(len(x), *cells, generator=generator) < part
    is_gone = is_chosen & is_gone
    if is_image:
        is_gone = nn.functional.interpolate(is_gone.float(), x.shape[-2:]).bool()
    return torch.where(is_gone, baseline, x)


def accuracy(
    model: Model, x: Float[Tensor, "n *feature"], y: Int[Tensor, "n"], batch_size: int = 256
) -> float:
    """Return the share of rows of which the network predicts the class."""
    n_right = 0
    with torch.no_grad():
        for part, label in zip(x.split(batch_size), y.split(batch_size), strict=True):
            is_right = prediction(model(part), Kind.CLASSES) == label
            n_right += int(is_right.sum())
    return n_right / len(y)


def check_takes(architecture: Architecture, data: Dataset) -> None:
    """Raise ValueError if the dataset is of a kind that the network does not take."""
    kind = Need.IMAGE if data.is_image else Need.TABLE
    if kind not in architecture.takes:
        name = type(architecture).__name__
        takes = " or ".join(sorted(architecture.takes))
        raise ValueError(
            f"{name} takes a dataset of kind {takes}, but {data.name!r} is of kind {kind}."
        )

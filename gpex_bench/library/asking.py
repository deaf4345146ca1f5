"""What people give, as what methods and metrics take: inputs, targets, baselines, data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gpex_bench.types import Dataset, Kind, Model, Split, Truth, value
from gpex_bench.types.batches import in_chunks
from gpex_bench.types.outputs import explained

ADVICE = {
    0: "one number is no input; give a row, such as x[None]",
    5: "volumes are not supported; give slices, or columns that describe them",
}
LAST = (1, 3, 4)  # how many channels images have, whose axis may be the last one


@value
class Inputs:
    """Inputs in a batch, and who they are."""

    x: Float[Tensor, "n *feature"]  # on the CPU
    sample: Int[Tensor, "n"]  # identities: draws depend on them
    is_single: bool  # it came without an axis of the batch
    y: Tensor | None = None  # targets, of rows of a dataset

    @property
    def taken_for(self) -> str:
        """What the inputs are taken for, with what to do if they are something else."""
        shape = tuple(self.x.shape)
        if len(shape) == 2:
            form = f"{shape[0]} rows of a table of {shape[1]} columns"
            return f"{form}; one grey image is x[None, None]"
        n_channels, height, width = shape[1:]
        form = f"images of {n_channels} channels of {height} x {width}"
        if width in LAST and n_channels not in LAST:
            return f"{form}; put the channels first: transpose x to (0, 3, 1, 2), one to (2, 0, 1)"
        if self.is_single:
            return (
                f"one image of {n_channels} channels; grey images are x[:, None]; series "
                "[n, channel, time] are x[:, :, None], if the network takes images of height 1"
            )
        return form

    def shaped(self, batch: Tensor) -> Tensor:
        """Return a result of the batch as the inputs came: one sample has no axis of the batch."""
        return batch[0] if self.is_single else batch


def tensor_of(name: str, given: object) -> Tensor:
    """Return numbers as a tensor on the CPU, of the type that they have.

    Args:
        name: of the argument, for messages.
        given: a tensor on any device, a numpy array, a frame, or nested lists.

    Raises:
        ValueError: it holds no array of numbers.
    """
    if isinstance(given, Tensor):
        # What was made in inference mode can have no gradient; its copy can.
        plain = given.clone() if given.is_inference() else given
        return plain.detach().cpu()
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise ValueError(f"{name} must be one array, got rows of different lengths.") from error

    if array.dtype == object:
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name} must hold numbers, got {type(given).__name__} of {array.dtype}; give a "
                "tensor or a numpy array, with each category in dummies."
            ) from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got {array.dtype}; convert it.")

    # torch knows neither foreign byte orders, nor half of the unsigned types, nor read-only memory.
    wide = {"f": np.float64, "b": np.bool_}.get(array.dtype.kind, np.int64)
    narrow = array.dtype if array.dtype in (np.float32, np.uint8) else np.dtype(wide)
    return torch.from_numpy(np.array(array, dtype=narrow, order="C"))


def finite(name: str, tensor: Tensor) -> Float[Tensor, "..."]:
    """Return numbers as float32; raises ValueError for complex, infinite and missing ones."""
    if tensor.is_complex():
        raise ValueError(f"{name} must hold real numbers, got {tensor.dtype}.")
    single = tensor.to(torch.float32).contiguous()
    n_bad = int((~single.isfinite()).sum())
    if n_bad:
        raise ValueError(
            f"{name} must be finite in single precision, and {n_bad} of {single.numel()} entries "
            "are NaN, infinite or too large; fill, drop or scale them."
        )
    return single


def inputs(x: object, sample: object = None) -> Inputs:
    """Return the inputs that are explained.

    Args:
        x: images [n, channel, height, width] or rows of a table [n, column], or one of them; or a
            `Split`, whose samples keep their identities.
        sample: identities [n], on which random draws depend; None: those of the split, or the
            numbers of the rows.

    Raises:
        ValueError: names the argument, what came, and what to do.
    """
    if isinstance(x, Split):
        own = x.sample if sample is None else _identities(sample, len(x.x))
        return Inputs(x=x.x, sample=own, is_single=False, y=x.y)

    given = tensor_of("x", x)
    shape = tuple(given.shape)
    if given.ndim not in (1, 2, 3, 4) or 0 in shape:
        advice = ADVICE.get(given.ndim, "none of its axes may be empty")
        raise ValueError(
            "x must be images [n, channel, height, width], rows of a table [n, column], or one of "
            f"them, got the shape {shape}: {advice}."
        )
    if given.dtype == torch.uint8 and given.ndim in (3, 4):
        raise ValueError(
            "x must hold numbers as the network takes them, got bytes (uint8); give floats, such "
            "as x / 255."
        )

    is_single = given.ndim in (1, 3)
    rows = finite("x", given)
    if is_single:
        rows = rows[None]
    known = torch.arange(len(rows))
    if sample is not None:
        known = _identities(sample, len(rows))
    return Inputs(x=rows, sample=known, is_single=is_single)


def _identities(sample: object, n: int) -> Int[Tensor, "n"]:
    """Return the identities of samples; raises ValueError unless they are n different numbers."""
    known = tensor_of("sample", sample).reshape(-1)
    is_whole = not known.is_floating_point() and not known.is_complex()
    if not is_whole or len(known) != n or len(known.unique()) != n or int(known.min()) < 0:
        raise ValueError(
            f"sample must be {n} different whole numbers from 0 up, one for each row of x, got "
            f"{known.tolist()[:6]}."
        )
    return known.long()


def targets(
    target: Any, model: Model, x: Float[Tensor, "n *feature"], classes: Sequence[str] = ()
) -> Int[Tensor, "n"]:
    """Return the output of each row that is explained.

    Args:
        target: a number or the name of a class, one for all rows or one a row; None: the output
            that the network makes largest, as everywhere in this suite.
        model: the network.
        x: on the device of the network.
        classes: names of the outputs.

    Raises:
        ValueError: there is no such output, or there are more or fewer targets than rows.
    """
    outputs = in_chunks(model, x)
    _check_outputs(outputs)
    n, n_outputs = outputs.shape
    if target is None:
        return explained(outputs)

    numbered = _numbered(target, classes)
    if isinstance(target, (list, tuple)):
        numbered = [_numbered(one, classes) for one in target]
    chosen = tensor_of("target", numbered)
    if chosen.is_floating_point() or chosen.dtype == torch.bool:
        raise ValueError(f"target must be whole numbers, got {chosen.dtype}; number the outputs.")
    if chosen.numel() not in (1, n) or chosen.ndim > 1:
        raise ValueError(
            f"target must be one output, or one for each of the {n} rows of x, got the shape "
            f"{tuple(chosen.shape)}."
        )

    is_known = (chosen >= 0) & (chosen < n_outputs)
    if not bool(is_known.all()):
        wrong = chosen[~is_known].tolist()
        raise ValueError(
            f"target must be in 0 ... {n_outputs - 1}, as the network has {n_outputs} outputs, got "
            f"{wrong[0]}."
        )
    each = chosen.reshape(-1).long().expand(n)
    return each.clone().to(x.device)


def _numbered(target: Any, classes: Sequence[str]) -> Any:
    """Return the number of an output that is given by its name."""
    if not isinstance(target, str):
        return target
    if target not in classes:
        known = ", ".join(classes) or "none; give the number"
        raise ValueError(f"target must be the name of a class, got {target!r}. Known: {known}.")
    return list(classes).index(target)


def _check_outputs(outputs: Float[Tensor, "n head"]) -> None:
    """Raise ValueError for inputs to which the network gives no finite answer."""
    bad = (~outputs.isfinite()).any(1).nonzero().flatten().tolist()
    if bad:
        raise ValueError(
            f"x must have finite outputs, and the network gives NaN or infinity for the rows "
            f"{bad[:6]}; check their scale."
        )


def absent(baseline: object, shape: tuple[int, ...]) -> Float[Tensor, "*feature"]:
    """Return what an absent feature looks like.

    Args:
        baseline: one number for all entries, one for each channel, or an array of the shape of an
            input.
        shape: of one input.

    Raises:
        ValueError: it has another shape.
    """
    given = finite("baseline", tensor_of("baseline", baseline))
    n_channels = shape[0] if len(shape) == 3 else 0
    if n_channels and tuple(given.shape) == (n_channels,):
        given = given[:, None, None]

    is_number = given.ndim == 0
    is_colour = bool(n_channels) and tuple(given.shape) == (n_channels, 1, 1)
    if not is_number and not is_colour and tuple(given.shape) != shape:
        per_channel = f", {n_channels} numbers (one a channel)" if n_channels else ""
        raise ValueError(
            f"baseline must be one number{per_channel} or of the shape of an input, {shape}, got "
            f"{tuple(given.shape)}."
        )
    return given.expand(shape).clone()


def planted(truth: object, shape: tuple[int, ...]) -> Bool[Tensor, "n *feature"]:
    """Return where the evidence is known to be, for every entry of the inputs.

    Args:
        truth: true or 1 where it is; of images also [n, height, width], the same for all channels.
        shape: of all inputs.

    Raises:
        ValueError: it has another shape, other values than 0 and 1, or an empty mask.
    """
    given = tensor_of("truth", truth)
    if tuple(given.shape) == shape[1:]:
        given = given[None]

    # A mask of pixels holds for all channels.
    of_pixels = (shape[0], 1, *shape[2:])
    if len(shape) == 4 and given.ndim == 3:
        given = given[:, None]
    if len(shape) == 4 and tuple(given.shape) == of_pixels:
        given = given.expand(shape)

    got = tuple(given.shape)
    if got != shape:
        raise ValueError(f"truth must have the shape of the inputs, {shape}, got {got}.")
    mask = given == 1
    if not bool((mask | (given == 0)).all()):
        raise ValueError("truth must be true (1) where the evidence is and false (0) elsewhere.")
    if not bool(mask.flatten(1).any(1).all()):
        raise ValueError("truth must name some evidence in each input; leave other inputs out.")
    return mask


def dataset(  # noqa: PLR0913 - four options by keyword
    given: Inputs,
    data: Dataset | None,
    *,
    kind: Kind,
    classes: tuple[str, ...],
    baseline: object = None,
    truth: object = None,
) -> Dataset:
    """Return the data that methods and metrics look at: the inputs are its test split.

    Args:
        given: the inputs that are explained.
        data: where training samples, the baseline, names and groups of columns come from; None:
            there are no training samples, and an absent feature is 0.
        kind: what the network is asked for.
        classes: names of its outputs, where there is no data.
        baseline: in place of that of the data (`absent`).
        truth: where the evidence of each input is (`planted`); None: that of the data, if the
            inputs are rows of its test split.

    Raises:
        ValueError: names the argument that does not fit.
    """
    shape = tuple(given.x.shape[1:])
    of_data = shape if data is None else tuple(data.train.x.shape[1:])
    if of_data != shape:
        raise ValueError(f"data must have inputs of the shape of x, {shape}, got {of_data}.")

    test = Split(x=given.x, y=_known(given, kind, len(classes)), sample=given.sample)
    if data is None:
        data = _without_training(test, shape, kind, classes)

    known = _truth(given, data, truth)
    absent_look = data.baseline if baseline is None else absent(baseline, shape)
    return dataclasses.replace(data, test=test, truth=known, baseline=absent_look)


def _known(given: Inputs, kind: Kind, n_classes: int) -> Tensor:
    """Return the targets of the inputs; zeros where nobody gave them, as nothing reads them."""
    if given.y is not None:
        return given.y
    n = len(given.x)
    if kind is Kind.NUMBER:
        return torch.zeros(n)
    return torch.zeros((n, n_classes) if kind is Kind.LABELS else n, dtype=torch.int64)


def _without_training(
    test: Split, shape: tuple[int, ...], kind: Kind, classes: tuple[str, ...]
) -> Dataset:
    """Return a dataset without training samples, in which an absent feature is 0."""
    n_columns = shape[0] if len(shape) == 1 else 0
    return Dataset(
        name="x",
        train=Split(x=test.x[:0], y=test.y[:0], sample=test.sample[:0]),
        test=test,
        classes=classes,
        features=tuple(f"column {column}" for column in range(n_columns)),
        baseline=torch.zeros(shape),
        kind=kind,
    )


def _truth(given: Inputs, data: Dataset, truth: object) -> Truth | None:
    """Return the truth of the inputs, in their order."""
    n = len(given.x)
    if isinstance(truth, Truth):
        return truth
    if truth is not None:
        # Groups of samples are not known: no two samples share one.
        n_train = len(data.train.x)
        return Truth(
            mask=planted(truth, tuple(given.x.shape)),
            train_group=torch.full((n_train,), -1),
            test_group=torch.zeros(n, dtype=torch.int64),
        )
    if data.truth is None or given.y is None:
        return None

    row_of = {sample: row for row, sample in enumerate(data.test.sample.tolist())}
    rows = [row_of.get(sample, -1) for sample in given.sample.tolist()]
    if -1 in rows or not torch.equal(data.test.x[rows], given.x):
        return None
    own = data.truth
    return Truth(mask=own.mask[rows], train_group=own.train_group, test_group=own.test_group[rows])

"""The promises that every dataset keeps."""

from __future__ import annotations

import torch
from torch import Tensor

from gpex_bench.contract.promises import require, require_settings, works
from gpex_bench.contract.untouched import random_states_kept
from gpex_bench.types import Dataset, Kind, Need, Source, Split

DTYPES = {"x": torch.float32, "sample": torch.int64}
FORMS = frozenset({Need.IMAGE, Need.TABLE})


def check_dataset(source: Source) -> None:
    """Load a dataset twice and look at what it holds.

    Raises:
        BrokenPromise: at the first promise it breaks.
    """
    require_settings(type(source))
    offers = getattr(source, "offers", None)
    what = f"offers must be a frozenset with either Need.IMAGE or Need.TABLE, got {offers!r}."
    require(isinstance(offers, frozenset) and len(offers & FORMS) == 1, "declared offers", what)

    with works("load"), random_states_kept():
        data = source.load()
    got = type(data).__name__
    require(isinstance(data, Dataset), "declared type", f"load must return a Dataset, got {got}.")
    what = f"kind is {source.kind}, and the kind of what load returns is {data.kind}."
    require(source.kind is data.kind, "declared kind", what)
    _shapes(source, data)
    _names(data)
    _splits(data)
    _truth(source, data)

    with works("load"):
        again = tensors(source.load())
    for name, tensor in tensors(data).items():
        what = f"{name} differs between two loads; draw from generators with seeds of your own."
        require(torch.equal(tensor, again[name]), "same settings, same bits", what)


def tensors(data: Dataset) -> dict[str, Tensor]:
    """Return all tensors of a dataset by name."""
    found = {"baseline": data.baseline}
    for part, split in (("train", data.train), ("test", data.test)):
        found |= {f"{part}.x": split.x, f"{part}.y": split.y, f"{part}.sample": split.sample}
    if data.truth is not None:
        truth = data.truth
        found |= {"truth.mask": truth.mask}
        found |= {"truth.train_group": truth.train_group, "truth.test_group": truth.test_group}
    return found


def _shapes(source: Source, data: Dataset) -> None:
    """Require inputs of one declared form, and a baseline and names that fit them."""
    form = Need.IMAGE if data.is_image else Need.TABLE
    what = f"offers names {', '.join(sorted(source.offers))}, and the inputs are of form {form}."
    require(form in source.offers, "declared offers", what)

    shape = tuple(data.train.x.shape[1:])
    shapes = {"test.x": data.test.x.shape[1:], "baseline": data.baseline.shape}
    for name, found in shapes.items():
        got = tuple(found)
        require(got == shape, "shape", f"{name} must have inputs of shape {shape}, got {got}.")

    dtype = data.baseline.dtype
    is_finite = bool(data.baseline.isfinite().all())
    what = f"baseline must be finite and float32, got {dtype}."
    require(is_finite and dtype == torch.float32, "baseline", what)

    n_names = 0 if data.is_image else shape[0]
    n_given = len(data.features)
    what = f"features must name the {n_names} columns of a table (none for images), got {n_given}."
    require(len(data.features) == n_names, "names of features", what)


def _splits(data: Dataset) -> None:
    """Require two splits of finite inputs, known labels and distinct samples."""
    for name, split in (("train", data.train), ("test", data.test)):
        _split(name, split)
        _target(name, split, data)
    _learnable(data)

    samples = torch.cat([data.train.sample, data.test.sample])
    n_repeated = len(samples) - len(samples.unique())
    what = f"sample identifies a row of the raw data, and {n_repeated} are there more than once."
    require(n_repeated == 0, "distinct samples", what)


def _names(data: Dataset) -> None:
    """Require at least two names of classes or labels; of a number, one name, that may have a unit.

    A network has an output for each name.
    """
    n_names = len(data.classes)
    is_number = data.kind is Kind.NUMBER
    right = "one name, that of the number" if is_number else "at least 2 names"
    what = f"classes must have {right} (kind {data.kind}), got {data.classes}."
    require(n_names == 1 if is_number else n_names > 1, "names of the outputs", what)
    what = f"unit must be empty unless the kind is number, got {data.unit!r}."
    require(is_number or not data.unit, "unit of a number", what)


def _target(name: str, split: Split, data: Dataset) -> None:
    """Require targets of the dataset's kind: see `Split.y`."""
    y, n_names = split.y, len(data.classes)
    is_number = data.kind is Kind.NUMBER
    dtype = torch.float32 if is_number else torch.int64
    shape = (len(split.x), n_names) if data.kind is Kind.LABELS else (len(split.x),)
    what = (
        f"{name}.y must be {dtype} of shape {shape} (kind {data.kind}), got {y.dtype} of shape "
        f"{tuple(y.shape)}."
    )
    require(y.dtype == dtype and tuple(y.shape) == shape, "targets", what)

    if is_number:
        what = f"some entries of {name}.y are NaN or infinite."
        require(bool(y.isfinite().all()), "finite values", what)
        return

    low, high = int(y.min()), int(y.max())
    most = 1 if data.kind is Kind.LABELS else n_names - 1
    what = f"{name}.y must lie in 0 ... {most}, got {low} ... {high}."
    require(low >= 0 and high <= most, "known labels", what)


def _learnable(data: Dataset) -> None:
    """Require training targets of every kind that a network is to tell apart."""
    y = data.train.y
    if data.kind is Kind.NUMBER:
        what = f"every training target is {float(y[0]):g}: there is nothing to learn."
        require(bool((y != y[0]).any()), "targets that differ", what)
        return

    if data.kind is Kind.LABELS:
        always = y.sum(0).remainder(len(y)) == 0
        names = [name for name, same in zip(data.classes, always.tolist(), strict=True) if same]
        what = f"every or no sample of train has the labels {names}."
        require(not names, "every label to learn from", what)
        return

    labels = set(y.tolist())
    missing = [label for label in range(len(data.classes)) if label not in labels]
    what = f"train has no sample of the classes {missing}."
    require(not missing, "every class to learn from", what)


def _split(name: str, split: Split) -> None:
    n = len(split.x)
    require(n > 0, "rows", f"{name} has none.")
    for field, dtype in DTYPES.items():
        tensor = getattr(split, field)
        what = f"{name}.{field} must be {dtype}, got {tensor.dtype}."
        require(tensor.dtype == dtype, "dtype", what)

        what = f"{name}.{field} must have one row for each of the {n} inputs, got {len(tensor)}."
        require(len(tensor) == n, "shape", what)

    is_finite = bool(split.x.isfinite().all())
    what = f"some entries of {name}.x are NaN or infinite."
    require(is_finite, "finite values", what)


def _truth(source: Source, data: Dataset) -> None:
    """Require a planted truth of the right shape where one is declared, and none elsewhere."""
    is_declared, is_there = Need.TRUTH in source.offers, data.truth is not None
    word, state = ("names" if is_declared else "lacks"), ("there" if is_there else "None")
    what = f"offers {word} Need.TRUTH, and truth is {state}."
    require(is_declared == is_there, "declared offers", what)
    if data.truth is None:
        return

    shapes = {
        "mask": tuple(data.test.x.shape),
        "train_group": (len(data.train.y),),
        "test_group": (len(data.test.y),),
    }
    for name, shape in shapes.items():
        got = tuple(getattr(data.truth, name).shape)
        require(got == shape, "shape", f"truth.{name} must have shape {shape}, got {got}.")

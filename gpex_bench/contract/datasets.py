"""The promises that every dataset keeps."""

from __future__ import annotations

import torch
from torch import Tensor

from gpex_bench.contract.promises import require, require_settings, works
from gpex_bench.contract.untouched import random_states_kept
from gpex_bench.types import Dataset, Need, Source, Split

DTYPES = {"x": torch.float32, "y": torch.int64, "sample": torch.int64}
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
    _shapes(source, data)
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
        _split(name, split, len(data.classes))

    labels = set(data.train.y.tolist())
    missing = [label for label in range(len(data.classes)) if label not in labels]
    what = f"train has no sample of the classes {missing}."
    require(not missing, "every class to learn from", what)

    samples = torch.cat([data.train.sample, data.test.sample])
    n_repeated = len(samples) - len(samples.unique())
    what = f"sample identifies a row of the raw data, and {n_repeated} are there more than once."
    require(n_repeated == 0, "distinct samples", what)


def _split(name: str, split: Split, n_classes: int) -> None:
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

    low = int(split.y.min())
    high = int(split.y.max())
    what = f"{name}.y must lie in 0 ... {n_classes - 1}, got {low} ... {high}."
    require(low >= 0 and high < n_classes, "known labels", what)


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

"""The promises that every dataset keeps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gpex_bench.contract.promises import BrokenPromise, require, require_settings, works
from gpex_bench.contract.untouched import random_states_kept
from gpex_bench.types import Dataset, Kind, Need, Source, Split
from gpex_bench.types.groups import check_groups

# of what every split holds: the type, and how to get it
DTYPES = {"x": (torch.float32, "x.float()"), "sample": (torch.int64, "sample.long()")}
UNSCALED = 20  # images with larger entries are probably not scaled
APART = 3  # deviations between the means of the splits that are hardly of the same scale
LARGEST = 1e15  # inputs beyond it overflow when they are squared and added in single precision
N_LISTED = 12  # names in a message
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
        data = _loaded(source)
    got = type(data).__name__
    require(isinstance(data, Dataset), "declared type", f"load must return a Dataset, got {got}.")
    check_data(source, data, is_trained_on=source.is_for_training)

    with works("load"):
        again = tensors(source.load())
    for name, tensor in tensors(data).items():
        what = f"{name} differs between two loads; draw from generators with seeds of your own."
        require(torch.equal(tensor, again[name]), "same settings, same bits", what)


def _loaded(source: Source) -> Dataset:
    """Return what a dataset loads; what it refuses is a promise of its files, in its own words."""
    try:
        return source.load()
    except ValueError as error:
        raise BrokenPromise("loads", str(error)) from error


def check_data(source: Source, data: Dataset, is_trained_on: bool = True) -> None:
    """Hold what a dataset holds to what every later stage relies on.

    Args:
        source: what loaded it, whose offers are compared with it.
        data: what was loaded.
        is_trained_on: whether a network is to be trained on it; one that is brought along knows
            its classes, and the training split needs no sample of each.

    Raises:
        BrokenPromise: at the first promise it breaks; names field, value, what was expected and
            what to do.
    """
    what = f"kind is {source.kind}, and the kind of what load returns is {data.kind}."
    require(source.kind is data.kind, "declared kind", what)
    for name, tensor in tensors(data).items():
        what = f"{name} must be a torch.Tensor, got {type(tensor).__name__}; use torch.as_tensor."
        require(isinstance(tensor, Tensor), "tensors", what)

    _form(data)
    _shapes(source, data)
    _names(data)
    _splits(data)
    if is_trained_on:
        check_learnable(data)
    _truth(source, data)


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


def _form(data: Dataset) -> None:
    """Require tables or images; series and volumes are refused with what can be done."""
    for name, split in (("train", data.train), ("test", data.test)):
        shape = tuple(split.x.shape)
        advice = {
            3: " Give series [n, channel, time] as images of height 1, x[:, :, None].",
            5: " Volumes are not supported: give slices, or columns that describe them.",
        }
        what = (
            f"{name}.x must be a table [n, column] or images [n, channel, height, width], got "
            f"{shape}.{advice.get(len(shape), '')}"
        )
        require(len(shape) in (2, 4) and all(shape[1:]), "shape", what)
        _types(name, split)


def _types(name: str, split: Split) -> None:
    for field, (dtype, remedy) in DTYPES.items():
        got = getattr(split, field).dtype
        scale = ", and divide by 255" if got == torch.uint8 else ""
        what = f"{name}.{field} must be {dtype}, got {got}; use {remedy}{scale}."
        require(got == dtype, "dtype", what)


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
    what = (
        f"baseline must be finite and torch.float32, got {dtype}"
        f"{'' if is_finite else ' with entries that are NaN or infinite'}; use baseline.float()."
    )
    require(is_finite and dtype == torch.float32, "baseline", what)

    n_names = 0 if data.is_image else shape[0]
    n_given = len(data.features)
    what = f"features must name the {n_names} columns of a table (none for images), got {n_given}."
    require(len(data.features) == n_names, "names of features", what)
    try:
        check_groups(data.groups, n_names)
    except ValueError as error:
        raise BrokenPromise("groups of columns", str(error)) from error


def _splits(data: Dataset) -> None:
    """Require two splits of finite inputs, known labels and distinct samples."""
    for name, split in (("train", data.train), ("test", data.test)):
        _split(name, split, data)
        _target(name, split, data)

    samples = torch.cat([data.train.sample, data.test.sample])
    n_repeated = len(samples) - len(samples.unique())
    both = set(data.train.sample.tolist()) & set(data.test.sample.tolist())
    what = (
        f"sample identifies a row of the raw data, and {n_repeated} are there more than once"
        f"{f', {len(both)} of them in both splits' if both else ''}; number the rows before they "
        "are split."
    )
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
    repeated = sorted({str(name) for name in data.classes if data.classes.count(name) > 1})
    what = f"classes must differ, and {', '.join(repeated)} are there twice."
    require(not repeated, "names of the outputs", what)
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


def check_learnable(data: Dataset) -> None:
    """Require training targets of every kind that a network is to tell apart.

    Raises:
        BrokenPromise: a class or label has no training sample, or all targets are equal.
    """
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
    what = f"train has no sample of the classes {listed(missing)}."
    require(not missing, "every class to learn from", what)


def _split(name: str, split: Split, data: Dataset) -> None:
    """Require rows of the right type, finite and of a size that can be calculated with."""
    n = len(split.x)
    require(n > 0, "rows", f"{name} has none.")
    for field in DTYPES:
        tensor = getattr(split, field)
        what = f"{name}.{field} must have one row for each of the {n} inputs, got {len(tensor)}."
        require(len(tensor) == n, "shape", what)

    bad = ~split.x.flatten(1).isfinite()
    what = (
        f"{int(bad.sum())} entries of {name}.x are NaN or infinite, the first in "
        f"{_where(bad, split, data)}; fill or drop them."
    )
    require(not bool(bad.any()), "finite values", what)

    size = split.x.flatten(1).abs()
    what = (
        f"{name}.x has entries of size {float(size.max()):.1e} (in "
        f"{_where(size > LARGEST, split, data)}), which overflow in single precision; scale them."
    )
    require(float(size.max()) <= LARGEST, "range", what)


def listed(names: Sequence[object]) -> str:
    """Return the first names, and how many more there are."""
    shown = ", ".join(str(name) for name in names[:N_LISTED])
    n_more = len(names) - N_LISTED
    return f"{shown} and {n_more} more" if n_more > 0 else shown


def _where(found: Tensor, split: Split, data: Dataset) -> str:
    """Return the first place of flat entries: sample, and column of a table."""
    places = found.nonzero()
    if not len(places):
        return "no sample"
    row, entry = places[0].tolist()
    column = "" if data.is_image else f", column {data.features[entry]}"
    return f"sample {int(split.sample[row])}{column}"


def notes(data: Dataset) -> list[str]:
    """Return what is no fault of a dataset but can surprise.

    What was changed when it was read, scales, constants, duplicates.
    """
    found = [*data.notes, *_of_scale(data)]
    flat = data.train.x.flatten(1)
    is_constant = (flat == flat[:1]).all(0)
    n_constant = int(is_constant.sum())
    if n_constant:
        what = "pixels" if data.is_image else "columns"
        found.append(f"{n_constant} of {len(is_constant)} {what} are constant in train")

    base = data.baseline.flatten()
    outside = (base < flat.min(0).values) | (base > flat.max(0).values)
    n_outside = int(outside.sum())
    if n_outside:
        found.append(f"the baseline is outside the range of train in {n_outside} entries")

    known = {hash(row.tobytes()) for row in flat.numpy()}
    tested = [hash(row.tobytes()) for row in data.test.x.flatten(1).numpy()]
    n_seen = sum(row in known for row in tested)
    if n_seen:
        found.append(f"{n_seen} of {len(tested)} test rows are also in train")
    return found + _of_targets(data)


def _of_scale(data: Dataset) -> list[str]:
    """Return what can surprise about the range of inputs, and about that of the splits."""
    found = []
    train = data.train.x.flatten(1).double()
    test = data.test.x.flatten(1).double()
    low = float(train.min())
    high = float(train.max())
    if data.is_image and max(-low, high) > UNSCALED:
        found.append(f"images lie in {low:.3g} ... {high:.3g}; most networks expect about 0 ... 1")
    elif data.is_image and low < 0:
        found.append(f"images lie in {low:.3g} ... {high:.3g}: 0, the fill zero, is not black")

    if data.is_image:
        train, test = train.reshape(-1, 1), test.reshape(-1, 1)
    deviation = train.std(0, correction=0)
    distance = (test.mean(0) - train.mean(0)).abs()
    n_apart = int((distance > APART * deviation).logical_and(deviation > 0).sum())
    if n_apart:
        what = "the pixels" if data.is_image else f"{n_apart} of {len(deviation)} columns"
        found.append(
            f"the mean of {what} differs by more than {APART} deviations between test and train; "
            "are both scaled alike?"
        )
    return found


def _of_targets(data: Dataset) -> list[str]:
    """Return what can surprise about the targets of a dataset of classes."""
    if data.kind is not Kind.CLASSES:
        return []
    found = []
    n_names = len(data.classes)
    missing = (data.test.y.bincount(minlength=n_names) == 0).nonzero().flatten().tolist()
    if missing:
        names = listed([data.classes[label] for label in missing])
        found.append(f"test has no sample of {names}")

    is_sorted = bool((data.test.y.diff() >= 0).all())
    if is_sorted and not missing:
        found.append("test is sorted by class; the explained samples are drawn over all classes")
    return found


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

    mask = data.truth.mask
    what = f"truth.mask must be torch.bool, got {mask.dtype}; use mask.bool()."
    require(mask.dtype == torch.bool, "dtype", what)
    empty = data.test.sample[~mask.flatten(1).any(1)].tolist()
    what = f"truth.mask is empty for the samples {empty[:5]}; every test sample needs evidence."
    require(not empty, "evidence of every sample", what)

"""The cells of `fuzz`: a method on a network, and the verdict on what comes out."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from fuzz_ops import run
from fuzz_rules import Unknown
from fuzz_subjects import Subject
from torch import Tensor

from gpex_bench.plugins.registry import PACKAGE, ROOT, plugins
from gpex_bench.types import Attribution, Model
from gpex_bench.types.demands import Refused

SAME = 1e-3  # largest error in float32, as a share of the largest right value of a sample
SAME_IN_DOUBLE = 1e-5  # the same where a sum cancels, in float64
SWITCHED = 0.05  # or as much, where a ReLU switches at a point on a path
AMPLIFIED = 100.0  # errors in float32 may be so many times those of the twin in float32


# (subject, precision) -> the right values
Twin = Callable[[Subject, torch.dtype], Tensor]


@dataclass(frozen=True)
class Cell:
    """A method with its settings, and the twin that knows its right values."""

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    twin: Twin | None = None
    of_images: bool = False
    is_one_row: bool = False  # of training data: what is drawn from it is known

    @property
    def name(self) -> str:
        """The method and its settings, as a word."""
        settings = ", ".join(f"{key} {value}" for key, value in self.settings.items())
        return f"{self.method} ({settings})" if settings else self.method

    def explain(self, about: Subject, network: Model, dtype: torch.dtype) -> Attribution:
        """Return the method's explanation of a network in a precision."""
        explainer = plugins("method")[self.method].cls(**self.settings)
        task = about.task(network, dtype, self.is_one_row)
        return explainer.explain(task, about.asked(dtype))


@dataclass(frozen=True)
class Verdict:
    """What came out in a cell."""

    word: str  # equal, refused, wrong, crash, undetermined, unchecked
    check: str = ""  # what it was compared with
    detail: str = ""  # the error, or the text


# --- the verdict ----------------------------------------------------------------------------------


def judged(about: Subject, cell: Cell) -> Verdict:
    """Return what came out."""
    single, double = torch.float32, torch.float64
    try:
        found = cell.explain(about, about.network, single).values
    except Exception as error:  # noqa: BLE001 - what came is the result
        return _failure(error)
    if not bool(found.isfinite().all()):
        return Verdict("wrong", "finite", "values that are not finite")

    try:
        right = cell.twin(about, double) if cell.twin else None
    except Unknown:
        right = None
    if right is None:
        return _against_plain(about, cell, found)

    off = error_of(found, right)
    if off < SAME:
        return Verdict("equal", "twin", f"{off:.1e}")
    again = cell.explain(about, about.again(double), double).values
    off_in_double = error_of(again, right)
    if off_in_double > SAME_IN_DOUBLE:
        word = "wrong" if _is_determined(about, cell, right) else "undetermined"
        return Verdict(word, "twin", f"{off:.2g}, {off_in_double:.2g} in float64")
    if off < max(AMPLIFIED * error_of(cell.twin(about, single), right), SWITCHED):
        return Verdict("equal", "twin, in float64", f"{off_in_double:.1e} ({off:.1e} in float32)")
    return Verdict("wrong", "twin", f"{off:.2g}, in float32 only")


def _is_determined(about: Subject, cell: Cell, right: Tensor) -> bool:
    """Return whether the right values hardly change where the input changes by its rounding.

    Values of ten thousand times the outputs come from sums that cancel, of which rounding remains.
    """
    x = about.query.x.double()
    largest = run(about.description, x)[-1].abs().max()
    if float(right.abs().max()) > 1e4 * float(largest):
        return False
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    query = replace(about.query, x=x * (1 + 1e-13 * noise))
    assert cell.twin is not None
    return error_of(cell.twin(replace(about, query=query), torch.float64), right) < 1e-6


def _against_plain(about: Subject, cell: Cell, found: Tensor) -> Verdict:
    """Return whether the same network, written in the plainest way, gets the same values."""
    network = about.plain(torch.float32)
    if network is None:
        return Verdict("unchecked", "no twin")
    try:
        right = cell.explain(about, network, torch.float32).values
    except Exception as error:  # noqa: BLE001
        return Verdict("unchecked", "plain form", f"the plain form: {error}")
    off = error_of(found, right)
    if off < SAME:
        return Verdict("equal", "plain form", f"{off:.1e}")

    # a threshold may fall on either side of a rounding, that of weights among them
    double = torch.float64
    forms = (about.again(double), about.plain(double), about.plain(double, keeps_weights=True))
    maps = [cell.explain(about, one, double).values for one in forms if one is not None]
    off_in_double = error_of(maps[0], maps[1])
    word = "wrong"
    if off_in_double < SAME_IN_DOUBLE:
        word = "equal"
    elif error_of(maps[0], maps[2]) < SAME_IN_DOUBLE:
        word = "undetermined"
    return Verdict(word, "plain form, in float64", f"{off_in_double:.1e} ({off:.1e} in float32)")


def error_of(found: Tensor, right: Tensor) -> float:
    """Return the largest error as a share of the largest right value of its sample."""
    difference = (found.double() - right.double()).abs().flatten(1).amax(1)
    largest = right.double().abs().flatten(1).amax(1)
    return float((difference / largest.clamp(min=1e-3 * float(largest.max()) + 1e-9)).max())


def _failure(error: Exception) -> Verdict:
    """Return whether an error is a refusal: raised on purpose, in the project, with a reason."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = Path(last.filename)
    is_ours = place.is_relative_to(PACKAGE) or place.is_relative_to(ROOT / "methods")
    text = f"{type(error).__name__}: {error}"
    is_raised = is_ours and (last.line or "").startswith("raise")
    if isinstance(error, Refused) or (isinstance(error, ValueError) and is_raised):
        return Verdict("refused", "", text)
    return Verdict("crash", f"{place.name}:{last.lineno}", text)

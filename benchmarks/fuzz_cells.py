"""The cells of `fuzz`: each method on a network, and what must come out."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fuzz_build
import fuzz_relevance
import fuzz_rules
import fuzz_twins as twins
import torch
from fuzz_draw import draw
from fuzz_ops import Description, run
from fuzz_rules import Unknown
from torch import Tensor
from torch.nn import functional

from gpex_bench.plugins.registry import PACKAGE, ROOT, plugins
from gpex_bench.types import Attribution, Dataset, Model, Query, Split, Task

N_ROWS, N_TRAIN = 3, 12
SAME = 1e-3  # largest error in float32, as a share of the largest right value of a sample
SAME_IN_DOUBLE = 1e-6  # the same where a sum cancels, in float64
AMPLIFIED = 100.0  # errors in float32 may be so many times those of the twin in float32
STEPS = 12  # points of integrated gradients


@dataclass(frozen=True)
class Subject:
    """A network with what it is asked about."""

    description: Description
    network: Model
    data: Dataset
    query: Query
    units: fuzz_relevance.Units = fuzz_relevance.dense  # how the twin of LRP takes layers apart

    def again(self, dtype: torch.dtype) -> Model:
        """Return the network once more, in a precision."""
        return fuzz_build.build(self.description).to(dtype)

    def plain(self) -> Model | None:
        """Return the network in its plainest form, if there is one."""
        return fuzz_build.build(fuzz_build.plain(self.description))

    def task(self, network: Model, dtype: torch.dtype, is_one_row: bool = False) -> Task:
        """Return the task with a network, in a precision.

        Args:
            network: the network.
            dtype: the precision.
            is_one_row: all training samples are the first one, so that any draw is that one.
        """
        data = self.data
        rows = data.train.x[:1].expand_as(data.train.x) if is_one_row else data.train.x
        split = Split(x=rows.to(dtype), y=data.train.y, sample=data.train.sample)
        data = Dataset(
            name=data.name,
            train=split,
            test=split,
            classes=data.classes,
            features=data.features,
            baseline=data.baseline.to(dtype),
        )
        return Task(model=network, data=data, surrogate=None, seed=1)

    def asked(self, dtype: torch.dtype) -> Query:
        """Return the query in a precision."""
        query = self.query
        return Query(x=query.x.to(dtype), target=query.target, sample=query.sample)

    def inputs(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Return samples, targets and baseline in a precision."""
        return self.query.x.to(dtype), self.query.target, self.data.baseline.to(dtype)


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


def subject(seed: int, number: int) -> Subject:
    """Return a network with samples, targets, training data and a baseline.

    A network that is constant is drawn once more.
    """
    description = draw(seed, number)
    while _is_constant(description):
        number += 10**6
        description = draw(seed, number)
    numbers = torch.Generator().manual_seed(1000 * seed + number)
    shape = description.ops[0].shape
    x = torch.randn(N_ROWS, *shape, generator=numbers)
    n_heads = description.ops[-1].shape[0]

    train = torch.randn(N_TRAIN, *shape, generator=numbers)
    label = torch.arange(N_TRAIN) % n_heads
    split = Split(x=train, y=label, sample=torch.arange(N_TRAIN))
    is_table = len(shape) == 1
    data = Dataset(
        name="fuzz",
        train=split,
        test=split,
        classes=tuple("abcd"[:n_heads]),
        features=tuple(f"c{column}" for column in range(shape[0])) if is_table else (),
        baseline=0.3 * torch.randn(shape, generator=numbers),
    )
    target = torch.randint(n_heads, (N_ROWS,), generator=numbers)
    query = Query(x=x, target=target, sample=torch.arange(N_ROWS))
    description = _differentiable(description, x)
    return Subject(description, fuzz_build.build(description), data, query)


def _is_constant(description: Description) -> bool:
    numbers = torch.Generator().manual_seed(0)
    shape = description.ops[0].shape
    x = torch.randn(N_ROWS, *shape, generator=numbers, dtype=torch.float64)
    head = torch.zeros(N_ROWS, dtype=torch.int64)
    return bool(twins.gradient(description, x, head).abs().max() < 1e-6)


def _differentiable(description: Description, x: Tensor) -> Description:
    """Return the description, without changes in place where autograd refuses the network."""
    network = fuzz_build.build(description)
    x = x.clone().requires_grad_()
    try:
        torch.autograd.grad(network(x).sum(), x)
    except RuntimeError:
        return fuzz_build.without_changes_in_place(description)
    return description


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
    if off < max(AMPLIFIED * error_of(cell.twin(about, single), right), 10 * SAME):
        return Verdict("equal", "twin, in float64", f"{off_in_double:.1e} ({off:.1e} in float32)")
    return Verdict("wrong", "twin", f"{off:.2g}, in float32 only")


def _is_determined(about: Subject, cell: Cell, right: Tensor) -> bool:
    """Return whether the right values hardly change where the input changes by its rounding."""
    x = about.query.x.double()
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    query = replace(about.query, x=x * (1 + 1e-13 * noise))
    assert cell.twin is not None
    return error_of(cell.twin(replace(about, query=query), torch.float64), right) < 1e-6


def _against_plain(about: Subject, cell: Cell, found: Tensor) -> Verdict:
    """Return whether the same network, written in the plainest way, gets the same values."""
    network = about.plain()
    if network is None:
        return Verdict("unchecked", "no twin")
    try:
        right = cell.explain(about, network, torch.float32).values
    except Exception as error:  # noqa: BLE001
        return Verdict("unchecked", "plain form", f"the plain form: {error}")
    off = error_of(found, right)
    return Verdict("equal" if off < SAME else "wrong", "plain form", f"{off:.1e}")


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
    if isinstance(error, ValueError) and is_ours and (last.line or "").startswith("raise"):
        return Verdict("refused", "", text)
    return Verdict("crash", f"{place.name}:{last.lineno}", text)


# --- right values ---------------------------------------------------------------------------------


def of_gradient(about: Subject, dtype: torch.dtype) -> Tensor:
    """Return the gradient."""
    x, target, _ = about.inputs(dtype)
    return twins.gradient(about.description, x, target)


def of_saliency(about: Subject, dtype: torch.dtype) -> Tensor:
    """Return the size of the gradient."""
    return of_gradient(about, dtype).abs()


def of_product(about: Subject, dtype: torch.dtype) -> Tensor:
    """Return gradient times the difference from the baseline."""
    x, _, baseline = about.inputs(dtype)
    return of_gradient(about, dtype) * (x - baseline)


def of_product_with_input(about: Subject, dtype: torch.dtype) -> Tensor:
    """Return gradient times input."""
    return of_gradient(about, dtype) * about.inputs(dtype)[0]


def of_integral(about: Subject, dtype: torch.dtype) -> Tensor:
    """Return integrated gradients with Gauss-Legendre points on the line from the baseline."""
    import numpy as np

    x, target, baseline = about.inputs(dtype)
    places, weights = np.polynomial.legendre.leggauss(STEPS)
    total = torch.zeros_like(x)
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        point = baseline + float(place) * (x - baseline)
        total += float(weight) * twins.gradient(about.description, point, target)
    return total * (x - baseline)


def of_guided(about: Subject, dtype: torch.dtype) -> Tensor:
    """Return the guided gradient."""
    x, target, _ = about.inputs(dtype)
    return twins.guided(about.description, x, target)


def of_lift(about: Subject, dtype: torch.dtype) -> Tensor:
    """Return DeepLift's contributions."""
    x, target, baseline = about.inputs(dtype)
    return twins.lift(about.description, x, baseline.expand_as(x), target)


def of_lift_from_a_row(about: Subject, dtype: torch.dtype) -> Tensor:
    """Return DeepLift's contributions where the baseline is the first training sample."""
    x, target, _ = about.inputs(dtype)
    row = about.data.train.x[:1].to(dtype)
    return twins.lift(about.description, x, row.expand_as(x), target)


def of_map(about: Subject, dtype: torch.dtype) -> Tensor:
    """Return Grad-CAM at the trunk's end, shared evenly between the channels."""
    found = _grad_cam(about, dtype)
    n_channels = about.query.x.shape[1]
    return (found / n_channels).expand(-1, n_channels, -1, -1)


def _grad_cam(about: Subject, dtype: torch.dtype) -> Tensor:
    x, target, _ = about.inputs(dtype)
    maps, slopes = twins.map_gradient(about.description, x, target)
    weighted = (slopes.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True)
    positive = torch.where(weighted > 0, weighted, 0.0)
    return functional.interpolate(positive, x.shape[2:], mode="bilinear", align_corners=False)


def of_guided_map(about: Subject, dtype: torch.dtype) -> Tensor:
    """Return the guided gradient times Grad-CAM."""
    return of_guided(about, dtype) * _grad_cam(about, dtype)


def of_full_grad(about: Subject, dtype: torch.dtype) -> Tensor:
    """Return FullGrad: sizes of the terms that are maps, scaled to [0, 1], enlarged and summed."""
    x, target, _ = about.inputs(dtype)
    terms = twins.bias_terms(about.description, x, target)
    logit = run(about.description, x)[-1].gather(1, target[:, None])[:, 0]
    total = sum(term.values.flatten(1).sum(1) for term in terms)
    if error_of(total[:, None], logit[:, None]) > 1e-6 and dtype == torch.float64:
        raise RuntimeError("The terms of the twin of FullGrad do not sum to the logit.")

    result = torch.zeros_like(x[:, :1])
    for term in terms:
        if term.values.ndim == 4 and term.values.shape[2:].numel() > 1:
            size = term.values.abs()
            low, high = (f(size, (1, 2, 3), keepdim=True) for f in (torch.amin, torch.amax))
            varies = high - low > 1e-9 * high  # a map that is constant but for rounding is one
            scaled = torch.where(varies, (size - low) / (high - low), 0.0)
            large = functional.interpolate(scaled, x.shape[2:], mode="bilinear")
            result = result + large.sum(1, keepdim=True)
    return (result / x.shape[1]).expand_as(x)


def of_relevance(composite: str, policy: str = "absorbs") -> Twin:
    """Return the twin of LRP with a composite."""

    def twin(about: Subject, dtype: torch.dtype) -> Tensor:
        x, target, _ = about.inputs(dtype)
        rules = fuzz_rules.composite(composite, policy)
        ends = _range(about, dtype)
        return fuzz_relevance.relevance(about.description, x, target, rules, ends, about.units)

    return twin


def of_deep_taylor(domain: str) -> Twin:
    """Return the twin of Deep Taylor."""

    def twin(about: Subject, dtype: torch.dtype) -> Tensor:
        x, target, _ = about.inputs(dtype)
        first = None
        if domain == "auto":
            is_image = about.description.is_image
            first = fuzz_rules.box if is_image else fuzz_rules.squared
        rules = fuzz_rules.deep_taylor(first)
        ends = _range(about, dtype)
        return fuzz_relevance.relevance(about.description, x, target, rules, ends, about.units)

    return twin


def _range(about: Subject, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the range of the training data with zero in it, for each input entry."""
    train = about.data.train.x.to(dtype)
    axes = (0, 2, 3) if train.ndim == 4 else (0,)
    low, high = train.amin(axes, keepdim=True), train.amax(axes, keepdim=True)
    low, high = low.clamp(max=0), high.clamp(min=0)
    return low.expand_as(train[:1]), high.expand_as(train[:1])


COMPOSITES = ("epsilon", "alpha1_beta0", "alpha2_beta1", "gamma", "epsilon_plus")
COMPOSITES += ("epsilon_plus_flat", "epsilon_gamma_box", "epsilon_alpha2_beta1")
CELLS = (
    Cell("saliency", {}, of_saliency),
    Cell("gradient_x_input", {}, of_product),
    Cell("gradient_x_input", {"relative_to": "zero"}, of_product_with_input),
    Cell("integrated_gradients", {"budget": STEPS}, of_integral),
    Cell("smoothgrad", {"noise": 0.0, "budget": 2}, of_gradient),
    *(Cell("lrp", {"composite": name}, of_relevance(name)) for name in COMPOSITES),
    *(
        Cell("lrp", {"composite": name, "bias": policy}, of_relevance(name, policy))
        for name in ("epsilon_plus", "gamma")
        for policy in ("ignored", "spread")
    ),
    Cell("deep_taylor", {}, of_deep_taylor("auto")),
    Cell("deep_taylor", {"domain": "positive"}, of_deep_taylor("positive")),
    Cell("deeplift", {}, of_lift),
    Cell("deeplift_shap", {"budget": 4}, of_lift_from_a_row, is_one_row=True),
    Cell("guided_backprop", {}, of_guided),
    Cell("full_grad", {}, of_full_grad, of_images=True),
    Cell("grad_cam", {}, of_map, of_images=True),
    Cell("guided_grad_cam", {}, of_guided_map, of_images=True),
    Cell("sise", {}, None, of_images=True),
)

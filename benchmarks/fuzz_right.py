"""The right values of each method on a subject, and the cells with them."""

from __future__ import annotations

from dataclasses import replace

import fuzz_relevance
import fuzz_rules
import fuzz_twins as twins
import torch
from fuzz_cells import Cell, Twin, error_of
from fuzz_ops import run
from fuzz_subjects import Subject
from torch import Tensor
from torch.nn import functional

STEPS = 6  # points of integrated gradients


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

    # a map that is constant but for rounding is one
    largest = torch.stack([term.values.abs().flatten(1).amax(1) for term in terms]).amax(0)
    least = 16 * torch.finfo(dtype).eps * largest.view(-1, 1, 1, 1)
    result = torch.zeros_like(x[:, :1])
    for term in terms:
        if term.values.ndim == 4 and term.values.shape[2:].numel() > 1:
            size = term.values.abs()
            low, high = (f(size, (1, 2, 3), keepdim=True) for f in (torch.amin, torch.amax))
            varies = high - low > least
            scaled = torch.where(varies, (size - low) / (high - low), 0.0)
            large = functional.interpolate(scaled, x.shape[2:], mode="bilinear")
            result = result + large.sum(1, keepdim=True)
    return (result / x.shape[1]).expand_as(x)


def of_rollout(about: Subject, dtype: torch.dtype) -> Tensor:
    """Return attention rollout: the product of (A + I) / 2, A the mean over heads."""
    x, target, _ = about.inputs(dtype)
    rolled = None
    for weights, _ in twins.attention(about.description, x, target):
        mean = weights.mean(1)
        mixed = (mean + torch.eye(mean.shape[-1], dtype=dtype)) / 2
        rolled = mixed if rolled is None else mixed @ rolled
    assert rolled is not None
    return _from_class_token(rolled, x)


def of_gradient_times_attention(about: Subject, dtype: torch.dtype) -> Tensor:
    """Return chefer2021generic: each layer adds its positive gradient times weight, passed on."""
    x, target, _ = about.inputs(dtype)
    total = None
    for weights, slopes in twins.attention(about.description, x, target):
        speaking = (slopes * weights).clamp(min=0).mean(1)
        same = torch.eye(speaking.shape[-1], dtype=dtype).expand_as(speaking)
        total = same + speaking if total is None else total + speaking @ total
    assert total is not None
    return _from_class_token(total, x)


def _from_class_token(rows: Tensor, x: Tensor) -> Tensor:
    """Return what the first token has of the patches, which follow row by row."""
    side = round((rows.shape[-1] - 1) ** 0.5)
    patches = rows[:, 0, 1:].reshape(len(x), 1, side, side)
    large = functional.interpolate(patches, x.shape[2:], mode="bilinear", align_corners=False)
    return (large / x.shape[1]).expand_as(x)


def of_relevance(composite: str, policy: str = "absorbs") -> Twin:
    """Return the twin of LRP with a composite."""

    def twin(about: Subject, dtype: torch.dtype) -> Tensor:
        x, target, _ = about.inputs(dtype)
        rules = fuzz_rules.composite(composite, policy)
        ends = _range(about, dtype)
        return fuzz_relevance.relevance(about.description, x, target, rules, ends, about.units)

    return twin


def of_constant_attention(about: Subject, dtype: torch.dtype) -> Tensor:
    """Return LRP-epsilon in which the weights of attention are constants."""
    x, target, _ = about.inputs(dtype)
    rules = replace(fuzz_rules.composite("epsilon"), softmax=None)
    return fuzz_relevance.relevance(about.description, x, target, rules, units=about.units)


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
OF_TRANSFORMERS = (
    Cell("attention_rollout", {}, of_rollout, of_images=True),
    Cell("gradient_x_attention", {}, of_gradient_times_attention, of_images=True),
    Cell("lrp", {"composite": "epsilon", "attention": "constant"}, of_constant_attention),
)

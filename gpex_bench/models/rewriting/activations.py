"""Calls that change each entry by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from gpex_bench.models.rewriting.names import words
from gpex_bench.models.rewriting.operations import ElementWise
from gpex_bench.models.rewriting.site import (
    TRANSLATIONS,
    NotKnown,
    Number,
    Site,
    is_signal,
    translates,
)

# functions without a module in torch.nn
FUNCTIONS = words(
    """
    exp exp2 expm1 log log1p log2 log10 sqrt rsqrt square abs sin cos tan asin acos atan arcsin
    arccos arctan sinh cosh asinh acosh atanh arcsinh arccosh arctanh erf erfc erfinv special_erf
    reciprocal sign sgn floor ceil round trunc fix frac logit sinc nan_to_num deg2rad rad2deg
    lgamma digamma i0 special_ndtr
    """
)
# functions of one signal whose module takes the same arguments in the same order
MODULES: dict[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "celu": nn.CELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "hardsigmoid": nn.Hardsigmoid,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "logsigmoid": nn.LogSigmoid,
    "log_sigmoid": nn.LogSigmoid,
    "tanhshrink": nn.Tanhshrink,
    "softshrink": nn.Softshrink,
    "hardshrink": nn.Hardshrink,
    "threshold": nn.Threshold,
    "_threshold": nn.Threshold,  # the name of functional.threshold
}


def _function(site: Site, input: Any, *args: Any, **kwargs: Any) -> fx.Node:
    site.check_only(input, args, kwargs)
    return site.call(ElementWise, (input, *args), kwargs)


def _module(site: Site, input: Any, *args: Any, **kwargs: Any) -> fx.Node:
    site.check_only(input, args, kwargs)
    module = MODULES[site.name](*args, **kwargs)
    return site.emit(module, input)


TRANSLATIONS.update(dict.fromkeys(FUNCTIONS, _function))
TRANSLATIONS.update(dict.fromkeys(MODULES, _module))


@translates("gelu")
def gelu(site: Site, input: fx.Node, approximate: str = "none") -> fx.Node:
    """Make a GELU."""
    return site.emit(nn.GELU(approximate), input)


@translates("hardtanh")
def hardtanh(site: Site, input: fx.Node, min_val: Number = -1.0, max_val: Number = 1.0) -> fx.Node:
    """Make the module that clips at two numbers."""
    return clamp(site, input, min_val, max_val)


@translates("clamp")
def clamp(site: Site, input: Any, min: Any = None, max: Any = None) -> fx.Node:
    """Clip at numbers: a ReLU, a ReLU6, or another."""
    site.check_only(input, min, max)
    if not site.has_tensors((min, max)):
        if max is None and min == 0:
            return site.emit(nn.ReLU(), input)
        if (min, max) == (0, 6):
            return site.emit(nn.ReLU6(), input)
        if min is not None and max is not None and min < max:
            return site.emit(nn.Hardtanh(min, max), input)

    return site.function(ElementWise, torch.clamp, input, min, max, name="clamp")


@translates("clamp_min")
def clamp_min(site: Site, input: Any, min: Any) -> fx.Node:
    """Clip from below."""
    return clamp(site, input, min, None)


@translates("clamp_max")
def clamp_max(site: Site, input: Any, max: Any) -> fx.Node:
    """Clip from above."""
    return clamp(site, input, None, max)


@translates("prelu")
def prelu(site: Site, input: fx.Node, weight: Any) -> fx.Node:
    """Make a PReLU."""
    if not isinstance(weight, Tensor):
        raise NotKnown
    module = nn.PReLU(weight.numel(), device="meta")
    module.weight = site.parameter(weight)  # type: ignore[assignment]
    return site.emit(module, input)


@translates("rrelu")
def rrelu(
    site: Site,
    input: fx.Node,
    lower: Number = 1 / 8,
    upper: Number = 1 / 3,
    training: bool = False,
) -> fx.Node:
    """Make the leaky ReLU that a random one is in eval mode."""
    slope = (lower + upper) / 2
    return site.emit(nn.LeakyReLU(slope), input)


@translates("pow")
def power(site: Site, input: Any, exponent: Any) -> fx.Node:
    """Raise to a constant power, or a constant to a power."""
    if is_signal(input) and is_signal(exponent):
        raise NotKnown
    return site.function(ElementWise, torch.pow, input, exponent, name="pow")


@translates("rpow")
def power_of(site: Site, input: Any, other: Any) -> fx.Node:
    """Raise a constant to a power."""
    return power(site, other, input)

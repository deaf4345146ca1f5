"""DeepLift's rescale rule: differences from a baseline, propagated through a rewritten network.

Shrikumar, Greenside, Kundaje 2017 (shrikumar2017learning). The network runs on the baselines, then
on the samples. Of each operation that is not affine, the derivative is replaced by a multiplier
that accounts for the whole change of its output:

- an activation: the difference quotient;
- a maximum: what the output rises above the baseline's goes to the winner in the sample, what it
  falls below to the winner in the baseline (as in captum, kokhlikyan2020captum);
- a product of two signals: the change of each times the mean of the other, so that both have an
  equal share of what they do together (as in SHAP's DeepExplainer, lundberg2017unified);
- a quotient: as a product with a reciprocal;
- softmax: as exp(z - log(sum of exp z)), in which exponential and logarithm have quotients (ours).

So the values sum to f(x) - f(baseline), but for rounding. Any other operation is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gpex_bench.families.kinds import Kind, Part, parts
from gpex_bench.models.rewriting import operations as ops
from gpex_bench.models.rewriting import rewrite
from gpex_bench.types.demands import Refused

ROUNDINGS = 8  # of an activation's output, that its difference quotient may hold


class Run(NamedTuple):
    """What one operation read and gave."""

    inputs: tuple[Tensor, ...]
    output: Tensor

    @property
    def signal(self) -> Tensor:
        """What it read, if that is one signal."""
        (only,) = self.inputs
        return only


class DeepLift:
    """Contributions of differences, for one network and any samples and baselines."""

    def __init__(self, network: nn.Module, x: Float[Tensor, "batch *feature"]) -> None:
        """Rewrite the network and choose the rules.

        Args:
            network: any network.
            x: an example of its input.

        Raises:
            Refused: the network cannot be rewritten, or there is no rule for something that it
                does.
        """
        self.original = network
        self.written = written = rewrite(network, x)
        bent = [part for part in parts(written) if part.kind is not Kind.AFFINE]
        for part in bent:
            if part.kind not in RULES:
                raise Refused(_advice(part))
        self.rules = {part.name: RULES[part.kind] for part in bent}

    def __call__(
        self,
        x: Float[Tensor, "batch *feature"],
        baseline: Float[Tensor, "batch *feature"],
        target: Int[Tensor, "batch"],
    ) -> tuple[Float[Tensor, "batch *feature"], Float[Tensor, "batch"]]:
        """Return the contributions of each sample, and f(x) - f(baseline) of its target.

        Costs two forward rows and one backward row a sample.
        """
        if self.written.reads_values:
            for rows in (x, baseline):
                rewrite(self.original, rows)  # refuses rows for which the network does other things

        x = x.detach().clone().requires_grad_()
        with torch.no_grad():
            below, runs = self._recorded(baseline.detach())
        with torch.enable_grad():
            above = self._ruled(x, runs)
            logit = above.gather(1, target[:, None])[:, 0]
            (multiplier,) = torch.autograd.grad(logit.sum(), x)

        logit_below = below.gather(1, target[:, None])[:, 0]
        change = logit.detach() - logit_below
        difference = x.detach() - baseline
        return multiplier * difference, change

    def _recorded(self, baseline: Tensor) -> tuple[Tensor, dict[str, Run]]:
        """Return the outputs for baselines, and what each operation with a rule read and gave."""
        runs: dict[str, Run] = {}

        def note(name: str, module: nn.Module, args: tuple, output: Tensor) -> None:
            runs[name] = Run(args, output)

        return self._hooked(note, baseline), runs

    def _ruled(self, x: Tensor, runs: dict[str, Run]) -> Tensor:
        """Return the outputs for samples; their graph has rules in place of derivatives."""

        def replace(name: str, module: nn.Module, args: tuple, output: Tensor) -> Tensor:
            inputs = tuple(signal.detach() for signal in args)
            run = Run(inputs, output.detach())
            rule = self.rules[name]
            way_back = partial(rule, module, run, runs[name])
            return Ruled.apply(run.output, way_back, *args)

        return self._hooked(replace, x)

    def _hooked(self, hook: Callable[..., Any], x: Tensor) -> Tensor:
        """Return the network's outputs; the hook is called at every operation with a rule."""
        network = self.written.network
        handles = [
            network.get_submodule(name).register_forward_hook(partial(hook, name))
            for name in self.rules
        ]
        try:
            return network(x)
        finally:
            for handle in handles:
                handle.remove()


class Ruled(torch.autograd.Function):
    """An output whose way back to the inputs of its operation is a rule."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, rule: Callable, *inputs: Tensor) -> Tensor:
        """Return the output."""
        ctx.rule = rule
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, multiplier: Tensor) -> tuple[Tensor | None, ...]:
        """Return the multipliers of the inputs from those of the output."""
        return None, None, *ctx.rule(multiplier)


# --- rules: multipliers of an operation's inputs from those of its output -----------------------


def activation(module: Any, run: Run, base: Run, multiplier: Tensor) -> tuple[Tensor]:
    """Multiply by the difference quotient."""
    quotient = steepness(module.forward, run.signal, base.signal)
    return (multiplier * quotient,)


def maximum(module: Any, run: Run, base: Run, multiplier: Tensor) -> tuple[Tensor]:
    """Give rises to the winner in the sample, falls to the winner in the baseline.

    The sample's winner was no higher in the baseline than the baseline's winner, and the other
    way round, so that no ratio is above the multiplier. A smallest entry is the other way up.
    """
    place = _winners(module, run.signal)
    place_base = _winners(module, base.signal)
    pivot = torch.maximum(run.output, base.output)
    if _is_smallest(module):
        pivot = torch.minimum(run.output, base.output)

    of_sample = place(multiplier * (pivot - base.output))
    of_baseline = place_base(multiplier * (run.output - pivot))
    contribution = of_sample + of_baseline

    ratio = contribution / (run.signal - base.signal)
    is_same = run.signal == base.signal
    return (torch.where(is_same, place(multiplier), ratio),)


def product(module: Any, run: Run, base: Run, multiplier: Tensor) -> tuple[Tensor, ...]:
    """Take the derivative half-way between sample and baseline: exact for products."""
    return _at_the_middle(module.forward, run.inputs, base.inputs, multiplier)


def quotient(module: Any, run: Run, base: Run, multiplier: Tensor) -> tuple[Tensor, ...]:
    """Take a / b as the product of a and 1 / b."""
    a, b = run.inputs
    a_base, b_base = base.inputs
    ends = a, b.reciprocal()
    ends_base = a_base, b_base.reciprocal()

    into_a, into_reciprocal = _at_the_middle(torch.mul, ends, ends_base, multiplier)
    into_b = -into_reciprocal / (b * b_base)
    return into_a, into_b


def softmax(module: Any, run: Run, base: Run, multiplier: Tensor) -> tuple[Tensor]:
    """Take softmax as the exponential of its logarithm, a function of single entries."""
    logarithm = run.signal.log_softmax(module.dim)
    logarithm_base = base.signal.log_softmax(module.dim)
    quotient = logarithmic_mean(logarithm, logarithm_base).exp()
    return log_softmax(module, run, base, multiplier * quotient)


def log_softmax(module: Any, run: Run, base: Run, multiplier: Tensor) -> tuple[Tensor]:
    """Take it as the input minus the logarithm of a sum of exponentials.

    The quotients of exponentials and logarithms are logarithmic means; their ratio needs neither.
    """
    total = run.signal.logsumexp(module.dim, keepdim=True)
    total_base = base.signal.logsumexp(module.dim, keepdim=True)
    into_exponentials = logarithmic_mean(run.signal, base.signal)
    into_logarithm = logarithmic_mean(total, total_base)
    share = (into_exponentials - into_logarithm).exp()

    whole = multiplier.sum(module.dim, keepdim=True)
    return (multiplier - share * whole,)


# (module, its run on the samples, its run on the baselines, multipliers of its output)
RULES: dict[Kind, Callable[[Any, Run, Run, Tensor], tuple[Tensor, ...]]] = {
    Kind.ACTIVATION: activation,
    Kind.MAXIMUM: maximum,
    Kind.PRODUCT: product,
    Kind.QUOTIENT: quotient,
    Kind.SOFTMAX: softmax,
    Kind.LOG_SOFTMAX: log_softmax,
}


# --- their arithmetic ---------------------------------------------------------------------------


def steepness(function: Callable[[Tensor], Tensor], z: Tensor, z_base: Tensor) -> Tensor:
    """Return the difference quotients of a function of single entries; no difference: its slope.

    Rounding swamps the quotient of tiny differences. Where rounding can explain it, the quotient
    is held between the slopes at both ends: so near to one another, a function is straight or
    bends once.
    """
    output, steep = slope(function, z)
    output_base, steep_base = slope(function, z_base)
    change = z - z_base
    quotient = (output - output_base) / change

    least = torch.minimum(steep, steep_base)
    most = torch.maximum(steep, steep_base)
    held = quotient.clamp(least, most)

    moved = (held - quotient).abs() * change.abs()
    is_noise = moved <= _rounding(z, output) + _rounding(z_base, output_base)
    quotient = torch.where(is_noise, held, quotient)
    return torch.where(z == z_base, steep, quotient)


def _rounding(z: Tensor, output: Tensor) -> Tensor:
    """Return the rounding that an activation's output may hold.

    A GELU below zero rounds as its input does, though its output is small.
    """
    size = output.abs() + z.abs().clamp(max=4)
    return ROUNDINGS * torch.finfo(z.dtype).eps * size


def slope(function: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    """Return a function of single entries and its derivative."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        output = function(z)
        (steep,) = torch.autograd.grad(output.sum(), z)
    return output.detach(), steep


def _at_the_middle(
    function: Callable[..., Tensor],
    ends: tuple[Tensor, ...],
    ends_base: tuple[Tensor, ...],
    multiplier: Tensor,
) -> tuple[Tensor, ...]:
    """Return the multipliers of the inputs by the derivative half-way between two ends."""
    with torch.enable_grad():
        pairs = zip(ends, ends_base, strict=True)
        middle = [((end + base) / 2).detach().requires_grad_() for end, base in pairs]
        output = function(*middle)
    return torch.autograd.grad(output, middle, multiplier)


def logarithmic_mean(a: Tensor, b: Tensor) -> Tensor:
    """Return the logarithm of (exp a - exp b) / (a - b), which lies between a and b."""
    gap = (a - b).abs()
    below_the_larger = torch.log(-torch.expm1(-gap) / gap)
    return torch.where(a == b, a, torch.maximum(a, b) + below_the_larger)


def _is_smallest(module: Any) -> bool:
    return isinstance(module, ops.Extreme) and not module.largest


def _winners(module: Any, z: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what puts values of a maximum's outputs at the places of their winners."""
    if not isinstance(module, ops.Extreme):
        n_axes = int(type(module).__name__[-2])  # 1d, 2d or 3d
        twin = copy.copy(module)
        twin.return_indices = True
        _, index = twin.forward(z)
        return partial(_put, z, index.flatten(-n_axes), n_axes)

    # bring the axes of the extreme to the end
    n_axes = len(module.dim)
    last = tuple(range(-n_axes, 0))
    lines = z.movedim(module.dim, last)
    choose = torch.argmin if _is_smallest(module) else torch.argmax
    index = choose(lines.flatten(-n_axes), -1, keepdim=True)
    return lambda values: _put(lines, index, n_axes, values).movedim(last, module.dim)


def _put(z: Tensor, index: Tensor, n_axes: int, values: Tensor) -> Tensor:
    """Return values at their places along the last axes of z, and zeros elsewhere.

    Windows may overlap: a winner gets the sum of what it wins.
    """
    flat = torch.zeros_like(z).flatten(-n_axes)
    flat = flat.scatter_add(-1, index, values.reshape(index.shape))
    return flat.view_as(z)


def _advice(part: Part) -> str:
    """Return why a network is refused."""
    return (
        f"DeepLift has no rule for {part.words}; use a method that needs no rules, such as "
        "integrated_gradients or expected_gradients."
    )

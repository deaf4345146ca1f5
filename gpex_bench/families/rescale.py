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

        change = logit.detach() - below.gather(1, target[:, None])[:, 0]
        return multiplier * (x.detach() - baseline), change

    def _recorded(self, baseline: Tensor) -> tuple[Tensor, dict[str, Run]]:
        """Return the outputs for baselines, and what each operation with a rule read and gave."""
        runs: dict[str, Run] = {}

        def note(name: str, module: nn.Module, args: tuple, output: Tensor) -> None:
            runs[name] = Run(args, output)

        return self._hooked(note, baseline), runs

    def _ruled(self, x: Tensor, runs: dict[str, Run]) -> Tensor:
        """Return the outputs for samples; their graph has rules in place of derivatives."""

        def replace(name: str, module: nn.Module, args: tuple, output: Tensor) -> Tensor:
            run = Run(tuple(a.detach() for a in args), output.detach())
            rule = partial(self.rules[name], module, run, runs[name])
            return Ruled.apply(run.output, rule, *args)

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
    (z,), (z_base,) = run.inputs, base.inputs
    return (multiplier * steepness(module.forward, z, z_base),)


def maximum(module: Any, run: Run, base: Run, multiplier: Tensor) -> tuple[Tensor]:
    """Give rises to the winner in the sample, falls to the winner in the baseline.

    The sample's winner was no higher in the baseline than the baseline's winner, and the other
    way round, so that no ratio is above the multiplier. A smallest entry is the other way up.
    """
    (z,), (z_base,) = run.inputs, base.inputs
    place, place_base = _winners(module, z), _winners(module, z_base)
    is_smallest = isinstance(module, ops.Extreme) and not module.largest
    pivot = (torch.minimum if is_smallest else torch.maximum)(run.output, base.output)
    by_sample = place(multiplier * (pivot - base.output))
    by_baseline = place_base(multiplier * (run.output - pivot))

    ratio = (by_sample + by_baseline) / (z - z_base)
    return (torch.where(z == z_base, place(multiplier), ratio),)


def product(module: Any, run: Run, base: Run, multiplier: Tensor) -> tuple[Tensor, ...]:
    """Take the derivative half-way between sample and baseline: exact for products."""
    return _at_the_middle(module.forward, run.inputs, base.inputs, multiplier)


def quotient(module: Any, run: Run, base: Run, multiplier: Tensor) -> tuple[Tensor, ...]:
    """Take a / b as the product of a and 1 / b."""
    (a, b), (a_base, b_base) = run.inputs, base.inputs
    ends = (a, b.reciprocal()), (a_base, b_base.reciprocal())
    into_a, into_reciprocal = _at_the_middle(torch.mul, *ends, multiplier)
    return into_a, -into_reciprocal / (b * b_base)


def softmax(module: Any, run: Run, base: Run, multiplier: Tensor) -> tuple[Tensor]:
    """Take softmax as the exponential of its logarithm, a function of single entries."""
    logarithms = [one.inputs[0].log_softmax(module.dim) for one in (run, base)]
    into_logarithm = multiplier * logarithmic_mean(*logarithms).exp()
    return log_softmax(module, run, base, into_logarithm)


def log_softmax(module: Any, run: Run, base: Run, multiplier: Tensor) -> tuple[Tensor]:
    """Take it as the input minus the logarithm of a sum of exponentials.

    The quotients of exponentials and logarithms are logarithmic means; their ratio needs neither.
    """
    (z,), (z_base,) = run.inputs, base.inputs
    totals = [end.logsumexp(module.dim, keepdim=True) for end in (z, z_base)]
    share = (logarithmic_mean(z, z_base) - logarithmic_mean(*totals)).exp()
    return (multiplier - share * multiplier.sum(module.dim, keepdim=True),)


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

    held = quotient.clamp(torch.minimum(steep, steep_base), torch.maximum(steep, steep_base))
    # a GELU below zero rounds as its input does, though its output is small
    size = output.abs() + output_base.abs() + torch.maximum(z.abs(), z_base.abs()).clamp(max=4)
    noise = ROUNDINGS * torch.finfo(z.dtype).eps * size
    is_noise = (held - quotient).abs() * change.abs() <= noise

    quotient = torch.where(is_noise, held, quotient)
    return torch.where(z == z_base, steep, quotient)


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


def _winners(module: Any, z: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what puts values of a maximum's outputs at the places of their winners.

    Windows may overlap: a winner gets the sum of what it wins.
    """
    if isinstance(module, ops.Extreme):
        axes = tuple(range(-len(module.dim), 0))
        lines = z.movedim(module.dim, axes)
        flat = lines.flatten(axes[0])
        choose = torch.argmax if module.largest else torch.argmin
        index = choose(flat, -1, keepdim=True)
    else:
        twin = copy.copy(module)
        twin.return_indices = True
        axes = tuple(range(-int(type(module).__name__[-2]), 0))
        lines, flat = z, z.flatten(axes[0])
        index = twin.forward(z)[1].flatten(axes[0])

    def put(values: Tensor) -> Tensor:
        whole = torch.zeros_like(flat).scatter_add(-1, index, values.reshape(index.shape))
        whole = whole.view_as(lines)
        return whole.movedim(axes, module.dim) if isinstance(module, ops.Extreme) else whole

    return put


def _advice(part: Part) -> str:
    """Return why a network is refused."""
    return (
        f"DeepLift has no rule for {part.words}; use a method that needs no rules, such as "
        "integrated_gradients or expected_gradients."
    )

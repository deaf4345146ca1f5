"""What explanations of a description are right: worked out from the description alone, in float64.

Gradients are autograd's on the arithmetic of the description. Relevance and contributions go back
by hand, operation by operation, with the dense matrix of each linear operation. `Unknown` where no
rule is written here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from fuzz_ops import LINEAR, Description, Op, apply, run
from fuzz_rules import Unknown
from torch import Tensor

# (operation, its number, its inputs, its output, what arrives) -> what each source gets
Back = Callable[[Op, int, Sequence[Tensor], Tensor, Tensor], Sequence[Tensor]]


POOLINGS = ("max_pool", "avg_pool", "adaptive_avg", "adaptive_max")
RECTIFIERS = ("relu", "relu6", "hardsigmoid")  # clipped from above or not


def backwards(description: Description, values: list[Tensor], start: Tensor, back: Back) -> Tensor:
    """Send what starts at the logits back to the input, operation by operation."""
    arrived: dict[int, Tensor] = {len(description.ops) - 1: start}
    for number in range(len(description.ops) - 1, 0, -1):
        if number not in arrived:
            continue
        op = description.ops[number]
        inputs = [values[source] for source in op.sources]
        parts = back(op, number, inputs, values[number], arrived.pop(number))
        for source, part in zip(op.sources, parts, strict=True):
            arrived[source] = arrived[source] + part if source in arrived else part
    return arrived.get(0, torch.zeros_like(values[0]))


def vjp(op: Op, inputs: Sequence[Tensor], arriving: Tensor) -> Sequence[Tensor]:
    """Return the plain chain rule of one operation; nothing of a constant, which reads nothing."""
    if not inputs:
        return []
    leaves = [value.detach().requires_grad_() for value in inputs]
    with torch.enable_grad():
        output = apply(op, leaves)
    return torch.autograd.grad(output, leaves, arriving)


def chosen(values: list[Tensor], target: Tensor, ones: bool = True) -> Tensor:
    """Return what starts: 1 (or the logit) at each sample's target."""
    logits = values[-1]
    start = torch.zeros_like(logits)
    given = torch.ones_like(logits) if ones else logits
    return start.scatter(1, target[:, None], given.gather(1, target[:, None]))


def gradient(description: Description, x: Tensor, target: Tensor) -> Tensor:
    """Return the gradient of each target's logit."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = run(description, x)[-1]
        return torch.autograd.grad(logits.gather(1, target[:, None]).sum(), x)[0]


def guided(description: Description, x: Tensor, target: Tensor) -> Tensor:
    """Return the gradient that is cut where it is negative at a ReLU, clipped from above or not."""
    values = run(description, x)

    def back(op: Op, number: int, inputs: Sequence[Tensor], output: Tensor, arriving: Tensor):
        if op.kind == "act" and op.settings["name"] in RECTIFIERS:
            return vjp(op, inputs, torch.where(arriving > 0, arriving, 0.0))
        return vjp(op, inputs, arriving)

    return backwards(description, values, chosen(values, target), back)


def moved_axes(op: Op, before: str) -> str:
    """Return the order of batch, channel, row and column after an operation; empty: unknown."""
    if op.kind != "move" or not before:
        return before
    dims = op.settings.get("dims")
    if op.settings["name"] == "call":  # read from a network
        function, _, others, _ = op.settings["call"].args
        name = function._schema.name
        if "permute" in name:
            dims = others[0]
        if "view" in name:
            return ""
        if "transpose" in name:
            dims = list(range(len(before)))
            first, second = others
            dims[first], dims[second] = dims[second], dims[first]
    if op.settings["name"] in ("view", "flatten"):
        return ""
    return before if dims is None else "".join(before[axis] for axis in dims)


def last_maps(description: Description) -> int:
    """Return the operation that gives the last maps of more than one place: no pooling, no move.

    Raises:
        Unknown: none does after a layer with weights.
    """
    found = 0
    after_weights: set[int] = set()
    axes: list[str] = []
    for number, op in enumerate(description.ops):
        known = [axes[source] for source in op.sources if axes[source]]
        before = known[0] if known else "" if op.sources else "bchw"
        axes.append("bchw" if op.kind == "conv" else moved_axes(op, before))
        if op.kind in ("linear", "conv") or after_weights.intersection(op.sources):
            after_weights.add(number)

        has_places = len(op.shape) == 3 and op.shape[1] * op.shape[2] > 1
        is_map = has_places and axes[-1] == "bchw"
        if number in after_weights and is_map and op.kind not in (*POOLINGS, "move"):
            found = number
    if not found:
        raise Unknown("maps")
    return found


def map_gradient(description: Description, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the last maps and the logit's gradient there."""
    values = run(description, x)
    last = last_maps(description)
    found = [torch.zeros_like(values[last])]

    def back(op: Op, number: int, inputs: Sequence[Tensor], output: Tensor, arriving: Tensor):
        if number == last:
            found.append(arriving)
        return vjp(op, inputs, arriving)

    backwards(description, values, chosen(values, target), back)
    return values[last], found[-1]


def attention(description: Description, x: Tensor, target: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return the weights of each attention [batch, head, token, key], and the logit's gradients."""
    values = run(description, x)
    found: list[tuple[Tensor, Tensor]] = []

    def back(op: Op, number: int, inputs: Sequence[Tensor], output: Tensor, arriving: Tensor):
        if op.kind == "softmax":
            found.append((output, arriving))
        return vjp(op, inputs, arriving)

    backwards(description, values, chosen(values, target), back)
    if not found:
        raise Unknown("attention")
    return found[::-1]


# --- DeepLift -------------------------------------------------------------------------------------


def lift(description: Description, x: Tensor, baseline: Tensor, target: Tensor) -> Tensor:
    """Return contributions by the rescale rule of the difference from a baseline, row by row."""
    values = run(description, x)
    others = run(description, baseline)

    def back(op: Op, number: int, inputs: Sequence[Tensor], output: Tensor, arriving: Tensor):
        below = [others[source] for source in op.sources]
        if op.kind in LINEAR or op.kind == "constant":
            return vjp(op, inputs, arriving)
        if op.kind == "act":
            return [arriving * slope(op, inputs[0], below[0])]
        if op.kind in ("max_pool", "adaptive_max"):
            return [_lift_maximum(op, inputs[0], below[0], arriving)]
        if op.kind in ("product", "matmul"):  # what both factors change together is shared evenly
            middle = [(a + b) / 2 for a, b in zip(inputs, below, strict=True)]
            return vjp(op, middle, arriving)
        if op.kind == "softmax":
            return [_lift_softmax(inputs[0], below[0], arriving)]
        raise Unknown(op.kind)

    multipliers = backwards(description, values, chosen(values, target), back)
    return multipliers * (x - baseline)


def slope(op: Op, a: Tensor, b: Tensor) -> Tensor:
    """Return the difference quotient of an activation; its derivative where nothing differs."""
    change = apply(op, [a]) - apply(op, [b])
    (derivative,) = vjp(op, [a], torch.ones_like(a))
    return _quotient(change, a - b, derivative)


def _lift_maximum(op: Op, a: Tensor, b: Tensor, arriving: Tensor) -> Tensor:
    """Return multipliers of maxima: each winner gets its part of the change.

    The winner of the sample gets what the larger of the two maxima is above that of the baseline;
    the winner of the baseline gets what that of the sample is above the larger.
    """
    high, low = apply(op, [a]), apply(op, [b])
    larger = torch.maximum(high, low)
    (mine,) = vjp(op, [a], arriving * (larger - low))
    (other,) = vjp(op, [b], arriving * (high - larger))
    difference = a - b
    is_flat = difference.abs() < 1e-12
    return torch.where(is_flat, 0.0, (mine + other) / torch.where(is_flat, 1.0, difference))


def _lift_softmax(a: Tensor, b: Tensor, arriving: Tensor) -> Tensor:
    """Return multipliers of softmax as exp(z - log(sum of exp z)), by difference quotients."""
    power, other = torch.exp(a), torch.exp(b)
    total, total_other = power.sum(-1, keepdim=True), other.sum(-1, keepdim=True)
    share, share_other = power / total, other / total_other

    change = torch.log(share) - torch.log(share_other)
    into_logarithm = arriving * _quotient(share - share_other, change, share)
    into_total = -into_logarithm.sum(-1, keepdim=True) * _quotient(
        torch.log(total) - torch.log(total_other), total - total_other, 1 / total
    )
    return into_logarithm + into_total * _quotient(power - other, a - b, power)


def _quotient(change: Tensor, difference: Tensor, derivative: Tensor) -> Tensor:
    is_flat = difference.abs() < 1e-10
    return torch.where(is_flat, derivative, change / torch.where(is_flat, 1.0, difference))


# --- FullGrad -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Term:
    """A part of the logit: the gradient at an operation times its bias."""

    number: int
    values: Tensor


def bias_terms(description: Description, x: Tensor, target: Tensor) -> list[Term]:
    """Return input times gradient, and bias times gradient of each operation; they sum to f(x)."""
    values = run(description, x)
    terms: list[Term] = []

    def back(op: Op, number: int, inputs: Sequence[Tensor], output: Tensor, arriving: Tensor):
        parts = vjp(op, inputs, arriving)
        if op.kind == "constant":
            bias = output
        elif op.kind in LINEAR:
            bias = output - apply(op, inputs, with_constants=False)
        elif op.kind == "act":
            bias = output - inputs[0] * vjp(op, inputs, torch.ones_like(output))[0]
        else:
            bias = output - _linear_part(op, inputs)
        if bool((bias.abs() > 1e-12).any()):
            terms.append(Term(number, bias * arriving))
        return parts

    at_input = backwards(description, values, chosen(values, target), back)
    return [Term(0, at_input * x), *terms]


def _linear_part(op: Op, inputs: Sequence[Tensor]) -> Tensor:
    """Return the Jacobian of an operation times its inputs."""
    given = tuple(value.detach() for value in inputs)
    with torch.enable_grad():
        return torch.func.jvp(lambda *values: apply(op, values), given, given)[1].detach()

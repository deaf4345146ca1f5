"""Relevance propagation through a description: which operation gets which rule, and in what form.

The conventions are those that methods/lrp.py and its docstrings state: norms and constants are
folded into the layers with weights before or after them, gates take nothing, statistics are
constants. The code is this benchmark's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from fuzz_ops import Description, Op, apply, run
from fuzz_rules import Composite, Rule, Unit, Unknown
from fuzz_twins import backwards, chosen, vjp
from fuzz_units import Dense, Factor, centred, matrix_of, tangent_of_softmax
from torch import Tensor

WEIGHTED = ("linear", "conv")
AFFINE = ("batch_norm", "shift", "scale")
MOVES = ("move", "cat")
SUMS = ("avg_pool", "adaptive_avg", "mean", "total")
CENTRED = ("layer_norm", "group_norm", "instance_norm")
GATES = ("sigmoid", "hardsigmoid")
# (operation with the norms behind it folded in, its inputs, the number) -> unit
Units = Callable[["Folded", Tensor], Unit]


@dataclass(frozen=True)
class Folded:
    """A linear operation, times a scale of its outputs, plus a constant."""

    op: Op
    scale: Tensor  # broadcasts over [batch, *output]
    shift: Tensor


def dense(folded: Folded, a: Tensor) -> Dense:
    """Return an operation as a dense matrix."""
    if folded.op.kind in CENTRED:
        return centred(folded.op, a)
    op, shape = folded.op, tuple(a.shape[1:])
    ones = replace(op, weights={key: torch.ones_like(w) for key, w in op.weights.items()})
    is_connected = matrix_of(ones, shape, a.dtype) > 0
    output = apply(op, [a])
    scale = folded.scale.expand(output[:1].shape).flatten()
    bias = folded.shift.expand(output[:1].shape).flatten(1)
    matrix = matrix_of(op, shape, a.dtype) * scale

    return Dense(a, matrix[None], bias, is_connected)


class Plan:
    """What happens at each operation of a description, for one set of samples."""

    def __init__(
        self, description: Description, values: Sequence[Tensor], is_attention_constant: bool
    ) -> None:
        self.ops = description.ops
        self.values = values
        self.is_attention_constant = is_attention_constant
        self.last = len(self.ops) - 1
        self.is_table = values[0].ndim == 2
        self.receivers = [self._receivers(number) for number in range(len(self.ops))]
        self.reached = self._reached()
        self.read_by: dict[int, list[int]] = {number: [] for number in self.reached}
        for number in self.reached:
            for source in set(self.receivers[number]):
                self.read_by[source].append(number)

        # paths through a network are many: each operation is asked once
        self.sees_input = cache(self._sees_input)
        self.is_hidden = cache(self._is_hidden)
        self.feeds_weights_only = cache(self._feeds_weights_only)
        self.known_ends: dict[int, Sequence[Tensor]] = {}
        self.folded: dict[int, int] = {}  # an affine operation: the weighted one it is folded into
        self.weighted: dict[int, Folded] = {}
        for number in self.reached:
            if self.ops[number].kind in WEIGHTED:
                self._fold_next(number)
        affine = [n for n in self.reached if self.ops[n].kind in AFFINE and n not in self.folded]
        self.before = frozenset(n for n in affine if self.feeds_weights_only(n))
        self.origins = self._origins()

    # --- who gets relevance ---

    def _receivers(self, number: int) -> tuple[int, ...]:
        op = self.ops[number]
        is_gated = op.kind == "product" or (op.kind == "matmul" and self.is_attention_constant)
        if not is_gated:
            return op.sources
        others = tuple(s for s in op.sources if not self._is_gate(s, op.kind == "matmul"))
        return others or op.sources

    def _is_gate(self, number: int, is_matrix: bool) -> bool:
        op = self.ops[number]
        if op.kind in ("move", "scale", "shift", "mean", "cat"):
            return all(self._is_gate(source, is_matrix) for source in op.sources)
        if is_matrix:
            return op.kind == "softmax"
        return op.kind == "softmax" or (op.kind == "act" and op.settings["name"] in GATES)

    def _reached(self) -> list[int]:
        reached = {self.last}
        for number in range(self.last, 0, -1):
            if number in reached:
                reached.update(self.receivers[number])
        return sorted(reached)

    def readers(self, number: int) -> list[int]:
        """Return the operations that hand relevance to one."""
        return self.read_by[number]

    # --- norms and constants ---

    def _fold_next(self, number: int) -> None:
        op = self.ops[number]
        zero = torch.zeros_like(self.values[number][:1])
        scale = torch.ones_like(zero)
        bias = apply(op, [torch.zeros_like(self.values[op.sources[0]][:1])])
        at = number
        while True:
            readers = self.readers(at)
            if len(readers) != 1 or self.ops[readers[0]].kind not in AFFINE:
                break
            follower = self.ops[readers[0]]
            own = apply(follower, [zero])
            factor = apply(follower, [zero + 1]) - own
            channel = zero.ndim - 1 if op.kind == "linear" else 1
            others = [axis for axis in range(1, zero.ndim) if axis != channel]
            if others and bool((factor.amax(others) != factor.amin(others)).any()):
                break
            scale, bias = scale * factor, bias * factor + own
            at = readers[0]
            self.folded[at] = number
        self.weighted[number] = Folded(op, scale, bias)

    def _feeds_weights_only(self, number: int) -> bool:
        if number == self.last:
            return False
        for reader in self.readers(number):
            kind = self.ops[reader].kind
            if kind in WEIGHTED:
                continue
            if kind not in (*MOVES, *AFFINE) or not self.feeds_weights_only(reader):
                return False
        return True

    def _origins(self) -> dict[int, Tensor]:
        """Return what constants add up to where a layer with weights may read them."""
        origins: dict[int, Tensor] = {}
        for number in self.reached:
            op = self.ops[number]
            if op.kind == "constant":
                origins[number] = self.values[number]
            follows = any(source in origins for source in op.sources)
            is_start = number in self.before and op.kind != "scale"
            if (op.kind in MOVES and follows) or (number in self.before and (follows or is_start)):
                inputs = [
                    origins.get(source, torch.zeros_like(self.values[source]))
                    for source in op.sources
                ]
                origins[number] = apply(op, inputs)
        return origins

    # --- rules ---

    def _sees_input(self, number: int) -> bool:
        """Return whether an operation reads the input through nothing with weights.

        Of what is joined one part is enough; of what is added all have to.
        """
        op = self.ops[number]
        if op.kind == "input":
            return True
        views = [
            self.ops[source].kind not in (*WEIGHTED, "matmul") and self.sees_input(source)
            for source in self.receivers[number]
        ]
        return any(views) if op.kind in MOVES else bool(views) and all(views)

    def _is_hidden(self, number: int) -> bool:
        """Return whether another layer with weights comes later."""
        readers = self.readers(number)
        return any(self.ops[n].kind in WEIGHTED or self.is_hidden(n) for n in readers)

    def rule_of(self, number: int, composite: Composite) -> Rule:
        """Return the rule of a layer with weights."""
        if self.sees_input(number):
            return composite.first
        is_lower = self.ops[number].kind == "conv" or (self.is_table and self.is_hidden(number))
        return composite.lower if is_lower else composite.dense

    def ends_of(self, number: int, ends: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the smallest and the largest values of what an operation gives, or nothing.

        What its constants add up to is left out where it is left out of the values.
        """
        if number not in self.known_ends:
            self.known_ends[number] = self._ends_of(number, ends)
        return self.known_ends[number]

    def _ends_of(self, number: int, ends: Sequence[Tensor]) -> Sequence[Tensor]:
        op = self.ops[number]
        if op.kind == "input":
            return ends
        below = [self.ends_of(source, ends) for source in op.sources]
        grow = ("relu", "relu6", "leaky_relu", "elu", "softplus", "sigmoid", "hardsigmoid", "tanh")
        is_growing = op.kind == "act" and op.settings["name"] in grow
        if not below or not all(below):
            return ()
        if is_growing or op.kind in (*MOVES, *SUMS, *AFFINE, "max_pool", "adaptive_max", "add"):
            sides = [
                apply(op, [pair[side] for pair in below], with_constants=number not in self.before)
                for side in (0, 1)
            ]
            return [torch.minimum(*sides), torch.maximum(*sides)]
        return ()


def without_identities(description: Description) -> Description:
    """Return the network without what does nothing, such as dropout in eval mode."""
    ops: list[Op] = []
    place: dict[int, int] = {}
    for number, op in enumerate(description.ops):
        if op.kind == "move" and op.settings["name"] == "same":
            place[number] = place[op.sources[0]]
            continue
        place[number] = len(ops)
        ops.append(replace(op, sources=tuple(place[source] for source in op.sources)))
    return replace(description, ops=tuple(ops))


def relevance(  # noqa: C901, PLR0913
    description: Description,
    x: Tensor,
    target: Tensor,
    composite: Composite,
    ends: Sequence[Tensor] = (),
    units: Units = dense,
) -> Tensor:
    """Return the relevance of each input entry.

    Args:
        description: the network.
        x: the samples.
        target: the head of each.
        composite: the rules.
        ends: smallest and largest values of the input, for the box rule.
        units: how a linear operation is taken apart.
    """
    description = without_identities(description)
    values = run(description, x)
    plan = Plan(description, values, composite.softmax is None)

    def back(op: Op, number: int, inputs: Sequence[Tensor], output: Tensor, arriving: Tensor):
        if number not in plan.reached:  # a gate, and what makes it
            return [torch.zeros_like(value) for value in inputs]
        if op.kind == "act" or number in plan.folded or number in plan.before:
            return [arriving]
        if op.kind in (*MOVES, "max_pool", "adaptive_max", "constant"):
            return vjp(op, inputs, arriving)
        if op.kind == "scale":
            return [arriving.sum_to_size(inputs[0].shape)]
        if op.kind == "product":
            return _product(plan, number, inputs, arriving)
        if op.kind == "softmax" and composite.softmax is not None:
            unit = tangent_of_softmax(inputs[0])
            return [composite.softmax(unit, arriving.flatten(1)).view(inputs[0].shape)]
        if op.kind == "matmul":
            return _matrix_product(plan, number, inputs, arriving, composite.products)
        if op.kind == "add":
            return _add(op, inputs, arriving, composite.sums)
        if op.kind in WEIGHTED:
            found = _weighted(plan, number, inputs[0], arriving, (composite, ends, units))
        else:
            unit, rule = _other(plan, number, inputs[0], composite, units)
            found = rule(unit, arriving.reshape(unit.total().shape))
        return [found.view(inputs[0].shape)]

    return backwards(description, values, chosen(values, target, ones=False), back)


def _weighted(plan: Plan, number: int, a: Tensor, arriving: Tensor, how: tuple) -> Tensor:
    """Return the relevance of the inputs of a layer with weights."""
    composite, ends, units = how
    folded = plan.weighted[number]
    source = folded.op.sources[0]
    if source in plan.origins:
        origin = plan.origins[source]
        constant = apply(folded.op, [origin], with_constants=False) * folded.scale
        folded = replace(folded, shift=folded.shift + constant[:1])
        a = a - origin

    unit = units(folded, a)
    if ends:
        unit.ends = plan.ends_of(source, ends)
    return plan.rule_of(number, composite)(unit, arriving.reshape(unit.total().shape))


def _other(
    plan: Plan, number: int, a: Tensor, composite: Composite, units: Units
) -> tuple[Unit, Rule]:
    """Return an operation without weights as a unit, and its rule."""
    op = plan.ops[number]
    rules = {"batch_norm": composite.norms, "shift": composite.statistics}
    rules |= dict.fromkeys(SUMS, composite.sums) | dict.fromkeys(CENTRED, composite.statistics)
    if op.kind not in rules:
        raise Unknown(op.kind)

    one = torch.ones(1, *[1] * (len(op.shape)), dtype=a.dtype)
    bias = apply(op, [torch.zeros_like(a[:1])])
    return units(Folded(op, one, bias), a), rules[op.kind]


def _product(plan: Plan, number: int, inputs: Sequence[Tensor], arriving: Tensor) -> list[Tensor]:
    """Give all to the factors that are no gates, in equal parts."""
    op = plan.ops[number]
    receivers = plan.receivers[number]
    part = arriving / len(receivers)
    return [
        part.sum_to_size(value.shape) if source in receivers else torch.zeros_like(value)
        for source, value in zip(op.sources, inputs, strict=True)
    ]


def _matrix_product(
    plan: Plan, number: int, inputs: Sequence[Tensor], arriving: Tensor, rule: Rule
) -> list[Tensor]:
    """Give each factor that is no attention the same part, shared by its contributions."""
    op = plan.ops[number]
    is_transposed = op.settings["transposed"]
    left, right = inputs[0], inputs[1].transpose(-2, -1) if is_transposed else inputs[1]
    receivers = plan.receivers[number]
    units = (Factor(left, right, True), Factor(right, left, False))

    parts = []
    for source, unit, value in zip(op.sources, units, inputs, strict=True):
        if source not in receivers:
            parts.append(torch.zeros_like(value))
            continue
        part = rule(unit, arriving / len(receivers))
        parts.append(part.transpose(-2, -1) if is_transposed and unit is units[1] else part)
    return parts


def _add(op: Op, inputs: Sequence[Tensor], arriving: Tensor, sums: Rule) -> list[Tensor]:
    """Share the relevance of an addition between its summands, entry by entry."""
    factors = op.settings["factors"]
    summands = [factor * value for factor, value in zip(factors, inputs, strict=True)]
    unit = Summands([value.expand(arriving.shape) for value in summands])
    shared = sums(unit, arriving)
    return [part.sum_to_size(value.shape) for part, value in zip(shared, inputs, strict=True)]


class Summands(Unit):
    """Signals that are added: each entry of the sum has one input of each. Inputs are stacked."""

    def __init__(self, parts: Sequence[Tensor]) -> None:
        self.parts = torch.stack(list(parts))
        self.bias = torch.zeros((), dtype=self.parts.dtype)

    def sums(self) -> tuple[Tensor, Tensor]:
        """Return the sums by sign."""
        return self.parts.clamp(min=0).sum(0), self.parts.clamp(max=0).sum(0)

    def share(self, up: Tensor, down: Tensor) -> Tensor:
        """Return the summands times the factors."""
        return self.parts.clamp(min=0) * up + self.parts.clamp(max=0) * down

    def evenly(self, relevance: Tensor) -> Tensor:
        """Return equal parts."""
        return (relevance / len(self.parts)).expand_as(self.parts)

    def squares(self, relevance: Tensor) -> Tensor:
        """Return equal parts: all weights are alike."""
        return self.evenly(relevance)

    def in_box(self, relevance: Tensor) -> Tensor:
        """No sum is a first layer."""
        raise Unknown("the box rule of a sum")

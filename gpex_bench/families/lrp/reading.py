"""Which rule each module of a rewritten network gets: its graph is read before anything runs.

Relevance goes from the output to the input. Only what it passes needs a rule: a gate (a factor of a
product that is a sigmoid, a hard sigmoid or a softmax, over its sum, moved or scaled) takes
nothing, nor does what divides by a deviation or a norm: what made them needs no rule.

A batch norm, a constant factor or an added constant after a layer with weights whose output nothing
else reads is folded into that layer. One that only such layers read, through nothing but moves, is
folded into these: its shift is a part of their bias. Any other is a layer of its own, whose units
have one input each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from gpex_bench.families.lrp.layers import (
    NORMS,
    WEIGHTED,
    Factor,
    Layer,
    Sharing,
    Weighted,
    affine,
)
from gpex_bench.families.lrp.rules import LayerRule
from gpex_bench.models.rewriting import operations as ops
from gpex_bench.models.rewriting import place
from gpex_bench.models.rewriting.generalising import Rows
from gpex_bench.types.demands import Refused

# One input, one output: relevance passes unchanged, whatever the function gives for 0.
ACTIVATIONS = (
    ops.ElementWise,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.RReLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Hardtanh,
    nn.Hardshrink,
    nn.Softshrink,
    nn.Tanhshrink,
    nn.Threshold,
    nn.Softplus,
    nn.Softsign,
    nn.Sigmoid,
    nn.LogSigmoid,
    nn.Tanh,
)
# The sample's own statistics are constants, and there is no mean to subtract.
SCALED = (nn.RMSNorm, nn.LocalResponseNorm)
CENTRED = (
    nn.LayerNorm,
    nn.GroupNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
)
SUMS = (
    ops.Add,
    ops.Mean,
    ops.Total,
    ops.Resample,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
)
# Values move: all relevance goes back to where they came from.
LINEAR_MOVES = (ops.Move, ops.Concatenate, ops.Stack, nn.Flatten, nn.Unflatten, nn.PixelShuffle)
WINNERS = (
    ops.Extreme,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
)
AFFINE = (*NORMS, ops.Shift, ops.Scale)
GATES = (nn.Sigmoid, nn.Hardsigmoid, ops.Softmax)
# What a gate stays a gate through.
GATE_PATH = (ops.Move, ops.Scale, ops.Shift, ops.ElementWise, ops.Divide, nn.Hardtanh)
SIGMOIDS = frozenset({"Tanh", "erf", "special_erf"})  # gates, once they are shifted
DEVIATIONS = frozenset({"sqrt", "norm", "linalg_norm", "linalg_vector_norm", "std"})
# What keeps the order of its inputs, so that it maps bounds to bounds.
ORDERED = (
    *LINEAR_MOVES,
    *WINNERS,
    *SUMS,
    *AFFINE,
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.Softplus),
    *(nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, nn.Hardtanh, nn.Softsign),
)
KNOWN = (
    *(*WEIGHTED, *AFFINE, *SUMS, *CENTRED, *SCALED, *ACTIVATIONS, *LINEAR_MOVES, *WINNERS),
    *(ops.Product, ops.MatrixProduct, ops.Softmax),
)
MASK = -1e3  # added constants below this take an entry out of a softmax: they are no bias


class Composite(NamedTuple):
    """Which rule each kind of layer gets.

    The hidden layers of a network on a table, which has no convolutions, get `lower`.
    """

    first: LayerRule  # layers that see the input, through nothing with weights
    lower: LayerRule  # convolutions
    dense: LayerRule  # linear layers, the head among them
    sums: LayerRule  # sums and means, additions and average pooling among them
    norms: LayerRule  # batch norms that could not be folded
    statistics: LayerRule  # norms by the sample's own statistics, and constants that are added
    products: LayerRule  # each factor of a matrix product
    # None: the weights of attention are constants, and the values take all
    softmax: LayerRule | None
    bounds: tuple[Tensor, Tensor] | None = None  # of the input, if a rule needs them


class Step:
    """A module of the graph that relevance passes, and how."""

    def __init__(self, node: fx.Node, module: Any, place: str, signals: list[fx.Node]) -> None:
        self.node = node
        self.module = module
        self.place = place
        self.signals = signals  # what it reads that depends on the input, in order
        self.receivers = signals  # those of them that get relevance
        self.layer = Layer(place)
        self.is_weighted = False
        self.is_folded = False  # into the layer with weights before it
        self.is_before_weights = False  # folded into the layers with weights that read it
        self.has_origin = False  # what constants add up to here is followed: see Layer.origin
        self.has_bounds = False  # the bounds of the input are followed this far


class Plan:
    """The steps of a network, in the order in which they run, with a rule for each."""

    def __init__(self, network: fx.GraphModule, composite: Composite) -> None:
        """Read the graph of a rewritten network.

        Raises:
            Refused: no rule is known for something that relevance has to pass.
        """
        self.network = network
        self.composite = composite
        self.input = next(node for node in network.graph.nodes if node.op == "placeholder")
        self.output = network.graph.output_node()

        self.steps = self._reached()
        for node, step in self.steps.items():
            step.layer = self._layer(step)
            step.layer.rows = _rows(node)
            step.is_weighted = isinstance(step.layer, (Weighted, Factor))
        self._fold()
        self._give_rules()
        self._follow_constants()
        if composite.bounds is not None:
            self._follow_bounds()

    # --- what relevance reaches ---

    def _reached(self) -> dict[fx.Node, Step]:
        """Return the steps that relevance passes."""
        signals = {self.input}
        for node in self.network.graph.nodes:
            if node.op == "call_module" and signals.intersection(node.all_input_nodes):
                signals.add(node)

        steps = {}
        reached = set(self.output.all_input_nodes)
        for node in reversed(self.network.graph.nodes):
            if node not in reached or node not in signals or node is self.input:
                continue
            read = [source for source in _arguments(node) if source in signals]
            module = self.network.get_submodule(node.target)
            step = Step(node, module, place(node), read)
            self._check(step)
            step.receivers = self._receivers(step)
            reached.update(step.receivers)
            steps[node] = step
        return dict(reversed(steps.items()))

    def _check(self, step: Step) -> None:
        """Raise Refused where no rule is known."""
        module = step.module
        is_known = isinstance(module, KNOWN) or _name(module) == "normalize"
        advice = "use a method of gradients or of perturbations"
        if isinstance(module, ops.Divide):
            is_known = self._is_statistic(step.signals[1], is_inverse=True)
            advice = "only division by a deviation or a norm has one"
        if isinstance(module, ops.Softmax) and self.composite.softmax is None:
            is_known = False
            advice = "explain what goes into it"
        if isinstance(module, ops.Resample) and module.mode == "bicubic":
            is_known = False
            advice = "bilinear and nearest interpolation have one"

        if not is_known:
            raise Refused(
                f"No propagation rule is known for the operation {_name(module)!r} in "
                f"{step.place}; {advice}."
            )

    def _receivers(self, step: Step) -> list[fx.Node]:
        """Return the signals that get relevance: those that are no gates and divide nothing."""
        if isinstance(step.module, ops.Divide):
            return step.signals[:1]
        others = step.signals
        if isinstance(step.module, ops.Product):
            others = [signal for signal in others if not self._takes_nothing(signal)]
        elif isinstance(step.module, ops.MatrixProduct) and self.composite.softmax is None:
            others = [signal for signal in others if not self._is_gate(signal, (ops.Softmax,))]
        return others or step.signals

    def _takes_nothing(self, node: fx.Node) -> bool:
        return self._is_gate(node, GATES) or self._is_statistic(node, is_inverse=False)

    def _is_gate(self, node: fx.Node, gates: tuple[type, ...]) -> bool:
        """Return whether a signal is a gate, moved, scaled or over its sum."""
        seen: set[str] = set()  # on the way
        for module in self._path(node):
            name = _name(module)
            if isinstance(module, gates) or (name in SIGMOIDS and "Shift" in seen):
                return True
            if name == "Shift" and "ReLU6" in seen:
                return True
            seen.add(name)
        return False

    def _is_statistic(self, node: fx.Node, is_inverse: bool) -> bool:
        """Return whether a signal is one over a deviation or a norm; inverse: over the signal."""
        for module in self._path(node):
            name = _name(module)
            if name == "rsqrt" or (is_inverse and name in DEVIATIONS):
                return True
            is_inverse = is_inverse or name == "reciprocal"
        return False

    def _path(self, node: fx.Node) -> Iterator[nn.Module]:
        """Yield the modules behind a signal, as long as they map one entry to another."""
        while node.op == "call_module":
            module = self.network.get_submodule(str(node.target))
            yield module
            if not isinstance(module, GATE_PATH):
                return
            node = _arguments(node)[0]

    def readers(self, node: fx.Node) -> list[fx.Node]:
        """Return the nodes that hand relevance to a node; the output may be among them."""
        return [
            user
            for user in node.users
            if user is self.output or (user in self.steps and node in self.steps[user].receivers)
        ]

    # --- layers and their constants ---

    def _layer(self, step: Step) -> Layer:
        """Return the layer of a step, as far as it is known before anything runs."""
        module = step.module
        if isinstance(module, WEIGHTED):
            return Weighted(step.place, module)
        if isinstance(module, ops.MatrixProduct) and len(step.signals) == 1:
            return self._by_constant(step)
        if isinstance(module, NORMS):
            return Layer(step.place, *affine(step.place, module, _n_axes(step)))
        if isinstance(module, ops.Scale):
            return Layer(step.place, module.constant.detach())
        if isinstance(module, ops.Shift):
            constant = module.constant.detach()
            return Layer(step.place, None, torch.where(constant < MASK, 0.0, constant))
        if isinstance(module, ops.Add):
            return Sharing(step.place, lambda terms: terms.sum(1))
        if isinstance(module, SUMS):
            return Sharing(step.place, module)
        return Layer(step.place)

    def _by_constant(self, step: Step) -> Layer:
        """Return the layer of a matrix product with a constant."""
        first, second = _arguments(step.node)
        is_left = first is step.signals[0]
        constant = second if is_left else first
        weight = getattr(self.network, str(constant.target)).detach()
        if not is_left or weight.ndim != 2 or step.module.equation:
            return Factor(step.place, weight, is_left, step.module.equation)

        n_in, n_out = weight.shape
        linear = nn.Linear(n_in, n_out, bias=False, device="meta")
        linear.weight = nn.Parameter(weight.mT, requires_grad=False)
        return Weighted(step.place, linear)

    def _fold(self) -> None:
        """Fold norms and constants into the layers with weights before or after them."""
        for step in self.steps.values():
            if isinstance(step.layer, Weighted):
                self._fold_next(step, step.layer)
        for step in self.steps.values():
            if isinstance(step.module, AFFINE) and not step.is_folded:
                step.is_before_weights = self._feeds_weights_only(step)

    def _fold_next(self, step: Step, layer: Weighted) -> None:
        """Fold what follows a layer with weights, as long as nothing else reads it."""
        node = step.node
        while True:
            readers = self.readers(node)
            follower = self.steps.get(readers[0])
            if len(readers) > 1 or follower is None or not isinstance(follower.module, AFFINE):
                return

            n_axes = _n_axes(follower)
            channels = n_axes - 1 if isinstance(layer.module, nn.Linear) else 1
            scale = follower.layer.weight
            if scale is not None:
                scale = _of_channels(scale, n_axes, channels)
                if scale is None:
                    return
            layer.fold_in(scale, follower.layer.bias)
            follower.is_folded = True
            node = follower.node

    def _feeds_weights_only(self, step: Step) -> bool:
        """Return whether only layers with weights read a step, through moves and constants."""
        for reader in self.readers(step.node):
            following = self.steps.get(reader)
            if following is None:
                return False
            passes_on = isinstance(following.module, (*LINEAR_MOVES, *AFFINE))
            if following.is_weighted:
                continue
            if not passes_on or not self._feeds_weights_only(following):
                return False
        return True

    # --- rules ---

    def _give_rules(self) -> None:
        """Give each layer its rule."""
        is_table = len(self.input.meta["shape"]) == 2
        sees_input = {self.input}
        for node, step in self.steps.items():
            sees = not sees_input.isdisjoint(step.receivers)
            if step.is_weighted:
                is_lower = _is_convolution(step) or (is_table and self._is_hidden(step))
                inner = self.composite.lower if is_lower else self.composite.dense
                step.layer.rule = self.composite.first if sees else inner
                continue

            step.layer.rule = self._rule(step)
            if sees and not isinstance(step.module, ops.MatrixProduct):
                sees_input.add(node)

    def _rule(self, step: Step) -> LayerRule | None:
        """Return the rule of a step without weights; None: relevance passes unchanged."""
        if step.is_folded or step.is_before_weights:
            return None
        for kinds, rule in (
            (NORMS, self.composite.norms),
            (SUMS, self.composite.sums),
            ((ops.Shift, *CENTRED), self.composite.statistics),
            (ops.MatrixProduct, self.composite.products),
            (ops.Softmax, self.composite.softmax),
        ):
            if isinstance(step.module, kinds):
                return rule
        return None

    def _is_hidden(self, step: Step) -> bool:
        """Return whether another layer with weights comes after a step."""
        ahead = self.readers(step.node)
        while ahead:
            following = self.steps.get(ahead.pop())
            if following is None:
                continue
            if following.is_weighted:
                return True
            ahead += self.readers(following.node)
        return False

    # --- what travels beside the signals ---

    def _follow_constants(self) -> None:
        """Mark where constants add up to something that a layer with weights may read."""
        following: set[fx.Node] = set()
        for node, step in self.steps.items():
            follows = not following.isdisjoint(step.receivers)
            if isinstance(step.module, LINEAR_MOVES):
                step.has_origin = follows or joins_constants(step)
            elif step.is_before_weights:
                step.has_origin = follows or not isinstance(step.module, ops.Scale)
            if step.has_origin:
                following.add(node)

    def _follow_bounds(self) -> None:
        """Mark where the bounds of the input are known.

        Raises:
            Refused: they are not known where a first layer needs them.
        """
        bounded = {self.input}
        for node, step in self.steps.items():
            known = [source in bounded for source in step.receivers]
            if step.layer.rule is self.composite.first and not any(known):
                raise Refused(
                    f"The box rule needs the bounds of what {step.place} reads; only moves, "
                    "constants, pooling and activations that grow may come before it. Use another "
                    "composite of lrp, or the domain 'unbounded' of deep_taylor."
                )
            is_enough = all(known) if isinstance(step.module, ops.Add) else any(known)
            if isinstance(step.module, ORDERED) and is_enough:
                step.has_bounds = True
                bounded.add(node)


def _name(module: nn.Module) -> str:
    """Return the name of an operation, as torch.nn or torch writes it."""
    return getattr(module, "name", type(module).__name__)


def joins_constants(step: Step) -> bool:
    """Return whether a step joins signals and constants, such as a class token."""
    return len(_arguments(step.node)) > len(step.signals)


def _arguments(node: fx.Node) -> list[fx.Node]:
    """Return the nodes that a node reads, in the order of its arguments."""
    found: list[fx.Node] = []
    fx.node.map_arg(node.args, found.append)
    return found


def _rows(node: fx.Node) -> int:
    """Return the axis of what a node makes along which the samples are."""
    shape = node.meta["shape"]
    return next(axis for axis, size in enumerate(shape) if isinstance(size, Rows))


def _n_axes(step: Step) -> int:
    """Return the number of axes of what a step reads."""
    return len(step.signals[0].meta["shape"])


def _is_convolution(step: Step) -> bool:
    return isinstance(step.layer, Weighted) and not isinstance(step.layer.module, nn.Linear)


def _of_channels(scale: Tensor, n_axes: int, axis: int) -> Tensor | None:
    """Return a factor as one number for each channel (or for all), or None if it is more."""
    shape = [*[1] * (n_axes - scale.ndim), *scale.shape]
    is_uniform = all(size == 1 for place, size in enumerate(shape) if place != axis)
    return scale.reshape(-1) if is_uniform else None

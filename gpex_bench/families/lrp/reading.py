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

from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from gpex_bench.families.lrp.kinds import (
    ACTIVATIONS,
    AFFINE,
    CENTRED,
    KNOWN,
    LINEAR_MOVES,
    MASK,
    ORDERED,
    SUMS,
    arguments,
    is_gate,
    is_statistic,
    makes_gaps,
    name_of,
)
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
        # what travels beside the signals this far: see the attributes of Layer
        self.has_origin = False
        self.has_support = False
        self.has_bounds = False


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
            read = [source for source in arguments(node) if source in signals]
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
        is_known = isinstance(module, KNOWN) or name_of(module) == "normalize"
        advice = "use a method of gradients or of perturbations"
        if isinstance(module, ops.Divide):
            is_known = is_statistic(self.network, step.signals[1], is_inverse=True)
            advice = "only division by a deviation or a norm has one"
        if isinstance(module, ops.Softmax) and self.composite.softmax is None:
            is_known = False
            advice = "explain what goes into it"
        if isinstance(module, ops.Resample) and module.mode == "bicubic":
            is_known = False
            advice = "bilinear and nearest interpolation have one"

        if not is_known:
            raise Refused(
                f"No propagation rule is known for the operation {name_of(module)!r} in "
                f"{step.place}; {advice}."
            )

    def _receivers(self, step: Step) -> list[fx.Node]:
        """Return the signals that get relevance: those that are no gates and divide nothing."""
        if isinstance(step.module, ops.Divide):
            return step.signals[:1]
        takers = step.signals
        if isinstance(step.module, ops.Product):
            takers = [signal for signal in takers if not self._takes_nothing(signal)]
        elif isinstance(step.module, ops.MatrixProduct) and self.composite.softmax is None:
            weights = (ops.Softmax,)
            takers = [node for node in takers if not is_gate(self.network, node, weights)]
        return takers or step.signals

    def _takes_nothing(self, node: fx.Node) -> bool:
        if is_gate(self.network, node):
            return True
        return is_statistic(self.network, node, is_inverse=False)

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
        first, second = arguments(step.node)
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
            if isinstance(step.layer, (Weighted, Factor)):
                self._fold_next(step, step.layer)
        for step in self.steps.values():
            if isinstance(step.module, AFFINE) and not step.is_folded:
                step.is_before_weights = self._feeds_weights_only(step)

    def _fold_next(self, step: Step, layer: Weighted | Factor) -> None:
        """Fold what follows a layer with weights, as long as nothing else reads it."""
        node = step.node
        while True:
            readers = self.readers(node)
            follower = self.steps.get(readers[0])
            if len(readers) > 1 or follower is None or not isinstance(follower.module, AFFINE):
                return
            if isinstance(follower.module, ops.Scale) and self._is_only_added(follower):
                return  # a - b is the same sum, whose factors are not folded either

            scale = follower.layer.weight
            if isinstance(layer, Weighted) and scale is not None:
                n_axes = _n_axes(follower)
                channels = n_axes - 1 if isinstance(layer.module, nn.Linear) else 1
                scale = _of_channels(scale, n_axes, channels)
                if scale is None:
                    return
                layer.multiply(scale)
            elif scale is not None:
                return

            layer.bias = layer.bias + follower.layer.bias
            follower.is_folded = True
            node = follower.node

    def _is_only_added(self, step: Step) -> bool:
        """Return whether all that reads a step is sums of signals."""
        following = [self.steps.get(reader) for reader in self.readers(step.node)]
        return all(reader and isinstance(reader.module, ops.Add) for reader in following)

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
            views = [source in sees_input for source in step.receivers]
            sees = any(views) if isinstance(step.module, LINEAR_MOVES) else all(views)
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
        """Mark where constants add up to something, or lie between the values of a signal."""
        for step in self.steps.values():
            before = [self.steps[source] for source in step.receivers if source in self.steps]
            has_origin = any(source.has_origin for source in before)
            has_support = any(source.has_support for source in before)
            if isinstance(step.module, LINEAR_MOVES):
                step.has_origin = has_origin or joins_constants(step)
                step.has_support = has_support or has_gaps(step)
            elif isinstance(step.module, (*AFFINE, *ACTIVATIONS)):
                step.has_support = has_support
            if step.is_before_weights:
                step.has_origin = has_origin or not isinstance(step.module, ops.Scale)

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
            if isinstance(step.module, ORDERED) and all(known) and _grows(step.module):
                step.has_bounds = True
                bounded.add(node)


def joins_constants(step: Step) -> bool:
    """Return whether a step joins signals and constants, such as a class token."""
    is_join = isinstance(step.module, (ops.Concatenate, ops.Stack))
    return is_join and len(arguments(step.node)) > len(step.signals)


def has_gaps(step: Step) -> bool:
    """Return whether a step puts something between the values of signals: zeros or constants."""
    return joins_constants(step) or makes_gaps(step.module)


def _grows(module: nn.Module) -> bool:
    return not isinstance(module, nn.PReLU) or bool((module.weight >= 0).all())


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

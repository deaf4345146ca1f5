"""A rewritten network's signals: which axis of each is which, and where places come together.

Axes are followed from the image on: batch, channel, row, column. Operations that only move values
are asked: they move the numbers of rows, of columns and of channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from gpex_bench.models.rewriting import Rewritten, operations

Axes = tuple[frozenset[str], ...]  # what each axis of a signal runs over

BATCH, CHANNEL, ROW, COLUMN = (frozenset(name) for name in "bcrw")
PLACES = ROW | COLUMN
MAP: Axes = (BATCH, CHANNEL, ROW, COLUMN)

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
POOLINGS = (
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.LPPool2d,
    nn.FractionalMaxPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
)
POOLINGS_OF_ROWS = (nn.AvgPool1d, nn.MaxPool1d, nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d)
# a map at other places, or with its channels in another order
REARRANGED = (operations.Resample, nn.ChannelShuffle, nn.PixelShuffle, nn.PixelUnshuffle)
MOVES = (operations.Move, nn.Flatten, nn.Unflatten)
REDUCTIONS = (operations.Mean, operations.Total, operations.Extreme)
JOINTS = (
    operations.Add,
    operations.Product,
    operations.Divide,
    operations.Concatenate,
    operations.Stack,
)
ENTRYWISE = (operations.Shift, operations.Scale, operations.ElementWise)
ENTRYWISE_OF_TORCH = ("activation", "batchnorm", "instancenorm", "normalization", "dropout")


class Signals(fx.Interpreter):
    """A rewritten network that ran on one image, and what is known of each of its signals."""

    def __init__(self, rewritten: Rewritten, x: Tensor) -> None:
        super().__init__(rewritten.network)
        self.network = rewritten.network
        self.values: dict[fx.Node, Any] = {}
        # of each node that depends on the image; None where they could not be followed
        self.axes: dict[fx.Node, Axes | None] = {}
        self.weighted: set[fx.Node] = set()  # layers with weights, and all nodes after one
        with torch.no_grad():
            self.run(x[:1])

    def run_node(self, n: fx.Node) -> Any:
        """Return the value of a node, and note what is known of it."""
        result = super().run_node(n)
        self.values[n] = result
        if n.op == "placeholder":
            self.axes[n] = MAP
        elif n.op == "call_module" and self.sources(n):
            self._note(n)
        return result

    def operation(self, node: fx.Node) -> nn.Module:
        """Return the module that a node calls."""
        return self.submodules[str(node.target)]

    def sources(self, node: fx.Node) -> list[fx.Node]:
        """Return the signals that a node reads and that depend on the image."""
        return [source for source in node.all_input_nodes if source in self.axes]

    def is_map(self, node: fx.Node) -> bool:
        """Return whether a signal has the axes of a map, and more than one place."""
        return self.axes.get(node) == MAP and self.values[node].shape[2:].numel() > 1

    def maps(self) -> list[fx.Node]:
        """Return the feature maps in the order in which the network makes them."""
        return [node for node in self.axes if self._is_feature_map(node)]

    def is_bypassed(self, node: fx.Node) -> bool:
        """Return whether the image reaches the output on a way that does not pass a node."""
        seen = {node}
        ahead = [one for one in self.axes if one.op == "placeholder"]
        while ahead:
            current = ahead.pop()
            if current in seen:
                continue
            seen.add(current)
            for user in current.users:
                if user.op == "output":
                    return True
                if user in self.axes:
                    ahead.append(user)
        return False

    def obstacle(self, node: fx.Node) -> fx.Node | None:
        """Return the first operation after a map that needs to know what happens at each place.

        None: places only come together, after what treats each place alike: norms and activations,
        products, convolutions of one pixel, poolings.
        """
        ahead = [node]
        seen = {node}
        while ahead:
            for user in ahead.pop(0).users:
                if user in seen:
                    continue
                seen.add(user)
                if not self._keeps_places_apart(user):
                    return user
                if self._has_places(user):
                    ahead.append(user)
        return None

    def _is_feature_map(self, node: fx.Node) -> bool:
        if node not in self.weighted or not self.is_map(node):
            return False
        module = self.operation(node)
        if isinstance(module, MOVES):  # a map that was tokens before, no part of another map
            return not any(self.is_map(source) for source in self.sources(node))
        return not isinstance(module, (*POOLINGS, *REARRANGED))

    def _has_places(self, node: fx.Node) -> bool:
        """Return whether some axis of a signal is of places alone."""
        axes = self.axes[node]
        sizes = self.values[node].shape
        return axes is None or any(
            size > 1 and role & PLACES and not role & CHANNEL
            for role, size in zip(axes, sizes, strict=True)
        )

    def _keeps_places_apart(self, node: fx.Node) -> bool:
        """Return whether an operation on places treats them alike, or brings them together."""
        if node.op == "output" or self.axes[node] is None:
            return False
        module = self.operation(node)
        if self.is_map(node):
            return not isinstance(module, CONVOLUTIONS) or max(module.kernel_size) == 1
        if not self._has_places(node):
            return True
        is_alike = isinstance(module, (*MOVES, *REDUCTIONS, *POOLINGS_OF_ROWS, *JOINTS))
        return is_alike or _is_entrywise(module)

    # --- axes ---

    def _note(self, node: fx.Node) -> None:
        """Note the axes of a signal, and whether a layer with weights is before it."""
        module = self.operation(node)
        sources = self.sources(node)
        is_layer = isinstance(module, (*CONVOLUTIONS, nn.Linear))
        is_after_one = any(source in self.weighted for source in sources)
        if is_layer or is_after_one:
            self.weighted.add(node)

        all_axes = [self.axes[source] for source in sources]
        known = [axes for axes in all_axes if axes is not None]
        is_tensor = isinstance(self.values[node], Tensor)
        self.axes[node] = self._axes(node, module, known) if is_tensor and known else None

    def _axes(self, node: fx.Node, module: nn.Module, known: list[Axes]) -> Axes | None:
        """Return the axes of a module's output, from the known ones of its inputs."""
        axes = known[0]
        if isinstance(module, (*CONVOLUTIONS, *POOLINGS, *REARRANGED)):
            return MAP if axes[2:] == (ROW, COLUMN) else None
        if isinstance(module, POOLINGS_OF_ROWS):
            return axes if len(axes) == 3 and axes[1] == CHANNEL else None
        if isinstance(module, MOVES):
            return self._moved(node, axes)
        if isinstance(module, REDUCTIONS):
            return _reduced(axes, module)
        if isinstance(module, nn.Linear):
            return _after_linear(axes)
        if isinstance(module, JOINTS):
            joint = _joint(known)
            if joint is None or not isinstance(module, operations.Stack):
                return joint
            return _with_axis(joint, module.dim)
        return axes if _is_entrywise(module) else None

    def _moved(self, node: fx.Node, axes: Axes) -> Axes | None:
        """Return where the axes of a signal are after its values were moved."""
        sources = self.sources(node)
        if len(sources) > 1:
            return None
        before = self.values[sources[0]]
        after = self.values[node]
        found = [frozenset[str]() for _ in after.shape]
        for axis, role in enumerate(axes):
            moved = self._moved_numbers(node, sources[0], axis)
            for place in range(after.ndim):
                if _varies(moved, place):
                    found[place] |= role

        # axes of one entry have no numbers to move; they stay in their order
        if not found[0] and axes[0] == BATCH:
            found[0] = BATCH
        sizes = zip(axes[1:], before.shape[1:], strict=True)
        left = [role for role, size in sizes if size == 1]
        empty = [place for place, role in enumerate(found) if not role]
        if len(left) == len(empty):
            for place, role in zip(empty, left, strict=True):
                found[place] = role
        return tuple(found)

    def _moved_numbers(self, node: fx.Node, source: fx.Node, axis: int) -> Tensor:
        """Return the numbers 1, 2, ... of an axis after they were moved; 0: from nowhere."""
        before = self.values[source]
        n = before.shape[axis]
        shape = [1] * before.ndim
        shape[axis] = n
        numbers = torch.arange(1.0, n + 1, device=before.device)
        everywhere = numbers.view(shape).expand(before.shape).contiguous()

        args, kwargs = self.fetch_args_kwargs_from_env(node)
        moved = [everywhere if arg is before else arg for arg in args]
        return self.operation(node)(*moved, **kwargs)


def _is_entrywise(module: nn.Module) -> bool:
    """Return whether each entry of the output belongs to one entry of the input."""
    package, _, room = type(module).__module__.rpartition(".")
    is_torchs = package == "torch.nn.modules" and room in ENTRYWISE_OF_TORCH
    return isinstance(module, ENTRYWISE) or is_torchs


def _joint(known: list[Axes]) -> Axes | None:
    """Return the axes of a sum, a product or a concatenation; an axis of copies fits any other."""
    joint = []
    for roles in zip(*known, strict=False):
        named = {role for role in roles if role}
        if len(named) > 1:
            return None
        joint.append(named.pop() if named else frozenset[str]())
    return tuple(joint)


def _with_axis(axes: Axes, dim: int) -> Axes:
    """Return axes with another one, along which copies of different signals lie."""
    at = dim % (len(axes) + 1)
    return (*axes[:at], frozenset[str](), *axes[at:])


def _reduced(axes: Axes, module: Any) -> Axes:
    """Return the axes after a mean, a sum or an extreme."""
    if module.keepdim:
        return axes
    gone = {axis % len(axes) for axis in module.dim}
    return tuple(role for axis, role in enumerate(axes) if axis not in gone)


def _after_linear(axes: Axes) -> Axes | None:
    """Return the axes after a linear layer, which mixes the entries of the last one."""
    if axes[-1] == CHANNEL:
        return axes
    if len(axes) == 2:
        return BATCH, CHANNEL
    return None


def _varies(moved: Tensor, axis: int) -> bool:
    """Return whether numbers differ along an axis; 0 is no number."""
    is_number = moved != 0
    largest = moved.masked_fill(~is_number, -torch.inf).amax(axis)
    smallest = moved.masked_fill(~is_number, torch.inf).amin(axis)
    return bool((largest > smallest).any())

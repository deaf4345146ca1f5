"""One call that is being translated: what its arguments are, and the modules it becomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor, fx, nn

from gpex_bench.models.rewriting.errors import CannotRewrite
from gpex_bench.models.rewriting.filled import Filled
from gpex_bench.models.rewriting.generalising import Repeated, Rows, Shape, Step
from gpex_bench.models.rewriting.names import is_in_place
from gpex_bench.models.rewriting.operations import Move, Other
from gpex_bench.models.rewriting.recorded import Path

if TYPE_CHECKING:
    from gpex_bench.models.rewriting.building import Builder

SYNONYMS = {
    "multiply": "mul",
    "subtract": "sub",
    "true_divide": "div",
    "divide": "div",
    "negative": "neg",
    "absolute": "abs",
    "concat": "cat",
    "concatenate": "cat",
    "clip": "clamp",
    "rtruediv": "rdiv",
    "truediv": "div",
    "radd": "add",
    "rmul": "mul",
    "iadd": "add",
    "isub": "sub",
    "imul": "mul",
    "itruediv": "div",
    "special_expit": "sigmoid",
    "special_softmax": "softmax",
    "special_log_softmax": "log_softmax",
}

Number = int | float


def is_signal(value: Any) -> TypeGuard[fx.Node]:
    """Return whether an argument is a signal: a node."""
    return isinstance(value, fx.Node)


def n_axes(node: fx.Node) -> int:
    """Return how many axes a signal has."""
    return len(node.meta["shape"])


class NotKnown(Exception):
    """A call is made in a way for which no module is known; it becomes an `Other`."""


Translation = Callable[..., fx.Node]
TRANSLATIONS: dict[str, Translation] = {}


def translates(
    *names: str, arguments: Callable[..., Any] | None = None
) -> Callable[[Translation], Translation]:
    """Register how calls of some names become modules.

    The function takes the site and the arguments of the call: nodes for signals, tensors and
    numbers for constants. Where they are many, `arguments` makes one of them.
    """

    def register(translation: Translation) -> Translation:
        chosen = translation
        if arguments is not None:
            chosen = _of_one(translation, arguments)
        for name in names:
            TRANSLATIONS[name] = chosen
        return translation

    return register


def _of_one(translation: Translation, arguments: Callable[..., Any]) -> Translation:
    """Return a translation that gathers its arguments."""

    def gathered(site: Site, *args: Any, **kwargs: Any) -> fx.Node:
        return translation(site, arguments(*args, **kwargs))

    return gathered


class Site:
    """A call that is being translated, and what its modules are added to."""

    def __init__(self, builder: Builder, step: Step, path: Path) -> None:
        self.builder = builder
        self.step = step
        self.path = path
        self.name = _canonical(step.call.name)
        self.shape = step.shape(path)  # of what the call makes
        self.dtype = step.call.dtypes[path]
        if not any(isinstance(size, Rows) for size in self.shape):
            raise CannotRewrite(
                f"The operation {self.name!r} in {step.call.place} mixes the rows of a batch, so "
                "that the network explains no row alone; use axes other than the first."
            )

    @property
    def n_axes(self) -> int:
        """Return how many axes the result has."""
        return len(self.shape)

    def emit(
        self, module: nn.Module, *inputs: fx.Node, shape: Shape | None = None, name: str = ""
    ) -> fx.Node:
        """Add a module that reads these nodes; `shape` is that of its output, if not the call's."""
        place = self.step.call.place
        kind = type(module).__name__
        wish = place.path or "network"
        if place.kind != kind:
            wish += f"_{name or kind.lower()}"

        target = self.builder.name_for(wish)
        self.builder.attributes[target] = module.eval().requires_grad_(False)
        node = self.builder.graph.create_node("call_module", target, inputs, name=target)
        node.meta.update(place=place, shape=shape or self.shape, name=self.name)
        return node

    def constant(self, tensor: Tensor) -> fx.Node:
        """Return a node of a constant."""
        place = self.step.call.place
        wish = place.path or "network"
        target = self.builder.name_for(f"{wish}_constant")
        self.builder.attributes[target] = self.builder.copied(tensor)

        node = self.builder.graph.create_node("get_attr", target, (), name=target)
        node.meta.update(place=place, shape=tuple(tensor.shape), name="constant")
        return node

    def parameter(self, tensor: Tensor | None) -> nn.Parameter | None:
        """Return a copy of a weight; NotKnown if it is a signal."""
        if tensor is None:
            return None
        if not isinstance(tensor, Tensor):
            raise NotKnown
        copied = self.builder.copied(tensor)
        return nn.Parameter(copied, requires_grad=False)

    def number(self, value: Any) -> Tensor:
        """Return a constant as a tensor that broadcasts; NotKnown if it is none."""
        if isinstance(value, (bool, int, float)):
            return torch.tensor(value, dtype=self.dtype, device=self.builder.device)

        value = self.tensor(value)
        if isinstance(value, Rows):
            raise CannotRewrite(
                f"The operation {self.name!r} in {self.step.call.place} computes with the number "
                "of rows, so that the network explains no row alone."
            )
        if not isinstance(value, Tensor) or value.is_complex():
            raise NotKnown

        copied = self.builder.copied(value)
        is_bare = value.ndim == 0 or not value.is_floating_point()
        return copied.to(self.builder.device, self.dtype) if is_bare else copied

    def tensor(self, value: Any) -> Any:
        """Return a constant that is repeated for each row as one row; others as they are."""
        return value.row if isinstance(value, Repeated) else value

    def as_node(self, part: Any) -> fx.Node:
        """Return the node of a signal or of a constant tensor."""
        if is_signal(part):
            return part
        return self.constant(self.number(part))

    def has_signals(self, value: Any) -> bool:
        """Return whether there are signals in arguments."""
        return bool(_nodes(value))

    def has_rows(self, value: Any) -> bool:
        """Return whether the number of rows is among arguments."""
        if isinstance(value, slice):
            value = (value.start, value.stop, value.step)
        if isinstance(value, (Rows, Repeated)):
            return True
        return type(value) is tuple and any(self.has_rows(item) for item in value)

    def check_only(self, input: Any, *others: Any) -> None:
        """Raise NotKnown unless the first argument, and no other, is a signal."""
        if not is_signal(input) or self.has_signals(others):
            raise NotKnown

    def has_tensors(self, value: Any) -> bool:
        """Return whether there are signals or tensors in arguments."""
        values = value if type(value) is tuple else (value,)
        return any(isinstance(item, (fx.Node, Tensor, Repeated)) for item in values)

    def expects_dtype(self, dtype: Any) -> None:
        """Raise NotKnown if a call computes in another precision."""
        if dtype not in (None, self.dtype):
            raise NotKnown

    def expand(self, node: fx.Node, shape: Shape | None = None) -> fx.Node:
        """Return a signal that is repeated to a shape, if it does not have it."""
        shape = shape or self.shape
        if node.meta["shape"] == shape:
            return node
        filled = Filled(torch.broadcast_to, (node, shape), {}, [node])
        return self.emit(Move(filled, "expand"), node, shape=shape, name="expand")

    def move(
        self, function: Any, input: fx.Node, *args: Any, shape: Shape, name: str, **kwargs: Any
    ) -> fx.Node:
        """Add a move of a signal."""
        filled = Filled(function, (input, *args), kwargs, [input])
        return self.emit(Move(filled, name), input, shape=shape, name=name)

    def filled(self, args: Any, kwargs: Any) -> tuple[Filled, list[fx.Node]]:
        """Return the call as a function of its signals, and these."""
        call = self.step.call
        function: Any = call.function
        if is_in_place(call.name):
            function = getattr(torch.Tensor, call.name[:-1], None)
        if function is None:
            raise CannotRewrite(
                f"The operation {call.name!r} in {call.place} changes its input and has no form "
                "that does not; write it as one that makes a new tensor."
            )

        if kwargs.get("inplace"):
            kwargs = {**kwargs, "inplace": False}
        nodes = list(dict.fromkeys(_nodes((args, kwargs))))
        return Filled(function, args, kwargs, nodes, self.path), nodes

    def call(self, kind: type[nn.Module], args: Any, kwargs: Any) -> fx.Node:
        """Add the call as it is, as a module of a kind (`Move`, `ElementWise`, `Other`)."""
        filled, nodes = self.filled(args, kwargs)
        module = kind(filled, self.name)  # type: ignore[call-arg]
        return self.emit(module, *nodes, name=self.name)

    def function(
        self, kind: type[nn.Module], function: Any, *args: Any, name: str, **kwargs: Any
    ) -> fx.Node:
        """Add a function of these arguments as a module of a kind."""
        nodes = list(dict.fromkeys(_nodes((args, kwargs))))
        module = kind(Filled(function, args, kwargs, nodes), name)  # type: ignore[call-arg]
        return self.emit(module, *nodes, name=name)

    def other(self, args: Any, kwargs: Any) -> fx.Node:
        """Add the call as something that no rule knows."""
        return self.call(Other, args, kwargs)


def _nodes(value: Any) -> list[fx.Node]:
    """Return the signals in arguments, in order."""
    if is_signal(value):
        return [value]
    if isinstance(value, slice):
        value = (value.start, value.stop, value.step)
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple):
        return [node for item in value for node in _nodes(item)]
    return []


def _canonical(name: str) -> str:
    """Return one name for a function, its in-place form and its operator."""
    is_operator = name.startswith("__") and name.endswith("__")
    plain = name[2:-2] if is_operator else name.rstrip("_")
    return SYNONYMS.get(plain, plain)

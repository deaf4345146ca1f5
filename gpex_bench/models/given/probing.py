"""One run of a network, watched: what its modules and its linear layers read and made.

Where a tensor comes from is read off autograd's graph, not off its values: an output that happens
to equal a layer's (a ReLU of positive numbers) is not taken for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gpex_bench.models.given.errors import CannotWrap
from gpex_bench.models.rewriting.names import name_of
from gpex_bench.models.rewriting.surroundings import restored, uncompiled

# nodes of autograd that only give a tensor another shape
VIEWS = frozenset(
    f"{name}Backward{number}"
    for name in (
        *("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Alias", "Clone"),
        *("Select", "Slice", "Permute", "Transpose", "T", "Expand", "ToCopy", "Flatten"),
    )
    for number in range(3)
)
# functions that make probabilities of logits, and their nodes
PROBABILITIES = frozenset({"softmax", "log_softmax", "sigmoid", "sigmoid_", "expit"})
PROBABILITY_NODES = {
    "SoftmaxBackward0": "softmax",
    "LogSoftmaxBackward0": "log_softmax",
    "SigmoidBackward0": "sigmoid",
}


@dataclass(eq=False)  # compared by identity: a module that runs twice makes two
class Made:
    """A tensor that a module or a linear layer made."""

    name: str  # of the module; of a function: of its weight
    kind: nn.Module | None  # None: a function
    read: Tensor | None  # its first argument
    tensor: Tensor
    node: Any  # of autograd, before anything changed the tensor in place
    bias: Any = None  # of a function
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.shape = tuple(self.tensor.shape)


@dataclass
class Probe:
    """What a network did with some rows."""

    n_rows: int
    x: Tensor
    returned: Any = None
    modules: list[Made] = field(default_factory=list)  # in the order in which they ended
    functions: list[Made] = field(default_factory=list)  # linear layers without a module


def probe(network: nn.Module, x: Tensor) -> Probe:
    """Run a network on some rows and return what it did.

    Raises:
        CannotWrap: it fails on them.
    """
    leaf = x.detach().clone()
    if leaf.is_floating_point():
        leaf.requires_grad_()
    seen = Probe(len(x), leaf)

    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(restored(network))
        stack.enter_context(uncompiled())
        torch.default_generator.manual_seed(1)
        for handle in _watched(network, seen):
            stack.callback(handle.remove)
        names = {id(weight): name for name, weight in network.named_parameters()}
        stack.enter_context(_Functions(seen, names))
        try:
            seen.returned = network(leaf.clone())
        except Exception as error:
            raise CannotWrap(
                f"The network fails on inputs of shape {list(x.shape)} ({x.dtype}): "
                f"{type(error).__name__}: {error}"
            ) from error
    return seen


def _watched(network: nn.Module, seen: Probe) -> Iterator[Any]:
    """Yield the handles of hooks that note what each module made."""
    for name, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue  # runs without hooks inside

        def note(module: nn.Module, args: Any, kwargs: Any, output: Any, name: str = name) -> None:
            if isinstance(output, Tensor):
                read = first_argument(args, kwargs)
                seen.modules.append(Made(name, module, read, output, output.grad_fn))

        yield module.register_forward_hook(note, with_kwargs=True)


def first_argument(args: Any, kwargs: Any) -> Tensor | None:
    """Return the input of a module or function, which may have a name."""
    values = [*args, *(kwargs or {}).values()]
    return values[0] if values and isinstance(values[0], Tensor) else None


def weight_of(args: Any, kwargs: Any) -> Any:
    """Return the weight of a call of `functional.linear`."""
    return args[1] if len(args) > 1 else (kwargs or {}).get("weight")


class _Functions(TorchFunctionMode):
    """Notes the calls of `functional.linear` with a weight of the network."""

    def __init__(self, seen: Probe, names: dict[int, str]) -> None:
        super().__init__()
        self.seen = seen
        self.names = names

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch."""
        output = function(*args, **(kwargs or {}))
        if name_of(function) == "linear":
            name = self.names.get(id(weight_of(args, kwargs)))
            if name is not None:
                read = first_argument(args, kwargs)
                bias = args[2] if len(args) > 2 else (kwargs or {}).get("bias")
                made = Made(name, None, read, output, output.grad_fn, bias)
                self.seen.functions.append(made)
        return output


def origins(tensor: Tensor) -> list[Any]:
    """Return the nodes of autograd that made a tensor, up to changes of its shape."""
    return _behind(tensor.grad_fn)


def before_probabilities(tensor: Tensor) -> tuple[str, list[Any]]:
    """Return how a tensor was made of logits ("softmax", ...; "": it was not), and their nodes."""
    node = origins(tensor)[-1]
    if _is(node, "ExpBackward0"):
        inner = _behind(node.next_functions[0][0])[-1]
        node = inner if _is(inner, "LogSoftmaxBackward0") else node

    word = "" if node is None else PROBABILITY_NODES.get(node.name(), "")
    if not word:
        return "", []
    return word, _behind(node.next_functions[0][0])


def _is(node: Any, name: str) -> bool:
    return node is not None and node.name() == name


def _behind(node: Any) -> list[Any]:
    """Return a node and those that it only gave another shape, the last one of another kind."""
    nodes = [node]
    while node is not None and node.name() in VIEWS:
        node = node.next_functions[0][0]
        nodes.append(node)
    return nodes

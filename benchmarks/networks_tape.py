"""Reads any network as a description, from the operations that torch's dispatcher sees.

Below the level at which modules, functions, operators and changes in place differ: each operation
on something that depends on the input becomes one of `fuzz_ops`. Nothing of it is shared with the
package.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from fuzz_ops import Description, Op
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

Reader = Callable[..., None]
ACTIVATIONS = {"relu": "relu", "relu_": "relu", "silu": "silu", "silu_": "silu", "gelu": "gelu"}
ACTIVATIONS |= {"hardswish": "hardswish", "hardswish_": "hardswish", "sigmoid": "sigmoid"}
ACTIVATIONS |= {"hardsigmoid": "hardsigmoid", "hardsigmoid_": "hardsigmoid", "tanh": "tanh"}
MOVES = frozenset(
    {"view", "_unsafe_view", "permute", "transpose", "expand", "unsqueeze", "squeeze", "clone"}
    | {"detach", "select", "slice", "t", "alias", "reshape", "split", "split_with_sizes", "chunk"}
    | {"unbind", "_to_copy"}
)


def read(network: nn.Module, x: Tensor) -> Description:
    """Return the description of a network in eval mode, by running it on x.

    The description is of networks on as many rows. Its trunk ends with the last maps of more than
    one place.
    """
    tape = _Tape(x)
    was_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operation for all of attention
    try:
        with torch.enable_grad(), tape, sdpa_kernel(SDPBackend.MATH):
            logits = network(x)
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)
    ops = tuple(tape.ops[: tape.number(logits) + 1])

    is_map = [len(op.shape) == 3 and op.shape[1] * op.shape[2] > 1 for op in ops]
    n_trunk = max((number + 1 for number, one in enumerate(is_map) if one), default=0)
    return Description("read", ops, n_trunk, x.ndim == 4)


class _Tape(TorchDispatchMode):
    """Notes the operations on what depends on the input."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.ops = [Op("input", shape=tuple(x.shape[1:]))]
        self.numbers = {id(x): 0}
        self.kept: list[Any] = [x]  # an id is that of one tensor as long as it lives

    def number(self, value: Any) -> int:
        """Return which operation a tensor comes from last."""
        return self.numbers[id(value)]

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        output = function(*args, **kwargs)
        self.kept.append((args, output))
        if any(self._is_signal(value) for value in _tensors(args)):
            self._note(function, args, kwargs, output)
        return output

    def _is_signal(self, value: Any) -> bool:
        return id(value) in self.numbers

    def _note(self, function: Any, args: Any, kwargs: Any, output: Any) -> None:
        name = function._schema.name.removeprefix("aten::")
        if name == "as_strided_":
            return  # the same values, laid out in another way
        if name in ACTIVATIONS:
            self._add("act", args[:1], output, name=ACTIVATIONS[name])
        elif name in MOVES:
            pieces = enumerate(output) if isinstance(output, (list, tuple)) else [(None, output)]
            for piece, one in pieces:
                call = partial(_moved, function, piece, args[1:], kwargs)
                self._add("move", args[:1], one, name="call", call=call)
        else:
            reader: Reader | None = getattr(self, f"_read_{name.strip('_')}", None)
            if reader is None:
                raise NotImplementedError(f"The tape does not know {name}.")
            reader(args, kwargs, output)

    def _add(
        self, kind: str, sources: Any, output: Tensor, weights: dict | None = None, **settings: Any
    ) -> None:
        numbers = []
        for source in sources:
            if not self._is_signal(source):
                constant = torch.as_tensor(source).detach().clone()
                self.ops.append(Op("constant", (), (), {}, {"constant": constant}))
                numbers.append(len(self.ops) - 1)
            else:
                numbers.append(self.number(source))

        found = {
            name: value.detach() for name, value in (weights or {}).items() if value is not None
        }
        shape = tuple(output.shape[1:])
        self.ops.append(Op(kind, tuple(numbers), shape, settings, found, read_as=tuple(numbers)))
        self.numbers[id(output)] = len(self.ops) - 1

    # --- operations ---

    def _read_convolution(self, args: Any, kwargs: Any, output: Tensor) -> None:
        x, weight, bias, stride, padding, dilation, transposed, _, groups = args
        if transposed:
            raise NotImplementedError("The tape does not know transposed convolutions.")
        settings = {"stride": tuple(stride), "padding": tuple(padding)}
        settings |= {"dilation": tuple(dilation), "groups": groups}
        self._add("conv", [x], output, {"weight": weight, "bias": bias}, **settings)

    def _read_addmm(self, args: Any, kwargs: Any, output: Tensor) -> None:
        bias, x, transposed = args
        self._add("linear", [x], output, {"weight": transposed.t(), "bias": bias})

    def _read_mm(self, args: Any, kwargs: Any, output: Tensor) -> None:
        self._add("linear", args[:1], output, {"weight": args[1].t()})

    def _read_bmm(self, args: Any, kwargs: Any, output: Tensor) -> None:
        a, b = args
        if self._is_signal(b):
            self._add("matmul", args, output, transposed=False)
            return

        # one matrix for all is a linear layer
        if not bool((b == b[:1]).all()):
            raise NotImplementedError("The tape knows products with one constant matrix only.")
        self._add("linear", [a], output, {"weight": b[0].t()})

    def _read_native_batch_norm(self, args: Any, kwargs: Any, output: Any) -> None:
        x, weight, bias, mean, var, training, _, eps = args
        if training:
            raise NotImplementedError("The tape reads networks in eval mode.")
        weights = {"weight": weight, "bias": bias, "mean": mean, "var": var}
        self._add("batch_norm", [x], output[0], weights, eps=eps)

    def _read_native_layer_norm(self, args: Any, kwargs: Any, output: Any) -> None:
        x, _, weight, bias, eps = args
        self._add("layer_norm", [x], output[0], {"weight": weight, "bias": bias}, eps=eps)

    def _read_hardtanh(self, args: Any, kwargs: Any, output: Tensor) -> None:
        if tuple(args[1:]) != (0.0, 6.0):
            raise NotImplementedError("The tape knows hardtanh from 0 to 6 only.")
        self._add("act", args[:1], output, name="relu6")

    def _read_max_pool2d_with_indices(self, args: Any, kwargs: Any, output: Any) -> None:
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
        settings = dict(zip(names, args[1:], strict=False))
        self._add("max_pool", args[:1], output[0], **settings)

    def _read_avg_pool2d(self, args: Any, kwargs: Any, output: Tensor) -> None:
        names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
        self._add("avg_pool", args[:1], output, **dict(zip(names, args[1:], strict=False)))

    def _read_adaptive_avg_pool2d(self, args: Any, kwargs: Any, output: Tensor) -> None:
        self._add("adaptive_avg", args[:1], output, output_size=tuple(args[1]))

    def _read_mean(self, args: Any, kwargs: Any, output: Tensor) -> None:
        keepdim = args[2] if len(args) > 2 else kwargs.get("keepdim", False)
        self._add("mean", args[:1], output, dims=tuple(args[1]), keepdim=keepdim)

    def _read_cat(self, args: Any, kwargs: Any, output: Tensor) -> None:
        dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
        self._add("cat", args[0], output, dim=dim)

    def _read_add(self, args: Any, kwargs: Any, output: Tensor) -> None:
        a, b = args[:2]
        if self._is_signal(a) and self._is_signal(b):
            self._add("add", [a, b], output, factors=(1.0, float(kwargs.get("alpha", 1))))
        else:
            signal, constant = (a, b) if self._is_signal(a) else (b, a)
            self._add("shift", [signal], output, {"constant": torch.as_tensor(constant)})

    def _read_mul(self, args: Any, kwargs: Any, output: Tensor) -> None:
        a, b = args
        if self._is_signal(a) and self._is_signal(b):
            self._add("product", [a, b], output)
        else:
            signal, constant = (a, b) if self._is_signal(a) else (b, a)
            self._add("scale", [signal], output, {"constant": torch.as_tensor(constant)})

    def _read_softmax(self, args: Any, kwargs: Any, output: Tensor) -> None:
        self._add("softmax", args[:1], output)

    _read_safe_softmax = _read_softmax


def _moved(function: Any, piece: int | None, others: Any, kwargs: Any, x: Tensor) -> Tensor:
    if "view" in function._schema.name:  # values may lie in memory in another order here
        return x.reshape(others[0])
    output = function(x, *others, **kwargs)
    return output if piece is None else output[piece]


def _tensors(args: Any) -> list[Tensor]:
    found = []
    for value in args:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += [one for one in value if isinstance(one, Tensor)]
    return found

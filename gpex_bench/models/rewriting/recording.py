"""What a network does with its input, call by call, as it runs.

Every call of a torch function that sees the input, or what was made of it (a signal), is noted
with its arguments and the module that runs. So functions, methods, operators and modules are all
the same; a subclass of a module is what it does; weights that are computed from others are
constants. Constants are what the input has no part in.

An in-place operation gives the tensor a new value: later calls that read the tensor read that.
Other tensors that share its memory would change too without being noted; torch's version counters
show it, and reading such a tensor is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gpex_bench.models.rewriting.errors import CannotRewrite
from gpex_bench.models.rewriting.expansions import EXPANSIONS, UnknownOption
from gpex_bench.models.rewriting.names import (
    ABOUT,
    CASTS,
    DROPOUTS,
    LIKE,
    RANDOM,
    SAME,
    is_in_place,
    is_training,
    name_of,
)
from gpex_bench.models.rewriting.parts import written
from gpex_bench.models.rewriting.recorded import (
    Call,
    Known,
    Part,
    Path,
    Place,
    Recording,
    Signal,
)
from gpex_bench.models.rewriting.surroundings import restored, uncompiled, without_row_counts


def record(network: nn.Module, x: Tensor) -> Recording:
    """Run a network on some rows and return what it did.

    Raises:
        CannotRewrite: it does something that cannot be followed, or fails.
    """
    recorder = Recorder(network, len(x))
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(without_row_counts(network))
        stack.enter_context(restored(network))

        torch.default_generator.manual_seed(len(x))  # what is drawn differs between recordings
        leaf = x.as_subclass(Tensor).detach().clone().requires_grad_()
        copied = leaf.clone()  # the network may change its input
        recorder.add(Call(_input, "input", (), {}, recorder.where), copied)
        y = _run(network, copied, recorder)
    return recorder.finish(y)


def _run(network: nn.Module, x: Tensor, recorder: Recorder) -> Any:
    try:
        with uncompiled(), recorder.following_modules(), recorder:
            return network(x)
    except CannotRewrite:
        raise
    except Exception as error:
        raise CannotRewrite(
            f"The network failed on {len(x)} rows of shape {tuple(x.shape[1:])} in "
            f"{recorder.where}: {type(error).__name__}: {error}"
        ) from error


def _input() -> Tensor:
    """Stand for the input among the functions."""
    raise NotImplementedError


class Recorder(TorchFunctionMode):
    """Notes the calls while it is on."""

    def __init__(self, network: nn.Module, n_rows: int) -> None:
        super().__init__()
        self.recording = Recording(n_rows)
        self.names = {id(module): name for name, module in network.named_modules()}
        self.running = [Place("", type(network).__name__)]
        self.where = self.running[0]  # the innermost module that ran last
        self.needs_no_gradient = not any(
            parameter.requires_grad for parameter in network.parameters()
        )
        self.doing = ""  # the function that is called
        self.known: dict[int, Known] = {}
        self.parts: dict[int, Part] = {}  # of tensors, by the identity of the part
        self.overwritten: set[int] = set()  # memory of constants that became signals in place

    # --- modules ---

    @contextmanager
    def following_modules(self) -> Iterator[None]:
        """Keep track of which module runs."""
        modules = nn.modules.module
        handles = [
            modules.register_module_forward_pre_hook(self._enter),
            modules.register_module_forward_hook(self._leave),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, args: Any) -> None:
        path = self.names.get(id(module), self.running[-1].path)
        self.where = Place(path, type(module).__name__)
        self.running.append(self.where)

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self.running.pop()
        self.where = self.running[-1]
        known = self.known.get(id(output))
        if known is not None and id(module) in self.names:
            self.recording.made[self.names[id(module)]] = known.signal

    # --- functions ---

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call the function and note it if it saw a signal."""
        kwargs = kwargs or {}
        name = name_of(function)
        if name in RANDOM:
            self.recording.drawn.append(f"{name!r} in {self.where}")

        tensors = _tensors((args, kwargs))
        is_like_signal = name in LIKE or (name in CASTS and not self._is_known(tensors[:1]))
        if not self._is_known(tensors) or name in ABOUT or is_like_signal:
            return function(*args, **kwargs)
        if name == "__setitem__":
            return self._write(*args)
        if name in EXPANSIONS:
            return self._expanded(name, args, kwargs)

        self.doing = name
        self._refuse_unfollowed(name, args, kwargs)
        call = Call(function, name, self._noted(args), self._noted(kwargs), self.where)
        if name == "copy_":
            call.args = (None, *call.args[1:])  # what it was before has no part in it
        versions = [tensor._version for tensor in tensors]
        output = function(*args, **kwargs)

        self._note_changes(name, tensors, versions, output)
        if self._is_same(name, output, tensors[0]):
            return output
        if name == "__getitem__":
            self.parts[id(output)] = Part(args[0], call.args[1], args[0]._version)
        if _tensors(output):
            self.add(call, output)
        else:
            self.recording.values_read.append(f"{name!r} in {self.where}")
        return output

    def _is_known(self, tensors: list[Tensor]) -> bool:
        return any(id(tensor) in self.known for tensor in tensors)

    def _expanded(self, name: str, args: Any, kwargs: Any) -> Any:
        """Call what a function is made of, and note that."""
        try:
            with self:
                return EXPANSIONS[name](*args, **kwargs)
        except UnknownOption as error:
            raise CannotRewrite(
                f"The operation {name!r} in {self.where} is not known {error}."
            ) from error

    def _write(self, base: Tensor, index: Any, value: Any) -> None:
        """Write into a part of a tensor, and note its new value."""
        self.doing = "__setitem__"
        noted_index = self._noted(index)
        noted_value = self._noted(value)
        if id(base) not in self.known:
            noted_base: Any = self._constant(base)
        elif self._is_own_part(base, noted_index, value):
            noted_base = self.known[id(base)].signal
        else:
            noted_base = self._signal(base)

        base[index] = value
        self.overwritten.add(_memory(base))
        args = (noted_base, noted_index, noted_value)
        self.add(Call(written, "written", args, {}, self.where), base)

    def _is_own_part(self, base: Tensor, index: Any, value: Any) -> bool:
        """Return whether a tensor has changed only where this value was taken, as in x[i] += 1."""
        part = self.parts.get(id(value))
        if part is None or part.base is not base:
            return False
        is_same_place = not _tensors(index) and part.index == index
        return is_same_place and part.version == self.known[id(base)].version

    def add(self, call: Call, output: Any) -> None:
        """Note a call and what it made."""
        number = len(self.recording.calls)
        for path, tensor in _pieces(output):
            call.shapes[path] = tuple(tensor.shape)
            call.dtypes[path] = tensor.dtype
            self.known[id(tensor)] = Known(tensor, Signal(number, path), tensor._version)
        self.recording.calls.append(call)

    def finish(self, y: Any) -> Recording:
        """Return the recording of a network that gave `y`."""
        kind = self.running[0].kind
        self.doing = "return"
        if not isinstance(y, Tensor):
            raise CannotRewrite(
                f"The network ({kind}) returns {type(y).__name__}, not one tensor [batch, head]; "
                "wrap it in a module that returns its logits."
            )
        if id(y) not in self.known:
            raise CannotRewrite(
                f"The outputs of the network ({kind}) were made of its input by nothing that torch "
                "shows (numpy, TorchScript, or not at all); write its forward in torch functions."
            )

        self.recording.result = self._signal(y)
        for constant, version in self.recording.constants:
            if constant._version != version:
                raise CannotRewrite(
                    f"The network ({kind}) changes a constant of shape {tuple(constant.shape)} "
                    "while it runs; its outputs may change from call to call."
                )

        self.recording.y = y.detach()
        return self.recording

    # --- signals ---

    def _noted(self, value: Any) -> Any:
        """Return arguments with a Signal in the place of each tensor that is one."""
        if isinstance(value, Tensor):
            return self._signal(value) if id(value) in self.known else self._constant(value)
        if isinstance(value, dict):
            return {key: self._noted(item) for key, item in value.items()}
        if isinstance(value, (tuple, list)):
            return tuple(self._noted(item) for item in value)
        if isinstance(value, slice):
            return slice(*map(self._noted, (value.start, value.stop, value.step)))
        return value

    def _constant(self, tensor: Tensor) -> Tensor:
        """Return a constant; raises CannotRewrite if its memory holds a signal by now."""
        if _memory(tensor) in self.overwritten:
            self._refuse_view()

        if tensor.requires_grad and self.needs_no_gradient:
            raise CannotRewrite(
                f"The operation {self.doing!r} in {self.where} reads a tensor that was made of the "
                "input by something that torch does not show (TorchScript, an operator of one's "
                "own); write it in torch functions."
            )

        if is_in_place(self.doing) or self.doing == "__setitem__":
            return tensor.detach().clone()
        if not tensor.is_inference():
            self.recording.constants.append((tensor, tensor._version))
        return tensor

    def _refuse_view(self) -> NoReturn:
        raise CannotRewrite(
            f"The operation {self.doing!r} in {self.where} reads a tensor that an in-place "
            "operation has changed through another tensor with the same memory (a view); write "
            "that operation out of place."
        )

    def _signal(self, tensor: Tensor) -> Signal:
        """Return the signal that a tensor is.

        Raises:
            CannotRewrite: it was changed through another tensor, or its gradient was stopped.
        """
        known = self.known[id(tensor)]
        if tensor._version != known.version:
            self._refuse_view()

        is_stopped = torch.is_grad_enabled() and not tensor.requires_grad
        if is_stopped and tensor.is_floating_point():
            raise CannotRewrite(
                f"Gradients stop (detach, no_grad, whole numbers) before {self.doing!r} in "
                f"{self.where}: what follows the values and what follows the gradients would "
                "differ. Remove what stops them."
            )
        return known.signal

    def _note_changes(
        self, name: str, tensors: list[Tensor], versions: list[int], output: Any
    ) -> None:
        """Note which memory a call wrote to.

        Raises:
            CannotRewrite: it changed another tensor than the one that it returns.
        """
        for tensor, version in zip(tensors, versions, strict=True):
            if tensor._version == version:
                continue
            if tensor is not output:
                self._refuse_write(name)
            self.overwritten.add(_memory(tensor))

    def _refuse_write(self, name: str) -> NoReturn:
        raise CannotRewrite(
            f"The operation {name!r} in {self.where} writes into a part of a tensor, or into a "
            "tensor that it doesn't return; make a new tensor instead (torch.cat, torch.where)."
        )

    def _is_same(self, name: str, output: Any, source: Tensor) -> bool:
        """Return whether a call left the values as they were; the output is then known, too."""
        if not isinstance(output, Tensor) or id(source) not in self.known:
            return False
        if output is source:
            return output._version == self.known[id(source)].version

        is_cast = name in CASTS and output.dtype == source.dtype
        if name not in SAME and not is_cast:
            return False
        self.known[id(output)] = Known(output, self._read(source), output._version)
        return True

    def _read(self, tensor: Tensor) -> Signal:
        """Return the signal that a tensor is, whose gradient may be stopped."""
        with torch.no_grad():
            return self._signal(tensor)

    def _refuse_unfollowed(self, name: str, args: Any, kwargs: Any) -> None:
        """Raise CannotRewrite for random numbers, other precisions and writing to `out`."""
        if kwargs.get("out") is not None:
            self._refuse_write(name)
        if torch.is_autocast_enabled(_device(args, kwargs)):
            raise CannotRewrite(
                f"The operation {name!r} in {self.where} runs under autocast, in a precision of "
                "its own; explain the network without it."
            )
        if name in RANDOM or (name in DROPOUTS and is_training(name, args, kwargs)):
            raise CannotRewrite(
                f"The operation {name!r} in {self.where} draws random numbers in eval mode; pass "
                "training=self.training, or use a module such as nn.Dropout."
            )


def _device(args: Any, kwargs: Any) -> str:
    """Return the kind of device that a call runs on."""
    return _tensors((args, kwargs))[0].device.type


def _memory(tensor: Tensor) -> int:
    """Return where a tensor's memory begins."""
    return tensor.untyped_storage().data_ptr()


def _tensors(value: Any) -> list[Tensor]:
    """Return the tensors in arguments."""
    return [tensor for _, tensor in _pieces(value)]


def _pieces(value: Any, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    """Yield the tensors in tuples and the way to each."""
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, dict):
        yield from _pieces(tuple(value.values()), path)
    elif isinstance(value, (tuple, list)):
        for number, item in enumerate(value):
            yield from _pieces(item, (*path, number))

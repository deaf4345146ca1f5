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

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gpex_bench.models.rewriting.errors import CannotRewrite
from gpex_bench.models.rewriting.expansions import EXPANSIONS, UnknownOption


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


# What is asked of a tensor without reading its values.
ABOUT = words(
    """
    shape size dim ndim ndimension numel nelement dtype device layout requires_grad grad_fn is_leaf
    __len__ stride is_contiguous element_size itemsize nbytes storage_offset get_device data_ptr
    is_floating_point is_complex is_cuda is_cpu is_sparse is_quantized is_nested is_mkldnn is_meta
    is_mps is_xpu is_signed is_inference is_same_size names has_names _version __hash__ __repr__
    __format__ type result_type can_cast promote_types is_tensor _is_view is_pinned output_nr
    untyped_storage storage is_shared retain_grad register_hook grad __dir__ is_conj is_neg
    """
)
# What makes a tensor like another one, whose values have no part in it.
LIKE = words(
    """
    zeros_like ones_like full_like empty_like rand_like randn_like randint_like new_zeros new_ones
    new_full new_empty new_tensor
    """
)
RANDOM = words(
    """
    rand randn randint randperm normal bernoulli multinomial poisson rand_like randn_like
    randint_like normal_ uniform_ bernoulli_ exponential_ random_ cauchy_ geometric_ log_normal_
    """
)
DROPOUTS = words(
    """
    dropout dropout_ dropout1d dropout2d dropout3d alpha_dropout alpha_dropout_ feature_dropout
    feature_dropout_ feature_alpha_dropout feature_alpha_dropout_ rrelu rrelu_ native_dropout
    """
)
# What gives the same values, so that it leaves no trace.
CASTS = frozenset({"to", "type_as", "type", "float", "double", "half", "bfloat16"})
SAME = frozenset({"contiguous", "clone", "alias", "detach", "requires_grad_", "data", "cpu"})

Path = tuple[int, ...]


class Place(NamedTuple):
    """The module that runs."""

    path: str  # as in named_modules(); empty: the network itself
    kind: str  # its type's name

    def __str__(self) -> str:
        return f"{self.path} ({self.kind})" if self.path else f"the network ({self.kind})"


class Signal(NamedTuple):
    """What a call made: all of it, or the piece of a tuple that the path leads to."""

    call: int  # 0: the input
    path: Path = ()


@dataclass
class Call:
    """A call of a function that saw a signal."""

    function: Callable[..., Any]
    name: str
    args: Any  # with a Signal in the place of each
    kwargs: dict[str, Any]
    place: Place
    shapes: dict[Path, tuple[int, ...]] = field(default_factory=dict)  # of what it made


class Known(NamedTuple):
    """A tensor that is a signal, and its version when it became that."""

    tensor: Tensor
    signal: Signal
    version: int


@dataclass
class Recording:
    """What a network did with some rows."""

    n_rows: int
    calls: list[Call] = field(default_factory=list)
    result: Signal = Signal(0)
    y: Tensor = field(default_factory=lambda: torch.zeros(0))
    made: dict[str, Signal] = field(default_factory=dict)  # what each module gave, by its name
    values_read: list[str] = field(default_factory=list)  # where values became Python's
    drawn: list[str] = field(default_factory=list)  # where random numbers were drawn
    # the constants that were read, and their versions then
    constants: list[tuple[Tensor, int]] = field(default_factory=list)


def record(network: nn.Module, x: Tensor) -> Recording:
    """Run a network on some rows and return what it did.

    Raises:
        CannotRewrite: it does something that cannot be followed, or fails.
    """
    x = x.detach().as_subclass(Tensor).requires_grad_()
    recorder = Recorder(network, len(x))
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(without_row_counts(network))
        stack.enter_context(restored(network))

        torch.default_generator.manual_seed(len(x))  # what is drawn differs between recordings
        copied = x.clone()  # the network may change its input
        recorder.add(Call(_input, "input", (), {}, recorder.where), copied)
        y = _run(network, copied, recorder)
    return recorder.finish(y)


def _run(network: nn.Module, x: Tensor, recorder: Recorder) -> Any:
    try:
        with _uncompiled(), recorder.following_modules(), recorder:
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


def _uncompiled() -> AbstractContextManager[Any]:
    """Run what torch.compile made as it was written."""
    if "torch._dynamo" not in sys.modules:  # its import takes a second, and nothing is compiled
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


@contextmanager
def without_row_counts(network: nn.Module) -> Iterator[None]:
    """Run without the hooks that count rows (`contract/cost.py`)."""
    hooks = network._forward_hooks
    counting = {key: hook for key, hook in hooks.items() if hasattr(hook, "counts_rows")}
    for key in counting:
        del hooks[key]
    try:
        yield
    finally:
        hooks.update(counting)


@contextmanager
def restored(network: nn.Module) -> Iterator[None]:
    """Give modules their attributes back: what they keep of a run would hold its whole graph."""
    before: list[tuple[Any, Any]] = []
    for module in network.modules():
        if not isinstance(module, torch.jit.ScriptModule):
            before.append((vars(module), dict(vars(module))))
            before.append((module._buffers, dict(module._buffers)))

    try:
        yield
    finally:
        for holder, items in before:
            holder.clear()
            holder.update(items)


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

    def add(self, call: Call, output: Any) -> None:
        """Note a call and what it made."""
        number = len(self.recording.calls)
        for path, tensor in _pieces(output):
            call.shapes[path] = tuple(tensor.shape)
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

        if is_in_place(self.doing):
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
        """Raise CannotRewrite if a call draws random numbers or writes to `out`."""
        if kwargs.get("out") is not None:
            self._refuse_write(name)
        if name in RANDOM or (name in DROPOUTS and _is_training(name, args, kwargs)):
            raise CannotRewrite(
                f"The operation {name!r} in {self.where} draws random numbers in eval mode; pass "
                "training=self.training, or use a module such as nn.Dropout."
            )


def _is_training(name: str, args: Any, kwargs: Any) -> bool:
    """Return whether a dropout is on; the flag may have no name."""
    if kwargs.get("p") == 0:
        return False
    default = "rrelu" not in name  # dropout is on where nothing says otherwise
    flags = [arg for arg in args if isinstance(arg, bool)]
    return bool(kwargs.get("training", kwargs.get("train", flags[0] if flags else default)))


def _memory(tensor: Tensor) -> int:
    """Return where a tensor's memory begins."""
    return tensor.untyped_storage().data_ptr()


def is_in_place(name: str) -> bool:
    """Return whether a function of this name changes its first argument."""
    return name.endswith("_") and not name.startswith("_")


def name_of(function: Any) -> str:
    """Return the name of a function; of a property, its name."""
    name = getattr(function, "__name__", str(function))
    if name == "__get__":
        return function.__self__.__name__
    return name


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

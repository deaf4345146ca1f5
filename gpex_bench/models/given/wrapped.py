"""A network that was made elsewhere as one of ours: forward = head(embed(x)).

The network runs as it was written. Its embedding is what its last linear layer reads, so that the
head may be that very layer, and the outputs are the network's own, bit for bit. Where there is no
such layer, the outputs (or the logits before probabilities) are the embedding, and the head is an
identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gpex_bench.models.given import returned
from gpex_bench.models.given.found import Found
from gpex_bench.models.given.probing import PROBABILITIES, first_argument, weight_of
from gpex_bench.models.rewriting.names import name_of
from gpex_bench.types import Model

# where the embedding is read: what a module or a function of the head reads, what becomes
# probabilities, or what is returned
Place = Literal["module", "function", "probabilities", "output"]
NETWORK = "network"  # the attribute that holds what was wrapped


class Wrapped(Model):
    """An input -> `normalise` -> `network`, up to what `head` reads -> `head`."""

    found: Found

    def __init__(
        self, network: nn.Module, normalise: nn.Module, head: nn.Linear, place: Place
    ) -> None:
        super().__init__()
        self.normalise = normalise
        self.network = network
        self.head = head
        self.place: Place = place
        self.features = ""  # the module of the last maps; "": the embedding is the trunk's output
        self.is_chosen = False  # whether a user named it
        self.run = 1  # which run of it; an activation may run several times
        self.unread: tuple[str, ...] = ()  # modules that run after these maps alone

    def embed(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch width"]:
        """Return what the head reads."""
        return self.embedded(self.normalise(x))

    def embedded(self, rows: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch width"]:
        """Return the embedding of inputs that are normalised already."""
        if self.place == "output":
            return returned.logits(self.network(rows), len(rows))

        with self._reading() as seen:
            self.network(rows)
        if not seen:
            raise RuntimeError(
                f"The head of the wrapped network does not run on inputs of {list(rows.shape)}; "
                "the network takes another way than on the inputs that it was wrapped with."
            )
        return returned.logits(seen[-1], len(rows))

    @property
    def has_identity(self) -> bool:
        """Whether the head is an identity that was added, and no layer of the network."""
        return self.place in ("probabilities", "output")

    @property
    def trunk(self) -> Trunk:
        """The layers up to the last feature maps, or up to the embedding if there are none.

        Raises:
            AttributeError: there are neither; the embedding is the outputs.
        """
        if not self.features and self.has_identity:
            raise AttributeError("The wrapped network has no trunk: no maps and no linear head.")
        return Trunk(self)

    def _reading(self) -> Any:
        """Return the context in which what the head reads is noted."""
        if self.place == "module":
            return inputs_of(self.head)
        if self.place == "function":
            return _InputsOf(self._is_head)
        return _InputsOf(_makes_probabilities)

    def _is_head(self, name: str, args: Any, kwargs: Any) -> bool:
        return name == "linear" and weight_of(args, kwargs) is self.head.weight


def name_inside(network: nn.Module, name: str) -> str:
    """Return the name of a module in a network; of a wrapped one its own names count too."""
    modules = dict(network.named_modules(remove_duplicate=False))
    inside = f"{NETWORK}.{name}"
    is_own = isinstance(network, Wrapped) and name not in modules and inside in modules
    return inside if is_own else name


class Trunk(nn.Module):
    """The first layers of a wrapped network, whose weights it shares.

    A deep copy has the layers that are needed alone.
    """

    def __init__(self, model: Wrapped) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Float[Tensor, "batch *feature"]) -> Tensor:
        """Return the last feature maps, or the embedding."""
        model = self.model
        if not model.features:
            return model.embed(x)

        seen: list[Tensor] = []

        def keep(output: Tensor) -> Tensor:
            seen.append(output)
            raise _Reached

        module = model.network.get_submodule(model.features)
        with suppress(_Reached), changed(module, model.run, keep):
            model.network(model.normalise(x))
        return seen[-1]

    def __deepcopy__(self, memo: dict[int, Any]) -> Trunk:
        model = self.model
        if model.features:
            for name in model.unread:
                memo[id(model.network.get_submodule(name))] = nn.Identity()
            memo[id(model.head)] = nn.Identity()
        return Trunk(deepcopy(model, memo))


class _Reached(BaseException):
    """A run has come as far as it is needed; no error."""


class Normalise(nn.Module):
    """(x - mean) / std, for each channel of an image or column of a table."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch *feature"]:
        """Return the normalised input."""
        return (x - self.mean) / self.std


def identity_head(n_outputs: int, device: torch.device) -> nn.Linear:
    """Return a linear layer that changes nothing."""
    head = nn.Linear(n_outputs, n_outputs, device="meta")
    head.weight = nn.Parameter(torch.eye(n_outputs, device=device), requires_grad=False)
    head.bias = nn.Parameter(torch.zeros(n_outputs, device=device), requires_grad=False)
    return head


@contextmanager
def changed(module: nn.Module, run: int, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Change what a module gives in one of its runs, counted from 1."""
    n_runs = 0

    def hook(_module: nn.Module, _args: Any, output: Tensor) -> Tensor | None:
        nonlocal n_runs
        n_runs += 1
        return change(output) if n_runs == run else None

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def inputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a module reads."""
    seen: list[Tensor] = []

    def keep(_module: nn.Module, args: Any, kwargs: Any) -> None:
        read = first_argument(args, kwargs)
        if read is not None:
            seen.append(read)

    handle = module.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


class _InputsOf(TorchFunctionMode):
    """Collects what some functions read."""

    def __init__(self, is_meant: Callable[[str, Any, Any], bool]) -> None:
        super().__init__()
        self.is_meant = is_meant
        self.seen: list[Tensor] = []

    def __enter__(self) -> list[Tensor]:
        super().__enter__()
        return self.seen

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch."""
        kwargs = kwargs or {}
        read = first_argument(args, kwargs)
        if read is not None and self.is_meant(name_of(function), args, kwargs):
            self.seen.append(read.clone() if name_of(function).endswith("_") else read)
        return function(*args, **kwargs)


def _makes_probabilities(name: str, _args: Any, _kwargs: Any) -> bool:
    return name in PROBABILITIES

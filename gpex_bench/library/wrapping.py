"""A network that people bring: any module, looked at once, and what its outputs mean."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from copy import copy, deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from gpex_bench.library.asking import Inputs, inputs
from gpex_bench.models.given.errors import CannotWrap
from gpex_bench.models.given.preparing import device_of
from gpex_bench.models.given.wrapping import wrap as wrapped
from gpex_bench.types import Dataset, Kind, Model, Need

N_TRIED = 4  # rows that a network is looked at with
NOT_YET = "not looked at yet: it is when the first inputs are explained, or give x to wrap"


class Network:
    """Any module with what its outputs mean; made by `wrap`.

    Attributes:
        module: the network as it was given. It stays as it is: what is explained is a copy in eval
            mode, made when the first inputs are known; later training does not reach the copy.
        kind: what the outputs mean.
        classes: names of the outputs; empty: their numbers are.
    """

    def __init__(
        self, module: nn.Module, kind: Kind, classes: tuple[str, ...], found: Mapping[str, Any]
    ) -> None:
        self.module = module
        self.kind = kind
        self.classes = classes
        self._settings = dict(found)
        self._model: Model | None = None
        self._weights = 0  # checksum of the module's weights when it was copied

    def model(self, x: Tensor | None = None) -> Model:
        """Return the network as methods and metrics take it: forward = head(embed(x)).

        Args:
            x: inputs [n, *feature]; a few are tried the first time. None: the network was looked at
                before.

        Raises:
            CannotWrap: it is none that can be explained; names the place and what to do.
            ValueError: it has not been looked at, has another number of outputs than classes, or
                was trained since it was looked at.
        """
        if self._model is not None:
            self._check_weights()
            return self._model
        if x is None:
            raise ValueError(f"The network is {NOT_YET}.")
        if isinstance(self.module, Model):
            model = self.module
            _check_mode(model)
        else:
            rows = x[:N_TRIED].to(device_of(self.module))
            model = wrapped(self.module, rows, kind=self.kind, **self._settings)

        _check_names(self.classes, model.head.out_features, self.kind)
        self._model = model
        self._weights = _checksum(self.module)
        return model

    def _check_weights(self) -> None:
        """Raise ValueError if the module was trained after its copy was made."""
        is_copy = not isinstance(self.module, Model)
        if is_copy and _checksum(self.module) != self._weights:
            raise ValueError(
                "The weights of the module have changed since it was wrapped, and what is "
                "explained is a copy with the earlier ones; wrap it again."
            )

    def on_cpu(self) -> Network:
        """Return the network on the CPU, as surrogates are fitted to it; itself if it is there."""
        if self.device.type == "cpu":
            return self
        moved = copy(self)
        moved._model = deepcopy(self.model()).cpu()
        return moved

    @property
    def device(self) -> torch.device:
        """Where it is explained: where the module is."""
        return device_of(self.module if self._model is None else self._model)

    @property
    def found(self) -> Any:
        """What was found in it: head, embedding, last maps, what became modules, what is missing.

        None before the first inputs, and for networks of this suite, which need no search.
        """
        return getattr(self._model, "found", None)

    @property
    def withdrawn(self) -> Mapping[Need, str]:
        """What the network does not offer to methods, and why."""
        return {} if self.found is None else self.found.withdrawn

    def names(self) -> tuple[str, ...]:
        """Return the names of the outputs, or of the two classes of one logit."""
        if self.classes:
            return self.classes
        n_outputs = self.model().head.out_features
        is_one_logit = self.kind is Kind.CLASSES and n_outputs == 1
        return tuple(str(output) for output in range(2 if is_one_logit else n_outputs))

    def lines(self) -> list[str]:
        """Return what is known of it, one line each."""
        name = type(self.module).__name__
        lines = [f"{name}, explained as: {self.kind}"]
        model = self._model
        if model is None:
            return [*lines, NOT_YET]

        n_outputs = model.head.out_features
        n_weights = sum(weight.numel() for weight in model.parameters())
        lines.append(f"{n_outputs} outputs, {n_weights:,} weights")
        if self.found is not None:
            lines += self.found.lines()
        return lines

    def __repr__(self) -> str:
        """Return the lines as text."""
        return "\n  ".join(self.lines())

    def _repr_html_(self) -> str:
        from gpex_bench.library.shown import network_html

        return network_html(self)


def wrap(  # noqa: PLR0913 - options by keyword
    module: nn.Module,
    x: object = None,
    *,
    data: Dataset | None = None,
    head: str | None = None,
    features: str | None = None,
    normalise: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
    kind: str | Kind | None = None,
) -> Network:
    """Return any network as one that can be explained; printing it says what was found in it.

    Nothing has to be written for it: head, embedding and last feature maps are found, and relu
    calls, additions and the like become modules where methods need some.

    Args:
        module: any `torch.nn.Module` that gives one row of outputs for each sample.
        x: a few inputs of the kind that will be explained, to look at the network now; None: it is
            looked at with the first inputs that are explained.
        data: in place of `x`, `kind` and `classes`.
        head: name of the linear layer whose outputs are explained; None: it is found.
        features: name of the module that gives the last feature maps; None: it is found.
        normalise: `mean` and `std` that inputs are normalised by, one number or one a channel or
            column: then a part of the network, so that inputs stay in their own units.
        classes: names of the outputs.
        kind: what the outputs mean: `classes` (logits of one of several), `labels` (any number of
            several) or `number`; None: that of the data, or classes.

    Raises:
        CannotWrap: it is no such network, or a setting does not fit; the message says what to do.
        ValueError: names the argument that does not fit.

    Example:
        >>> import gpex_bench as gb, torch
        >>> from torch import nn
        >>> module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> network = gb.wrap(module, torch.zeros(1, 4), classes=["cat", "dog", "owl"])
        >>> network.found.head
        '2'
    """
    means = _kind(kind, data)
    names = () if data is None else data.classes
    names = names if classes is None else tuple(map(str, classes))
    if len(set(names)) < len(names):
        raise ValueError(f"classes must differ, got {list(names)}.")

    settings = {"head": head, "features": features, "normalise": normalise}
    network = Network(module, means, names, settings)
    if x is not None:
        network.model(inputs(x).x)
    elif data is not None:
        network.model(data.train.x if len(data.train.x) else data.test.x)
    return network


def as_network(network: object, given: Inputs, data: Dataset | None = None) -> Network:
    """Return the network of a call, looked at with its inputs; a plain module is wrapped.

    Raises:
        ValueError: it is no module, or the data is of another kind.
    """
    if not isinstance(network, Network):
        if not isinstance(network, nn.Module):
            got = f"{type(network).__name__}; put a function into the forward of a module"
            if isinstance(network, type):
                got = f"the class {network.__name__}; call it first"
            raise ValueError(f"network must be a torch.nn.Module or what wrap returns, got {got}.")
        kind = None if data is None else data.kind
        classes = None if data is None else data.classes
        network = wrap(network, kind=kind, classes=classes)
    elif data is not None and data.kind is not network.kind:
        raise ValueError(
            f"data must be of the kind of the network, {network.kind}, got {data.kind}; wrap the "
            f"network with kind={str(data.kind)!r}."
        )
    try:
        model = network.model(given.x)
    except CannotWrap as error:
        raise CannotWrap(f"{error} (x is taken for {given.taken_for}.)") from error
    if data is not None:
        _check_names(data.classes, model.head.out_features, data.kind)
    return network


def _kind(kind: str | Kind | None, data: Dataset | None) -> Kind:
    """Return what the outputs of a network mean."""
    if kind is None:
        return Kind.CLASSES if data is None else data.kind
    known = [str(one) for one in Kind]
    if str(kind) not in known:
        raise ValueError(f"kind must be one of {', '.join(known)}, got {kind!r}.")
    if data is not None and Kind(kind) is not data.kind:
        raise ValueError(f"kind must be that of the data, {data.kind}, got {kind}.")
    return Kind(kind)


def _checksum(module: nn.Module) -> int:
    """Return a checksum of all weights and buffers."""
    found = 0
    for tensor in (*module.parameters(), *module.buffers()):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        found = zlib.crc32(flat.view(torch.uint8).numpy().data, found) if flat.numel() else found
    return found


def _check_mode(model: Model) -> None:
    """Raise ValueError for a network of this suite in train mode, which gives other outputs."""
    training = [name or "the network" for name, part in model.named_modules() if part.training]
    if training:
        raise ValueError(
            f"The network must be in eval mode, and {training[0]} is not; call eval()."
        )


def _check_names(classes: Iterable[str], n_outputs: int, kind: Kind) -> None:
    """Raise ValueError unless there is a name for each output, or two for the one logit of two."""
    names = list(classes)
    n_names = n_outputs
    meaning = f"{n_outputs} outputs"
    if kind is Kind.CLASSES and n_outputs == 1:
        n_names = 2
        meaning = "the two classes of one logit"

    n_given = len(names)
    if names and n_given != n_names:
        raise ValueError(f"classes must name {meaning}, got {n_given}: {names[:6]}.")

"""The head of a network: the last linear layer, and where the embedding is read."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from gpex_bench.models.given import returned
from gpex_bench.models.given.errors import CannotWrap
from gpex_bench.models.given.probing import Made, Probe, before_probabilities, origins
from gpex_bench.models.given.wrapped import Place, identity_head
from gpex_bench.types import Kind

N_LISTED = 12  # names in a message
ONE = 1e-4  # what rows of probabilities may differ from 1


@dataclass(frozen=True)
class Head:
    """A linear layer, and where what it reads is found."""

    name: str  # empty: an identity
    layer: nn.Linear
    place: Place
    notes: tuple[str, ...] = ()


def find_head(network: nn.Module, probe: Probe, kind: Kind) -> Head:
    """Return the last linear layer, if its outputs are the network's, or else an identity.

    Probabilities are left out, unless the output is a number.

    Raises:
        CannotWrap: the network returns something else than one row of outputs for each sample, or
            probabilities whose logits cannot be found.
    """
    y = returned.logits(probe.returned, probe.n_rows)
    word, before = ("", []) if kind is Kind.NUMBER else before_probabilities(y)
    nodes = before if word else origins(y)
    notes = (f"what follows the logits at the end ({word}) is left out",) if word else ()

    made = _linear(probe, nodes)
    if made is not None:
        place: Place = "module" if isinstance(made.kind, nn.Linear) else "function"
        layer = _layer(network, made)
        if layer is not None:
            return Head(made.name.removesuffix(".weight"), layer, place, notes)

    n_outputs = y.shape[1]
    if not word:
        _refuse_probabilities(y, kind)
    elsewhere: Place = "probabilities" if word else "output"
    return Head("", identity_head(n_outputs, y.device), elsewhere, notes)


def chosen_head(network: nn.Module, probe: Probe, name: str) -> Head:
    """Return the linear layer of a name as the head; its outputs are then what is explained.

    Raises:
        CannotWrap: there is no such layer, or it does not give one row for each sample.
    """
    made = {one.name: one for one in probe.modules if _is_linear(one)}
    if name not in made:
        modules = dict(network.named_modules())
        reason = "there is no module of this name"
        if name in modules:
            kind = type(modules[name]).__name__
            reason = f"{name} ({kind}) is none that gives one row of outputs for each sample"
        known = ", ".join(list(made)[-N_LISTED:]) or "none"
        raise CannotWrap(
            f"head must name an nn.Linear that reads [sample, feature], got {name!r}: {reason}. "
            f"Known: {known}."
        )

    notes: tuple[str, ...] = ()
    if not _gives_output(probe, made[name]):
        notes = (f"the outputs of {name} are explained; what the network makes of them is not",)
    layer = network.get_submodule(name)
    return Head(name, layer, "module", notes)  # type: ignore[arg-type]  # `_is_linear`


def _gives_output(probe: Probe, made: Made) -> bool:
    """Return whether what a layer made is what the network returned."""
    try:
        y = returned.logits(probe.returned, probe.n_rows)
    except CannotWrap:
        return False
    return made.node is not None and made.node in origins(y)


def _is_linear(made: Made) -> bool:
    """Return whether a module is a linear layer that gave rows of outputs."""
    has_rows = len(made.shape) == 2 and made.read is not None and made.read.ndim == 2
    return isinstance(made.kind, nn.Linear) and has_rows


def _linear(probe: Probe, nodes: list) -> Made | None:
    """Return the linear layer that one of these nodes of autograd is, a module if it is one."""
    known = {id(node) for node in nodes if node is not None}
    for made in (*reversed(probe.modules), *reversed(probe.functions)):
        is_linear = made.kind is None or _is_linear(made)
        has_rows = len(made.shape) == 2 and made.shape[0] == probe.n_rows
        if is_linear and has_rows and id(made.node) in known:
            return made
    return None


def _layer(network: nn.Module, made: Made) -> nn.Linear | None:
    """Return the layer that made something; of a function, one that shares its weights."""
    if isinstance(made.kind, nn.Linear):
        return made.kind
    weight = network.get_parameter(made.name)
    bias = made.bias
    if isinstance(bias, Tensor) and not isinstance(bias, nn.Parameter):
        return None

    n_out, n_in = weight.shape
    layer = nn.Linear(n_in, n_out, bias=bias is not None, device="meta")
    layer.weight = weight
    layer.bias = bias
    return layer


def _refuse_probabilities(y: Tensor, kind: Kind) -> None:
    """Raise CannotWrap for outputs that are probabilities of classes."""
    values = y.detach()
    is_share = bool(((values >= 0) & (values <= 1)).all())
    sums_to_one = bool(((values.sum(1) - 1).abs() < ONE).all())
    if kind is Kind.CLASSES and y.shape[1] > 1 and is_share and sums_to_one:
        raise CannotWrap(
            "The network returns probabilities (each row sums to 1), and the logits that they were "
            "made of cannot be found; explain those: leave the softmax out of forward, or set "
            "`head` to the last linear layer."
        )

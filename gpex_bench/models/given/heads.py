"""The head of a network: the last linear layer, and where the embedding is read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gpex_bench.models.given import returned
from gpex_bench.models.given.errors import CannotWrap
from gpex_bench.models.given.probing import Made, Probe, before_probabilities, origins
from gpex_bench.models.given.wrapped import Place, identity_head
from gpex_bench.types import Kind

N_LISTED = 12  # names in a message
NEAR = 1e-5  # what outputs of the same layer may differ by
MAKE = {"softmax": lambda z: z.softmax(1), "log_softmax": lambda z: z.softmax(1)}
MAKE |= {"sigmoid": torch.sigmoid}
ONE = 1e-4  # what rows of probabilities may differ from 1


@dataclass(frozen=True)
class Head:
    """A linear layer, and where what it reads is found."""

    name: str  # empty: an identity
    layer: nn.Linear
    place: Place
    word: str = ""  # what makes probabilities of the outputs
    notes: tuple[str, ...] = ()


def find_heads(network: nn.Module, probe: Probe, kind: Kind) -> list[Head]:
    """Return the last linear layer, if its outputs are the network's, and an identity, if not.

    Probabilities are left out, unless the output is a number.

    Raises:
        CannotWrap: the network returns something else than one row of outputs for each sample, or
            probabilities whose logits cannot be found.
    """
    y = _outputs(probe)
    word, before = ("", []) if kind is Kind.NUMBER else before_probabilities(y)
    nodes = before if word else origins(y)
    notes = _notes(word, y.shape[1], kind)

    heads = []
    made = _linear(probe, nodes)
    layer = None if made is None else _layer(network, made)
    if made is not None and layer is not None:
        place: Place = "module" if isinstance(made.kind, nn.Linear) else "function"
        heads.append(Head(made.name.removesuffix(".weight"), layer, place, word, notes))

    if not word and made is None:
        _refuse_probabilities(y, kind)
    elsewhere: Place = "probabilities" if word else "output"
    identity = identity_head(y.shape[1], y.device)
    return [*heads, Head("", identity, elsewhere, word, notes)]


def gives(head: Head, logits: Tensor, probe: Probe) -> bool:
    """Return whether these logits of a head are the outputs of the network, as it made them."""
    y = returned.logits(probe.returned, probe.n_rows).detach()
    if head.word:
        logits = MAKE[head.word](logits)
        y = y.exp() if bool((y < 0).any()) else y
    return logits.shape == y.shape and torch.allclose(logits, y, rtol=NEAR, atol=NEAR)


def _outputs(probe: Probe) -> Tensor:
    """Return the outputs of the rows that were tried."""
    try:
        y = returned.logits(probe.returned, probe.n_rows)
    except CannotWrap as error:
        known = dict.fromkeys(one.name for one in probe.modules if _is_linear(one))
        listed = ", ".join(list(known)[-N_LISTED:]) or "none"
        raise CannotWrap(f"{error} Linear layers: {listed}.") from error

    n_bad = int(y.detach().isnan().any(1).sum())
    if n_bad:
        raise CannotWrap(
            f"The network gives NaN for {n_bad} of the {probe.n_rows} inputs that it was tried on; "
            "check its weights, and the scale of the inputs."
        )
    return y


def _notes(word: str, n_outputs: int, kind: Kind) -> tuple[str, ...]:
    """Return a note on probabilities at the end."""
    if not word:
        return ()
    note = f"the {word} at the end is left out, and the logits before it are explained"
    if word == "sigmoid" and kind is Kind.CLASSES and n_outputs > 1:
        note += "; probabilities are a softmax of them, as one class of several is meant"
    return (note,)


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
    return Head(name, layer, "module", "", notes)  # type: ignore[arg-type]  # `_is_linear`


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
    # modules come first, because they call the function, too
    calls = [made for made in reversed(probe.modules) if _is_linear(made)]
    calls += [made for made in reversed(probe.functions) if len(made.shape) == 2]

    known = {id(node) for node in nodes if node is not None}
    for made in calls:
        if id(made.node) in known:
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
    is_several = kind is Kind.CLASSES and y.shape[1] > 1
    is_share = bool(((values >= 0) & (values <= 1)).all())
    sums_to_one = bool(((values.sum(1) - 1).abs() < ONE).all())

    if is_several and is_share and sums_to_one:
        raise CannotWrap(
            "The network returns probabilities (each row sums to 1), and the logits that they were "
            "made of cannot be found; explain those: leave the softmax out of forward, or set "
            "`head` to the last linear layer."
        )

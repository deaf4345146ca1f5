"""What people bring to an evaluation, as plug-ins of a config: data, a network and maps in memory.

They are shown by a hash of their content, by which two evaluations are told apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from copy import deepcopy
from dataclasses import field, fields

import torch
from torch import Tensor, nn

from gpex_bench.families.stored_maps import StoredMaps
from gpex_bench.types import (
    Architecture,
    Attribution,
    Dataset,
    Explainer,
    Kind,
    Model,
    Need,
    Query,
    RelativeTo,
    Source,
    Split,
    Task,
    Truth,
    settings,
)
from gpex_bench.types.batches import in_chunks

N_ASKED = 16  # rows whose outputs are part of a network's content: its code is not seen otherwise


def _form(data: Dataset) -> Need:
    """Return which form of input a dataset has."""
    return Need.IMAGE if data.is_image else Need.TABLE


@settings
class InMemory(Source):
    """Data that was given to `evaluate`."""

    content: str  # hash
    data: Dataset = field(repr=False, compare=False)

    @property
    def offers(self) -> frozenset[Need]:  # type: ignore[override]
        """The form of input, and planted truth if it is known."""
        known = {Need.TRUTH} if self.data.truth is not None else set()
        return frozenset({_form(self.data), *known})

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        """What the targets are."""
        return self.data.kind

    def load(self) -> Dataset:
        """Return the data."""
        return self.data


@settings
class Given(Architecture):
    """A network that was given to `evaluate`: it is not trained."""

    network: str  # name of its class
    found: tuple[str, ...]  # what was found in it, for people
    content: str  # hash of its weights and of some outputs
    form: Need
    one_logit: bool
    model: Model = field(repr=False, compare=False)

    is_given = True

    @property
    def takes(self) -> frozenset[Need]:  # type: ignore[override]
        """The form of input that it was given with."""
        return frozenset({self.form})

    def build(self, data: Dataset) -> Model:
        """Return a copy of the network."""
        return deepcopy(self.model)

    def train(self, data: Dataset, seed: int, progress: Callable[[str], None]) -> Model:
        """Return a copy of the network as it is."""
        progress("the network was given, and is not trained")
        return deepcopy(self.model)


@settings
class Brought(Explainer):
    """Maps that were made elsewhere and given to `evaluate`."""

    reference = "hedstroem2023quantus"
    kind = "elsewhere"
    relative_to = RelativeTo.UNKNOWN.value
    cost = "none: the maps were made elsewhere"
    is_stored = True

    content: str  # hash
    maps: StoredMaps = field(repr=False, compare=False)

    @property
    def offers(self) -> frozenset[Need]:  # type: ignore[override]
        """A residual, if it came with the maps."""
        return frozenset() if self.maps.residual is None else frozenset({Need.RESIDUAL})

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the maps of the samples."""
        return self.maps.of(query, task.data)


def of_data(data: Dataset) -> InMemory:
    """Return data as a plug-in."""
    return InMemory(content=_hash(_parts(data)), data=data)


def of_network(model: Model, module: nn.Module, data: Dataset) -> Given:
    """Return a network as a plug-in.

    Args:
        model: what is explained, on the CPU; a copy of the module.
        module: what people call it by.
        data: whose first test rows it is asked about.
    """
    outputs = in_chunks(model, data.test.x[:N_ASKED])
    parts = {**model.state_dict(), "outputs": outputs, "layers": repr(model)}
    found = getattr(model, "found", None)
    return Given(
        network=type(module).__name__,
        found=() if found is None else tuple(found.lines()),
        content=_hash(parts),
        form=_form(data),
        one_logit=data.kind is Kind.CLASSES and model.head.out_features == 1,
        model=model,
    )


def of_maps(maps: StoredMaps) -> Brought:
    """Return maps as a plug-in."""
    return Brought(content=_hash(_parts(maps)), maps=maps)


def _parts(thing: Dataset | Split | Truth | StoredMaps) -> dict[str, object]:
    """Return the tensors and the texts of a value, by name."""
    found: dict[str, object] = {}
    for one in fields(thing):
        part = getattr(thing, one.name)
        if isinstance(part, (Split, Truth)):
            inner = _parts(part)
            found |= {f"{one.name}.{name}": entry for name, entry in inner.items()}
        else:
            found[one.name] = part
    return found


def _hash(parts: dict[str, object]) -> str:
    """Return a hash of named tensors and texts."""
    total = hashlib.sha256()
    for name in sorted(parts):
        part = parts[name]
        total.update(f"{name}\0".encode())
        if isinstance(part, Tensor):
            flat = part.detach().cpu().contiguous().reshape(-1)
            total.update(f"{part.dtype} {list(part.shape)}".encode())
            total.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
        else:
            total.update(repr(part).encode())
    return total.hexdigest()[:16]

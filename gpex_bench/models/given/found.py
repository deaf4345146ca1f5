"""What was found in a network that was made elsewhere, for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from gpex_bench.types import Need, value


@value
class Found:
    """The parts of a wrapped network, and what it offers to explainers.

    Attributes:
        head: the linear layer whose outputs are explained; empty: the outputs themselves are the
            embedding, with an identity as head.
        width: entries of the embedding.
        n_outputs: how many outputs there are.
        features: the module that gives the last feature maps; empty: there is none.
        map_shape: channels, rows and columns of these maps.
        why_no_features: why there is none; empty where the inputs are no images.
        modules: what became modules in the graph that propagation methods read.
        withdrawn: what the network does not offer, and why.
        notes: what else a reader of its results should know.
    """

    head: str
    width: int
    n_outputs: int
    features: str = ""
    map_shape: tuple[int, ...] = ()
    why_no_features: str = ""
    modules: str = ""
    withdrawn: Mapping[Need, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return one line for each thing that was found."""
        lines = [self._head()]
        if self.features or self.why_no_features:
            lines.append(self._features())
        if self.modules:
            lines.append(f"modules: {self.modules}")
        lines += [f"not offered: {need}, {reason}" for need, reason in self.withdrawn.items()]
        lines += [f"note: {note}" for note in self.notes]
        return lines

    def _head(self) -> str:
        if self.head:
            return f"head: {self.head} ({self.width} → {self.n_outputs})"
        return (
            f"head: no linear layer gives the outputs, so the {self.n_outputs} outputs are their "
            "own embedding, and the head is an identity"
        )

    def _features(self) -> str:
        if self.features:
            return f"features: {self.features} {list(self.map_shape)}"
        return f"features: no maps, {self.why_no_features}"

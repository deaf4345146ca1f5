"""Maps that people bring, whatever made them: checked, in the shape of the inputs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.library.asking import finite, tensor_of
from gpex_bench.library.results import Maps, Neighbours
from gpex_bench.tables.words import CANNOT_BE_ASKED
from gpex_bench.types import Attribution, Explainer, Explanation, Query, Task, settings, value
from gpex_bench.types.demands import Refused

Given = Maps | Neighbours | object


@settings
class Brought(Explainer):
    """Maps that were made elsewhere, without their method."""

    reference = "none"
    kind = "elsewhere"
    relative_to = "nothing"
    cost = "none: the maps were made elsewhere"
    is_stored = True

    def explain(self, task: Task, query: Query) -> Attribution:
        """Refuse: there is no method to ask."""
        raise Refused(CANNOT_BE_ASKED)


@value
class Entry:
    """The explanations of one name that are scored."""

    name: str
    explanation: Explanation
    explainer: Explainer
    unsound: str = ""
    own: Maps | Neighbours | None = None  # they can be made again; None: they were made elsewhere


def entries(maps: Given | Mapping[str, Given], shape: tuple[int, ...]) -> list[Entry]:
    """Return explanations by name.

    Args:
        maps: one of what `explain` returns, or an array of maps; or several of them by name. Maps
            have the shape of the inputs. Those of images may be [n, height, width]: each is divided
            evenly among the channels, so that it keeps its sum.
        shape: of the inputs, in a batch.

    Raises:
        ValueError: names the maps, their shape and that of the inputs, or what is not finite.
    """
    several = maps if isinstance(maps, Mapping) else {_name(maps): maps}
    if not several:
        raise ValueError("maps must hold at least one explanation, got none.")
    return [_entry(str(name), given, shape) for name, given in several.items()]


def _name(maps: Given) -> str:
    return maps.made.method if isinstance(maps, (Maps, Neighbours)) else "maps"


def _entry(name: str, given: Given, shape: tuple[int, ...]) -> Entry:
    """Return one entry."""
    if isinstance(given, Neighbours):
        return Entry(
            name=name, explanation=given.examples, explainer=given.made.explainer, own=given
        )
    if isinstance(given, Maps):
        return Entry(
            name=name,
            explanation=given.attribution,
            explainer=given.made.explainer,
            unsound=given.unsound,
            own=given,
        )
    if isinstance(given, Attribution):
        values = spread(name, given.values, shape)
        return Entry(
            name=name,
            explanation=Attribution(values=values, residual=given.residual),
            explainer=Brought(),
        )
    explanation = Attribution(values=spread(name, given, shape))
    return Entry(name=name, explanation=explanation, explainer=Brought())


def spread(name: str, given: object, shape: tuple[int, ...]) -> Float[Tensor, "n *feature"]:
    """Return maps in the shape of the inputs; those of pixels are divided among the channels.

    Raises:
        ValueError: they have another shape, or are not finite.
    """
    what = f"maps[{name!r}]"
    values = finite(what, tensor_of(what, given))
    got = tuple(values.shape)
    if got in (shape, shape[1:]) and values.numel() == torch.Size(shape).numel():
        return values.reshape(shape)

    if len(shape) == 4:
        n, n_channels, height, width = shape
        pixels = [(n, height, width), (n, 1, height, width)]
        pixels += [(height, width), (1, height, width)] if n == 1 else []
        if got in pixels:
            share = values.reshape(n, 1, height, width) / n_channels
            return share.expand(shape).clone()
        if got == (n, height, width, n_channels):
            raise ValueError(
                f"{what} must have the shape of the inputs, {shape}, got {got}, whose channels are "
                "last; transpose them to (0, 3, 1, 2)."
            )
    raise ValueError(
        f"{what} must have the shape of the inputs, {shape}"
        f"{f', or {(shape[0], *shape[2:])}' if len(shape) == 4 else ''}, got {got}."
    )

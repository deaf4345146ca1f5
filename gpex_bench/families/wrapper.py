"""What explainers that change the map of another explainer have in common."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from gpex_bench.tables.words import CANNOT_BE_ASKED
from gpex_bench.types import Attribution, Axiom, Explainer, Need, Query, Role, Task, settings
from gpex_bench.types.demands import Refused


@settings
class Wrapper(Explainer):
    """An explainer that changes the map of another one; it needs what the other one needs."""

    asks: ClassVar[frozenset[Need]] = frozenset()  # what it needs itself
    keeps_sum: ClassVar[bool] = False  # whether the values still sum to what the other's sum to
    # whether it asks the other one about other inputs, networks or seeds
    asks_again: ClassVar[bool] = False

    of: Explainer  # the explainer whose map is changed; a run id in the config

    def __post_init__(self) -> None:
        """Refuse explainers that give something else than attributions."""
        if self.of.explains is not Attribution:
            name, gives = type(self.of).__name__, self.of.explains.__name__
            raise ValueError(
                f"of must be an explainer that gives attributions; {name} gives {gives}."
            )

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The kind of the other explainer: a control stays a control."""
        return self.of.kind

    @property
    def relative_to(self) -> str:  # type: ignore[override]
        """What the other explainer's map is relative to."""
        return self.of.relative_to

    @property
    def role(self) -> Role:  # type: ignore[override]
        """A changed method is a method; a changed control is a control, but no longer that one."""
        return Role.METHOD if self.of.role is Role.METHOD else Role.CONTROL

    @property
    def needs(self) -> frozenset[Need]:  # type: ignore[override]
        """What it needs, and what the other explainer needs."""
        return self.asks | self.of.needs

    @property
    def offers(self) -> frozenset[Need]:  # type: ignore[override]
        """A residual, if the other explainer has one and the sum stays."""
        return self.of.offers if self.keeps_sum else frozenset()

    @property
    def axioms(self) -> frozenset[Axiom]:  # type: ignore[override]
        """Completeness, if the other explainer has it and the sum stays."""
        return self.of.axioms & {Axiom.COMPLETENESS} if self.keeps_sum else frozenset()

    @property
    def sum_tolerance(self) -> float | None:  # type: ignore[override]
        """That of the other explainer, if the sum stays."""
        return self.of.sum_tolerance if self.keeps_sum else None

    @property
    def surrogate(self) -> str | None:  # type: ignore[override]
        """The surrogate of the other explainer."""
        return self.of.surrogate

    @property
    def is_stored(self) -> bool:  # type: ignore[override]
        """Whether the maps of the other explainer were made elsewhere."""
        return self.of.is_stored

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The files of the other explainer."""
        return self.of.reads

    @property
    def dataset(self) -> str | None:  # type: ignore[override]
        """The dataset of stored maps."""
        return self.of.dataset

    @property
    def model(self) -> str | None:  # type: ignore[override]
        """The network of stored maps."""
        return self.of.model

    @property
    def has_each_seed(self) -> bool:  # type: ignore[override]
        """Whether there are stored maps of all training seeds."""
        return self.of.has_each_seed

    @abstractmethod
    def change(self, values: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch *feature"]:
        """Return a changed map of the same shape."""

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the other explainer's relevance, changed."""
        found = self.inner(task, query)
        residual = found.residual if self.keeps_sum else None
        return dataclasses.replace(found, values=self.change(found.values), residual=residual)

    def inner(self, task: Task, query: Query) -> Attribution:
        """Return the other explainer's attribution; raises Refused where it cannot be asked."""
        if self.asks_again and self.of.is_stored:
            raise Refused(
                f"{type(self).__name__} asks another explainer again, which {CANNOT_BE_ASKED}."
            )
        found = self.of.explain(task, query)
        if not isinstance(found, Attribution):
            raise TypeError(f"of must return an Attribution, got {type(found).__name__}.")
        return found

"""Inverted: the sign-flipped map of another explainer, the control that every good explainer must beat.

Comparing with the inverse is more telling than comparing with a random map: Eiras-Franco, Hedstroem, Hoehne 2025
(eirasfranco2025evaluate). Cost: that of the other explainer.
"""

from gpex_bench.types import Attribution, Explainer, Need, Query, Task, settings


@settings
class Inverted(Explainer):
    """Minus the attribution of `of`."""

    reference = "eirasfranco2025evaluate"
    kind = "control"

    of: Explainer  # the explainer to turn around; a run id in the config

    def __post_init__(self) -> None:
        """Refuse explainers whose explanations have no sign."""
        if self.of.explains is not Attribution:
            name = type(self.of).__name__
            raise ValueError(f"of must be an explainer that gives attributions; {name} gives {self.of.explains}.")

    @property
    def needs(self) -> frozenset[Need]:
        """What the other explainer needs."""
        return self.of.needs

    @property
    def surrogate(self) -> str | None:
        """The surrogate of the other explainer."""
        return self.of.surrogate

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the other explainer's relevance with its sign flipped."""
        explanation = self.of.explain(task, query)
        if not isinstance(explanation, Attribution):
            raise TypeError(f"of must return an Attribution, got {type(explanation).__name__}.")
        return Attribution(values=-explanation.values)

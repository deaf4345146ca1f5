"""What explainers that mask the input with a fill have in common."""

from __future__ import annotations

from gpex_bench.masking.fills import MethodFill
from gpex_bench.types import Explainer


class Masking(Explainer):
    """An explainer that compares the input with one whose masked parts show its `fill`."""

    fill: MethodFill  # a hyperparameter

    @property
    def relative_to(self) -> str:  # type: ignore[override]
        """What a masked part shows."""
        return self.fill

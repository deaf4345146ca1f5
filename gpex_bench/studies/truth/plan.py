"""The settings of the study on planted truth: the section `truth` of a config.

The run is an ordinary one on datasets with planted evidence.
"""

from __future__ import annotations

from typing import Any

from gpex_bench.data.painted.source import PlantedSource
from gpex_bench.types import Need, Study, settings


@settings
class TruthStudy(Study):
    """When planted evidence counts as the truth about a network."""

    question = "Which faithfulness scores agree with planted truth?"
    reference = "arras2022clevr"
    trains = True
    needs = frozenset({"methods", "metrics"})
    asks = frozenset({Need.CLASSES, Need.TRUTH})

    # least share of a network's reaction to interventions that is due to what the mask marks
    holds: float = 0.9

    def __post_init__(self) -> None:
        """Refuse shares out of range."""
        if not 0.5 <= self.holds <= 1:
            raise ValueError(f"holds must be in [0.5, 1], got {self.holds}.")

    def check(self, config: Any) -> None:
        """Check that the evidence can be changed, and that there is something to compare.

        Raises:
            ValueError: names the dataset or the metrics.
        """
        for name in config.entries["dataset"]:
            if not isinstance(config.dataset(name), PlantedSource):
                raise ValueError(
                    f"datasets must be generated ones whose evidence can be changed (shapes, "
                    f"stripes, switch), got {name}."
                )

        kinds = [config.metric(name).measures for name in config.entries["metric"]]
        for kind in ("faithfulness", "truth"):
            if kind not in kinds:
                raise ValueError(f"metrics must hold one of {kind}, got {kinds}.")

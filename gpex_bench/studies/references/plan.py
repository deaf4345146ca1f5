"""The settings of the study on references: the section `references` of a config."""

from __future__ import annotations

from typing import Any

from gpex_bench.types import Need, Study, settings

# What a removal score shows where an explainer compares with the same.
SHARED = {
    "baseline": "baseline",
    "zero": "zero",
    "train_mean": "train_mean",
    "middle": "middle",
    "blur": "blur",
    "training samples": "noise",
}


@settings
class References(Study):
    """Which methods differ in their reference alone, and which are those of the source."""

    question = "How much of a removal score comes from a fill that explainer and metric share?"
    reference = "bluecher2024decoupling"
    asks = frozenset({Need.IMAGE, Need.PROBABILITY})
    needs = frozenset({"methods"})
    has_report = False

    # by name, run ids of methods that differ in what they are relative to
    families: dict[str, tuple[str, ...]]
    # run ids of methods of the kinds that the source compared, one reference each
    source_methods: tuple[str, ...]
    # samples drawn again for the intervals of rank correlations
    resamples: int = 1000

    def check(self, config: Any) -> None:
        """Check that the methods are there, and that those of a family have different references.

        Raises:
            ValueError: names the method or the family.
        """
        every = {name: config.method(name) for name in config.entries["method"]}
        named = [name for members in self.families.values() for name in members]
        missing = [name for name in (*named, *self.source_methods) if every.get(name) is None]
        if missing:
            raise ValueError(
                f"methods must hold all that the study names; {missing[0]} is missing."
            )

        for family, members in self.families.items():
            references = {every[name].relative_to for name in members}
            if len(references) < len(members) or not references <= set(SHARED):
                raise ValueError(
                    f"families.{family} must be methods with different references, each one of "
                    f"{', '.join(SHARED)}; got {', '.join(sorted(references))}."
                )

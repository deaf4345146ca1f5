"""Which metrics tell something on which network, what planted truth says, and what beats its control.

A metric says nothing on a network where it cannot tell the planted oracle from a control that looks neither at the
network nor at a truth (a constant map, a random one, edges, the input), or where no method is told from such a control.
Such pairs of metric and network are left out of rankings and verdicts, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from gpex_bench.frames import BLIND, Record, controls
from gpex_bench.inference.pairs import LEVEL, Comparison, families, holm
from gpex_bench.inference.units import PLACE, Units
from gpex_bench.types import value

COLUMNS = (*PLACE, "is_informative", "reason")
PLANTED = ("dataset", "model", "method", "mean", "low", "high", "edge_difference", "p_holm", "beats_edge_detector")
TRUTH = "MassAccuracy"  # class of the metric that is the share of relevance inside the planted truth


@value
class Roles:
    """What the controls of a run are for, by run id."""

    blind: frozenset[str]  # look neither at the network nor at a truth
    oracle: frozenset[str]  # the planted truth
    edge: frozenset[str]
    random: frozenset[str]
    inverted: Mapping[str, str]  # the method that each inverted one is made of

    @property
    def inverted_oracle(self) -> frozenset[str]:
        """The worst maps there are on planted data."""
        return frozenset(name for name, of in self.inverted.items() if of in self.oracle)


def roles(methods: Sequence[Record]) -> Roles:
    """Return the roles of the controls, from their classes: a run id may be any name."""
    made = {f"{record['class']}({_settings(record)})": record["method"] for record in methods}
    inverted = {
        record["method"]: made.get(str(record["hyperparameters"].get("of", "")), "")
        for record in methods
        if record["class"] == "Inverted"
    }
    return Roles(
        blind=controls(methods, BLIND),
        oracle=controls(methods, ("Oracle",)),
        edge=controls(methods, ("EdgeDetector",)),
        random=controls(methods, ("RandomMap", "RandomExamples")),
        inverted=inverted,
    )


def _settings(record: Record) -> str:
    return ", ".join(f"{name}={setting}" for name, setting in record["hyperparameters"].items())


def table(units: Units, told: Comparison, known: Roles) -> pd.DataFrame:
    """Return one row: whether the metric is informative on this network, and why or why not."""
    is_informative, reason = judge(units, told, known)
    row = (*units.place, is_informative, reason)
    return pd.DataFrame([row], columns=list(COLUMNS))


def judge(units: Units, told: Comparison, known: Roles) -> tuple[bool, str]:
    """Return whether the metric is informative, with the reason; with no blind control nothing speaks against it."""
    blind, oracle = units.groups_of(known.blind), units.groups_of(known.oracle)
    names = units.members
    if not blind:
        return True, "No control in the run looks neither at the network nor at a truth, so this was not tested."
    for group in oracle:
        p_value = holm(told.p_value[group, blind])
        alike = [
            control
            for control, p in zip(blind, p_value, strict=True)
            if not (p < LEVEL and told.effect[group, control] > 0)
        ]
        if alike:
            return False, f"The planted oracle is not better than {_listed(names, alike, known.blind)}."
    adjusted = families(units, told)
    ours = np.flatnonzero(np.bincount(units.group, ~units.is_control, minlength=units.n_groups) > 0)
    if not len(ours):
        return False, "No method has a score."
    beaten = (adjusted[np.ix_(ours, np.array(blind))] < LEVEL) & (told.effect[np.ix_(ours, np.array(blind))] > 0)
    unbeaten = [control for control, column in zip(blind, beaten.T, strict=True) if not column.any()]
    if unbeaten:
        return False, f"No method is better than {_listed(names, unbeaten, known.blind)}."
    lead = "The planted oracle and at least one method are" if oracle else "At least one method is"
    return True, f"{lead} better than {_listed(names, blind, known.blind)}."


def _listed(names: Sequence[Sequence[str]], groups: Collection[int], allowed: Collection[str]) -> str:
    """Return the names of these controls."""
    return ", ".join(sorted(name for group in groups for name in names[group] if name in allowed))


def planted(summary: pd.DataFrame, pairs: pd.DataFrame, metrics: Sequence[Record], known: Roles) -> pd.DataFrame:
    """Return how much of each method's relevance lies on the planted truth, and whether it beats the edge detector.

    Args:
        summary: the frame of `statistics.summarise`.
        pairs: the frame of `pairs.table`, of all networks and metrics.
        metrics: the run's metrics; without one of the class MassAccuracy the table is empty.
        known: the roles of the controls.
    """
    mass = [record["metric"] for record in metrics if record["class"] == TRUTH]
    here = summary[summary["metric"].isin(mass)]
    key = ["dataset", "model", "metric", "method"]
    edges = pairs[pairs["other"].isin(list(known.edge)) & pairs["is_control"]].drop_duplicates(key)
    found = here.merge(edges[[*key, "median_difference", "p_holm", "verdict"]], on=key, how="left")
    found = found.rename(columns={"median_difference": "edge_difference"})
    return found.assign(beats_edge_detector=found["verdict"].eq("better"))[list(PLANTED)].reset_index(drop=True)

"""Which metrics are informative on which network, what planted truth shows, what beats its control.

A metric is not informative on a network where the planted oracle is not significantly better than a
control that looks neither at the network nor at a truth (a constant map, a random one, edges, the
input), or where no method is significantly better than such a control. Such pairs of metric and
network are left out of rankings and verdicts, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from gpex_bench.statistics.intervals import intervals
from gpex_bench.statistics.pairs import Comparison, families, holm
from gpex_bench.statistics.units import Units
from gpex_bench.tables.columns import INFORMATIVE, LEVEL, PLANTED
from gpex_bench.tables.order import Record, blind_ids, control_ids
from gpex_bench.types import Role, value

# Roles of the wrappers that are compared with their method.
CHANGED = (Role.INVERTED, Role.BLURRED)


@value
class Roles:
    """The roles of the controls of a run, by run id."""

    of_control: Mapping[str, Role]
    changed: Mapping[tuple[str, str], Role]  # by (method, inverted or blurred copy of that method)
    blind: frozenset[str]  # look neither at the network nor at a truth

    def of(self, role: Role) -> frozenset[str]:
        """Return the controls with this role."""
        return frozenset(name for name, own in self.of_control.items() if own is role)

    @property
    def inverted(self) -> frozenset[str]:
        """The worst maps there are: the inverted oracles, or without one, the inverted methods."""
        oracles, every = self.of(Role.ORACLE), self.of(Role.INVERTED)
        planted = frozenset(copy for base, copy in self.changed if base in oracles)
        return every & planted or every


def roles(methods: Sequence[Record]) -> Roles:
    """Return the roles of the controls, from what their records declare."""
    ours = control_ids(methods)
    role = {record["method"]: Role(record["role"]) for record in methods}
    changed = {
        (record["of"], record["method"]): role[record["method"]]
        for record in methods
        if role[record["method"]] in CHANGED
    }
    return Roles(
        of_control={name: own for name, own in role.items() if name in ours},
        changed=changed,
        blind=blind_ids(methods),
    )


def table(units: Units, comparison: Comparison, known: Roles) -> pd.DataFrame:
    """Return one row: whether the metric is informative on this network, and why or why not."""
    is_informative, reason = judge(units, comparison, known)
    row = (*units.place, is_informative, reason)
    return pd.DataFrame([row], columns=list(INFORMATIVE))


def judge(units: Units, comparison: Comparison, known: Roles) -> tuple[bool, str]:
    """Return whether the metric is informative, with the reason.

    In a run without blind controls nothing can be tested, and every metric counts as informative.
    Where a run has some, a metric without a score of any stays out of rankings.
    """
    blind = units.groups_of(known.blind)
    if not blind and known.blind:
        return False, (
            "No control that looks neither at the network nor at a truth has a score: "
            "this was not tested."
        )
    if not blind:
        return True, (
            "No control in the run looks neither at the network nor at a truth, "
            "so this was not tested."
        )

    n_samples = f" ({units.scores.shape[1]} samples)"
    oracles = units.groups_of(known.of(Role.ORACLE))
    for oracle in oracles:
        unbeaten = _unbeaten_by_oracle(comparison, oracle, blind)
        if unbeaten:
            names = _listed(units.members, unbeaten, known.blind)
            few = _too_few(units, len(blind))
            return False, f"The planted oracle is not better than {names}{n_samples}{few}."

    ours = np.flatnonzero(units.has_method)
    if not len(ours):
        return False, "No method has a score."

    unbeaten = _unbeaten_by_methods(units, comparison, blind)
    if unbeaten:
        names = _listed(units.members, unbeaten, known.blind)
        few = _too_few(units, len(ours))
        return False, f"No method is better than {names}{n_samples}{few}."

    lead = "The planted oracle and at least one method are" if oracles else "At least one method is"
    return True, f"{lead} better than {_listed(units.members, blind, known.blind)}{n_samples}."


def _unbeaten_by_oracle(comparison: Comparison, oracle: int, blind: Sequence[int]) -> list[int]:
    """Return the blind controls that the planted oracle is not significantly better than."""
    p_values = holm(comparison.p_value[oracle, blind])
    is_better = (p_values < LEVEL) & (comparison.effect[oracle, blind] > 0)
    return [control for control, better in zip(blind, is_better, strict=True) if not better]


def _unbeaten_by_methods(units: Units, comparison: Comparison, blind: Sequence[int]) -> list[int]:
    """Return the blind controls that no method is significantly better than."""
    ours = np.flatnonzero(units.has_method)
    pairs = np.ix_(ours, np.array(blind))
    is_better = (families(units, comparison)[pairs] < LEVEL) & (comparison.effect[pairs] > 0)
    return [control for control, better in zip(blind, is_better.T, strict=True) if not better.any()]


def _too_few(units: Units, n_tests: int) -> str:
    """Return words for so few samples that no difference survives that many comparisons."""
    # The p value of differences that all agree is the smallest there is.
    smallest = 2.0 ** (1 - units.scores.shape[1])
    return ", too few for any verdict" if n_tests * smallest >= LEVEL else ""


def _listed(
    names: Sequence[Sequence[str]], groups: Collection[int], allowed: Collection[str]
) -> str:
    """Return the names of these controls."""
    members = [name for group in groups for name in names[group]]
    return ", ".join(sorted(name for name in members if name in allowed))


def planted(units: Units, comparison: Comparison, known: Roles) -> pd.DataFrame:
    """Return how much of each method's relevance is inside the planted truth.

    One row per method and control, of a metric whose scores are that share. `edge_difference` is
    the median difference to the edge detector over samples; it and `p_holm` are NaN without one.
    Each control is a comparison of its own.
    """
    rows = intervals(units)
    rows = rows.assign(edge_difference=np.nan, p_holm=np.nan, beats_edge_detector=False)

    edges = units.groups_of(known.of(Role.EDGES))
    if edges:
        at = (units.group, edges[0])
        adjusted = families(units, comparison)[at]
        rows["edge_difference"] = comparison.median[at]
        # Between two controls nothing is corrected.
        rows["p_holm"] = np.where(np.isnan(adjusted), comparison.p_value[at], adjusted)
        rows["beats_edge_detector"] = (rows["p_holm"] < LEVEL) & (comparison.effect[at] > 0)

    return rows.assign(dataset=units.place[0], model=units.place[1])[list(PLANTED)]


def relations(pairs: pd.DataFrame, known: Roles) -> pd.Series:
    """Return what the second method of each pair is to the first.

    "random", "edge detector", "inverted self" and the like, or nothing.
    """
    words = []
    for method, other in zip(pairs["method"], pairs["other"], strict=True):
        changed = known.changed.get((method, other)) or known.changed.get((other, method))
        words.append(f"{changed} self" if changed else str(known.of_control.get(other, "")))
    return pd.Series(words, index=pairs.index, dtype=str)

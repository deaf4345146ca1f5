"""Which metrics tell something on which network, what planted truth says, and what beats its control.

A metric says nothing on a network where it cannot tell the planted oracle from a control that looks neither at the
network nor at a truth (a constant map, a random one, edges, the input), or where no method is told from such a control.
Such pairs of metric and network are left out of rankings and verdicts, with the reason.
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

CHANGED = (Role.INVERTED, Role.BLURRED)  # roles of the wrappers that are compared with their method


@value
class Roles:
    """What the controls of a run are for, by run id."""

    of_control: Mapping[str, Role]
    changed: Mapping[tuple[str, str], Role]  # by (method, inverted or blurred copy of that method)
    blind: frozenset[str]  # look neither at the network nor at a truth

    def of(self, role: Role) -> frozenset[str]:
        """Return the controls with this role."""
        return frozenset(name for name, own in self.of_control.items() if own is role)

    @property
    def inverted(self) -> frozenset[str]:
        """The worst maps there are: the inverted oracles, or if there is none, the inverted methods."""
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


def table(units: Units, told: Comparison, known: Roles) -> pd.DataFrame:
    """Return one row: whether the metric is informative on this network, and why or why not."""
    is_informative, reason = judge(units, told, known)
    row = (*units.place, is_informative, reason)
    return pd.DataFrame([row], columns=list(INFORMATIVE))


def judge(units: Units, told: Comparison, known: Roles) -> tuple[bool, str]:
    """Return whether the metric is informative, with the reason.

    A run without blind controls can test nothing, and nothing speaks against its metrics. Where a run has some, a
    metric without a score of any stays out of rankings.
    """
    blind, oracle = units.groups_of(known.blind), units.groups_of(known.of(Role.ORACLE))
    names, seen = units.members, f" ({units.scores.shape[1]} samples)"
    if not blind and known.blind:
        return (
            False,
            "No control that looks neither at the network nor at a truth has a score: this was not tested.",
        )
    if not blind:
        return (
            True,
            "No control in the run looks neither at the network nor at a truth, so this was not tested.",
        )
    for group in oracle:
        p_value = holm(told.p_value[group, blind])
        alike = [
            control
            for control, p in zip(blind, p_value, strict=True)
            if not (p < LEVEL and told.effect[group, control] > 0)
        ]
        if alike:
            few = _too_few(units, len(blind))
            return (
                False,
                f"The planted oracle is not better than {_listed(names, alike, known.blind)}{seen}{few}.",
            )
    adjusted = families(units, told)
    ours = np.flatnonzero(np.bincount(units.group, ~units.is_control, minlength=units.n_groups) > 0)
    if not len(ours):
        return False, "No method has a score."
    beaten = (adjusted[np.ix_(ours, np.array(blind))] < LEVEL) & (
        told.effect[np.ix_(ours, np.array(blind))] > 0
    )
    unbeaten = [
        control for control, column in zip(blind, beaten.T, strict=True) if not column.any()
    ]
    if unbeaten:
        few = _too_few(units, len(ours))
        return (
            False,
            f"No method is better than {_listed(names, unbeaten, known.blind)}{seen}{few}.",
        )
    lead = "The planted oracle and at least one method are" if oracle else "At least one method is"
    return True, f"{lead} better than {_listed(names, blind, known.blind)}{seen}."


def _too_few(units: Units, n_tests: int) -> str:
    """Return the words for samples so few that no difference, however clear, survives that many comparisons."""
    smallest = 2.0 ** (1 - units.scores.shape[1])  # p value of differences that all agree
    return ", too few for any verdict" if n_tests * smallest >= LEVEL else ""


def _listed(
    names: Sequence[Sequence[str]], groups: Collection[int], allowed: Collection[str]
) -> str:
    """Return the names of these controls."""
    return ", ".join(sorted(name for group in groups for name in names[group] if name in allowed))


def planted(units: Units, told: Comparison, known: Roles) -> pd.DataFrame:
    """Return how much of each method's relevance lies on the planted truth, and whether it beats the edge detector.

    One row per method and control, of a metric whose scores are that share. `edge_difference` is the median difference
    to the edge detector over samples; it and `p_holm` are NaN without one. Each control is a comparison of its own.
    """
    edges = units.groups_of(known.of(Role.EDGES))
    adjusted = families(units, told)
    rows = intervals(units)
    at = (units.group, edges[0]) if edges else None
    rows["edge_difference"] = told.median[at] if at else np.nan
    rows["p_holm"] = (
        np.where(np.isnan(adjusted[at]), told.p_value[at], adjusted[at]) if at else np.nan
    )
    rows["beats_edge_detector"] = (rows["p_holm"] < LEVEL) & (told.effect[at] > 0 if at else False)
    return rows.assign(dataset=units.place[0], model=units.place[1])[list(PLANTED)]


def relations(pairs: pd.DataFrame, known: Roles) -> pd.Series:
    """Return what the second method of each pair is to the first: random, edge detector, inverted self, or nothing."""
    words = []
    for method, other in zip(pairs["method"], pairs["other"], strict=True):
        changed = known.changed.get((method, other)) or known.changed.get((other, method))
        words.append(f"{changed} self" if changed else str(known.of_control.get(other, "")))
    return pd.Series(words, index=pairs.index, dtype=str)

"""What a metric can be used for on a network, who is faithful there, what planted truth shows.

A blind control is a map that looks neither at the network nor at a truth: a constant one, a random
one, edges, the input. What a metric can be used for is one of three:

- usable: the best method is better than every blind control, by an effect (`statistics.effects`)
  of `THRESHOLD` or more. An effect does not grow with the number of samples, as a p value shrinks.
- among faithful methods: a map that looks at nothing can be perfect by the metric (robustness of a
  constant map, sparseness of a single pixel), so that it orders only methods that are known to be
  faithful on that network.
- not usable: neither; left out of rankings and verdicts, with the reason.

The planted oracle knows where the evidence is and nothing of the network, so that it need not be
good by a metric that asks about the network. Where it is worse than a blind control by a metric of
faithfulness or truth, the metric rewards something other than evidence and is not usable.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from gpex_bench.statistics import effects
from gpex_bench.statistics.effects import UNKNOWN, Effect
from gpex_bench.statistics.intervals import intervals
from gpex_bench.statistics.pairs import Comparison, families, verdicts
from gpex_bench.statistics.units import Units
from gpex_bench.tables.columns import (
    FAITHFUL,
    INFORMATIVE,
    LEVEL,
    NETWORK,
    PLACE,
    PLANTED,
)
from gpex_bench.tables.order import Record, blind_ids, control_ids, groups
from gpex_bench.tables.words import AMONG_FAITHFUL, BETTER, NOT_USABLE, USABLE
from gpex_bench.types import Role, value

# The effect from which on a metric tells methods from blind controls: half a standard deviation of
# the difference, as when the best method wins on about 69 of 100 samples.
THRESHOLD = 0.5

# What metrics measure on which the planted oracle must not be worse than a blind control.
JUDGED_BY_ORACLE = ("faithfulness", "truth")

NO_CONTROL = "no control in the run looks neither at the network nor at a truth"

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


@value
class Judgement:
    """What a metric can be used for, and the effect that says so, if any."""

    use: str
    reason: str
    effect: Effect = UNKNOWN


@value
class Faithful:
    """By how many of the usable faithfulness metrics each method is better than blind controls."""

    n_better: Mapping[str, int]  # by method
    n_metrics: int

    @property
    def methods(self) -> frozenset[str]:
        """The methods that are better by more than half of them."""
        return frozenset(name for name, n in self.n_better.items() if 2 * n > self.n_metrics)


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


def tables(
    compared: Sequence[tuple[Units, Comparison]], metrics: Mapping[str, Record], known: Roles
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what every metric can be used for on every network, and who is faithful there.

    Args:
        compared: the scores of each network and metric, with every pair of methods compared.
        metrics: cards by run id: what each measures, and whether a blind map can be perfect.
        known: the roles of the controls.
    """
    faithful = faithful_methods(compared, metrics, known)
    rows = []
    for block, _ in compared:
        network, metric = block.place[:2], block.place[2]
        found = judge(block, metrics[metric], known, faithful.get(network))
        numbers = (found.effect.size, found.effect.low, found.effect.high)
        rows.append((*block.place, found.use != NOT_USABLE, found.use, found.reason, *numbers))
    return pd.DataFrame(rows, columns=list(INFORMATIVE)), faithful_table(faithful)


def judge(units: Units, metric: Record, known: Roles, faithful: Faithful | None) -> Judgement:
    """Return what a metric can be used for on this network, with the reason.

    In a run without blind controls nothing can be tested, and every metric is usable.

    Args:
        units: the scores.
        metric: its card.
        known: the roles of the controls.
        faithful: who is faithful on this network; None if that was not tested.
    """
    if not units.has_method.any():
        return Judgement(use=NOT_USABLE, reason="No method has a score.")
    if not known.blind:
        return Judgement(use=USABLE, reason=f"Not tested: {NO_CONTROL}.")
    if metric["blind_can_be_perfect"]:
        return _among_faithful(faithful)

    blind = units.groups_of(known.blind)
    if not blind:
        return Judgement(use=NOT_USABLE, reason="Not tested: no blind control has a score.")
    if metric["measures"] in JUDGED_BY_ORACLE:
        reason = _worse_oracle(units, known, blind)
        if reason:
            return Judgement(use=NOT_USABLE, reason=reason)
    return _best_against_blind(units, known, blind)


def _among_faithful(faithful: Faithful | None) -> Judgement:
    """Judge a metric by which a map that looks at nothing can be perfect."""
    if faithful is None:
        use, so = AMONG_FAITHFUL, "no faithfulness metric was scored here to say who is faithful"
    elif not faithful.n_metrics:
        use, so = NOT_USABLE, "no faithfulness metric is usable here"
    elif not faithful.methods:
        use, so = NOT_USABLE, "no method is shown to be faithful here"
    else:
        n_methods = len(faithful.methods)
        use, so = AMONG_FAITHFUL, f"it orders the {n_methods} faithful methods alone"

    reason = f"A map that looks at nothing can be perfect by this metric: {so}."
    return Judgement(use=use, reason=reason)


def _worse_oracle(units: Units, known: Roles, blind: Sequence[int]) -> str:
    """Return why the planted oracle speaks against a metric; empty if it does not."""
    for oracle in units.groups_of(known.of(Role.ORACLE)):
        for control in blind:
            found = effects.of_group(units, oracle, control)
            if found.size <= -THRESHOLD and found.high < 0:
                name = _named(units, control, known)
                return f"The planted oracle is worse than {name} ({_worded(units, found)})."
    return ""


def _best_against_blind(units: Units, known: Roles, blind: Sequence[int]) -> Judgement:
    """Judge a metric by the best method against the blind control that does best."""
    against = {control: effects.of_best(units, control) for control in blind}
    unknown = [control for control, found in against.items() if math.isnan(found.size)]
    if unknown:
        n_samples = units.scores.shape[1]
        reason = f"Not tested: too few samples ({n_samples}, {effects.FEWEST} are needed)."
        return Judgement(use=NOT_USABLE, reason=reason)

    hardest = min(against, key=lambda control: against[control].size)
    found = against[hardest]
    words = f"{_named(units, hardest, known)} ({_worded(units, found)})"
    if found.size >= THRESHOLD and found.is_above_zero:
        reason = f"The best method is better than every blind control; the best is {words}."
        return Judgement(use=USABLE, reason=reason, effect=found)
    reason = f"No method is clearly better than {words}."
    return Judgement(use=NOT_USABLE, reason=reason, effect=found)


def _worded(units: Units, found: Effect) -> str:
    """Return words for an effect."""
    n_samples = units.scores.shape[1]
    return (
        f"effect {found.size:.2f} [{found.low:.2f}, {found.high:.2f}], {n_samples} samples, "
        f"threshold {THRESHOLD:g}"
    )


def _named(units: Units, group: int, known: Roles) -> str:
    """Return the names of the blind controls in a group."""
    return ", ".join(sorted(name for name in units.members[group] if name in known.blind))


def faithful_methods(
    compared: Iterable[tuple[Units, Comparison]], metrics: Mapping[str, Record], known: Roles
) -> dict[tuple[str, str], Faithful]:
    """Return which methods are faithful on each network.

    A method is faithful where it is better than every blind control by more than half of the
    faithfulness metrics that are usable on the network. Networks without a score of such a metric
    are left out, and so is everything in a run without blind controls.
    """
    if not known.blind:
        return {}

    votes: dict[tuple[str, str], Counter[str]] = {}
    n_metrics: Counter[tuple[str, str]] = Counter()
    for units, comparison in compared:
        network, metric = units.place[:2], metrics[units.place[2]]
        if metric["measures"] != "faithfulness" or metric["blind_can_be_perfect"]:
            continue
        # Methods may have a score by some of the metrics only.
        own = votes.setdefault(network, Counter())
        own.update(dict.fromkeys(units.plain, 0))
        if judge(units, metric, known, None).use == USABLE:
            n_metrics[network] += 1
            own.update(_better_than_blind(units, comparison, known))

    return {
        network: Faithful(n_better=dict(sorted(own.items())), n_metrics=n_metrics[network])
        for network, own in votes.items()
    }


def _better_than_blind(units: Units, comparison: Comparison, known: Roles) -> list[str]:
    """Return the methods that are better than every blind control."""
    blind = units.groups_of(known.blind)
    verdict = verdicts(units, comparison)
    is_better = np.all(verdict[:, blind] == BETTER, axis=1)
    of_method = zip(units.methods, units.group, strict=True)
    better = [name for name, group in of_method if is_better[group]]
    return [name for name in better if name in set(units.plain)]


def faithful_table(found: Mapping[tuple[str, str], Faithful]) -> pd.DataFrame:
    """Return one row per network and method: whether it is faithful there, and by what."""
    rows = [
        (*network, method, method in one.methods, n_better, one.n_metrics)
        for network, one in found.items()
        for method, n_better in one.n_better.items()
    ]
    return pd.DataFrame(rows, columns=list(FAITHFUL))


def left_out(
    found: pd.DataFrame, faithful: pd.DataFrame
) -> dict[tuple[str, str, str], frozenset[str]]:
    """Return the methods that a metric does not order, where it orders faithful ones alone.

    Args:
        found: the table `informative`.
        faithful: the table `faithful`; a network without rows was not tested.
    """
    is_unfaithful = ~faithful["is_faithful"].astype(bool)
    unfaithful = {
        network: frozenset(part["method"])
        for network, part in groups(faithful[is_unfaithful], NETWORK)
    }
    among = found[found["use"] == AMONG_FAITHFUL]
    places = among[list(PLACE)].itertuples(index=False, name=None)
    return {place: unfaithful.get(place[:2], frozenset()) for place in places}


def planted(units: Units, comparison: Comparison, known: Roles) -> pd.DataFrame:
    """Return how much of each method's relevance is inside the planted truth.

    One row per method and control, of a metric whose scores are that share. `edge_difference` is
    the mean difference to the edge detector over samples; it and `p_holm` are NaN without one.
    Each control is a comparison of its own.
    """
    rows = intervals(units)
    rows = rows.assign(edge_difference=np.nan, p_holm=np.nan, beats_edge_detector=False)

    edges = units.groups_of(known.of(Role.EDGES))
    if edges:
        at = (units.group, edges[0])
        adjusted = families(units, comparison)[at]
        rows["edge_difference"] = comparison.estimate[at]
        # Between two controls nothing is corrected.
        rows["p_holm"] = np.where(np.isnan(adjusted), comparison.p_value[at], adjusted)
        rows["beats_edge_detector"] = (rows["p_holm"] < LEVEL) & (comparison.estimate[at] > 0)

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

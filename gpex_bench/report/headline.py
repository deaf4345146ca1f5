"""The tables of the headline metric (`statistics.headline`), read for sentences and answers.

Nothing is decided here: who is better than whom, and who leads, are columns of the tables.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field

import pandas as pd

from gpex_bench.tables.columns import NETWORK, PLACE
from gpex_bench.tables.order import Record, groups, records
from gpex_bench.tables.words import BETTER, OPEN, WORSE
from gpex_bench.types import value

Network = tuple[str, str]  # dataset, model

# What a verdict says of its second method.
REVERSED = {BETTER: WORSE, WORSE: BETTER}


@value
class Headline:
    """What the tables of the headline metric say of each network."""

    # the rows of `headline`, the best place first
    rows: Mapping[Network, Sequence[Record]] = field(default_factory=dict)
    # verdict of a method over another one, each pair in both orders
    verdicts: Mapping[tuple[Network, str, str], str] = field(default_factory=dict)
    # the rows of `headline_variants` under each fill and output
    variants: Mapping[Network, Mapping[str, Sequence[Record]]] = field(default_factory=dict)

    @property
    def networks(self) -> list[Network]:
        """Dataset and model of the networks with a score, sorted."""
        return sorted(self.rows)

    def over(self, network: Network, method: str, other: str) -> str:
        """Return the verdict of a method over another one; empty if they are not compared."""
        return self.verdicts.get((network, method, other), "")

    def beaten_by(self, network: Network, method: str, others: Collection[str]) -> list[str]:
        """Return those of the others that are better than a method, by name."""
        return sorted(name for name in others if self.over(network, name, method) == BETTER)

    def against(self, network: Network, method: str, others: Collection[str]) -> dict[str, str]:
        """Return the verdict of a method over each other one."""
        return {name: self.over(network, method, name) or OPEN for name in others if name != method}

    def first_under(self, network: Network, names: Collection[str]) -> dict[str, list[str]]:
        """Return which of some methods have the best place under each fill and output."""
        first = {}
        for variant, rows in self.variants.get(network, {}).items():
            own = [row for row in rows if row["method"] in names]
            best = min((row["place"] for row in own), default=0)
            first[variant] = sorted(row["method"] for row in own if row["place"] == best)
        return {variant: methods for variant, methods in first.items() if methods}


def read(tables: Mapping[str, pd.DataFrame], metric: str) -> Headline:
    """Return what the tables of conclusions say of the headline metric, where it is usable.

    Args:
        tables: by name; those of the headline may be missing.
        metric: run id of the headline metric.
    """
    frames = {}
    for name in ("headline", "headline_pairs", "headline_variants"):
        table = tables.get(name)
        if table is not None and len(table):
            frames[name] = _usable(table[table["metric"] == metric], tables.get("informative"))
    if not len(frames.get("headline", ())):
        return Headline()

    return Headline(
        rows={
            (dataset, model): records(part.sort_values(["place", "method"]))
            for (dataset, model), part in groups(frames["headline"], NETWORK)
        },
        verdicts=_verdicts(frames.get("headline_pairs")),
        variants=_variants(frames.get("headline_variants")),
    )


def _usable(table: pd.DataFrame, informative: pd.DataFrame | None) -> pd.DataFrame:
    """Return the rows of networks on which the metric is usable."""
    if informative is None:
        return table

    bad = informative[~informative["is_informative"].astype(bool)]
    places = pd.MultiIndex.from_frame(table[list(PLACE)])
    return table[~places.isin(list(bad[list(PLACE)].itertuples(index=False, name=None)))]


def _verdicts(pairs: pd.DataFrame | None) -> dict[tuple[Network, str, str], str]:
    """Return the verdict of each ordered pair."""
    found: dict[tuple[Network, str, str], str] = {}
    if pairs is None:
        return found

    for row in records(pairs):
        network = (row["dataset"], row["model"])
        word = row["verdict"]
        found[network, row["method"], row["other"]] = word
        found[network, row["other"], row["method"]] = REVERSED.get(word, word)
    return found


def _variants(variants: pd.DataFrame | None) -> dict[Network, dict[str, Sequence[Record]]]:
    """Return the rows of each fill and output, by network."""
    found: dict[Network, dict[str, Sequence[Record]]] = {}
    if variants is None:
        return found

    for (dataset, model, fill, output), part in groups(variants, [*NETWORK, "fill", "output"]):
        name = f"{fill.replace('_', ' ')}, {output}"
        of_network = found.setdefault((dataset, model), {})
        of_network[name] = records(part.sort_values(["place", "method"]))
    return found

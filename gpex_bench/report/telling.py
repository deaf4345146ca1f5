"""Which explanations a picture shows of each network, and why: chosen by rule, never by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from gpex_bench.report.cases import KINDS
from gpex_bench.report.headline import Headline, Network
from gpex_bench.tables.order import Record, blind_ids, control_ids
from gpex_bench.types import Need, Role

# What a picture calls the method of a case, in the order in which they are shown.
WHY = {"any": "best", "black_box": "black box", "cheap": "cheap"}
MISLEADING = "misleading"
EVIDENCE = "planted evidence"

Whys = Mapping[str, str]  # method → why it is shown


def telling(
    answers: Sequence[Record],
    headline: Headline,
    outcomes: pd.DataFrame,
    methods: Sequence[Record],
    metrics: Sequence[Record],
) -> dict[Network, dict[str, str]]:
    """Return for each network with images which methods are shown, and why.

    Those that the cases name, and one that misleads: on planted evidence the method with the least
    relevance on it, elsewhere the method with the worst place of those that a control beats which
    never looks at the network.

    Args:
        answers: what `cases.answers` returns.
        headline: what the tables of the headline metric say.
        outcomes: one row for each dataset, model, method and metric.
        methods: cards.
        metrics: cards.
    """
    found: dict[Network, dict[str, str]] = {}
    for case, why in WHY.items():
        for row in answers:
            is_wanted = row["case"] == case and row["kind"] == KINDS[Need.IMAGE.value]
            if is_wanted and row["state"] != "unscored":
                of_network = found.setdefault((row["dataset"], row["model"]), {})
                name = row["method"]
                of_network[name] = f"{of_network[name]}, {why}" if name in of_network else why

    for network, whys in found.items():
        worst = _by_truth(network, outcomes, methods, metrics)
        worst = worst or _behind_blind(network, headline, methods)
        if worst:
            whys.setdefault(worst, MISLEADING)
        for name in sorted(control_ids(methods, Role.ORACLE)):
            whys.setdefault(name, EVIDENCE)
    return found


def _by_truth(
    network: Network,
    outcomes: pd.DataFrame,
    methods: Sequence[Record],
    metrics: Sequence[Record],
) -> str:
    """Return the method with the least relevance on planted evidence; empty without a score."""
    shares = [card["metric"] for card in metrics if card.get("is_share_of_truth")]
    dataset, model = network
    is_here = outcomes["dataset"].eq(dataset) & outcomes["model"].eq(model)
    is_scored = outcomes["metric"].isin(shares) & outcomes["state"].eq("ok")
    is_control = outcomes["method"].isin(list(control_ids(methods)))

    own = outcomes[is_here & is_scored & ~is_control]
    means = own.groupby("method")["mean"].mean().sort_values(kind="stable")
    return str(means.index[0]) if len(means) else ""


def _behind_blind(network: Network, headline: Headline, methods: Sequence[Record]) -> str:
    """Return the method with the worst place that a blind control beats; empty without one."""
    rows = headline.rows.get(network, ())
    blind = blind_ids(methods) & {row["method"] for row in rows}
    behind = [
        row["method"]
        for row in rows
        if not row["is_control"] and headline.beaten_by(network, row["method"], blind)
    ]
    return behind[-1] if behind else ""

"""The report of 45 methods, 33 metrics and 4 networks: small enough to send, and still in order."""

import re

import pandas as pd

from gpex_bench import report
from gpex_bench.report import scores
from gpex_bench.statistics.outcomes import cost_summary
from gpex_bench.tables.columns import COSTS, PLACE
from gpex_bench.tables.order import control_ids
from tests.vocabulary import report as made_up


def test_a_run_of_many_methods_and_metrics_stays_small() -> None:
    methods, metrics = made_up.large_methods(), made_up.large_metrics()
    parts = made_up.large(6, 2)
    outcomes = made_up.large_outcomes(parts)
    controls = control_ids(methods)

    page = report.render(
        report.Results(
            run="large",
            headline="srg",
            outcomes=outcomes,
            cells=parts["cells"],
            costs=pd.DataFrame(columns=list(COSTS)),
            agreement=pd.DataFrame(columns=list(report.AGREEMENT)),
            efficiency=cost_summary(parts["cells"], outcomes, "srg", True, controls),
            methods=methods,
            metrics=metrics,
            scores=parts["scores"],
            provenance={},
        )
    )
    assert len(page) < 2_000_000  # which leaves three of the five megabytes to the figures

    wanted = scores.detailed(outcomes, metrics, "srg")
    scored = outcomes[outcomes["state"] == "ok"]
    detailed = scored.set_index(list(PLACE)).index.isin(wanted).sum()
    assert 0 < detailed <= scores.N_DETAILED and page.count('class="hist"') == detailed
    assert {metric for _, _, metric in wanted} >= {"srg", "robustness_0", "complexity_0"}

    first = page.split('<section id="ranking">')[1].split("</table>")[0]
    assert first.count("<tr data-kind") == 10 and f"all {len(methods)}" in first
    assert len(re.findall(r'<details class="card" id="method-', page)) == len(methods)

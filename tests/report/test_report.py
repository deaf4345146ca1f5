"""The report: complete, self-contained, the same bytes, and never a number where there is none."""

import re
from functools import cache
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from gpex_bench import plots, report
from gpex_bench.plots import style
from gpex_bench.report import bibliography, sections, verdict
from gpex_bench.report.scaling import scaled, shade
from gpex_bench.statistics.outcomes import agreement_summary, cost_summary, outcome_table, summarise
from gpex_bench.tables.order import control_ids, ordered, records
from gpex_bench.tables.words import below_one, interval, number
from tests.vocabulary import frames as synthetic
from tests.vocabulary import report as made_up

METHODS, METRICS = synthetic.methods(), synthetic.metrics()
CONTROLS = control_ids(METHODS)
BIBTEX = """@article{sundararajan2017axiomatic,
  author = {Sundararajan, Mukund and Yan, Qiqi},
  title = {Axiomatic},
  year = {2017}
}
"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" role="img"><title>t</title><desc>d</desc></svg>'


@cache
def table() -> pd.DataFrame:
    """The agreement of every surrogate."""
    return synthetic.agreement(synthetic.predictions(60, 3, tuple(synthetic.SURROGATES)))


@cache
def inputs() -> dict[str, pd.DataFrame]:
    up = {record["metric"]: record["higher_is_better"] for record in METRICS}
    summary = summarise(synthetic.scores(12), up, CONTROLS)
    cells = synthetic.cells()
    outcomes = outcome_table(summary, cells, synthetic.skipped())
    return {
        "outcomes": outcomes,
        "cells": cells,
        "costs": synthetic.costs(),
        "agreement": agreement_summary(table()),
        "efficiency": cost_summary(cells, outcomes, "srg", True, CONTROLS),
    }


@cache
def statistics_frames() -> dict[str, pd.DataFrame]:
    return made_up.statistics_frames(inputs()["outcomes"], METHODS, METRICS)


def results(**changes: Any) -> report.Results:
    fields = {
        **inputs(),
        "scores": synthetic.scores(12),
        "statistics": statistics_frames(),
        "bibliography": BIBTEX,
        "run": "smoke",
        "headline": "srg",
        "methods": METHODS,
        "metrics": METRICS,
        "surrogates": synthetic.surrogates(),
        "surrogate_costs": synthetic.surrogate_costs(),
        "pictures": [
            report.Picture(
                section="cost", dataset="shapes", title="A cost", svg=SVG, data="figures/x.csv"
            )
        ],
        "facts": [{"dataset": "shapes", "network": "thin_resnet", "train": 10}],
        "provenance": {
            "command": "snakemake",
            "versions": {"torch": "2"},
            "config": "run: x\nseeds: [1]",
        },
    }
    return report.Results(**{**fields, **changes})


@cache
def html() -> str:
    return report.render(results())


class Page(HTMLParser):
    """Collects tags, ids, loads and table cells."""

    void = {"meta", "link", "br", "wbr", "input"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_is_well_formed_and_navigable() -> None:
    page = Page(html())
    assert not page.open and len(page.ids) == len(set(page.ids))
    jumps = [
        found["href"]
        for tag, found in page.tags
        if tag == "a" and str(found["href"]).startswith("#")
    ]
    assert {str(jump)[1:] for jump in jumps} <= set(page.ids) and len(jumps) > 8
    heads = [found for tag, found in page.tags if tag == "th"]
    assert heads and all(found.get("scope") in ("row", "col", "colgroup") for found in heads)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and all(
        after - before <= 1 for before, after in zip(levels, levels[1:], strict=False)
    )


def test_loads_nothing() -> None:
    for tag, found in Page(html()).tags:
        assert tag not in ("iframe", "object", "embed", "base")
        for name in ("src", "srcset", "href", "action", "xlink:href"):
            assert not re.match(r"\w+:|//", str(found.get(name, ""))) or str(
                found[name]
            ).startswith("data:"), (
                tag,
                found,
            )
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)|fetch\(|XMLHttpRequest|import\(", html())


def test_same_bytes_twice_and_in_any_order() -> None:
    mixed = {name: frame.sample(frac=1, random_state=5) for name, frame in inputs().items()}
    assert report.render(results()) == html()
    frames_mixed = {
        name: frame.sample(frac=1, random_state=5) for name, frame in statistics_frames().items()
    }
    shuffled = results(
        **mixed, methods=METHODS[::-1], metrics=METRICS[::-1], statistics=frames_mixed
    )
    assert report.render(shuffled) == html()


def test_every_score_is_in_its_cell() -> None:
    text = html()
    for row in records(inputs()["outcomes"].query("state == 'ok'")):
        mean, ends = interval(row["mean"], row["low"], row["high"])
        assert f'data-v="{row["mean"]:.8g}"' in text
        assert f"<b>{mean}</b>" in text and ends in text


def test_cells_without_a_score_hold_words_only() -> None:
    cells = re.findall(
        r'<td class="(failed|na)" data-v="([^"]*)"(?: colspan="\d+")?>([^<]*)</td>', html()
    )
    assert {kind for kind, *_ in cells} == {"failed", "na"} or {kind for kind, *_ in cells} == {
        "failed"
    }
    for kind, value, text in cells:
        assert value == "" and unescape(text).startswith(
            "failed" if kind == "failed" else ("n/a", "none", "0 of")
        )
        assert not re.search(r"\d\.\d", text)


def test_table_rows_of_a_failed_method_hold_no_number() -> None:
    compared = html().split('id="compare"')[1].split("</section>")[0]
    rows = [
        row
        for row in re.findall(r"<tr.*?</tr>", compared, re.DOTALL)
        if "#method-sobol" in row and "timeout" in row
    ]
    assert len(rows) > 2  # one of each group of metrics
    for row in rows:
        assert "failed (timeout): took longer than 900 s" in row and not re.search(
            r">\s*-?\d+\.\d", row
        )


def test_failures_and_partial_results_are_said_where_a_reader_looks() -> None:
    text = unescape(html())
    assert '<strong class="warn">7 failed</strong>' in text
    assert "failed (memory): used more than 4 GiB" in text.split('id="compare"')[0]
    assert "2 of 3 seeds" in text.split('id="compare"')[1]
    assert "n/a: needs truth" in text and "Intervals are over 8 test samples" in text


def test_names_are_escaped() -> None:
    nasty = [{**METHODS[0], "description": "<script>alert(1)</script>"}, *METHODS[1:]]
    assert "<script>alert" not in report.render(results(methods=nasty))


def test_style_follows_the_figures_colours() -> None:
    for colour in (style.INK, style.GREY, style.FAINT):
        assert colour in html()


def test_a_real_figure_is_inlined_once() -> None:
    drawing = plots.cost_against_score(inputs()["efficiency"].query("dataset == 'shapes'"), True)
    svg = plots.to_svg(drawing, "cost_shapes")
    picture = report.Picture(section="cost", dataset="shapes", title=drawing.title, svg=svg)
    page = report.render(results(pictures=[picture]))
    assert page.count(svg) == 1
    assert len(Page(page).ids) == len(set(Page(page).ids))


def test_empty_parts_leave_no_empty_sections() -> None:
    page = report.render(
        results(
            agreement=inputs()["agreement"].iloc[:0],
            pictures=[],
            facts=[],
            costs=synthetic.costs().iloc[:0],
            bibliography="",
        )
    )
    for section in ("agreement", "gallery", "neighbours", "removal", "references"):
        assert f'id="{section}"' not in page and f'href="#{section}"' not in page
    assert "no surrogate" in page


@pytest.mark.parametrize("name", ["outcomes", "cells", "costs", "agreement", "efficiency"])
def test_a_missing_column_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} lacks the columns \['dataset'\]"):
        report.render(results(**{name: inputs()[name].drop(columns="dataset")}))


def test_a_picture_of_no_section_is_an_error() -> None:
    picture = report.Picture(section="art", dataset="", title="t", svg=SVG)
    with pytest.raises(
        ValueError, match=r"unknown sections \['art'\]; known are \['ranks_overall'"
    ):
        report.render(results(pictures=[picture]))


def finding(**changes: Any) -> verdict.Finding:
    fields: dict[str, Any] = {name: "" for name in verdict.Finding.__dataclass_fields__}
    fields |= {
        "dataset": "d",
        "place": "d",
        "metric": "srg",
        "leader": "a",
        "mean": "0.8",
        "ends": "[0.7, 0.9]",
        "tied": (),
        "controls": (),
        "behind": (),
        "matches": (),
    }
    return verdict.Finding(**{**fields, **changes})


def overall(*rows: tuple[str, float, bool], friedman_p: float = 0.001) -> pd.DataFrame:
    """Mean ranks over three networks."""
    more = {"n_networks": 3, "friedman_p": friedman_p, "rank_low": 1.0, "rank_high": 2.5}
    return pd.DataFrame(rows, columns=["method", "mean_rank", "tied_with_best"]).assign(**more)


NO_RANKS = overall().iloc[:0]


def test_a_sentence_on_each_network_calls_a_tie_a_tie() -> None:
    lead = verdict.on_one_network(finding(second="b", ahead="0.020", p_value="p = 0.010"))
    assert lead == "On d a 0.8 [0.7, 0.9] leads, by 0.020 over b (p = 0.010)."
    tie = verdict.on_one_network(finding(tied=("b", "c"), controls=("random_map",)))
    assert tie == (
        "On d no single method leads: a 0.8 [0.7, 0.9] cannot be told from b and c; "
        "the control random_map cannot be told from it, or is better."
    )
    assert verdict.on_one_network(finding(leader="")) == "On d no method has a srg score."
    silent = verdict.silenced(
        finding(second="b"), {("d", "", "srg"): "the oracle is not told from random"}
    )
    assert (
        verdict.on_one_network(silent)
        == "On d srg says nothing: the oracle is not told from random."
    )


def test_the_verdict_is_silent_where_nothing_is_significant() -> None:
    tie = [finding(tied=("b", "c"))]
    assert verdict.sentences(tie, "srg", NO_RANKS) == []
    unsure = overall(("a", 1.2, True), ("b", 1.4, True), ("c", 3.0, False), friedman_p=0.2)
    assert verdict.sentences(tie, "srg", unsure) == []
    assert verdict.sentences([finding(leader="")], "srg", NO_RANKS) == [
        "No method has a score for srg, so there is no leader."
    ]
    blank = verdict.silenced(finding(), {("d", "", "srg"): "x"})
    assert verdict.sentences([blank], "srg", NO_RANKS) == [
        "srg says nothing on any network here, so there is no leader: see below why."
    ]


def test_the_verdict_names_leader_ties_and_beware() -> None:
    ranks = overall(("a", 1.2, True), ("b", 1.4, True), ("c", 3.0, False))
    one = finding(second="b", ahead="0.020", p_value="p = 0.010", behind=("c",), blind="edges 0.5")
    said = verdict.sentences(
        [one, finding(dataset="e", place="e", tied=("b",))], "srg", ranks, "symmetric gain"
    )
    assert said == [
        "By srg (symmetric gain), a has the best mean rank of 3 methods over 3 networks, 1.20 [1.00, 2.50]; "
        "b cannot be told from it.",
        "By srg (symmetric gain), one method is told from all others on 1 of 2 networks: a on d (0.020 ahead of b, "
        "p = 0.010); on the other one no method is.",
        "Methods with a worse mean than the best control that never looks at the network: 1 on d (edges 0.5).",
    ]
    alone = verdict.sentences([one], "srg", overall(("a", 1.2, True), ("b", 2.4, False)))
    assert alone[0].endswith("1.20 [1.00, 2.50], and is told from every other one.")


def test_the_answers_name_the_weakest_head_and_the_cheaper_tie() -> None:
    page = html().split('class="answers"')[1].split("</table>")[0]
    assert "tied with it" in page or "leads, by" in page
    assert re.search(r"9: <b>0\.\d+</b>", page)


def test_the_verdict_is_about_the_surrogates_that_methods_explain_with() -> None:
    found = verdict.findings(
        inputs()["outcomes"], inputs()["efficiency"], inputs()["agreement"], METHODS, METRICS
    )
    digits = next(one for one in found if one.dataset == "mnist5k" and one.metric == "srg")
    (match,) = digits.matches
    chosen = inputs()["agreement"].query(
        "dataset == 'mnist5k' and surrogate == 'gpex' and split == 'test' and statistic == 'pearson' and head != 'all'"
    )
    assert match.surrogate == "gpex" and match.mean_r == below_one(chosen["mean"].mean())
    assert f"<b>{match.mean_r}</b> <small>gpex</small>" in html().split('id="ranking"')[0]
    without = [{**record, "surrogate": None} for record in METHODS]
    every = verdict.explained_with(without, inputs()["agreement"])
    assert set(every["surrogate"]) == set(synthetic.SURROGATES)


def test_two_networks_on_one_dataset_are_told_apart() -> None:
    both = {
        name: pd.concat(
            [inputs()[name], inputs()[name].query("dataset == 'mnist5k'").assign(model="attention")]
        )
        for name in ("outcomes", "efficiency", "agreement")
    }
    found = verdict.findings(
        both["outcomes"], both["efficiency"], both["agreement"], METHODS, METRICS
    )
    said = " ".join(verdict.on_one_network(one) for one in found if one.metric == "srg")
    for place in ("mnist5k (cnn)", "mnist5k (attention)", "shapes"):
        assert f"On {place} " in said
    assert "shapes (thin" not in said


def test_heads_without_a_pearson_r_are_said() -> None:
    values = table().copy()
    per_head = values["statistic"].isin(["pearson", "r2", "rmse_sd"]) & (values["head"] != "all")
    values.loc[per_head & (values["dataset"] == "shapes"), "value"] = float("nan")
    values.loc[
        values["statistic"].isin(["mean_r2", "weakest_r2"]) & (values["dataset"] == "shapes"),
        "value",
    ] = float("nan")
    values.loc[per_head & (values["dataset"] == "mnist5k") & (values["head"] == "9"), "value"] = (
        float("nan")
    )
    page = unescape(report.render(results(agreement=agreement_summary(values))))
    verdicts = page.split('id="run"')[0]
    assert "<b>undefined</b> <small>gpex</small>" in verdicts
    assert "without 9, where the network is constant" in verdicts
    agreed = page.split('id="agreement"')[1].split("</section>")[0]
    assert "constant there: mixed: 9; ood: 9; test: 9" in agreed and "test: cross, ring" in agreed
    assert "On shapes (thin_resnet) no R² is defined: the network's outputs are constant." in agreed
    assert not re.search(r"\bnan\b", page)


def test_a_failed_metric_is_a_failure() -> None:
    skipped = synthetic.skipped()
    failed = (
        "breast_cancer",
        "mlp",
        "lime",
        "max_sensitivity",
        "failed",
        "seed 1: timeout: took longer than 5 s",
    )
    skipped.loc[len(skipped)] = failed
    scores, cells = synthetic.scores(12), synthetic.cells()
    here = (
        (scores["dataset"] == failed[0])
        & (scores["method"] == failed[2])
        & (scores["metric"] == failed[3])
    )
    up = {record["metric"]: record["higher_is_better"] for record in METRICS}
    summary = summarise(scores[~here], up, CONTROLS)
    rows = outcome_table(summary, cells, skipped).query("dataset == 'breast_cancer'")
    cells = cells[cells["dataset"] == "breast_cancer"]
    page = unescape(report.render(results(outcomes=rows, cells=cells)))
    assert "1 failed though the method's cells are ok" in page
    run, failures = (
        page.split(f'id="{name}"')[1].split("</section>")[0] for name in ("run", "failures")
    )
    assert "No cell failed" not in page
    for part in (run, failures):
        assert "max_sensitivity" in part and "failed: seed 1: timeout: took longer than 5 s" in part
    clean = report.render(
        results(outcomes=inputs()["outcomes"].query("dataset == 'breast_cancer'"), cells=cells)
    )
    assert "No cell failed, and no metric did." in clean and "though the method" not in clean


def test_seconds_are_those_of_ok_cells() -> None:
    cells = synthetic.cells()
    lime = {"dataset": "mnist5k", "model": "cnn", "method": "lime"}
    costs = synthetic.costs()
    dead = {**lime, "seed": 1, "wall_seconds": 9e5, "peak_bytes": 9e12}
    costs = pd.concat([costs, pd.DataFrame([dead])], ignore_index=True)
    rows = sections.cost_table(inputs()["efficiency"], costs, cells)
    row = next(row for row in rows if all(row[name] == wanted for name, wanted in lime.items()))
    assert row["seconds"] == number((2 * (0.2 + 500 * 48 / 9000)) / 96)
    assert row["memory"] == f"{400 + 500 * 48 * 100 / 1e6:,.0f}"


def test_run_ids_of_controls_may_be_any_name() -> None:
    names = {"random_map": "noise", "random_examples": "draw", "edge_detector": "lines"}
    methods = [
        {**record, "method": names.get(record["method"], record["method"])} for record in METHODS
    ]
    changed = {
        name: inputs()[name].replace({"method": names})
        for name in ("outcomes", "cells", "costs", "efficiency")
    }
    worse = changed["outcomes"]["metric"].eq("srg") & changed["outcomes"]["method"].eq("noise")
    changed["outcomes"].loc[worse, "is_best_group"] = True
    page = report.render(results(methods=methods, **changed))
    assert "the control noise cannot be told from it, or is better" in page
    found = verdict.findings(
        changed["outcomes"], changed["efficiency"], inputs()["agreement"], methods, METRICS
    )
    assert {one.blind.split()[0] for one in found if one.metric == "srg"} == {"lines", "noise"}


def test_what_is_not_quite_one_does_not_read_one() -> None:
    shown = [below_one(value) for value in (0.99968, 0.9999999, 1.0, 0.95, -0.2, float("nan"))]
    assert shown == ["0.9997", "1.000000", "1.000", "0.950", "-0.200", "undefined"]
    table = inputs()["agreement"].copy()
    here = table["statistic"].isin(["pearson", "mean_pearson"]) & (table["dataset"] == "shapes")
    table.loc[here, "mean"] = 0.99968
    page = report.render(results(agreement=table))
    assert "<b>0.9997</b> <small>gpex</small>" in page and "<td><b>0.9997</b>" in page.replace(
        ' class="best"', ""
    )


def test_the_best_of_one_is_said_to_be_that() -> None:
    said = "Only gpex_neighbours is compared here, with nothing but controls"
    assert html().count(said) == 3 and html().count("is compared here") == 3


def test_methods_behind_a_blind_control_are_named() -> None:
    outcomes = inputs()["outcomes"].copy()
    here = (outcomes["dataset"] == "mnist5k") & (outcomes["metric"] == "srg")
    outcomes.loc[here & (outcomes["method"] == "edge_detector"), "mean"] = 0.6
    found = verdict.findings(
        outcomes, inputs()["efficiency"], inputs()["agreement"], METHODS, METRICS
    )
    digits = next(one for one in found if one.dataset == "mnist5k" and one.metric == "srg")
    means = (
        outcomes[here & (outcomes["state"] == "ok")]
        .set_index("method")["mean"]
        .drop(list(CONTROLS), errors="ignore")
    )
    assert set(digits.behind) == set(means[means < 0.6].index) != set()
    assert digits.blind == "edge_detector 0.600"
    said = verdict.sentences([one for one in found if one.metric == "srg"], "srg", NO_RANKS)
    assert f"{len(digits.behind)} on mnist5k (edge_detector 0.600)" in said[-1]


def test_verdict_follows_the_numbers() -> None:
    found = verdict.findings(
        inputs()["outcomes"], inputs()["efficiency"], inputs()["agreement"], METHODS, METRICS
    )
    digits = next(one for one in found if one.dataset == "mnist5k" and one.metric == "srg")
    rows = inputs()["outcomes"].query("dataset == 'mnist5k' and metric == 'srg' and state == 'ok'")
    assert digits.leader == rows.loc[rows["is_best"], "method"].item()
    assert (
        set(digits.tied)
        == set(rows.loc[rows["is_best_group"], "method"]) - {digits.leader} - CONTROLS
    )
    second = rows[rows["method"] == digits.second]
    assert digits.ahead == number(rows["mean"].max() - second["mean"].item())
    assert digits.matches[0].weakest == "9"


def test_scaled_scores_run_from_random_to_the_reference_and_respect_the_direction() -> None:
    outcomes = ordered(inputs()["outcomes"])
    frame = outcomes.join(scaled(outcomes, METHODS, METRICS))
    for (dataset, metric), part in frame[frame["state"] == "ok"].groupby(["dataset", "metric"]):
        by_method = part.set_index("method")["scaled"]
        if metric == "class_purity":
            assert by_method["random_examples"] == pytest.approx(0) and by_method[
                "gpex_neighbours"
            ] == pytest.approx(1)
            continue
        assert by_method["random_map"] == pytest.approx(0)
        top = by_method["oracle"] if dataset == "shapes" and metric.endswith("accuracy") else None
        assert (
            by_method.drop(list(CONTROLS), errors="ignore").max() if top is None else top
        ) == pytest.approx(1)
        assert by_method["inverted_ig"] < 0
        ends = part[["scaled_low", "scaled", "scaled_high"]].to_numpy()
        assert (ends[:, 0] <= ends[:, 1]).all() and (ends[:, 1] <= ends[:, 2]).all()
    assert frame.loc[frame["state"] != "ok", "scaled"].isna().all()
    assert [shade(value) for value in (-2.0, -0.1, 0.0, 0.5, 1.0, 1.2, float("nan"))] == [
        "d2",
        "d0",
        "u0",
        "u2",
        "u4",
        "u4",
        "",
    ]


def test_a_metric_that_says_nothing_has_no_marks_and_is_listed() -> None:
    page = html()
    listed = page.split('id="uninformative"')[1].split("</ul>")[0]
    assert "<b>infidelity</b> on shapes (thin_resnet): the random control" in listed
    assert "not informative: the random control cannot be told from the best method" in page
    table = next(
        part for part in page.split("<table")[1:] if "<caption>faithfulness on shapes" in part
    )
    head = re.findall(
        r'<th scope="col"[^>]*>(?:<a href="#metric-(\w+)")?', table.split("</thead>")[0]
    )
    place = head.index("infidelity")
    bodies = [
        re.findall(r"<td.*?</td>", row, re.DOTALL)
        for row in table.split("<tbody>")[1].split("</tr>")
    ]
    cells = [row[place - 1] for row in bodies if len(row) >= place]
    assert len(cells) > 8 and not any(
        'class="mark"' in cell or re.search('class="[ud]\\d', cell) for cell in cells
    )


def test_what_would_mislead_is_said_in_every_place() -> None:
    """One failed method, one pair that does not apply, one uninformative metric, one missing seed."""
    page = unescape(html())
    verdict_, ranked, run, compared, cards = (
        page.split(f'<section id="{name}">')[1].split("</section>")[0]
        for name in ("verdict", "ranking", "run", "compare", "methods")
    )
    card = {
        name: cards.split(f'id="method-{name}"')[1].split("</details>")[0]
        for name in ("sobol", "lime", "oracle")
    }
    timeout, memory = (
        "failed (timeout): took longer than 900 s",
        "failed (memory): used more than 4 GiB",
    )
    assert '<span class="warn">7 failed</span>' in verdict_
    for place in (ranked, run, compared, card["sobol"]):
        assert timeout in place
    assert memory in run and memory in card["lime"]
    for place in (ranked, compared):
        row = next(
            row for row in place.split("<tr") if "#method-lime" in row and "2 of 3 seeds" in row
        )
        assert '<small class="warn">2 of 3 seeds</small>' in row
    assert "n/a: needs truth" in card["oracle"] and "n/a: needs truth" in ranked
    assert "1 time a metric says nothing on some network" in run
    assert "not informative: the random control" in compared
    summary = report.written(results()).summary
    for words in (
        timeout,
        memory,
        "2 of 3 seeds",
        "infidelity on shapes (thin_resnet): the random control",
        "7 failed",
    ):
        assert words in summary


def test_the_ranking_for_a_paper_is_bold_only_where_a_method_is_told_from_all_others() -> None:
    latex = report.written(results()).latex
    marks = inputs()["outcomes"].query("metric == 'srg'")["mark"]
    assert latex.count(r"\textbf{") == int((marks == "best").sum())
    assert latex.count("$^{=}$") == int((marks == "tied").sum())
    assert (
        latex.count(r"\toprule") == latex.count(r"\bottomrule") == 1
        and latex.count(r"\midrule") == 2
    )
    body = latex.split(r"\midrule")[1].strip().splitlines()
    assert len({line.count("&") for line in body}) == 1


def test_references_are_listed_and_linked() -> None:
    page = html()
    assert '<a href="#ref-sundararajan2017axiomatic">' in page
    assert "Mukund Sundararajan, Qiqi Yan. Axiomatic. 2017." in page
    assert (
        bibliography.plain(r"{\"O}zt{\"u}rk and Gro{\ss}e, {\'E}mile {\v{S}}")
        == "Öztürk and Große, Émile Š"
    )
    assert bibliography.references("", ["a"]) == [{"key": "a", "text": "not in the bibliography"}]


def test_pairs_that_do_not_apply_are_grouped_and_none_is_lost() -> None:
    outcomes = inputs()["outcomes"]
    rows = sections.inapplicable(outcomes)
    gone = outcomes[outcomes["state"] == "not_applicable"]
    assert len(rows) < 12 and sum(row["pairs"] for row in rows) == len(gone)
    names = {name: sorted(set(outcomes[name])) for name in ("method", "metric")}
    listed = {
        (network, method, metric, row["reason"])
        for row in rows
        for network in row["networks"].split(", ")
        for method in (names["method"] if row["method"] == "all" else row["method"].split(", "))
        for metric in (names["metric"] if row["metric"] == "all" else row["metric"].split(", "))
    }
    network = gone["dataset"] + " (" + gone["model"] + ")"
    assert listed == set(zip(network, gone["method"], gone["metric"], gone["reason"], strict=True))

"""The report: complete, self-contained, the same bytes, and never a number without a score."""

import math
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
from gpex_bench.statistics.outcomes import agreement_summary, outcome_table, summarise
from gpex_bench.tables.order import ordered, records
from gpex_bench.tables.words import WITHOUT_NETWORK, below_one, interval, number
from tests.vocabulary import frames as synthetic
from tests.vocabulary.report import (
    CONTROLS,
    IS_HIGHER_BETTER,
    METHODS,
    METRICS,
    SVG,
    agreement,
    conclusions,
    inputs,
    results,
)


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
        name: frame.sample(frac=1, random_state=5) for name, frame in conclusions().items()
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


def test_failures_and_partial_results_are_shown_where_a_reader_looks() -> None:
    text = unescape(html())
    assert '<strong class="warn" data-failed="7">' in text
    assert "failed (memory): used more than 4 GiB" in text.split('id="compare"')[0]
    assert "2 of 3 seeds" in text.split('id="compare"')[1]
    assert "n/a: needs truth" in text and "Intervals are over 8 test samples" in text


def test_names_are_escaped() -> None:
    nasty = [{**METHODS[0], "description": "<script>alert(1)</script>"}, *METHODS[1:]]
    assert "<script>alert" not in report.render(results(methods=nasty))


def test_what_was_noted_when_data_were_read_is_shown() -> None:
    notes = {
        "shapes": ["3 of 60 rows lack an entry, and are left out", "<b> holds text"],
        "wine": [],
    }
    page = report.render(results(data_notes=notes))
    assert "3 of 60 rows lack an entry, and are left out; &lt;b&gt; holds text." in page
    assert 'data-notes="shapes"' in page and 'data-notes="wine"' not in page


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
    """Return a finding on network d: a leads."""
    fields = {"dataset": "d", "model": "m", "place": "d", "metric": "srg"}
    score = {"leader": "a", "mean": 0.8, "low": 0.7, "high": 0.9}
    return verdict.Finding(**{**fields, **score, **changes})


def findings(metric: str = "srg", **changes: Any) -> list[verdict.Finding]:
    """Return the findings of the made-up run by one metric, with some frames changed."""
    frames = {name: inputs()[name] for name in ("outcomes", "efficiency", "agreement")}
    known = {**frames, "methods": METHODS, "metrics": METRICS}
    return [one for one in verdict.findings(**{**known, **changes}) if one.metric == metric]


def overall(*rows: tuple[str, float, bool], friedman_p: float = 0.001) -> pd.DataFrame:
    """Return mean ranks over three networks."""
    more = {"n_networks": 3, "friedman_p": friedman_p, "rank_low": 1.0, "rank_high": 2.5}
    return pd.DataFrame(rows, columns=["method", "mean_rank", "tied_with_best"]).assign(**more)


NO_RANKS = overall().iloc[:0]
SECOND = {"second": "b", "difference": 0.02, "p_value": 0.01}


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        (SECOND, "lead", ["a 0.800 [0.700, 0.900]", "0.020", "b", "p = 0.010"]),
        ({"tied": ("b", "c"), "controls": ("random_map",)}, "tie", ["b and c", "random_map"]),
        ({}, "alone", ["a 0.800 [0.700, 0.900]"]),
        ({"leader": ""}, "no_score", ["d", "srg"]),
        ({"leader": "", "blank": "the oracle is no better"}, "not_informative", ["is no better"]),
    ],
)
def test_a_sentence_on_each_network_follows_its_state(
    changes: dict[str, Any], state: str, words: list[str]
) -> None:
    one = finding(**changes)
    assert one.state == state
    sentence = verdict.on_one_network(one)
    assert all(word in sentence for word in words) and sentence.endswith(".")
    assert "nan" not in sentence


def test_a_metric_that_is_not_informative_has_no_leader() -> None:
    blank = {("d", "m", "srg"): "the oracle is not better than random"}
    one = verdict.without_leader(finding(**SECOND, rows=3.0, behind=("c",)), blank)
    assert one.state == "not_informative" and one.blank == blank["d", "m", "srg"]
    assert one.leader == one.second == "" and one.behind == () and math.isnan(one.rows)
    led = finding(**SECOND)
    assert verdict.without_leader(led, {}) is led


def test_the_verdict_is_silent_where_nothing_is_significant() -> None:
    tie = [finding(tied=("b", "c"))]
    assert verdict.sentences(verdict.conclude(tie, NO_RANKS), "srg") == []

    unsure = overall(("a", 1.2, True), ("b", 1.4, True), ("c", 3.0, False), friedman_p=0.2)
    found = verdict.conclude(tie, unsure)
    assert found.overall is None and verdict.sentences(found, "srg") == []


def test_the_verdict_without_a_leader_names_the_reason() -> None:
    unscored = finding(leader="")
    blank = finding(leader="", blank="x", place="e")
    for headline, state in (
        ([unscored], "no_score"),
        ([blank], "not_informative"),
        ([unscored, blank], "no_score"),
    ):
        found = verdict.conclude(headline, NO_RANKS)
        assert found.state == state and found.n_led == 0
        assert len(verdict.sentences(found, "srg")) == 1


def test_the_verdict_names_the_kinds_of_network() -> None:
    plain = finding(regime="trained without occluded inputs")
    occluded = finding(dataset="e", place="e", regime="trained with occluded inputs")
    blank = finding(dataset="f", place="f", leader="", blank="x", regime="given, not trained")

    both = verdict.conclude([plain, occluded, blank], NO_RANKS)
    expected = [
        ("trained with occluded inputs", ("e",)),
        ("trained without occluded inputs", ("d",)),
    ]
    assert list(both.kinds) == expected
    assert "e is trained with occluded inputs; d is" in verdict.sentences(both, "srg")[-1]

    one = verdict.conclude([plain], NO_RANKS)
    assert "one kind: trained without occluded inputs" in verdict.sentences(one, "srg")[-1]


def test_the_verdict_names_leader_ties_and_blind_controls() -> None:
    ranks = overall(("a", 1.2, True), ("b", 1.4, True), ("c", 3.0, False))
    clear = finding(**SECOND, behind=("c",), blind="edges", blind_mean=0.5)
    tied = finding(dataset="e", place="e", tied=("b",))
    blank = finding(dataset="f", place="f", leader="", blank="x")

    found = verdict.conclude([clear, tied, blank], ranks)
    assert found.overall is not None
    assert (found.overall.leader, found.overall.state) == ("a", "tie")
    assert found.overall.tied == ("b",) and found.overall.n_networks == 3
    assert (found.clear, found.behind, found.n_led) == ((clear,), (clear,), 2)
    assert found.not_informative == ("f",)

    first, front, other, beware = verdict.sentences(found, "srg", "symmetric gain")
    assert "symmetric gain" in first and "1.20 [1.00, 2.50]" in first
    assert "1 of 2" in front and "a on d (0.020 ahead of b, p = 0.010)" in front
    assert "f" in other and "1 on d (edges 0.500)" in beware


@pytest.mark.parametrize(
    ("second", "state"), [(("b", 2.4, False), "lead"), (("b", 1.4, True), "all_tied")]
)
def test_over_all_networks_one_leads_or_nobody(second: Any, state: str) -> None:
    found = verdict.conclude([finding(**SECOND)], overall(("a", 1.2, True), second))
    assert found.overall is not None and found.overall.state == state
    assert ("1.20 [1.00, 2.50]" in verdict.sentences(found, "srg")[0]) == (state == "lead")


def test_a_control_that_is_as_good_leaves_no_clear_leader() -> None:
    assert finding(**SECOND).is_clear
    assert not finding(**SECOND, controls=("edges",)).is_clear
    assert not finding(tied=("b",)).is_clear


def test_the_answers_name_the_weakest_head_and_the_state() -> None:
    answers = html().split('class="answers"')[1].split("</table>")[0]
    states = re.findall(r'<tr data-state="(\w+)">', answers)
    assert states == [one.state for one in findings()] and set(states) <= {"tie", "lead"}
    assert re.search(r"9: <b>0\.\d+</b>", answers)


def test_a_cheaper_method_that_ties_is_named() -> None:
    tie = finding(tied=("b",), rows=50.0, cheapest="b", cheapest_rows=3.0)
    assert tie.has_cost and tie.is_cheaper_tie
    assert not finding(tied=("b",), rows=50.0, cheapest="a", cheapest_rows=50.0).is_cheaper_tie
    assert not finding(tied=("b",)).is_cheaper_tie

    answers = html().split('class="answers"')[1].split("</table>")[0]
    cheaper = [one.cheapest for one in findings() if one.is_cheaper_tie]
    assert re.findall(r'data-cheaper="(\w+)"', answers) == cheaper != []


def test_the_verdict_is_about_the_surrogates_that_methods_explain_with() -> None:
    digits = next(one for one in findings() if one.dataset == "mnist5k")
    (match,) = digits.matches
    here = inputs()["agreement"].query("dataset == 'mnist5k' and surrogate == 'gpex'")
    chosen = here.query("split == 'test' and statistic == 'pearson' and head != 'all'")
    assert match.surrogate == "gpex"
    assert match.mean_r == pytest.approx(chosen["mean"].mean(), rel=1e-12)
    shown = f"<b>{below_one(match.mean_r)}</b> <small>gpex</small>"
    assert shown in html().split('id="ranking"')[0]

    without = [{**record, "surrogate": None} for record in METHODS]
    every = verdict.explained_with(without, inputs()["agreement"])
    assert set(every["surrogate"]) == set(synthetic.SURROGATES)


def test_two_networks_on_one_dataset_have_different_names() -> None:
    both = {}
    for name in ("outcomes", "efficiency", "agreement"):
        other = inputs()[name].query("dataset == 'mnist5k'").assign(model="attention")
        both[name] = pd.concat([inputs()[name], other])

    places = {one.place for one in findings(**both)}
    assert places == {"breast_cancer", "mnist5k (attention)", "mnist5k (cnn)", "shapes"}


def test_heads_without_a_pearson_r_are_named() -> None:
    values = agreement().copy()
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
    assert "<dt>shapes (thin_resnet)</dt><dd><ul><li>On shapes (thin_resnet) no R²" in agreed
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
    summary = summarise(scores[~here], IS_HIGHER_BETTER, CONTROLS)
    rows = outcome_table(summary, cells, skipped).query("dataset == 'breast_cancer'")
    cells = cells[cells["dataset"] == "breast_cancer"]
    page = unescape(report.render(results(outcomes=rows, cells=cells)))
    assert 'data-failed-metrics="1"' in page
    run, failures = (
        page.split(f'id="{name}"')[1].split("</section>")[0] for name in ("run", "failures")
    )
    for part in (run, failures):
        assert "max_sensitivity" in part and "failed: seed 1: timeout: took longer than 5 s" in part
    clean = report.render(
        results(outcomes=inputs()["outcomes"].query("dataset == 'breast_cancer'"), cells=cells)
    )
    assert 'data-failed="0"' in clean and "data-failed-metrics" not in clean


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
    assert "The control noise" in page.split('id="ranking"')[0]

    found = findings(
        outcomes=changed["outcomes"], efficiency=changed["efficiency"], methods=methods
    )
    assert {one.blind for one in found} == {"lines", "noise"}
    assert all("noise" in one.controls for one in found)


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


def test_the_best_of_one_is_marked_as_that() -> None:
    assert re.findall(r'data-only="(\w+)"', html()) == ["gpex_neighbours"] * 3


def test_methods_behind_a_blind_control_are_named() -> None:
    outcomes = inputs()["outcomes"].copy()
    here = (outcomes["dataset"] == "mnist5k") & (outcomes["metric"] == "srg")
    outcomes.loc[here & (outcomes["method"] == "edge_detector"), "mean"] = 0.6

    found = findings(outcomes=outcomes)
    digits = next(one for one in found if one.dataset == "mnist5k")
    scored = outcomes[here & (outcomes["state"] == "ok")].set_index("method")["mean"]
    means = scored.drop(list(CONTROLS), errors="ignore")
    assert set(digits.behind) == set(means[means < 0.6].index) != set()
    assert (digits.blind, digits.blind_mean) == ("edge_detector", 0.6)

    last = verdict.sentences(verdict.conclude(found, NO_RANKS), "srg")[-1]
    assert f"{len(digits.behind)} on mnist5k (edge_detector 0.600)" in last


def test_verdict_follows_the_numbers() -> None:
    digits = next(one for one in findings() if one.dataset == "mnist5k")
    rows = inputs()["outcomes"].query("dataset == 'mnist5k' and metric == 'srg' and state == 'ok'")
    assert digits.leader == rows.loc[rows["is_best"], "method"].item()
    assert (
        set(digits.tied)
        == set(rows.loc[rows["is_best_group"], "method"]) - {digits.leader} - CONTROLS
    )
    second = rows[rows["method"] == digits.second]
    assert digits.difference == pytest.approx(rows["mean"].max() - second["mean"].item())
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


def test_a_metric_that_is_not_informative_has_no_marks_and_is_listed() -> None:
    page = html()
    listed = page.split('id="uninformative"')[1].split("</ul>")[0]
    assert re.findall(r'data-blank="(\w+)"', listed) == ["infidelity"]
    reason = conclusions()["informative"].query("not is_informative")["reason"].item()
    assert f"on shapes (thin_resnet): {reason}" in listed and f"not informative: {reason}" in page
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


def test_what_would_mislead_is_shown_in_every_place() -> None:
    """A failed method, a pair that does not apply, an uninformative metric, a missing seed."""
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
    assert 'class="warn" data-failed="7"' in verdict_
    for place in (ranked, run, compared, card["sobol"]):
        assert timeout in place
    assert memory in run and memory in card["lime"]
    for place in (ranked, compared):
        row = next(
            row for row in place.split("<tr") if "#method-lime" in row and "2 of 3 seeds" in row
        )
        assert '<small class="warn">2 of 3 seeds</small>' in row
    assert "n/a: needs truth" in card["oracle"] and "n/a: needs truth" in ranked
    assert 'data-blank="1"' in run
    reason = conclusions()["informative"].query("not is_informative")["reason"].item()
    assert f"not informative: {reason}" in compared
    summary = report.written(results()).summary
    for words in (
        timeout,
        memory,
        "2 of 3 seeds",
        f"infidelity on shapes (thin_resnet): {reason}",
        "7 failed",
    ):
        assert words in summary


def test_the_ranking_for_a_paper_is_bold_where_a_method_is_better_than_all_others() -> None:
    latex = report.written(results()).latex
    marks = inputs()["outcomes"].query("metric == 'srg'")["mark"]
    assert latex.count(r"\textbf{") == int((marks == "best").sum())
    assert latex.count("$^{=}$") == int((marks == "equal").sum())
    assert latex.count(r"$^{\sim}$") == int((marks == "open").sum())
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


# --- sums that methods promise ---


def sum_cells() -> pd.DataFrame:
    columns = ["dataset", "model", "method", "seed", "status", "reason"]
    columns += ["worst_missing", "median_missing", "allowed_missing"]
    none = float("nan")
    rows = [
        ("shapes", "cnn", "complete", 1, "ok", "", 0.02, 0.01, 0.1),
        ("shapes", "cnn", "complete", 2, "ok", "", 0.06, 0.03, 0.1),
        ("shapes", "cnn", "lossy", 1, "unsound", "off by 40 %", 0.4, 0.1, 0.01),
        ("shapes", "cnn", "silent", 1, "ok", "", 0.9, 0.8, none),
        ("shapes", "cnn", "saliency", 1, "ok", "", none, none, none),
    ]
    return pd.DataFrame(rows, columns=columns)


def test_the_worst_sums_come_first_and_those_without_a_claim_last() -> None:
    found = sections.sums(sum_cells())
    assert [row["method"] for row in found] == ["lossy", "complete", "silent"]
    assert [row["is_kept"] for row in found] == [False, True, True]
    assert found[1]["worst"] == 0.06
    assert found[1]["median"] == pytest.approx(0.02)
    assert found[2]["allowed"] is None
    assert sections.sums(sum_cells()[["dataset", "model", "method", "status"]]) == []


def test_methods_on_a_network_that_cannot_be_used_share_a_row() -> None:
    cells = sum_cells()
    cells["status"] = "failed"
    cells["reason"] = f"{WITHOUT_NETWORK}: its loss diverged"
    (row,) = sections.failures(cells)
    assert row["method"] == "all methods"
    assert row["seeds"] == "1, 2"
    assert row["text"] == "failed: the network cannot be used: its loss diverged"


def test_what_must_be_known_of_the_data_is_at_the_top():
    remark = "One slide allows no claim beyond it."
    made = report.written(results(remarks={"histology": (remark,), "shapes": ()}))
    top = made.html.split('id="ranking"')[0]
    assert f"<b>histology</b>: {remark}" in top
    assert 'data-remark="shapes"' not in made.html
    assert f"histology: {remark}" in made.summary.split("## Each network")[0]

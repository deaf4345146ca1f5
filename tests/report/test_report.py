"""The report: complete, self-contained, the same bytes, and never a number without a score."""

import re
from functools import cache
from html import unescape
from html.parser import HTMLParser

import pandas as pd
import pytest

from gpex_bench import plots, report
from gpex_bench.plots import style
from gpex_bench.report import bibliography, sections
from gpex_bench.statistics.outcomes import outcome_table, summarise
from gpex_bench.tables.order import records
from gpex_bench.tables.words import WITHOUT_NETWORK, interval, number
from tests.vocabulary import frames as synthetic
from tests.vocabulary.report import (
    CONTROLS,
    IS_HIGHER_BETTER,
    METHODS,
    METRICS,
    SVG,
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
    with pytest.raises(ValueError, match=r"unknown sections \['art'\]; known are \['contrast'"):
        report.render(results(pictures=[picture]))


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


def test_the_best_of_one_is_marked_as_that() -> None:
    assert re.findall(r'data-only="(\w+)"', html()) == ["gpex_neighbours"] * 3


def test_a_metric_that_is_not_usable_has_no_marks_and_is_listed() -> None:
    page = html()
    listed = page.split('id="uninformative"')[1].split("</ul>")[0]
    assert re.findall(r'data-blank="(\w+)"', listed) == ["infidelity"]
    reason = conclusions()["informative"].query("not is_informative")["reason"].item()
    assert f"on shapes (thin_resnet): {reason}" in listed and f"not usable: {reason}" in page
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
        'class="mark"' in cell or re.search('class="o\\w"', cell) for cell in cells
    )


def test_what_would_mislead_is_shown_in_every_place() -> None:
    """A failed method, a pair that does not apply, a metric that is not usable, a missing seed."""
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
    assert f"not usable: {reason}" in compared
    summary = report.written(results()).summary
    for words in (
        timeout,
        memory,
        "2 of 3 seeds",
        f"infidelity on shapes (thin_resnet): {reason}",
        "7 failed",
    ):
        assert words in summary


def test_the_ranking_for_a_paper_marks_leaders_and_the_unbeaten() -> None:
    latex = report.written(results()).latex
    answers = conclusions()["headline"]["answer"]
    assert latex.count(r"\textbf{") == int((answers == "leads").sum())
    assert latex.count("$^{*}$") == int((answers == "unbeaten").sum())
    assert set(answers) >= {"unbeaten", "beaten"}
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

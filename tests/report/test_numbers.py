"""Every number of the report is in the tables next to it: by its key, or of its section."""

import re
from functools import cache
from html import unescape

import numpy as np
import pandas as pd
import pytest

from gpex_bench import report
from gpex_bench.tables.words import interval
from tests.vocabulary import frames as synthetic
from tests.vocabulary import report as case


@cache
def made() -> report.Rendered:
    return report.written(case.results())


def section(name: str) -> str:
    """The HTML of one section."""
    return made().html.split(f'<section id="{name}">')[1].split("</section>")[0]


def words(html: str) -> str:
    """Text without tags, scripts, and names that hold digits."""
    html = re.sub(r"<(svg|style|code|pre)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return unescape(re.sub(r"<[^>]+>", " ", html)).replace("\N{NO-BREAK SPACE}", " ")


def decimals(text: str) -> list[str]:
    """Numbers with a decimal point, or a power of ten, as they are written."""
    return re.findall(r"(?<![\w.])-?\d[\d,]*(?:\.\d+(?:e[+-]?\d+)?|e[+-]?\d+)", text)


def pool(*tables: pd.DataFrame) -> np.ndarray:
    """Every number of some tables, and as a share of a hundred."""
    numbers = np.concatenate(
        [table.select_dtypes("number").to_numpy(dtype=float).ravel() for table in tables]
    )
    numbers = numbers[np.isfinite(numbers)]
    return np.sort(np.concatenate([numbers, 100 * numbers]))


def is_there(text: str, numbers: np.ndarray) -> bool:
    """Whether some number of a table is written like this."""
    plain = text.replace(",", "")
    mantissa, _, power = plain.partition("e")
    half = 0.5 * 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2])) * (1 + 1e-9)
    place = np.searchsorted(numbers, float(plain) - half)
    return bool(place < len(numbers) and numbers[place] <= float(plain) + half)


def tables_of(name: str) -> list[pd.DataFrame]:
    inputs, found, shown = case.inputs(), case.conclusions(), made().shown
    cost = inputs["costs"].merge(inputs["cells"], on=["dataset", "model", "seed", "method"])
    place = ["dataset", "model", "method"]
    measured = (
        cost.query("status == 'ok'")
        .groupby(place)
        .agg(seconds=("wall_seconds", "sum"), n=("n_samples", "sum"), peak=("peak_bytes", "max"))
    )
    measured = measured.assign(
        per_sample=measured["seconds"] / measured["n"], megabytes=measured["peak"] / 1e6
    )
    fits = synthetic.surrogate_costs()
    agreement = inputs["agreement"]
    first = [inputs["outcomes"], inputs["efficiency"], agreement, measured, shown["answers"]]
    first += [found["headline"], pd.DataFrame({"milliseconds": 1000 * measured["per_sample"]})]
    between = found["trust"].groupby(["metric", "property"])["value"].agg(["median", "min", "max"])
    tau = found["fill_agreement"].groupby("metric")["tau"].agg(["median", "min", "max"])
    return {
        "verdict": first,
        "ranking": [inputs["outcomes"], inputs["efficiency"], found["headline"], found["overall"]],
        "cost": [inputs["efficiency"], measured],
        "trust": [*found.values(), between, tau],
        "agreement": [agreement, fits],
        "methods": [inputs["outcomes"], found["headline"], inputs["efficiency"], measured],
        "compare": [inputs["outcomes"], *shown.values(), found["fill_agreement"]],
    }[name]


@pytest.mark.parametrize(
    "name", ["verdict", "ranking", "cost", "trust", "agreement", "methods", "compare"]
)
def test_every_number_of_a_section_is_in_its_tables(name: str) -> None:
    numbers = pool(*tables_of(name))
    text = re.sub(
        r"0\.05|0\.95|0\.5 is not|[<>≥] ?0\.001|0\.90 of the outputs", " ", words(section(name))
    )
    written = decimals(text)
    assert written, name
    missing = [number for number in written if not is_there(number, numbers)]
    assert missing == []


def test_the_search_finds_a_number_that_is_not_there() -> None:
    numbers = pool(case.inputs()["outcomes"])
    assert not is_there("0.123456789", numbers) and not is_there("12345.67", numbers)
    assert is_there(f"{case.inputs()['outcomes']['mean'].dropna().iloc[3]:.3f}", numbers)


def test_every_score_stands_in_the_cell_of_its_key() -> None:
    outcomes = case.inputs()["outcomes"].set_index(["dataset", "model", "method", "metric"])
    seen = 0
    for caption, table in re.findall(
        r"<caption>(\w+ on [^<]*)</caption>(.*?)</table>", section("compare"), re.DOTALL
    ):
        dataset, model = re.fullmatch(r"\w+ on (\w+) \((\w+)\)", caption).groups()
        metrics = re.findall(r'href="#metric-(\w+)"', table.split("</thead>")[0])
        for row in re.findall(r"<tr.*?</tr>", table.split("<tbody>")[1], re.DOTALL):
            method = re.search(r'href="#method-(\w+)"', row)[1]
            cells = re.findall(r'<td[^>]*data-v="([^"]*)"[^>]*>(.*?)</td>', row, re.DOTALL)
            for metric, (number, content) in zip(metrics, cells, strict=False):
                found = outcomes.loc[dataset, model, method, metric]
                if number == "":
                    assert found["state"] != "ok"
                    continue
                assert float(number) == pytest.approx(found["mean"], rel=1e-6)
                mean, ends = interval(found["mean"], found["low"], found["high"])
                assert f"<b>{mean}</b>" in content and ends in content
                seen += 1
    assert seen == int((case.inputs()["outcomes"]["state"] == "ok").sum())


def test_what_stands_behind_a_cell_is_the_distribution_of_its_samples() -> None:
    shown = made().shown["distributions"].set_index(["dataset", "model", "method", "metric"])
    scores = synthetic.scores(12)
    key = ("mnist5k", "cnn", "integrated_gradients", "srg")
    here = scores.query(
        "dataset == 'mnist5k' and method == 'integrated_gradients' and metric == 'srg'"
    )
    samples = here.groupby("sample")["score"].mean()
    found = shown.loc[key]
    assert found["median"] == pytest.approx(samples.median()) and found["n_samples"] == len(samples)
    assert (found["minimum"], found["maximum"]) == pytest.approx((samples.min(), samples.max()))
    assert sum(map(int, found["bins"].split())) == len(samples)

"""Tables, verdicts and figures of a made-up study whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from gpex_bench import plots
from gpex_bench.studies.budget import convergence, verdicts
from gpex_bench.studies.budget import figure as figures
from gpex_bench.studies.budget.answer import answer
from gpex_bench.studies.budget.plan import Budget

PLAN = Budget(budgets=(10, 100, 1000), reference_budget=1000, stability_budget=100)
N = 12
LEVELS = {  # mean score at each budget, CPU seconds per row and image
    "lime": ((0.3, 0.6, 0.8), 1e-3),
    "evolving": ((0.5, 0.79, 0.79), 2e-4),
    "hopeless": ((0.3, 0.32, 0.34), 2e-4),
}
OWN = {"gradient": (0.78, 1, 1), "random": (0.0, 0, 0), "edges": (0.2, 0, 0)}


def parts(pace=2e-4):
    """Return all cells of one network: the same images are hard for all methods."""
    hard = np.linspace(-0.1, 0.1, N)
    scores, runs, seconds, stability, convergence = [], [], [], [], []

    def add(method, budget, level, forward, backward, cpu):
        key = {"dataset": "d", "model": "m", "method": method, "seed": 1, "budget": budget}
        cost = {"n_samples": N, "forward_rows": N * forward, "backward_rows": N * backward}
        runs.append(key | {"status": "ok", "reason": ""} | cost)
        seconds.extend(key | {"part": i, "n_samples": 4, "cpu_seconds": 4 * cpu} for i in range(3))
        scores.extend(key | {"sample": i, "score": level + hard[i]} for i in range(N))

    for method, (levels, cost) in LEVELS.items():
        for rows, level in zip(PLAN.budgets, levels, strict=True):
            add(method, rows, level, rows, 0, rows * (pace if method == "evolving" else cost))
        for i in range(4):
            key = {
                "dataset": "d",
                "model": "m",
                "method": method,
                "budget": 100,
                "status": "ok",
                "reason": "",
            }
            stability.append(
                key | {"sample": i, "jaccard": 0.4 + 0.02 * i, "spearman": 0.2, "n_seeds": 30}
            )
    for method, (level, forward, backward) in OWN.items():
        add(method, 0, level, forward, backward, 1e-3)
    for generation, best in enumerate((0.5, 0.8, 0.9)):
        key = {
            "dataset": "d",
            "model": "m",
            "method": "evolving",
            "seed": 1,
            "budget": 1000,
            "generation": generation,
        }
        convergence += [
            key | {"sample": i, "rows": 300 * (generation + 1), "best": best, "whole": 0.7}
            for i in range(N)
        ]
    frames = {
        "runs": runs,
        "scores": scores,
        "seconds": seconds,
        "stability": stability,
        "convergence": convergence,
    }
    return {name: pd.DataFrame(rows) for name, rows in frames.items()}


def answered(made=None):
    """Return the answer, and the tables of the only network by name."""
    found = answer(parts() if made is None else made, PLAN, "srg", {"evolving"})
    return found, {"needs": found.table, **found.tables}


def claim(made):
    """Return the row of the claim about the evolutionary explainer."""
    _, tables = answered(made)
    (row,) = verdicts.claims(tables["needs"], {"evolving"}, PLAN).to_dict("records")
    return row


def test_methods_reach_the_reference_or_not():
    _, tables = answered()
    assert verdicts.reference(tables["curves"], PLAN)["mean"] == pytest.approx(0.8)
    reach = verdicts.reach(tables["needs"], tables["curves"])
    assert reach["method"].tolist() == ["evolving", "lime", "hopeless"]
    assert reach["verdict"].tolist() == [verdicts.REACHES] * 2 + [verdicts.NOT_REACHED]
    assert reach["needed"].tolist() == [100, 1000, np.inf]
    assert reach["cpu_seconds"].tolist()[:2] == pytest.approx([0.02, 1.0])
    poor = reach.iloc[2]
    assert (poor["best"], poor["best_at"]) == (pytest.approx(0.34), 1000)


def test_own_costs_are_ordered_and_compared_with_the_reference():
    own = verdicts.own_costs(answered()[1]["curves"], PLAN).set_index("method")
    assert own["verdict"].to_dict() == {
        "gradient": verdicts.REACHES,
        "edges": verdicts.NOT_REACHED,
        "random": verdicts.NOT_REACHED,
    }
    assert own.loc["gradient", "rows"] == 3


def test_a_budget_is_chosen_for_methods_that_reach_it():
    chosen = verdicts.chosen(answered()[1]["needs"]).set_index("method")
    assert chosen["chosen"].to_dict() == {"evolving": 100, "lime": 1000}
    assert (chosen["n_judged"] == N / 2).all()


def test_the_evolution_is_summarised():
    (row,) = convergence.ends(answered()[1]["convergence"]).to_dict("records")
    assert (row["start"], row["best"], row["whole"]) == pytest.approx((0.5, 0.9, 0.7))
    assert (row["rows"], row["rows_half"], row["rows_most"]) == (900, 600, 900)


def test_the_page_shows_tables_and_figures():
    text = answered()[0].sentences
    assert "on d (m) evolving needs the fewest evaluations, 100." in text
    assert "| hopeless | not reached | – | 0.340 at 1000 |" in text
    for name in ("faithfulness", "stability", "convergence"):
        assert f"(d_m_{name}.svg)" in text
    assert "nan" not in text and "\n\n\n" not in text


def test_the_claim_holds_or_not_by_the_seconds():
    fast = claim(parts(pace=2e-4))
    assert fast["verdict"] == verdicts.HOLDS
    assert (fast["faster"], fast["against"]) == pytest.approx((50, 50))
    slow = claim(parts(pace=2e-3))
    assert slow["verdict"] == verdicts.DOES_NOT_HOLD
    assert slow["faster"] == pytest.approx(5)


def test_a_method_that_gets_worse_on_the_other_images_does_not_keep_the_claim():
    made = parts()
    odd = (made["scores"]["method"] == "evolving") & (made["scores"]["sample"] % 2 == 1)
    made["scores"].loc[odd, "score"] -= 0.3
    row = claim(made)
    assert row["verdict"] == verdicts.DOES_NOT_HOLD
    assert row["faster"] == pytest.approx(50) and not row["keeps"]


def test_without_a_reference_nothing_is_compared():
    made = parts()
    failed = (made["runs"]["method"] == "lime") & (made["runs"]["budget"] == 1000)
    made["runs"].loc[failed, ["status", "reason"]] = ["failed", "too slow"]
    is_lost = (made["scores"]["method"] == "lime") & (made["scores"]["budget"] == 1000)
    made["scores"] = made["scores"][~is_lost]

    found, tables = answered(made)
    reach = verdicts.reach(tables["needs"], tables["curves"])
    assert (reach["verdict"] == verdicts.FAILED).all()
    assert verdicts.chosen(tables["needs"]).empty
    assert verdicts.claims(tables["needs"], {"evolving"}, PLAN).empty
    assert "too slow" in found.sentences and "nan" not in found.sentences


def test_figures_repeat_and_name_what_they_show():
    first, again = (answer(parts(), PLAN, "srg", {"evolving"}).drawings for _ in range(2))
    assert sorted(first) == ["d_m_convergence", "d_m_faithfulness", "d_m_stability"]
    for name, drawing in first.items():
        assert plots.to_svg(drawing, name) == plots.to_svg(again[name], name)
    svg = plots.to_svg(first["d_m_faithfulness"], "x")
    for words in (
        "lime",
        "evolving",
        "gradient",
        "random (0.00, below)",
        "lime-1000, up to 5% less",
        "CPU seconds",
    ):
        assert words in svg
    assert "edges (" not in svg  # near enough to be drawn as a line
    assert "evolving 0.79 at 100" in first["d_m_faithfulness"].alt
    assert first["d_m_stability"].title == "Agreement between 30 seeds, d (m)"


def test_nothing_to_draw_is_an_error():
    made = answer(parts(), PLAN, "srg", {"evolving"}).tables
    for draw, name, rest in (
        (figures.faithfulness_curves, "curves", (PLAN, "srg")),
        (figures.stability_dots, "stability", (PLAN,)),
        (figures.convergence_curves, "convergence", ()),
    ):
        with pytest.raises(ValueError, match="must hold at least one"):
            draw(made[name].iloc[:0], *rest)

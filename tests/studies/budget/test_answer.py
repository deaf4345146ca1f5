"""Tables, sentences and figures of a made-up study whose answer is known."""

import re

import numpy as np
import pandas as pd
import pytest

from gpex_bench import plots
from gpex_bench.studies.budget import figure as figures
from gpex_bench.studies.budget.answer import budget
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
    """All cells of one network: scores differ between images, and not between methods in what is hard."""
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


def said(pace=2e-4):
    return budget(parts(pace), PLAN, "srg", {"evolving"}).sentences


def test_the_sentences_hold_the_numbers():
    text = said()
    assert "d, m: with 1000 evaluations lime scores 0.800" in text
    assert "evolving 100 [100, 100], 0.020 s; lime 1000 [1000, 1000], 1.000 s." in text
    assert "Not reached with any budget tried (best score): hopeless (0.340 at 1000)." in text
    assert re.search(
        r"gradient 0\.780 \[.*?\] \(3 rows, 0\.001 s, reaches it\); edges 0\.200", text
    )
    assert "None chosen for hopeless." in text
    assert (
        "evolving goes from a fitness of 0.500 in the first generation to 0.900 [0.900, 0.900] after 900 rows"
        in text
    )
    assert "(the whole image: 0.700), half of the way after 600 and 95 % after 900" in text
    assert "score on the other 6, time on all, against lime-1000" in text
    assert "evolving 0.43 [" in text and "over 30 explainer seeds at 100 evaluations" in text


def test_the_claim_holds_or_not_by_the_seconds():
    fast = '"10 times faster than LIME" at the faithfulness of lime-1000: for evolving it holds: 50.0 times, 50.0 times'
    assert fast in said(pace=2e-4)
    assert "for evolving it does not hold: 5.0 times" in said(pace=2e-3)


def test_a_method_that_gets_worse_on_the_other_images_does_not_keep_the_claim():
    made = parts()
    odd = (made["scores"]["method"] == "evolving") & (made["scores"]["sample"] % 2 == 1)
    made["scores"].loc[odd, "score"] -= 0.3
    text = budget(made, PLAN, "srg", {"evolving"}).sentences
    assert (
        "for evolving it does not hold: 50.0 times (not shown to stay within the tolerance)" in text
    )


def test_a_reference_that_failed_is_said():
    made = parts()
    failed = (made["runs"]["method"] == "lime") & (made["runs"]["budget"] == 1000)
    made["runs"].loc[failed, ["status", "reason"]] = ["failed", "too slow"]
    made["scores"] = made["scores"][
        ~((made["scores"]["method"] == "lime") & (made["scores"]["budget"] == 1000))
    ]
    text = budget(made, PLAN, "srg", {"evolving"}).sentences
    assert "lime failed with 1000 evaluations, so there is nothing to reach" in text
    assert (
        "Budget chosen" not in text and "times faster than LIME" not in text and "nan" not in text
    )


def test_figures_repeat_and_name_what_they_show():
    first, again = (budget(parts(), PLAN, "srg", {"evolving"}).drawings for _ in range(2))
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
    made = budget(parts(), PLAN, "srg", {"evolving"}).tables
    for draw, name, rest in (
        (figures.faithfulness_curves, "curves", (PLAN, "srg")),
        (figures.stability_dots, "stability", (PLAN,)),
        (figures.convergence_curves, "convergence", ()),
    ):
        with pytest.raises(ValueError, match="must hold at least one"):
            draw(made[name].iloc[:0], *rest)

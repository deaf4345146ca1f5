"""How often what a run claims is wrong: simulations on real scores, in one page of tables.

    PYTHONPATH=. python benchmarks/false_claims_scores.py digits SCORES
    PYTHONPATH=. python benchmarks/false_claims_scores.py shapes SCORES
    PYTHONPATH=. python benchmarks/false_claims.py SCORES [--output results/published/statistics]

The scores are taken as a population, of which runs of some samples are drawn. Three things are
asked. How often do 95 % intervals hold the mean (of a method, of a difference)? How often is a
family of comparisons wrong: a method called better, or better than all others, where all have the
same mean; two called equal that differ by the margin? And do verdicts of 100 samples agree with
those of all 500? Half an hour on one core.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gpex_bench.run import artefacts
from gpex_bench.run.provenance import fingerprint
from gpex_bench.statistics.bootstrap import counts, percentile_interval, resampled_means
from gpex_bench.statistics.intervals import t_interval
from gpex_bench.statistics.means import means
from gpex_bench.statistics.pairs import compare, verdicts
from gpex_bench.statistics.units import MARGIN_OF_SPREAD, Scale, Units, rounded, same
from gpex_bench.tables.render import plain_markdown
from gpex_bench.tables.words import BETTER, EQUAL, OPEN, WORSE

LOG = logging.getLogger("false_claims")
SIZES = (16, 32, 64, 100, 300)
N_RESAMPLES = 1000
DRAWN = 100  # samples of a default-sized draw
LESS = (32, DRAWN)


def populations(folder: Path) -> Iterator[tuple[str, Scale, pd.DataFrame, np.ndarray]]:
    """Yield metric, scale, scores [sample, method] and stratum of each sample."""
    for path in sorted(folder.glob("*.parquet")):
        frame = pd.read_parquet(path).query("status == 'ok'")
        for metric, part in frame.groupby("metric"):
            wide = part.pivot(index="sample", columns="method", values="score").dropna(axis=1)
            stratum = part.drop_duplicates("sample").set_index("sample")["stratum"]
            first = part.iloc[0]
            margin = None if np.isnan(first["margin"]) else float(first["margin"])
            scale = Scale(
                higher_is_better=bool(first["higher_is_better"]),
                margin=margin,
                resolution=float(first["resolution"]),
                width=float(first["width"]),
            )
            _, different = np.unique(block(wide.to_numpy(), scale).group, return_index=True)
            wide = wide.iloc[:, np.sort(different)]
            yield f"{metric}, {path.stem}", scale, wide, stratum[wide.index].to_numpy()


def block(scores: np.ndarray, scale: Scale) -> Units:
    """Return scores [sample, method] as those of one network."""
    measured = np.ascontiguousarray(scores.T)[:, :, None]
    cube = rounded(scale.sign * measured, scale.resolution)
    names = tuple(f"m{at:02d}" for at in range(len(cube)))
    return Units(
        place=("d", "m", "metric"),
        scale=scale,
        methods=names,
        is_control=np.zeros(len(names), dtype=bool),
        scores=cube,
        measured=measured,
        group=same(cube, scale.resolution),
    )


# --- coverage -------------------------------------------------------------------------------------


def coverage(name: str, scale: Scale, wide: pd.DataFrame, n_sets: int) -> Iterator[dict[str, Any]]:
    """Yield the coverage of intervals of means and of differences, by number of samples."""
    scores = wide.to_numpy()
    first, second = np.triu_indices(scores.shape[1], 1)
    rows = {"mean": scores, "difference": scores[:, first] - scores[:, second]}
    for what, population in rows.items():
        varied = population[:, population.std(0) > 0]
        for n in SIZES:
            found = _covered(varied, n, scale.free_width, n_sets)
            yield {"scores": name, "of": what, "samples": n} | found


def _covered(population: np.ndarray, n: int, width: float, n_sets: int) -> dict[str, float]:
    """Return how often intervals of each procedure hold the mean, in per cent."""
    rng = np.random.default_rng(n)
    truth = population.mean(0)
    hits: dict[str, list[np.ndarray]] = {"ours": [], "t": [], "percentile": []}
    for number in range(n_sets):
        drawn = population[rng.integers(0, len(population), n)]
        found = means(drawn.T, width)
        ends = {"ours": found.interval, "t": t_interval(found.mean, found.error, n - 1)}
        if number % 10 == 0:
            resampled = resampled_means(drawn, counts("coverage", n, N_RESAMPLES))
            ends["percentile"] = percentile_interval(resampled, n)
        for procedure, (low, high) in ends.items():
            hits[procedure].append((low <= truth) & (truth <= high))

    shares = {procedure: 100 * np.mean(found) for procedure, found in hits.items()}
    lowest = 100 * np.mean(hits["ours"], axis=0).min()
    return shares | {"lowest of ours": lowest}


# --- false claims ---------------------------------------------------------------------------------


def false_claims(
    name: str, scale: Scale, wide: pd.DataFrame, n_sets: int
) -> Iterator[dict[str, Any]]:
    """Yield how often a family holds a false claim, by number of samples, in per cent."""
    scores = wide.to_numpy()
    centred = scores - scores.mean(0) + scores.mean()
    steps = _margin(scale, scores) * np.arange(scores.shape[1])
    for n in SIZES:
        rng = np.random.default_rng(n)
        wrong = [_wrong(centred, centred + steps, scale, n, rng) for _ in range(n_sets)]
        shares = 100 * np.array(wrong, dtype=float).mean(0)
        names = ("better", "better, exchanged", "better than all", "equal")
        yield {"scores": name, "samples": n} | dict(zip(names, shares, strict=True))


def _margin(scale: Scale, scores: np.ndarray) -> float:
    """Return a difference that is the margin of each two methods, or more."""
    if scale.margin is not None:
        return scale.margin
    return MARGIN_OF_SPREAD * float(scores.std(0).max())


def _wrong(
    centred: np.ndarray, apart: np.ndarray, scale: Scale, n: int, rng: np.random.Generator
) -> tuple[bool, bool, bool, bool]:
    """Return which false claims one drawn family holds.

    `centred`: all methods have the same mean. Exchanged: the methods' scores of each sample are
    shuffled among them, so that they keep their discrete values. `apart`: each two methods differ
    by a margin or more.
    """
    at = rng.integers(0, len(centred), n)
    free = replace(scale, resolution=0.0, width=scale.free_width)
    same_mean = _words(centred[at], free)
    exchanged = _words(rng.permuted(centred[at], axis=1), free)
    different = _words(apart[at], free)
    others = ~np.eye(len(same_mean), dtype=bool)
    return (
        bool((same_mean == BETTER).any()),
        bool((exchanged == BETTER).any()),
        bool(((same_mean == BETTER) | ~others).all(1).any()),
        bool(((different == EQUAL) & others).any()),
    )


def _words(scores: np.ndarray, scale: Scale) -> np.ndarray:
    """Return the verdicts on drawn scores."""
    units = block(scores, scale)
    return verdicts(units, compare(units))[np.ix_(units.group, units.group)]


# --- the same verdicts with more samples ----------------------------------------------------------


def agreement(
    name: str, scale: Scale, wide: pd.DataFrame, stratum: np.ndarray, n_sets: int
) -> Iterator[dict[str, Any]]:
    """Yield how verdicts of fewer samples agree with those of all."""
    whole = block(wide.to_numpy(), scale)
    known = compare(whole)
    truth = verdicts(whole, known)[np.ix_(whole.group, whole.group)]
    size = np.abs(known.estimate)[np.ix_(whole.group, whole.group)]
    margin = known.margin[np.ix_(whole.group, whole.group)]
    pairs = np.triu_indices(len(truth), 1)

    for n in LESS:
        rng = np.random.default_rng(n)
        found = []
        for _ in range(n_sets):
            units = block(wide.to_numpy()[_stratified(stratum, n, rng)], scale)
            words = verdicts(units, compare(units))[np.ix_(units.group, units.group)]
            found.append(words[pairs])
        said = np.array(found)

        is_opposite = (said == BETTER) & (truth[pairs] == WORSE)
        is_opposite |= (said == WORSE) & (truth[pairs] == BETTER)
        is_beyond = (said == EQUAL) & (size[pairs] > margin[pairs])
        yield {
            "scores": name,
            "samples": n,
            "better or worse": 100 * np.isin(said, (BETTER, WORSE)).mean(),
            "equal": 100 * (said == EQUAL).mean(),
            "open": 100 * (said == OPEN).mean(),
            "n verdicts": said.size,
            "contradicted": int(is_opposite.sum()),
            "equal beyond the margin": int(is_beyond.sum()),
        }


def _stratified(stratum: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n samples without replacement, the strata in turn."""
    turn = np.empty(len(stratum))
    for group in np.unique(stratum):
        own = rng.permutation(np.flatnonzero(stratum == group))
        turn[own] = np.arange(len(own)) + rng.random(len(own)) / 2
    return np.argsort(turn, kind="stable")[:n]


def named_marks(name: str, scale: Scale, wide: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield what is said of the two methods that 32 samples once marked as level with the best."""
    if not name.startswith("srg"):
        return

    best = wide.mean().idxmax()
    for method in ("gradient_x_input", "integrated_gradients"):
        at = [list(wide).index(one) for one in (method, best)]
        for n in (*LESS, len(wide)):
            units = block(wide.to_numpy()[:n], scale)
            found, (a, b) = compare(units), units.group[at]
            yield {
                "method": method,
                "best of all": best,
                "samples": n,
                "difference": found.estimate[a, b],
                "low": found.low[a, b],
                "high": found.high[a, b],
                "margin": found.margin[a, b],
                "verdict": str(verdicts(units, found)[a, b]),
            }


# --- page -----------------------------------------------------------------------------------------


def pooled(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the tables, with means over all scores for each number of samples first."""
    cover = tables["coverage"].drop(columns="scores").groupby(["of", "samples"])
    false = tables["false claims"].drop(columns="scores").groupby("samples")
    return {
        "coverage, mean over all scores": cover.mean().reset_index(),
        "false claims, mean over all scores": false.mean().reset_index(),
        **tables,
    }


def write(folder: Path, tables: dict[str, pd.DataFrame], n_sets: int, made: str) -> None:
    """Write the tables, all of them as one page, and where they come from."""
    code = fingerprint(*Path(__file__).parent.glob("false_claims*.py"))
    page = ["# How often claims are wrong\n\n", (__doc__ or "").split("\n\n", 2)[2]]
    settings = {"sets": n_sets, "samples": list(SIZES), "scores": made}
    page.append(f"\nRuns drawn for each metric, number of samples and question: {n_sets}. {made}\n")
    for name, table in tables.items():
        path = folder / f"{name.replace(',', '').replace(' ', '_')}.csv"
        artefacts.write_bytes(path, table.to_csv(index=False, float_format="%.4g").encode())
        artefacts.describe(path, kind="benchmark", params=settings, seed=1, fingerprint=code)
        shown = table.map(lambda cell: f"{cell:.3g}" if isinstance(cell, float) else str(cell))
        page.append(f"\n## {name.capitalize()}\n\n{plain_markdown(shown)}")
    artefacts.write_bytes(folder / "README.md", "".join(page).encode())


def main() -> None:
    """Simulate and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("scores", type=Path)
    parser.add_argument("--sets", type=int, default=160, help="runs drawn for each question")
    parser.add_argument("--made", default="", help="a sentence about the scores, for the page")
    parser.add_argument("--output", type=Path, default=Path("results/published/statistics"))
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    names = ("coverage", "false claims", "agreement with all samples", "two marks")
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for name, scale, wide, stratum in populations(options.scores):
        rows["coverage"] += coverage(name, scale, wide, options.sets)
        rows["false claims"] += false_claims(name, scale, wide, options.sets)
        if len(wide) >= 2 * DRAWN:
            rows["agreement with all samples"] += agreement(
                name, scale, wide, stratum, options.sets
            )
            rows["two marks"] += named_marks(name, scale, wide)
        LOG.info("%s", name)
    tables = {name: pd.DataFrame(found) for name, found in rows.items()}
    write(options.output, pooled(tables), options.sets, options.made)


if __name__ == "__main__":
    main()

"""A network, explainers → their scores under every fill, and how plausible each fill is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from gpex_bench.contract import calls
from gpex_bench.masking.fills import CurveFill, alike
from gpex_bench.masking.order import area
from gpex_bench.measurements.curves import Curves, Removals
from gpex_bench.metrics.srg import SRG
from gpex_bench.metrics.srg_segments import SRGSegments
from gpex_bench.types import Attribution, Case, Explainer, Query, Task
from gpex_bench.types.draws import uniform

METRICS = {"srg": SRG(), "srg_segments": SRGSegments()}
OUTPUTS = ("probability", "logit")
# What one cell gives, without its network and seed.
SCORED = ("method", "relative_to", "metric", "fill", "output", "sample", "score", "change")
PLAUSIBLE = ("fill", "shows", "sample", "plausibility")


def measure(
    methods: Mapping[str, Explainer], task: Task, query: Query, fills: Sequence[CurveFill]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the scores of all methods under every fill and output, and how plausible fills are.

    Fills that show the same on this network are one.

    Args:
        methods: by run id; they give attributions.
        task: the network.
        query: what is explained.
        fills: besides the dataset's baseline.
    """
    random_case = _case(task, query, _random_map(query), next(iter(methods.values())))
    shown = alike(random_case, ["baseline", *fills])
    plausible = [
        _plausibility(random_case, fill, names)  # type: ignore[arg-type]
        for fill, names in shown.items()
    ]

    scores = []
    for name, explainer in methods.items():
        explanation, _ = calls.timed(explainer, task, query)
        if not isinstance(explanation, Attribution):
            raise TypeError(
                f"methods must give attributions, and {name} gives {type(explanation).__name__}."
            )
        case = _case(task, query, explanation, explainer)
        for fill in shown:
            rows = _scores(case, fill)  # type: ignore[arg-type]
            scores.append(rows.assign(method=name, relative_to=str(explainer.relative_to)))
    return pd.concat(scores)[list(SCORED)], pd.concat(plausible)[list(PLAUSIBLE)]


def plausibility(removals: Removals) -> Float[Tensor, "batch"]:
    """Return how much of its probability a target keeps while parts go in a random order.

    The source's R-OMS score: the mean probability of the class that was predicted, over random
    occlusions of every size. Higher is more plausible: the network still recognises the sample.

    Args:
        removals: of a random map, whose two orders are a random one and its reverse.
    """
    curves = removals.of("probability")
    ends = area(curves.most_first, curves.fraction), area(curves.least_first, curves.fraction)
    return (ends[0] + ends[1]) / 2


def _plausibility(random_case: Case, fill: CurveFill, names: Sequence[str]) -> pd.DataFrame:
    """Return how plausible a fill of superpixels is, for each sample."""
    found = plausibility(Curves(unit="segment", fill=fill).measure(random_case))
    columns = {"sample": random_case.query.sample.numpy(), "plausibility": found.numpy()}
    return pd.DataFrame(columns).assign(fill=fill, shows=" = ".join([fill, *names]))


def _scores(case: Case, fill: CurveFill) -> pd.DataFrame:
    """Return the scores of one method under a fill, of pixels and of superpixels."""
    parts = []
    for name, metric in METRICS.items():
        (own,) = metric.measurements()
        removals = own.under(fill).measure(case)
        for output in OUTPUTS:
            removal = removals.of(output)
            change = (removal.most_first[:, 0] - removal.most_first[:, -1]).abs()
            columns = {
                "sample": case.query.sample.numpy(),
                "score": metric.summarise(removal).double().numpy(),
                "change": change.double().numpy(),
            }
            parts.append(pd.DataFrame(columns).assign(metric=name, fill=fill, output=output))
    return pd.concat(parts)


def _random_map(query: Query) -> Attribution:
    """Return a map in a random order of pixels, the same under every fill."""
    x = query.x
    drawn = uniform("plausible order", 0, query.sample, x[0].numel())
    return Attribution(values=drawn.view(x.shape).to(x))


def _case(task: Task, query: Query, explanation: Attribution, explainer: Explainer) -> Case:
    return Case(task=task, query=query, explanation=explanation, explainer=explainer)

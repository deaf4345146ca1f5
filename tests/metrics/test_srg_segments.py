"""SRG over superpixels against a plain loop over superpixels."""

import numpy as np
import pytest
import torch

from gpex_bench.contract import toys
from gpex_bench.masking.regions import slic
from gpex_bench.measurements import measured
from gpex_bench.metrics.srg_segments import SRGSegments
from gpex_bench.types import Attribution, Case

TASKS = {name: (task, query) for name, task, query in toys.tasks(toys.Smooth)}


def by_hand(task, x, target, values):
    """Return the area between both curves of one image, superpixel by superpixel."""
    segments = slic(x.double().numpy(), 50)
    relevance = values.sum(0).numpy()
    mean = np.array([relevance[segments == one].mean() for one in range(segments.max() + 1)])
    best_first = np.argsort(-mean)
    shares = np.arange(17) / 16
    areas = []
    for order in (best_first[::-1], best_first):
        curve = []
        for share in shares:
            gone = order[: int(np.ceil(len(order) * share - 1e-9))]
            mask = torch.from_numpy(np.isin(segments, gone))
            changed = torch.where(mask, task.data.baseline, x)
            curve.append(float(task.model(changed[None]).double().softmax(1)[0, target]))
        areas.append(np.trapezoid(curve, shares))
    return areas[0] - areas[1]


@pytest.mark.parametrize("form", [name for name in TASKS if "image" in name])
def test_it_is_the_area_between_curves_of_superpixels(form):
    task, query = TASKS[form]
    values = torch.randn(query.x.shape, generator=torch.Generator().manual_seed(4))
    metric = SRGSegments()
    case = Case(
        task=task, query=query, explanation=Attribution(values=values), explainer=toys.Known()
    )
    found = metric.score(measured(case, [metric]))
    rows = zip(query.x, query.target.tolist(), values, strict=True)
    with torch.no_grad():
        expected = [by_hand(task, *row) for row in rows]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)

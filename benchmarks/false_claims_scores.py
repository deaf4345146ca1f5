"""Real scores for the simulations of `false_claims`: many methods on many samples of two networks.

    PYTHONPATH=. python benchmarks/false_claims_scores.py digits FOLDER

writes FOLDER/digits.parquet, one row for each method, metric and sample, with what the metric's
scores mean. `digits`: 500 test digits and a `cnn`, 16 methods, 13 metrics, about six minutes on one
core. `shapes`: 300 planted shapes and a `resnet`, eight methods, metrics of planted truth.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import gpex_bench as gb
from gpex_bench.plugins.registry import plugins

LOG = logging.getLogger("false_claims_scores")

CHEAP = {
    "saliency": {},
    "gradient_x_input": {},
    "integrated_gradients": {"budget": 32},
    "deeplift": {},
    "grad_cam": {},
    "lrp": {},
    "occlusion": {"stride": 4},
    "random_map": {},
}
DEARER = {
    "sensitivity": {},
    "expected_gradients": {"budget": 32},
    "smoothgrad": {"budget": 32},
    "guided_backprop": {},
    "kernel_shap": {"budget": 128},
    "lime": {"budget": 128},
    "shapley_sampling": {"budget": 128},
    "edge_detector": {},
}
FAITHFUL = ("srg", "deletion", "insertion", "infidelity", "infidelity_raw", "comprehensiveness")
OTHERS = ("faithfulness_correlation", "road", "pgi", "average_drop", "average_increase")
CHEAPEST = ("sparseness", "completeness_error")
TRUTH = ("pointing_game", "mass_accuracy", "rank_accuracy", "top_iou")
SUBJECTS = {
    "digits": ("mnist5k", "cnn", 500, CHEAP | DEARER, FAITHFUL + OTHERS + CHEAPEST),
    "shapes": ("shapes", "resnet", 300, CHEAP, TRUTH),
}


def drawn(predicted: np.ndarray, n: int) -> np.ndarray:
    """Return n samples, the predicted classes in turn."""
    rng = np.random.default_rng(0)
    turn = np.empty(len(predicted), dtype=int)
    n_classes = int(predicted.max()) + 1
    for group in range(n_classes):
        own = rng.permutation(np.flatnonzero(predicted == group))
        turn[own] = np.arange(len(own)) * n_classes + group
    return np.argsort(turn)[:n]


def scores(name: str) -> pd.DataFrame:
    """Return the scores of one subject; `stratum` is the predicted class."""
    dataset, architecture, n, methods, metrics = SUBJECTS[name]
    data = gb.dataset(dataset)
    model = plugins("model")[architecture].cls().train(data, 1, LOG.debug)
    with torch.no_grad():
        predicted = model(data.test.x).argmax(1).numpy()

    chosen = drawn(predicted, n)
    x = data.test.x[chosen]
    truth = None if data.truth is None else data.truth.mask[chosen]
    network = gb.wrap(model, x[:4], classes=data.classes)

    parts = []
    for method, settings in methods.items():
        maps = gb.explain(network, x, method, data=data, progress=False, **settings)
        asked = {"metrics": metrics, "data": data, "truth": truth, "progress": False}
        found = gb.score(network, x, {method: maps}, **asked)
        parts.append(found.assign(stratum=found["sample"].map(lambda at: predicted[chosen][at])))
        LOG.info("%s", method)
    whole = pd.concat(parts, ignore_index=True)
    return whole.assign(dataset=dataset, model=architecture, seed=1)


def main() -> None:
    """Make the scores of one subject and write them."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    name, folder = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    scores(name).to_parquet(Path(folder) / f"{name}.parquet")


if __name__ == "__main__":
    main()

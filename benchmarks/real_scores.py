"""Real scores for simulations: symmetric relevance gain of methods on two trained networks."""

from dataclasses import replace

import pandas as pd
import torch

from gpex_bench.measurements.curves import Curves
from gpex_bench.metrics.srg import SRG
from gpex_bench.plugins.registry import plugins
from gpex_bench.tables.columns import VARIANT_SCORES
from gpex_bench.types import Case, Query, Task

SEED = 1
FILLS = ("baseline", "train_mean", "noise", "middle")
OUTPUTS = ("probability", "logit")
# Networks by name: dataset, architecture, epochs.
NETWORKS = {"digits": ("mnist5k", "cnn", 4), "table": ("breast_cancer", "mlp", 20)}


def task(name):
    """Return a trained network and its data."""
    dataset, model, epochs = NETWORKS[name]
    data = plugins("dataset")[dataset].cls().load()
    architecture = plugins("model")[model].cls()
    architecture = replace(architecture, training=replace(architecture.training, epochs=epochs))
    network = architecture.train(data, SEED, lambda text: None)
    return Task(model=network, data=data, surrogate=None, seed=SEED)


def query(of, n_samples):
    """Return the first test samples, and what the network says they are."""
    test = of.data.test
    with torch.no_grad():
        target = of.model(test.x[:n_samples]).argmax(1)
    return Query(x=test.x[:n_samples], target=target, sample=test.sample[:n_samples])


def variant_scores(of, asked, explainers):
    """Return the scores of each method under each fill and output, with the columns of a run.

    Args:
        of: a task.
        asked: a query.
        explainers: a name, an explainer and a seed for each method.
    """
    metric = SRG()
    parts = []
    for name, explainer, seed in explainers:
        seeded = replace(of, seed=seed)
        maps = explainer.explain(seeded, asked)
        for fill in FILLS:
            case = Case(task=of, query=asked, explanation=maps, explainer=explainer)
            removals = Curves(fill=fill).measure(case)
            for output in OUTPUTS:
                removal = removals.of(output)
                change = (removal.most_first[:, 0] - removal.most_first[:, -1]).abs()
                rows = {
                    "sample": asked.sample.numpy(),
                    "score": metric.summarise(removal).double().numpy(),
                    "change": change.double().numpy(),
                }
                keys = {"dataset": of.data.name, "model": "network", "seed": SEED, "method": name}
                keys |= {"metric": "srg", "fill": fill, "output": output}
                parts.append(pd.DataFrame({**keys, **rows}))
    return pd.concat(parts, ignore_index=True)[list(VARIANT_SCORES)]


def methods(names):
    """Return these methods, as `variant_scores` takes them."""
    return [(name, plugins("method")[name].cls(), SEED) for name in names]


def random_maps(n, first=0):
    """Return differently seeded random maps, as `variant_scores` takes them."""
    cls = plugins("method")["random_map"].cls
    return [(f"random_{at:02}", cls(), 1000 + first + at) for at in range(n)]

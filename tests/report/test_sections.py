"""How many networks a run is about, in words."""

import itertools

import pandas as pd
import pytest

from gpex_bench.report.sections import networks_run


def cells(*places):
    """Return two methods on each network and seed."""
    rows = []
    for (model, seeds), method in itertools.product(places, ("lrp", "saliency")):
        rows += [
            {"dataset": "digits", "model": model, "seed": seed, "method": method} for seed in seeds
        ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    "places, given, words",
    [
        ([("cnn", (1, 2, 3))], (), "3 trained networks (3 training seeds)"),
        ([("cnn", (4,)), ("mlp", (4,))], (), "2 trained networks (1 training seed)"),
        ([("mlp", (4,))], (), "1 trained network (1 training seed)"),
        ([("mine", (1,))], ("mine",), "1 network (given, not trained)"),
        (
            [("cnn", (1, 2)), ("mine", (1,)), ("yours", (1,))],
            ("mine", "yours"),
            "2 trained networks (2 training seeds) and 2 given, not trained",
        ),
    ],
)
def test_given_networks_are_not_counted_as_trained(places, given, words):
    assert networks_run(cells(*places), {("digits", model) for model in given}) == words

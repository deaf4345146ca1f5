"""Accuracies of networks → their means."""

import pandas as pd


def measure(accuracies: pd.DataFrame) -> pd.DataFrame:
    """Return the mean test accuracy of every network over the training seeds.

    Args:
        accuracies: dataset, model, seed, test_accuracy.
    """
    by_network = accuracies.groupby(["dataset", "model"])["test_accuracy"]
    return by_network.mean().rename("accuracy").reset_index()

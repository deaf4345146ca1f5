"""Made-up shares and accuracies of four networks."""

import numpy as np
import pandas as pd

from gpex_bench.studies.interactions import contrasts
from gpex_bench.studies.interactions.plan import Interactions

MODELS = ("old", "middle", "new", "robust")
PLAN = Interactions(ladder=MODELS[:3], twins=(("robust", "new"),))


def shares(step, n_images=30, seeds=(1, 2, 3), noise=0.02, sure=None):
    """Interaction rises by `step` from a network to the next; the robust one is as the middle."""
    generator = np.random.default_rng(0)
    rows = []
    for output in PLAN.outputs:
        for fill in PLAN.fills:
            for mask in PLAN.masks:
                for model, place in zip(MODELS, (0, 1, 2, 1), strict=True):
                    for seed in seeds:
                        for sample in range(n_images):
                            share = (
                                0.3
                                + 0.01 * sample
                                + place * step(output, fill, mask)
                                + noise * generator.normal()
                            )
                            probability = 0.9 if sure is None else sure(model, sample)
                            pairs = 0.1 + 0.1 * place if mask == "binary" else np.nan
                            row = (share, 0.5, pairs, probability)
                            rows.append(("d", model, seed, sample, output, fill, mask, *row))
    columns = [
        "dataset",
        "model",
        "seed",
        "sample",
        *contrasts.CHOICES,
        *contrasts.SCORES,
        contrasts.PAIRS,
        "probability",
    ]
    return pd.DataFrame(rows, columns=columns)


def accuracies(withstood=0.8, radius=0.01):
    """The robust network keeps `withstood` under attack, the others 0.3; seeds differ."""
    rows = [
        ("d", model, seed, 0.88 + 0.02 * place + 0.01 * seed, under + 0.02 * seed, radius, 200)
        for place, (model, under) in enumerate(zip(MODELS, (0.3, 0.3, 0.3, withstood), strict=True))
        for seed in (1, 2, 3)
    ]
    of_networks = ["test_accuracy", "attacked_accuracy", "attack_radius", "n_attacked"]
    return pd.DataFrame(rows, columns=["dataset", "model", "seed", *of_networks])

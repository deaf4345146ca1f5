"""How long reading a network takes, and what relevance propagation costs in passes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import explainers_measures
import explainers_subjects
import torch
from torchvision import models

from gpex_bench.models.rewriting import rewrite

N_TURNS = 5
N_IMAGES = 64


@dataclass(frozen=True)
class Timing:
    """Seconds of rewriting, and the most passes that a composite of LRP takes."""

    rewriting: float
    passes: float
    slowest: str


def measured() -> Timing:
    """Measure both, on one thread; the best of several turns of rewriting, of fresh networks."""
    seconds = []
    for _ in range(3):
        network = models.resnet50(num_classes=5).eval()
        x = torch.rand(2, 3, 64, 64)
        began = time.process_time()
        rewrite(network, x)
        seconds.append(time.process_time() - began)

    task, query = explainers_subjects.digits(N_IMAGES)
    table = explainers_measures.propagated("digits", task, query, N_TURNS)
    table = table[table["what"].str.startswith("lrp")]
    slowest = table.loc[table["over a pass"].idxmax()]
    return Timing(min(seconds), float(slowest["over a pass"]), str(slowest["what"]))

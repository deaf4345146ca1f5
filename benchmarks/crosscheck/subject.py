"""What both sides are given: a network, images, maps; and what a comparison is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import captum
import numpy as np
import quantus
import torch
from torch import Tensor

from gpex_bench.measurements import measured
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Attribution, Case, Dataset, Metric, Query, Split, Task

SEED, N_TRAIN, EPOCHS, N_IMAGES = 1, 1000, 6, 16


@dataclass(frozen=True)
class Comparison:
    """What two implementations say of the same; without scores, why there is nothing to compare."""

    metric: str
    library: str
    compared: str
    ours: Any = None
    theirs: Any = None
    why: str = ""  # they differ, or are not compared


@dataclass(frozen=True)
class Subject:
    """The network and the maps."""

    task: Task
    query: Query
    maps: Tensor
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def case(self) -> Case:
        """The case of the maps."""
        explainer = plugins("method")["gradient_x_input"].cls()
        explanation = Attribution(values=self.maps)
        return Case(task=self.task, query=self.query, explanation=explanation, explainer=explainer)

    def score(self, metric: Metric) -> Tensor:
        """Return our scores."""
        return metric.score(measured(self.case, [metric]))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what Quantus takes."""
        x, y, a = (part.numpy().copy() for part in (self.query.x, self.query.target, self.maps))
        return {"x_batch": x, "y_batch": y, "a_batch": a}


def subject(n_images: int = N_IMAGES) -> Subject:
    """Return a trained network, its first training images, their predicted classes, noisy maps."""
    whole = plugins("dataset")["mnist5k"].cls().load()
    split = Split(
        x=whole.train.x[:N_TRAIN], y=whole.train.y[:N_TRAIN], sample=whole.train.sample[:N_TRAIN]
    )
    data = Dataset(
        name="mnist1k",
        train=split,
        test=split,
        classes=whole.classes,
        features=(),
        baseline=whole.baseline,
        truth=None,
    )
    architecture = plugins("model")["cnn"].cls()
    architecture = replace(
        architecture, wide=128, training=replace(architecture.training, epochs=EPOCHS)
    )
    model = architecture.train(data, SEED, lambda text: None)
    x = split.x[:n_images]
    with torch.no_grad():
        target = model(x).argmax(1)
    task = Task(model=model, data=data, surrogate=None, seed=SEED)
    query = Query(x=x, target=target, sample=split.sample[:n_images])
    exact = plugins("method")["gradient_x_input"].cls().explain(task, query).values
    grain = torch.randn(exact.shape, generator=torch.Generator().manual_seed(SEED))
    maps = exact + exact.flatten(1).std(1).view(-1, 1, 1, 1) * grain / 2  # no two pixels are equal
    versions = {
        "quantus": quantus.__version__,
        "captum": captum.__version__,
        "numpy": np.__version__,
    }
    settings = {
        "images": n_images,
        "training images": N_TRAIN,
        "epochs": EPOCHS,
        "versions": versions,
    }
    return Subject(task, query, maps, settings)

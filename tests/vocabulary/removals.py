"""Removal curves of a bare network: what the tests need of a case, and nothing more."""

import torch

from gpex_bench.measurements.curves import Curves
from gpex_bench.types import Attribution, Case, Dataset, Explainer, Model, Split, Task


class Wrapped(Model):
    def __init__(self, network):
        super().__init__()
        self.network, self.head = network, torch.nn.Linear(1, 1)

    def embed(self, x):
        raise NotImplementedError

    def forward(self, x):
        return self.network(x)


class Silent(Explainer):
    reference, kind = "none", "control"
    relative_to = "nothing"

    def explain(self, task, query):
        raise NotImplementedError


def case(model, query, values, baseline):
    split = Split(x=query.x, y=query.target, sample=query.sample)
    names = () if query.x.ndim == 4 else tuple(map(str, range(query.x.shape[1])))
    data = Dataset(
        name="d", train=split, test=split, classes=("a", "b"), features=names, baseline=baseline
    )
    model = model if isinstance(model, Model) else Wrapped(model)
    task = Task(model=model, data=data, surrogate=None, seed=0)
    return Case(task=task, query=query, explanation=Attribution(values=values), explainer=Silent())


def removal_curves(model, query, values, baseline, n_steps=28):
    return Curves(n_steps=n_steps).measure(case(model, query, values, baseline)).of("probability")

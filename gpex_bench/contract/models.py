"""The promises that every architecture and its networks keep."""

from __future__ import annotations

import dataclasses
from math import prod

import torch

from gpex_bench.contract import toys
from gpex_bench.contract.networks import check_network, near
from gpex_bench.contract.promises import (
    require,
    require_settings,
    require_tensor,
    same_state,
    works,
)
from gpex_bench.contract.untouched import untouched
from gpex_bench.models.given.offered import without_gradient
from gpex_bench.types import Architecture, Dataset, Model, Need, Task
from gpex_bench.types.outputs import n_outputs

# Larger images than those of the other checks: networks may pool them several times.
SHAPES = {"table": (8,), "grey images": (1, 28, 28), "colour images": (3, 32, 32)}
FORMS = frozenset({Need.IMAGE, Need.TABLE})
EXPLAINED = ("logits", "attention")


def check_model(architecture: Architecture) -> None:
    """Build a network for every form of input that it takes, and train one.

    Raises:
        BrokenPromise: at the first promise it breaks.
    """
    _declared(architecture)
    taken = datasets_for(architecture)
    for kind, data in taken.items():
        with works(kind):
            model = _built(architecture, data)
            twin = _built(architecture, data)
            what = f"two networks from the same state of torch's generator differ ({kind})."
            require(same_state(model, twin), "same state, same weights", what)
            n_heads = n_outputs(data, architecture.one_logit)
            check_network(model.eval(), data, n_heads)
            _outputs(architecture, model, data)

    kind, data = next(iter(taken.items()))
    with works(kind):
        _training(architecture, data)


def datasets_for(architecture: Architecture) -> dict[str, Dataset]:
    """Return a tiny dataset of every form that an architecture takes, by kind of sample."""
    # one logit is for two classes
    n_classes = 2 if architecture.one_logit else toys.N_CLASSES
    datasets = {
        kind: toys.dataset(kind, shape, n_classes=n_classes) for kind, shape in SHAPES.items()
    }
    return {
        kind: data
        for kind, data in datasets.items()
        if (Need.IMAGE if data.is_image else Need.TABLE) in architecture.takes
    }


def _declared(architecture: Architecture) -> None:
    require_settings(type(architecture))
    takes = getattr(architecture, "takes", None)
    what = f"takes must be a frozenset of Need.IMAGE and Need.TABLE, got {takes!r}."
    is_known = isinstance(takes, frozenset) and bool(takes) and takes <= FORMS
    require(is_known, "declared takes", what)
    explained = architecture.explained
    what = f"explained must be one of {', '.join(EXPLAINED)}, got {explained!r}."
    require(explained in EXPLAINED, "declared outputs", what)


def _built(architecture: Architecture, data: Dataset) -> Model:
    """Return an untrained network, whose weights come from torch's generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = architecture.build(data)
    got = type(made).__name__
    require(isinstance(made, Model), "declared type", f"build must return a Model, got {got}.")
    return made


def _outputs(architecture: Architecture, model: Model, data: Dataset) -> None:
    """Require features and explained outputs of the right shape, and what is declared of them."""
    x = data.test.x
    with torch.no_grad():
        embedding, logits, explained = model.embed(x), model(x), model.explained(x)
        features, grid = model.explained_features(x), model.grid(x)

    require_tensor("embed(x)", embedding, (len(x), model.head.in_features))
    require_tensor("explained(x)", explained, (len(x), explained.shape[-1]))
    if architecture.explained == "logits":
        what = "explained is 'logits', and explained(x) differs from forward(x)."
        require(near(explained, logits), "declared outputs", what)

    n_groups = (1, explained.shape[1])
    what = (
        "explained_features(x) must be [batch, group, width] with 1 group or one per output, "
        f"got {tuple(features.shape)}."
    )
    is_grouped = features.ndim == 3 and len(features) == len(x) and features.shape[1] in n_groups
    require(is_grouped, "shape", what)
    what = f"grid(x) is {grid}, for {explained.shape[1]} explained outputs."
    require(grid is None or prod(grid) == explained.shape[1], "shape of the map", what)

    if Need.GRADIENT in architecture.offers:
        problem = without_gradient(model, data.test.x)
        what = f"offers names Need.GRADIENT, and {problem}."
        require(problem is None, "declared offers", what)


def _training(architecture: Architecture, data: Dataset) -> None:
    """Require that training repeats, looks at the training split alone and changes nothing else."""
    bystander = toys.Linear(tuple(data.train.x.shape[1:])).eval()
    task = Task(model=bystander, data=data, surrogate=None, seed=0)
    with untouched(task, toys.query(data)):
        trained = architecture.train(data, 0, lambda _: None)
    require(not trained.training, "eval mode", "train returned a network in train mode.")
    finite = all(bool(weight.isfinite().all()) for weight in trained.parameters())
    require(finite, "finite values", "some weights are NaN or infinite after training.")

    # The test split is of other inputs; where that changes the weights, train once more to see
    # which promise it is.
    hidden = dataclasses.replace(data, test=dataclasses.replace(data.test, x=-data.test.x))
    if not same_state(trained, architecture.train(hidden, 0, lambda _: None)):
        what = "two trainings with the same seed and data give other weights."
        require(
            same_state(trained, architecture.train(data, 0, lambda _: None)),
            "same seed, same bits",
            what,
        )
        require(False, "trains on data.train alone", "other test inputs give other weights.")

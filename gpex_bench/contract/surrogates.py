"""The promises that every recipe and its surrogates keep."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from gpex_bench.contract import toys
from gpex_bench.contract.promises import (
    ROWS,
    require,
    require_settings,
    require_tensor,
    same_state,
    works,
)
from gpex_bench.contract.untouched import untouched
from gpex_bench.types import Progress, Query, Recipe, Surrogate, Task

EXPLAINED = frozenset({"logits", "attention"})
KINDS = ("table", "grey images")
N_TRAIN = 120  # enough for the default sizes of most recipes


def check_surrogate(recipe: Recipe) -> None:
    """Fit a surrogate to a tiny network on a table and on images.

    Raises:
        BrokenPromise: at the first promise it breaks.
    """
    require_settings(type(recipe))
    takes = recipe.takes_explained
    what = f"takes_explained must be a frozenset of {', '.join(sorted(EXPLAINED))}, got {takes!r}."
    is_known = isinstance(takes, frozenset) and bool(takes) and takes <= EXPLAINED
    require(is_known, "declared outputs", what)

    for kind in KINDS:
        data = toys.dataset(kind, n_train=N_TRAIN)
        model = toys.Smooth(toys.SHAPES[kind]).eval()
        task = Task(model=model, data=data, surrogate=None, seed=0)
        query = toys.query(data)
        with works(kind):
            with untouched(task, query):
                surrogate = recipe.fit(model, data, 0, Progress())
            what = f"fit must return a Surrogate, got {type(surrogate).__name__}."
            require(isinstance(surrogate, Surrogate), "declared type", what)
            _fitted(surrogate)
            _posterior(surrogate, query, len(data.classes))
            _shares(surrogate, query)
            _repeats(recipe, task, surrogate)
            _restored(recipe, task, surrogate)


def _fitted(surrogate: Surrogate) -> None:
    require(not surrogate.training, "eval mode", "fit returned a surrogate in train mode.")
    learning = any(parameter.requires_grad for parameter in surrogate.parameters())
    require(not learning, "no graph", "some parameters require gradients after the fit.")


def _posterior(surrogate: Surrogate, query: Query, n_heads: int) -> None:
    """Require a Gaussian for every head that repeats and is each row's own."""
    shape = (len(query.x), n_heads)
    with torch.no_grad():
        posterior, again = surrogate.posterior(query.x), surrogate.posterior(query.x)
        alone = surrogate.posterior(query.x[:1])
    for name in ("mean", "variance"):
        tensor, single = getattr(posterior, name), getattr(alone, name)
        require_tensor(name, tensor, shape)

        what = f"{name} differs between two calls with the same inputs."
        require(torch.equal(tensor, getattr(again, name)), "same call, same bits", what)
        off = float((tensor[:1] - single).abs().max())
        what = f"{name} of a row changes by {off:.3g} when it is alone."
        is_near = off <= ROWS * max(1.0, float(tensor.abs().max()))
        require(is_near, "rows do not influence one another", what)
    least = float(posterior.variance.min())
    require(least > 0, "positive variance", f"the smallest variance is {least:.3g}.")


def _shares(surrogate: Surrogate, query: Query) -> None:
    """Require that contributions, where there are any, and the offset sum to the mean."""
    offset = surrogate.offset(query.target)
    what = f"offset must have shape {(len(query.x),)}, got {tuple(offset.shape)}."
    require(offset.shape == (len(query.x),), "shape", what)
    try:
        with torch.no_grad():
            shares = surrogate.contribution(query.x, query.target).double()
    except NotImplementedError:
        return

    with torch.no_grad():
        mean = surrogate.posterior(query.x).mean.gather(1, query.target[:, None])[:, 0].double()
    total = shares.sum(1) + offset.double()
    size = shares.abs().sum(1) + offset.double().abs()
    off = float(((total - mean).abs() / size.clamp(min=1.0)).max())
    what = f"contributions and offset miss the mean by {off:.3g} of their size."
    require(off <= ROWS, "contributions sum to the mean", what)


def _repeats(recipe: Recipe, task: Task, surrogate: Surrogate) -> None:
    """Require the same surrogate of the same seed and training split, for any test split."""
    model, data = task.model, task.data
    hidden = dataclasses.replace(data, test=dataclasses.replace(data.test, x=-data.test.x))
    if same_state(surrogate, recipe.fit(model, hidden, 0, Progress())):
        return

    # Another fit to the very same data says which promise is broken.
    twin = recipe.fit(model, data, 0, Progress())
    what = "two fits with the same seed and data give other states."
    require(same_state(surrogate, twin), "same seed, same bits", what)
    require(False, "fits to data.train alone", "other test inputs give another state.")


def _restored(recipe: Recipe, task: Task, surrogate: Surrogate) -> None:
    """Require that the state is all there is to a surrogate."""
    state = {name: tensor.clone() for name, tensor in surrogate.state_dict().items()}
    is_tensors = all(isinstance(tensor, Tensor) for tensor in state.values())
    require(is_tensors, "state of tensors", "state_dict holds something that is not a tensor.")
    twin = recipe.restore(task.model, task.data, state)
    require(not twin.training, "eval mode", "restore returned a surrogate in train mode.")
    with torch.no_grad():
        first = surrogate.posterior(task.data.test.x)
        second = twin.posterior(task.data.test.x)
    is_same = torch.equal(first.mean, second.mean) and torch.equal(first.variance, second.variance)
    what = "the surrogate that is restored from the state has another posterior."
    require(is_same, "the state is the artefact", what)

"""One factor a head on the variances of any surrogate, so that intervals can be compared.

The intervals of some surrogates are fitted to errors that they make on other inputs, those of
others to training samples that they have seen. Compared as they are, the first kind wins for that
reason alone. So every surrogate is calibrated in the same way, after its fit, as in split conformal
prediction (`lei2018distribution`): of training samples that the prediction does without, and of as
many mixtures of them (see `mixing`), the 90 % quantile of |error| / s.d. over that of a normal
distribution is the factor on the s.d. No test sample enters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from gpex_bench.surrogates.gpex_fit.mixing import mixed
from gpex_bench.types import Dataset, Model, Progress, Recipe, Split, Surrogate
from gpex_bench.types.batches import in_chunks

OWN = 2005  # keeps the mixtures apart from other draws with the same seed
KEPT_AS = "interval_factor"  # its name beside the tensors of a surrogate's state
LEVEL = 0.9  # of the intervals whose coverage becomes right
HALF = 1.6448536269514722  # half-width of a central 90 % interval, in standard deviations


def interval_factor(
    recipe: Recipe, surrogate: Surrogate, model: Model, data: Dataset, seed: int
) -> Float64[Tensor, "head"] | None:
    """Return by what to multiply the variance of each head, or None without intervals.

    NaN for a head of which more than a tenth of the items has an error and no variance.

    Args:
        recipe: how the surrogate was fitted.
        surrogate: fitted to the training split, on the CPU.
        model: the network, on the CPU.
        data: the dataset; of its test split nothing is used.
        seed: that of the fit.
    """
    if surrogate.no_intervals:
        return None

    index = recipe.calibration_samples(len(data.train.x), seed)
    judged = surrogate.without(index)
    if judged is None:
        judged = recipe.fit(model, _without(data, index), seed, Progress())

    held = data.train.x[index]
    draw = int(np.random.SeedSequence([seed, OWN]).generate_state(1)[0])
    mixtures = mixed(held, len(held), torch.Generator().manual_seed(draw))
    return factor(_ratios(judged, model, torch.cat([held, mixtures])))


def factor(ratios: Float64[Tensor, "item head"]) -> Float64[Tensor, "head"]:
    """Return the factor on the variance that makes 90 % intervals hold 90 % of other items.

    The ceil(0.9 (n + 1))-th smallest ratio covers at least 90 % of items like these on average; of
    fewer than nine, the largest.

    Args:
        ratios: |error| / s.d. of each item.
    """
    n_items = len(ratios)
    rank = min(n_items, math.ceil(LEVEL * (n_items + 1)))
    reach = ratios.kthvalue(rank, dim=0).values / HALF
    return torch.where(reach.isfinite(), reach.square(), torch.nan)


def with_factor(state: Mapping[str, Tensor], found: Tensor | None) -> dict[str, Tensor]:
    """Return a surrogate's state with the factor beside it, as it is kept."""
    return dict(state) if found is None else {**state, KEPT_AS: found}


def restored(recipe: Recipe, model: Model, data: Dataset, kept: Mapping[str, Tensor]) -> Surrogate:
    """Return the surrogate whose state and factor were kept together.

    Raises:
        ValueError: the state belongs to another network, dataset or recipe.
    """
    state = {name: tensor for name, tensor in kept.items() if name != KEPT_AS}
    surrogate = recipe.restore(model, data, state)
    surrogate.interval_factor = kept.get(KEPT_AS)
    return surrogate


def _ratios(
    surrogate: Surrogate, model: Model, x: Float[Tensor, "item *feature"]
) -> Float64[Tensor, "item head"]:
    """Return |error| / s.d.; 0 without an error, and infinite with one and no s.d."""

    def ratios(part: Tensor) -> Tensor:
        found = surrogate.posterior(part)
        error = (found.mean.double() - model.explained(part).double()).abs()
        return torch.where(error > 0, error / found.variance.double().sqrt(), 0.0)

    return in_chunks(ratios, x)


def _without(data: Dataset, index: Int[Tensor, "k"]) -> Dataset:
    """Return a dataset without some training samples."""
    is_kept = torch.ones(len(data.train.x), dtype=torch.bool)
    is_kept[index] = False
    train = Split(
        x=data.train.x[is_kept], y=data.train.y[is_kept], sample=data.train.sample[is_kept]
    )
    return replace(data, train=train, truth=None)

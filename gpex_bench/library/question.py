"""A question about a network, as methods and metrics take it, and what it offers them."""

from __future__ import annotations

from collections.abc import Collection
from numbers import Integral
from typing import Any

import torch
from torch import nn

from gpex_bench.library import asking
from gpex_bench.library.asking import Inputs
from gpex_bench.library.wrapping import Network, as_network
from gpex_bench.types import Dataset, Need, Query, Surrogate, Task, value
from gpex_bench.types.demands import Refused

# What a user can do where something is needed that is not there.
REMEDIES = {
    Need.TRAINING: "give data=, with the training samples of the network",
    Need.TRUTH: "give truth=, where the evidence is, or rows of a dataset that knows it as a Split",
    Need.IMAGE: "it takes images [n, channel, height, width]",
    Need.TABLE: "it takes rows of a table [n, column]",
    Need.PROBABILITY: "the network gives a number",
    Need.OUTPUTS: "the network has one output",
}


@value
class Question:
    """Why does a network give these inputs these scores?"""

    network: Network
    task: Task  # what methods and metrics look at
    query: Query  # on the device of the network
    given: Inputs  # the inputs as they came


def question(  # noqa: PLR0913 - options by keyword
    network: Network | nn.Module,
    given: Inputs,
    data: Dataset | None = None,
    *,
    target: Any = None,
    baseline: object = None,
    truth: object = None,
    seed: Any = 0,
    surrogate: Surrogate | None = None,
) -> Question:
    """Return a question from what people give; see `explain` for the arguments.

    Raises:
        ValueError: names the argument that does not fit.
    """
    is_whole = isinstance(seed, Integral) and not isinstance(seed, bool)
    if not is_whole or seed < 0:
        raise ValueError(f"seed must be a whole number from 0 up, got {seed!r}.")
    if torch.is_inference_mode_enabled():
        raise ValueError(
            "Nothing has a gradient in torch.inference_mode(); leave it to explain or score."
        )
    network = as_network(network, given, data)
    options: dict[str, Any] = {"baseline": baseline, "truth": truth}
    names = network.names()
    known = asking.dataset(given, data, kind=network.kind, classes=names, **options)
    task = Task(model=network.model(), data=known, surrogate=surrogate, seed=int(seed))

    x = given.x.to(network.device)
    chosen = asking.targets(target, task.model, x, known.classes)
    query = Query(x=x, target=chosen, sample=given.sample)
    return Question(network=network, task=task, query=query, given=given)


def offers(network: Network, task: Task) -> frozenset[Need]:
    """Return what the network, the inputs and the data offer to methods and metrics."""
    data = task.data
    form = Need.IMAGE if data.is_image else Need.TABLE
    offered = {form, Need.GRADIENT, Need.MODULES, *data.kind.offers}
    if len(data.train.x):
        offered.add(Need.TRAINING)
    if data.truth is not None:
        offered.add(Need.TRUTH)
    if task.model.head.out_features == 1:
        offered.discard(Need.OUTPUTS)
    return frozenset(offered) - set(network.withdrawn)


def lacking(needs: Collection[Need], offered: Collection[Need], network: Network) -> str:
    """Say what is needed and not offered, why, and what to do; "" if nothing is missing."""
    texts = []
    for need in sorted(set(needs) - set(offered)):
        why = network.withdrawn.get(need) or REMEDIES.get(need, "")
        texts.append(f"needs {need}" + (f" ({why})" if why else ""))
    return "; ".join(texts)


def require(name: str, needs: Collection[Need], asked: Question) -> None:
    """Raise Refused if something is needed that is not offered."""
    missing = lacking(needs, offers(asked.network, asked.task), asked.network)
    if missing:
        raise Refused(f"{name} {missing}.")

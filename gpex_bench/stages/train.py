"""Dataset → network, and how well it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from gpex_bench.contract import isolation
from gpex_bench.contract.datasets import check_learnable
from gpex_bench.contract.isolation import Outcome
from gpex_bench.contract.networks import N_ROWS, check_finite, check_network, check_stored
from gpex_bench.models.given.offered import as_modules, without_gradient
from gpex_bench.types import Architecture, Dataset, Model, Need
from gpex_bench.types.batches import in_chunks
from gpex_bench.types.outputs import n_outputs, prediction
from gpex_bench.types.performance import performance

# The name under which the prediction for each test sample is stored beside the weights.
PREDICTED = "test/prediction"


def train(
    architecture: Architecture, data: Dataset, seed: int, progress: Callable[[str], None]
) -> tuple[Model, dict[str, float]]:
    """Return a trained network, and how well it does on both splits.

    The names of the numbers are those of `types.performance` after the split, as `test_accuracy`.

    Raises:
        BrokenPromise: the network does not keep what later stages rely on, or the dataset lacks
            samples of a class to train on.
    """
    if not architecture.is_given:
        check_learnable(data)
    model = architecture.train(data, seed, progress)
    check_trained(architecture, model, data)

    reached: dict[str, float] = {}
    for part, split in (("train", data.train), ("test", data.test)):
        outputs = in_chunks(model, split.x)
        check_finite(outputs, part)
        found = performance(outputs, split.y, data.kind)
        reached |= {f"{part}_{name}": number for name, number in found.items()}
    return model, reached


@dataclass(frozen=True)
class Checked:
    """What is known of a trained network."""

    reached: Mapping[str, float]  # how well it does
    withdrawn: Mapping[str, str] = field(
        default_factory=dict
    )  # why an offer is taken back, by need
    rewriting: str = ""  # what becomes modules for the methods that need them, and how exactly

    def note(self, status: str, reason: str) -> dict[str, Any]:
        """Return what is stored with its weights."""
        found = {**self.reached, "withdrawn": dict(self.withdrawn), "rewriting": self.rewriting}
        return found | {"status": status, "reason": reason}


def train_and_store(
    architecture: Architecture,
    data: Dataset,
    seed: int,
    *,
    progress: Callable[[str], None],
    store: Callable[[dict[str, Tensor], dict[str, Any]], None],
) -> Outcome:
    """Train a network in a process of its own: one that fails or breaks a promise is a result.

    Args:
        architecture: how.
        data: what it is trained on.
        seed: of the training.
        progress: called with lines of text.
        store: gets the weights with the predictions, and the note, in that process.

    Returns:
        The outcome; its value is what is known of the network.
    """

    def made() -> Checked:
        model, reached = train(architecture, data, seed, progress)
        known = Checked(reached, *offered(architecture, model, data))
        predicted = prediction(in_chunks(model, data.test.x), data.kind)
        store({**model.state_dict(), PREDICTED: predicted}, known.note("ok", ""))
        return known

    outcome = isolation.run(made, None)
    return replace(outcome, reason=outcome.reason.removeprefix("BrokenPromise: "))


def check_trained(architecture: Architecture, model: Model, data: Dataset) -> None:
    """Check a trained network and its twin that is built again from the stored weights.

    Raises:
        BrokenPromise: one of them breaks a promise, or they differ.
    """
    n_heads = n_outputs(data, architecture.one_logit)
    check_network(model.eval(), data, n_heads)
    twin = rebuilt(architecture, data, model.state_dict())
    check_network(twin, data, n_heads)
    check_stored(model, twin, data)


def rebuilt(architecture: Architecture, data: Dataset, state: Mapping[str, Tensor]) -> Model:
    """Return the network with these weights in eval mode, as every later stage gets it."""
    with torch.random.fork_rng(devices=[]):
        model = architecture.build(data)
    model.load_state_dict({name: weight for name, weight in state.items() if name != PREDICTED})
    return model.eval().requires_grad_(False)


def offered(architecture: Architecture, model: Model, data: Dataset) -> tuple[dict[str, str], str]:
    """Return why a network does not offer what its architecture does, and what becomes modules.

    Offers of the architecture hold for every network of its kind, and are tried on this one.
    """
    rows = data.test.x[:N_ROWS]
    withdrawn: dict[str, str] = {}
    if Need.GRADIENT in architecture.offers:
        problem = without_gradient(model, rows)
        if problem is not None:
            withdrawn[Need.GRADIENT] = problem

    rewriting = ""
    if Need.MODULES in architecture.offers:
        rewriting, problem = as_modules(model, rows)
        if problem is not None:
            withdrawn[Need.MODULES] = problem
    return withdrawn, rewriting

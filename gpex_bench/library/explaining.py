"""Why does a network give these inputs these scores? Any method, any network, in one call."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Collection
from typing import Any

from torch import nn

from gpex_bench.contract import calls, sums
from gpex_bench.contract.cost import counted
from gpex_bench.library import asking
from gpex_bench.library.bars import bar
from gpex_bench.library.choosing import method as method_named
from gpex_bench.library.choosing import name_of
from gpex_bench.library.fitting import Fitted
from gpex_bench.library.results import Made, Maps, Neighbours
from gpex_bench.library.wrapping import Network, as_network
from gpex_bench.types import (
    Attribution,
    Dataset,
    Examples,
    Explainer,
    Explanation,
    Need,
    Query,
    Task,
)
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


class UnsoundMaps(UserWarning):
    """Maps break the promise of their method: their values do not sum to what it says."""


def explain(  # noqa: PLR0913 - one option by keyword
    network: Network | nn.Module,
    x: object,
    method: str | Explainer = "lrp",
    *,
    target: object = None,
    data: Dataset | None = None,
    surrogate: Fitted | None = None,
    baseline: object = None,
    truth: object = None,
    sample: object = None,
    seed: int = 0,
    progress: bool = True,
    **settings: Any,
) -> Maps | Neighbours:
    """Explain outputs of a network.

    The numbers are those that the workflow gives for the same network, samples and seed. Inputs go
    to the device of the network, results come back to the CPU. Nothing is written, and no global
    random state moves.

    Args:
        network: what `wrap` returns, or any module, which is then wrapped.
        x: images [n, channel, height, width] or rows of a table [n, column], or one of them
            without the first axis, of torch or numpy; or a `Split` of a dataset.
        method: name of a method (`list_methods()`), or a method with its settings.
        target: which output is explained: a number or the name of a class, one for all inputs or
            one an input; None: the one that the network makes largest.
        data: training samples, baseline, names and groups of columns; None: methods that need
            training samples are refused.
        surrogate: what `fit` returned, for methods that explain with a surrogate. They run on the
            CPU, with the network that it was fitted to.
        baseline: what an absent feature looks like: one number, one a channel, or an input; None:
            that of the data, or 0.
        truth: where the evidence of each input is, for the oracle.
        sample: identities of the inputs [n], on which random draws depend; None: those of the
            split, or the numbers of the rows.
        seed: of random draws.
        progress: whether long work shows a progress bar.
        settings: hyperparameters of a method that is given by name.

    Returns:
        `Maps`, with `values` of the shape of x; or `Neighbours`, of methods that answer with
        training samples.

    Raises:
        Refused: the method does not apply to this network or these inputs; says why and where.
        ConfigError: a hyperparameter is not known, or has a value that it cannot have.
        ValueError: names the argument that does not fit.
        BrokenPromise: the method did what the contract forbids.

    Warns:
        UnsoundMaps: the values do not sum to what the method promises; `unsound` says by how much.

    Example:
        >>> import gpex_bench as gb, torch
        >>> from torch import nn
        >>> module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> maps = gb.explain(module, torch.ones(2, 4), "integrated_gradients", target=1)
        >>> maps.values.shape
        torch.Size([2, 4])
    """
    name, explainer = _method(method, settings, surrogate)
    given = asking.inputs(x, sample)
    known = surrogate.data if surrogate is not None and data is None else data
    network = as_network(network if surrogate is None else surrogate.of(network), given, known)

    task = make_task(network, given, known, baseline=baseline, truth=truth, seed=seed)
    if surrogate is not None:
        task = dataclasses.replace(task, surrogate=surrogate.surrogate)
    require(name, explainer.needs, offers(network, task), network)

    chosen = asking.targets(target, task.model, given.x.to(network.device), task.data.classes)
    query = asking.query(given, chosen, network.device)
    return answered(network, task, query, (name, explainer), given=given, progress=progress)


def answered(  # noqa: PLR0913 - two options by keyword
    network: Network,
    task: Task,
    query: Query,
    chosen: tuple[str, Explainer],
    *,
    given: asking.Inputs,
    progress: bool,
) -> Maps | Neighbours:
    """Return the explanation of a query, with its cost, held to the promises of its method."""
    name, explainer = chosen
    with (
        bar(f"{name}, rows of the network", progress) as shown,
        counted(task.model, heard=shown.update) as rows,
        counted(task.surrogate, heard=shown.update) as of_surrogate,
    ):
        explanation, seconds = calls.timed(explainer, task, query)
    made = Made(
        method=name,
        explainer=explainer,
        network=network,
        task=task,
        query=query,
        seconds=seconds,
        forward_rows=rows.forward,
        backward_rows=rows.backward,
        surrogate_rows=of_surrogate.forward + of_surrogate.backward,
    )
    return _result(explanation, made, given)


def _result(explanation: Explanation, made: Made, given: asking.Inputs) -> Maps | Neighbours:
    """Return an explanation on the CPU, of the shape of the inputs as they came."""
    target = given.shaped(made.query.target.cpu())
    sample = given.shaped(given.sample)
    if isinstance(explanation, Examples):
        index, weight = explanation.index.cpu(), explanation.weight.detach().cpu()
        return Neighbours(
            index=given.shaped(index),
            weight=given.shaped(weight),
            target=target,
            sample=sample,
            made=made,
        )
    if not isinstance(explanation, Attribution):
        kind = type(explanation).__name__
        raise Refused(f"{made.method} gives a {kind}, which is neither maps nor training samples.")

    residual = explanation.residual
    return Maps(
        values=given.shaped(explanation.values.cpu()),
        residual=None if residual is None else given.shaped(residual.cpu()),
        target=target,
        sample=sample,
        unsound=_unsound(explanation, made),
        made=made,
    )


def _unsound(explanation: Attribution, made: Made) -> str:
    """Return why maps break the promise of their method, and warn; "" if they keep it."""
    lost = sums.missing(made.explainer, made.task, made.query, explanation)
    reason = "" if lost is None else lost.reason() or ""
    if reason:
        warnings.warn(f"{made.method}: {reason}", UnsoundMaps, stacklevel=5)
    return reason


def _method(
    method: str | Explainer, settings: dict[str, Any], surrogate: Fitted | None
) -> tuple[str, Explainer]:
    """Return a method and its name, with the surrogate that it explains with."""
    if isinstance(method, Explainer):
        if settings:
            raise ValueError(
                f"settings ({', '.join(settings)}) go with the name of a method; this one has its "
                "own: give them where it is made."
            )
        name, explainer = name_of(method), method
    elif isinstance(method, str):
        if surrogate is not None and method.startswith("gpex_"):
            settings = {"surrogate": surrogate.name, **settings}
        name, explainer = method, method_named(method, **settings)
    else:
        raise ValueError(
            f"method must be the name of a method or a method, got {type(method).__name__}."
        )

    if explainer.surrogate is None and surrogate is not None:
        raise ValueError(f"surrogate has no effect on {name}, which explains the network itself.")
    if explainer.surrogate is not None and surrogate is None:
        raise Refused(
            f"{name} needs a fitted surrogate: fitted = gb.fit(network, data, "
            f"{explainer.surrogate!r}), then explain(..., surrogate=fitted)."
        )
    if surrogate is not None and not isinstance(surrogate, Fitted):
        raise ValueError(f"surrogate must be what fit returns, got {type(surrogate).__name__}.")
    return name, explainer


def make_task(  # noqa: PLR0913 - three options by keyword
    network: Network,
    given: asking.Inputs,
    data: Dataset | None,
    *,
    baseline: object = None,
    truth: object = None,
    seed: int = 0,
) -> Task:
    """Return what methods and metrics look at; raises ValueError naming the argument."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number from 0 up, got {seed!r}.")
    known = asking.dataset(
        given, data, kind=network.kind, classes=network.names(), baseline=baseline, truth=truth
    )
    return Task(model=network.model(), data=known, surrogate=None, seed=seed)


def offers(network: Network, task: Task) -> frozenset[Need]:
    """Return what the network, the inputs and the data offer to methods and metrics."""
    data = task.data
    offered = set(data.kind.offers) | {Need.GRADIENT, Need.MODULES}
    offered.add(Need.IMAGE if data.is_image else Need.TABLE)
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


def require(
    name: str, needs: Collection[Need], offered: Collection[Need], network: Network
) -> None:
    """Raise Refused if something is needed that is not offered."""
    missing = lacking(needs, offered, network)
    if missing:
        raise Refused(f"{name} {missing}.")

"""Why does a network give these inputs these scores? Any method, any network, in one call."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from gpex_bench.contract import calls, sums
from gpex_bench.contract.cost import counted
from gpex_bench.library import asking
from gpex_bench.library.bars import bar
from gpex_bench.library.choosing import method as method_named
from gpex_bench.library.choosing import name_of
from gpex_bench.library.fitting import Fitted
from gpex_bench.library.question import Question, question, require
from gpex_bench.library.results import Made, Maps, Neighbours
from gpex_bench.library.wrapping import Network
from gpex_bench.types import (
    Attribution,
    Dataset,
    Examples,
    Explainer,
    Explanation,
    Prototype,
    Query,
)
from gpex_bench.types.batches import EXPLAINED_ROWS
from gpex_bench.types.demands import Refused

# Inputs that are explained at once, as the workflow does; of more, EXPLAINED_ROWS at a time. The
# last bits of a map may depend on it.
N_TOGETHER = 256


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
    """Explain outputs of a network, with the numbers of the workflow for the same samples and seed.

    Args:
        network: what `wrap` returns, or any module, which is then wrapped. Inputs go where it is,
            results come back to the CPU.
        x: images [n, channel, height, width] or rows [n, column], or one without the first axis, of
            torch or numpy; or a `Split` of a dataset.
        method: name of a method (`list_methods()`), or a method with its settings.
        target: the output that is explained, by number or name, one for all inputs or one an input;
            None: the one that the network makes largest.
        data: training samples, baseline, names and groups of columns.
        surrogate: what `fit` returned, for methods that explain with one; they run on the CPU.
        baseline: what an absent feature looks like: one number, one a channel, or an input; None:
            that of the data, or 0.
        truth: where the evidence of each input is, for the oracle.
        sample: identities of the inputs, on which draws depend; None: the numbers of the rows.
        seed: of random draws.
        progress: whether long work shows a bar.
        settings: hyperparameters of a method that is given by name.

    Returns:
        `Maps`, with `values` of the shape of x; or `Neighbours`, training samples.

    Raises:
        Refused: the method does not apply to this network or these inputs; says why and where.
        ValueError: an argument or a hyperparameter does not fit; names it.
        BrokenPromise: the method did what the contract forbids.
        UnsoundMaps: a warning: values do not sum to what the method promises (`Maps.unsound`).

    Example:
        >>> import gpex_bench as gb, torch
        >>> gb.explain(torch.nn.Linear(4, 3), torch.ones(2, 4), "lrp", target=1).values.shape
        torch.Size([2, 4])
    """
    name, explainer = _method(method, settings, surrogate)
    options: dict[str, Any] = {"target": target, "baseline": baseline, "truth": truth, "seed": seed}
    if surrogate is not None:
        network = surrogate.of(network)
        data = surrogate.data if data is None else data
        options["surrogate"] = surrogate.surrogate

    asked = question(network, asking.inputs(x, sample), data, **options)
    require(name, explainer.needs, asked)
    explanation, made = _made(name, explainer, asked, is_shown=progress)
    return _result(explanation, made, asked.given)


def _made(
    name: str, explainer: Explainer, asked: Question, *, is_shown: bool
) -> tuple[Explanation, Made]:
    """Return an explanation, held to the promises of its method, and what it cost."""
    task, query = asked.task, asked.query
    with (
        bar(f"{name}, rows of the network", is_shown) as shown,
        counted(task.model, heard=shown.update) as rows,
        counted(task.surrogate, heard=shown.update) as of_surrogate,
    ):
        parts = [calls.timed(explainer, task, part) for part in _parts(query)]
    made = Made(
        method=name,
        explainer=explainer,
        network=asked.network,
        task=task,
        query=query,
        seconds=sum(seconds for _, seconds in parts),
        forward_rows=rows.forward,
        backward_rows=rows.backward,
        surrogate_rows=of_surrogate.forward + of_surrogate.backward,
    )
    return _joined([explanation for explanation, _ in parts]), made


def _parts(query: Query) -> list[Query]:
    """Return the query in parts that are explained at once: all of it, unless it is large."""
    n = len(query.x)
    if n <= N_TOGETHER:
        return [query]
    return [
        query.rows(slice(start, start + EXPLAINED_ROWS)) for start in range(0, n, EXPLAINED_ROWS)
    ]


def _joined(parts: Sequence[Explanation]) -> Explanation:
    """Return the explanations of parts as one."""
    first = parts[0]
    if len(parts) == 1 or isinstance(first, Prototype):
        return first

    fields = [calls.tensors(part) for part in parts]
    whole: dict[str, Any] = {name: torch.cat([part[name] for part in fields]) for name in fields[0]}
    return type(first)(**whole)


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
        warnings.warn(f"{made.method}: {reason}", UnsoundMaps, stacklevel=4)
    return reason


def _method(
    method: str | Explainer, settings: dict[str, Any], surrogate: Fitted | None
) -> tuple[str, Explainer]:
    """Return a method and its name, with the surrogate that it explains with."""
    if surrogate is not None and not isinstance(surrogate, Fitted):
        raise ValueError(f"surrogate must be what fit returns, got {type(surrogate).__name__}.")
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
    return name, explainer

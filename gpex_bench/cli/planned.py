"""What a run will be: which methods and metrics apply to its networks, its cells and its jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from gpex_bench.config import Config
from gpex_bench.config.schema import Network

# Why methods that the run asks about a network will not answer, by network and method.
Refused = Mapping[Network, Mapping[str, str]]
N_NAMED = 3  # methods that are named; of more, the number


def applying(config: Config, refused: Refused) -> list[str]:
    """Return which methods and metrics apply to each network that fits, and why others do not."""
    found = []
    for network, whose in refused.items():
        found += _of_methods(config, network, whose)
        found += _of_metrics(config, network)
    return found


def _of_methods(config: Config, network: Network, refused: Mapping[str, str]) -> list[str]:
    """Return which methods apply to a network, and the others by the reason why they do not."""
    names = []
    others: dict[str, list[str]] = {}
    for run_id in config.entries["method"]:
        reason = config.not_applicable(network, run_id) or refused.get(run_id)
        if reason:
            others.setdefault(reason, []).append(run_id)
        else:
            names.append(run_id)

    what = f"methods that apply to {network.model} on {network.dataset}"
    return [
        f"{what}: {_listed(names)}",
        *(f"  not {', '.join(whose)}: {reason}" for reason, whose in others.items()),
    ]


def _of_metrics(config: Config, network: Network) -> list[str]:
    """Return which metrics apply to the methods of a network, and the others by their reasons."""
    methods = applicable(config, network)
    names = []
    others: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for metric in config.entries["metric"]:
        reasons = _unscored(config, network, metric, methods)
        names += [metric] * (None in reasons)
        for reason, whose in reasons.items():
            if reason is not None:
                others.setdefault((reason, tuple(whose)), []).append(metric)

    found = [f"metrics that apply to {network.model} on {network.dataset}: {_listed(names)}"]
    for (reason, those), metrics in others.items():
        of = _some(those, len(methods))
        found.append(f"  not {', '.join(metrics)}{of}: {reason}")
    return found


def _some(whose: Sequence[str], n_methods: int) -> str:
    """Say which methods are meant: " of lrp, lime", " of 5 methods"; "" for all."""
    if len(whose) in (0, n_methods):
        return ""
    return f" of {', '.join(whose) if len(whose) <= N_NAMED else f'{len(whose)} methods'}"


def _unscored(
    config: Config, network: Network, metric: str, methods: list[str]
) -> dict[str | None, list[str]]:
    """Return the methods that a metric scores (None), and those that it does not, by reason.

    Methods that give another kind of explanation than it scores are left out.
    """
    scores = config.metric(metric).scores
    reasons: dict[str | None, list[str]] = {}
    for method in methods:
        explainer = config.method(method)
        if explainer is None or issubclass(explainer.explains, scores):
            reason = config.skipped(network, method, metric)
            reasons.setdefault(reason, []).append(method)
    return reasons or {f"no method gives {scores.__name__.lower()}": []}


def _listed(names: list[str]) -> str:
    return f"{len(names)} ({', '.join(names)})" if names else "none"


def applicable(config: Config, network: Network) -> list[str]:
    """Return the methods that the run asks about a network."""
    every = config.entries["method"]
    return [method for method in every if config.not_applicable(network, method) is None]


def jobs(config: Config) -> dict[str, int]:
    """Return how many jobs of each rule the cells of a run have, without those of a study."""
    counts: Counter[str] = Counter()
    counts["prepare"] = len({network.dataset for network in config.networks})
    for network in config.networks:
        counts["train"] += len(config.seeds_of(network.model))
        counts["fit"] += len(network.surrogates)
        counts["agree"] += len(network.surrogates)
        n_methods = len(applicable(config, network))
        counts["explain"] += n_methods
        counts["score"] += n_methods
    return {rule: count for rule, count in counts.items() if count}


def work(config: Config) -> list[str]:
    """Return how much the run will do."""
    n_cells = 0
    for network in config.networks:
        n_cells += len(applicable(config, network)) * len(config.seeds_of(network.model))

    counts = jobs(config)
    listed = ", ".join(f"{count} {rule}" for rule, count in counts.items())
    what = "tables, figures and the report"
    if config.study_name is not None:
        what += f" and those of the study {config.study_name}"
    return [
        f"run {config.run}: {n_cells} cells of method, network and seed, of "
        f"{config.explain.samples} samples each, scored by {len(config.entries['metric'])} metrics",
        f"  {sum(counts.values())} jobs of cells ({listed}), and then {what}",
    ]

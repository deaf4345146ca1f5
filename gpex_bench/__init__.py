"""Compare explainers of neural networks, by the statistics of a benchmark: the public surface.

    import gpex_bench as gb

    network = gb.wrap(module)                                  # any torch.nn.Module
    maps = gb.explain(network, x, "lrp")                       # maps, with what they cost
    scores = gb.score(network, x, {"lrp": maps, "mine": mine}) # a frame, one row an input
    gb.summary(scores)                                         # means with intervals

What is listed in `__all__` is public, and nothing else. A name is imported when it is used: PyTorch
takes longer to import than this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpex_bench.contract.promises import BrokenPromise
    from gpex_bench.data.files.arrays import from_arrays as arrays
    from gpex_bench.library.choosing import dataset, method, metric, surrogate
    from gpex_bench.library.concluding import pairs, summary
    from gpex_bench.library.evaluating import evaluate
    from gpex_bench.library.explaining import UnsoundMaps, explain
    from gpex_bench.library.fitting import Fitted, fit
    from gpex_bench.library.lists import (
        list_datasets,
        list_methods,
        list_metrics,
        list_models,
        list_surrogates,
    )
    from gpex_bench.library.results import Maps, Neighbours
    from gpex_bench.library.runs import EvaluationFailed, Run
    from gpex_bench.library.scoring import score
    from gpex_bench.library.wrapping import Network, wrap
    from gpex_bench.types import (
        Architecture,
        Attribution,
        Axiom,
        Case,
        Dataset,
        Examples,
        Explainer,
        Explanation,
        Kind,
        Measurement,
        Metric,
        Model,
        Need,
        Posterior,
        Progress,
        Prototype,
        Query,
        Recipe,
        RelativeTo,
        Removal,
        Role,
        Source,
        Split,
        Study,
        Surrogate,
        Task,
        Truth,
        settings,
        value,
    )
    from gpex_bench.types.demands import Refused

    __version__: str

__all__ = [
    "Architecture",
    "Attribution",
    "Axiom",
    "BrokenPromise",
    "Case",
    "Dataset",
    "EvaluationFailed",
    "Examples",
    "Explainer",
    "Explanation",
    "Fitted",
    "Kind",
    "Maps",
    "Measurement",
    "Metric",
    "Model",
    "Need",
    "Neighbours",
    "Network",
    "Posterior",
    "Progress",
    "Prototype",
    "Query",
    "Recipe",
    "Refused",
    "RelativeTo",
    "Removal",
    "Role",
    "Run",
    "Source",
    "Split",
    "Study",
    "Surrogate",
    "Task",
    "Truth",
    "UnsoundMaps",
    "__version__",
    "arrays",
    "dataset",
    "evaluate",
    "explain",
    "fit",
    "list_datasets",
    "list_methods",
    "list_metrics",
    "list_models",
    "list_surrogates",
    "method",
    "metric",
    "pairs",
    "score",
    "settings",
    "summary",
    "surrogate",
    "value",
    "wrap",
]

# The module of each verb and of what it gives; the nouns are in `types`.
_MODULES = {
    "BrokenPromise": "contract.promises",
    "EvaluationFailed": "library.runs",
    "Fitted": "library.fitting",
    "Maps": "library.results",
    "Neighbours": "library.results",
    "Network": "library.wrapping",
    "Refused": "types.demands",
    "Run": "library.runs",
    "UnsoundMaps": "library.explaining",
    "arrays": "data.files.arrays",
    "dataset": "library.choosing",
    "evaluate": "library.evaluating",
    "explain": "library.explaining",
    "fit": "library.fitting",
    "list_datasets": "library.lists",
    "list_methods": "library.lists",
    "list_metrics": "library.lists",
    "list_models": "library.lists",
    "list_surrogates": "library.lists",
    "method": "library.choosing",
    "metric": "library.choosing",
    "pairs": "library.concluding",
    "score": "library.scoring",
    "summary": "library.concluding",
    "surrogate": "library.choosing",
    "wrap": "library.wrapping",
}
_NAMES = {"arrays": "from_arrays"}  # where a name differs from that in its module


if not TYPE_CHECKING:  # which would take any name for one that is there

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used."""
        if name == "__version__":
            from importlib.metadata import version

            return version("gpex-bench")
        if name not in __all__:
            raise AttributeError(f"module 'gpex_bench' has no attribute {name!r}")
        module = import_module(f"gpex_bench.{_MODULES.get(name, 'types')}")
        return getattr(module, _NAMES.get(name, name))


def __dir__() -> list[str]:
    """Return the public names."""
    return list(__all__)

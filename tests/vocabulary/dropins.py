"""Texts of small plug-ins of every kind, and folders that hold them."""

from __future__ import annotations

from pathlib import Path

DATASET = """
from gpex_bench.data.wine import Wine
from gpex_bench.types import settings

@settings
class Mine(Wine):
    pass
"""

MODEL = """
from gpex_bench.models.mlp import Mlp
from gpex_bench.types import settings

@settings
class Mine(Mlp):
    wide: int = 8
"""

SURROGATE = """
from gpex_bench.surrogates.knn import Knn
from gpex_bench.types import settings

@settings
class Mine(Knn):
    pass
"""

METHOD = """
from gpex_bench import types

@types.settings
class Mine(types.Explainer):
    reference = "none"
    kind = "control"
    relative_to = "nothing"
    cost = "none"

    factor: float = 1.0

    def explain(self, task, query):
        return types.Attribution(values=query.x * self.factor)
"""

METRIC = """
from gpex_bench.metrics.complexity import Complexity
from gpex_bench.types import settings

@settings
class Mine(Complexity):
    pass
"""

TEXTS = {
    "dataset": DATASET,
    "model": MODEL,
    "surrogate": SURROGATE,
    "method": METHOD,
    "metric": METRIC,
}


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write files, by their path inside a folder; return the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def raw_config(**sections: object) -> dict:
    """Return a small config as YAML gives it; sections replace those of a plain one."""
    plain = {
        "run": "own",
        "seeds": [1],
        "explain": {"samples": 4, "robustness_samples": 2, "fills": []},
        "networks": [{"dataset": "wine", "model": "mlp", "surrogates": ["knn"]}],
        "datasets": {"wine": None},
        "models": {"mlp": {"wide": 8, "training": {"epochs": 1}}},
        "surrogates": {"knn": None},
        "methods": {"gradient_x_input": None, "random_map": None},
        "metrics": {"srg": None},
    }
    return plain | sections

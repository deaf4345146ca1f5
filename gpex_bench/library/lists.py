"""What there is: methods, metrics, surrogates, datasets and networks as frames."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from gpex_bench.plugins.cards import HEADS, first_line, hyperparameters, row
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Architecture, Recipe, Source

PLAIN = ("name", "what it is", "hyperparameters")


def list_methods(*folders: str | Path) -> pd.DataFrame:
    """Return all methods: what each is, gives, needs and costs, and its hyperparameters.

    Args:
        folders: of plug-ins of one's own, as in `plugins:` of a config.

    Returns:
        One row a method. `usable` says whether it can be used, and `reason` why not.

    Example:
        >>> import gpex_bench as gb
        >>> methods = gb.list_methods().set_index("name")
        >>> methods.loc["lrp", "kind"]
        'propagation'
    """
    return _listed("method", HEADS["method"], folders)


def list_metrics(*folders: str | Path) -> pd.DataFrame:
    """Return all metrics: what each measures, its range and direction, what it needs and costs.

    Example:
        >>> import gpex_bench as gb
        >>> metrics = gb.list_metrics().set_index("name")
        >>> metrics.loc["infidelity", "better"]
        'lower'
    """
    return _listed("metric", HEADS["metric"], folders)


def list_surrogates(*folders: str | Path) -> pd.DataFrame:
    """Return all kinds of surrogates, and their hyperparameters."""
    return _listed("surrogate", PLAIN, folders)


def list_datasets(*folders: str | Path) -> pd.DataFrame:
    """Return all datasets that `dataset` loads, and their settings."""
    return _listed("dataset", PLAIN, folders)


def list_models(*folders: str | Path) -> pd.DataFrame:
    """Return all kinds of networks that a config may name, and their settings."""
    return _listed("model", PLAIN, folders)


def _listed(kind: str, heads: Iterable[str], folders: Iterable[str | Path]) -> pd.DataFrame:
    """Return the plug-ins of a kind, one row each."""
    rows = []
    for name, plugin in plugins(kind, folders).items():
        is_usable = plugin.cls is not None
        entries: dict[str, Any] = dict.fromkeys(heads, "")
        if plugin.cls is not None:
            entries = _described(kind, name, plugin.cls)
        entries |= {"name": name, "usable": is_usable, "reason": plugin.reason}
        rows.append(entries)
    return pd.DataFrame(rows)


def _described(kind: str, name: str, cls: type) -> dict[str, str]:
    """Return what a plug-in declares, by column."""
    if issubclass(cls, (Architecture, Recipe, Source)):
        return {"what it is": first_line(cls), "hyperparameters": hyperparameters(cls)}
    cells = [_plain(cell) for cell in row(kind, name, cls)]
    return dict(zip(HEADS[kind], cells, strict=True)) | {"name": name}


def _plain(cell: str) -> str:
    """Return a cell of a Markdown table as text: code without its quotes, no dash for nothing."""
    is_code = re.fullmatch(r"`[^`]*`", cell) is not None
    return "" if cell == "–" else cell.strip("`") if is_code else cell

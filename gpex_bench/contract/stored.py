"""The promises of explainers that read maps from a file."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from gpex_bench.contract import toys
from gpex_bench.contract.explainers import check_declared, check_task
from gpex_bench.contract.promises import require, with_defaults, works
from gpex_bench.types import Explainer, Query, Task
from gpex_bench.types.demands import Refused


def check_stored(cls: type[Explainer]) -> None:
    """Try an explainer on files with maps of every tiny task.

    Its setting `file` names a file with `values` and `sample`; its other settings have defaults.

    Raises:
        BrokenPromise: at the first promise it breaks.
    """
    with tempfile.TemporaryDirectory() as folder:
        for kind, task, query in toys.tasks(toys.Smooth):
            path = Path(folder) / f"{kind.replace(' ', '_')}.npz"
            maps = query.x - task.data.baseline
            np.savez(path, values=maps.numpy(), sample=query.sample.numpy())

            explainer: Explainer = with_defaults(cls, given={"file": str(path)})
            check_declared(explainer)

            with works(kind):
                check_task(explainer, task, query, kind)
            _refuses_what_it_has_no_maps_of(explainer, task, query, kind)


def _refuses_what_it_has_no_maps_of(
    explainer: Explainer, task: Task, query: Query, kind: str
) -> None:
    """Require an error for other inputs and for samples without a map."""
    what = f"it gave maps of inputs ({kind}) other than those that were explained; refuse them."
    other = dataclasses.replace(query, x=query.x + 1)
    require(_refuses(explainer, task, other), "stored maps cannot be asked again", what)

    what = f"it gave maps of samples ({kind}) that the file does not have; raise an error."
    unknown = dataclasses.replace(query, sample=query.sample + 10_000)
    require(_refuses(explainer, task, unknown), "a map for each sample", what)


def _refuses(explainer: Explainer, task: Task, query: Query) -> bool:
    """Return whether an explainer refuses a query, or raises a plain error about it."""
    try:
        explainer.explain(task, query)
    except (Refused, ValueError):
        return True
    return False

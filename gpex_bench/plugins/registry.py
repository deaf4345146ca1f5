"""Finds plug-ins by file name: one file, one class, no list to edit.

Five kinds share one rule: `<folder>/<name>.py` holds exactly one concrete subclass of the kind's abstract class, and
`<name>` is its name in the config, in paths and in tables. Explainers also come from third-party packages through the
entry-point group `gpex_bench.explainers`.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import traceback
from dataclasses import dataclass, is_dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from gpex_bench.types import Architecture, Explainer, Metric, Recipe, Source, Study

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent
STUDIES = PACKAGE / "studies"
ENTRY_POINTS = "gpex_bench.explainers"
DECLARED = {
    "method": ("reference", "kind", "cost"),
    "metric": ("title", "reference", "measures", "higher_is_better", "range", "chance", "cost"),
}
NAME = re.compile(r"[a-z0-9_]+")


@dataclass(frozen=True)
class Kind:
    """A kind of plug-in."""

    name: str
    contract: type
    folder: Path


KINDS = {
    kind.name: kind
    for kind in (
        Kind("dataset", Source, PACKAGE / "data"),
        Kind("model", Architecture, PACKAGE / "models"),
        Kind("surrogate", Recipe, PACKAGE / "surrogates"),
        Kind("method", Explainer, ROOT / "methods"),
        Kind("metric", Metric, PACKAGE / "metrics"),
    )
}


@dataclass(frozen=True)
class Plugin:
    """One plug-in: its class, or the reason why it cannot be used."""

    kind: str
    name: str
    path: Path
    cls: type | None
    reason: str = ""


def load(path: Path, module: str) -> ModuleType:
    """Import a source file under a module name; the same name is imported once."""
    known = sys.modules.get(module)
    if known is not None and Path(str(known.__file__)) == path:
        return known
    spec = importlib.util.spec_from_file_location(module, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python source file.")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module] = loaded
    try:
        spec.loader.exec_module(loaded)
    except BaseException:
        del sys.modules[module]
        raise
    return loaded


def concrete(module: ModuleType, contract: type) -> list[type]:
    """Return the concrete subclasses of a contract that this module itself defines."""
    return [
        member
        for member in vars(module).values()
        if inspect.isclass(member)
        and issubclass(member, contract)
        and member.__module__ == module.__name__
        and not inspect.isabstract(member)
    ]


def _read(kind: Kind, path: Path) -> Plugin | None:
    """Read one source file; None if it is a helper of the package and holds no plug-in."""
    inside = path.is_relative_to(PACKAGE)
    if inside and not re.search(
        rf"^class \w+\(\w*{kind.contract.__name__}\):", path.read_text(), re.MULTILINE
    ):
        return None  # a helper of the package; not imported here, because it may be slow
    module = (
        f"gpex_bench.{kind.folder.name}.{path.stem}"
        if inside
        else f"gpex_bench_{kind.folder.name}_{path.stem}"
    )
    try:
        classes = concrete(load(path, module), kind.contract)
    except Exception as error:
        if inside:
            raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        line = f", line {where.lineno}" if Path(where.filename) == path else ""
        return Plugin(
            kind.name,
            path.stem,
            path,
            None,
            f"cannot be imported{line}: {type(error).__name__}: {error}",
        )
    if len(classes) == 1:
        return _checked(kind, path.stem, path, classes[0])
    found = ", ".join(sorted(cls.__name__ for cls in classes)) or "none"
    contract = kind.contract.__name__
    return Plugin(
        kind.name,
        path.stem,
        path,
        None,
        f"must define exactly one concrete {contract}, found {found}",
    )


def _checked(kind: Kind, name: str, path: Path, cls: type) -> Plugin:
    """Return a plug-in, usable if its class declares what every table and the report rely on."""
    lacking = [
        f"the class attribute {key!r}"
        for key in DECLARED.get(kind.name, ())
        if not hasattr(cls, key)
    ]
    if not is_dataclass(cls):
        lacking.insert(0, "the decorator @settings")
    if lacking:
        return Plugin(
            kind.name, name, path, None, f"its class {cls.__name__} lacks {' and '.join(lacking)}"
        )
    return Plugin(kind.name, name, path, cls)


def _installed(kind: Kind) -> list[Plugin]:
    """Return the explainers that installed packages announce."""
    plugins = []
    for point in sorted(
        entry_points(group=ENTRY_POINTS), key=lambda point: (point.name, point.value)
    ):
        try:
            cls = point.load()
            path = Path(inspect.getfile(cls))
            if (
                inspect.isclass(cls)
                and issubclass(cls, kind.contract)
                and not inspect.isabstract(cls)
            ):
                plugins.append(_checked(kind, point.name, path, cls))
            else:
                reason = f"entry point {point.value} is not a concrete {kind.contract.__name__}"
                plugins.append(Plugin(kind.name, point.name, path, None, reason))
        except Exception as error:
            reason = (
                f"entry point {point.value} cannot be imported: {type(error).__name__}: {error}"
            )
            plugins.append(Plugin(kind.name, point.name, Path(point.value), None, reason))
    return plugins


def study_names() -> list[str]:
    """Return the names of all studies: the folders in `studies` that hold a plan."""
    return sorted(path.parent.name for path in STUDIES.glob("*/plan.py"))


@cache
def study(name: str) -> type[Study]:
    """Return the class of a study, which is the only one that its `plan.py` defines.

    Raises:
        ValueError: there is no such folder, or its plan holds no study, or more than one.
    """
    if name not in study_names():
        raise ValueError(f"study must be one of {', '.join(study_names())}, got {name!r}.")
    module = load(STUDIES / name / "plan.py", f"gpex_bench.studies.{name}.plan")
    classes = concrete(module, Study)
    if len(classes) != 1:
        found = ", ".join(sorted(cls.__name__ for cls in classes)) or "none"
        raise ValueError(
            f"studies/{name}/plan.py must define exactly one concrete Study, found {found}."
        )
    return classes[0]


@cache
def plugins(kind: str) -> dict[str, Plugin]:
    """Return every plug-in of a kind by name, usable or not.

    Raises ValueError if two plug-ins have the same name or a name is not of the form [a-z0-9_]+.
    """
    spec = KINDS[kind]
    files = sorted(path for path in spec.folder.glob("*.py") if not path.name.startswith("_"))
    found = [plugin for path in files if (plugin := _read(spec, path))]
    if kind == "method":
        found += _installed(spec)
    by_name: dict[str, Plugin] = {}
    for plugin in found:
        if not NAME.fullmatch(plugin.name):
            raise ValueError(
                f"{kind} name {plugin.name!r} ({plugin.path}) must match [a-z0-9_]+; rename it."
            )
        other = by_name.setdefault(plugin.name, plugin)
        if other is not plugin:
            raise ValueError(
                f"Two {kind}s are called {plugin.name!r}: {other.path} and {plugin.path}; rename one of them."
            )
    return by_name

"""Finds plug-ins by file name and studies by folder name: one file, one class, no list to edit.

Five kinds of plug-ins share one rule: `<folder>/<name>.py` holds exactly one concrete subclass of
the kind's abstract class, and `<name>` is its name in the config, in paths and in tables. Files
whose names begin with an underscore are skipped. Explainers also come from third-party packages
through the entry-point group `gpex_bench.explainers`. A study is a folder of `studies` with a
`plan.py`.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import traceback
from dataclasses import dataclass, is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from gpex_bench.types import Architecture, Explainer, Metric, Recipe, RelativeTo, Source, Study

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent
STUDIES = PACKAGE / "studies"
ENTRY_POINTS = "gpex_bench.explainers"
# Class attributes that the tables, the report and the generated pages rely on.
DECLARED = {
    "method": ("reference", "kind", "cost", "relative_to"),
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


class NotOne(ValueError):
    """A file that should define exactly one class of a contract, and does not."""


@cache
def plugins(kind: str) -> dict[str, Plugin]:
    """Return every plug-in of a kind by name, usable or not.

    Raises:
        ValueError: the kind is not known, two plug-ins have the same name, or a name is not of the
            form [a-z0-9_]+.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(sorted(KINDS))}, got {kind!r}.")

    spec = KINDS[kind]
    files = sorted(path for path in spec.folder.glob("*.py") if not path.name.startswith("_"))
    every = [_from_file(spec, path) for path in files]
    if kind == "method":
        points = sorted(entry_points(group=ENTRY_POINTS), key=lambda one: (one.name, one.value))
        every += [_from_entry_point(spec, point) for point in points]

    by_name: dict[str, Plugin] = {}
    for plugin in every:
        if not NAME.fullmatch(plugin.name):
            raise ValueError(
                f"{kind} name {plugin.name!r} ({plugin.path}) must match [a-z0-9_]+; rename it."
            )
        other = by_name.setdefault(plugin.name, plugin)
        if other is not plugin:
            raise ValueError(
                f"Two {kind}s are called {plugin.name!r}: {other.path} and {plugin.path}; "
                "rename one of them."
            )
    return by_name


def study_names() -> list[str]:
    """Return the names of all studies: the folders in `studies` that hold a plan."""
    return sorted(path.parent.name for path in STUDIES.glob("*/plan.py"))


@cache
def study(name: str) -> type[Study]:
    """Return the class of a study.

    Raises:
        ValueError: there is no such folder, or its plan does not define exactly one study.
    """
    if name not in study_names():
        raise ValueError(f"study must be one of {', '.join(study_names())}, got {name!r}.")

    module = load(STUDIES / name / "plan.py", f"gpex_bench.studies.{name}.plan")
    try:
        return only_class(module, Study)
    except NotOne as error:
        raise NotOne(f"studies/{name}/plan.py {error}.") from error


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


def only_class(module: ModuleType, contract: type) -> type:
    """Return the only concrete subclass of a contract that this module itself defines.

    Raises:
        NotOne: there is none, or more than one.
    """
    classes = [
        member
        for member in vars(module).values()
        if _fulfils(member, contract) and member.__module__ == module.__name__
    ]
    if len(classes) != 1:
        names = ", ".join(sorted(cls.__name__ for cls in classes)) or "none"
        raise NotOne(f"must define exactly one concrete {contract.__name__}, found {names}")
    return classes[0]


def _fulfils(member: object, contract: type) -> bool:
    """Return whether something is a concrete subclass of a contract."""
    return (
        inspect.isclass(member) and issubclass(member, contract) and not inspect.isabstract(member)
    )


def _from_file(kind: Kind, path: Path) -> Plugin:
    """Return the plug-in of a source file."""
    is_ours = path.is_relative_to(PACKAGE)
    prefix = f"gpex_bench.{kind.folder.name}." if is_ours else f"gpex_bench_{kind.folder.name}_"
    try:
        cls = only_class(load(path, prefix + path.stem), kind.contract)
    except NotOne as error:
        return Plugin(kind.name, path.stem, path, None, str(error))
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        line = f", line {last.lineno}" if Path(last.filename) == path else ""
        reason = f"cannot be imported{line}: {type(error).__name__}: {error}"
        return Plugin(kind.name, path.stem, path, None, reason)
    return _checked(kind, path.stem, path, cls)


def _from_entry_point(kind: Kind, point: EntryPoint) -> Plugin:
    """Return a plug-in that an installed package announces."""
    try:
        cls = point.load()
        path = Path(inspect.getfile(cls))
    except Exception as error:
        reason = f"entry point {point.value} cannot be imported: {type(error).__name__}: {error}"
        return Plugin(kind.name, point.name, Path(point.value), None, reason)

    if not _fulfils(cls, kind.contract):
        reason = f"entry point {point.value} is not a concrete {kind.contract.__name__}"
        return Plugin(kind.name, point.name, path, None, reason)
    return _checked(kind, point.name, path, cls)


def _checked(kind: Kind, name: str, path: Path, cls: type) -> Plugin:
    """Return a plug-in, usable if its class declares what the tables and the report rely on."""
    missing = [] if is_dataclass(cls) else ["the decorator @settings"]
    missing += [
        f"the class attribute {key!r}"
        for key in DECLARED.get(kind.name, ())
        if not hasattr(cls, key)
    ]
    if missing:
        reason = f"its class {cls.__name__} lacks {' and '.join(missing)}"
        return Plugin(kind.name, name, path, None, reason)

    # a property of a wrapper, or of a method with a choice, is known of its objects alone
    relative_to = getattr(cls, "relative_to", "") if kind.name == "method" else ""
    known = [one.value for one in RelativeTo]
    if isinstance(relative_to, str) and relative_to and relative_to not in known:
        reason = f"relative_to must be one of {', '.join(known)}, got {relative_to!r}"
        return Plugin(kind.name, name, path, None, reason)
    return Plugin(kind.name, name, path, cls)

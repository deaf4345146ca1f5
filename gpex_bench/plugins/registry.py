"""Finds plug-ins by file name and studies by folder name: one file, one class, no list to edit.

Five kinds of plug-ins share one rule: `<folder>/<name>.py` holds exactly one concrete subclass of
the kind's abstract class, and `<name>` is its name in the config, in paths and in tables. Files
whose names begin with an underscore are skipped. Plug-ins come with the suite, from the folders of
drop-ins that a config names, and from installed packages through the entry-point groups
`gpex_bench.<kind>s`. One that cannot be used is kept with the reason. A study is a folder of
`studies` with a `plan.py`.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from gpex_bench.plugins import homes, importing
from gpex_bench.plugins.classes import NotOne, fulfils, only_class, problem_of
from gpex_bench.plugins.homes import BIBLIOGRAPHY, FOLDERS, METHODS, PACKAGE, ROOT, Folder
from gpex_bench.plugins.importing import load
from gpex_bench.types import Architecture, Explainer, Metric, Recipe, Source, Study

__all__ = [
    "BIBLIOGRAPHY",
    "KINDS",
    "METHODS",
    "NAME",
    "PACKAGE",
    "ROOT",
    "Kind",
    "NotOne",
    "Plugin",
    "forget",
    "load",
    "only_class",
    "plugins",
    "study",
    "study_names",
]

STUDIES = PACKAGE / "studies"
NAME = re.compile(r"[a-z0-9_]+")


@dataclass(frozen=True)
class Kind:
    """A kind of plug-in."""

    name: str
    contract: type
    folder: Path  # of those that come with the suite

    @property
    def plural(self) -> str:
        """The name of its section of a config, of its folder of drop-ins, of its entry points."""
        return f"{self.name}s"

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of entry points; methods have an older one, from when only they had any."""
        older = ("gpex_bench.explainers",) if self.name == "method" else ()
        return (f"gpex_bench.{self.plural}", *older)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("dataset", Source, PACKAGE / "data"),
        Kind("model", Architecture, PACKAGE / "models"),
        Kind("surrogate", Recipe, PACKAGE / "surrogates"),
        Kind("method", Explainer, METHODS),
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
    is_clash: bool = False  # several plug-ins have its name
    announced: str = ""  # the entry point and its package, if it came from one

    @property
    def place(self) -> str:
        """Where it is: its file, from the working folder or the root; or its entry point."""
        if self.announced:
            return self.announced
        base = ROOT if homes.OURS.owns(self.path) else Path.cwd()
        return os.path.relpath(self.path, base)

    @property
    def problem(self) -> str:
        """Why it cannot be used and where it is; "" if it can."""
        if self.cls is not None:
            return ""
        return self.reason if self.is_clash else f"{self.place} {self.reason}"


def plugins(kind: str, folders: Iterable[str | Path] = ()) -> dict[str, Plugin]:
    """Return every plug-in of a kind by name, usable or not.

    Args:
        kind: dataset, model, surrogate, method or metric.
        folders: folders of drop-ins, each with any of datasets/, models/, surrogates/, methods/ and
            metrics/; relative to the working folder.

    Raises:
        ValueError: the kind is not known, or a folder is missing or has none of these.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(sorted(KINDS))}, got {kind!r}.")

    return _found(kind, tuple(dict.fromkeys(drop_ins(folder) for folder in folders)))


def drop_ins(folder: str | Path) -> Folder:
    """Return a folder of drop-ins.

    Raises:
        ValueError: it is missing, is no folder, or has no folder of a kind of plug-ins.
    """
    written = str(folder)
    kinds = ", ".join(FOLDERS)

    path = Path(folder).resolve()
    if not path.is_dir():
        what = "is no folder" if path.exists() else f"is not there; looked in {Path.cwd()}"
        raise ValueError(f"{written!r} {what}. Give a folder that holds any of {kinds}.")

    if not any((path / name).is_dir() for name in FOLDERS):
        example = Path(folder) / "methods" / "mine.py"
        above = str(Path(folder).parent)
        hint = f" Did you mean {above!r}?" if path.name in FOLDERS else ""
        raise ValueError(
            f"{written!r} holds none of the folders {kinds}; "
            f"put plug-ins into one of them, such as {example}.{hint}"
        )
    return Folder(path)


def forget() -> None:
    """Forget what was found, so that files, folders and packages are looked at again."""
    _found.cache_clear()
    _announced.cache_clear()
    importing.forget()


@cache
def _found(kind: str, folders: tuple[Folder, ...]) -> dict[str, Plugin]:
    """Return every plug-in of a kind by name."""
    spec = KINDS[kind]
    by_name: dict[str, list[Plugin]] = {}
    for plugin in _every(spec, folders):
        by_name.setdefault(plugin.name, []).append(plugin)
    return {name: _one(spec, same) for name, same in by_name.items()}


def _every(kind: Kind, folders: Iterable[Folder]) -> Iterator[Plugin]:
    """Yield the plug-ins of the suite, of installed packages, and of folders."""
    files = _files(kind.folder)
    for path in files:
        yield _from_file(kind, path)

    points = {(point.name, point.value): point for point in _entry_points(kind)}
    for _, point in sorted(points.items()):
        yield _from_entry_point(kind, point)

    for folder in folders:
        for path in _files(folder.folder / kind.plural):
            # in a checkout, the working folder may be a folder of drop-ins itself
            if path not in files:
                yield _from_file(kind, path, folder)


def _files(folder: Path) -> list[Path]:
    """Return the files of plug-ins of a folder, sorted."""
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))


def _entry_points(kind: Kind) -> list[EntryPoint]:
    """Return what installed packages announce."""
    return [point for group in kind.groups for point in _announced().select(group=group)]


@cache
def _announced() -> Any:  # its class differs between versions of Python
    """Return every entry point of every installed package: reading them takes a while."""
    return entry_points()


def _one(kind: Kind, same: list[Plugin]) -> Plugin:
    """Return the only plug-in of a name; of several, one that cannot be used and says where."""
    first = same[0]
    if len(same) == 1:
        return first

    number = "Two" if len(same) == 2 else str(len(same))
    places = " and ".join(plugin.place for plugin in same)
    called = f"{number} {kind.plural} are called {first.name!r}"
    reason = f"{called}: {places}; rename all but one"
    return Plugin(kind.name, first.name, first.path, None, reason, is_clash=True)


def _from_file(kind: Kind, path: Path, folder: Folder | None = None) -> Plugin:
    """Return the plug-in of a source file, of the suite or of a folder of drop-ins."""
    name = path.stem
    if folder is not None:
        homes.remember(folder, path)
    if not NAME.fullmatch(name):
        return Plugin(kind.name, name, path, None, _bad_name(name))

    try:
        if folder is None:
            module = load(path, f"{PACKAGE.name}.{kind.folder.name}.{name}")
        else:
            module = importing.load_from(folder, path)
        cls = only_class(module, kind.contract)
        reason = problem_of(kind.name, cls)
    except KeyboardInterrupt:
        raise
    except NotOne as error:
        return Plugin(kind.name, name, path, None, str(error))
    except BaseException as error:  # also SystemExit: no file may end or break runs without it
        return Plugin(kind.name, name, path, None, importing.failure(error, path))
    return Plugin(kind.name, name, path, None if reason else cls, reason)


def _from_entry_point(kind: Kind, point: EntryPoint) -> Plugin:
    """Return a plug-in that an installed package announces."""
    package = f" of {point.dist.name} {point.dist.version}" if point.dist is not None else ""
    place = f"entry point {point.name} = {point.value}{package}"
    path = Path(point.value)  # until its file is known
    reason = "" if NAME.fullmatch(point.name) else _bad_name(point.name)

    cls: type | None = None
    try:
        cls = None if reason else point.load()
        if cls is not None and not fulfils(cls, kind.contract):
            reason = f"is not a concrete {kind.contract.__name__}"
        elif cls is not None:
            path = Path(inspect.getfile(cls))
            home = homes.installed(path, cls.__module__, importing.top_names(point))
            homes.remember(home, path)
            place += f" ({path.name})"
            reason = problem_of(kind.name, cls)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        reason = importing.failure(error)
    return Plugin(kind.name, point.name, path, None if reason else cls, reason, announced=place)


def _bad_name(name: str) -> str:
    """Return the reason of a plug-in whose name cannot be written in a config."""
    return f"has the name {name!r}, which must match {NAME.pattern}; rename it"


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


importing.share_methods()

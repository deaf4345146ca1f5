"""Where plug-ins lie, and where the imports between them and their helpers lead.

A home is what belongs together: this package, a folder of drop-ins, or an installed package.
Imports inside a home are followed, so that an edited helper counts as an edit of the plug-in.
"""

from __future__ import annotations

import importlib.util
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent


def beside(inside: str, in_checkout: str = "") -> Path:
    """Return a folder that lies in the package when it is installed, and beside it in a checkout.

    Args:
        inside: its name in an installed package.
        in_checkout: its name in a checkout, if that is another one.
    """
    installed = PACKAGE / inside
    return installed if installed.is_dir() else ROOT / (in_checkout or inside)


def portable(name: str) -> str:
    """Return a path relative to the working folder; of a file elsewhere its name alone."""
    path = Path(name)
    here = Path.cwd()
    if not path.is_absolute():
        return name
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name


def without_folders(text: str, reads: Iterable[str]) -> str:
    """Return a text in which files are named as on any machine.

    Args:
        text: such as the representation of settings.
        reads: the files, as the text has them.
    """
    for name in sorted(reads, key=len, reverse=True):
        written = repr(name)[1:-1]
        text = text.replace(written, portable(name))
    return text


METHODS = beside("methods")
WORKFLOW = beside("workflow")  # the Snakefile, its rules and the script of its jobs
PROFILES = beside("profiles")
CONFIGS = beside("configs", "config")  # those that ship with the suite
BIBLIOGRAPHY = beside("docs") / "references.bib"

# Folders of drop-ins hold at least one of these.
FOLDERS = ("datasets", "models", "surrogates", "methods", "metrics")


class Home(ABC):
    """A folder whose files belong together."""

    folder: Path

    @abstractmethod
    def absolute(self, name: str, importer: Path) -> Path | None:
        """Return where an absolute import leads, as a path without suffix.

        None: elsewhere. Args: name: of a module; importer: the file that imports it.
        """

    def owns(self, path: Path) -> bool:
        """Return whether a file belongs to it."""
        return path.is_relative_to(self.folder)

    def label(self, path: Path) -> str:
        """Return the name of a file in fingerprints; it names no folder above the home."""
        return path.relative_to(self.folder).as_posix()

    def parents(self, path: Path) -> list[Path]:
        """Return the files that Python runs before a module: those of the packages it is in."""
        between = [one for one in path.parents if one.is_relative_to(self.folder)]
        return [folder / "__init__.py" for folder in between]


@dataclass(frozen=True)
class Ours(Home):
    """This package, and the methods that come with it."""

    folder: Path = ROOT

    def absolute(self, name: str, importer: Path) -> Path | None:
        """Return where an import of this package leads; its methods may lie beside it."""
        parts = name.split(".")
        if parts[0] != PACKAGE.name:
            return None
        if parts[1:2] == ["methods"]:
            return METHODS.joinpath(*parts[2:])
        return ROOT.joinpath(*parts)

    def label(self, path: Path) -> str:
        """Return the name of a file in fingerprints: the same in a checkout and when installed."""
        if path.is_relative_to(METHODS):
            return f"methods/{path.relative_to(METHODS).as_posix()}"
        return path.relative_to(ROOT).as_posix()

    def parents(self, path: Path) -> list[Path]:
        """Return nothing: what our packages run decides no number."""
        return []

    def owns(self, path: Path) -> bool:
        """Return whether a file belongs to it."""
        return path.is_relative_to(PACKAGE) or path.is_relative_to(METHODS)


@dataclass(frozen=True)
class Folder(Home):
    """A folder of drop-ins. Its files may import files beside them, and those at its top."""

    folder: Path

    def absolute(self, name: str, importer: Path) -> Path | None:
        """Return where an absolute import leads if that is inside the folder.

        Python's own modules come first. A helper comes before an installed library of the same
        name; a plug-in, a folder of plug-ins and a folder without `__init__.py` come after it.
        """
        head, *rest = name.split(".")
        if head == PACKAGE.name or head in sys.stdlib_module_names:
            return None

        for base in dict.fromkeys((importer.parent, self.folder)):
            target = base / head
            is_itself = target.with_suffix(".py") == importer
            if is_module(target) and not is_itself and self._is_first(target, head):
                return target.joinpath(*rest)

        # by the name of the folder, as if the folder above were on the path
        target = self.folder.joinpath(*rest)
        return target if head == self.folder.name and is_module(target) else None

    def _is_first(self, target: Path, head: str) -> bool:
        """Return whether a module of this folder comes before an installed one of its name."""
        is_plugin = target.parent.parent == self.folder and target.parent.name in FOLDERS
        is_helper = not is_plugin or head.startswith("_")
        is_plain_folder = target.is_dir() and not (target / "__init__.py").is_file()
        is_kind = target.parent == self.folder and head in FOLDERS
        return (is_helper and not is_plain_folder and not is_kind) or not _is_installed(head)


@dataclass(frozen=True)
class Installed(Home):
    """Modules and packages that were installed together; `folder` is where they lie."""

    folder: Path
    names: frozenset[str]  # of its modules and packages at the top

    def absolute(self, name: str, importer: Path) -> Path | None:
        """Return where an absolute import of one of the modules leads."""
        parts = name.split(".")
        return self.folder.joinpath(*parts) if parts[0] in self.names else None

    def owns(self, path: Path) -> bool:
        """Return whether a file belongs to it."""
        if not path.is_relative_to(self.folder):
            return False
        top = path.relative_to(self.folder).parts[0]
        return Path(top).stem in self.names

    def parents(self, path: Path) -> list[Path]:
        """Return the files of the packages that a module is in."""
        return [file for file in super().parents(path) if file.parent != self.folder]


OURS = Ours()
# Of plug-ins that this process has found, by their files.
_KNOWN: dict[Path, Home] = {}


def remember(home: Home, path: Path) -> None:
    """Remember the home of a plug-in's file."""
    _KNOWN[path] = home


def home_of(path: Path) -> Home:
    """Return the home of a file; where it is no known plug-in, by the folder that it is in."""
    if OURS.owns(path):
        return OURS
    if path in _KNOWN:
        return _KNOWN[path]
    if (path.parent / "__init__.py").is_file():
        return installed(path)

    kinds = [folder.parent for folder in path.parents if folder.name in FOLDERS]
    return Folder(kinds[0] if kinds else path.parent)


def installed(path: Path, module: str = "", names: frozenset[str] = frozenset()) -> Installed:
    """Return the home of a file of an installed package.

    Args:
        path: the file.
        module: its full name; without it, the packages that hold it have an `__init__.py`.
        names: modules that were installed with it.
    """
    is_package = path.name == "__init__.py"
    top = path.parent if is_package else path
    if module:
        top = [top, *top.parents][module.count(".")]
    while not module and (top.parent / "__init__.py").is_file():
        top = top.parent
    return Installed(top.parent, names | {top.stem})


def is_module(target: Path) -> bool:
    """Return whether there is a module or a package at a path without suffix."""
    if target.with_name(f"{target.name}.py").is_file():
        return True
    return target.is_dir() and next(target.rglob("*.py"), None) is not None


@cache
def _is_installed(name: str) -> bool:
    """Return whether a module or a regular package of this name is on Python's path."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None

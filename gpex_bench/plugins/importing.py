"""Imports plug-ins from folders: each folder is a package of its own that no other can clash with.

`my_plugins/methods/mine.py` is imported as a module of a package whose name is made of the path of
`my_plugins`. Python's path stays as it is. Where a file of the folder imports by absolute name what
lies in the folder (`import _helpers`), `Folder.absolute` decides, and a hook in that file alone
turns it into an import within the package.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.metadata import EntryPoint
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from gpex_bench.plugins.homes import METHODS, PACKAGE, Folder, home_of

PREFIX = "gpex_bench_drop_ins_"
_FOLDERS: dict[str, Folder] = {}  # by the name of the package


def load(path: Path, module: str) -> ModuleType:
    """Import a source file under a module name; the same name is imported once."""
    known = sys.modules.get(module)
    if known is not None and Path(str(known.__file__)) == path:
        return known
    spec = spec_from_file_location(module, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python source file.")
    loaded = module_from_spec(spec)
    sys.modules[module] = loaded
    try:
        spec.loader.exec_module(loaded)
    except BaseException:
        del sys.modules[module]
        raise
    return loaded


def load_from(folder: Folder, path: Path) -> ModuleType:
    """Import a file of a folder of drop-ins."""
    name = package(folder)
    _FOLDERS[name] = folder
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())

    # a file that was just written may not be in Python's list of the folder yet
    importlib.invalidate_caches()
    return importlib.import_module(_module(folder, path.with_suffix("")))


def failure(error: BaseException, path: Path | None = None) -> str:
    """Return why a plug-in cannot be imported, with the line of its file or of its helper."""
    what = f"{type(error).__name__}: {error}"
    for name, folder in _FOLDERS.items():
        what = what.replace(name, folder.folder.name)

    place = _line_of(error, path)
    return f"cannot be imported{place}: {what}"


def _line_of(error: BaseException, path: Path | None) -> str:
    """Return the last line of the plug-in's home on the way to an error, as text."""
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        frames.append((error.filename or "", error.lineno))

    if path is None:
        return _last_of_others(frames)

    home = home_of(path)
    for filename, line in reversed(frames):
        file = Path(filename)
        if file == path:
            return f", line {line}"
        if home.owns(file):
            return f", {home.label(file)}, line {line}"
    return ""


def _last_of_others(frames: Iterable[tuple[str, int | None]]) -> str:
    """Return the last place that is neither Python's import nor this room, as text."""
    here = str(Path(__file__).parent)
    machinery = str(Path(importlib.__file__).parent)
    others = [one for one in frames if not one[0].startswith((machinery, here, "<"))]
    if not others:
        return ""
    filename, line = others[-1]
    return f", {Path(filename).name}, line {line}"


def top_names(point: EntryPoint) -> frozenset[str]:
    """Return the modules and packages that were installed with an entry point."""
    first = point.module.split(".")[0]
    if point.dist is None:
        return frozenset({first})

    listed = (point.dist.read_text("top_level.txt") or "").split()
    files = [file for file in point.dist.files or () if file.suffix == ".py"]
    tops = [Path(file.parts[0]).stem for file in files]
    return frozenset({first, *listed, *tops})


def package(folder: Folder) -> str:
    """Return the name of the package that a folder is imported as."""
    return PREFIX + hashlib.sha256(str(folder.folder).encode()).hexdigest()[:8]


def forget() -> None:
    """Forget the modules of all folders, so that their files are read again."""
    for name in [name for name in sys.modules if name.startswith(PREFIX)]:
        del sys.modules[name]


def share_methods() -> None:
    """Make `gpex_bench.methods` importable in a checkout too, where the folder lies elsewhere."""
    name = f"{PACKAGE.name}.methods"
    if METHODS.parent != PACKAGE and name not in sys.modules:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(METHODS)]
        sys.modules[name] = module_from_spec(spec)


def _module(folder: Folder, target: Path) -> str:
    """Return the module name of a path without suffix inside a folder."""
    return ".".join([package(folder), *target.relative_to(folder.folder).parts])


class _Finder(MetaPathFinder):
    """Finds the packages that stand for folders, and the modules in them."""

    def find_spec(
        self, fullname: str, path: Iterable[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of a folder; None for all others."""
        folder = _FOLDERS.get(fullname.partition(".")[0])
        if folder is None:
            return None
        if "." not in fullname:
            return _spec_of_package(fullname, folder)

        places = None if path is None else list(path)
        spec = PathFinder.find_spec(fullname, places, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def _spec_of_package(name: str, folder: Folder) -> ModuleSpec | None:
    """Return the spec of the package that stands for a folder."""
    places = [str(folder.folder)]
    start = folder.folder / "__init__.py"
    if start.is_file():
        loader = _Loader(name, str(start))
        return spec_from_file_location(
            name, start, loader=loader, submodule_search_locations=places
        )
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = places
    return spec


class _Loader(SourceFileLoader):
    """Loads a file of a folder, with imports that look into the folder first."""

    def path_stats(self, path: str) -> Mapping[str, Any]:
        """Refuse, so that no bytecode is kept.

        It would lie in the user's folder, and hide an edit within the same second.
        """
        raise OSError

    def exec_module(self, module: ModuleType) -> None:
        """Run the file; its built-in functions have an import of its own."""
        folder = _FOLDERS[module.__name__.partition(".")[0]]
        vars(module)["__builtins__"] = vars(builtins) | {"__import__": _Import(folder, self.path)}
        super().exec_module(module)


class _Import:
    """The built-in `__import__` of one file, which looks into the folder first."""

    def __init__(self, folder: Folder, importer: str) -> None:
        self.folder = folder
        self.importer = Path(importer)

    def __call__(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Return the module that Python binds."""
        target = self.folder.absolute(name, self.importer) if level == 0 else None
        if target is None:
            return builtins.__import__(name, globals, locals, fromlist or (), level)

        if fromlist:
            is_top = target == self.folder.folder
            within = _module(self.folder, target if is_top else target.parent)
            last = "" if is_top else target.name
            return builtins.__import__(last, {"__package__": within}, None, fromlist, 1)

        # `import a.b` binds a
        importlib.import_module(_module(self.folder, target))
        above = [target, *target.parents][name.count(".")]
        return sys.modules[_module(self.folder, above)]

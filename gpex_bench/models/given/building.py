"""A network from a function or class of somebody's own file, or of an installed package."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from gpex_bench.models.given.errors import CannotWrap

OURS = "gpex_bench"
N_LISTED = 12  # names in a message
FORM = "file.py:function_or_class, or package.module:function_or_class"


def place_of(build: str) -> tuple[str, str]:
    """Return the file or module, and the name in it, that a setting `build` means.

    Raises:
        CannotWrap: it has another form.
    """
    place, colon, name = build.rpartition(":")
    if not colon or not place or not all(part.isidentifier() for part in name.split(".")):
        raise CannotWrap(f"build must be {FORM}, got {build!r}.")
    return place, name


def local_file(build: str) -> str:
    """Return the file of somebody's own that a setting `build` means; "": an installed package's.

    Of a module without a path it is looked for in the working folder.
    """
    place, _ = place_of(build)
    if _is_file(place):
        return place
    stem = place.replace(".", "/")
    for name in (f"{stem}.py", f"{stem}/__init__.py"):
        if Path(name).is_file():
            return name
    return ""


def _is_file(place: str) -> bool:
    return place.endswith(".py")


def built(build: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Return the network that a function or class makes of these arguments.

    The folder of a file can be imported from while it runs, and what was imported from there is
    forgotten afterwards, so that files of one name in two folders do not meet.

    Raises:
        CannotWrap: there is no such file, module or name, or it makes no network.
    """
    place, name = place_of(build)
    with _found(place) as module:
        made = _attribute(module, name, build)
        is_network = isinstance(made, nn.Module)
        if is_network and arguments:
            raise CannotWrap(
                f"arguments must be empty for {build!r}, which is a network already; name the "
                "function or class that makes it."
            )
        if not is_network:
            made = _called(made, arguments, build)

    if not isinstance(made, nn.Module):
        raise CannotWrap(
            f"build must make a torch.nn.Module, but {build!r} makes a {type(made).__name__}; let "
            "it return the network."
        )
    return made


def _called(make: Any, arguments: Mapping[str, Any], build: str) -> Any:
    if not callable(make):
        raise CannotWrap(f"build must name a function or a class, but {build!r} is {make!r:.80}.")
    try:
        return make(**arguments)
    except Exception as error:
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise CannotWrap(
            f"{build!r} fails with the arguments ({given}): {type(error).__name__}: {error}"
        ) from error


def _attribute(module: ModuleType, name: str, build: str) -> Any:
    """Return what a dotted name means in a module."""
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise CannotWrap(_unknown(found, part, build))
        found = getattr(found, part)
    return found


def _unknown(owner: Any, name: str, build: str) -> str:
    """Return that something has no such part, and which it has."""
    own = getattr(owner, "__name__", "")
    every = {
        key: member
        for key, member in vars(owner).items()
        if callable(member) and not key.startswith("_")
    }
    of_its_own = [key for key, member in every.items() if getattr(member, "__module__", "") == own]
    known = (of_its_own or list(every))[:N_LISTED]
    near = difflib.get_close_matches(name, every, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"build {build!r}: there is no {name!r}.{hint} Known: {', '.join(known) or 'none'}."


@contextmanager
def _found(place: str) -> Iterator[ModuleType]:
    """Give a module, by its file or its name."""
    if not _is_file(place):
        is_own = bool(local_file(f"{place}:x"))
        with _importable(Path.cwd()) if is_own else nullcontext():
            yield _package(place)
        return
    path = Path(place).expanduser().resolve()
    if not path.is_file():
        raise CannotWrap(
            f"build: there is no file {place}; it is relative to the working folder, {Path.cwd()}."
        )
    with _importable(path.parent):
        yield _loaded(path, place)


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise CannotWrap(
            f"build: the module {name!r} cannot be imported ({type(error).__name__}: {error}); "
            f"install its package, or name a file ({FORM})."
        ) from error


def _loaded(path: Path, place: str) -> ModuleType:
    """Run a source file as a module."""
    name = f"given_network_{path.stem}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CannotWrap(f"build: {place} is no Python source file.")

    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise CannotWrap(
            f"build: {place} cannot be run ({type(error).__name__}: {error})."
        ) from error
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let modules be imported from a folder for a while; forget those that were."""
    known = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - known:
            file = getattr(sys.modules[name], "__file__", None)
            if file and _is_own(name, Path(file).resolve(), folder):
                del sys.modules[name]


def _is_own(name: str, file: Path, folder: Path) -> bool:
    """Return whether a module is of a folder, and not of a package that is installed below it."""
    is_installed = "site-packages" in file.parts or name.split(".")[0] == OURS
    return file.is_relative_to(folder) and not is_installed

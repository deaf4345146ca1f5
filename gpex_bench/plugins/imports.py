"""Which files a source file imports, of its home and of this package: all of its code that is ours.

Imports are read from the text, wherever they are in it; nothing is run. The package's own names
(`from gpex_bench import Explainer`, `gpex_bench.settings`) lead to the modules that define them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from gpex_bench.plugins.homes import OURS, PACKAGE, Home, home_of, is_module

START = PACKAGE / "__init__.py"


@cache
def closure(path: Path) -> frozenset[tuple[Path, Home]]:
    """Return a source file and all it imports, directly or not, each with the home it is in."""
    seen: set[tuple[Path, Home]] = set()
    todo = {(path, home_of(path))}
    while todo:
        file, home = todo.pop()
        seen.add((file, home))
        imported = {(one, OURS if OURS.owns(one) else home) for one in _imported(file, home)}
        todo |= imported - seen
    return frozenset(seen)


def forget() -> None:
    """Forget what was read, so that edited files are read again."""
    closure.cache_clear()
    _imported.cache_clear()


@cache
def _imported(path: Path, home: Home) -> frozenset[Path]:
    """Return the files of a home, and of this package, that a source file imports."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return frozenset()  # a drop-in that cannot be imported; its content still counts

    targets = set(_targets(tree, path, home))
    files = [target.with_name(f"{target.name}.py") for target in targets]
    files += [target / "__init__.py" for target in targets]
    for inside in (path, *targets):
        if home.owns(inside):
            files += home.parents(inside)
    return frozenset(file for file in files if file.is_file() and file != START)


def _targets(tree: ast.Module, path: Path, home: Home) -> Iterator[Path]:
    """Yield where the imports of a file lead, as paths without suffix."""
    names_of_package: set[str] = set()
    for node in _statements(tree.body):
        if isinstance(node, ast.Import):
            yield from _inside((alias.name for alias in node.names), path, home)
            names_of_package.update(_names_of_package(node))
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield from _relative(node, path, home)
        elif isinstance(node, ast.ImportFrom):
            yield from _inside(_modules(node), path, home)

    # `import gpex_bench as gb` says no more than which names are used
    if not names_of_package:
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value
        if isinstance(owner, ast.Name) and owner.id in names_of_package:
            yield from _inside([_public_module(node.attr)], path, home)


def _names_of_package(node: ast.Import) -> Iterator[str]:
    """Yield what an import calls this package."""
    for alias in node.names:
        if alias.name == PACKAGE.name:
            yield alias.asname or PACKAGE.name
        elif alias.name.startswith(f"{PACKAGE.name}.") and alias.asname is None:
            yield PACKAGE.name


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield statements and those inside of them; imports are nowhere else."""
    for node in body:
        yield node
        for part in ("body", "handlers", "orelse", "finalbody", "cases"):
            yield from _statements(getattr(node, part, ()))


def _modules(node: ast.ImportFrom) -> Iterator[str]:
    """Yield what `from module import name` may lead to: name is a module, or inside of one."""
    module = str(node.module)
    if module == PACKAGE.name:
        for alias in node.names:
            every = alias.name == "*"
            yield from _public_modules().values() if every else [_public_module(alias.name)]
        return
    yield module
    yield from (f"{module}.{alias.name}" for alias in node.names if alias.name != "*")


def _inside(names: Iterable[str], path: Path, home: Home) -> Iterator[Path]:
    """Yield where absolute imports lead, if that is in the home or in this package."""
    for name in names:
        target = OURS.absolute(name, path) or home.absolute(name, path)
        if target is not None:
            yield target


def _relative(node: ast.ImportFrom, path: Path, home: Home) -> Iterator[Path]:
    """Yield where a relative import leads, if that is in the home."""
    if node.level > len(path.parents):
        return
    base = path.parents[node.level - 1]
    if not base.is_relative_to(home.folder):
        return

    target = base.joinpath(*node.module.split(".")) if node.module else base
    yield target
    yield from (target / alias.name for alias in node.names if alias.name != "*")


def _public_module(name: str) -> str:
    """Return the module of a name of this package: a submodule, or where a public name is from."""
    if is_module(PACKAGE / name) or name == "methods":
        return f"{PACKAGE.name}.{name}"
    return _public_modules().get(name, PACKAGE.name)


@cache
def _public_modules() -> dict[str, str]:
    """Return the modules of the public names, as the package imports them for type checkers."""
    nodes = [node for node in ast.walk(ast.parse(START.read_text()))]
    every = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: str(node.module) for node in every for alias in node.names}

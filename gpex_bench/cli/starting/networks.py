"""Networks in the working folder: read from the source, which is not run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpex_bench.cli.starting.data import is_data, run_id
from gpex_bench.types import Dataset
from gpex_bench.types.outputs import n_outputs

WEIGHTS = (".pt", ".pth", ".th", ".ckpt", ".safetensors")
FILL_IN = "FILL_IN"  # stands in a config for what nobody but the user knows
# What people call the parameters of a network that depend on the data.
OF_OUTPUTS = (
    *("n_classes", "num_classes", "classes", "n_outputs", "num_outputs", "n_out", "out_dim"),
    *("output_dim", "out_features", "output_size"),
)
OF_CHANNELS = ("channels", "in_channels", "n_channels", "num_channels", "input_channels")
OF_COLUMNS = (
    *("n_features", "num_features", "in_features", "n_inputs", "n_in", "in_dim", "input_dim"),
    *("input_size", "n_columns"),
)


@dataclass(frozen=True)
class Builder:
    """A class or function of a file that makes a network."""

    name: str
    required: tuple[str, ...]  # its parameters without a default
    defaults: Mapping[str, Any]  # those with one that is a number
    parts: frozenset[str]  # what its network calls its parts: the attributes of self
    is_part: bool  # another network of the file uses it


@dataclass(frozen=True)
class FoundNetwork:
    """A network of a config."""

    run_id: str
    build: str  # file.py:name
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    others: tuple[str, ...] = ()  # what else in the file makes a network


def find_network(
    given: str | None, weights: str | None, data: Dataset | None
) -> FoundNetwork | None:
    """Return the network of the working folder; None if there is none.

    Args:
        given: file.py:name, file.py, or package.module:name; None: the only one that is there.
        weights: file of its weights; None: the only one that is there.
        data: what it is asked about.

    Raises:
        ValueError: there are several, or none where one was named; says what to do.
    """
    file, _, name = (given or "").partition(":")
    weights = weights or _only_weights()
    if given and not file.endswith(".py"):
        return FoundNetwork(run_id(name or file.rpartition(".")[2]), given, weights=weights)

    path = Path(file) if given else _only_source()
    if path is None:
        if weights and given is None:
            raise ValueError(
                f"--network must name what the weights {weights} belong to, such as net.py:Net; no "
                ".py file here defines a torch.nn.Module."
            )
        return None

    builders = {one.name: one for one in _builders(path)}
    chosen = _chosen(path, builders, name, weights)
    others = tuple(sorted(set(builders) - {chosen.name}))
    arguments = {} if data is None else _arguments(chosen, data)
    build = f"{path.as_posix()}:{chosen.name}"
    return FoundNetwork(run_id(chosen.name), build, arguments, weights, others)


def _only_weights() -> str | None:
    """Return the only file of weights in the working folder, if there is one."""
    files = [path for path in sorted(Path().iterdir()) if path.suffix in WEIGHTS]
    known = [path for path in files if not is_data(path)]
    if len(known) > 1:
        listed = ", ".join(map(str, known))
        raise ValueError(f"--weights must say which ones are meant; here are {listed}.")
    return known[0].as_posix() if known else None


def _only_source() -> Path | None:
    """Return the only file in the working folder that makes networks, if there is one."""
    known = []
    for path in sorted(Path().glob("*.py")):
        try:
            known += [path] * bool(_builders(path))
        except ValueError:
            continue  # a script of something else
    if len(known) > 1:
        listed = ", ".join(map(str, known))
        raise ValueError(f"--network must say which one is meant; {listed} define networks.")
    return known[0] if known else None


def _chosen(path: Path, builders: Mapping[str, Builder], name: str, weights: str | None) -> Builder:
    """Return the named one of the builders of a file, or the one that the weights fit."""
    known = ", ".join(sorted(builders)) or "none"
    if name:
        if name not in builders:
            # it may be made by an assignment or an import, which is seen when it is built
            builders = {name: Builder(name, (), {}, frozenset(), False)}
        return builders[name]

    likely = [one for one in builders.values() if not one.is_part]
    if weights is not None:
        parts = _parts(weights)
        likely = [one for one in likely if parts <= one.parts] or likely
    # a function that makes the network without further ado comes before its class
    likely = [one for one in likely if not one.required] or likely
    if len(likely) != 1:
        raise ValueError(
            f"--network must say which one of {path} is meant, such as {path}:"
            f"{likely[0].name if likely else 'Net'}; networks there: {known}."
        )
    return likely[0]


def _parts(weights: str) -> set[str]:
    """Return the first word of each weight's name, without what wrappers put before it."""
    from gpex_bench.models.given.weights import PREFIXES, read_weights

    names = list(read_weights(weights))
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in names):
            names = [name.removeprefix(prefix) for name in names]
    return {name.partition(".")[0] for name in names}


def _arguments(builder: Builder, data: Dataset) -> dict[str, Any]:
    """Return the arguments that follow from the data, and a gap for each of the others."""
    sizes = dict.fromkeys(OF_OUTPUTS, n_outputs(data))
    is_table = not data.is_image
    sizes |= dict.fromkeys(OF_COLUMNS if is_table else OF_CHANNELS, data.baseline.shape[0])
    arguments = {name: sizes.get(name, FILL_IN) for name in builder.required}
    for name, default in builder.defaults.items():
        if name in sizes and default != sizes[name]:
            arguments[name] = sizes[name]
    return arguments


# --- what a source file says ---


def _builders(path: Path) -> list[Builder]:
    """Return the classes of networks of a file, and the functions that return one."""
    try:
        tree = ast.parse(path.read_text())
    except OSError as error:
        raise ValueError(f"--network: {path} cannot be read ({error.strerror}).") from error
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ValueError(f"--network: {path} is not a Python file ({error}).") from error

    classes = _networks(tree)
    found = []
    for name, node in classes.items():
        inside = [other for other in classes.values() if other is not node]
        is_part = any(name in set(_names(other)) - set(_bases(other)) for other in inside)
        found.append(_builder(name, _maker(node, classes), _attributes(node, classes), is_part))

    for function in tree.body:
        if isinstance(function, ast.FunctionDef):
            made = [name for name in _returned(function) if name in classes]
            if made:
                parts = _attributes(classes[made[0]], classes)
                found.append(_builder(function.name, function, parts, is_part=False))
    return found


def _networks(tree: ast.Module) -> dict[str, ast.ClassDef]:
    """Return the classes that are modules of torch, or inherit from one that is."""
    classes: dict[str, ast.ClassDef] = {}
    for node in tree.body:
        bases = _bases(node) if isinstance(node, ast.ClassDef) else []
        if isinstance(node, ast.ClassDef) and {"Module", "Sequential", *classes} & set(bases):
            classes[node.name] = node
    return classes


def _bases(node: ast.ClassDef) -> list[str]:
    """Return the last names of what a class inherits from."""
    return [ast.unparse(base).rpartition(".")[2] for base in node.bases]


def _names(node: ast.AST) -> Iterator[str]:
    """Yield the names that are used inside a node."""
    for inside in ast.walk(node):
        if isinstance(inside, ast.Name):
            yield inside.id


def _returned(function: ast.FunctionDef) -> Iterator[str]:
    """Yield the names in what a function returns, and in what it assigns before."""
    for node in ast.walk(function):
        if isinstance(node, (ast.Return, ast.Assign)) and node.value is not None:
            yield from _names(node.value)


def _maker(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> ast.FunctionDef | None:
    """Return the constructor of a class, its own or that of a base in the file."""
    for inside in node.body:
        if isinstance(inside, ast.FunctionDef) and inside.name == "__init__":
            return inside
    for base in _bases(node):
        if base in classes:
            return _maker(classes[base], classes)
    return None


def _attributes(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> frozenset[str]:
    """Return the attributes of self that a class and its bases in the file assign."""
    found = set()
    for inside in ast.walk(node):
        if not isinstance(inside, ast.Attribute) or not isinstance(inside.ctx, ast.Store):
            continue
        if ast.unparse(inside.value) == "self":
            found.add(inside.attr)
    for base in _bases(node):
        if base in classes:
            found |= _attributes(classes[base], classes)
    return frozenset(found)


def _builder(
    name: str, maker: ast.FunctionDef | None, parts: frozenset[str], is_part: bool
) -> Builder:
    """Return a builder with the parameters of its function."""
    required, defaults = [], {}
    is_method = maker is not None and maker.name == "__init__"
    if maker is not None:
        arguments = maker.args
        plain = [*arguments.posonlyargs, *arguments.args]
        n_free = len(plain) - len(arguments.defaults)
        values = [None] * n_free + list(arguments.defaults) + list(arguments.kw_defaults)
        named = list(zip([*plain, *arguments.kwonlyargs], values, strict=True))
        # the first parameter of a method is the object, whatever it is called
        for one, value in named[1:] if is_method else named:
            if value is None:
                required.append(one.arg)
            elif isinstance(value, ast.Constant) and isinstance(value.value, int):
                defaults[one.arg] = value.value
    return Builder(name, tuple(required), defaults, parts, is_part)

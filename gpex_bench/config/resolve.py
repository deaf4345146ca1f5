"""Turns the plug-in sections of a config into objects; errors name what is known."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError

from gpex_bench.config.schema import GONE
from gpex_bench.plugins.registry import Plugin, plugins
from gpex_bench.types import Explainer
from gpex_bench.types.values import key_of


class ConfigError(ValueError):
    """A config that cannot be used; the message names the key."""


class Unusable(Exception):
    """A method that wraps one that cannot be used."""


@dataclass(frozen=True)
class Entry:
    """One line of a plug-in section: a run id, the plug-in it names, and its hyperparameters."""

    id: str
    plugin: Plugin
    written: str  # the hyperparameters as written, as canonical JSON
    settings: Any | None  # the plug-in's object; None if the plug-in cannot be used
    wraps: tuple[Plugin, ...] = ()  # plug-ins inside its hyperparameters
    reason: str = ""  # why there are no settings

    @property
    def sources(self) -> tuple[Path, ...]:
        """Return the source files that decide what it does."""
        paths = [plugin.path for plugin in (self.plugin, *self.wraps)]
        return tuple(dict.fromkeys(path for path in paths if path.is_file()))


def unknown(where: str, what: str, name: str, known: Iterable[str]) -> ConfigError:
    """Return an error that lists the known names and suggests the nearest one."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    names = ", ".join(known) or "none"
    return ConfigError(f"{where}: unknown {what} {name!r}.{hint} Known: {names}.")


def complaint(
    error: ValidationError,
    where: str,
    models: Mapping[str, type[BaseModel]] | None = None,
    *,
    others: Iterable[str] = (),
) -> ConfigError:
    """Return pydantic's first complaint as an error that names the key and what is known.

    Args:
        error: what pydantic found.
        where: the key of what was validated; "" for the whole config.
        models: the validated models, by the key that holds them, the innermost first.
        others: keys of the whole config that no model has: the names of the studies.
    """
    first = error.errors()[0]
    parts = [str(part) for part in first["loc"] if part != "[key]"]
    key = ".".join([where, *parts]).strip(".")
    if first["type"] == "missing":
        return ConfigError(f"{key}: this key is required and missing.")
    if first["type"] != "extra_forbidden":
        return ConfigError(f"{key}: {first['msg']}, got {first['input']!r}.")

    if key in GONE:
        return ConfigError(f"{key}: this key is gone; {GONE[key]}.")

    *above, name = map(str, first["loc"])
    owner = next(model for part, model in (models or {}).items() if part in (*above, ""))
    known = [*owner.model_fields, *(others if not above else ())]
    return unknown(key, "key", name, known)


def _of_object(kind: str, run_id: str, made: Any) -> Entry:
    """Return the entry of a plug-in that is there already, such as one of a notebook."""
    cls = type(made)
    module = sys.modules.get(cls.__module__)
    path = Path(getattr(module, "__file__", None) or cls.__module__)
    plugin = Plugin(kind, cls.__name__, path, cls)
    return Entry(run_id, plugin, repr(made), made, _inside(kind, made))


def _inside(kind: str, made: Any) -> tuple[Plugin, ...]:
    """Return the plug-ins of the explainers that an explainer wraps."""
    inner = getattr(made, "of", None)
    if not isinstance(inner, Explainer):
        return ()
    entry = _of_object(kind, "", inner)
    return (entry.plugin, *entry.wraps)


class Resolver:
    """Turns the plug-in sections into objects; wrappers may name other methods by run id."""

    def __init__(
        self,
        sections: Mapping[str, Mapping[str, dict[str, Any] | None]],
        folders: tuple[str, ...] = (),
        objects: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        """Take the sections by kind, then by run id; and the folders of drop-ins.

        Of a run id that `objects` has, the plug-in is there already, whatever the section says.
        """
        self.sections = sections
        self.folders = folders
        self.objects = objects
        self.resolving: list[str] = []

    def entry(self, kind: str, run_id: str) -> Entry:
        """Return a line of a section; raises ConfigError."""
        where = f"{kind}s.{run_id}"
        made = self.objects.get(kind, {}).get(run_id)
        if made is not None:
            return _of_object(kind, run_id, made)
        written = dict(self.sections[kind][run_id] or {})
        text = json.dumps(written, sort_keys=True)

        name = written.pop(kind, run_id)
        known = plugins(kind, self.folders)
        if name not in known:
            raise unknown(where, kind, str(name), known)
        plugin = known[name]
        if plugin.cls is None and (kind != "method" or plugin.is_clash):
            raise ConfigError(f"{where}: {plugin.problem}.")
        # A method that cannot be used is no error of the config: its cells fail with the reason.
        if plugin.cls is None:
            return Entry(run_id, plugin, text, None, reason=plugin.problem)

        wraps: list[Plugin] = []
        try:
            settings = self.build(plugin.cls, written, where, wraps)
        except Unusable as error:
            return Entry(run_id, plugin, text, None, reason=str(error))
        _check_reads(settings, where)
        return Entry(run_id, plugin, text, settings, tuple(wraps))

    def build(self, cls: type, written: Mapping[str, Any], where: str, wraps: list[Plugin]) -> Any:
        """Return an object of this class; `wraps` collects the plug-ins inside it."""
        if not is_dataclass(cls):
            raise ConfigError(
                f"{where}: {cls.__name__} must be decorated with @settings (a frozen dataclass)."
            )

        known = {key_of(field): field for field in fields(cls)}
        for name in written:
            if name not in known:
                raise unknown(f"{where}.{name}", "parameter", name, known)
        for key, field in known.items():
            is_required = field.default is MISSING and field.default_factory is MISSING
            if is_required and key not in written:
                raise ConfigError(f"{where}.{key}: this parameter is required and missing.")

        hints = get_type_hints(cls)
        values = {}
        for key, item in written.items():
            name = known[key].name
            values[name] = self.leaf(hints[name], item, f"{where}.{key}", wraps)
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{where}: {error}") from error

    def leaf(self, hint: Any, item: Any, where: str, wraps: list[Plugin]) -> Any:
        """Return one hyperparameter, checked against its type.

        A config names the method that a wrapper changes; code may also give the method itself.
        """
        if hint is Explainer and isinstance(item, Explainer):
            return item
        if hint is Explainer:
            return self.wrapped(item, where, wraps)
        if isinstance(hint, type) and is_dataclass(hint):
            if not isinstance(item, dict):
                raise ConfigError(
                    f"{where}: must be a mapping of {hint.__name__}'s parameters, got {item!r}."
                )
            return self.build(hint, item, where, wraps)
        try:
            return TypeAdapter(hint).validate_python(item)
        except ValidationError as error:
            raise complaint(error, where) from error

    def wrapped(self, run_id: Any, where: str, wraps: list[Plugin]) -> Explainer:
        """Return the method of another run id."""
        if run_id not in self.sections["method"]:
            raise unknown(where, "run id of a method", str(run_id), self.sections["method"])
        if run_id in self.resolving:
            raise ConfigError(f"{where}: {run_id!r} wraps itself; name another method.")

        self.resolving.append(run_id)
        inner = self.entry("method", run_id)
        self.resolving.pop()

        if inner.settings is None:
            raise Unusable(f"it wraps {run_id}, and {inner.reason}")
        wraps += [inner.plugin, *inner.wraps]
        explainer: Explainer = inner.settings
        return explainer


def _check_reads(settings: Any, where: str) -> None:
    """Raise ConfigError if a file or folder that a plug-in reads is not there."""
    for name in getattr(settings, "reads", ()):
        if not Path(name).expanduser().exists():
            raise ConfigError(
                f"{where}: {name} is not there; put it there or mend the path, which is relative "
                "to the working folder."
            )

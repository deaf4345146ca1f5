"""Which class of a file is its plug-in, and whether it declares what others rely on."""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

from gpex_bench.types import Need, RelativeTo

# Class attributes that the config, the tables, the report and the generated pages rely on.
DECLARED = {
    "dataset": ("offers",),
    "model": ("takes",),
    "method": ("reference", "kind", "cost", "relative_to"),
    "metric": ("title", "reference", "measures", "higher_is_better", "range", "chance", "cost"),
}
SETS_OF_NEEDS = ("offers", "takes", "needs")


class NotOne(ValueError):
    """A file that should define exactly one class of a contract, and does not."""


def only_class(module: ModuleType, contract: type) -> type:
    """Return the only concrete subclass of a contract that this module itself defines.

    Raises:
        NotOne: there is none, or more than one.
    """
    classes = {member for member in vars(module).values() if fulfils(member, contract)}
    own = [cls for cls in classes if cls.__module__ == module.__name__]
    if len(own) == 1:
        return own[0]

    what = f"must define exactly one concrete {contract.__name__}"
    if own:
        raise NotOne(f"{what}, found {', '.join(sorted(map(_with_line, own)))}")
    raise NotOne(f"{what}, found none{_nearly(module, classes, contract)}")


def fulfils(member: object, contract: type) -> bool:
    """Return whether something is a concrete subclass of a contract."""
    return (
        inspect.isclass(member) and issubclass(member, contract) and not inspect.isabstract(member)
    )


def problem_of(kind: str, cls: type) -> str:
    """Return why the class of a plug-in cannot be used, with its line; "" if it can."""
    problem = _not_declared(kind, cls) or _not_typed(cls) or _wrong_value(kind, cls)
    if not problem:
        return ""
    return f"its class {_with_line(cls)} {problem}"


def declares(cls: type, attribute: str) -> bool:
    """Return whether a class has an attribute, or objects of it have one as a hyperparameter."""
    is_field = is_dataclass(cls) and attribute in {field.name for field in fields(cls)}
    return is_field or hasattr(cls, attribute)


def _not_declared(kind: str, cls: type) -> str:
    """Return what a class lacks; "" if it has everything."""
    missing = [] if is_dataclass(cls) else ["the decorator @settings"]
    missing += [
        f"the class attribute {key!r}" for key in DECLARED.get(kind, ()) if not declares(cls, key)
    ]
    return f"lacks {' and '.join(missing)}" if missing else ""


def _not_typed(cls: type) -> str:
    """Return why a hyperparameter would silently keep the value of a base class; "" if none does.

    Dataclasses ignore assignments without a type, and the types of a class without the decorator.
    """
    is_decorated = "__dataclass_fields__" in vars(cls)
    own_types = inspect.get_annotations(cls)
    settings = [field.name for field in fields(cls)]  # type: ignore[arg-type] # it is a dataclass

    if not is_decorated:
        written = [name for name, hint in own_types.items() if "ClassVar" not in str(hint)]
        if written:
            return f"has the hyperparameter {written[0]!r} and lacks the decorator @settings"

    for name in settings:
        value = vars(cls).get(name)
        is_plain = name in vars(cls) and not isinstance(value, property)
        if is_plain and name not in own_types:
            return f"sets the hyperparameter {name!r} without its type: write `{name}: ... = ...`"
    return ""


def _wrong_value(kind: str, cls: type) -> str:
    """Return which declared value is of the wrong type or unknown; "" if none is."""
    for name in SETS_OF_NEEDS:
        found = _plain(cls, name)
        is_set = isinstance(found, (set, frozenset)) and all(isinstance(n, Need) for n in found)
        if found is not None and not is_set:
            return f"has {name} = {found!r}; it must be a frozenset of Need"

    # a property of a wrapper, or of a method with a choice, is known of its objects alone
    relative_to = _plain(cls, "relative_to") if kind == "method" else None
    known = [one.value for one in RelativeTo]
    if relative_to and relative_to not in known:
        return f"has relative_to = {relative_to!r}; it must be one of {', '.join(known)}"
    return ""


def _plain(cls: type, name: str) -> Any:
    """Return the value of a class attribute; None where it is a property or missing."""
    value = getattr(cls, name, None)
    return None if isinstance(value, (property, cached_property)) else value


def _with_line(cls: type) -> str:
    """Return the name of a class and its line; the name alone if its source cannot be read."""
    try:
        _, line = inspect.getsourcelines(cls)
    except (OSError, TypeError):
        return cls.__name__
    return f"{cls.__name__} (line {line})"


def _nearly(module: ModuleType, imported: set[type], contract: type) -> str:
    """Return what a module has in place of a class of its own: imported or abstract ones."""
    text = ""
    if imported:
        names = sorted(cls.__name__ for cls in imported)
        text += f" of its own (it imports {', '.join(names)})"

    members = [member for member in vars(module).values() if inspect.isclass(member)]
    for cls in members:
        if cls.__module__ == module.__name__ and issubclass(cls, contract):
            lacking = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
            text += f"; {cls.__name__} is abstract: it lacks {lacking}"
    return text

"""Options: frozen dataclasses whose fields say what is allowed and where a search may look; one place checks them all.

@dataclass(frozen=True)
class CapOptions(Options):
cap: int = number(2, 1, 10, search=evenly())
on: str = word("minutes", "similarity", "minutes")
"""

import dataclasses
import functools
import inspect
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

from .names import one_of

T = TypeVar("T")
KEY = "allowed"  # in the metadata of a field


@dataclass(frozen=True)
class SearchRange:
    """Where the best value of an option is searched.

    Attributes
    ----------
    low, high
        Both ends included; by default those of what is allowed.
    logarithmic
        Whether evenly on a logarithmic scale.
    choices
        These values alone, whatever the range.
    """

    low: float | None = None
    high: float | None = None
    logarithmic: bool = False
    choices: tuple[Any, ...] = ()


def evenly(low: float | None = None, high: float | None = None) -> SearchRange:
    """Search evenly, by default all that is allowed."""
    return SearchRange(low, high)


def logarithmically(low: float | None = None, high: float | None = None) -> SearchRange:
    """Search evenly on a logarithmic scale, by default all that is allowed."""
    return SearchRange(low, high, logarithmic=True)


def among(*choices: Any) -> SearchRange:
    """Search among these values."""
    return SearchRange(choices=choices)


@dataclass(frozen=True)
class Allowed:
    """What a field may be: a number from `low` to `high`, both included, or one of `words`; where it is searched."""

    low: float = 0.0
    high: float = 0.0
    words: tuple[str, ...] = ()
    search: SearchRange | None = None


def number(default: float | None, low: float, high: float, *, search: SearchRange | None = None) -> Any:
    """Declare a field that holds a number from `low` to `high`; whole where the field's type is ``int``.

    Where the type has ``None``, that is allowed, too.
    """
    return dataclasses.field(default=default, metadata={KEY: Allowed(low, high, search=search)})


def word(default: str, *words: str, search: bool = False) -> Any:
    """Declare a field that holds one of a few words; with `search`, all of them are tried."""
    return dataclasses.field(
        default=default, metadata={KEY: Allowed(words=words, search=among(*words) if search else None)}
    )


def switch(default: bool, *, search: bool = False) -> Any:
    """Declare a field that is on or off; with `search`, both are tried."""
    return dataclasses.field(default=default, metadata={KEY: Allowed(search=among(True, False) if search else None)})


@dataclass(frozen=True)
class Options:
    """Options of anything, checked when they are made.

    Attributes
    ----------
    RENAMED
        Names that files written before may have, and what they are called now.

    Raises
    ------
    ValueError
        If a value has another type than its field, or is not allowed; the message names field, value and range.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        """Keep what is allowed of a field where a subclass only gives another default."""
        declared = getattr(cls, "__dataclass_fields__", {})
        for name in inspect.get_annotations(cls):
            default = cls.__dict__.get(name)
            if name in declared and KEY in declared[name].metadata and not isinstance(default, dataclasses.Field):
                setattr(cls, name, dataclasses.field(default=default, metadata=declared[name].metadata))

    def __post_init__(self) -> None:
        """Refuse what is not allowed."""
        kind: Any = type(self)  # which mypy does not take to be hashable
        hints = read_hints(kind)
        for field in dataclasses.fields(self):
            check_value(field.name, getattr(self, field.name), hints[field.name], field.metadata.get(KEY))


@functools.cache
def read_hints(kind: type[Any]) -> dict[str, Any]:
    """Types of a dataclass's fields by name, evaluated."""
    return get_type_hints(kind)


def check_value(name: str, value: Any, hint: Any, allowed: Allowed | None = None) -> None:
    """Raise ValueError unless a value is of a field's type and, where something is declared, allowed."""
    optional = get_origin(hint) is types.UnionType and type(None) in get_args(hint)
    if value is None and optional:
        return
    kinds = tuple(kind for kind in (get_args(hint) if optional else (hint,)) if kind is not type(None))
    if allowed is None or kinds[0] is bool:
        if kinds[0] in (int, float, bool, str) and not _is_of(value, kinds[0]):
            raise ValueError(f"{name} = {value!r} must be {SAID[kinds[0]]}")
    elif allowed.words:
        one_of(name, value, allowed.words)
    else:
        bounds = f"{show_number(allowed.low)} to {show_number(allowed.high)}"
        if not _is_of(value, float):
            raise ValueError(f"{name} = {value!r} must be {SAID[kinds[0]]}, {bounds}")
        if not allowed.low <= value <= allowed.high:
            raise ValueError(f"{name} = {value!r} is out of range; allowed: {bounds}")
        if not _is_of(value, kinds[0]):
            raise ValueError(f"{name} = {value!r} must be {SAID[kinds[0]]}, {bounds}")


SAID = {int: "a whole number", float: "a number", bool: "True or False", str: "text"}


def _is_of(value: Any, kind: type[Any]) -> bool:
    """Whole numbers are numbers, and True is none."""
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, kind)


def show_number(value: float) -> str:
    """As short as it can be: 0, 0.5, 1e-08, 1000000."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def make_options(owner: str, kind: type[T], values: Mapping[str, Any]) -> T:
    """Options from names and values of a file or a command line, checked.

    Parameters
    ----------
    owner
        Name of what the options are of, for errors.
    kind
        Dataclass of the options.
    values
        Values that differ from the defaults, by name.

    Raises
    ------
    ValueError
        For a name that there is not, and for a value that is not allowed.
    """
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    renamed: Mapping[str, str] = getattr(kind, "RENAMED", {})
    values = {renamed.get(name, name): value for name, value in values.items()}
    for name in values:
        one_of(f"options of {owner!r}: name", name, names)
    return kind(**values)


def find_changes(options: Any) -> dict[str, Any]:
    """The options that differ from the defaults, by name."""
    defaults = type(options)()
    values = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    return {name: value for name, value in values.items() if value != getattr(defaults, name)}

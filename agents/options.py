"""Options of agents: frozen dataclasses, made from names and values that come from a file or a command line."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, get_args, get_origin, get_type_hints

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from ..envs.shared.names import one_of
from ..envs.shared.options import KEY, Allowed


def make_options(agent: str, kind: type[Any], values: Mapping[str, Any]) -> Any:
    """The options of an agent, checked.

    Parameters
    ----------
    agent
        For the errors.
    kind
        Its dataclass, which checks the ranges.
    values
        Those that differ from the defaults, by name.

    Raises
    ------
    ValueError
        For an option that the agent has not, a value of another type, or one out of range.
    """
    hints = get_type_hints(kind)
    for name, value in values.items():
        one_of(f"options of {agent!r}: name", name, (field.name for field in dataclasses.fields(kind)))
        check_type(name, value, hints[name])
    return kind(**values)


def changes(options: Any) -> dict[str, Any]:
    """The options that differ from the defaults, by name."""
    defaults = type(options)()
    found = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    return {name: value for name, value in found.items() if value != getattr(defaults, name)}


def check_ranges(options: object, *ranges: tuple[str, float, float]) -> None:
    """Raise ValueError unless each field (name, lowest, highest) is in its range; or None, or not there."""
    for name, low, high in ranges:
        value = getattr(options, name, None)
        if value is not None and not low <= value <= high:
            raise ValueError(f"{name} = {value!r} is out of range; allowed: {low} to {high}")


def check_type(name: str, value: Any, hint: Any) -> None:
    """Raise ValueError unless a value is of a type; whole numbers are numbers, and True is none."""
    if not _is(value, hint):
        raise ValueError(f"{name} = {value!r} must be of type {getattr(hint, '__name__', hint)}")


def _is(value: Any, hint: Any) -> bool:
    if get_origin(hint) is types.UnionType:
        return any(_is(value, one) for one in get_args(hint))
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    return isinstance(value, hint)


def make_space(kind: type[Any]) -> dict[str, BaseDistribution]:
    """Where options are searched, as their fields declare it: numbers in the order of the fields, then words."""
    hints = get_type_hints(kind)
    numbers: dict[str, BaseDistribution] = {}
    words: dict[str, BaseDistribution] = {}
    for field in dataclasses.fields(kind):
        allowed = field.metadata.get(KEY)
        if allowed is not None and allowed.search is not None:
            into = words if allowed.words else numbers
            into[field.name] = _make_distribution(allowed, hints[field.name] is int)
    return numbers | words


def _make_distribution(allowed: Allowed, whole: bool) -> BaseDistribution:
    """The distribution over the range or the choices that a field declares; `whole` of whole numbers."""
    search = allowed.search
    assert search is not None
    if search.choices:
        return CategoricalDistribution(search.choices)
    low = allowed.low if search.low is None else search.low
    high = allowed.high if search.high is None else search.high
    if whole:
        return IntDistribution(int(low), int(high), log=search.logarithmic)
    return FloatDistribution(low, high, log=search.logarithmic)

"""The user model with some behaviours replaced: the code of `dynamics.py`, run over other globals.

Numba looks a global up once, when it compiles. Copies of the functions that call one's own, over globals that name it
in place of the shipped one, are therefore all that it takes; the shipped functions, their speed and what is kept of
them on disk stay as they are. Copies are not kept on disk: each process compiles its own. Uncompiled copies call the
rest of the user model compiled, so that both live the same lives.
"""

import math
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import numpy as np
from numba import jit, types

from ..shared.parts import Part
from . import dynamics
from .behaviours import BEHAVIOURS, get_plain, list_globals
from .constants import ScenarioError

KINDS: dict[
    type | None, tuple[tuple[Any, ...], tuple[Any, ...]]
] = {  # what a type of Python is to Numba, and, uncompiled, to NumPy
    float: ((types.Float, types.Integer), (float, int, np.floating, np.integer)),
    int: ((types.Integer,), (int, np.integer)),
    bool: ((types.Boolean,), (bool, np.bool_)),
    None: ((types.NoneType,), (type(None),)),
}


def rebind(function: Any, scope: dict[str, Any], compiled: bool) -> Any:
    """A copy of a function that takes its globals from `scope`, compiled as the function is or left to Python."""
    plain = get_plain(function)
    copy = FunctionType(plain.__code__, scope, plain.__name__, plain.__defaults__, plain.__closure__)
    # Machine code is linked by names. That of a copy must not go by one that the shipped function has on disk.
    copy.__qualname__ = f"own.{plain.__qualname__}"
    copy.__kwdefaults__, copy.__module__ = plain.__kwdefaults__, plain.__module__
    if compiled and isinstance(function, Part):
        return function.copy(copy)
    options = dict(getattr(function, "targetoptions", {}))
    options.pop("inline", None)  # of Numba's own kind, which guards do not take; the compiler's takes its place
    return jit(**options)(copy) if compiled else copy


def replace_behaviours(own: Mapping[str, Callable[..., Any]], compiled: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The globals of a user model with functions of one's own in it, and these functions as they are called there.

    What one's own functions take from `dynamics` by a global name is this model's, so that an own `choose` that calls
    `weigh` gets the utilities of an own `attract`; by its own name alone it is what was shipped, to build on.
    """
    shipped = {name: value for name, value in vars(dynamics).items() if _is_shipped(value)}
    scope = dict(vars(dynamics))
    copies = {name: rebind(shipped[name], scope, compiled) for name in _find_callers(set(own), shipped)}
    around = {name: dict(get_plain(function).__globals__) for name, function in own.items()}
    mine = {name: rebind(function, around[name], compiled) for name, function in own.items()}
    scope |= copies | {name: _guard(name, function, compiled) for name, function in mine.items()}
    copied = {id(shipped[name]): name for name in copies}
    for name, others in around.items():
        for word, value in others.items():
            if (other := copied.get(id(value))) is not None:
                others[word] = copies[other] if other == name else scope[other]
    return scope, mine


def _find_callers(names: set[str], functions: Mapping[str, Any]) -> set[str]:
    """Names of functions, and of those that call them, directly or not."""
    calls = {name: set(list_globals(get_plain(function).__code__)) for name, function in functions.items()}
    found = set(names)
    while more := {name for name in calls.keys() - found if calls[name] & found}:
        found |= more
    return found


def _is_shipped(value: Any) -> bool:
    return getattr(value, "__module__", None) == dynamics.__name__ and isinstance(get_plain(value), FunctionType)


def check_compiled(name: str, function: Any) -> None:
    """Refuse a compiled behaviour that was found to return another type than it has to.

    Raises
    ------
    ScenarioError
        If it does.
    """
    for signature in getattr(function, "nopython_signatures", ()):
        if not isinstance(signature.return_type, KINDS[BEHAVIOURS[name].returns][0]):
            raise ScenarioError(_say_type(name, f"a value of Numba's type {signature.return_type}"))


def _say_type(name: str, found: str) -> str:
    return f"behaviours.{name} returned {found}; it must be a function {BEHAVIOURS[name].signature}"


def _guard(name: str, own: Any, compiled: bool) -> Any:
    """A behaviour with a check of what it promises, as a wrong value would lead compiled code out of its arrays."""
    behaviour = BEHAVIOURS[name]
    user = behaviour.parameters.index("user")
    error = f"behaviours.{name} broke its promise: {behaviour.promise}"
    if not compiled:
        own = _check_type(name, own)
    if behaviour.returns is bool:
        return own
    if behaviour.returns is float:
        guarded = _guard_number(
            own, error, 0.0 if name != "attract" else -math.inf, 1.0 if name == "watch" else math.inf
        )
    elif name == "choose":
        guarded = _guard_slot(own, error)
    else:
        guarded = _guard_state(own, error, user, name == "judge", name == "expose")
    return jit(nopython=True)(guarded) if compiled else guarded


def _guard_number(own: Any, error: str, least: float, most: float) -> Any:
    def guarded(*given: Any) -> float:
        number = float(own(*given))
        if not (least <= number <= most and math.isfinite(number)):
            raise ValueError(error)
        return number

    return guarded


def _guard_slot(own: Any, error: str) -> Any:
    def guarded(p: Any, work: Any, items: Any, user: Any) -> int:
        slot = int(own(p, work, items, user))
        if slot != -1 and not (0 <= slot < len(user.slate) and user.slate[slot] > 0):
            raise ValueError(error)
        return slot

    return guarded


def _guard_state(own: Any, error: str, place: int, judging: bool, turning: bool) -> Any:
    def guarded(*given: Any) -> None:
        own(*given)
        user = given[place]
        if judging:
            right = math.isfinite(user.satisfaction)
        else:
            right = True
            for g in range(len(user.satiation)):
                right &= 0.0 <= user.satiation[g] < math.inf
                if turning:
                    right &= math.isfinite(user.momentum[g])
        if not right:
            raise ValueError(error)

    return guarded


def _check_type(name: str, own: Any) -> Any:
    kinds = KINDS[BEHAVIOURS[name].returns][1]

    def checked(*given: Any) -> Any:
        value = own(*given)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ScenarioError(_say_type(name, repr(value)))
        return value

    return checked

"""Behaviours of the user that may be replaced by functions of one's own: which, and what they promise.

A behaviour is a function of `dynamics.py`. One's own takes its parameters in their order, and is compiled with the rest
of the user model (`replacing.py`). It may read every record; what it may write, and what has to hold of what it gives,
its entry of `BEHAVIOURS` says. All chance has to come from `chance.py` with the keys of the user (``user.k0``,
``user.k1``) or from the draws that are there (``work.leave_draw``), so that the same luck gives the same life.
"""

import dis
import functools
import hashlib
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, MappingProxyType, ModuleType
from typing import Any

import numpy as np

from ..shared.names import unknown_name
from ..shared.notices import say_once
from .constants import ScenarioError

MARK = "longplay_plain"  # attribute of a function that is not to be compiled
MEET = "longplay_meet"  # attribute of one that wants to know the worlds it is used in: an engine calls it with its own
ADDRESS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")  # a dotted module and a name: no URL, no path


@dataclass(frozen=True)
class Behaviour:
    """What a function of one's own has to be.

    Attributes
    ----------
    parameters
        Names of the parameters, in order: ``p`` constants, ``work`` scratch of the slate, ``items`` all items (row 0 is
        empty), ``user`` the state, each a record of `records.py`; ``item`` a number, ``utility``, ``days``, ``choice``
        a slot or −1.
    returns
        Type of what is returned; None where the function writes into `user` instead.
    promise
        What holds of what is returned or written, and is checked each time.
    """

    parameters: tuple[str, ...]
    returns: type | None
    promise: str

    @property
    def signature(self) -> str:
        """As in a definition: ``(p, user) -> float``."""
        return f"({', '.join(self.parameters)}) -> {self.returns.__name__ if self.returns else None}"


BEHAVIOURS: Mapping[str, Behaviour] = MappingProxyType(
    {
        # The utility of an item to the user right now; topics are worth `work.mood`, and `work.taste` is the user's.
        "attract": Behaviour(("p", "work", "items", "user", "item"), float, "a finite number"),
        # The slot that is taken from `user.slate`, or −1; `work.choice_draw` is its luck. It leaves the utility of each
        # slot in `work.utility` and its weight, 0 for what could not be chosen, in `work.weight`, as `weigh` does.
        "choose": Behaviour(("p", "work", "items", "user"), int, "the number of a slot with an item in it, or -1"),
        # How much of the item chosen is watched [share], by its utility.
        "watch": Behaviour(("p", "user", "utility"), float, "a number from 0 to 1"),
        # Moves `user.satisfaction` by the item consumed; 0 is a slate without a click.
        "judge": Behaviour(("p", "user", "items", "item"), None, "a finite user.satisfaction"),
        # What time does to `user.satiation`; also that of a gap.
        "fade": Behaviour(("user", "days"), None, "finite numbers of at least 0 in user.satiation"),
        # What a slate does to `user.satiation` and `user.momentum`; slots whose `work.weight` is 0 show nothing.
        "expose": Behaviour(
            ("p", "work", "items", "user", "choice"),
            None,
            "finite numbers in user.momentum, and of at least 0 in user.satiation",
        ),
        # Whether the session ends after the slate; `work.leave_draw` is its luck.
        "leaves": Behaviour(("p", "work", "user"), bool, "True or False"),
        # Whether the user, having left, never comes back.
        "churns": Behaviour(("p", "user"), bool, "True or False"),
        # Days of activity until the user is back; nights hardly count, see `arithmetic.add_waking_days`.
        "draw_gap": Behaviour(("p", "user"), float, "a finite number of days, at least 0"),
    }
)


def mark_plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a behaviour that is not to be compiled: lives run as plain Python then, 50 to 1,000 times as slow."""
    setattr(function, MARK, True)
    return function


def read_behaviours(scenario: str, given: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """The functions of behaviours, in the order of `BEHAVIOURS`; what is named ``"module:function"`` is imported.

    Parameters
    ----------
    scenario
        Name of the scenario, for errors.
    given
        A function or its address for each behaviour that is replaced.

    Raises
    ------
    ScenarioError
        For an unknown behaviour, an address that leads to no function, and a function of other parameters.
    """
    if not isinstance(given, Mapping):
        raise ScenarioError(
            f"scenario {scenario!r}: behaviours = {given!r} must be a dictionary or a table such as "
            "{'leaves': my_leaves}"
        )
    for name in given:
        if name not in BEHAVIOURS:
            raise ScenarioError(f"scenario {scenario!r}: {unknown_name('behaviour', name, BEHAVIOURS)}")
    found = {}
    for name in BEHAVIOURS:
        if name in given:
            function = given[name]
            if isinstance(function, str):
                field = f"scenario {scenario!r}: behaviours.{name} = {function!r}"
                function = import_named(field, function, f"users' {name}")
            found[name] = function
            _check_function(scenario, name, found[name])
    return found


def import_named(field: str, address: str, about: str, form: str = "'package.module:function'") -> Any:
    """The thing that an address names. Importing runs code, so what was loaded is said, once.

    Parameters
    ----------
    field
        Where the address was given, for errors.
    address
        ``"package.module:name"``.
    about
        What it is, for what is said.
    form
        What an address may be, for errors.

    Raises
    ------
    ScenarioError
        If it leads to nothing.
    """
    if not ADDRESS.fullmatch(address):
        raise ScenarioError(f"{field} must be {form}; a module that Python can import, neither a path nor a URL")
    where, _, word = address.partition(":")
    try:
        module = importlib.import_module(where)
    except ImportError as error:
        raise ScenarioError(
            f"{field}: module {where} cannot be imported ({error}); install it, or put its folder on PYTHONPATH"
        ) from error
    if not hasattr(module, word):
        raise ScenarioError(f"{field}: module {where} has no {word!r}; define it there, or name another")
    say_once(f"{about} is {address} of {getattr(module, '__file__', None) or 'a built-in module'}")
    return getattr(module, word)


def _check_function(scenario: str, name: str, function: Any) -> None:
    plain, behaviour = get_plain(function), BEHAVIOURS[name]
    field = f"scenario {scenario!r}: behaviours.{name}"
    if not inspect.isfunction(plain):
        raise ScenarioError(
            f"{field} = {function!r} must be a function {behaviour.signature}, or the address of one, "
            "'package.module:function'; wrap anything else in a function"
        )
    parameters = inspect.signature(plain).parameters.values()
    if len(parameters) != len(behaviour.parameters) or any(
        parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD) for parameter in parameters
    ):
        raise ScenarioError(
            f"{field} is {plain.__qualname__}({', '.join(map(str, parameters))}); it must have the "
            f"{len(behaviour.parameters)} parameters of {behaviour.signature}, in this order"
        )


def get_plain(function: Any) -> Any:
    """The Python function of one that Numba has compiled, or the function itself."""
    return getattr(function, "py_func", function)


def name_function(function: Callable[..., Any]) -> str:
    """The address ``"module:function"`` by which another process finds a function.

    Raises
    ------
    ScenarioError
        If there is none, as of a function within a function, and of one in the program that runs.
    """
    address = describe_function(function)
    if address.startswith("__main__:") or not ADDRESS.fullmatch(address):
        raise ScenarioError(
            f"behaviour {address} has no address that another process could import; move it to the top of a module"
        )
    return address


def describe_function(function: Callable[..., Any]) -> str:
    """Where a function is defined: ``"module:function"``."""
    plain = get_plain(function)
    return f"{plain.__module__}:{plain.__qualname__}"


def digest_behaviours(behaviours: Mapping[str, Callable[..., Any]]) -> str:
    """Hash of what functions do: their code, and the constants and functions of their package that they use.

    It is of Python's bytecode, so another minor version of Python gives another one.

    Raises
    ------
    ScenarioError
        If a function uses a thing whose value cannot be told, such as an object of a class.
    """
    lines = []
    for name, function in behaviours.items():
        package = str(get_plain(function).__module__).partition(".")[0]
        describe = functools.partial(_describe_value, where=f"behaviours.{name}", package=package, seen=[])
        lines.append(f"{name} {describe(function)}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def describe_things(where: str, module: str, things: Iterable[Any]) -> str:
    """Hash of functions, of what they use, and of values, as of `digest_behaviours`.

    Parameters
    ----------
    where
        What they belong to, for errors.
    module
        Where that is defined: code of other packages counts by its name.
    things
        Functions, numbers, text, arrays, collections of these, and what has a ``digest``.

    Raises
    ------
    ScenarioError
        If there is anything else.
    """
    seen: list[Any] = []
    lines = [_describe_value(thing, where, module.partition(".")[0], seen) for thing in things]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _describe_value(value: Any, where: str, package: str, seen: list[Any]) -> str:
    describe = functools.partial(_describe_value, where=where, package=package, seen=seen)
    plain = get_plain(value)
    if inspect.isfunction(plain):
        return _describe_function(plain, getattr(value, "targetoptions", {}), describe, package, seen)
    if inspect.ismethod(value):
        return f"{describe(value.__func__)} of {describe(value.__self__)}"
    if isinstance(value, CodeType):
        constants = [describe(constant) for constant in value.co_consts]
        return f"({value.co_code.hex()} {constants} {value.co_names})"
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, tuple | list):
        return f"{type(value).__name__}({', '.join(map(describe, value))})"
    if isinstance(value, set | frozenset):
        return f"set({', '.join(sorted(map(describe, value)))})"
    if isinstance(value, Mapping):
        return f"dict({', '.join(f'{describe(key)}: {describe(inner)}' for key, inner in value.items())})"
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    if value is None or value is ... or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        return repr(value)
    if callable(value) and hasattr(value, "__name__"):  # classes, built-in functions, universal functions of NumPy
        return f"{getattr(value, '__module__', '')}.{value.__name__}"
    if isinstance(known := getattr(value, "digest", None), str):
        return known
    raise ScenarioError(
        f"{where} uses {value!r} of type {type(value).__name__}, by which worlds cannot be told apart; use numbers, "
        "text or arrays, or give it an attribute 'digest', a text that changes with it"
    )


def _describe_function(
    plain: Any, options: Mapping[str, Any], describe: Callable[[Any], str], package: str, seen: list[Any]
) -> str:
    if str(plain.__module__).partition(".")[0] != package:
        return f"{plain.__module__}.{plain.__qualname__}"  # what other packages do is told by their versions
    if plain in seen:
        return f"function {seen.index(plain)}"
    seen.append(plain)
    used = [plain.__globals__[name] for name in list_globals(plain.__code__) if name in plain.__globals__]
    cells = [cell.cell_contents for cell in plain.__closure__ or () if cell != type(cell)()]
    about = [plain.__code__, used, cells, plain.__defaults__, plain.__kwdefaults__, sorted(options.items())]
    return " ".join(map(describe, about))


def list_globals(code: CodeType) -> Iterator[str]:
    """Names that code takes from the module around it, functions within it included."""
    yield from dict.fromkeys(str(step.argval) for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL")
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from list_globals(constant)

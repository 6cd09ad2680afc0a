"""Compiled functions that compiled loops call: made for them without what only Python needs.

Numba gives every function entry points for Python and for C. A part of a loop is called from compiled code and linked
into it, where nobody asks for them, and compiling them takes as long as the function itself. A part therefore has two
faces: called from Python it is a function of Numba's own kind; compiled code calls a lean twin, compiled once for whole
numbers of every width, and left out where a record has no room for what it works on.
"""

from collections.abc import Callable
from typing import Any

from numba import config, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.registry import CPUDispatcher


class _LinkedLibrary(JITCodeLibrary):  # type: ignore[misc]  # Numba ships no types that fit
    """Code that is linked into that of its callers, and never run by itself: none is made for the machine."""

    def _get_module_for_linking(self) -> Any:
        self._ensure_finalized()
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage.name == "external":
                function.linkage = "linkonce_odr"  # as Numba has it, of a copy: callers may have it more than once
        return self._final_module

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True


class _RawLibrary(_LinkedLibrary):
    """Such code as it is written: it is optimised where it has been linked, once and in one piece."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass


class _LeanCompiler(Compiler):  # type: ignore[misc]
    """Numba's own passes, to a library that is linked only."""

    def define_pipelines(self) -> Any:
        state = self.state
        state.flags.no_compile = state.flags.no_cpython_wrapper = state.flags.no_cfunc_wrapper = True
        # Where the compiler may choose the order of a sum, it does so before it knows what is around.
        library = _LinkedLibrary if state.flags.fastmath else _RawLibrary
        state.library = library(state.targetctx.codegen(), state.func_id.func_qualname)
        return super().define_pipelines()


class _Lean(CPUDispatcher):  # type: ignore[misc]
    """What compiled code calls; `absent` runs in its place where a record has no more than one of `room`."""

    def __init__(
        self, function: Callable[..., Any], options: dict[str, Any], room: str, absent: Callable[..., Any] | None
    ) -> None:
        super().__init__(function, targetoptions=options, pipeline_class=_LeanCompiler)
        if absent is not None:
            absent.__qualname__ = f"{function.__qualname__}.absent"  # machine code is linked by names
            self._compiler._get_implementation = lambda args, kws: function if _find_room(args, room) else absent

    def add_overload(self, made: Any) -> None:
        made = made._replace(entry_point=object())  # by which callers name it
        self.targetctx.insert_user_function(made.entry_point, made.fndesc, [made.library])
        self.overloads[tuple(made.signature.args)] = made

    def get_call_template(self, args: Any, kws: Any) -> Any:
        return super().get_call_template(tuple(map(_widen, args)), {name: _widen(kind) for name, kind in kws.items()})


def _find_room(args: Any, field: str) -> bool:
    kinds = [kind.fields[field].type for kind in args if isinstance(kind, types.Record) and field in kind.fields]
    return any(kind.shape[0] > 1 for kind in kinds)


def _widen(kind: Any) -> Any:
    """The type that a number is passed as: whole ones as 64 bits, so that those of records and literals are one."""
    kind = types.unliteral(kind)
    return types.int64 if isinstance(kind, types.Integer) and kind.bitwidth < 64 else kind


class Part(CPUDispatcher):  # type: ignore[misc]
    """A function with two faces; see the module."""

    def __init__(
        self,
        function: Callable[..., Any],
        options: dict[str, Any],
        room: str = "",
        absent: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(function, targetoptions=options)
        self.lean = _Lean(function, options, room, absent)
        self._options = options, room, absent

    def copy(self, function: Callable[..., Any]) -> "Part":
        """Another function compiled as this one is."""
        return Part(function, *self._options)

    @property
    def _numba_type_(self) -> Any:
        return types.Dispatcher(self.lean)


def part(
    function: Callable[..., Any] | None = None,
    *,
    room: str = "",
    absent: Callable[..., Any] | None = None,
    **options: Any,
) -> Any:
    """Compile a part of loops.

    Parameters
    ----------
    function
        What is decorated.
    room
        Field of a user's record in which scenarios that need the part have more than one place; see `absent`.
    absent
        Function of the same parameters that is compiled instead where there is no more than one: the scenario never
        calls the part then, and compiling it would be in vain.
    options
        Those of ``numba.njit``.
    """
    if function is None:
        return lambda given: part(given, room=room, absent=absent, **options)
    if config.DISABLE_JIT:
        return function
    return Part(function, {"nopython": True, "boundscheck": None, **options}, room, absent)

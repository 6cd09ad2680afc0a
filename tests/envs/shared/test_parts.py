"""Parts of compiled loops: one function to Python and to compiled code, compiled once for all whole numbers."""

import numpy as np
import pytest
from numba import config, njit

from longplay.envs.shared import parts
from longplay.envs.shared.parts import part


def make_record(places):
    return np.zeros(1, np.dtype([("kept", np.int32, (places,)), ("small", np.int32), ("unsigned", np.uint32)]))


@part
def half(number):
    return number // 2


@part(room="kept", absent=lambda record, number: -1)
def keep(record, number):
    record.kept[0] = number
    return number


def test_python_and_compiled_code_call_the_same_function():
    @njit
    def call(number):
        return half(number) + half(7)

    assert half(9) == half.py_func(9) == 4
    assert call(9) == 7
    assert half(9.0) == 4.0  # after compiled code has asked for it, and for another type
    assert isinstance(half(9.0), float)


def test_whole_numbers_of_every_width_are_one_type_to_compiled_code():
    @njit
    def call(records):
        record = records[0]
        return half(record.small) + half(record.unsigned) + half(5) + half(np.int8(9)) + half(records.size)

    records = make_record(2)
    records["small"], records["unsigned"] = -3, 2**32 - 1
    assert call(records) == -2 + (2**31 - 1) + 2 + 4 + 0
    assert len(half.lean.nopython_signatures) == 1


@pytest.mark.parametrize("places", [1, 2])
def test_what_a_record_has_no_room_for_is_left_out(places):
    @njit
    def call(records, number):
        return keep(records[0], number)

    records = make_record(places)
    assert call(records, 5) == (5 if places == 2 else -1)
    assert records["kept"][0, 0] == (5 if places == 2 else 0)
    assert keep(make_record(places)[0], 6) == 6  # to Python it is what it says


def test_a_copy_is_compiled_as_the_part_is():
    copy = keep.copy(lambda record, number: 2 * number)

    @njit
    def call(records):
        return copy(records[0], 4)

    assert [call(make_record(places)) for places in (1, 2)] == [-1, 8]


def test_a_part_is_linked_and_has_no_machine_code_of_its_own():
    @njit
    def call(number):
        return half(number) + 1

    assert call(8) == 5
    (made,) = half.lean.overloads.values()
    assert isinstance(made.library, parts._LinkedLibrary)
    assert not call.targetctx.codegen()._engine.is_symbol_defined(made.fndesc.llvm_func_name)


def test_an_error_of_a_part_reaches_python():
    @part
    def refuse(number):
        if number > 3:
            raise ValueError("too large")
        return number

    @njit
    def call(number):
        return refuse(number)

    assert call(3) == 3
    with pytest.raises(ValueError, match="too large"):
        call(4)


def test_without_compilation_a_part_is_the_function(monkeypatch):
    monkeypatch.setattr(config, "DISABLE_JIT", 1)
    assert part(make_record) is make_record
    assert part(forceinline=True)(make_record) is make_record

"""Chance: the published answers, the distributions promised, no two draws alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from longplay.envs import chance
from longplay.envs.chance import normal_pair, permuted, philox, stream_key, uniform

ONES = 0xFFFFFFFF
KNOWN = [
    ((0,) * 6, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 6, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
words = st.integers(0, ONES)


@pytest.mark.parametrize("form", [philox, philox.py_func], ids=["compiled", "plain"])
@pytest.mark.parametrize(("given_words", "answer"), KNOWN)
def test_philox_gives_the_published_answers(form, given_words, answer):
    assert form(*given_words) == answer


@given(st.tuples(*[words] * 6))
def test_compiled_and_plain_form_agree(index):
    assert philox(*index) == philox.py_func(*index)
    assert uniform(*index) == uniform.py_func(*index)
    assert normal_pair(*index) == pytest.approx(normal_pair.py_func(*index), rel=1e-14)
    assert permuted(index[0] % 1000, 1000, *index[1:3]) == permuted.py_func(index[0] % 1000, 1000, *index[1:3])
    assert stream_key(*index[:3]) == stream_key.py_func(*index[:3])


def test_unit_never_gives_0_or_1():
    assert 0.0 < chance.unit(0, 0) < 1e-15
    assert 1.0 - 1e-15 < chance.unit(ONES, ONES) < 1.0


@pytest.mark.parametrize("place", range(4), ids=["user", "session", "slate", "purpose"])
def test_draws_are_uniform_along_every_index(place):
    index = np.tile([7, 3, 2, chance.CHOICE], (20_000, 1))
    index[:, place] = np.arange(20_000)
    draws = np.array([uniform(11, 12, *row) for row in index.tolist()])
    assert len(np.unique(draws)) == 20_000
    assert stats.kstest(draws, "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    "other",
    [(1, 0, 0, chance.CHOICE), (0, 1, 0, chance.CHOICE), (0, 0, 1, chance.CHOICE), (0, 0, 0, chance.LEAVE)],
    ids=["user", "session", "slate", "purpose"],
)
def test_neighbouring_draws_are_independent(other):
    keys = [stream_key(0, luck, 0) for luck in range(20_000)]
    a = np.array([uniform(*key, 0, 0, 0, chance.CHOICE) for key in keys])
    b = np.array([uniform(*key, *other) for key in keys])
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(len(keys))
    table = np.histogram2d(a, b, bins=8, range=[[0, 1], [0, 1]])[0]
    assert stats.chisquare(table.ravel()).pvalue > 0.01


def test_normal_pair_is_two_independent_standard_normals():
    pairs = np.array([normal_pair(1, 2, i, 0, 0, chance.DWELL) for i in range(20_000)])
    assert stats.kstest(pairs[:, 0], "norm").pvalue > 0.01
    assert stats.kstest(pairs[:, 1], "norm").pvalue > 0.01
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 4 / np.sqrt(len(pairs))
    assert abs(np.corrcoef((pairs**2).T)[0, 1]) < 4 / np.sqrt(len(pairs))


@given(st.integers(1, 3000), words, words)
def test_permuted_is_a_permutation(size, k0, k1):
    assert sorted(permuted(i, size, k0, k1) for i in range(size)) == list(range(size))


def test_permuted_differs_by_key_and_mixes():
    orders = np.array([[permuted(i, 100, k, 0) for i in range(100)] for k in range(300)])
    assert len(np.unique(orders, axis=0)) == 300
    counts = np.bincount(orders[:, 0], minlength=100)  # who comes first is anybody's turn
    assert stats.chisquare(counts).pvalue > 0.01


def test_stream_key_uses_every_bit_of_its_seeds():
    base = stream_key(0, 0, 0)
    keys = {base}
    for bit in range(63):
        keys |= {stream_key(1 << bit, 0, 0), stream_key(0, 1 << bit, 0)}
    keys |= {stream_key(0, 0, 1 << bit) for bit in range(32)}
    assert len(keys) == 1 + 63 + 63 + 32
    assert all(0 <= word <= ONES for key in keys for word in key)

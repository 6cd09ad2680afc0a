"""Chance: the published answers, the distributions promised, no two draws alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from scipy import stats

from longplay.envs.users import chance
from longplay.envs.users.chance import normal_pair, permute, philox, stream_key, uniform, uniform_pair

ONES = 0xFFFFFFFF
MANY = 40_000
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
    assert permute(index[0] % 1000, 1000, *index[1:3]) == permute.py_func(index[0] % 1000, 1000, *index[1:3])
    assert stream_key(*index[:3]) == stream_key.py_func(*index[:3])


def test_unit_never_gives_0_or_1():
    assert 0.0 < chance.unit(0, 0) < 1e-15
    assert 1.0 - 1e-15 < chance.unit(ONES, ONES) < 1.0


@njit
def tabulate(indices):
    """Both numbers of `uniform_pair` for each row (k0, k1, user, session, slate, purpose)."""
    out = np.empty((len(indices), 2))
    for i in range(len(indices)):
        k0, k1, user, session, slate, purpose = indices[i]
        out[i, 0], out[i, 1] = uniform_pair(k0, k1, user, session, slate, purpose)
    return out


@njit
def all_words(indices):
    """(n, 4) words of `philox` for each row of a counter and a key."""
    out = np.empty((len(indices), 4), np.int64)
    for i in range(len(indices)):
        c0, c1, c2, c3, k0, k1 = indices[i]
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = philox(c0, c1, c2, c3, k0, k1)
    return out


def rows(**columns):
    """Indices of draws, one a row; what is not given is an ordinary number."""
    names = ("k0", "k1", "user", "session", "slate", "purpose")
    usual = dict(zip(names, (11, 12, 7, 3, 2, chance.SLATE), strict=True)) | columns
    return np.stack(np.broadcast_arrays(*[usual[name] for name in names]), axis=1).astype(np.int64)


def check_independent(a, b):
    """Uniform in pairs, and uncorrelated in their values and in how far they are from the middle."""
    for one, other in ((a, b), (np.abs(a - 0.5), np.abs(b - 0.5))):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4.5 / np.sqrt(len(a))
    table = np.histogram2d(a, b, bins=16, range=[[0, 1], [0, 1]])[0]
    assert stats.chisquare(table.ravel()).pvalue > 1e-4


@given(st.tuples(*[words] * 6))
def test_the_first_of_a_pair_is_the_single_draw(index):
    assert uniform_pair(*index)[0] == uniform(*index)


@pytest.mark.parametrize("place", ["user", "session", "slate", "purpose", "k0", "k1"])
def test_draws_are_uniform_along_every_index(place):
    draws = tabulate(rows(**{place: np.arange(MANY)}))
    for one in draws.T:
        assert len(np.unique(one)) == MANY
        assert stats.kstest(one, "uniform").pvalue > 1e-4
        assert stats.chisquare(np.bincount((one * 1000).astype(int), minlength=1000)).pvalue > 1e-4
        # The low bits, too: what is left of the number after its first twenty.
        assert stats.kstest(one * 2**20 % 1.0, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("place", ["user", "session", "slate", "k0", "k1"])
@pytest.mark.parametrize("lag", [1, 2, 64])
def test_draws_of_neighbouring_counters_are_independent(place, lag):
    first, second = tabulate(rows(**{place: np.arange(MANY)})).T
    check_independent(first[:-lag], first[lag:])
    check_independent(second[:-lag], first[lag:])


def test_the_two_numbers_of_a_pair_are_independent():
    check_independent(*tabulate(rows(user=np.arange(MANY))).T)


NEIGHBOURS = {"user": 8, "session": 4, "slate": 3, "purpose": chance.DWELL}


@pytest.mark.parametrize("place", NEIGHBOURS)
def test_draws_of_neighbouring_indices_are_independent_over_many_lives(place):
    keys = np.array([stream_key(0, luck, 0) for luck in range(MANY)])
    here, there = (tabulate(rows(k0=keys[:, 0], k1=keys[:, 1], **c)) for c in ({}, {place: NEIGHBOURS[place]}))
    check_independent(here[:, 0], there[:, 0])
    check_independent(here[:, 1], there[:, 0])


def test_draws_of_neighbouring_worlds_lucks_and_episodes_are_independent():
    for other in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (2**32, 0, 0), (0, 2**32, 0)):
        pairs = []
        for offset in ((0, 0, 0), other):
            keys = np.array([stream_key(0 + offset[0], 2 * luck + offset[1], offset[2]) for luck in range(MANY // 4)])
            pairs.append(tabulate(rows(k0=keys[:, 0], k1=keys[:, 1]))[:, 0])
        check_independent(*pairs)


@pytest.mark.parametrize("place", range(6))
def test_one_bit_of_the_counter_or_the_key_turns_half_of_the_bits(place):
    """Avalanche: each output word's turned bits are Binomial(32, 1/2), whichever bit was flipped."""
    indices = np.random.default_rng(place).integers(0, 2**32, (500, 6))
    flips = np.eye(6, dtype=np.int64)[place] << np.arange(32)[:, None]
    before, after = all_words(indices), all_words((indices ^ flips[:, None]).reshape(-1, 6))
    found = np.bitwise_count(np.tile(before, (32, 1)) ^ after).astype(np.int64)
    counts = np.apply_along_axis(np.bincount, 0, found, minlength=33)
    expected = stats.binom.pmf(np.arange(33), 32, 0.5) * len(found)
    assert np.abs(found.mean(axis=0) - 16).max() < 5 * np.sqrt(8 / len(found))
    middle = (expected >= 5).nonzero()[0]
    for word in counts.T:
        observed = np.append(word[middle], len(found) - word[middle].sum())
        target = np.append(expected[middle], len(found) - expected[middle].sum())
        assert stats.chisquare(observed, target).pvalue > 1e-4


def test_normal_pair_is_two_independent_standard_normals():
    pairs = np.array([normal_pair(1, 2, i, 0, 0, chance.DWELL) for i in range(20_000)])
    assert stats.kstest(pairs[:, 0], "norm").pvalue > 0.01
    assert stats.kstest(pairs[:, 1], "norm").pvalue > 0.01
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 4 / np.sqrt(len(pairs))
    assert abs(np.corrcoef((pairs**2).T)[0, 1]) < 4 / np.sqrt(len(pairs))


@given(st.integers(1, 3000), words, words)
def test_permuted_is_a_permutation(size, k0, k1):
    assert sorted(permute(i, size, k0, k1) for i in range(size)) == list(range(size))


def test_permuted_differs_by_key_and_mixes():
    orders = np.array([[permute(i, 100, k, 0) for i in range(100)] for k in range(300)])
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

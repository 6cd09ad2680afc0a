"""Pooling of histories against the plain formula, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longplay.envs.candidates.pooling import pad_vectors, pool_history

VECTORS = np.random.default_rng(7).normal(size=(12, 16)).astype(np.float32)


def pooled_plainly(vectors, ids, completion, age, half_life_items, half_life_days):
    """The oracle: the formula of the docstring in float64, one user after another."""
    rows = []
    for user in range(len(ids)):
        real = ids[user] > 0
        rank = np.arange(real.sum())
        weights = completion[user][real].astype(float) * 2.0 ** (-rank / half_life_items)
        weights *= 2.0 ** (-age[user][real].astype(float) / half_life_days)
        total = weights @ vectors[ids[user][real].astype(int) - 1].astype(float)
        length = np.linalg.norm(total)
        rows.append(total / length if length > 0 else total)
    return np.array(rows)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.floats(0.5, 50.0), st.sampled_from([0.5, 7.0, math.inf]))
def test_pooling_equals_the_plain_formula(seed, users, half_life_items, half_life_days):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 13, (users, 8))
    arrays = [a.astype(np.float32) for a in (ids, rng.random((users, 8)), np.cumsum(rng.exponential(2, (users, 8)), 1))]
    halves = {"half_life_items": half_life_items, "half_life_days": half_life_days}
    pooled = pool_history(VECTORS, *arrays, **halves)
    np.testing.assert_allclose(pooled, pooled_plainly(VECTORS, *arrays, **halves), rtol=0, atol=2e-6)


def test_padding_between_items_is_passed_over():
    dense = pool_history(VECTORS, *(np.array([row], np.float32) for row in ([3, 5], [0.5, 1.0], [0.0, 2.0])))
    gaps = ([0, 3, 0, 5], [9.0, 0.5, 9.0, 1.0], [9.0, 0.0, 9.0, 2.0])
    np.testing.assert_array_equal(pool_history(VECTORS, *(np.array([row], np.float32) for row in gaps)), dense)


def test_empty_and_unwatched_histories_are_zero_and_old_ones_are_not():
    ids = np.array([[0, 0], [3, 5], [3, 5]], np.float32)
    completion = np.array([[0, 0], [0, 0], [1, 1]], np.float32)
    age = np.array([[0, 0], [0, 0], [1e6, 2e6]], np.float32)
    lengths = np.linalg.norm(pool_history(VECTORS, ids, completion, age), axis=1)
    np.testing.assert_allclose(lengths, [0, 0, 1], atol=1e-6)


def test_a_recent_and_finished_item_pulls_the_most():
    vectors = np.eye(4, dtype=np.float32)
    columns = ([1, 2, 3], [1.0, 0.5, 1.0], [0.0, 0.0, 7.0])
    pooled = pool_history(vectors, *(np.array([c], np.float32) for c in columns), half_life_items=math.inf)
    np.testing.assert_allclose(pooled[0] / pooled[0, 0], [1.0, 0.5, 0.5, 0.0], atol=1e-6)


@pytest.mark.parametrize("name", ["ids", "completion", "age"])
def test_each_wrong_shape_is_named(name):
    arrays = dict.fromkeys(("ids", "completion", "age"), np.ones((1, 2), np.float32))
    wrong = arrays | {name: np.ones((1, 1), np.float32)}
    with pytest.raises(ValueError, match=rf"{name} \(1, 1\).* must all be \(B, H\)"):
        pool_history(VECTORS, **wrong)
    with pytest.raises(ValueError, match=r"ids \(2,\), completion \(2,\) and age \(2,\) must all be \(B, H\)"):
        pool_history(VECTORS, *(np.ones(2, np.float32),) * 3)


@pytest.mark.parametrize(("halves", "said"), [((0, 7), "0 items and 7 days"), ((5, 0.0), "5 items and 0.0 days")])
def test_half_lives_must_be_positive(halves, said):
    row = np.ones((1, 2), np.float32)
    with pytest.raises(ValueError, match=f"half-lives must be positive, got {said}"):
        pool_history(VECTORS, row, row, row, half_life_items=halves[0], half_life_days=halves[1])


@pytest.mark.parametrize("wrong", [-1.0, 13.0, 2.5])
def test_an_id_of_no_item_is_named(wrong):
    row = np.ones((1, 3), np.float32)
    pool_history(VECTORS, np.array([[0.0, 1.0, 12.0]], np.float32), row, row)
    with pytest.raises(ValueError, match=f"history_ids holds {wrong:g}; items are 1 to 12, 0 is padding"):
        pool_history(VECTORS, np.array([[0.0, wrong, 1.0]], np.float32), row, row)


def test_row_0_of_padded_vectors_is_empty():
    padded = pad_vectors(VECTORS)
    np.testing.assert_array_equal(padded[1:], VECTORS)
    assert not padded[0].any()

"""Compiled passes over observations against NumPy, to the bit."""

import numpy as np
import pytest

from longplay.agents.slates.visible_rows import mark_repeated, sum_history

ITEMS, HISTORY = 30, 12


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def draw_histories(rng, users=50):
    """Item numbers (B, H), shorter histories padded with zeros, some of no item at all."""
    ids = rng.integers(1, ITEMS + 1, (users, HISTORY))
    return (ids * (np.arange(HISTORY) < rng.integers(0, HISTORY + 1, (users, 1)))).astype(np.float32)


def test_repeated_is_what_equals_an_item_of_the_history(rng):
    history = draw_histories(rng)
    candidates = (rng.integers(1, ITEMS + 1, (50, 9)) * (rng.random((50, 9)) < 0.8)).astype(np.float32)
    features = rng.normal(size=(50, 9, 4)).astype(np.float32)
    repeated = (candidates[:, :, None] == history[:, None, :]).any(axis=2)
    expected = np.concatenate([features, repeated[:, :, None]], axis=2, dtype=np.float32)
    expected[candidates == 0] = 0.0
    items, ids = mark_repeated(features, candidates, history, ITEMS)
    np.testing.assert_array_equal(items, expected)
    np.testing.assert_array_equal(ids, candidates)
    assert (items.dtype, ids.dtype) == (np.float32, np.int64)


@pytest.mark.parametrize("aging", [False, True])
def test_sums_over_the_history_are_those_of_numpy(rng, aging):
    ids = draw_histories(rng)
    completion, faded, old = (rng.random(ids.shape).astype(np.float32) for _ in range(3))
    described, topics = (rng.normal(size=(ITEMS + 1, n)).astype(np.float32) for n in (4, 6))
    session = (ids > 0) & (rng.random(ids.shape) < 0.5)
    windows, present = np.array([5, HISTORY]), ids > 0
    rows = np.concatenate([completion[:, :, None], described[ids.astype(int)]], axis=2)
    if aging:
        rows[:, :, 1 + 2] = old
    expected = []
    for window in (session, *(present & (np.arange(HISTORY) < n) for n in windows)):
        count = np.maximum(window.sum(axis=1, keepdims=True), 1)
        expected.append(((rows * window[:, :, None]).sum(axis=1) / count).astype(np.float32))
    consumed = topics[ids.astype(int)] * present[:, :, None]
    totals = [(consumed * weight[:, :, None]).sum(axis=1) for weight in (completion, faded)]
    means, sums = np.full((50, 3, 5), np.nan, np.float32), np.full((50, 2, 6), np.nan, np.float32)
    aged = old if aging else np.zeros((50, 0), np.float32)
    sum_history(ids, completion, faded, described, aged, 2, topics, session, windows, means, sums)
    np.testing.assert_array_equal(means, np.stack(expected, axis=1))
    np.testing.assert_array_equal(sums, np.stack(totals, axis=1))

"""Measures of slates against NumPy, to the bit, and by hand."""

import numpy as np
import pytest

from longplay.agents.playing.measures import SlateMeasures, _add_up


def make_unit(items, width):
    vectors = np.random.default_rng(width).standard_normal((items + 1, width)).astype(np.float32)
    vectors[0] = 0.0
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def measure_diversity(unit, slates):
    """1 − mean pairwise cosine, from the square of the sum of the vectors."""
    vectors = unit[slates].astype(np.float64)
    filled = (slates > 0).sum(axis=1)
    together = (vectors.sum(axis=1) ** 2).sum(axis=1) - (vectors**2).sum(axis=(1, 2))
    return np.where(filled > 1, 1.0 - together / np.maximum(filled * (filled - 1), 1), 0.0)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 100, 128, 129, 384, 3840, 40_000])
def test_a_sum_has_the_bits_of_numpy(count):
    values = np.random.default_rng(count).standard_normal(count)
    assert _add_up(values, count) == values.sum()


@pytest.mark.parametrize(("slots", "width"), [(10, 384), (12, 130), (5, 16), (1, 3)])
def test_diversity_has_the_bits_of_numpy(slots, width):
    unit, rng = make_unit(50, width), np.random.default_rng(slots)
    measures, rows = SlateMeasures(unit, 40), rng.permutation(40)
    total = np.zeros(40)
    for _ in range(2):
        slates = rng.integers(0, 51, (40, slots))
        slates[:3, 1:] = 0
        measures.note(rows, slates, np.ones(40, bool))
        total[rows] += measure_diversity(unit, slates)
    np.testing.assert_array_equal(measures.diversity, total)


def test_repeated_counts_what_the_session_had_shown():
    measures = SlateMeasures(make_unit(6, 4), 3)
    for slates, begins in (
        ([[1, 2], [3, 3]], [True, True]),  # a copy in the same slate is none from before
        ([[2, 4], [3, 0]], [False, False]),  # one of two; one, beside an empty slot
        ([[4, 1], [0, 3]], [True, False]),  # another session; one again
    ):
        measures.note(np.array([0, 2]), np.array(slates), np.array(begins))
    np.testing.assert_array_equal(measures.repeated, [0.5, 0.0, 1.0])
    np.testing.assert_array_equal(np.flatnonzero(measures.shown[1:]) + 1, [1, 2, 3, 4])

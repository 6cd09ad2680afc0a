"""Item vectors in fewer dimensions: what is kept, and how it is measured."""

import numpy as np
import pytest

from longplay.encoders.text.components import measure_recall, project_vectors


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(300, 6)) @ rng.normal(size=(6, 20)) * np.geomspace(1.0, 0.2, 20)
    return (flat + 0.5).astype(np.float32)


def unit(table):
    return table / np.linalg.norm(table, axis=1, keepdims=True)


def test_no_other_directions_keep_more_of_the_inner_products(vectors):
    """Eckart and Young: what is lost is the sum of the squares of the other singular values."""
    singular = np.linalg.svd(unit(vectors).astype(np.float64), compute_uv=False)
    for dimensions in (1, 3, 5):
        kept = project_vectors(vectors, dimensions)
        assert kept.shape == (300, dimensions)
        assert (kept.astype(np.float64) ** 2).sum() == pytest.approx((singular[:dimensions] ** 2).sum(), rel=1e-5)


def test_as_many_as_the_vectors_lie_in_lose_nothing(vectors):
    kept = project_vectors(vectors, 7)
    np.testing.assert_allclose(kept @ kept.T, unit(vectors) @ unit(vectors).T, atol=1e-4)


def test_the_same_vectors_give_the_same_bits_whatever_their_lengths(vectors):
    np.testing.assert_array_equal(project_vectors(vectors, 4), project_vectors(vectors.copy(), 4))
    np.testing.assert_allclose(project_vectors(2 * vectors, 4), project_vectors(vectors, 4), atol=1e-5)


@pytest.mark.parametrize("dimensions", [0, -1, 21])
def test_other_numbers_are_refused(vectors, dimensions):
    with pytest.raises(ValueError, match=rf"dimensions = {dimensions} is out of range; allowed: 1 to 20"):
        project_vectors(vectors, dimensions)


def test_recall_is_the_share_of_nearest_items_that_stay(vectors):
    assert measure_recall(vectors, vectors) == 1.0
    shuffled = np.random.default_rng(1).permutation(vectors)
    assert measure_recall(vectors, shuffled) < 0.15
    few, more = (measure_recall(vectors, project_vectors(vectors, d)) for d in (2, 5))
    assert few < more < 1.0

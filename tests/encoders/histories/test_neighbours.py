"""Neighbourhoods against counting by hand and against the library implicit."""

import numpy as np
import pytest
from implicit.nearest_neighbours import CosineRecommender
from scipy.sparse import csr_matrix

from longplay.encoders import EncoderError
from longplay.encoders.histories.matrix import (
    build_history_matrix,
    build_log_matrix,
    compute_entry_weights,
    keep_largest,
)
from longplay.encoders.histories.neighbours import ItemNeighbours, NeighbourOptions, UserNeighbours
from longplay.tests.encoders.contracts import EncoderContract, make_observation
from longplay.tests.encoders.small import make_items, make_log


@pytest.fixture(scope="module")
def log():
    return make_log()


@pytest.fixture
def histories():
    return make_observation(9, items=30)


def fitted(kind, log, **options):
    return kind(make_items(), NeighbourOptions(**options)).fit(log)


def dense(log):
    matrix = np.zeros((log.users, log.items + 1))
    for user, item, completion in zip(log.user, log.item, log.completion, strict=True):
        matrix[user, item] += completion
    return matrix


def rows_of(histories, items=30):
    rows = np.zeros((len(histories["history_ids"]), items + 1))
    for b, h in np.argwhere(histories["history_ids"] > 0):
        rows[b, int(histories["history_ids"][b, h])] += histories["history_completion"][b, h]
    return rows


def cosines(rows, others):
    lengths = np.linalg.norm(rows, axis=1)[:, None] * np.linalg.norm(others, axis=1)
    return np.divide(rows @ others.T, lengths, out=np.zeros(lengths.shape), where=lengths > 0)


def cut(similarity, count):
    """All but the `count` largest of each row to 0, by a stable sort."""
    kept = np.zeros_like(similarity)
    for row, out in zip(similarity, kept, strict=True):
        best = np.argsort(-row, kind="stable")[:count]
        out[best] = row[best]
    return kept


class TestItemNeighbours(EncoderContract):
    encoder = ItemNeighbours
    inner_products = False


class TestUserNeighbours(EncoderContract):
    encoder = UserNeighbours
    inner_products = False


class TestMatrix:
    def test_log_is_summed_or_counted(self, log):
        np.testing.assert_allclose(build_log_matrix(log, "completion").toarray(), dense(log), rtol=1e-6)
        np.testing.assert_array_equal(build_log_matrix(log, "binary").toarray(), dense(log) > 0)

    def test_a_log_of_which_nothing_was_finished_is_refused(self, log):
        from dataclasses import replace

        with pytest.raises(EncoderError, match="no row with a completion above 0"):
            build_log_matrix(replace(log, completion=np.zeros(len(log))), "binary")

    @pytest.mark.parametrize("weights", ["completion", "binary"])
    def test_an_item_met_twice(self, weights):
        histories = {
            "history_ids": np.array([[2, 1, 2, 0]], np.float32),
            "history_completion": np.array([[0.5, 0.0, 0.7, 0.0]], np.float32),
        }
        expected = [0.5, 0.0, 0.7, 0.0] if weights == "completion" else [0.5, 0.0, 0.5, 0.0]
        np.testing.assert_allclose(compute_entry_weights(histories, weights)[0], expected)
        matrix = build_history_matrix(histories, 2, weights).toarray()
        np.testing.assert_allclose(matrix, [[0.0, 0.0, sum(expected)]], rtol=1e-6)

    def test_largest_are_kept_and_ties_by_place(self):
        values = np.array([[3, 1, 3, 3, 0], [0, 0, -1, 0, 2]], np.float32)
        np.testing.assert_array_equal(keep_largest(values, 2), [[1, 0, 1, 0, 0], [0, 0, 0, 0, 1]])
        np.testing.assert_array_equal(keep_largest(values, 9), values > 0)


class TestItems:
    @pytest.mark.parametrize(("neighbours", "shrinkage"), [(30, 0.0), (5, 0.0), (5, 4.0)])
    def test_scores_as_by_hand(self, log, histories, neighbours, shrinkage):
        matrix = dense(log)
        common = (matrix.T > 0).astype(float) @ (matrix > 0)
        shrunk = common / np.maximum(common + shrinkage, 1)
        similarity = cosines(matrix.T, matrix.T) * shrunk
        np.fill_diagonal(similarity, 0.0)
        expected = rows_of(histories) @ cut(similarity, neighbours)
        found = fitted(ItemNeighbours, log, neighbours=neighbours, shrinkage=shrinkage).score(histories)
        np.testing.assert_allclose(found[:, 1:], expected[:, 1:], rtol=1e-4, atol=1e-5)

    @pytest.mark.filterwarnings("ignore:Method expects CSR input")  # of what the library makes itself
    def test_neighbours_as_by_the_library_implicit(self, log):
        ours = fitted(ItemNeighbours, log, neighbours=8, shrinkage=0.0)
        theirs = CosineRecommender(K=9, num_threads=1)  # which counts an item among its own neighbours
        theirs.fit(csr_matrix(dense(log)[:, 1:]), show_progress=False)
        for item in range(1, 31):
            ids, similarity = theirs.similar_items(item - 1, 9)
            near, cosine = ours.nearest_items(item, 8)
            assert dict(zip(near.tolist(), cosine, strict=True)) == pytest.approx(
                {i + 1: s for i, s in zip(ids.tolist(), similarity, strict=True) if i + 1 != item}, rel=1e-5
            )
            assert (np.diff(cosine) <= 0).all()

    def test_contributions_are_the_terms_of_the_sum(self, log, histories):
        subject, item = fitted(ItemNeighbours, log), np.arange(1, 10)
        total = subject.contributions(histories, item).sum(axis=1)
        np.testing.assert_allclose(total, subject.score(histories)[np.arange(9), item], rtol=1e-5, atol=1e-6)

    def test_vectors_of_full_width_give_the_scores(self, log, histories):
        subject = fitted(ItemNeighbours, log, width=30)
        product = subject.encode(histories) @ subject.item_vectors.T
        np.testing.assert_allclose(product[:, 1:], subject.score(histories)[:, 1:], atol=1e-4)

    @pytest.mark.parametrize("item", [0, 31])
    def test_an_unknown_item_is_named(self, log, item):
        with pytest.raises(EncoderError, match=f"item {item} is unknown; items are 1 to 30"):
            fitted(ItemNeighbours, log).nearest_items(item)


class TestUsers:
    @pytest.mark.parametrize(("neighbours", "shrinkage"), [(60, 0.0), (7, 0.0), (7, 3.0)])
    def test_scores_as_by_hand(self, log, histories, neighbours, shrinkage):
        matrix, rows = dense(log), rows_of(histories)
        common = (rows > 0).astype(float) @ (matrix > 0).T
        similarity = cosines(rows, matrix) * common / np.maximum(common + shrinkage, 1)
        subject = fitted(UserNeighbours, log, neighbours=neighbours, shrinkage=shrinkage)
        expected = cut(similarity, neighbours) @ matrix
        np.testing.assert_allclose(subject.score(histories)[:, 1:], expected[:, 1:], rtol=1e-4, atol=1e-5)
        for b, (users, near) in enumerate(subject.nearest_users(histories, 5)):
            best = np.argsort(-similarity[b], kind="stable")[:5]
            best = best[similarity[b, best] > 0]
            np.testing.assert_allclose(near, similarity[b, best], rtol=1e-5)
            np.testing.assert_allclose(similarity[b, users], near, rtol=1e-5)

    def test_a_user_of_the_log_is_the_own_nearest(self, log):
        subject = fitted(UserNeighbours, log, shrinkage=0.0)
        near = subject.nearest_users(log.histories(np.arange(60), before=100.0), 1)
        assert [int(users[0]) for users, _ in near] == list(range(60))

    def test_contributions_sum_to_the_score(self, log, histories):
        subject, item = fitted(UserNeighbours, log, neighbours=7), np.arange(1, 10)
        total = subject.contributions(histories, item).sum(axis=1)
        np.testing.assert_allclose(total, subject.score(histories)[np.arange(9), item], rtol=1e-4, atol=1e-5)

    def test_vectors_of_full_width_give_the_scores_of_all_neighbours(self, log, histories):
        subject = fitted(UserNeighbours, log, width=30, shrinkage=0.0, neighbours=60)
        product = subject.encode(histories) @ subject.item_vectors.T
        np.testing.assert_allclose(product[:, 1:], subject.score(histories)[:, 1:], atol=1e-3)

"""Factors against the library implicit, against the paper's equations, and against dense algebra."""

import warnings

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

from longplay.encoders.histories.factors import ALS, SVD, ALSOptions, SVDOptions
from longplay.encoders.histories.matrix import build_history_matrix, build_log_matrix
from longplay.tests.encoders.contracts import EncoderContract, make_observation
from longplay.tests.encoders.small import make_items, make_log


class TestALS(EncoderContract):
    encoder = ALS
    options = ALSOptions(width=8)


class TestSVD(EncoderContract):
    encoder = SVD
    options = SVDOptions(width=8)


@pytest.fixture(scope="module")
def log():
    return make_log()


@pytest.fixture
def histories():
    found = make_observation(9, items=30)
    found["history_ids"][6, 1] = found["history_ids"][6, 0]  # an item met twice
    return found


@pytest.fixture(params=["completion", "binary"])
def als(request, log):
    return ALS(make_items(), ALSOptions(width=8, weights=request.param)).fit(log, seed=1)


class TestFoldIn:
    def test_agrees_with_the_library(self, als, histories):
        rows = build_history_matrix(histories, 30, als.options.weights)
        rows.data = 1.0 + als.options.alpha * rows.data
        theirs = AlternatingLeastSquares(8, regularization=als._penalty, num_threads=1)
        theirs.item_factors = als.item_vectors[1:]
        expected = theirs.recalculate_user(np.arange(9), csr_matrix(rows)[:, 1:])
        np.testing.assert_allclose(als.encode(histories), expected, atol=1e-4)

    def test_solves_the_papers_equation(self, als, histories):
        items = als.item_vectors.astype(float)
        for row, x in zip(
            build_history_matrix(histories, 30, als.options.weights).toarray(), als.encode(histories), strict=True
        ):
            excess = als.options.alpha * row.astype(float)
            system = items.T @ items + als._penalty * np.eye(8) + items.T @ (excess[:, None] * items)
            wanted = items.T @ np.where(row > 0, 1.0 + excess, 0.0)
            np.testing.assert_allclose(system @ x, wanted, atol=1e-3 * max(1.0, np.abs(wanted).max()))

    def test_more_histories_than_are_folded_in_at_a_time(self, als):
        many = make_observation(2100, items=30)
        tail = {name: array[2000:] for name, array in many.items()}
        np.testing.assert_array_equal(als.encode(many)[2000:], als.encode(tail))

    def test_contributions_sum_to_the_score(self, als, histories):
        item = np.arange(1, 10)
        total = als.contributions(histories, item).sum(axis=1)
        np.testing.assert_allclose(total, als.score(histories)[np.arange(9), item], atol=1e-4)

    def test_contributions_are_those_of_the_library(self, als, log):
        histories = log.histories(np.arange(1), before=100.0)
        rows = build_log_matrix(log.take(log.user == 0), als.options.weights)[[0]]
        rows.data = 1.0 + als.options.alpha * rows.data
        theirs = AlternatingLeastSquares(8, regularization=als._penalty, num_threads=1)
        theirs.item_factors = als.item_vectors[1:].astype(float)
        _, expected, _ = theirs.explain(0, csr_matrix(rows)[:, 1:], 3, N=30)
        ours = dict(zip(histories["history_ids"][0], als.contributions(histories, np.array([4]))[0], strict=True))
        for item, share in expected:
            assert ours[item + 1] == pytest.approx(share, abs=1e-4)


class TestOptions:
    def test_the_library_does_not_warn_of_threads(self, log):
        import implicit.utils

        implicit.utils._checked_blas_config = False  # it warns but once
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ALS(make_items(), ALSOptions(width=4, iterations=1)).fit(log)

    def test_seeds_give_other_factors(self, log):
        one, two = (ALS(make_items(), ALSOptions(width=4)).fit(log, seed=s).item_vectors for s in (0, 1))
        assert np.abs(one - two).max() > 1e-3

    def test_progress_is_reported(self, log):
        rows = []
        ALS(make_items(), ALSOptions(width=4, iterations=3)).fit(log, report=rows.append)
        assert rows == [{"step": float(k), "steps": 3.0} for k in (1, 2, 3)]

    @pytest.mark.parametrize(("name", "value"), [("width", 0), ("alpha", -1.0), ("regularisation", 0.0)])
    def test_out_of_range(self, name, value):
        with pytest.raises(ValueError, match=f"{name} = {value} is out of range; allowed: "):
            ALSOptions(**{name: value})


class TestSVDAlgebra:
    @pytest.mark.parametrize("popularity", [1.0, 0.5])
    def test_projects_on_the_leading_singular_vectors(self, log, histories, popularity):
        matrix = build_log_matrix(log, "completion").toarray().astype(float)
        length = np.linalg.norm(matrix, axis=0)
        weight = np.where(length > 0, length, 1.0) ** (popularity - 1.0)
        _, _, right = np.linalg.svd(matrix * weight)
        subject = SVD(make_items(), SVDOptions(width=3, popularity=popularity)).fit(log)
        expected = build_history_matrix(histories, 30, "completion").toarray() * weight @ right[:3].T @ right[:3]
        np.testing.assert_allclose(subject.score(histories)[:, 1:], expected[:, 1:], atol=1e-4)

    def test_contributions_sum_to_the_score(self, log, histories):
        subject, item = SVD(make_items(), SVDOptions(width=5)).fit(log), np.arange(1, 10)
        total = subject.contributions(histories, item).sum(axis=1)
        np.testing.assert_allclose(total, subject.score(histories)[np.arange(9), item], atol=1e-5)

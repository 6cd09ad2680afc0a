"""Factors against the library implicit, against the paper's equations, and against dense algebra."""

import dataclasses
import itertools
import warnings

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

from longplay.encoders.data.splits import hold_back
from longplay.encoders.histories import factors
from longplay.encoders.histories.factors import ALS, SVD, ALSOptions, SVDOptions
from longplay.encoders.histories.matrix import build_history_matrix, build_log_matrix
from longplay.encoders.measures.evaluation import evaluate, find_validation_cases
from longplay.tests.encoders.contracts import EncoderContract, make_observation
from longplay.tests.encoders.small import make_items, make_log


class TestALS(EncoderContract):
    encoder = ALS
    options = ALSOptions(width=8, regularisation=1.2)


class TestALSChosen(EncoderContract):
    encoder = ALS
    options = ALSOptions(iterations=4)


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
    return ALS(make_items(), ALSOptions(width=8, regularisation=1.2, weights=request.param)).fit(log, seed=1)


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
            ALS(make_items(), ALSOptions(width=4, regularisation=1.2, iterations=1)).fit(log)

    def test_seeds_give_other_factors(self, log):
        one, two = (
            ALS(make_items(), ALSOptions(width=4, regularisation=1.2)).fit(log, seed=s).item_vectors for s in (0, 1)
        )
        assert np.abs(one - two).max() > 1e-3

    def test_progress_is_reported(self, log):
        rows = []
        ALS(make_items(), ALSOptions(width=4, regularisation=1.2, iterations=3)).fit(log, report=rows.append)
        assert rows == [{"step": float(k), "steps": 3.0} for k in (1, 2, 3)]

    @pytest.mark.parametrize(("name", "value"), [("width", 0), ("alpha", -1.0), ("regularisation", 0.0)])
    def test_out_of_range(self, name, value):
        with pytest.raises(ValueError, match=f"{name} = {value} is out of range; allowed: "):
            ALSOptions(**{name: value})


def make_taste_logs(users=150, items=80, width=12, rows=12):
    """Rows before and after a time of users whose tastes have more dimensions than the two crowds."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(users, width)) @ rng.normal(size=(width, items)) + 3.0 * rng.gumbel(size=(users, items))
    liked = 1 + np.argsort(-scores, axis=1)[:, : 2 * rows]
    parts = (rng.permuted(liked, axis=1)[:, :rows], rng.permuted(liked, axis=1)[:, :rows])
    return [
        dataclasses.replace(
            make_log(users, items, rows=4),
            user=np.repeat(np.arange(users), rows),
            item=part.ravel(),
            time=start + np.tile(np.linspace(0.0, 9.0, rows), users),
            completion=np.ones(users * rows),
            consumed=np.ones(users * rows, bool),
            session=np.zeros(users * rows, np.int64),
            minutes=np.ones(users * rows),
        )
        for part, start in zip(parts, (0.0, 10.0), strict=True)
    ]


class TestChoice:
    """Width and regularisation that are left open are those that rank validation rows best."""

    LATER = staticmethod(lambda: make_log(seed=1, start=10.0))

    def test_they_are_the_best_on_the_validation_rows(self):
        items, (log, later) = make_items(80), make_taste_logs()
        cases = find_validation_cases(log, later)
        recalls = {}
        for width, penalty in itertools.product(factors.WIDTHS, factors.PENALTIES):
            trial = ALS(items, ALSOptions(width=width, regularisation=penalty)).fit(log, seed=3)
            recalls[width, penalty] = evaluate(trial, cases)["recall"].mean()
        chosen = ALS(items).fit(log, later, seed=3)
        penalty = max(factors.PENALTIES, key=lambda value: recalls[64, value])
        best = max(recalls[width, penalty] for width in factors.WIDTHS)
        assert recalls[chosen.width, penalty] == best > recalls[64, 1.2] + 0.02
        explicit = ALS(items, ALSOptions(width=chosen.width, regularisation=penalty)).fit(log, seed=3)
        np.testing.assert_array_equal(explicit.item_vectors, chosen.item_vectors)

    def test_one_that_is_given_stays(self, log):
        chosen = ALS(make_items(), ALSOptions(width=5)).fit(log, self.LATER())
        assert chosen.width == 5
        penalties = [
            ALS(make_items(), ALSOptions(width=5, regularisation=value)).fit(log)._penalty
            for value in factors.PENALTIES
        ]
        assert chosen._penalty in penalties

    def test_no_row_after_those_given_is_known(self, log):
        """Without validation rows the log's own last tenth chooses, and all of the log is learnt from."""
        past, later = hold_back(log)
        chosen, by_hand = ALS(make_items()).fit(log, seed=2), ALS(make_items()).fit(past, later, seed=2)
        assert chosen.width == by_hand.width
        penalty = min(
            factors.PENALTIES,
            key=lambda value: abs(
                ALS(make_items(), ALSOptions(width=chosen.width, regularisation=value)).fit(log)._penalty
                - chosen._penalty
            ),
        )
        explicit = ALSOptions(width=chosen.width, regularisation=penalty)
        np.testing.assert_array_equal(ALS(make_items(), explicit).fit(log, seed=2).item_vectors, chosen.item_vectors)

    def test_where_nobody_can_be_asked_it_says_so(self, log, caplog):
        found = ALS(make_items()).fit(log, log)
        assert found.width == 64
        assert [record.message for record in caplog.records] == [
            "als: width 64 and regularisation 1.2 are taken, not chosen: no user likes a new item in the validation "
            "rows. Fix: give later rows, or none at all"
        ]


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

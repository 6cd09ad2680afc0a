"""The Gaussian posterior of linear bandits against closed forms, and what slates and candidates are to it."""

import numpy as np
import pytest

from longplay.agents.rules.bandits.posterior import Design, Posterior, discount_slots, weigh_slots
from longplay.envs.candidates.scoring import FEATURES


@pytest.fixture
def visible(states):
    return {key: value for key, value in states[0].items() if key != "latent"}


class TestPosterior:
    @pytest.fixture
    def lesson(self):
        rng = np.random.default_rng(0)
        return rng.normal(size=(50, 4)), rng.normal(size=50), rng.random(50)

    def test_mean_is_weighted_ridge_regression(self, lesson):
        inputs, rewards, weights = lesson
        # Ridge as least squares with rows of its own: √ridge·θ = 0.
        tall = np.concatenate([np.sqrt(weights)[:, None] * inputs, np.sqrt(2.5) * np.eye(4)])
        expected = np.linalg.lstsq(tall, np.concatenate([np.sqrt(weights) * rewards, np.zeros(4)]))[0]
        found = Posterior.prior(4, 2.5).learn(inputs, rewards, weights)
        np.testing.assert_allclose(found.mean, expected, rtol=1e-12)
        np.testing.assert_allclose(found.precision, tall.T @ tall, rtol=1e-12)

    def test_slates_at_once_teach_what_items_one_by_one_do(self, lesson):
        inputs, rewards, weights = lesson
        one = Posterior.prior(4, 1.0)
        for x, r, w in zip(inputs, rewards, weights, strict=True):
            one = one.learn(x[None], r[None], w[None])
        whole = Posterior.prior(4, 1.0).learn(inputs, rewards, weights)
        np.testing.assert_allclose(one.mean, whole.mean, rtol=1e-12)
        np.testing.assert_allclose(one.measure_deviations(inputs), whole.measure_deviations(inputs), rtol=1e-12)

    def test_deviation_by_hand(self):
        # A = diag(1 + 3, 1 + 0): an item seen three times on the first axis, never on the second.
        posterior = Posterior.prior(2, 1.0).learn(np.array([[1.0, 0.0]] * 3), np.array([2.0, 3.0, 4.0]), np.ones(3))
        np.testing.assert_allclose(posterior.mean, [9 / 4, 0.0])
        np.testing.assert_allclose(
            posterior.measure_deviations(np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]])) ** 2, [1 / 4, 4.0, 9 / 4 + 16]
        )

    def test_draws_have_the_covariance_of_the_posterior(self, lesson):
        posterior = Posterior.prior(4, 1.0).learn(*lesson)
        drawn = posterior.transform_normals(np.random.default_rng(1).standard_normal((200_000, 4)))
        covariance = np.linalg.inv(posterior.precision)
        error = np.sqrt((covariance**2 + np.outer(np.diag(covariance), np.diag(covariance))) / len(drawn))
        assert (np.abs(np.cov(drawn, rowvar=False) - covariance) < 5 * error).all()
        assert (np.abs(drawn.mean(axis=0)) < 5 * np.sqrt(np.diag(covariance) / len(drawn))).all()

    def test_scaled_keeps_the_mean_and_widens(self, lesson):
        posterior = Posterior.prior(4, 1.0).learn(*lesson)
        part = posterior.scale(0.25)
        np.testing.assert_allclose(part.mean, posterior.mean, rtol=1e-12)
        np.testing.assert_allclose(
            part.measure_deviations(lesson[0]), 2 * posterior.measure_deviations(lesson[0]), rtol=1e-12
        )

    def test_users_at_once_are_users_one_by_one_to_the_bit(self):
        rng = np.random.default_rng(2)
        inputs, rewards, weights = rng.normal(size=(6, 5, 4)), rng.normal(size=(6, 5)), rng.random((6, 5))
        base = Posterior.prior(4, 1.0)
        whole = Posterior(np.tile(base.precision, (6, 1, 1)), np.tile(base.moment, (6, 1)))
        whole = whole.learn(inputs, rewards, weights)
        for b in range(6):
            one = base.learn(inputs[b], rewards[b], weights[b])
            np.testing.assert_array_equal(whole.mean[b], one.mean)
            np.testing.assert_array_equal(whole.measure_deviations(inputs)[b], one.measure_deviations(inputs[b]))


class TestFeedback:
    def test_semi_sees_every_slot_and_cascade_those_down_to_the_choice(self):
        choice = np.array([0, 2, -1])
        np.testing.assert_array_equal(weigh_slots(choice, 4, "semi"), np.ones((3, 4)))
        np.testing.assert_array_equal(weigh_slots(choice, 4, "cascade"), [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]])

    def test_attention_falls_with_the_slot(self):
        np.testing.assert_allclose(discount_slots(4, 0.5), [1.0, 2**-0.5, 3**-0.5, 0.5])
        np.testing.assert_array_equal(discount_slots(3, 0.0), 1.0)


class TestDesign:
    def test_inputs_are_standardised_with_an_intercept_first(self, scorer, visible):
        design = Design.fit(scorer, [visible], 3)
        inputs = design.make_inputs(scorer, design.project_items(scorer), visible)
        assert inputs.shape == (*visible["candidates"].shape, design.width)
        assert design.width == 1 + len(FEATURES) + 3
        np.testing.assert_array_equal(inputs[:, :, 0], 1.0)
        real = inputs[visible["candidates"] > 0][:, 1 : 1 + len(FEATURES)]
        np.testing.assert_allclose(real.mean(axis=0), 0.0, atol=1e-6)
        np.testing.assert_allclose(real.std(axis=0), 1.0, rtol=1e-6)

    def test_components_are_principal(self, scorer, visible):
        design = Design.fit(scorer, [visible], 3)
        places = design.project_items(scorer)[1:]
        np.testing.assert_allclose(places.T @ places / len(places), np.eye(3), atol=1e-9)
        vectors = scorer.vectors[1:].astype(float)
        values = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False) ** 2 / len(vectors)
        np.testing.assert_allclose((design.projection**2).sum(axis=0), 1 / values[:3], rtol=1e-6)

    def test_no_components_are_none(self, scorer, visible):
        design = Design.fit(scorer, [visible], 0)
        assert design.make_inputs(scorer, design.project_items(scorer), visible).shape[2] == 1 + len(FEATURES)

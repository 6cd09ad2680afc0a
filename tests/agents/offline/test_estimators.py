"""Off-policy evaluation: estimators against numbers by hand, against enumeration, and their propensities."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch

from longplay.agents.logs.propensities import (
    PlackettLuce,
    draw_columns,
    draw_gumbel,
    find_columns,
    integrate_marginals,
    make_weighted_score,
)
from longplay.agents.offline.data import log_lives
from longplay.agents.offline.estimators import (
    Estimate,
    compute_slate_moments,
    estimate_by_model,
    estimate_by_slots,
    estimate_by_weights,
    estimate_doubly_robust,
    estimate_doubly_robust_steps,
    estimate_normalised,
    estimate_per_decision,
    fit_q,
    measure_sample_size,
    weigh_by_pseudo_inverse,
    weigh_independent_slots,
)
from longplay.agents.offline.evaluation import Evaluation, play_first_slates
from longplay.agents.slates.plackett_luce import slot_log_probabilities
from longplay.envs.candidates.scoring import FEATURES
from longplay.tests.agents.contracts import AgentContract

MU, PI = np.array([0.3, -0.5, 0.0, 0.8]), np.array([-0.2, 0.9, 0.1, 0.4])  # scores of four items
SLATES = np.array(list(permutations(range(4), 2)))  # all slates of two


def conditional(scores, slates):
    """(A, K) log-probability of each slot given those above."""
    table = torch.from_numpy(np.broadcast_to(scores, (len(slates), len(scores))).copy())
    return slot_log_probabilities(table, torch.from_numpy(slates)).numpy()


@pytest.fixture
def bandit():
    """Every slate, its log-probabilities under both policies and its chance of being logged."""
    logged, target = conditional(MU, SLATES), conditional(PI, SLATES)
    return logged, target, np.exp(logged.sum(axis=1)), np.exp(target.sum(axis=1))


def expected(estimate, chance):
    """Over the logging policy, of an estimator that is a mean over samples: each slate weighs by its chance."""
    assert (estimate.denominator == 1).all()
    return float((estimate.numerator * chance[:, None]).sum())


class TestPlackettLuce:
    def test_by_hand(self):
        """Weights 1, 2, 3, 4: the slate (3, 1) has 4/10 · 2/6."""
        scores = torch.log(torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.float64))
        found = slot_log_probabilities(scores, torch.tensor([[3, 1]]))
        np.testing.assert_allclose(found.exp().numpy(), [[0.4, 1 / 3]], rtol=1e-12)

    def test_an_empty_slot_is_certain_and_no_candidate_has_no_chance(self):
        scores = torch.tensor([[0.0, -torch.inf, 1.0]], dtype=torch.float64)
        found = slot_log_probabilities(scores, torch.tensor([[2, 0, -1]])).numpy()
        np.testing.assert_allclose(found, [[1 - np.log1p(np.e), 0.0, 0.0]], atol=1e-12)

    def test_all_slates_together_are_certain(self, bandit):
        assert bandit[2].sum() == pytest.approx(1, abs=1e-12)

    def test_gradient_is_finite_where_every_candidate_is_shown(self):
        scores = torch.tensor([[0.1, 0.2]], requires_grad=True)
        slot_log_probabilities(scores, torch.tensor([[1, 0]])).sum().backward()
        p = float(torch.sigmoid(torch.tensor(0.1)))
        np.testing.assert_allclose(scores.grad.numpy(), [[p - 1, 1 - p]], atol=1e-6)

    def test_draws_have_the_probabilities(self, bandit):
        noise = np.random.default_rng(0).gumbel(size=(60_000, 4))
        drawn = draw_columns(np.broadcast_to(MU, noise.shape), noise, 2)
        share = (drawn[:, None, :] == SLATES).all(axis=2).mean(axis=0)
        np.testing.assert_allclose(share, bandit[2], atol=5 * np.sqrt(0.1 / 60_000))

    def test_too_few_candidates_leave_slots_empty(self):
        scores = np.array([[0.0, -np.inf, 3.0, -np.inf]])
        np.testing.assert_array_equal(draw_columns(scores, np.zeros((1, 4)), 3), [[2, 0, -1]])
        np.testing.assert_array_equal(draw_columns(scores, np.zeros((1, 4)), 6), [[2, 0, -1, -1, -1, -1]])

    @pytest.mark.parametrize("scale", [1.0, 6.0])
    def test_marginals_are_those_of_enumeration(self, scale):
        scores = scale * np.random.default_rng(1).normal(size=6)
        whole = np.array(list(permutations(range(6), 3)))
        chance = np.exp(conditional(scores, whole).sum(axis=1))
        slates = whole[::7]
        found = integrate_marginals(np.broadcast_to(scores, (len(slates), 6)).copy(), slates)
        truth = [[chance[whole[:, k] == row[k]].sum() for k in range(3)] for row in slates]
        np.testing.assert_allclose(found, truth, rtol=2e-6)

    def test_marginals_of_a_long_list_of_equals(self):
        found = integrate_marginals(np.zeros((1, 200)), np.array([[5, 9, 1, 0, 7, 8, 44, 3, 2, -1]]))
        np.testing.assert_allclose(found, [[1 / 200] * 9 + [1.0]], rtol=1e-6)


def policy(scorer, temperature=0.5, **weights):
    return PlackettLuce(make_weighted_score(scorer, weights or {"similarity": 1.0}), scorer.slots, temperature)


class TestPolicy(AgentContract):
    @pytest.fixture
    def subject(self, scorer):
        return policy(scorer)

    @pytest.fixture
    def observation(self, states):
        """Of users whose last six items differ: the contract makes candidates of them, and those are never repeated."""
        differ = [len(set(row[:6])) == 6 for row in states[0]["history_ids"]]
        return self.take_users(states[0], np.array(differ))

    def test_the_best_scored_come_at_a_low_temperature(self, scorer, observation):
        cold, score = policy(scorer, 1e-6, length=1.0), make_weighted_score(scorer, {"length": 1.0})
        fresh = {**observation, "history_ids": np.zeros_like(observation["history_ids"])}
        columns = find_columns(fresh["candidates"], cold.act(fresh))
        np.testing.assert_array_equal(columns, np.argsort(-score(fresh), axis=1, kind="stable")[:, : scorer.slots])

    def test_scores_are_standardised_features(self, scorer, observation):
        features = scorer.features(observation)[:, :, [FEATURES.index("length"), FEATURES.index("rating")]]
        z = (features - features.mean(axis=1, keepdims=True)) / features.std(axis=1, keepdims=True)
        found = make_weighted_score(scorer, {"rating": -0.5, "length": 2.0})(observation)
        np.testing.assert_allclose(found, 2.0 * z[:, :, 0] - 0.5 * z[:, :, 1], atol=1e-3)

    def test_what_was_shown_is_weighed_where_it_is_known(self, scorer, remembering_setting, remembering_states):
        features = remembering_setting.scorer.features(remembering_states[0])[:, :, [0, len(FEATURES)]]
        spread = features.std(axis=1, keepdims=True)
        z = (features - features.mean(axis=1, keepdims=True)) / np.where(spread > 1e-6, spread, np.inf)
        found = make_weighted_score(remembering_setting.scorer, {"similarity": 1.0, "shown": -2.0})(
            remembering_states[0]
        )
        np.testing.assert_allclose(found, z[:, :, 0] - 2.0 * z[:, :, 1], atol=1e-3)
        with pytest.raises(ValueError, match="weights = 'shown' is unknown"):
            make_weighted_score(scorer, {"shown": 1.0})

    def test_propensities_are_those_of_its_own_logits(self, subject, observation):
        del observation["latent"]
        slates = subject.act(observation)
        columns = find_columns(observation["candidates"], slates)
        b, weight = 3, np.exp(subject.logits(observation)[3])
        left, found = weight.sum(), []
        for column in columns[b]:
            found.append(np.log(weight[column] / left))
            left -= weight[column]
        np.testing.assert_allclose(subject.log_propensities(observation, slates)[b], found, rtol=1e-9)

    def test_seeds_draw_other_slates(self, subject, observation):
        other = replace(subject, seed=1)
        assert (subject.act(observation) != other.act(observation)).any(axis=1).mean() > 0.9

    def test_noise_is_gumbel(self, observation):
        noise = np.concatenate([draw_gumbel(observation, observation["candidates"], seed).ravel() for seed in range(4)])
        assert noise.mean() == pytest.approx(np.euler_gamma, abs=0.06)
        assert noise.var() == pytest.approx(np.pi**2 / 6, abs=0.15)

    def test_refusals(self, scorer, observation, subject):
        with pytest.raises(ValueError, match="temperature = 0 must be above 0"):
            policy(scorer, 0)
        with pytest.raises(ValueError, match=r"weights = 'lenght' is unknown \(did you mean 'length'\?\)"):
            make_weighted_score(scorer, {"lenght": 1.0})
        with pytest.raises(ValueError, match=r"weights\['length'\] = nan must be a finite number"):
            make_weighted_score(scorer, {"length": np.nan})
        del observation["latent"]
        slates = subject.act(observation)
        slates[2, 1] = next(n for n in range(1, 301) if n not in observation["candidates"][2])
        with pytest.raises(ValueError, match=rf"slates\[2, 1\] = {slates[2, 1]} is not among the user's candidates"):
            subject.log_propensities(observation, slates)


class TestByHand:
    reward, ratio = np.array([4.0, 0.0, 2.0]), np.array([0.5, 2.0, 1.5])

    def test_ips(self):
        assert estimate_by_weights(self.reward, self.ratio).value == pytest.approx((2 + 0 + 3) / 3)

    def test_snips(self):
        assert estimate_normalised(self.reward, self.ratio).value == pytest.approx(5 / 4)

    def test_effective_sample_size(self):
        assert measure_sample_size(self.ratio) == pytest.approx(16 / (0.25 + 4 + 2.25))
        assert measure_sample_size(np.ones(7)) == pytest.approx(7)
        assert measure_sample_size(np.zeros(3)) == 0

    def test_per_decision(self):
        """Two users, two steps: weights (1/2, 1) and (2, 6)."""
        reward, ratio = np.array([[1.0, 2.0], [3.0, 1.0]]), np.array([[0.5, 2.0], [2.0, 3.0]])
        assert estimate_per_decision(reward, ratio).value == pytest.approx((0.5 + 6) / 2 + (2 + 6) / 2)
        assert estimate_per_decision(reward, ratio, gamma=0.5).value == pytest.approx(3.25 + 0.5 * 4)
        assert estimate_per_decision(reward, ratio, normalised=True).value == pytest.approx(6.5 / 2.5 + 8 / 7)

    def test_independent_slots(self):
        reward, ratio = np.array([[0.0, 3.0], [5.0, 0.0]]), np.array([[9.0, 2.0], [0.4, 7.0]])
        assert estimate_by_slots(reward, ratio).value == pytest.approx((6 + 2) / 2)
        np.testing.assert_allclose(weigh_independent_slots(ratio), [10.0, 6.4])

    def test_doubly_robust(self):
        q, value = np.array([3.0, 1.0, 1.0]), np.array([2.0, 2.0, 1.0])
        assert estimate_doubly_robust(self.reward, self.ratio, q, value).value == pytest.approx((2.5 + 0 + 2.5) / 3)
        assert estimate_by_model(value).value == pytest.approx(5 / 3)

    def test_doubly_robust_steps(self):
        """D_2 = 1 + 2(3 − 2) = 3; D_1 = 4 + 1/2 (1 + γ·3 − 2)."""
        arrays = [np.array([row]) for row in ([1.0, 3.0], [0.5, 2.0], [2.0, 2.0], [4.0, 1.0])]
        assert estimate_doubly_robust_steps(*arrays).value == pytest.approx(5.0)
        assert estimate_doubly_robust_steps(*arrays, gamma=0.0).value == pytest.approx(3.5)

    def test_without_a_model_doubly_robust_is_per_decision(self):
        rng = np.random.default_rng(0)
        reward, ratio, none = rng.random((5, 3)), rng.random((5, 3)), np.zeros((5, 3))
        found = estimate_doubly_robust_steps(reward, ratio, none, none, gamma=0.9).value
        assert found == pytest.approx(estimate_per_decision(reward, ratio, gamma=0.9).value)

    def test_shapes_that_differ_are_refused(self):
        with pytest.raises(ValueError, match=r"\[\(3,\), \(2,\)\] do not belong together"):
            estimate_by_weights(self.reward, self.ratio[:2])


class TestInterval:
    def test_of_a_mean_is_that_of_the_normal_distribution(self):
        values = np.random.default_rng(0).normal(3.0, 2.0, 4000)
        found = estimate_by_weights(values, np.ones(4000)).estimate_interval(2000)
        assert found.mean == pytest.approx(values.mean())
        half = 1.96 * values.std() / np.sqrt(4000)
        assert found.high - found.mean == pytest.approx(half, rel=0.06)
        assert found.mean - found.low == pytest.approx(half, rel=0.06)

    def test_does_not_depend_on_the_blocks(self, monkeypatch):
        estimate = estimate_normalised(np.random.default_rng(0).random(50), np.random.default_rng(1).random(50))
        whole = estimate.estimate_interval(200)
        monkeypatch.setattr("longplay.agents.offline.estimators.LARGEST", 1000)
        assert estimate.estimate_interval(200) == whole

    def test_nothing_weighs_nothing(self):
        assert Estimate(np.zeros((3, 1)), np.zeros((3, 1))).value == 0

    def test_weights_below_one_are_divided_by_too(self):
        numerator, denominator = np.array([[0.1, 0.02], [0.2, 0.04]]), np.array([[0.2, 0.1], [0.3, 0.1]])
        assert Estimate(numerator, denominator).value == pytest.approx(0.3 / 0.5 + 0.06 / 0.2)


class TestByEnumeration:
    """The expectation over the logging policy, exactly, is the value of the target policy."""

    reward = np.random.default_rng(3).normal(size=12)

    def truth(self, bandit, reward=None):
        return float(bandit[3] @ (self.reward if reward is None else reward))

    def test_ips(self, bandit):
        _, _, mu, pi = bandit
        assert expected(estimate_by_weights(self.reward, pi / mu), mu) == pytest.approx(self.truth(bandit), abs=1e-12)

    @pytest.mark.parametrize("seed", [1, 2])
    def test_doubly_robust_with_any_model(self, bandit, seed):
        _, _, mu, pi = bandit
        q = np.random.default_rng(seed).normal(size=12)
        estimate = estimate_doubly_robust(self.reward, pi / mu, q, np.full(12, pi @ q))
        assert expected(estimate, mu) == pytest.approx(self.truth(bandit), abs=1e-12)

    @pytest.mark.parametrize("weight", [0.0, 0.3, 5.0])
    def test_doubly_robust_with_any_weights_and_the_true_model(self, bandit, weight):
        estimate = estimate_doubly_robust(
            self.reward, np.full(12, weight), self.reward, np.full(12, self.truth(bandit))
        )
        assert expected(estimate, bandit[2]) == pytest.approx(self.truth(bandit), abs=1e-12)

    def test_pseudo_inverse_where_slots_add_up(self, bandit):
        _, _, mu, pi = bandit
        parts = np.random.default_rng(5).normal(size=(2, 4))
        reward = parts[0, SLATES[:, 0]] + parts[1, SLATES[:, 1]]
        (_, gamma), (q, _) = compute_slate_moments(SLATES, mu, 4), compute_slate_moments(SLATES, pi, 4)
        weight = weigh_by_pseudo_inverse(q, gamma, SLATES)
        assert expected(estimate_by_weights(reward, weight), mu) == pytest.approx(self.truth(bandit, reward), abs=1e-10)
        # It has less variance than the ratio, and where slots do not add up it is wrong.
        ratio = pi / mu
        assert mu @ weight**2 < mu @ ratio**2
        assert abs(expected(estimate_by_weights(self.reward, weight), mu) - self.truth(bandit)) > 1e-3

    def test_pseudo_inverse_and_a_model_where_the_rest_adds_up(self, bandit):
        _, _, mu, pi = bandit
        parts, q = np.random.default_rng(5).normal(size=(2, 4)), self.reward
        reward = q + parts[0, SLATES[:, 0]] + parts[1, SLATES[:, 1]]
        (_, gamma), (moments, _) = compute_slate_moments(SLATES, mu, 4), compute_slate_moments(SLATES, pi, 4)
        weight = weigh_by_pseudo_inverse(moments, gamma, SLATES)
        estimate = estimate_doubly_robust(reward, weight, q, np.full(12, pi @ q))
        assert expected(estimate, mu) == pytest.approx(self.truth(bandit, reward), abs=1e-10)

    def test_moments_of_drawn_slates_near_the_exact_ones(self, bandit):
        noise = np.random.default_rng(0).gumbel(size=(40_000, 4))
        drawn = draw_columns(np.broadcast_to(MU, noise.shape), noise, 2)
        found = compute_slate_moments(drawn, np.full(40_000, 1 / 40_000), 4)
        for one, other in zip(found, compute_slate_moments(SLATES, bandit[2], 4), strict=True):
            np.testing.assert_allclose(one, other, atol=0.012)

    def test_closed_form_is_the_pseudo_inverse_of_independent_slots(self):
        """Slots that repeat items: 16 slates of two independent draws."""
        whole = np.array([(i, j) for i in range(4) for j in range(4)])
        p, q = np.exp(MU) / np.exp(MU).sum(), np.exp(PI) / np.exp(PI).sum()
        mu, pi = p[whole].prod(axis=1), q[whole].prod(axis=1)
        (_, gamma), (target, _) = compute_slate_moments(whole, mu, 4), compute_slate_moments(whole, pi, 4)
        found = weigh_independent_slots((q / p)[whole])
        np.testing.assert_allclose(found, weigh_by_pseudo_inverse(target, gamma, whole), atol=1e-9)

    def test_independent_slots_where_each_slot_pays_for_itself(self, bandit):
        mu = bandit[2]
        parts = np.random.default_rng(6).random((2, 4))
        reward = np.stack([parts[0, SLATES[:, 0]], parts[1, SLATES[:, 1]]], axis=1)
        table = lambda scores: integrate_marginals(np.broadcast_to(scores, (12, 4)).copy(), SLATES)  # noqa: E731
        estimate = estimate_by_slots(reward, table(PI) / table(MU))
        assert expected(estimate, mu) == pytest.approx(self.truth(bandit, reward.sum(axis=1)), abs=1e-6)

    def test_reward_interaction_where_clicks_cascade(self, bandit):
        """The second slot pays by what stands in the first, the first by itself."""
        logged, target, mu, _ = bandit
        rng = np.random.default_rng(7)
        reward = np.stack([rng.random(4)[SLATES[:, 0]], rng.random((4, 4))[SLATES[:, 0], SLATES[:, 1]]], axis=1)
        estimate = estimate_per_decision(reward, np.exp(target - logged))
        assert expected(estimate, mu) == pytest.approx(self.truth(bandit, reward.sum(axis=1)), abs=1e-12)

    @pytest.mark.parametrize("model", [False, True])
    def test_two_steps(self, model):
        """Two actions, two steps, the second state being the first action: all four lives."""
        mu, pi = np.array([[0.7, 0.3], [0.4, 0.6], [0.2, 0.8]]), np.array([[0.1, 0.9], [0.5, 0.5], [0.9, 0.1]])
        rng = np.random.default_rng(8)
        pays, q = rng.random((3, 2)), rng.random((3, 2)) * model
        lives = [(a, b) for a in (0, 1) for b in (0, 1)]
        at = np.array([[(0, a), (1 + a, b)] for a, b in lives])
        pick = lambda table: table[at[:, :, 0], at[:, :, 1]]  # noqa: E731
        chance, truth = pick(mu).prod(axis=1), float(pick(pi).prod(axis=1) @ pick(pays).sum(axis=1))
        reward, ratio, value = pick(pays), pick(pi) / pick(mu), (pi * q).sum(axis=1)[at[:, :, 0]]
        estimate = (
            estimate_doubly_robust_steps(reward, ratio, pick(q), value)
            if model
            else estimate_per_decision(reward, ratio)
        )
        assert expected(estimate, chance) == pytest.approx(truth, abs=1e-12)


class TestFittedQ:
    def test_finds_what_is_linear(self):
        """r_1 = x + 1/2 and r_2 = 2x, where the target policy always has x = 1 at the second step."""
        features, target = np.random.default_rng(0).normal(size=(2, 40, 2, 1))
        target[:, 1] = 1.0
        reward = features[:, :, 0] * [1.0, 2.0] + [0.5, 0.0]
        q, value = fit_q(features, target, reward, np.ones((40, 2), bool), penalty=1e-9)
        np.testing.assert_allclose(q, features[:, :, 0] * [1.0, 2.0] + [2.5, 0.0], atol=1e-6)
        np.testing.assert_allclose(value, target[:, :, 0] * [1.0, 2.0] + [2.5, 0.0], atol=1e-6)

    def test_nobody_is_asked_of_a_model_that_knows_them(self):
        rng = np.random.default_rng(0)
        features, reward = rng.normal(size=(10, 1, 1)), rng.normal(size=(10, 1))
        alive = np.ones((10, 1), bool)
        before = fit_q(features, features, reward, alive)[0]
        reward[3] += 100.0
        after = fit_q(features, features, reward, alive)[0]
        np.testing.assert_array_equal(before[1::2], after[1::2])
        assert (before[0::2] != after[0::2]).all()

    def test_who_is_gone_is_worth_nothing(self):
        alive = np.array([[True, False], [True, False], [True, True], [True, True]])
        q, value = fit_q(np.ones((4, 2, 1)), np.ones((4, 2, 1)), np.full((4, 2), 3.0) * alive, alive)
        np.testing.assert_allclose(value, [[4.5, 0.0], [4.5, 0.0], [4.5, 3.0], [4.5, 3.0]])
        np.testing.assert_allclose(q, value)


@pytest.fixture(scope="module")
def logger(scorer):
    return policy(scorer, 1.0)


@pytest.fixture(scope="module")
def log(world, item_vectors, logger):
    return log_lives(world, item_vectors, logger, np.arange(160), luck=3, slates=3)


class TestInTheSimulator:
    def test_the_loggers_own_value_is_what_it_earned(self, world, item_vectors, scorer, log, logger):
        evaluation = Evaluation(log, logger, replace(logger, seed=9), scorer, 3)
        earned = play_first_slates(world, item_vectors, logger, np.arange(160), 3, (1, 3)).mean(axis=0)
        for slates, minutes in zip((1, 3), earned, strict=True):
            for name, (estimate, size) in evaluation.estimates(slates).items():
                if "irect" not in name and "oubly" not in name and "DR" not in name:
                    assert estimate.value == pytest.approx(minutes, rel=1e-9), name
                    assert size == pytest.approx(160), name

    def test_a_target_is_estimated_within_its_interval(self, world, item_vectors, scorer, log, logger):
        target = policy(scorer, 1.0, similarity=1.0, length=0.15)
        truth = play_first_slates(world, item_vectors, target, np.arange(160), 4, (1,)).mean()
        found = Evaluation(log, logger, target, scorer, 1).estimates(1)
        assert len(found) == 8
        for name, (estimate, size) in found.items():
            if (
                name != "direct (ridge)"
            ):  # which has no weights, and an interval that knows nothing of the model's error
                assert 80 < size <= 160, name
                interval = estimate.estimate_interval()
                assert interval.low - 0.3 < truth < interval.high + 0.3, name

    def test_the_further_the_fewer_samples(self, scorer, log, logger):
        sizes = []
        for distance in (0.1, 0.3, 1.0):
            target = policy(scorer, 1.0, similarity=1.0, length=distance)
            evaluation = Evaluation(log, logger, target, scorer, 3)
            sizes.append([evaluation.estimates(t)["IPS" if t == 1 else "per-decision IPS"][1] for t in (1, 3)])
        sizes = np.array(sizes)
        assert (np.diff(sizes[:, 0]) < 0).all()
        assert (sizes[:2, 1] < sizes[:2, 0]).all()  # the last are a handful of samples either way

    def test_a_log_without_propensities_is_refused(self, scorer, log, logger):
        with pytest.raises(ValueError, match="the log has no propensities; log with a Plackett–Luce policy"):
            Evaluation(replace(log, log_propensities=None), logger, logger, scorer, 1)

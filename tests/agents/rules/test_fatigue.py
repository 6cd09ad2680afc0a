"""The fatigue-aware rule: its estimate and its ranking, by hand."""

import dataclasses

import numpy as np
import pytest

from longplay.agents.rules.fatigue import FatigueAware
from longplay.agents.rules.ranking import score_by_similarity, standardise_scores
from longplay.tests.agents.contracts import AgentContract
from longplay.tests.agents.rules.rankings import SLOTS, greedy, usable


@pytest.fixture
def observation(states):
    return states[0]


@pytest.fixture
def visible(observation):
    return {key: value for key, value in observation.items() if key != "latent"}


@pytest.fixture
def subject(scorer):
    return FatigueAware(scorer, score_by_similarity(scorer), tau=0.25, alpha=0.8, variety=0.4)


class TestFatigueAwareContract(AgentContract):
    @pytest.fixture
    def subject(self, scorer):
        return FatigueAware(scorer, score_by_similarity(scorer), tau=0.25, alpha=0.8, variety=0.4)


class TestSatiation:
    def test_two_items_of_known_age_by_hand(self, scorer, visible, subject):
        """Item 5 half a day ago and item 9 now: Φ̂ = e^(−2)·φ_5 + φ_9 for τ̂ = 1/4."""
        one = {key: value[:1].copy() for key, value in visible.items()}
        for name in ("ids", "age", "completion"):
            one[f"history_{name}"][:] = 0
        one["history_ids"][0, :2] = 9, 5
        one["history_age"][0, :2] = 0.0, 0.5
        estimate = np.exp(-2.0) * scorer.topics[5].astype(float) + scorer.topics[9]
        expected = scorer.topics[one["candidates"][0].astype(int)].astype(float) @ estimate
        np.testing.assert_allclose(subject.estimate_satiation(one)[0], expected, atol=1e-6)
        assert expected.max() > 0.5

    def test_nothing_consumed_tires_of_nothing(self, visible, subject):
        assert not subject.estimate_satiation(visible | {"history_ids": np.zeros_like(visible["history_ids"])}).any()

    def test_it_fades_with_time(self, visible, subject):
        later = visible | {"history_age": visible["history_age"] + 1.0}
        np.testing.assert_allclose(
            subject.estimate_satiation(later), np.exp(-4.0) * subject.estimate_satiation(visible), rtol=1e-4, atol=1e-7
        )


class TestFatigueAware:
    def test_it_is_greedy_on_score_less_satiation(self, scorer, visible, subject):
        alone = dataclasses.replace(subject, variety=0.0)
        scores = standardise_scores(score_by_similarity(scorer)(visible), visible) - 0.8 * subject.estimate_satiation(
            visible
        )
        np.testing.assert_array_equal(alone.act(visible), greedy(visible, scores))

    def test_without_satiation_and_variety_it_is_greedy(self, scorer, visible, subject):
        plain = dataclasses.replace(subject, alpha=0.0, variety=0.0)
        np.testing.assert_array_equal(plain.act(visible), greedy(visible, score_by_similarity(scorer)(visible)))

    def test_variety_takes_points_off_for_each_item_of_the_topic_above(self, scorer, visible, subject):
        slates = subject.act(visible)
        scores = standardise_scores(score_by_similarity(scorer)(visible), visible) - 0.8 * subject.estimate_satiation(
            visible
        )
        free = usable(visible)
        for b, slate in enumerate(slates):
            candidates = visible["candidates"][b].astype(int)
            topics, left = scorer.main_topic[candidates], list(np.flatnonzero(free[b]))
            used = np.zeros(scorer.topics.shape[1])
            for k in range(SLOTS):
                best = max(left, key=lambda m: scores[b, m] - 0.4 * scores[b].std() * used[topics[m]])
                assert slate[k] == candidates[best]
                used[topics[best]] += 1
                left.remove(best)

    def test_scores_are_in_standard_deviations(self, scorer, visible, subject):
        """Minutes or seconds, the ranking is the same; equal scores are all nothing."""
        times = dataclasses.replace(subject, score=lambda o: 60.0 * score_by_similarity(scorer)(o) + 7.0)
        np.testing.assert_array_equal(times.act(visible), subject.act(visible))
        assert not standardise_scores(np.full(visible["candidates"].shape, 0.1, np.float32), visible).any()
        real = standardise_scores(score_by_similarity(scorer)(visible), visible)
        np.testing.assert_allclose(real.std(axis=1), 1.0, atol=1e-5)
        np.testing.assert_allclose(real.mean(axis=1), 0.0, atol=1e-5)

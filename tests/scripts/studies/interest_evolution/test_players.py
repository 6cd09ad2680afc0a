"""Learners on interest evolution: what they are given, and the published order of policies."""

from itertools import pairwise

import numpy as np
import pytest

from longplay.agents.learners.slateq.agent import SlateQOptions
from longplay.agents.learners.slateq.learner import SlateQ
from longplay.envs.literature.interest_evolution import InterestEvolutionVectorEnv
from longplay.scripts.studies.interest_evolution.players import (
    EvolutionPlayers,
    choose_most_interesting,
    choose_random,
    play_sessions,
)


@pytest.fixture
def players():
    return EvolutionPlayers(64, seed=0)


def test_inputs_are_what_is_seen(players):
    observation, _ = InterestEvolutionVectorEnv(5).reset(seed=3)
    found = players.inputs(observation)
    assert found.items.shape == (5, 10, players.inputs.item_width) == (5, 10, 22)
    np.testing.assert_array_equal(found.items[:, :, :21], observation["candidates"])
    assert not found.items[:, :, 21].any()
    np.testing.assert_array_equal(found.state, observation["interest"])
    np.testing.assert_array_equal(found.ids, observation["candidates"][:, :, :20].argmax(axis=2) + 1)


def test_sessions_end_and_are_counted(players):
    total, ends = np.zeros(64), 0
    for _ in range(160):
        outcome = players.step(choose_random({"interest": players.now.state}))
        total += outcome.reward / 0.1
        ends += len(outcome.ended)
        assert not outcome.truncated.any()
        assert (outcome.terminated == np.isin(np.arange(64), outcome.ended)).all()
        assert (outcome.discounts(0.9, by_time=False)[outcome.ended] == 0.0).all()
        assert outcome.last is None or outcome.last.state.shape == (len(outcome.ended), 20)
    assert ends > 64
    assert sum(players.finished[-100:]) > 0
    assert 130 < np.mean(players.finished) < 190  # 159 by the paper
    assert (players.minutes >= 0).all()
    assert total.sum() == pytest.approx(players.minutes.sum() + 159 * ends, rel=0.1)


def test_seeds_meet_other_users():
    first, second, again = (EvolutionPlayers(4, seed).now.state for seed in (0, 1, 0))
    assert not (first == second).any()
    np.testing.assert_array_equal(first, again)
    test_users, _ = InterestEvolutionVectorEnv(4).reset(seed=0)
    assert not (first == test_users["interest"]).any()


def test_random_then_myopic_then_slateq_as_published():
    """Ie et al. (2019): 159.2, 166.3 and 174.6 minutes."""
    players = EvolutionPlayers(256, seed=0)
    options = SlateQOptions(repeats=True)
    learner = SlateQ(players, options, 0.95, 0, vectors=players.env.vectors, slots=3, name="SlateQ")
    while learner.steps < 25_000:
        learner.iterate()
    learned = play_sessions(lambda observation: learner.agent.choose(players.inputs(observation)), 400)
    lived = [play_sessions(choose_random, 400), play_sessions(choose_most_interesting, 400), learned]
    for less, more in pairwise(lived):
        gain = more - less
        assert gain.mean() > 2 * gain.std() / np.sqrt(len(gain))

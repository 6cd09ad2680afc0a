"""The search for what a choice changes later: nothing until it begins, then more minutes where looking ahead pays."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from longplay.agents.learners.slateq.agent import SlateQOptions
from longplay.agents.learners.slateq.learner import SlateQ
from longplay.agents.learners.slateq.lookahead_search import LookaheadSearch
from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.training_users import TrainingUsers
from longplay.agents.runs.reading import Reading
from longplay.agents.slates.inputs import SlateInputs
from longplay.envs.users.world import build_world
from longplay.tests.agents.references.test_linear import STRONG
from longplay.tests.agents.small import copied, make_setting, same_weights
from longplay.tests.envs.worlds import make_catalog, small

OPTIONS = SlateQOptions(
    hidden=16,
    match=2,
    segment=8,
    batch=256,
    anneal=3000,
    later="search",
    search_after=8000,
    search_rounds=4,
    search_users=40,
    search_population=16,
    search_spread=0.1,
)


@pytest.fixture(scope="module")
def strong():
    """Trust decides who stays, and what critics think of an item makes trust: it shows, and is not what pays now."""
    known = {"items.substance_noise": 0.1, "taste.text_share": 0.9}
    return make_setting(build_world(make_catalog(), small().with_overrides({**STRONG, **known})))


@pytest.fixture(scope="module")
def begin(strong):
    """A learner that knows nothing; a call begins anew."""

    def make(gamma=1.0, seed=0, **changes):
        env = strong.vector_env(64, "items", split="train", autoreset_mode=AutoresetMode.SAME_STEP)
        inputs = SlateInputs(strong.scorer, Reading(strong, "pooled").state_encoder)
        options = replace(OPTIONS, **changes)
        vectors = strong.scorer.vectors
        players = TrainingUsers(env, inputs, 0.1, seed)
        return SlateQ(players, options, gamma, seed, vectors=vectors, slots=10, name="SlateQ")

    return make


def until(learner, steps):
    while learner.steps < steps:
        learner.iterate()
    return learner


def test_until_the_search_begins_it_is_its_own_twin(begin):
    ahead, twin, plain = begin(), begin(gamma=0.0), begin(gamma=0.0, later="regression")
    for learner in (ahead, twin, plain):
        until(learner, 4000)
    for other in (twin, plain):
        for one, same in zip(ahead.online.parameters(), other.online.parameters(), strict=True):
            assert torch.equal(one, same)
    observation = ahead.players.observation
    np.testing.assert_array_equal(ahead.agent.act(observation), twin.agent.act(observation))
    assert not ahead.agent.network.later.any()


def test_it_ends_after_its_rounds_whatever_they_take_and_then_learns_on(begin):
    learner = until(begin(search_after=2000, search_rounds=2, search_users=4, search_population=8), 2000)
    for done in (0, 1):
        assert learner.search.search.done == done
        assert learner.unfinished
        learner.iterate()
    assert not learner.unfinished
    weights = learner.agent.network.later.clone()
    assert "choice_loss" in learner.iterate()
    assert torch.equal(learner.agent.network.later, weights)


def test_without_a_search_nothing_is_left_unfinished(begin):
    assert not begin(later="regression").unfinished


def test_the_twin_searches_for_what_a_slate_pays(begin):
    changes = {"search_after": 2000, "search_users": 4, "search_population": 8}
    ahead, twin = (until(begin(gamma=gamma, **changes), 2000) for gamma in (1.0, 0.0))
    logs = ahead.iterate(), twin.iterate()
    assert logs[0]["trial_value"] > 5 * logs[1]["trial_value"] > 0  # of a month, and of a slate
    assert twin.agent.network.later.any()


def test_looking_ahead_pays_where_trust_decides(begin, strong):
    learner = until(begin(), OPTIONS.search_after)
    evaluator = Evaluator(strong.world, strong.item_vectors, held_out_users(strong.world, "train", 300), 9)
    now = evaluator.play(learner.agent)["minutes"]
    logs = [learner.iterate() for _ in range(OPTIONS.search_rounds)]
    assert all(log["best_trial"] >= log["trial_value"] for log in logs)
    paired = evaluator.play(learner.agent)["minutes"] - now
    assert paired.mean() > 2 * paired.std() / np.sqrt(len(paired))
    rating = 1 + learner.agent.inputs.item_features.index("rating")
    assert learner.agent.network.later[rating] > 0.0


def test_its_slates_count(begin):
    learner = until(begin(search_after=2000, search_users=4, search_population=8), 2000)
    before = learner.steps
    learner.iterate()
    assert learner.steps - before >= 4 * 8


def test_it_resumes_to_the_bit(begin):
    learner = until(begin(search_after=2000, search_users=4, search_population=8), 2000)
    learner.iterate()
    content = copied(learner.capture())
    other = begin(seed=0, search_after=2000, search_users=4, search_population=8)
    other.restore(content)
    for _ in range(2):
        assert learner.iterate() == other.iterate()
    assert other.steps == learner.steps
    same_weights(learner, other)
    assert torch.equal(learner.agent.network.later, other.agent.network.later)


def test_seeds_play_other_users_with_other_luck(begin, monkeypatch):
    met = []

    def play(self, number, act):
        met.append((self.seed, number))
        return np.zeros(self.count), 1

    monkeypatch.setattr("longplay.agents.playing.trials.LifeTrials.play", play)
    learner = begin()
    for seed in (0, 1):
        search = LookaheadSearch(learner.agent, learner.players.env, OPTIONS, 1.0, seed)
        for _ in range(3):
            search.play_round()
    assert met == [(seed, number) for seed in (0, 1) for number in range(3)]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"later": "search!"}, r"later = 'search!' is unknown \(did you mean 'search'\?\)"),
        ({"search_users": 0}, "search_users = 0 is out of range"),
        ({"search_population": 4}, "search_population = 4 is out of range; allowed: 8"),
        ({"search_spread": 0.0}, "search_spread = 0.0 is out of range"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes, text):
    with pytest.raises(ValueError, match=text):
        replace(OPTIONS, **changes)

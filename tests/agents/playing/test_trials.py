"""Trials of a search: the same users with the same luck for all, other ones in each round."""

import numpy as np
import pytest

from longplay.agents.playing import trials as lives
from longplay.agents.playing.trials import LifeTrials
from longplay.agents.rules.similarity import GreedySimilarity
from longplay.agents.rules.simple import RandomCandidates

COUNT, USERS = 3, 5


@pytest.fixture(scope="module")
def env(setting):
    return setting.vector_env(4, "items", split="train")


@pytest.fixture(scope="module")
def greedy(setting):
    return GreedySimilarity(setting.scorer)


@pytest.fixture(scope="module")
def random(setting):
    return RandomCandidates(setting.scorer)


def trials(env, gamma=1.0, seed=0, users=USERS):
    return LifeTrials(env, COUNT, users, gamma, seed)


class TestTrials:
    @pytest.fixture
    def act(self, greedy, random):
        """The second trial is another policy than the others."""

        def show(seen, which):
            second = np.flatnonzero(which) // USERS == 1
            return np.where(second[:, None], random.act(seen), greedy.act(seen))

        return show

    @pytest.mark.parametrize("gamma", [1.0, 0.0])
    def test_trials_that_show_the_same_are_worth_the_same(self, env, act, gamma):
        values, slates = trials(env, gamma).play(0, act)
        assert values[0] == values[2] != values[1]
        assert slates > COUNT * USERS

    def test_months_are_those_of_lives_alone(self, env, setting, act, greedy):
        play = trials(env)
        values, _ = play.play(3, act)
        people = np.random.default_rng((0, 3)).choice(setting.world.split("train"), USERS, replace=False)
        alone = lives.make_life_env(setting.world, setting.item_vectors, USERS)
        minutes = lives.sum_life_minutes(alone, people, lives.TRIAL_LUCK + 3, lambda seen, which: greedy.act(seen))
        np.testing.assert_allclose(values[0], minutes.mean())

    def test_without_a_future_all_answer_the_states_of_the_first(self, env, act, greedy):
        seen = []

        def watch(observation, which):
            seen.append([observation["candidates"][np.flatnonzero(which) // USERS == trial] for trial in range(COUNT)])
            return act(observation, which)

        month, _ = trials(env).play(0, act)
        slate, shown = trials(env, 0.0).play(0, watch)
        for states in seen:
            np.testing.assert_array_equal(states[0], states[1])
            np.testing.assert_array_equal(states[0], states[2])
        # The first trial's slates are those of its month, so their minutes are, too.
        np.testing.assert_allclose(slate[0] * shown / COUNT / USERS, month[0])

    def test_rounds_and_seeds_play_other_training_users_with_other_luck(self, env, setting, monkeypatch):
        met = []

        def lived(env, users, luck, act):
            met.append((tuple(users), luck))
            act({}, np.ones(len(users), bool))
            return np.zeros(len(users))

        monkeypatch.setattr(lives, "sum_life_minutes", lived)
        for seed in (0, 1):
            for number in (0, 1):
                trials(env, seed=seed).play(number, lambda seen, which: np.zeros(0, np.int64))
        assert len({users for users, _ in met}) == len({luck for _, luck in met}) == 4
        for users, _ in met:
            one = np.reshape(users, (COUNT, USERS))
            assert (one == one[0]).all()
            assert set(users) <= set(setting.world.split("train"))

    def test_more_users_than_there_are_meet_some_twice(self, env, setting, greedy):
        many = len(setting.world.split("train")) + 1
        values, _ = LifeTrials(env, 1, many, 1.0, 0).play(0, lambda seen, which: greedy.act(seen))
        assert np.isfinite(values).all()

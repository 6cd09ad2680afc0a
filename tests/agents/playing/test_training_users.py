"""What came of slates: discounts by hand, and the last slate of a life, whose user is no longer there."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from longplay.agents.playing.luck import training_luck
from longplay.agents.playing.training_users import MOST_DAYS, SlateOutcome, TrainingUsers
from longplay.agents.slates.inputs import Inputs
from longplay.envs.engine import ContextColumn
from longplay.envs.make import make_world
from longplay.tests.agents.worlds_small import tiny_env
from longplay.tests.assertions import assert_same

# In a session; after it, two and a half days later; churned; at the horizon.
LEFT, DAYS = np.array([False, True, True, True]), np.array([0.01, 2.5, 0.0, 0.0], np.float32)
CHURNED, CUT = np.array([False, False, True, False]), np.array([False, False, False, True])


@pytest.fixture
def outcome():
    nothing = np.zeros(4, np.float32)
    return SlateOutcome(np.zeros(4, np.int64), nothing, CHURNED, CUT, LEFT, DAYS, np.array([2, 3]), None)


class TestDiscounts:
    def test_for_each_slate(self, outcome):
        np.testing.assert_allclose(outcome.discounts(0.9, False), [0.9, 0.9, 0.0, 0.9], rtol=1e-6)

    def test_for_each_day_away_and_none_within_a_session(self, outcome):
        np.testing.assert_allclose(outcome.discounts(0.9, True), [1.0, 0.9**2.5, 0.0, 1.0], rtol=1e-6)

    @pytest.mark.parametrize("by_time", [False, True])
    def test_without_a_future_nothing_counts(self, outcome, by_time):
        assert outcome.discounts(0.0, by_time).tolist() == [0.0] * 4

    @pytest.mark.parametrize("by_time", [False, True])
    def test_undiscounted_only_churn_ends_it(self, outcome, by_time):
        assert outcome.discounts(1.0, by_time).tolist() == [1.0, 1.0, 0.0, 1.0]


def look(observation):
    """The day, and item numbers as features."""
    ids = observation["candidates"].astype(np.int64)
    return Inputs(observation["context"][:, ContextColumn.DAY, None], ids[:, :, None].astype(np.float32), ids)


class Scripted:
    """Two users, two steps by hand: user 1 leaves, and its life ends; then nothing happens, and nobody ends."""

    num_envs = 2

    def __init__(self):
        self.shown = []

    def at(self, *days):
        context = np.zeros((2, 8), np.float32)
        context[:, ContextColumn.DAY] = days
        return {"context": context, "candidates": np.array([[4, 5, 6], [7, 8, 0]], np.float32)}

    def reset(self, seed):
        return self.at(1.0, 20.0), {}

    def step(self, slates):
        self.shown.append(slates.tolist())
        if len(self.shown) > 1:
            info = {"choice": np.array([1, 0]), "left": np.array([True, False])}
            return self.at(5000.0, 0.25), np.array([3.0, 7.0]), np.zeros(2, bool), np.zeros(2, bool), info
        last = {"context": np.full(8, 29.0, np.float32), "candidates": np.array([9, 0, 0], np.float32)}
        info = {
            "choice": np.array([-1, 5]),  # of user 1: the new life's, which is nobody's choice
            "left": np.array([False, False]),
            "final_obs": np.array([None, last], object),
            "_final_obs": np.array([False, True]),
            "final_info": {
                "choice": np.array([0, 1]),
                "left": np.array([False, True]),
                "day": np.array([0.0, 29.5]),
            },
            "_final_info": np.array([False, True]),
        }
        churned = np.array([False, True])
        return self.at(1.5, 0.0), np.array([0.0, 40.0]), churned, np.zeros(2, bool), info


class TestPlayers:
    @pytest.fixture
    def players(self):
        return TrainingUsers(Scripted(), look, 0.1, seed=0)

    def test_columns_become_items_and_minus_one_an_empty_slot(self, players):
        players.step(np.array([[2, 0], [1, -1]]))
        assert players.env.shown == [[[6, 4], [8, 0]]]

    def test_the_last_slate_of_a_life_is_told_by_its_final_info(self, players):
        found = players.step(np.array([[0, 1], [0, 1]]))
        assert found.choice.tolist() == [-1, 1]
        assert found.left.tolist() == [False, True]
        np.testing.assert_allclose(found.days, [0.5, 9.5])
        np.testing.assert_allclose(found.reward, [0.0, 4.0])
        assert found.reward.dtype == found.days.dtype == np.float32
        assert found.terminated.tolist() == [False, True]
        assert found.ended.tolist() == [1]
        assert found.last.state.tolist() == [[29.0]]
        assert found.last.ids.tolist() == [[9, 0, 0]]
        assert players.now.state.tolist() == [[1.5], [0.0]]

    def test_without_an_end_there_is_no_last(self, players):
        players.step(np.zeros((2, 1), np.int64))
        found = players.step(np.zeros((2, 1), np.int64))
        assert found.last is None
        assert found.choice.tolist() == [1, 0]
        assert found.days.tolist() == [MOST_DAYS, 0.25]

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            (np.zeros((1, 2), np.int64), r"\(users, slots\) = \(2, K\), got int64 \(1, 2\)"),
            (np.zeros(2, np.int64), r"got int64 \(2,\)"),
            (np.zeros((2, 2)), r"got float64 \(2, 2\)"),
            (np.array([[0, 1], [0, 3]]), "column 3 is out of range; allowed: 0 to 2"),
            (np.array([[0, -2], [0, 1]]), "column -2 is out of range"),
        ],
    )
    def test_columns_that_would_be_spread_or_cut_are_refused(self, players, columns, message):
        with pytest.raises(ValueError, match=message):
            players.step(columns)

    def test_minutes_of_lives_that_ended_are_kept(self, players):
        players.minutes[:] = [2.0, 10.0]
        players.step(np.zeros((2, 1), np.int64))
        players.step(np.zeros((2, 1), np.int64))
        assert players.finished == [50.0]
        assert players.minutes.tolist() == [5.0, 7.0]


@pytest.fixture(scope="module")
def tiny():
    return make_world("tiny")


class TestTrueLives:
    def begin(self, tiny, seed=0):
        return TrainingUsers(tiny_env(tiny, 6, AutoresetMode.SAME_STEP), look, 0.1, seed)

    def slates(self, tiny, step):
        return np.random.default_rng(step).permuted(np.tile(np.arange(2), (6, 1)), axis=1)[
            :, : tiny.scenario.shape.slate
        ]

    def test_every_life_ends_once_and_what_it_earned_is_its_rewards(self, tiny):
        players, earned, ended = self.begin(tiny), np.zeros(6), []
        for step in range(40):
            found = players.step(self.slates(tiny, step))
            earned += found.reward
            assert not (found.terminated & found.truncated).any()
            assert found.ended.tolist() == np.flatnonzero(found.terminated | found.truncated).tolist()
            assert found.left[found.terminated].all()  # at the horizon one may be in a session still
            ended += (10 * earned[found.ended]).tolist()
            earned[found.ended] = 0.0
        assert len(ended) > 3
        np.testing.assert_allclose(players.finished, ended[-100:], rtol=1e-5)

    def test_it_goes_on_from_its_state(self, tiny):
        players, other = self.begin(tiny), self.begin(tiny, seed=50)
        for step in range(5):
            players.step(self.slates(tiny, step))
        other.load_state({key: np.array(value) for key, value in players.save_state().items()})
        assert_same(vars(other.now), vars(players.now))
        for step in range(5, 20):
            assert_same(vars_of(other.step(self.slates(tiny, step))), vars_of(players.step(self.slates(tiny, step))))
        assert other.finished == players.finished


def vars_of(outcome):
    return vars(outcome) | {"last": None if outcome.last is None else vars(outcome.last)}


def test_no_two_training_seeds_meet_the_same_lives():
    """Lucks next to each other would: slot i of one seed would be slot i − 1 of the next."""
    most = 10**6  # slots
    assert all(training_luck(seed + 1) - training_luck(seed) > most for seed in (0, 1, 2**31 - 2))
    assert training_luck(2**31) + most < 2**63

"""The users of SlateQ: each equation by hand, the luck of choices, and the published order of policies."""

import doctest
import math
from itertools import combinations

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from scipy.stats import chisquare

from longplay.envs.literature import interest_evolution
from longplay.envs.literature.interest_evolution import (
    Constants,
    InterestEvolutionVectorEnv,
    compute_choice_probabilities,
    nudge_interest,
)
from longplay.tests.assertions import assert_same

players = pytest.importorskip("longplay.scripts.studies.interest_evolution.players")
choose_best_quality, choose_most_interesting = players.choose_best_quality, players.choose_most_interesting
choose_random, choose_thrifty, play_sessions = players.choose_random, players.choose_thrifty, players.play_sessions

SESSIONS = 1500
POLICIES = {
    "random": choose_random,
    "myopic": choose_most_interesting,
    "quality": choose_best_quality,
    "thrifty": choose_thrifty,
}


def started(num_envs, seed=0, **constants):
    env = InterestEvolutionVectorEnv(num_envs, Constants(**constants))
    return env, env.reset(seed=seed)[0]


def slates(env, rng):
    return rng.integers(-1, env.constants.candidates, (env.num_envs, env.constants.slots))


def play(env, steps, rng):
    return [env.step(slates(env, rng)) for _ in range(steps)]


@pytest.fixture(scope="module")
def minutes():
    return {name: play_sessions(policy, SESSIONS, seed=0) for name, policy in POLICIES.items()}


# --- equations -----------------------------------------------------------------------------------------------------


def test_topics_means_are_spread_evenly():
    means = Constants().means
    assert means.shape == (20,)
    np.testing.assert_allclose(means[[0, 1, 13, 14, 15, 19]], [-3, -3 + 3 / 13, 0, 0, 0.6, 3])
    assert math.isclose(means.mean(), 0.7 * -1.5 + 0.3 * 1.5)


def test_choice_by_hand():
    interest = np.log([[1.0, 2.0, 0.5]])
    total = 3.5 + math.e
    np.testing.assert_allclose(
        compute_choice_probabilities(interest, 1.0), [[1 / total, 2 / total, 0.5 / total, math.e / total]]
    )
    shown = np.array([[True, False, True]])
    np.testing.assert_allclose(compute_choice_probabilities(interest, 0.0, shown), [[1 / 2.5, 0, 0.5 / 2.5, 1 / 2.5]])


@pytest.mark.parametrize(
    ("interest", "luck", "step", "expected"),
    [
        (0.5, 0.7499, 0.3, 0.575),  # rises with probability 3/4, by 0.3 · 0.5 · 0.5
        (0.5, 0.75, 0.3, 0.425),
        (-0.5, 0.2499, 0.3, -0.275),  # rises with probability 1/4, by 0.3 · 0.5 · 1.5
        (-0.5, 0.25, 0.3, -0.725),
        (0.0, 0.0, 0.3, 0.3),
        (1.0, 0.0, 0.3, 1.0),  # what is entrenched stays
        (-1.0, 0.0, 0.3, -1.0),
        (-0.5, 0.9, 1.0, -1.0),  # would fall by 0.75
    ],
)
def test_nudge_by_hand(interest, luck, step, expected):
    np.testing.assert_allclose(nudge_interest(np.array([interest]), np.array([luck]), step), [expected])


def test_budgets_by_hand():
    """Topics of quality −3, 0 and 3: a document takes 4 · (1 + 2.7/3.4), 4 and 4 · (1 − 2.7/3.4), a skip 0.5."""
    env, _ = started(400, poor_topics=1, good_topics=2, spread=0.0)
    cost = {-3.0: 4 + 10.8 / 3.4, 0.0: 4.0, 3.0: 4 - 10.8 / 3.4}
    rng, met = np.random.default_rng(0), set()
    for _ in range(10):
        before = env.budget.copy()
        _, minutes, terminated, _, info = env.step(slates(env, rng))
        assert not terminated.any()
        for i in range(env.num_envs):
            clicked, quality = info["choice"][i] >= 0, info["quality"][i]
            met.add((bool(clicked), float(quality)))
            assert minutes[i] == (4.0 if clicked else 0.0)
            assert math.isclose(before[i] - env.budget[i], cost[quality] if clicked else 0.5, abs_tol=1e-9)
    assert met == {(True, -3.0), (True, 0.0), (True, 3.0), (False, 0.0)}


def test_satisfaction_may_be_of_interest():
    env, observation = started(300, quality_weight=0.25)
    before = env.budget.copy()
    *_, info = env.step(choose_most_interesting(observation))
    clicked = info["choice"] >= 0
    column = np.take_along_axis(choose_most_interesting(observation), np.maximum(info["choice"], 0)[:, None], axis=1)[
        :, 0
    ]
    chosen = observation["candidates"][np.arange(300), column]
    interest = (chosen[:, :-1] * observation["interest"]).sum(axis=1)
    satisfaction = 0.75 * interest + 0.25 * chosen[:, -1]
    expected = np.where(clicked, 4 - 0.9 / 3.4 * 4 * satisfaction, 0.5)
    np.testing.assert_allclose(before - env.budget, expected, atol=1e-5)
    assert 0 < clicked.sum() < 300


def test_last_document_is_cut_where_the_budget_ends():
    env, observation = started(200)
    env.budget[:] = 1.0
    _, minutes, terminated, truncated, info = env.step(choose_most_interesting(observation))
    clicked = info["choice"] >= 0
    np.testing.assert_array_equal(minutes, np.where(clicked, 1.0, 0.0))
    # A satisfying document gives some of its minute back, and a skip takes half of it.
    np.testing.assert_array_equal(terminated, clicked & (info["quality"] <= 0))
    assert 0 < terminated.sum() < clicked.sum() < 200
    assert not truncated.any()


def test_only_the_topic_consumed_moves():
    env, observation = started(500)
    before = env.interest.copy()
    after, _, _, _, info = env.step(choose_random(observation))
    clicked = info["choice"] >= 0
    np.testing.assert_array_equal(after["response"][~clicked], 0)
    np.testing.assert_array_equal(after["response"][:, :-1].sum(axis=1), clicked)
    topic = after["response"][:, :-1].argmax(axis=1)
    moved = env.interest - before
    at = before[np.arange(500), topic]
    expected = np.where(clicked, 0.3 * (1 - np.abs(at)) * (1 - at), 0.0)
    np.testing.assert_allclose(np.abs(moved[np.arange(500), topic]), expected, atol=1e-12)
    moved[np.arange(500), topic] = 0
    assert not moved.any()
    shown = observation["candidates"][np.arange(500), np.maximum(info["choice"], 0)]
    np.testing.assert_array_equal(after["response"][clicked], shown[clicked])
    np.testing.assert_array_equal(after["interest"], env.interest.astype(np.float32))


# --- luck ----------------------------------------------------------------------------------------------------------


def test_choices_are_as_frequent_as_they_are_probable():
    env, observation = started(20_000, poor_topics=1, good_topics=1, candidates=3, slots=2)
    env.interest[:] = (0.8, -0.6)
    topics = observation["candidates"][:, [2, 0], :-1].argmax(axis=2)
    *_, info = env.step(np.tile([2, 0], (20_000, 1)))
    outcome = np.where(info["choice"] < 0, 2, info["choice"])
    for pattern in ((0, 0), (0, 1), (1, 0), (1, 1)):
        which = (topics == pattern).all(axis=1)
        expected = compute_choice_probabilities(np.array([[(0.8, -0.6)[t] for t in pattern]]), 1.0)[0]
        assert chisquare(np.bincount(outcome[which], minlength=3), expected * which.sum()).pvalue > 1e-3


def test_interests_rise_as_often_as_they_should():
    env, observation = started(20_000)
    env.interest[:] = 0.4
    *_, info = env.step(choose_random(observation))
    clicked = info["choice"] >= 0
    rose = (env.interest > 0.4).any(axis=1)[clicked]
    assert chisquare([rose.sum(), (~rose).sum()], np.array([0.7, 0.3]) * clicked.sum()).pvalue > 1e-3


def test_users_and_documents_are_distributed_as_said():
    env, observation = started(4000)
    interest, topics = observation["interest"], observation["candidates"][..., :-1].argmax(axis=2)
    assert chisquare(np.bincount(topics.ravel(), minlength=20)).pvalue > 1e-3
    assert chisquare(np.histogram(interest, bins=20, range=(-1, 1))[0]).pvalue > 1e-3
    noise = observation["candidates"][..., -1] - env.constants.means[topics]
    assert abs(noise.mean()) < 0.002
    assert abs(noise.std() - 0.1) < 0.002


def test_empty_slots_and_second_copies_are_never_chosen():
    env, _ = started(3000)
    *_, info = env.step(np.tile([4, 4, -1], (3000, 1)))
    assert set(info["choice"]) == {-1, 0}
    env.step(np.full((3000, 3), -1))
    *_, info = env.step(np.full((3000, 3), -1))
    assert (info["choice"] == -1).all()


# --- the Gymnasium face --------------------------------------------------------------------------------------------


def test_equal_seeds_give_equal_bits_and_others_do_not():
    traces = []
    for seed in (1, 1, 2):
        env, observation = started(4, seed)
        traces.append([observation, *play(env, 150, np.random.default_rng(0))])
    assert_same(traces[0], traces[1])
    assert (traces[0][0]["interest"] != traces[2][0]["interest"]).any()


def test_slot_i_lives_as_slot_0_of_seed_plus_i():
    batch, _ = started(6, seed=10)
    actions = [slates(batch, np.random.default_rng(k)) for k in range(150)]
    expected = [batch.step(action) for action in actions]
    assert sum(step[2][5] for step in expected) > 0
    one, _ = started(1, seed=15)
    for action, whole in zip(actions, expected, strict=True):
        found = one.step(action[5:])
        for key in whole[0]:
            np.testing.assert_array_equal(found[0][key][0], whole[0][key][5])
        assert [x[0] for x in found[1:4]] == [x[5] for x in whole[1:4]]


def test_candidates_do_not_depend_on_slates():
    one, other = started(5)[0], started(5)[0]
    for _ in range(20):
        found, expected = one.step(np.full((5, 3), -1))[0], other.step(np.tile([0, 1, 2], (5, 1)))[0]
        np.testing.assert_array_equal(found["candidates"], expected["candidates"])
    assert (found["interest"] != expected["interest"]).any()


def test_without_a_seed_each_slot_goes_on_to_its_next_session():
    env, first = started(3, seed=4)
    second, _ = env.reset()
    assert (first["interest"] != second["interest"]).all()
    other, _ = started(3, seed=4)
    while not (step := other.step(np.full((3, 3), -1)))[2].any():
        pass
    assert step[2].all()  # 400 skips
    assert_same(step[0], second)
    third, _ = env.reset(seed=[None, 5, None])
    assert_same(third["interest"][1], first["interest"][1])
    assert (third["interest"][[0, 2]] != first["interest"][[0, 2]]).any(axis=1).all()
    assert_same(env.reset(seed=[4, 5, 6])[0], first)


def test_sessions_end_and_begin_in_one_step():
    env, observation = started(50)
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert observation in env.observation_space
    rng, ends = np.random.default_rng(0), 0
    for _ in range(150):
        action = slates(env, rng)
        assert action in env.action_space
        observation, minutes, terminated, truncated, info = env.step(action)
        assert observation in env.observation_space
        assert minutes.dtype == np.float64
        assert terminated.dtype == truncated.dtype == bool
        assert ("final_obs" in info) == terminated.any()
        assert (env.budget[terminated] == 200).all()
        assert (env.budget > 0).all()
        assert not observation["response"][terminated].any()
        for i in np.flatnonzero(terminated):
            last = info["final_obs"][i]
            assert last in env.single_observation_space
            assert last["response"][:-1].any() == (info["choice"][i] >= 0)
            assert (last["interest"] != observation["interest"][i]).any()
        ends += terminated.sum()
    assert ends > 50


def test_gymnasium_counts_the_same_minutes():
    env = RecordEpisodeStatistics(InterestEvolutionVectorEnv(20))
    observation, _ = env.reset(seed=3)
    returns = np.full(20, np.nan)
    while np.isnan(returns).any():
        observation, _, terminated, _, info = env.step(choose_most_interesting(observation))
        fresh = terminated & np.isnan(returns)
        returns[fresh] = info["episode"]["r"][fresh] if fresh.any() else []
    np.testing.assert_allclose(returns, play_sessions(choose_most_interesting, 20, seed=3), rtol=1e-5)


def test_inputs_of_slate_networks():
    env, observation = started(7)
    inputs = env.inputs(observation)
    assert inputs.state.shape == (7, 20)
    assert inputs.items.shape == (7, 10, 21)
    assert [array.dtype for array in inputs] == [np.float32, np.float32, np.int64]
    assert env.vectors.dtype == np.float32
    assert not env.vectors[0].any()
    np.testing.assert_array_equal(env.vectors[inputs.ids], inputs.items[..., :-1])


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"slots": 11}, "slots = 11 exceeds candidates = 10"),
        ({"slots": 2.0}, "slots = 2.0 must be a whole number"),
        ({"candidates": 0}, "candidates = 0 is out of range; allowed: 1 to"),
        ({"budget": float("nan")}, "budget = nan is out of range"),
        ({"quality_weight": 1.5}, "quality_weight = 1.5 is out of range; allowed: 0 to 1"),
        ({"bonus": 0.3}, "bonus = 0.3 may give back 1.02 of a document's time"),
        ({"step": "0.3"}, "step = '0.3' must be a number"),
    ],
)
def test_settings_without_sense_are_refused(constants, message):
    with pytest.raises(ValueError, match=message):
        Constants(**constants)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([[0, 1]], r"shape \(1, 2\), expected \(users, slots\) = \(1, 3\)"),
        ([[0, 1, 10]], "column 10 in a slate is out of range; allowed: −1"),
        ([[0, 1, -2]], "column -2 in a slate"),
        ([[0.0, 1.0, 2.0]], "dtype float64; give whole numbers"),
    ],
)
def test_slates_without_sense_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        started(1)[0].step(np.array(wrong))


def test_other_mistakes_are_refused():
    with pytest.raises(ValueError, match="num_envs = 0"):
        InterestEvolutionVectorEnv(0)
    env = InterestEvolutionVectorEnv(2)
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"call reset\(\) before step\(\)"):
        env.step(np.zeros((2, 3), np.int64))
    with pytest.raises(gymnasium.error.ResetNeeded, match="first reset"):
        env.reset(seed=[1, None])
    with pytest.raises(ValueError, match="seed = -1 is out of range"):
        env.reset(seed=-1)
    with pytest.raises(ValueError, match="seed has 3 entries for 2 slots"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match="option 'users' is unknown"):
        env.reset(seed=1, options={"users": [1, 2]})
    env.reset()
    env.step(np.zeros((2, 3), np.int64))


def test_examples_run():
    result = doctest.testmod(interest_evolution)
    assert result.attempted > 0
    assert result.failed == 0


# --- policies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES.values())
def test_slates_are_full_and_of_each_row_alone(policy):
    _, observation = started(40)
    whole = policy(observation)
    assert whole.dtype == np.int64
    assert whole.shape == (40, 3)
    assert all(len(set(slate)) == 3 and min(slate) >= 0 and max(slate) < 10 for slate in whole)
    np.testing.assert_array_equal(policy({key: value[7:9] for key, value in observation.items()}), whole[7:9])


def test_myopic_slates_are_clicked_most_of_all():
    _, observation = started(20)
    topics = observation["candidates"][..., :-1].argmax(axis=2)
    interest = np.take_along_axis(observation["interest"].astype(float), topics, axis=1)
    clicks = [1 - compute_choice_probabilities(interest[:, list(c)], 1.0)[:, -1] for c in combinations(range(10), 3)]
    mine = (
        1
        - compute_choice_probabilities(np.take_along_axis(interest, choose_most_interesting(observation), axis=1), 1.0)[
            :, -1
        ]
    )
    np.testing.assert_allclose(mine, np.max(clicks, axis=0))
    # Time that costs nothing is what the myopic rule believes in.
    np.testing.assert_array_equal(
        np.sort(choose_thrifty(observation, price=0.0)), np.sort(choose_most_interesting(observation))
    )


def test_random_and_myopic_returns_are_the_published_ones(minutes):
    """159.2 and 166.3 in the paper; four standard errors here are 1.0 and 1.9."""
    assert abs(minutes["random"].mean() - 159.2) < 1.0
    assert abs(minutes["myopic"].mean() - 166.3) < 1.9


@pytest.mark.parametrize(("worse", "better"), [("random", "myopic"), ("myopic", "quality"), ("quality", "thrifty")])
def test_looking_ahead_pays(minutes, worse, better):
    difference = minutes[better] - minutes[worse]
    assert difference.mean() > 4 * difference.std(ddof=1) / math.sqrt(SESSIONS)

"""Actions other than item numbers: what they mean, and what they refuse."""

import numpy as np
import pytest

from longplay.envs.candidates.presets import PRESETS
from longplay.envs.candidates.retriever import Retriever
from longplay.envs.candidates.scoring import WEIGHTS, Scorer
from longplay.envs.candidates.wrappers import MappedAction, check_action, make_action_map
from longplay.envs.make import make_vector_env
from longplay.tests.envs.contracts import EnvContract
from longplay.tests.envs.worlds import TRACES, small, vectors

WIDTH = 16
TRACED = {name.replace(".", "__"): value for name, value in TRACES.items()}


def make_with(action, catalog, slots=3, mode="NextStep", **changes):
    return make_vector_env(
        slots,
        catalog=catalog,
        scenario=small(**changes),
        action=action,
        candidates=True,
        item_vectors=vectors(catalog, WIDTH),
        autoreset_mode=mode,
    )


class WrappedContract(EnvContract):
    @pytest.fixture
    def make(self, catalog):
        return lambda slots, mode: make_with(self.action, catalog, slots, mode, horizon__days=3)


class TestItemsWithCandidates(WrappedContract):
    action = "items"


class TestCandidates(WrappedContract):
    action = "candidates"


class TestQuery(WrappedContract):
    action = "query"


class TestWeights(WrappedContract):
    action = "weights"


class TestPresets(WrappedContract):
    action = "presets"

    @pytest.mark.parametrize("wrong", [lambda a: a[:, None], lambda a: a[:1], lambda a: a[0]])
    def test_actions_of_another_shape_are_refused(self, make, wrong):
        super().test_actions_of_another_shape_are_refused(make, wrong)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("candidates", "MultiDiscrete([64 64 64 64 64 64 64 64 64 64])"),
        ("query", f"Box(-1.0, 1.0, ({WIDTH},), float32)"),
        ("weights", f"Box(-1.0, 1.0, ({len(WEIGHTS)},), float32)"),
        ("presets", f"Discrete({len(PRESETS)})"),
    ],
)
def test_spaces(catalog, action, expected):
    env = make_with(action, catalog)
    assert str(env.single_action_space) == expected
    assert env.action_space.shape == (3, *env.single_action_space.shape)
    assert env.single_observation_space["candidates"].shape == (64,)


@pytest.mark.parametrize(
    ("action", "expected"),
    [("weights", f"Box(-1.0, 1.0, ({len(WEIGHTS) + 1},), float32)"), ("presets", f"Discrete({len(PRESETS) + 1})")],
)
def test_spaces_have_one_more_where_it_is_said_what_was_shown(catalog, action, expected):
    env = make_with(action, catalog, **TRACED)
    assert str(env.single_action_space) == expected
    env.reset(seed=0)
    observation = env.step(env.action_space.sample())[0]
    assert observation in env.observation_space
    assert (observation["shown_ids"][:, 0] == observation["slate_ids"]).all()


def shown(env, actions):
    """The slates that the actions mean, and the observation that they answer."""
    before, _ = env.reset(seed=0)
    after = env.step(actions)[0]
    return before, after["slate_ids"]


def test_candidate_actions_are_looked_up(catalog):
    actions = np.random.default_rng(0).integers(0, 64, (3, 10))
    before, slates = shown(make_with("candidates", catalog), actions)
    for b in range(3):
        assert slates[b].tolist() == [before["candidates"][b][m] for m in actions[b]]


def test_a_query_shows_the_nearest_candidates(catalog):
    table = vectors(catalog, WIDTH)
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    queries = np.random.default_rng(0).uniform(-1, 1, (3, WIDTH)).astype(np.float32)
    before, slates = shown(make_with("query", catalog), queries)
    for b in range(3):
        found = before["candidates"][b].astype(int)
        order = found[np.argsort(-(unit[found - 1] @ queries[b]))]
        assert slates[b].tolist() == order[:10].tolist()


def test_weights_beyond_the_box_count_as_its_edge(catalog):
    actions = np.random.default_rng(0).uniform(-3, 3, (3, len(WEIGHTS))).astype(np.float32)
    _, slates = shown(make_with("weights", catalog), actions)
    _, clipped = shown(make_with("weights", catalog), np.clip(actions, -1, 1))
    np.testing.assert_array_equal(slates, clipped)


@pytest.mark.parametrize(
    ("action", "change", "message"),
    [
        ("candidates", lambda a: a * 0 + 64, "candidate index 64 is out of range; allowed: 0 to 63"),
        ("candidates", lambda a: a * 0 - 1, "candidate index -1 is out of range; allowed: 0 to 63"),
        (
            "candidates",
            lambda a: a + 0.5,
            r"candidate actions must be integers of shape \(3, 10\), got float64 \(3, 10\)",
        ),
        ("presets", lambda a: a * 0 + 16, "preset index 16 is out of range; allowed: 0 to 15"),
        ("presets", lambda a: a * 0 - 1, "preset index -1 is out of range; allowed: 0 to 15"),
        ("presets", lambda a: a * 1.0, r"preset actions must be integers of shape \(3,\), got float64 \(3,\)"),
        (
            "query",
            lambda a: np.where(a == a[1, 4], np.nan, a),
            "query action of user slot 1 is NaN at place 4; allowed: -1 to 1",
        ),
        ("weights", lambda a: np.where(a == a[2, 0], np.nan, a), "weights action of user slot 2 is NaN at place 0"),
        ("weights", lambda a: a[:, :-1], r"weights actions have shape \(3, 9\), expected \(3, 10\): one row a user"),
        ("query", lambda a: a[0], rf"query actions have shape \({WIDTH},\), expected \(3, {WIDTH}\)"),
    ],
)
def test_a_wrong_action_is_named_with_what_is_allowed(catalog, action, change, message):
    env = make_with(action, catalog)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(change(env.action_space.sample()))


def test_infinity_is_clipped_as_any_large_value(catalog):
    env = make_with("weights", catalog)
    env.reset(seed=0)
    env.step(np.full((3, len(WEIGHTS)), np.inf))


@pytest.mark.parametrize("action", ["slates", "Query", 3, None])
def test_an_unknown_action_is_named_with_those_known(action):
    with pytest.raises(ValueError, match=rf"action = {action!r} is unknown.*; allowed: 'items', 'candidates', 'query'"):
        check_action(action)


@pytest.mark.parametrize("action", ["candidates", "query", "weights", "presets"])
def test_a_map_outside_an_environment_means_the_same(catalog, action):
    """A trained policy's actions become slates without an environment."""
    env = make_with(action, catalog)
    assert isinstance(env, MappedAction)
    assert isinstance(env.env, Retriever)
    free = make_action_map(action, Scorer(env.unwrapped.world, vectors(catalog, WIDTH)), 64)
    env.action_space.seed(0)
    actions = env.action_space.sample()
    before, slates = shown(env, actions)
    np.testing.assert_array_equal(free(before, actions), slates)

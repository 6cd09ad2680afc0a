"""The Gymnasium faces: equal to each other, accepted by the checkers, nothing hidden in what agents see."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import longplay  # noqa: F401  (registers the ids)
from longplay.envs import engine
from longplay.envs.env import REWARDS, SlateVectorEnv
from longplay.envs.make import make_env, make_vector_env
from longplay.envs.single import SlateEnv
from longplay.tests.contracts import EnvContract, assert_same
from longplay.tests.envs.worlds import small, vectors

IDS = ("longplay/Video-v0", "longplay/Control-v0")
ACTIONS = ("items", "candidates", "query", "weights")
MODES = list(AutoresetMode)


def settings_of(action, catalog, **more):
    chosen = {"catalog": catalog, "action": action, "scenario": {"shape.users": 200, "shape.candidates": 64}}
    return chosen | ({} if action == "items" else {"item_vectors": vectors(catalog)}) | more


def actions_of(env, rng):
    """A random batch of actions, whatever the space."""
    if isinstance(env.single_action_space, gymnasium.spaces.Box):
        return rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
    return rng.integers(0, env.single_action_space.nvec[0], env.action_space.shape)


def follow(env, steps, rng):
    return [env.step(actions_of(env, rng)) for _ in range(steps)]


# --- one face is the other -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [1, 2, 33])
@pytest.mark.parametrize("mode", MODES)
def test_native_vector_is_a_sync_vector_of_singles(short_world, mode, slots):
    options = {"privileged": True, "reward": REWARDS[slots % 3]}
    native = SlateVectorEnv(short_world, slots, autoreset_mode=mode, **options)

    def single():
        return SlateEnv(SlateVectorEnv(short_world, autoreset_mode=AutoresetMode.DISABLED, **options))

    sync = SyncVectorEnv([single] * slots, autoreset_mode=mode)
    assert native.observation_space == sync.observation_space
    assert native.action_space == sync.action_space
    assert native.metadata["autoreset_mode"] == sync.metadata["autoreset_mode"] == mode
    assert_same(native.reset(seed=5), sync.reset(seed=5))
    rng, ends = np.random.default_rng(slots), 0
    for _ in range(150):
        slates = actions_of(native, rng)
        one, other = native.step(slates), sync.step(slates)
        assert_same(one, other)
        done = one[2] | one[3]
        ends += done.sum()
        if mode == AutoresetMode.DISABLED and done.any():
            assert_same(
                native.reset(options={"reset_mask": done.copy()}), sync.reset(options={"reset_mask": done.copy()})
            )
    assert ends > slots


def test_a_seed_for_each_slot_and_none_is_as_in_a_sync_vector(short_world):
    native = SlateVectorEnv(short_world, 3)
    sync = SyncVectorEnv([lambda: make_env(catalog=short_world.catalog, scenario=short_world.scenario)] * 3)
    for seed in (7, [1, 2**40, 3], [9, None, 1], None):
        assert_same(native.reset(seed=seed), sync.reset(seed=seed))


def test_disabled_a_user_who_has_finished_stays_finished(short_world):
    env = SlateVectorEnv(short_world, 20, autoreset_mode="Disabled")
    env.reset(seed=0)
    rng, over = np.random.default_rng(0), np.zeros((2, 20), bool)
    for _ in range(200):
        _, reward, *flags, _ = env.step(actions_of(env, rng))
        assert not reward[over.any(axis=0)].any()
        assert (np.array(flags) >= over).all()
        over = np.array(flags)
    assert over.any(axis=0).all()
    assert over.any(axis=1).all()
    assert not over.all(axis=0).any()


class TestItems(EnvContract):
    @pytest.fixture
    def make(self, short_world):
        return lambda slots, mode: SlateVectorEnv(short_world, slots, autoreset_mode=mode)


def test_a_saved_state_of_a_single_environment_continues_to_the_bit(catalog):
    env = make_env(**settings_of("candidates", catalog))
    env.reset(seed=3)
    rng = np.random.default_rng(0)
    slates = rng.integers(0, 64, (30, 10))
    for slate in slates[:15]:
        env.step(slate)
    state = env.save_state()
    expected = [env.step(slate) for slate in slates[15:]]
    env.load_state(state)
    assert_same([env.step(slate) for slate in slates[15:]], expected)


# --- the checkers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("name", IDS)
def test_the_checkers_of_gymnasium_and_stable_baselines3_have_nothing_to_say(catalog, name, action):
    env = gymnasium.make(name, **settings_of(action, catalog))
    check_env(env.unwrapped)
    check_env_sb3(env)
    env.close()


@pytest.mark.parametrize("name", IDS)
def test_make_and_make_vec(catalog, name):
    options = settings_of("weights", catalog)
    single = gymnasium.make(name, render_mode="ansi", **options)
    assert isinstance(single.unwrapped, SlateEnv)
    assert single.render_mode == "ansi"
    for mode in MODES:
        env = gymnasium.make_vec(name, num_envs=3, autoreset_mode=mode, **options)
        assert isinstance(env.unwrapped, SlateVectorEnv)
        assert isinstance(env.metadata["autoreset_mode"], AutoresetMode)
        assert env.metadata["autoreset_mode"] == mode
        env.reset(seed=0)
        assert env.step(actions_of(env, np.random.default_rng(0)))[0] in env.observation_space
        env.close()
    assert isinstance(SlateVectorEnv.metadata["autoreset_mode"], AutoresetMode)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sync = gymnasium.make_vec(name, num_envs=2, vectorization_mode="sync", **options)
    sync.reset(seed=0)
    sync.close()


def test_each_id_has_its_own_scenario(catalog):
    pace = [gymnasium.make(name, catalog=catalog).unwrapped.world.scenario.params.time_pace for name in IDS]
    assert pace == [0.0, 3.0]


# --- what agents see -----------------------------------------------------------------------------------------------


@settings(max_examples=8)
@given(st.integers(0, 2**62))
def test_observations_lie_in_their_space(short_world, world, seed):
    for one, mode in ((short_world, "SameStep"), (world, "NextStep")):
        env = SlateVectorEnv(one, 32, autoreset_mode=mode)
        observation, _ = env.reset(seed=seed)
        assert observation in env.observation_space
        for observation, _, _, _, info in follow(env, 120, np.random.default_rng(seed)):
            assert observation in env.observation_space
            for final in info.get("final_obs", ()):
                assert final is None or final in env.single_observation_space


def test_observations_lie_in_their_space_where_a_slate_crosses_the_horizon(world):
    env = SlateVectorEnv(world, 200, autoreset_mode="Disabled")
    env.reset(seed=0)
    users, horizon = env.engine.users, world.scenario.params.horizon_days
    users["clock"] = horizon - 1e-9
    users["history_time"] = -14.0  # the oldest past, at the earliest clock
    observation, _, _, truncated, _ = env.step(np.tile(np.arange(1, 11), (200, 1)))
    assert truncated.all()
    assert observation["context"][:, 5].max() > horizon
    assert observation in env.observation_space


HIDDEN = {"taste", "sensitivity", "recovery", "leave_logit", "visit_rate", "chronotype", "luck", "episode", "k0", "k1"}
HIDDEN |= {"satiation", "mood", "weight", "fatigue", "satisfaction", "trust", "residues"}
VISIBLE = {
    "id",
    "clock",
    "gap",
    "session_minutes",
    "session",
    "depth",
    "skips",
    "day",
    "last",
    "status",
    "slate",
    "choice",
}
VISIBLE |= {"completion", "minutes", "left", "history_items", "history_completion", "history_time"}


def test_nothing_hidden_is_in_the_observation(world):
    env = SlateVectorEnv(world, 50)
    env.reset(seed=0)
    follow(env, 12, np.random.default_rng(0))
    before = env.load_state(env.save_state())
    users, rng = env.engine.users, np.random.default_rng(1)
    assert set(users.dtype.names) == HIDDEN | VISIBLE  # a new field must be told apart here
    for field in sorted(HIDDEN):
        users[field] = rng.permutation(users[field]) + 1
    assert_same(env.load_state(env.save_state()), before)
    users["history_completion"] += 0.1  # what is visible, is seen
    assert (env.load_state(env.save_state())["history_completion"] != before["history_completion"]).all()


def test_the_observation_agrees_with_the_info(world):
    env = SlateEnv(SlateVectorEnv(world, autoreset_mode="Disabled"))
    rng = np.random.default_rng(0)
    consumed, sessions = 0, 0
    for seed in range(3):
        observation, info = env.reset(seed=seed)
        past = zip(*(observation[f"history_{key}"] for key in ("ids", "completion", "age")), strict=True)
        ledger = [(i, c, info["day"] - age) for i, c, age in past if i > 0]  # item, completion, when
        assert len(ledger) == 8
        over, depth = False, 0
        while not over:
            slate = rng.integers(0, 301, 10)
            observation, reward, terminated, truncated, info = env.step(slate)
            over = terminated or truncated
            returned = info["left"] and not over
            context = dict(zip(engine.CONTEXT, observation["context"], strict=True))
            depth, sessions = (0, sessions + 1) if returned else (depth + 1, sessions)
            if not over:
                assert context["depth"] == depth
            np.testing.assert_array_equal(observation["slate_ids"], slate)
            response = np.zeros(10)
            if info["choice"] >= 0:
                assert info["item"] == slate[info["choice"]] > 0
                minutes = world.items["minutes"][info["item"]]
                assert reward == pytest.approx(info["completion"] * minutes)
                response[info["choice"]] = info["completion"]
                when = info["day"] - (context["gap_days"] if returned else 0.0)
                ledger.insert(0, (info["item"], info["completion"], when))
                consumed += 1
            else:
                assert reward == info["item"] == info["completion"] == 0
            np.testing.assert_array_equal(observation["slate_response"], response.astype(np.float32))
            assert context["day"] == np.float32(info["day"])
            hour = np.array([context["hour_sin"], context["hour_cos"]])
            angle = 2 * np.pi * info["day"]
            np.testing.assert_allclose(hour, [np.sin(angle), np.cos(angle)], atol=1e-5)
            known = min(len(ledger), 20)
            items, completions, times = np.array(ledger[:known], dtype=float).T
            np.testing.assert_array_equal(observation["history_ids"][:known], items)
            np.testing.assert_array_equal(observation["history_completion"][:known], completions.astype(np.float32))
            if not (over and info["left"]):  # the clock then jumps to the horizon
                np.testing.assert_allclose(observation["history_age"][:known], info["day"] - times, atol=1e-4)
            for key in ("ids", "completion", "age"):
                assert not observation[f"history_{key}"][known:].any()
    assert consumed > 20
    assert sessions > 5


def test_rewards_count_minutes_clicks_and_returns(short_world):
    traces = {}
    for reward in REWARDS:
        env = SlateVectorEnv(short_world, 40, reward=reward, autoreset_mode="Disabled")
        env.reset(seed=1)
        traces[reward] = follow(env, 60, np.random.default_rng(1))
    over = np.zeros(40, bool)
    for minutes, clicks, returns in zip(*traces.values(), strict=True):
        info, ended = minutes[4], minutes[2] | minutes[3]
        length = short_world.items["minutes"][info["item"]]
        np.testing.assert_allclose(minutes[1], np.where(over, 0, info["completion"] * length))
        np.testing.assert_array_equal(clicks[1], ~over & (info["choice"] >= 0))
        np.testing.assert_array_equal(returns[1], ~over & info["left"] & ~ended)
        over = ended
    assert over.any()


def test_ansi_shows_the_slate_the_choice_and_the_end(short_world):
    env = SlateEnv(SlateVectorEnv(short_world, autoreset_mode="Disabled", render_mode="ansi"))
    endings = set()
    for seed in range(12):
        env.reset(seed=seed)
        over = False
        while not over:
            _, _, terminated, over, info = env.step(np.arange(10))
            lines = env.render().splitlines()
            assert lines[0].startswith(f"user {info['user']}   day {int(info['day']) + 1}, ")
            assert "(empty)" in lines[1]
            assert "Number 0:" in lines[2]
            assert [line.startswith(">") for line in lines[1:11]].count(True) == (info["choice"] >= 0)
            over = over or terminated
        endings.add((bool(terminated), lines[-1]))
    assert endings == {(True, "left, and never came back"), (False, "the horizon is reached")}
    assert SlateVectorEnv(short_world).render() is None


# --- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reward": "likes"}, r"reward = 'likes' is unknown; allowed: 'minutes', 'clicks', 'returns'"),
        ({"split": "dev"}, r"split = 'dev' is unknown; allowed: 'train', 'validation', 'test'"),
        ({"action": "weight"}, r"action = 'weight' is unknown \(did you mean 'weights'\?\); allowed: 'items'"),
        ({"render_mode": "human"}, r"render_mode = 'human' is unknown; allowed: None, 'ansi'"),
        ({"autoreset_mode": "sometimes"}, r"'sometimes' is not a valid AutoresetMode"),
        ({"num_envs": 0}, r"num_envs = 0 must be a whole number of at least 1"),
        ({"world_seed": -1}, r"world_seed = -1 must be a whole number from 0 to 2\*\*63 - 1"),
        ({"action": "query"}, r"action = 'query' with candidates needs item_vectors of shape \(300, E\)"),
        ({"scenario": 5}, r"scenario = 5 must be a name, a TOML file, a dictionary of overrides or a Scenario"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_setting_is_named_with_what_is_allowed(catalog, options, message):
    with pytest.raises(ValueError, match=message):
        make_vector_env(**{"catalog": catalog, "scenario": small()} | options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"users": [1, 2]}, r"options\['users'\] must be 3 whole numbers, got \[1, 2\]"),
        ({"users": [1.0, 2.0, 3.0]}, r"must be 3 whole numbers"),
        ({"users": [1, 2, 200]}, r"contains 200; the world has users 0 to 199"),
        ({"users": [-1, 2, 3]}, r"contains -1; the world has users 0 to 199"),
        ({"user": 3}, r"reset option 'user' is unknown; allowed: 'users', 'reset_mask'"),
        ({"reset_mask": [True]}, r"options\['reset_mask'\] must be 3 booleans with at least one True, got \[True\]"),
        ({"reset_mask": np.zeros(3, bool)}, r"at least one True"),
        ({"reset_mask": np.ones(3)}, r"must be 3 booleans"),
    ],
    ids=str,
)
def test_a_wrong_reset_option_is_named(world, options, message):
    env = SlateVectorEnv(world, 3)
    with pytest.raises(ValueError, match=message):
        env.reset(seed=0, options=options)


@pytest.mark.parametrize(
    ("seed", "message"),
    [(-1, "(?i)seed"), ([1, 2], "seed has 2 entries for 3 users"), ([1, -2, 3], "must not be negative")],
)
def test_a_wrong_seed_is_named(world, seed, message):
    with pytest.raises((ValueError, gymnasium.error.Error), match=message):
        SlateVectorEnv(world, 3).reset(seed=seed)


def test_a_single_environment_names_its_own_options(world):
    env = SlateEnv(SlateVectorEnv(world, autoreset_mode="Disabled"))
    assert env.reset(seed=0, options={"user": 17})[1]["user"] == 17
    with pytest.raises(ValueError, match="reset option 'users' is unknown; allowed: 'user'"):
        env.reset(options={"users": [3]})
    with pytest.raises(ValueError, match="needs a vector environment with num_envs=1 and autoreset_mode=DISABLED"):
        SlateEnv(SlateVectorEnv(world))


def test_the_first_reset_must_be_of_every_slot(world):
    with pytest.raises(gymnasium.error.ResetNeeded, match="the first reset must be of every slot"):
        SlateVectorEnv(world, 2).reset(options={"reset_mask": np.array([True, False])})


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (301, "item 301 in a slate is out of range; allowed: 0 .empty slot. to 300"),
        (-1, "item -1 in a slate is out of range"),
        (2**63, "item 9223372036854775808 in a slate is out of range"),
        (1.5, "slates must be whole item numbers from 0 to 300, got 1.5"),
        (np.nan, "slates must be whole item numbers from 0 to 300, got nan"),
        (1e30, "item 301 in a slate is out of range"),
        ("seven", "slates must be whole item numbers from 0 to 300, got "),
        (None, "slates must be whole item numbers from 0 to 300, got "),
    ],
)
def test_an_item_that_is_none_is_named(world, place, message):
    env = SlateVectorEnv(world, 2)
    env.reset(seed=0)
    slates = [[1] * 10, [1] * 9 + [place]]
    with pytest.raises(ValueError, match=message):
        env.step(np.array(slates, dtype=np.uint64 if place == 2**63 else None))


def test_a_slate_of_another_shape_is_named(world):
    env = SlateVectorEnv(world, 2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"slates have shape \(2, 9\), expected \(users, slots\) = \(2, 10\)"):
        env.step(np.ones((2, 9), np.int64))


def test_slates_of_any_layout_and_whole_type_are_the_same_and_compile_nothing(world):
    slates = np.random.default_rng(0).integers(1, 300, (4, 10))
    frozen = slates.copy()
    frozen.setflags(write=False)
    forms = [
        slates,
        frozen,
        np.asfortranarray(slates),
        slates.astype(np.int32),
        slates.astype(np.float32),
        slates.tolist(),
    ]
    found = []
    for form in forms:
        env = SlateVectorEnv(world, 4)
        env.reset(seed=0)
        found.append(env.step(form))
        compiled = engine._read_all.signatures
        if form is slates:
            first = len(compiled)
        assert len(compiled) == first
        assert_same(found[-1], found[0])


def test_a_state_of_another_size_is_refused(catalog, world):
    state = SlateVectorEnv(world, 2).save_state()
    with pytest.raises(ValueError, match="another scenario or B"):
        SlateVectorEnv(world, 3).load_state(state)
    env = make_vector_env(**settings_of("candidates", catalog, num_envs=2))
    with pytest.raises(ValueError, match=r"state has no candidates of shape \(2, 64\)"):
        env.load_state(state)


def test_named_users_without_a_seed_live_the_last_seeds_luck_whatever_their_slot(short_world):
    env = SlateVectorEnv(short_world, 3, autoreset_mode="Disabled")
    env.reset(seed=5)
    lives = []
    for users in ([7, 8, 9], [9, 8, 7], [7, 8, 9]):
        env.reset(options={"users": users})
        slates = np.tile(np.arange(1, env.single_action_space.shape[0] + 1), (3, 1))
        days = np.array([env.step(slates)[4]["day"] for _ in range(20)])
        lives.append({user: tuple(days[:, slot]) for slot, user in enumerate(users)})
    assert lives[0] == lives[1] == lives[2]
    assert len(set(lives[0].values())) == 3

"""The Gymnasium faces: accepted by the checkers, in their spaces, and true to what happened."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

import longplay  # noqa: F401  (registers the ids)
from longplay.envs import Video, engine
from longplay.envs.env import LATENT_MEMORY, REWARDS, SlateVectorEnv
from longplay.envs.shared.extras import list_missing
from longplay.envs.single import SlateEnv
from longplay.envs.users.records import CHURNED, SLATES_KEPT
from longplay.envs.users.world import build_world
from longplay.tests.assertions import assert_same
from longplay.tests.envs.contracts import EnvContract
from longplay.tests.envs.worlds import PLACES, content, make_catalog, remembering, small, vectors

IDS = ("longplay/Video-v0", "longplay/Control-v0")
ACTIONS = ("items", "candidates", "query", "weights", "presets")
MODES = list(AutoresetMode)


def settings_of(action, catalog, **more):
    chosen = {"catalog": catalog, "action": action, "scenario": {"shape.users": 200, "shape.candidates": 64}}
    return chosen | ({} if action == "items" else {"item_vectors": vectors(catalog)}) | more


def actions_of(env, rng):
    """A random batch of actions, whatever the space."""
    if isinstance(env.single_action_space, gymnasium.spaces.Box):
        return rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
    space = env.single_action_space
    most = space.n if isinstance(space, gymnasium.spaces.Discrete) else space.nvec[0]
    return rng.integers(0, most, env.action_space.shape)


def follow(env, steps, rng):
    return [env.step(actions_of(env, rng)) for _ in range(steps)]


# --- one face is the other -----------------------------------------------------------------------------------------


def test_a_seed_for_each_slot_and_none_is_as_in_a_sync_vector(short_world):
    native = SlateVectorEnv(short_world, 3)
    sync = SyncVectorEnv([lambda: Video(catalog=short_world.catalog, scenario=short_world.scenario)] * 3)
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


class TestItemsThatAreRemembered(EnvContract):
    """A saved state holds the memory and the slates shown, in the middle of a session, too."""

    @pytest.fixture
    def make(self, remembering_world):
        return lambda slots, mode: SlateVectorEnv(remembering_world, slots, autoreset_mode=mode)


@pytest.mark.parametrize(("places", "size"), [(0, 864), (PLACES, None)])
def test_only_a_world_that_remembers_saves_more_of_a_user_than_before(catalog, places, size):
    """So states from before there was a memory can be loaded, and those of worlds without one are as they were."""
    env = SlateVectorEnv(build_world(catalog, small(impression__memory=places)), 3)
    env.reset(seed=0)
    size = size or -(-env.engine.users.dtype.fields["habit"][1] // 8) * 8
    state = env.save_state()
    assert state["users"].shape == (3, size)
    other = SlateVectorEnv(build_world(catalog, small(impression__memory=PLACES - places)), 3)
    with pytest.raises(ValueError, match="state is of another scenario than this environment"):
        other.load_state(state)
    old = {name: state[name] for name in ("users", "finished")}  # as it was saved before it said where it is from
    with pytest.raises(ValueError, match=rf"state is of shape \(3, {size}\), this environment needs \(3, \d+\)"):
        other.load_state(old)
    env.load_state(old)


def test_a_state_is_loaded_where_it_is_from(catalog):
    """Regression: only its size was looked at, so that a state went into another world, and sealed users with it."""
    world = build_world(catalog, small(impression__memory=PLACES))
    env = SlateVectorEnv(world, 2, split="test", sealed=True)
    env.reset(seed=1)
    state = env.save_state()
    dialled = build_world(catalog, world.scenario.with_strength(2.0))
    others = {
        "scenario": SlateVectorEnv(dialled, 2, split="test", sealed=True),
        "catalogue": SlateVectorEnv(build_world(make_catalog(301), world.scenario), 2, split="test", sealed=True),
        "world_seed": SlateVectorEnv(build_world(catalog, world.scenario, 1), 2, split="test", sealed=True),
        "split": SlateVectorEnv(world, 2, split="test"),
    }
    for part, other in others.items():
        with pytest.raises(ValueError, match=f"state is of another {part} than this environment; make"):
            other.load_state(state)
        assert (other.engine.users["episode"] == -1).all()
    with pytest.raises(ValueError, match=r"state has no 'finished', only \[\]; pass what save_state returned"):
        env.load_state({})


def test_a_saved_state_keeps_the_last_seed(catalog):
    """Regression: a named reset after loading had other luck."""
    world = build_world(catalog, small())
    env, other = SlateVectorEnv(world, 2), SlateVectorEnv(world, 2)
    env.reset(seed=5)
    other.load_state(env.save_state())
    assert_same(other.reset(options={"users": [1, 2]}), env.reset(options={"users": [1, 2]}))


@pytest.mark.parametrize("places", [0, PLACES])
def test_a_saved_state_keeps_who_is_frail(catalog, places):
    """Regression: where there is no memory, frailty is not among the bytes that are saved."""
    frail = {"churn__frailty": 6.0, "churn__base": -1.5, "impression__memory": places}
    world = build_world(catalog, small(**frail))
    slates = np.random.default_rng(0).integers(0, 301, (60, 30, 10))
    env, other = (SlateVectorEnv(world, 30, autoreset_mode="Disabled") for _ in range(2))
    env.reset(seed=3)
    other.reset(seed=4)  # with other users
    other.load_state(env.save_state())
    assert content(other.engine.users) == content(env.engine.users)
    assert env.engine.users["frailty"].std() > 3
    for slate in slates:
        assert_same(other.step(slate), env.step(slate))
    assert (env.engine.users["status"] == CHURNED).sum() > 10


def test_a_saved_state_of_a_single_environment_continues_to_the_bit(catalog):
    env = Video(**settings_of("candidates", catalog))
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
def test_the_checkers_of_gymnasium_and_stable_baselines3_have_nothing_to_say(catalog, name, action, window):
    env = gymnasium.make(name, **settings_of(action, catalog))
    check_env(env.unwrapped)
    if not list_missing("agents"):
        from stable_baselines3.common.env_checker import check_env as check_env_sb3

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
        warnings.filterwarnings("ignore", ".* is out of date", DeprecationWarning)  # of an id with a later version
        sync = gymnasium.make_vec(name, num_envs=2, vectorization_mode="sync", **options)
    sync.reset(seed=0)
    sync.close()


def test_each_id_has_its_own_scenario(catalog):
    worlds = [gymnasium.make(name, catalog=catalog).unwrapped.world for name in IDS]
    assert [world.scenario.params.time_coupling for world in worlds] == [1.0, 0.0]


# --- what agents see -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_the_slates_shown_last_are_seen_across_sessions_and_resets(remembering_world, mode):
    """Against a plain log of each user's slates; where the mode is none, some users start anew in between."""
    env = SlateVectorEnv(remembering_world, 40, autoreset_mode=mode)
    rng, slots, returns, longest = np.random.default_rng(0), range(40), 0, 0
    observation, info = env.reset(seed=0)
    logs = [[] for _ in slots]  # of (slate, day after it), most recent first; none where that day does not show
    finished = np.zeros(40, bool)
    for step in range(120):
        assert observation in env.observation_space
        for b in slots:
            known = (logs[b] or [])[:SLATES_KEPT]
            ids, age = observation["shown_ids"][b], observation["shown_age"][b]
            if logs[b] is not None:
                assert ids.tolist() == [slate for slate, _ in known] + [[0] * 10] * (SLATES_KEPT - len(known))
                np.testing.assert_allclose(age[: len(known)], [info["day"][b] - when for _, when in known], atol=2e-6)
                assert not age[len(known) :].any()
        if step % 10 == 9 and mode == AutoresetMode.DISABLED:
            mask = finished | (rng.random(40) < 0.2)
            observation, _ = env.reset(options={"reset_mask": mask})
            info["day"], finished = env.engine.users["clock"].copy(), finished & ~mask
            logs = [[] if mask[b] else logs[b] for b in slots]
            continue
        slates, before = rng.integers(0, 301, (40, 10)), finished
        observation, _, churned, horizon, info = env.step(slates)
        for b in np.flatnonzero(~before):
            returned = info["left"][b] and not churned[b] | horizon[b]
            away = observation["context"][b, engine.ContextColumn.GAP_DAYS] if returned else 0.0
            if mode == AutoresetMode.SAME_STEP and churned[b] | horizon[b]:
                assert info["final_obs"][b]["shown_ids"][0].tolist() == slates[b].tolist()
                logs[b] = []
            elif horizon[b] and info["left"][b]:
                logs[b] = None  # the clock has jumped to the horizon
            else:
                logs[b] = [(slates[b].tolist(), info["day"][b] - away), *(logs[b] or [])]
            returns, longest = returns + returned, max(longest, len(logs[b] or []))
        if mode == AutoresetMode.NEXT_STEP:
            logs = [[] if before[b] else logs[b] for b in slots]
        finished = (churned | horizon) & (mode != AutoresetMode.SAME_STEP)
    assert returns > 50
    assert longest > SLATES_KEPT


def test_where_nothing_is_remembered_the_service_tells_no_slates(world):
    assert not {"shown_ids", "shown_age"} & set(SlateVectorEnv(world).single_observation_space)


def test_the_checkers_have_nothing_to_say_of_a_world_that_remembers(catalog):
    env = gymnasium.make("longplay/Video-v0", catalog=catalog, scenario=remembering(), privileged=True)
    check_env(env.unwrapped, skip_render_check=True)
    _, info = env.reset(seed=0, options={"user": 3})
    assert info["latent"]["frailty"] == env.unwrapped.world.people["frailty"][3] != 0.0
    assert set(LATENT_MEMORY) <= set(info["latent"])


def test_a_slate_of_nothing_counts_as_shown(remembering_world):
    env = SlateEnv(SlateVectorEnv(remembering_world, autoreset_mode="Disabled"))
    observation, _ = env.reset(seed=1)
    assert not observation["shown_ids"].any()
    assert not observation["shown_age"].any()
    for slate in ([5] * 10, [0] * 10, [7] * 10):
        observation = env.step(slate)[0]
    assert observation["shown_ids"][:4, 0].tolist() == [7, 0, 5, 0]
    assert (observation["shown_age"][1:3] > 0).all()
    assert not observation["shown_age"][3:].any()


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
    assert observation["context"][:, engine.ContextColumn.DAY].max() > horizon
    assert observation in env.observation_space


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
            context = {column.name.lower(): observation["context"][column] for column in engine.ContextColumn}
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
    for reward in ("minutes", "clicks", "returns"):
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


@pytest.mark.parametrize("reward", REWARDS)
def test_the_reward_is_the_scenarios_unless_another_is_asked_for(catalog, reward):
    world = build_world(catalog, small(reward=reward, purchase__rate=0.1))
    assert SlateVectorEnv(world).reward == reward
    for other in REWARDS:
        assert SlateVectorEnv(world, reward=other).reward == other


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
        compiled = engine._read_slates.signatures
        if form is slates:
            first = len(compiled)
        assert len(compiled) == first
        assert_same(found[-1], found[0])


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

"""Taste that grows towards what is watched: by how much, how far at most, and what it would be worth without."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longplay.envs.env import SlateVectorEnv
from longplay.envs.users.constants import ScenarioError
from longplay.envs.users.dynamics import cultivate
from longplay.envs.users.world import build_world
from longplay.tests.assertions import assert_same
from longplay.tests.envs.worlds import (
    content,
    crowd,
    hand_items,
    make_catalog,
    read,
    record,
    remembering,
    small,
    vectors,
)

GROWING = {"taste__cultivation": 0.1, "taste__drift": 0.0}
SCENARIO = remembering(**GROWING)
ITEMS = hand_items(SCENARIO)
K, WIDTH = SCENARIO.shape.slate, SCENARIO.shape.taste


def arrive(count=1):
    """Users whose taste is still the first."""
    users = crowd(SCENARIO, count)
    users["leave_logit"] = -50.0
    users["first_taste"] = users["taste"]
    return users


def measure_angle(a, b):
    """Degrees between unit vectors (…, D)."""
    return np.degrees(np.arccos(np.clip((a.astype(float) * b.astype(float)).sum(axis=-1), -1.0, 1.0)))


def make_env(num, base=remembering, **changes):
    world = build_world(make_catalog(300), base(shape__users=400, **GROWING, **changes))
    return SlateVectorEnv(world, num, autoreset_mode="Disabled", privileged=True)


class TestGrowing:
    @given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(1, 12))
    def test_a_step_is_towards_the_item_by_the_share_watched(self, pace, completion, item):
        """Within reach; the vectors are summed here in float64 by NumPy."""
        (user,) = arrive()
        p = record(SCENARIO, taste_cultivation=pace, taste_reach=90.0)
        moved = user["taste"].astype(float) + pace * completion * ITEMS["taste"][item].astype(float)
        moved /= np.linalg.norm(moved)
        cultivate(p, ITEMS, user, item, completion)
        if moved @ user["first_taste"].astype(float) > 1e-3:
            np.testing.assert_allclose(user["taste"], moved, atol=1e-6)

    @settings(max_examples=40)
    @given(st.floats(1.0, 89.0), st.floats(0.05, 1.0), st.lists(st.integers(1, 12), min_size=5, max_size=60))
    def test_it_is_a_unit_vector_and_never_beyond_reach(self, reach, pace, items):
        (user,) = arrive()
        p = record(SCENARIO, taste_cultivation=pace, taste_reach=reach)
        for item in items:
            cultivate(p, ITEMS, user, item, 1.0)
            assert np.linalg.norm(user["taste"].astype(float)) == pytest.approx(1.0, abs=1e-6)
            assert measure_angle(user["taste"], user["first_taste"]) <= reach + 0.02

    def test_beyond_reach_it_is_the_nearest_of_what_is_within(self):
        """The edge's point that is nearest to where taste would go, found among many of the edge."""
        (user,) = arrive()
        first = user["first_taste"].astype(float)
        p = record(SCENARIO, taste_cultivation=1.0, taste_reach=20.0)
        wanted = first + ITEMS["taste"][3].astype(float)
        wanted /= np.linalg.norm(wanted)
        assert measure_angle(wanted, first) > 30
        cultivate(p, ITEMS, user, 3, 1.0)
        found = user["taste"].astype(float)
        assert measure_angle(found, first) == pytest.approx(20.0, abs=1e-3)
        rng = np.random.default_rng(0)
        across = np.concatenate([rng.normal(size=(2000, WIDTH)), found + 0.01 * rng.normal(size=(2000, WIDTH))])
        across -= (across @ first)[:, None] * first
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        edge = math.cos(math.radians(20.0)) * first + math.sin(math.radians(20.0)) * across
        assert (edge @ wanted).max() <= found @ wanted + 1e-9

    def test_it_grows_when_something_is_watched_and_else_not(self):
        users = arrive(300)
        read(SCENARIO, record(SCENARIO), users, ITEMS)
        moved = (users["taste"] != users["first_taste"]).any(axis=1)
        np.testing.assert_array_equal(moved, users["choice"] >= 0)
        assert 20 < moved.sum() < 280

    def test_slates_of_one_kind_turn_people_to_it(self):
        env = make_env(100, taste__reach=60.0)
        env.reset(seed=1)
        vector = env.world.items["taste"][5]
        near = 1 + np.argsort(-(env.world.items["taste"][1:] @ vector))
        before = env.engine.users["first_taste"] @ vector
        for step in range(40):
            env.step(np.tile(near[(10 * step + np.arange(K)) % 100], (100, 1)))
        after = env.engine.users["taste"] @ vector
        assert (after - before).mean() > 0.04


class TestFirstTaste:
    def test_at_the_first_taste_the_slate_is_worth_what_it_is(self):
        users = arrive(300)
        minutes = read(SCENARIO, record(SCENARIO), users, ITEMS)
        np.testing.assert_array_equal(users["first_minutes"], minutes)
        assert (minutes > 0).any()

    def test_else_it_is_what_somebody_with_that_taste_would_watch(self):
        """The same users twice: with another taste than the first, and with the first."""
        users, others = arrive(300), arrive(300)
        turned = np.random.default_rng(3).normal(size=(300, WIDTH))
        users["taste"] = turned / np.linalg.norm(turned, axis=1, keepdims=True)
        p = record(SCENARIO)
        minutes, first = read(SCENARIO, p, users, ITEMS), read(SCENARIO, p, others, ITEMS)
        np.testing.assert_array_equal(users["first_minutes"], first)
        assert (first != minutes).mean() > 0.2

    def test_asking_for_it_changes_no_life(self):
        """With a pace too small to turn anything, lives are those of a world without cultivation."""
        lives = []
        for changes in ({}, {"taste__cultivation": 1e-12}):
            world = build_world(make_catalog(300), remembering(taste__drift=0.0, **changes))
            env = SlateVectorEnv(world, 20, autoreset_mode="Disabled")
            env.reset(seed=4)
            slates = np.random.default_rng(0).integers(0, 301, (60, 20, K))
            lives.append([(reward, info["choice"], info["day"]) for _, reward, _, _, info in map(env.step, slates)])
        assert_same(*lives)

    def test_lives_tell_both(self):
        env = make_env(1)
        world = env.world
        playing = pytest.importorskip("longplay.agents.playing.evaluate")
        evaluator = playing.Evaluator(world, vectors(world.catalog), playing.held_out_users(world, "test", 20), 3)
        table = evaluator.play(lambda observation: observation["candidates"][:, :K].astype(int))
        assert list(table.columns) == ["user", *playing.COLUMNS, *playing.TURNS]
        users = evaluator.people
        np.testing.assert_allclose(table["turned"], measure_angle(users["taste"], users["first_taste"]))
        assert (table["turned"] > 0.5).mean() > 0.5
        first, active = np.zeros(20), np.ones(20, bool)
        observation = evaluator.env.reset(seed=3, options={"users": evaluator.users})[0]
        while active.any():
            slates = observation["candidates"][:, :K].astype(int)
            observation, _, terminated, truncated, _ = evaluator.env.step(slates)
            first += active * evaluator.env.unwrapped.engine.users["first_minutes"]
            active = ~(terminated | truncated)
        np.testing.assert_allclose(table["first_minutes"], first)
        assert (table["first_minutes"] != table["minutes"]).any()


class TestLives:
    def test_people_come_with_it_and_a_saved_state_keeps_it(self):
        env, other = make_env(20), make_env(20)
        _, info = env.reset(seed=1)
        np.testing.assert_array_equal(info["latent"]["first_taste"], info["latent"]["taste"])
        slates = np.random.default_rng(0).integers(0, 301, (60, 20, K))
        for slate in slates[:30]:
            env.step(slate)
        other.reset(seed=2)
        other.load_state(env.save_state())
        assert content(other.engine.users) == content(env.engine.users)
        for slate in slates[30:]:
            assert_same(other.step(slate), env.step(slate))

    def test_where_nothing_turns_taste_nothing_of_it_is_told_or_saved(self):
        world = build_world(make_catalog(300), remembering())
        env = SlateVectorEnv(world, 5, privileged=True)
        _, info = env.reset(seed=1)
        assert not {"first_taste", "first_minutes"} & set(info["latent"])
        assert env.engine.users["first_taste"].shape == (5, 1)
        assert not env.engine.users["first_taste"].any()

    def test_it_needs_no_memory(self):
        env = make_env(20, small)
        env.reset(seed=1)
        for slate in np.random.default_rng(0).integers(0, 301, (30, 20, K)):
            env.step(slate)
        assert measure_angle(env.engine.users["taste"], env.engine.users["first_taste"]).max() > 1


@pytest.mark.parametrize(("key", "value"), [("cultivation", -0.1), ("cultivation", 1.5), ("reach", 91.0)])
def test_what_is_not_allowed_is_refused(key, value):
    with pytest.raises(ScenarioError, match=rf"taste\.{key} = {value} is out of range"):
        small(**{f"taste__{key}": value})

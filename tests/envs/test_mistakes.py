"""Mistakes at the Gymnasium faces: each named, with what is allowed and the fix."""

import gc
import re
import sys

import gymnasium
import numpy as np
import pytest

from longplay.envs.candidates.retriever import Retriever
from longplay.envs.candidates.wrappers import MappedAction
from longplay.envs.env import SlateVectorEnv
from longplay.envs.literature.interest_evolution import InterestEvolutionVectorEnv
from longplay.envs.make import make_vector_env
from longplay.envs.single import SlateEnv
from longplay.tests.envs.worlds import remembering, small, vectors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reward": "likes"}, r"reward = 'likes' is unknown; allowed: 'minutes', 'clicks', 'returns'"),
        ({"split": "dev"}, r"split = 'dev' is unknown; allowed: 'train', 'validation', 'test'"),
        ({"action": "weight"}, r"action = 'weight' is unknown \(did you mean 'weights'\?\); allowed: 'items'"),
        ({"render_mode": "humans"}, r"render_mode = 'humans' is unknown; allowed: None, 'ansi', 'rgb_array', 'human'"),
        ({"render_mode": "human", "num_envs": 3}, r"render_mode = 'human' shows one user, num_envs is 3; use 'rgb_arr"),
        (
            {"autoreset_mode": "sometimes"},
            r"autoreset_mode = 'sometimes' is unknown .*; allowed: 'NextStep', 'SameStep', 'Disabled'",
        ),
        ({"num_envs": 0}, r"num_envs = 0 must be a whole number of at least 1"),
        ({"world_seed": -1}, r"world_seed = -1 must be a whole number from 0 to 2\*\*63 - 1"),
        ({"action": "query"}, r"action = 'query' with candidates needs item_vectors of shape \(300, E\)"),
        (
            {"candidates": 20},
            r"candidates = 20 must be True or False; how many .* scenario=\{'shape.candidates': 256\}",
        ),
        ({"catalog": {"id": [1]}}, r"catalog is of type dict; it must be a table's path .* frame.to_parquet"),
        ({"sealed": 1}, r"sealed = 1 must be True or False"),
        (
            {"sealed": True, "split": "test"},
            r"sealed = True with split = 'test' in scenario 'video': sealed are the last",
        ),
        ({"sealed": True, "scenario": remembering()}, r"sealed = True with split = 'train' in scenario 'video'"),
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


def test_a_sealed_user_is_named_by_those_alone_who_unseal(remembering_world):
    env = SlateVectorEnv(remembering_world, 2, split="test")
    with pytest.raises(
        ValueError, match=r"options\['users'\] contains 190, who is sealed, as are 190 to 199; take others"
    ):
        env.reset(seed=0, options={"users": [189, 190]})
    open_env = SlateVectorEnv(remembering_world, 2, split="test", sealed=True)
    assert open_env.reset(seed=0, options={"users": [189, 190]})[1]["user"].tolist() == [189, 190]
    single = SlateEnv(SlateVectorEnv(remembering_world, autoreset_mode="Disabled"))
    with pytest.raises(ValueError, match="contains 199, who is sealed"):
        single.reset(seed=0, options={"user": 199})


def test_keywords_of_gymnasium_unseal(catalog):
    options = {"scenario": remembering(), "catalog": catalog, "split": "test", "sealed": True}
    for env in (gymnasium.make("longplay/Video-v0", **options), gymnasium.make_vec("longplay/Video-v0", 1, **options)):
        assert int(np.ravel(env.reset(seed=0)[1]["user"])[0]) in range(190, 200)


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
    for user in ("a", 3.5, True, [3]):
        with pytest.raises(ValueError, match=re.escape(f"options['user'] must be a whole number, got {user!r}")):
            env.reset(options={"user": user})
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


def test_a_state_of_another_size_is_refused(catalog, world):
    state = SlateVectorEnv(world, 2).save_state()
    with pytest.raises(ValueError, match="another scenario or B"):
        SlateVectorEnv(world, 3).load_state(state)
    env = make_vector_env(2, catalog=catalog, scenario=small(), action="candidates", item_vectors=vectors(catalog))
    with pytest.raises(ValueError, match=r"state has no candidates of shape \(2, 64\)"):
        env.load_state(state)


class TestARefusedConstructor:
    """Gymnasium 1.2 closes what is collected; later versions do not, so the tests bring its way along."""

    @pytest.fixture
    def errors(self, monkeypatch):
        """Errors that collecting met, which Python would print and go on."""

        def close_as_gymnasium_1_2_does(env):
            if not getattr(env, "closed", True):
                env.close()

        caught = []
        monkeypatch.setattr(gymnasium.vector.VectorEnv, "__del__", close_as_gymnasium_1_2_does, raising=False)
        monkeypatch.setattr(sys, "unraisablehook", lambda error: caught.append(error.exc_value))
        yield caught
        assert caught == []

    @pytest.mark.parametrize(
        "options",
        [
            {"reward": "likes"},
            {"split": "dev"},
            {"sealed": True},
            {"render_mode": "humans"},
            {"num_envs": 0},
            {"threads": 0},
            {"autoreset_mode": "sometimes"},
            {"nothing": 1},
        ],
        ids=lambda options: next(iter(options)),
    )
    def test_of_the_environment_leaves_nothing_to_close(self, world, errors, options):
        with pytest.raises((ValueError, TypeError)):
            SlateVectorEnv(world, **options)
        gc.collect()

    def test_of_a_window_leaves_nothing_to_close(self, world, errors, monkeypatch):
        def refuse(rate):
            raise ValueError("no display")

        monkeypatch.setattr("longplay.envs.env.Window", refuse)
        with pytest.raises(ValueError, match="no display"):
            SlateVectorEnv(world, render_mode="human")
        gc.collect()

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda env: Retriever(env, np.zeros((3, 2), np.float32)),
            lambda env: SlateEnv(env),
            lambda env: MappedAction(env, None),
        ],
        ids=["candidates", "single", "action"],
    )
    def test_of_a_wrapper_leaves_the_environment_open(self, world, errors, wrap):
        env = SlateVectorEnv(world, 2, threads=2)
        with pytest.raises((ValueError, AttributeError)):
            wrap(env)
        gc.collect()
        assert not env.closed
        env.reset(seed=0)

    def test_of_the_users_of_slateq_leaves_nothing_to_close(self, errors):
        with pytest.raises(ValueError, match="num_envs"):
            InterestEvolutionVectorEnv(0)
        gc.collect()

    def test_an_environment_that_is_collected_is_closed(self, world, errors):
        env = SlateVectorEnv(world, 2, threads=2)
        engine = env.engine
        del env
        gc.collect()
        with pytest.raises(RuntimeError, match="shutdown"):
            engine._pool.submit(len, ())

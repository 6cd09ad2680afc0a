"""What is asked of an environment around its steps: keywords, wrappers, copies, checks, and how it prints."""

import copy
import os
import pickle
import subprocess
import sys

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from longplay.envs import engine
from longplay.envs.candidates import retriever, scoring
from longplay.envs.drawing.viewer import list_render_modes
from longplay.envs.make import make_vector_env
from longplay.envs.users.constants import ScenarioError
from longplay.envs.users.world import build_world
from longplay.tests.assertions import assert_same
from longplay.tests.envs.worlds import make_catalog, small, vectors

ACTIONS = ("items", "candidates", "query", "weights", "presets")


@pytest.fixture
def make(catalog):
    def made(action="items", slots=5, **options):
        options = {"catalog": catalog, "scenario": small(horizon__days=3)} | options
        return make_vector_env(slots, action=action, candidates=True, item_vectors=vectors(catalog), **options)

    return made


# --- keywords --------------------------------------------------------------------------------------------------------

WRONG = [
    (
        "dynamic_strength",
        r"keyword = 'dynamic_strength' is unknown \(did you mean 'dynamics_strength'\?\); allowed: 'scen",
    ),
    ("xyz", r"keyword = 'xyz' is unknown; allowed: .*'catalog', .*'privileged'"),
    ("wrappers", r"keyword = 'wrappers' is not taken: wrap what make_vec returns, or"),
]


@pytest.mark.parametrize(("name", "message"), WRONG)
def test_a_wrong_keyword_is_named_with_what_was_meant(name, message):
    with pytest.raises(ValueError, match=message.replace("'scen", ".*'scenario'")):
        make_vector_env(2, base="tiny", **{name: 1})
    if name != "wrappers":  # Gymnasium refuses or uses those itself
        with pytest.raises(ValueError, match=message.replace("'scen", "'scen")):
            gymnasium.make("longplay/Tiny-v0", **{name: 1})
        with pytest.raises(ValueError, match=r"keyword = "):
            gymnasium.make_vec("longplay/Tiny-v0", num_envs=2, **{name: 1})


def test_a_limit_of_steps_is_refused_by_vectors_and_taken_by_single_users():
    with pytest.raises(
        ValueError, match=r"keyword = 'max_episode_steps' is not taken: .*scenario=\{'horizon.days': 7\}"
    ):
        gymnasium.make_vec("longplay/Tiny-v0", num_envs=2, max_episode_steps=3)
    env = gymnasium.make("longplay/Tiny-v0", max_episode_steps=1)
    env.reset(seed=0)
    assert env.step([1, 2])[3]


@pytest.mark.parametrize("name", ["autoreset_mode", "num_envs"])
def test_a_single_user_takes_no_keyword_of_vectors(name):
    with pytest.raises(ValueError, match=rf"keyword = '{name}' is unknown"):
        gymnasium.make("longplay/Tiny-v0", **{name: 1})


# --- wrappers and infos ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("action", ACTIONS)
def test_every_vector_wrapper_knows_its_autoreset_mode(make, action, mode):
    env = make(action, autoreset_mode=mode)
    while env is not env.unwrapped:
        assert env.autoreset_mode is mode
        env = env.env
    assert env.autoreset_mode is mode


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("action", ["items", "weights"])
def test_left_is_an_array_of_booleans_after_every_call(make, action, mode):
    env = make(action, autoreset_mode=mode)
    infos = [env.reset(seed=0)[1]]
    env.action_space.seed(0)
    for _ in range(40):
        infos.append(env.step(env.action_space.sample())[4])
    infos += [info["final_info"] for info in infos if "final_info" in info]
    infos.append(env.reset(options={"reset_mask": np.arange(5) == 2})[1])
    assert (len(infos) > 42) == (mode == AutoresetMode.SAME_STEP)
    for info in infos:
        assert type(info["left"]) is np.ndarray
        assert (info["left"].dtype, info["left"].shape) == (np.dtype(bool), (5,))
    assert any(info["left"].any() for info in infos)


# --- checks ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def headless(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)


@pytest.mark.parametrize("mode", [None, "ansi", "rgb_array"])
def test_the_checker_of_gymnasium_passes_without_a_display(headless, mode):
    env = gymnasium.make("longplay/Tiny-v0", render_mode=mode)
    assert env.metadata["render_modes"] == ["ansi", "rgb_array"]
    check_env(env.unwrapped)


def test_windows_are_offered_where_they_can_be_opened(headless, monkeypatch, window):
    every = ["ansi", "human"]
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", plt)
    assert list_render_modes(every) == every  # a toolkit is in use
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot")
    assert list_render_modes(every) == ["ansi"]
    monkeypatch.setenv("DISPLAY", ":0")
    assert list_render_modes(every) == every
    monkeypatch.setenv("MPLBACKEND", "Agg")
    assert list_render_modes(every) == ["ansi"]


# --- copies and prints -----------------------------------------------------------------------------------------------


def count_compiled():
    """Number of compiled versions of all loops."""
    functions = [value for module in (engine, retriever, scoring) for value in vars(module).values()]
    return sum(len(function.signatures) for function in functions if hasattr(function, "signatures"))


def unpickle(env):
    """What comes out of a pickle of one's own."""
    return pickle.loads(pickle.dumps(env))  # noqa: S301


@pytest.mark.parametrize("duplicate", [copy.deepcopy, unpickle])
@pytest.mark.parametrize("action", ["items", "weights"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_copy_lives_on_to_the_bit_with_the_loops_at_hand(make, action, threads, duplicate):
    env = make(action, threads=threads)
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(5):
        env.step(env.action_space.sample())
    actions = [env.action_space.sample() for _ in range(30)]
    before, other = count_compiled(), duplicate(env)
    assert_same([other.step(given) for given in actions], [env.step(given) for given in actions])
    assert_same(other.reset(seed=1), env.reset(seed=1))
    assert count_compiled() == before
    for one in (env, other):
        one.close()


def test_a_world_prints_on_three_lines(world):
    text = repr(build_world(world.catalog, small().with_strength(2)))
    assert text == "World(Catalog('small', 300 items), Scenario('video', 57 constants, strength 2), seed 0, 200 people)"
    assert len(text) < 3 * 80


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"catalog": make_catalog(9)}, r"has 9 items, fewer than a slate of 10; add items or lower shape.slate"),
        ({"scenario": {"horizon.days": 0}}, r"horizon.days = 0 is out of range; allowed: 0.1 to 3650 \[days\]"),
        ({"scenario": {"shape.users": 1}}, r"shape.users = 1 must be a whole number from 10 to 10000000"),
    ],
    ids=["catalogue", "horizon", "population"],
)
@pytest.mark.parametrize("make", [gymnasium.make, gymnasium.make_vec], ids=["make", "make_vec"])
def test_what_is_too_small_is_refused_at_once(make, options, message):
    with pytest.raises(ValueError, match=message):
        make("longplay/Video-v0", **options)
    assert issubclass(ScenarioError, ValueError)


# --- the smallest catalogues -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("items", [2, 3, 4])
def test_neighbours_of_a_few_items_are_all_others(items):
    """Of three items each has two neighbours: both others, and never itself."""
    table = retriever.pad_item_vectors(np.array([[1, 0], [1, 1], [0, 1], [-1, 1]], np.float32)[:items], items)
    near, cosine = retriever.find_nearest_items(retriever.ArrayKey(table), 64)
    assert near.shape == cosine.shape == (items + 1, items - 1)
    expected = {1: [2, 3, 4], 2: [1, 3, 4], 3: [2, 4, 1], 4: [3, 2, 1]}
    for item in range(1, items + 1):
        assert near[item].tolist() == [other for other in expected[item] if other <= items]
    assert near[0].tolist() == [0] * (items - 1)
    np.testing.assert_allclose(cosine[1, 0], np.sqrt(0.5), rtol=1e-6)


def test_three_items_are_found_and_lived_with():
    shape = {"shape.slate": 1, "shape.history": 2, "shape.past": 1, "shape.types": 0, "shape.users": 20}
    catalog = make_catalog(3)
    table = np.eye(3, dtype=np.float32)
    env = make_vector_env(20, catalog=catalog, base="tiny", scenario=shape, candidates=True, item_vectors=table)
    observation, _ = env.reset(seed=0)
    assert env.single_action_space.nvec.tolist() == [4]
    met, clicks, begun = set(), 0, np.ones(20, bool)
    for step in range(30):
        for b in np.flatnonzero(begun):
            found, past = observation["candidates"][b].tolist(), observation["history_ids"][b].tolist()
            assert found[0] in {1, 2, 3} - set(past)
            met.add(found[0])
        observation, _, terminated, truncated, info = env.step(np.full((20, 1), 1 + step % 3))
        begun = info["left"] & ~terminated & ~truncated
        clicks += (info["item"] > 0).sum()
    assert met == {1, 2, 3}
    assert clicks > 20


# What takes long to import, and is needed where something is built, drawn or learnt.
HEAVY = ("sklearn", "scipy.stats", "pandas", "matplotlib", "torch", "stable_baselines3", "pyarrow")


def test_a_world_at_hand_is_played_without_what_only_building_needs(tmp_path):
    """Of a process that finds its world on disk; the first one builds and keeps it."""
    code = (
        f"import sys, longplay; print(*(name for name in {HEAVY} if name in sys.modules), 'imported')\n"
        "import gymnasium; from longplay.envs.kept import shelf; shelf.WORTH = 0.0\n"
        "env = gymnasium.make('longplay/Tiny-v0', disable_env_checker=True); env.unwrapped.world\n"
        "longplay.envs.catalogs.registry.CATALOGS['films']()\n"
        f"print(*(name for name in {HEAVY} if name in sys.modules), 'played')"
    )
    environment = {**os.environ, "LONGPLAY_CACHE": str(tmp_path)}
    said = [
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    ]
    assert said[0].splitlines()[0] == "imported"
    assert "sklearn" in said[0].splitlines()[1]
    assert said[1].splitlines() == ["imported", "played"]

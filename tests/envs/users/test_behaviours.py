"""Behaviours of one's own: the shipped ones given that way live the same lives, and every face runs the others."""

import copy
import inspect
import json
import pickle

import gymnasium
import numpy as np
import pytest

from longplay.envs import engine
from longplay.envs.env import SlateVectorEnv
from longplay.envs.make import make_vector_env, make_world
from longplay.envs.shared import notices
from longplay.envs.users import dynamics
from longplay.envs.users.behaviours import BEHAVIOURS, digest_behaviours, get_plain, read_behaviours
from longplay.envs.users.constants import ScenarioError
from longplay.envs.users.params import Scenario
from longplay.envs.users.world import build_world
from longplay.tests.envs.named.test_golden import CANDIDATES, LIVES, trace
from longplay.tests.envs.users import own
from longplay.tests.envs.users.contracts import BehaviourContract, as_plain
from longplay.tests.envs.worlds import content, make_catalog, small

NAMES = tuple(BEHAVIOURS)
ME = "longplay.tests.envs.users.own"


@pytest.fixture(scope="module")
def items():
    return make_catalog(120)


def make(items, behaviours, users=4, **changes):
    scenario = small(shape__users=40, **changes).with_behaviours(behaviours)
    return SlateVectorEnv(build_world(items, scenario), users)


def live(env, steps):
    """Random slates, the same for equal `env.num_envs`; the trace of users, choices, leavings and ends."""
    rng, trace = np.random.default_rng(0), []
    env.reset(seed=1)
    for _ in range(steps):
        slates = rng.integers(0, env.single_action_space.nvec[0], env.action_space.shape)
        _, _, churned, over, info = env.step(slates)
        trace.append([info["user"], info["choice"], info["left"], churned, over])
    return np.array(trace, np.int64)


def same(one, other):
    assert content(one.engine.users) == content(other.engine.users)


# --- the shipped ones ------------------------------------------------------------------------------------------------


def test_the_table_has_the_parameters_of_the_shipped_functions():
    for name, behaviour in BEHAVIOURS.items():
        signature = inspect.signature(get_plain(getattr(dynamics, name)))
        assert tuple(signature.parameters) == behaviour.parameters
        assert signature.return_annotation == behaviour.returns


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_behaviour_given_as_ones_own_lives_the_same_lives(items, name):
    shipped, given = make(items, None), make(items, {name: own.SHIPPED[name]})
    np.testing.assert_array_equal(live(given, 40), live(shipped, 40))
    same(given, shipped)
    assert given.engine._loops is not shipped.engine._loops


def test_all_of_them_together_have_the_golden_trace():
    name = "longplay/News-v1"  # a cascade of items that age
    recorded = tuple(json.loads(file.read_text(encoding="utf-8"))[name] for file in (LIVES, CANDIDATES))
    assert trace(name, behaviours=own.SHIPPED) == recorded


def test_without_any_the_loops_are_those_kept_on_disk(items):
    assert make(items, None).engine._loops is engine.SHIPPED
    assert make(items, {}).engine._loops.read_slates is engine._read_slates


# --- one's own -------------------------------------------------------------------------------------------------------


class TestLeaving(BehaviourContract):
    name, function = "leaves", staticmethod(own.leaves_by_the_clock)
    monotone = (("session_minutes", np.linspace(0, 80, 9), 1),)


class TestChoosing(BehaviourContract):
    name, function = "choose", staticmethod(own.takes_the_first)


class TestGap(BehaviourContract):
    name, function = "draw_gap", staticmethod(own.comes_back_next_day)


class TestWatching(BehaviourContract):
    name, function = "watch", staticmethod(dynamics.watch)
    monotone = (("utility", np.linspace(-2, 2, 9), 1),)


class TestUncompiled(BehaviourContract):
    name, function, compiles = "leaves", staticmethod(own.leaves_by_a_table), False


def test_all_of_ones_own_live_together_compiled_and_plain(items):
    compiled = make(items, own.OWN, 3)
    plain = make(items, {name: as_plain(function) for name, function in own.OWN.items()}, 3)
    trace = live(compiled, 25)
    np.testing.assert_array_equal(live(plain, 25), trace)
    for field in ("clock", "satiation", "satisfaction", "trust", "momentum"):
        np.testing.assert_allclose(plain.engine.users[field], compiled.engine.users[field], rtol=1e-9)
    assert (compiled.engine.users["completion"] == (compiled.engine.users["choice"] >= 0)).all()
    assert (trace[:, 2] == 1).sum() > 3


def test_what_is_called_of_the_user_model_is_this_worlds(items):
    """An own choice asks `weigh`, and that an own `attract`: as if their code had been written there."""
    both = make(items, {"attract": own.likes_no_more, "choose": own.chooses_as_shipped})
    one, none = make(items, {"attract": own.likes_no_more}), make(items, None)
    for env in (both, one, none):
        live(env, 30)
    same(both, one)
    assert content(one.engine.users) != content(none.engine.users)


def test_by_its_own_name_a_function_builds_on_what_was_shipped(items):
    env = make(items, {"leaves": own.leaves_sooner})
    live(env, 60)
    assert env.engine.users["depth"].max() <= 2


def test_equal_behaviours_are_compiled_once(items):
    one, other = make(items, {"leaves": own.leaves_sooner}), make(items, {"leaves": own.leaves_sooner}, 7)
    assert one.engine._loops is other.engine._loops
    assert len(one.engine._loops.read_slates.signatures) == 1


def test_threads_change_nothing(items):
    world = make(items, {"leaves": own.leaves_sooner}).world
    one, two = SlateVectorEnv(world, 5), SlateVectorEnv(world, 5, threads=2)
    np.testing.assert_array_equal(live(one, 30), live(two, 30))
    same(one, two)
    two.close()


# --- doors -----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*out of date")
def test_every_door_takes_them(items, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(f'base = "video"\n[shape]\nusers = 40\n[behaviours]\nleaves = "{ME}:leaves_sooner"\n')
    options = {"catalog": items, "scenario": {"shape.users": 40}}
    given = {"behaviours": {"leaves": own.leaves_sooner}}
    envs = [
        gymnasium.make("longplay/Video-v0", **options, **given).unwrapped,
        gymnasium.make_vec("longplay/Video-v0", num_envs=2, **options, **given),
        make_vector_env(2, catalog=items, scenario=file),
        make_vector_env(2, catalog=items, scenario={"behaviours.leaves": own.leaves_sooner, "shape.users": 40}),
        make_vector_env(2, **options, behaviours={"leaves": f"{ME}:leaves_sooner"}),
    ]
    for env in envs:
        assert env.world.scenario.behaviours == {"leaves": own.leaves_sooner}
    assert make_world(file, items) is envs[2].world
    assert envs[4].world.items is envs[2].world.items  # the same world, told by another name
    assert "own leaves" in repr(envs[2].world.scenario)


def test_what_a_file_has_loaded_is_said_once(capsys):
    notices._SAID.clear()
    for _ in range(2):
        Scenario.load("video").with_behaviours({"leaves": f"{ME}:leaves_sooner"})
    said = capsys.readouterr().err
    assert said == f"longplay: users' leaves is {ME}:leaves_sooner of {own.__file__}\n"


def test_ones_own_add_to_those_of_the_base():
    scenario = small().with_behaviours({"leaves": own.leaves_sooner}).with_overrides({"leave.skips": 1})
    both = scenario.with_behaviours({"watch": own.watches_all})
    assert both.behaviours == {"watch": own.watches_all, "leaves": own.leaves_sooner}
    assert both.with_strength(0.5).behaviours == both.behaviours


@pytest.mark.filterwarnings("ignore:.*out of date")
def test_a_specification_makes_the_same_environment_again(items):
    options = {"catalog": items, "scenario": {"shape.users": 40}, "behaviours": {"watch": own.watches_all}}
    env = gymnasium.make("longplay/Video-v0", **options).unwrapped
    spec = gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json())
    assert spec.kwargs["behaviours"] == {"watch": f"{ME}:watches_all"}
    assert gymnasium.make(spec).unwrapped.world.scenario == env.world.scenario
    spec = gymnasium.make("longplay/Video-v0", catalog=items, scenario=env.world.scenario).unwrapped.spec
    assert json.loads(spec.to_json())["kwargs"]["scenario"]["behaviours.watch"] == f"{ME}:watches_all"


@pytest.mark.filterwarnings("ignore:.*out of date")
def test_a_function_without_an_address_has_no_specification_in_json(items):
    env = make_vector_env(1, catalog=items, scenario=small(), behaviours={"watch": lambda p, user, utility: 1.0})
    spec = gymnasium.make("longplay/Video-v0", catalog=items, scenario=env.world.scenario).unwrapped.spec
    with pytest.raises(ScenarioError, match=r"<lambda> has no address .* move it to the top of a module"):
        spec.to_json()


# --- identity and state ----------------------------------------------------------------------------------------------


def test_digests_tell_behaviours_apart():
    bare = small()
    digests = [bare.digest, bare.with_behaviours(None).digest, bare.with_behaviours({}).digest]
    assert len(set(digests)) == 1
    others = [{"leaves": own.leaves_sooner}, {"leaves": own.leaves_by_the_clock}, {"watch": own.watches_all}, own.OWN]
    digests += [bare.with_behaviours(other).digest for other in others]
    assert len(set(digests)) == 1 + len(others)


def test_a_digest_is_of_what_the_code_does():
    def make(share, around=3):
        def watch(p, user, utility):
            return share if utility > 0 else helper(around)

        def helper(x):
            return 1.0 / x

        return digest_behaviours({"watch": watch})

    assert make(0.5) == make(0.5)
    assert len({make(0.5), make(0.6), make(0.5, 4)}) == 3
    before = digest_behaviours({"leaves": own.leaves_by_a_table})
    own.WORDS["base"] = 0.2
    try:
        assert digest_behaviours({"leaves": own.leaves_by_a_table}) != before
    finally:
        own.WORDS["base"] = 0.1
    assert digest_behaviours({"watch": own.watches_all}) == digest_behaviours({"watch": as_plain(own.watches_all)})


def test_a_thing_that_cannot_be_told_apart_is_refused():
    thing = object()
    with pytest.raises(ScenarioError, match=r"behaviours.watch uses <object .* of type object, by which worlds cannot"):
        _ = small().with_behaviours({"watch": lambda p, user, utility: float(thing is None)}).digest


def test_worlds_and_environments_are_pickled_and_copied(items):
    env = make(items, {"leaves": own.leaves_sooner})
    live(env, 10)
    pickled = pickle.loads(pickle.dumps(env))  # noqa: S301  # which was made here
    for other in (pickled, copy.deepcopy(env)):
        assert other.world.scenario == env.world.scenario
        slates = np.ones(env.action_space.shape, int)
        np.testing.assert_array_equal(other.step(slates)[0]["context"], copy.deepcopy(env).step(slates)[0]["context"])


def test_a_state_of_other_behaviours_is_refused(items):
    mine, theirs, bare = (make(items, b) for b in ({"leaves": own.leaves_sooner}, {"watch": own.watches_all}, None))
    for env in (mine, theirs, bare):
        env.reset(seed=1)
    state = mine.save_state()
    slates = np.ones(mine.action_space.shape, int)
    expected = mine.step(slates)[0]
    again = make(items, {"leaves": own.leaves_sooner})
    again.load_state(state)
    np.testing.assert_array_equal(again.step(slates)[0]["context"], expected["context"])
    for env, other in ((theirs, state), (bare, state), (mine, bare.save_state())):
        with pytest.raises(ValueError, match=r"state is of another scenario than this .*\(scenario, .*, behaviours,"):
            env.load_state(other)


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"leave": own.leaves_sooner},
            r"behaviour = 'leave' is unknown \(did you mean 'leaves'\?\); allowed: 'attract', ",
        ),
        ({"leaves": 3}, r"behaviours.leaves = 3 must be a function \(p, work, user\) -> bool"),
        ({"leaves": print}, r"behaviours.leaves = <built-in function print> must be a function"),
        ({"leaves": own.watches_all}, None),
        (
            {"leaves": own.churns_seldom},
            r"is churns_seldom\(p, user\); it must have the 3 parameters of \(p, work, user\)",
        ),
        ({"leaves": lambda *given: True}, r"it must have the 3 parameters of \(p, work, user\) -> bool, in this order"),
        ({"leaves": "mine.py:f"}, r"module mine.py cannot be imported .*put its folder on PYTHONPATH"),
        ({"leaves": "/tmp/mine.py:f"}, r"must be 'package.module:function'; .* neither a path nor a URL"),
        ({"leaves": "https://somewhere/mine:f"}, r"must be 'package.module:function'"),
        ({"leaves": "leaves_sooner"}, r"must be 'package.module:function'"),
        ({"leaves": f"{ME}:leaves_later"}, r"module .*own has no 'leaves_later'; define it there, or name another"),
        (["leaves"], r"behaviours = \['leaves'\] must be a dictionary or a table"),
    ],
)
def test_a_mistake_is_named_with_the_fix(given, message):
    if message is None:
        read_behaviours("mine", given)  # three parameters, whatever they are called
        return
    with pytest.raises(ScenarioError, match=message):
        make_vector_env(1, scenario=small(), behaviours=given)


def returns_a_number(p, work, user):
    return 1.0


def returns_nothing(p, user, utility):
    user.fatigue += 1.0


def too_much(p, user, utility):
    return 1.5


def no_number(p, user):
    return float("nan")


def beyond_the_slate(p, work, items, user):
    return len(user.slate)


def below_nothing(user, days):
    user.satiation[0] = -1.0


def infinite(p, user, items, item):
    user.satisfaction = float("inf")


@pytest.mark.parametrize("plain", [False, True], ids=["compiled", "plain"])
@pytest.mark.parametrize(
    ("name", "function", "found"),
    [("leaves", returns_a_number, ".*float64|1.0"), ("watch", returns_nothing, ".*none|None")],
)
def test_a_wrong_type_is_named(items, name, function, found, plain):
    message = (
        rf"behaviours.{name} returned ({found}); it must be a function \(.*\) -> {BEHAVIOURS[name].returns.__name__}"
    )
    with pytest.raises(ScenarioError, match=message):
        live(make(items, {name: as_plain(function) if plain else function}), 20)


@pytest.mark.parametrize("plain", [False, True], ids=["compiled", "plain"])
@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("watch", too_much),
        ("draw_gap", no_number),
        ("choose", beyond_the_slate),
        ("fade", below_nothing),
        ("judge", infinite),
    ],
)
def test_a_broken_promise_is_named_before_it_does_harm(items, name, function, plain):
    env = make(items, {name: as_plain(function) if plain else function})
    with pytest.raises(ValueError, match=f"behaviours.{name} broke its promise: {BEHAVIOURS[name].promise}"):
        live(env, 40)


def test_what_numba_does_not_compile_runs_as_plain_python_and_says_so_once(items, capsys):
    notices._SAID.clear()
    for users in (1, 2):
        make(items, {"leaves": own.leaves_by_a_table}, users)
    said = [line for line in capsys.readouterr().err.splitlines() if "plain Python" in line]
    assert len(said) == 1
    assert "behaviours run as plain Python, 50 to 1,000 times as slow (leaves: Numba does not compile it, " in said[0]
    make(items, {"watch": as_plain(own.watches_all)})
    assert "(watch: marked so)" in capsys.readouterr().err

"""The dial: at 0 nothing shown now changes anything later, at 1 it is the scenario, in between it scales."""

import math

import gymnasium
import numpy as np
import pytest

import longplay
from longplay.envs.env import SlateVectorEnv
from longplay.envs.make import make_vector_env, make_world
from longplay.envs.users.constants import ScenarioError
from longplay.envs.users.params import COUPLED, Scenario, list_scenarios
from longplay.envs.users.records import ACTIVE, CHURNED, HORIZON
from longplay.envs.users.world import build_world
from longplay.tests.envs.worlds import aged, content, remembering, small

USERS = 60
STEPS = 100
# Where the users are, and who they are; not what they consumed.
PLACES = ["clock", "gap", "session", "depth", "session_minutes", "day", "status", "left", "taste", "id", "leave_logit"]
SHAPE = {f"shape__{key}": value for key, value in vars(Scenario.load("video").shape).items() if key != "types"}


def sized(name):
    """A shipped scenario in the sizes of Video, so that nothing is compiled anew; with clicks even where items age."""
    clicks = {"choice__nothing": -5.0} if Scenario.load(name).read_number("items_life") else {}
    return small(name, **SHAPE | {"shape__users": 200, "shape__candidates": 64} | clicks)


SCENARIOS = {name: sized(name) for name in list_scenarios()}
SCENARIOS |= {"aged": aged(), "position": aged(choice__model="position")}
SCENARIOS |= {"remembering": remembering(), "remembering aged": aged(remembering)}
scenarios = pytest.mark.parametrize("name", SCENARIOS)


def slates(rng):
    return rng.integers(0, 301, (USERS, 10))


def live(world, policy, steps=STEPS):
    """Records of the users after each slate, (steps, USERS), and what each slate paid."""
    env = SlateVectorEnv(world, USERS, autoreset_mode="Disabled", reward="minutes")
    env.reset(seed=5, options={"users": np.arange(USERS)})
    records, paid = [], []
    for step in range(steps):
        paid.append(env.step(policy(step))[1])
        records.append(env.engine.users.copy())
    return np.stack(records), np.array(paid)


def policies():
    rng = np.random.default_rng(0)
    order = [slates(rng) for _ in range(STEPS)]
    return {
        "random": lambda step: order[step],
        "nothing": lambda step: np.zeros((USERS, 10), np.int64),
        "the same": lambda step: np.full((USERS, 10), 7),
        "ten": lambda step: np.tile(np.arange(1, 11), (USERS, 1)),
    }


@scenarios
def test_without_strength_slates_change_no_place_and_no_time(catalog, name):
    world = build_world(catalog, SCENARIOS[name].with_strength(0))
    found = {key: live(world, policy)[0] for key, policy in policies().items()}
    assert (found["random"]["choice"] != found["ten"]["choice"]).any()
    for key in ("nothing", "the same", "ten"):
        for field in PLACES:
            assert found[key][field].tobytes() == found["random"][field].tobytes(), field
    assert found["random"]["session"].max() >= 2
    if name != "tiny":  # whose lives are short
        assert set(found["random"]["status"][-1]) >= {CHURNED} | ({HORIZON} & set(found["nothing"]["status"][-1]))


@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - {"control"}))
def test_with_strength_they_do(catalog, name):
    """The test above can fail."""
    world = build_world(catalog, SCENARIOS[name])
    found = [live(world, policy)[0] for policy in policies().values()]
    assert len({content(records[PLACES]) for records in found}) > 1


@scenarios
def test_without_strength_what_a_slate_pays_depends_on_it_alone(catalog, name):
    """So expected rewards add up over slates: whatever was shown before, the same slate brings the same."""
    world = build_world(catalog, SCENARIOS[name].with_strength(0))
    rng = np.random.default_rng(1)
    order, others = [slates(rng) for _ in range(STEPS)], [slates(rng) for _ in range(STEPS)]
    one, paid = live(world, lambda step: order[step])
    two, got = live(world, lambda step: order[step] if step % 3 == 2 else others[step])
    same = np.arange(STEPS) % 3 == 2
    assert paid[same].tobytes() == got[same].tobytes()
    read = same[:, None] & (np.roll(one["status"], 1, axis=0) == ACTIVE)  # who has finished reads nothing
    for field in ("choice", "completion"):
        assert one[field][read].tobytes() == two[field][read].tobytes()
    assert (paid[~same] != got[~same]).any()
    assert (paid[same] > 0).sum() > 10


@pytest.mark.parametrize("name", ["video", "aged", "remembering"])
def test_with_strength_what_a_slate_pays_depends_on_those_before(catalog, name):
    world = build_world(catalog, SCENARIOS[name])
    rng = np.random.default_rng(1)
    order, others = [slates(rng) for _ in range(9)], [slates(rng) for _ in range(9)]
    _, paid = live(world, lambda step: order[step], 9)
    _, got = live(world, lambda step: order[step] if step == 8 else others[step], 9)
    assert (paid[8] != got[8]).any()


@pytest.mark.parametrize("strength", [0, 0.0, 0.3, 2])
@scenarios
def test_exactly_the_coupling_is_scaled(name, strength):
    scenario = SCENARIOS[name]
    scaled = scenario.with_strength(strength)
    for key, value in scenario.values.items():
        if key in COUPLED:
            assert scaled.values[key] == strength * value
        elif key == "time_coupling":
            assert scaled.values[key] == min(1.0, strength * value)
        else:
            assert scaled.values[key] == value
    assert (scaled.name, scaled.shape, scaled.hours) == (scenario.name, scenario.shape, scenario.hours)
    assert (scaled.sources, scaled.catalog, scaled.reward) == (scenario.sources, scenario.catalog, scenario.reward)


@scenarios
def test_strength_1_is_the_scenario(name):
    assert SCENARIOS[name].with_strength(1) is SCENARIOS[name]
    assert SCENARIOS[name].with_strength(1.0).digest == SCENARIOS[name].digest


def test_strengths_multiply():
    assert small().with_strength(0.5).with_strength(0.5) == small().with_strength(0.25)


@pytest.mark.parametrize("strength", [0, 0.5])
def test_the_same_people_and_items_exist_at_any_strength(catalog, strength):
    one, other = build_world(catalog, aged()), build_world(catalog, aged().with_strength(strength))
    assert content(one.items) == content(other.items)
    rest = [name for name in one.people.dtype.names if name != "sensitivity"]
    assert content(one.people[rest]) == content(other.people[rest])
    np.testing.assert_allclose(other.people["sensitivity"], strength * one.people["sensitivity"], rtol=1e-12)


@pytest.mark.parametrize("wrong", [-0.1, 10.5, math.nan, math.inf, "much", None])
def test_a_strength_that_is_none_is_refused(catalog, wrong):
    with pytest.raises(ScenarioError, match=rf"dynamics_strength = {wrong!r} is out of range; allowed: 0 to 5"):
        small().with_strength(wrong)
    with pytest.raises(ScenarioError, match=r"dynamics_strength = .* is out of range"):
        make_vector_env(1, catalog=catalog, dynamics_strength=wrong)


def test_limits_are_those_of_the_scenario_that_is_scaled():
    """Momentum of News leaves its own from 4.39 on."""
    scaled = small(repeat__penalty=20.0).with_strength(3)
    assert scaled.values["repeat_penalty"] == 60
    assert scaled.with_overrides({"horizon.days": 5}).values["repeat_penalty"] == 60  # and it stays a scaled one
    with pytest.raises(ScenarioError, match=r"repeat.penalty = 60.1 is out of range; allowed: 0 to 60"):
        scaled.with_overrides({"repeat.penalty": 60.1})
    with pytest.raises(ScenarioError, match=r"choice.appeal = 11 is out of range; allowed: 0 to 10 "):
        scaled.with_overrides({"choice.appeal": 11})  # which the dial does not scale
    with pytest.raises(ScenarioError, match=r"repeat.penalty = 20.5 is out of range; allowed: 0 to 20 "):
        small(repeat__penalty=20.5)


@pytest.mark.parametrize("strength", [0, 1, 2, 5])
def test_what_ignored_impressions_and_trust_do_is_scaled_and_how_long_it_lasts_is_not(catalog, strength):
    """At the ends of what is allowed, which is what it was before it was scaled; and such a world can be lived in."""
    ends = {"impression__weight": 5.0, "choice__trust": 20.0}
    scaled = remembering(**ends, shape__users=20).with_strength(strength)
    assert (scaled.values["impression_weight"], scaled.values["choice_trust"]) == (5.0 * strength, 20.0 * strength)
    assert scaled.values["repeat_penalty"] == 3.0 * strength
    for key in ("impression_recovery", "impression_memory", "repeat_recovery", "trust_vain", "satisfaction_idle"):
        assert scaled.values[key] == remembering().values[key]
    most = 5 * max(strength, 1)
    with pytest.raises(
        ScenarioError, match=rf"impression.weight = {most + 0.1} is out of range; allowed: 0 to {most} "
    ):
        scaled.with_overrides({"impression.weight": most + 0.1})
    env = SlateVectorEnv(build_world(catalog, scaled), 20, autoreset_mode="SameStep")
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(40):
        observation, reward, *_ = env.step(rng.integers(0, 40, (20, 10)))
        assert observation in env.observation_space
        assert np.isfinite(reward).all()
    assert np.isfinite(env.engine.users["trust"]).all()


def test_a_dial_that_is_turned_twice_ends_at_5():
    with pytest.raises(
        ScenarioError,
        match=r"= 2 of scenario 'video', which is scaled by 3 already, makes 6; .*5 in all, so at most 1.66667 here",
    ):
        small().with_strength(3).with_strength(2)
    assert small().with_strength(0.5).with_strength(5).strength == 2.5


@pytest.mark.parametrize("strength", [0, 1, 2, 5])
@pytest.mark.parametrize("name", sorted(longplay.ENVIRONMENTS))
def test_every_shipped_id_is_made_at_any_strength(catalog, name, strength):
    sizes = {} if name.startswith("longplay/Tiny") else {"shape.users": 50}
    env = gymnasium.make_vec(name, num_envs=100, dynamics_strength=strength, catalog=catalog, scenario=sizes)
    own = Scenario.load(longplay.ENVIRONMENTS.card(name).words["scenario"])
    scenario = env.unwrapped.world.scenario
    assert {key: scenario.values[key] for key in COUPLED} == {key: strength * own.read_number(key) for key in COUPLED}
    env.reset(seed=0)
    rng, clicks = np.random.default_rng(0), 0
    for _ in range(20):
        observation, reward, _, _, info = env.step(rng.integers(0, 301, env.action_space.shape))
        assert observation in env.observation_space
        assert np.isfinite(reward).all()
        clicks += (info["choice"] >= 0).sum()
    assert clicks > 0


def test_the_dial_is_an_argument_of_the_environment(catalog):
    env = make_vector_env(2, catalog=catalog, scenario=small(), dynamics_strength=0.5)
    assert env.world.scenario == small().with_strength(0.5)
    assert make_world(small(), catalog).scenario == small()

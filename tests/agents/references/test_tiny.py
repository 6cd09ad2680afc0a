"""The exact planner of Tiny against the compiled user model, simulated lives and brute force over policies."""

import itertools
import math

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from scipy.stats import chi2, norm

from longplay.agents.base import Agent
from longplay.agents.references.tiny import MOST_SKIPS, START, State, TinyPlanner
from longplay.envs.engine import Engine
from longplay.envs.env import SlateVectorEnv
from longplay.envs.make import make_world
from longplay.envs.users.params import Scenario
from longplay.envs.users.records import ACTIVE

LIVES = 20_000
COPIES = 50_000  # of each state, with luck of their own
STATES = [
    START,
    State(7, 1, True, 0),
    State(7, 2, True, 0),
    State(20, 1, False, 1),
    State(33, 2, False, 2),
    State(41, 2, False, 3),
    State(46, 1, True, 0),
    State(47, 2, True, 0),  # the last slate before the horizon
]


@pytest.fixture(scope="module")
def world():
    return make_world("tiny")


@pytest.fixture(scope="module")
def planner(world):
    return TinyPlanner(world)


@pytest.fixture(scope="module")
def greedy(world):
    return TinyPlanner(world, greedy=True)


def place(world, state):
    """(COPIES,) users of the engine in one state of the planner, with luck of their own."""
    engine = Engine(world, COPIES)
    engine.seed(np.zeros(COPIES, np.int64), np.ones(COPIES, bool))
    engine.begin(np.ones(COPIES, bool), np.zeros(COPIES, np.int64))
    users = engine.users
    users["k0"], users["k1"] = np.random.default_rng(state.tick).integers(0, 2**32, (2, COPIES), np.uint32)
    users["clock"], users["day"], users["session"] = state.tick / 8, state.tick // 8, 1
    users["satiation"], users["momentum"] = 0.0, 0.0
    if state.last:
        topics = world.topics[state.last]
        users["momentum"] = topics
        users["satiation"] = topics if state.fresh else 0.0
        users["history_items"][:, 0] = state.last
        users["history_time"][:, 0] = state.tick / 8 - state.skips / 8
    users["skips"] = state.skips
    users["depth"] = state.skips + (state.last > 0)
    return engine


def where(users, before):
    """What became of users: the planner's state, or None for the end, and the minutes they paid."""
    found = []
    for user in users:
        if user["status"] != ACTIVE:
            state = None
        elif user["left"]:
            state = State(round(8 * float(user["clock"])), 0, False, 0)
        else:
            last = int(user["history_items"][0]) if user["choice"] >= 0 else before.last
            state = State(before.tick + 1, last, user["choice"] >= 0, min(int(user["skips"]), MOST_SKIPS))
        found.append((state, round(float(user["minutes"]), 6)))
    return found


def tally(pairs):
    """Sum of the weights of equal things."""
    total = {}
    for thing, weight in pairs:
        total[thing] = total.get(thing, 0.0) + weight
    return total


class TestOutcomes:
    def test_probabilities_sum_to_one_and_time_moves_forward(self, planner):
        for place, state in enumerate(planner.walk_back()):
            outcomes = planner.list_events(
                state, planner.slates[place % 7]
            )  # 7 and the states of a tick have no divisor
            assert math.fsum(o.chance for o in outcomes) == pytest.approx(1.0, abs=1e-12)
            assert min(o.chance for o in outcomes) >= 0
            after = [o.state for o in outcomes if o.state]
            assert all(state.tick < s.tick < planner.ticks for s in after)
            assert all(s in planner.solution for s in after)

    def test_seven_slates_differ(self, planner):
        assert sorted(planner.slates) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]

    @pytest.mark.parametrize("state", STATES)
    @pytest.mark.parametrize("slate", [(2, 1), (0, 1)])
    def test_the_compiled_model_leads_to_the_same_states_with_the_same_chances(self, planner, world, state, slate):
        expected = tally(((o.state, round(o.minutes, 6)), COPIES * o.chance) for o in planner.list_events(state, slate))
        engine = place(world, state)
        engine.read(np.tile(slate, (COPIES, 1)))
        seen = tally((thing, 1) for thing in where(engine.users, state))
        assert set(seen) <= set(expected)
        # Chi-square; what is rare is put together.
        common = [thing for thing, count in expected.items() if count >= 5]
        pairs = [(seen.get(thing, 0), expected[thing]) for thing in common]
        pairs.append((COPIES - sum(s for s, _ in pairs), max(COPIES - sum(e for _, e in pairs), 1e-9)))
        pairs = [(s, e) for s, e in pairs if e > 1e-6 or s]
        statistic = sum((s - e) ** 2 / e for s, e in pairs)
        assert chi2.sf(statistic, max(len(pairs) - 1, 1)) > 1e-4
        if state.tick < 40:
            assert len(common) > 5


def simulate(world, agent, lives=LIVES):
    """(lives,) minutes of whole lives, each user with luck of their own."""
    env = SlateVectorEnv(world, lives, autoreset_mode=AutoresetMode.DISABLED)
    observation, _ = env.reset(seed=3)
    total, active = np.zeros(lives), np.ones(lives, bool)
    states = []
    while active.any():
        some = {key: value[active] for key, value in observation.items()}
        slates = np.zeros((lives, 2), np.int64)
        slates[active] = agent.act(some)
        states.append((some, env.engine.users[active].copy()))
        observation, reward, terminated, truncated, _ = env.step(slates)
        total += reward
        active = ~(terminated | truncated)
    return total, states


class Mixed:
    """Any of the seven slates, at random."""

    def __init__(self, planner):
        self.slates, self.rng = np.array(planner.slates), np.random.default_rng(0)

    def act(self, observation):
        return self.slates[self.rng.integers(len(self.slates), size=len(observation["context"]))]


def inside(sample, value, level=0.999):
    return abs(sample.mean() - value) <= norm.isf((1 - level) / 2) * sample.std() / math.sqrt(len(sample))


class TestValue:
    def test_it_is_an_agent(self, planner, greedy):
        assert isinstance(planner, Agent)
        assert not planner.privileged
        assert (planner.name, greedy.greedy) == ("planner", True)

    def test_simulated_lives_have_the_planned_value(self, world, planner):
        minutes, _ = simulate(world, planner)
        assert inside(minutes, planner.value)

    def test_greedy_lives_have_theirs_and_are_worse_by_a_margin(self, world, planner, greedy):
        minutes, _ = simulate(world, greedy)
        assert inside(minutes, greedy.value)
        assert greedy.value < 0.8 * planner.value

    def test_a_fixed_slate_has_the_value_that_evaluation_gives(self, world, planner):
        class Fixed:
            def act(self, observation):
                return np.tile((1, 2), (len(observation["context"]), 1))

        minutes, _ = simulate(world, Fixed())
        assert inside(minutes, planner.evaluate(lambda state: (1, 2)))

    def test_evaluation_of_its_own_slates_is_its_value(self, planner, greedy):
        for agent in (planner, greedy):
            assert agent.evaluate(lambda state, agent=agent: agent.solution[state][1]) == pytest.approx(agent.value)

    def test_no_policy_is_worth_more(self, planner):
        rng = np.random.default_rng(0)
        for slate in planner.slates:
            assert planner.evaluate(lambda state, slate=slate: slate) < planner.value
        for share in (0.02, 0.3):
            kept = {state: rng.random() > share for state in planner.walk_back()}
            other = {state: planner.slates[rng.integers(7)] for state in planner.walk_back()}
            worth = planner.evaluate(
                lambda state, kept=kept, other=other: planner.solution[state][1] if kept[state] else other[state]
            )
            assert worth <= planner.value + 1e-12

    @pytest.mark.parametrize("slates", [2, 3])
    def test_brute_force_over_all_policies_of_a_short_life(self, slates):
        # Every map from the states met to slates; states are found by following every slate.
        scenario = Scenario.load("tiny").with_overrides({"horizon.days": slates / 8})
        short = TinyPlanner(make_world(scenario))
        assert short.ticks == slates
        some = [(2, 0), (1, 2)] if slates == 3 else short.slates
        short.slates = some

        def best(state):
            """The best of all trees of slates, worked out forwards and without a table."""
            return max(
                sum(
                    o.chance * (o.minutes + (best(o.state) if o.state else 0.0))
                    for o in short.list_events(state, slate)
                )
                for slate in some
            )

        assert short.value == pytest.approx(best(START), rel=1e-12)
        reached = {START}
        for _ in range(slates - 1):
            reached |= {o.state for s in reached for slate in some for o in short.list_events(s, slate) if o.state}
        assert len(reached) > 3
        assert len(some) ** len(reached) < 30_000
        worth = []
        for choice in itertools.product(some, repeat=len(reached)):
            policy = dict(zip(reached, choice, strict=True))
            worth.append(lived(short, START, policy))
        assert short.value == pytest.approx(max(worth), rel=1e-12)


def lived(planner, state, policy):
    """Value of a policy by following every outcome forwards."""
    outcomes = planner.list_events(state, policy[state])
    return sum(o.chance * (o.minutes + (lived(planner, o.state, policy) if o.state else 0.0)) for o in outcomes)


def test_states_are_read_off_the_observation(world, planner):
    _, met = simulate(world, Mixed(planner), 300)
    found = set()
    for observation, users in met:
        for state, user in zip(planner.read_states(observation), users, strict=True):
            assert state.tick == pytest.approx(8 * user["clock"], abs=1e-6)
            consumed = user["momentum"].any()
            assert state.last == (user["history_items"][0] if consumed else 0)
            assert state.fresh == (user["satiation"].max() > 1e-6)
            assert state.skips == min(user["skips"], MOST_SKIPS)
            if consumed:
                np.testing.assert_allclose(user["momentum"], world.topics[state.last], atol=1e-6)
            found.add(state)
    assert found <= set(planner.solution)
    assert len(found) > 100


DEMANDS = {
    "shape.types": 2,
    "choice.model": "cascade",
    "satiation.kind": "saturating",
    "satiation.seen": 0.1,
    "satiation.recovery": 0.1,
    "momentum.persistence": 0.5,
    "taste.drift": 0.01,
    "items.life": 1.0,
    "repeat.penalty": 1.0,
    "second.weight": 0.5,
    "dwell.noise": 0.5,
    "dwell.utility": 0.5,
    "choice.trust": 1.0,
    "satisfaction.rate": 0.5,
    "satisfaction.idle": 0.5,
    "trust.rate": 0.5,
    "trust.vain": 0.5,
    "churn.frailty": 0.5,
    "habit.gap": 0.5,
    "leave.fatigue": 0.5,
    "time.coupling": 0.5,
    "time.pace": 200.0,
    "gap.scale": 0.0,
    "gap.habit": 0.5,
    "gap.step": 0.5,
    "day.arrival": 0.5,
    "day.chronotype": 1.0,
    "day.hours": [1.0] * 12 + [2.0] * 12,
}


def test_a_user_who_has_finished_is_shown_nothing(world, planner):
    """Their clock stands at the horizon, where no slate is planned."""
    env = SlateVectorEnv(world, 200, autoreset_mode="Disabled")
    observation, _ = env.reset(seed=0)
    over = np.zeros(200, bool)
    while not over.all():
        observation, _, terminated, truncated, _ = env.step(planner.act(observation))
        over = terminated | truncated
    assert truncated.any()
    assert terminated.any()
    slates = planner.act(observation)
    assert (slates[truncated] == 0).all()
    env.step(slates)


@pytest.mark.parametrize("name", list(DEMANDS))
def test_what_leaves_no_finite_problem_is_named(name):
    scenario = Scenario.load("tiny").with_overrides({name: DEMANDS[name]})
    with pytest.raises(ValueError, match=f"^{name} of scenario 'tiny' leaves no finite problem; see 'tiny'"):
        TinyPlanner(make_world(scenario))


def test_impressions_that_leave_a_trace_are_refused():
    scenario = Scenario.load("tiny").with_overrides({"impression.weight": 0.5, "impression.memory": 8})
    with pytest.raises(ValueError, match=r"^impression\.weight of scenario 'tiny' leaves no finite problem"):
        TinyPlanner(make_world(scenario))


def test_other_numbers_are_solved_too():
    scenario = Scenario.load("tiny").with_overrides({"gap.step": 2, "horizon.days": 2.5, "churn.base": -4.0})
    world = make_world(scenario)
    planner = TinyPlanner(world)
    minutes, met = simulate(world, planner)
    assert inside(minutes, planner.value)
    assert max(s.tick for observation, _ in met for s in planner.read_states(observation)) == planner.ticks - 1

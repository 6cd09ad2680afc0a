"""The exact planner of TinyTrust against a value iteration over arrays, the compiled user model and simulated lives."""

import math
from collections import defaultdict
from statistics import NormalDist

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from scipy.stats import chi2, norm

from longplay.agents.base import Agent, select_users
from longplay.agents.references.exact.trust import State, TinyTrustPlanner
from longplay.envs.engine import Engine
from longplay.envs.env import SlateVectorEnv
from longplay.envs.make import make_world
from longplay.envs.users.memory import choose_row
from longplay.envs.users.params import Scenario
from longplay.envs.users.records import ACTIVE

LIVES = 10_000
COPIES = 50_000  # of each state, with luck of their own
OTHERS = {  # finite for the same reasons
    "shipped": {},
    "skips judged": {"satisfaction.idle": 1, "satisfaction.skip": 0.1, "choice.trust": 1.5},
    "trust kept": {"trust.vain": 0, "impression.weight": 0.7, "gap.step": 0.5, "horizon.days": 2.25},
}


def make(changes=None):
    return make_world(Scenario.load("tiny-trust").with_overrides(changes or {}))


@pytest.fixture(scope="module")
def world():
    return make()


@pytest.fixture(scope="module")
def planner(world):
    return TinyTrustPlanner(world)


@pytest.fixture(scope="module")
def greedy(world):
    return TinyTrustPlanner(world, greedy=True)


# --- the world a second way: arrays over all counts, from the constants alone ----------------------------------------

SETS = ((), (1,), (1, 2), (2,))  # what a slate shows, in the order of the planner's slates


def logistic(x):
    return 1.0 / (1.0 + math.exp(-x))


class Arrays:
    """Values by backward induction over arrays (trust, mood, ignored baits, ignored gems), reached or not.

    Trust and mood are places in a list of numbers; the mood of a session in vain is apart, at the end of the list.
    """

    def __init__(self, world):
        self.p, self.items, self.user = world.scenario.params, world.items, world.people[0]
        p = self.p
        self.ticks = math.ceil(p.horizon_days * 1440 / p.time_pace)
        judged = [
            logistic(p.satisfaction_base + p.satisfaction_substance * float(it["substance"])
                     - p.satisfaction_appeal * float(it["appeal"]))
            for it in self.items[1:]
        ]  # fmt: skip
        self.levels = [float(p.trust_start), *judged, float(p.trust_vain_verdict), float(-p.satisfaction_skip)]
        self.vain = 3 if p.trust_vain else None  # where trust goes after a visit in vain; None: where satisfaction is
        self.skip = 4 if p.satisfaction_idle else None  # what a slate without a click leaves; None: what was there
        # Moods: satisfaction at levels 0 to 4 after a click, then the same in vain.
        self.moods = 2 * len(self.levels)

    def gaps(self, trust):
        """(chance of gaps of 1, 2, … steps), and who churns is missing in it."""
        p = self.p
        churn = logistic(p.churn_base - p.churn_trust * (trust - p.churn_trust_pivot))
        log_gap = NormalDist(p.gap_location - p.gap_trust * (trust - p.churn_trust_pivot), p.gap_scale)
        until = [log_gap.cdf(math.log(k * p.gap_step)) if k else 0.0 for k in range(self.ticks + 1)]
        return (1 - churn) * np.diff(until)

    def solve(self, choose):
        """Value of a life; `choose` takes what the four sets pay now and in all, each with the counts' axes last."""
        p, n, levels = self.p, self.ticks + 1, len(self.levels)
        baits, gems = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
        counts, more = (None, baits, gems), np.minimum(np.arange(n) + 1, n - 1)
        later = np.zeros((levels, self.moods, n, n))
        fresh = np.zeros((self.ticks + 1, levels))  # value of a session's beginning, by tick and trust
        step = round(p.gap_step * 1440 / p.time_pace)
        for tick in range(self.ticks - 1, -1, -1):
            back = [tick + 1 + step * k for k in range(1, self.ticks + 1)]
            away = [
                sum(share * fresh[b, t] for share, b in zip(self.gaps(level), back, strict=True) if b < self.ticks)
                for t, level in enumerate(self.levels)
            ]
            values = np.zeros_like(later)
            for trust in range(levels):
                nothing = math.exp(p.choice_nothing - p.choice_trust * (self.levels[trust] - p.churn_trust_pivot))
                for mood in range(self.moods):
                    now, total = np.zeros((2, len(SETS), n, n))
                    for s, shown in enumerate(SETS):
                        pull = {
                            item: math.exp(p.choice_appeal * float(self.items["appeal"][item]))
                            / (1.0 + counts[item]) ** p.impression_weight
                            for item in shown
                        }
                        whole = nothing + sum(pull.values())
                        for item in (0, *shown):
                            if item:
                                level, vain, paid = item, False, 10 * logistic(p.dwell_base)
                            else:
                                level, vain, paid = mood % levels, mood >= levels, 0.0
                                level = level if self.skip is None else self.skip
                            after = later[trust, level + vain * levels]
                            if 1 in shown and item != 1:
                                after = after[more]
                            if 2 in shown and item != 2:
                                after = after[:, more]
                            leaves = logistic(
                                self.user["leave_logit"]
                                - p.leave_satisfaction * (self.levels[level] - p.leave_satisfaction_pivot)
                            )
                            left = away[self.vain if vain and self.vain is not None else level]
                            chance = (pull[item] if item else nothing) / whole
                            future = leaves * left + (1 - leaves) * after if tick + 1 < self.ticks else 0.0
                            now[s] += chance * paid
                            total[s] += chance * (paid + future)
                    values[trust, mood] = np.take_along_axis(total, choose(now, total)[None], 0)[0]
                fresh[tick, trust] = values[trust, trust + levels, 0, 0]
            later = values
        return fresh[0, 0]


@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS)
def test_arrays_over_all_counts_give_the_same_values(changes):
    world = make(changes)
    planner, arrays = TinyTrustPlanner(world), Arrays(world)
    assert planner.value == pytest.approx(arrays.solve(lambda now, total: total.argmax(0)), rel=1e-12)
    myopic = TinyTrustPlanner(world, greedy=True)
    assert myopic.value == pytest.approx(arrays.solve(lambda now, total: now.argmax(0)), rel=1e-12)
    for s, slate in enumerate(planner.slates):
        assert tuple(item for item in slate if item) == SETS[s]
        fixed = arrays.solve(lambda now, total, s=s: np.full(now.shape[1:], s))
        assert planner.evaluate(lambda state, slate=slate: slate) == pytest.approx(fixed, rel=1e-12)


# --- one slate, in the compiled user model ----------------------------------------------------------------------------


def place(world, state):
    """(COPIES,) users of the engine in one state of the planner, with luck of their own."""
    engine = Engine(world, COPIES)
    engine.seed(np.zeros(COPIES, np.int64), np.ones(COPIES, bool))
    engine.begin(np.ones(COPIES, bool), np.zeros(COPIES, np.int64))
    users, p = engine.users, world.scenario.params
    users["k0"], users["k1"] = np.random.default_rng(state.tick).integers(0, 2**32, (2, COPIES), np.uint32)
    users["clock"] = state.tick * p.time_pace / 1440
    users["day"], users["session"] = state.tick * p.time_pace // 1440, 1
    users["trust"], users["satisfaction"] = state.trust, state.satisfaction
    users["depth"] = 3
    users["skips"] = 3 if state.vain else 2
    for item, count in enumerate(state.ignored, 1):
        if count:
            row = choose_row(users[0], item)
            users["memory_item"][:, row, item], users["memory_trace"][:, row, item] = item, math.log(count)
    return engine


def where(users, before, slate):
    """What became of users: the planner's state, or None for the end, and the minutes they paid."""
    for user in users:
        state, trust = None, float(user["trust"])
        if user["status"] == ACTIVE and user["left"]:
            state = State(round(4 * float(user["clock"])), trust, trust, True, (0, 0))
        elif user["status"] == ACTIVE:
            taken = slate[user["choice"]] if user["choice"] >= 0 else 0
            ignored = tuple(n + (i in slate and i != taken) for i, n in enumerate(before.ignored, 1))
            state = State(before.tick + 1, trust, float(user["satisfaction"]), before.vain and not taken, ignored)
        yield round_state(state), round(float(user["minutes"]), 6)


def round_state(state):
    return state and state._replace(trust=round(state.trust, 9), satisfaction=round(state.satisfaction, 9))


@pytest.mark.parametrize("slate", [(2, 1), (1, 0), (0, 2)])
@pytest.mark.parametrize("number", range(6))
def test_the_compiled_model_leads_to_the_same_states_with_the_same_chances(planner, world, number, slate):
    bait, gem = planner.verdicts[1:]
    state = (
        planner.start,
        State(3, 0.5, 0.5, True, (1, 3)),
        State(5, gem, bait, False, (2, 0)),
        State(6, bait, gem, False, (0, 3)),
        State(10, 0.0, 0.0, True, (2, 2)),
        State(11, gem, gem, False, (1, 1)),  # the last slate before the horizon
    )[number]
    assert state in planner.solution
    expected = defaultdict(float)
    for event in planner.list_events(state, slate):
        expected[round_state(event.state), round(event.minutes, 6)] += COPIES * event.chance
    engine = place(world, state)
    engine.read(np.tile(slate, (COPIES, 1)))
    seen = defaultdict(int)
    for thing in where(engine.users, state, slate):
        seen[thing] += 1
    assert set(seen) <= set(expected)
    # Chi-square; what is rare is put together.
    pairs = [(seen[thing], count) for thing, count in expected.items() if count >= 5]
    pairs.append((COPIES - sum(s for s, _ in pairs), max(COPIES - sum(e for _, e in pairs), 1e-9)))
    pairs = [(s, e) for s, e in pairs if e > 1e-6 or s]
    assert chi2.sf(sum((s - e) ** 2 / e for s, e in pairs), max(len(pairs) - 1, 1)) > 1e-4
    assert len(pairs) > 5 or state.tick >= 10


# --- whole lives ------------------------------------------------------------------------------------------------------


def simulate(world, agent, lives=LIVES):
    """(lives,) minutes of whole lives, each user with luck of their own, and all that was observed, with the users."""
    env = SlateVectorEnv(world, lives, autoreset_mode=AutoresetMode.DISABLED)
    observation, _ = env.reset(seed=3)
    total, active, seen = np.zeros(lives), np.ones(lives, bool), []
    slates = np.zeros((lives, 2), np.int64)
    while active.any():
        visible = select_users(observation, active)
        slates[active] = agent.act(visible)
        seen.append((visible, env.engine.users[active].copy()))
        observation, reward, terminated, truncated, _ = env.step(slates)
        total += reward
        active = ~(terminated | truncated)
    return total, seen


class Mixed:
    """Any slate at all, with copies and in any order."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def act(self, observation):
        return self.rng.integers(0, 3, (len(observation["context"]), 2))


class Fixed:
    """One slate."""

    def __init__(self, slate):
        self.slate = slate

    def act(self, observation):
        return np.tile(self.slate, (len(observation["context"]), 1))


def inside(sample, value, level=0.999):
    return abs(sample.mean() - value) <= norm.isf((1 - level) / 2) * sample.std() / math.sqrt(len(sample))


class TestValue:
    def test_it_is_an_agent(self, planner):
        assert isinstance(planner, Agent)
        assert not planner.privileged
        assert planner.slates == [(0, 0), (1, 0), (1, 2), (2, 0)]

    def test_simulated_lives_have_the_planned_value(self, world, planner, greedy):
        assert inside(simulate(world, planner)[0], planner.value)
        assert inside(simulate(world, greedy)[0], greedy.value)

    @pytest.mark.parametrize("slate", [(1, 2), (2, 1), (1, 0), (0, 2)])
    def test_a_fixed_slate_has_the_value_that_evaluation_gives_in_any_order(self, world, planner, slate):
        minutes, _ = simulate(world, Fixed(slate))
        assert inside(minutes, planner.evaluate(lambda state: slate))

    @pytest.mark.parametrize("changes", list(OTHERS.values())[1:], ids=list(OTHERS)[1:])
    def test_other_numbers_are_solved_too(self, changes):
        planner = TinyTrustPlanner(make(changes))
        assert inside(simulate(planner.world, planner)[0], planner.value)

    def test_looking_ahead_pays_and_so_does_reading_the_state(self, planner, greedy):
        assert planner.value > 1.25 * greedy.value
        assert planner.value > 1.25 * max(planner.evaluate(lambda state, s=s: s) for s in planner.slates)

    @pytest.mark.parametrize("part", State._fields)
    def test_the_best_slate_depends_on_each_part_of_the_state(self, planner, part):
        best = defaultdict(set)
        for state, (_, slate) in planner.solution.items():
            best[state._replace(**{part: None})].add(slate)
        assert max(map(len, best.values())) > 1

    def test_no_policy_is_worth_more(self, planner):
        rng = np.random.default_rng(0)
        for share in (0.02, 0.3):
            policy = {
                state: planner.slates[rng.integers(4)] if rng.random() < share else slate
                for state, (_, slate) in planner.solution.items()
            }
            assert planner.evaluate(policy.__getitem__) < planner.value

    def test_chances_sum_to_one_and_time_moves_forward(self, planner):
        for state in planner.walk_back():
            for slate in planner.slates:
                events = planner.list_events(state, slate)
                assert math.fsum(event.chance for event in events) == pytest.approx(1.0, abs=1e-12)
                assert min(event.chance for event in events) >= 0
                assert all(state.tick < e.state.tick < planner.ticks for e in events if e.state)
                assert all(e.state in planner.solution for e in events if e.state)


def test_everything_that_matters_is_read_off_one_observation(world, planner):
    """Trust and satisfaction too, to the last bits in which the compiled model and NumPy may differ."""
    found = set()
    for observation, users in simulate(world, Mixed(), 500)[1]:
        for state, user in zip(planner.read_states(observation), users, strict=True):
            assert state.tick == 4 * user["clock"]
            assert (state.trust, state.satisfaction) == pytest.approx((user["trust"], user["satisfaction"]), abs=1e-12)
            assert state.vain == (user["skips"] == user["depth"])
            counts = dict(zip(user["memory_item"].ravel().tolist(), user["memory_trace"].ravel(), strict=True))
            known = [round(math.exp(counts[i]), 5) if i in counts else 0 for i in (1, 2)]
            assert list(state.ignored) == known
            found.add(state)
    assert found <= set(planner.solution)
    assert len(found) > 400


def test_a_user_who_has_finished_is_shown_nothing_or_anything(world, planner):
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


DEMANDS = {
    "shape.types": 2,
    "shape.history": 8,
    "choice.model": "cascade",
    "choice.position": 0.5,
    "satiation.sensitivity": 0.5,
    "momentum.weight": 0.3,
    "taste.drift": 0.01,
    "items.life": 1.0,
    "repeat.penalty": 1.0,
    "impression.fade": "time",
    "dwell.noise": 0.5,
    "dwell.utility": 0.5,
    "second.weight": 0.5,
    "satisfaction.rate": 0.5,
    "satisfaction.idle": 0.5,
    "trust.rate": 0.5,
    "trust.vain": 0.5,
    "leave.fatigue": 0.5,
    "leave.skips": 0.5,
    "churn.frailty": 0.5,
    "habit.gap": 0.5,
    "time.coupling": 0.5,
    "time.pace": 200.0,
    "gap.scale": 0.0,
    "gap.habit": 0.5,
    "gap.step": 0.0,
    "day.arrival": 0.5,
    "day.chronotype": 1.0,
    "day.hours": [1.0] * 12 + [2.0] * 12,
}


@pytest.mark.parametrize("name", list(DEMANDS))
def test_what_leaves_no_finite_problem_is_named(name):
    with pytest.raises(
        ValueError, match=f"^{name} of scenario 'tiny-trust' leaves no finite problem; see 'tiny-trust'"
    ):
        TinyTrustPlanner(make({name: DEMANDS[name]}))


def test_lives_longer_than_the_slates_that_are_kept_are_refused():
    with pytest.raises(ValueError, match=r"^horizon\.days of scenario 'tiny-trust' leaves no finite problem"):
        TinyTrustPlanner(make({"horizon.days": 6.5, "shape.history": 40}))


def test_a_world_without_a_memory_is_refused():
    with pytest.raises(ValueError, match=r"^impression\.memory of scenario 'tiny-trust' leaves no finite problem"):
        TinyTrustPlanner(make({"impression.memory": 0, "impression.weight": 0}))

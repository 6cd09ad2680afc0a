"""The rollout planner: its users are the engine's, its estimates those of the base policy, its slates better."""

import dataclasses
import math

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from longplay.agents.base import select_users
from longplay.agents.comparison.contestants import make_references
from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.trials import make_life_env
from longplay.agents.references.linear import LinearOracle
from longplay.agents.references.oracles import MyopicOracle
from longplay.agents.references.rollouts import Continuation, RolloutOptions, RolloutPlanner, make_neighbours
from longplay.agents.references.tiny import START, TinyPlanner
from longplay.envs.env import SlateVectorEnv
from longplay.envs.make import make_world
from longplay.envs.users.records import ACTIVE
from longplay.envs.users.world import build_world
from longplay.tests.agents.contracts import AgentContract
from longplay.tests.agents.references.test_linear import STRONG, with_weights
from longplay.tests.agents.small import unit_vectors
from longplay.tests.envs.worlds import small

NOW = 9  # luck of the lives that are played
MEMORY = {
    "impression.weight": 0.5,
    "impression.memory": 64,
    "repeat.recovery": 30.0,
    "choice.trust": 1.0,
    "trust.vain": 0.3,
    "churn.frailty": 1.0,
    "churn.base": -12.0,
    "gap.location": -1.5,
    "shape.users": 400,  # half of the test users of a world with a memory are sealed
}


@pytest.fixture
def observation(states):
    return states[0]


def planned(world, item_vectors, **options):
    """A planner on the myopic oracle with one proposal beside."""
    base = LinearOracle(world, shortlist=24)
    return RolloutPlanner(world, item_vectors, base, [with_weights(base, verdict=8.0)], RolloutOptions(**options))


class TestContract(AgentContract):
    avoids_history = False  # its proposals know what a repeat costs

    @pytest.fixture
    def subject(self, world, item_vectors):
        return planned(world, item_vectors, count=4, batch=64, caution=0.0)

    def test_slates_are_items_without_repeats(self, subject, observation):
        # A proposal may leave slots empty.
        slates = self.act(subject, observation)
        assert slates.dtype == np.int64
        assert slates.shape == (len(observation["candidates"]), self.slots)
        assert slates.max() <= self.items
        for slate in slates:
            shown = slate[slate > 0]
            assert len(set(shown)) == len(shown) > 0

    def test_slates_are_of_the_candidates(self, subject, observation):
        for slate, candidates in zip(self.act(subject, observation), observation["candidates"], strict=True):
            assert set(slate) - {0} <= set(candidates.astype(int))


class TestRecords:
    def test_whole_states_are_rebuilt_from_what_is_observed_and_hidden(self, world, item_vectors, states):
        observation, users = states
        rebuilt = planned(world, item_vectors).read_records(observation)
        rewritten = {"k0", "k1", "luck", "episode", "slate", "choice", "left", "completion", "minutes"}
        rewritten |= {"entered", "evicted"}  # counts for studies
        for name in set(users.dtype.names) - rewritten:
            np.testing.assert_allclose(rebuilt[name], users[name], rtol=1e-5, atol=1e-5, err_msg=name)
        for name in ("id", "residues", "history_items", "day", "satiation", "taste", "trust", "leave_logit"):
            np.testing.assert_array_equal(rebuilt[name], users[name], err_msg=name)

    @pytest.mark.parametrize("model", ["logit", "cascade", "position"])
    def test_a_rebuilt_user_lives_on_as_the_real_one_where_slates_leave_traces(self, catalog, item_vectors, model):
        world = build_world(catalog, small().with_overrides(MEMORY | {"choice.model": model}))
        steps = 30  # more slates than the service keeps
        observation, users, candidates = lives(world, item_vectors, steps, users=10)
        assert (users["slates"] == steps).all()
        assert (users["entered"] > 0).all()
        rebuilt = planned(world, item_vectors).read_records(observation)
        for name in ("memory_item", "memory_trace", "memory_consumed", "frailty"):
            np.testing.assert_array_equal(rebuilt[name], users[name], err_msg=name)
        for name in ("k0", "k1", "luck", "episode"):
            rebuilt[name] = users[name]  # the real luck, which the planner does not know
        real, again = (live_on(world, item_vectors, who, candidates) for who in (users, rebuilt))
        same = (real["choice"] == again["choice"]).all(axis=0)  # a clock in fewer digits may tip a choice
        assert same.mean() > 0.9
        for name in ("minutes", "shown_ids", "ignored"):
            np.testing.assert_allclose(again[name][:, same], real[name][:, same], rtol=1e-3, atol=1e-3, err_msg=name)
        assert len(np.unique(real["session"])) > 3

    def test_people_of_another_world_are_refused(self, world, item_vectors, observation):
        latent = observation["latent"] | {"recovery": observation["latent"]["recovery"] + 1}
        with pytest.raises(ValueError, match=r"nobody in the world has sensitivity .*; plan in the world"):
            planned(world, item_vectors).read_records(observation | {"latent": latent})


def leaves_at_once(p, work, user):
    return True


def test_rollouts_live_by_the_behaviours_of_the_world(world, item_vectors, states):
    impatient = build_world(world.catalog, world.scenario.with_behaviours({"leaves": leaves_at_once}))
    shipped, own = (planned(one, item_vectors, count=4, batch=64) for one in (world, impatient))
    slates = shipped.propose(states[0])
    longest = world.items["minutes"].max()
    assert own.try_slates(states[0], slates).max() <= longest < shipped.try_slates(states[0], slates).max()


def lives(world, item_vectors, steps, users=16):
    """An observation after `steps` slates of the myopic oracle, records and candidates, of those who are there."""
    env, base = make_life_env(world, item_vectors, users), LinearOracle(world, shortlist=24)
    observation, info = env.reset(seed=NOW, options={"users": held_out_users(world, "test", users)})
    for _ in range(steps):
        observation, _, _, _, info = env.step(base.act({**observation, "latent": info["latent"]}))
    records = env.unwrapped.engine.users
    here = records["status"] == ACTIVE
    return (
        select_users({**observation, "latent": info["latent"]}, here),
        records[here].copy(),
        env.candidates[here].copy(),
    )


def live_on(world, item_vectors, users, candidates, steps=25):
    """What happens, slate by slate, to users who go on with slates of the myopic oracle."""
    env, base = make_life_env(world, item_vectors, len(users)), LinearOracle(world, shortlist=24)
    env.reset(seed=0)
    state = env.save_state() | {"users": env.unwrapped.pack_users(users), "candidates": candidates}
    observation, latent = env.load_state(state), users
    found = {name: [] for name in ("choice", "minutes", "session", "shown_ids", "ignored")}
    for _ in range(steps):
        observation, minutes, _, _, info = env.step(base.act({**observation, "latent": latent}))
        latent = info["latent"]
        happened = {
            "choice": info["choice"],
            "minutes": minutes,
            "session": env.unwrapped.engine.users["session"].copy(),
        }
        happened |= {"shown_ids": observation["shown_ids"].copy(), "ignored": latent["memory_trace"].copy()}
        for name, value in happened.items():
            found[name].append(value)
    return {name: np.stack(values) for name, values in found.items()}


class TestRollouts:
    def test_with_the_real_luck_a_rollout_is_the_real_life(self, world, item_vectors, monkeypatch):
        evaluator = Evaluator(world, item_vectors, held_out_users(world, "test", 16), NOW)
        planner = planned(world, item_vectors, count=2, sessions=None)
        observation, users, _ = lives(world, item_vectors, 0)
        keys = np.stack([users["k0"], users["k1"]], axis=1)
        monkeypatch.setattr(planner, "draw_luck", lambda some: np.repeat(keys[:, None], 2, axis=1))
        found = planner.try_slates(observation, planner.propose(observation)[:, :1])
        real = evaluator.play(planner.base)["minutes"].to_numpy()
        assert len(found) == 16
        np.testing.assert_allclose(found, np.repeat(real[:, None, None], 2, axis=2), rtol=1e-4)

    @pytest.mark.parametrize("steps", [0, 6])
    def test_estimates_are_those_of_lives_with_luck_of_their_own(self, world, item_vectors, steps):
        count = 100
        observation, users, candidates = (
            select_users({"x": x}, slice(0, 3))["x"] for x in lives(world, item_vectors, steps)
        )
        planner = planned(world, item_vectors, count=count, sessions=None)
        slates = planner.propose(observation)
        found = planner.try_slates(observation, slates[:, 1:])[:, 0]
        env = make_life_env(world, item_vectors, 3 * count)
        env.reset(seed=0)
        again = np.repeat(users, count)
        again["k0"], again["k1"] = np.random.default_rng(7).integers(0, 2**32, (2, len(again)), np.uint32)
        state = env.save_state() | {"users": env.unwrapped.pack_users(again)}
        state["candidates"] = np.repeat(candidates, count, axis=0)
        env.load_state(state)
        shown, total, active = np.repeat(slates[:, 1], count, axis=0), np.zeros(3 * count), np.ones(3 * count, bool)
        while active.any():
            after, reward, terminated, truncated, info = env.step(shown)
            total += reward
            active = ~(terminated | truncated)
            shown = planner.base.act({**after, "latent": info["latent"]})
        for one, other in zip(found, total.reshape(3, count), strict=True):
            assert abs(one.mean() - other.mean()) < 3.5 * math.hypot(one.std(), other.std()) / math.sqrt(count)

    def test_luck_is_the_seeds_the_moments_and_never_the_real_one(self, world, item_vectors, states):
        users = states[1]
        planner = planned(world, item_vectors, count=8)
        keys = planner.draw_luck(users)
        assert keys.shape == (len(users), 8, 2)
        moments = {(int(user["session"]), int(user["depth"])) for user in users}
        assert 3 < len(moments) < len(users)
        assert len({tuple(key) for key in keys.reshape(-1, 2).tolist()}) == 8 * len(moments)
        real = {(int(user["k0"]), int(user["k1"])) for user in users}
        assert not real & {tuple(key) for key in keys.reshape(-1, 2).tolist()}
        other = planned(world, item_vectors, count=8, seed=1).draw_luck(users)
        assert not (other == keys).all(axis=2).any()

    def test_equal_slates_have_equal_rollouts_and_others_the_same_luck(self, world, item_vectors, observation):
        planner = planned(world, item_vectors, count=6)
        slates = planner.propose(observation)
        values = planner.try_slates(observation, slates[:, [0, 1]])
        twice = planned(world, item_vectors, count=6)
        twice.proposals = [*twice.proposals, twice.base]
        twice.__post_init__()
        again = twice.try_slates(observation, slates[:, [1, 0, 1]])
        np.testing.assert_array_equal(again, values[:, [1, 0, 1]])
        assert (values[:, 0] != values[:, 1]).any()

    def test_a_rollout_of_one_session_ends_with_it(self, world, item_vectors):
        observation, _, _ = lives(world, item_vectors, 0)
        whole, short = (planned(world, item_vectors, count=8, sessions=s) for s in (None, 1))
        slates = whole.propose(observation)
        long, one = whole.try_slates(observation, slates), short.try_slates(observation, slates)
        assert (one <= long + 1e-9).all()
        assert one.sum() < 0.7 * long.sum()

    def test_what_comes_after_a_cut_is_estimated(self, world, item_vectors):
        observation, _, _ = lives(world, item_vectors, 0)
        planner = planned(world, item_vectors, count=100)
        slates = planner.propose(observation)[:, :1]
        planner.continuation = Continuation.fit(world, item_vectors, planner.base, users=100)
        cut = planner.try_slates(observation, slates).mean()
        whole = planned(world, item_vectors, count=100, sessions=None).try_slates(observation, slates).mean()
        assert cut == pytest.approx(whole, rel=0.15)


class TestContinuation:
    def test_nothing_is_earned_when_no_time_is_left(self, world, states):
        users = states[1].copy()
        users["clock"] = world.scenario.params.horizon_days
        assert not Continuation(np.ones(15), 6.0).estimate_minutes(users).any()

    def test_it_is_the_regression_of_what_was_earned(self, world, item_vectors):
        base = LinearOracle(world, shortlist=24)
        found = Continuation.fit(world, item_vectors, base, users=100, luck=5)
        _, users, _ = lives(world, item_vectors, 0)
        minutes = found.estimate_minutes(users)
        total = Evaluator(world, item_vectors, held_out_users(world, "train", 100), 5).mean_minutes(base)
        assert minutes.mean() == pytest.approx(total, rel=0.3)
        later = users.copy()
        later["clock"] += 3
        assert found.estimate_minutes(later).mean() < 0.8 * minutes.mean()
        assert found.weights.shape == (15,)
        happier = users.copy()
        happier["trust"] += 0.1
        assert found.estimate_minutes(happier).mean() > minutes.mean()

    def test_the_frail_earn_less_where_people_differ_in_it(self, catalog, item_vectors):
        world = build_world(catalog, small().with_overrides({"churn.frailty": 2.0, "horizon.days": 10.0}))
        found = Continuation.fit(world, item_vectors, LinearOracle(world, shortlist=24), users=150, luck=5)
        assert found.weights.shape == (19,)
        _, users, _ = lives(world, item_vectors, 0)
        sound, frail = users.copy(), users.copy()
        sound["frailty"], frail["frailty"] = -2.0, 2.0
        assert found.estimate_minutes(frail).mean() < 0.9 * found.estimate_minutes(sound).mean()


class TestGain:
    def test_it_beats_its_base_where_trust_decides(self, catalog, item_vectors):
        strong = build_world(catalog, small().with_overrides(STRONG))
        base = LinearOracle(strong, shortlist=24)
        proposals = [with_weights(base, verdict=15.0)]
        after = Continuation.fit(strong, item_vectors, base, users=300)
        planner = RolloutPlanner(strong, item_vectors, base, proposals, RolloutOptions(count=12), after)
        evaluator = Evaluator(strong, item_vectors, held_out_users(strong, "test", 60), NOW)
        paired = evaluator.play(planner)["minutes"] - evaluator.play(base)["minutes"]
        assert paired.mean() > 1.5 * paired.std() / math.sqrt(len(paired)) > 0

    def test_nothing_is_gained_with_the_dial_at_0(self, catalog, item_vectors):
        still = build_world(catalog, small(horizon__days=1).with_strength(0))
        evaluator = Evaluator(still, item_vectors, held_out_users(still, "test", 8), NOW)
        best = evaluator.play(MyopicOracle(still, whole=True))
        other = evaluator.play(planned(still, item_vectors, count=2))
        assert (best["slates"] == other["slates"]).all()
        paired = best["minutes"] - other["minutes"]
        assert paired.mean() > -2 * paired.std() / math.sqrt(len(paired))

    def test_caution_keeps_to_the_base(self, world, item_vectors, observation):
        careful, bold = (planned(world, item_vectors, count=4, caution=c) for c in (100.0, 0.0))
        base = careful.base.act(observation)
        np.testing.assert_array_equal(careful.act(observation), base)
        assert (bold.act(observation) != base).any()


class Always:
    """One slate, whoever comes."""

    name, privileged = "always", False

    def __init__(self, slate):
        self.slate = slate

    def act(self, observation):
        return np.tile(np.array(self.slate, np.int64), (len(observation["context"]), 1))


def observed(world, states):
    """Observations of users in states of the exact planner of Tiny."""
    env = SlateVectorEnv(world, len(states), autoreset_mode=AutoresetMode.DISABLED, privileged=True)
    env.reset(seed=0)
    users = env.engine.users
    users["momentum"] = users["satiation"] = 0.0
    users["history_items"] = 0
    for user, state in zip(users, states, strict=True):
        user["clock"], user["session"] = state.tick / 8, state.tick  # luck of their own: nothing else needs the number
        if state.last:
            user["momentum"] = world.topics[state.last]
            user["satiation"] = world.topics[state.last] if state.fresh else 0.0
            user["history_items"][0], user["history_time"][0] = state.last, (state.tick - state.skips) / 8
        user["skips"] = state.skips
        user["depth"] = state.skips + (state.last > 0)
        user["session_minutes"] = 180.0 * user["depth"]
    state = env.save_state()
    observation = env.load_state(state)
    latent = {name: users[name].copy() for name in ("taste", "satiation", "sensitivity", "recovery", "fatigue")}
    latent |= {name: users[name].copy() for name in ("satisfaction", "trust", "momentum")}
    return observation | {"candidates": np.zeros((len(states), 2), np.float32), "latent": latent}


def test_in_tiny_it_closes_most_of_the_gap_to_the_optimum():
    world = make_world("tiny")
    exact, greedy = TinyPlanner(world), TinyPlanner(world, greedy=True)
    vectors = unit_vectors(world.catalog)
    base = LinearOracle(world, shortlist=None, whole=True)
    proposals = [Always(slate) for slate in ((2, 0), (2, 1), (0, 2))]
    planner = RolloutPlanner(world, vectors, base, proposals, RolloutOptions(count=60, caution=0.0))
    states = list(exact.walk_back())
    slates = planner.act(observed(world, states))
    policy = dict(zip(states, map(tuple, slates.tolist()), strict=True))
    value = exact.evaluate(policy.__getitem__)
    assert exact.solution[START][0] == exact.value
    assert value > greedy.value + 0.7 * (exact.value - greedy.value)
    assert value <= exact.value + 1e-9


class TestRefusals:
    def test_of_agents_that_remember(self, world, item_vectors):
        class Remembers(Always):
            def start(self, users):
                return {}

            def follow(self, observation, memory):
                return self.act(observation), memory

        with pytest.raises(ValueError, match="agent 'always' has a memory of its users; rollouts need one without"):
            RolloutPlanner(world, item_vectors, Remembers([1] * 10), [])

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"count": 1}, "count = 1 is out of range; allowed: 2 to 1000000"),
            ({"sessions": 0}, "sessions = 0 is out of range; allowed: 1 to 1000000"),
            ({"caution": -1.0}, "caution = -1.0 is out of range"),
        ],
    )
    def test_of_options(self, changes, message):
        with pytest.raises(ValueError, match=message):
            RolloutOptions(**changes)


def test_neighbours_of_a_linear_oracle(world):
    oracle = dataclasses.replace(LinearOracle(world), weights=np.arange(17.0))
    near = make_neighbours(oracle, 2.0)
    assert len(near) == len({tuple(other.weights) for other in near})
    assert all(other.world is world for other in near)
    assert not near[0].weights.any()  # the myopic oracle is among them


def test_references_take_a_linear_oracle_in_when_given(setting, world):
    assert [c.name for c in make_references(setting)] == ["items oracle", "myopic oracle", "taste oracle"]
    oracle = LinearOracle(world, shortlist=24)
    found = make_references(setting, oracle)
    assert [c.name for c in found] == ["items oracle", "myopic oracle", "taste oracle", "linear oracle"]
    assert found[-1].agents[0] is oracle


def test_a_planner_around_an_oracle_has_it_as_base_and_learns_what_follows_if_asked(world, item_vectors):
    oracle = LinearOracle(world, shortlist=24)
    planner = RolloutPlanner.build_around(oracle, item_vectors, RolloutOptions(count=2))
    assert planner.base is oracle
    assert planner.continuation is not None
    assert (
        RolloutPlanner.build_around(oracle, item_vectors, RolloutOptions(count=2, sessions=None)).continuation is None
    )

"""Wolpertinger: its steps worked out by hand, small worlds that it must solve, and trainings that repeat and resume."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from longplay.agents.learners.item_values import ItemValues
from longplay.agents.learners.wolpertinger.agent import WolpertingerOptions, make_agent
from longplay.agents.learners.wolpertinger.learner import Wolpertinger
from longplay.agents.learners.wolpertinger.losses import (
    LATE,
    REAL,
    find_nearest,
    future_target,
    tether_distance,
    value_alone,
)
from longplay.agents.learners.wolpertinger.network import ItemSpace, compute_principal_components
from longplay.agents.playing.training_users import SlateOutcome, TrainingUsers
from longplay.agents.registry import AGENTS
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.reading import Reading
from longplay.agents.slates.inputs import Inputs, SlateInputs
from longplay.tests.agents.contracts import AgentContract, LearnerContract
from longplay.tests.agents.worlds_small import Alternate, Identity, Trust

SMALL = WolpertingerOptions(
    neighbours=1,
    metric="distance",
    text=2,
    hidden=16,
    segment=8,
    batch=128,
    replay=4,
    learning_rate=5e-3,
    actor_rate=3e-3,
    polyak=0.05,
    noise=1.0,
    anneal=3000,
    epsilon=0.1,
)


def begin(world, gamma, options=SMALL, seed=0, users=64):
    players = world(users=users, seed=seed)
    vectors, slots = players.vectors, players.slots
    return Wolpertinger(players, options, gamma, seed, vectors=vectors, slots=slots, name="Wolpertinger")


def solve(world, gamma, slates, options=SMALL, seed=0):
    """A learner after a number of slates."""
    learner = begin(world, gamma, options, seed)
    while learner.steps < slates:
        learner.iterate()
    return learner


def shown(learner, state=(0.0, 0.0, 0.0, 0.0)):
    return learner.agent.choose(learner.players.look(np.array([state], np.float32)))[0].tolist()


class TestByHand:
    def test_value_alone_is_the_chance_of_a_click_times_what_it_gains(self):
        found = value_alone(torch.tensor([0.0, math.log(3.0)]), torch.tensor([4.0, -2.0]))
        torch.testing.assert_close(found, torch.tensor([2.0, -1.5]))

    def test_the_tether_ends_at_the_closest_real_point(self):
        proto = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
        points = torch.tensor([[[3.0, 4.0], [1.0, 2.0]], [[3.0, 4.0], [0.0, 0.0]], [[2.0, 2.0], [3.0, 3.0]]])
        real = torch.tensor([[True, True], [True, False], [False, False]])
        torch.testing.assert_close(tether_distance(proto, points, real), torch.tensor([2.5, 12.5, 0.0]))

    def test_a_tether_to_nothing_has_no_gradient(self):
        proto = torch.ones(1, 2, requires_grad=True)
        tether_distance(proto, torch.zeros(1, 3, 2), torch.zeros(1, 3, dtype=torch.bool)).sum().backward()
        assert not proto.grad.any()

    def test_what_follows_the_horizon_counts_and_churn_ends_all(self):
        # On its way, churned, at the horizon: 0.5 · 10, nothing, 0.5 · 7 whatever the next row says.
        outcome = SlateOutcome(
            choice=np.zeros(3, np.int64),
            reward=np.zeros(3, np.float32),
            terminated=np.array([False, True, False]),
            truncated=np.array([False, False, True]),
            left=np.array([False, True, True]),
            days=np.zeros(3, np.float32),
            ended=np.array([1, 2]),
            last=None,
        )
        discount = torch.from_numpy(outcome.discounts(0.5, by_time=False))
        following, beyond = torch.full((3,), 10.0), torch.tensor([0.0, 7.0, 7.0])
        found = future_target(discount, following, torch.tensor([False, True, True]), beyond)
        torch.testing.assert_close(found, torch.tensor([5.0, 0.0, 3.5]))


class TestNearest:
    @pytest.mark.parametrize("metric", ["distance", "inner"])
    @pytest.mark.parametrize("count", [1, 5, 12, 20])
    def test_it_is_brute_force(self, metric, count):
        rng = np.random.default_rng(count)
        points = rng.integers(-2, 3, (30, 12, 3)).astype(np.float32)  # with ties
        proto, kind = rng.integers(-2, 3, (30, 3)).astype(np.float32), rng.integers(0, 3, (30, 12)).astype(np.int8)
        found = find_nearest(torch.from_numpy(points), kind, torch.from_numpy(proto), count, metric)
        for b in range(30):
            ranked = []
            for m in range(12):
                apart = sum((points[b, m] - proto[b]) ** 2) if metric == "distance" else -sum(points[b, m] * proto[b])
                if kind[b, m]:
                    ranked.append((kind[b, m] == LATE, apart, m))
            expected = [m for _, _, m in sorted(ranked)][:count]
            assert found[b].tolist() == expected + [-1] * (min(count, 12) - len(expected))

    def test_metrics_differ(self):
        points, kind = torch.tensor([[[1.0, 0.0], [9.0, 0.0]]]), np.full((1, 2), REAL, np.int8)
        proto = torch.tensor([[1.0, 0.0]])
        assert find_nearest(points, kind, proto, 1, "distance").tolist() == [[0]]
        assert find_nearest(points, kind, proto, 1, "inner").tolist() == [[1]]


class TestSpace:
    def test_components_keep_distances_up_to_a_unit(self):
        """Vectors that vary in two dimensions of six are as far apart as before, divided by one number."""
        rng = np.random.default_rng(0)
        vectors = (rng.normal(size=(40, 2)) @ rng.normal(size=(2, 6)) + 3.0).astype(np.float32)
        found = compute_principal_components(vectors, 2)
        before = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
        after = np.linalg.norm(found[:, None] - found[None], axis=2)
        unit = before.max() / after.max()
        np.testing.assert_allclose(before, unit * after, atol=1e-4)
        np.testing.assert_allclose(found.var(axis=0).mean(), 1.0, rtol=1e-4)
        np.testing.assert_allclose(found.mean(axis=0), 0.0, atol=1e-5)
        assert found[:, 0].var() > found[:, 1].var()

    def test_points_are_scaled_features_and_then_texts(self):
        vectors = np.array([[0, 0], [1, 0], [-1, 0]], np.float32)
        space = ItemSpace(1, 2, vectors, 1)
        items = np.array([[[1, 10], [3, 30], [0, 0]]], np.float32)
        inputs = Inputs(np.array([[5.0], [7.0]], np.float32), np.tile(items, (2, 1, 1)), np.array([[1, 2, 0]] * 2))
        space.calibrate(inputs)
        whole, points = space(inputs)
        spread = math.sqrt(4 / 3)  # of 1, 3, 1, 3, and of ten times as much
        expected = torch.tensor([[-1 / spread, -1 / spread, 1.0], [1 / spread, 1 / spread, -1.0], [0, 0, 0]])
        torch.testing.assert_close(points[0], expected)
        torch.testing.assert_close(whole[:, 0], torch.tensor([-1.0, 1.0]) / math.sqrt(2.0))
        torch.testing.assert_close(whole[:, 1:], torch.zeros(2, 2))

    def test_more_than_32_dimensions_are_refused(self):
        with pytest.raises(ValueError, match="text = 30 is out of range; allowed: 0 to 22, as an item has 10 features"):
            ItemSpace(5, 10, np.zeros((4, 40), np.float32), 30)


class TestSmallWorlds:
    """With one neighbour where a slate has one slot: the actor alone decides what is shown."""

    @pytest.mark.parametrize(
        ("gamma", "changes"),
        [(0.0, {}), (0.9, {}), (0.9, {"metric": "inner", "ranking": "value"}), (0.9, {"ranking": "top-k"})],
    )
    def test_items_that_pay_are_shown(self, gamma, changes):
        learner = solve(Identity, gamma, 4000, replace(SMALL, neighbours=3, **changes))
        assert sorted(shown(learner)) == [2, 5]

    @pytest.mark.parametrize("metric", ["distance", "inner"])
    def test_topics_alternate(self, metric):
        learner = solve(Alternate, 0.9, 6000, replace(SMALL, metric=metric))
        assert shown(learner, (1.0, 0.0, 0.0, 0.0)) == [1]
        assert shown(learner, (0.0, 1.0, 0.0, 0.0)) == [0]

    @pytest.mark.parametrize("changes", [{}, {"double_critic": True}, {"plain": False}, {"metric": "inner"}])
    def test_who_looks_ahead_keeps_its_users(self, changes):
        assert shown(solve(Trust, 0.99, 6000, replace(SMALL, **changes))) == [1]

    def test_who_does_not_takes_what_pays_now(self):
        learner = solve(Trust, 0.0, 4000)
        assert shown(learner) == [0]
        whole, points = learner.agent.network.space(learner.players.now)
        judged = learner.agent.network.judge(whole, points, torch.ones(64, 2, dtype=torch.bool))
        assert not judged.future.any()
        assert not judged.none.any()
        torch.testing.assert_close(judged.minutes[0], torch.tensor([1.0, 0.6]), atol=0.1, rtol=0)

    @pytest.mark.parametrize("twins", [False, True])
    def test_values_are_those_of_the_best_slates_whatever_is_shown(self, twins):
        # B for ever: 4/5 of slates click, so that a state is worth 2.4 = 0.48/(1 − γ). A loses a third of its users.
        options = replace(SMALL, epsilon=1.0, polyak=0.1, neighbours=2, double_critic=twins)
        learner = solve(Trust, 0.8, 8000, options)
        with torch.no_grad():
            whole, points = learner.agent.network.space(learner.players.now)
            judged = learner.agent.network.judge(whole, points, torch.ones(64, 2, dtype=torch.bool))
        expected = torch.tensor([2 / 3 * 0.8 * 2.4, 0.8 * 2.4])
        torch.testing.assert_close(judged.future[0], expected, rtol=0.1, atol=0)
        torch.testing.assert_close(judged.none[:1], expected[1:], rtol=0.1, atol=0)


class TestLearning:
    def test_the_actor_climbs_the_critic_and_moves_nothing_else(self):
        learner = begin(Alternate, 0.9, replace(SMALL, tether=0.0))
        learner.iterate()
        places, _ = learner.replay.draw(256, learner.rng)
        before = {name: value.clone() for name, value in learner.online.named_parameters()}
        first = float(learner._learn_actor(places)["proto_worth"].detach())
        for _ in range(20):
            last = float(learner._learn_actor(places)["proto_worth"].detach())
        assert last > first
        for name, value in learner.online.named_parameters():
            assert torch.equal(value, before[name]) != name.startswith("actor."), name

    def test_of_two_critics_the_lower_value_counts(self):
        learner = begin(Trust, 0.9, replace(SMALL, double_critic=True))
        values, (view, _, _) = [], learner._view(learner.players.now)
        for lift in ((0.0, 0.0), (1.0, 0.0), (1.0, -1.0)):
            for critic, by in zip(learner.agent.network.critics, lift, strict=True):
                critic.value.bias.data.fill_(by)
                critic.value.weight.data.zero_()
            values.append(learner._values(view))
        unit = learner.agent.network.scale[1]
        torch.testing.assert_close(values[1], values[0], atol=0.05, rtol=0)  # the critics' first scores differ a little
        torch.testing.assert_close(values[2], values[0] - unit, atol=0.05, rtol=0)

    def test_targets_are_of_the_next_slate_of_the_same_user(self):
        """Values by a stand-in that reads the state; lives of 40 slates end in the third segment."""
        learner = begin(Alternate, 0.5, users=4)
        for _ in range(3):
            learner._collect()
        learner._values = lambda view: view["whole"][:, 0].float()
        size = learner.replay.held * 8 * 4
        found = learner._targets(np.arange(size)).view(3, 8, 4)
        data = learner.replay.data
        assert data["ended"][:3].any()
        expected = 0.5 * torch.where(data["ended"][:3], data["beyond"][:3], data["whole"][:3, 1:, :, 0].float())
        torch.testing.assert_close(found, expected)

    def test_exploration_fades(self):
        learner = begin(Trust, 0.0)
        assert learner.exploration > 0.7
        learner.steps = 10_000
        assert learner.exploration == pytest.approx(SMALL.last)

    def test_noise_on_the_proto_item_changes_what_is_shown(self):
        learner = begin(Identity, 0.0, replace(SMALL, epsilon=0.0, temperature=0.0, neighbours=2))
        now = learner.players.now
        with torch.no_grad():
            view, points, proto = learner._view(now)
            columns = learner._explore(now, view["whole"].float(), points, proto)
            learner.options = replace(learner.options, noise=0.0)
            quiet = learner._explore(now, view["whole"].float(), points, proto)
        assert len(np.unique(columns, axis=0)) > 5
        assert len(np.unique(quiet, axis=0)) == 1  # all users are alike here


@pytest.fixture(scope="module")
def real(setting, scorer):
    """A learner in a small world of the environment; a call begins anew."""

    def make(gamma=0.9, seed=0, **changes):
        env = setting.vector_env(32, "items", split="train", autoreset_mode=AutoresetMode.SAME_STEP)
        players = TrainingUsers(env, SlateInputs(scorer, Reading(setting, "pooled").state_encoder), 0.1, seed)
        options = replace(SMALL, segment=4, epochs=2, batch=64, neighbours=20, text=8, **changes)
        return Wolpertinger(players, options, gamma, seed, vectors=scorer.vectors, slots=10, name="Wolpertinger")

    return make


@pytest.fixture(scope="module")
def learned(real):
    learner = real()
    while learner.steps < 2000:
        learner.iterate()
    return learner


class TestTraining(LearnerContract):
    @pytest.fixture(
        params=[{"gamma": 0.0, "double_critic": False, "delay": 3}, {"gamma": 0.9, "double_critic": True, "delay": 3}],
        ids=str,
    )
    def changes(self, request):
        return request.param

    def test_without_discount_there_is_no_future(self, real):
        assert "future_loss" in real(gamma=0.9).iterate()
        assert "future_loss" not in real(gamma=0.0).iterate()

    def test_every_weight_is_learned(self, real):
        learner = real(double_critic=True, plain=False)
        before = {name: value.clone() for name, value in learner.agent.network.named_parameters()}
        for _ in range(2):
            learner.iterate()
        for name, value in learner.agent.network.named_parameters():
            assert torch.isfinite(value).all(), name
            unused = name.endswith(".none")  # of plain critics
            assert torch.equal(value, before[name]) == unused, name


class TestContract(AgentContract):
    @pytest.fixture
    def subject(self, learned):
        return learned.agent

    @pytest.fixture
    def observation(self, states):
        return states[0]


class TestAgent:
    def test_slates_come_from_the_nearest(self, learned, states):
        agent, inputs = learned.agent, learned.players.inputs(states[0])
        columns = agent.choose(inputs)
        with torch.no_grad():
            whole, points = agent.network.space(inputs)
            apart = ((points - agent.network.proto(whole)[:, None, :]) ** 2).sum(dim=2).numpy()
        apart[(inputs.items[:, :, agent.repeated] > 0) | (inputs.ids == 0)] = np.inf
        edge = np.sort(apart, axis=1)[:, 19:20]
        assert (np.take_along_axis(apart, columns, axis=1) <= edge).all()
        assert (np.sort(columns, axis=1) != np.sort(apart.argsort(axis=1)[:, :10], axis=1)).any()  # the critic chooses

    def test_values_alone_rank_what_is_worth_most_once_clicked(self, learned):
        inputs = learned.players.inputs
        agent = make_agent(inputs, inputs.scorer.vectors, 10, replace(learned.options, ranking="value"), 0.9, "W")
        worth = torch.linspace(-1.0, 1.0, 20)[None]
        judged = ItemValues(-10.0 * worth, worth, torch.zeros(1, 20), torch.zeros(1))
        kind, expected = np.full((1, 20), REAL, np.int8), [list(range(19, 9, -1))]
        assert agent.find_best(judged, kind).tolist() == expected != learned.agent.find_best(judged, kind).tolist()

    def test_repeats_are_shown_on_request(self, learned, states):
        inputs = learned.players.inputs
        agent = make_agent(inputs, inputs.scorer.vectors, 10, replace(learned.options, repeats=True), 0.9, "W")
        found = inputs(states[0])
        found.items[:, :, agent.repeated] = 1.0
        found.items[:, 10:, agent.repeated] = 0.0
        _, points = agent.network.space(found)
        assert (agent.find_near(found, points, points[:, 3]).columns[:, 0] == 3).all()  # a point is nearest to itself
        assert (learned.agent.find_near(found, points, points[:, 3]).columns >= 10).all()
        assert (learned.agent.choose(found) >= 10).all()

    def test_fewer_candidates_than_slots_leave_slots_empty(self, learned, states):
        found = learned.players.inputs(states[0] | {"candidates": states[0]["candidates"][:, :6].copy()})
        columns = learned.agent.choose(found)
        assert (columns[:, 6:] == -1).all()
        assert (np.sort(columns[:, :6], axis=1) == np.arange(6)).all()

    def test_it_needs_no_candidate_to_be_real(self, learned, states):
        found = learned.players.inputs(states[0])
        none = Inputs(found.state, np.zeros_like(found.items), np.zeros_like(found.ids))
        assert (learned.agent.choose(none) == -1).all()

    def test_it_is_found_by_name(self):
        assert AGENTS["wolpertinger"].kind is Wolpertinger
        run = RunConfig(agent="wolpertinger", options={"neighbours": 7})
        assert run.agent_options == WolpertingerOptions(neighbours=7)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"neighbours": 0}, "neighbours = 0 is out of range; allowed: 1 to 1000000"),
        ({"text": 33}, "text = 33 is out of range; allowed: 0 to 32"),
        ({"actor_rate": 0.0}, "actor_rate = 0.0 is out of range"),
        ({"metric": "distanc"}, r"metric = 'distanc' is unknown \(did you mean 'distance'\?\)"),
        ({"ranking": "values"}, r"ranking = 'values' is unknown \(did you mean 'value'\?\)"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes, text):
    with pytest.raises(ValueError, match=text):
        WolpertingerOptions(**changes)

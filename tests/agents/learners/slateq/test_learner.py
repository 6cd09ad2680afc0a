"""SlateQ: small worlds that it must solve, Tiny against the exact optimum, and trainings that repeat and resume."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from longplay.agents.learners.slateq.agent import SlateQOptions
from longplay.agents.learners.slateq.learner import SlateQ, make_agent
from longplay.agents.playing.training_users import TrainingUsers
from longplay.agents.references.tiny import TinyPlanner
from longplay.agents.runs.reading import Reading
from longplay.agents.slates.inputs import Inputs, SlateInputs
from longplay.envs.candidates.scoring import Scorer
from longplay.envs.make import make_world
from longplay.tests.agents.contracts import AgentContract, LearnerContract
from longplay.tests.agents.small import make_setting
from longplay.tests.agents.worlds_small import Alternate, Identity, Trust, tiny_env, tiny_minutes

SMALL = SlateQOptions(
    mix=0.9,
    polyak=0.05,
    hidden=16,
    match=2,
    segment=8,
    epochs=4,
    batch=128,
    replay=2,
    learning_rate=5e-3,
    anneal=3000,
    epsilon=0.05,
)


def solve(world, gamma, slates, options=SMALL, seed=0):
    """An agent after a number of slates, and its learner."""
    players = world(users=64, seed=seed)
    learner = SlateQ(players, options, gamma, seed, vectors=players.vectors, slots=players.slots, name="SlateQ")
    while learner.steps < slates:
        learner.iterate()
    return learner


def shown(learner, state=(0.0, 0.0, 0.0, 0.0)):
    return learner.agent.choose(learner.players.look(np.array([state], np.float32)))[0].tolist()


class TestSmallWorlds:
    @pytest.mark.parametrize(("gamma", "optimiser"), [(0.0, "exact"), (0.9, "exact"), (0.9, "greedy"), (0.9, "top-k")])
    def test_items_that_pay_are_shown(self, gamma, optimiser):
        learner = solve(Identity, gamma, 3000, replace(SMALL, optimiser=optimiser))
        assert sorted(shown(learner)) == [2, 5]

    def test_topics_alternate(self):
        learner = solve(Alternate, 0.9, 5000)
        assert shown(learner, (1.0, 0.0, 0.0, 0.0)) == [1]
        assert shown(learner, (0.0, 1.0, 0.0, 0.0)) == [0]

    @pytest.mark.parametrize(
        "changes",
        [{}, {"mix": 0.0, "replay": 8}, {"target": "shown"}, {"priority": 0.6}, {"horizon_ends": True}],
    )
    def test_who_looks_ahead_keeps_its_users(self, changes):
        assert shown(solve(Trust, 0.99, 5000, replace(SMALL, **changes))) == [1]

    def test_who_does_not_takes_what_pays_now(self):
        learner = solve(Trust, 0.0, 4000)
        assert shown(learner) == [0]
        judged = learner.agent.network.run(learner.players.now)
        assert not judged.future.any()
        assert not judged.none.any()
        torch.testing.assert_close(judged.minutes[0], torch.tensor([1.0, 0.6]), atol=0.1, rtol=0)

    def test_values_are_those_of_the_best_slates_whatever_is_shown(self):
        # B for ever: 4/5 of slates click, so that a state is worth 2.4 = 0.48/(1 − γ). A loses a third of its users.
        learner = solve(Trust, 0.8, 8000, replace(SMALL, later="network", epsilon=1.0, mix=0.0, polyak=0.1))
        with torch.no_grad():
            judged = learner.agent.network.run(learner.players.look(np.zeros((1, 4), np.float32)))
        expected = torch.tensor([2 / 3 * 0.8 * 2.4, 0.8 * 2.4])
        torch.testing.assert_close(judged.future[0], expected, rtol=0.1, atol=0)
        torch.testing.assert_close(judged.none, expected[1:], rtol=0.1, atol=0)


def test_tiny_is_nearly_solved():
    """20 000 slates: at least 95 % of the optimum; the best fixed slate has 92.5 %, the myopic optimum 75 %."""
    world = make_world("tiny")
    setting, planner = make_setting(world, env="longplay/Tiny-v0"), TinyPlanner(world)
    scorer = Scorer(world, setting.item_vectors)
    inputs = SlateInputs(scorer, Reading(setting, "pooled").state_encoder)
    players = TrainingUsers(tiny_env(world, 256, AutoresetMode.SAME_STEP), inputs, 0.1, 0)
    options = replace(SMALL, batch=512, learning_rate=3e-3, replay=4, anneal=10_000, temperature=1.0, epsilon=0.1)
    options = replace(options, repeats=True, fill=False, horizon_ends=True)
    learner = SlateQ(players, options, 1.0, 0, vectors=scorer.vectors, slots=2, name="SlateQ")
    while learner.steps < 20_000:
        learner.iterate()
    assert tiny_minutes(planner, learner.agent) >= 0.95 * planner.value


@pytest.fixture(scope="module")
def real(setting, scorer):
    """A learner in a small world of the environment; a call begins anew."""

    def make(gamma=0.9, seed=0, **changes):
        env = setting.vector_env(32, "items", split="train", autoreset_mode=AutoresetMode.SAME_STEP)
        players = TrainingUsers(env, SlateInputs(scorer, Reading(setting, "pooled").state_encoder), 0.1, seed)
        options = replace(SMALL, segment=4, epochs=2, batch=64, **changes)
        return SlateQ(players, options, gamma, seed, vectors=scorer.vectors, slots=10, name="SlateQ")

    return make


@pytest.fixture(scope="module")
def learned(real):
    learner = real(gamma=0.9)
    while learner.steps < 2000:
        learner.iterate()
    return learner


class TestTraining(LearnerContract):
    @pytest.fixture(params=[{"gamma": 0.0, "priority": 0.5}, {"gamma": 0.9, "priority": 0.5}], ids=str)
    def changes(self, request):
        return request.param

    @pytest.mark.parametrize("later", ["regression", "search", "network"])
    def test_without_discount_there_is_no_future(self, real, later):
        learner = real(gamma=0.0, later=later)
        learner.iterate()
        judged = learner.agent.network.run(learner.players.now)
        assert not judged.future.any()
        assert not judged.none.any()

    def test_a_slate_judged_alone_is_judged_as_among_all(self, learned):
        """What learning sees of a slate is what acting saw."""
        inputs = learned.players.now
        columns = learned.agent.choose(inputs)
        with torch.no_grad():
            whole = learned.agent.network.run(inputs)
            items, ids = torch.from_numpy(inputs.items), torch.from_numpy(inputs.ids)
            mean = learned.agent.network.base.mean_candidate(items, ids)
            at = torch.from_numpy(columns)
            part = learned.agent.network(
                torch.from_numpy(inputs.state),
                items.gather(1, at[:, :, None].expand(-1, -1, items.shape[2])),
                ids.gather(1, at),
                mean,
            )
        for name in ("appeal", "minutes", "future"):
            torch.testing.assert_close(getattr(part, name), getattr(whole, name).gather(1, at), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(part.none, whole.none, rtol=1e-4, atol=1e-4)

    def test_every_weight_is_learned(self, real):
        learner = real(gamma=0.9)
        before = {name: value.clone() for name, value in learner.agent.network.named_parameters()}
        for _ in range(2):
            learner.iterate()
        for name, value in learner.agent.network.named_parameters():
            assert torch.isfinite(value).all(), name
            assert not torch.equal(value, before[name]), name


class TestContract(AgentContract):
    @pytest.fixture
    def subject(self, learned):
        return learned.agent

    @pytest.fixture
    def observation(self, states):
        return states[0]


class TestAgent:
    def test_repeats_are_shown_on_request(self, learned, states):
        inputs = learned.players.inputs
        agent = make_agent(inputs, inputs.scorer.vectors, 10, replace(learned.options, repeats=True), 0.9, "SlateQ")
        agent.network.load_state_dict(learned.agent.network.state_dict())
        found = inputs(states[0])
        found.items[:, :, agent.repeated] = 1.0
        found.items[:, 10:, agent.repeated] = 0.0
        assert (agent.choose(found) < 10).any()
        assert (learned.agent.choose(found) >= 10).all()

    def test_fewer_candidates_than_slots_leave_slots_empty(self, learned, states):
        found = learned.players.inputs(states[0] | {"candidates": states[0]["candidates"][:, :6].copy()})
        columns = learned.agent.choose(found)
        assert (columns[:, 6:] == -1).all()
        assert (np.sort(columns[:, :6], axis=1) == np.arange(6)).all()

    def test_variety_spreads_topics(self, learned, states):
        inputs = learned.players.inputs
        found = inputs(states[0])
        count = []
        for variety in (0.0, 3.0):
            options = replace(learned.options, variety=variety)
            agent = make_agent(inputs, inputs.scorer.vectors, 10, options, 0.9, "SlateQ")
            agent.network.load_state_dict(learned.agent.network.state_dict())
            topics = inputs.scorer.main_topic[np.take_along_axis(found.ids, agent.choose(found), axis=1)]
            count.append(np.mean([len(set(row)) for row in topics]))
        assert count[1] > count[0] + 1

    def test_it_needs_no_candidate_to_be_real(self, learned, states):
        found = learned.players.inputs(states[0])
        none = Inputs(found.state, np.zeros_like(found.items), np.zeros_like(found.ids))
        assert (learned.agent.choose(none) == -1).all()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"mix": 1.5}, "mix = 1.5 is out of range; allowed: 0 to 1"),
        ({"learning_rate": 0.0}, "learning_rate = 0.0 is out of range"),
        ({"replay": 0}, "replay = 0 is out of range; allowed: 1 to 1000"),
        ({"optimiser": "exakt"}, r"optimiser = 'exakt' is unknown \(did you mean 'exact'\?\)"),
        ({"target": "next"}, "target = 'next' is unknown"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes, text):
    with pytest.raises(ValueError, match=text):
        SlateQOptions(**changes)

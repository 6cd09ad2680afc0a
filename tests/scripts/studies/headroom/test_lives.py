"""What a study of headroom counts in lives: against plain Python, for agents with and without a memory."""

import numpy as np
import pytest

from longplay.agents.base import AgentSession
from longplay.agents.rules.simple import RandomSlate
from longplay.envs.users.world import build_world
from longplay.scripts.studies.headroom.lives import RepeatCounter, play_lives
from longplay.tests.agents.small import Counts, make_setting
from longplay.tests.envs.worlds import make_catalog, small


class Planned:
    """Slates that were written down, slate by slate, for users who are told apart by their first column."""

    name, privileged = "planned", False

    def __init__(self, slates):
        self.slates = slates  # (T, U, K)
        self.asked = 0

    def act(self, observation):
        self.asked += 1
        return self.slates[self.asked - 1][observation["context"][:, 0].astype(int)]


def test_places_and_repeats_are_those_that_plain_python_counts():
    rng = np.random.default_rng(0)
    slates = rng.integers(0, 13, (9, 5, 4))
    counter = RepeatCounter(Planned(slates), 12)
    session = AgentSession(counter, 5)
    seen, places, again = [set() for _ in range(5)], np.zeros(5, int), np.zeros(5, int)
    for step in range(9):
        there = rng.random(5) < 0.7
        context = np.zeros((5, 8), np.float32)
        context[:, 0] = np.arange(5)
        observation = {"context": context[there]}
        if there.any():
            np.testing.assert_array_equal(session.act(observation, there), slates[counter.agent.asked - 1][there])
            for user in np.flatnonzero(there):
                shown = [item for item in slates[counter.agent.asked - 1][user].tolist() if item]
                places[user] += len(shown)
                again[user] += sum(item in seen[user] for item in shown)
                seen[user].update(shown)
        assert counter.places.tolist() == places.tolist(), step
    assert counter.again.tolist() == again.tolist()
    assert 0 < again.sum() < places.sum()


def test_an_agent_keeps_the_memory_that_it_has():
    counts = Counts()
    session = AgentSession(RepeatCounter(counts, 300), 2)
    for _ in range(3):
        session.act({"context": np.zeros((2, 8), np.float32)}, np.ones(2, bool))
    assert counts.met == [0, 1, 2]


@pytest.mark.parametrize("privileged", [False, True])
def test_it_sees_what_the_agent_may_see(privileged):
    agent = Planned(np.zeros((1, 1, 1), np.int64))
    agent.privileged = privileged
    assert RepeatCounter(agent, 3).privileged == privileged


def test_lives_are_those_of_the_evaluator():
    world = build_world(make_catalog(), small(horizon__days=6))
    setting = make_setting(world)
    lives = play_lives(setting, RandomSlate(world), 4)
    slots = world.scenario.shape.slate
    assert (lives["places"] == slots * lives["slates"]).all()
    assert lives["again"].between(0, lives["places"]).all()
    assert not lives["entered"].any()  # nobody remembers anything here

"""Policies some of whose slates are random."""

import numpy as np
import pytest

from longplay.agents.base import Agent, select_users
from longplay.agents.logs.collect import make_env
from longplay.agents.logs.exploring import ExploringAgent
from longplay.agents.playing.steps import follow_users
from longplay.agents.rules.similarity import GreedySimilarity
from longplay.envs.users.world import build_world
from longplay.tests.agents.small import Counts
from longplay.tests.envs.worlds import small

USERS = np.arange(3, 33)
LUCK = 3


@pytest.fixture(scope="module")
def visible(states):
    observation, _ = states
    return {key: value for key, value in observation.items() if key != "latent"}


class TestExploring:
    def test_random_slates_hold_any_item_once(self, world, visible):
        policy = ExploringAgent(world)
        assert isinstance(policy, Agent)
        slates = np.concatenate([ExploringAgent(world, seed=seed).act(visible) for seed in range(20)])
        assert all(len(set(slate)) == len(slate) for slate in slates)
        counts = np.bincount(slates.ravel(), minlength=len(world.catalog) + 1)
        assert counts[0] == 0
        expected = slates.size / len(world.catalog)
        assert ((counts[1:] - expected) ** 2 / expected).sum() < 1.5 * len(world.catalog)  # χ² of equal chances

    def test_a_slate_depends_on_its_own_row_alone(self, world, scorer, visible):
        policy = ExploringAgent(world, GreedySimilarity(scorer), 0.4)
        some = np.arange(len(visible["context"])) % 3 == 1
        assert np.array_equal(policy.act(select_users(visible, some)), policy.act(visible)[some])

    @pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
    def test_the_share_of_slates_is_random(self, world, scorer, visible, share):
        agent = GreedySimilarity(scorer)
        same = [
            (ExploringAgent(world, agent, share, seed).act(visible) == agent.act(visible)).all(axis=1)
            for seed in range(30)
        ]
        assert np.mean(same) == pytest.approx(1 - share, abs=0.04 * (0 < share < 1))

    def test_items_that_have_not_appeared_are_not_drawn(self, catalog, visible):
        world = build_world(catalog, small(horizon__days=6, items__life=0.5))
        early = {**visible, "context": visible["context"].copy()}
        early["context"][:, 5] = 1.0
        born = world.born[ExploringAgent(world).act(early)]
        assert born.max() <= 1.0 < world.born.max()

    def test_what_an_agent_remembers_lasts_through_a_life(self, world):
        """Also where the slate that follows is random, and users leave at different times."""
        for policy in (Counts(), ExploringAgent(world, Counts(), 0.5)):
            counted, expected = [], []
            met = np.zeros(len(USERS), int)
            for step in follow_users(make_env(world, len(USERS)), policy, USERS, LUCK):
                met += step.active
                its = step.active & (step.slates[:, 1:] == np.arange(2, 11)).all(axis=1)
                counted += step.slates[its, 0].tolist()
                expected += (100 + met[its]).tolist()
            assert max(counted) > 103
            assert counted == expected

    def test_slates_to_choose_need_an_agent(self, world):
        with pytest.raises(ValueError, match=r"share = 0\.5 leaves slates to choose; give an agent"):
            ExploringAgent(world, share=0.5)

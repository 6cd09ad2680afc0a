"""The items oracle: nothing hidden of a user reaches it, and what it makes of the visible is near the truth."""

import numpy as np
import pytest

from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.references.items import ItemsOracle
from longplay.agents.references.oracles import MyopicOracle
from longplay.agents.references.traces import recall_traces
from longplay.agents.rules.simple import RandomSlate
from longplay.envs.users.world import build_world
from longplay.tests.agents.contracts import AgentContract
from longplay.tests.agents.small import phases
from longplay.tests.envs.worlds import small

MEMORY = {
    "impression.weight": 0.5,
    "impression.memory": 1024,
    "repeat.recovery": 30.0,
    "choice.trust": 1.0,
    "momentum.persistence": 0.5,
    "horizon.days": 6.0,
    "choice.nothing": 1.0,
}


@pytest.fixture
def observation(states):
    return states[0]


@pytest.fixture(scope="module", params=["logit", "cascade"])
def remembered(request, catalog, item_vectors):
    """A world with a memory, and people in all phases of sessions."""
    world = build_world(catalog, small().with_overrides(MEMORY | {"choice.model": request.param}))
    return world, phases(world, item_vectors, users=36, steps=12)[0]


class TestContract(AgentContract):
    avoids_history = False  # it knows what a repeat costs
    leaves_slots_empty = True

    @pytest.fixture
    def subject(self, world):
        return ItemsOracle(world)


class TestWhatItReads:
    def test_nothing_hidden_of_the_user(self, remembered):
        world, observation = remembered
        oracle, rng = ItemsOracle(world), np.random.default_rng(0)
        assert not oracle.privileged  # so that nobody shows it the hidden state
        hidden = {name: rng.permutation(value) for name, value in observation["latent"].items()}
        slates = oracle.act({key: value for key, value in observation.items() if key != "latent"})
        np.testing.assert_array_equal(oracle.act({**observation, "latent": hidden}), slates)

    def test_what_is_visible(self, remembered):
        world, observation = remembered
        oracle = ItemsOracle(world)
        slates = oracle.act(observation)
        for name in ("history_ids", "shown_ids"):
            shuffled = {**observation, name: np.roll(observation[name], 1, axis=0)}
            assert (oracle.act(shuffled) != slates).any(), name

    def test_given_the_truth_it_is_the_myopic_oracle(self, world, observation, monkeypatch):
        oracle = ItemsOracle(world)
        monkeypatch.setattr(oracle, "estimate_state", lambda observation: observation["latent"])
        np.testing.assert_array_equal(oracle.act(observation), MyopicOracle(world).act(observation))


class TestEstimates:
    def test_taste_points_to_the_true_one(self, world, observation):
        taste = ItemsOracle(world).estimate_state(observation)["taste"]
        truth = observation["latent"]["taste"]
        cosine = (taste * truth).sum(axis=1) / np.linalg.norm(taste, axis=1)
        other = (taste * np.roll(truth, 1, axis=0)).sum(axis=1) / np.linalg.norm(taste, axis=1)
        assert cosine.mean() > 0.5 > other.mean() + 0.2

    def test_momentum_is_the_true_one(self, remembered):
        world, observation = remembered
        found = ItemsOracle(world).estimate_state(observation)["momentum"]
        assert observation["latent"]["momentum"].max() > 0.5
        np.testing.assert_allclose(found, observation["latent"]["momentum"], atol=1e-5)

    def test_satiation_is_the_true_one_of_a_median_user(self, catalog, item_vectors):
        alike = {"satiation.recovery_spread": 0.0, "satiation.sensitivity_spread": 0.0}
        world = build_world(catalog, small().with_overrides(MEMORY | alike))
        observation, _ = phases(world, item_vectors, users=36, steps=12)
        estimate = ItemsOracle(world).estimate_state(observation)
        np.testing.assert_allclose(estimate["satiation"], observation["latent"]["satiation"], atol=0.02)
        np.testing.assert_allclose(estimate["sensitivity"], observation["latent"]["sensitivity"])

    def test_traces_are_the_true_ones_where_a_click_or_its_absence_tells(self, remembered):
        world, observation = remembered
        ids = observation["candidates"].astype(np.int64)
        ids[:, :10], ids[:, 10] = observation["shown_ids"][:, 0], 0
        found, truth = ItemsOracle(world).recall_traces(ids, observation), recall_traces(world, ids, observation)
        assert truth.ignored.max() > 0.9
        np.testing.assert_allclose(found.consumed, truth.consumed, atol=1e-6)
        if world.scenario.values["choice_model"] == "logit":
            np.testing.assert_allclose(found.ignored, truth.ignored, atol=1e-4)
        else:  # of a slate that nobody clicked on, how far it was looked at is not seen
            assert np.corrcoef(found.ignored.ravel(), truth.ignored.ravel())[0, 1] > 0.8

    def test_traces_that_last_until_the_session_ends_are_the_true_ones(self, catalog, item_vectors):
        world = build_world(catalog, small().with_overrides(MEMORY | {"impression.fade": "session"}))
        observation, _ = phases(world, item_vectors, users=36, steps=12)
        ids = observation["shown_ids"][:, :12].reshape(len(observation["shown_ids"]), -1).astype(np.int64)
        found, truth = ItemsOracle(world).recall_traces(ids, observation), recall_traces(world, ids, observation)
        assert truth.ignored.max() > 1.5
        assert (truth.ignored[ids > 0] == 0).any()  # of earlier sessions
        np.testing.assert_allclose(found.ignored, truth.ignored, atol=1e-4)

    def test_traces_of_a_world_without_a_memory_are_those_of_the_history(self, world, observation):
        ids = np.concatenate([observation["candidates"], observation["history_ids"]], axis=1).astype(np.int64)
        found, truth = ItemsOracle(world).recall_traces(ids, observation), recall_traces(world, ids, observation)
        for name in ("ignored", "consumed"):
            np.testing.assert_array_equal(getattr(found, name)[ids > 0], getattr(truth, name)[ids > 0])


def test_it_earns_less_than_the_truth_and_more_than_chance(world, item_vectors):
    evaluator = Evaluator(world, item_vectors, held_out_users(world, "test", 20), 9)
    chance, found, truth = map(evaluator.mean_minutes, (RandomSlate(world), ItemsOracle(world), MyopicOracle(world)))
    assert chance < found < truth


def test_the_whole_catalogue_may_be_chosen_from(world, observation):
    slates = ItemsOracle(world, whole=True).act(observation)
    assert (slates > 0).any()
    assert set(slates.ravel()) - set(observation["candidates"].ravel().astype(int))

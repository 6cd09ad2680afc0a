"""What our learners share: agents whose weights are kept and refused, trainings that go on to the bit."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from longplay.agents.base import RatesItems
from longplay.agents.learners.learner import ABOUT_FILE, WEIGHTS_FILE, Learner, SlateAgent
from longplay.agents.slates.inputs import Inputs
from longplay.tests.agents.worlds_small import Identity
from longplay.tests.assertions import assert_same


class Sees:
    """Inputs of observations that are inputs already."""

    def __init__(self, identity="these"):
        self.identity = identity

    def __call__(self, observation):
        return observation


class Largest(SlateAgent):
    """Shows the candidate of the largest score, and leaves the second slot empty."""

    def choose(self, inputs):
        scores = self.network(torch.from_numpy(inputs.items))[..., 0]
        return np.stack([scores.argmax(dim=1).numpy(), np.full(len(scores), -1)], axis=1)


def agent(width=2, inputs=None, seed=0):
    torch.manual_seed(seed)
    return Largest(nn.Linear(width, 1), inputs or Sees(), 2, "largest")


@pytest.fixture
def observation():
    items = np.random.default_rng(0).normal(size=(20, 5, 2)).astype(np.float32)
    return Inputs(np.zeros((20, 1), np.float32), items, np.tile(np.array([11, 12, 13, 14, 15]), (20, 1)))


@pytest.fixture
def saved(tmp_path):
    agent().save(tmp_path / "kept", {"label": "L", "minutes": 1.5})
    return tmp_path / "kept"


class TestAgent:
    def test_columns_become_items_and_minus_one_an_empty_slot(self, observation):
        largest = agent()
        scores = observation.items @ largest.network.weight.detach().numpy()[0]
        expected = np.stack([11 + scores.argmax(axis=1), np.zeros(20)], axis=1)
        np.testing.assert_array_equal(largest.act(observation), expected)

    def test_who_rates_nothing_is_no_rater(self):
        assert not isinstance(agent(), RatesItems)


class TestSaveAndLoad:
    def test_a_loaded_agent_is_the_one_that_was_saved(self, saved, observation):
        loaded, other = agent(seed=1), agent(seed=1)
        loaded.load(saved)
        assert_same(loaded.act(observation), agent().act(observation))
        assert (loaded.act(observation) != other.act(observation)).any()
        assert not loaded.network.training

    def test_what_is_known_stands_beside_it(self, saved):
        assert json.loads((saved / ABOUT_FILE).read_text()) == {"label": "L", "minutes": 1.5, "inputs": "these"}
        assert {path.name for path in saved.iterdir()} == {WEIGHTS_FILE, ABOUT_FILE}

    @pytest.mark.parametrize("name", [WEIGHTS_FILE, ABOUT_FILE])
    def test_half_a_file_is_refused(self, saved, name):
        whole = (saved / name).read_bytes()
        (saved / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match=r"cannot be read as policy weights: .*; train again or give another"):
            agent().load(saved)

    @pytest.mark.parametrize("name", [WEIGHTS_FILE, ABOUT_FILE])
    def test_a_missing_file_is_refused(self, saved, name):
        (saved / name).unlink()
        with pytest.raises(ValueError, match="cannot be read as policy weights"):
            agent().load(saved)

    def test_other_inputs_are_refused(self, saved):
        with pytest.raises(
            ValueError, match=r"trained on other inputs \('these'\) than these \('those'\); train again"
        ):
            agent(inputs=Sees("those")).load(saved)

    def test_another_network_is_refused(self, saved):
        with pytest.raises(ValueError, match=r"does not fit the network of 'largest': [^;]*size mismatch"):
            agent(width=3).load(saved)


class Walk(Learner):
    """Draws slates by NumPy's chance, and moves its weights by torch's: all that a resumption has to put back."""

    tensors = ("far",)

    @staticmethod
    def make_agent(inputs, vectors, slots, options, gamma, name):
        return Largest(nn.Linear(5, 1), Sees(), slots, name)

    def __init__(self, players, seed):
        super().__init__(players, None, 0.9, seed, vectors=None, slots=2, name="walk")
        self.optimisers = {"one": torch.optim.Adam(self.agent.network.parameters(), 0.1)}
        self.far = torch.zeros(3)

    def iterate(self):
        columns = self.rng.integers(0, 8, (len(self.players.state), 1))
        found = self.players.step(np.concatenate([columns, np.full_like(columns, -1)], axis=1))
        self.optimisers["one"].zero_grad()
        aim = torch.randn(5, generator=self.torch_rng) + float(found.reward.mean())
        ((self.agent.network.weight - aim) ** 2).sum().backward()
        self.optimisers["one"].step()
        self.far = self.far + self.agent.network.weight.detach()[0, :3]
        self.steps += len(columns)
        return {}


def after(learner, rounds):
    for _ in range(rounds):
        learner.iterate()
    return learner


class TestLearner:
    @pytest.fixture
    def content(self):
        """Of a learner after three rounds, through a file that holds no code."""
        file = io.BytesIO()
        torch.save(after(Walk(Identity(users=4), 3), 3).capture(), file)
        file.seek(0)
        return torch.load(file, weights_only=True)

    def test_restored_it_goes_on_to_the_bit(self, content):
        straight, resumed = after(Walk(Identity(users=4), 3), 7), Walk(Identity(users=4, seed=9), 8)
        resumed.restore(content)
        after(resumed, 4)
        assert resumed.steps == straight.steps == 28
        assert torch.equal(resumed.agent.network.weight, straight.agent.network.weight)
        assert torch.equal(resumed.far, straight.far)
        assert_same(resumed.players.save_state(), straight.players.save_state())

    def test_the_seed_decides(self):
        one, same, other = (after(Walk(Identity(users=4), seed), 3).far for seed in (3, 3, 4))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)

    @pytest.mark.parametrize("part", ["modules", "optimisers", "tensors", "players", "dice", "chance"])
    def test_a_checkpoint_without_a_part_does_not_fit(self, content, part):
        del content[part]
        with pytest.raises(KeyError, match=part):
            Walk(Identity(users=4), 3).restore(content)

    def test_a_checkpoint_of_another_network_does_not_fit(self, content):
        learner = Walk(Identity(users=4), 3)
        learner.agent = SimpleNamespace(network=nn.Linear(6, 1), inputs=learner.agent.inputs)
        with pytest.raises(RuntimeError, match="size mismatch"):
            learner.restore(content)

"""The neural oracle: linear where it moves nothing, weights moved as by hand, and a search that never loses."""

import json

import numpy as np
import pytest

from longplay.agents.playing.cross_entropy import CrossEntropyOptions
from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.luck import REFERENCE_LUCK
from longplay.agents.references.features import FEATURES
from longplay.agents.references.linear import LinearOracle
from longplay.agents.references.neural import HIDDEN, INPUTS, MOVED, PARAMETERS, NeuralOracle
from longplay.agents.references.oracles import MyopicOracle
from longplay.agents.references.traits import TRAITS, measure_traits
from longplay.envs.users.world import build_world
from longplay.tests.agents.contracts import AgentContract
from longplay.tests.agents.references.test_linear import STRONG, with_weights
from longplay.tests.envs.worlds import small

QUICK = CrossEntropyOptions(users=20, population=8, elites=3, iterations=3, validation_users=40)


@pytest.fixture
def observation(states):
    return states[0]


@pytest.fixture(scope="module")
def strong(catalog):
    return build_world(catalog, small().with_overrides(STRONG))


@pytest.fixture(scope="module")
def fitted(strong, item_vectors):
    return NeuralOracle.fit(LinearOracle(strong), item_vectors, QUICK)


def draw_parameters(seed=0):
    return np.random.default_rng(seed).standard_normal(PARAMETERS)


class TestContract(AgentContract):
    avoids_history = False  # it knows what a repeat costs
    leaves_slots_empty = True

    @pytest.fixture
    def subject(self, world):
        return NeuralOracle(LinearOracle(world, shortlist=24), draw_parameters())


class TestSlates:
    def test_where_nothing_is_moved_it_is_the_linear_oracle(self, world, observation):
        linear = with_weights(LinearOracle(world), click=2.0, verdict=6.0)
        np.testing.assert_array_equal(NeuralOracle(linear).act(observation), linear.act(observation))

    def test_without_a_file_it_is_the_myopic_oracle(self, world, observation):
        linear = LinearOracle(world, shortlist=None)
        np.testing.assert_array_equal(NeuralOracle(linear).act(observation), MyopicOracle(world).act(observation))

    def test_weights_move_as_the_network_says(self, world, observation):
        """By loops over one user at a time, and the slates are the linear oracle's for these weights."""
        rng = np.random.default_rng(3)
        centre, scale = rng.standard_normal(len(TRAITS)), 0.5 + rng.random(len(TRAITS))
        linear = with_weights(LinearOracle(world), verdict=6.0)
        oracle = NeuralOracle(linear, draw_parameters(1), centre, scale)
        traits = measure_traits(world, observation)
        first = oracle.parameters[: INPUTS * HIDDEN].reshape(INPUTS, HIDDEN)
        second = oracle.parameters[INPUTS * HIDDEN :].reshape(HIDDEN, len(MOVED))
        weights = np.tile(linear.weights, (len(traits), 1))
        for b, row in enumerate(traits):
            hidden = [
                np.tanh(sum((row[t] - centre[t]) / scale[t] * first[t, h] for t in range(len(TRAITS))) + first[-1, h])
                for h in range(HIDDEN)
            ]
            for m, name in enumerate(MOVED):
                weights[b, FEATURES.index(name)] += sum(hidden[h] * second[h, m] for h in range(HIDDEN))
        assert np.abs(weights - linear.weights).max() > 0.5
        np.testing.assert_array_equal(oracle.act(observation), linear.choose_slates(observation, weights))

    def test_people_in_another_state_are_shown_another_slate(self, world, observation):
        oracle = NeuralOracle(LinearOracle(world), 3.0 * draw_parameters(2))
        latent = {**observation["latent"], "trust": np.minimum(observation["latent"]["trust"] + 0.5, 1.0)}
        assert (oracle.act(observation) != oracle.act({**observation, "latent": latent})).any()


class TestFit:
    def test_it_is_no_worse_than_its_start_on_the_users_who_choose(self, strong, item_vectors, fitted):
        users = held_out_users(strong, "validation", QUICK.validation_users)
        evaluator = Evaluator(strong, item_vectors, users, REFERENCE_LUCK + QUICK.seed)
        start = evaluator.mean_minutes(LinearOracle(strong))
        assert evaluator.mean_minutes(fitted) >= start
        assert fitted.parameters.any()

    def test_it_reports_and_checks_its_users(self, strong, item_vectors):
        told = []
        quick = CrossEntropyOptions(users=2, population=3, elites=2, iterations=2, validation_users=2)
        NeuralOracle.fit(LinearOracle(strong), item_vectors, quick, lambda what, share: told.append((what, share)))
        searching = [("searching a network", 0.0), ("searching a network", 0.5)]
        assert told == [*searching, ("choosing among the means of all iterations", 1.0)]
        many = CrossEntropyOptions(validation_users=900)
        with pytest.raises(ValueError, match="is out of range"):
            NeuralOracle.fit(LinearOracle(strong), item_vectors, many)


class TestFiles:
    def test_saved_and_loaded_it_is_the_same(self, tmp_path, strong, item_vectors, fitted):
        fitted.save(tmp_path / "network.json")
        loaded = NeuralOracle.load(tmp_path / "network.json", strong)
        for name in ("parameters", "centre", "scale"):
            np.testing.assert_array_equal(getattr(loaded, name), getattr(fitted, name))
        np.testing.assert_array_equal(loaded.linear.weights, fitted.linear.weights)

    def test_what_is_none_is_refused(self, tmp_path, world, fitted):
        path = tmp_path / "network.json"
        with pytest.raises(ValueError, match="does not exist; write it with the save of a neural oracle"):
            NeuralOracle.load(path, world)
        fitted.save(path)
        with pytest.raises(ValueError, match="was fitted in another scenario than 'video' as it is here; fit it again"):
            NeuralOracle.load(path, world)
        content = json.loads(path.read_text(encoding="utf-8"))
        for change in ({"traits": ["trust"]}, {"parameters": [1.0]}, {"scale": [0.0] * len(TRAITS)}, {"linear": {}}):
            path.write_text(json.dumps(content | change), encoding="utf-8")
            with pytest.raises(ValueError, match=r"is not a neural oracle: .*; fit and save again"):
                NeuralOracle.load(path, world)
        for text in ("{", "[]", "{}"):
            path.write_text(text, encoding="utf-8")
            with pytest.raises(ValueError, match=r"is not a neural oracle: .*; fit and save again"):
                NeuralOracle.load(path, world)

    @pytest.mark.parametrize("name", ["parameters", "centre", "scale"])
    def test_numbers_that_are_none_are_refused(self, world, name):
        with pytest.raises(ValueError, match=rf"{name} = \[nan\] must be \d+ finite"):
            NeuralOracle(LinearOracle(world), **{name: [float("nan")]})

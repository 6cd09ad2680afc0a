"""ARS over whole lives: a constant action, found where all trials have the same users and luck."""

import numpy as np
import pytest
import torch

from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.luck import VALIDATION_LUCK
from longplay.agents.rules.similarity import GreedySimilarity
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.reading import read_run
from longplay.agents.runs.training import train
from longplay.agents.sb3.ars import LivesARS

OPTIONS = {"n_delta": 6, "n_top": 3, "users": 16, "delta_std": 0.2, "learning_rate": 0.3}


@pytest.fixture(scope="module")
def begin(setting):
    """An algorithm that knows nothing, and its agent."""

    def make(**changes):
        config = RunConfig(setting=setting, agent="ars", num_envs=4, options=OPTIONS, **changes)
        trainer = config.entry.make_trainer(config, read_run(config, setting))
        assert isinstance(trainer.model, LivesARS)
        return trainer.model, trainer.agent

    return make


def test_it_acts_the_same_in_all_states(begin, states):
    model, agent = begin()
    model.learn(1)
    actions, _ = model.predict(agent.encoder(states[0]), deterministic=True)
    assert np.abs(actions).max() > 0
    assert (actions == actions[0]).all()
    np.testing.assert_allclose(actions[0], model.weights.numpy())


def test_it_finds_weights_that_earn_more(begin, setting):
    model, agent = begin(gamma=1.0)
    evaluator = Evaluator(setting.world, setting.item_vectors, held_out_users(setting.world, "train", 60), 9)
    before = evaluator.play(agent)["minutes"]
    while model._n_updates < 12:
        model.learn(1, reset_num_timesteps=model._n_updates == 0)
    paired = evaluator.play(agent)["minutes"] - before
    assert paired.mean() > 2 * paired.std() / np.sqrt(len(paired))


def test_its_slates_count(begin):
    model, _ = begin()
    model.learn(1)
    assert model._n_updates == 1
    assert model.num_timesteps > 2 * OPTIONS["n_delta"] * OPTIONS["users"]


def test_seeds_and_discounts_search_elsewhere(begin):
    found = []
    for changes in ({}, {"seed": 1}, {"gamma": 0.0}):
        model, _ = begin(**changes)
        model.learn(1)
        found.append(model.weights)
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_given_parameters_are_where_it_searches(begin):
    model, _ = begin()
    given = torch.linspace(-1, 1, len(model.weights))
    model.set_parameters({"policy": {"action_net.0.weight": given[:, None]}})
    assert torch.equal(model.weights, given)


def test_a_run_sets_out_from_similarity(setting, tmp_path):
    config = RunConfig(setting=setting, agent="ars", num_envs=4, steps=1, eval_users=4, options=OPTIONS)
    curve = train(config, tmp_path, False, lambda row: None)
    users = held_out_users(setting.world, "validation", 4)
    evaluator = Evaluator(setting.world, setting.item_vectors, users, VALIDATION_LUCK)
    assert curve["minutes"][0] == evaluator.mean_minutes(GreedySimilarity(setting.scorer))
    assert len(curve) == 2


WRONG = {"n_delta": 1, "n_top": 9, "users": 0, "delta_std": 0.0, "learning_rate": 0.0}


@pytest.mark.parametrize("changes", [{name: value} for name, value in WRONG.items()])
def test_options_out_of_range_are_refused(setting, changes):
    with pytest.raises(ValueError, match=rf"{next(iter(changes))} = .* is out of range"):
        RunConfig(setting=setting, agent="ars", options=changes)

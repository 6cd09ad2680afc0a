"""A history network inside a policy: its features are the states, and training reaches its weights."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from stable_baselines3 import PPO, SAC

from longplay.agents.runs.progress import CHECKPOINT
from longplay.agents.runs.reading import Reading, load_agent
from longplay.agents.runs.training import train
from longplay.agents.sb3.extractor import HistoryExtractor, OpenState
from longplay.agents.sb3.vec_env import SlateVecEnv
from longplay.encoders.registry import ENCODERS
from longplay.tests.agents.small import make_training_env, tiny_run
from longplay.tests.encoders.small import make_log

CELLS = ("gru", "lstm", "transformer", "attention")


@pytest.fixture(scope="module")
def folders(setting, tmp_path_factory):
    """A fitted encoder of each kind; with dropout, which must not reach the policy."""
    place = tmp_path_factory.mktemp("encoders")
    log = make_log(items=len(setting.items), rows=8)
    for name in CELLS:
        made = ENCODERS[name].make(setting.items, size=8, epochs=1, dropout=0.5)
        made.fit(log).save(place / name)
    return place


def tensors(parts):
    return {name: torch.from_numpy(part) for name, part in parts.items()}


@pytest.mark.parametrize("name", CELLS)
def test_features_are_the_states_until_they_are_trained(setting, states, folders, name):
    encoder = Reading(setting, str(folders / name)).state_encoder
    opened = OpenState(encoder, setting.world.scenario.shape.history)
    extractor = HistoryExtractor(opened.space, opened.network, opened.width).train()
    features = extractor(tensors(opened(states[0])))
    assert features.shape == (len(states[0]["candidates"]), extractor.features_dim)
    np.testing.assert_allclose(features.detach().numpy(), encoder(states[0]), rtol=0, atol=1e-5)
    for algorithm in (PPO, SAC):  # which draw weights of their own policies anew
        config = tiny_run(setting, agent=algorithm.__name__.lower())
        policy, settings = config.entry.choose_policy(opened, config.algorithm_arguments)
        model = algorithm(policy, SlateVecEnv(make_training_env(config), opened), device="cpu", **settings)
        own = getattr(model.policy, "features_extractor", None) or model.policy.actor.features_extractor
        np.testing.assert_array_equal(own(tensors(opened(states[0]))).detach().numpy(), features.detach().numpy())
    features.square().sum().backward()
    trained = {key: weight.grad for key, weight in extractor.network.named_parameters() if weight.grad is not None}
    assert any(gradient.abs().max() > 0 for gradient in trained.values())
    assert all(torch.isfinite(gradient).all() for gradient in trained.values())


@pytest.mark.parametrize(
    ("algorithm", "action"),
    [
        ("ppo", "weights"),
        ("sac", "weights"),
        ("recurrent-ppo", "weights"),
        ("ppo-stock", "candidates"),
        ("dqn", "presets"),
    ],
)
def test_a_training_changes_the_network_and_its_policy_is_kept(setting, states, folders, tmp_path, algorithm, action):
    options = {"state": str(folders / "gru"), "fine_tune": True, "steps": 256, "evals": 1}
    config = tiny_run(setting, agent=algorithm, action=action, **options)
    assert config.label.endswith("gru fine-tuned")
    train(config, tmp_path, False, lambda row: None)
    before = Reading(setting, str(folders / "gru")).state_encoder.encoder.network.state_dict()
    last = torch.load(tmp_path / CHECKPOINT, weights_only=True)["parameters"]["policy"]  # not the best on validation
    own = {key: value for key, value in last.items() if "network." in key}
    assert any(not torch.equal(value, before[key.split("network.")[1]]) for key, value in own.items())
    agent, kept = load_agent(tmp_path, config, setting), load_file(tmp_path / "policy.safetensors")
    assert all(torch.equal(weight, kept[key]) for key, weight in agent.model.policy.state_dict().items())
    assert agent.act(states[0]).shape == (len(states[0]["candidates"]), 10)


def test_a_policy_belongs_to_its_encoder(setting, folders, tmp_path):
    """Fitted again into the same folder, the encoder says other things: a policy trained on it is refused."""
    place = tmp_path / "gru"
    shutil.copytree(folders / "gru", place)
    config = tiny_run(setting, state=str(place), steps=256, evals=1)
    train(config, tmp_path / "run", False, lambda row: None)
    load_agent(tmp_path / "run", config, setting)
    made = ENCODERS["gru"].make(setting.items, size=8, epochs=1)
    made.fit(make_log(items=len(setting.items), rows=8, seed=1)).save(place)
    with pytest.raises(ValueError, match=r"policy.json was trained on another encoder than the one in '.*gru'"):
        load_agent(tmp_path / "run", config, setting)
    with pytest.raises(ValueError, match=r"checkpoint.pt was trained on another encoder than the one in '.*gru'"):
        train(config, tmp_path / "run", True, lambda row: None)


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_an_interrupted_training_goes_on_to_the_same_curve(setting, folders, tmp_path, algorithm):
    config = tiny_run(setting, agent=algorithm, state=str(folders / "gru"), fine_tune=True, steps=512, evals=2)
    whole = train(config, tmp_path / "whole", False, lambda row: None)

    def interrupt(row):
        if row["step"] >= 256:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", False, interrupt, seconds=0.0)
    pd.testing.assert_frame_equal(train(config, tmp_path / "cut", True, lambda row: None), whole)


def test_a_state_without_a_network_cannot_be_fine_tuned(setting):
    with pytest.raises(ValueError, match="fine_tune = True needs a state that is a history network"):
        OpenState(Reading(setting).state_encoder, 20)

"""Algorithms by name, and their trained policies as agents, saved and loaded."""

import functools

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sb3_contrib import QRDQN, RecurrentPPO
from stable_baselines3 import PPO, SAC

from longplay.agents.base import Remembering
from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.registry import AGENTS
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.reading import Reading, load_agent, read_run
from longplay.agents.sb3.agents import RecurrentAgent, load_policy, make_agent, save_policy
from longplay.agents.sb3.ars import LivesARS
from longplay.agents.sb3.entry import SB3Entry
from longplay.envs.shared.files import write_whole
from longplay.tests.agents.contracts import AgentContract
from longplay.tests.agents.small import tiny_run

PAIRS = [(name, action) for name in AGENTS if isinstance(AGENTS[name], SB3Entry) for action in AGENTS[name].actions]


class TestAlgorithms:
    def test_names_give_classes(self):
        assert AGENTS["ppo"].kind is PPO
        assert AGENTS["sac"].kind is SAC
        assert AGENTS["recurrent-ppo"].kind is RecurrentPPO
        assert AGENTS["qr-dqn"].kind is QRDQN
        assert AGENTS["ars"].kind is LivesARS

    def test_unknown_name_is_named_with_the_closest_one(self):
        with pytest.raises(
            ValueError,
            match=r"agent = 'pppo' is unknown \(did you mean 'ppo'\?\); allowed: 'ppo', 'a2c', 'ppo-stock', 'recu",
        ):
            RunConfig(agent="pppo", action="weights")

    def test_nothing_close_gives_no_hint(self):
        with pytest.raises(ValueError, match="agent = 'quantile' is unknown; allowed"):
            RunConfig(agent="quantile", action="weights")

    @pytest.mark.parametrize(
        ("algorithm", "action", "takes"),
        [
            ("sac", "candidates", "'weights', 'query'; 'candidates' is for 'ppo', 'a2c', 'ppo-stock'"),
            ("ppo", "items", "'weights', 'query', 'presets', 'candidates'$"),
            (
                "dqn",
                "weights",
                "'presets'; 'weights' is for 'ppo', 'a2c', 'recurrent-ppo', 'sac', 'tqc', 'td3', 'ddpg', 'ars'",
            ),
        ],
    )
    def test_action_not_taken_is_said(self, algorithm, action, takes):
        with pytest.raises(ValueError, match=f"'{algorithm}' does not take the action '{action}'; it takes {takes}"):
            RunConfig(agent=algorithm, action=action)


def make_model(config, setting):
    """The algorithm of a run before it learns, and what its policy is given."""
    trainer = config.entry.make_trainer(config, read_run(config, setting))
    return trainer.model, trainer.agent.encoder


@functools.cache
def trained(setting, algorithm, action):
    """A policy after a few hundred slates."""
    config = tiny_run(setting, agent=algorithm, action=action, steps=256)
    model, states = make_model(config, setting)
    before = {key: value.clone() for key, value in model.policy.state_dict().items()}
    model.learn(config.steps)
    return config, make_agent(model, states, Reading(setting, action=action).action_map, config.label), before


class TestTrainedPolicies:
    @pytest.mark.parametrize(("algorithm", "action"), PAIRS)
    def test_it_learns_acts_and_is_the_same_when_loaded(self, setting, states, tmp_path, algorithm, action):
        config, agent, before = trained(setting, algorithm, action)
        after = agent.model.policy.state_dict()
        assert any(not torch.equal(after[key], before[key]) for key in before)
        assert all(torch.isfinite(value).all() for value in after.values())
        observation = states[0]
        slates = agent.act(observation)
        assert slates.shape == (len(observation["candidates"]), 10)
        save_policy(agent.model, tmp_path, {"label": agent.name, "encoder": agent.encoder.identity})
        loaded = load_agent(tmp_path, config, setting)
        assert loaded.name == config.label
        state = agent.encoder(observation)
        np.testing.assert_array_equal(
            loaded.model.predict(state, deterministic=True)[0], agent.model.predict(state, deterministic=True)[0]
        )
        np.testing.assert_array_equal(loaded.act(observation), slates)

    def test_actions_stay_in_their_box(self, setting, states):
        _, agent, _ = trained(setting, "sac", "weights")
        actions, _ = agent.model.predict(agent.encoder(states[0]), deterministic=False)
        assert np.abs(actions).max() <= 1.0


class TestSavedPolicies:
    @pytest.fixture
    def saved(self, setting, tmp_path):
        config, agent, _ = trained(setting, "ppo", "weights")
        save_policy(agent.model, tmp_path, {"label": "ours", "minutes": 12.5})
        return config, tmp_path

    def load(self, saved, setting):
        config, folder = saved
        space = Reading(setting, action="weights").action_map.space
        states = Reading(setting, "pooled").state_encoder
        policy, arguments = config.entry.choose_policy(states, config.algorithm_arguments)
        return load_policy(folder, PPO, policy, states, space, "'ppo'", **arguments)

    def test_files_are_weights_and_a_description(self, saved):
        _, folder = saved
        assert sorted(path.name for path in folder.iterdir()) == ["policy.json", "policy.safetensors"]
        assert '"label": "ours"' in (folder / "policy.json").read_text()

    @pytest.mark.parametrize("content", [b"", b"not weights at all", None])
    def test_corrupted_weights_are_refused(self, saved, setting, content):
        path = saved[1] / "policy.safetensors"
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if content is None else content)
        with pytest.raises(ValueError, match=r"policy\.safetensors cannot be read as policy weights: .*train again"):
            self.load(saved, setting)

    def test_missing_weights_are_named(self, saved, setting):
        (saved[1] / "policy.safetensors").unlink()
        with pytest.raises(ValueError, match=r"policy\.safetensors cannot be read as policy weights"):
            self.load(saved, setting)

    def test_weights_of_another_network_are_refused(self, saved, setting):
        path = saved[1] / "policy.safetensors"
        weights = load_file(path)
        weights["action_net.weight"] = torch.zeros(3, 64)
        save_file(weights, path)
        with pytest.raises(ValueError, match=r"policy\.safetensors does not fit"):
            self.load(saved, setting)

    def test_failed_write_leaves_the_old_weights(self, saved, setting, monkeypatch):
        before = (saved[1] / "policy.safetensors").read_bytes()

        def full_disk(weights, path):
            path.write_bytes(b"half")
            raise OSError("no space left")

        monkeypatch.setattr("longplay.agents.sb3.agents.save_file", full_disk)
        with pytest.raises(OSError, match="no space left"):
            save_policy(self.load(saved, setting), saved[1], {})
        assert (saved[1] / "policy.safetensors").read_bytes() == before

    def test_settings_of_the_file_and_of_the_run_meet(self, saved, setting):
        config, folder = saved
        write_whole(folder / "config.json", config.to_json())
        read = type(config).from_json(folder / "config.json")
        assert read == config


@pytest.fixture
def observation(states):
    return states[0]


class TestWeightsAgent(AgentContract):
    @pytest.fixture
    def subject(self, setting):
        return trained(setting, "ppo", "weights")[1]


class TestQueryAgent(AgentContract):
    @pytest.fixture
    def subject(self, setting):
        return trained(setting, "sac", "query")[1]


class TestPresetsAgent(AgentContract):
    @pytest.fixture
    def subject(self, setting):
        return trained(setting, "dqn", "presets")[1]


class TestCandidatesAgent(AgentContract):
    @pytest.fixture
    def subject(self, setting):
        return trained(setting, "ppo", "candidates")[1]


class TestStockCandidatesAgent(AgentContract):
    repeats = True  # indices are chosen one by one: a repeat is legal, and wasted
    avoids_history = False

    @pytest.fixture
    def subject(self, setting):
        return trained(setting, "ppo-stock", "candidates")[1]


class TestRecurrentAgent(AgentContract):
    @pytest.fixture
    def subject(self, setting):
        return trained(setting, "recurrent-ppo", "weights")[1]

    def test_only_a_recurrent_policy_has_a_memory(self, setting, subject):
        assert isinstance(subject, RecurrentAgent)
        assert isinstance(subject, Remembering)
        assert not isinstance(trained(setting, "ppo", "weights")[1], Remembering)

    def test_it_follows_its_users_as_its_own_prediction_does(self, subject, observation):
        users = len(observation["candidates"])
        memory, state = subject.start(users), None
        assert not any(part.any() for part in memory.values())
        later = observation | {"context": observation["context"] + 1.0}
        for k, seen in enumerate((observation, later, observation)):
            slates, memory = subject.follow(seen, memory)
            actions, state = subject.model.predict(subject.encoder(seen), state, deterministic=True)
            np.testing.assert_array_equal(slates, subject.action_map(seen, actions))
            np.testing.assert_array_equal(memory["hidden"], state[0].swapaxes(0, 1))
            np.testing.assert_array_equal(memory["cell"], state[1].swapaxes(0, 1))
            assert all(part.shape[0] == users for part in memory.values())
            assert k > 0 or (slates == subject.act(seen)).all()

    def test_what_it_remembers_is_of_the_same_user(self, subject, observation):
        users = np.arange(len(observation["candidates"]))
        _, memory = subject.follow(observation, subject.start(len(users)))
        whole, after = subject.follow(observation, memory)
        for which in (users[::-1], users[3:9]):
            part = {name: value[which] for name, value in memory.items()}
            slates, kept = subject.follow(self.take_users(observation, which), part)
            np.testing.assert_array_equal(slates, whole[which])
            for name, value in kept.items():
                np.testing.assert_allclose(value, after[name][which], atol=1e-6)

    def test_its_memory_matters(self, subject, observation):
        """Another past gives other actions for the same observation."""
        state = subject.encoder(observation)
        _, past = subject.model.predict(state, deterministic=True)
        with_past, _ = subject.model.predict(state, past, deterministic=True)
        without, _ = subject.model.predict(state, deterministic=True)
        assert np.abs(with_past - without).max() > 1e-4

    def test_an_evaluation_can_be_cut_into_pieces(self, setting, subject):
        def minutes(users):
            evaluator = Evaluator(setting.world, setting.item_vectors, users, luck=3)
            return evaluator.play(subject)["minutes"].to_numpy()

        users = held_out_users(setting.world, "validation", 6)
        np.testing.assert_array_equal(minutes(users), np.concatenate([minutes(users[:2]), minutes(users[2:])]))


@pytest.mark.parametrize(("algorithm", "action"), {name: (name, action) for name, action in PAIRS}.values())
def test_same_seed_same_parameters(setting, algorithm, action):
    """To the bit, after two thousand slates, whatever was drawn from the global generators before."""
    config, found = tiny_run(setting, agent=algorithm, action=action, steps=2048, num_envs=64), []
    for noise in (1, 2):
        np.random.seed(noise)  # noqa: NPY002
        torch.manual_seed(noise)
        model, _ = make_model(config, setting)
        before = {key: value.clone() for key, value in model.policy.state_dict().items()}
        found.append(model.learn(config.steps).policy.state_dict())
        assert any(not torch.equal(found[-1][key], before[key]) for key in before)
    assert all(torch.equal(found[0][key], found[1][key]) for key in before)

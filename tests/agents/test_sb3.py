"""The stable-baselines3 face against its own `DummyVecEnv`; algorithms by name; policies saved and loaded."""

import functools

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from safetensors.torch import load_file, save_file
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv

from longplay.agents.sb3 import (
    ALGORITHMS,
    REWARD_SCALE,
    SB3Agent,
    SlateVecEnv,
    algorithm_named,
    load_policy,
    save_policy,
)
from longplay.agents.setup import load_agent, training_env
from longplay.agents.training import write_text
from longplay.envs.named import Video
from longplay.tests.agents.small import tiny_run
from longplay.tests.contracts import AgentContract

SLOTS = 4
PAIRS = [(name, action) for name, (_, actions) in ALGORITHMS.items() for action in actions]


class Encoded(gym.Wrapper):
    """A single environment whose observations are states and whose rewards are scaled, one user at a time."""

    def __init__(self, env, encoder):
        super().__init__(env)
        self.encoder = encoder
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (encoder.width,), np.float32)

    def state(self, observation):
        return self.encoder({key: value[None] for key, value in observation.items()})[0]

    def reset(self, **options):
        observation, info = self.env.reset(**options)
        return self.state(observation), info

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        info["churned"] = terminated
        return self.state(observation), REWARD_SCALE * reward, terminated, truncated, info


@pytest.fixture(scope="module")
def traces(setting):
    """The same 320 random actions through the native face and through single environments."""
    encoder = setting.state_encoder("pooled")
    config = tiny_run(setting, num_envs=SLOTS)
    native = SlateVecEnv(training_env(config), encoder)
    world = setting.world

    def single():
        options = {"scenario": world.scenario, "catalog": world.catalog, "action": "weights"}
        return Encoded(Video(item_vectors=setting.item_vectors, **options), setting.state_encoder("pooled"))

    dummy = DummyVecEnv([single] * SLOTS)
    found = []
    for env in (native, dummy):
        rng = np.random.default_rng(0)
        env.seed(5)
        steps = [(env.reset(), None, None, [{}] * SLOTS)]
        for _ in range(320):
            steps.append(env.step(rng.uniform(-1.2, 1.2, (SLOTS, 10)).astype(np.float32)))
        found.append([tuple(np.array(x) if k < 3 else x for k, x in enumerate(step)) for step in steps])
    return found


class TestSlateVecEnv:
    def test_many_episodes_end_in_both_ways(self, traces):
        ends = [info["churned"] for step in traces[1] for info in step[3] if "terminal_observation" in info]
        assert len(ends) > 30
        assert 4 <= sum(ends) <= len(ends) - 4

    def test_states_rewards_and_ends_are_those_of_single_environments(self, traces):
        for k, (one, other) in enumerate(zip(*traces, strict=True)):
            np.testing.assert_array_equal(one[0], other[0], err_msg=f"states of step {k}")
            if k > 0:
                for a, b in zip(one[1:3], other[1:3], strict=True):
                    np.testing.assert_array_equal(a, b, err_msg=f"step {k}")
                    assert a.dtype == b.dtype
        assert traces[0][0][0].dtype == np.float32

    def test_terminal_observations_are_those_of_single_environments(self, traces):
        for one, other in zip(*traces, strict=True):
            for a, b in zip(one[3], other[3], strict=True):
                assert ("terminal_observation" in a) == ("terminal_observation" in b)
                if "terminal_observation" in a:
                    np.testing.assert_array_equal(a["terminal_observation"], b["terminal_observation"])

    def test_horizon_and_churn_are_never_confused(self, traces):
        for one, other in zip(*traces, strict=True):
            for a, b in zip(one[3], other[3], strict=True):
                assert a.get("TimeLimit.truncated", False) == b.get("TimeLimit.truncated", False)
                if "terminal_observation" in a:
                    assert a["TimeLimit.truncated"] is not b["churned"]
                    assert a["TimeLimit.truncated"] == (b["day"] >= 6.0)

    def test_episodes_report_their_own_minutes_and_length(self, traces):
        minutes, length = np.zeros(SLOTS), np.zeros(SLOTS, int)
        for _, reward, done, infos in traces[0][1:]:
            minutes += reward / REWARD_SCALE
            length += 1
            for b, info in enumerate(infos):
                assert ("episode" in info) == done[b]
                if done[b]:
                    assert info["episode"]["r"] == pytest.approx(minutes[b], rel=1e-5)
                    assert info["episode"]["l"] == length[b]
                    minutes[b] = length[b] = 0

    def test_saved_state_continues(self, setting):
        config = tiny_run(setting, num_envs=SLOTS)
        one, other = (SlateVecEnv(training_env(config), setting.state_encoder("pooled")) for _ in range(2))
        rng = np.random.default_rng(0)
        one.seed(3)
        one.reset()
        for _ in range(20):
            one.step(rng.uniform(-1, 1, (SLOTS, 10)))
        other.reset()
        other.load_state(one.save_state())
        for _ in range(60):
            action = rng.uniform(-1, 1, (SLOTS, 10))
            for a, b in zip(one.step(action), other.step(action), strict=True):
                np.testing.assert_equal(a, b)

    def test_reset_starts_the_sums_again(self, setting):
        env = SlateVecEnv(training_env(tiny_run(setting, num_envs=SLOTS)), setting.state_encoder("pooled"))
        env.seed(0)
        first = env.reset()
        for _ in range(3):
            env.step(np.ones((SLOTS, 10)))
        assert env.lengths.min() >= 1
        env.seed(0)
        np.testing.assert_array_equal(env.reset(), first)
        assert not env.lengths.any()
        assert not env.returns.any()

    @pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
    def test_another_autoreset_mode_is_refused(self, setting, mode):
        env = setting.vector_env(2, "weights", autoreset_mode=mode)
        with pytest.raises(ValueError, match=rf"autoreset_mode is {mode}; .* needs SAME_STEP"):
            SlateVecEnv(env, setting.state_encoder("pooled"))

    def test_slots_are_one_batch(self, setting):
        env = SlateVecEnv(training_env(tiny_run(setting, num_envs=SLOTS)), setting.state_encoder("pooled"))
        assert env.get_attr("num_envs") == [SLOTS] * SLOTS
        assert env.get_attr("num_envs", [0, 2]) == [SLOTS] * 2
        assert env.env_is_wrapped(gym.Wrapper) == [False] * SLOTS
        with pytest.raises(NotImplementedError, match="one batch"):
            env.set_attr("num_envs", 1)
        with pytest.raises(NotImplementedError, match="one batch"):
            env.env_method("reset")


class TestAlgorithmNamed:
    def test_names_give_classes(self):
        assert algorithm_named("ppo", "candidates") is PPO
        assert algorithm_named("sac", "query") is SAC

    def test_unknown_name_is_named_with_the_closest_one(self):
        with pytest.raises(
            ValueError,
            match=r"agent = 'pppo' is unknown \(did you mean 'ppo'\?\); allowed: 'ppo', 'a2c', 'sac', 'td3'",
        ):
            algorithm_named("pppo", "weights")

    def test_nothing_close_gives_no_hint(self):
        with pytest.raises(ValueError, match="agent = 'quantile' is unknown; allowed"):
            algorithm_named("quantile", "weights")

    @pytest.mark.parametrize(
        ("algorithm", "action", "takes"),
        [("sac", "candidates", "'weights', 'query'"), ("ppo", "items", "'weights', 'query', 'candidates'")],
    )
    def test_action_not_taken_is_said(self, algorithm, action, takes):
        with pytest.raises(ValueError, match=f"'{algorithm}' does not take the action '{action}'; it takes {takes}"):
            algorithm_named(algorithm, action)


@functools.cache
def trained(setting, algorithm, action):
    """A policy after a few hundred slates."""
    config = tiny_run(setting, agent=algorithm, action=action, steps=256)
    encoder = setting.state_encoder("pooled")
    env = SlateVecEnv(training_env(config), encoder)
    model = algorithm_named(algorithm, action)("MlpPolicy", env, device="cpu", **config.settings)
    before = {key: value.clone() for key, value in model.policy.state_dict().items()}
    model.learn(config.steps)
    return config, SB3Agent(model, encoder, setting.action_map(action), name=config.label), before


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
        space = setting.action_map("weights").space
        return load_policy(folder, "ppo", "weights", setting.state_encoder("pooled"), space, **config.settings)

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

        monkeypatch.setattr("longplay.agents.sb3.save_file", full_disk)
        with pytest.raises(OSError, match="no space left"):
            save_policy(self.load(saved, setting), saved[1], {})
        assert (saved[1] / "policy.safetensors").read_bytes() == before

    def test_settings_of_the_file_and_of_the_run_meet(self, saved, setting):
        config, folder = saved
        write_text(folder / "config.json", config.to_json())
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


class TestCandidatesAgent(AgentContract):
    repeats = True  # indices are chosen one by one: a repeat is legal, and wasted
    avoids_history = False

    @pytest.fixture
    def subject(self, setting):
        return trained(setting, "ppo", "candidates")[1]

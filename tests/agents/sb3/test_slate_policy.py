"""The policy of slates: what it is given, what it never shows, and that it learns what to show."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.reading import Reading
from longplay.agents.sb3.slate_policy import SlateDistribution, SlatePolicy, SlateStates, calibrate
from longplay.agents.sb3.vec_env import SlateVecEnv
from longplay.agents.slates.inputs import SlateInputs
from longplay.envs.candidates.retriever import count_candidates
from longplay.tests.agents.small import make_states, make_training_env, tiny_run

CANDIDATES, SLOTS, WIDTH = 8, 3, 4


class IdentitySlate(gym.Env):
    """Of eight items in random places, the three with the feature that the state asks for must be shown.

    The reward is the share of the three that is. Features 0 and 1 mark three items each, and the state is 1 for the
    first and −1 for the second. One slate an episode.
    """

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        shapes = {"state": (1,), "items": (CANDIDATES, WIDTH), "ids": (CANDIDATES,)}
        self.observation_space = gym.spaces.Dict(
            {name: gym.spaces.Box(-np.inf, np.inf, shape, np.float32) for name, shape in shapes.items()}
        )
        self.action_space = gym.spaces.MultiDiscrete([CANDIDATES] * SLOTS)

    def reset(self, *, seed=None, options=None):
        order = self.rng.permutation(CANDIDATES)
        items = np.zeros((CANDIDATES, WIDTH), np.float32)
        items[order[:SLOTS], 0] = items[order[SLOTS : 2 * SLOTS], 1] = 1.0
        items[:, 2] = self.rng.normal(size=CANDIDATES)
        first = self.rng.random() < 0.5
        self.wanted = set(order[:SLOTS] if first else order[SLOTS : 2 * SLOTS])
        state = np.array([1.0 if first else -1.0], np.float32)
        return {"state": state, "items": items, "ids": np.arange(1, CANDIDATES + 1, dtype=np.float32)}, {}

    def step(self, action):
        reward = len(self.wanted & set(action.tolist())) / SLOTS
        return self.reset()[0], reward, True, False, {}


def learner(algorithm, seed=0, **options):
    env = DummyVecEnv([lambda k=k: IdentitySlate(100 * seed + k) for k in range(8)])
    # The items' vectors say nothing: what there is to learn is in the features.
    policy = {"vectors": np.zeros((CANDIDATES + 1, 2), np.float32), "repeated": WIDTH - 1, "match": 1, "hidden": 32}
    return algorithm(SlatePolicy, env, seed=seed, gamma=0.0, device="cpu", policy_kwargs=policy, **options)


def share_found(model, users=200):
    """Mean reward of the deterministic policy."""
    env, found = IdentitySlate(12345), []
    observation, _ = env.reset()
    for _ in range(users):
        observation, reward, *_ = env.step(model.predict(observation, deterministic=True)[0])
        found.append(reward)
    return np.mean(found)


LEARNERS = {
    "ppo": (PPO, {"n_steps": 64, "batch_size": 128, "n_epochs": 5, "learning_rate": 3e-3}),
    "a2c": (A2C, {"n_steps": 8, "learning_rate": 1e-2}),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_it_learns_to_show_what_the_state_asks_for(name):
    algorithm, options = LEARNERS[name]
    model = learner(algorithm, **options)
    assert share_found(model) < 0.75  # what is shown at random is 3/8
    model.learn(6_000)
    assert share_found(model) > 0.98


def test_the_same_seed_gives_the_same_policy_and_another_does_not():
    algorithm, options = LEARNERS["ppo"]
    first, same, other = (learner(algorithm, seed, **options).learn(1024).policy.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


# --- on the environments -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slate_states(setting):
    return SlateStates(Reading(setting, "pooled").inputs, count_candidates(setting.world))


@pytest.fixture(scope="module")
def model(setting, slate_states):
    """PPO before it learns, with weights large enough to have preferences."""
    config = tiny_run(setting, action="candidates")
    env = SlateVecEnv(make_training_env(config), slate_states)
    policy, settings = config.entry.choose_policy(slate_states, config.algorithm_arguments)
    model = PPO(policy, env, device="cpu", **settings)
    calibrate(model.policy, env, seed=0)
    torch.manual_seed(3)
    torch.nn.init.normal_(model.policy.network.weights.weight, std=0.5)
    return model


def tensors(states):
    return {name: torch.from_numpy(part) for name, part in states.items()}


class TestSlateStates:
    def test_they_are_the_inputs_of_slate_networks(self, setting, scorer, slate_states, states):
        given = slate_states(states[0])
        expected = SlateInputs(scorer, Reading(setting, "pooled").state_encoder)(states[0])
        np.testing.assert_array_equal(given["state"], expected.state)
        np.testing.assert_array_equal(given["items"], expected.items)
        np.testing.assert_array_equal(given["ids"], expected.ids)
        one = {name: part[0] for name, part in given.items()}
        assert one in slate_states.space

    def test_missing_candidates_are_none(self, slate_states, states):
        few = states[0] | {"candidates": states[0]["candidates"][:, :12]}
        given, whole = slate_states(few), slate_states(states[0])
        assert given["ids"].shape == whole["ids"].shape
        np.testing.assert_array_equal(given["ids"][:, :12], whole["ids"][:, :12])
        assert not given["ids"][:, 12:].any()
        assert not given["items"][:, 12:].any()

    def test_a_candidate_that_is_there_twice_counts_once(self, slate_states, states):
        twice = states[0]["candidates"].copy()
        twice[1::2, [5, 9]] = twice[1::2, [2]]
        given, whole = slate_states(states[0] | {"candidates": twice}), slate_states(states[0])
        assert not given["ids"][1::2, [5, 9]].any()
        assert not given["items"][1::2, [5, 9]].any()
        rest = [k for k in range(twice.shape[1]) if k not in (5, 9)]
        np.testing.assert_array_equal(given["ids"][:, rest], whole["ids"][:, rest])
        np.testing.assert_array_equal(given["ids"][::2], whole["ids"][::2])

    def test_a_policy_belongs_to_its_encoder_and_features(self, setting, slate_states):
        assert slate_states.identity.startswith(Reading(setting, "pooled").state_encoder.identity)
        assert "similarity" in slate_states.identity

    def test_no_fine_tuning(self, setting):
        with pytest.raises(ValueError, match="fine_tune = True is not possible for 'ppo' with the action 'candidates'"):
            tiny_run(setting, action="candidates", fine_tune=True)


class TestSlatePolicy:
    def test_sampled_slates_never_repeat_nor_show_what_is_none(self, model, slate_states, states):
        few = slate_states(states[0] | {"candidates": states[0]["candidates"][:, :14]})
        torch.manual_seed(0)
        for _ in range(20):
            slates = model.policy(tensors(few))[0]
            assert slates.shape == (len(few["ids"]), 10)
            assert all(len(set(slate)) == 10 for slate in slates.tolist())
            assert slates.max() < 14

    def test_items_of_the_history_come_last(self, model, slate_states, states):
        history = states[0]["history_ids"][:, :6]
        assert (history > 0).all()
        fresh = [
            [c for c in row if c not in seen][:7]
            for row, seen in zip(states[0]["candidates"], states[0]["history_ids"], strict=True)
        ]
        given = slate_states(states[0] | {"candidates": np.concatenate([history, fresh], axis=1).astype(np.float32)})
        torch.manual_seed(0)
        for deterministic in (False, True):
            slates = model.policy(tensors(given), deterministic)[0]
            assert (slates[:, :7] >= 6).all()
            assert (slates[:, 7:] < 6).all()

    def test_the_order_of_candidates_does_not_matter(self, model, slate_states, states):
        order = np.random.default_rng(0).permutation(states[0]["candidates"].shape[1])
        moved = states[0] | {"candidates": states[0]["candidates"][:, order]}
        shown = []
        for observation in (states[0], moved):
            slates = model.predict(slate_states(observation), deterministic=True)[0]
            shown.append(np.take_along_axis(observation["candidates"], slates, axis=1))
        np.testing.assert_array_equal(*shown)

    def test_what_was_sampled_is_evaluated_as_it_was(self, model, slate_states, states):
        given = tensors(slate_states(states[0]))
        slates, values, log_probability = model.policy(given)
        again = model.policy.evaluate_actions(given, slates.float())  # as a rollout buffer keeps them
        torch.testing.assert_close(again[0], values)
        torch.testing.assert_close(again[1], log_probability)
        torch.testing.assert_close(model.policy.predict_values(given), values)
        torch.testing.assert_close(model.policy.get_distribution(given).log_prob(slates), log_probability)
        assert values.shape == (len(slates), 1)
        assert again[2].shape == log_probability.shape == (len(slates),)
        assert (again[2] > 0).all()

    def test_every_weight_is_learnt(self, model, slate_states, states):
        given = tensors(slate_states(states[0]))
        values, log_probability, _ = model.policy.evaluate_actions(given, model.policy(given)[0])
        model.policy.optimizer.zero_grad()
        (values.sum() + log_probability.sum()).backward()
        for name, weight in model.policy.named_parameters():
            assert torch.isfinite(weight.grad).all(), name
            assert weight.grad.abs().max() > 0, name
        learnt = {id(weight) for group in model.policy.optimizer.param_groups for weight in group["params"]}
        assert learnt == {id(weight) for weight in model.policy.parameters()}

    def test_the_most_likely_slate_is_deterministic(self, model, slate_states, states):
        given = slate_states(states[0])
        first = model.predict(given, deterministic=True)[0]
        np.testing.assert_array_equal(model.predict(given, deterministic=True)[0], first)
        assert (model.predict(given, deterministic=False)[0] != first).any()
        distribution = model.policy.get_distribution(tensors(given))
        likely = distribution.log_prob(torch.from_numpy(first))
        assert (likely >= distribution.log_prob(distribution.sample())).all()

    def test_inputs_are_scaled_by_a_sample(self, setting, model, slate_states):
        network, states = model.policy.network, []
        env = SlateVecEnv(make_training_env(tiny_run(setting, action="candidates")), slate_states)
        env.seed(0)
        states.append(env.reset())
        rng = np.random.default_rng(1)
        for _ in range(30):
            states.append(env.step(rng.integers(0, 64, (8, 10)))[0])
        real = np.concatenate([part["items"][part["ids"] > 0] for part in states])
        scaled = (real - network.mean_items.numpy()) / network.scale_items.numpy()
        moving = real.std(axis=0) > 1e-3
        assert np.abs(scaled[:, moving].mean(axis=0)).max() < 0.5
        assert 0.5 < scaled[:, moving].std(axis=0).min() < scaled[:, moving].std(axis=0).max() < 2.0
        assert "network.scale_items" in model.policy.state_dict()
        assert not any("vectors" in key for key in model.policy.state_dict())


def test_the_distribution_is_one_of_stable_baselines3(model):
    torch.manual_seed(0)
    scores = torch.randn(50, 6)
    distribution = SlateDistribution(3)
    slates, log_probability = distribution.log_prob_from_params(scores)
    torch.testing.assert_close(distribution.log_prob(slates), log_probability)
    torch.testing.assert_close(distribution.actions_from_params(scores, deterministic=True), distribution.mode())
    assert distribution.entropy() is None
    assert list(distribution.proba_distribution_net().parameters()) == []


def test_states_of_other_agents_are_not_slate_states(setting):
    assert not isinstance(make_states(RunConfig(setting=setting), setting), SlateStates)

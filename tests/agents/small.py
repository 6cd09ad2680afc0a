"""Small settings, runs and agents that the tests of agents and scripts share."""

import io
from dataclasses import dataclass

import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from longplay.agents.base import select_users
from longplay.agents.playing.steps import follow_users
from longplay.agents.playing.trials import make_life_env
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.reading import read_run
from longplay.agents.setting import Setting
from longplay.envs.candidates.retriever import Retriever
from longplay.envs.candidates.wrappers import MappedAction
from longplay.envs.engine import ContextColumn
from longplay.envs.env import SlateVectorEnv
from longplay.envs.users.world import build_world
from longplay.tests.envs.worlds import make_catalog, small, vectors

# Settings of the algorithms that learn from a few hundred slates, whatever the shipped ones are tuned to.
PPO = {"n_steps": 16, "batch_size": 64, "n_epochs": 2}
TINY = {
    "ppo": PPO,
    "ppo-stock": PPO,
    "recurrent-ppo": PPO,
    "a2c": {"n_steps": 8},
    "ars": {"n_delta": 2, "n_top": 2, "users": 1},
    "off-policy": {"learning_starts": 64, "buffer_size": 400, "batch_size": 32, "gradient_steps": 1, "train_freq": 1},
}


@dataclass(frozen=True)
class TinyRun(RunConfig):
    """A run whose algorithm learns from little; everything else is as shipped."""

    @property
    def algorithm_arguments(self):
        return {**super().algorithm_arguments, **TINY.get(self.agent, TINY["off-policy"])}


def unit_vectors(catalog):
    """Item vectors as a text encoder gives them: (N, 16), of unit length."""
    raw = vectors(catalog)
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def make_setting(world, **changes):
    """A setting of a small world, with vectors that no BERT has to be loaded for."""
    setting = Setting(**changes)
    setting.__dict__.update(world=world, item_vectors=unit_vectors(world.catalog))
    return setting


def tiny_run(setting, **changes):
    """A run of a few hundred slates."""
    options = {"steps": 768, "num_envs": 8, "eval_users": 8, "evals": 3, "learning_rate": 1e-3}
    return TinyRun(setting=setting, **{**options, **changes})


def make_training_env(config):
    """The environment that a run learns from, whose action is that of the run."""
    reading = read_run(config)
    return MappedAction(reading.make_training_env(config.num_envs), reading.action_map)


def make_states(config, setting):
    """What the policy of a run is given in a setting."""
    return config.entry.make_states(config, read_run(config, setting))


def short_setting():
    """The setting of the session's `setting` fixture, for another process."""
    return make_setting(build_world(make_catalog(), small(horizon__days=6)))


def phases(world, item_vectors, users=24, steps=9):
    """Users after 0 to `steps` random slates of their candidates: first slates, mid-session, after gaps."""
    env = Retriever(SlateVectorEnv(world, users, autoreset_mode=AutoresetMode.DISABLED, privileged=True), item_vectors)
    rng = np.random.default_rng(0)
    observation, info = env.reset(seed=4)
    found = []
    for step in range(steps):
        latent = {key: value for key, value in info["latent"].items() if not key.startswith("_")}
        here = (np.arange(users) % steps == step) & (env.unwrapped.engine.users["status"] == 0)
        whole = {key: value.copy() for key, value in (observation | latent).items()}
        part = select_users(whole, here)
        state = {key: part[key] for key in observation} | {"latent": {key: part[key] for key in latent}}
        found.append((state, env.unwrapped.engine.users[here].copy()))
        slots = rng.permuted(np.tile(np.arange(env.count), (users, 1)), axis=1)[:, : world.scenario.shape.slate]
        slates = np.take_along_axis(observation["candidates"], slots, axis=1).astype(np.int64)
        observation, _, _, _, info = env.step(slates)
    return join([state for state, _ in found]), np.concatenate([records for _, records in found])


def join(observations):
    """Observations, nested or not, one after the other."""
    return {
        key: join([o[key] for o in observations])
        if isinstance(value, dict)
        else np.concatenate([o[key] for o in observations])
        for key, value in observations[0].items()
    }


def find_repeats(world, item_vectors, agent, users=8, luck=3):
    """(n, 2) of the slates of some lives: candidates that the session had not shown yet, and items that it had."""
    found, told = [], [set() for _ in range(users)]
    env = make_life_env(world, item_vectors, users, privileged=False)
    for step in follow_users(env, agent, np.arange(users), luck):
        for b in np.flatnonzero(step.active):
            if step.before["context"][b, ContextColumn.DEPTH] == 0:
                told[b] = set()
            left = set(step.before["candidates"][b].astype(int)) - told[b] - {0}
            found.append((len(left), len(told[b] & set(step.slates[b]))))
            told[b] |= set(step.slates[b].tolist())
    return np.array(found)


class Counts:
    """Shows how many slates it has been asked for in a life: item 101 in the first, 102 in the second.

    It notes that number less one for the first of the users, each time.
    """

    name, privileged = "counts", False

    def __init__(self):
        self.met = []

    def act(self, observation):
        return self.follow(observation, self.start(len(observation["context"])))[0]

    def start(self, users):
        return {"met": np.zeros(users, np.int64)}

    def follow(self, observation, memory):
        self.met.append(memory["met"][0])
        met = memory["met"] + 1
        slates = np.tile(np.arange(1, 11), (len(met), 1))
        slates[:, 0] = 100 + met
        return slates, {"met": met}


def copied(content):
    """Through a file, as a checkpoint goes."""
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def same_weights(one, other):
    """Two learners have the same weights, to the bit."""
    for name, module in one.modules().items():
        for key, value in module.state_dict().items():
            assert torch.equal(value, other.modules()[name].state_dict()[key]), (name, key)

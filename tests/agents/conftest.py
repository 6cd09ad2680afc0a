"""Small worlds and what is learned in them, built once; one thread, as other tests want the cores."""

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from longplay.agents.base import rows
from longplay.envs.env import SlateVectorEnv
from longplay.envs.retriever import Retriever
from longplay.envs.scoring import Scorer
from longplay.envs.world import build_world
from longplay.tests.agents.small import make_setting, unit_vectors
from longplay.tests.envs.worlds import make_catalog, small


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def catalog():
    return make_catalog()


@pytest.fixture(scope="session")
def item_vectors(catalog):
    return unit_vectors(catalog)


@pytest.fixture(scope="session")
def world(catalog):
    """A life of six days, so that episodes end often."""
    return build_world(catalog, small(horizon__days=6))


@pytest.fixture(scope="session")
def control_world(catalog):
    return build_world(catalog, small("control", horizon__days=6))


@pytest.fixture(scope="session")
def setting(world):
    return make_setting(world)


@pytest.fixture(scope="session")
def scorer(world, item_vectors):
    return Scorer(world, item_vectors)


@pytest.fixture(scope="session")
def states(world, item_vectors):
    """Observations (B, ·) with ``latent``, in all phases of sessions, and the users' records behind them."""
    return phases(world, item_vectors)


def phases(world, item_vectors, users=24, steps=9):
    """Users after 0 to `steps` random slates of their candidates: first slates, mid-session, after gaps."""
    env = Retriever(
        SlateVectorEnv(world, users, autoreset_mode=AutoresetMode.DISABLED, privileged=True), item_vectors
    )
    rng = np.random.default_rng(0)
    observation, info = env.reset(seed=4)
    found = []
    for step in range(steps):
        latent = {key: value for key, value in info["latent"].items() if not key.startswith("_")}
        here = (np.arange(users) % steps == step) & (env.unwrapped.engine.users["status"] == 0)
        whole = {key: value.copy() for key, value in (observation | latent).items()}
        part = rows(whole, here)
        state = {key: part[key] for key in observation} | {"latent": {key: part[key] for key in latent}}
        found.append((state, env.unwrapped.engine.users[here].copy()))
        slots = rng.permuted(np.tile(np.arange(env.count), (users, 1)), axis=1)[:, : world.scenario.shape.slate]
        slates = np.take_along_axis(observation["candidates"], slots, axis=1).astype(np.int64)
        observation, _, _, _, info = env.step(slates)
    return join([state for state, _ in found]), np.concatenate([records for _, records in found])


def join(observations):
    """Observations, nested or not, one after the other."""
    return {
        key: join([o[key] for o in observations]) if isinstance(value, dict) else np.concatenate([o[key] for o in observations])
        for key, value in observations[0].items()
    }

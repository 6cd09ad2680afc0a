"""Golden traces: what happens to the first users of each id, and which candidates they have, each as a hash.

A change here means that learning results may change: it needs a new ``-vN`` of the id. While the version is 0.1,
unreleased, the traces are recorded anew instead, on purpose and alone in a commit:

    .venv/bin/python -m longplay.tests.envs.named.test_golden
"""

import hashlib
import json
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import longplay
from longplay.envs.catalogs.registry import CATALOGS
from longplay.envs.users.params import Scenario

LIVES = Path(__file__).with_name("golden.json")
CANDIDATES = Path(__file__).with_name("golden_candidates.json")
IDS = tuple(sorted(longplay.ENVIRONMENTS))


def make_vectors(items):
    """(N, 16) vectors by plain arithmetic, the same with every version of NumPy; hardly any cosines are equal."""
    item, place = np.arange(1, items + 1)[:, None], np.arange(1, 17)
    return ((item * (2 * place + 1) ** 3 + item**2 * place) % 1009 - 504).astype(np.float32)


def trace(name, **options):
    """Hashes of 200 slates of 8 users on the id's own catalogue.

    The first is of who they were, what they chose, when they left and how it ended, the second of their candidates.
    Only discrete events count: the last bits of floats may differ between platforms.
    """
    items = len(CATALOGS[Scenario.load(longplay.ENVIRONMENTS.card(name).words["scenario"]).catalog]())
    env = gymnasium.make_vec(name, num_envs=8, candidates=True, item_vectors=make_vectors(items), **options)
    observation, _ = env.reset(seed=0)
    found, different = hashlib.sha256(), {observation["candidates"].tobytes()}
    slots, born = len(env.single_action_space.nvec), env.unwrapped.world.born[1:]
    found.update(observation["candidates"].astype("<i8").tobytes())
    # Where items age, slates are of the newest, which are in order of appearance.
    reach = 200 if np.ptp(born) else len(born)
    day = np.zeros(8)
    user, slot = np.arange(8)[:, None], np.arange(slots)
    digest, ends, clicks = hashlib.sha256(), 0, 0
    for step in range(200):
        # No generator: slates must be the same with every version of NumPy.
        there = np.searchsorted(born, day, side="right")[:, None]
        observation, _, terminated, truncated, info = env.step(
            there - (7919 * step + 104729 * user + 1299709 * slot) % reach
        )
        day = info["day"]
        events = [info["user"], info["choice"], info["left"], terminated, truncated]
        digest.update(np.array(events).astype("<i8").tobytes())
        found.update(observation["candidates"].astype("<i8").tobytes())
        different.add(observation["candidates"].tobytes())
        ends += (terminated | truncated).sum()
        clicks += (info["choice"] >= 0).sum()
    assert ends > 3
    assert clicks > 90
    assert len(different) > 10
    return digest.hexdigest(), found.hexdigest()


@pytest.mark.parametrize("name", IDS)
def test_lives_and_candidates_are_those_recorded(name):
    lives, candidates = (json.loads(file.read_text(encoding="utf-8"))[name] for file in (LIVES, CANDIDATES))
    assert trace(name) == (lives, candidates), "see the docstring of this file"


def test_every_registered_id_has_a_trace():
    assert set(IDS) == {name for name in gymnasium.registry if name.startswith("longplay/")}


if __name__ == "__main__":
    traces = {name: trace(name) for name in IDS}
    for part, file in enumerate((LIVES, CANDIDATES)):
        recorded = {name: hashes[part] for name, hashes in traces.items()}
        file.write_text(json.dumps(recorded, indent=2) + "\n", encoding="utf-8")

"""Golden traces: what happens to the first users of each id, as a hash.

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

FILE = Path(__file__).with_name("golden.json")
IDS = tuple(sorted(longplay.ENVIRONMENTS))


def trace(name):
    """Hash of 200 slates of 8 users on the id's own catalogue: who, what they chose, when they left, how it ended.

    Only discrete events count: the last bits of floats may differ between platforms.
    """
    env = gymnasium.make_vec(name, num_envs=8)
    env.reset(seed=0)
    slots, born = len(env.single_action_space.nvec), env.unwrapped.world.born[1:]
    # Where items age, slates are of the newest, which are in order of appearance.
    reach = 200 if np.ptp(born) else len(born)
    day = np.zeros(8)
    user, slot = np.arange(8)[:, None], np.arange(slots)
    digest, ends, clicks = hashlib.sha256(), 0, 0
    for step in range(200):
        # No generator: slates must be the same with every version of NumPy.
        there = np.searchsorted(born, day, side="right")[:, None]
        _, _, terminated, truncated, info = env.step(there - (7919 * step + 104729 * user + 1299709 * slot) % reach)
        day = info["day"]
        events = [info["user"], info["choice"], info["left"], terminated, truncated]
        digest.update(np.array(events).astype("<i8").tobytes())
        ends += (terminated | truncated).sum()
        clicks += (info["choice"] >= 0).sum()
    assert ends > 8
    assert clicks > 100
    return digest.hexdigest()


@pytest.mark.parametrize("name", IDS)
def test_lives_are_those_recorded(name):
    recorded = json.loads(FILE.read_text(encoding="utf-8"))
    assert trace(name) == recorded[name], "see the docstring of this file"


def test_every_registered_id_has_a_trace():
    assert set(IDS) == {name for name in gymnasium.registry if name.startswith("longplay/")}


if __name__ == "__main__":
    FILE.write_text(json.dumps({name: trace(name) for name in IDS}, indent=2) + "\n", encoding="utf-8")

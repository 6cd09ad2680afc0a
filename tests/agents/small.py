"""Small settings, runs and agents that the tests of agents and scripts share."""

from dataclasses import dataclass

import numpy as np

from longplay.agents.setup import RunConfig, Setting
from longplay.tests.envs.worlds import vectors

# Settings of the algorithms that learn from a few hundred slates, whatever the shipped ones are tuned to.
TINY = {
    "ppo": {"n_steps": 16, "batch_size": 64, "n_epochs": 2},
    "a2c": {"n_steps": 8},
    "off-policy": {"learning_starts": 64, "buffer_size": 400, "batch_size": 32, "gradient_steps": 1, "train_freq": 1},
}


@dataclass(frozen=True)
class TinyRun(RunConfig):
    """A run whose algorithm learns from little; everything else is as shipped."""

    @property
    def settings(self):
        return {**super().settings, **TINY.get(self.algorithm, TINY["off-policy"])}


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


def short_setting():
    """The setting of the session's `setting` fixture, for another process."""
    from longplay.envs.world import build_world
    from longplay.tests.envs.worlds import make_catalog, small

    return make_setting(build_world(make_catalog(), small(horizon__days=6)))

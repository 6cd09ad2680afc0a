"""Measure how fast agents train: user-steps a second of environment, policy and updates together.

    make bench           (or: python -m longplay.scripts.bench.training)
    python -m longplay.scripts.bench.training --only "PPO weights" stock --rounds 5 --json runs/speed/figures.json

One iteration of a learner is a rollout and its update. Rounds alternate between all that is measured, and the least
disturbed of each counts, because other work on the machine only ever slows a round down; by processor time and by the
clock. "stock" is stable-baselines3 as its documentation has it: PPO's own settings on a `DummyVecEnv` of
``gymnasium.make("longplay/Video-v0")``, with the same action and the same states. Everything runs on one thread of
torch, but for the row that says two.
"""

import importlib.metadata
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import tyro
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from longplay.agents.playing.training_users import REWARD_SCALE
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.reading import Reading, read_run
from longplay.agents.sb3.states import make_state_space
from longplay.agents.setting import Setting
from longplay.encoders.state import StateEncoder
from longplay.envs.engine import Observation
from longplay.envs.shared.files import write_whole
from longplay.scripts.bench.tables import print_table
from longplay.scripts.shared.console import console, load_world, run_command, set_threads

STOCK = "stock"
Iterate = Callable[[], int]  # returns the user-steps taken


@dataclass
class Arguments:
    """Measure training."""

    setting: tyro.conf.OmitArgPrefixes[Setting] = field(default_factory=Setting)
    users: int = 1024
    """Users at a time of PPO on weights."""
    own_users: int = 256
    """Users at a time of our own learners."""
    stock_users: int = 1
    """Environments of the stock stack; stable-baselines3's default is one."""
    rounds: int = 3
    """Iterations of each that are measured, after a first one that is not; the best counts."""
    only: tuple[str, ...] = ()
    """Names of the rows to measure; by default all."""
    json: Path | None = None
    """File for all figures."""


class EncodedEnv(gym.Wrapper[Any, Any, Any, Any]):
    """A single environment with states for observations, and scaled rewards.

    Parameters
    ----------
    env
        A single environment with dict observations.
    states
        Function of observations (B, ·) that makes states (B, width).
    """

    def __init__(self, env: gym.Env[Observation, Any], states: StateEncoder) -> None:
        super().__init__(env)
        self.states = states
        self.observation_space = make_state_space(states)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._state(observation), info

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Show one slate."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._state(observation), REWARD_SCALE * float(reward), terminated, truncated, info

    def _state(self, observation: Observation) -> NDArray[np.float32]:
        state: NDArray[np.float32] = self.states({key: value[None] for key, value in observation.items()})[0]
        return state


def make_stock_env(setting: Setting, users: int) -> DummyVecEnv:
    """Single environments, one after the other, as `gymnasium.make` gives them."""
    world = setting.world
    options: dict[str, Any] = {"scenario": world.scenario, "catalog": world.catalog, "world_seed": setting.world_seed}

    def single() -> gym.Env[Any, Any]:
        env = gym.make(setting.env, action="weights", item_vectors=setting.item_vectors, reward="minutes", **options)
        return EncodedEnv(env, Reading(setting).state_encoder)

    return DummyVecEnv([single] * users)


def make_iterate(model: PPO, users: int) -> Iterate:
    """One rollout and its update."""
    steps = model.n_steps * users

    def iterate() -> int:
        model.learn(steps, reset_num_timesteps=False)
        return steps

    return iterate


def make_stock(setting: Setting, users: int) -> Iterate:
    """stable-baselines3's stack, with its own settings."""
    return make_iterate(PPO("MlpPolicy", make_stock_env(setting, users), device="cpu", seed=0), users)


def make_weights(setting: Setting, users: int, dimensions: int | None = None, **options: Any) -> Iterate:
    """PPO on weights as a run trains it."""
    config = RunConfig(setting=setting, num_envs=users, dimensions=dimensions, options=options)
    trainer: Any = config.entry.make_trainer(config, read_run(config))
    return make_iterate(trainer.model, users)


def make_own(setting: Setting, users: int, agent: str) -> Iterate:
    """One of our own learners as a run trains it."""
    config = RunConfig(setting=setting, agent=agent, num_envs=users)
    learner: Any = config.entry.make_trainer(config, read_run(config))

    def iterate() -> int:
        before: int = learner.steps
        learner.iterate()
        return int(learner.steps) - before

    return iterate


@dataclass
class Contender:
    """Something to measure.

    Attributes
    ----------
    make
        Function that makes what iterates; called once.
    users
        Users at a time.
    threads
        Threads of torch.
    """

    make: Callable[[], Iterate]
    users: int
    threads: int = 1


def make_rows(args: Arguments) -> dict[str, Contender]:
    """All that can be measured, by name."""
    setting, users, few = args.setting, args.users, args.own_users
    return {
        STOCK: Contender(lambda: make_stock(setting, args.stock_users), args.stock_users),
        "PPO weights": Contender(lambda: make_weights(setting, users), users),
        "PPO weights, 2 threads": Contender(lambda: make_weights(setting, users), users, threads=2),
        "PPO weights, all dimensions": Contender(lambda: make_weights(setting, users, dimensions=0), users),
        "PPO weights, 2 epochs": Contender(lambda: make_weights(setting, users, n_epochs=2), users),
        "PL-PPO": Contender(lambda: make_own(setting, few, "pl-ppo"), few),
        "PL-PPO catalogue": Contender(lambda: make_own(setting, few, "pl-ppo-catalog"), few),
        "SlateQ": Contender(lambda: make_own(setting, few, "slateq"), few),
    }


def measure(rows: Mapping[str, Contender], rounds: int) -> list[dict[str, Any]]:
    """User-steps a second of each, by processor time and by the clock, and ratios to the first."""
    iterations = {name: row.make() for name, row in rows.items()}
    processor: dict[str, list[float]] = {name: [] for name in rows}
    wall: dict[str, list[float]] = {name: [] for name in rows}
    for k in range(rounds + 1):
        for name, iterate in iterations.items():
            set_threads(rows[name].threads)
            start, clock = time.process_time(), time.perf_counter()
            steps = iterate()
            if k > 0 and steps:  # what the first sets up is not counted
                processor[name].append(steps / (time.process_time() - start))
                wall[name].append(steps / (time.perf_counter() - clock))
    set_threads(1)
    best = {name: (max(processor[name]), max(wall[name])) for name in rows}
    first = best[next(iter(rows))]
    return [
        {
            "learner": name,
            "users": rows[name].users,
            "threads": rows[name].threads,
            "per_second": own_rate,
            "per_second_wall": own_wall,
            "ratio": own_rate / first[0],
            "ratio_wall": own_wall / first[1],
        }
        for name, (own_rate, own_wall) in best.items()
    ]


def print_figures(figures: Sequence[Mapping[str, Any]], rounds: int) -> None:
    """Print."""
    cells = [
        (
            row["learner"],
            f"{row['users']:,}",
            str(row["threads"]),
            *(f"{row[name]:,.0f}" for name in ("per_second", "per_second_wall")),
            *(f"{row[name]:.1f}" for name in ("ratio", "ratio_wall")),
        )
        for row in figures
    ]
    columns = "learner|users|threads|processor|wall|ratio|ratio, wall"
    print_table(f"user-steps of training a second, best of {rounds} alternating rounds", columns, cells, left=1)


def main(args: Arguments) -> None:
    """Measure and print."""
    for name in ("rounds", "users", "own_users", "stock_users"):
        if getattr(args, name) < 1:
            raise ValueError(f"{name} = {getattr(args, name)} must be at least 1")
    rows = make_rows(args)
    unknown = [name for name in args.only if name not in rows]
    if unknown:
        raise ValueError(f"only = {unknown[0]!r} is unknown; allowed: {', '.join(map(repr, rows))}")
    load_world(args.setting)
    chosen = {name: row for name, row in rows.items() if name in (args.only or rows)}
    with console.status("training"):
        figures = measure(chosen, args.rounds)
    print_figures(figures, args.rounds)
    versions = {name: importlib.metadata.version(name) for name in ("stable-baselines3", "torch", "gymnasium")}
    console.print(", ".join(f"{name} {version}" for name, version in versions.items()), markup=False)
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        write_whole(args.json, json.dumps({"training": figures, "versions": versions}, indent=1))


if __name__ == "__main__":
    run_command(main, Arguments)

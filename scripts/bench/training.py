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
from longplay.agents.runs.reading import read_run
from longplay.agents.sb3.states import make_state_space
from longplay.agents.setting import Setting
from longplay.encoders.state import StateEncoder
from longplay.envs.engine import Observation
from longplay.envs.shared.files import write_whole
from longplay.scripts.bench import peers
from longplay.scripts.bench.parts import time_parts
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
    parts: bool = True
    """Also time the parts of a user-step: candidates, similarity, features, state, policy, update and others."""
    jax: bool = True
    """Measure PPO in JAX beside them, which is installed below .peers by the first run (about 0.6 GB)."""
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


def make_stock_env(setting: Setting, users: int, states: StateEncoder) -> DummyVecEnv:
    """Single environments, one after the other, as `gymnasium.make` gives them, with the states of a run."""
    world = setting.world
    options: dict[str, Any] = {"scenario": world.scenario, "catalog": world.catalog, "world_seed": setting.world_seed}

    def single() -> gym.Env[Any, Any]:
        env = gym.make(setting.env, action="weights", item_vectors=setting.item_vectors, reward="minutes", **options)
        return EncodedEnv(env, states)

    return DummyVecEnv([single] * users)


def make_iterate(model: PPO, users: int) -> Iterate:
    """One rollout and its update."""
    steps = model.n_steps * users

    def iterate() -> int:
        model.learn(steps, reset_num_timesteps=False)
        return steps

    return iterate


def make_stock(setting: Setting, users: int) -> Iterate:
    """stable-baselines3's stack, with its own settings, and states as those of PPO on weights."""
    env = make_stock_env(setting, users, read_run(RunConfig(setting=setting)).state_encoder)
    return make_iterate(PPO("MlpPolicy", env, device="cpu", seed=0), users)


def make_weights(setting: Setting, users: int, dimensions: int = 0, **options: Any) -> Iterate:
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
        "PPO weights, 64 dimensions": Contender(lambda: make_weights(setting, users, dimensions=64), users),
        "PPO weights, 2 epochs": Contender(lambda: make_weights(setting, users, n_epochs=2), users),
        "PL-PPO": Contender(lambda: make_own(setting, few, "pl-ppo"), few),
        "PL-PPO catalogue": Contender(lambda: make_own(setting, few, "pl-ppo-catalog"), few),
        "SlateQ": Contender(lambda: make_own(setting, few, "slateq"), few),
    }


def measure_parts(iterations: Mapping[str, Iterate]) -> dict[str, dict[str, float]]:
    """Processor time of a user-step by part [µs], of one iteration of each on one thread."""
    found = {}
    for name, iterate in iterations.items():
        with time_parts() as watch:
            steps = iterate()
        found[name] = {part: 1e6 * seconds / max(steps, 1) for part, seconds in watch.seconds.items()}
    return found


def print_parts(found: Mapping[str, Mapping[str, float]]) -> None:
    """A column for each learner."""
    parts = next(iter(found.values()))
    cells = [(part, *(f"{one[part]:.1f}" for one in found.values())) for part in parts]
    cells.append(("whole", *(f"{sum(one.values()):.1f}" for one in found.values())))
    print_table("processor time of a user-step, µs", "|".join(("part", *found)), cells, left=1)


def measure(iterations: Mapping[str, Iterate], rows: Mapping[str, Contender], rounds: int) -> list[dict[str, Any]]:
    """User-steps a second of each, by processor time and by the clock, and ratios to the first."""
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


def measure_jax(config: RunConfig, rounds: int) -> tuple[list[dict[str, Any]], str]:
    """PPO in JAX with networks as large as those of a run, or the reason why not."""
    return peers.measure_jax(read_run(config).state_encoder.width, rounds)


def describe_jax(row: Mapping[str, Any], first: Mapping[str, Any]) -> dict[str, Any]:
    """As a row beside the others; of the clock nothing is known."""
    speed = float(row["steps_per_second"])
    return {
        "learner": f"PPO on CartPole, JAX {row['version']}",
        "users": row["users"],
        "threads": 1,
        "per_second": speed,
        "per_second_wall": None,
        "ratio": speed / first["per_second"],
        "ratio_wall": None,
    }


def print_figures(figures: Sequence[Mapping[str, Any]], rounds: int) -> None:
    """Print."""

    def show(value: float | None, digits: int) -> str:
        return "–" if value is None else f"{value:,.{digits}f}"

    cells = [
        (
            row["learner"],
            f"{row['users']:,}",
            str(row["threads"]),
            *(show(row[name], 0) for name in ("per_second", "per_second_wall")),
            *(show(row[name], 1) for name in ("ratio", "ratio_wall")),
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
        iterations = {name: row.make() for name, row in chosen.items()}
        figures = measure(iterations, chosen, args.rounds)
        timed = {name: iterations[name] for name, row in chosen.items() if name != STOCK and row.threads == 1}
        parts = measure_parts(timed) if args.parts else {}
    skipped = ""
    if args.jax:
        with console.status("PPO in JAX"):
            rows_of_jax, skipped = measure_jax(RunConfig(setting=args.setting), args.rounds)
        figures += [describe_jax(row, figures[0]) for row in rows_of_jax]
    print_figures(figures, args.rounds)
    if parts:
        print_parts(parts)
    if args.jax:
        console.print(f"JAX: {skipped or 'PPO on CartPole with observations as wide as our states, all one program'}")
    versions = {name: importlib.metadata.version(name) for name in ("stable-baselines3", "torch", "gymnasium")}
    console.print(", ".join(f"{name} {version}" for name, version in versions.items()), markup=False)
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        write_whole(args.json, json.dumps({"training": figures, "parts": parts, "versions": versions}, indent=1))


if __name__ == "__main__":
    run_command(main, Arguments)

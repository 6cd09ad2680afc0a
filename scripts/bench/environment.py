"""Measure the speed of the environment beside a minimal kernel and other simulators, in one run on one thread.

    make bench           (or: python -m longplay.scripts.bench.environment)

The kernel does only what no slate simulator can do without: gather ten item vectors, take inner products with the
user's, pass them through a sigmoid and draw a choice. Rounds alternate between the two, and the best of each counts,
because other work on the machine only ever slows a round down. Processor time, so that waiting does not count.

The other simulators are installed into environments of their own below ``.peers`` (about 2 GB, once, from the package
index); ``--no-peers`` leaves them out.
"""

import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numba import njit

from longplay.envs.env import SlateVectorEnv
from longplay.envs.make import make_world
from longplay.envs.shared.files import write_whole
from longplay.envs.users.world import World
from longplay.scripts.bench import peers
from longplay.scripts.bench import tables as speed_tables
from longplay.scripts.shared.console import console, run_command, set_threads

STREAM = 16  # slates prepared for each user, shown in turn; fewer for very large batches
CROWD = 1024  # users while other processes keep the cores busy
FIRST = "import gymnasium, longplay; env = gymnasium.make('longplay/Video-v0'); env.reset(seed=0); env.step([1] * 10)"
BUSY = "import numpy as np\na = np.ones((256, 256))\nwhile True: a @ a"

Work = Callable[[], object]
Row = dict[str, Any]


@dataclass
class Arguments:
    """Measure user-steps a second."""

    batches: tuple[int, ...] = (1, 64, 1024, 16384, 262144)
    """Batch sizes."""
    items: int = 1_000_000
    """Items of a second, larger world: the catalogue's records drawn again and again. 0: leave it out."""
    scenario: str = "video"
    """Scenario of the world, such as video-v1, or a TOML file."""
    seconds: float = 0.3
    """Time of one round."""
    rounds: int = 5
    """Rounds of each; the best counts."""
    peers: bool = True
    """Measure other simulators too."""
    json: Path | None = None
    """File for all figures."""


@njit
def run_kernel(users: np.ndarray, items: np.ndarray, slates: np.ndarray, draws: np.ndarray, chosen: np.ndarray) -> None:
    """Gather, inner product, sigmoid, draw."""
    weights = np.zeros(slates.shape[1])
    for b in range(slates.shape[0]):
        total = 1.0
        for k in range(slates.shape[1]):
            score = np.float32(0.0)
            for d in range(users.shape[1]):
                score += users[b, d] * items[slates[b, k], d]
            weights[k] = 1.0 / (1.0 + np.exp(-score))
            total += weights[k]
        point = draws[b] * total
        chosen[b] = -1
        for k in range(slates.shape[1]):
            point -= weights[k]
            if point < 0.0:
                chosen[b] = k
                break


def make_work(world: World, users: int) -> tuple[dict[str, Work], int]:
    """What is measured for a batch size: kernel, engine, engine with observations, env.step; and bytes a user."""
    shape, rows = world.scenario.shape, len(world.items)
    rng = np.random.default_rng(0)
    stream = max(2, min(STREAM, 2**21 // users))
    slates = itertools.cycle(list(rng.integers(1, rows, (stream, users, shape.slate))))
    vectors = rng.standard_normal((rows, shape.taste), np.float32)
    people = rng.standard_normal((users, shape.taste), np.float32)
    draws, chosen = rng.random(users), np.zeros(users, np.int64)
    env = SlateVectorEnv(world, users, autoreset_mode=AutoresetMode.SAME_STEP)
    env.reset(seed=0)

    def engine() -> None:
        env.engine.read(next(slates))
        done = env.engine.users["status"] != 0
        if done.any():
            env.engine.begin(done)

    def observed() -> None:
        engine()
        env.engine.observe()

    work: dict[str, Work] = {
        "kernel": lambda: run_kernel(people, vectors, next(slates), draws, chosen),
        "engine": engine,
        "observation": observed,
    }
    if rows == len(world.catalog) + 1:  # env.step takes items of the catalogue only
        work["step"] = lambda: env.step(next(slates))
    return work, env.engine.users.dtype.itemsize


def measure_rate(work: Work, users: int, seconds: float) -> tuple[float, float]:
    """User-steps a second of processor time, and by the clock on the wall."""
    work()
    count, start, wall = 0, time.process_time(), time.perf_counter()
    while time.process_time() - start < seconds:
        work()
        count += 1
    return count * users / (time.process_time() - start), count * users / (time.perf_counter() - wall)


def measure_best(work: dict[str, Work], users: int, args: Arguments, clock: int = 0) -> dict[str, float]:
    """The best rate of each piece of work, of rounds that alternate between them."""
    rounds = [
        {name: measure_rate(run, users, args.seconds)[clock] for name, run in work.items()} for _ in range(args.rounds)
    ]
    return {name: max(row[name] for row in rounds) for name in work}


def enlarge_world(world: World, items: int) -> World:
    """The world with more items: records of its own, drawn with replacement, each at an address of its own."""
    which = np.random.default_rng(0).integers(1, len(world.items), items)
    return replace(world, items=np.concatenate([world.items[:1], world.items[which]]))


def measure_batches(world: World, args: Arguments) -> list[Row]:
    """A row for each batch size."""
    rows = []
    for users in args.batches:
        work, size = make_work(world, users)
        rows.append({"items": len(world.items) - 1, "users": users, **measure_best(work, users, args), "bytes": size})
    return rows


def measure_wrappers(world: World, args: Arguments) -> dict[str, float]:
    """Steps a second of one user through ``gymnasium.make``, without the wrappers that it adds, and of CartPole-v1."""
    wrapped = gym.make("longplay/Video-v0", scenario=world.scenario, catalog=world.catalog)
    slates = itertools.cycle(np.random.default_rng(0).integers(1, len(world.items), (999, world.scenario.shape.slate)))
    wrapped.reset(seed=0)

    pole = gym.make("CartPole-v1")
    pole.reset(seed=0)
    pushes = itertools.cycle(np.random.default_rng(0).integers(0, 2, 999).tolist())

    def stepping(env: Any, actions: Iterator[Any] = slates) -> Work:
        def work() -> None:
            _, _, terminated, truncated, _ = env.step(next(actions))
            if terminated or truncated:
                env.reset()

        return work

    work = {
        "make": stepping(wrapped),
        "environment": stepping(wrapped.unwrapped),
        "CartPole-v1": stepping(pole, pushes),
    }
    return measure_best(work, 1, args)


@contextmanager
def start_busy_processes(processes: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Other processes that compute without end."""
    environment = {**os.environ, **peers.SETTINGS}
    started = [subprocess.Popen([sys.executable, "-c", BUSY], env=environment) for _ in range(processes)]
    try:
        time.sleep(1.0)  # until they have imported what they need
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def measure_crowded(world: World, args: Arguments) -> Row:
    """Rates of the engine alone on the machine, and with a busy process for each core."""
    cores = os.cpu_count() or 1
    work = {"engine": make_work(world, CROWD)[0]["engine"]}
    rates = {"quiet": [measure_best(work, CROWD, args, clock)["engine"] for clock in (0, 1)]}
    with start_busy_processes(cores):
        rates["busy"] = [measure_best(work, CROWD, args, clock)["engine"] for clock in (0, 1)]
    return {"users": CROWD, "processes": cores, **rates}


def measure_first_step() -> dict[str, float]:
    """Seconds of processor time to the end of the first step, before anything is compiled or built and after."""
    with tempfile.TemporaryDirectory() as folder:
        environment, seconds = {**os.environ, "LONGPLAY_CACHE": folder}, {}
        for name in ("cold", "warm"):
            before = os.times()
            subprocess.run([sys.executable, "-c", FIRST], env=environment, check=True, capture_output=True)
            after = os.times()
            seconds[name] = sum(after[2:4]) - sum(before[2:4])  # of children: user and system
    return seconds


def main(args: Arguments) -> None:
    """Measure and print."""
    if not args.batches or min(args.batches) < 1 or args.seconds <= 0 or args.rounds < 1:
        raise ValueError("batches and rounds must be at least 1, seconds above 0")
    if args.items < 0:
        raise ValueError(f"items = {args.items} must be at least 1, or 0 for no larger world")
    set_threads(1)
    world = make_world(args.scenario)
    figures: dict[str, Any] = {"python": platform.python_version(), "machine": platform.machine(), "speeds": []}
    for sized_world in [world, enlarge_world(world, args.items)] if args.items else [world]:
        shape = world.scenario.shape
        console.print(f"slates of {shape.slate}, {len(sized_world.items) - 1:,} items, vectors of {shape.taste}")
        rows = measure_batches(sized_world, args)
        speed_tables.print_batches(rows, args.rounds)
        figures["speeds"] += rows
    figures |= {
        "single": measure_wrappers(world, args),
        "crowded": measure_crowded(world, args),
        "first step": measure_first_step(),
    }
    speed_tables.print_wrappers(figures["single"])
    speed_tables.print_crowded(figures["crowded"])
    speed_tables.print_first_step(figures["first step"])
    if args.peers:
        with console.status("measuring other simulators, each in an environment of its own"):
            figures["peers"], figures["skipped"] = peers.measure_all(args.seconds, args.rounds)
        speed_tables.print_peers(
            figures["peers"], figures["skipped"], [row for row in figures["speeds"] if "step" in row]
        )
    if args.json is not None:
        write_whole(args.json, json.dumps(figures, indent=1))


if __name__ == "__main__":
    run_command(main, Arguments)

"""Measure the speed of the environment beside a minimal kernel of the same shapes, in one run on one thread.

    make bench           (or: python scripts/bench.py)

The kernel does only what no slate simulator can do without: gather ten item vectors, take inner products with the
user's, pass them through a sigmoid and draw a choice. Rounds alternate between the two, and the best of each counts,
because other work on the machine only ever slows a round down. Processor time, so that waiting does not count.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from gymnasium.vector import AutoresetMode
from numba import njit
from rich.table import Table

from longplay.envs.env import SlateVectorEnv
from longplay.envs.make import make_world
from longplay.envs.world import World
from longplay.scripts.common import command_line, console, set_threads

STREAM = 16  # slates prepared for each user, shown in turn


@dataclass
class Arguments:
    """Measure user-steps a second."""

    batches: tuple[int, ...] = (1, 64, 1024, 16384)
    """Batch sizes."""
    seconds: float = 0.3
    """Time of one round."""
    rounds: int = 5
    """Rounds of each; the best counts."""


@njit
def kernel(users: np.ndarray, items: np.ndarray, slates: np.ndarray, draws: np.ndarray, chosen: np.ndarray) -> None:
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


def jobs(world: World, users: int) -> tuple[list[Callable[[], object]], int]:
    """What is measured for a batch size: kernel, engine, engine with observations, env.step; and bytes a user."""
    shape, n = world.scenario.shape, len(world.catalog)
    rng = np.random.default_rng(0)
    slates = itertools.cycle(list(rng.integers(1, n + 1, (STREAM, users, shape.slate))))
    vectors = rng.standard_normal((n + 1, shape.taste)).astype(np.float32)
    people = rng.standard_normal((users, shape.taste)).astype(np.float32)
    draws, chosen = rng.random(users), np.zeros(users, np.int64)
    env = SlateVectorEnv(world, users, autoreset_mode=AutoresetMode.SAME_STEP)
    out, _ = env.reset(seed=0)

    def engine() -> None:
        env.engine.read(next(slates))
        done = env.engine.users["status"] != 0
        if done.any():
            env.engine.begin(done)

    def observed() -> None:
        engine()
        env.engine.observe(out)

    work = [
        lambda: kernel(people, vectors, next(slates), draws, chosen),
        engine,
        observed,
        lambda: env.step(next(slates)),
    ]
    return work, env.engine.users.dtype.itemsize


def rate(work: Callable[[], object], users: int, seconds: float) -> float:
    """User-steps a second of processor time."""
    work()
    count, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        work()
        count += 1
    return count * users / (time.process_time() - start)


def main(args: Arguments) -> None:
    """Measure and print."""
    if not args.batches or min(args.batches) < 1 or args.seconds <= 0 or args.rounds < 1:
        raise ValueError("batches and rounds must be at least 1, seconds above 0")
    set_threads(1)
    world = make_world()
    shape = world.scenario.shape
    title = f"million user-steps a second on one thread, best of {args.rounds} rounds"
    table = Table(title=title, title_justify="left")
    for column in ("users", "kernel", "engine", "engine ÷ kernel", "+ observation", "env.step", "bytes a user"):
        table.add_column(column, justify="right")
    for users in args.batches:
        work, size = jobs(world, users)
        best = np.max([[rate(job, users, args.seconds) for job in work] for _ in range(args.rounds)], axis=0)
        kernel_rate, engine, observed, step = best / 1e6
        ratio = f"{engine / kernel_rate:.2f}"
        cells = (f"{kernel_rate:.2f}", f"{engine:.2f}", ratio, f"{observed:.2f}", f"{step:.2f}", f"{size:,}")
        table.add_row(f"{users:,}", *cells)
    console.print(f"slates of {shape.slate}, {len(world.catalog):,} items, vectors of {shape.taste}")
    console.print(table)


if __name__ == "__main__":
    command_line(main, Arguments)

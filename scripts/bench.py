"""Measure the speed of the environment beside a minimal kernel of the same shapes, in one run on one thread.

    make bench           (or: python scripts/bench.py)

The kernel does only what no slate simulator can do without: gather ten item vectors, take inner products with the
user's, pass them through a sigmoid and draw a choice. Rounds alternate between the two, and the best of each counts,
because other work on the machine only ever slows a round down.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from gymnasium.vector import AutoresetMode
from numba import njit
from rich.table import Table

from longplay.envs.env import SlateVectorEnv
from longplay.envs.make import make_world
from longplay.scripts.common import command_line, console, set_threads


@dataclass
class Arguments:
    """Measure user-steps a second."""

    batches: tuple[int, ...] = (1, 64, 1024, 16384)
    """Batch sizes."""
    seconds: float = 0.4
    """Time of one round."""
    rounds: int = 5
    """Rounds of each; the best counts."""


@njit(fastmath=True)
def kernel(
    users: np.ndarray, items: np.ndarray, slates: np.ndarray, draws: np.ndarray, chosen: np.ndarray
) -> None:
    """Gather, inner product, sigmoid, draw."""
    for b in range(slates.shape[0]):
        total = 0.0
        for k in range(slates.shape[1]):
            item = slates[b, k]
            score = np.float32(0.0)
            for d in range(users.shape[1]):
                score += users[b, d] * items[item, d]
            total += 1.0 / (1.0 + np.exp(-score))
            if total > draws[b] * slates.shape[1]:
                chosen[b] = k
                break


def rate(work: Callable[[], None], users: int, seconds: float) -> float:
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
    shape, n = world.scenario.shape, len(world.catalog)
    table = Table(
        title=f"user-steps a second, one thread, K = {shape.slate}, {n:,} items, width {shape.taste} (best of {args.rounds})",
        title_justify="left",
    )
    for column in ("users", "kernel", "engine", "÷ kernel", "+ obs", "env.step", "bytes/user"):
        table.add_column(column, justify="right")
    rng = np.random.default_rng(0)
    for users in args.batches:
        env = SlateVectorEnv(world, users, autoreset_mode=AutoresetMode.SAME_STEP)
        env.reset(seed=0)
        slates = rng.integers(1, n + 1, (16, users, shape.slate))
        vectors = rng.standard_normal((n + 1, shape.taste)).astype(np.float32)
        people = rng.standard_normal((users, shape.taste)).astype(np.float32)
        draws, chosen = rng.random((16, users)), np.zeros(users, np.int64)
        turn = iter(range(10**12))
        out = {key: np.empty((users, *box.shape), np.float32) for key, box in env.single_observation_space.items()}
        engine = env.engine

        def floor() -> None:
            i = next(turn) % 16
            kernel(people, vectors, slates[i], draws[i], chosen)

        def bare() -> None:
            engine.read(slates[next(turn) % 16])
            done = engine.users["status"] != 0
            if done.any():
                engine.begin(done)

        def observed() -> None:
            bare()
            engine.observe(out)

        def whole() -> None:
            env.step(slates[next(turn) % 16])

        best = np.zeros(4)
        for _ in range(args.rounds):
            best = np.maximum(best, [rate(work, users, args.seconds) for work in (floor, bare, observed, whole)])
        table.add_row(
            f"{users:,}",
            *(f"{value / 1e6:.2f} M" for value in best[:2]),
            f"{best[1] / best[0]:.2f}",
            *(f"{value / 1e6:.2f} M" for value in best[2:]),
            f"{engine.users.dtype.itemsize:,}",
        )
    console.print(table)


if __name__ == "__main__":
    command_line(main, Arguments)

"""Measure what behaviours of one's own cost: the engine with them beside the shipped user model, in one run.

    python -m longplay.scripts.bench.behaviours

Beside the shipped user model run a leaving rule that calls the shipped one, the leaving rule by the clock of
docs/examples/toy_leaving.py, and on fewer users a leaving rule that is marked as plain Python and a reader of slates
that takes the first text (`longplay.envs.users.opinions`). All see the same random slates; rounds alternate between
them, and of their ratios to the shipped model's round the median counts, since other work on the machine slows single
rounds down. Processor time, of `Engine.read` alone; users who are there are counted.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longplay.envs.engine import Engine
from longplay.envs.make import make_world
from longplay.envs.shared.files import write_whole
from longplay.envs.users.behaviours import mark_plain
from longplay.envs.users.dynamics import leaves
from longplay.envs.users.opinions import Question, answer_by
from longplay.envs.users.records import ACTIVE, Record
from longplay.envs.users.world import World
from longplay.scripts.bench.tables import print_table
from longplay.scripts.shared.console import make_progress, run_command, set_threads

SHIPPED = "shipped"
Row = dict[str, Any]


@dataclass
class Arguments:
    """Measure behaviours of one's own."""

    scenarios: tuple[str, ...] = ("video", "video-v1")
    """Scenarios of the worlds, or TOML files."""
    users: int = 1024
    """Users at a time."""
    plain_users: int = 16
    """Users at a time of what runs as plain Python, and of the shipped model beside it; 0 leaves it out."""
    slates: int = 60
    """Slates of a round; of what runs as plain Python a tenth."""
    rounds: int = 15
    """Rounds of each."""
    json: Path | None = None
    """File for all figures."""


def leaves_as_shipped(p: Record, work: Record, user: Record) -> bool:
    """What was shipped, by way of a function of one's own."""
    return bool(leaves(p, work, user))


def leaves_by_the_clock(p: Record, work: Record, user: Record) -> bool:
    """The rule of the example: the hazard grows with the square of the minutes so far."""
    hazard = 1.0 - math.exp(-0.3 * (user.session_minutes / 25.0) ** 2)
    return bool(work.leave_draw < hazard)


@mark_plain
def leaves_in_plain_python(p: Record, work: Record, user: Record) -> bool:
    """The same, not compiled."""
    return bool(work.leave_draw < 1.0 - math.exp(-0.3 * (user.session_minutes / 25.0) ** 2))


def take_first(question: Question) -> int | None:
    """A reader that costs next to nothing itself."""
    return question.slots[0] if question.slots else None


COMPILED: Mapping[str, dict[str, Callable[..., Any]]] = {
    SHIPPED: {},
    "leaves, calling the shipped": {"leaves": leaves_as_shipped},
    "leaves, by the clock": {"leaves": leaves_by_the_clock},
}
PLAIN: Mapping[str, dict[str, Callable[..., Any]]] = {
    SHIPPED: {},
    "leaves, as plain Python": {"leaves": leaves_in_plain_python},
    "a reader of slates": answer_by(take_first),
}


def make_engine(world: World, own: dict[str, Callable[..., Any]], users: int) -> Engine:
    """A batch of users of the world with some behaviours of one's own, compiled."""
    scenario = world.scenario.with_behaviours(own)
    return Engine(World(world.catalog, scenario, world.seed, world.items, world.people, world.topic_names), users)


def time_round(engine: Engine, slates: NDArray[np.int64], luck: int) -> float:
    """User-steps a second of processor time for slates (T, B, K), from the beginning of lives of a luck."""
    everybody = np.ones(engine.num, bool)
    engine.seed(luck + np.arange(engine.num), everybody)
    engine.begin(everybody)
    steps, seconds = 0, 0.0
    for shown in slates:
        steps += int((engine.users["status"] == ACTIVE).sum())
        start = time.process_time()
        engine.read(shown)
        seconds += time.process_time() - start
    return steps / seconds


def measure(engines: Mapping[str, Engine], slates: int, rounds: int, advance: Callable[[], None]) -> list[Row]:
    """A row for each engine: its median rate, and the quartiles of its rounds' ratios to the first engine's."""
    first = next(iter(engines.values()))
    shown = np.random.default_rng(0).integers(
        1, len(first.world.items), (slates, first.num, first.world.scenario.shape.slate)
    )
    rates: dict[str, list[float]] = {name: [] for name in engines}
    for luck in range(rounds + 1):
        for name, engine in engines.items():
            rate = time_round(engine, shown, luck * first.num)
            if luck:  # the first round is not measured: whatever is still to be compiled is then
                rates[name].append(rate)
        advance()
    rows = []
    for name, found in rates.items():
        ratios = [own / base for own, base in zip(found, rates[next(iter(engines))], strict=True)]
        low, middle, high = quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        rows.append(
            {"behaviours": name, "users": first.num, "rate": median(found), "ratio": middle, "low": low, "high": high}
        )
    return rows


def print_rows(scenario: str, rows: list[Row], rounds: int) -> None:
    """Rates and ratios."""
    cells = (
        (
            row["behaviours"],
            f"{row['users']:,}",
            f"{row['rate'] / 1e6:.4f}",
            f"{row['ratio']:.3g} [{row['low']:.3g}, {row['high']:.3g}]",
        )
        for row in rows
    )
    title = f"{scenario}: million user-steps a second on one thread, median of {rounds} rounds [quartiles]"
    print_table(title, "behaviours|users|rate|÷ shipped", cells, left=1)


def main(args: Arguments) -> None:
    """Measure and print."""
    for name, least in (("users", 1), ("plain_users", 0), ("slates", 1), ("rounds", 1)):
        if getattr(args, name) < least:
            raise ValueError(f"{name} = {getattr(args, name)} must be at least {least}")
    set_threads(1)
    figures: dict[str, list[Row]] = {}
    worlds = {scenario: make_world(scenario) for scenario in args.scenarios}
    groups = [(COMPILED, args.users, args.slates)]
    groups += [(PLAIN, args.plain_users, max(args.slates // 10, 1))] if args.plain_users else []
    with make_progress(count=True) as progress:
        task = progress.add_task("measuring", total=len(worlds) * len(groups) * (args.rounds + 1))
        for scenario, world in worlds.items():
            figures[scenario] = []
            for behaviours, users, slates in groups:
                engines = {name: make_engine(world, own, users) for name, own in behaviours.items()}
                progress.update(task, description=f"{scenario}, {users} users")
                figures[scenario] += measure(engines, slates, args.rounds, lambda: progress.advance(task))
    for scenario, rows in figures.items():
        print_rows(scenario, rows, args.rounds)
    if args.json is not None:
        write_whole(args.json, json.dumps(figures, indent=1))


if __name__ == "__main__":
    run_command(main, Arguments)

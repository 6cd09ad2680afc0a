"""Measure how long it takes to judge rules: whole lives of many users under each, once it is fitted.

    make bench           (or: python -m longplay.scripts.bench.judging)
    python -m longplay.scripts.bench.judging --users 10000 --people 100000 --rules minutes mmr --json judging.json

Each rule has its default options, or those that a search of ``--trials`` finds, and plays the first validation users of
a world of so many people. What is fitted, compiled or searched before is timed apart. Processor time is that of all
threads; by the clock other work on the machine counts, too. Memory is the most that the process has held so far.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tyro

from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.luck import VALIDATION_LUCK
from longplay.agents.registry import RULES
from longplay.agents.rules.context import RuleModels
from longplay.agents.rules.tuning import check_rules, list_quick_rules, tune
from longplay.agents.setting import Setting
from longplay.envs.shared.files import write_whole
from longplay.envs.users.world import build_world
from longplay.scripts.bench.tables import print_table
from longplay.scripts.shared.console import console, load_world, run_command

TUNED_ON = 200  # users that options are chosen on, as in comparisons
WARM = 20  # users who are played before the time is taken, so that all is compiled


@dataclass
class Arguments:
    """Measure judging."""

    setting: tyro.conf.OmitArgPrefixes[Setting] = field(default_factory=Setting)
    users: int = 10_000
    """Users that each rule plays; a tenth of the people are there to be played."""
    people: int = 100_000
    """People of the world."""
    rules: tuple[str, ...] = ()
    """Rules to measure; by default the quick ones that the environment offers."""
    trials: int = 1
    """Options that are tried of each rule; 1: the defaults."""
    workers: int = 2
    """Threads that share the users."""
    json: Path | None = None
    """File for all figures."""


class Stopwatch:
    """Seconds of processor and clock that a block takes.

    Attributes
    ----------
    processor, wall
        Once it has been left.
    """

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Measure a block."""
        processor, wall = time.process_time(), time.perf_counter()
        yield
        self.processor, self.wall = time.process_time() - processor, time.perf_counter() - wall


def populate(setting: Setting, people: int) -> Setting:
    """The same with another number of people."""
    world, other = setting.world, replace(setting)
    scenario = world.scenario.with_overrides({"shape.users": people})
    vars(other)["world"] = build_world(world.catalog, scenario, setting.world_seed)  # which no file describes
    return other


def read_peak() -> float | None:
    """The most memory [MB] that the process has held; None where the system does not tell."""
    try:
        import resource  # which Windows does not have
    except ImportError:
        return None
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure_rule(name: str, models: RuleModels, evaluators: Sequence[Evaluator], args: Arguments) -> dict[str, Any]:
    """Figures of one rule; `evaluators` of the few users who are played first, of those of the search, and of all."""
    warm, search, judge = evaluators
    fitting, judging = Stopwatch(), Stopwatch()
    with fitting.measure():
        if args.trials > 1:
            agent = tune(name, models, search, args.trials).build(models)
        else:
            agent = RULES[name].make(models, RULES[name].choose_options(models.setting.world)())
        warm.play(agent)
    with judging.measure():
        table = judge.play(agent)
    return {
        "rule": name,
        "users": len(table),
        "slates": int(table["slates"].sum()),
        "minutes": float(table["minutes"].mean()),
        "fit_seconds": fitting.processor,
        "seconds": judging.processor,
        "seconds_wall": judging.wall,
        "per_second": float(table["slates"].sum() / judging.processor),
        "peak_megabytes": read_peak(),
    }


def print_figures(figures: Sequence[Mapping[str, Any]], args: Arguments) -> None:
    """Print, the slowest rule first."""
    cells = [
        (
            row["rule"],
            f"{row['users']:,}",
            f"{row['slates']:,}",
            *(f"{row[name]:.1f}" for name in ("fit_seconds", "seconds", "seconds_wall")),
            f"{row['per_second']:,.0f}",
            "–" if row["peak_megabytes"] is None else f"{row['peak_megabytes']:,.0f}",
        )
        for row in sorted(figures, key=lambda row: -row["seconds"])
    ]
    title = f"seconds to judge a rule in {args.setting.env}, {args.people:,} people, threads: {args.workers}"
    print_table(title, "rule|users|user-steps|fit|processor|wall|a second|peak MB", cells, left=1)


def main(args: Arguments) -> None:
    """Measure and print."""
    for name in ("users", "people", "trials", "workers"):
        if getattr(args, name) < 1:
            raise ValueError(f"{name} = {getattr(args, name)} must be at least 1")
    check_rules(args.rules, args.setting.world, "rules")
    setting = populate(args.setting, args.people)
    people = held_out_users(setting.world, "validation", args.users)
    load_world(setting)
    models = RuleModels(setting)
    evaluators = [
        Evaluator(setting.world, setting.item_vectors, people[:count], VALIDATION_LUCK, workers=args.workers)
        for count in (WARM, TUNED_ON, args.users)
    ]
    figures = []
    with console.status("") as status:
        for name in args.rules or list_quick_rules(setting.world):
            status.update(f"judging {name}")
            figures.append(measure_rule(name, models, evaluators, args))
            row = figures[-1]
            console.print(f"{name}: {row['seconds']:.1f} s of the processor, {row['seconds_wall']:.1f} s by the clock")
    print_figures(figures, args)
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        write_whole(args.json, json.dumps({"judging": figures}, indent=1))


if __name__ == "__main__":
    run_command(main, Arguments)

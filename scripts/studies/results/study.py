"""The study of all agents in all scenarios: trained with several seeds, beside rules and references, and moved away.

    python -m longplay.scripts.studies.results --name results --agents ppo slateq --seeds 5 --workers 2

In each scenario the rules are tuned on validation users, and every agent is trained with γ as in `AGENTS` and with
γ = 0, all else the same; all play the month of the same test
users with the same luck. The trained policies and tuned rules then play the shifted variant of the scenario, and one
seed of each agent plays the control, where nothing shown now changes anything later. All seeds 0 are trained first, so
that an interrupted study is balanced.

Writes runs/NAME: results.md (the tables), results.parquet (one row a scenario, policy, seed and user), and for each
scenario the fitted models, rules, trainings and lives. What is there is not done again, so the same command goes on
after an interruption, and more agents, scenarios or seeds may be added later.
"""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pandas as pd
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from longplay.agents.base import Agent
from longplay.agents.comparison.contestants import Contestant, make_references
from longplay.agents.registry import RULES
from longplay.agents.rules.tuning import QUICK
from longplay.agents.runs.progress import CHECKPOINT
from longplay.scripts.shared.console import begin_study, console, prepare, run_name, write_table
from longplay.scripts.shared.pool import work_side_by_side
from longplay.scripts.shared.trainings import Job, finished, train_all
from longplay.scripts.studies.encoders import tables as encoder_tables
from longplay.scripts.studies.results import play as parts
from longplay.scripts.studies.results import prepare as ready
from longplay.scripts.studies.results import tables as results_tables
from longplay.scripts.studies.results.agents import AGENTS, CONTROL, Plan, learned, title_of
from longplay.scripts.studies.results.check import SCENARIOS, check
from longplay.scripts.studies.results.play import Arena, Cell, Trained, arena_of
from longplay.scripts.studies.results.prepare import LINEAR, SCORES, Preparation, Say, setting_of
from longplay.scripts.studies.results.tables import AWAY, HOME, World

GIVEN = (
    "All learning agents but PPO with a softmax a slot read the scores of boosted trees and of ALS, fitted once on "
    "logs of training users beside their own training slates; on weights PPO, A2C, RecurrentPPO and ARS begin as "
    "greedy on the first of them. "
)


@dataclass
class Arguments:
    """Train, play and compare."""

    name: str = "results"
    """Folder below runs/."""
    envs: tuple[str, ...] = SCENARIOS
    """Scenarios: Video, News, Shop, Social."""
    agents: tuple[str, ...] = tuple(AGENTS)
    """Agents, by their names in `AGENTS`."""
    seeds: int = 5
    """Training seeds of each agent and of its twin."""
    seeds_of: dict[str, int] = field(default_factory=dict)
    """Another number of seeds for some agents, such as: ppo 3 sac 1. With 1, intervals hold for users alone."""
    steps: int | None = None
    """Slates of each training; by default as many as the agent is given in `AGENTS`, and else by a run's default."""
    users: int = 500
    """Test users who are played."""
    validation_users: int = 200
    """Validation users on whom rules are tuned and policies are chosen."""
    more_rules: tuple[str, ...] = ("als", "item-knn", "user-knn", "linucb", "personal-lints")
    """Rules beside the quick ones: those that rank by a fitted encoder, and bandits."""
    trials: int = 6
    """Options tried of each rule."""
    scores: tuple[str, ...] = SCORES
    """Fitted models whose scores agents are given as features of candidates, or none."""
    planner_users: int = 0
    """Test users, the first, whom the planner by rollouts plays, at seconds a user; 0 for none."""
    workers: int = 2
    """Trainings side by side, one thread each."""
    track: str = "off"
    """Weights & Biases: online, offline or off."""


def main(args: Arguments) -> None:
    """Fit, tune, train, play, tell."""
    check(args)
    folder, worlds = run_name(args.name), (*args.envs, CONTROL)
    begin_study(folder, {"validation_users": args.validation_users, "trials": args.trials})
    for env in worlds:
        prepare(setting_of(env))
    needs = {env: preparation(args, env) for env in worlds}
    if args.scores:
        do("fitting scores", ready.fit_scores, [one for one in needs.values() if not one.scored], args.workers)
    many = args.seeds, args.steps, args.validation_users
    plan = Plan(args.name, args.envs, args.agents, *many, args.scores, args.seeds_of)
    jobs = plan.jobs()
    train(list(jobs.values()), args)
    do("tuning rules", ready.tune, [one for one in needs.values() if not one.tuned], args.workers)
    lives = [asked(args, where, *key, job) for key, job in jobs.items() for where in arenas(args, key[0])]
    do("playing policies", parts.play_trained, parts.missing_of(lives), args.workers)
    do("playing rules and references", partial(play_untrained, args), list(needs.values()), args.workers)
    with saying() as say:
        played = {env: play_world(args, needs[env], jobs, said_in(env, say)) for env in worlds}
        results = pd.concat([lives for lives, _ in played.values()], ignore_index=True)
        write_table(results, folder / "results.parquet")
        say("intervals", 0.0)
        tables = results_tables.tables(results, {env: world for env, (_, world) in played.items()}, CONTROL)
    results_tables.write(tables, head(args), folder / "results.md")
    for frame in tables:
        console.print(encoder_tables.shown(frame))
    console.print(f"tables: {folder / 'results.md'}", soft_wrap=True)


@contextmanager
def saying() -> Iterator[Say]:
    """A line that says what is being done, and the share of it that is."""
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda what, share: progress.update(task, description=what, completed=share)


def do(what: str, work: Callable[[Any], object], asked: Sequence[Any], workers: int) -> None:
    """Do some work side by side, with a line that says how far it is."""
    if not asked:
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        done = work_side_by_side(work, asked, workers)
        for one, _ in progress.track(done, total=len(asked), description=what):
            progress.console.print(f"{what}: {one}")


def said_in(env: str, say: Say) -> Say:
    """Say it of a scenario."""
    return lambda what, share: say(f"{env}: {what}", share)


def train(jobs: list[Job], args: Arguments) -> None:
    """Train what is not trained; a checkpoint, which may be large, is needed only until then."""
    missing = [job for job in jobs if not finished(job)]
    console.print(f"{len(jobs)} trainings, {len(missing)} of them to do")
    if missing:
        train_all(missing, args.workers, args.track)
    for job in jobs:
        if not finished(job):
            raise ValueError(f"training {job.name} ended early, after fewer steps than {job.config.steps:,}; give more")
        (run_name(job.name) / CHECKPOINT).unlink(missing_ok=True)


def preparation(args: Arguments, env: str) -> Preparation:
    """What a scenario needs beside its trainings; the control only a rule to compare with."""
    home = env != CONTROL
    rules = (*QUICK, *args.more_rules) if home else ("similarity",)
    return Preparation(env, run_name(args.name) / env, rules, args.validation_users, args.trials, linear=home)


def arenas(args: Arguments, env: str) -> dict[str, tuple[str, Arena]]:
    """The worlds that the policies of a scenario play, by what they are to it."""
    folder = run_name(args.name) / env
    found = {HOME: (env, arena_of(env, args.users, folder / "played"))}
    if env != CONTROL:
        found[AWAY] = f"{env}Shifted", arena_of(f"{env}Shifted", args.users, folder / "shifted")
    return found


def asked(args: Arguments, where: str, env: str, label: str, seed: int, job: Job) -> Trained:
    """Lives of a trained policy, at home or away."""
    cell = Cell(label, title_of(job.config, label), "learned", seed)
    name, arena = arenas(args, env)[where]
    return Trained(cell, name, env, run_name(job.name), args.users, arena.folder)


def play_world(
    args: Arguments, need: Preparation, jobs: dict[tuple[str, str, int], Job], say: Say
) -> tuple[pd.DataFrame, World]:
    """All lives of a scenario, and what is known of who lived them."""
    env, folder, world, lives = need.env, need.folder, World(), []
    places = arenas(args, env)

    def play(cell: Cell, stamped: tuple[object, ...], agent: Callable[[], Agent], where: str = HOME) -> None:
        arena = places[where][1]
        lives.append(arena.lives(cell, arena.stamp(*stamped), agent, say).assign(world=where))

    for name, (tuned, rule) in ready.rules_of(need, say).items():
        world.contestants.append(Contestant(RULES[name].title, "rule", (), tuned.note))
        files = sorted(file for file in (folder / "rules" / name).rglob("*") if file.is_file())
        for where in places:
            play(Cell(name, RULES[name].title, "rule"), tuple(files), lambda rule=rule: rule, where)  # type: ignore[misc]
    for (other, label, seed), job in jobs.items():
        if other == env:
            lives += [parts.lives_of(asked(args, where, env, label, seed, job)).assign(world=where) for where in places]
    agents, world.titles, world.spent = learned(env, jobs)
    world.contestants += agents
    linear = ready.linear_of(need, say) if need.linear else None
    for where, (name, _) in places.items():
        for one in make_references(setting_of(name), linear if where == HOME else None):
            stamped = (one.name, folder / LINEAR) if linear is one.agents[0] else (one.name,)
            play(Cell(one.name.replace(" ", "-"), one.name, "reference"), stamped, lambda one=one: one.agents[0], where)  # type: ignore[misc]
            if where == HOME:
                world.contestants.append(replace(one, agents=()))
    if linear is not None:
        world.ceiling = linear.name
        if args.planner_users:
            world.planner, table = parts.planner_lives(setting_of(env), args.planner_users, folder, linear, say)
            lives.append(table.assign(world=HOME))
    return pd.concat(lives, ignore_index=True).assign(scenario=env), world


def play_untrained(args: Arguments, need: Preparation) -> None:
    """Play what needs no training, for `play_world` to find."""
    play_world(args, need, {}, lambda what, share: None)


def head(args: Arguments) -> str:
    """What stands above the tables."""
    return (
        f"    python -m longplay.scripts.studies.results {shlex.join(sys.argv[1:])}\n\n"
        f"{args.users} test users, the same luck for every policy; rules tuned in {args.trials} trials and policies "
        f"chosen on {args.validation_users} validation users. Intervals: 95 %, bootstrap over users (paired) and "
        f"training seeds, for whose number they allow; with one seed, over users alone. {GIVEN if args.scores else ''}"
        f"{ready.POLICY_OF_LOGS} CPU and wall seconds are of one training on one thread, the start of "
        f"its process and its evaluations included, with {args.workers} side by side."
    )

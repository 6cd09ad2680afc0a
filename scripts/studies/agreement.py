"""How often a reader of slates chooses what the simulated user chooses.

    python -m longplay.scripts.studies.agreement --env longplay/Video-v1 --reader toy_reader:WordsInCommon --users 20
    python -m longplay.scripts.studies.agreement --name people --reader answers.csv --users 20

The reader is anything that answers slates (`longplay.envs.users.opinions.Reader`): package.module:Object, of which a
class is called without arguments, or a table of recorded answers (`longplay.agents.playing.readers.RecordedAnswers`).
Simulated users, those of the validation split, live their lives under a rule; at each slate the reader is asked what it
would take with the same past, and the simulated choice decides how the life goes on. So every reader is asked the same
slates. Printed are, each with a 95 % interval over users:

- same answer: the same slot, or nothing both times;
- click or none: both take something, or both nothing;
- kappa: Cohen's, of the answers, agreement beyond what the two frequencies of answers would bring about;
- chance: the mean probability that the simulated user gives to the reader's answer;

and the same of three others that stand for the reader. "by chance" takes something as often as the reader does, any
text alike: the floor. "other luck" is the simulated user again, with other luck: the ceiling of whoever answers as
people of this kind do (its chance is the mean of the sum of p²). "likeliest" always gives the simulated user's
likeliest answer, and no reader can agree more often in the long run.

Writes runs/NAME: users/, a file each, kept when interrupted, and results.parquet, a row a slate. That is itself a table
of recorded answers: with other answers in its column slot it asks people. The same command goes on after an
interruption, and users may be added.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import tyro
from numpy.typing import NDArray

from longplay.agents.base import Agent
from longplay.agents.playing.evaluate import held_out_users
from longplay.agents.playing.luck import VALIDATION_LUCK
from longplay.agents.playing.readers import BETWEEN, load_reader
from longplay.agents.playing.steps import follow_users
from longplay.agents.playing.trials import make_life_env
from longplay.agents.registry import RULES
from longplay.agents.rules.context import RuleModels
from longplay.agents.setting import Setting
from longplay.agents.stats import Interval, bootstrap_statistic
from longplay.envs.shared.names import one_of
from longplay.envs.users.opinions import Exchange, digest_reader, listen_to
from longplay.envs.users.world import World
from longplay.scripts.shared.console import console, load_world, make_progress, run_command
from longplay.scripts.shared.folders import record_study, run_folder, write_table
from longplay.scripts.shared.tables import format_interval, make_table

READER, FLOOR, CEILING, LIKELIEST = "reader", "by chance", "other luck", "likeliest"
MEASURES = ("same answer", "click or none", "kappa", "chance")


@dataclass
class Arguments:
    """Ask a reader what simulated users are asked."""

    reader: str
    """package.module:Object, or a table of recorded answers (.csv, .parquet)."""
    name: str = "agreement"
    """Folder below runs/."""
    users: int = 20
    """Validation users who live; their intervals are over them."""
    slates: int = 0
    """Slates of each life at most, as with a reader that is paid for; 0 for all."""
    rule: str = ""
    """Rule that chooses the slates, with its default options; by default greedy similarity, without repeats in a
    session where the environment says what it has shown."""
    setting: tyro.conf.OmitArgPrefixes[Setting] = field(default_factory=Setting)


def main(args: Arguments) -> None:
    """Ask about the users who are missing, compare, print."""
    if args.slates < 0:
        raise ValueError(f"slates = {args.slates} must be at least 1, or 0 for all")
    if args.rule:
        one_of("rule", args.rule, RULES)
    folder = run_folder(args.name)
    reader = load_reader(args.reader)
    world = args.setting.world
    people = held_out_users(world, "validation", args.users)
    rule = args.rule or ("similarity-fresh" if world.scenario.memory else "similarity")
    about = {"reader": digest_reader(reader), "slates": args.slates, "rule": rule, "setting": args.setting.to_dict()}
    record_study(folder, about)
    load_world(args.setting)
    files = {int(user): folder / "users" / f"{user}.parquet" for user in people}
    missing = {user: file for user, file in files.items() if not file.exists()}
    if missing:
        agent = RULES[rule].make(RuleModels(args.setting, console.print), RULES[rule].choose_options(world)())
        ask = make_inquiry(world, args.setting.item_vectors, agent, reader, args.slates)
        (folder / "users").mkdir(parents=True, exist_ok=True)
        with make_progress(count=True) as progress:
            task = progress.add_task("asking", total=len(files), completed=len(files) - len(missing))
            for user, file in missing.items():
                write_table(ask(user), file)
                progress.update(task, description=f"asked about user {user}", advance=1)
    answers = pd.concat([pd.read_parquet(file) for file in files.values()], ignore_index=True)
    write_table(answers, folder / "results.parquet")
    print_agreement(answers, args.reader, f"{args.setting.describe()}, {RULES[rule].title}")
    console.print(f"answers: {folder / 'results.parquet'}", soft_wrap=True)


def make_inquiry(
    world: World, item_vectors: NDArray[np.float32], agent: Agent, reader: Any, slates: int
) -> Callable[[int], pd.DataFrame]:
    """A function from a user to the answers of their life, a row a slate."""
    exchanges: list[Exchange] = []
    scenario = world.scenario.with_behaviours(listen_to(reader, exchanges.append))
    listening = World(world.catalog, scenario, world.seed, world.items, world.people, world.topic_names)
    env = make_life_env(listening, item_vectors, 1, privileged=False)

    def ask(user: int) -> pd.DataFrame:
        exchanges.clear()
        for _ in islice(follow_users(env, agent, np.array([user]), VALIDATION_LUCK), slates or None):
            pass
        return pd.DataFrame([make_row(exchange) for exchange in exchanges]).astype(
            {"slot": "Int64", "simulated": "Int64", "share": "Float64"}
        )

    return ask


def make_row(exchange: Exchange) -> dict[str, Any]:
    """A row of the table of answers."""
    question = exchange.question
    return {
        **{name: getattr(question, name) for name in ("user", "session", "depth", "day")},
        "slate": BETWEEN.join(question.items),
        "history": BETWEEN.join(item.item for item in question.history),
        "slot": exchange.slot,
        "share": exchange.share,
        "simulated": exchange.simulated,
        "chances": exchange.chances,
    }


def sum_answers(answers: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """For the reader and those who stand for it (U, 3 + 2(K+1)) sums over the slates of each user.

    They are of slates, of same answers, of same answers to whether to take anything, and of chances; then how often
    each answer was given, and how often by the simulated user.
    """
    p = np.stack(answers["chances"].to_list())
    nothing = p.shape[1] - 1
    given, simulated = (
        np.eye(nothing + 1)[answers[name].fillna(nothing).astype(int)] for name in ("slot", "simulated")
    )
    there = np.array([[bool(item) for item in slate.split(BETWEEN)] for slate in answers["slate"]], float)
    clicks = 1.0 - given[:, nothing].mean()
    floor = np.column_stack([clicks * there / np.maximum(there.sum(axis=1, keepdims=True), 1), np.zeros(len(p))])
    floor[:, nothing] = 1.0 - floor.sum(axis=1)
    whose, users = pd.factorize(answers["user"])
    sums = {}
    for name, q in {READER: given, FLOOR: floor, CEILING: p, LIKELIEST: np.eye(nothing + 1)[p.argmax(axis=1)]}.items():
        none, no_click = q[:, nothing], simulated[:, nothing]
        agreed = none * no_click + (1.0 - none) * (1.0 - no_click)
        rows = [np.ones(len(p)), (q * simulated).sum(axis=1), agreed, (q * p).sum(axis=1)]
        sums[name] = np.zeros((len(users), 4 + 2 * p.shape[1]))
        np.add.at(sums[name], whose, np.column_stack([*rows, q, simulated]))
    return sums


def compute_measure(name: str, means: NDArray[np.float64]) -> NDArray[np.float64]:
    """One of `MEASURES` (R,) of means over users (R, ·) of what `sum_answers` gives."""
    slates, same, agreed, chance = means[:, :4].T
    if name != "kappa":
        return np.asarray({"same answer": same, "click or none": agreed, "chance": chance}[name] / slates)
    mine, theirs = np.split(means[:, 4:] / slates[:, None], 2, axis=1)
    expected = (mine * theirs).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa = np.where(expected < 1.0 - 1e-12, (same / slates - expected) / (1.0 - expected), np.nan)
    return np.asarray(np.round(kappa, 12) + 0.0, np.float64)  # no -0.000 of who answers by chance


def measure_agreement(answers: pd.DataFrame) -> dict[str, dict[str, Interval]]:
    """Of the reader and those who stand for it, each of `MEASURES` with its interval over users."""
    return {
        whose: {
            name: bootstrap_statistic(sums, lambda means, name=name: compute_measure(name, means))  # type: ignore[misc]
            for name in MEASURES
        }
        for whose, sums in sum_answers(answers).items()
    }


def print_agreement(answers: pd.DataFrame, reader: str, world: str) -> None:
    """How often they agree."""
    users, opened, clicks = (
        answers["user"].nunique(),
        answers["slot"].notna().mean(),
        answers["simulated"].notna().mean(),
    )
    console.print(
        f"{reader}, {world}: {users} users, {len(answers):,} slates; something is taken from {opened:.0%} by the "
        f"reader, from {clicks:.0%} by the simulated user",
        soft_wrap=True,
    )
    table = make_table("agreement with the simulated user", ("", *MEASURES), "lr")
    for whose, found in measure_agreement(answers).items():
        table.add_row(whose, *(format_interval(found[name], ".2f") for name in MEASURES))
    console.print(table)


if __name__ == "__main__":
    run_command(main, Arguments)

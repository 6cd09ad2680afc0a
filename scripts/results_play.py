"""The lives of a study: who plays, in which worlds, and what of it is kept; nothing that was played is played again."""

import functools
import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from numpy.typing import NDArray

from longplay.agents.base import Agent
from longplay.agents.compare import TEST_LUCK
from longplay.agents.cross_entropy import Search
from longplay.agents.evaluate import Evaluator, held_out_users
from longplay.agents.linear_oracle import LinearOracle
from longplay.agents.predicted import LOGGED_STEPS, PredictedMinutes, Trees
from longplay.agents.rules import LOG_USERS, QUICK, RULES, Context
from longplay.agents.scores import ENCODER, TREES
from longplay.agents.setup import RunConfig, Setting, load_agent
from longplay.agents.training import VALIDATION_LUCK
from longplay.agents.tuning import FILE, Tuned, identity, read, save, tuned_rule
from longplay.encoders.registry import load_encoder
from longplay.scripts.common import write_table
from longplay.scripts.encoder_jobs import start_worker

Say = Callable[[str, float], None]
SCORES = ("minutes", "als")  # rules whose fitted models give further features of candidates
SEARCH = Search(users=100, population=24, elites=6, iterations=8)  # of the linear oracle's weights


@functools.cache
def setting_of(env: str) -> Setting:
    """The setting of an environment by its short name, such as Video; its world is built once in each process."""
    return Setting(f"longplay/{env}-v0")


@dataclass(frozen=True)
class Cell:
    """Lives of one policy and seed in one world.

    Attributes
    ----------
    label, seed
        Name the file.
    title, kind
        As in tables.
    """

    label: str
    title: str
    kind: str
    seed: int = 0


@dataclass
class Arena:
    """The test users of a world, with the luck that all policies share.

    Parameters
    ----------
    folder
        Keeps the lives, a file for each policy and seed.
    """

    setting: Setting
    users: int
    folder: Path

    @cached_property
    def evaluator(self) -> Evaluator:
        """Plays."""
        people = held_out_users(self.setting.world, "test", self.users)
        return Evaluator(self.setting.world, self.setting.item_vectors, people, TEST_LUCK)

    def file(self, cell: Cell) -> Path:
        """Where the lives are kept."""
        return self.folder / f"{cell.label}-{cell.seed}.parquet"

    def stamp(self, *parts: object) -> str:
        """All that lives depend on: the world, its users, and these parts, of which files count by their content."""
        found = [part.read_bytes() if isinstance(part, Path) else repr(part).encode() for part in parts]
        head = json.dumps([identity(self.setting), self.users, TEST_LUCK]).encode()
        return hashlib.sha256(b"\0".join([head, *found])).hexdigest()

    def kept(self, cell: Cell, stamp: str) -> bool:
        """Whether these lives have been played."""
        file = self.file(cell)
        return file.is_file() and bool(pd.read_parquet(file, columns=["stamp"])["stamp"].eq(stamp).all())

    def lives(self, cell: Cell, stamp: str, agent: Callable[[], Agent], say: Say) -> pd.DataFrame:
        """One row a user, played if need be."""
        if not self.kept(cell, stamp):
            table = self.evaluator.play(agent(), lambda share: say(cell.title, share))
            coverage, table.attrs = table.attrs["coverage"], {}
            write_table(table.assign(coverage=coverage, stamp=stamp), self.file(cell))
        table = pd.read_parquet(self.file(cell)).drop(columns="stamp")
        return table.assign(policy=cell.title, kind=cell.kind, seed=cell.seed)


def context_of(setting: Setting, folder: Path, say: Say) -> Context:
    """What the rules of a scenario share, with the models fitted before where there are any in the folder."""
    context = Context(setting, lambda what: say(what, 0.0), LOGGED_STEPS, LOG_USERS)
    context.scorer = setting.scorer
    if (folder / "minutes" / FILE).is_file():
        read(folder / "minutes", setting)
        context.minutes = PredictedMinutes(context.scorer, Trees.load(folder / "minutes" / TREES))
    if (folder / "als" / FILE).is_file():
        read(folder / "als", setting)
        context.encoders["als"] = load_encoder(folder / "als" / ENCODER, setting.items)
    return context


def fit_scores(setting: Setting, folder: Path, say: Say) -> None:
    """Fit the models whose scores agents are given, once; predicted minutes and matrix factorisation."""
    missing = [name for name in SCORES if not (folder / name / FILE).is_file()]
    for name in set(SCORES) - set(missing):
        read(folder / name, setting)  # refuses those of another world
    if missing:
        context = context_of(setting, folder, say)
        for name in missing:
            save(Tuned(name, RULES[name].options()), folder / name, context)


def rules_of(
    setting: Setting, folder: Path, encoder_rules: Sequence[str], users: int, trials: int, say: Say
) -> dict[str, tuple[Tuned, Agent]]:
    """The rules by name, tuned on validation users; those kept in ``folder/rules`` are not tuned again."""
    context = context_of(setting, folder / "scores", say)
    people = held_out_users(setting.world, "validation", users)
    evaluator = Evaluator(setting.world, setting.item_vectors, people, VALIDATION_LUCK)
    names = (*QUICK, *encoder_rules)
    return {name: tuned_rule(name, context, evaluator, trials, folder / "rules") for name in names}


def linear_of(setting: Setting, file: Path, say: Say) -> LinearOracle:
    """The linear oracle, its weights searched once."""
    if not file.is_file():
        LinearOracle.fit(setting.world, setting.item_vectors, SEARCH, say).save(file)
    return LinearOracle.load(file, setting.world)


@dataclass(frozen=True)
class Trained:
    """Lives of a trained policy that are to be there: plain data, which another process can be given.

    Attributes
    ----------
    env, home
        Names of the world that is played and of the one that it was trained in.
    run
        Folder of the training.
    """

    cell: Cell
    env: str
    home: str
    run: Path
    users: int
    folder: Path

    def stamp(self) -> str:
        """What the lives depend on."""
        files = (self.run / "config.json", self.run / "policy.safetensors")
        return Arena(setting_of(self.env), self.users, self.folder).stamp(*files)


@functools.cache
def arena_of(env: str, users: int, folder: Path) -> Arena:
    """One in each process."""
    return Arena(setting_of(env), users, folder)


def play_trained(asked: Trained) -> None:
    """Play a trained policy, in the world it knows or in a shifted one of the same items."""

    def agent() -> Agent:
        config = RunConfig.from_json(asked.run / "config.json")
        return load_agent(asked.run, config, setting_of(asked.home))

    arena = arena_of(asked.env, asked.users, asked.folder)
    arena.lives(asked.cell, asked.stamp(), agent, lambda what, share: None)


def play_all(asked: Sequence[Trained], workers: int) -> Iterator[Trained]:
    """Play what is missing, some side by side; tells what is done."""
    missing = [one for one in asked if not arena_of(one.env, one.users, one.folder).kept(one.cell, one.stamp())]
    if workers == 1 or len(missing) < 2:
        for one in missing:
            play_trained(one)
            yield one
        return
    # New processes and no forks: a fork of a process with threads may hang.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), start_worker)
    try:
        running = {pool.submit(play_trained, one): one for one in missing}
        for done in as_completed(running):
            done.result()
            yield running[done]
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def check_same_items(home: Setting, away: Setting) -> None:
    """Refuse a shifted world of other items: what was fitted on the plain one would not fit."""
    ours, theirs = home.world.catalog.digest, away.world.catalog.digest
    if ours != theirs:
        raise ValueError(f"{away.env} has other items than {home.env} ({theirs[:12]}, not {ours[:12]}); give one catalog")


def costs(folders: Sequence[Path], name: str) -> Mapping[str, float]:
    """Mean CPU and wall seconds of some trainings, as far as they are known."""
    found = [json.loads((f / name).read_text(encoding="utf-8")) for f in folders if (f / name).is_file()]
    return {key: sum(one[key] for one in found) / len(found) for key in ("cpu", "wall")} if found else {}

"""The lives of a study: who plays, in which worlds, and what of it is kept; nothing that was played is played again."""

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from longplay.agents.base import Agent
from longplay.agents.comparison.contestants import Contestant
from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.luck import TEST_LUCK
from longplay.agents.references.linear import LinearOracle
from longplay.agents.references.rollouts import RolloutOptions, RolloutPlanner
from longplay.agents.rules.tuning import identify_setting
from longplay.agents.runs.config import RunConfig, Setting, load_agent
from longplay.scripts.shared.console import write_table
from longplay.scripts.studies.results.prepare import LINEAR, Say, setting_of


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
        head = json.dumps([identify_setting(self.setting), self.users, TEST_LUCK]).encode()
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

    def __str__(self) -> str:
        return f"{self.env}, {self.cell.title}, seed {self.cell.seed}"

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


def lives_of(asked: Trained) -> pd.DataFrame:
    """Lives that have been played."""

    def refuse() -> Agent:
        raise ValueError(f"{asked.run} has changed while the study was going on; start the study again")

    return arena_of(asked.env, asked.users, asked.folder).lives(asked.cell, asked.stamp(), refuse, lambda what, x: None)


def missing_of(asked: Sequence[Trained]) -> list[Trained]:
    """Those that have not been played."""
    return [one for one in asked if not arena_of(one.env, one.users, one.folder).kept(one.cell, one.stamp())]


def planner_lives(
    setting: Setting, users: int, folder: Path, linear: LinearOracle, say: Say
) -> tuple[Contestant, pd.DataFrame]:
    """The planner around the linear oracle, and its lives of the first users."""
    options, arena = RolloutOptions(), Arena(setting, users, folder / "planned")
    cell = Cell("planner", RolloutPlanner.name, "reference")
    stamp = arena.stamp(options, folder / LINEAR)
    table = arena.lives(cell, stamp, lambda: RolloutPlanner.build_around(linear, setting.item_vectors, options), say)
    return Contestant(cell.title, cell.kind, (), "true state and laws, tries slates"), table

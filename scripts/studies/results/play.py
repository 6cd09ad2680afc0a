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
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.reading import load_agent
from longplay.agents.setting import Setting
from longplay.scripts.shared.folders import write_table
from longplay.scripts.studies.results.prepare import LINEAR, Say, get_setting


@dataclass(frozen=True)
class StudyRow:
    """Lives of one policy and seed in one world.

    Attributes
    ----------
    label, seed
        What the file of the lives is named by.
    title, kind
        What tables call the policy, and what kind of policy it is.
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
    setting
        Whose world.
    users
        How many test users play, the first ones.
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

    def locate(self, row: StudyRow) -> Path:
        """Where the lives are kept."""
        return self.folder / f"{row.label}-{row.seed}.parquet"

    def compute_stamp(self, *causes: object) -> str:
        """All that lives depend on: the world, its users, and these causes, of which files count by their content."""
        contents = [cause.read_bytes() if isinstance(cause, Path) else repr(cause).encode() for cause in causes]
        head = json.dumps([identify_setting(self.setting), self.users, TEST_LUCK]).encode()
        return hashlib.sha256(b"\0".join([head, *contents])).hexdigest()

    def has_lives(self, row: StudyRow, stamp: str) -> bool:
        """Whether these lives have been played."""
        file = self.locate(row)
        return file.is_file() and bool(pd.read_parquet(file, columns=["stamp"])["stamp"].eq(stamp).all())

    def read_or_play(self, row: StudyRow, stamp: str, agent: Callable[[], Agent], say: Say) -> pd.DataFrame:
        """One row a user, played if need be."""
        if not self.has_lives(row, stamp):
            table = self.evaluator.play(agent(), lambda share: say(row.title, share))
            coverage, table.attrs = table.attrs["coverage"], {}
            write_table(table.assign(coverage=coverage, stamp=stamp), self.locate(row))
        table = pd.read_parquet(self.locate(row)).drop(columns="stamp")
        return table.assign(policy=row.title, kind=row.kind, seed=row.seed)


@dataclass(frozen=True)
class TrainedLives:
    """Lives of a trained policy that are to be there: plain data, which another process can be given.

    Attributes
    ----------
    row
        Whose lives.
    env, home
        Names of the world that is played and of the one that the policy was trained in.
    run
        Folder of the training.
    users, folder
        Number of users, and where their lives are kept.
    """

    row: StudyRow
    env: str
    home: str
    run: Path
    users: int
    folder: Path

    def __str__(self) -> str:
        return f"{self.env}, {self.row.title}, seed {self.row.seed}"

    def open_arena(self) -> Arena:
        """Where they are played."""
        return open_arena(self.env, self.users, self.folder)

    def compute_stamp(self) -> str:
        """What the lives depend on."""
        return self.open_arena().compute_stamp(self.run / "config.json", self.run / "policy.safetensors")


@functools.cache
def open_arena(env: str, users: int, folder: Path) -> Arena:
    """One in each process."""
    return Arena(get_setting(env), users, folder)


def play_trained(lives: TrainedLives) -> None:
    """Play a trained policy, in the world it knows or in a shifted one of the same items."""

    def load() -> Agent:
        config = RunConfig.from_json(lives.run / "config.json")
        return load_agent(lives.run, config, get_setting(lives.home))

    lives.open_arena().read_or_play(lives.row, lives.compute_stamp(), load, lambda what, share: None)


def read_lives(lives: TrainedLives) -> pd.DataFrame:
    """Lives that have been played."""

    def refuse() -> Agent:
        raise ValueError(f"{lives.run} has changed while the study was going on; start the study again")

    return lives.open_arena().read_or_play(lives.row, lives.compute_stamp(), refuse, lambda what, share: None)


def list_missing(everything: Sequence[TrainedLives]) -> list[TrainedLives]:
    """Those that have not been played."""
    return [lives for lives in everything if not lives.open_arena().has_lives(lives.row, lives.compute_stamp())]


def play_planner(
    setting: Setting, users: int, folder: Path, linear: LinearOracle, say: Say
) -> tuple[Contestant, pd.DataFrame]:
    """The planner around the linear oracle, and its lives of the first users."""
    options, arena = RolloutOptions(), Arena(setting, users, folder / "planned")
    row = StudyRow("planner", RolloutPlanner.name, "reference")
    stamp = arena.compute_stamp(options, folder / LINEAR)
    table = arena.read_or_play(
        row, stamp, lambda: RolloutPlanner.build_around(linear, setting.item_vectors, options), say
    )
    return Contestant(row.title, row.kind, (), "true state and laws, tries slates"), table

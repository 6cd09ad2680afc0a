"""One protocol for every policy: the same held-out users, the same luck, the whole month."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...envs.engine import ContextColumn
from ...envs.users.world import World
from ..base import Agent, AgentSession, SlateFunction, as_agent
from .clicked import ClickedItems
from .dwindling import DwindlingLives, LifeEnvs
from .measures import SlateMeasures

COLUMNS = (
    "minutes",  # dwell in the month
    "first_session_minutes",
    "sessions",
    "slates",
    "clicks",
    "days",  # when the user churned, or the horizon
    "churned",
    "diversity",  # 1 − mean pairwise cosine of the text vectors of a slate's items, mean over slates
    "satiation",  # mean of Σ_g Φ_g when a slate is read (hidden; reported, never shown)
    "trust",  # at the end (hidden)
    "repeated",  # share of the slots that showed an item of an earlier slate of the same session
)
TURNS = {  # where what is watched turns taste, with what summaries call their means
    "first_minutes": "at first taste",  # minutes that the same slates would have had at the taste they came with
    "turned": "turned",  # degrees between taste at the end and the first (hidden)
}
PURCHASES = (  # where the scenario sells
    "purchases",
    "sales",  # sum of the prices of what was bought
)


class Evaluator:
    """Plays policies on the same users with the same luck.

    Parameters
    ----------
    world
        Items and people.
    item_vectors
        Vectors (N, E) that candidates are found by, and the diversity of slates is measured by.
    users
        Ids (U,) of the users to play.
    luck
        Seed of the luck that all policies share.
    sealed
        Whether sealed users may be among them; without it they are refused, see `World.split`.
    workers
        Threads, each of which plays a part of the users. It changes no result, as each row of an agent's slates depends
        on that row of the observation alone; but an agent is asked by several threads at once, which rules may be, and
        what keeps a state or a network of its own may not.

    Attributes
    ----------
    people
        (U,) records of the users as their lives ended under the policy that played last.
    """

    def __init__(
        self,
        world: World,
        item_vectors: NDArray[np.float32],
        users: NDArray[np.int64],
        luck: int,
        sealed: bool = False,
        workers: int = 1,
    ) -> None:
        ids, people = np.asarray(users), len(world.people)
        if ids.ndim != 1 or not len(ids) or not np.issubdtype(ids.dtype, np.integer):
            raise ValueError(f"users must be the whole numbers (U,) of users, at least one, got {users!r}")
        if ids.min() < 0 or ids.max() >= people:
            raise ValueError(f"users contain {ids[(ids < 0) | (ids >= people)][0]}; the world has 0 to {people - 1}")
        if not sealed:
            world.check_open(ids, "users")
        if not isinstance(luck, int | np.integer) or luck < 0:
            raise ValueError(f"luck = {luck!r} must be a whole number from 0")
        if not isinstance(workers, int | np.integer) or workers < 1:
            raise ValueError(f"workers = {workers!r} must be a whole number from 1")
        self.users = ids.astype(np.int64)
        self.world, self.luck = world, int(luck)
        self._parts = [np.arange(len(ids))[k::workers] for k in range(min(int(workers), len(ids)))]
        self._envs = [LifeEnvs(world, item_vectors, sealed) for _ in self._parts]
        self._stopped = False
        self.env = self._envs[0].open(len(self.users), privileged=False)
        unit = self.env.vectors
        self.unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)

    def play(self, agent: Agent | SlateFunction, progress: Callable[[float], None] | None = None) -> pd.DataFrame:
        """One row a user: the id, `COLUMNS`, where users buy `PURCHASES`, and where taste is turned `TURNS`.

        ``attrs["coverage"]`` is the share of items ever shown; the other ``attrs`` are of `ClickedItems.summarise`.

        Parameters
        ----------
        agent
            Agent, or a plain function from observations (B, ·) to slates (B, K) of item numbers. Slates that the
            environment would refuse are a ValueError that names agent, slate and session.
        progress
            Callable that gets the share of users who have finished.
        """
        agent, count, self._stopped = as_agent(agent), len(self.users), False
        tally = Tally(self.world, self.unit, count)
        report = None if progress is None else lambda: progress(float(tally.finished.mean()))
        self.people: Any = np.zeros(count, self.env.unwrapped.engine.users.dtype)  # type: ignore[attr-defined]
        jobs = [
            partial(self._play_part, agent, *part, tally, report) for part in zip(self._envs, self._parts, strict=True)
        ]
        if len(jobs) == 1:
            jobs[0]()
        else:
            with ThreadPoolExecutor(len(jobs)) as pool:
                try:
                    for playing in [pool.submit(job) for job in jobs]:
                        playing.result()
                except BaseException:
                    self.stop()  # the other threads, too
                    raise
        return tally.make_table(self.users, self.people)

    def _play_part(
        self,
        agent: Agent,
        envs: LifeEnvs,
        part: NDArray[np.int64],
        tally: Tally,
        report: Callable[[], None] | None,
    ) -> None:
        """Play the users at the places `part` (P,)."""
        session = AgentSession(agent, len(part), self.world)
        lives = DwindlingLives(envs, self.users[part], self.luck, agent.privileged)
        while len(lives.rows) and not self._stopped:
            rows, observation = part[lives.rows], lives.observe()
            context, satiation = observation["context"], lives.read("satiation")
            slates = session.act(observation, lives.rows)
            tally.note_slates(rows, slates, context, satiation)
            tally.note_step(rows, context, lives.step(slates))
            if report is not None:
                report()
        self.people[part] = lives.ended

    def stop(self) -> None:
        """Let nobody go on who is being played by another thread; what `play` returns then is not whole."""
        self._stopped = True

    def mean_minutes(self, agent: Agent | SlateFunction) -> float:
        """Mean minutes of dwell in the month: the metric of the benchmark in every scenario."""
        return float(self.play(agent)["minutes"].mean())


class Tally:
    """Sums up what happens to users, each a row of its own.

    Parameters
    ----------
    world
        That is played.
    unit
        (N + 1, E) vectors of unit length that the diversity of slates is measured by.
    users
        U.

    Attributes
    ----------
    finished
        (U,) whose lives have ended.
    """

    def __init__(self, world: World, unit: NDArray[np.float32], users: int) -> None:
        self.world, self.measures = world, SlateMeasures(unit, users)
        self.more = (*(PURCHASES if world.scenario.selling else ()), *(TURNS if world.scenario.cultivation else {}))
        names = ("minutes", "first_session_minutes", "slates", "clicks", "satiation", *self.more)
        self.sums = {name: np.zeros(users) for name in names}
        self.churned, self.finished = np.zeros(users, bool), np.zeros(users, bool)
        self._clicks: list[tuple[NDArray[np.int64], NDArray[np.floating]]] = []

    def note_slates(
        self,
        rows: NDArray[np.int64],
        slates: NDArray[np.int64],
        context: NDArray[np.float32],
        satiation: NDArray[np.float64],
    ) -> None:
        """Slates (B, K) of the users `rows` (B,), what was seen of them, and how sated they are (B, G)."""
        self.measures.note(rows, slates, context[:, ContextColumn.DEPTH] == 0)
        self.sums["satiation"][rows] += satiation.sum(axis=1)
        self.sums["slates"][rows] += 1

    def note_step(
        self, rows: NDArray[np.int64], context: NDArray[np.float32], told: Mapping[str, NDArray[Any]]
    ) -> None:
        """What came of them, as `DwindlingLives.step` tells it; `context` is what was seen before."""
        sums, clicked = self.sums, told["choice"] >= 0
        first = context[:, ContextColumn.SESSION] == 0
        noted = {"minutes": told["minutes"], "first_session_minutes": told["minutes"] * first, "clicks": clicked}
        noted |= {"first_minutes": told["first_minutes"]}
        if "bought" in told:
            noted |= {"purchases": told["bought"], "sales": told["paid"]}
        for name in noted.keys() & sums.keys():
            sums[name][rows] += noted[name]
        self._clicks.append((told["item"][clicked], context[clicked, ContextColumn.DAY]))
        self.churned[rows] = told["churned"]
        self.finished[rows] = told["finished"]

    def make_table(self, ids: NDArray[np.int64], people: np.ndarray) -> pd.DataFrame:
        """What `Evaluator.play` returns, of the users' ids (U,) and their records (U,) at the end."""
        clicked, measures = ClickedItems(self.world.born), self.measures
        clicked.note(*(np.concatenate(column) for column in zip(*self._clicks, strict=True)))
        sums = {**self.sums, "diversity": measures.diversity, "repeated": measures.repeated}
        table = pd.DataFrame({"user": ids, **sums})
        means = ["diversity", "satiation", "repeated"]
        table[means] = table[means].div(table["slates"], axis=0)
        table["sessions"] = people["session"] + 1
        table["days"] = np.minimum(people["clock"], self.world.scenario.params.horizon_days)
        table["churned"] = self.churned
        table["trust"] = people["trust"]
        if "first_minutes" in self.more:
            table["turned"] = measure_turns(people)
        table = table[["user", *COLUMNS, *self.more]]
        table.attrs |= {"coverage": float(measures.shown[1:].mean()), **clicked.summarise()}
        return table


def measure_turns(users: np.ndarray) -> NDArray[np.float64]:
    """(B,) degrees between the taste of users, as the engine has them, and the one that they came with."""
    cosine = np.einsum("bd,bd->b", users["taste"].astype(np.float64), users["first_taste"].astype(np.float64))
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def held_out_users(world: World, split: str, count: int, field: str = "users", *, sealed: bool = False) -> NDArray[Any]:
    """The first `count` users of a split, or of the sealed test users; `field` is what an error calls the count."""
    people = world.split(split, sealed)
    if not 1 <= count <= len(people):
        more = split == "test" and world.sealed and not sealed
        hint = (
            f" and {len(world.sealed)} sealed ones, whom compare --sealed plays, and Python with sealed = True"
            if more
            else ""
        )
        raise ValueError(f"{field} = {count} is out of range; the {split} split has 1 to {len(people)}{hint}")
    return np.arange(people.start, people.start + count)

"""One protocol for every policy: the same held-out users, the same luck, the whole month."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from ...envs.candidates.retriever import Retriever
from ...envs.engine import ContextColumn
from ...envs.env import SlateVectorEnv
from ...envs.users.world import World
from ..base import Agent, AgentSession, SlateFunction, select_users
from .clicked import ClickedItems

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
    """

    def __init__(
        self,
        world: World,
        item_vectors: NDArray[np.float32],
        users: NDArray[np.int64],
        luck: int,
        sealed: bool = False,
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
        self.users = ids.astype(np.int64)
        self.world, self.luck = world, int(luck)
        bare = SlateVectorEnv(
            world,
            len(self.users),
            split="test" if sealed else "train",
            sealed=sealed,
            autoreset_mode=AutoresetMode.DISABLED,
            privileged=True,
            reward="minutes",
        )
        self.env = Retriever(bare, item_vectors)
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
        observation, info = self.env.reset(seed=self.luck, options={"users": self.users})
        count = len(self.users)
        sums = {name: np.zeros(count) for name in ("minutes", "first_session_minutes", "slates", "clicks")}
        sums |= {name: np.zeros(count) for name in ("diversity", "satiation", "repeated")}
        turns = TURNS if self.world.scenario.cultivation else {}
        purchases = PURCHASES if self.world.scenario.selling else ()
        sums |= {name: np.zeros(count) for name in (*purchases, *turns)}
        shown = np.zeros(len(self.world.catalog) + 1, bool)
        clicked = ClickedItems(self.world.born)
        told = np.zeros((count, len(shown)), bool)  # what the session has shown
        active = np.ones(count, bool)
        session = AgentSession(agent, count, self.world)
        slates = np.zeros((count, self.world.scenario.shape.slate), np.int64)
        churned = np.zeros(count, bool)
        while active.any():
            visible = select_users(observation, active)
            latent = select_users(info["latent"], active)
            slates[active] = session.act({**visible, "latent": latent} if session.agent.privileged else visible, active)
            first = observation["context"][:, ContextColumn.SESSION] == 0
            day = observation["context"][:, ContextColumn.DAY]
            told[active & (observation["context"][:, ContextColumn.DEPTH] == 0)] = False
            sums["repeated"] += active * (np.take_along_axis(told, slates, axis=1) & (slates > 0)).mean(axis=1)
            np.put_along_axis(told, slates, True, axis=1)
            sums["diversity"][active] += self._measure_diversity(slates[active])
            sums["satiation"][active] += latent["satiation"].sum(axis=1)
            shown[slates[active].ravel()] = True
            observation, reward, terminated, truncated, info = self.env.step(slates)
            sums["minutes"] += reward
            sums["first_session_minutes"] += reward * first
            sums["clicks"] += active & (info["choice"] >= 0)
            clicked.note(np.where(active, info["item"], 0), day)
            sums["slates"] += active
            if turns:
                sums["first_minutes"] += active * info["latent"]["first_minutes"]
            if purchases:
                sums["purchases"] += active & info["bought"]
                sums["sales"] += active * info["paid"]
            churned |= terminated
            active = ~(terminated | truncated)
            if progress is not None:
                progress(1.0 - float(active.mean()))
        people = self.env.unwrapped.engine.users  # type: ignore[attr-defined]
        table = pd.DataFrame({"user": self.users, **sums})
        means = ["diversity", "satiation", "repeated"]
        table[means] = table[means].div(table["slates"], axis=0)
        table["sessions"] = people["session"] + 1
        table["days"] = np.minimum(people["clock"], self.world.scenario.params.horizon_days)
        table["churned"] = churned
        table["trust"] = people["trust"]
        if turns:
            table["turned"] = measure_turns(people)
        table = table[["user", *COLUMNS, *purchases, *turns]]
        table.attrs |= {"coverage": float(shown[1:].mean()), **clicked.summarise()}
        return table

    def mean_minutes(self, agent: Agent | SlateFunction) -> float:
        """Mean minutes of dwell in the month: the metric of the benchmark in every scenario."""
        return float(self.play(agent)["minutes"].mean())

    def _measure_diversity(self, slates: NDArray[np.int64]) -> NDArray[np.float64]:
        vectors = self.unit[slates].astype(np.float64)  # zeros where a slot is empty
        k = (slates > 0).sum(axis=1)
        together = (vectors.sum(axis=1) ** 2).sum(axis=1) - (vectors**2).sum(axis=(1, 2))
        return np.where(k > 1, 1.0 - together / np.maximum(k * (k - 1), 1), 0.0)


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

"""Simulated logs: lives under a stated logging policy, and the filters that a published log went through."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from gymnasium.vector import AutoresetMode, VectorWrapper
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from ..envs.candidates.retriever import Retriever
from ..envs.candidates.scoring import Scorer
from ..envs.engine import Observation
from ..envs.env import SlateVectorEnv
from ..envs.users.world import World, text_factors
from .base import Agent
from .options import check_ranges
from .playing.steps import lives
from .propensities import gumbel

WINDOW_DAYS = 16.0  # of the Globo log: 1 to 16 October 2017
INACTIVITY = 30.0  # [minutes] without a click after which a session is over
CHUNK = 1000  # users at a time, to bound memory


@dataclass
class FrontPage:
    """The logging policy: a news front page, the same for all, mixed with topics that the user has read.

    A user is offered the `pool` first stories of the front page and the candidates found for them. Story i has weight

        ``rank_i^(−popularity) · 2^(−age_i / half_life) · exp(interest · share + related · same)``

    where the rank is by how much the item is talked about, the age is the days since it appeared (none in a world whose
    items do not age), the share is that of the item's main topic among the history's main topics, and ``same`` is 1 if
    it is the main topic of the last item read in this session: a page shows more of what it is about. The slate is
    drawn by these weights without replacement (Plackett–Luce, by Gumbel noise), the first drawn in the best position;
    items of the history come last. Nothing hidden is read. The noise is a function of the seed and of what is visible,
    so a user's slates do not depend on who else is played.

    The default strengths were fitted to Globo's log, together with the News scenario's constants, by
    ``scripts/fit_signatures.py``.

    Parameters
    ----------
    scorer
        For the items' topics, and to fill slates.
    world
        For popularity and birth of items.
    """

    scorer: Scorer
    world: World
    popularity: float = 0.45
    half_life: float = 0.35
    interest: float = 0.4
    related: float = 0.75
    pool: int = 100
    seed: int = 0
    name: str = "front page"
    privileged: bool = False

    def __post_init__(self) -> None:
        """Rank the catalogue once."""
        items = len(self.world.catalog)
        check_ranges(
            self,
            ("popularity", 0, 10),
            ("half_life", 0.01, 1e6),
            ("interest", -20, 20),
            ("related", -20, 20),
        )
        if not 0 <= self.pool <= items:
            raise ValueError(f"pool = {self.pool!r} is out of range; the catalogue has 0 to {items} items")
        rank = np.empty(items)
        rank[np.argsort(-self.world.catalog.popularity, kind="stable")] = np.arange(1, items + 1)
        self._weight = np.r_[-np.inf, -self.popularity * np.log(rank)]
        ages = self.world.scenario.params.items_life > 0
        self._born = self.world.born if ages else None
        self._pages: dict[int, NDArray[np.int64]] = {}

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Slates of the front page and the candidates."""
        hours = np.floor(24.0 * observation["context"][:, 5].astype(np.float64)).astype(np.int64)
        page = np.stack([self._page(int(hour)) for hour in hours])
        candidates = observation["candidates"].astype(np.int64)
        offered = np.concatenate([page, candidates], axis=1)
        score = self._story(offered, observation["context"][:, 5].astype(np.float64))
        history = observation["history_ids"].astype(np.int64)
        score += self.interest * self._familiarity(history, offered)
        # What was read longer ago than this session lasts was read before it.
        here = (history[:, 0] > 0) & (observation["history_age"][:, 0] * 1440.0 < observation["context"][:, 1])
        topic = self.scorer.main_topic
        score += self.related * (here[:, None] & (topic[offered] == topic[history[:, :1]]))
        score += gumbel(observation, offered, self.seed)
        # A candidate that is on the front page, too, has the same noise and must not be shown twice.
        twice = np.zeros(offered.shape, bool)
        for b, row in enumerate(page):
            twice[b, self.pool :] = self._listed(row)[candidates[b]]
        shown = {**observation, "candidates": np.where(twice | ~np.isfinite(score), 0, offered).astype(np.float32)}
        quiet = np.where(np.isfinite(score), score - score.max(axis=1, keepdims=True), 0.0)
        none = np.zeros(len(score), np.float32)
        return self.scorer.fill(shown, quiet.astype(np.float32), none, cap=self.scorer.slots)

    def _story(self, items: NDArray[np.int64], day: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithm of what popularity and age make of an item; −∞ before it appears."""
        weight = self._weight[items]
        if self._born is None:
            return np.asarray(weight)
        age = day[:, None] - self._born[items]
        return np.asarray(np.where(age >= 0.0, weight - np.log(2.0) * age / self.half_life, -np.inf))

    def _page(self, hour: int) -> NDArray[np.int64]:
        """The front page of an hour."""
        hour = hour if self._born is not None else 0
        if hour not in self._pages:
            everything = np.arange(1, len(self._weight))[None, :]
            value = self._story(everything, np.array([hour / 24.0]))[0]
            self._pages[hour] = 1 + np.argsort(-value, kind="stable")[: self.pool]
        return self._pages[hour]

    def _listed(self, page: NDArray[np.int64]) -> NDArray[np.bool_]:
        listed = np.zeros(len(self._weight), bool)
        listed[page] = True
        return listed

    def _familiarity(self, history: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float64]:
        """Share of the history whose main topic is the item's."""
        users, topics = np.arange(len(history))[:, None], self.scorer.topics.shape[1]
        read = np.zeros((len(history), topics))
        np.add.at(read, (users, self.scorer.main_topic[history]), history > 0)
        return np.asarray(read[users, self.scorer.main_topic[items]] / np.maximum((history > 0).sum(1), 1)[:, None])


def text_vectors(world: World, width: int = 64) -> NDArray[np.float32]:
    """(N, width) cheap item vectors, for candidates where no text encoder is wanted: TF-IDF and a truncated SVD."""
    tfidf = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b").fit_transform(world.catalog.texts)
    return text_factors(tfidf, width).astype(np.float32)


class Arrivals(VectorWrapper):
    """Has each user's life begin on a later day, with their past moved along.

    Parameters
    ----------
    env
        A `SlateVectorEnv`.
    days
        (B,) whole days, so that the hour of the day stays.
    """

    def __init__(self, env: SlateVectorEnv, days: NDArray[np.int64]) -> None:
        super().__init__(env)
        self.days = days

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Observation, dict[str, Any]]:
        """Start new lives, each on its day."""
        _, info = self.env.reset(seed=seed, options=options)
        env: Any = self.env.unwrapped
        users = env.engine.users
        users["clock"] += self.days
        users["day"] += self.days.astype(users["day"].dtype)
        users["history_time"] += self.days[:, None].astype(users["history_time"].dtype)
        return env.load_state(env.save_state()), {**info, "day": info["day"] + self.days}


def simulate_log(
    world: World,
    item_vectors: NDArray[np.float32],
    policy: Agent,
    users: Sequence[int] | NDArray[np.int64],
    luck: int = 0,
    progress: Callable[[float], None] | None = None,
) -> pd.DataFrame:
    """Every click of some users, who arrive one after the other, until the horizon.

    Users arrive on whole days drawn evenly from the horizon, so that the log's last weeks see the newly come, the long
    settled and those about to leave for good as a site with steady arrivals does. Were all to arrive at once, a window
    at the start would see newcomers only, and one later survivors only. The clock is the world's calendar: two users
    who read at the same clock meet the same news.

    Parameters
    ----------
    item_vectors
        (N, E) for the candidates; `text_vectors` gives cheap ones.
    policy
        Who chooses the slates: `FrontPage`, or any agent that reads nothing hidden.
    users
        Ids of people of the world.
    luck
        Seed of the users' luck and of their days of arrival.
    progress
        Called with the share of users who are done.

    Returns
    -------
    pandas.DataFrame
        One row a click, by user and time: ``user``, ``session`` (number in the life), ``clock`` [days] when the item
        was opened, ``item`` (number), ``category`` (its main topic), ``minutes`` of dwell.
    """
    ids = np.asarray(users, np.int64)
    if len(ids) == 0:
        raise ValueError("users is empty; name at least one user")
    days = max(int(world.scenario.params.horizon_days), 1)
    arrival = np.random.default_rng([luck, len(world.people)]).integers(0, days, len(world.people))
    main_topic = world.topics.argmax(axis=1)
    tables = []
    for start in range(0, len(ids), CHUNK):
        some = ids[start : start + CHUNK]
        bare = SlateVectorEnv(world, len(some), autoreset_mode=AutoresetMode.DISABLED)
        tables.append(_play(Retriever(Arrivals(bare, arrival[some]), item_vectors), policy, some, luck))
        if progress is not None:
            progress(min(start + CHUNK, len(ids)) / len(ids))
    log = pd.concat(tables, ignore_index=True)
    log["category"] = main_topic[log["item"].to_numpy()]
    log = log.sort_values(["user", "clock"], kind="stable", ignore_index=True)
    return log[["user", "session", "clock", "item", "category", "minutes"]]


def _play(env: Retriever, policy: Agent, ids: NDArray[np.int64], luck: int) -> pd.DataFrame:
    parts = []
    for step in lives(env, policy, ids, luck):
        clicked = np.flatnonzero(step.active & (step.info["choice"] >= 0))
        session = step.before["context"][clicked, 6]
        parts.append((ids[clicked], session, step.clock[clicked], step.info["item"][clicked], step.reward[clicked]))
    names = ("user", "session", "clock", "item", "minutes")
    table = pd.DataFrame(
        {name: np.concatenate(column) for name, column in zip(names, zip(*parts, strict=True), strict=True)}
    )
    return table.astype({"session": np.int64})


def as_globo(log: pd.DataFrame, days: float = WINDOW_DAYS) -> pd.DataFrame:
    """The log as the Globo news log would have published it.

    Its last `days`; sessions cut by 30 minutes without a click; a repeated click on an article within a session
    dropped; then sessions of a single click dropped (as the log's second edition states). Clicks only, no exposures.

    Parameters
    ----------
    log
        Of `simulate_log`.

    Returns
    -------
    pandas.DataFrame
        The same columns; ``clock`` from 0 at the window's start, ``session`` from 0 for each user.
    """
    if len(log) == 0:
        raise ValueError("the log has no clicks; simulate more users or a longer horizon")
    last = np.ceil(log["clock"].max())
    if last < days:
        raise ValueError(f"the log has {last:g} days, fewer than a window of {days:g}; raise horizon.days")
    kept: pd.DataFrame = log[(log["clock"] >= last - days) & (log["clock"] < last)].copy()
    kept["clock"] -= last - days
    kept = kept.sort_values(["user", "clock"], kind="stable")
    pause = kept["clock"].diff().to_numpy() * 1440.0 >= INACTIVITY
    other = kept["user"].ne(kept["user"].shift()).to_numpy()
    kept["session"] = np.cumsum(pause | other)
    kept = kept.drop_duplicates(["session", "item"])
    kept = kept[kept.groupby("session")["item"].transform("size") >= 2]
    number = kept["session"].ne(kept["session"].shift()).groupby(kept["user"]).cumsum() - 1
    kept["session"] = number.astype(np.int64)
    return kept.reset_index(drop=True)

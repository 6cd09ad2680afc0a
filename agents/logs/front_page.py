"""A front page as a logging policy: the same stories for all, mixed with topics that the user has read."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...envs.candidates.scoring import Scorer
from ...envs.engine import ContextColumn, Observation
from ...envs.shared.options import Options, number
from ...envs.users.world import World
from .propensities import draw_gumbel


@dataclass(frozen=True)
class FrontPageOptions(Options):
    """Strengths of what a front page goes by.

    The defaults were fitted to Globo's log, together with the News scenario's constants, by
    ``scripts/studies/signatures/fit.py``.
    """

    popularity: float = number(0.45, 0.0, 10.0)
    """Power of the rank by popularity."""
    half_life: float = number(0.35, 0.01, 1e6)
    """Days in which the weight of a story halves."""
    interest: float = number(0.4, -20.0, 20.0)
    """Strength of the topics that the user has read."""
    related: float = number(0.75, -20.0, 20.0)
    """Strength of the topic that the user reads now."""
    pool: int = number(100, 0, 10**9)
    """Stories of the front page that everybody is offered."""


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

    Parameters
    ----------
    scorer
        Scorer that knows the items' topics and fills slates.
    world
        World that knows when items appear and how popular they are.
    options
        Strengths, as in the formula.
    seed
        Seed of the noise.
    """

    scorer: Scorer
    world: World
    options: FrontPageOptions = field(default_factory=FrontPageOptions)
    seed: int = 0
    name: str = "front page"
    privileged: bool = False

    def __post_init__(self) -> None:
        """Rank the catalogue once."""
        items = len(self.world.catalog)
        if self.options.pool > items:
            raise ValueError(f"pool = {self.options.pool!r} is out of range; the catalogue has {items} items")
        rank = np.empty(items)
        rank[np.argsort(-self.world.catalog.popularity, kind="stable")] = np.arange(1, items + 1)
        self._weight = np.r_[-np.inf, -self.options.popularity * np.log(rank)]
        self._born = self.world.born if self.world.scenario.appearing else None
        self._half_life = self.options.half_life if self.world.scenario.params.items_life > 0 else np.inf
        self._pages: dict[int, NDArray[np.int64]] = {}

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Slates of the front page and the candidates."""
        days = observation["context"][:, ContextColumn.DAY].astype(np.float64)
        hours = np.floor(24.0 * days).astype(np.int64)
        page = np.stack([self._find_page(int(hour)) for hour in hours])
        candidates = observation["candidates"].astype(np.int64)
        offered = np.concatenate([page, candidates], axis=1)
        score = self._weigh(offered, days)
        history = observation["history_ids"].astype(np.int64)
        score += self.options.interest * self._measure_familiarity(history, offered)
        # What was read longer ago than this session lasts was read before it.
        here = (history[:, 0] > 0) & (
            observation["history_age"][:, 0] * 1440.0 < observation["context"][:, ContextColumn.SESSION_MINUTES]
        )
        topic = self.scorer.main_topic
        score += self.options.related * (here[:, None] & (topic[offered] == topic[history[:, :1]]))
        score += draw_gumbel(observation, offered, self.seed)
        # A candidate that is on the front page, too, has the same noise and must not be shown twice.
        twice = np.zeros(offered.shape, bool)
        for b, row in enumerate(page):
            twice[b, self.options.pool :] = self._mark(row)[candidates[b]]
        shown = {**observation, "candidates": np.where(twice | ~np.isfinite(score), 0, offered).astype(np.float32)}
        quiet = np.where(np.isfinite(score), score - score.max(axis=1, keepdims=True), 0.0)
        none = np.zeros(len(score), np.float32)
        return self.scorer.fill(shown, quiet.astype(np.float32), none, cap=self.scorer.slots)

    def _weigh(self, items: NDArray[np.int64], day: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithm of what popularity and age make of an item; −∞ before it appears."""
        weight = self._weight[items]
        if self._born is None:
            return np.asarray(weight)
        age = day[:, None] - self._born[items]
        return np.asarray(np.where(age >= 0.0, weight - np.log(2.0) * age / self._half_life, -np.inf))

    def _find_page(self, hour: int) -> NDArray[np.int64]:
        """The front page of an hour."""
        hour = hour if self._born is not None else 0
        if hour not in self._pages:
            everything = np.arange(1, len(self._weight))[None, :]
            value = self._weigh(everything, np.array([hour / 24.0]))[0]
            self._pages[hour] = 1 + np.argsort(-value, kind="stable")[: self.options.pool]
        return self._pages[hour]

    def _mark(self, page: NDArray[np.int64]) -> NDArray[np.bool_]:
        listed = np.zeros(len(self._weight), bool)
        listed[page] = True
        return listed

    def _measure_familiarity(self, history: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float64]:
        """Share of the history whose main topic is the item's."""
        users, topics = np.arange(len(history))[:, None], self.scorer.topics.shape[1]
        read = np.zeros((len(history), topics))
        np.add.at(read, (users, self.scorer.main_topic[history]), history > 0)
        return np.asarray(read[users, self.scorer.main_topic[items]] / np.maximum((history > 0).sum(1), 1)[:, None])

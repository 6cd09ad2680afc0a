"""Candidates: the same few hundred items for every rule and agent, found anew when a session starts."""

import functools
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ..catalogs.order import sort_items
from ..catalogs.registry import CATALOGS
from ..engine import ContextColumn, Observation
from ..shared.compiled import loop
from ..users.chance import CANDIDATES, CANDIDATES_ORDER, fill_uniform
from ..users.records import Record
from ..users.world import World
from ..wrapper import SlateVectorWrapper
from .pooling import HALF_LIFE_DAYS, HALF_LIFE_ITEMS, pad_item_vectors, weigh_recency

NEIGHBOURS = 64  # kept for each item; eight times as many where items age
SHARES = (0.625, 0.1875, 0.09375)  # of the candidates: similar, popular, recent; the rest are random
TOP = 0.1  # popular candidates come from this share of the catalogue, recent ones from this share of what is live
LIVES = 4.0  # an item is live for this many times ``items.life``
DRAWS = 32  # at a time
POPULAR, RECENT = 0, 1  # sources of candidates beside similarity; 2 is any live item


class ItemIndex(NamedTuple):
    """What candidates are found with, of N items numbered from 1."""

    near: NDArray[np.int32]  # (N + 1, ·) nearest neighbours, nearest first; 0: no more
    cosine: NDArray[np.float32]  # (N + 1, ·) of the neighbours
    order: NDArray[np.int32]  # (N,) item numbers in order of publication
    born: NDArray[np.float64]  # (N + 1,) days
    popular: NDArray[np.bool_]  # (N + 1,) whether among the popular
    window: float  # days that an item is live
    quota: NDArray[np.int64]  # (3,) candidates of each source
    shuffled: bool  # whether their order is drawn by luck


class Tally(NamedTuple):
    """Scratch of the search; all zero between users."""

    votes: NDArray[np.float64]  # (N + 1,)
    excluded: NDArray[np.bool_]  # (N + 1,) in the history, or found already
    voted_for: NDArray[np.int32]  # the items with votes


class Retriever(SlateVectorWrapper):
    """Adds ``candidates`` (M item numbers, float32) to the observation of a vector environment.

    When a session starts, the candidates are: the items most similar to the user's history (each history item votes for
    its nearest neighbours with its cosine, its recency and its completion), popular ones, recent ones and random ones,
    none twice and none from the history. Where items age, only live ones are found: those that have appeared, and not
    longer ago than four times ``items.life``; where too few are live, the rest are 0. They are a function of the user,
    their luck, the session and the history alone, so policies whose slates agree see the same candidates.

    Where the scenario's ``candidates.order`` is ``"luck"``, their order is drawn by the user's luck, anew for each
    session, and tells nothing. Where it is ``"source"``, it tells where they come from: first the similar ones (five
    eighths of them), most votes first, then the popular, the recent and the random ones. A policy that reads the place
    of a candidate, and not only what the item is, makes use of that: the first K are greedy similarity under another
    name, the last K a random slate.

    Where all items are equally popular, or were published at one time, who counts as popular or recent is drawn by the
    items' ids and the world's seed.

    Parameters
    ----------
    env
        A `SlateVectorEnv`.
    item_vectors
        (N, E) float32, one row an item, as a text encoder gives them; taken as directions.

    Raises
    ------
    ValueError
        If the vectors do not fit the catalogue, or the catalogue is too small to fill each slate with candidates that
        are not in the history.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], item_vectors: NDArray[np.float32]) -> None:
        world = env.unwrapped.world  # type: ignore[attr-defined]
        n = len(world.catalog)
        self.vectors = pad_item_vectors(item_vectors, n)
        # Before the environment is taken: Gymnasium 1.2 would close the caller's with a refused wrapper.
        check_candidates(world)
        super().__init__(env)
        life = world.scenario.params.items_life
        # Of an item's neighbours few are live at a time.
        near, cosine = find_nearest_items(ArrayKey(self.vectors), NEIGHBOURS * (8 if life > 0 else 1))
        self.count = count_candidates(world)
        popular = np.zeros(n + 1, bool)
        top = sort_items(world.catalog, "popularity", world.seed, descending=True)[: max(round(TOP * n), self.count)]
        popular[top + 1] = True
        self._index = ItemIndex(
            near=near,
            cosine=cosine,
            order=(sort_items(world.catalog, "published", world.seed) + 1).astype(np.int32),
            born=world.born,
            popular=popular,
            window=measure_window(life),
            quota=np.array([round(share * self.count) for share in SHARES], np.int64),
            shuffled=world.scenario.values["candidates_order"] == "luck",
        )
        self.candidates = np.zeros((self.num_envs, self.count), np.int32)
        inner = env.single_observation_space
        assert isinstance(inner, gym.spaces.Dict)
        box = gym.spaces.Box(0, n, (self.count,), np.float32)
        self.single_observation_space = gym.spaces.Dict({**inner.spaces, "candidates": box})
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Observation, dict[str, Any]]:
        """Reset, and find candidates for the slots that were."""
        before = np.zeros(self.num_envs, bool)
        if options is not None and options.get("reset_mask") is not None:
            before = ~np.asarray(options["reset_mask"])
        observation, info = self.env.reset(seed=seed, options=options)
        return self._add_candidates(observation, ~before), info

    def step(self, actions: Any) -> tuple[Observation, Any, Any, Any, dict[str, Any]]:
        """Step, and find candidates where a session has started."""
        observation, reward, terminated, truncated, info = self.env.step(actions)
        if "final_obs" in info:
            for b in np.flatnonzero(info["_final_obs"]):
                info["final_obs"][b]["candidates"] = self.candidates[b].astype(np.float32)
        # Depth 0 is a session's first slate; a user who has finished stays as they were.
        started = (observation["context"][:, ContextColumn.DEPTH] == 0) & ~terminated & ~truncated
        if "_final_obs" in info:
            started |= info["_final_obs"]
        return self._add_candidates(observation, started), reward, terminated, truncated, info

    def _add_candidates(self, observation: Observation, fresh: NDArray[np.bool_]) -> Observation:
        which = np.flatnonzero(fresh)
        if len(which):
            users = self.env.unwrapped.engine.users  # type: ignore[attr-defined]
            _find_candidates(users, which, self._index, self.candidates)
        return {**observation, "candidates": self.candidates.astype(np.float32)}

    def save_state(self) -> dict[str, NDArray[Any]]:
        """The environment's state and the candidates."""
        return {**self.env.save_state(), "candidates": self.candidates.copy()}  # type: ignore[attr-defined]

    def load_state(self, state: dict[str, NDArray[Any]]) -> Observation:
        """Continue from `save_state`."""
        if "candidates" not in state or state["candidates"].shape != self.candidates.shape:
            raise ValueError(f"state has no candidates of shape {self.candidates.shape}: another scenario or B")
        self.candidates[...] = state["candidates"]
        observation = self.env.load_state(state)  # type: ignore[attr-defined]
        return {**observation, "candidates": self.candidates.astype(np.float32)}


def measure_window(life: float) -> float:
    """Days that an item is live: for good where items do not age."""
    return LIVES * life if life > 0 else float(np.inf)


def count_candidates(world: World) -> int:
    """M: the scenario's, or as many as a small catalogue has beside a history."""
    shape, n = world.scenario.shape, len(world.catalog)
    return max(min(shape.candidates, n - shape.history), min(n, shape.slate))


def check_candidates(world: World) -> None:
    """Refuse a catalogue of which a full history can leave fewer candidates than a slate has places.

    Raises
    ------
    ValueError
        Naming the numbers of items, of those live at a time, of the history and of the slate, and what to change.
    """
    shape, p, n = world.scenario.shape, world.scenario.params, len(world.catalog)
    fewest = count_live_items(world)
    # Tiny's two items are what its optimum is known for; its empty places are part of it.
    if fewest >= shape.history + shape.slate or world.catalog.digest == CATALOGS["tiny"]().digest:
        return
    live = f" of which at times only {fewest} are live" if fewest < n else ""
    live += f" (for {measure_window(p.items_life):g} days each)" if live and p.items_life > 0 else ""
    enough = int(np.ceil((shape.history + shape.slate + 1) * n / fewest)) if fewest else 2 * n
    longer = " or raise items.life," if p.items_life > 0 else ""
    raise ValueError(
        f"catalogue {world.catalog.name!r} has {n} items{live}; less a history of {shape.history}, that may leave "
        f"{max(fewest - shape.history, 0)} candidates for a slate of {shape.slate}. Give about {enough} items,{longer} "
        "or lower shape.slate or shape.history, or leave candidates out (action='items')"
    )


def count_live_items(world: World) -> int:
    """The fewest items that are live at any time of the horizon; all of them where they have always been there."""
    p, born = world.scenario.params, np.sort(world.born[1:])
    # Few are live just before one appears, and at the end.
    times = np.append(born[(born > 0) & (born <= p.horizon_days)], [0.0, p.horizon_days])
    gone = np.searchsorted(born, times - measure_window(p.items_life))
    return int((np.searchsorted(born, times) - gone).min())


class ArrayKey:
    """An array as a cache key: equal only to itself or to an array with the same bytes."""

    def __init__(self, array: NDArray[np.float32]) -> None:
        self.array = array

    @functools.cached_property
    def _digest(self) -> int:
        return hash((self.array.shape, self.array.tobytes()))

    def __hash__(self) -> int:
        return self._digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArrayKey) and np.array_equal(self.array, other.array)


@functools.lru_cache(maxsize=4)
def find_nearest_items(key: ArrayKey, most: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Numbers and cosines of the nearest neighbours of each item, at most `most`, (N+1, ·) each, nearest first."""
    unit = key.array / np.maximum(np.linalg.norm(key.array, axis=1, keepdims=True), 1e-12)
    count = min(most, len(unit) - 2)
    near = np.zeros((len(unit), max(count, 1)), np.int32)
    cosine = np.zeros(near.shape, np.float32)
    if count < 1:
        return near, cosine
    # One BLAS thread: the order of equal cosines must not depend on the number of threads.
    with threadpool_limits(limits=1):
        for start in range(1, len(unit), 512):
            rows = np.arange(start, min(start + 512, len(unit)))
            scores = unit[rows] @ unit.T
            scores[:, 0] = -2.0
            scores[np.arange(len(rows)), rows] = -2.0
            best = np.argpartition(scores, -count, axis=1)[:, -count:]
            best.sort(axis=1)
            highest = np.take_along_axis(scores, best, axis=1)
            order = np.argsort(-highest, axis=1, kind="stable")
            near[rows] = np.take_along_axis(best, order, axis=1)
            cosine[rows] = np.take_along_axis(highest, order, axis=1)
    return near, cosine


@loop
def _find_candidates(users: np.ndarray, which: np.ndarray, index: ItemIndex, out: np.ndarray) -> None:
    n, quota, order = index.near.shape[0] - 1, index.quota, index.order
    reachable = users[0].history_items.shape[0] * index.near.shape[1]
    tally = Tally(np.zeros(n + 1), np.zeros(n + 1, np.bool_), np.zeros(reachable, np.int32))
    in_order = index.born[order]
    draws, order_draws = np.empty(DRAWS), np.empty(out.shape[1])
    for b in which:
        user = users[b]
        row = out[b]
        for h in range(len(user.history_items)):
            tally.excluded[user.history_items[h]] = True
        first = np.searchsorted(in_order, user.clock - index.window)
        size = np.searchsorted(in_order, user.clock, side="right") - first
        end = _find_similar(user, index, tally, row[: quota[0]])
        for source in range(3):
            goal = min(end + quota[source + 1], len(row)) if source < 2 else len(row)
            newest = max(int(TOP * size), 2 * quota[source + 1]) if source == RECENT else size
            reach = min(newest, size)  # how many of the live items, newest first, are drawn from
            tries = 0
            while end < goal and tries < 2 * reach:
                if tries % len(draws) == 0 and tries < reach:
                    place = source + 4 * tries
                    fill_uniform(user.k0, user.k1, user.id, user.session, place, 4, CANDIDATES, draws)
                # Should chance keep hitting what is excluded, walk instead.
                back = int(draws[tries % len(draws)] * reach) if tries < reach else tries - reach
                item = order[first + size - 1 - back]
                tries += 1
                if not tally.excluded[item] and (source != POPULAR or index.popular[item]):
                    tally.excluded[item] = True
                    row[end] = item
                    end += 1
        for k in range(end):
            tally.excluded[row[k]] = False
        for h in range(len(user.history_items)):
            tally.excluded[user.history_items[h]] = False
        for k in range(end, len(row)):
            row[k] = 0
        if index.shuffled:
            _shuffle(user, row[:end], order_draws[:end])


@loop
def _shuffle(user: Record, row: np.ndarray, draws: np.ndarray) -> None:
    """Bring candidates into an order that the user's luck and the session give (Fisher and Yates)."""
    fill_uniform(user.k0, user.k1, user.id, user.session, 0, 1, CANDIDATES_ORDER, draws)
    for last in range(len(row) - 1, 0, -1):
        other = int(draws[last] * (last + 1))
        row[last], row[other] = row[other], row[last]


@loop
def _find_similar(user: Record, index: ItemIndex, tally: Tally, row: np.ndarray) -> int:
    """Items with the most votes of the history into `row`; returns how many."""
    votes, voted_for, oldest = tally.votes, tally.voted_for, user.clock - index.window
    count = 0
    for h in range(len(user.history_items)):
        item = user.history_items[h]
        if item > 0:
            days = user.history_time[0] - user.history_time[h]
            weight = weigh_recency(h, user.history_completion[h], days, 1.0 / HALF_LIFE_ITEMS, 1.0 / HALF_LIFE_DAYS)
            for j in range(index.near.shape[1]):
                other = index.near[item, j]
                if other > 0 and not tally.excluded[other] and oldest <= index.born[other] <= user.clock:
                    if votes[other] == 0.0:
                        voted_for[count] = other
                        count += 1
                    votes[other] += weight * max(index.cosine[item, j], 1e-6)
    scores = np.empty(count)
    for j in range(count):
        scores[j] = -votes[voted_for[j]]
        votes[voted_for[j]] = 0.0
    end = min(count, len(row))
    best = _select_lowest(scores, end)
    order = np.argsort(scores[best], kind="mergesort")
    for j in range(end):
        row[j] = voted_for[best[order[j]]]
        tally.excluded[row[j]] = True
    return end


@loop
def _select_lowest(scores: np.ndarray, count: int) -> np.ndarray:
    """Places of the `count` lowest scores, in order of place; of equal ones the first: few of many are to be sorted."""
    if count == len(scores):
        return np.arange(count)
    limit = np.partition(scores, count - 1)[count - 1]
    equal = count  # places left for scores at the limit
    for j in range(len(scores)):
        equal -= scores[j] < limit
    best = np.empty(count, np.int64)
    end = 0
    for j in range(len(scores)):
        if scores[j] < limit or (scores[j] == limit and equal > 0):
            equal -= scores[j] == limit
            best[end] = j
            end += 1
    return best

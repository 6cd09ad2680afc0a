"""Simulated logs: lives under a stated logging policy, and the filters that a published log went through."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from longplay.agents.base import Agent
from longplay.agents.playing.steps import follow_users
from longplay.envs.candidates.retriever import Retriever
from longplay.envs.engine import ContextColumn, Observation
from longplay.envs.env import SlateVectorEnv
from longplay.envs.shared.words import split_words
from longplay.envs.users.world import World, factor_texts
from longplay.envs.wrapper import SlateVectorWrapper

WINDOW_DAYS = 16.0  # of the Globo log: 1 to 16 October 2017
INACTIVITY = 30.0  # [minutes] without a click after which a session is over
CHUNK = 1000  # users at a time, to bound memory


def make_text_vectors(world: World, width: int = 64) -> NDArray[np.float32]:
    """(N, width) cheap item vectors, for candidates where no text encoder is wanted: TF-IDF and a truncated SVD."""
    tfidf = TfidfVectorizer(sublinear_tf=True, analyzer=split_words).fit_transform(world.catalog.texts)
    return factor_texts(tfidf, width).astype(np.float32)


class Arrivals(SlateVectorWrapper):
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
        (N, E) for the candidates; `make_text_vectors` gives cheap ones.
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
        chunk = ids[start : start + CHUNK]
        bare = SlateVectorEnv(world, len(chunk), autoreset_mode=AutoresetMode.DISABLED)
        tables.append(_play_clicks(Retriever(Arrivals(bare, arrival[chunk]), item_vectors), policy, chunk, luck))
        if progress is not None:
            progress(min(start + CHUNK, len(ids)) / len(ids))
    log = pd.concat(tables, ignore_index=True)
    log["category"] = main_topic[log["item"].to_numpy()]
    log = log.sort_values(["user", "clock"], kind="stable", ignore_index=True)
    return log[["user", "session", "clock", "item", "category", "minutes"]]


def _play_clicks(env: Retriever, policy: Agent, ids: NDArray[np.int64], luck: int) -> pd.DataFrame:
    parts = []
    for step in follow_users(env, policy, ids, luck):
        clicked = np.flatnonzero(step.active & (step.info["choice"] >= 0))
        session = step.before["context"][clicked, ContextColumn.SESSION]
        parts.append((ids[clicked], session, step.clock[clicked], step.info["item"][clicked], step.reward[clicked]))
    names = ("user", "session", "clock", "item", "minutes")
    table = pd.DataFrame(
        {name: np.concatenate(column) for name, column in zip(names, zip(*parts, strict=True), strict=True)}
    )
    return table.astype({"session": np.int64})


def filter_as_globo(log: pd.DataFrame, days: float = WINDOW_DAYS) -> pd.DataFrame:
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
    window: pd.DataFrame = log[(log["clock"] >= last - days) & (log["clock"] < last)].copy()
    window["clock"] -= last - days
    window = window.sort_values(["user", "clock"], kind="stable")
    pause = window["clock"].diff().to_numpy() * 1440.0 >= INACTIVITY
    other = window["user"].ne(window["user"].shift()).to_numpy()
    window["session"] = np.cumsum(pause | other)
    window = window.drop_duplicates(["session", "item"])
    window = window[window.groupby("session")["item"].transform("size") >= 2]
    number = window["session"].ne(window["session"].shift()).groupby(window["user"]).cumsum() - 1
    window["session"] = number.astype(np.int64)
    return window.reset_index(drop=True)

"""Logs for encoders and for offline learning: lives under a logging policy, every slate of them, as tables.

A log holds what a platform sees and nothing hidden: what was shown, what was opened and for how long, when users came
and went, and what they named at sign-up.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer

from ...encoders.text.sentences import profile_to_text
from ...envs.candidates.retriever import Retriever
from ...envs.catalogs.catalog import DEFAULTS, PRICE, Catalog, compute_midrank_percentile
from ...envs.engine import ContextColumn
from ...envs.env import SlateVectorEnv
from ...envs.shared.files import filling, replacing
from ...envs.shared.words import is_chinese, is_unspaced, split_words
from ...envs.users.world import World
from ..base import Agent, select_users
from ..playing.steps import Step, follow_users

TABLES = ("log", "sessions", "users")
TELLING = 3  # words that stand for a topic without a label
PAST = -1  # session, depth and position of what was consumed before the first session


def draw_items(catalog: Catalog, count: int, seed: int) -> Catalog:
    """A catalogue of `count` items drawn evenly, in their order, popularity and rating ranked anew among them."""
    if not 2 <= count <= len(catalog):
        raise ValueError(f"items = {count} is out of range; catalogue {catalog.name!r} allows 2 to {len(catalog)}")
    drawn = np.sort(np.random.default_rng([seed, len(catalog)]).choice(len(catalog), count, replace=False))
    return Catalog(
        f"{count} of {catalog.name}",
        tuple(catalog.ids[i] for i in drawn),
        tuple(catalog.texts[i] for i in drawn),
        tuple(catalog.topics[i] for i in drawn),
        catalog.minutes[drawn],
        compute_midrank_percentile(catalog.popularity[drawn]),
        compute_midrank_percentile(catalog.rating[drawn]),
        catalog.published[drawn],
        price=None if catalog.price is None else catalog.price[drawn],
    )


def tabulate_items(catalog: Catalog) -> pd.DataFrame:
    """A catalogue as a table that `Catalog.from_table` reads.

    What it reads is equal (`Catalog.digest`) wherever popularity and rating are the mid-rank percentiles of their own
    order, as in what `draw_items` or `Catalog.from_table` made; in a catalogue with unknown ratings, such as the films,
    they are not, because the unknown stand at 0.5 whatever their rank.
    """
    columns = {"id": catalog.ids, "text": catalog.texts, "topics": [list(labels) for labels in catalog.topics]}
    prices = {} if catalog.price is None else {PRICE: catalog.price}
    return pd.DataFrame(columns | {name: getattr(catalog, name) for name in DEFAULTS} | prices)


def label_topics(world: World) -> tuple[str, ...]:
    """G names of topics: the catalogue's labels or, where topics were found in texts, their most telling words."""
    if any(world.catalog.topics):
        return world.topic_names
    tfidf = TfidfVectorizer(sublinear_tf=True, analyzer=_list_telling_words)
    words = tfidf.fit_transform(world.catalog.texts)
    share = world.topics[1:].astype(np.float64)
    mean = (words.T @ share).T / np.maximum(share.sum(axis=0), 1e-12)[:, None]
    telling = np.argsort(-(mean - np.asarray(words.mean(axis=0))), axis=1, kind="stable")[:, :TELLING]
    vocabulary = tfidf.get_feature_names_out()
    return tuple(
        " ".join(vocabulary[row]) if name else "" for name, row in zip(world.topic_names, telling, strict=True)
    )


def _list_telling_words(text: str) -> list[str]:
    """Words of a text without numbers and short ones: below three letters, or two where no spaces part words."""
    return [word for word in split_words(text) if len(word) >= 3 - is_unspaced(word) and not re.search(r"[\d_]", word)]


def describe_profiles(world: World, users: NDArray[np.int64]) -> list[str]:
    """What users named at sign-up, as texts: in Chinese where most topics are named so, in English otherwise."""
    labels = label_topics(world)
    flags = world.people["profile"][users]
    named = list(filter(None, labels))
    language = "zh" if 2 * sum(map(is_chinese, named)) > len(named) else "en"
    return [profile_to_text([labels[g] for g in np.flatnonzero(row) if labels[g]], language=language) for row in flags]


@dataclass(frozen=True)
class CollectedLog:
    """What was logged of some users; every table is sorted by user, then by time.

    Attributes
    ----------
    log
        One row an item shown: ``user`` (number in the world), ``session``, ``depth`` (slates before it in the session),
        ``time`` [days] when it was shown, ``position`` (0 is best), ``item`` (number), ``item_id`` (the owner's),
        ``consumed``, ``completion`` [0, 1], ``minutes``, ``hour`` of the day. What users consumed before their first
        session, as far as the platform knows, comes first, with session, depth and position −1 and unknown minutes (0).
    sessions
        One row a session: ``user``, ``session``, ``begin`` and ``end`` [days], ``slates``, ``clicks``, ``minutes``,
        ``completion`` (mean of what was consumed; NaN if nothing was), ``gap`` [days] to the user's next session (NaN
        if there is none), ``last``, ``censored`` (the horizon came before it ended or before the next one: the user
        did not leave for good).
    users
        One row a user: ``user``, ``profile`` (a text), ``days`` until they left for good, or the horizon, ``churned``,
        ``sessions``, ``slates``, ``clicks``, ``minutes``.
    episodes
        Arrays of the whole transitions of the first users, see `Recorder.episodes`; empty if none were asked for.
    """

    log: pd.DataFrame
    sessions: pd.DataFrame
    users: pd.DataFrame
    episodes: dict[str, NDArray[Any]]


def make_env(world: World, users: int, item_vectors: NDArray[np.float32] | None = None) -> Any:
    """An environment of `users` that pays minutes and never resets by itself; with vectors, also with candidates."""
    bare = SlateVectorEnv(world, users, autoreset_mode=AutoresetMode.DISABLED, reward="minutes")
    return bare if item_vectors is None else Retriever(bare, item_vectors)


def collect(
    env: Any,
    policy: Agent,
    users: Sequence[int] | NDArray[np.int64],
    luck: int = 0,
    episodes: int = 0,
    progress: Callable[[float], None] | None = None,
) -> CollectedLog:
    """Play some users until the horizon and log every slate.

    Parameters
    ----------
    env
        Environment that `make_env` made for as many users.
    policy
        Agent that chooses the slates; it sees nothing hidden.
    users
        Ids of people of the world.
    luck
        Seed of the users' luck.
    episodes
        Number of users, the first, whose whole transitions are kept.
    progress
        Callable that gets the share of users who are done.
    """
    ids = np.asarray(users, np.int64)
    recorder = Recorder(env.unwrapped.world, ids, episodes)
    for step in follow_users(env, policy, ids, luck):
        recorder.add(step)
        if progress is not None:
            progress(1.0 - float((step.active & ~step.churned & ~step.horizon).mean()))
    slates = recorder.list_slates()
    return CollectedLog(
        recorder.tabulate_log(slates),
        recorder.tabulate_sessions(slates),
        recorder.tabulate_users(slates),
        recorder.list_episodes(),
    )


class Recorder:
    """Keeps what happens, slate by slate, and makes tables of it.

    Parameters
    ----------
    world
        World that is played.
    ids
        Users (B,) who play.
    episodes
        Number of them, the first, whose whole transitions are kept.
    """

    def __init__(self, world: World, ids: NDArray[np.int64], episodes: int) -> None:
        self._world, self._ids, self._episodes = world, ids, min(episodes, len(ids))
        self._steps: list[dict[str, NDArray[Any]]] = []
        self._past: dict[str, NDArray[Any]] = {}
        self._observations: list[tuple[NDArray[np.int64], Any]] = []  # whose, and observations, also the last ones
        self._transitions: list[dict[str, NDArray[Any]]] = []

    def add(self, step: Step) -> None:
        """Take note of a slate of each user who is still there."""
        if not self._steps:
            self._past = self._find_past(step)
        who = np.flatnonzero(step.active)
        before, after, info = step.before, step.after, step.info
        self._steps.append(
            {
                "who": who,
                "session": before["context"][:, ContextColumn.SESSION][who].astype(np.int32),
                "depth": before["context"][:, ContextColumn.DEPTH][who].astype(np.int32),
                "gap": before["context"][:, ContextColumn.GAP_DAYS][who],
                "time": step.clock[who],
                "slate": step.slates[who].astype(np.int32),
                "choice": info["choice"][who],
                "completion": info["completion"][who],
                "minutes": step.reward[who],
                "session_minutes": after["context"][:, ContextColumn.SESSION_MINUTES][who],
                "after": info["day"][who],
                "churned": step.churned[who],
                "horizon": step.horizon[who],
            }
        )
        self._add_transitions(step)

    def _find_past(self, step: Step) -> dict[str, NDArray[Any]]:
        """What users consumed before they came, oldest first."""
        ids, age, completion = (step.before[f"history_{name}"][:, ::-1] for name in ("ids", "age", "completion"))
        real = ids > 0
        who = np.broadcast_to(np.arange(len(ids))[:, None], ids.shape)[real]
        time = step.clock[:, None] - age
        return {"who": who, "item": ids[real], "time": time[real], "completion": completion[real]}

    def _add_transitions(self, step: Step) -> None:
        active = step.active & (np.arange(len(step.active)) < self._episodes)
        over = active & (step.churned | step.horizon)
        self._observations += [
            (np.flatnonzero(active), select_users(step.before, active)),
            (np.flatnonzero(over), select_users(step.after, over)),
        ]
        columns: dict[str, NDArray[Any]] = {"actions": step.slates, "rewards": step.reward}
        columns |= {"terminations": step.churned, "truncations": step.horizon}
        self._transitions.append(
            {"who": np.flatnonzero(active)} | {name: value[active] for name, value in columns.items()}
        )

    def list_slates(self) -> dict[str, NDArray[Any]]:
        """Columns with one entry a slate, by user and time."""
        return _sort_by_user(self._steps)

    def tabulate_log(self, slates: dict[str, NDArray[Any]]) -> pd.DataFrame:
        """One row an item shown, and the past; see `CollectedLog`."""
        count, slots = slates["slate"].shape
        slot = np.tile(np.arange(slots), count)
        opened = slot == np.repeat(slates["choice"], slots)
        columns = {name: np.repeat(slates[name], slots) for name in ("who", "session", "depth", "time")}
        columns |= {"position": slot, "item": slates["slate"].ravel(), "consumed": opened}
        columns |= {name: np.where(opened, np.repeat(slates[name], slots), 0.0) for name in ("completion", "minutes")}
        shown = columns["item"] > 0
        columns = {name: values[shown] for name, values in columns.items()}
        nothing = np.zeros(len(self._past["who"]))
        past = self._past | dict.fromkeys(("session", "depth", "position"), nothing + PAST)
        past |= {"consumed": nothing == 0, "minutes": nothing}
        table = _sort_by_user([past, columns])
        items = table["item"].astype(np.int32)
        return pd.DataFrame(
            {
                "user": self._ids[table["who"]],
                "session": table["session"].astype(np.int32),
                "depth": table["depth"].astype(np.int32),
                "time": table["time"],
                "position": table["position"].astype(np.int32),
                "item": items,
                "item_id": pd.Categorical.from_codes(items - 1, categories=pd.Index(self._world.catalog.ids)),
                "consumed": table["consumed"],
                "completion": table["completion"].astype(np.float32),
                "minutes": table["minutes"].astype(np.float32),
                "hour": (24.0 * (table["time"] % 1.0)).astype(np.float32),
            }
        )

    def tabulate_sessions(self, slates: dict[str, NDArray[Any]]) -> pd.DataFrame:
        """One row a session; see `CollectedLog`."""
        frame = pd.DataFrame({name: values for name, values in slates.items() if values.ndim == 1})
        frame["clicks"] = frame["choice"] >= 0
        grouped = frame.groupby(["who", "session"], sort=False)
        sums = grouped[["clicks", "minutes", "completion"]].sum()
        first, last = grouped[["time", "gap"]].first(), grouped[["session_minutes", "horizon"]].last()
        coming = first.groupby("who").shift(-1)  # the user's next session
        # The gap says when a session ended; of the last one the minutes that it took do.
        end = (coming["time"] - coming["gap"]).fillna(first["time"] + last["session_minutes"] / 1440.0)
        who = first.index.get_level_values("who").to_numpy()
        table = {
            "user": self._ids[who],
            "session": first.index.get_level_values("session").to_numpy(),
            "begin": first["time"].to_numpy(),
            "end": end.to_numpy(),
            "slates": grouped.size().to_numpy(np.int32),
            "clicks": sums["clicks"].to_numpy(np.int32),
            "minutes": sums["minutes"].to_numpy(),
            "completion": (sums["completion"] / sums["clicks"].where(sums["clicks"] > 0)).to_numpy(),
            "gap": coming["gap"].to_numpy(np.float64),
            "last": coming["time"].isna().to_numpy(),
            "censored": last["horizon"].to_numpy(),
        }
        return pd.DataFrame(table)

    def tabulate_users(self, slates: dict[str, NDArray[Any]]) -> pd.DataFrame:
        """One row a user; see `CollectedLog`."""
        frame = pd.DataFrame({name: values for name, values in slates.items() if values.ndim == 1})
        frame["clicks"] = frame["choice"] >= 0
        grouped = frame.groupby("who", sort=True)  # everybody sees a slate
        last, sums = grouped[["after", "churned", "session"]].last(), grouped[["clicks", "minutes"]].sum()
        table = {
            "user": self._ids,
            "profile": describe_profiles(self._world, self._ids),
            "days": np.minimum(last["after"], self._world.scenario.params.horizon_days).to_numpy(),
            "churned": last["churned"].to_numpy(),
            "sessions": last["session"].to_numpy(np.int32) + 1,
            "slates": grouped.size().to_numpy(np.int32),
            "clicks": sums["clicks"].to_numpy(np.int32),
            "minutes": sums["minutes"].to_numpy(),
        }
        return pd.DataFrame(table)

    def list_episodes(self) -> dict[str, NDArray[Any]]:
        """Whole transitions, one life after the other.

        Returns
        -------
        dict
            ``user`` (E,) and ``steps`` (E,) of each life; ``actions`` (n, K), ``rewards``, ``terminations`` and
            ``truncations`` (n,) of all its slates; ``observations/KEY`` (n + E, ·), in each life one more than slates.
            Nothing if no life was kept.
        """
        if self._episodes == 0:
            return {}
        who = np.concatenate([whose for whose, _ in self._observations])
        order = np.argsort(who, kind="stable")
        episodes = {
            f"observations/{key}": np.concatenate([seen[key] for _, seen in self._observations])[order]
            for key in self._observations[0][1]
        }
        steps = _sort_by_user(self._transitions)
        episodes |= {
            "user": self._ids[: self._episodes],
            "steps": np.bincount(steps.pop("who"), minlength=self._episodes),
        }
        return episodes | steps


def _sort_by_user(tables: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Columns of all tables, by ``who`` and then in the order given."""
    columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    order = np.argsort(columns["who"], kind="stable")
    return {name: values[order] for name, values in columns.items()}


def write_collected(collected: CollectedLog, folder: Path) -> None:
    """Keep what was logged of some users, whole or not at all."""
    with filling(folder.with_name(folder.name + ".tmp")) as temporary:
        for name in TABLES:
            getattr(collected, name).to_parquet(temporary / f"{name}.parquet", index=False)
        if collected.episodes:
            arrays = {name: np.ascontiguousarray(values) for name, values in collected.episodes.items()}
            save_file(arrays, temporary / "episodes.safetensors")
        temporary.replace(folder)


def read_episodes(folder: Path) -> dict[str, NDArray[Any]]:
    """Whole transitions that `write_part` kept; nothing if there are none."""
    file = folder / "episodes.safetensors"
    return load_file(file) if file.exists() else {}


def join_tables(parts: Sequence[Path], folder: Path) -> None:
    """One file of each table from those of the parts; of each file the whole or nothing."""
    for name in TABLES:
        target = folder / f"{name}.parquet"
        schema = pq.read_schema(parts[0] / target.name)
        with replacing(target) as temporary, pq.ParquetWriter(temporary, schema) as writer:
            for part in parts:
                writer.write_table(pq.read_table(part / target.name))

"""Logs to learn from and to evaluate by: whole transitions, with the probabilities of the slates where they are known.

The transitions are a Minari dataset (`longplay.agents.logs.minari`); ``propensities.safetensors`` beside it holds the
log-probability of each slot's item given the slots above, row by row as in the dataset.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from ...envs.engine import Observation
from ...envs.shared.files import write_whole
from ...envs.users.world import World
from ..base import Agent
from ..logs.collect import Recorder, make_env
from ..logs.minari import read_minari, write_minari
from ..logs.propensities import PlackettLuce
from ..playing.steps import follow_users
from ..setting import Setting

Floats = NDArray[np.float64]

MINARI = "minari"
PROPENSITIES = "propensities.safetensors"
CHUNK = 500  # users who play together


@dataclass(frozen=True, eq=False)
class Log:
    """Transitions of E users, one life after the other, n slates in all.

    Attributes
    ----------
    observations
        (n + E, ·): in each life one more than slates.
    slates
        (n, K) item numbers.
    minutes
        (n,) reward.
    churned, cut
        (n,) bool: the user left for good with this slate; the horizon, or the end of the log, came after it.
    user, steps
        (E,) ids, and slates of each life.
    log_propensities
        (n, K) log-probability of each slot's item given the slots above; ``None`` where the policy has none.
    """

    observations: Observation
    slates: NDArray[np.int64]
    minutes: Floats
    churned: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    user: NDArray[np.int64]
    steps: NDArray[np.int64]
    log_propensities: Floats | None = None

    @cached_property
    def before(self) -> NDArray[np.int64]:
        """(n,) row of the observation that each slate answers; the next row is what followed."""
        return np.arange(len(self.slates)) + np.repeat(np.arange(len(self.steps)), self.steps)

    def at(self, rows: NDArray[np.int64]) -> Observation:
        """Rows of the observations."""
        return {name: values[rows] for name, values in self.observations.items()}

    @cached_property
    def choice(self) -> NDArray[np.int64]:
        """(n,) slot that was consumed, −1 for none."""
        response = self.observations["slate_response"][self.before + 1]
        return np.where(response.max(axis=1) > 0, response.argmax(axis=1), -1)

    def panel(self, slates: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(E, T) transition of each user's first T slates, and whether there is one (else 0)."""
        first = np.cumsum(self.steps) - self.steps
        alive = np.arange(slates) < self.steps[:, None]
        return np.where(alive, first[:, None] + np.arange(slates), 0), alive


def join_logs(parts: Sequence[Log]) -> Log:
    """Logs of different users as one."""
    propensities = [part.log_propensities for part in parts]
    names = ("slates", "minutes", "churned", "cut", "user", "steps")
    return Log(
        {key: np.concatenate([part.observations[key] for part in parts]) for key in parts[0].observations},
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names},
        log_propensities=np.concatenate([p for p in propensities if p is not None])
        if propensities[0] is not None
        else None,
    )


def make_log(episodes: Mapping[str, NDArray[Any]], log_propensities: Floats | None = None) -> Log:
    """A log of what `collect.Recorder.episodes` gives."""
    return Log(
        {name.removeprefix("observations/"): v for name, v in episodes.items() if name.startswith("observations/")},
        episodes["actions"],
        episodes["rewards"],
        episodes["terminations"],
        episodes["truncations"],
        episodes["user"],
        episodes["steps"],
        log_propensities,
    )


def log_lives(
    world: World,
    item_vectors: NDArray[np.float32],
    policy: Agent,
    users: NDArray[np.int64],
    luck: int = 0,
    slates: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Log:
    """Play some users under a policy over candidates, and keep their transitions.

    Parameters
    ----------
    policy
        Of a `PlackettLuce` the probabilities are kept too.
    users
        Ids of people of the world.
    slates
        Of each user at most so many, the first; by default the whole life.
    progress
        Called with the share of users who are done.
    """
    if slates is not None and slates < 1:
        raise ValueError(f"slates = {slates} must be at least 1")
    parts = []
    for start in range(0, len(users), CHUNK):
        ids = np.asarray(users[start : start + CHUNK], np.int64)
        recorder = Recorder(world, ids, len(ids))
        for number, step in enumerate(follow_users(make_env(world, len(ids), item_vectors), policy, ids, luck), 1):
            last = number == slates
            recorder.add(replace(step, horizon=step.active & ~step.churned) if last else step)
            if last:
                break
        log = make_log(recorder.list_episodes())
        if isinstance(policy, PlackettLuce):
            log = replace(log, log_propensities=policy.log_propensities(log.at(log.before), log.slates))
        parts.append(log)
        if progress is not None:
            progress(min(start + CHUNK, len(users)) / len(users))
    return join_logs(parts)


def write_log(folder: Path, log: Log, setting: Setting, policy: str, luck: int) -> None:
    """Keep a log as a Minari dataset in ``folder/minari``, and its propensities beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    episodes: dict[str, NDArray[Any]] = {f"observations/{name}": v for name, v in log.observations.items()}
    episodes |= {"actions": log.slates, "rewards": log.minutes, "terminations": log.churned, "truncations": log.cut}
    episodes |= {"user": log.user, "steps": log.steps}
    env = make_env(setting.world, 1, setting.item_vectors)
    write_minari(folder / MINARI, [episodes], env, setting, policy, luck)
    if log.log_propensities is not None:
        write_whole(folder / PROPENSITIES, save({"log_propensities": np.ascontiguousarray(log.log_propensities)}))


def read_logged_setting(folder: Path) -> tuple[Setting, dict[str, Any]]:
    """What was logged where, and the rest of the configuration, by ``scripts/offline.py`` or ``scripts/collect.py``.

    Raises
    ------
    ValueError
        If the folder is no log.
    """
    files = [file for file in (folder / "config.json", folder / "study.json") if file.is_file()]
    content = json.loads(files[0].read_text(encoding="utf-8")) if files else {}
    if "setting" not in content:
        raise ValueError(f"{folder} is no log; write one with scripts/offline.py log, or with scripts/collect.py")
    drawn = content.get("items") is not None  # by collect: their world is built from them
    setting = Setting(**content["setting"])
    return setting.with_table(folder / "items.parquet") if drawn else setting, content


def read_log(folder: Path) -> Log:
    """A log that `write_log` wrote, or ``scripts/collect.py`` with a policy over candidates.

    Raises
    ------
    ValueError
        If there is none, it has no candidates, or its propensities are of another log.
    """
    dataset = read_minari(folder / MINARI)
    if "candidates" not in dataset.observation_space.spaces:
        raise ValueError(f"{folder} has no candidates; collect with a policy other than 'random'")
    episodes = list(dataset.iterate_episodes())
    users = [int(about["options"]["user"]) for about in dataset.storage.get_episode_metadata(range(len(episodes)))]
    slates = np.concatenate([episode.actions for episode in episodes]).astype(np.int64)
    file = folder / PROPENSITIES
    propensities = load_file(file)["log_propensities"] if file.exists() else None
    if propensities is not None and propensities.shape != slates.shape:
        raise ValueError(f"{file} is of shape {propensities.shape}, the slates are {slates.shape}; log again")

    def join(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(episode, name) for episode in episodes])

    return Log(
        {key: np.concatenate([episode.observations[key] for episode in episodes]) for key in episodes[0].observations},
        slates,
        join("rewards"),
        join("terminations"),
        join("truncations"),
        np.array(users, np.int64),
        np.array([len(episode.rewards) for episode in episodes], np.int64),
        propensities,
    )

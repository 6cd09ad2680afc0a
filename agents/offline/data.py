"""Logs to learn from and to evaluate by: whole transitions, with the probabilities of the slates where they are known.

The transitions are a Minari dataset (`longplay.agents.logs.minari`); ``propensities.safetensors`` beside it holds the
log-probability of each slot's item given the slots above, row by row as in the dataset.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save
from torch import Tensor

from ...envs.candidates.scoring import Scorer
from ...envs.engine import Observation
from ...envs.shared.files import write_whole
from ...envs.users.world import World
from ..base import Agent
from ..logs.collect import Recorder, make_env
from ..logs.minari import read_minari, write_minari
from ..logs.propensities import PlackettLuce, draw_columns, find_columns
from ..playing.steps import follow_users
from ..runs.config import Setting
from ..sb3.agents import REWARD_SCALE
from ..slates.inputs import Inputs, SlateInputs
from .estimators import (
    Estimate,
    estimate_by_model,
    estimate_by_slots,
    estimate_by_weights,
    estimate_doubly_robust,
    estimate_doubly_robust_steps,
    estimate_normalised,
    estimate_per_decision,
    fit_q,
    measure_sample_size,
    weigh_independent_slots,
)

Floats = NDArray[np.float64]

MINARI = "minari"
PROPENSITIES = "propensities.safetensors"
CHUNK = 500  # users who play together, and rows whose slates are drawn together
DRAWS = 8  # slates of the target policy whose mean stands for its expectation in the model


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
    known = [part.log_propensities for part in parts]
    names = ("slates", "minutes", "churned", "cut", "user", "steps")
    return Log(
        {key: np.concatenate([part.observations[key] for part in parts]) for key in parts[0].observations},
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names},
        log_propensities=np.concatenate([p for p in known if p is not None]) if known[0] is not None else None,
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
        log = make_log(recorder.episodes())
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
    return Setting(**content["setting"] | ({"catalog": str(folder / "items.parquet")} if drawn else {})), content


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
    found = list(dataset.iterate_episodes())
    users = [int(about["options"]["user"]) for about in dataset.storage.get_episode_metadata(range(len(found)))]
    slates = np.concatenate([episode.actions for episode in found]).astype(np.int64)
    file = folder / PROPENSITIES
    known = load_file(file)["log_propensities"] if file.exists() else None
    if known is not None and known.shape != slates.shape:
        raise ValueError(f"{file} is of shape {known.shape}, the slates are {slates.shape}; log again")

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(episode, name) for episode in found])

    return Log(
        {key: np.concatenate([episode.observations[key] for episode in found]) for key in found[0].observations},
        slates,
        joined("rewards"),
        joined("terminations"),
        joined("truncations"),
        np.array(users, np.int64),
        np.array([len(episode.rewards) for episode in found], np.int64),
        known,
    )


class Batch(NamedTuple):
    """Transitions as tensors."""

    now: tuple[Tensor, Tensor, Tensor]  # state (B, S), items (B, M, F), ids (B, M)
    columns: Tensor  # (B, K) columns shown, −1 for an empty slot
    choice: Tensor  # (B,) slot, −1 for none
    reward: Tensor  # (B,) scaled minutes
    discount: Tensor  # (B,) γ, or 0 after the last slate
    then: tuple[Tensor, Tensor, Tensor]


class Transitions:
    """A log as tensors: about 13 kB a slate with 256 candidates.

    Parameters
    ----------
    log
        What to learn from.
    inputs
        From observations to what networks read.
    """

    def __init__(self, log: Log, inputs: SlateInputs) -> None:
        count = len(log.observations["context"])
        for start in range(0, count, CHUNK):
            piece = slice(start, min(start + CHUNK, count))
            part = inputs({name: values[piece] for name, values in log.observations.items()})
            if start == 0:  # as one piece of memory: parts to be joined would need it twice
                self.inputs = Inputs(*(np.empty((count, *x.shape[1:]), x.dtype) for x in _arrays(part)))
            for whole, x in zip(_arrays(self.inputs), _arrays(part), strict=True):
                whole[piece] = x
        self._tensors = tuple(torch.from_numpy(x) for x in _arrays(self.inputs))
        self._before = torch.from_numpy(log.before)
        pieces = np.array_split(np.arange(len(log.slates)), len(log.slates) // CHUNK + 1)
        columns = [find_columns(self.inputs.ids[log.before[rows]], log.slates[rows]) for rows in pieces]
        self._columns = torch.from_numpy(np.concatenate(columns))
        self._choice = torch.from_numpy(log.choice)
        self._reward = torch.from_numpy((REWARD_SCALE * log.minutes).astype(np.float32))
        self._goes_on = torch.from_numpy(~log.churned).float()

    def __len__(self) -> int:
        return len(self._reward)

    def batch(self, rows: Tensor, gamma: float) -> Batch:
        """Some transitions."""
        at = self._before[rows]
        now, then = ((s[r], x[r], i[r]) for r in (at, at + 1) for s, x, i in (self._tensors,))
        return Batch(
            now, self._columns[rows], self._choice[rows], self._reward[rows], gamma * self._goes_on[rows], then
        )


def _arrays(inputs: Inputs) -> tuple[NDArray[Any], ...]:
    return inputs.state, inputs.items, inputs.ids


def play_first_slates(
    world: World,
    item_vectors: NDArray[np.float32],
    policy: Agent,
    users: NDArray[np.int64],
    luck: int,
    horizons: Sequence[int],
) -> Floats:
    """(U, len(horizons)) minutes of each user's first T slates under a policy, for each T: the truth by simulation."""
    parts = []
    for start in range(0, len(users), CHUNK):
        ids = np.asarray(users[start : start + CHUNK], np.int64)
        sums = np.zeros((len(ids), max(horizons)))
        for number, step in enumerate(follow_users(make_env(world, len(ids), item_vectors), policy, ids, luck)):
            sums[step.active, number] = step.reward[step.active]
            if number + 1 == max(horizons):
                break
        parts.append(np.cumsum(sums, axis=1)[:, [t - 1 for t in horizons]])
    return np.concatenate(parts)


class Evaluation:
    """What a log says about a target policy that chooses among the same candidates.

    Parameters
    ----------
    log
        With propensities.
    logger, target
        μ and π.
    scorer
        For the features of the model.
    slates
        T, of each user; the first.
    """

    def __init__(self, log: Log, logger: PlackettLuce, target: PlackettLuce, scorer: Scorer, slates: int) -> None:
        if log.log_propensities is None:
            raise ValueError("the log has no propensities; log with a Plackett–Luce policy")
        rows, self.alive = log.panel(slates)
        used = np.unique(rows[self.alive])
        place = np.searchsorted(used, rows)
        observation, shown = log.at(log.before[used]), log.slates[used]
        ratio = target.log_propensities(observation, shown) - log.log_propensities[used]
        self.slot_ratio = np.exp(
            np.where(self.alive[:, :, None], ratio[place], 0.0)
        )  # (U, T, K), given the slots above
        self.reward = np.where(self.alive, log.minutes[rows], 0.0)
        start = rows[:, 0]
        first, slates_first = log.at(log.before[start]), log.slates[start]
        self.marginal_ratio = target.marginals(first, slates_first) / logger.marginals(first, slates_first)
        chosen = np.arange(shown.shape[1]) == log.choice[start][:, None]
        self.slot_reward = np.where(chosen, self.reward[:, :1], 0.0)
        features, expected = describe_slates(scorer, observation, shown, target)
        self.features, self.expected = features[place], expected[place]

    def estimates(self, slates: int) -> dict[str, tuple[Estimate, float]]:
        """Estimates of the minutes of the first `slates`, by name, each with the effective sample size of its weights.

        NaN where there are none. For a single slate also the estimators that look into it.
        """
        reward, ratio = self.reward[:, :slates], self.slot_ratio[:, :slates].prod(axis=2)
        q, v = fit_q(self.features[:, :slates], self.expected[:, :slates], reward, self.alive[:, :slates])
        size = measure_sample_size(ratio.prod(axis=1))
        if slates > 1:
            return {
                "per-decision IPS": (estimate_per_decision(reward, ratio), size),
                "per-decision, normalised": (estimate_per_decision(reward, ratio, normalised=True), size),
                "doubly robust": (estimate_doubly_robust_steps(reward, ratio, q, v), size),
                "direct (fitted Q)": (estimate_by_model(v[:, 0]), float("nan")),
            }
        r, w, slots = reward[:, 0], ratio[:, 0], self.slot_ratio[:, 0]
        pseudo = weigh_independent_slots(self.marginal_ratio)
        few = measure_sample_size(pseudo)
        each = float(np.mean([measure_sample_size(column) for column in self.marginal_ratio.T]))
        return {
            "IPS": (estimate_by_weights(r, w), size),
            "SNIPS": (estimate_normalised(r, w), size),
            "reward interaction": (estimate_per_decision(self.slot_reward, slots, normalised=True), size),
            "independent slots": (estimate_by_slots(self.slot_reward, self.marginal_ratio), each),
            "pseudo-inverse": (estimate_by_weights(r, pseudo), few),
            "doubly robust": (estimate_doubly_robust(r, w, q[:, 0], v[:, 0]), size),
            "DR, pseudo-inverse": (estimate_doubly_robust(r, pseudo, q[:, 0], v[:, 0]), few),
            "direct (ridge)": (estimate_by_model(v[:, 0]), float("nan")),
        }


def describe_slates(
    scorer: Scorer, observation: Observation, slates: NDArray[np.int64], target: PlackettLuce
) -> tuple[Floats, Floats]:
    """(n, P) features of what was shown, and their mean over slates drawn from the target policy."""
    found, expected = [], []
    for start in range(0, len(slates), CHUNK):
        part = {name: values[start : start + CHUNK] for name, values in observation.items()}
        features, logits = scorer.features(part).astype(np.float64), target.logits(part)
        found.append(_slate_features(features, part, find_columns(part["candidates"], slates[start : start + CHUNK])))
        rng = np.random.default_rng([target.seed, start])
        drawn = [draw_columns(logits, rng.gumbel(size=logits.shape), target.slots) for _ in range(DRAWS)]
        expected.append(np.mean([_slate_features(features, part, columns) for columns in drawn], axis=0))
    return np.concatenate(found), np.concatenate(expected)


def _slate_features(features: Floats, observation: Observation, columns: NDArray[np.int64]) -> Floats:
    """Context, mean candidate, mean of the slate, and its mean with weights that fall along the slots."""
    shown = np.take_along_axis(features, np.maximum(columns, 0)[:, :, None], axis=1) * (columns >= 0)[:, :, None]
    falling = 1.0 / np.log2(np.arange(columns.shape[1]) + 2.0)
    context = observation["context"].astype(np.float64)
    parts = (np.sign(context) * np.log1p(np.abs(context)), features.mean(axis=1), shown.mean(axis=1))
    return np.concatenate([*parts, (shown * falling[:, None]).sum(axis=1) / falling.sum()], axis=1)

"""What a log says about another policy than the one that was logged, and what simulation says."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...envs.candidates.scoring import Scorer
from ...envs.engine import Observation
from ...envs.users.world import World
from ..base import Agent
from ..logs.collect import make_env
from ..logs.propensities import PlackettLuce, draw_columns, find_columns
from ..playing.steps import follow_users
from .data import Log
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

CHUNK = 500  # users who play together, and rows whose slates are drawn together
DRAWS = 8  # slates of the target policy whose mean stands for its expectation in the model


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
        Log with propensities.
    logger, target
        Policies μ, which was logged, and π, which is asked about.
    scorer
        Scorer whose features the model reads.
    slates
        Number T of slates of each user, the first.
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
        self.marginal_ratio = target.compute_marginals(first, slates_first) / logger.compute_marginals(
            first, slates_first
        )
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
        found.append(_summarise_slates(features, part, find_columns(part["candidates"], slates[start : start + CHUNK])))
        rng = np.random.default_rng([target.seed, start])
        drawn = [draw_columns(logits, rng.gumbel(size=logits.shape), target.slots) for _ in range(DRAWS)]
        expected.append(np.mean([_summarise_slates(features, part, columns) for columns in drawn], axis=0))
    return np.concatenate(found), np.concatenate(expected)


def _summarise_slates(features: Floats, observation: Observation, columns: NDArray[np.int64]) -> Floats:
    """Context, mean candidate, mean of the slate, and its mean with weights that fall along the slots."""
    shown = np.take_along_axis(features, np.maximum(columns, 0)[:, :, None], axis=1) * (columns >= 0)[:, :, None]
    falling = 1.0 / np.log2(np.arange(columns.shape[1]) + 2.0)
    context = observation["context"].astype(np.float64)
    parts = (np.sign(context) * np.log1p(np.abs(context)), features.mean(axis=1), shown.mean(axis=1))
    return np.concatenate([*parts, (shown * falling[:, None]).sum(axis=1) / falling.sum()], axis=1)

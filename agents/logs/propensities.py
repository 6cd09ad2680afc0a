"""Slates drawn by known probabilities: Plackett–Luce over the candidates.

A slate is drawn slot by slot, each time in proportion to ``exp(score)`` among the candidates left (Luce, 1959;
Plackett, 1975). Letters: B users, M candidates, K slots, ``s`` (B, M) scores, −inf for no candidate; columns (B, K) say
which candidate stands in a slot, −1 for an empty one.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...envs.candidates.scoring import Scorer
from ...envs.engine import Observation
from ...envs.shared.compiled import loop
from ...envs.shared.names import one_of
from ..slates.history import count_in_history
from ..slates.plackett_luce import slot_log_probabilities

Floats = NDArray[np.float64]
Scores = Callable[[Observation], NDArray[np.floating]]

LAST = 50.0  # taken off the logit of an item of the history: a chance of e^−50 to stand above a fresh one
STEP, EARLIEST, LATEST = 0.25, 1e-7, 40.0  # of the quadrature in `slot_marginals`: errors below 1e-6
CHUNK = 2000  # rows at a time, to bound memory


def draw_columns(scores: Floats, noise: Floats, slots: int) -> NDArray[np.int64]:
    """Columns (B, K) of a Plackett–Luce slate: the largest ``s + Gumbel noise`` (Yellott, 1977)."""
    noisy = -(scores + noise)
    if slots < noisy.shape[1]:
        best = np.argpartition(noisy, slots, axis=1)[:, :slots]
    else:
        best = np.broadcast_to(np.arange(noisy.shape[1]), noisy.shape)
    value = np.take_along_axis(noisy, best, axis=1)
    order = np.argsort(value, axis=1)
    columns = np.where(np.isfinite(value), best, -1)
    columns = np.take_along_axis(columns, order, axis=1).astype(np.int64)
    return np.pad(columns, ((0, 0), (0, slots - columns.shape[1])), constant_values=-1)


def integrate_marginals(scores: Floats, columns: NDArray[np.int64]) -> Floats:
    """(B, K) probability that each slot's item stands in that slot, whatever the other slots hold.

    Items arrive after exponential times with rates ``w ∝ exp(s)`` in the order of a Plackett–Luce slate, so item i is
    in slot k if k of the others came before it: ``∫ w_i e^{−w_i t} P(k of the others before t) dt``, the count being
    Poisson-binomial. The trapezoidal rule in log t converges geometrically. An empty slot has 1.
    """
    weight = np.exp(scores - scores.max(axis=1, keepdims=True))
    out = np.ones(columns.shape)
    weight /= weight.sum(axis=1, keepdims=True)
    # By LATEST / w_(K) the K heaviest items have come, so nothing later takes one of the K slots.
    heaviest = -np.sort(-weight, axis=1)[:, : columns.shape[1]]
    end = LATEST / np.where(heaviest > 0, heaviest, np.inf).min(axis=1)
    _marginals_all(weight, columns, end, out)
    return out


@loop
def _marginals_all(weight: np.ndarray, columns: np.ndarray, end: np.ndarray, out: np.ndarray) -> None:
    count, slots = weight.shape[1], columns.shape[1]
    others, own = np.zeros(slots), np.zeros(slots)
    shown = np.zeros(count, np.bool_)
    for b in range(len(weight)):
        shown[:] = False
        for k in range(slots):
            if columns[b, k] >= 0:
                shown[columns[b, k]] = True
                out[b, k] = 0.0
        for n in range(int(np.log(end[b] / EARLIEST) / STEP) + 1):
            time = EARLIEST * np.exp(STEP * n)
            others[:] = 0.0
            others[0] = 1.0
            for m in range(count):
                if not shown[m] and weight[b, m] > 0.0:
                    _one_more(others, -np.expm1(-weight[b, m] * time))
            for k in range(slots):
                item = columns[b, k]
                if item >= 0:
                    own[:] = others
                    for j in range(slots):
                        if j != k and columns[b, j] >= 0:
                            _one_more(own, -np.expm1(-weight[b, columns[b, j]] * time))
                    rate = weight[b, item] * time
                    out[b, k] += STEP * rate * np.exp(-rate) * own[k]


@loop
def _one_more(counts: np.ndarray, chance: float) -> None:
    """Distribution of a count, cut off above, after one more event of this chance."""
    for c in range(len(counts) - 1, 0, -1):
        counts[c] += chance * (counts[c - 1] - counts[c])
    counts[0] *= 1.0 - chance


def draw_gumbel(observation: Observation, items: NDArray[Any], seed: int) -> Floats:
    """Standard Gumbel noise for the items (B, ·) by number, a function of the seed, what is visible and the item."""
    visible = zip(observation["context"], observation["history_ids"], strict=True)
    keys = [zlib.crc32(history.tobytes(), zlib.crc32(context.tobytes(), seed)) for context, history in visible]
    x = (np.array(keys, np.uint64) << np.uint64(24))[:, None] + items.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # SplitMix64 (Steele et al., 2014)
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    unit = ((x ^ (x >> np.uint64(31))) >> np.uint64(12)).astype(np.float64) + 0.5
    return np.asarray(-np.log(-np.log(unit / 2.0**52)))


def make_weighted_score(scorer: Scorer, weights: Mapping[str, float]) -> Scores:
    """The scoring rule ``Σ_f w_f z_f`` over scoring features standardised over the user's candidates.

    Parameters
    ----------
    weights
        By names of the scorer's own features; 0 for those not named.
    """
    for name, weight in weights.items():
        one_of("weights", name, scorer.own)
        if not np.isfinite(weight):
            raise ValueError(f"weights[{name!r}] = {weight!r} must be a finite number")
    vector = np.array([weights.get(name, 0.0) for name in scorer.own])

    def score(observation: Observation) -> Floats:
        out = np.zeros(observation["candidates"].shape)
        _weigh_all(scorer.features(observation), observation["candidates"], vector, out)
        return out

    return score


@loop
def _weigh_all(features: np.ndarray, candidates: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    for b in range(len(features)):
        real = np.flatnonzero(candidates[b] > 0)
        for f in np.flatnonzero(weights):
            mean, square = 0.0, 0.0
            for m in real:
                mean += np.float64(features[b, m, f]) / len(real)
            for m in real:
                square += (features[b, m, f] - mean) ** 2 / len(real)
            spread = np.sqrt(square)
            if spread > 1e-6:
                for m in real:
                    out[b, m] += weights[f] * (features[b, m, f] - mean) / spread


@dataclass
class PlackettLuce:
    """A policy whose slates have known probabilities: ``exp(score / temperature)`` among the candidates left.

    The noise is a function of the seed and of what is visible, so a user's slates do not depend on who else is played.
    Items of the history lose `LAST` of their logit: they come last.

    Parameters
    ----------
    score
        Observations to (B, M) scores of the candidates.
    slots
        K.
    temperature
        Above 0; the lower, the closer to the best-scored slate.
    seed
        Of the noise.
    """

    score: Scores
    slots: int
    temperature: float = 1.0
    seed: int = 0
    name: str = "Plackett–Luce"
    privileged: bool = False

    def __post_init__(self) -> None:
        """Refuse a temperature that gives no probabilities."""
        if not (np.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature = {self.temperature!r} must be above 0; near 0 is the best-scored slate")

    def logits(self, observation: Observation) -> Floats:
        """(B, M), −inf where there is no candidate."""
        ids = observation["candidates"]
        consumed = count_in_history(observation) > 0
        logits = np.asarray(self.score(observation), np.float64) / self.temperature - LAST * consumed
        return np.where(ids > 0, logits, -np.inf)

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Draw slates."""
        columns = draw_columns(
            self.logits(observation), draw_gumbel(observation, observation["candidates"], self.seed), self.slots
        )
        return show_columns(observation["candidates"], columns)

    def log_propensities(self, observation: Observation, slates: NDArray[np.int64]) -> Floats:
        """(B, K) log-probability of each slot's item given the slots above; their sum is that of the slate."""

        def some(rows: slice) -> Floats:
            part = {name: values[rows] for name, values in observation.items()}
            logits = torch.from_numpy(self.logits(part))
            found = slot_log_probabilities(logits, torch.from_numpy(find_columns(part["candidates"], slates[rows])))
            return np.asarray(found.numpy())

        return _in_chunks(some, len(slates))

    def compute_marginals(self, observation: Observation, slates: NDArray[np.int64]) -> Floats:
        """(B, K) probability that each slot holds its item; see `slot_marginals`."""

        def some(rows: slice) -> Floats:
            part = {name: values[rows] for name, values in observation.items()}
            return integrate_marginals(self.logits(part), find_columns(part["candidates"], slates[rows]))

        return _in_chunks(some, len(slates))


def _in_chunks(job: Callable[[slice], Floats], rows: int) -> Floats:
    return np.concatenate([job(slice(start, start + CHUNK)) for start in range(0, max(rows, 1), CHUNK)])


def show_columns(candidates: NDArray[np.floating], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """(B, K) item numbers of columns of the candidates (B, M), 0 for −1."""
    items = np.take_along_axis(candidates, np.maximum(columns, 0), axis=1)
    return np.where(columns >= 0, items, 0.0).astype(np.int64)


def find_columns(candidates: NDArray[Any], slates: NDArray[np.int64]) -> NDArray[np.int64]:
    """Columns (B, K) of item numbers among the candidates (B, M), −1 for an empty slot.

    Raises
    ------
    ValueError
        If an item is no candidate of its user: then no policy over candidates can have shown it.
    """
    same = slates[:, :, None] == candidates[:, None, :]
    lost = ~same.any(axis=2) & (slates > 0)
    if lost.any():
        row, slot = np.argwhere(lost)[0]
        raise ValueError(
            f"slates[{row}, {slot}] = {slates[row, slot]} is not among the user's candidates; log a policy over "
            "candidates to know its probabilities"
        )
    return np.where(slates > 0, same.argmax(axis=2), -1).astype(np.int64)

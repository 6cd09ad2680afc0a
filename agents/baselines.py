"""Rules that need no training by reinforcement: the baselines that a learned policy has to beat."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from ..encoders.base import Encoder
from ..envs.engine import Observation
from ..envs.scoring import FEATURES, Scorer
from ..envs.world import World


def _uncapped(
    scorer: Scorer, observation: Observation, scores: NDArray[np.floating], cap: int = 0
) -> NDArray[np.int64]:
    """Slates of the best-scored candidates, at most `cap` per main topic (0: no cap)."""
    none = np.zeros(len(scores), np.float32)
    return scorer.fill(observation, scores.astype(np.float32), none, cap=cap or scorer.slots)


def _generators(observation: Observation) -> Iterator[np.random.Generator]:
    """One generator a user, seeded by what is visible, so that a random rule does not depend on the batch."""
    for row, context in zip(observation["candidates"], observation["context"], strict=True):
        yield np.random.default_rng(zlib.crc32(context.tobytes(), zlib.crc32(row.tobytes())))


@dataclass
class RandomSlate:
    """Items of the whole catalogue drawn at random, anew for each slate."""

    world: World
    name: str = "random"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Draw without repeats."""
        items, slots = len(self.world.catalog), self.world.scenario.shape.slate
        return np.stack([1 + rng.choice(items, slots, replace=False) for rng in _generators(observation)])


@dataclass
class RandomCandidates:
    """Candidates drawn at random, anew for each slate."""

    scorer: Scorer
    name: str = "random candidates"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Random scores."""
        count = observation["candidates"].shape[1]
        scores = np.stack([rng.random(count, dtype=np.float32) for rng in _generators(observation)])
        return _uncapped(self.scorer, observation, scores)


@dataclass
class Popularity:
    """The candidates that are talked about most."""

    scorer: Scorer
    name: str = "popularity"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Score by popularity."""
        return _uncapped(self.scorer, observation, _column(self.scorer, observation, "popularity"))


@dataclass
class GreedySimilarity:
    """The candidates whose text vectors have the largest cosine with the pooled history: greedy similarity."""

    scorer: Scorer
    name: str = "greedy similarity"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Score by similarity."""
        return _uncapped(self.scorer, observation, _column(self.scorer, observation, "similarity"))


@dataclass
class GreedyEncoder:
    """The candidates that go best with the history by an encoder's own scores."""

    scorer: Scorer
    encoder: Encoder
    name: str
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Score by the encoder."""
        scores = self.encoder.score(observation)
        scores[:, 0] = scores[:, 1:].min(axis=1)  # where there are too few candidates
        candidates = observation["candidates"].astype(np.int64)
        return _uncapped(self.scorer, observation, np.take_along_axis(scores, candidates, axis=1))


def _column(scorer: Scorer, observation: Observation, feature: str) -> NDArray[np.float32]:
    return scorer.features(observation)[:, :, FEATURES.index(feature)]


@dataclass
class PredictedMinutes:
    """Greedy on predicted minutes: gradient boosting of dwell on the scoring features, fitted on logged steps."""

    scorer: Scorer
    model: HistGradientBoostingRegressor
    name: str = "greedy minutes"
    privileged: bool = False

    def score(self, observation: Observation) -> NDArray[np.float32]:
        """Predicted minutes (B, M) of each candidate in the first slot."""
        features = self.scorer.features(observation)
        flat = np.concatenate([features.reshape(-1, len(FEATURES)), np.zeros((features[..., 0].size, 1))], axis=1)
        predicted: NDArray[np.float64] = self.model.predict(flat)
        return predicted.reshape(features.shape[:2]).astype(np.float32)

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Score by predicted minutes."""
        return _uncapped(self.scorer, observation, self.score(observation))


def fit_minutes(scorer: Scorer, env: Any, steps: int, seed: int = 0) -> PredictedMinutes:
    """Log slates chosen by random weights on training users, and fit minutes on features and slot.

    Random weights (new ones for every slate) show every region of the feature space, which no single rule does.

    Parameters
    ----------
    env
        A vector environment with candidates and the action ``"items"``, in autoreset mode SAME_STEP.
    steps
        Steps of the vector environment to log.
    """
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    inputs, targets = [], []
    for _ in range(steps):
        weights = rng.uniform(-1, 1, (env.num_envs, len(FEATURES) + 1))
        slates = scorer.weighted(observation, weights)
        features = scorer.features(observation)
        place = (observation["candidates"][:, None, :] == slates[:, :, None]).argmax(axis=2)
        shown = np.take_along_axis(features, place[:, :, None], axis=1)
        observation, reward, _, _, info = env.step(slates)
        # Where an episode ended the chosen slot is in the final info; the reward is the ended episode's anyway.
        choice = info["choice"].copy()
        if "final_info" in info:
            choice = np.where(info["_final_info"], info["final_info"]["choice"], choice)
        minutes = np.where(np.arange(scorer.slots) == choice[:, None], reward[:, None], 0.0)
        slot = np.broadcast_to(np.arange(scorer.slots), minutes.shape)
        inputs.append(np.concatenate([shown, slot[:, :, None]], axis=2).reshape(-1, len(FEATURES) + 1))
        targets.append(minutes.ravel())
    model = HistGradientBoostingRegressor(max_iter=100, max_leaf_nodes=15, min_samples_leaf=200, random_state=seed)
    model.fit(np.concatenate(inputs), np.concatenate(targets))
    return PredictedMinutes(scorer, model)


@dataclass
class MMR:
    """Maximal marginal relevance (Carbonell and Goldstein, 1998): ``λ·similarity − (1 − λ)·max similarity above``."""

    scorer: Scorer
    trade_off: float
    name: str = "MMR"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Fill slot by slot."""
        similarity = _column(self.scorer, observation, "similarity")
        out = np.zeros((len(similarity), self.scorer.slots), np.int64)
        _mmr(
            self.scorer.vectors,
            observation["candidates"],
            observation["history_ids"],
            similarity,
            np.float32(self.trade_off),
            out,
        )
        return out


@njit(nogil=True, fastmath=True)
def _mmr(
    vectors: np.ndarray,
    candidates: np.ndarray,
    history: np.ndarray,
    similarity: np.ndarray,
    trade_off: float,
    out: np.ndarray,
) -> None:
    count = candidates.shape[1]
    nearest = np.zeros(count, np.float32)
    usable = np.zeros(count, np.bool_)
    handicap = np.zeros(count, np.float32)  # more than any two values differ by: items of the history come last
    for b in range(len(candidates)):
        nearest[:] = np.float32(0.0)
        for m in range(count):
            usable[m] = candidates[b, m] > 0
            handicap[m] = np.float32(0.0)
            for h in range(history.shape[1]):
                if history[b, h] == candidates[b, m]:
                    handicap[m] = np.float32(8.0)
        for k in range(out.shape[1]):
            best = -1
            value = np.float32(-1e9)
            for m in range(count):
                mine = trade_off * similarity[b, m] - (np.float32(1.0) - trade_off) * nearest[m] - handicap[m]
                if usable[m] and mine > value:
                    best = m
                    value = mine
            if best < 0:
                break
            chosen = int(candidates[b, best])
            out[b, k] = chosen
            usable[best] = False
            for m in range(count):
                if usable[m]:
                    other = int(candidates[b, m])
                    cosine = np.float32(0.0)
                    for e in range(vectors.shape[1]):
                        cosine += vectors[chosen, e] * vectors[other, e]
                    nearest[m] = max(nearest[m], cosine)


@dataclass
class StaticCap:
    """At most `cap` items per main topic in a slate, best first by a scoring rule."""

    scorer: Scorer
    score: Callable[[Observation], NDArray[np.float32]]
    cap: int
    name: str = "static cap"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Fill under the cap."""
        return _uncapped(self.scorer, observation, self.score(observation), cap=self.cap)


def similarity_score(scorer: Scorer) -> Callable[[Observation], NDArray[np.float32]]:
    """The scoring rule of greedy similarity, for `StaticCap`."""
    return lambda observation: _column(scorer, observation, "similarity")


def best_of(agents: Sequence[Any], value: Callable[[Any], float]) -> tuple[Any, list[float]]:
    """The agent of highest value, and all values: how a rule's parameters are chosen on validation users."""
    values = [value(agent) for agent in agents]
    return agents[int(np.argmax(values))], values

"""Rules that spread a slate over topics: a static cap for each, or the user's topics in turn."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...envs.candidates.scoring import Scorer
from ...envs.engine import Observation
from ...envs.shared.options import Options, evenly, number, word
from ..registry import RULES, Rule
from ..slates.history import count_in_history
from .minutes import MINUTES, SCORES, SIMILARITY, choose_score, need_scores
from .ranking import LAST, Score, rank_candidates


@dataclass(frozen=True)
class CapOptions(Options):
    """Options of the static cap."""

    cap: int = number(2, 1, 10, search=evenly())
    """Items per main topic in a slate, at most."""
    on: str = word(MINUTES, *SCORES, search=True)
    """What scores the candidates: similarity, or predicted minutes ("minutes")."""


@dataclass
class StaticCap:
    """At most `cap` items per main topic in a slate (0: any), best first by a scoring rule."""

    scorer: Scorer
    score: Score
    cap: int
    name: str = "static cap"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Fill under the cap."""
        return rank_candidates(self.scorer, observation, self.score(observation), cap=self.cap)


@dataclass(frozen=True)
class RoundRobinOptions(Options):
    """Options of topics in turn."""

    topics: int = number(5, 1, 20, search=evenly())
    """Number of the user's topics that take turns."""
    on: str = word(SIMILARITY, *SCORES, search=True)
    """What scores the candidates: similarity, or predicted minutes ("minutes")."""


@dataclass
class RoundRobin:
    """The user's topics in turn, each time the best-scored item left whose main topic it is.

    The user's topics are those of the history, weighted by completion, and those named at sign-up, each of which counts
    as one item consumed whole; the `topics` heaviest take part, the heaviest first. When they have no item left, the
    best-scored of the others follow.
    """

    scorer: Scorer
    score: Score
    topics: int
    name: str = "round robin"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Fill in turn."""
        weights = weigh_topics(self.scorer, observation)
        scores = self.score(observation).astype(np.float64) - LAST * count_in_history(observation)
        out = np.zeros((len(weights), self.scorer.slots), np.int64)
        _take_turns(
            self.scorer.main_topic,
            observation["candidates"],
            scores,
            weights,
            np.argsort(-weights, axis=1, kind="stable")[:, : self.topics],
            out,
        )
        return out


def weigh_topics(scorer: Scorer, observation: Observation) -> NDArray[np.float64]:
    """Weights (B, G) of the topics of each user's history, by completion, and of those named at sign-up."""
    out = observation["profile"].astype(np.float64)
    _add_topics(scorer.topics, observation["history_ids"], observation["history_completion"].astype(np.float64), out)
    return out


@njit(nogil=True)
def _add_topics(topics: np.ndarray, history: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """Add the topics of each item of the history, times its weight (B, H)."""
    for b in range(len(history)):
        for h in range(history.shape[1]):
            item = int(history[b, h])
            if item > 0:
                for g in range(topics.shape[1]):
                    out[b, g] += weights[b, h] * topics[item, g]


@njit(nogil=True)
def _take_turns(
    main_topic: np.ndarray,
    candidates: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray,
    order: np.ndarray,
    out: np.ndarray,
) -> None:
    count, turns = candidates.shape[1], order.shape[1]
    left = np.zeros(count)
    for b in range(len(candidates)):
        for m in range(count):
            left[m] = scores[b, m] if candidates[b, m] > 0 else -np.inf
        k = 0
        turn = 0
        passed = 0  # topics in a row that had nothing left
        while k < out.shape[1]:
            topic = order[b, turn] if passed < turns else -1  # -1: whatever there is
            turn = (turn + 1) % turns
            if topic >= 0 and weights[b, topic] <= 0.0:
                passed += 1
                continue
            best = -1
            for m in range(count):
                fits = topic < 0 or (main_topic[int(candidates[b, m])] == topic and left[m] > -0.5 * LAST)
                if fits and left[m] > -np.inf and (best < 0 or left[m] > left[best]):
                    best = m
            if best < 0:
                if topic < 0:
                    break
                passed += 1
                continue
            passed = 0 if topic >= 0 else passed
            out[b, k] = int(candidates[b, best])
            left[best] = -np.inf
            k += 1


RULES.register(
    "static-cap",
    Rule(
        kind=StaticCap,
        title="static cap",
        about="greedy with at most so many items per main topic",
        build=lambda models, options: StaticCap(models.scorer, choose_score(models, options.on), options.cap),
        options=CapOptions,
        note="at most {cap} per topic on {on}",
        needs=need_scores,
    ),
)
RULES.register(
    "round-robin",
    Rule(
        kind=RoundRobin,
        title="round robin",
        about="the best item of each of the user's topics in turn",
        build=lambda models, options: RoundRobin(models.scorer, choose_score(models, options.on), options.topics),
        options=RoundRobinOptions,
        note="{topics} topics on {on}",
        needs=need_scores,
    ),
)

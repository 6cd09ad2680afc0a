"""What slate networks read: a state of the user and features of each candidate, from what is visible alone."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...encoders.base import Encoder
from ...encoders.state import StateEncoder
from ...envs.candidates.scoring import EXPOSURE_DAYS, FEATURES, Scorer
from ...envs.engine import ContextColumn, Observation
from .visible_rows import mark_repeated, sum_history

WINDOWS = (5, None)  # how many of the latest items are summed up, beside those of this session
MINUTES_A_DAY = 1440.0
NOVELTY = FEATURES.index("novelty") - 1  # among the visible attributes of items
HOURS_SPREAD = 2.0  # about the standard deviation of log(1 + hours)


@dataclass
class Inputs:
    """A batch of users and their candidates.

    Attributes
    ----------
    state
        (B, S) float32.
    items
        (B, M, F) float32; zeros where there is no candidate.
    ids
        (B, M) int64 item numbers, 0 for no candidate.
    """

    state: NDArray[np.float32]
    items: NDArray[np.float32]
    ids: NDArray[np.int64]


class UserStates(StateEncoder):
    """What agents know of a user: the history through an encoder, context, profile, and what the history amounts to.

    That is, of the items consumed in this session, of the last five and of all: the mean completion, popularity,
    rating, length and novelty (their date; where items age, how new they were when consumed); the topics consumed, and
    those consumed lately; how much of this session was consumed.
    Satisfaction, trust and satiation are hidden and follow from these, so a value that foresees leaving needs them,
    and a pooled text vector does not show them.

    Parameters
    ----------
    encoder
        Of the history.
    scorer
        For the visible attributes and topics of items; its scores count for the identity.
    """

    def __init__(self, encoder: Encoder, scorer: Scorer) -> None:
        topics = scorer.topics.shape[1]
        super().__init__(encoder, context_width=len(ContextColumn), profile_width=topics)
        self.width += (len(WINDOWS) + 1) * (1 + scorer.static.shape[1]) + 2 * topics + 2
        spread = scorer.static[1:].std(axis=0)
        self._described = (scorer.static - scorer.static[1:].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        self._topics = scorer.topics
        self._aging = getattr(scorer, "aging", False)
        self._static = scorer.static
        self._novelty = ["novelty in hours, of the history too"] if self._aging else []
        self._scores = [f"{name} {getattr(score, 'identity', '')}" for name, score in scorer.scores.items()]

    @property
    def identity(self) -> str:
        """Of the encoder, and of the fitted models whose scores are beside the states: a policy belongs to them."""
        return "|".join((super().identity, *self._novelty, *self._scores))

    def rest(self, observation: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Everything beside the encoded history: (B, ·) float32."""
        ids, completion, age, context = (
            observation[name] for name in ("history_ids", "history_completion", "history_age", "context")
        )
        count, topics = len(ids), self._topics.shape[1]
        aged = np.zeros((count, 0), np.float32)
        if self._aging:
            born = self._static[:, NOVELTY][ids.astype(np.int64)]
            hours = 24.0 * (context[:, ContextColumn.DAY, None] - age - born)
            aged = (-np.log1p(np.maximum(hours, 0.0)) / HOURS_SPREAD).astype(np.float32)
        session = (ids > 0) & (age * MINUTES_A_DAY < context[:, ContextColumn.SESSION_MINUTES, None])
        windows = np.array([n or ids.shape[1] for n in WINDOWS])
        means = np.empty((count, len(windows) + 1, self._described.shape[1] + 1), np.float32)
        sums = np.empty((count, 2, topics), np.float32)
        faded = np.exp(-age / np.float32(EXPOSURE_DAYS))
        tables = (self._described, aged, NOVELTY, self._topics)
        sum_history(ids, completion, faded, *tables, session, windows, means, sums)
        consumed = session.sum(axis=1, keepdims=True)
        counts = (consumed, consumed / np.maximum(context[:, ContextColumn.DEPTH, None], 1.0))
        parts = (super().rest(observation), means.reshape(count, -1), np.log1p(sums).reshape(count, -1))
        return np.concatenate([*parts, *map(np.log1p, counts)], axis=1, dtype=np.float32)


class SlateInputs:
    """Observations to `Inputs`.

    Parameters
    ----------
    scorer
        For the features of candidates.
    states
        Observations to states.
    """

    def __init__(self, scorer: Scorer, states: StateEncoder) -> None:
        self.scorer, self.states = scorer, states
        self.state_width = states.width
        self.item_features = (*scorer.names, "repeated")
        self.item_width = len(self.item_features)

    @property
    def identity(self) -> str:
        """Of the encoder and the features: a network trained on these inputs belongs to them."""
        return "|".join((self.states.identity, *self.item_features))

    def __call__(self, observation: Observation) -> Inputs:
        """Inputs for observations (B, ·) with ``candidates``; row b depends on row b alone."""
        features, history = self.scorer.features(observation), observation["history_ids"]
        items, ids = mark_repeated(features, observation["candidates"], history, len(self.scorer.static) - 1)
        return Inputs(self.states(observation), items, ids)

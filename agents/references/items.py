"""A reference that knows the items and nothing hidden of the user: how much of the oracles' lead is knowing people.

Appeal, substance, minutes and taste vectors of items are the true ones, and so are the constants of the user model. How
a user feels is what can be seen: their taste follows from what they consumed and named as favourites, satiation,
momentum and ignored impressions from the slates that the service remembers, and the rest is the median user's. With
this it solves for the best slate now, as the myopic oracle does with the truth.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs.engine import ContextColumn
from ...envs.users.constants import BY_SESSION, CASCADE
from ..registry import REFERENCES, Reference
from .oracles import MyopicOracle
from .traces import Traces

LASTS_DAYS = 30.0  # in which what was consumed says 1/e as much of a taste
COMPLETED = 0.5  # weight of an item that was opened, beside its completion
FAVOURITES = 1.0  # weight of the topics named at sign-up, in items consumed to the end
SURENESS = 0.5  # length of an estimated taste: the mean of what it could be lies inside the sphere


@dataclass
class ItemsOracle(MyopicOracle):
    """The slate with the most expected reward now by true items and what is visible of the user.

    Parameters
    ----------
    world, reward, whole
        As of `MyopicOracle`.
    """

    name: str = "items oracle"
    privileged: bool = False  # it is not shown what is hidden of the user

    def __post_init__(self) -> None:
        """Find the mean tastes of topics."""
        super().__post_init__()
        topics = self.world.topics[1:].astype(np.float64)
        total = np.maximum(topics.sum(axis=0), 1e-9)[:, None]
        self._centres = (topics.T @ self.world.items["taste"][1:].astype(np.float64)) / total
        self._centres /= np.maximum(np.linalg.norm(self._centres, axis=1, keepdims=True), 1e-9)

    def act(self, observation: Any) -> NDArray[np.int64]:
        """Solve for each user as they seem to be."""
        return super().act({**observation, "latent": self.estimate_state(observation)})

    def estimate_state(self, observation: Any) -> dict[str, NDArray[np.float64]]:
        """What the myopic oracle reads of hidden state, from what is visible."""
        p, count = self.world.scenario.params, len(observation["context"])
        return {
            "taste": self._estimate_taste(observation),
            "satiation": self._estimate_satiation(observation),
            "momentum": self._follow_momentum(observation),
            "sensitivity": np.full(count, p.satiation_sensitivity),
            "trust": np.full(count, p.trust_start),
        }

    def _estimate_taste(self, observation: Any) -> NDArray[np.float64]:
        """(B, D) mean of what was consumed, by completion and recency, and of the favourite topics."""
        ids = observation["history_ids"].astype(np.int64)
        weight = (ids > 0) * np.exp(-observation["history_age"].astype(np.float64) / LASTS_DAYS)
        weight *= COMPLETED + (1.0 - COMPLETED) * observation["history_completion"]
        taste = np.einsum("bh,bhd->bd", weight, self.world.items["taste"][ids].astype(np.float64))
        profile = observation["profile"].astype(np.float64)
        named = np.maximum(profile.sum(axis=1, keepdims=True), 1.0)
        taste += FAVOURITES * (profile / named) @ self._centres
        length = np.linalg.norm(taste, axis=1, keepdims=True)
        return np.asarray(SURENESS * taste / np.maximum(length, 1e-9))

    def _estimate_satiation(self, observation: Any) -> NDArray[np.float64]:
        """(B, G) of what was consumed, and a little of what else was shown, for the median user's recovery."""
        p, topics = self.world.scenario.params, self.world.topics.astype(np.float64)
        ids = observation["history_ids"].astype(np.int64)
        left = (ids > 0) * np.exp(-observation["history_age"].astype(np.float64) / p.satiation_recovery)
        satiation = np.einsum("bh,bhg->bg", left, topics[ids])
        if "shown_ids" in observation:
            shown, chosen = self._find_choices(observation)
            left = np.exp(-observation["shown_age"].astype(np.float64) / p.satiation_recovery)[:, :, None] * ~chosen
            if p.choice_model == CASCADE:  # below what was taken nothing was seen
                left = left * ((np.cumsum(chosen, axis=2) == 0) | ~chosen.any(axis=2, keepdims=True))
            satiation += p.satiation_seen * np.einsum("bjk,bjkg->bg", left, topics[shown])
        return np.asarray(satiation)

    def _follow_momentum(self, observation: Any) -> NDArray[np.float64]:
        """(B, G) of what was consumed in this session."""
        p, topics = self.world.scenario.params, self.world.topics.astype(np.float64)
        ids, age = observation["history_ids"].astype(np.int64), observation["history_age"]
        here = (ids > 0) & (age * 1440.0 < observation["context"][:, ContextColumn.SESSION_MINUTES, None])
        left = here * float(p.momentum_persistence) ** np.arange(ids.shape[1])  # 0**0 is 1: the last counts whole
        return np.asarray(np.einsum("bh,bhg->bg", left, topics[ids]))

    @staticmethod
    def _find_choices(observation: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Items (B, L, K) of the slates kept, and which of them were consumed then."""
        shown, when = observation["shown_ids"].astype(np.int64), observation["shown_age"]
        ids, age = observation["history_ids"].astype(np.int64), observation["history_age"]
        chosen = np.zeros(shown.shape, bool)
        for h in range(ids.shape[1]):
            then = np.isclose(when, age[:, h, None], rtol=0.0, atol=1e-4)
            chosen |= then[:, :, None] & (shown == ids[:, h, None, None]) & (shown > 0)
        return shown, chosen

    def _find_ignored(self, observation: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Items (B, L, K) of the slates kept, and how far each was examined and not consumed then, 0 to 1."""
        p, (shown, chosen) = self.world.scenario.params, self._find_choices(observation)
        examined = np.broadcast_to(p.position / p.position[0], shown.shape)
        if p.choice_model == CASCADE:  # who took something looked at all above it, and at nothing below
            above = np.cumsum(chosen, axis=2) == 0
            examined = np.where(chosen.any(axis=2, keepdims=True), above, examined)
        return shown, np.where(chosen | (shown == 0), 0.0, examined)

    def _weigh_slates(self, observation: Any) -> NDArray[np.float64]:
        """How much is left of (B, L) slates kept: faded by their age, or whole and of this session alone."""
        p, age = self.world.scenario.params, observation["shown_age"].astype(np.float64)
        if p.impression_fade == BY_SESSION:
            minutes = observation["context"][:, ContextColumn.SESSION_MINUTES, None]
            return np.asarray(age * 1440 < minutes, np.float64)
        return np.asarray(np.exp(-age / p.impression_recovery))

    def recall_traces(self, ids: NDArray[np.int64], observation: Any) -> Traces:
        """What the visible history and the slates kept left of (B, M) items."""
        p, count = self.world.scenario.params, len(self.world.catalog) + 1
        rows = np.arange(len(ids))[:, None]
        consumed, ignored = np.zeros((len(ids), count)), np.zeros((len(ids), count))
        history, age = observation["history_ids"].astype(np.int64), observation["history_age"].astype(np.float64)
        remembered = min(int(p.repeat_memory), history.shape[1]) if p.repeat_recovery == 0 else history.shape[1]
        left = np.exp(-age / p.repeat_recovery) if p.repeat_recovery > 0 else np.ones(history.shape)
        np.maximum.at(consumed, (rows, history[:, :remembered]), left[:, :remembered])
        if "shown_ids" in observation:
            shown, examined = self._find_ignored(observation)
            np.add.at(ignored, (rows[:, :, None], shown), self._weigh_slates(observation)[:, :, None] * examined)
        consumed[:, 0] = ignored[:, 0] = 0.0
        return Traces(np.take_along_axis(ignored, ids, axis=1), np.take_along_axis(consumed, ids, axis=1))


REFERENCES.register(
    "items",
    Reference(
        kind=ItemsOracle,
        title="items oracle",
        about="the slate that pays most now by true items and what is visible of the user",
        build=ItemsOracle,
        note="true items, visible users, candidates, looks at one slate",
    ),
)

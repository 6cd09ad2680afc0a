"""References that read hidden state: not competitors, but what they show is how much is left to gain."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ..envs.world import World

NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(9)  # for the mean over the noise in completion


@dataclass
class MyopicOracle:
    """The slate of candidates with the most expected minutes now, from the user's true state.

    The best slate under a multinomial logit maximises ``Σ w_i r_i / (w_0 + Σ w_i)`` with ``w_i = p_k e_i``.
    Dinkelbach's method (1967) does so exactly: for a given ratio λ the best assignment of items to slots puts the
    largest ``e_i(r_i − λ)`` in the slots with the largest p_k (rearrangement inequality), and its ratio is the next λ.
    """

    world: World
    name: str = "myopic oracle"
    privileged: bool = True
    rounds: int = 12

    def act(self, observation: Any) -> NDArray[np.int64]:
        """Solve for each user."""
        ids = observation["candidates"].astype(np.int64)
        weight, minutes = self._terms(ids, observation)
        p = self.world.scenario.params
        nothing, position = np.exp(p.choice_nothing), p.position
        ratio = np.zeros((len(ids), 1))
        for _ in range(self.rounds):
            gain = np.where(ids > 0, weight * (minutes - ratio), -np.inf)
            best = np.argsort(-gain, axis=1, kind="stable")[:, : len(position)]
            e, r = np.take_along_axis(weight, best, axis=1), np.take_along_axis(minutes, best, axis=1)
            shown = position * e
            new = ((shown * r).sum(axis=1) / (nothing + shown.sum(axis=1)))[:, None]
            if np.allclose(new, ratio, rtol=1e-12, atol=0):
                break
            ratio = new
        return np.take_along_axis(ids, best, axis=1)

    def _terms(self, ids: NDArray[np.int64], observation: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Choice weight before position, and expected minutes when chosen, of each candidate."""
        p, items, latent = self.world.scenario.params, self.world.items, observation["latent"]
        topics = items["topics"].astype(np.float64)
        taste = items["taste"].astype(np.float64)
        consumed_now = observation["history_age"][:, 0] * 1440.0 < observation["context"][:, 1]
        last = np.where(consumed_now, observation["history_ids"][:, 0], 0).astype(np.int64)
        mood = p.momentum_weight * topics[last] - latent["sensitivity"][:, None] * latent["satiation"]
        utility = p.taste_weight * np.einsum("bd,bmd->bm", latent["taste"], taste[ids])
        utility += np.einsum("bg,bmg->bm", mood, topics[ids])
        memory = observation["history_ids"][:, : int(p.repeat_memory)]
        utility -= p.repeat_penalty * (ids[:, :, None] == memory[:, None, :]).any(axis=2)
        logit = p.dwell_base + p.dwell_utility * utility
        completion = sum(
            w * expit(logit + p.dwell_noise * x) for x, w in zip(NODES, NODE_WEIGHTS / NODE_WEIGHTS.sum(), strict=True)
        )
        return np.exp(utility + p.choice_appeal * items["appeal"][ids]), completion * items["minutes"][ids]


@dataclass
class TasteOracle:
    """The K items of the whole catalogue with the largest true taste, best first: exactly optimal in `Control`.

    Proof. (1) In the control the slate does not touch what comes later: satiation, momentum and repeats have weight 0,
    leaving, churn and gaps have no term in fatigue, satisfaction, skips or trust, and every slate takes the same time,
    whatever is read; taste drifts by itself. So the number of slates and the tastes at each are the same under every
    policy, the expected total is the sum of the expected rewards of the slates, and each may be maximised on its own.
    (2) All items are equally long and completion is constant, so a slate's expected reward is a constant times the
    probability of a click, ``W / (w_0 + W)`` with ``W = Σ_k p_k exp(β⟨u, v_k⟩)``, which grows with W. (3) W grows when
    an item is exchanged for one of larger ``⟨u, v⟩``, and is largest when, p falling with k, the items stand in falling
    order (rearrangement inequality). A duplicate or an empty slot weighs 0, so neither helps. ∎
    """

    world: World
    name: str = "taste oracle"
    privileged: bool = True

    def act(self, observation: Any) -> NDArray[np.int64]:
        """Rank by the inner product of true tastes."""
        taste = self.world.items["taste"].astype(np.float64)
        slots = self.world.scenario.shape.slate
        scores = np.einsum("bd,nd->bn", observation["latent"]["taste"], taste, optimize=True)
        scores[:, 0] = -np.inf
        best = np.argpartition(-scores, slots, axis=1)[:, :slots]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        return np.take_along_axis(best, order, axis=1).astype(np.int64)

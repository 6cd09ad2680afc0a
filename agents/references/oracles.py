"""References that read hidden state: not competitors, but what they show is how much is left to gain."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ...envs.engine import ContextColumn
from ...envs.users.constants import LINEAR
from ...envs.users.world import World
from ..registry import REFERENCES, Reference
from .best_slates import BEST
from .traces import Traces, recall_traces, say_other_laws, weigh_nothing

NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(9)  # for the mean over the noise in completion


@dataclass
class MyopicOracle:
    """The slate with the most expected reward now, from the user's true state; see `myopic` for how exact it is.

    Parameters
    ----------
    world
        World whose user model it knows, as it was shipped: not behaviours of one's own.
    reward
        Pay of a click: ``"minutes"`` or ``"clicks"``.
    whole
        Whether to choose from the whole catalogue, not from the candidates. Where the dial of the dynamics is at 0,
        this is optimal: the slates then change nothing but their own reward.
    """

    world: World
    reward: str = "minutes"
    whole: bool = False
    name: str = "myopic oracle"
    privileged: bool = True

    def __post_init__(self) -> None:
        """Refuse a reward that no single slate earns, and say where users have laws of their own."""
        say_other_laws(self.world, self.name)
        if self.reward not in ("minutes", "clicks"):
            raise ValueError(f"reward = {self.reward!r} is not earned by one slate; allowed: 'minutes', 'clicks'")

    def act(self, observation: Any) -> NDArray[np.int64]:
        """Solve for each user."""
        if self.whole:
            numbers = np.arange(1, len(self.world.catalog) + 1)
            ids = np.broadcast_to(numbers, (len(observation["context"]), len(numbers)))
        else:
            ids = observation["candidates"].astype(np.int64)
        scenario = self.world.scenario
        pull, reward = self.weigh_items(ids, observation)
        best = BEST[str(scenario.values["choice_model"])]
        columns = best(pull, reward, scenario.params.position, weigh_nothing(self.world, observation))
        slates = np.zeros((len(ids), scenario.shape.slate), np.int64)
        shown = np.where(columns >= 0, np.take_along_axis(ids, np.maximum(columns, 0), axis=1), 0)
        slates[:, : shown.shape[1]] = shown
        return slates

    def weigh_items(self, ids: NDArray[np.int64], observation: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Choice weight before the slot counts, and expected reward when chosen, of (B, M) items."""
        scenario, items, latent = self.world.scenario, self.world.items, observation["latent"]
        p, topics, taste = scenario.params, self.world.topics.astype(np.float64), items["taste"].astype(np.float64)

        def inner(vectors: NDArray[np.float64], table: NDArray[np.float64]) -> NDArray[np.float64]:
            if self.whole:
                return np.asarray(vectors @ table[1:].T)
            return np.asarray(np.einsum("bd,bmd->bm", vectors, table[ids]))

        sensitivity = latent["sensitivity"][:, None]
        utility = p.taste_weight * inner(latent["taste"].astype(np.float64), taste)
        utility += p.momentum_weight * inner(latent["momentum"].astype(np.float64), topics)
        tired = inner(latent["satiation"], topics)
        utility -= sensitivity * (tired if p.satiation_kind == LINEAR else np.log1p(tired))
        traces = self.recall_traces(ids, observation)
        utility -= p.repeat_penalty * traces.consumed
        pull = utility + p.choice_appeal * items["appeal"][ids] - p.impression_weight * np.log1p(traces.ignored)
        age = observation["context"][:, ContextColumn.DAY][:, None] - items["born"][ids]
        if p.items_life > 0:
            pull = pull - age / p.items_life
        if p.items_flare > 0:
            since = np.maximum(age, 0.0) / p.items_flare_days
            pull = pull + items["flare"][ids] * since * np.exp(1.0 - since)
        pull = pull - p.choice_price * items["price"][ids]
        pull = np.where((ids > 0) & (age >= 0), np.exp(pull), 0.0)
        if self.reward == "clicks":
            return pull, np.ones_like(pull)
        logit = p.dwell_base + p.dwell_utility * utility
        completion = sum(
            w * expit(logit + p.dwell_noise * x) for x, w in zip(NODES, NODE_WEIGHTS / NODE_WEIGHTS.sum(), strict=True)
        )
        return pull, np.asarray(completion * items["minutes"][ids])

    def recall_traces(self, ids: NDArray[np.int64], observation: Any) -> Traces:
        """What earlier slates left of (B, M) items."""
        return recall_traces(self.world, ids, observation)


@dataclass
class TasteOracle:
    """The K items of the whole catalogue with the largest true taste, best first: exactly optimal in `Control`.

    The proof stands in the docstring of `longplay.envs.named.controls.Control`.
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


REFERENCES.register(
    "myopic",
    Reference(
        kind=MyopicOracle,
        title="myopic oracle",
        about="the slate that pays most now, from the true state",
        build=MyopicOracle,
        note="true state, candidates, looks at one slate",
    ),
)
REFERENCES.register(
    "taste",
    Reference(
        kind=TasteOracle,
        title="taste oracle",
        about="the items of the largest true taste",
        build=TasteOracle,
        note="true taste, whole catalogue",
    ),
)

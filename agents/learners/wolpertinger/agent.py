"""Wolpertinger's settings, and how its agent makes slates: the candidates nearest to the proto item, then the best."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....envs.shared.options import Options, among, evenly, logarithmically, number, word
from ...options import RATE
from ...slates.inputs import Inputs, SlateInputs
from ...slates.optimisers import OPTIMISERS, find_best_slates
from ..item_values import ItemValues
from ..learner import SlateAgent
from .losses import LATE, METRICS, REAL, find_nearest
from .network import MOST_DIMENSIONS, WolpertingerNetwork

PULLS = 30.0  # appeals are cut off there, in either direction: weights must remain numbers


@dataclass(frozen=True)
class WolpertingerOptions(Options):
    """Options of Wolpertinger; the discount is the run's."""

    RENAMED = {"twins": "double_critic"}

    learning_rate: float = number(1e-3, 1e-8, 1.0, search=RATE)
    """Learning rate of the critics' optimiser."""
    actor_rate: float = number(3e-4, 1e-8, 1.0, search=RATE)
    """Learning rate of the actor's optimiser."""
    hidden: int = number(64, 1, 4096)
    """Width of the hidden layers."""
    segment: int = number(16, 1, 1000, search=among(8, 16, 32))
    """Slates of each user that are collected between two rounds of learning."""
    epochs: int = number(4, 1, 1000, search=evenly(1, 8))
    """Minibatches of a round, in passes over as many slates as were collected."""
    batch: int = number(512, 1, 10**6)
    """Slates in a minibatch."""
    replay: int = number(8, 1, 1000, search=evenly(1, 16))
    """Latest segments that minibatches are drawn from."""
    neighbours: int = number(40, 1, 10**6, search=among(20, 40, 80, 160))
    """k, the number of candidates nearest to the proto item, which are judged; at least a slate of them."""
    metric: str = word("inner", *METRICS, search=True)
    """What makes candidates near: Euclidean "distance", or the largest "inner" product, for which the proto item is a
    direction: it need not be where items are, and a slate is of the items furthest that way rather than of those like
    one another."""
    ranking: str = word("exact", *OPTIMISERS, "value")
    """Slate shown of those judged: that of most value under the choice model ("exact", "greedy" or "top-k", as of
    `longplay.agents.slates.optimisers.find_best_slates`), or the items of most value once clicked ("value")."""
    text: int = number(16, 0, MOST_DIMENSIONS)
    """Principal components of the text vectors in the space of items, beside the features; at most 32 in all."""
    reach: float = number(3.0, 1e-3, 5.0)
    """Bound of the proto item in each dimension, in standard deviations of candidates."""
    plain: bool = True
    """Learn the future of an item by one weighting of its coordinates, the same for all states, as SlateQ does: what
    one click changes later is small beside the spread of what follows."""
    polyak: float = number(0.02, 1e-6, 1.0, search=logarithmically(0.002, 0.2))
    """Share by which the slower networks, which value what follows and are the agent's, follow with each minibatch."""
    delay: int = number(2, 1, 1000)
    """Minibatches of the critics for one of the actor."""
    double_critic: bool = False
    """Learn two critics, and bootstrap from the lower value."""
    tether: float = number(0.1, 0.0, 1e3, search=evenly(0.0, 1.0))
    """Weight of the squared distance of the proto item to the closest of those judged: a critic knows nothing of
    places where no item is."""
    by_time: bool = False
    """Discount per day away instead of per slate."""
    horizon_ends: bool = False
    """Count nothing after the horizon. By default life goes on there, and is only not watched any longer."""
    fill: bool = True
    """Fill every slot; otherwise items that cost more than they bring are left out."""
    repeats: bool = False
    """Show items of the history like any other; otherwise only when nothing else is left."""
    noise: float = number(0.5, 0.0, 10.0, search=evenly(0.0, 1.0))
    """Standard deviation of the noise on proto items in training, at first."""
    temperature: float = number(0.5, 0.0, 100.0, search=logarithmically(0.1, 2.0))
    """Gumbel noise on what pulls in training, at first."""
    last: float = number(0.2, 0.0, 1.0)
    """Share of both kinds of noise that is left in the end."""
    anneal: int = number(200_000, 1, 10**12)
    """Slates until the noise is that of the end."""
    epsilon: float = number(0.02, 0.0, 1.0, search=logarithmically(0.005, 0.2))
    """Share of slates in training that are drawn at random."""
    clip: float = number(1.0, 1e-6, 1e6)
    """Largest norm of a gradient."""


class Near(NamedTuple):
    """The candidates nearest to proto items.

    Attributes
    ----------
    columns
        (B, k), −1 for none.
    points
        (B, k, D).
    kind
        (B, k) int8: 0 for none, else REAL or LATE.
    """

    columns: NDArray[np.int64]
    points: Tensor
    kind: NDArray[np.int8]


class WolpertingerAgent(SlateAgent):
    """Shows the slate of most value of the candidates nearest to the proto item.

    Parameters
    ----------
    network, inputs, slots, name
        As of `SlateAgent`.
    options
        How many are near, by which metric, and how slates are made of them.
    """

    network: WolpertingerNetwork

    def __init__(
        self, network: WolpertingerNetwork, inputs: SlateInputs, slots: int, name: str, options: WolpertingerOptions
    ) -> None:
        super().__init__(network, inputs, slots, name)
        self.options, self.count = options, max(options.neighbours, slots)
        self.repeated = inputs.item_features.index("repeated")

    @torch.no_grad()
    def choose(self, inputs: Inputs) -> NDArray[np.int64]:
        """Columns (B, K) of the best slates."""
        whole, points = self.network.space(inputs)
        near = self.find_near(inputs, points, self.network.proto(whole))
        judged = self.network.judge(whole, near.points, torch.from_numpy(near.kind) > 0)
        return select_columns(near, self.find_best(judged, near.kind))

    def find_near(self, inputs: Inputs, points: Tensor, proto: Tensor) -> Near:
        """The nearest to proto items (B, D) of candidates at points (B, M, D)."""
        late = (inputs.items[:, :, self.repeated] > 0) & (not self.options.repeats)
        kind = np.where(inputs.ids > 0, np.where(late, LATE, REAL), 0).astype(np.int8)
        columns = find_nearest(points, kind, proto, self.count, self.options.metric)
        at = np.maximum(columns, 0)
        found = torch.take_along_dim(points, torch.from_numpy(at)[:, :, None], dim=1)
        return Near(columns, found, np.where(columns >= 0, np.take_along_axis(kind, at, axis=1), 0).astype(np.int8))

    def find_best(
        self, judged: ItemValues, kind: NDArray[np.int8], noise: NDArray[np.float64] | float = 0.0
    ) -> NDArray[np.int64]:
        """Places (B, K) among those judged (B, k) of the best slates, −1 for an empty slot; with noise on pulls."""
        options, by_value = self.options, self.options.ranking == "value"
        appeal = np.zeros(kind.shape) if by_value else judged.appeal.detach().double().numpy()
        pull = np.exp(np.clip(appeal + noise, -PULLS, PULLS))
        return find_best_slates(
            np.where(kind > 0, pull, 0.0),
            judged.gain.detach().double().numpy(),
            np.exp(self.network.log_position.detach().double().numpy()),
            late=kind == LATE,
            method="top-k" if by_value else options.ranking,
            fill=options.fill,
        )


def select_columns(near: Near, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Columns (B, K) of candidates for places among the nearest."""
    return np.where(places >= 0, np.take_along_axis(near.columns, np.maximum(places, 0), axis=1), -1)


def make_agent(
    inputs: SlateInputs, vectors: NDArray[np.float32], slots: int, options: WolpertingerOptions, gamma: float, name: str
) -> WolpertingerAgent:
    """An agent whose network knows nothing, for a learner or for `SlateAgent.load`."""
    network = WolpertingerNetwork(
        inputs,
        vectors,
        slots,
        gamma > 0,
        text=options.text,
        hidden=options.hidden,
        reach=options.reach,
        critics=2 if options.double_critic else 1,
        plain=options.plain,
    )
    return WolpertingerAgent(network, inputs, slots, name, options)

"""The agent of SlateQ: its settings, and how what its network knows becomes slates."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ....envs.engine import Observation
from ....envs.shared.options import Options, among, evenly, logarithmically, number, word
from ...options import RATE
from ...slates.inputs import Inputs, SlateInputs
from ...slates.optimisers import OPTIMISERS, find_best_slates
from ..item_values import ItemValues
from ..learner import SlateAgent
from .network import SlateQNetwork

PULLS = 30.0  # appeals are cut off there, in either direction: weights must remain numbers


@dataclass(frozen=True)
class SlateQOptions(Options):
    """Options of SlateQ; the discount is the run's."""

    learning_rate: float = number(1e-3, 1e-8, 1.0, search=RATE)
    """Learning rate of the optimiser."""
    hidden: int = number(64, 1, 4096)
    """Width of the hidden layers."""
    match: int = number(16, 1, 32)
    """Dimensions in which users and items are matched by their texts."""
    segment: int = number(32, 1, 1000, search=among(8, 16, 32))
    """Slates of each user that are collected between two rounds of learning."""
    epochs: int = number(4, 1, 1000, search=evenly(1, 8))
    """Minibatches of a round, in passes over as many slates as were collected."""
    batch: int = number(1024, 1, 10**6)
    """Slates in a minibatch."""
    replay: int = number(2, 1, 1000, search=evenly(1, 8))
    """Latest segments that minibatches are drawn from."""
    mix: float = number(0.95, 0.0, 1.0, search=evenly(0.5, 1.0))
    """λ of the λ-returns: 0 looks one slate ahead, 1 as far as the segment goes."""
    by_time: bool = False
    """Discount per day away instead of per slate."""
    horizon_ends: bool = False
    """Count nothing after the horizon. By default life goes on there, and is only not watched any longer."""
    target: str = word("best", "best", "shown")
    """Slates whose values are bootstrapped from: the best by the network that learns, valued by the slower one (double
    learning: van Hasselt et al., 2016), or those shown, exploration included ("shown", as in SARSA)."""
    polyak: float = number(0.02, 1e-6, 1.0, search=logarithmically(0.002, 0.2))
    """Share by which the slower network, an average of the one that learns, follows with each minibatch. It values, and
    it is the agent's: averaging takes off noise that an optimiser of slates would pick up."""
    optimiser: str = word("exact", *OPTIMISERS)
    """Optimiser of slates: exact, greedy or top-k; see `longplay.agents.slates.optimisers.find_best_slates`."""
    fill: bool = True
    """Fill every slot; otherwise items that cost more than they bring are left out."""
    repeats: bool = False
    """Show items of the history like any other; otherwise only when nothing else is left."""
    temperature: float = number(0.5, 0.0, 100.0, search=logarithmically(0.1, 2.0))
    """Gumbel noise on appeals in training, at first."""
    last_temperature: float = number(0.1, 0.0, 100.0, search=logarithmically(0.02, 0.5))
    """Gumbel noise on appeals in training, in the end."""
    anneal: int = number(200_000, 1, 10**12)
    """Slates until the noise is that of the end."""
    epsilon: float = number(0.02, 0.0, 1.0, search=logarithmically(0.005, 0.2))
    """Share of slates in training that are drawn at random."""
    priority: float = number(0.0, 0.0, 1.0)
    """How much the error of a slate's value decides whether it is drawn: 0 to 1."""
    variety: float = number(0.0, 0.0, 10.0, search=evenly(0.0, 2.0))
    """How much less an item pulls for each of its main topic above it, as a logarithm."""
    future_weight: float = number(1.0, 0.0, 1e6, search=logarithmically(0.1, 10.0))
    """Weight of the loss of future values."""
    later: str = word("regression", "regression", "search", "network")
    """Way to learn what a choice changes later. As one weighting of the item's features for all states: by least
    squares (regression: `longplay.agents.learners.slateq.follow_up`), or by a search over whole lives once the rest is
    learned (search: `longplay.agents.learners.slateq.lookahead_search`; γ > 0 stands for all minutes of the month then,
    and nothing is discounted, γ = 0 for those of the slate). Or by the gradients of the network, noise included
    (network)."""
    search_after: int = number(150_000, 0, 10**12)
    """Slates before the search begins."""
    search_rounds: int = number(6, 1, 10**4)
    """Rounds of the search, played however many slates a run is given."""
    search_users: int = number(48, 1, 10**6)
    """Users whose lives each trial of a round plays, all trials with the same luck."""
    search_population: int = number(16, 8, 10**4)
    """Trials of a round; a third of them lead on."""
    search_spread: float = number(0.04, 1e-6, 1e3)
    """Standard deviation of the first trials' weights, as a share of what a click pays."""
    memory: float = number(200_000.0, 1.0, 1e12)
    """Slates after which one counts for 37 % in the least squares."""
    ridge: float = number(1000.0, 1.0, 1e12)
    """Slates' worth of belief in the least squares that nothing changes."""
    clip: float = number(1.0, 1e-6, 1e6)
    """Largest norm of a gradient."""


class SlateQAgent(SlateAgent):
    """Shows the slate of most value.

    Parameters
    ----------
    network, inputs, slots, name
        As of `SlateAgent`.
    options
        For the optimiser of slates.
    """

    network: SlateQNetwork

    def __init__(
        self, network: SlateQNetwork, inputs: SlateInputs, slots: int, name: str, options: SlateQOptions
    ) -> None:
        super().__init__(network, inputs, slots, name)
        self.options = options
        self.repeated = inputs.item_features.index("repeated")

    def rate_candidates(self, observation: Observation) -> NDArray[np.float32]:
        """Ratings (B, M) of candidates, 0 where there is none; see `rate_inputs`."""
        inputs = self.inputs(observation)
        return np.where(inputs.ids > 0, self.rate_inputs(inputs), 0.0).astype(np.float32)

    @torch.no_grad()
    def rate_inputs(self, inputs: Inputs) -> NDArray[np.float32]:
        """Logarithm of how much a click is expected to pay, were the item shown beside nothing else of appeal."""
        values: ItemValues = self.network.run(inputs)
        return (values.appeal + torch.log(values.minutes.clamp(min=1e-6))).numpy()

    def choose(self, inputs: Inputs) -> NDArray[np.int64]:
        """Columns (B, K) of the best slates."""
        with torch.no_grad():
            return self.find_best(inputs, *self.judge(self.network, inputs))

    @torch.no_grad()
    def choose_weighted(self, observation: Observation, later: NDArray[np.float64]) -> NDArray[np.int64]:
        """Slates (B, K) of item numbers, with a weighting (B, F + 2) of what follows of each user's own."""
        inputs = self.inputs(observation)
        weights = torch.from_numpy(later.astype(np.float32))
        return self.read_numbers(inputs, self.find_best(inputs, *self.judge(self.network, inputs, weights)))

    def judge(
        self, network: SlateQNetwork, inputs: Inputs, later: torch.Tensor | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Appeals and gains (B, M) by a network."""
        judged = network.run(inputs, later)
        return judged.appeal.double().numpy(), judged.gain.double().numpy()

    def find_best(self, inputs: Inputs, appeal: NDArray[np.float64], gain: NDArray[np.float64]) -> NDArray[np.int64]:
        """Columns (B, K) of the best slates for appeals and gains (B, M)."""
        real = inputs.ids > 0
        options = self.options
        return find_best_slates(
            np.where(real, np.exp(np.clip(appeal, -PULLS, PULLS)), 0.0),
            gain,
            np.exp(self.network.log_position.detach().double().numpy()),
            late=None if options.repeats else inputs.items[:, :, self.repeated] > 0,
            topic=self.inputs.scorer.main_topic[inputs.ids] if options.variety else None,
            method=options.optimiser,
            fill=options.fill,
            variety=options.variety,
        )


def make_agent(
    inputs: SlateInputs, vectors: NDArray[np.float32], slots: int, options: SlateQOptions, gamma: float, name: str
) -> SlateQAgent:
    """An agent whose network knows nothing, for a learner or for `SlateAgent.load`."""
    # A search needs no values of states: until it begins, the agent is its own twin with γ = 0.
    ahead, plain = gamma > 0 and options.later != "search", options.later != "network"
    network = SlateQNetwork(
        inputs, vectors, slots, ahead=ahead, plain=plain, hidden=options.hidden, match=options.match
    )
    return SlateQAgent(network, inputs, slots, name, options)

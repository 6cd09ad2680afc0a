"""The agent of SlateQ: its settings, and how what its network knows becomes slates."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ....envs.engine import Observation
from ....envs.shared.names import one_of
from ...options import check_ranges
from ...slates.inputs import Inputs, SlateInputs
from ...slates.optimisers import OPTIMISERS, best_slates
from ..item_values import Judged
from ..learner import SlateAgent
from .network import SlateQNetwork

PULLS = 30.0  # appeals are cut off there, in either direction: weights must remain numbers


@dataclass(frozen=True)
class SlateQOptions:
    """Settings of SlateQ; the discount is the run's."""

    learning_rate: float = 1e-3
    """Of Adam."""
    hidden: int = 64
    """Width of the hidden layers."""
    match: int = 16
    """Dimensions in which users and items are matched by their texts."""
    segment: int = 32
    """Slates of each user that are collected between two rounds of learning."""
    epochs: int = 4
    """Minibatches of a round, in passes over as many slates as were collected."""
    batch: int = 1024
    """Slates in a minibatch."""
    replay: int = 2
    """Latest segments that minibatches are drawn from."""
    mix: float = 0.95
    """λ of the λ-returns: 0 looks one slate ahead, 1 as far as the segment goes."""
    by_time: bool = False
    """Discount per day away instead of per slate."""
    horizon_ends: bool = False
    """Nothing counts after the horizon. By default life goes on there, and is only not watched any longer."""
    target: str = "best"
    """Slates whose values are bootstrapped from: the best by the network that learns, valued by the slower one (double
    learning: van Hasselt et al., 2016), or those shown, exploration included ("shown", as in SARSA)."""
    polyak: float = 0.02
    """By how much the slower network, an average of the one that learns, follows with each minibatch. It values, and it
    is the agent's: averaging takes off noise that an optimiser of slates would pick up."""
    optimiser: str = "exact"
    """Of slates: exact, greedy or top-k; see `longplay.agents.slates.optimisers.best_slates`."""
    fill: bool = True
    """Fill every slot; otherwise items that cost more than they bring are left out."""
    repeats: bool = False
    """Show items of the history like any other; otherwise only when nothing else is left."""
    variety: float = 0.0
    """How much less an item pulls for each of its main topic above it, as a logarithm."""
    temperature: float = 0.5
    """Gumbel noise on appeals in training, at first."""
    last_temperature: float = 0.1
    """And in the end."""
    anneal: int = 200_000
    """Slates until then."""
    epsilon: float = 0.02
    """Share of slates in training that are drawn at random."""
    priority: float = 0.0
    """How much the error of a slate's value decides whether it is drawn: 0 to 1."""
    future_weight: float = 1.0
    """Of the loss of future values."""
    later: str = "regression"
    """How it is learned what a choice changes later. As one weighting of the item's features for all states: by least
    squares (regression: `longplay.agents.learners.slateq.foresight`), or by a search over whole lives once the rest is
    learned (search: `longplay.agents.learners.slateq.later_search`; γ > 0 stands for all minutes of the month then, and
    nothing is discounted, γ = 0 for those of the slate). Or by the gradients of the network, noise included
    (network)."""
    search_after: int = 150_000
    """Slates before the search begins."""
    search_rounds: int = 6
    """Rounds of the search, played however many slates a run is given."""
    search_users: int = 48
    """Users whose lives each trial of a round plays, all trials with the same luck."""
    search_population: int = 16
    """Trials of a round; a third of them lead on."""
    search_spread: float = 0.04
    """Standard deviation of the first trials' weights, as a share of what a click pays."""
    memory: float = 200_000.0
    """Slates after which one counts for 37 % in the least squares."""
    ridge: float = 1000.0
    """Slates' worth of belief in the least squares that nothing changes."""
    clip: float = 1.0
    """Largest norm of a gradient."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        one_of("optimiser", self.optimiser, OPTIMISERS)
        one_of("target", self.target, ("best", "shown"))
        one_of("later", self.later, ("regression", "search", "network"))
        check_ranges(
            self,
            ("learning_rate", 1e-8, 1.0),
            ("hidden", 1, 4096),
            ("match", 1, 32),
            ("segment", 1, 1000),
            ("epochs", 1, 1000),
            ("batch", 1, 10**6),
            ("replay", 1, 1000),
            ("mix", 0.0, 1.0),
            ("polyak", 1e-6, 1.0),
            ("variety", 0.0, 10.0),
            ("temperature", 0.0, 100.0),
            ("last_temperature", 0.0, 100.0),
            ("anneal", 1, 10**12),
            ("epsilon", 0.0, 1.0),
            ("priority", 0.0, 1.0),
            ("memory", 1.0, 1e12),
            ("ridge", 1.0, 1e12),
            ("future_weight", 0.0, 1e6),
            ("clip", 1e-6, 1e6),
            ("search_after", 0, 10**12),
            ("search_rounds", 1, 10**4),
            ("search_users", 1, 10**6),
            ("search_population", 8, 10**4),
            ("search_spread", 1e-6, 1e3),
        )


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

    @torch.no_grad()
    def rate(self, inputs: Inputs) -> NDArray[np.float32]:
        """Logarithm of how much a click is expected to pay, were the item shown beside nothing else of appeal."""
        judged: Judged = self.network.run(inputs)
        return (judged.appeal + torch.log(judged.minutes.clamp(min=1e-6))).numpy()

    def choose(self, inputs: Inputs) -> NDArray[np.int64]:
        """Columns (B, K) of the best slates."""
        with torch.no_grad():
            return self.best(inputs, *self.judge(self.network, inputs))

    @torch.no_grad()
    def slates(self, observation: Observation, later: NDArray[np.float64]) -> NDArray[np.int64]:
        """Slates (B, K) of item numbers, with a weighting (B, F + 2) of what follows of each user's own."""
        inputs = self.inputs(observation)
        weights = torch.from_numpy(later.astype(np.float32))
        return self.numbers(inputs, self.best(inputs, *self.judge(self.network, inputs, weights)))

    def judge(
        self, network: SlateQNetwork, inputs: Inputs, later: torch.Tensor | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Appeals and gains (B, M) by a network."""
        judged = network.run(inputs, later)
        return judged.appeal.double().numpy(), judged.gain.double().numpy()

    def best(self, inputs: Inputs, appeal: NDArray[np.float64], gain: NDArray[np.float64]) -> NDArray[np.int64]:
        """Columns (B, K) of the best slates for appeals and gains (B, M)."""
        real = inputs.ids > 0
        options = self.options
        return best_slates(
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

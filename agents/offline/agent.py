"""Policies learned from a log alone: their options and networks, how they choose slates, and their files."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...envs.engine import Observation
from ...envs.shared.files import replacing, write_whole
from ...envs.shared.options import Options, number, word
from ..slates.choice_losses import choice_log_probabilities
from ..slates.inputs import SlateInputs
from ..slates.networks import SlateNetwork

AGENTS = ("bc", "iql", "cql")
LEAST_VALUE = 1e-3  # below which values are not told apart when slates are ranked
DIGITS = 4  # of scores: float32 sums differ behind them with the size of the batch


@dataclass(frozen=True)
class OfflineConfig(Options):
    """How to learn from a log."""

    agent: str = word("iql", *AGENTS)
    """Method: bc (behaviour cloning), iql (implicit Q-learning) or cql (conservative Q-learning)."""
    gamma: float = number(0.95, 0.0, 1.0)
    """Discount per slate; 0 learns what pays now. Without effect in bc."""
    updates: int = number(3000, 1, 10**9)
    """Gradient steps."""
    batch: int = number(256, 1, 10**6)
    """Slates in a gradient step."""
    learning_rate: float = number(1e-3, 1e-8, 1.0)
    """Learning rate of the optimiser."""
    expectile: float = number(0.7, 0.5, 0.999)
    """Expectile τ of iql; the higher, the closer V is to the best slates logged."""
    inverse_temperature: float = number(10.0, 0.0, 1000.0)
    """Strength β with which iql prefers better slates, where values are in tens of minutes; 0 is bc."""
    conservative: float = number(0.5, 0.0, 1000.0)
    """Weight α of the penalty of cql on values of what was not shown."""
    target_rate: float = number(0.01, 1e-6, 1.0)
    """Share of the critic that moves into its target copy at each update."""
    hidden: int = number(64, 1, 4096)
    """Width of the networks' two layers."""
    match: int = number(16, 0, 32)
    """Dimensions in which users and texts are matched; 0 leaves the texts out."""
    seed: int = number(0, 0, 2**31 - 1)
    """Seed of the weights and of the order of the slates."""

    @property
    def label(self) -> str:
        """Name in tables."""
        return self.agent.upper() + ("" if self.agent == "bc" else f" γ={self.gamma:g}")


class Values(NamedTuple):
    """What a critic says; (B, M) −inf where there is no candidate."""

    attraction: Tensor  # (B, M) of items, in the first slot
    nothing: Tensor  # (B,) of no click
    q: Tensor  # (B, M) value of consuming an item
    q_nothing: Tensor  # (B,)
    v: Tensor  # (B,) of the state


class Critic(nn.Module):
    """Values and choice of items and states: a slate network of two scores and three values, and a logit a slot."""

    def __init__(self, network: SlateNetwork, slots: int) -> None:
        super().__init__()
        self.network = network
        self.slot = nn.Parameter(torch.zeros(slots))

    def forward(self, state: Tensor, items: Tensor, ids: Tensor) -> Values:
        """Values of inputs."""
        (attraction, q), (nothing, q_nothing, v) = self.network(state, items, ids)
        return Values(attraction, nothing, q, q_nothing, v)

    def judge_slates(self, values: Values, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities (B, K + 1) of each slot and of nothing, Q̄ (B, K) of the slots and (B,) of nothing."""
        place, empty = columns.clamp(min=0), columns < 0
        appeal = (values.attraction.gather(1, place) - values.nothing[:, None]).masked_fill(empty, -torch.inf)
        q = values.q.gather(1, place).masked_fill(empty, 0.0)
        return choice_log_probabilities(appeal, self.slot), q, values.q_nothing

    def rank_items(self, values: Values) -> Tensor:
        """(B, M) ``log(v(s, i) Q̄(s, i))``: the largest K make a good slate (Ie et al., 2019, top-k)."""
        return values.attraction + values.q.clamp(min=LEAST_VALUE).log()


def make_network(config: OfflineConfig, states: int, items: int, vectors: NDArray[np.float32], slots: int) -> Any:
    """The network that chooses slates: a policy, or in cql the critic."""
    if config.agent == "cql":
        return make_critic(config, states, items, vectors, slots)
    return SlateNetwork(states, items, vectors, hidden=config.hidden, match=config.match)


def make_critic(config: OfflineConfig, states: int, items: int, vectors: NDArray[np.float32], slots: int) -> Critic:
    """A critic with new weights."""
    heads = {"heads": 2, "values": 3, "hidden": config.hidden, "match": config.match}
    return Critic(SlateNetwork(states, items, vectors, **heads), slots)


@dataclass
class OfflineAgent:
    """A policy learned from a log, played deterministically."""

    network: Any
    inputs: SlateInputs
    config: OfflineConfig
    name: str = "offline"
    privileged: bool = False

    @torch.no_grad()
    def score(self, observation: Observation) -> NDArray[np.float32]:
        """(B, M) scores of the candidates."""
        inputs = self.inputs(observation)
        if isinstance(self.network, Critic):
            tensors = (torch.from_numpy(array) for array in (inputs.state, inputs.items, inputs.ids))
            scores = self.network.rank_items(self.network(*tensors))
        else:
            scores = self.network.run(inputs)[0][0]
        return np.round(scores.numpy(), DIGITS)

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """The best-scored candidates, items of the history last."""
        scorer, none = self.inputs.scorer, np.zeros(len(observation["context"]), np.float32)
        return scorer.fill(observation, self.score(observation), none, cap=scorer.slots)


def save_agent(agent: OfflineAgent, folder: Path) -> None:
    """Write the weights (``policy.safetensors``) and what is needed to use them again (``policy.json``)."""
    with replacing(folder / "policy.safetensors") as temporary:
        save_file({name: value.contiguous() for name, value in agent.network.state_dict().items()}, temporary)
    about = {"inputs": agent.inputs.identity, "config": dataclasses.asdict(agent.config)}
    write_whole(folder / "policy.json", json.dumps(about, indent=1))


def load_agent(folder: Path, inputs: SlateInputs) -> OfflineAgent:
    """The policy that `save_agent` kept.

    Raises
    ------
    ValueError
        If there is none, it cannot be read, or it was learned on other inputs.
    """
    try:
        about = json.loads((folder / "policy.json").read_text(encoding="utf-8"))
        config = OfflineConfig(**about["config"])
        weights = load_file(folder / "policy.safetensors")
    except Exception as error:
        raise ValueError(f"{folder} has no policy learned from a log: {error}; learn again") from error
    if about.get("inputs") != inputs.identity:
        raise ValueError(
            f"{folder} was learned on inputs {about.get('inputs')!r}, not {inputs.identity!r}; learn again"
        )
    network = make_network(config, inputs.state_width, inputs.item_width, inputs.scorer.vectors, inputs.scorer.slots)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{folder} holds weights of another shape: {error}; learn again") from error
    return OfflineAgent(network, inputs, config, config.label)

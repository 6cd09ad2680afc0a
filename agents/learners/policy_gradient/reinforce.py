"""Top-K REINFORCE with an off-policy correction (Chen et al., 2019), over slates of candidates.

The policy is a softmax over candidates from which K items are shown. A slate's return is credited to the item consumed,
or to all shown where none was, times how the chance of being among K draws grows (λ_K), times a capped ratio of the
policy to whoever showed the item. Slates of earlier policies are learnt from again, so a model β of that behaviour is
fitted to what was shown, by a network of its own through which no gradient reaches the policy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....envs.shared.options import evenly, logarithmically, number
from ...playing.training_users import TrainingUsers
from ...registry import AGENTS
from ...slates.inputs import SlateInputs
from ...slates.networks import SlateNetwork
from ...slates.plackett_luce import NEVER
from ..learner import Learner, SlateAgent
from ..training import LearnerEntry
from .candidates import CandidateNetwork, PolicyAgent, PolicyOptions, sample_inputs
from .losses import first_slot_entropy, top_k_reinforce, value_loss
from .ppo import average_logs, flatten_rollout, standardise
from .rollouts import Batch, collect_rollout


@dataclass(frozen=True)
class ReinforceOptions(PolicyOptions):
    """Options of top-K REINFORCE."""

    rollout: int = 16
    """Slates for each user between two updates."""
    memory: int = number(4, 1, 1000, search=evenly(1, 8))
    """Rollouts that are learnt from: the latest and those before it."""
    epochs: int = 1
    """Passes over the rollouts in an update."""
    top_k: bool = True
    """Weigh by λ_K; otherwise as if one item were shown."""
    correction: bool = True
    """Weigh by π/β; otherwise as if the policy had shown everything itself."""
    cap: float = number(5.0, 1e-6, 1e6, search=logarithmically(1.0, 20.0))
    """Largest ratio π/β that counts."""
    baseline: bool = True
    """Take the value off the return, and scale by the spread of what is left."""
    entropy: float = 0.02
    """Bonus for each nat of the entropy."""


def make_agent(
    inputs: SlateInputs, vectors: NDArray[np.float32], slots: int, options: ReinforceOptions, gamma: float, name: str
) -> PolicyAgent:
    """An untrained agent, to load weights into."""
    return PolicyAgent(CandidateNetwork(inputs, vectors, slots, options, gamma, None), inputs, slots, name)


class TopKReinforce(Learner):
    """Top-K off-policy REINFORCE on a replay of its own latest rollouts.

    Constructed as every `Learner`.
    """

    make_agent: ClassVar[Callable[..., SlateAgent]] = staticmethod(make_agent)
    tensors: ClassVar[tuple[str, ...]] = ("replay",)
    options: ReinforceOptions

    def __init__(
        self,
        players: TrainingUsers,
        options: ReinforceOptions,
        gamma: float,
        seed: int,
        *,
        vectors: NDArray[np.float32],
        slots: int,
        name: str = "Top-K REINFORCE",
    ) -> None:
        super().__init__(players, options, gamma, seed, vectors=vectors, slots=slots, name=name)
        inputs: SlateInputs = players.inputs  # type: ignore[assignment]
        self.network: CandidateNetwork = self.agent.network  # type: ignore[assignment]
        self.behaviour = SlateNetwork(
            inputs.state_width, inputs.item_width, vectors, hidden=options.hidden, match=options.match
        )
        sample = sample_inputs(players, slots, self.rng)
        for network in (self.network.slate, self.behaviour):
            network.calibrate(sample)
        self.optimisers = {
            "policy": torch.optim.Adam(self.network.parameters(), options.learning_rate, eps=1e-5),
            "behaviour": torch.optim.Adam(self.behaviour.parameters(), options.learning_rate, eps=1e-5),
        }
        self.replay: Batch = {}

    def modules(self) -> dict[str, nn.Module]:
        """The policy's network and the model of behaviour."""
        return {"network": self.network, "behaviour": self.behaviour}

    def iterate(self) -> dict[str, float]:
        """One rollout, and some epochs over the replay."""
        options = self.options
        rollout = collect_rollout(
            self.players,
            self.network,
            compute_log_softmax,
            slots=self.agent.slots,
            length=options.rollout,
            gamma=self.gamma,
            by_time=options.by_time,
            torch_rng=self.torch_rng,
        )
        returns = rollout.advantages(options.gae_lambda) + rollout.values
        latest = flatten_rollout(rollout) | {"returns": returns.flatten()}
        del latest["mean"]  # which a replay need not hold
        count = len(latest["returns"])
        if self.replay:
            kept = (options.memory - 1) * count
            older = {key: value[-kept:] if kept else value[:0] for key, value in self.replay.items()}
            latest = {key: torch.cat([older[key], value]) for key, value in latest.items()}
        self.replay = latest
        self.steps += count
        seen = []
        for _ in range(options.epochs):
            order = torch.randperm(len(latest["returns"]), generator=self.torch_rng)
            for rows in torch.split(order, options.minibatch):
                if len(rows) < 2:
                    continue  # a lone advantage has no spread to be measured by
                seen.append(self._step({key: value[rows] for key, value in latest.items()}))
        return average_logs(seen)

    def losses(self, part: Batch) -> dict[str, Tensor]:
        """Losses of a minibatch, each a mean: policy, value, behaviour, and the entropy and the mean ratio."""
        options, slots = self.options, self.agent.slots
        judged = self.network.judge(part)
        columns, choice = part["columns"], part["choice"]
        log_pi = compute_log_softmax(judged.scores, columns)
        shown_by, _ = self.behaviour(part["state"], part["items"], part["ids"])
        log_beta = compute_log_softmax(shown_by[0] - self.network.held_back(part), columns)
        advantage = part["returns"]
        if options.baseline:
            advantage = standardise(part["returns"] - judged.values.detach())
        assumed = log_beta.detach() if options.correction else log_pi.detach()
        credit = assign_credit(choice, columns.shape[1])
        policy = top_k_reinforce(log_pi, assumed, advantage, credit, slots if options.top_k else 1, options.cap)
        return {
            "policy": policy.mean(),
            "value": value_loss(judged.values, part["returns"], part["values"], 0.0).mean(),
            "behaviour": -log_beta.mean(),
            "entropy": first_slot_entropy(judged.scores).mean(),
            "ratio": (log_pi - log_beta).detach().exp().clamp(max=options.cap).mean(),
        }

    def _step(self, part: Batch) -> dict[str, float]:
        losses = self.losses(part)
        total = losses["policy"] - self.options.entropy * losses["entropy"]
        total = total + losses["value"] / self.network.spread**2 + losses["behaviour"]
        for optimiser in self.optimisers.values():
            optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        for parameters in (*self.network.parts(), list(self.behaviour.parameters())):
            nn.utils.clip_grad_norm_(parameters, self.options.max_grad_norm)
        for optimiser in self.optimisers.values():
            optimiser.step()
        return {name: loss.item() for name, loss in losses.items()}


def compute_log_softmax(scores: Tensor, columns: Tensor) -> Tensor:
    """(B, K) log-probability of each column under one draw of the softmax; 0 where there is no candidate."""
    logs = torch.log_softmax(scores.clamp(min=NEVER), dim=1).gather(1, columns)
    return torch.where(scores.gather(1, columns) > NEVER, logs, 0.0)


def assign_credit(choice: Tensor, slots: int) -> Tensor:
    """(B, K) the slot consumed has all credit; where none was, all share it."""
    one = torch.nn.functional.one_hot(choice.clamp(min=0), slots).float()
    return torch.where(choice[:, None] < 0, torch.full_like(one, 1.0 / slots), one)


AGENTS.register(
    "reinforce",
    LearnerEntry(TopKReinforce, ReinforceOptions, title="Top-K REINFORCE", about="with off-policy correction"),
)

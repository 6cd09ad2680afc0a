"""Plackett–Luce PPO: a policy over slates of candidates that is guided by models of choice and of minutes.

The score of a candidate is a correction that policy gradients learn, plus a learned multiple of its logit of being
chosen and the logarithm of the minutes it would hold. Which slot was chosen, and for how long, tells far more about
each item than the slate's reward does, so the guide is learnt within a few thousand slates; what it misses, that some
minutes cost the sessions to come, is left to the correction. After each update of the policy by proximal policy
optimisation (Schulman et al., 2017) comes one of the guide on the same slates, in the phases of Cobbe et al. (2021).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....envs.shared.options import among, evenly, number, word
from ...options import RATE
from ...playing.training_users import TrainingUsers
from ...registry import AGENTS
from ...slates.inputs import SlateInputs
from ...slates.slate_draws import log_slates
from ..learner import Learner, SlateAgent
from ..training import LearnerEntry
from .candidates import CandidateNetwork, PolicyAgent, PolicyOptions, sample_inputs
from .losses import approximate_kl, clipped_surrogate, mark_examined, value_loss
from .rollouts import Batch, Rollout, collect_rollout


@dataclass(frozen=True)
class PlackettLucePPOOptions(PolicyOptions):
    """Options of Plackett–Luce PPO."""

    clip: float = number(0.2, 1e-6, 10.0, search=among(0.1, 0.2, 0.3, 0.4))
    """ε of the clipped surrogate."""
    value_clip: float = number(0.0, 0.0, 1e6)
    """How far a value may move in an update, in units of the reward; 0 for any."""
    target_kl: float = number(0.1, 0.0, 1e6, search=among(0.0, 0.03, 0.1, 0.3))
    """Limit of KL(old ‖ new) of slates, at which an update ends; 0 for none."""
    auxiliary: int = number(4, 0, 1000, search=evenly(1, 10))
    """Passes over what was collected that fit the models of choice and minutes; 0 leaves the policy without a guide."""
    guide_learning_rate: float = number(1e-3, 1e-8, 1.0, search=RATE)
    """Learning rate of the optimiser that fits the models of choice and minutes."""
    guide: float = number(3.0, 1e-6, 100.0, search=evenly(0.5, 4.0))
    """Factor of the guide at first."""
    ratio: str = word("slate", "slate", "slots")
    """Ratio of probabilities that is clipped: of a whole slate, or of each slot, averaged ("slots")."""
    credit: str = word("slate", "slate", "cascade")
    """Slots that are credited: all ("slate"), or the one consumed and those above it ("cascade")."""


def make_agent(
    inputs: SlateInputs,
    vectors: NDArray[np.float32],
    slots: int,
    options: PlackettLucePPOOptions,
    gamma: float,
    name: str,
) -> PolicyAgent:
    """An untrained agent, to load weights into."""
    guide = options.guide if options.auxiliary > 0 else None
    return PolicyAgent(CandidateNetwork(inputs, vectors, slots, options, gamma, guide), inputs, slots, name)


class PLPPO(Learner):
    """Plackett–Luce PPO; constructed as every `Learner`."""

    make_agent: ClassVar[Callable[..., SlateAgent]] = staticmethod(make_agent)
    options: PlackettLucePPOOptions
    network: CandidateNetwork

    def __init__(
        self,
        players: TrainingUsers,
        options: PlackettLucePPOOptions,
        gamma: float,
        seed: int,
        *,
        vectors: NDArray[np.float32],
        slots: int,
        name: str = "PL-PPO",
    ) -> None:
        super().__init__(players, options, gamma, seed, vectors=vectors, slots=slots, name=name)
        self.network = self.agent.network  # type: ignore[assignment]
        self.network.slate.calibrate(sample_inputs(players, slots, self.rng))
        self.optimisers = {
            name: torch.optim.Adam(self.network.parameters(), rate, eps=1e-5, fused=True)
            for name, rate in (("policy", options.learning_rate), ("guide", options.guide_learning_rate))
        }
        self._kept: Batch = {}  # memory of rollouts, of each after the other

    def iterate(self) -> dict[str, float]:
        """One rollout, and some epochs over it."""
        options = self.options
        rollout = collect_rollout(
            self.players,
            self.network,
            slots=self.agent.slots,
            length=options.rollout,
            gamma=self.gamma,
            by_time=options.by_time,
            torch_rng=self.torch_rng,
            kept=self._kept,
        )
        advantages = rollout.advantages(options.gae_lambda)
        returns = advantages + rollout.values
        content = flatten_rollout(rollout) | {"returns": returns.flatten()}
        content["advantages"] = standardise(advantages).flatten()
        self.steps += len(content["returns"])
        log = self._learn(content)
        error = ((returns - rollout.values).var() / returns.var().clamp(min=1e-8)).item()
        return {**log, "explained": 1.0 - error, "return": returns.mean().item()}

    def _learn(self, content: Batch) -> dict[str, float]:
        options = self.options
        seen: list[dict[str, float]] = []
        for part in self._parts(content, options.epochs):
            losses = self.losses(part)
            seen.append({name: loss.item() for name, loss in losses.items()})
            if 0 < options.target_kl < seen[-1]["kl"]:
                break
            spread = self.network.spread
            total = losses["policy"] - options.entropy * losses["entropy"] + losses["value"] / spread**2
            self._step("policy", total)
        # Apart from the policy's steps, whose ratios would not stay near 1 while the guide moves the scores.
        guided = []
        if options.auxiliary > 0:
            for part in self._parts(self._collect_for_guide(content), options.auxiliary):
                losses = self.guide_losses(part)
                guided.append({name: loss.item() for name, loss in losses.items()})
                self._step("guide", losses["choice"] + losses["minutes"])
        return average_logs(seen) | average_logs(guided)

    def _parts(self, content: Batch, passes: int) -> Iterator[Batch]:
        for _ in range(passes):
            order = torch.randperm(len(next(iter(content.values()))), generator=self.torch_rng)
            for rows in torch.split(order, self.options.minibatch):
                yield {key: value.index_select(0, rows) for key, value in content.items()}

    @torch.no_grad()
    def _collect_for_guide(self, content: Batch) -> Batch:
        """The slates, and of all candidates their mean: what the guide learns from, once for all passes."""
        # A minibatch at a time: the features of all candidates of all slates are large.
        rows = zip(*(torch.split(value, self.options.minibatch) for value in content.values()), strict=True)
        parts = [dict(zip(content, row, strict=True)) for row in rows]
        seen = [self.network.shown(part) | {name: part[name] for name in ("choice", "rewards")} for part in parts]
        return {name: torch.cat([part[name] for part in seen]) for name in seen[0]}

    def _step(self, name: str, loss: Tensor) -> None:
        optimiser = self.optimisers[name]
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for part in self.network.parts():
            nn.utils.clip_grad_norm_(part, self.options.max_grad_norm)
        optimiser.step()

    def losses(self, part: Batch) -> dict[str, Tensor]:
        """Losses of a minibatch, each a mean: of policy and value, KL(old ‖ new) and the first slot's entropy."""
        options = self.options
        judged = self.network.judge(part)
        logs, entropy = log_slates(judged.scores, part["columns"])
        log_ratio = logs - part["log_probabilities"]
        counted = torch.ones_like(log_ratio)
        if options.credit == "cascade":
            counted = mark_examined(part["choice"], log_ratio.shape[1])
        if options.ratio == "slots":
            each = clipped_surrogate(log_ratio, part["advantages"][:, None], options.clip)
            policy = (each * counted).sum(dim=1) / counted.sum(dim=1)
        else:
            policy = clipped_surrogate((log_ratio * counted).sum(dim=1), part["advantages"], options.clip)
        return {
            "policy": policy.mean(),
            "value": value_loss(judged.values, part["returns"], part["values"], options.value_clip).mean(),
            "kl": approximate_kl(log_ratio.sum(dim=1)).mean().detach(),
            "entropy": entropy.mean(),
        }

    def guide_losses(self, part: Batch) -> dict[str, Tensor]:
        """Losses of the guide on a minibatch, each a mean: of choice, and of the minutes of what was chosen."""
        choice, minutes = self.network.lose(part, part["choice"], part["rewards"] / self.players.scale)
        return {"choice": choice, "minutes": minutes}


def flatten_rollout(rollout: Rollout) -> Batch:
    """Rows (T·B, ·) of a rollout, from which minibatches are drawn."""
    names = ("columns", "log_probabilities", "values", "choice", "rewards")
    whole = rollout.batch | {name: getattr(rollout, name) for name in names}
    return {name: value.flatten(0, 1) for name, value in whole.items()}


def standardise(advantages: Tensor) -> Tensor:
    """Shift and scale to mean 0 and standard deviation 1."""
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def average_logs(seen: list[dict[str, float]]) -> dict[str, float]:
    """Means of what was logged, by name."""
    return {name: float(np.mean([one[name] for one in seen])) for name in (seen[0] if seen else ())}


AGENTS.register(
    "pl-ppo",
    LearnerEntry(PLPPO, PlackettLucePPOOptions, title="PL-PPO", about="Plackett–Luce PPO over the candidates"),
)

"""Learning from a log alone: behaviour cloning, implicit Q-learning and conservative Q-learning of slates.

A policy is a Plackett–Luce distribution over slates whose scores a `SlateNetwork` gives; it is played with the best
scores first, without chance. A slate's value is decomposed as in SlateQ (Ie et al., 2019): what is consumed decides
what follows, so ``Q(s, A) = Σ_i P(i|s, A) Q̄(s, i)``, over the slate's items and nothing, with a multinomial logit P
that is fitted to the log along the way.

(d3rlpy, the library of offline reinforcement learning, pins gymnasium 1.0.0 and cannot be installed beside this one; it
has no slates.)

Letters: B users, M candidates, K slots; ``s`` states, ``A`` slates, ``r`` rewards; shapes of losses are after them.
"""

import copy
import dataclasses
import json
from collections.abc import Callable
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
from ...envs.shared.names import one_of
from ..options import check_ranges
from ..slates.choice_losses import choice_log_probabilities, choice_loss, chosen, slate_value
from ..slates.inputs import Inputs, SlateInputs
from ..slates.networks import SlateNetwork
from ..slates.plackett_luce import slot_log_probabilities
from .data import Batch, Log, Transitions

AGENTS = ("bc", "iql", "cql")
HEAVIEST = 100.0  # weight of an advantage, at most, as in the paper
LEAST_VALUE = 1e-3  # below which values are not told apart when slates are ranked
SAMPLE = 2000  # observations that the networks' scale is taken from
DIGITS = 4  # of scores: float32 sums differ behind them with the size of the batch


@dataclass(frozen=True)
class OfflineConfig:
    """How to learn from a log."""

    agent: str = "iql"
    """bc (behaviour cloning), iql (implicit Q-learning) or cql (conservative Q-learning)."""
    gamma: float = 0.95
    """Discount per slate; 0 learns what pays now. Without effect in bc."""
    updates: int = 3000
    """Gradient steps."""
    batch: int = 256
    """Slates in each."""
    learning_rate: float = 1e-3
    """Of Adam."""
    expectile: float = 0.7
    """iql: τ, 0.5 to below 1; the higher, the closer V is to the best slates logged."""
    inverse_temperature: float = 10.0
    """iql: β, how strongly better slates are preferred, where values are in tens of minutes; 0 is bc."""
    conservative: float = 0.5
    """cql: α, weight of the penalty on values of what was not shown."""
    target_rate: float = 0.01
    """Share of the critic that moves into its target copy at each update."""
    hidden: int = 64
    """Width of the networks' two layers."""
    match: int = 16
    """Dimensions in which users and texts are matched; 0 leaves the texts out."""
    seed: int = 0
    """Of the weights and of the order of the slates."""

    def __post_init__(self) -> None:
        """Refuse what could not run."""
        one_of("agent", self.agent, AGENTS)
        check_ranges(
            self,
            ("gamma", 0.0, 1.0),
            ("updates", 1, 10**9),
            ("batch", 1, 10**6),
            ("learning_rate", 1e-8, 1.0),
            ("expectile", 0.5, 0.999),
            ("inverse_temperature", 0.0, 1000.0),
            ("conservative", 0.0, 1000.0),
            ("target_rate", 1e-6, 1.0),
            ("hidden", 1, 4096),
            ("match", 0, 32),
            ("seed", 0, 2**31 - 1),
        )

    @property
    def label(self) -> str:
        """Name in tables."""
        return self.agent.upper() + ("" if self.agent == "bc" else f" γ={self.gamma:g}")


def cloning_loss(log_probability: Tensor, weight: Tensor) -> Tensor:
    """``−mean(w log π(A|s))`` of (B,): behaviour cloning with w = 1, advantage-weighted regression otherwise."""
    return -(weight * log_probability).mean()


def advantage_weight(advantage: Tensor, inverse_temperature: float) -> Tensor:
    """``min(exp(β (Q(s, A) − V(s))), 100)`` (Kostrikov et al., 2021, equation 7)."""
    return (inverse_temperature * advantage).exp().clamp(max=HEAVIEST)


def expectile_loss(difference: Tensor, expectile: float) -> Tensor:
    """``mean(|τ − 1(u < 0)| u²)`` of (B,) u = Q(s, A) − V(s) (Kostrikov et al., 2021, equation 5)."""
    return ((expectile - (difference < 0).to(difference.dtype)).abs() * difference.square()).mean()


def bootstrapped(r_t: Tensor, discount_t: Tensor, v_t: Tensor) -> Tensor:
    """``r + γ V(s')`` of (B,), without gradient; the discount is 0 where the user has left for good."""
    return (r_t + discount_t * v_t).detach()


def conservative_loss(q: Tensor, columns: Tensor) -> Tensor:
    """``mean(log Σ_i exp Q̄(s, i) − mean_{i ∈ A} Q̄(s, i))`` (Kumar et al., 2020, equation 4) over items.

    Parameters
    ----------
    q
        (B, M) of the candidates, −inf for none.
    columns
        (B, K) shown, −1 for an empty slot.
    """
    real = columns >= 0
    shown = q.gather(1, columns.clamp(min=0)).masked_fill(~real, 0.0)
    return (q.logsumexp(dim=1) - shown.sum(dim=1) / real.sum(dim=1).clamp(min=1)).mean()


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

    def of_slate(self, values: Values, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities (B, K + 1) of each slot and of nothing, Q̄ (B, K) of the slots and (B,) of nothing."""
        place, empty = columns.clamp(min=0), columns < 0
        appeal = (values.attraction.gather(1, place) - values.nothing[:, None]).masked_fill(empty, -torch.inf)
        q = values.q.gather(1, place).masked_fill(empty, 0.0)
        return choice_log_probabilities(appeal, self.slot), q, values.q_nothing

    def ranking(self, values: Values) -> Tensor:
        """(B, M) ``log(v(s, i) Q̄(s, i))``: the largest K make a good slate (Ie et al., 2019, top-k)."""
        return values.attraction + values.q.clamp(min=LEAST_VALUE).log()


class Learner:
    """Networks and how a batch moves them.

    Parameters
    ----------
    config
        The options.
    data
        For the networks' scale and sizes.
    vectors
        (N + 1, E) of the items' texts.
    slots
        K.
    """

    def __init__(self, config: OfflineConfig, data: Transitions, vectors: NDArray[np.float32], slots: int) -> None:
        self.config = config
        inputs = data.inputs
        sizes = (inputs.state.shape[1], inputs.items.shape[2])
        self.acting = acting(config, *sizes, vectors, slots)
        modules = [self.acting]
        if config.agent == "iql":
            modules.append(critic(config, *sizes, vectors, slots))
        self.critic = modules[-1]
        some = slice(None, None, max(1, len(inputs.state) // SAMPLE))
        few = Inputs(inputs.state[some], inputs.items[some], inputs.ids[some])
        for module in modules:
            (module.network if isinstance(module, Critic) else module).calibrate(few)
        self.target = copy.deepcopy(self.critic) if config.agent != "bc" else None
        self.optimiser = torch.optim.Adam([p for module in modules for p in module.parameters()], config.learning_rate)

    def update(self, batch: Batch) -> dict[str, float]:
        """One gradient step; the losses by name."""
        losses = {"bc": self._bc, "iql": self._iql, "cql": self._cql}[self.config.agent](batch)
        self.optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        if self.target is not None:
            with torch.no_grad():
                for old, new in zip(self.target.parameters(), self.critic.parameters(), strict=True):
                    old.lerp_(new, self.config.target_rate)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _log_probability(self, batch: Batch) -> Tensor:
        """(B,) of the slates, divided by K so that losses are of order one."""
        scores = self.acting(*batch.now)[0][0]
        return slot_log_probabilities(scores, batch.columns).mean(dim=1)

    def _bc(self, batch: Batch) -> dict[str, Tensor]:
        return {"policy": cloning_loss(self._log_probability(batch), torch.ones_like(batch.reward))}

    def _consumed(self, values: Values, batch: Batch, v_t: Tensor) -> dict[str, Tensor]:
        """Losses of the choice model and of Q̄ of what was consumed."""
        chances, q, q_nothing = self.critic.of_slate(values, batch.columns)
        error = chosen(q, q_nothing, batch.choice) - bootstrapped(batch.reward, batch.discount, v_t)
        return {"choice": choice_loss(chances, batch.choice).mean(), "q": error.square().mean()}

    def _iql(self, batch: Batch) -> dict[str, Tensor]:
        assert self.target is not None
        values = self.critic(*batch.now)
        with torch.no_grad():
            v_t = self.critic(*batch.then).v
            whole = slate_value(*self.target.of_slate(self.target(*batch.now), batch.columns))
            weight = advantage_weight(whole - values.v, self.config.inverse_temperature)
        return {
            "policy": cloning_loss(self._log_probability(batch), weight),
            "v": expectile_loss(whole - values.v, self.config.expectile),
            **self._consumed(values, batch, v_t),
        }

    def _cql(self, batch: Batch) -> dict[str, Tensor]:
        assert self.target is not None
        values, slots = self.critic(*batch.now), batch.columns.shape[1]
        with torch.no_grad():  # the online critic chooses the next slate, its slow copy values it
            best = self.critic.ranking(self.critic(*batch.then)).topk(min(slots, batch.then[2].shape[1])).indices
            best = best.masked_fill(batch.then[2].gather(1, best) == 0, -1)
            v_t = slate_value(*self.target.of_slate(self.target(*batch.then), best))
        return {
            "conservative": self.config.conservative * conservative_loss(values.q, batch.columns),
            **self._consumed(values, batch, v_t),
        }


def acting(config: OfflineConfig, states: int, items: int, vectors: NDArray[np.float32], slots: int) -> Any:
    """The network that chooses slates: a policy, or in cql the critic."""
    if config.agent == "cql":
        return critic(config, states, items, vectors, slots)
    return SlateNetwork(states, items, vectors, hidden=config.hidden, match=config.match)


def critic(config: OfflineConfig, states: int, items: int, vectors: NDArray[np.float32], slots: int) -> Critic:
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
            parts = (torch.from_numpy(part) for part in (inputs.state, inputs.items, inputs.ids))
            scores = self.network.ranking(self.network(*parts))
        else:
            scores = self.network.run(inputs)[0][0]
        return np.round(scores.numpy(), DIGITS)

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """The best-scored candidates, items of the history last."""
        scorer, none = self.inputs.scorer, np.zeros(len(observation["context"]), np.float32)
        return scorer.fill(observation, self.score(observation), none, cap=scorer.slots)


def learn(
    log: Log,
    inputs: SlateInputs,
    config: OfflineConfig,
    report: Callable[[int, dict[str, float]], None] | None = None,
) -> OfflineAgent:
    """Learn a policy from a log; equal logs and options give the same policy.

    Parameters
    ----------
    log
        Slates of candidates.
    inputs
        From observations to what networks read; the policy belongs to them.
    report
        Called with the number of updates and the mean losses since the last call, 20 times.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        data = Transitions(log, inputs)
        learner = Learner(config, data, inputs.scorer.vectors, log.slates.shape[1])
        every, sums = max(1, config.updates // 20), {}  # type: int, dict[str, float]
        for number in range(1, config.updates + 1):
            losses = learner.update(data.batch(torch.randint(len(data), (config.batch,)), config.gamma))
            sums = {name: sums.get(name, 0.0) + loss for name, loss in losses.items()}
            if number % every == 0:
                if report is not None:
                    report(number, {name: total / every for name, total in sums.items()})
                sums = {}
    return OfflineAgent(learner.acting, inputs, config, config.label)


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
    network = acting(config, inputs.state_width, inputs.item_width, inputs.scorer.vectors, inputs.scorer.slots)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{folder} holds weights of another shape: {error}; learn again") from error
    return OfflineAgent(network, inputs, config, config.label)

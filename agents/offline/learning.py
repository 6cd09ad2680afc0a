"""Learning from a log alone: behaviour cloning, implicit Q-learning and conservative Q-learning of slates.

A policy is a Plackett–Luce distribution over slates whose scores a `SlateNetwork` gives; it is played with the best
scores first, without chance. A slate's value is decomposed as in SlateQ (Ie et al., 2019): what is consumed decides
what follows, so ``Q(s, A) = Σ_i P(i|s, A) Q̄(s, i)``, over the slate's items and nothing, with a multinomial logit P
that is fitted to the log along the way.

(d3rlpy, the library of offline reinforcement learning, pins gymnasium 1.0.0 and cannot be installed beside this one; it
has no slates.)
"""

import copy
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...encoders.device import say_where_it_learns
from ..slates.choice_losses import choice_loss, pick_chosen, slate_value
from ..slates.inputs import Inputs, SlateInputs
from ..slates.plackett_luce import slot_log_probabilities
from .agent import Critic, OfflineAgent, OfflineConfig, Values, make_critic, make_network
from .data import Log
from .losses import bootstrap, cloning_loss, conservative_loss, expectile_loss, weigh_advantage
from .transitions import Batch, Transitions

SAMPLE = 2000  # observations that the networks' scale is taken from


class OfflineLearner:
    """Networks and how a batch moves them.

    Parameters
    ----------
    config
        Options of the learning.
    data
        Transitions that the networks' scale and sizes are taken from.
    vectors
        Vectors (N + 1, E) of the items' texts.
    slots
        Slots K of a slate.
    """

    def __init__(self, config: OfflineConfig, data: Transitions, vectors: NDArray[np.float32], slots: int) -> None:
        self.config = config
        inputs = data.inputs
        sizes = (inputs.state.shape[1], inputs.items.shape[2])
        self.acting = make_network(config, *sizes, vectors, slots)
        modules = [self.acting]
        if config.agent == "iql":
            modules.append(make_critic(config, *sizes, vectors, slots))
        self.critic = modules[-1]
        some = slice(None, None, max(1, len(inputs.state) // SAMPLE))
        sample = Inputs(inputs.state[some], inputs.items[some], inputs.ids[some])
        for module in modules:
            (module.network if isinstance(module, Critic) else module).calibrate(sample)
        self.target = copy.deepcopy(self.critic) if config.agent != "bc" else None
        self.optimiser = torch.optim.Adam([p for module in modules for p in module.parameters()], config.learning_rate)

    def update(self, batch: Batch) -> dict[str, float]:
        """One gradient step; the losses by name."""
        losses = {"bc": self._clone, "iql": self._learn_expectiles, "cql": self._learn_conservatively}[
            self.config.agent
        ](batch)
        self.optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        if self.target is not None:
            with torch.no_grad():
                for old, new in zip(self.target.parameters(), self.critic.parameters(), strict=True):
                    old.lerp_(new, self.config.target_rate)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _rate_slates(self, batch: Batch) -> Tensor:
        """(B,) of the slates, divided by K so that losses are of order one."""
        scores = self.acting(*batch.now)[0][0]
        return slot_log_probabilities(scores, batch.columns).mean(dim=1)

    def _clone(self, batch: Batch) -> dict[str, Tensor]:
        return {"policy": cloning_loss(self._rate_slates(batch), torch.ones_like(batch.reward))}

    def _fit_consumed(self, values: Values, batch: Batch, v_t: Tensor) -> dict[str, Tensor]:
        """Losses of the choice model and of Q̄ of what was consumed."""
        chances, q, q_nothing = self.critic.judge_slates(values, batch.columns)
        error = pick_chosen(q, q_nothing, batch.choice) - bootstrap(batch.reward, batch.discount, v_t)
        return {"choice": choice_loss(chances, batch.choice).mean(), "q": error.square().mean()}

    def _learn_expectiles(self, batch: Batch) -> dict[str, Tensor]:
        assert self.target is not None
        values = self.critic(*batch.now)
        with torch.no_grad():
            v_t = self.critic(*batch.then).v
            whole = slate_value(*self.target.judge_slates(self.target(*batch.now), batch.columns))
            weight = weigh_advantage(whole - values.v, self.config.inverse_temperature)
        return {
            "policy": cloning_loss(self._rate_slates(batch), weight),
            "v": expectile_loss(whole - values.v, self.config.expectile),
            **self._fit_consumed(values, batch, v_t),
        }

    def _learn_conservatively(self, batch: Batch) -> dict[str, Tensor]:
        assert self.target is not None
        values, slots = self.critic(*batch.now), batch.columns.shape[1]
        with torch.no_grad():  # the online critic chooses the next slate, its slow copy values it
            best = self.critic.rank_items(self.critic(*batch.then)).topk(min(slots, batch.then[2].shape[1])).indices
            best = best.masked_fill(batch.then[2].gather(1, best) == 0, -1)
            v_t = slate_value(*self.target.judge_slates(self.target(*batch.then), best))
        return {
            "conservative": self.config.conservative * conservative_loss(values.q, batch.columns),
            **self._fit_consumed(values, batch, v_t),
        }


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
        Log of slates of candidates.
    inputs
        Callable from observations to what networks read; the policy belongs to it.
    config
        Options of the learning.
    report
        Callable that gets the number of updates and the mean losses since the last call, 20 times.
    """
    say_where_it_learns("offline learning")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        data = Transitions(log, inputs)
        learner = OfflineLearner(config, data, inputs.scorer.vectors, log.slates.shape[1])
        every, sums = max(1, config.updates // 20), {}  # type: int, dict[str, float]
        for number in range(1, config.updates + 1):
            losses = learner.update(data.select_batch(torch.randint(len(data), (config.batch,)), config.gamma))
            sums = {name: sums.get(name, 0.0) + loss for name, loss in losses.items()}
            if number % every == 0:
                if report is not None:
                    report(number, {name: total / every for name, total in sums.items()})
                sums = {}
    return OfflineAgent(learner.acting, inputs, config, config.label)

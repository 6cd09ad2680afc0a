"""What learners of item values share: SlateQ and the proto-item actor–critic."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..playing.training_users import SlateOutcome
from ..slates.inputs import Inputs
from .learner import Learner

RANDOM_STEPS = 16  # slates at random for each user at first, for the scales of inputs and values


class ItemValueLearner(Learner):
    """A learner whose network takes its scales from random slates, and that shows some such slates in training.

    Its options have ``fill``, ``by_time`` and ``horizon_ends``; its network has ``calibrate(inputs, clicked, minutes,
    discount)``.
    """

    agent: Any

    def _calibrate(self) -> None:
        """Show random slates for the scales of inputs and values; they count, too."""
        seen, choices, rewards, discounts = [], [], [], []
        for _ in range(RANDOM_STEPS):
            seen.append(self.players.now)
            outcome = self.players.step(self._random(seen[-1]))
            choices.append(outcome.choice >= 0)
            rewards.append(outcome.reward)
            discounts.append(self._discounts(outcome))
            self.steps += len(outcome.choice)
        clicked = np.concatenate(choices)
        sample = Inputs(*(np.concatenate([getattr(s, part) for s in seen]) for part in ("state", "items", "ids")))
        self.agent.network.calibrate(
            sample,
            float(clicked.mean()),
            float(np.concatenate(rewards).sum() / max(clicked.sum(), 1)),
            float(np.mean(discounts)),
        )

    def _random(self, inputs: Inputs) -> NDArray[np.int64]:
        """Columns (B, K) at random."""
        slots = self.agent.slots
        order = np.where(inputs.ids > 0, self.chance.random(inputs.ids.shape), 2.0).argsort(axis=1)[:, :slots]
        real = np.take_along_axis(inputs.ids, order, axis=1) > 0
        if not self.options.fill:
            real &= self.chance.random(real.shape) < 0.8
        columns = np.full((len(order), slots), -1, np.int64)
        columns[:, : order.shape[1]] = np.where(real, order, -1)
        return columns

    def _discounts(self, outcome: SlateOutcome) -> NDArray[np.float32]:
        kept = outcome.discounts(self.gamma, self.options.by_time)
        return np.where(outcome.truncated, np.float32(0.0), kept) if self.options.horizon_ends else kept


APPEAL, MINUTES, FUTURE = range(3)  # heads of the network

BASE, NONE = range(2)  # values of the network

ONE = 0.5413249  # softplus of it is 1


class Judged(NamedTuple):
    """Of M items for each of B users; rewards are as the learner sees them.

    Attributes
    ----------
    appeal
        (B, M) scores v of the choice model, −∞ for no item.
    minutes
        (B, M) reward now, given a click; 0 for no item.
    future
        (B, M) discounted value of what follows a click; 0 for no item.
    none
        (B,) discounted value of what follows if nothing is clicked.
    """

    appeal: Tensor
    minutes: Tensor
    future: Tensor
    none: Tensor

    @property
    def worth(self) -> Tensor:
        """Q̄(s, i): (B, M)."""
        return self.minutes + self.future

    @property
    def gain(self) -> Tensor:
        """What a click is worth more than none: (B, M)."""
        return self.worth - self.none[:, None]

"""What learners of item values share: SlateQ and the actor–critic that points at items."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..playing.training_users import SlateOutcome
from ..slates.inputs import Inputs
from .learner import Learner
from .warm_up import join_inputs, show_random_slates

RANDOM_STEPS = 16  # slates at random for each user at first, for the scales of inputs and values
APPEAL, MINUTES, FUTURE = range(3)  # scores that a network gives each item
BASE, NONE = range(2)  # values that it gives each state
ONE = 0.5413249  # softplus of it is 1


class ItemValues(NamedTuple):
    """What is known of M items for each of B users; rewards are as the learner sees them.

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


class ItemValueNetwork(nn.Module):
    """How far each slot is looked at, and the units of the outputs of a network of item values.

    Units are set so that a network that knows nothing predicts what random slates bring.

    Parameters
    ----------
    slots
        K.
    """

    units: Tensor

    def __init__(self, slots: int) -> None:
        super().__init__()
        self.fall = nn.Parameter(torch.full((slots - 1,), -2.0))  # of log p, slot by slot, before softplus
        self.register_buffer("units", torch.tensor([0.0, 1.0, 1.0, 1.0]))  # appeal, minutes, future, its mean

    @property
    def log_position(self) -> Tensor:
        """(K,) log p: 0 for the first slot, and no slot is looked at more than the one above it."""
        return torch.cat([self.units.new_zeros(1), -softplus(self.fall).cumsum(dim=0)])

    @property
    def scale(self) -> tuple[Tensor, Tensor]:
        """Units of minutes, and of the future."""
        return self.units[1], self.units[2]

    def fit_units(self, clicked: float, minutes: float, discount: float) -> None:
        """Take the units from random slates.

        Parameters
        ----------
        clicked
            Share of slates with a click.
        minutes
            Mean reward of a click.
        discount
            Mean discount of what follows a slate.
        """
        clicked = float(np.clip(clicked, 0.01, 0.99))
        minutes = max(minutes, 1e-3)
        looked_at = float(self.log_position.detach().exp().sum())
        # The value of earning as much for ever; at most of some hundred slates, should no one leave.
        horizon = 1.0 / max(1.0 - discount, 0.005)
        whole = horizon * clicked * minutes
        appeal = np.log(clicked / (1.0 - clicked) / looked_at)
        self.units.copy_(torch.tensor([appeal, minutes, whole, discount * whole]))


class ItemValueLearner(Learner):
    """A learner whose network takes its scales from random slates, and that shows some such slates in training.

    Its options have ``fill``, ``by_time`` and ``horizon_ends``; its network has ``calibrate(inputs, clicked, minutes,
    discount)``.
    """

    agent: Any

    def _calibrate(self) -> None:
        """Show random slates for the scales of inputs and values; they count, too."""
        seen, outcomes = show_random_slates(self.players, RANDOM_STEPS, self._draw_random)
        self.steps += sum(len(outcome.choice) for outcome in outcomes)
        clicked = np.concatenate([outcome.choice >= 0 for outcome in outcomes])
        rewards = np.concatenate([outcome.reward for outcome in outcomes])
        self.agent.network.calibrate(
            join_inputs(seen),
            float(clicked.mean()),
            float(rewards.sum() / max(clicked.sum(), 1)),
            float(np.mean([self._discount(outcome) for outcome in outcomes])),
        )

    def _draw_random(self, inputs: Inputs, rows: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Columns (B, K) at random; of `rows` (B,) alone, where they are given, by the same chance."""
        slots, chance = self.agent.slots, self.rng.random(inputs.ids.shape)
        dense = None if self.options.fill else self.rng.random((len(chance), min(slots, chance.shape[1]))) < 0.8
        kept = np.ones(len(chance), bool) if rows is None else rows
        ids = inputs.ids[kept]
        order = np.where(ids > 0, chance[kept], 2.0).argsort(axis=1)[:, :slots]
        real = np.take_along_axis(ids, order, axis=1) > 0
        if dense is not None:
            real &= dense[kept]
        columns = np.full((len(order), slots), -1, np.int64)
        columns[:, : order.shape[1]] = np.where(real, order, -1)
        return columns

    def _discount(self, outcome: SlateOutcome) -> NDArray[np.float32]:
        """Discounts (B,) of what follows each slate."""
        discounts = outcome.discounts(self.gamma, self.options.by_time)
        return np.where(outcome.truncated, np.float32(0.0), discounts) if self.options.horizon_ends else discounts

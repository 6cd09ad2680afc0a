"""What SlateQ knows of a state: which item would be chosen, what a click pays now, and what comes after."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import softplus

from ...slates.inputs import Inputs, SlateInputs
from ...slates.networks import SlateNetwork
from ..item_values import APPEAL, BASE, FUTURE, MINUTES, NONE, ONE, Judged


class SlateQNetwork(nn.Module):
    """A `SlateNetwork` with three scores for each candidate and two values, and how far each slot is looked at.

    Outputs are in units that `scale` sets, so that a network that knows nothing predicts what random slates bring. The
    future of a click is a value of the state plus a score of the item; that of no click the value plus a second one.

    Parameters
    ----------
    inputs
        For the widths.
    vectors
        (N + 1, E) text vectors of the items by number.
    slots
        K.
    ahead
        Whether there is a future; without it, it is worth 0.
    plain
        Whether a choice changes the future by a weighting of the item's traits that is the same in all states, set from
        outside (`longplay.agents.learners.slateq.foresight`, `longplay.agents.learners.slateq.later_search`); otherwise
        two more outputs learn it.
    hidden, match
        Of the `SlateNetwork`.
    """

    units: Tensor
    later: Tensor

    def __init__(
        self,
        inputs: SlateInputs,
        vectors: NDArray[np.float32],
        slots: int,
        *,
        ahead: bool,
        plain: bool,
        hidden: int,
        match: int,
    ) -> None:
        super().__init__()
        self.ahead, self.plain = ahead, plain
        widths = inputs.state_width, inputs.item_width
        heads, values = (2, 1) if plain else (3, 2)
        self.base = SlateNetwork(*widths, vectors, heads=heads, values=values, hidden=hidden, match=match)
        self.register_buffer("later", torch.zeros(inputs.item_width + 2))  # weights of `traits`
        self.fall = nn.Parameter(torch.full((slots - 1,), -2.0))  # of log p, slot by slot, before softplus
        self.register_buffer("units", torch.tensor([0.0, 1.0, 1.0, 1.0]))  # appeal, minutes, future, its mean

    @property
    def log_position(self) -> Tensor:
        """(K,) log p: 0 for the first slot, and no slot is looked at more than the one above it."""
        return torch.cat([self.units.new_zeros(1), -softplus(self.fall).cumsum(dim=0)])

    @property
    def scale(self) -> tuple[Tensor, Tensor]:
        """Of minutes, and of the future."""
        return self.units[1], self.units[2]

    def calibrate(self, inputs: Inputs, clicked: float, minutes: float, discount: float) -> None:
        """Take scales from random slates.

        Parameters
        ----------
        inputs
            A sample of what is read.
        clicked, minutes, discount
            Share of slates with a click, mean reward of a click, mean discount of what follows a slate.
        """
        self.base.calibrate(inputs)
        clicked = float(np.clip(clicked, 0.01, 0.99))
        minutes = max(minutes, 1e-3)
        looked_at = float(self.log_position.detach().exp().sum())
        # The value of earning as much for ever; at most of some hundred slates, should no one leave.
        horizon = 1.0 / max(1.0 - discount, 0.005)
        whole = horizon * clicked * minutes
        found = [np.log(clicked / (1.0 - clicked) / looked_at), minutes, whole, discount * whole]
        self.units.copy_(torch.tensor(found))

    def forward(
        self, state: Tensor, items: Tensor, ids: Tensor, mean: Tensor | None = None, later: Tensor | None = None
    ) -> Judged:
        """What is known of items, as of `SlateNetwork.forward`; `later` (B, F + 2) replaces the weighting."""
        scores, values = self.base(state, items, ids, mean)
        real = ids > 0
        appeal, minutes, future, level = self.units
        minutes = torch.where(real, minutes * softplus(scores[MINUTES] + ONE), 0.0)
        base = level + future * values[BASE] if self.ahead else torch.zeros_like(values[BASE])
        if self.plain or not self.ahead:
            weights = (self.later if later is None else later).expand(len(items), -1)
            change, none = torch.einsum("bml,bl->bm", self.traits(scores[APPEAL], items, ids), weights), base
        else:
            change, none = future * scores[FUTURE], base + future * values[NONE]
        return Judged(scores[APPEAL] + appeal, minutes, torch.where(real, base[:, None] + change, 0.0), none)

    def traits(self, appeal: Tensor, items: Tensor, ids: Tensor) -> Tensor:
        """What may tell how an item changes what follows: (B, M, F + 2), a 1, its features and its appeal."""
        real = (ids > 0)[:, :, None]
        known = torch.where(real, appeal[:, :, None], 0.0)
        return torch.cat([real.to(items.dtype), self.base.scaled(items, ids), known], dim=2)

    def run(self, inputs: Inputs, later: Tensor | None = None) -> Judged:
        """`forward` of NumPy arrays."""
        parts = (torch.from_numpy(part) for part in (inputs.state, inputs.items, inputs.ids))
        found: Judged = self(*parts, later=later)
        return found

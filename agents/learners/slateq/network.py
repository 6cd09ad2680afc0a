"""What SlateQ knows of a state: which item would be chosen, what a click pays now, and what comes after."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from ...slates.inputs import Inputs, SlateInputs
from ...slates.networks import SlateNetwork
from ..item_values import APPEAL, BASE, FUTURE, MINUTES, NONE, ONE, ItemValueNetwork, ItemValues


class SlateQNetwork(ItemValueNetwork):
    """A `SlateNetwork` with three scores for each candidate and two values, and how far each slot is looked at.

    The future of a click is a value of the state plus a score of the item; that of no click the value plus a second
    one.

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
        outside (`longplay.agents.learners.slateq.follow_up`, `longplay.agents.learners.slateq.lookahead_search`);
        otherwise two more outputs learn it.
    hidden, match
        Of the `SlateNetwork`.
    """

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
        super().__init__(slots)
        self.ahead, self.plain = ahead, plain
        widths = inputs.state_width, inputs.item_width
        heads, values = (2, 1) if plain else (3, 2)
        self.base = SlateNetwork(*widths, vectors, heads=heads, values=values, hidden=hidden, match=match)
        self.register_buffer("later", torch.zeros(inputs.item_width + 2))  # weights of `traits`

    def calibrate(self, inputs: Inputs, clicked: float, minutes: float, discount: float) -> None:
        """Take scales from random slates: of inputs, and the units as of `fit_units`."""
        self.base.calibrate(inputs)
        self.fit_units(clicked, minutes, discount)

    def forward(
        self, state: Tensor, items: Tensor, ids: Tensor, mean: Tensor | None = None, later: Tensor | None = None
    ) -> ItemValues:
        """What is known of items, as of `SlateNetwork.forward`; `later` (B, F + 2) replaces the weighting."""
        scores, values = self.base(state, items, ids, mean)
        real = ids > 0
        appeal, minutes, future, level = self.units
        minutes = torch.where(real, minutes * softplus(scores[MINUTES] + ONE), 0.0)
        base = level + future * values[BASE] if self.ahead else torch.zeros_like(values[BASE])
        if self._weighs_traits:
            weights = (self.later if later is None else later).expand(len(items), -1)
            change, none = torch.einsum("bml,bl->bm", self.traits(scores[APPEAL], items, ids), weights), base
        else:
            change, none = future * scores[FUTURE], base + future * values[NONE]
        return ItemValues(scores[APPEAL] + appeal, minutes, torch.where(real, base[:, None] + change, 0.0), none)

    def judge_all(self, state: Tensor, items: Tensor, ids: Tensor, mean: Tensor) -> ItemValues:
        """`forward`, to rounding, by the compiled passes of `SlateNetwork.score`, which learners go by."""
        sight = self.base.see(self.base.scale(state, mean))
        weights, users = sight.weights, sight.users
        if self._weighs_traits:  # which is linear in the same features and places: a third score in one pass
            pull = self.later[-1]
            change = pull * weights[:, APPEAL] + torch.cat([self.later[1:-1], self.later[:1]])
            weights = torch.cat([weights, change[:, None]], dim=1)
            users = torch.cat([users, pull * users[:, APPEAL, None]], dim=1)
        scores = self.base.score(weights, users, items, ids)
        return self._value(scores, scores[:, FUTURE], self.base.rate(sight.whole), ids)

    def judge_few(self, state: Tensor, items: Tensor, ids: Tensor, mean: Tensor) -> ItemValues:
        """The same by `SlateNetwork.score_few`, for a few slates."""
        sight, scaled = self.base.see(self.base.scale(state, mean)), self.base.scaled(items, ids)
        scores = self.base.score_few(sight.weights, sight.users, scaled, ids)
        if self._weighs_traits:
            pull = torch.where(ids > 0, scores[:, APPEAL], 0.0)
            change = self.later[0] + scaled @ self.later[1:-1] + self.later[-1] * pull
        else:
            change = scores[:, FUTURE]
        return self._value(scores, change, self.base.rate(sight.whole), ids)

    def _value(self, scores: Tensor, change: Tensor, values: Tensor, ids: Tensor) -> ItemValues:
        """Item values of scores (B, H, M), how a click changes the future (B, M), and values (V, B)."""
        real = ids > 0
        appeal, minutes, future, level = self.units
        minutes = torch.where(real, minutes * softplus(scores[:, MINUTES] + ONE), 0.0)
        base = level + future * values[BASE] if self.ahead else torch.zeros_like(values[BASE])
        none = base
        if not self._weighs_traits:
            change, none = future * change, base + future * values[NONE]
        return ItemValues(scores[:, APPEAL] + appeal, minutes, torch.where(real, base[:, None] + change, 0.0), none)

    @property
    def _weighs_traits(self) -> bool:
        return self.plain or not self.ahead

    def traits(self, appeal: Tensor, items: Tensor, ids: Tensor) -> Tensor:
        """What may tell how an item changes what follows: (B, M, F + 2), a 1, its features and its appeal."""
        real = (ids > 0)[:, :, None]
        pull = torch.where(real, appeal[:, :, None], 0.0)
        return torch.cat([real.to(items.dtype), self.base.scaled(items, ids), pull], dim=2)

    def run(self, inputs: Inputs, later: Tensor | None = None) -> ItemValues:
        """`forward` of NumPy arrays."""
        arrays = (torch.from_numpy(array) for array in (inputs.state, inputs.items, inputs.ids))
        values: ItemValues = self(*arrays, later=later)
        return values

"""The network that slate agents share: several scores of every candidate, and values of the state.

``score_h(s, i) = ⟨w_h(s), x_i⟩ + ⟨u_h(s), e_i⟩ + c_h(s)``: weights over the candidate's features that the state sets,
and a match of the user with the item's text vector in a space of few dimensions. Both are inner products, so a batch of
256 users with 256 candidates each costs as little as one small layer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from .inputs import Inputs
from .item_scores import average_candidates, scale_rows, score_candidates, score_slates

CLIP = 5.0  # standard deviations: what is rarer says no more to the network
HISTORY_LAST = 1000.0  # taken off the scores of the history's items: far more than scores and noise differ by


def make_two_layers(width: int, hidden: int) -> nn.Sequential:
    """Two hidden layers, the block that every network here is made of."""
    return nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())


def fit_scale(sample: Tensor, mean: Tensor, scale: Tensor) -> None:
    """Write mean and standard deviation of a sample (n, D) into two buffers (D,), 1 where nothing varies."""
    mean.copy_(sample.mean(dim=0))
    spread = sample.std(dim=0)
    scale.copy_(torch.where(spread > 1e-4, spread, torch.ones_like(spread)))


def standardise(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """In standard deviations, cut off at `CLIP`."""
    return ((x - mean) / scale).clamp(-CLIP, CLIP)


class ScalesInputs(nn.Module):
    """A module that keeps the scales of its inputs, saved with the weights.

    Parameters
    ----------
    state_width, item_width
        S and F of the inputs.
    """

    mean_state: Tensor
    scale_state: Tensor
    mean_items: Tensor
    scale_items: Tensor

    def __init__(self, state_width: int, item_width: int) -> None:
        super().__init__()
        for part, width in (("state", state_width), ("items", item_width)):
            self.register_buffer(f"mean_{part}", torch.zeros(width))
            self.register_buffer(f"scale_{part}", torch.ones(width))

    @torch.no_grad()
    def calibrate(self, inputs: Inputs) -> None:
        """Take the scale of states, and of real candidates' features, from a sample."""
        fit_scale(torch.from_numpy(inputs.state), self.mean_state, self.scale_state)
        real = torch.from_numpy(inputs.items[inputs.ids > 0])
        fit_scale(real, self.mean_items, self.scale_items)

    def scaled_state(self, state: Tensor) -> Tensor:
        """States (B, S) in standard deviations."""
        return standardise(state, self.mean_state, self.scale_state)

    def scaled(self, items: Tensor, ids: Tensor) -> Tensor:
        """Features (B, M, F) in standard deviations, 0 where there is no candidate."""
        return standardise(items, self.mean_items, self.scale_items) * (ids > 0)[:, :, None]


class Sight(NamedTuple):
    """What a `SlateNetwork` sees of users.

    Attributes
    ----------
    whole
        (B, S + F) states and mean candidates, in standard deviations.
    weights
        (B, heads, F + 1) of the features of candidates, and a constant last.
    users
        (B, heads, match) places of the users among the items.
    """

    whole: Tensor
    weights: Tensor
    users: Tensor


class SlateNetwork(ScalesInputs):
    """Scores (H, B, M) of candidates and values (V, B) of states.

    `forward` is the plain formula, by which agents play. Learners go by `scale`, `see`, `score`, `score_few` and
    `rate`, which give the same to rounding, in compiled passes with gradients.

    Parameters
    ----------
    state_width, item_width
        S and F of the inputs.
    vectors
        (N + 1, E) text vectors of the items by number, row 0 for none; not saved with the weights.
    heads
        H, scores for each candidate.
    values
        V, values for each state.
    hidden
        Width of the two hidden layers.
    match
        Dimensions of the space in which users and items are matched; at most 32, 0 for no match.
    """

    vectors: Tensor

    def __init__(
        self,
        state_width: int,
        item_width: int,
        vectors: NDArray[np.float32],
        *,
        heads: int = 1,
        values: int = 1,
        hidden: int = 64,
        match: int = 16,
    ) -> None:
        super().__init__(state_width, item_width)
        self.heads, self.values, self.match, self.item_width = heads, values, match, item_width
        self._held: Tensor | None = None
        self.register_buffer("vectors", torch.from_numpy(np.ascontiguousarray(vectors)), persistent=False)
        whole = state_width + item_width  # the state, and the mean candidate
        self.trunk = make_two_layers(whole, hidden)
        self.judge = make_two_layers(whole, hidden)
        self.weights = nn.Linear(hidden, self.heads * (item_width + 1))
        self.constant = nn.Parameter(torch.zeros(heads, item_width))
        if match:
            self.user = nn.Linear(hidden, self.heads * match)
            self.user_direct = nn.Linear(state_width, self.heads * match, bias=False)
            self.item = nn.Linear(vectors.shape[1], match, bias=False)
        self.value = nn.Linear(hidden, values)
        for layer in (self.weights, self.value):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        if match:  # starts at almost nothing, and grows where it pays
            nn.init.normal_(self.user.weight, std=0.01)
            nn.init.zeros_(self.user.bias)
            nn.init.normal_(self.user_direct.weight, std=0.01)

    def mean_candidate(self, items: Tensor, ids: Tensor) -> Tensor:
        """Mean scaled features (B, F) of the candidates: all that the state's part of the network sees of them."""
        return self.scaled(items, ids).sum(dim=1) / (ids > 0).sum(dim=1, keepdim=True).clamp(min=1)

    def forward(self, state: Tensor, items: Tensor, ids: Tensor, mean: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scores (H, B, M), −inf where there is no candidate, and values (V, B).

        Parameters
        ----------
        state, items, ids
            (B, S), (B, M, F) and (B, M), as in `Inputs`.
        mean
            (B, F) `mean_candidate` of all candidates, where `items` are only some of them, such as a slate's.
        """
        real = ids > 0
        x = self.scaled(items, ids)
        s = self.scaled_state(state)
        if mean is None:
            mean = x.sum(dim=1) / real.sum(dim=1, keepdim=True).clamp(min=1)
        whole = torch.cat([s, mean], dim=1)
        z = self.trunk(whole)
        w = self.weights(z).view(len(s), self.heads, self.item_width + 1)
        scores = torch.einsum("bhf,bmf->hbm", w[:, :, :-1] + self.constant, x) + w[:, :, -1].T[:, :, None]
        if self.match:
            u = (self.user(z) + self.user_direct(s)).view(len(s), self.heads, self.match)
            # Of the whole table where that is smaller than the batch's candidates.
            e = self.item(self.vectors)[ids] if len(self.vectors) < ids.numel() else self.item(self.vectors[ids])
            scores = scores + torch.einsum("bhd,bmd->hbm", u, e)
        return scores.masked_fill(~real, -torch.inf), self.value(self.judge(whole)).T

    @contextmanager
    def holding_items(self) -> Iterator[None]:
        """Place all items once for all scores that `see` gives inside, while no weight moves."""
        with torch.no_grad():
            self._held = self._place_items()
        try:
            yield
        finally:
            self._held = None

    def _place_items(self) -> Tensor:
        """(N + 1, match) places of all items."""
        found: Tensor = self.item(self.vectors) if self.match else self.vectors.new_zeros(len(self.vectors), 0)
        return found

    @property
    def _item_scale(self) -> tuple[Tensor, Tensor, float]:
        return self.mean_items, self.scale_items, CLIP

    def average(self, items: Tensor, ids: Tensor) -> Tensor:
        """`mean_candidate`, to rounding, in one pass without gradients."""
        return average_candidates(items, ids, self._item_scale)

    def scale(self, state: Tensor, mean: Tensor) -> Tensor:
        """(B, S + F) states (B, S), in standard deviations, and mean candidates (B, F): what `see` and `rate` take."""
        return scale_rows(state, mean, (self.mean_state, self.scale_state, CLIP))

    def see(self, whole: Tensor, first: int = 0) -> Sight:
        """What is seen of users by their `scale`d states, from which scores are made, of the heads from `first` on."""
        z, kept = self.trunk(whole), slice(first * (self.item_width + 1), None)
        constant = pad(self.constant[first:], (0, 1))
        weights = (
            linear(z, self.weights.weight[kept], self.weights.bias[kept]).reshape(len(z), *constant.shape) + constant
        )
        if not self.match:
            return Sight(whole, weights, whole.new_zeros(len(z), len(constant), 0))
        kept, states = slice(first * self.match, None), whole[:, : self.mean_state.shape[0]]
        users = linear(z, self.user.weight[kept], self.user.bias[kept])
        users = users + linear(states, self.user_direct.weight[kept])
        return Sight(whole, weights, users.reshape(len(z), len(constant), self.match))

    def rate(self, whole: Tensor) -> Tensor:
        """Values (V, B) of `scale`d states."""
        values: Tensor = self.value(self.judge(whole)).T
        return values

    def score(self, weights: Tensor, users: Tensor, items: Tensor, ids: Tensor) -> Tensor:
        """Scores (B, H, M) of all candidates by weights (B, H, F + 1) and places (B, H, match): see `Sight`."""
        places = self._place_items() if self._held is None else self._held
        return score_candidates(weights, users, places, items, ids, self._item_scale)

    def score_few(self, weights: Tensor, users: Tensor, scaled: Tensor, ids: Tensor) -> Tensor:
        """`score` of few items (B, K) of each user, such as slates, with features (B, K, F) that are `scaled`."""
        return score_slates(self.project(users), weights, self.table, scaled, ids)

    @property
    def table(self) -> Tensor:
        """(N + 1, E) vectors that users are matched with; (N + 1, 0) without a match."""
        return self.vectors if self.match else self.vectors[:, :0]

    def project(self, users: Tensor) -> Tensor:
        """(B, H, E) whose inner products with the `table`'s rows are those of places (B, H, match) with the items'."""
        if not self.match:
            return users
        return linear(users, self.item.weight.T)

    def run(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """`forward` of NumPy arrays, on the network's device."""
        device = self.vectors.device
        arrays = (inputs.state, inputs.items, inputs.ids)
        scores, values = self(*(torch.from_numpy(array).to(device) for array in arrays))
        return scores, values

"""The networks of Wolpertinger agents: a fixed space of items, an actor that points into it, critics of points."""

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import softplus

from ...slates.inputs import Inputs, SlateInputs
from ...slates.networks import CLIP, ScalesInputs, make_two_layers
from ..item_values import APPEAL, BASE, FUTURE, MINUTES, NONE, ONE, ItemValueNetwork, ItemValues

MOST_DIMENSIONS = 32


class ItemSpace(ScalesInputs):
    """States and candidates in standard deviations; a candidate is a point of D dimensions.

    The first dimensions are the candidate's features, as they are for this user now; the last are the principal
    components of its text vector, in a common unit in which their mean variance is 1. Scales are saved; the texts'
    part of the points follows from the vectors.

    Parameters
    ----------
    state_width, item_width
        S and F of the inputs.
    vectors
        (N + 1, E) text vectors of the items by number.
    text
        Principal components, at most E.

    Raises
    ------
    ValueError
        If D = F + `text` is more than 32.
    """

    texts: Tensor

    def __init__(self, state_width: int, item_width: int, vectors: NDArray[np.float32], text: int) -> None:
        super().__init__(state_width, item_width)
        text = min(text, vectors.shape[1])
        if item_width + text > MOST_DIMENSIONS:
            raise ValueError(
                f"text = {text} is out of range; allowed: 0 to {MOST_DIMENSIONS - item_width}, as an item has "
                f"{item_width} features and its space at most {MOST_DIMENSIONS} dimensions"
            )
        self.width, self.whole_width = item_width + text, state_width + item_width
        texts = np.zeros((len(vectors), text), np.float32)
        texts[1:] = np.clip(compute_principal_components(vectors[1:], text), -CLIP, CLIP)
        self.register_buffer("texts", torch.from_numpy(texts), persistent=False)

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """States with the mean candidate (B, S + F), and candidates (B, M, D), 0 where there is none."""
        ids = torch.from_numpy(inputs.ids)
        state = self.scaled_state(torch.from_numpy(inputs.state))
        items = self.scaled(torch.from_numpy(inputs.items), ids)
        mean = items.sum(dim=1) / (ids > 0).sum(dim=1, keepdim=True).clamp(min=1)
        return torch.cat([state, mean], dim=1), torch.cat([items, self.texts[ids]], dim=2)


def compute_principal_components(vectors: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Vectors (N, E), their mean taken off, along their first principal components: (N, count).

    All are divided by one number, so that the components' variances have the mean 1. Each points where its largest part
    is positive, so that the same vectors give the same points.
    """
    centred = vectors - vectors.mean(axis=0)
    values, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64) / max(len(vectors), 1))
    first = np.argsort(-values, kind="stable")[:count]
    found = directions[:, first]
    found = found * np.where(found[np.abs(found).argmax(axis=0), np.arange(len(first))] < 0, -1.0, 1.0)
    variance = float(values[first].mean()) if len(first) else 0.0
    unit = np.sqrt(variance) if variance > 1e-12 else 1.0
    components: NDArray[np.float32] = centred @ (found / unit).astype(np.float32)
    return components


class Actor(nn.Module):
    """The proto item (B, D) of a state, within `reach` of the mean item in each dimension; at first close to it."""

    def __init__(self, whole: int, points: int, hidden: int, reach: float) -> None:
        super().__init__()
        self.reach = reach
        self.trunk, self.out = make_two_layers(whole, hidden), nn.Linear(hidden, points)
        nn.init.normal_(self.out.weight, std=0.01)
        nn.init.zeros_(self.out.bias)

    def forward(self, whole: Tensor) -> Tensor:
        """Of states with mean candidates (B, S + F)."""
        proto: Tensor = self.reach * torch.tanh(self.out(self.trunk(whole)))
        return proto


class Critic(nn.Module):
    """Scores (3, B, n) of points (B, n, D), and values (2, B) of states.

    A score is an inner product with weights that the state sets, and a bend: a hidden layer of state and point, so
    that the best point need not be on the border of the space.

    Parameters
    ----------
    whole, points, hidden
        S + F, D, and the width of the hidden layers.
    plain
        Whether the last score is one weighting of the point, and the last value a number, the same for all states.
    """

    def __init__(self, whole: int, points: int, hidden: int, plain: bool) -> None:
        super().__init__()
        self.bent = 2 if plain else 3  # scores that depend on the state
        self.none = nn.Parameter(torch.zeros(()))  # the last value, where it is a number
        self.trunk, self.judge = make_two_layers(whole, hidden), make_two_layers(whole, hidden)
        self.weights, self.constant = nn.Linear(hidden, self.bent * (points + 1)), nn.Parameter(torch.zeros(3, points))
        self.state, self.point = nn.Linear(hidden, hidden), nn.Linear(points, hidden, bias=False)
        self.bend, self.value = nn.Linear(hidden, self.bent, bias=False), nn.Linear(hidden, self.bent - 1)
        for layer in (self.weights, self.bend, self.value):
            nn.init.normal_(layer.weight, std=0.01)
        for layer in (self.weights, self.value):
            nn.init.zeros_(layer.bias)

    def forward(self, whole: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Of states with mean candidates (B, S + F) and points."""
        z = self.trunk(whole)
        w = self.weights(z).view(len(z), self.bent, -1)
        straight = torch.einsum("bhd,bnd->hbn", w[:, :, :-1], points) + w[:, :, -1].T[:, :, None]
        bent = self.bend(torch.tanh(self.state(z)[:, None, :] + self.point(points))).permute(2, 0, 1)
        depends = straight + bent
        if self.bent == 2:
            depends = torch.cat([depends, torch.zeros_like(depends[:1])])
        values = self.value(self.judge(whole)).T
        if self.bent == 2:
            values = torch.cat([values, self.none.expand_as(values)])
        return depends + torch.einsum("hd,bnd->hbn", self.constant, points), values


class WolpertingerNetwork(ItemValueNetwork):
    """An actor, one or two critics, and how far each slot is looked at.

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
    text, hidden, reach, critics, plain
        Principal components of texts; width of hidden layers; bound of proto items; one critic or two; see `Critic`.
    """

    def __init__(
        self,
        inputs: SlateInputs,
        vectors: NDArray[np.float32],
        slots: int,
        ahead: bool,
        *,
        text: int,
        hidden: int,
        reach: float,
        critics: int,
        plain: bool,
    ) -> None:
        super().__init__(slots)
        self.ahead, self.plain = ahead, plain
        self.space = ItemSpace(inputs.state_width, inputs.item_width, vectors, text)
        whole, points = self.space.whole_width, self.space.width
        self.actor = Actor(whole, points, hidden, reach)
        self.critics = nn.ModuleList([Critic(whole, points, hidden, plain) for _ in range(critics)])

    def calibrate(self, inputs: Inputs, clicked: float, minutes: float, discount: float) -> None:
        """Take scales from random slates: of inputs, and the units as of `fit_units`."""
        self.space.calibrate(inputs)
        self.fit_units(clicked, minutes, discount)

    def judge(self, whole: Tensor, points: Tensor, real: Tensor, critic: int = 0) -> ItemValues:
        """What a critic knows of points (B, n, D), where `real` (B, n), in states with mean candidates (B, S + F)."""
        scores, values = self.critics[critic](whole, points)
        appeal, minutes, future, level = self.units
        pull = (scores[APPEAL] + appeal).masked_fill(~real, -torch.inf)
        now = torch.where(real, minutes * softplus(scores[MINUTES] + ONE), 0.0)
        if not self.ahead:
            return ItemValues(pull, now, torch.zeros_like(now), torch.zeros_like(values[BASE]))
        base = level + future * values[BASE]
        unit = self.units[1] if self.plain else future
        after = torch.where(real, base[:, None] + unit * scores[FUTURE], 0.0)
        return ItemValues(pull, now, after, base + unit * values[NONE])

    def proto(self, whole: Tensor) -> Tensor:
        """Proto items (B, D)."""
        return cast(Tensor, self.actor(whole))

"""The latest segments of play: what learners that reuse slates draw from."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEAST = 1e-3  # priority that even a slate without error keeps


class Replay:
    """A ring of segments: T slates of B users, one after the other, in which returns over several slates can be formed.

    Parameters
    ----------
    segments, slates, users
        R, T and B.
    alpha
        How much the error decides what is drawn: 0 not at all, 1 in proportion (Schaul et al., 2016).
    beta
        How much of the bias of drawing by error the weights take back: 1 all of it.
    """

    def __init__(self, segments: int, slates: int, users: int, alpha: float = 0.0, beta: float = 1.0) -> None:
        self.shape, self.alpha, self.beta = (segments, slates, users), alpha, beta
        self.data: dict[str, Tensor] = {}
        self.priority = torch.ones(self.shape)
        self.added = 0  # segments ever

    @property
    def held(self) -> int:
        """Segments that can be drawn from."""
        return min(self.added, self.shape[0])

    def add(self, segment: Mapping[str, Tensor]) -> None:
        """Keep a segment in place of the oldest: arrays (T, B, ·), or (T + 1, B, ·) with the state after the last."""
        place = self.added % self.shape[0]
        for name, part in segment.items():
            if name not in self.data:
                self.data[name] = torch.zeros(self.shape[0], *part.shape, dtype=part.dtype)
            self.data[name][place] = part
        self.priority[place] = self.priority[: self.held].max() if self.added else 1.0
        self.added += 1

    def read_all(self, name: str) -> Tensor:
        """All that is held of an array: (R, T, B, ·)."""
        return self.data[name][: self.held]

    def draw(self, count: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Tensor]:
        """Places of `count` slates, or of as many as there are, and the weights (count,) of their losses, at most 1."""
        size = self.held * self.shape[1] * self.shape[2]
        if self.alpha == 0.0:
            places = rng.permutation(size)[:count]
            return places, torch.ones(len(places))
        share = self.priority[: self.held].flatten().double().numpy() ** self.alpha
        share /= share.sum()
        places = np.minimum(np.searchsorted(np.cumsum(share), rng.random(count), side="right"), size - 1)
        weights = (size * share[places]) ** -self.beta
        return places, torch.from_numpy(weights / weights.max()).float()

    def read_rows(self, name: str, places: NDArray[np.int64]) -> Tensor:
        """An array's rows (n, ·) at places that `draw` gave."""
        data, (_, slates, users) = self.data[name], self.shape
        # Where an array also has the state after a segment's last slate, that many rows lie between two segments.
        rows = places + places // (slates * users) * ((data.shape[1] - slates) * users)
        return data.flatten(0, 2).index_select(0, torch.from_numpy(rows))

    def set_priorities(self, places: NDArray[np.int64], errors: Tensor) -> None:
        """Set the priorities of slates to the sizes of their errors (n,)."""
        self.priority.view(-1)[torch.from_numpy(places)] = errors.abs().float() + LEAST

    def save_state(self) -> dict[str, Tensor]:
        """Everything that moves."""
        return {**self.data, "priority": self.priority, "added": torch.tensor(self.added)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `save_state`.

        Raises
        ------
        ValueError
            If it is of other sizes.
        """
        if tuple(state["priority"].shape) != self.shape:
            raise ValueError(
                f"replay has the shape {tuple(state['priority'].shape)}, expected {self.shape}: other settings"
            )
        self.data = {name: part.clone() for name, part in state.items() if name not in ("priority", "added")}
        self.priority, self.added = state["priority"].clone(), int(state["added"])

"""A log as tensors, for learning."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..logs.propensities import find_columns
from ..playing.training_users import REWARD_SCALE
from ..slates.inputs import Inputs, SlateInputs
from .data import Log

CHUNK = 500  # observations that are read at a time


class Batch(NamedTuple):
    """Transitions as tensors."""

    now: tuple[Tensor, Tensor, Tensor]  # state (B, S), items (B, M, F), ids (B, M)
    columns: Tensor  # (B, K) columns shown, −1 for an empty slot
    choice: Tensor  # (B,) slot, −1 for none
    reward: Tensor  # (B,) scaled minutes
    discount: Tensor  # (B,) γ, or 0 after the last slate
    then: tuple[Tensor, Tensor, Tensor]


class Transitions:
    """A log as tensors: about 13 kB a slate with 256 candidates.

    Parameters
    ----------
    log
        Log to learn from.
    inputs
        Callable from observations to what networks read.
    """

    def __init__(self, log: Log, inputs: SlateInputs) -> None:
        count = len(log.observations["context"])
        for start in range(0, count, CHUNK):
            piece = slice(start, min(start + CHUNK, count))
            inputs_here = inputs({name: values[piece] for name, values in log.observations.items()})
            if start == 0:  # as one piece of memory: parts to be joined would need it twice
                self.inputs = Inputs(*(np.empty((count, *x.shape[1:]), x.dtype) for x in _list_arrays(inputs_here)))
            for whole, x in zip(_list_arrays(self.inputs), _list_arrays(inputs_here), strict=True):
                whole[piece] = x
        self._tensors = tuple(torch.from_numpy(x) for x in _list_arrays(self.inputs))
        self._before = torch.from_numpy(log.before)
        pieces = np.array_split(np.arange(len(log.slates)), len(log.slates) // CHUNK + 1)
        columns = [find_columns(self.inputs.ids[log.before[rows]], log.slates[rows]) for rows in pieces]
        self._columns = torch.from_numpy(np.concatenate(columns))
        self._choice = torch.from_numpy(log.choice)
        self._reward = torch.from_numpy((REWARD_SCALE * log.minutes).astype(np.float32))
        self._goes_on = torch.from_numpy(~log.churned).float()

    def __len__(self) -> int:
        return len(self._reward)

    def select_batch(self, rows: Tensor, gamma: float) -> Batch:
        """Some transitions."""
        at = self._before[rows]
        now, then = ((s[r], x[r], i[r]) for r in (at, at + 1) for s, x, i in (self._tensors,))
        return Batch(
            now, self._columns[rows], self._choice[rows], self._reward[rows], gamma * self._goes_on[rows], then
        )


def _list_arrays(inputs: Inputs) -> tuple[NDArray[Any], ...]:
    return inputs.state, inputs.items, inputs.ids

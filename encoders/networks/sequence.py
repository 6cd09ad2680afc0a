"""Histories read in order by a GRU, an LSTM, a causal Transformer, or attention between candidate and history."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ...envs.shared.options import Options, number, word
from ...envs.shared.progress import ProgressCallback
from ..base import Encoder, EncoderError, Histories
from ..data.interactions import Interactions
from ..measures.evaluation import find_validation_cases
from ..registry import ENCODERS, EncoderEntry
from ..text.cache import Vectors
from .early_stopping import ValidationRecall
from .fitting import Schedule, train_network
from .sequence_cells import TargetAttention
from .sequence_network import SequenceNetwork

_CHUNK = 256  # histories encoded at once; their tokens stay in the cache of the processor
_WIDE = 100_000  # scores computed at once


@dataclass(frozen=True)
class SequenceOptions(Options):
    """Options of `Sequence`."""

    cell: str = word("transformer", "gru", "lstm", "transformer", "attention")
    """Cell that reads the history: gru, lstm, transformer or attention."""
    size: int = number(64, 1, 4096)
    """Width of tokens; vectors have one more dimension, for the items' bias."""
    layers: int = number(1, 1, 16)
    """Layers of the GRU, LSTM or Transformer."""
    heads: int = number(2, 1, 64)
    """Heads of the Transformer."""
    ids: bool = True
    """Whether items have a learned vector beside their text."""
    length: int = number(20, 1, 1000)
    """Items of a history that are read, the most recent."""
    dropout: float = number(0.2, 0.0, 0.9)
    """Dropout of tokens and within the cell, in training."""
    completion_weight: float = number(0.2, 0.0, 100.0)
    """Weight of the next completion's loss beside the next item's."""
    negatives: int = number(1000, 0, 10**7)
    """Items drawn in each step that the next one competes with, beside those of the batch; all, where there are no more
    or with 0."""
    epochs: int = number(20, 1, 100_000)
    """Passes over the log at most."""
    batch_size: int = number(128, 1, 10**6)
    """Sequences in a step."""
    learning_rate: float = number(3e-3, 1e-8, 10.0)
    """Learning rate at its highest."""
    weight_decay: float = number(0.01, 0.0, 10.0)
    """Weight decay of AdamW."""
    patience: int = number(3, 1, 100_000)
    """Epochs without a better recall@10 on the validation rows after which it stops."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cell == "transformer" and self.size % self.heads:
            raise EncoderError(f"size = {self.size} is no multiple of heads = {self.heads}; change one of them")


class Sequence(Encoder):
    """The history read in order; trained to foretell the next item at every position, and how much of it is consumed.

    A score is ``user · item + bias``; under ``cell="attention"`` a candidate's attention to the history is added, which
    is no inner product: there `score` says more than the vectors of `encode` and `item_vectors`.

    Attributes
    ----------
    network : SequenceNetwork
        A torch module. It can be trained further through `SequenceNetwork.forward_history`, which takes observations
        as tensors; through its own loss only as fitted, and not as loaded.
    """

    options_type = SequenceOptions
    options: SequenceOptions
    network: SequenceNetwork

    def _fit(
        self,
        log: Interactions,
        validation: Interactions | None,
        seed: int,
        folder: Path | None,
        report: ProgressCallback,
    ) -> None:
        windows = Windows(log, self.options.length)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._build_network()
        self.network.begin_from_texts()
        self.network.set_counts(np.bincount(log.item[log.consumed], minlength=log.items + 1))
        judge = None
        if validation is not None:
            judge = ValidationRecall(self, find_validation_cases(log, validation, self.options.length))
        train_network(
            self.network,
            windows,
            Schedule.from_options(self.options),
            seed=seed,
            score=judge,
            collate=windows.collate,
            folder=folder,
            about=self._describe_fit(log, validation),
            report=report,
        )

    def _build_network(self) -> None:
        """Make the network, its weights drawn."""
        options = dataclasses.asdict(self.options)
        names = ("cell", "size", "layers", "heads", "dropout", "ids", "completion_weight", "negatives")
        chosen = {name: options[name] for name in names}
        self.network = SequenceNetwork(
            self.items.vectors, self.items.minutes, longest=self.options.length, **chosen
        ).eval()
        self.width = self.options.size + 1

    @torch.inference_mode()
    def _encode(self, histories: Histories) -> Vectors:
        parts = [self.network.forward_history(*rows) for rows in _split_rows(histories, _CHUNK)]
        return np.concatenate([chunk.numpy() for chunk in parts]) if parts else np.empty((0, self.width), np.float32)

    @torch.inference_mode()
    def _item_vectors(self) -> Vectors:
        table = torch.cat([self.network.look_up_items(), self.network.bias[:, None]], dim=1).numpy()
        table[0] = 0.0
        return table

    def score(self, histories: Histories) -> Vectors:
        """How well each item goes with each history, (B, N + 1); −∞ for the padding."""
        scores = super().score(histories)
        cell = self.network.cell
        if isinstance(cell, TargetAttention):
            rows = max(1, _WIDE // scores.shape[1])
            with torch.inference_mode():
                table = self.network.look_up_items()
                for start, chunk in enumerate(_split_rows(histories, rows)):
                    tokens, gap, last, _ = self.network.observe(*chunk, table=table)
                    scores[start * rows : (start + 1) * rows] += cell.score_candidates(tokens, gap, last, table)[
                        :, 0
                    ].numpy()
        return scores

    def contributions(self, histories: Histories, item: NDArray[np.int64]) -> Vectors:
        """What each item of a history adds to the score of an item, (B, H).

        Exact for attention: with the item's bias and the share of the learned beginning they sum to the score.
        Otherwise by how much the score falls without it.
        """
        cell = self.network.cell
        if not isinstance(cell, TargetAttention):
            return super().contributions(histories, item)
        shares = np.zeros(histories["history_ids"].shape, np.float32)
        with torch.inference_mode():
            table = self.network.look_up_items()
            tokens, gap, last, column = self.network.observe(*_make_tensors(histories), table=table)
            parts = cell.compute_shares(tokens, gap, last, table[torch.from_numpy(item)])[:, 1:]
        np.put_along_axis(shares, column.numpy(), parts.numpy(), axis=1)
        return np.where(histories["history_ids"] > 0, shares, np.float32(0.0))

    @torch.inference_mode()
    def predict_completion(self, histories: Histories, item: NDArray[np.int64]) -> NDArray[np.float32]:
        """Share (B,) of an item (B,) that each user is expected to consume, if they choose it."""
        vectors = torch.from_numpy(self.encode(histories)[:, :-1])
        logit = self.network.predict_completion_logit(vectors, self.network.look_up_items()[torch.from_numpy(item)])
        return np.asarray(torch.sigmoid(logit).numpy())

    def _weights(self) -> dict[str, NDArray[Any]]:
        return {name: weight.numpy() for name, weight in self.network.state_dict().items()}

    def _restore(self, weights: Mapping[str, NDArray[Any]]) -> None:
        with torch.random.fork_rng():
            self._build_network()
        try:
            self.network.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})
        except RuntimeError as error:
            raise EncoderError(f"the weights do not fit the options ({error}). Fix: fit the encoder again") from error


def _make_tensors(histories: Histories) -> list[Tensor]:
    """Ids, completion and age."""
    return [torch.from_numpy(np.asarray(histories[f"history_{name}"])) for name in ("ids", "completion", "age")]


def _split_rows(histories: Histories, size: int) -> list[list[Tensor]]:
    """Parts of at most `size` rows of these."""
    parts = _make_tensors(histories)
    return [[part[start : start + size] for part in parts] for start in range(0, len(parts[0]), size)]


class Windows(Dataset[int]):
    """The consumed rows of a log as sequences of at most L items, oldest first, each row being foretold once.

    A user's further windows begin half a window later: what is foretold there has at least half a window before it.

    Parameters
    ----------
    log : Interactions
    length : int
        L.

    Attributes
    ----------
    arrays : dict of str to Tensor
        What `SequenceNetwork.forward` takes, each (W, L) or (W, L + 1).
    """

    def __init__(self, log: Interactions, length: int) -> None:
        rows = np.flatnonzero(log.consumed)
        first, count = _find_runs(log.user[rows])
        step = max(1, length // 2)
        windows = 1 + -(-np.maximum(count - length - 1, 0) // step)
        number = np.arange(windows.sum()) - np.repeat(np.cumsum(windows) - windows, windows)
        position = (np.repeat(first, windows) + number * step)[:, None] + np.arange(length + 1)
        real = position < np.repeat(first + count, windows)[:, None]
        selected = rows[np.where(real, position, 0)]
        # Inputs have what follows them; of windows after the first only what no earlier one foretold is asked.
        follows = real[:, 1:]
        is_target = real & ((number == 0)[:, None] | (np.arange(length + 1) > length - step))
        gap = np.diff(log.time[selected], axis=1)
        arrays = {
            "ids": log.item[selected[:, :-1]] * follows,
            "completion": log.completion[selected[:, :-1]] * follows,
            "gap": (gap * follows).astype(np.float32),
            "target": log.item[selected] * is_target,
            "target_completion": log.completion[selected] * is_target,
        }
        self.arrays = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}

    def __len__(self) -> int:
        return len(self.arrays["ids"])

    def __getitem__(self, index: int) -> int:
        return index

    def collate(self, indices: list[int]) -> dict[str, Tensor]:
        """The sequences asked for, as a batch."""
        return {name: array[indices] for name, array in self.arrays.items()}


def _find_runs(user: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row and number of rows of each user, of rows sorted by user."""
    _, first, count = np.unique(user, return_index=True, return_counts=True)
    return first, count


ENCODERS.register(
    "gru",
    EncoderEntry(Sequence, {"cell": "gru", "size": 32}),
    encoder="Sequence",
    about="gated recurrent unit over the history",
)
ENCODERS.register(
    "lstm",
    EncoderEntry(Sequence, {"cell": "lstm", "size": 32}),
    encoder="Sequence",
    about="long short-term memory over the history",
)
ENCODERS.register(
    "transformer",
    EncoderEntry(Sequence, {"cell": "transformer"}),
    encoder="Sequence",
    about="causal Transformer over the history",
)
ENCODERS.register(
    "attention",
    EncoderEntry(Sequence, {"cell": "attention"}),
    encoder="Sequence",
    about="attention of the candidate to the history",
)

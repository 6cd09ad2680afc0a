"""The network of the two-tower encoder, and the batches that it learns from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from ..data.interactions import Interactions
from .split_bert import SplitBert, States

_NEIGHBOURS = 50  # of a positive, from which hard negatives are drawn where the log has no impressions
_FIRST_SCALE = 10.0  # 1 / temperature to begin with


class Pairs(Dataset[int]):
    """Rows of a log to learn from, and what came before each.

    Parameters
    ----------
    log : Interactions
    rows : (R,) int64
        Rows of the log; an item's label is whether it was liked (binary), or they are all positives (contrastive).
    history : int
        Length H of histories.
    vectors : (N, E) float32
        Vectors of a frozen text encoder, to find near neighbours by.
    hard_negatives : int
        Items K added to each row's negatives: shown to the user and not opened or, where the log has no such rows,
        near neighbours of the item.
    seed : int
        Seed of what is drawn.
    """

    def __init__(
        self,
        log: Interactions,
        rows: NDArray[np.int64],
        history: int,
        vectors: NDArray[np.float32],
        hard_negatives: int,
        seed: int,
    ) -> None:
        self._columns = log.items + 1
        self._user, self._item = log.user[rows], log.item[rows]
        self.histories = log.histories(self._user, log.time[rows], history)
        self._labels = torch.from_numpy(log.liked[rows].astype(np.float32))
        self._consumed = np.unique((log.user * self._columns + log.item)[log.consumed])
        self._hard = self._draw_hard(log, vectors, hard_negatives, np.random.default_rng(seed))
        frequency = np.bincount(np.concatenate([self._item, self._hard.ravel()]), minlength=self._columns)
        self._correction = -np.log(np.maximum(frequency, 1) / max(1, frequency.sum())).astype(np.float32)

    def __len__(self) -> int:
        return len(self._item)

    def __getitem__(self, index: int) -> int:
        return index

    def collate(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Give what `TowerNetwork.forward` takes."""
        rows = np.asarray(indices)
        columns, place = np.unique(np.concatenate([self._item[rows], self._hard[rows].ravel()]), return_inverse=True)
        target = place.reshape(-1)[: len(rows)]
        keys = self._user[rows][:, None] * self._columns + columns
        blocked = self._find_consumed(keys)
        blocked[np.arange(len(rows)), target] = False
        batch = {name: torch.from_numpy(array[rows]) for name, array in self.histories.items()}
        return batch | {
            "row": torch.from_numpy(rows),
            "columns": torch.from_numpy(columns),
            "target": torch.from_numpy(target),
            "blocked": torch.from_numpy(blocked),
            "correction": torch.from_numpy(self._correction[columns]),
            "label": self._labels[rows],
        }

    def _find_consumed(self, keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pairs of user and item are consumed ones."""
        place = np.minimum(np.searchsorted(self._consumed, keys), len(self._consumed) - 1)
        return np.asarray(self._consumed[place] == keys)

    def _draw_hard(
        self, log: Interactions, vectors: NDArray[np.float32], count: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Hard negatives (R, K) of the rows; the item itself where the user was shown no other."""
        if not count:
            return np.zeros((len(self._item), 0), np.int64)
        if not log.consumed.all():
            impressions = np.flatnonzero(~log.consumed)
            begin, end = (np.searchsorted(log.user[impressions], self._user, side) for side in ("left", "right"))
            choice = begin[:, None] + (rng.random((len(begin), count)) * (end - begin)[:, None]).astype(np.int64)
            items = log.item[impressions[np.minimum(choice, len(impressions) - 1)]]
            return np.where((end > begin)[:, None], items, self._item[:, None])
        near = find_nearest(vectors, min(_NEIGHBOURS, len(vectors) - 1))
        choice = rng.integers(0, near.shape[1], (len(self._item), count))
        return near[self._item[:, None] - 1, choice]


def find_nearest(vectors: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Item numbers (N, count) of the nearest other items of each, by inner product."""
    neighbours = np.empty((len(vectors), count), np.int64)
    for start in range(0, len(vectors), 1024):
        similarity = vectors[start : start + 1024] @ vectors.T
        similarity[np.arange(len(similarity)), start + np.arange(len(similarity))] = -np.inf
        neighbours[start : start + 1024] = 1 + np.argpartition(-similarity, count - 1, axis=1)[:, :count]
    return neighbours


class TowerNetwork(torch.nn.Module):
    """Two heads on BERT vectors, of users and of items.

    A pooled user is the sum of the history's vectors, each with weight ``(a + b c) (1 + rank)^-r (1 + age)^-d`` of its
    completion c, rank and age [days], over the sum of the weights' absolute values.

    Parameters
    ----------
    table : (N + 1, E) Tensor
        Vectors of the items, row 0 zeros: of BERT as it was, and from then on as it last was.
    width : int
        Width D of what the heads give.
    binary : bool
        Learn labels instead of choices among the batch's items.
    popularity : (N + 1,) Tensor
        Logarithm of one more than the number of consumed rows, times a learned weight an item's bias; or zeros.
    upper : ModuleList, optional
        Layers of BERT that will learn.
    run_items : int
        Items of a batch that BERT runs and learns from, drawn anew for each; of the others it gives the last vectors.
    """

    table: Tensor
    popularity: Tensor

    def __init__(
        self,
        table: Tensor,
        width: int,
        binary: bool,
        popularity: Tensor,
        upper: torch.nn.ModuleList | None,
        run_items: int,
    ) -> None:
        super().__init__()
        self.register_buffer("table", table.clone())
        self.register_buffer("popularity", popularity)
        self.user_head = torch.nn.Linear(table.shape[1], width)
        self.item_head = torch.nn.Linear(table.shape[1], width)
        with torch.no_grad():  # both begin with the same projection: the frozen vectors' cosine, nearly
            self.item_head.weight.copy_(self.user_head.weight)
            self.item_head.bias.zero_()
            self.user_head.bias.zero_()
        self.log_scale = torch.nn.Parameter(torch.tensor(_FIRST_SCALE).log())
        self.memory = torch.nn.Parameter(torch.tensor([0.5, 1.0, -1.0, -2.0]))
        self.popularity_weight = torch.nn.Parameter(torch.tensor(0.0))
        self.constant = torch.nn.Parameter(torch.tensor(0.0))
        self.binary, self.run_items = binary, run_items
        self.upper = torch.nn.ModuleList() if upper is None else upper.requires_grad_(False)
        self._bert: list[tuple[SplitBert, States]] = []  # in a list, lest torch takes it for a part
        self._user_texts: Tensor | list[str] | None = None

    def use_text_vectors(self, vectors: Tensor) -> None:
        """Let users be texts, of which BERT gave vectors (R, E), one for each row's history."""
        self._user_texts = vectors

    def tune_bert(self, bert: SplitBert, states: States, texts: list[str]) -> None:
        """Let the upper layers learn, too, on what the lower ones say of items and on the rows' texts, if any."""
        self.upper.requires_grad_(True)
        self._bert, self._user_texts = [(bert, states)], texts or None

    @property
    def tunes_bert(self) -> bool:
        """Whether the upper layers learn."""
        return bool(self._bert)

    def forward(
        self,
        history_ids: Tensor,
        history_completion: Tensor,
        history_age: Tensor,
        row: Tensor,
        columns: Tensor,
        target: Tensor,
        blocked: Tensor,
        correction: Tensor,
        label: Tensor,
    ) -> dict[str, Tensor]:
        """Loss of B rows whose items are among M columns; the shapes are (B, H), (B,), (M,), (B, M)."""
        items = self.encode_items(self._look_up_items(columns))
        users = self.encode_users(self._pool_users(row, history_ids, history_completion, history_age))
        logits = self.log_scale.exp() * users @ items.T + self.compute_item_bias()[columns]
        if self.binary:
            own = logits.gather(1, target[:, None])[:, 0]
            return {"loss": functional.binary_cross_entropy_with_logits(own, label)}
        # Popular items are drawn more often as negatives; less their log-frequency, logits are not biased against them.
        corrected = (logits + correction).masked_fill(blocked, -torch.inf)
        return {"loss": functional.cross_entropy(corrected, target)}

    def _look_up_items(self, columns: Tensor) -> Tensor:
        if not self._bert:
            return self.table[columns]
        bert, states = self._bert[0]
        sample = torch.randperm(len(columns))[: self.run_items].sort().values
        run = bert.pool(states, columns[sample] - 1)
        self.table[columns[sample]] = run.detach()  # histories, and the other columns, see items as BERT last saw them
        return self.table[columns].index_put((sample,), run)

    def _pool_users(self, row: Tensor, ids: Tensor, completion: Tensor, age: Tensor) -> Tensor:
        if self._user_texts is None:
            weights = weigh_history(self.memory, ids, completion, age)
            return torch.einsum("bh,bhe->be", weights, self.table[ids.long()])
        if isinstance(self._user_texts, Tensor):
            return self._user_texts[row]
        bert, _ = self._bert[0]
        states = bert.read([self._user_texts[r] for r in row.tolist()])
        return bert.pool(states, torch.arange(len(row)))

    def encode_users(self, vectors: Tensor) -> Tensor:
        """Unit vectors (B, D) of users."""
        return functional.normalize(self.user_head(vectors), dim=1)

    def encode_items(self, vectors: Tensor) -> Tensor:
        """Unit vectors (M, D) of items."""
        return functional.normalize(self.item_head(vectors), dim=1)

    def compute_item_bias(self) -> Tensor:
        """Of each item (N + 1,)."""
        return self.popularity_weight * self.popularity + self.constant * self.binary


def weigh_history(memory: Tensor, ids: Tensor, completion: Tensor, age: Tensor) -> Tensor:
    """Weight (B, H) of each item of a history; 0 for padding."""
    constant, slope, rank_decay, age_decay = memory
    rank = torch.log1p(((ids > 0).cumsum(dim=1) - 1).clamp(min=0).float())
    decay = functional.softplus(rank_decay) * rank + functional.softplus(age_decay) * torch.log1p(age)
    weights: Tensor = (constant + slope * completion) * torch.exp(-decay) * (ids > 0)
    return weights / (weights.abs().sum(dim=1, keepdim=True) + 1e-6)

"""Histories to user vectors with one network, in training as in use: tokens, a cell that reads them, two losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ...envs.candidates.pooling import pad_vectors
from ..base import EncoderError
from .sequence_cells import HOURS, Pool, Recurrent, TargetAttention, Transformer

FEATURES = 3  # completion, log dwell, log gap


class SequenceNetwork(nn.Module):
    """A history as a sequence of tokens, and what reads it.

    A token is an item's vector (its text vector projected, plus a learned vector of its id if asked for), scaled and
    shifted by projections of completion, log minutes of it that were consumed, and log hours until the next item; for
    the latest item until now. Scaling lets what was left early say the opposite of what was finished. Before the tokens
    stands a learned one for the beginning, so that an empty history is a sequence too. The cell's vector is added to a
    mean of the tokens under learned recency, which alone is most of what there is to know of a user.

    The age of an item is the sum of the gaps since; gaps alone stay the same when time goes on.

    Parameters
    ----------
    vectors : (N, E) float32
        Text vectors; row i is item i + 1. Kept as a buffer, and not among the weights that are saved.
    minutes : (N,) float32
        Length of each item [min].
    cell : {"gru", "lstm", "transformer", "attention"}
        What reads the tokens.
    size : int
        Width D of tokens; user and item vectors have one more dimension, that of the items' bias.
    layers, heads, dropout, longest : int, int, float, int
        Sizes of the cell; `longest` is how many of a history's columns are read.
    ids : bool
        Whether items have a learned vector of their own, zero at first: an item never met is its text alone.
    completion_weight : float
        Weight of the loss of the next item's completion beside that of the next item.
    negatives : int
        Items drawn for a step that targets compete with, beside those of the batch; 0 for all items.
    """

    vectors: Tensor
    minutes: Tensor
    counts: Tensor

    def __init__(
        self,
        vectors: NDArray[np.float32],
        minutes: NDArray[np.float32],
        *,
        cell: str,
        size: int,
        layers: int,
        heads: int,
        dropout: float,
        longest: int,
        ids: bool,
        completion_weight: float,
        negatives: int,
    ) -> None:
        super().__init__()
        self.longest, self.completion_weight, self.negatives = longest, completion_weight, negatives
        self.register_buffer("vectors", torch.from_numpy(pad_vectors(vectors)), persistent=False)
        self.register_buffer("minutes", torch.tensor(np.append(np.float32(0.0), minutes)), persistent=False)
        self.register_buffer("counts", torch.zeros(len(minutes) + 1), persistent=False)
        self.text = nn.Linear(vectors.shape[1], size)
        self.ids = nn.Parameter(torch.zeros(len(minutes) + 1, size)) if ids else None
        self.bias = nn.Parameter(torch.zeros(len(minutes) + 1))
        self.features = nn.Linear(FEATURES, 2 * size)
        self.start = nn.Parameter(0.02 * torch.randn(size))
        self.norm, self.dropout = nn.LayerNorm(size), nn.Dropout(dropout)
        self.cell: Recurrent | Transformer | TargetAttention
        if cell == "attention":
            self.cell = TargetAttention(size, longest + 1)
        elif cell == "transformer":
            self.cell = Transformer(size, layers, heads, dropout, longest + 1)
        else:
            self.cell = Recurrent(cell, size, layers, dropout)
        # Attention's vector is a sum over the history already, and stays one: each item's share of a score is exact.
        self.pool = None if cell == "attention" else Pool(longest + 1)
        self.after = None if cell == "attention" else nn.LayerNorm(size)
        self.finished = nn.Linear(2 * size, 1)
        self._kept: tuple[Any, Tensor] | None = None

    @torch.no_grad()
    def begin_from_texts(self) -> None:
        """Let item vectors begin as the principal components of the text vectors, mean square length 1."""
        texts = self.vectors[1:]
        centre = texts.mean(dim=0)
        _, _, axes = torch.linalg.svd(texts - centre, full_matrices=False)
        leading = axes[: len(self.text.weight)]
        square = ((texts - centre) @ leading.T).square().sum(dim=1).mean()
        self.text.weight.zero_()[: len(leading)] = leading / square.sqrt().clamp(min=1e-6)
        self.text.bias.copy_(-self.text.weight @ centre)

    @torch.no_grad()
    def set_counts(self, counts: NDArray[np.int64]) -> None:
        """Take how often each item (N + 1) was consumed: those never met are no alternatives, and the bias begins."""
        self.counts.copy_(torch.tensor(counts))
        consumed = self.counts > 0
        log = torch.log(self.counts[consumed])
        self.bias.zero_()[consumed] = log - log.mean()

    def look_up_items(self) -> Tensor:
        """Item vectors (N + 1, D) without the bias; row 0, the padding, is zeros.

        Without gradients it is computed again only after the weights have changed.
        """
        weights = [self.text.weight, self.text.bias] + ([] if self.ids is None else [self.ids])
        if torch.is_grad_enabled():
            return self._compute_item_table()
        # Fused optimisers do not count as changes to a tensor's version; a permutation of rows keeps its sum.
        key = [(weight.data_ptr(), weight._version, weight.sum().item()) for weight in weights]
        if self._kept is None or self._kept[0] != key:
            self._kept = key, self._compute_item_table()
        return self._kept[1]

    def _compute_item_table(self) -> Tensor:
        table: Tensor = self.text(self.vectors)
        table = table if self.ids is None else table + self.ids
        real = torch.ones(len(table), 1, device=table.device)
        real[0] = 0.0
        return table * real

    def forward_history(self, ids: Tensor, completion: Tensor, age: Tensor) -> Tensor:
        """User vectors (B, D + 1) of observed histories, differentiable; the last dimension is 1, for the items' bias.

        Parameters
        ----------
        ids, completion, age : (B, H) float32
            ``history_ids``, ``history_completion`` and ``history_age`` [days] of an observation: the most recent
            first, id 0 wherever there is no item. Columns from `longest` on are not read.
        """
        tokens, gap, last, _ = self.observe(ids, completion, age, table=self.look_up_items())
        vectors = self.read_tokens(tokens, gap, last)
        return torch.cat([vectors, torch.ones(len(vectors), 1, device=vectors.device)], dim=1)

    def observe(self, ids: Tensor, completion: Tensor, age: Tensor, *, table: Tensor) -> tuple[Tensor, ...]:
        """Histories as `forward_history` takes them to tokens: oldest first, the padding at the end.

        Returns
        -------
        tokens : (B, T, D)
        gap : (B, T)
            Days until the next.
        last : (B,) int
            Position of the latest.
        column : (B, T − 1) int
            Column of the history that stands at each position after the beginning.
        """
        ids, completion, age = (column_values[:, : self.longest].flip(1) for column_values in (ids, completion, age))
        real = ids > 0
        order = torch.argsort((~real).to(torch.int8), dim=1, stable=True)
        ids, completion, age = (
            (column_values * real).gather(1, order) for column_values in (ids.long(), completion.float(), age.float())
        )
        later = torch.cat([age[:, 1:], torch.zeros(len(age), 1, device=age.device)], dim=1)
        tokens, gap = self.make_tokens(ids, completion, (age - later).clamp(min=0.0), table)
        return tokens, gap, real.sum(dim=1), order.shape[1] - 1 - order

    def make_tokens(self, ids: Tensor, completion: Tensor, gap: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, L + 1, D) and gaps (B, L + 1) of items (B, L), oldest first, the beginning put before them."""
        dwell = torch.log1p(completion * self.minutes[ids])
        features = torch.stack([completion, dwell, torch.log1p(HOURS * gap)], dim=2)
        scale, shift = self.features(features).chunk(2, dim=2)
        tokens = functional.embedding(ids, self.norm(table)) * (1.0 + scale) + shift
        tokens = torch.cat([self.start.expand(len(ids), 1, -1), tokens], dim=1)
        return self.dropout(tokens), torch.cat([torch.zeros(len(ids), 1, device=ids.device), gap], dim=1)

    def read_tokens(self, tokens: Tensor, gap: Tensor, last: Tensor | None) -> Tensor:
        """User vectors (B, T, D) at all positions, or (B, D) at the last."""
        vectors: Tensor = self.cell(tokens, gap, last)
        return (
            vectors if self.pool is None or self.after is None else self.after(vectors + self.pool(tokens, gap, last))
        )

    def forward(
        self, ids: Tensor, completion: Tensor, gap: Tensor, target: Tensor, target_completion: Tensor
    ) -> dict[str, Tensor]:
        """Loss of sequences: the next item at every position, and how much of it was consumed.

        Parameters
        ----------
        ids, completion, gap : (B, L)
            Items oldest first, padded at the end; days from each to the next.
        target, target_completion : (B, L + 1)
            What followed the beginning and each of the items; 0 where nothing is to be predicted.

        Raises
        ------
        EncoderError
            If the network was loaded: how often items were consumed, which tells what targets compete with, is of the
            log, and not saved.
        """
        table = self.look_up_items()
        tokens, gap = self.make_tokens(ids, completion, gap, table)
        vectors = self.read_tokens(tokens, gap, None)
        is_target = target > 0
        items, log_chance, position = self._draw_rivals(target[is_target])
        rivals = table[items]
        logits = vectors[is_target] @ rivals.T
        if isinstance(self.cell, TargetAttention):
            logits = logits + self.cell.score_candidates(tokens, gap, None, rivals)[is_target]
        loss = functional.cross_entropy(logits + (self.bias[items] - log_chance), position)
        if self.completion_weight:
            guess = self.predict_completion_logit(vectors[is_target], table[target[is_target]])
            truth = target_completion[is_target]
            loss = loss + self.completion_weight * functional.binary_cross_entropy_with_logits(guess, truth)
        return {"loss": loss}

    def predict_completion_logit(self, vectors: Tensor, items: Tensor) -> Tensor:
        """Logit (n,) of how much users (n, D) will consume of items (n, D)."""
        logit: Tensor = self.finished(torch.cat([vectors * items, items], dim=1))
        return logit[:, 0]

    def _draw_rivals(self, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Items (C,) that targets (M,) compete with, log chance of each to be among them, where the targets are.

        Subtracting the log chance from a sampled item's logit makes the sampled softmax aim at the whole one.
        """
        consumed = torch.nonzero(self.counts > 0)[:, 0]
        if not len(consumed):
            defect = "no item is known to have been consumed: how often each was is not saved"
            raise EncoderError(f"{defect}. Fix: train on through forward_history, or fit the encoder again")
        if not 0 < self.negatives < len(consumed):
            return consumed, torch.zeros(len(consumed), device=consumed.device), torch.searchsorted(consumed, target)
        negatives = consumed[torch.randint(len(consumed), (self.negatives,), device=consumed.device)]
        items = torch.unique(torch.cat([target, negatives]))
        share = self.counts[items].double() / self.counts.sum()
        missed = len(target) * torch.log1p(-share.clamp(max=1 - 1e-9)) + self.negatives * np.log1p(-1.0 / len(consumed))
        return items, torch.log(-torch.expm1(missed)).float(), torch.searchsorted(items, target)

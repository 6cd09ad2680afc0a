"""A BERT in two parts: lower layers that stay as they are, run once for each text, and upper layers that learn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from ..base import EncoderError
from ..text.bert import hide_progress_bar, use_onednn
from ..text.cache import Vectors
from ..text.model_folder import LOCAL, ModelFolder

_AT_ONCE = 512  # passing texts whose states are held
_CHUNK = 32  # texts that are padded together; sorted by length, so that little is padding


@dataclass(frozen=True, eq=False)
class States:
    """What the lower layers say of n texts, the tokens one after the other.

    Parameters
    ----------
    hidden : (tokens, E) float16
        Half the memory of float32; a few hundred MB for five thousand long texts.
    start : (n + 1,) int64
        Where each text begins.
    """

    hidden: Tensor
    start: Tensor


class SplitBert:
    """A BERT whose upper layers can be trained at the cost of these layers alone.

    Parameters
    ----------
    model : str
        A BERT by alias, folder or hub name.
    trained : int
        Upper layers, from 1.
    tokens : int
        Tokens of a text that are read; the rest is cut off.

    Attributes
    ----------
    upper : torch.nn.ModuleList
        The layers that learn, without dropout: some epochs over few layers do not overfit, and runs repeat.
    width : int
        Width E of the vectors.

    Raises
    ------
    ModelError
        If there is no such model.
    EncoderError
        If it has fewer layers, reads fewer tokens, or has no layers in ``encoder.layer`` as BERT does.
    """

    def __init__(self, model: str, trained: int, tokens: int) -> None:
        self._folder = folder = ModelFolder.find(model)
        if tokens > folder.longest:
            raise EncoderError(f"tokens = {tokens}; {model!r} reads {folder.longest} at most")
        self._about = [model, trained, tokens]
        self.width, self._tokens = folder.width, tokens
        with hide_progress_bar():
            self._tokenizer = AutoTokenizer.from_pretrained(folder.path, **LOCAL)
            bert = AutoModel.from_pretrained(folder.path, **LOCAL, use_safetensors=True, dtype=torch.float32)
        layers = getattr(getattr(bert, "encoder", None), "layer", None)
        if layers is None or trained > len(layers):
            present = "no layers as BERT's" if layers is None else f"{len(layers)} layers"
            raise EncoderError(
                f"trained_layers = {trained}; {model!r} has {present}. Fix: 0 trains heads on its vectors"
            )
        self.upper = torch.nn.ModuleList(layers[len(layers) - trained :])
        for module in self.upper.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        bert.encoder.layer = layers[: len(layers) - trained]
        bert.pooler = None
        if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            use_onednn(bert)
        self._lower = bert.eval()

    @property
    def identity(self) -> str:
        """Hash of the model before training, and of what is read of a text."""
        return hashlib.sha256(json.dumps([self._folder.content_hash(), *self._about[1:]]).encode()).hexdigest()

    @torch.no_grad()
    def read(self, texts: Sequence[str]) -> States:
        """Run the lower layers on texts (n)."""
        prepared = [text.lower() for text in texts] if self._folder.lower_case else list(texts)
        ids = self._tokenizer(prepared, truncation=True, max_length=self._tokens)["input_ids"]
        lengths = np.array([len(row) for row in ids])
        start = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]))
        hidden = torch.empty((int(start[-1]), self.width), dtype=torch.float16)
        for length in np.unique(lengths).tolist():
            rows = np.flatnonzero(lengths == length)
            for chunk in np.split(rows, range(_CHUNK, len(rows), _CHUNK)):
                states = self._lower(input_ids=torch.tensor([ids[row] for row in chunk])).last_hidden_state
                for row, state in zip(chunk.tolist(), states, strict=True):
                    hidden[start[row] : start[row + 1]] = state
        return States(hidden, start)

    def pool(self, states: States, rows: Tensor) -> Tensor:
        """Vectors (n, E) of texts (n) by number, through the upper layers; gradients flow where they are asked for."""
        lengths = (states.start[1:] - states.start[:-1])[rows]
        order = torch.argsort(lengths, stable=True)
        parts = [self._pool(states, rows[chunk], lengths[chunk]) for chunk in torch.split(order, _CHUNK)]
        return torch.cat(parts)[torch.argsort(order)]

    def _pool(self, states: States, rows: Tensor, lengths: Tensor) -> Tensor:
        column = torch.arange(int(lengths.max()))
        real = column < lengths[:, None]
        hidden = states.hidden[torch.where(real, states.start[rows][:, None] + column, 0)].float()
        mask = torch.where(real, 0.0, torch.finfo(torch.float32).min)[:, None, None, :]
        for layer in self.upper:
            hidden = layer(hidden, mask)
        pooled = hidden[:, 0]
        if self._folder.pooling == "mean":
            pooled = (hidden * real[:, :, None]).sum(dim=1) / lengths[:, None]
        return torch.nn.functional.normalize(pooled, dim=1) if self._folder.normalise else pooled

    @torch.no_grad()
    def encode_uncached(self, texts: Sequence[str]) -> Vectors:
        """Vectors (n, E) of passing texts (n), some hundred at a time."""
        vectors = np.empty((len(texts), self.width), np.float32)
        for start in range(0, len(texts), _AT_ONCE):
            chunk = slice(start, start + _AT_ONCE)
            vectors[chunk] = self.encode(self.read(texts[chunk]))
        return vectors

    @torch.no_grad()
    def encode(self, states: States) -> Vectors:
        """Vectors (n, E) of all texts of `states`."""
        return np.asarray(self.pool(states, torch.arange(len(states.start) - 1)).numpy(), np.float32)

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """What training changed."""
        return {name: weight.detach().numpy() for name, weight in self.upper.state_dict().items()}


@lru_cache(maxsize=1)
def read_item_states(model: str, trained: int, tokens: int, texts: tuple[str, ...]) -> States:
    """What the lower layers say of the items, kept for the next fit of the same: most of the time of a short one."""
    return SplitBert(model, trained, tokens).read(texts)

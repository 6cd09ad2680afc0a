"""BERT as a function from texts to vectors: the forward pass, nothing remembered. Importing it imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

from .model_folder import ModelFolder


class Bert:
    """A loaded model.

    Texts are run in batches of exactly equal length in tokens. Without padding there is no mask and no wasted work,
    and a vector does not depend on the texts beside it: the same bits for every batch size on the CPUs tried, and
    within 1e-6 by promise.

    Parameters
    ----------
    folder : ModelFolder
        The model and its recipe.
    dtype : {"float32", "bfloat16"}
        Precision of weights and activations; pooling is float32 always.
    device : str
        As torch names it.
    max_tokens : int
        Tokens of a text that are read; the rest is cut off.
    batch_size : int
        Texts run together at most.
    """

    def __init__(self, folder: ModelFolder, *, dtype: str, device: str, max_tokens: int, batch_size: int) -> None:
        self._folder, self._max_tokens, self._batch_size = folder, max_tokens, batch_size
        self._device = torch.device(device)
        with _without_progress_bar():
            self._tokenizer = AutoTokenizer.from_pretrained(folder.path, local_files_only=True)
            model = AutoModel.from_pretrained(
                folder.path, local_files_only=True, use_safetensors=True, dtype=getattr(torch, dtype)
            )
        self._model = model.eval().to(self._device)
        if self._device.type == "cpu" and dtype == "float32" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            _through_onednn(self._model)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str], advance: Callable[[int], object] | None = None) -> NDArray[np.float32]:
        """Vectors (n, E) of texts (n); `advance` is told how many texts each batch finished."""
        read = [text.lower() for text in texts] if self._folder.lower_case else list(texts)
        tokens = self._tokenizer(read, truncation=True, max_length=self._max_tokens)["input_ids"]
        vectors = np.empty((len(texts), self._folder.width), np.float32)
        for rows in _equal_length(np.array([len(row) for row in tokens]), self._batch_size):
            batch = torch.tensor([tokens[row] for row in rows], device=self._device)
            hidden = self._model(input_ids=batch).last_hidden_state.float()  # (rows, tokens, E)
            pooled = hidden.mean(dim=1) if self._folder.pooling == "mean" else hidden[:, 0]
            if self._folder.normalise:
                pooled = torch.nn.functional.normalize(pooled, dim=1)
            vectors[rows] = pooled.cpu().numpy()
            if advance:
                advance(len(rows))
        return vectors


def _equal_length(lengths: NDArray[np.int_], batch_size: int) -> Iterator[NDArray[np.intp]]:
    """Rows in batches of one length each, the longest first, so that too little memory shows at once."""
    order = np.argsort(-lengths, kind="stable")
    for bucket in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        yield from np.split(bucket, range(batch_size, len(bucket), batch_size))


class _OneDnnLinear(torch.nn.Linear):
    """A float32 linear layer through oneDNN.

    Torch hands float32 to MKL, which leaves half of an AMD processor's vector width unused: 106 against 196 texts a
    second on one thread of one. On other processors the two are alike.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Affine map of the last dimension."""
        y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return y


def _through_onednn(model: torch.nn.Module) -> None:
    for module in model.modules():
        if type(module) is torch.nn.Linear:
            module.__class__ = _OneDnnLinear


@contextmanager
def _without_progress_bar() -> Iterator[None]:
    """Switch transformers' own progress bar off, and back to what it was."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]

"""BERT as a function from texts to vectors: the forward pass, nothing remembered. Importing it imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AttentionInterface, AttentionMaskInterface, AutoModel, AutoTokenizer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.utils import logging

from .cache import Counts
from .model_folder import LOCAL, ModelFolder

Finished = Callable[[NDArray[np.intp], NDArray[np.float32]], object]  # which of the texts, and their vectors

_TOKENS = 4096  # run together at most, so that many long texts need no more memory than many short ones


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
        Texts run together at most; of long ones fewer, 4,096 tokens in all.

    Attributes
    ----------
    truncated : int
        Texts of the last call that were longer than `max_tokens`.
    counts : (n, 2) int32
        Of each text of the last call, the tokens that were read, without the special ones, and those of them that
        stand for what the model does not know.
    """

    def __init__(self, folder: ModelFolder, *, dtype: str, device: str, max_tokens: int, batch_size: int) -> None:
        self._folder, self._max_tokens, self._batch_size = folder, max_tokens, batch_size
        self._device = torch.device(device)
        self.truncated = 0
        self.counts: Counts = np.zeros((0, 2), np.int32)
        onednn = self._device.type == "cpu" and _supports_onednn(dtype)
        attention = {"attn_implementation": _ATTENTION} if onednn and dtype == "bfloat16" else {}
        with hide_progress_bar():
            self._tokenizer = tokenizer = AutoTokenizer.from_pretrained(folder.path, **LOCAL)
            self._special, self._unknown = tokenizer.num_special_tokens_to_add(), tokenizer.unk_token_id
            model = AutoModel.from_pretrained(
                folder.path, **LOCAL, use_safetensors=True, dtype=getattr(torch, dtype), **attention
            )
        self._model = model.eval().to(self._device)
        if onednn:
            use_onednn(self._model)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str], finished: Finished | None = None) -> NDArray[np.float32]:
        """Vectors (n, E) of texts (n); `finished` is told the rows and vectors of each batch as soon as it is done."""
        tokens = self._tokenise(texts)
        vectors = np.empty((len(texts), self._folder.width), np.float32)
        for rows in _split_by_length(np.array([len(row) for row in tokens]), self._batch_size):
            batch = torch.tensor([tokens[row] for row in rows], device=self._device)
            hidden = self._model(input_ids=batch).last_hidden_state.float()  # (rows, tokens, E)
            pooled = hidden.mean(dim=1) if self._folder.pooling == "mean" else hidden[:, 0]
            if self._folder.normalise:
                pooled = torch.nn.functional.normalize(pooled, dim=1)
            vectors[rows] = pooled.cpu().numpy()
            if finished:
                finished(rows, vectors[rows])
        return vectors

    def _tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        prepared = [text.lower() for text in texts] if self._folder.lower_case else list(texts)
        tokens: list[list[int]] = self._tokenizer(prepared, truncation=True, max_length=self._max_tokens)["input_ids"]
        # Whether a text that fills the limit was cut is not told by every tokenizer, only by its whole length.
        full = [text for text, row in zip(prepared, tokens, strict=True) if len(row) == self._max_tokens]
        self.truncated = sum(len(self._tokenizer(text, verbose=False)["input_ids"]) > self._max_tokens for text in full)
        counts = [(len(row) - self._special, row.count(self._unknown)) for row in tokens]
        self.counts = np.array(counts, np.int32).reshape(-1, 2)
        return tokens


def _split_by_length(lengths: NDArray[np.int_], batch_size: int) -> Iterator[NDArray[np.intp]]:
    """Rows in batches of one length each, the longest first, so that too little memory shows at once."""
    order = np.argsort(-lengths, kind="stable")
    for bucket in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        size = min(batch_size, max(1, _TOKENS // int(lengths[bucket[0]])))
        yield from np.split(bucket, range(size, len(bucket), size))


class _OneDnnLinear(torch.nn.Module):
    """A linear layer through oneDNN, its weights laid out once as oneDNN wants them.

    Torch hands float32 to MKL, which leaves half of an AMD processor's vector width unused: 107 against 250 billion
    operations a second on one thread of one; on other processors the two are alike. bfloat16 it hands to oneDNN, but
    lays the weights out again at every call, which costs a tenth in batches of a few texts.
    """

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)
        self._bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Affine map of the last dimension."""
        y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return y


def _supports_onednn(dtype: str) -> bool:
    """Whether oneDNN runs linear layers of a precision on this processor."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype == "float32" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def use_onednn(model: torch.nn.Module) -> None:
    """Run the linear layers of a model through oneDNN from now on."""
    for parent in model.modules():
        for name, child in list(parent.named_children()):
            if type(child) is torch.nn.Linear:
                setattr(parent, name, _OneDnnLinear(child))


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attention of bfloat16 tensors (B, heads, L, E / heads) on a CPU, as transformers' models call it.

    Two products and a softmax in float32; with torch's fused attention a whole encoding takes a seventh longer.
    Attention with a mask is left to torch.
    """
    if mask is not None or getattr(module, "is_causal", False):
        return sdpa_attention_forward(module, query, key, value, mask, **options)
    scores = torch.matmul(query * options["scaling"], key.transpose(2, 3))
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(value.dtype)
    return torch.matmul(weights, value).transpose(1, 2), None


_ATTENTION = "longplay_bfloat16"  # the name under which transformers finds it
AttentionInterface.register(_ATTENTION, _attend)
AttentionMaskInterface.register(_ATTENTION, sdpa_mask)  # a model with windows gets its masks, which `_attend` hands on


@contextmanager
def hide_progress_bar() -> Iterator[None]:
    """Switch transformers' own progress bar off, and back to what it was."""
    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]

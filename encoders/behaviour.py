"""What a user did becomes what an agent sees: a history as an English text, or as pooled item vectors."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..envs.pooling import HALF_LIFE_DAYS, HALF_LIFE_ITEMS, check_ids, pool_history
from .cache import Vectors
from .text import TextEncoder

Observation = Mapping[str, NDArray[np.float32]]

NO_HISTORY = "No history yet."

STATE_VERSION = 2  # moves whenever the state of an unchanged observation may

_FILE = "state_encoder.json"

# Least completion for each phrase, highest first; neutral between films, news, things and posts.
_PHRASES = ((0.9, "Finished"), (0.6, "Got through most of"), (0.3, "Got halfway through"), (0.0, "Skipped through"))


def behaviour_to_text(
    texts: Sequence[str], completions: Sequence[float], ages_days: Sequence[float], *, limit: int = 8
) -> str:
    """Tell a history in English.

    Parameters
    ----------
    texts : sequence of str (H,)
        What was consumed, the most recent first; titles or short sentences read best.
    completions : sequence of float (H,)
        Share of each that was consumed, in [0, 1].
    ages_days : sequence of float (H,)
        Days since each was consumed.
    limit : int
        Items told at most; older ones are left out whole.

    Returns
    -------
    str
        Such as ``"Finished, today: A; B. Skipped through, 3 days ago: C."``, in the order given; items alike in
        completion and age share a clause. `NO_HISTORY` for an empty history.

    Raises
    ------
    ValueError
        If the lengths differ, `limit` is below 1, a completion lies outside [0, 1] or an age is negative or infinite.
    """
    if not len(texts) == len(completions) == len(ages_days):
        raise ValueError(f"{len(texts)} texts, {len(completions)} completions and {len(ages_days)} ages; must be alike")
    if limit < 1:
        raise ValueError(f"limit={limit}; it must be at least 1")
    told = list(zip(texts, completions, ages_days, strict=True))[:limit]
    clauses = [
        f"{phrase}: {'; '.join(text.strip().rstrip('.') for text, _, _ in items)}."
        for phrase, items in itertools.groupby(told, key=lambda item: f"{_how(item[1])}, {_when(item[2])}")
    ]
    return " ".join(clauses) or NO_HISTORY


def _how(completion: float) -> str:
    if not 0.0 <= completion <= 1.0:
        raise ValueError(f"completion {completion} lies outside [0, 1]")
    return next(phrase for least, phrase in _PHRASES if completion >= least)


def _when(age: float) -> str:
    if not 0.0 <= age < math.inf:
        raise ValueError(f"age {age} [days] must be finite and not negative")
    days = int(age)
    if days < 2:
        return ("today", "yesterday")[days]
    if days < 14:
        return f"{days} days ago"
    return f"{days // 7} weeks ago" if days < 60 else f"{days // 30} months ago"


class StateEncoder(ABC):
    """Observations of the vector environment to states: ``[history | context | profile]``.

    Context and profile are compressed to ``sign(x)·log(1 + |x|)``.

    A subclass says what the history becomes; its constructor takes first the sources (item vectors, texts), which are
    not saved, and then settings by keyword, which are.

    Parameters
    ----------
    history_width : int
        Width of the history's part.
    context_width, profile_width : int
        Columns of ``context`` and ``profile`` in the observation; 0 leaves the part out.

    Attributes
    ----------
    width : int
        Width of a state.
    """

    def __init__(self, history_width: int, context_width: int, profile_width: int) -> None:
        self._parts = {"context": context_width, "profile": profile_width}
        self.width = history_width + context_width + profile_width

    def __call__(self, observation: Observation) -> Vectors:
        """States (B, width), float32; row b depends on row b of the observation alone.

        Parameters
        ----------
        observation : mapping of str to array
            ``history_ids``, ``history_completion``, ``history_age`` (B, H), ``context`` (B, C) and ``profile`` (B, P),
            as far as they are used; anything else is ignored.

        Raises
        ------
        ValueError
            If a shape does not fit, or an id is not of the item table.
        """
        parts = [self._history(observation)]
        for name, width in self._parts.items():
            if not width:
                continue
            part, expected = observation[name], (len(parts[0]), width)
            if part.shape != expected:
                raise ValueError(f"{name} has shape {part.shape}, expected {expected}. Fix: set {name}_width")
            # Minutes, days and counts span orders of magnitude; networks learn from their logarithms more easily.
            parts.append(np.sign(part) * np.log1p(np.abs(part, dtype=np.float32)))
        return np.concatenate(parts, axis=1)

    def save(self, folder: str | Path) -> None:
        """Write the settings, and a hash of the item table they belong to, as JSON."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        content = self._header() | {"item table": self._table_hash(), "settings": self._settings()}
        (folder / _FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path, *sources: Any) -> Self:
        """Make the encoder saved in `folder` again, from the same sources.

        Parameters
        ----------
        folder : str or Path
            Where it was saved.
        *sources
            What the constructor takes by position.

        Raises
        ------
        ValueError
            If another class or version saved it, or the sources are not those it was saved with.
        """
        file = Path(folder) / _FILE
        content = json.loads(file.read_text(encoding="utf-8"))
        for name, ours in cls._header().items():
            if content.get(name) != ours:
                raise ValueError(f"{file}: its {name} is {content.get(name)!r}, here it must be {ours!r}")
        encoder = cls(*sources, **content["settings"])
        if content["item table"] != encoder._table_hash():
            raise ValueError(f"{file}: it was saved with another item table. Fix: give the one it was trained on")
        return encoder

    @abstractmethod
    def _history(self, observation: Observation) -> Vectors:
        """Compute the history's part (B, history_width)."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """Collect the keyword arguments of the constructor."""

    @abstractmethod
    def _table_hash(self) -> str:
        """Hash the sources."""

    @classmethod
    def _header(cls) -> dict[str, object]:
        return {"encoder": cls.__name__, "version": STATE_VERSION}


class PooledHistory(StateEncoder):
    """The history as one unit vector, `pool_history` of its items.

    Parameters
    ----------
    item_vectors : array (N, E)
        Row i is item i + 1.
    context_width, profile_width : int
        Columns of ``context`` and ``profile``; 0 leaves the part out.
    half_life_items, half_life_days : float
        As in `pool_history`.
    """

    def __init__(
        self,
        item_vectors: Vectors,
        *,
        context_width: int,
        profile_width: int,
        half_life_items: float = HALF_LIFE_ITEMS,
        half_life_days: float = HALF_LIFE_DAYS,
    ) -> None:
        self._table = np.ascontiguousarray(item_vectors, np.float32)
        super().__init__(self._table.shape[1], context_width, profile_width)
        self._half_lives = {"half_life_items": half_life_items, "half_life_days": half_life_days}

    def _history(self, observation: Observation) -> Vectors:
        ids, completion, age = (observation[f"history_{name}"] for name in ("ids", "completion", "age"))
        return pool_history(self._table, ids, completion, age, **self._half_lives)

    def _settings(self) -> dict[str, Any]:
        return {f"{name}_width": width for name, width in self._parts.items()} | self._half_lives

    def _table_hash(self) -> str:
        return hashlib.sha256(repr(self._table.shape).encode() + self._table.tobytes()).hexdigest()


class TextHistory(StateEncoder):
    """The history as a text that BERT reads.

    Costs a BERT pass for each history not met lately: some milliseconds a user, against microseconds for pooling.

    Parameters
    ----------
    text_encoder : TextEncoder
        Encodes the histories; they pass by its cache on disk.
    texts : sequence of str (N,)
        Text of item 1, 2, …; short ones, such as titles: what exceeds the encoder's tokens, the oldest part, is lost.
    context_width, profile_width : int
        Columns of ``context`` and ``profile``; 0 leaves the part out.
    limit : int
        Items told at most.
    memory : int
        Histories whose vectors are kept, those met last.
    """

    def __init__(
        self,
        text_encoder: TextEncoder,
        texts: Sequence[str],
        *,
        context_width: int,
        profile_width: int,
        limit: int = 8,
        memory: int = 16_384,
    ) -> None:
        super().__init__(text_encoder.width, context_width, profile_width)
        self._encoder, self._texts, self._limit, self._memory = text_encoder, tuple(texts), limit, memory
        self._met: OrderedDict[str, Vectors] = OrderedDict()

    def _history(self, observation: Observation) -> Vectors:
        told = self._tell(observation)
        fresh = list(dict.fromkeys(text for text in told if text not in self._met))
        self._met.update(zip(fresh, self._encoder.encode_uncached(fresh), strict=True))
        for text in told:
            self._met.move_to_end(text)
        vectors = np.stack([self._met[text] for text in told])
        while len(self._met) > self._memory:
            self._met.popitem(last=False)
        return vectors

    def _tell(self, observation: Observation) -> list[str]:
        ids = observation["history_ids"]
        check_ids(ids, len(self._texts))
        told = []
        for row, completions, ages in zip(
            ids, observation["history_completion"], observation["history_age"], strict=True
        ):
            real = np.flatnonzero(row)
            texts = [self._texts[int(item) - 1] for item in row[real]]
            told.append(behaviour_to_text(texts, completions[real], ages[real], limit=self._limit))
        return told

    def _settings(self) -> dict[str, Any]:
        widths = {f"{name}_width": width for name, width in self._parts.items()}
        return widths | {"limit": self._limit, "memory": self._memory}

    def _table_hash(self) -> str:
        return hashlib.sha256(json.dumps([self._encoder.identity, self._texts]).encode()).hexdigest()

"""What every encoder keeps to: fitted on a log, it turns histories and items into vectors of one space."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..envs.candidates.pooling import check_ids
from ..envs.shared.files import write_whole
from ..envs.shared.options import Options, make_options
from ..envs.shared.progress import ProgressCallback, ignore_progress
from .text.cache import Vectors

if TYPE_CHECKING:
    from .data.interactions import Interactions
    from .text.encoder import TextEncoder

Histories = Mapping[str, NDArray[np.float32]]

ENCODER_FILE = "encoder.json"
_FORMAT = 1
_KEYS = {"encoder", "settings", "fingerprint", "logs", "file", "sha256"}


class EncoderError(ValueError):
    """An encoder that cannot be made, used or loaded; the message says what is allowed."""


@dataclass(frozen=True, eq=False)
class Items:
    """What is known of N items without any log.

    Parameters
    ----------
    texts : tuple of str, length N
        What each item says.
    vectors : (N, E) float32
        Vectors of a text encoder that no log has changed; row i is item i + 1.
    minutes : (N,) float32
        Length of each item [min]; 1 where not known.
    text_encoder : TextEncoder, optional
        What made the vectors. An encoder that reads further texts, such as histories, reads them by the same.
    """

    texts: tuple[str, ...]
    vectors: Vectors
    minutes: NDArray[np.float32]
    text_encoder: TextEncoder | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "texts", tuple(self.texts))
        for name, dimensions in (("vectors", 2), ("minutes", 1)):
            array = np.array(getattr(self, name), np.float32)
            if array.ndim != dimensions or len(array) != len(self.texts):
                raise EncoderError(f"{name} have shape {array.shape}; there are {len(self.texts)} texts: one row each")
            if not np.isfinite(array).all():
                row = int(np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))[0])
                raise EncoderError(f"{name} row {row} (item {row + 1}) has a value that is not finite; mend that item")
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of all that is known but the vectors, whose last bits differ between machines."""
        total = hashlib.sha256(json.dumps([self.texts, self.vectors.shape]).encode())
        total.update(self.minutes.astype("<f4").tobytes())
        return total.hexdigest()

    @cached_property
    def vector_digest(self) -> str:
        """SHA-256 (hex) of the vectors, to the bit."""
        return hashlib.sha256(self.vectors.astype("<f4").tobytes()).hexdigest()

    @cached_property
    def fingerprint(self) -> list[float]:
        """A fingerprint of the vectors, by which those of another encoder are told from the same to some digits."""
        rng = np.random.default_rng(0)
        sample = rng.choice(len(self), min(len(self), 64), replace=False)
        return [float(value) for value in self.vectors[sample] @ rng.standard_normal(self.vectors.shape[1])]

    def describe_model(self) -> dict[str, str] | None:
        """Name and hash of the text model that made the vectors, where it is known."""
        known = self.text_encoder
        return None if known is None else {"name": known.name, "hash": known.model_hash}


class Encoder(ABC):
    """Histories to user vectors, items to vectors, so that their inner product says how well they go together.

    A subclass names its `options_type` and says how it is fitted, what a history becomes and what an item becomes.
    Where items have a bias, it is one more dimension: 1 in the user's vector, the bias in the item's.

    Parameters
    ----------
    items : Items
        What is known without a log; not saved, but its hash is.
    options : Options, optional
        Options of the subclass's `options_type`; the defaults if not given.

    Attributes
    ----------
    width : int
        Width E of the vectors, known once fitted.
    """

    options_type: ClassVar[type[Options]] = Options
    version: ClassVar[int] = 1  # moves whenever the vectors of an unchanged log and history may
    needs_fit: ClassVar[bool] = True
    quick: ClassVar[bool] = True  # whether a thousand histories are encoded within a second
    width: int

    def __init__(self, items: Items, options: Any = None) -> None:
        self.items = items
        self.options: Any = self.options_type() if options is None else options
        if type(self.options) is not self.options_type:
            raise EncoderError(f"options are {type(self.options).__name__}, must be {self.options_type.__name__}")
        self._fitted = not self.needs_fit
        self._logs: list[str] = []

    def fit(
        self,
        log: Interactions,
        validation: Interactions | None = None,
        *,
        seed: int = 0,
        folder: Path | None = None,
        report: ProgressCallback = ignore_progress,
    ) -> Self:
        """Learn from a log; the same log and seed give the same bits on one machine and thread.

        Parameters
        ----------
        log : Interactions
            To learn from.
        validation : Interactions, optional
            Later interactions, to stop early by.
        seed : int
            Seed of everything that is drawn.
        folder : Path, optional
            Folder of the checkpoints of a long fit, which goes on from them.
        report : callable
            Gets ``{"step": ..., "steps": ..., ...}`` now and then.

        Raises
        ------
        EncoderError
            If the log is of another number of items, or too small.
        """
        if log.items != len(self.items):
            raise EncoderError(
                f"the log is of {log.items} items, the encoder of {len(self.items)}; give the same items"
            )
        if self.needs_fit and not log.consumed.any():
            raise EncoderError("the log has no consumed item; nothing can be learnt from it: collect more")
        self._fitted = not self.needs_fit  # whatever it was fitted on before is lost from here on
        self._fit(log, validation, seed, folder, report)
        self._logs = [part.digest for part in (log, validation) if part is not None]
        self._fitted = True
        return self

    def encode(self, histories: Histories) -> Vectors:
        """User vectors (B, width), float32; row b depends on row b of the histories alone.

        Parameters
        ----------
        histories : mapping of str to array
            ``history_ids``, ``history_completion`` and ``history_age`` [days], each (B, H), the most recent first, 0
            for padding: an observation of the environment, or `Interactions.histories`. Anything else is ignored.

        Raises
        ------
        EncoderError
            If it was not fitted.
        ValueError
            If a shape does not fit, or an id is not of the items.
        """
        self._check_fitted()
        ids = histories["history_ids"]
        for name in ("completion", "age"):
            if histories[f"history_{name}"].shape != ids.shape or ids.ndim != 2:
                shape = histories[f"history_{name}"].shape
                raise ValueError(f"history_ids {ids.shape} and history_{name} {shape} must both be (B, H)")
        check_ids(ids, len(self.items))
        return self._encode(histories)

    @property
    def item_vectors(self) -> Vectors:
        """(N + 1, width) float32; row 0, the padding, is zeros."""
        self._check_fitted()
        return self._item_vectors()

    def score(self, histories: Histories) -> Vectors:
        """How well each item goes with each history, (B, N + 1); −∞ for the padding."""
        scores = self.encode(histories) @ self.item_vectors.T
        scores[:, 0] = -np.inf
        return np.asarray(scores, np.float32)

    def contributions(self, histories: Histories, item: NDArray[np.int64]) -> Vectors:
        """What each item of a history adds to the score of an item: by how much it falls without it, (B, H).

        Parameters
        ----------
        histories : mapping of str to array
            As in `encode`.
        item : (B,) int
            Item number for each user.
        """
        return leave_one_out(self, histories, item)

    @property
    def identity(self) -> str:
        """SHA-256 (hex) of what it is and what it has learnt: a policy belongs to one encoder."""
        self._check_fitted()
        # Policies on disk hold this hash, from the time when the classes of options were called settings.
        written = repr(self.options).replace("Options", "Settings", 1)
        total = hashlib.sha256(json.dumps([self._header(), written]).encode())
        for name, array in sorted(self._weights().items()):
            total.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return total.hexdigest()

    def save(self, folder: str | Path) -> None:
        """Write options (JSON) and weights (safetensors), whole or not at all."""
        self._check_fitted()
        folder = Path(folder)
        weights = save({name: np.ascontiguousarray(array) for name, array in self._weights().items()})
        digest = hashlib.sha256(weights).hexdigest()
        file = folder / f"weights-{digest[:12]}.safetensors"
        write_whole(file, weights)
        content = self._header() | {
            "settings": {name: str(v) if v == np.inf else v for name, v in dataclasses.asdict(self.options).items()},
            "fingerprint": self.items.fingerprint,
            "text_model": self.items.describe_model(),
            "logs": self._logs,
            "file": file.name,
            "sha256": digest,
        }
        # The JSON names the weights, so that it never stands beside those of another fit.
        write_whole(folder / ENCODER_FILE, json.dumps(content, indent=1) + "\n")
        for other in folder.glob("weights-*.safetensors"):
            if other != file:
                other.unlink()

    @classmethod
    def load(cls, folder: str | Path, items: Items) -> Self:
        """Make the encoder saved in `folder` again.

        Raises
        ------
        EncoderError
            If another class or version saved it, the items are not those it was fitted on, or a file is damaged.
        """
        content = read_header(folder)
        _check_header(folder, content, {"encoder": cls.__name__, "format": _FORMAT, "version": cls.version})
        values = {name: np.inf if value == "inf" else value for name, value in content["settings"].items()}
        try:
            options = make_options(cls.__name__, cls.options_type, values)
        except ValueError as error:
            raise EncoderError(f"{folder}: its options are of another version ({error}); fit it again") from error
        _check_items(folder, content, items)
        encoder = cls(items, options)
        _check_header(folder, content, encoder._header())
        file = Path(folder) / str(content["file"])
        try:
            weights = file.read_bytes()
            if hashlib.sha256(weights).hexdigest() != content["sha256"]:
                raise EncoderError(f"{file} is damaged: its checksum is wrong. Fix: fit the encoder again")
            encoder._restore(load(weights))
        except (OSError, SafetensorError, KeyError) as error:
            raise EncoderError(f"{file} cannot be read ({error}). Fix: fit the encoder again") from error
        encoder._fitted, encoder._logs = True, list(content["logs"])
        return encoder

    def _header(self) -> dict[str, object]:
        """All that must be alike when it is loaded."""
        return {"format": _FORMAT, "encoder": type(self).__name__, "version": self.version, "items": self.items.digest}

    def _describe_fit(self, log: Interactions, validation: Interactions | None) -> dict[str, object]:
        """All that a fit depends on besides its seed, by which an interrupted one knows its own checkpoints."""
        logs = [part.digest for part in (log, validation) if part is not None]
        options = dataclasses.asdict(self.options)
        return self._header() | {"settings": options, "logs": logs, "vectors": self.items.vector_digest}

    def _check_fitted(self) -> None:
        if not self._fitted:
            raise EncoderError(f"{type(self).__name__} is not fitted. Fix: call fit(log), or load a fitted one")

    @abstractmethod
    def _fit(
        self,
        log: Interactions,
        validation: Interactions | None,
        seed: int,
        folder: Path | None,
        report: ProgressCallback,
    ) -> None:
        """Learn, and set `width`."""

    @abstractmethod
    def _encode(self, histories: Histories) -> Vectors:
        """Compute user vectors of checked histories."""

    @abstractmethod
    def _item_vectors(self) -> Vectors:
        """Give the vectors of items, with the row of zeros."""

    @abstractmethod
    def _weights(self) -> dict[str, NDArray[Any]]:
        """Collect what was learnt."""

    @abstractmethod
    def _restore(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """Take what was learnt, and set `width`."""


def _check_header(folder: str | Path, content: Mapping[str, object], ours: Mapping[str, object]) -> None:
    """Refuse a saved encoder that says something else of itself."""
    for name, value in ours.items():
        if content.get(name) != value:
            fix = "give the items it was fitted on" if name == "items" else "fit it again"
            raise EncoderError(f"{folder}: its {name} is {content.get(name)!r}, here it is {value!r}. Fix: {fix}")


def _check_items(folder: str | Path, content: Mapping[str, Any], items: Items) -> None:
    """Refuse other items; where their vectors are of another text model, say which two are meant."""
    saved, ours = content["fingerprint"], items.fingerprint
    same = len(saved) == len(ours) and np.allclose(saved, ours, rtol=0.0, atol=1e-3)
    theirs, model = content.get("text_model"), items.describe_model()
    if not same and theirs and model and theirs["hash"] != model["hash"]:
        raise EncoderError(
            f"{folder}: it was fitted on vectors of the text model {theirs['name']!r}, here the items' are of "
            f"{model['name']!r}. Fix: give --bert {theirs['name']}, or fit it again"
        )
    _check_header(folder, content, {"items": items.digest})
    if not same:
        raise EncoderError(f"{folder}: its item vectors are others. Fix: give the items it was fitted on")


def leave_one_out(encoder: Encoder, histories: Histories, item: NDArray[np.int64]) -> Vectors:
    """By how much an item's score falls without each item of a history, all else staying, (B, H)."""
    rows, ids = np.arange(len(item)), histories["history_ids"]
    full_scores = encoder.score(histories)[rows, item]
    shares = np.zeros(ids.shape, np.float32)
    for h in np.flatnonzero((ids > 0).any(axis=0)):
        mask = (np.arange(ids.shape[1]) != h).astype(np.float32)
        masked = {name: array * mask for name, array in histories.items() if name.startswith("history_")}
        present = rows[ids[:, h] > 0]
        shares[present, h] = (full_scores - encoder.score({**histories, **masked})[rows, item])[present]
    return shares


def read_header(folder: str | Path) -> dict[str, Any]:
    """What a saved encoder says of itself.

    Raises
    ------
    EncoderError
        If the folder holds no encoder.
    """
    file = Path(folder) / ENCODER_FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise EncoderError(f"{file} cannot be read ({error}). Fix: name a folder that holds a saved encoder") from error
    if not isinstance(content, dict) or not content.keys() >= _KEYS:
        raise EncoderError(f"{file} describes no encoder. Fix: name a folder that holds a saved encoder")
    return content

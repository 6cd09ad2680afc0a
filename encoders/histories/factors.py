"""Matrix factorisation of the user–item matrix: alternating least squares on implicit feedback, and truncated SVD."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from threadpoolctl import threadpool_limits

from ...envs.candidates.pooling import pad_vectors
from ...envs.shared.options import Options, number, word
from ...envs.shared.progress import ProgressCallback
from ..base import Encoder, EncoderError, Histories
from ..data.splits import hold_back
from ..measures.evaluation import evaluate, find_validation_cases
from ..registry import ENCODERS, EncoderEntry
from ..text.cache import Vectors
from .matrix import (
    WEIGHTS,
    build_history_matrix,
    build_log_matrix,
    compute_entry_shares,
    compute_entry_weights,
    measure_column_lengths,
    scale_matrix,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ..data.interactions import Interactions

_CHUNK = 1024  # histories folded in at a time
WIDTHS, PENALTIES = (8, 16, 32, 64, 128), (0.3, 0.6, 1.2, 2.4, 4.0)  # among which validation rows choose
_WIDTH, _PENALTY = 64, 1.2  # where they cannot

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ALSOptions(Options):
    """Options of `ALS`."""

    width: int | None = number(None, 1, 4096)
    """Factors of a user and of an item; by default the number that ranks validation rows best, of 8, 16, 32, 64,
    128."""
    alpha: float = number(10.0, 0.0, 1e6)
    """Confidence in what was consumed is 1 + alpha · weight; in what was not, 1."""
    regularisation: float | None = number(None, 1e-6, 1e3)
    """Weight λ of the squared length of all factors, in units of the root mean square of the singular values of the
    confidences in what was consumed: what varies less than λ is taken for noise. By default the one that ranks
    validation rows best, of 0.3, 0.6, 1.2, 2.4, 4.0."""
    iterations: int = number(15, 1, 10_000)
    """Times that users and items are solved for."""
    weights: str = word("completion", *WEIGHTS)
    """What an item counts: the share consumed, or 1 ("binary")."""


class ALS(Encoder):
    """Implicit feedback by alternating least squares (Hu, Koren & Volinsky, 2008), solved by the library implicit.

    A history becomes the factors x of a user who consumed just that: with confidence c = 1 + α·weight for its items and
    1 for all others, ``x = (YᵀY + λI + Σ (c_h − 1) y_h y_hᵀ)⁻¹ Σ c_h y_h``. Since ``G = YᵀY + λI`` is the same for all,
    the inverse is taken of an H × H matrix for each history, of H entries (Woodbury's identity)::

        x = G⁻¹ Y_Hᵀ (I + C Y_H G⁻¹ Y_Hᵀ)⁻¹ c      C = diag(c_h − 1)

    Where the options leave them open, the regularisation is chosen first, then the width: by recall@10 of users in the
    validation rows, given their histories in the log. Without validation rows the log's last tenth in time is asked
    for, and then learnt from, too.
    """

    options_type: ClassVar[type[Options]] = ALSOptions
    _items: Vectors  # Y, with the row of zeros
    _solved: Vectors  # Y G⁻¹
    _penalty: float  # λ

    def _fit(
        self,
        log: Interactions,
        validation: Interactions | None,
        seed: int,
        folder: Path | None,
        report: ProgressCallback,
    ) -> None:
        options = self.options
        if options.width is None or options.regularisation is None:
            options = self._choose(log, validation, seed, report)
        with _use_one_thread():
            from implicit.cpu.als import AlternatingLeastSquares

            confidence = build_log_matrix(log, options.weights)
            confidence.data = 1.0 + options.alpha * confidence.data
            rank = min(len(np.unique(places)) for places in confidence.nonzero())
            penalty = options.regularisation * float(np.linalg.norm(confidence.data)) / rank**0.5
            model = AlternatingLeastSquares(
                factors=options.width,
                regularization=penalty,
                iterations=options.iterations,
                num_threads=1,  # threads share out the rows in no fixed order
                random_state=seed,
            )
            steps = {"steps": float(options.iterations)}
            model.fit(
                _convert_to_spmatrix(confidence)[:, 1:],
                show_progress=False,
                callback=lambda iteration, *_: report({"step": iteration + 1.0} | steps),
            )
        if not np.isfinite(model.item_factors).all():
            raise EncoderError(f"no finite factors were found; regularisation = {options.regularisation:g}: raise it")
        self._set_factors(pad_vectors(model.item_factors), penalty)

    def _choose(
        self, log: Interactions, validation: Interactions | None, seed: int, report: ProgressCallback
    ) -> ALSOptions:
        """Options with the width and the regularisation that rank validation rows best."""
        given: ALSOptions = self.options
        width: int = _WIDTH if given.width is None else given.width
        penalty: float = _PENALTY if given.regularisation is None else given.regularisation
        past, later = hold_back(log) if validation is None else (log, validation)
        try:
            cases = find_validation_cases(past, later)
        except EncoderError as error:
            _log.warning("als: width %d and regularisation %g are taken, not chosen: %s", width, penalty, error)
            return replace(given, width=width, regularisation=penalty)

        @functools.cache
        def measure(width: int, penalty: float) -> float:
            trial = ALS(self.items, replace(given, width=width, regularisation=penalty))
            return float(evaluate(trial.fit(past, seed=seed, report=report), cases)["recall"].mean())

        if given.regularisation is None:
            penalty = max(PENALTIES, key=lambda value: measure(width, value))
        if given.width is None:
            width = max(WIDTHS, key=lambda value: measure(value, penalty))
        return replace(given, width=width, regularisation=penalty)

    def _set_factors(self, items: Vectors, penalty: float) -> None:
        self._items, self._penalty, self.width = items, penalty, items.shape[1]
        exact = items.astype(np.float64)
        gram = exact.T @ exact + penalty * np.eye(self.width)
        self._solved = np.linalg.solve(gram, exact.T).T.astype(np.float32)

    def _encode(self, histories: Histories) -> Vectors:
        vectors = np.zeros((len(histories["history_ids"]), self.width), np.float32)
        for chunk, ids, system, confidence in self._build_systems(histories):
            weights = np.linalg.solve(system, confidence[:, :, None])
            vectors[chunk] = (self._solved[ids].transpose(0, 2, 1) @ weights.astype(np.float32))[:, :, 0]
        return vectors

    def _item_vectors(self) -> Vectors:
        return self._items

    def contributions(self, histories: Histories, item: NDArray[np.int64]) -> Vectors:
        """Exact, as in section 5 of the paper: confidence in an entry times its likeness, to this user, to the item."""
        self.encode(histories)  # which checks them
        shares = np.zeros(histories["history_ids"].shape, np.float32)
        for chunk, ids, system, confidence in self._build_systems(histories):
            likeness = (self._items[ids] @ self._solved[item[chunk]][:, :, None]).astype(np.float64)
            shares[chunk] = confidence * np.linalg.solve(system.transpose(0, 2, 1), likeness)[:, :, 0]
        return shares

    def _build_systems(self, histories: Histories) -> Iterator[tuple[slice, NDArray[np.int64], Any, Any]]:
        """Of some histories at a time: which, items (b, H), I + C Y G⁻¹ Yᵀ (b, H, H), c (b, H)."""
        excess = self.options.alpha * compute_entry_weights(histories, self.options.weights).astype(np.float64)
        confidence = compute_entry_shares(histories) + excess
        for start in range(0, len(excess), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            ids = histories["history_ids"][chunk].astype(np.int64)
            kernel = self._items[ids] @ self._solved[ids].transpose(0, 2, 1)
            yield chunk, ids, np.eye(ids.shape[1]) + excess[chunk, :, None] * kernel, confidence[chunk]

    def _weights(self) -> dict[str, NDArray[Any]]:
        return {"items": self._items, "penalty": np.array([self._penalty])}

    def _restore(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._set_factors(weights["items"], float(weights["penalty"][0]))


@dataclass(frozen=True)
class SVDOptions(Options):
    """Options of `SVD`."""

    width: int = number(32, 1, 4096)
    """Singular vectors kept, at most the number of items."""
    popularity: float = number(0.5, -2.0, 2.0)
    """Each column is scaled to its length to this power: 1 leaves popular items their weight, 0 makes all alike."""
    weights: str = word("completion", *WEIGHTS)
    """What an item counts: the share consumed, or 1 ("binary")."""


class SVD(Encoder):
    """Truncated SVD of the scaled user–item matrix; a history is projected on the right singular vectors V.

    The score is r D V Vᵀ for a row r, with D = diag(length^(popularity − 1)): Cremonesi, Koren & Turrin (2010),
    Performance of recommender algorithms on top-N recommendation tasks (PureSVD), with the scaling of columns of
    Nikolakopoulos et al. (2019), EigenRec.
    """

    options_type: ClassVar[type[Options]] = SVDOptions
    _items: Vectors  # V, with the row of zeros
    _scale: NDArray[np.float32]  # diagonal of D

    def _fit(
        self,
        log: Interactions,
        validation: Interactions | None,
        seed: int,
        folder: Path | None,
        report: ProgressCallback,
    ) -> None:
        matrix = build_log_matrix(log, self.options.weights)
        self._scale = measure_column_lengths(matrix) ** np.float32(self.options.popularity - 1.0)
        self.width = min(self.options.width, len(self.items))
        with _use_one_thread():
            model = TruncatedSVD(self.width, n_iter=15, random_state=seed).fit(
                scale_matrix(matrix, columns=self._scale)
            )
        self._items = np.asarray(model.components_.T, np.float32)
        self._items[0] = 0.0

    def _encode(self, histories: Histories) -> Vectors:
        rows = build_history_matrix(histories, len(self.items), self.options.weights)
        return np.asarray(scale_matrix(rows, columns=self._scale) @ self._items, np.float32)

    def _item_vectors(self) -> Vectors:
        return self._items

    def contributions(self, histories: Histories, item: NDArray[np.int64]) -> Vectors:
        """Exact: the score is a sum over the history."""
        self.encode(histories)  # which checks them
        ids = histories["history_ids"].astype(np.int64)
        likeness = (self._items[ids] @ self._items[item][:, :, None])[:, :, 0]
        return np.asarray(
            compute_entry_weights(histories, self.options.weights) * self._scale[ids] * likeness, np.float32
        )

    def _weights(self) -> dict[str, NDArray[Any]]:
        return {"items": self._items, "scale": self._scale}

    def _restore(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._items, self._scale = weights["items"], weights["scale"]
        self.width = self._items.shape[1]


@contextlib.contextmanager
def _use_one_thread() -> Iterator[None]:
    """BLAS on one thread: sums have one order, and implicit, whose own threads would meet them, does not warn."""
    with threadpool_limits(1, "blas"):
        yield


def _convert_to_spmatrix(matrix: Any) -> Any:
    """Implicit knows sparse matrices only, not the newer sparse arrays."""
    from scipy.sparse import csr_matrix

    return csr_matrix(matrix)


ENCODERS.register("als", EncoderEntry(ALS), encoder="ALS", about="implicit matrix factorisation", needs="implicit")
ENCODERS.register("svd", EncoderEntry(SVD), encoder="SVD", about="truncated singular value decomposition")

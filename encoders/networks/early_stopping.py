"""When to stop learning: how well an encoder foretells what users come to like, asked while it is being fitted."""

from __future__ import annotations

from collections.abc import Callable

from ..base import Encoder
from ..data.splits import Cases
from ..measures.evaluation import evaluate

TOP = 10


class ValidationRecall:
    """Mean recall@10 on the validation cases, of an encoder as it is when asked.

    Parameters
    ----------
    encoder : Encoder
        Encoder in the middle of its fit.
    cases : Cases
        Cases, as of `find_validation_cases`.
    refresh : callable, optional
        Brings what the encoder scores with up to date with its network.
    """

    def __init__(self, encoder: Encoder, cases: Cases, refresh: Callable[[], object] = lambda: None) -> None:
        self._encoder, self._cases, self._refresh = encoder, cases, refresh

    def __call__(self) -> float:
        """Score the users; the encoder counts as fitted meanwhile, and no longer: a fit may yet be interrupted."""
        encoder, fitted = self._encoder, self._encoder._fitted
        self._refresh()
        encoder._fitted = True
        try:
            return float(evaluate(encoder, self._cases, TOP)["recall"].mean())
        finally:
            encoder._fitted = fitted

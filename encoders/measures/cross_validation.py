"""Cross-validation of encoders over users: each is tested once, by an encoder that saw no row of theirs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from ..base import Encoder, EncoderError
from ..data.interactions import Interactions
from .evaluation import evaluate, find_validation_cases
from .metrics import binary_measures, find_best_threshold

_RANKED = {"recall_at_k": "recall", "ndcg_at_k": "ndcg", "click_through": "click_through", "ranking_auc": "auc"}
_LABELLED = ("threshold", "accuracy", "precision", "recall", "f1", "auc")
_AT_ONCE = 512  # rows whose scores of all items are held
_MOST = 20_000  # rows whose labels are told


def cross_validate(
    make: Callable[[], Encoder],
    log: Interactions,
    folds: int = 5,
    *,
    k: int = 10,
    later: float = 0.2,
    history: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """Fit and test an encoder on K parts of the users.

    The rows' last share in time is asked for, and what lies before is known: of the users to learn from the earlier
    rows train and the later ones stop training early; of the test users the earlier rows are histories only.

    Parameters
    ----------
    make : callable
        An encoder that is not fitted.
    folds : int
        K, from 2.
    k : int
        Length of the list of recommendations.
    later : float
        Share of the rows that are asked for, between 0 and 1.
    history : int
        Length of histories.
    seed : int
        Seed of the parts; part i is fitted with ``seed + i``.

    Returns
    -------
    DataFrame
        A row for each part: ``fold``, ``users`` (tested), ``recall_at_k``, ``ndcg_at_k``, ``click_through``,
        ``ranking_auc`` (means over users of `evaluate`), and ``accuracy``, ``precision``, ``recall``, ``f1`` and
        ``auc`` of "liked or not" on the test users' later rows. Probabilities for these come from scores by a logistic
        curve, and are called positive from ``threshold`` on, both fitted on the validation rows, the latter by the
        best F1. NaN where the rows are all of one label.

    Raises
    ------
    EncoderError
        If an argument is out of range, or too few users are left.
    """
    if not 2 <= folds <= log.users or not 0.0 < later < 1.0:
        raise EncoderError(f"folds = {folds}, later = {later}; allowed: 2 to {log.users} users, and between 0 and 1")
    cut = np.quantile(log.time, 1.0 - later)
    rows = []
    for fold, (_, tested) in enumerate(KFold(folds, shuffle=True, random_state=seed).split(np.arange(log.users))):
        train, validation, before, after = parts = _divide(log, tested, cut)
        if not all(map(len, parts)):
            raise EncoderError(f"fold {fold} has no rows before or after day {cut:g}; give more rows, or fewer folds")
        pool = np.bincount(train.item[train.consumed], minlength=log.items + 1) > 0
        encoder = make().fit(train, validation, seed=seed + fold)
        cases = find_validation_cases(before, after, history, pool=pool)
        table = evaluate(encoder, cases, k)
        means = {title: float(table[name].mean()) for title, name in _RANKED.items()}
        labels = _measure_labels(encoder, train, validation, before, after, history, seed)
        rows.append({"fold": fold, "users": len(cases)} | means | labels)
    return pd.DataFrame(rows)


def _divide(log: Interactions, tested: NDArray[np.int64], cut: float) -> tuple[Interactions, ...]:
    """Earlier and later rows of the other users, then earlier and later ones of the tested users."""
    test = np.isin(log.user, tested)
    return tuple(
        log.take(in_part & in_time) for in_part in (~test, test) for in_time in (log.time < cut, log.time >= cut)
    )


def _measure_labels(
    encoder: Encoder,
    train: Interactions,
    validation: Interactions,
    before: Interactions,
    after: Interactions,
    history: int,
    seed: int,
) -> dict[str, float]:
    """Measures of "liked or not" on asked rows, the curve from scores to probabilities fitted on validation rows."""
    scores, liked = _score_rows(encoder, train, validation, history, seed)
    asked_scores, truth = _score_rows(encoder, before, after, history, seed)
    if len(np.unique(liked)) < 2 or not len(truth):
        return dict.fromkeys(_LABELLED, float("nan"))
    # Unit variance, lest regularisation depend on the scale of scores.
    spread = max(float(scores.std()), 1e-12)
    curve = LogisticRegression().fit(scores[:, None] / spread, liked)
    known, asked = (curve.predict_proba(column[:, None] / spread)[:, 1] for column in (scores, asked_scores))
    threshold = find_best_threshold(liked, known)
    return {"threshold": threshold} | binary_measures(truth, asked, threshold)


def _score_rows(
    encoder: Encoder, before: Interactions, rows: Interactions, history: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Score of each later row for its user's history before the cut, and whether it was liked; a sample of many."""
    sample = np.arange(len(rows))
    if len(sample) > _MOST:
        sample = np.sort(np.random.default_rng(seed).choice(sample, _MOST, replace=False))
    users, place = np.unique(rows.user[sample], return_inverse=True)
    scores = np.empty(len(sample), np.float32)
    for start in range(0, len(users), _AT_ONCE):
        chunk = slice(start, start + _AT_ONCE)
        user_scores = encoder.score(before.histories(users[chunk], rows.time.min(), history))
        in_chunk = (place >= start) & (place < start + _AT_ONCE)
        scores[in_chunk] = user_scores[place[in_chunk] - start, rows.item[sample[in_chunk]]]
    return scores, rows.liked[sample]

"""Whether what an encoder has learnt is worth more than how often items are liked."""

from __future__ import annotations

import logging

from ..base import Encoder, EncoderError
from ..data.interactions import Interactions
from ..data.splits import hold_back
from .evaluation import PopularityScorer, evaluate, find_validation_cases

_log = logging.getLogger(__name__)


def fit_on_whole(encoder: Encoder, log: Interactions, *, seed: int = 0) -> Encoder:
    """Fit on a log that nothing is held out of: its last tenth in time says when to stop, and `warn_below_popularity`.

    Where nobody likes a new item in that tenth, all rows are learnt from, and nothing is said.
    """
    train, validation = hold_back(log)
    try:
        find_validation_cases(train, validation)
    except EncoderError:
        return encoder.fit(log, seed=seed)
    encoder.fit(train, validation, seed=seed)
    warn_below_popularity(encoder, train, validation)
    return encoder


def warn_below_popularity(encoder: Encoder, log: Interactions, validation: Interactions, k: int = 10) -> None:
    """Say in one line where popularity ranks validation rows better than an encoder that was fitted on the log.

    Measured is recall@k of the users who like a new item in the validation rows, given their histories in the log.
    Nothing is said of an encoder that learns nothing, or where no user does.
    """
    if not encoder.needs_fit:
        return
    try:
        cases = find_validation_cases(log, validation)
    except EncoderError:
        return
    ours, floor = (float(evaluate(scorer, cases, k)["recall"].mean()) for scorer in (encoder, PopularityScorer(log)))
    if ours < floor:
        _log.warning(
            "%s ranks below popularity after %s consumed rows: recall@%d of %s users on validation rows is %.3f, "
            "popularity's %.3f. Fix: collect more, or rank by popularity or texts",
            type(encoder).__name__,
            f"{int(log.consumed.sum()):,}",
            k,
            f"{len(cases):,}",
            ours,
            floor,
        )

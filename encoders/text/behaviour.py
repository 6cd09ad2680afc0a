"""What a user did as an English text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

NO_HISTORY = "No history yet."

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
    entries = list(zip(texts, completions, ages_days, strict=True))[:limit]
    clauses = [
        f"{phrase}: {'; '.join(text.strip().rstrip('.') for text, _, _ in items)}."
        for phrase, items in itertools.groupby(
            entries, key=lambda item: f"{_describe_completion(item[1])}, {_describe_age(item[2])}"
        )
    ]
    return " ".join(clauses) or NO_HISTORY


def _describe_completion(completion: float) -> str:
    if not 0.0 <= completion <= 1.0:
        raise ValueError(f"completion {completion} lies outside [0, 1]")
    return next(phrase for least, phrase in _PHRASES if completion >= least)


def _describe_age(age: float) -> str:
    if not 0.0 <= age < math.inf:
        raise ValueError(f"age {age} [days] must be finite and not negative")
    days = int(age)
    if days < 2:
        return ("today", "yesterday")[days]
    if days < 14:
        return f"{days} days ago"
    return f"{days // 7} weeks ago" if days < 60 else f"{days // 30} months ago"

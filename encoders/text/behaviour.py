"""What a user did as a text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...envs.shared.names import one_of

NO_HISTORY = "No history yet."


@dataclass(frozen=True)
class BehaviourWords:
    """How a history is told: words of a language, for items of a kind.

    Parameters
    ----------
    phrases : tuple of four str
        What is said of a completion of at least 0.9, 0.6, 0.3 and 0.
    ages : tuple of five str
        Today, yesterday, and days, weeks and months ago, with ``{n}`` for their number.
    clause : str
        A clause with ``{phrase}``, ``{age}`` and ``{items}``.
    between_items, between_clauses : str
        What stands between two.
    nothing : str
        What is said of an empty history.
    """

    phrases: tuple[str, str, str, str]
    ages: tuple[str, str, str, str, str] = ("today", "yesterday", "{n} days ago", "{n} weeks ago", "{n} months ago")
    clause: str = "{phrase}, {age}: {items}."
    between_items: str = "; "
    between_clauses: str = " "
    nothing: str = NO_HISTORY


_LEAST = (0.9, 0.6, 0.3, 0.0)  # completion for each phrase
_PHRASES = {
    "en": {
        "any": ("Finished", "Got through most of", "Got halfway through", "Skipped through"),
        "film": ("Watched to the end", "Watched most of", "Watched half of", "Stopped watching"),
        "product": ("Looked at everything of", "Looked closely at", "Looked at", "Glanced at"),
        "article": ("Read to the end", "Read most of", "Read half of", "Skimmed"),
        "post": ("Read to the end", "Read most of", "Read half of", "Scrolled past"),
    },
    "zh": {
        "any": ("看完了", "看了大半", "看了一半", "略过了"),
        "film": ("看完了影片", "看了大半影片", "看了一半影片", "没看多久影片"),
        "product": ("看遍了商品", "细看了商品", "看过商品", "扫了一眼商品"),
        "article": ("读完了文章", "读了大半文章", "读了一半文章", "略读了文章"),
        "post": ("读完了帖子", "读了大半帖子", "读了一半帖子", "划过了帖子"),
    },
}
LANGUAGES, KINDS = tuple(_PHRASES), tuple(_PHRASES["en"])


def find_behaviour_words(language: str = "en", kind: str = "any") -> BehaviourWords:
    """The words of a language, ``"en"`` or ``"zh"``, for items of a kind: any, film, product, article or post."""
    phrases = _PHRASES[one_of("language", language, LANGUAGES)][one_of("kind", kind, KINDS)]
    if language == "en":
        return BehaviourWords(phrases)
    ages = ("今天", "昨天", "{n}天前", "{n}周前", "{n}个月前")
    return BehaviourWords(phrases, ages, "{age}{phrase}：{items}。", "；", "", "还没有记录。")


def behaviour_to_text(
    texts: Sequence[str],
    completions: Sequence[float],
    ages_days: Sequence[float],
    *,
    limit: int = 8,
    language: str = "en",
    kind: str = "any",
    words: BehaviourWords | None = None,
) -> str:
    """Tell a history in words.

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
    language : {"en", "zh"}
        Language that is told in; the texts stay as they are.
    kind : {"any", "film", "product", "article", "post"}
        What the items are.
    words : BehaviourWords, optional
        Words of one's own, in place of those of `language` and `kind`.

    Returns
    -------
    str
        Such as ``"Finished, today: A; B. Skipped through, 3 days ago: C."``, in the order given; items alike in
        completion and age share a clause. `NO_HISTORY`, or what `words` say, for an empty history.

    Raises
    ------
    ValueError
        If the lengths differ, `limit` is below 1, a completion lies outside [0, 1], an age is negative or infinite, or
        language or kind is unknown.
    """
    if not len(texts) == len(completions) == len(ages_days):
        raise ValueError(f"{len(texts)} texts, {len(completions)} completions and {len(ages_days)} ages; must be alike")
    if limit < 1:
        raise ValueError(f"limit={limit}; it must be at least 1")
    words = words or find_behaviour_words(language, kind)
    entries = list(zip(texts, completions, ages_days, strict=True))[:limit]
    clauses = [
        words.clause.format(
            phrase=phrase, age=age, items=words.between_items.join(text.strip().rstrip(".。") for text, _, _ in items)
        )
        for (phrase, age), items in itertools.groupby(
            entries, key=lambda item: (_describe_completion(item[1], words), _describe_age(item[2], words))
        )
    ]
    return words.between_clauses.join(clauses) or words.nothing


def _describe_completion(completion: float, words: BehaviourWords) -> str:
    if not 0.0 <= completion <= 1.0:
        raise ValueError(f"completion {completion} lies outside [0, 1]")
    return next(phrase for least, phrase in zip(_LEAST, words.phrases, strict=True) if completion >= least)


def _describe_age(age: float, words: BehaviourWords) -> str:
    if not 0.0 <= age < math.inf:
        raise ValueError(f"age {age} [days] must be finite and not negative")
    days = int(age)
    if days < 2:
        return words.ages[days]
    if days < 14:
        return words.ages[2].format(n=days)
    return words.ages[3].format(n=days // 7) if days < 60 else words.ages[4].format(n=days // 30)

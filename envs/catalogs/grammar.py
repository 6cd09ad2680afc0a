"""Synthetic English from a context-free grammar with memory: what the made-up catalogues are written with.

A rule is a list of options, and an option is text with slots. ``{town}`` says one option of the rule `town`;
``{town:a}`` says the same town wherever it stands with that label, and another one than ``{town:b}``; ``{3..12}`` says
a whole number. Options are written in lower case and with "a" for both articles: `tidy` sets capitals and "an".
"""

from __future__ import annotations

import math
import random
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any

VOCABULARY = Path(__file__).with_name("vocabulary")

Chance = Callable[[], float]  # uniform numbers in [0, 1)
Bound = MutableMapping[str, str]  # "rule:label" -> what the slot says in this text, and in those that go on from it

_SLOT = re.compile(r"\{(?:(\w+)(?::(\w+))?|(\d+)\.\.(\d+))\}")
_ARTICLE = re.compile(r"\b([Aa]) (?=['\"]?([\w]+))")
_SENTENCE = re.compile(r"((?:^|[.!?] |\n)['\"]?)([a-z])")
_CONSONANT_SOUND = re.compile(r"(?i:uni(?!m|n)|us[aeu]|util|eu|ewe|one\b|once|ubiq)|U[A-Z\d]")
_SILENT_H = re.compile(r"(?:hour|honest|honour|heir)", re.IGNORECASE)
_SPELT_OUT = re.compile(r"[AEFHILMNORSX](?:[A-Z\d]|\b)")  # LED, MP, X-ray: the letter's name begins with a vowel
_EIGHT = re.compile(r"8|1[18]\b")


class GrammarError(ValueError):
    """A vocabulary that cannot be spoken: an unknown rule, or one without options."""


class Grammar:
    """Rules, and the stream of chance that picks among their options.

    Parameters
    ----------
    rules : mapping of str to (str or list of str)
        A list holds whole options, picked alike. A string holds words separated by commas, and the earlier ones come up
        more often, as names do: word number k of n with a probability that falls as the cube root of k rises.
    chance : callable
        Uniform numbers in [0, 1). ``random.Random(seed).random`` gives the same stream on every platform and in
        every version of Python, which NumPy does not promise for its generators.

    Raises
    ------
    GrammarError
        If a rule has no options, or an option names a rule that is not there.
    """

    def __init__(self, rules: Mapping[str, str | list[str]], chance: Chance) -> None:
        self._chance = chance
        self._rules: dict[str, tuple[bool, tuple[str, ...]]] = {}
        for name, rule in rules.items():
            words = isinstance(rule, str)
            options = _split_words(rule) if isinstance(rule, str) else tuple(rule)
            if not options:
                raise GrammarError(f"rule {name!r} has no options. Fix: give at least one")
            self._rules[name] = (words, options)
        for name, (_, options) in self._rules.items():
            for option in options:
                self._check(name, option)

    def _check(self, name: str, option: str) -> None:
        for piece in _split_option(option):
            if isinstance(piece, tuple) and isinstance(piece[0], str) and piece[0] not in self._rules:
                names = ", ".join(sorted(self._rules))
                raise GrammarError(f"rule {name!r}: unknown slot {piece[0]!r} in {option!r}. Fix: use one of {names}")
        if "{" in (leftover := _SLOT.sub("", option)) or "}" in leftover:
            raise GrammarError(f"rule {name!r}: a brace stands alone in {option!r}. Fix: write slots as {{rule}}")

    def say(self, rule: str, bound: Bound | None = None) -> str:
        """Say a rule: raw text, to be joined with others and given to `tidy`; `bound` is read and added to."""
        return self._expand(self._pick(rule), {} if bound is None else bound)

    def _pick(self, rule: str) -> str:
        words, options = self._rules[rule]
        share = self._chance()
        return options[int((share * math.sqrt(share) if words else share) * len(options))]

    def _expand(self, option: str, bound: Bound) -> str:
        text = []
        for piece in _split_option(option):
            if isinstance(piece, str):
                text.append(piece)
            elif isinstance(piece[0], int):
                text.append(str(piece[0] + int(self._chance() * (piece[1] - piece[0] + 1))))
            elif piece[1] is None:
                text.append(self._expand(self._pick(piece[0]), bound))
            else:
                text.append(self._recall(piece[0], piece[1], bound))
        return "".join(text)

    def _recall(self, rule: str, label: str, bound: Bound) -> str:
        key = f"{rule}:{label}"
        if key not in bound:
            others = {text for other, text in bound.items() if other.startswith(f"{rule}:")}
            for _ in range(20):  # a rule of few words may have no other one to give
                text = self._expand(self._pick(rule), bound)
                if text not in others:
                    break
            bound[key] = text
        return bound[key]


@cache
def _split_option(option: str) -> tuple[Any, ...]:
    """An option as texts, (rule, label or None) and (lowest, highest)."""
    parts: list[Any] = []
    end = 0
    for slot in _SLOT.finditer(option):
        parts += [option[end : slot.start()]] if slot.start() > end else []
        parts.append((slot[1], slot[2]) if slot[1] else (int(slot[3]), int(slot[4])))
        end = slot.end()
    return (*parts, option[end:]) if end < len(option) else tuple(parts)


def _split_words(text: str) -> tuple[str, ...]:
    return tuple(word for raw in text.split(",") if (word := " ".join(raw.split())))


def read_vocabulary(name: str) -> dict[str, Any]:
    """The tables of ``vocabulary/NAME.toml``."""
    return tomllib.loads((VOCABULARY / f"{name}.toml").read_text("utf-8"))


def takes_an(word: str) -> bool:
    """Whether the article before a word is "an", by how the word is spoken."""
    if _CONSONANT_SOUND.match(word):
        return False
    return bool(word[0] in "aeiouAEIOU" or _SILENT_H.match(word) or _SPELT_OUT.match(word) or _EIGHT.match(word))


def tidy(text: str) -> str:
    """Set the articles, and the capitals that begin sentences."""
    text = _ARTICLE.sub(lambda match: f"{match[1]}{'n' if takes_an(match[2]) else ''} ", text)
    return _SENTENCE.sub(lambda match: match[1] + match[2].upper(), text)


def draw_bell(chance: Chance) -> float:
    """A number of mean 0 and variance 1 that is close to normal, by sums alone: equal on every platform."""
    return (chance() + chance() + chance() + chance() - 2.0) * math.sqrt(3.0)


def share_by_zipf(labels: Iterable[str], total: int, exponent: float) -> dict[str, int]:
    """Share a total among labels by rank to the power of -exponent, rounded so that the counts add up."""
    ranked = list(labels)
    weights = [(rank + 1) ** -exponent for rank in range(len(ranked))]
    edges = [round(total * sum(weights[: rank + 1]) / sum(weights)) for rank in range(len(ranked))]
    return {label: edge - before for label, edge, before in zip(ranked, edges, [0, *edges], strict=False)}


def make_chance(seed: int) -> Chance:
    """Uniform numbers in [0, 1), the same on every platform."""
    return random.Random(seed).random

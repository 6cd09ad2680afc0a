"""Synthetic news: headlines and teasers written by a grammar, for want of real ones that may be passed on.

Articles come in stories of one to five parts that share people, places and matter, so that near-duplicates exist. Three
kinds of first part differ in how they are received: lurid ones are talked about and rated low, analyses are rated high.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .catalog import Catalog, compute_midrank_percentile
from .grammar import Bound, Chance, Grammar, draw_bell, make_chance, read_vocabulary, share_by_zipf, tidy
from .registry import CATALOGS

ARTICLES = 12_000
SEED = 20_260_101

# The main sections' sizes fall as rank to the power of -SKEW, which gives labels of about 3.7 nats.
SKEW = 0.8
SECOND_LABEL = 0.3  # share of the stories that stand in a second section
CLOSING = 0.45  # share of the articles with a closing sentence

KINDS = ("plain", "lurid", "depth")
# How wording is received, in standard deviations of all else: clickbait draws readers who are not glad of it.
TALKED_ABOUT = {"plain": 0.0, "lurid": 1.0, "depth": -0.1}
RATED = {"plain": 0.0, "lurid": -0.9, "depth": 0.9}
QUALITY = 0.55  # weight of an article's own quality in both
READING_MINUTES = {"plain": (0.5, 3.0), "lurid": (0.5, 2.0), "depth": (2.5, 6.0)}

# Numbers of parts of a story, alike in chance; and the time between two parts, as a share of the whole period.
PARTS = (1,) * 16 + (2, 2, 2, 2, 3, 3, 4, 5)
GAP = 0.01


class _Article(NamedTuple):
    when: float
    text: str
    labels: tuple[str, ...]
    minutes: float
    talked: float
    rated: float


@lru_cache(maxsize=1)
def load_news() -> Catalog:
    """Write the news: always the same, on every platform.

    Returns
    -------
    Catalog
        In order of publication, and `published` counts from 1. `topics` are a main section and at times a second one.
        `minutes` is reading time. `popularity` and `rating` rank made-up scores: both rise with an article's quality;
        lurid wording raises the first and lowers the second; long stories are talked about more. `report` counts the
        articles of each kind, the later parts of stories, and the texts that came up twice and were written anew.
    """
    chance = make_chance(SEED)
    sections = read_vocabulary("news_sections")
    news = read_vocabulary("news")
    families = news["family"] | read_vocabulary("news_features")["family"]
    report = {"articles": ARTICLES, "plain": 0, "lurid": 0, "depth": 0, "later_parts": 0, "rewritten": 0}
    articles: list[_Article] = []
    seen: set[str] = set()
    for label, count in share_by_zipf(sections, ARTICLES, SKEW).items():
        section = sections[label]
        family = families[section["family"]]
        words = {key: rule for key, rule in (family | section).items() if key not in ("kinds", "also", "family")}
        grammar = Grammar(news["words"] | words, chance)
        left = count
        while left:
            parts = min(left, PARTS[int(chance() * len(PARTS))])
            labels = (label, *_pick_second_section(section["also"], chance))
            articles += _write_story(grammar, family["kinds"], labels, parts, seen, report, chance)
            left -= parts
    articles.sort()
    return Catalog(
        name="synthetic news",
        ids=tuple(f"n{number:05d}" for number in range(1, ARTICLES + 1)),
        texts=tuple(article.text for article in articles),
        topics=tuple(article.labels for article in articles),
        minutes=np.array([article.minutes for article in articles]),
        popularity=compute_midrank_percentile([article.talked for article in articles]),
        rating=compute_midrank_percentile([article.rated for article in articles]),
        published=np.arange(1.0, ARTICLES + 1.0),
        report=report,
    )


def _pick_second_section(others: list[str], chance: Chance) -> tuple[str, ...]:
    return (others[int(chance() * len(others))],) if chance() < SECOND_LABEL else ()


def _write_story(
    grammar: Grammar,
    shares: list[float],
    labels: tuple[str, ...],
    parts: int,
    seen: set[str],
    report: dict[str, int],
    chance: Chance,
) -> list[_Article]:
    """The parts of one story: the first of some kind, the others going on from it with the same names."""
    bound: dict[str, str] = {}
    draw = chance()
    kind = KINDS[(draw >= shares[0]) + (draw >= shares[0] + shares[1])]
    when = chance()
    articles = []
    for part in range(parts):
        rule = kind if part == 0 else "follow"
        text = _write(grammar, rule, bound, chance)
        while text in seen:  # the same story in the same words: tell it of somebody else
            report["rewritten"] += 1
            bound = {}
            text = _write(grammar, rule, bound, chance)
        seen.add(text)
        received = kind if part == 0 else "plain"
        report[received] += 1
        report["later_parts"] += part > 0
        quality, low, high = draw_bell(chance), *READING_MINUTES[received]
        articles.append(
            _Article(
                when=when + part * GAP * (0.5 + chance()),
                text=text,
                labels=labels,
                minutes=round(low + (high - low) * (chance() + chance()) / 2, 1),
                talked=TALKED_ABOUT[received] + QUALITY * quality + 0.15 * (parts - 1) + 0.6 * draw_bell(chance),
                rated=RATED[received] + QUALITY * quality + 0.6 * draw_bell(chance),
            )
        )
    return articles


def _write(grammar: Grammar, rule: str, bound: Bound, chance: Chance) -> str:
    text = grammar.say(rule, bound)
    return tidy(f"{text} {grammar.say('close', bound)}." if chance() < CLOSING else text)


CATALOGS.register("news", load_news)

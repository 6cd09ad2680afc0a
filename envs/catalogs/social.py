"""Synthetic social network: short posts written by a grammar, for want of real ones that may be passed on.

Accounts post now and then, or in threads of up to six parts about one hero and one aim, so that near-duplicates exist.
Jokes and outrage are shared the most; useful posts are found good, and outrage is regretted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .catalog import Catalog, compute_midrank_percentile
from .grammar import Chance, Grammar, draw_bell, make_chance, read_vocabulary, share_by_zipf, tidy
from .registry import CATALOGS

POSTS = 15_000
SEED = 20_260_103

SKEW = 0.5  # the tags' sizes fall as rank to the power of -SKEW
SECOND_TAG = 0.35  # share of the threads with a second tag
HASHTAG = 0.4  # share of the posts that write their tags out

# Kinds of post: share, how much it is shared and how good it is found (in standard deviations of all else), minutes.
KINDS = {
    "plain": (0.26, -0.3, 0.0, (0.2, 0.8)),
    "clip": (0.22, 0.2, 0.2, (0.3, 2.0)),
    "joke": (0.2, 0.7, 0.2, (0.2, 0.5)),
    "outrage": (0.14, 1.0, -1.1, (0.2, 0.8)),
    "useful": (0.18, -0.2, 0.7, (0.3, 1.2)),
}
THREAD = (0.0, 0.0, (0.2, 1.2))  # the same of a thread's later parts
QUALITY = 0.5  # weight of a post's own quality in both

# Numbers of posts in a thread, alike in chance; and the time between two, as a share of the whole period.
PARTS = (1,) * 20 + (2, 2, 2, 3, 4, 6)
GAP = 0.005


class _Post(NamedTuple):
    when: float
    text: str
    tags: tuple[str, ...]
    minutes: float
    shared: float
    good: float


@lru_cache(maxsize=1)
def load_posts() -> Catalog:
    """Write the posts: always the same, on every platform.

    Returns
    -------
    Catalog
        In order of appearance, and `published` counts from 1. `topics` are a tag and at times a second one. `minutes`
        is what reading or watching takes. `popularity` and `rating` rank made-up scores: both rise with a post's
        quality; jokes and outrage raise the first, outrage lowers the second. `report` counts the posts of each kind,
        the later parts of threads, and the texts that came up twice and were written anew.
    """
    chance = make_chance(SEED)
    social = read_vocabulary("social")
    tags = read_vocabulary("social_tags")
    report = {"posts": POSTS, **dict.fromkeys((*KINDS, "thread"), 0), "rewritten": 0}
    handles = Grammar(social["handles"] | {"handle": ["@{front}_{back}", "@{front}{back}{2..99}"]}, chance)
    posts: list[_Post] = []
    seen: set[str] = set()
    for tag, count in share_by_zipf(tags, POSTS, SKEW).items():
        words = {key: rule for key, rule in tags[tag].items() if key != "also"}
        grammar = Grammar(social["words"] | words | {"tag": [tag]}, chance)
        left = count
        while left:
            parts = min(left, PARTS[int(chance() * len(PARTS))])
            others = tags[tag]["also"]
            second = (others[int(chance() * len(others))],) if chance() < SECOND_TAG else ()
            posts += _write_thread(grammar, handles.say("handle"), (tag, *second), parts, seen, report, chance)
            left -= parts
    posts.sort()
    return Catalog(
        name="synthetic social",
        ids=tuple(f"s{number:05d}" for number in range(1, POSTS + 1)),
        texts=tuple(post.text for post in posts),
        topics=tuple(post.tags for post in posts),
        minutes=np.array([post.minutes for post in posts]),
        popularity=compute_midrank_percentile([post.shared for post in posts]),
        rating=compute_midrank_percentile([post.good for post in posts]),
        published=np.arange(1.0, POSTS + 1.0),
        report=report,
    )


def _pick_kind(draw: float) -> str:
    for kind, (share, *_) in KINDS.items():
        if draw < share:
            return kind
        draw -= share
    return "plain"


def _write_thread(
    grammar: Grammar,
    handle: str,
    tags: tuple[str, ...],
    parts: int,
    seen: set[str],
    report: dict[str, int],
    chance: Chance,
) -> list[_Post]:
    """The posts of one thread: the first of some kind, the others about the same hero and aim."""
    bound: dict[str, str] = {}
    first = _pick_kind(chance())
    when = chance()
    posts = []
    for part in range(parts):
        kind = first if part == 0 else "thread"
        body = tidy(grammar.say(kind, bound))
        while body in seen:  # the same words: say it of something else
            report["rewritten"] += 1
            bound = {}
            body = tidy(grammar.say(kind, bound))
        seen.add(body)
        hashtags = "".join(f" #{tag.replace(' ', '').replace('-', '')}" for tag in tags) if chance() < HASHTAG else ""
        report[kind] += 1
        shared, good, (low, high) = KINDS[kind][1:] if part == 0 else THREAD
        quality = draw_bell(chance)
        posts.append(
            _Post(
                when=when + part * GAP * (0.5 + chance()),
                text=f"{handle}: {body}{hashtags}",
                tags=tags,
                minutes=round(low + (high - low) * (chance() + chance()) / 2, 1),
                shared=shared + QUALITY * quality + 0.1 * (parts - 1) + 0.5 * draw_bell(chance),
                good=good + QUALITY * quality + 0.6 * draw_bell(chance),
            )
        )
    return posts


CATALOGS.register("social", load_posts)

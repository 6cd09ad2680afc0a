"""Synthetic shop: products of invented brands written by a grammar, for want of real ones that may be passed on.

Products come in lines of one to six versions of the same thing, so that near-duplicates exist. Three kinds of first
version differ in how they are received: hyped ones sell and disappoint, solid ones are rated high.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .catalog import Catalog, compute_midrank_percentile
from .grammar import Bound, Chance, Grammar, draw_bell, make_chance, read_vocabulary, share_by_zipf, tidy
from .registry import CATALOGS

PRODUCTS = 10_000
SEED = 20_260_102

SKEW = 0.5  # the departments' sizes fall as rank to the power of -SKEW
SECOND_LABEL = 0.25  # share of the lines that stand in a second department
SHARES = {"plain": 0.6, "hype": 0.2, "solid": 0.2}

# How wording is received, in standard deviations of all else.
SOLD = {"plain": 0.0, "hype": 0.9, "solid": 0.1, "again": 0.0}
REVIEWED = {"plain": 0.0, "hype": -0.8, "solid": 0.9, "again": 0.0}
QUALITY = 0.45  # weight of a product's own quality in both
PAGE_MINUTES = {"plain": (0.5, 3.5), "hype": (0.5, 2.0), "solid": (1.5, 5.0), "again": (0.5, 2.0)}

# Numbers of versions of a line, alike in chance; and the days on which a line of them appears.
VERSIONS = (1,) * 18 + (2, 2, 2, 3, 3, 4, 6)
LISTING_DAYS = 1500
GAP_DAYS = 120


class _Product(NamedTuple):
    day: int
    text: str
    labels: tuple[str, ...]
    minutes: float
    sold: float
    reviewed: float


@lru_cache(maxsize=1)
def load_products() -> Catalog:
    """Write the shop's products: always the same, on every platform.

    Returns
    -------
    Catalog
        In order of listing; `published` is the day of listing, from 0. `topics` are a department and at times a second
        one. `minutes` is what a product's page takes. `popularity` and `rating` (review score) rank made-up scores:
        both rise with a product's quality; hype raises the first and lowers the second. `report` counts the products
        of each kind, further versions, and the texts that came up twice and were written anew. `price` is the one that
        a product's text names, in crowns.
    """
    chance = make_chance(SEED)
    shop = read_vocabulary("shop")
    departments = read_vocabulary("shop_departments")
    report = {"products": PRODUCTS, **dict.fromkeys((*SHARES, "again"), 0), "rewritten": 0}
    products: list[_Product] = []
    seen: set[str] = set()
    for label, count in share_by_zipf(departments, PRODUCTS, SKEW).items():
        department = departments[label]
        grammars = _make_grammars(shop, department, chance)
        left = count
        while left:
            versions = min(left, VERSIONS[int(chance() * len(VERSIONS))])
            others = department["also"]
            second = (others[int(chance() * len(others))],) if chance() < SECOND_LABEL else ()
            grammar = grammars[int(chance() * len(grammars))]
            products += _write_versions(grammar, (label, *second), versions, seen, report, chance)
            left -= versions
    products.sort()
    return Catalog(
        name="synthetic shop",
        ids=tuple(f"p{number:05d}" for number in range(1, PRODUCTS + 1)),
        texts=tuple(product.text for product in products),
        topics=tuple(product.labels for product in products),
        minutes=np.array([product.minutes for product in products]),
        popularity=compute_midrank_percentile([product.sold for product in products]),
        rating=compute_midrank_percentile([product.reviewed for product in products]),
        published=np.array([product.day for product in products], dtype=np.float64),
        report=report,
        price=np.array([_read_price(product.text) for product in products]),
    )


def _make_grammars(shop: dict[str, Any], department: dict[str, Any], chance: Chance) -> list[Grammar]:
    """One grammar for each good of a department: the shop's words, and what is said of such goods alone."""
    family = shop["family"][department["family"]]
    words = dict(shop["words"])
    for key, rule in family.items():
        adds = isinstance(rule, list) and key != "variant"
        words[key] = [*words.get(key, []), *rule] if adds else rule
    words |= {key: department[key] for key in ("trait", "use", "size", "variant") if key in department}
    grammars = []
    for good in department["goods"]:
        kind, cost, made, features = (part.strip() for part in good.split(";"))
        low, high = cost.split("-")
        own = {"type": [kind], "cost": [f"{{{low}..{high}}}"], "made": made, "feature": features}
        grammars.append(Grammar(words | own, chance))
    return grammars


def _write_versions(
    grammar: Grammar,
    labels: tuple[str, ...],
    versions: int,
    seen: set[str],
    report: dict[str, int],
    chance: Chance,
) -> list[_Product]:
    """The versions of one product: the first of some kind, the others with the same name, material and use."""
    bound: dict[str, str] = {}
    draw = chance()
    first = "plain" if draw < SHARES["plain"] else "hype" if draw < SHARES["plain"] + SHARES["hype"] else "solid"
    day = int(chance() * LISTING_DAYS)
    quality = draw_bell(chance)  # shared: versions of one thing are about as good
    products = []
    for version in range(versions):
        kind = first if version == 0 else "again"
        text = _write(grammar, kind, bound)
        while text in seen:  # the same product in the same words: make another one
            report["rewritten"] += 1
            bound = {}
            text = _write(grammar, kind, bound)
        seen.add(text)
        report[kind] += 1
        low, high = PAGE_MINUTES[kind]
        products.append(
            _Product(
                day=day + int(version * GAP_DAYS * (0.5 + chance())),
                text=text,
                labels=labels,
                minutes=round(low + (high - low) * (chance() + chance()) / 2, 1),
                sold=SOLD[kind] + QUALITY * quality + 0.1 * (versions - 1) + 0.7 * draw_bell(chance),
                reviewed=REVIEWED[kind] + QUALITY * quality + 0.6 * draw_bell(chance),
            )
        )
    return products


def _write(grammar: Grammar, kind: str, bound: Bound) -> str:
    return tidy(f"{grammar.say(kind, bound)} {grammar.say('shade')} {grammar.say('price')}")


def _read_price(text: str) -> float:
    return float(re.findall(r"(\d+) crowns", text)[-1])


CATALOGS.register("shop", load_products)

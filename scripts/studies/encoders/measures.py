"""Encoders measured on a log: fitted on its past, asked for its future, for known and unknown users and items."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ....encoders.base import Encoder, Histories, Items
from ....encoders.data.interactions import Interactions, clean, from_table
from ....encoders.data.ratings import load_ratings
from ....encoders.data.splits import Cases, Split, hold_back, split
from ....encoders.histories.cold_start import ColdStart, ColdStartOptions
from ....encoders.measures.evaluation import ItemScorer, PopularityScorer, RandomScorer, evaluate
from ....encoders.registry import ENCODERS
from ....encoders.text.cache import Vectors
from ....encoders.text.encoder import TextEncoder
from ....envs.catalogs.catalog import Catalog
from ....envs.shared.progress import ProgressCallback, ignore_progress

FLOORS = ("random", "popularity")  # what reads no history; every encoder must beat them
WITH_TEXT = "+text"  # after a name: cold users and items by way of their texts (`ColdStart`)
VERSION = 1  # moves whenever what is measured may
SPEED_ROWS = 1024  # histories whose encoding is timed


@dataclass(frozen=True, eq=False)
class Source:
    """A log, and what is known of its items.

    Parameters
    ----------
    name : str
        As in tables.
    items : Items
        Texts and frozen vectors.
    log : Interactions
        Who consumed what, when.
    profiles : (U, P) float32, optional
        Vectors of the users' profile texts; zeros where a user has none.
    """

    name: str
    items: Items
    log: Interactions
    profiles: Vectors | None = None


def collected_source(folder: Path, text_encoder: TextEncoder | None = None) -> Source:
    """The log that ``scripts/collect.py`` wrote into a folder."""
    catalog = Catalog.from_table(folder / "items.parquet")
    table = pd.read_parquet(folder / "log.parquet").drop(columns="item")
    users = pd.read_parquet(folder / "users.parquet")
    log = clean(table.merge(users[["user", "profile"]], on="user"), catalog.ids, item="item_id")
    return _source("simulated", catalog, log, text_encoder)


def table_source(log: Path, catalog: Path, text_encoder: TextEncoder | None = None, **columns: object) -> Source:
    """An owner's tables of interactions and of items; see `clean` and `Catalog.from_table` for their columns."""
    known = Catalog.from_table(catalog)
    return _source(log.stem, known, from_table(log, known.ids, **columns), text_encoder)


def ratings_source(folder: Path, text_encoder: TextEncoder | None = None) -> Source:
    """MovieTweetings, the films with a plot."""
    texts, _, log = load_ratings(folder)
    vectors = (text_encoder or TextEncoder()).encode(texts)
    return Source("ratings", Items(texts, vectors, np.ones(len(texts), np.float32)), log)


def _source(name: str, catalog: Catalog, log: Interactions, text_encoder: TextEncoder | None) -> Source:
    encoder = text_encoder or TextEncoder()
    items = Items(catalog.texts, encoder.encode(catalog.texts), catalog.minutes.astype(np.float32))
    told = sorted(set(log.profiles) - {""})
    if not told:
        return Source(name, items, log)
    known = dict(zip(told, encoder.encode(told), strict=True)) | {"": np.zeros(encoder.width, np.float32)}
    return Source(name, items, log, np.stack([known[text] for text in log.profiles]))


def stamp(source: Source, name: str) -> str:
    """Hash of all that a measurement depends on besides its seed: log, items, profiles, encoder, settings."""
    parts: list[Any] = [VERSION, source.log.digest, source.items.digest, source.items.vector_digest, name]
    parts.append(None if source.profiles is None else hashlib.sha256(source.profiles.tobytes()).hexdigest())
    if name in ENCODERS:
        made = ENCODERS[name].make(source.items)
        parts += [made.version, dataclasses.asdict(made.options)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def measure(source: Source, name: str, seed: int, report: ProgressCallback = ignore_progress) -> pd.DataFrame:
    """Fit one encoder on one split, and measure it.

    Parameters
    ----------
    name : str
        Of `ENCODERS` or `FLOORS`.
    seed : int
        Of the split (who and what is held out) and of the fit.

    Returns
    -------
    DataFrame
        A row for each user and case (``warm``, ``cold users``, ``no history``, ``cold items``): the measures of
        `evaluate`, the case's ``coverage``, and ``fit_seconds`` (of processor time) and ``encode_ms`` (of `SPEED_ROWS`
        histories), the same in all rows. For quick encoders, rows of ``{name}+text`` for the cold cases follow.
    """
    parts = _parts(source, seed)
    scorer, spent, speed = _fit(source, parts, name, seed, report)
    cold = {"cold users": parts.cold_users, "no history": parts.cold_users_empty, "cold items": parts.cold_items}
    tables = [_measured(scorer, cases, name, case) for case, cases in {"warm": parts.warm, **cold}.items()]
    if isinstance(scorer, Encoder) and scorer.quick:
        options = ColdStartOptions(inner=name, inner_settings=ENCODERS[name].preset)
        helped = ColdStart(source.items, options, inner=scorer, profiles=source.profiles)
        helped.fit(parts.train, parts.validation, seed=seed)
        tables += [_measured(helped, _told(cases, source), name + WITH_TEXT, case) for case, cases in cold.items()]
    table = pd.concat(tables, ignore_index=True)
    return table.assign(source=source.name, seed=seed, fit_seconds=spent, encode_ms=speed)


def fit_for_use(source: Source, name: str, seed: int, folder: Path, report: ProgressCallback = ignore_progress) -> None:
    """Fit an encoder on all users and items, and save it: what an agent or an owner uses, and nobody measures."""
    train, validation = hold_back(source.log)
    encoder = ENCODERS[name].make(source.items).fit(train, validation, seed=seed, report=report)
    encoder.save(folder)


@functools.lru_cache(maxsize=2)
def _parts(source: Source, seed: int) -> Split:
    """The split of a log, for all encoders of a seed."""
    return split(source.log, seed=seed)


def _fit(
    source: Source, parts: Split, name: str, seed: int, report: ProgressCallback
) -> tuple[ItemScorer, float, float]:
    """The scorer, the seconds of processor time that fitting took, and the milliseconds that encoding takes."""
    if name == "random":
        return RandomScorer(len(source.items), seed), 0.0, 0.0
    if name == "popularity":
        return PopularityScorer(parts.train), 0.0, 0.0
    encoder = ENCODERS[name].make(source.items)
    start = time.process_time()
    encoder.fit(parts.train, parts.validation, seed=seed, report=report)
    spent = time.process_time() - start
    some = {key: np.resize(h, (SPEED_ROWS, h.shape[1])) for key, h in parts.warm.histories.items()}
    encoder.encode(_rows(some, 8))  # compiled, loaded
    start = time.process_time()
    encoder.encode(some)
    return encoder, spent, 1000.0 * (time.process_time() - start)


def _told(cases: Cases, source: Source) -> Cases:
    """Cases whose histories come with the users' profiles."""
    if source.profiles is None:
        return cases
    return replace(cases, histories={**cases.histories, "profile_vector": source.profiles[cases.users]})


def _rows(histories: Histories, count: int) -> Histories:
    return {name: array[:count] for name, array in histories.items()}


def _measured(scorer: ItemScorer, cases: Cases, name: str, case: str) -> pd.DataFrame:
    table = evaluate(scorer, cases)
    found = table.attrs["coverage"]
    table.attrs = {}  # pandas compares attrs when it concatenates
    return table.assign(encoder=name, case=case, coverage=found)

"""Encoders measured on a log: fitted on its past, asked for its future, for known and unknown users and items."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from longplay.encoders.base import Encoder, Histories
from longplay.encoders.data.splits import Cases, Split, hold_back, split
from longplay.encoders.histories.cold_start import ColdStart, ColdStartOptions
from longplay.encoders.measures.evaluation import ItemScorer, PopularityScorer, RandomScorer, evaluate
from longplay.encoders.registry import ENCODERS
from longplay.envs.shared.progress import ProgressCallback, ignore_progress
from longplay.scripts.shared.logs import Source

FLOORS = ("random", "popularity")  # what reads no history; every encoder must beat them
WITH_TEXT = "+text"  # after a name: cold users and items by way of their texts (`ColdStart`)
VERSION = 1  # moves whenever what is measured may
SPEED_ROWS = 1024  # histories whose encoding is timed


def compute_stamp(source: Source, name: str) -> str:
    """Hash of all that a measurement depends on besides its seed: log, items, profiles, encoder, settings."""
    parts: list[Any] = [VERSION, source.log.digest, source.items.digest, source.items.vector_digest, name]
    parts.append(None if source.profiles is None else hashlib.sha256(source.profiles.tobytes()).hexdigest())
    if name in ENCODERS:
        encoder = ENCODERS[name].make(source.items)
        parts += [encoder.version, dataclasses.asdict(encoder.options)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def measure_encoder(source: Source, name: str, seed: int, report: ProgressCallback = ignore_progress) -> pd.DataFrame:
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
    parts = _split_log(source, seed)
    scorer, seconds, speed = _fit_scorer(source, parts, name, seed, report)
    cold = {"cold users": parts.cold_users, "no history": parts.cold_users_empty, "cold items": parts.cold_items}
    tables = [_evaluate_cases(scorer, cases, name, case) for case, cases in {"warm": parts.warm, **cold}.items()]
    if isinstance(scorer, Encoder) and scorer.quick:
        options = ColdStartOptions(inner=name, inner_settings=ENCODERS[name].preset)
        helped = ColdStart(source.items, options, inner=scorer, profiles=source.profiles)
        helped.fit(parts.train, parts.validation, seed=seed)
        tables += [
            _evaluate_cases(helped, _add_profiles(cases, source), name + WITH_TEXT, case)
            for case, cases in cold.items()
        ]
    table = pd.concat(tables, ignore_index=True)
    return table.assign(source=source.name, seed=seed, fit_seconds=seconds, encode_ms=speed)


def fit_for_use(source: Source, name: str, seed: int, folder: Path, report: ProgressCallback = ignore_progress) -> None:
    """Fit an encoder on all users and items, and save it: what an agent or an owner uses, and nobody measures."""
    train, validation = hold_back(source.log)
    encoder = ENCODERS[name].make(source.items).fit(train, validation, seed=seed, report=report)
    encoder.save(folder)


@functools.lru_cache(maxsize=2)
def _split_log(source: Source, seed: int) -> Split:
    """The split of a log, for all encoders of a seed."""
    return split(source.log, seed=seed)


def _fit_scorer(
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
    seconds = time.process_time() - start
    histories = {key: np.resize(h, (SPEED_ROWS, h.shape[1])) for key, h in parts.warm.histories.items()}
    encoder.encode(_take_rows(histories, 8))  # compiled, loaded
    start = time.process_time()
    encoder.encode(histories)
    return encoder, seconds, 1000.0 * (time.process_time() - start)


def _add_profiles(cases: Cases, source: Source) -> Cases:
    """Cases whose histories come with the users' profiles."""
    if source.profiles is None:
        return cases
    return replace(cases, histories={**cases.histories, "profile_vector": source.profiles[cases.users]})


def _take_rows(histories: Histories, count: int) -> Histories:
    return {name: array[:count] for name, array in histories.items()}


def _evaluate_cases(scorer: ItemScorer, cases: Cases, name: str, case: str) -> pd.DataFrame:
    table = evaluate(scorer, cases)
    coverage = table.attrs["coverage"]
    table.attrs = {}  # pandas compares attrs when it concatenates
    return table.assign(encoder=name, case=case, coverage=coverage)

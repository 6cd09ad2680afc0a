"""What is called liked is cut where validation rows say, whatever share of them is liked."""

import dataclasses

import numpy as np
import pytest

from longplay.encoders.histories.factors import SVD, SVDOptions
from longplay.encoders.measures import cross_validation
from longplay.encoders.measures.cross_validation import cross_validate
from longplay.tests.encoders.small import make_items, make_log


def make_rare_log(shown=40):
    """A log of which few rows are liked: each row again as many times, of items shown and not opened."""
    log = make_log(users=80)
    rng, size = np.random.default_rng(0), len(log) * shown
    extra = {name: np.repeat(getattr(log, name), shown) for name in ("user", "session")}
    extra |= {name: np.zeros(size, getattr(log, name).dtype) for name in ("completion", "minutes", "consumed")}
    extra |= {"time": np.repeat(log.time, shown), "item": rng.integers(1, log.items + 1, size)}
    merged = {name: np.concatenate([getattr(log, name), column]) for name, column in extra.items()}
    order = np.lexsort((merged["time"], merged["user"]))
    return dataclasses.replace(log, **{name: column[order] for name, column in merged.items()})


def fit(log, **options):
    return cross_validate(lambda: SVD(make_items(), SVDOptions(width=4)), log, folds=2, **options)


def test_rare_likes_are_found_by_the_threshold_of_the_validation_rows():
    log = make_rare_log()
    assert log.liked.mean() < 0.03
    table = fit(log)
    assert (table["threshold"] < 0.2).all()
    assert (table["f1"] > 1.2 * 2 * log.liked.mean()).all()  # more than calling all of them liked
    assert table[["recall", "precision"]].gt(0.0).all(axis=None)


def test_the_threshold_is_chosen_without_the_rows_that_are_tested(monkeypatch):
    seen = []
    find = cross_validation.find_best_threshold
    monkeypatch.setattr(
        cross_validation, "find_best_threshold", lambda labels, chances: seen.append(labels) or find(labels, chances)
    )
    log = make_log(users=80)
    fit(log, seed=0)
    later = log.time >= np.quantile(log.time, 0.8)
    tested = [
        np.isin(log.user, users)
        for _, users in cross_validation.KFold(2, shuffle=True, random_state=0).split(range(80))
    ]
    for labels, test in zip(seen, tested, strict=True):
        np.testing.assert_array_equal(labels, log.liked[later & ~test])


@pytest.mark.parametrize("folds", [2, 4])
def test_parts_are_rows_of_the_table(folds):
    table = cross_validate(lambda: SVD(make_items(), SVDOptions(width=4)), make_log(users=80), folds)
    assert list(table["fold"]) == list(range(folds))
    assert list(table.columns[2:6]) == ["recall_at_k", "ndcg_at_k", "click_through", "ranking_auc"]

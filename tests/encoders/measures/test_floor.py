"""An encoder that ranks worse than popularity says so, once, and one that ranks better says nothing."""

import dataclasses

import numpy as np
import pytest

from longplay.encoders.histories.factors import SVD, SVDOptions
from longplay.encoders.histories.frozen import PooledHistory
from longplay.encoders.measures.evaluation import PopularityScorer, evaluate, find_validation_cases
from longplay.encoders.measures.floor import fit_on_whole, warn_below_popularity
from longplay.tests.encoders.small import make_items, make_log


def make_popular_log(seed, start=0.0, rows=6):
    """Everybody likes much the same few of the items, whatever they liked before."""
    log, rng = make_log(rows=rows, seed=seed, start=start), np.random.default_rng(seed)
    chance = 1.0 / np.arange(1, 31) ** 1.5
    items = [1 + rng.choice(30, (log.user == user).sum(), replace=False, p=chance / chance.sum()) for user in range(60)]
    return dataclasses.replace(
        log, item=np.concatenate(items), completion=np.ones(len(log)), consumed=np.ones(len(log), bool)
    )


@pytest.fixture
def below():
    log, later = make_popular_log(0), make_popular_log(1, start=10.0)
    return SVD(make_items(), SVDOptions(width=2, popularity=-2.0)).fit(log, later), log, later


def test_below_popularity_it_says_so(below, caplog):
    encoder, log, later = below
    cases = find_validation_cases(log, later)
    ours, floor = (evaluate(scorer, cases)["recall"].mean() for scorer in (encoder, PopularityScorer(log)))
    assert ours < floor
    warn_below_popularity(encoder, log, later)
    (record,) = caplog.records
    said = f"recall@10 of {len(cases)} users on validation rows is {ours:.3f}, popularity's {floor:.3f}. Fix: collect"
    assert record.message.startswith(f"SVD ranks below popularity after {log.consumed.sum()} consumed rows: ")
    assert said in record.message


def test_above_it_or_where_nothing_is_learnt_it_is_silent(caplog):
    log, later = make_log(), make_log(seed=1, start=10.0)
    warn_below_popularity(SVD(make_items(), SVDOptions(width=4)).fit(log, later), log, later)
    warn_below_popularity(PooledHistory(make_items()), make_popular_log(0), make_popular_log(1, start=10.0))
    warn_below_popularity(SVD(make_items(), SVDOptions(width=4)).fit(log), log, log)  # nobody can be asked
    assert not caplog.records


def test_a_whole_log_is_fitted_up_to_its_last_tenth(caplog):
    log = make_popular_log(0, rows=16)
    before = log.take(log.time < np.quantile(log.time, 0.9))
    options = SVDOptions(width=2, popularity=-2.0)
    found = fit_on_whole(SVD(make_items(), options), log, seed=1)
    np.testing.assert_array_equal(found.item_vectors, SVD(make_items(), options).fit(before, seed=1).item_vectors)
    assert len(caplog.records) == 1


def test_a_log_whose_end_asks_nothing_is_learnt_whole():
    log = make_log(users=2, rows=2)
    whole = SVD(make_items(), SVDOptions(width=2)).fit(log, seed=1)
    np.testing.assert_array_equal(
        fit_on_whole(SVD(make_items(), SVDOptions(width=2)), log, seed=1).item_vectors, whole.item_vectors
    )

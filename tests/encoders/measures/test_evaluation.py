"""Rows of the table against the measures one by one; scorers; pieces; memory."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from longplay.encoders.data.splits import split
from longplay.encoders.measures import evaluation, metrics
from longplay.encoders.measures.evaluation import COLUMNS, PopularityScorer, RandomScorer, evaluate
from longplay.tests.encoders.small_logs import log_of, make_log


class Oracle:
    """Scores an item by whether it is a target, of a user known by the first age of the history."""

    def __init__(self, cases):
        self.targets = dict(zip(cases.histories["history_age"][:, 0], cases.targets, strict=True))
        self.size, self.batches = len(cases.pool), []

    def score(self, histories):
        self.batches.append(len(histories["history_ids"]))
        scores = np.zeros((self.batches[-1], self.size), np.float32)
        for row, age in zip(scores, histories["history_age"][:, 0], strict=True):
            row[self.targets[age]] = 1.0
        return scores


class Constant:
    def __init__(self, size, value=0.0):
        self.size, self.value = size, value

    def score(self, histories):
        return np.full((len(histories["history_ids"]), self.size), self.value, np.float32)


@pytest.fixture(scope="module")
def parts():
    log = make_log(5, users=60, items=40, rows=2000)
    # Every user with an age of their own, so that the oracle can tell them apart.
    jitter = np.sort(np.random.default_rng(0).random(len(log)) * 1e-3)
    return split(dataclasses.replace(log, time=log.time + jitter), history=5)


def test_an_oracle_finds_everything(parts):
    table = evaluate(Oracle(parts.warm), parts.warm, k=10)
    assert len(table) == len(parts.warm) > 20
    assert tuple(table) == COLUMNS
    assert table["user"].tolist() == parts.warm.users.tolist()
    for name in ("recall", "ndcg", "hit_rate", "reciprocal_rank", "auc"):
        np.testing.assert_allclose(table[name], 1.0, err_msg=name)
    assert table["precision"].tolist() == pytest.approx((np.minimum(table["targets"], 10) / 10).tolist())


def test_a_constant_is_at_chance(parts):
    table = evaluate(Constant(len(parts.known)), parts.warm, k=3)
    assert (table["auc"] == 0.5).all()
    np.testing.assert_allclose(table["precision"], table["targets"] / table["candidates"])
    shares = [
        len(clicked) / len(shown) if len(clicked) < len(shown) else np.nan
        for clicked, shown in zip(parts.warm.clicked, parts.warm.shown, strict=True)
    ]
    np.testing.assert_allclose(table["click_through"], shares)
    assert np.isfinite(shares).any()
    assert (table.attrs["k"], table.attrs["pool"]) == (3, parts.warm.pool.sum())
    assert table.attrs["coverage"] > 0.5  # ties are broken at random: users get different lists


def test_rows_are_those_of_the_measures(parts):
    cases, scorer = parts.cold_items, RandomScorer(len(parts.known) - 1)
    table = evaluate(scorer, cases, k=2)
    scores = scorer.score(cases.histories)
    for b in range(len(cases)):
        ranked = np.array([i for i in range(len(cases.pool)) if cases.pool[i] and i not in cases.seen[b]])
        places = metrics.find_places(scores[b : b + 1], [cases.targets[b]], [ranked])
        assert table.loc[b, "recall"] == metrics.recall(places, 2)[0]
        assert table.loc[b, "auc"] == pytest.approx(metrics.auc(places)[0], nan_ok=True)
        assert table.loc[b, "candidates"] == len(ranked)


def test_pieces_do_not_matter_and_memory_is_bounded(parts, monkeypatch):
    whole = evaluate(PopularityScorer(parts.train), parts.warm)
    pieces = evaluate(PopularityScorer(parts.train), parts.warm, batch=7)
    pd.testing.assert_frame_equal(whole, pieces)
    assert whole.attrs == pieces.attrs
    monkeypatch.setattr(evaluation, "_CELLS", 5 * len(parts.known))
    oracle = Oracle(parts.warm)
    evaluate(oracle, parts.warm)
    assert max(oracle.batches) == 5


def test_popularity_counts_users_who_liked():
    log = log_of(
        [(0, 1, 0.0, 1.0), (0, 1, 1.0, 1.0), (1, 2, 0.0, 0.9), (2, 2, 0.0, 0.5), (1, 3, 0.0, 0.1), (2, 4, 0.0, None)]
    )
    scores = PopularityScorer(log).score({"history_ids": np.zeros((2, 3), np.float32)})
    assert scores.tolist() == [[-np.inf, 1.0, 2.0, 0.0, 0.0, 0.0]] * 2


def test_random_scores_depend_on_seed_and_row_alone(parts):
    histories = parts.warm.histories
    scorer = RandomScorer(40, seed=1)
    scores = scorer.score(histories)
    np.testing.assert_array_equal(scorer.score(histories), scores)
    np.testing.assert_array_equal(scorer.score({name: v[3:5] for name, v in histories.items()}), scores[3:5])
    assert (scores[0] != scores[1]).any()
    assert (RandomScorer(40, seed=2).score(histories) != scores).any()
    assert np.isneginf(scores[:, 0]).all()
    assert evaluate(scorer, parts.warm)["auc"].mean() == pytest.approx(0.5, abs=0.1)  # 3 standard errors


def test_no_cases_give_an_empty_table(parts):
    none = split(make_log(5, users=60, items=40, rows=2000), cold_users=0.0).cold_users
    table = evaluate(PopularityScorer(parts.train), none)
    assert len(table) == 0
    assert tuple(table) == COLUMNS
    assert np.isnan(table.attrs["coverage"])


def test_scores_of_another_shape_or_nan_are_refused(parts):
    with pytest.raises(ValueError, match=r"scores of shape \(.*, 7\)"):
        evaluate(Constant(7), parts.warm)
    with pytest.raises(ValueError, match="a score is NaN"):
        evaluate(Constant(len(parts.known), np.nan), parts.warm)

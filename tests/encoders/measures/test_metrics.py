"""Measures by hand, at chance, and against the average over random orders of ties."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from longplay.encoders.measures import metrics
from longplay.encoders.measures.metrics import find_places

MEASURES = {
    "recall": lambda places: metrics.recall(places, 3),
    "precision": lambda places: metrics.precision(places, 3),
    "f1": lambda places: metrics.f1(places, 3),
    "ndcg": lambda places: metrics.ndcg(places, 3),
    "hit_rate": lambda places: metrics.hit_rate(places, 3),
    "reciprocal_rank": metrics.reciprocal_rank,
    "auc": metrics.auc,
}


def places_of(scores, targets, candidates=None):
    """Places of one user; `scores` are those of items 1, 2, ..."""
    row = np.array([[-np.inf, *scores]])
    ranked = range(1, len(scores) + 1) if candidates is None else candidates
    return find_places(row, [np.array(targets, int)], [np.array(ranked, int)])


def test_a_ranking_by_hand():
    # In order of score: 4, 2, 5, 1, 3; targets 2 (second), 1 (fourth) and 3 (fifth).
    places = places_of([0.2, 0.8, 0.1, 0.9, 0.5], [1, 2, 3])
    assert metrics.ranks(places).tolist() == [4.0, 2.0, 5.0]
    assert metrics.hits(places, 2).tolist() == [1.0]
    assert metrics.recall(places, 2).tolist() == [0.5]  # of two places one is a hit
    assert metrics.recall(places, 4).tolist() == [pytest.approx(2 / 3)]
    assert metrics.precision(places, 4).tolist() == [0.5]
    assert metrics.f1(places, 4).tolist() == [pytest.approx(2 * 0.5 * (2 / 3) / (0.5 + 2 / 3))]
    assert metrics.hit_rate(places, 1).tolist() == [0.0]
    assert metrics.hit_rate(places, 2).tolist() == [1.0]
    assert metrics.reciprocal_rank(places).tolist() == [0.5]
    best = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert metrics.ndcg(places, 4).tolist() == [pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / best)]
    # Targets beat others in one of 3 · 2 pairs: 2 beats 5.
    assert metrics.auc(places).tolist() == [pytest.approx(1 / 6)]


def test_only_candidates_count():
    places = places_of([0.9, 0.8, 0.7, 0.6], [3], candidates=[1, 3, 4])
    assert metrics.ranks(places).tolist() == [2.0]
    assert metrics.auc(places).tolist() == [0.5]


@pytest.mark.parametrize("k", [1, 3, 10, 40])
def test_a_constant_scorer_is_at_chance(k):
    size, wanted = 40, [3, 17, 30, 31]
    places = places_of([0.5] * size, wanted)
    m = len(wanted)
    assert metrics.recall(places, k)[0] == pytest.approx(m * k / size / min(k, m))
    assert metrics.precision(places, k)[0] == pytest.approx(m / size)
    assert metrics.auc(places)[0] == 0.5
    gain = 1 / np.log2(np.arange(2, k + 2))
    assert metrics.ndcg(places, k)[0] == pytest.approx(m / size * gain.sum() / gain[: min(k, m)].sum())
    assert metrics.hit_rate(places, k)[0] == pytest.approx(1 - math.comb(size - m, k) / math.comb(size, k))
    assert metrics.ranks(places).tolist() == [20.5] * m


@given(st.lists(st.integers(0, 2), min_size=3, max_size=5), st.integers(1, 3))
def test_ties_give_the_mean_over_all_orders(scores, wanted):
    targets = np.random.default_rng(len(scores)).permutation(len(scores))[:wanted] + 1
    orders = np.array(list(itertools.permutations(range(len(scores)))))
    rows = np.column_stack([np.zeros(len(orders)), np.array(scores) + 0.1 * orders])
    broken = find_places(rows, [targets] * len(orders), [np.arange(1, len(scores) + 1)] * len(orders))
    assert (broken.tied == 1).all()
    tied = places_of(scores, targets)
    for name, measure in MEASURES.items():
        np.testing.assert_allclose(measure(tied)[0], measure(broken).mean(), err_msg=name)


@given(st.integers(0, 1000), st.integers(2, 30))
def test_sklearn_agrees(seed, size):
    rng = np.random.default_rng(seed)
    scores, truth = rng.normal(size=size), rng.random(size) < 0.4
    truth[:2] = True, False
    places = places_of(scores, np.flatnonzero(truth) + 1)
    assert metrics.auc(places)[0] == pytest.approx(roc_auc_score(truth, scores))
    expected = ndcg_score([truth], [scores], k=5)
    assert metrics.ndcg(places, 5)[0] == pytest.approx(expected)


def test_measures_are_per_user_and_users_do_not_touch_each_other():
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 4, size=(20, 11)).astype(float)
    targets = [np.sort(rng.permutation(10)[: 1 + b % 4] + 1) for b in range(20)]
    ranked = [np.arange(1, 11)] * 20
    together = find_places(scores, targets, ranked)
    for name, measure in MEASURES.items():
        values = measure(together)
        assert values.shape == (20,)
        alone = [measure(find_places(scores[b : b + 1], [targets[b]], [ranked[b]]))[0] for b in range(20)]
        np.testing.assert_allclose(values, alone, err_msg=name)


def test_without_targets_nothing_is_measured():
    places = places_of([0.1, 0.2], [])
    for name in ("recall", "ndcg", "hit_rate", "reciprocal_rank", "auc"):
        assert np.isnan(MEASURES[name](places)).tolist() == [True], name
    assert np.isnan(metrics.auc(places_of([0.1, 0.2], [1, 2]))).all()  # nothing else to beat


@pytest.mark.parametrize(
    ("scores", "targets", "candidates", "message"),
    [
        ([0.1, np.nan], [1], [1, 2], "row 0: a score is NaN"),
        ([0.1, 0.2], [2], [1], "row 0: a target is not among the candidates"),
        ([0.1, 0.1], [2], [1], "row 0: a target is not among the candidates"),
    ],
)
def test_bad_scores_are_refused(scores, targets, candidates, message):
    with pytest.raises(ValueError, match=message):
        places_of(scores, targets, candidates)


def test_minus_infinity_is_a_score_like_another():
    assert metrics.ranks(places_of([-np.inf, -np.inf, 0.0], [1])).tolist() == [2.5]


def test_k_starts_at_one():
    for measure in (metrics.recall, metrics.precision, metrics.f1, metrics.ndcg, metrics.hit_rate):
        with pytest.raises(ValueError, match="k 0 is out of range"):
            measure(places_of([0.1, 0.2], [1]), 0)


def test_click_through_is_of_what_was_shown():
    # Shown 1 .. 4, in order of score 3, 1, 4, 2; clicked 1 and 2.
    places = places_of([0.6, 0.1, 0.9, 0.3, 0.7], [1, 2], candidates=[1, 2, 3, 4])
    assert metrics.click_through(places, 1).tolist() == [0.0]
    assert metrics.click_through(places, 2).tolist() == [0.5]
    assert metrics.click_through(places, 10).tolist() == [0.5]  # all four: the rate of the log itself
    assert np.isnan(metrics.click_through(places_of([0.5], [], candidates=[]), 3)).all()


def test_top_lists_the_best_and_breaks_ties_evenly():
    scores = np.array([[9.0, 1.0, 1.0, 1.0, 1.0, 2.0, 0.0]])
    ranked = [np.arange(1, 7)]
    rng = np.random.default_rng(0)
    lists = [metrics.pick_best(scores, ranked, 3, rng)[0] for _ in range(2000)]
    assert all(len(set(items.tolist())) == 3 for items in lists)
    counts = np.bincount(np.concatenate(lists), minlength=7)
    assert counts[5] == 2000
    assert counts[[0, 6]].sum() == 0
    np.testing.assert_allclose(counts[1:5], 1000, atol=100)  # 4.5 standard deviations
    assert sorted(metrics.pick_best(scores, ranked, 10, rng)[0].tolist()) == [1, 2, 3, 4, 5, 6]


def test_coverage_is_of_the_pool():
    pool = np.array([False, True, True, True, True, False])
    assert metrics.coverage([np.array([1, 2]), np.array([2, 5])], pool) == 0.5
    assert np.isnan(metrics.coverage([], np.zeros(3, bool)))


def test_binary_measures_by_hand():
    found = metrics.binary_measures([1, 1, 0, 0, 1], [0.9, 0.4, 0.6, 0.1, 0.5])
    assert found == {
        "accuracy": pytest.approx(3 / 5),
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(2 / 3),
        "auc": pytest.approx(4 / 6),
    }


def test_the_best_threshold_has_the_best_f1_of_all():
    rng = np.random.default_rng(0)
    for _ in range(20):
        chance = np.round(rng.random(60), 2)
        truth = rng.random(60) < chance / 5
        if not truth.any():
            continue
        called = {value: chance >= value for value in chance}
        f1 = {value: 2 * (truth & yes).sum() / (truth.sum() + yes.sum()) for value, yes in called.items()}
        found = metrics.find_best_threshold(truth, chance)
        assert f1[found] == pytest.approx(max(f1.values()))
        assert metrics.binary_measures(truth, chance, found)["f1"] == pytest.approx(f1[found])


def test_a_threshold_of_what_never_happens_is_one_half():
    assert metrics.find_best_threshold([False, False], [0.1, 0.2]) == 0.5


def test_binary_measures_that_are_undefined_are_nan():
    found = metrics.binary_measures([False, False], [0.1, 0.2])
    assert found["accuracy"] == 1.0
    assert all(np.isnan(found[name]) for name in ("precision", "recall", "f1", "auc"))


@pytest.mark.parametrize(
    ("labels", "chances", "message"),
    [([1], [0.5, 0.5], "one length"), ([], [], "one length"), ([1, 0], [0.5, 1.5], "probability 1: 1.5")],
)
def test_bad_predictions_are_refused(labels, chances, message):
    with pytest.raises(ValueError, match=message):
        metrics.binary_measures(labels, chances)

"""The worked example of four users and four items: similarities and the order of recommendations."""

import math

import numpy as np
import pytest

from longplay.encoders.histories.neighbours import cosine_similarity, rank_by_content, rank_by_users, rank_items

BEHAVIOUR = np.array([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 0, 1]])
FEATURES = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 1], [1, 0, 0]])
CONSUMED = [{item + 1 for item in range(4) if row[item]} for row in BEHAVIOUR]


def cosine(one, other):
    """By sets and sums, with nothing of the package."""
    both = sum(a * b for a, b in zip(one, other, strict=True))
    return both / math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))


def order(scores):
    """Best first; alike by number."""
    return sorted(scores, key=lambda item: (-round(scores[item], 9), item))


def test_similarity_of_the_four_users():
    a, b, h = 1 / math.sqrt(6), 2 / math.sqrt(6), 0.5
    expected = [[1, 0, h, b], [0, 1, h, a], [h, h, 1, a], [b, a, a, 1]]
    np.testing.assert_allclose(cosine_similarity(BEHAVIOUR), expected, atol=1e-15)
    np.testing.assert_allclose(expected, [[cosine(u, v) for v in BEHAVIOUR] for u in BEHAVIOUR])


def test_nobody_is_like_a_user_of_nothing():
    np.testing.assert_array_equal(cosine_similarity([[0, 0], [1, 0]]), [[0, 0], [0, 1]])


@pytest.mark.parametrize(("user", "expected"), list(enumerate([(3, 1), (4, 2), (1, 4), (3,)])))
def test_order_by_content(user, expected):
    profile = [sum(FEATURES[i - 1, f] for i in CONSUMED[user]) / len(CONSUMED[user]) for f in range(3)]
    scores = {i: cosine(profile, FEATURES[i - 1]) for i in range(1, 5) if i not in CONSUMED[user]}
    assert tuple(order(scores)) == expected
    assert tuple(rank_by_content(BEHAVIOUR, FEATURES)[user]) == expected


@pytest.mark.parametrize(("user", "expected"), list(enumerate([(1, 3), (2, 4), (1, 4), (3,)])))
def test_order_by_other_users(user, expected):
    others = [u for u in range(4) if u != user]
    scores = {
        i: sum(cosine(BEHAVIOUR[user], BEHAVIOUR[u]) for u in others if i in CONSUMED[u])
        for i in range(1, 5)
        if i not in CONSUMED[user]
    }
    assert tuple(order(scores)) == expected
    assert tuple(rank_by_users(BEHAVIOUR)[user]) == expected


def test_what_a_reversed_sort_of_all_items_gets_wrong():
    features, profile = FEATURES, BEHAVIOUR @ FEATURES
    scores = np.array([[cosine(p, f) for f in features] for p in profile])
    naive = scores.argsort(axis=1)[:, ::-1] + 1
    assert [int(row[0]) in CONSUMED[user] for user, row in enumerate(naive)] == [False, True, True, False]
    tied = np.zeros((1, 3))
    assert rank_items(tied, np.zeros((1, 3)))[0].tolist() == [1, 2, 3]
    assert (tied.argsort(axis=1)[:, ::-1] + 1)[0].tolist() == [3, 2, 1]

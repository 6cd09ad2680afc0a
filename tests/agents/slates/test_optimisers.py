"""Optimisers of slates against all slates of a few items."""

import numpy as np
import pytest

from longplay.agents.slates.optimisers import OPTIMISERS, _best_all, find_best_slates
from longplay.tests.agents.brute import all_slates, value

POSITION = np.array([1.0, 0.6, 0.3])


def cases(users=200, items=5, seed=0):
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(size=(users, items))), rng.normal(size=(users, items))


def worth(pull, gain, columns, position=POSITION):
    return value("logit", pull, gain, position, 1.0, columns[:, None, :])[:, 0]


@pytest.mark.parametrize("position", [POSITION, np.array([0.4, 1.0, 0.7])])
@pytest.mark.parametrize("fill", [False, True])
def test_exact_is_the_best_of_all_slates(fill, position):
    pull, gain = cases()
    slates = all_slates(5, 3)
    slates = slates[(slates >= 0).all(axis=1)] if fill else slates
    most = value("logit", pull, gain, position, 1.0, slates[None]).max(axis=1)
    found = find_best_slates(pull, gain, position, fill=fill)
    np.testing.assert_allclose(worth(pull, gain, found, position), most, rtol=1e-9, atol=1e-12)
    assert (found >= 0).all() if fill else (found < 0).any()


def test_a_constant_added_to_all_values_changes_no_slate():
    pull, gain = cases()
    none = np.full((len(pull), 1), 0.7)  # Q̄ of no click: 0.7 is what every gain is relative to
    slates = all_slates(5, 3)
    whole = value("logit", pull, gain + none, POSITION, 1.0, slates[None])
    seen = np.where(slates >= 0, 1, 0)
    total = 1.0 + (np.where(seen, pull[:, np.maximum(slates, 0)], 0.0) * POSITION).sum(axis=2)
    found = find_best_slates(pull, gain, POSITION, fill=False)
    best = slates[(whole + none / total).argmax(axis=1)]
    np.testing.assert_allclose(worth(pull, gain, found), worth(pull, gain, best), rtol=1e-9)


def test_greedy_and_top_k_come_close():
    pull, gain = cases(items=12)
    most = worth(pull, gain, find_best_slates(pull, gain, POSITION, fill=False))
    found = {
        name: worth(pull, gain, find_best_slates(pull, gain, POSITION, method=name, fill=False)) for name in OPTIMISERS
    }
    for name in ("greedy", "top-k"):
        assert (found[name] <= most + 1e-12).all()
        assert found[name].mean() < most.mean()
    assert found["greedy"].mean() > 0.99 * most.mean()
    assert found["top-k"].mean() > 0.8 * most.mean()


def test_top_k_and_greedy_by_hand():
    pull, gain = np.array([[1.0, 1.0, 9.0]]), np.array([[1.0, 0.9, 0.2]])
    position = np.ones(2)
    # e·g is 1, 0.9 and 1.8. Alone they bring 0.5, 0.45 and 0.18; the first two together 1.9/3, which the third lowers.
    assert find_best_slates(pull, gain, position, method="top-k").tolist() == [[2, 0]]
    assert find_best_slates(pull, gain, position, method="greedy").tolist() == [[0, 1]]
    assert find_best_slates(pull, gain, position, method="exact").tolist() == [[0, 1]]


@pytest.mark.parametrize("method", OPTIMISERS)
def test_what_cannot_be_shown_is_not_and_what_comes_last_does(method):
    pull, gain = cases(items=6)
    pull[:, 1] = 0.0
    late = np.zeros(pull.shape, bool)
    late[:, [0, 3]] = True
    found = find_best_slates(pull, gain, np.ones(5), late=late, method=method)
    assert (found[:, :3] != 1).all()
    assert (np.sort(found[:, :3], axis=1) == [2, 4, 5]).all()
    assert (np.sort(found[:, 3:], axis=1) == [0, 3]).all()
    many = find_best_slates(pull, gain, np.ones(7), late=late, method=method)
    assert (many[:, 5:] == -1).all()


@pytest.mark.parametrize("method", OPTIMISERS)
def test_nothing_is_shown_that_only_costs(method):
    pull, gain = cases()
    found = find_best_slates(pull, -np.abs(gain), POSITION, method=method, fill=False)
    assert (found == -1).all()
    filled = find_best_slates(pull, -np.abs(gain), POSITION, method=method)
    assert (filled >= 0).all()


@pytest.mark.parametrize("method", OPTIMISERS)
def test_variety_spreads_a_slate_over_topics(method):
    pull, gain = np.ones((1, 4)), np.array([[1.0, 0.99, 0.98, 0.9]])
    topic = np.array([[0, 0, 0, 1]])
    position = np.full(3, 0.01)  # so small that ratios do not matter
    alike = find_best_slates(pull, gain, position, topic=topic, method=method)
    spread = find_best_slates(pull, gain, position, topic=topic, method=method, variety=0.5)
    assert alike.tolist() == [[0, 1, 2]]
    assert spread.tolist() == [[0, 3, 1]]


@pytest.mark.parametrize("method", OPTIMISERS)
def test_a_user_does_not_depend_on_the_others(method):
    pull, gain = cases()
    whole = find_best_slates(pull, gain, POSITION, method=method)
    np.testing.assert_array_equal(find_best_slates(pull[7:9], gain[7:9], POSITION, method=method), whole[7:9])


@pytest.mark.parametrize("method", ["exact", "top-k"])
@pytest.mark.parametrize("fill", [False, True])
def test_one_pass_finds_what_a_search_for_each_slot_finds(method, fill):
    """The two ways to fill a slate, of many candidates with ties, gaps and items that come last."""
    rng = np.random.default_rng(0)
    pull, gain = np.exp(rng.normal(size=(60, 40))), rng.normal(size=(60, 40)).round(1)
    pull[rng.random(pull.shape) < 0.2] = 0.0
    pull[:5, 4:] = 0.0  # fewer candidates than slots
    pull[7] = pull[7, 0]
    late = rng.random(pull.shape) < np.linspace(0, 1, 60)[:, None]
    position = rng.random(10)
    found = find_best_slates(pull, gain, position, late=late, method=method, fill=fill)
    expected = np.full(found.shape, -1)
    topic, order = np.zeros(pull.shape, np.int64), np.argsort(-position, kind="stable")
    code = OPTIMISERS[method]
    _best_all(pull, np.where(pull > 0, gain, 0.0), late, topic, position, order, code, False, fill, 1.0, expected)
    np.testing.assert_array_equal(found, expected)
    assert (found[0] >= 0).sum() <= 4

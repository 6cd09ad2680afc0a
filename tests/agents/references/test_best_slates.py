"""The best slate of each choice model against brute force over all slates, empty slots included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longplay.agents.references.best_slates import BEST, find_best_by_logit, find_best_by_position
from longplay.tests.agents.brute import all_slates, value

INSTANCES = 64  # a Hypothesis example, so some thousands in all


def instances(model, items, slots, seed, equal=False, count=INSTANCES):
    """Random attributes of items; slots, too, are looked at as the scenario's model says."""
    rng = np.random.default_rng(seed)
    pull = np.exp(rng.normal(0, rng.uniform(0.2, 3, (count, 1)), (count, items)))
    pull[rng.random(pull.shape) < 0.1] = 0.0
    reward = np.full(pull.shape, 3.0) if equal else rng.uniform(0, 20, pull.shape)
    if not equal:
        reward[::2] = np.exp(rng.normal(0, 2, reward[::2].shape))  # a few pay a hundred times the others
    rate, slot = rng.uniform(0, 3), np.arange(slots)
    position = np.exp(-rate * slot) if model == "cascade" else (slot + 1.0) ** -rate
    return pull, reward, position, float(np.exp(rng.normal(0, 3)))


def share_of_best(model, given):
    """Value of the slates found, as a share of the best of all."""
    pull, _, position, _ = given
    found = value(model, *given, BEST[model](*given)[:, None, :])[:, 0]
    best = value(model, *given, all_slates(pull.shape[1], len(position))[None]).max(axis=1)
    assert (found <= best * (1 + 1e-12)).all()  # no repeats
    return np.where(best > 0, found / np.maximum(best, 1e-300), 1.0)


sizes = {"items": st.integers(1, 5), "slots": st.integers(1, 3), "seed": st.integers(0, 2**32 - 1)}


@pytest.mark.parametrize("model", ["logit", "cascade"])
@given(**sizes)
def test_logit_and_cascade_are_exact(model, items, slots, seed):
    assert share_of_best(model, instances(model, items, slots, seed)) == pytest.approx(1.0, abs=1e-10)


@given(**sizes)
def test_position_is_exact_where_all_clicks_pay_the_same(items, slots, seed):
    given_ = instances("position", items, slots, seed, equal=True)
    assert share_of_best("position", given_) == pytest.approx(1.0, abs=1e-10)


@given(**sizes)
def test_position_is_seldom_short_of_the_best_and_never_by_much(items, slots, seed):
    # No price supports every slate, so this one is no proof: it holds what was measured.
    share = share_of_best("position", instances("position", items, slots, seed))
    assert share.min() > 0.995
    assert (share < 1 - 1e-10).mean() <= 4 / INSTANCES
    assert 1 - share.mean() < 1e-4


@pytest.mark.parametrize("model", list(BEST))
class TestShape:
    def test_items_fewer_than_slots_come_first(self, model):
        columns = BEST[model](np.ones((1, 2)), np.array([[1.0, 2.0]]), np.ones(4), 1.0)[0]
        shown = columns[columns >= 0]
        assert len(shown) > 0
        assert (columns[: len(shown)] >= 0).all()
        assert len(set(shown)) == len(shown) <= 2

    def test_what_nobody_picks_is_not_shown(self, model):
        pull, reward = np.array([[0.0, 1.0, 0.0]]), np.array([[9.0, 1.0, 9.0]])
        assert BEST[model](pull, reward, np.ones(3), 1.0)[0].tolist() == [1, -1, -1]

    def test_nothing_to_show_leaves_all_slots_empty(self, model):
        assert (BEST[model](np.zeros((2, 3)), np.ones((2, 3)), np.ones(2), 1.0) == -1).all()

    def test_an_item_that_takes_clicks_from_a_better_one_is_left_out(self, model):
        # Clicks are all but certain, and the second item pays a hundredth of the first.
        pull, reward = np.full((1, 2), 1e6), np.array([[0.1, 10.0]])
        columns = BEST[model](pull, reward, np.array([1.0, 1.0]), 1e-6)[0].tolist()
        assert columns[0] == 1
        assert columns[1] == (0 if model == "cascade" else -1)  # a cascade's first item loses nothing to the second

    def test_rows_do_not_depend_on_each_other(self, model):
        pull, reward, position, nothing = instances(model, 8, 3, 5)
        whole = BEST[model](pull, reward, position, nothing)
        for b in range(0, len(pull), 7):
            alone = BEST[model](pull[b : b + 1], reward[b : b + 1], position, nothing)[0]
            rows = [
                value(model, pull[b : b + 1], reward[b : b + 1], position, nothing, c[None, None])
                for c in (alone, whole[b])
            ]
            assert rows[0] == pytest.approx(rows[1], rel=1e-12)


def test_the_best_order_is_no_sort_by_pull_times_reward():
    # What Dinkelbach's method is for: were a sort as good, the brute force would show nothing.
    pull, reward, position, _ = instances("logit", 6, 3, 1)
    order = np.argsort(-pull * reward, axis=1)[:, :3]
    sort = value("logit", pull, reward, position, 0.1, order[:, None])
    best = value("logit", pull, reward, position, 0.1, find_best_by_logit(pull, reward, position, 0.1)[:, None])
    assert (best >= sort - 1e-12).all()
    assert (best > 1.01 * sort).mean() > 0.3


def test_large_sets_beat_every_exchange_of_two_items():
    # Too many slates to list: no swap, replacement or removal helps a slate of ten from sixty.
    pull, reward, position, nothing = instances("position", 60, 10, 3, count=4)
    best = find_best_by_position(pull, reward, position, nothing)
    for b in range(len(pull)):
        one = pull[b : b + 1], reward[b : b + 1], position, nothing
        mine = value("position", *one, best[b][None, None])[0, 0]
        others = []
        for k in range(10):
            for item in range(-1, 60):
                other = best[b].copy()
                if item in other and item >= 0:
                    other[list(other).index(item)] = other[k]
                other[k] = item
                others.append(other)
        assert value("position", *one, np.array(others)[None]).max() <= mine * (1 + 1e-3)

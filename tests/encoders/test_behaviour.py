"""Histories as texts and as pooled vectors: the stated phrases, the plain oracle, the contract."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longplay.encoders import PooledHistory, StateEncoder, TextHistory, behaviour_to_text, pool_history
from longplay.encoders.behaviour import NO_HISTORY
from longplay.tests.contracts import EncoderContract, make_observation

VECTORS = np.random.default_rng(7).normal(size=(12, 16)).astype(np.float32)
NAMES = ["Ash", "Bay", "Cog", "Dew", "Elm", "Fox", "Gem", "Hay", "Ivy", "Jar", "Key", "Log"]
TITLES = [f"{name} ({1990 + i})" for i, name in enumerate(NAMES)]

histories = st.lists(
    st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1e5)),
    max_size=12,
)


# --- behaviour_to_text ---------------------------------------------------------------------------------------------


def test_a_history_reads_as_stated():
    told = behaviour_to_text(
        ["Ash.", "Bay", "Cog", "Dew", "Elm", "Fox"],
        [1.0, 0.95, 0.7, 0.5, 0.1, 0.0],
        [0.0, 0.4, 1.2, 3.0, 20.0, 100.0],
    )
    assert told == (
        "Finished, today: Ash; Bay. Got through most of, yesterday: Cog. Got halfway through, 3 days ago: Dew. "
        "Skipped through, 2 weeks ago: Elm. Skipped through, 3 months ago: Fox."
    )


def test_nothing_consumed_has_its_own_sentence():
    assert behaviour_to_text([], [], []) == NO_HISTORY


@given(histories, st.integers(1, 15))
def test_text_keeps_order_and_limit_and_holds_no_nan(history, limit):
    names = [f"<{i}>" for i in range(len(history))]
    told = behaviour_to_text(names, [c for c, _ in history], [a for _, a in history], limit=limit)
    places = [told.find(name) for name in names]
    shown = min(limit, len(names))
    assert "nan" not in told.lower()
    assert "inf" not in told.lower()
    assert all(place >= 0 for place in places[:shown])
    assert places[:shown] == sorted(places[:shown])
    assert all(place < 0 for place in places[shown:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"completions": [0.5, 0.5]}, "1 texts, 2 completions and 1 ages"),
        ({"completions": [math.nan]}, "completion nan lies outside"),
        ({"completions": [1.5]}, "completion 1.5 lies outside"),
        ({"ages_days": [math.nan]}, "age nan"),
        ({"ages_days": [-1.0]}, "age -1.0"),
        ({"limit": 0}, "limit=0"),
    ],
)
def test_what_cannot_be_told_is_an_error(change, message):
    with pytest.raises(ValueError, match=message):
        behaviour_to_text(**({"texts": ["a"], "completions": [0.5], "ages_days": [1.0]} | change))


# --- pool_history --------------------------------------------------------------------------------------------------


def pooled_plainly(vectors, ids, completion, age, half_life_items, half_life_days):
    """The oracle: the formula of the docstring in float64, one user after another."""
    rows = []
    for user in range(len(ids)):
        real = ids[user] > 0
        rank = np.arange(real.sum())
        weights = completion[user][real].astype(float) * 2.0 ** (-rank / half_life_items)
        weights *= 2.0 ** (-age[user][real].astype(float) / half_life_days)
        total = weights @ vectors[ids[user][real].astype(int) - 1].astype(float)
        length = np.linalg.norm(total)
        rows.append(total / length if length > 0 else total)
    return np.array(rows)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.floats(0.5, 50.0), st.sampled_from([0.5, 7.0, math.inf]))
def test_pooling_equals_the_plain_formula(seed, users, half_life_items, half_life_days):
    observation = make_observation(users, items=12, history=8, seed=seed)
    arrays = [observation[f"history_{name}"] for name in ("ids", "completion", "age")]
    halves = {"half_life_items": half_life_items, "half_life_days": half_life_days}
    pooled = pool_history(VECTORS, *arrays, **halves)
    np.testing.assert_allclose(pooled, pooled_plainly(VECTORS, *arrays, **halves), rtol=0, atol=2e-6)


def test_padding_between_items_is_passed_over():
    dense = pool_history(VECTORS, *(np.array([row], np.float32) for row in ([3, 5], [0.5, 1.0], [0.0, 2.0])))
    gaps = ([0, 3, 0, 5], [9.0, 0.5, 9.0, 1.0], [9.0, 0.0, 9.0, 2.0])
    np.testing.assert_array_equal(pool_history(VECTORS, *(np.array([row], np.float32) for row in gaps)), dense)


def test_empty_and_unwatched_histories_are_zero_and_old_ones_are_not():
    ids = np.array([[0, 0], [3, 5], [3, 5]], np.float32)
    completion = np.array([[0, 0], [0, 0], [1, 1]], np.float32)
    age = np.array([[0, 0], [0, 0], [1e6, 2e6]], np.float32)
    lengths = np.linalg.norm(pool_history(VECTORS, ids, completion, age), axis=1)
    np.testing.assert_allclose(lengths, [0, 0, 1], atol=1e-6)


def test_a_recent_and_finished_item_pulls_the_most():
    vectors = np.eye(4, dtype=np.float32)
    columns = ([1, 2, 3], [1.0, 0.5, 1.0], [0.0, 0.0, 7.0])
    pooled = pool_history(vectors, *(np.array([c], np.float32) for c in columns), half_life_items=math.inf)
    np.testing.assert_allclose(pooled[0] / pooled[0, 0], [1.0, 0.5, 0.5, 0.0], atol=1e-6)


def test_wrong_shapes_and_half_lives_are_named():
    row = np.ones((1, 2), np.float32)
    with pytest.raises(ValueError, match=r"completion \(1, 1\)"):
        pool_history(VECTORS, row, row[:, :1], row)
    with pytest.raises(ValueError, match="half-lives must be positive, got 0 items"):
        pool_history(VECTORS, row, row, row, half_life_items=0)


# --- state encoders ------------------------------------------------------------------------------------------------


def test_only_a_concrete_encoder_can_be_made():
    with pytest.raises(TypeError, match="abstract"):
        StateEncoder(1, 2, 3)


class TestPooledHistory(EncoderContract):
    encoder = PooledHistory
    settings = EncoderContract.settings | {"half_life_items": 3.0, "half_life_days": math.inf}

    @pytest.fixture
    def sources(self):
        return lambda changed: (VECTORS[::-1] if changed else VECTORS,)

    def test_parts_of_no_width_are_left_out(self, observation):
        bare = PooledHistory(VECTORS, context_width=0, profile_width=0)
        del observation["context"], observation["profile"]
        assert bare(observation).shape == (9, bare.width) == (9, 16)


class TestTextHistory(EncoderContract):
    encoder = TextHistory
    settings = EncoderContract.settings | {"limit": 3, "memory": 100}
    tolerance = 1e-6

    @pytest.fixture
    def sources(self, text_encoder):
        return lambda changed: (text_encoder, TITLES[::-1] if changed else TITLES)

    def test_history_is_the_vector_of_its_text(self, subject, text_encoder):
        observation = make_observation(1, items=12) | {
            "history_ids": np.array([[2, 5, 7, 9]], np.float32),
            "history_completion": np.array([[1.0, 1.0, 0.0, 1.0]], np.float32),
            "history_age": np.array([[0.0, 0.1, 1.5, 3.0]], np.float32),
        }
        told = "Finished, today: Bay (1991); Elm (1994). Skipped through, yesterday: Gem (1996)."
        expected = text_encoder.encode([told])
        np.testing.assert_allclose(subject(observation)[:, : text_encoder.width], expected, atol=1e-6)

    def test_a_history_met_before_costs_nothing(self, subject, observation, reached):
        first = subject(observation)
        reached.clear()
        np.testing.assert_array_equal(subject(observation), first)
        assert reached == []
        observation["history_ids"][4, 0] = observation["history_ids"][4, 0] % 12 + 1
        subject(observation)
        assert len(reached) == 1

    def test_memory_smaller_than_the_batch_only_costs_time(self, sources, subject, observation, reached):
        forgetful = TextHistory(*sources(False), **(self.settings | {"memory": 2}))
        np.testing.assert_array_equal(forgetful(observation), subject(observation))
        reached.clear()
        np.testing.assert_allclose(forgetful(observation), subject(observation), rtol=0, atol=self.tolerance)
        assert len(reached) == len(set(forgetful._tell(observation))) - 2

"""Engineered features by hand and against slow loops; standardisation fitted on one part alone; files."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from longplay.encoders.data.table_parsing import LogError
from longplay.encoders.outcomes.features import (
    ITEM_FEATURES,
    USER_FEATURES,
    Categories,
    Standardiser,
    compute_item_features,
    compute_user_features,
)
from longplay.tests.encoders.small_logs import log_of, make_log

# --- features ------------------------------------------------------------------------------------------------------

ROWS = [(0, 1, 0.0, 1.0), (0, 2, 0.01, 0.4), (0, 3, 0.01, None), (0, 1, 2.01, 0.6), (0, 2, 7.0, 1.0), (1, 2, 1.0, None)]
MINUTES = [10.0, 0.0, 0.0, 4.0, 9.0, 0.0]


def test_users_by_hand():
    log = dataclasses.replace(log_of(ROWS), minutes=np.array(MINUTES))
    table = compute_user_features(log, 5.0)
    assert list(table) == list(USER_FEATURES)
    assert table.loc[0].to_dict() == pytest.approx(
        {
            "shown": 4,
            "consumed": 3,
            "recency": 2.99,
            "tenure": 5.0,
            "completion_mean": 2 / 3,
            "completion_median": 0.6,
            "minutes_mean": 7.0,  # one of three is unknown
            "minutes_median": 7.0,
            "click_through": 0.75,
            "liked_share": 2 / 3,
            "distinct_items": 2,
            "sessions": 2,  # a quarter of an hour apart is one session
            "gap_mean": 2.0,
        },
        rel=1e-6,
    )
    idle = dict.fromkeys(USER_FEATURES, 0.0) | {"recency": 5.0, "gap_mean": 5.0}
    assert table.loc[1].to_dict() == idle | {"shown": 1.0}
    assert table.loc[2].to_dict() == idle


def test_items_by_hand():
    log = dataclasses.replace(log_of(ROWS), minutes=np.array(MINUTES))
    table = compute_item_features(log, 5.0)
    assert table.index.tolist() == [1, 2, 3, 4, 5]
    assert list(table) == list(ITEM_FEATURES)
    assert table.loc[2].to_dict() == pytest.approx(
        {
            "shown": 2,
            "consumed": 1,
            "recency": 4.99,
            "tenure": 4.99,
            "completion_mean": 0.4,
            "completion_median": 0.4,
            "minutes_mean": 0.0,
            "minutes_median": 0.0,
            "click_through": 0.5,
            "liked_share": 0.0,
            "distinct_users": 1,
        },
        rel=1e-6,
    )
    assert table.loc[5].to_dict() == dict.fromkeys(ITEM_FEATURES, 0.0) | {"recency": 5.0}


def test_named_sessions_win_over_pauses():
    log = dataclasses.replace(log_of(ROWS[:2] + ROWS[3:5]), session=np.array([0, 1, 1, 2]))
    row = compute_user_features(log, 10.0).loc[0]
    assert row["sessions"] == 3
    assert row["gap_mean"] == pytest.approx((0.01 + 4.99) / 2)


@settings(max_examples=15)
@given(st.integers(0, 1000), st.integers(0, 120), st.floats(0.0, 31.0))
def test_counts_equal_a_slow_loop_and_all_is_finite(seed, rows, until):
    log = make_log(seed, rows=rows)
    users, items = compute_user_features(log, until), compute_item_features(log, until)
    assert np.isfinite(users.to_numpy()).all()
    assert np.isfinite(items.to_numpy()).all()
    before = log.time < until
    for user in range(log.users):
        own = before & (log.user == user) & log.consumed
        assert users.loc[user, "consumed"] == own.sum()
        assert users.loc[user, "distinct_items"] == len(set(log.item[own].tolist()))
        assert users.loc[user, "shown"] == (before & (log.user == user)).sum()
    for item in range(1, log.items + 1):
        own = before & (log.item == item) & log.consumed
        assert items.loc[item, "distinct_users"] == len(set(log.user[own].tolist()))


@settings(max_examples=15)
@given(st.integers(0, 1000), st.floats(1.0, 29.0), st.integers(0, 30))
@example(0, 10.0, 15)
def test_the_future_changes_nothing(seed, until, begin):
    """Sessions are named from some day on, one a day, which may lie in the future."""
    log = make_log(seed)
    log = dataclasses.replace(log, session=np.maximum(0, np.floor(log.time) - begin + 1))
    past = log.take(log.time < until)
    if len(past) and past.time.min() == log.time.min():
        pd.testing.assert_frame_equal(compute_user_features(log, until), compute_user_features(past, until))
        pd.testing.assert_frame_equal(compute_item_features(log, until), compute_item_features(past, until))


def test_a_past_under_one_number_is_one_session():
    log = dataclasses.replace(log_of([*ROWS[:2], *ROWS[3:5]]), session=np.array([0, 0, 0, 1]))
    row = compute_user_features(log, 10.0).loc[0]
    assert (row["sessions"], row["gap_mean"]) == (2, pytest.approx(4.99))


def test_until_must_be_finite():
    with pytest.raises(LogError, match="until nan is not finite"):
        compute_user_features(make_log(), np.nan)


# --- Standardiser --------------------------------------------------------------------------------------------------


def test_scores_are_those_of_sklearn():
    rng = np.random.default_rng(0)
    train, test = (pd.DataFrame(rng.normal(50, 9, size=(n, 3)), columns=list("abc")) for n in (40, 7))
    expected = StandardScaler().fit(train).transform(test)
    np.testing.assert_allclose(Standardiser.fit(train).transform(test), expected, rtol=1e-5)


def test_only_the_training_part_is_learned_from():
    train = pd.DataFrame({"a": [0.0, 2.0]})
    fitted = Standardiser.fit(train)
    assert fitted.transform(pd.DataFrame({"a": [101.0, 1.0]})).tolist() == [[100.0], [0.0]]
    assert (fitted.mean, fitted.scale) == ((1.0,), (1.0,))


@pytest.mark.parametrize("value", [0.1, 1e9 + 0.1, 0.0, -3.0])
def test_a_constant_column_becomes_zeros_and_is_named(value):
    train = pd.DataFrame({"same": [value] * 7, "b": range(7)})
    fitted = Standardiser.fit(train)
    assert fitted.constant == ("same",)
    assert fitted.transform(pd.DataFrame({"same": [value, value + 5], "b": [3, 3]})).tolist() == [[0.0, 0.0]] * 2


@given(st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=20))
def test_all_finite_input_gives_finite_scores(values):
    train = pd.DataFrame({"a": values})
    assert np.isfinite(Standardiser.fit(train).transform(train)).all()


@pytest.mark.parametrize(("value", "words"), [(np.nan, "nan"), (np.inf, "inf"), ("much", "'much'"), (None, "")])
def test_what_is_no_finite_number_is_refused_by_column(value, words):
    good = pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 3.0]})
    bad = pd.DataFrame({"a": [1.0, 2.0], "b": pd.Series([1.0, value], dtype=object)})
    with pytest.raises(LogError, match=rf"column 'b', row 1: .*{words}"):
        Standardiser.fit(bad)
    with pytest.raises(LogError, match="column 'b', row 1"):
        Standardiser.fit(good).transform(bad)


@pytest.mark.parametrize("columns", [["a"], ["b", "a"], ["a", "b", "c"], ["a", "x"]])
def test_other_columns_are_refused(columns):
    fitted = Standardiser.fit(pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 3.0]}))
    with pytest.raises(LogError, match="Fix: give those of the fit"):
        fitted.transform(pd.DataFrame(np.ones((2, len(columns))), columns=columns))


def test_no_rows_are_refused():
    with pytest.raises(LogError, match="no rows to standardise by"):
        Standardiser.fit(pd.DataFrame({"a": []}))


def test_a_saved_standardiser_is_the_same(tmp_path):
    table = compute_user_features(make_log(), 20.0)
    fitted = Standardiser.fit(table)
    fitted.save(tmp_path / "z.json")
    loaded = Standardiser.load(tmp_path / "z.json")
    assert loaded == fitted
    np.testing.assert_array_equal(loaded.transform(table), fitted.transform(table))


@pytest.mark.parametrize("content", ["", "[]", '{"kind": "standardiser"}', '{"kind": "categories", "names": []}'])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "z.json"
    path.write_text(content)
    with pytest.raises(LogError, match=r"z\.json"):
        Standardiser.load(path)


def test_columns_and_numbers_must_fit_together(tmp_path):
    path = tmp_path / "z.json"
    path.write_text(json.dumps({"kind": "standardiser", "names": ["a", "b"], "mean": [0.0], "scale": [1.0]}))
    with pytest.raises(LogError, match="differ in length"):
        Standardiser.load(path)
    with pytest.raises(LogError, match="cannot be read"):
        Standardiser.load(tmp_path / "none.json")


# --- Categories ----------------------------------------------------------------------------------------------------


def test_categories_by_hand_and_from_a_file(tmp_path):
    train = pd.DataFrame({"country": ["FR", "DE", None], "plan": [1, 2, 1]})
    fitted = Categories.fit(train)
    assert fitted.columns == ("country=", "country=DE", "country=FR", "plan=1", "plan=2")
    new = pd.DataFrame({"country": ["FR", "IT"], "plan": [2, 1]})
    expected = [[0, 0, 1, 0, 1], [0, 0, 0, 1, 0]]  # Italy was never met
    assert fitted.transform(new).tolist() == expected
    fitted.save(tmp_path / "c.json")
    assert Categories.load(tmp_path / "c.json").transform(new).tolist() == expected
    with pytest.raises(LogError, match="Fix: give those of the fit"):
        fitted.transform(new[["plan"]])
    with pytest.raises(LogError, match="has no categories"):
        Categories.fit(train[:0])

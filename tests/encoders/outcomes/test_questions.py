"""No user in two parts, nothing of the future in a fit, and outcomes that mean what they say."""

import numpy as np
import pandas as pd
import pytest

from longplay.encoders import EncoderError, PooledHistory
from longplay.encoders.outcomes.features import USER_FEATURES, compute_item_features, compute_user_features
from longplay.encoders.outcomes.predictors import PENALTIES
from longplay.encoders.outcomes.questions import PARTS, LogParts, align_sessions, bootstrap_over_users, fit_best_penalty
from longplay.tests.encoders.small import make_items, make_log

ENCODER = PooledHistory(make_items())


def make_sessions(users=60):
    """Users come every two days for a tenth of a day, each a little later; those of even number stop after day 4."""
    begin = np.arange(0.0, 10.0, 2.0)
    rows = []
    for user in range(users):
        mine = begin[begin <= 4.0] if user % 2 == 0 else begin
        for number, day in enumerate(mine):
            gap = 1.9 if number + 1 < len(mine) else np.nan
            rows.append((user, number, day + user / 1000, day + 0.1 + user / 1000, 3, 1, 5.0, 0.5, gap))
    names = ["user", "session", "begin", "end", "slates", "clicks", "minutes", "completion", "gap"]
    return pd.DataFrame(rows, columns=names)


@pytest.fixture(scope="module")
def log():
    return make_log()


@pytest.fixture(scope="module")
def parts(log):
    return LogParts(log, make_sessions(), cut=0.5, most=10_000, seed=0)


def test_parts_share_no_user_and_fits_see_nothing_after_the_cut(parts, log):
    assert np.bincount(parts.part).tolist() == [42, 6, 12]
    assert parts.train.time.max() < parts.time
    assert set(parts.part[parts.train.user]) == {0}
    for outcomes in (
        lambda part: parts.collect_shown(part, ENCODER),
        lambda part: parts.collect_sessions(part, ENCODER, 2.0),
    ):
        users = [set(outcomes(part).user.tolist()) for part in PARTS]
        assert not users[0] & users[1]
        assert not users[0] & users[2]
        assert not users[1] & users[2]
        assert set().union(*users) == set(range(60))


def test_items_come_with_what_was_known_before(parts, log):
    found = parts.collect_consumed("test", ENCODER)
    rows = np.flatnonzero((parts.part[log.user] == 2) & (log.time >= parts.time) & log.consumed)
    np.testing.assert_array_equal(found.user, log.user[rows])
    np.testing.assert_array_equal(found.outcome, log.completion[rows])
    np.testing.assert_array_equal(found.other, ENCODER.item_vectors[log.item[rows]])
    for k in (0, len(rows) - 1):
        past = log.histories([log.user[rows[k]]], before=log.time[rows[k]])
        np.testing.assert_array_equal(found.vectors[k], ENCODER.encode(past)[0])
    shown = parts.collect_shown("train", ENCODER)
    assert 0.5 < shown.outcome.mean() < 1.0


@pytest.mark.parametrize("part", ["train", "test"])
def test_features_tell_what_was_known_before_the_day(parts, log, part):
    plain, found = parts.collect_shown(part, ENCODER), parts.collect_shown(part, ENCODER, features=True)
    np.testing.assert_array_equal(found.vectors[:, : ENCODER.width], plain.vectors)
    np.testing.assert_array_equal(found.other[:, : ENCODER.width], plain.other)
    np.testing.assert_array_equal(found.outcome, plain.outcome)
    assert found.vectors.shape[1] == ENCODER.width + len(USER_FEATURES)
    rows = np.flatnonzero((parts.part[log.user] == PARTS.index(part)) & ((log.time >= parts.time) == (part == "test")))
    first = parts.sessions.groupby("user")["begin"].min().to_numpy()
    rows = rows[log.time[rows] >= first[log.user[rows]]]
    for k in (0, len(rows) // 2, len(rows) - 1):
        day = np.floor(log.time[rows[k]])
        past = log.take(log.time < day)  # nothing else is needed
        of_user = compute_user_features(past, day).loc[log.user[rows[k]]]
        of_item = compute_item_features(past, day).loc[log.item[rows[k]]]
        np.testing.assert_allclose(found.vectors[k, ENCODER.width :], np.log1p(of_user), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.other[k, ENCODER.width :], np.log1p(of_item), rtol=1e-5, atol=1e-6)


def test_what_came_before_the_first_session_was_not_shown(log):
    sessions = make_sessions()
    late = sessions.assign(begin=sessions["begin"] + 3.0, end=sessions["end"] + 3.0)
    parts = LogParts(log, late, cut=0.5, most=10_000, seed=0)
    rows = (parts.part[log.user] == 0) & (log.time < parts.time) & (log.time >= 3.0 + log.user / 1000)
    assert len(parts.collect_shown("train", ENCODER)) == rows.sum()


def test_a_return_after_the_cut_was_not_seen_by_a_fit(parts):
    found = parts.collect_sessions("train", ENCODER, within=2.0)
    left = parts.time - found.days[~found.returned]
    assert (left <= parts.time).all()
    assert found.days[found.returned] == pytest.approx(1.9)
    # Of the third session, on day 4, nobody's return was seen before the cut.
    whole = make_sessions()
    before = whole[(parts.part[whole["user"]] == 0) & (whole["end"] < parts.time)]
    seen = (before["end"] + before["gap"] < parts.time).to_numpy()
    np.testing.assert_array_equal(found.returned, seen)
    assert 0 < seen.sum() < len(seen)


def test_the_answer_is_open_where_the_log_ends_too_early(parts):
    found = parts.collect_sessions("test", ENCODER, within=2.0)
    whole = make_sessions()
    rows = whole[(parts.part[whole["user"]] == 2) & (whole["end"] >= parts.time)]
    known = (rows["end"] + 2.0 <= parts.end).to_numpy()
    np.testing.assert_array_equal(np.isfinite(found.outcome), known)
    np.testing.assert_array_equal(found.outcome[known], (~rows["gap"].isna()).to_numpy()[known])
    assert 0 < known.sum() < len(known)
    kept = found.take(known)
    assert len(kept) == len(kept.days) == len(kept.returned) == known.sum()


def test_too_many_rows_are_drawn_from(log):
    few = LogParts(log, make_sessions(), cut=0.5, most=40, seed=0)
    assert len(few.collect_shown("train", ENCODER)) == 40
    np.testing.assert_array_equal(few.collect_shown("train", ENCODER).user, few.collect_shown("train", ENCODER).user)


def test_sessions_are_put_on_the_clock_and_numbers_of_the_log(log):
    sessions = make_sessions(4).assign(user=[f"u{n}" for n in make_sessions(4)["user"]])
    shuffled = sessions.sample(frac=1.0, random_state=0)
    stranger = shuffled.iloc[:1].assign(user="nobody")
    table = align_sessions(pd.concat([shuffled, stranger]), log, begin=-5.0)
    pd.testing.assert_frame_equal(table[["user", "session"]], make_sessions(4)[["user", "session"]])
    np.testing.assert_allclose(table["begin"], make_sessions(4)["begin"] + 5.0)


def test_intervals_hold_a_mean_of_users_that_rows_would_miss():
    """Rows of a user are alike: an interval over rows would be seven times too narrow."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(100), 50)
    values = rng.normal(size=100)[user]
    value, low, high = bootstrap_over_users(lambda x: float(x.mean()), user, values, resamples=400)
    assert value == pytest.approx(values.mean())
    assert (high - low) / 3.92 == pytest.approx(values.std() / 10, rel=0.15)
    again = bootstrap_over_users(lambda x: float(x.mean()), user, values, resamples=400)
    assert again == (value, low, high)


def test_the_penalty_that_tells_the_validation_rows_best_is_chosen(parts):
    valid = parts.collect_shown("validation", ENCODER)

    class Told:
        def __init__(self, vectors, other, outcome, *, penalty, match):
            assert len(vectors) == len(other) == len(outcome)
            self.penalty, self.match = penalty, match

        def predict(self, vectors, other):
            right = self.penalty == PENALTIES[2]
            return np.where(valid.outcome > 0, 0.9, 0.1) if right else np.full(len(valid), 0.5)

    best = fit_best_penalty(Told, parts.collect_shown("train", ENCODER), valid, match=True)
    assert (best.penalty, best.match) == (PENALTIES[2], True)


def test_what_cannot_be_is_said(log, parts):
    with pytest.raises(EncoderError, match=r"cut = 1\.0 is out of range; allowed: above 0 and below 1"):
        LogParts(log, make_sessions(), cut=1.0, most=10, seed=0)
    with pytest.raises(EncoderError, match=r"within = 0\.0 is out of range; allowed: above 0 days"):
        parts.collect_sessions("train", ENCODER, within=0.0)
    with pytest.raises(EncoderError, match="the sessions have no column 'gap'; add it"):
        align_sessions(make_sessions().drop(columns="gap"), log, 0.0)
    few = LogParts(log, make_sessions().iloc[:8], cut=0.1, most=10, seed=0)
    with pytest.raises(EncoderError, match="the validation part of the log has no rows; give more users"):
        few.collect_sessions("validation", ENCODER, 1.0)

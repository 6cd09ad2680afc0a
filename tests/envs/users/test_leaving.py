"""Leaving a session, and leaving for good: hazards against their formulas, by frequency and in order."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from longplay.envs.users import dynamics
from longplay.envs.users.records import ACTIVE, CHURNED
from longplay.tests.envs.worlds import crowd, hand_items, read, record, scratch, small

SCENARIO = small()
P = record(SCENARIO)
ITEMS = hand_items(SCENARIO)
WORK = scratch(SCENARIO)
STRATUM = 4000


def leave_hazard(p, logit, fatigue, satisfaction, skips):
    """From the definition."""
    return expit(
        logit
        + p.leave_fatigue * (fatigue - p.leave_fatigue_pivot) / 10
        - p.leave_satisfaction * (satisfaction - p.leave_satisfaction_pivot)
        + p.leave_skips * np.minimum(skips, 3)
    )


def churn_hazard(p, trust, visits):
    """From the definition."""
    return expit(p.churn_base - p.churn_trust * (trust - p.churn_trust_pivot) - p.churn_visits * visits)


def exact_hazard(p, user):
    """The chance that a uniform draw makes the user leave: where the answer turns, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(50):
        WORK.leave_draw = (low + high) / 2
        low, high = ((low + high) / 2, high) if dynamics.leaves(p, WORK, user) else (low, (low + high) / 2)
    return low


def someone(logit, fatigue, satisfaction, skips):
    user = crowd(SCENARIO)[0]
    user.leave_logit, user.fatigue, user.satisfaction, user.skips = logit, fatigue, satisfaction, skips
    return user


state = st.tuples(st.floats(-4.5, 3), st.floats(0, 100), st.floats(-1, 1), st.integers(0, 6))


@given(state)
def test_the_hazard_of_leaving_is_a_logit(values):
    assert exact_hazard(P, someone(*values)) == pytest.approx(leave_hazard(P, *values), abs=1e-12)


@given(state, st.sampled_from([0, 1, 2, 3]), st.floats(0.1, 20))
def test_the_hazard_of_leaving_rises_with_fatigue_and_skips_and_falls_with_satisfaction(values, which, more):
    """And with the user's own base rate; skips count up to three."""
    other = list(values)
    other[which] += [more, more, -more / 20, int(np.ceil(more))][which]
    before, after = exact_hazard(P, someone(*values)), exact_hazard(P, someone(*other))
    if which == 3 and values[3] >= 3:
        assert after == before
    else:
        assert after > before


STATES = ((0.0, 0.5, 0), (55.0, 0.5, 0), (12.0, 0.95, 1), (12.0, -0.6, 1), (20.0, 0.4, 5))
CASES = [(logit, *values) for logit in (-2.5, -1.2, 0.7) for values in STATES]


def test_sessions_end_as_often_as_the_hazard_says():
    """Nobody opens an empty slate, so that the state at the moment of leaving is known."""
    users = crowd(SCENARIO, STRATUM * len(CASES))
    fields = ("leave_logit", "fatigue", "satisfaction", "skips")
    for field, values in zip(fields, np.array(CASES).T, strict=True):
        users[field] = np.repeat(values, STRATUM)
    users["slate"] = 0
    before = users.copy()
    read(SCENARIO, P, users, ITEMS)
    satisfied = before["satisfaction"] + P.satisfaction_rate * (-P.satisfaction_skip - before["satisfaction"])
    hazard = leave_hazard(
        P, before["leave_logit"], before["fatigue"] + P.fatigue_skip, satisfied, before["skips"] + 1
    ).reshape(-1, STRATUM)[:, 0]
    left = users["left"].reshape(-1, STRATUM).sum(axis=1)
    assert hazard.min() < 0.1
    assert hazard.max() > 0.9
    for count, chance in zip(left, hazard, strict=True):
        assert stats.binomtest(int(count), STRATUM, chance).pvalue > 1e-4


def gone(trust, visits, **changes):
    """Who of many churns, alike in all but their luck: the same luck in each call; and the trust they leave with."""
    users = crowd(SCENARIO, STRATUM)
    users["slate"], users["leave_logit"] = 0, 50.0
    users["trust"], users["satisfaction"], users["visit_rate"] = trust, trust, visits
    read(SCENARIO, record(SCENARIO, horizon_days=3650.0, **changes), users, ITEMS)
    assert users["left"].all()
    assert set(users["status"]) <= {ACTIVE, CHURNED}
    return users["status"] == CHURNED, users["trust"][0]


@pytest.mark.parametrize("visits", [-0.8, 0.0, 0.5])
@pytest.mark.parametrize("trust", [-0.3, 0.1, 0.4, 0.8])
def test_users_churn_as_often_as_trust_and_visit_rate_say(trust, visits):
    churned, after = gone(trust, visits, churn_base=-1.5)
    hazard = churn_hazard(record(SCENARIO, churn_base=-1.5), after, visits)
    assert stats.binomtest(int(churned.sum()), STRATUM, hazard).pvalue > 1e-4


def test_who_trusts_more_or_comes_more_often_never_churns_where_others_stay():
    """With common luck those who churn are a part of those who would with less."""
    by_trust = [gone(trust, 0.0, churn_base=-1.5)[0] for trust in (-0.5, 0.0, 0.3, 0.6, 0.9)]
    by_visits = [gone(0.4, visits, churn_base=-1.5)[0] for visits in (-1.0, -0.4, 0.0, 0.4, 1.0)]
    for found in (by_trust, by_visits):
        for more, fewer in pairwise(found):
            assert not (fewer & ~more).any()
            assert fewer.sum() < more.sum()


def test_trust_moves_a_share_towards_the_satisfaction_of_the_session():
    users = crowd(SCENARIO, 4)
    users["leave_logit"], users["slate"] = 50.0, 0
    users["trust"], users["satisfaction"] = [0.5, 0.2, 0.9, 0.0], [0.1, 0.9, 0.9, -0.1]
    before = users.copy()
    read(SCENARIO, record(SCENARIO, churn_base=-20.0, satisfaction_rate=0.0), users, ITEMS)
    expected = before["trust"] + P.trust_rate * (before["satisfaction"] - before["trust"])
    np.testing.assert_allclose(users["trust"], expected, rtol=1e-12)


def test_churn_ends_a_life_where_it_stands():
    users = crowd(SCENARIO, 20)
    users["leave_logit"], users["slate"] = 50.0, 0
    before = users.copy()
    read(SCENARIO, record(SCENARIO, churn_base=20.0), users, ITEMS)
    assert (users["status"] == CHURNED).all()
    assert (users["left"] == 1).all()
    np.testing.assert_allclose(users["clock"], before["clock"] + P.time_glance / 1440, rtol=1e-14)
    for field in ("session", "gap", "depth"):
        np.testing.assert_array_equal(users[field], before[field])

"""Leaving a session, and leaving for good: hazards against their formulas, by frequency and in order."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from longplay.envs.env import SlateVectorEnv
from longplay.envs.users import dynamics
from longplay.envs.users.records import ACTIVE, CHURNED
from longplay.envs.users.world import build_world
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


def churn_hazard(p, trust, visits, frailty):
    """From the definition."""
    return expit(p.churn_base - p.churn_trust * (trust - p.churn_trust_pivot) - p.churn_visits * visits + frailty)


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


def gone(trust, visits, frailty=0.0, **changes):
    """Who of many churns, alike in all but their luck: the same luck in each call; and the trust they leave with."""
    users = crowd(SCENARIO, STRATUM)
    users["slate"], users["leave_logit"] = 0, 50.0
    users["trust"], users["satisfaction"], users["visit_rate"], users["frailty"] = trust, trust, visits, frailty
    read(SCENARIO, record(SCENARIO, horizon_days=3650.0, **changes), users, ITEMS)
    assert users["left"].all()
    assert set(users["status"]) <= {ACTIVE, CHURNED}
    return users["status"] == CHURNED, users["trust"][0]


@pytest.mark.parametrize("frailty", [-1.5, 0.0, 0.9])
@pytest.mark.parametrize("visits", [-0.8, 0.0, 0.5])
@pytest.mark.parametrize("trust", [-0.3, 0.1, 0.4, 0.8])
def test_users_churn_as_often_as_trust_visit_rate_and_frailty_say(trust, visits, frailty):
    churned, after = gone(trust, visits, frailty, churn_base=-1.5)
    hazard = churn_hazard(record(SCENARIO, churn_base=-1.5), after, visits, frailty)
    assert stats.binomtest(int(churned.sum()), STRATUM, hazard).pvalue > 1e-4


def test_who_trusts_more_comes_more_often_or_is_less_frail_never_churns_where_others_stay():
    """With common luck those who churn are a part of those who would with less."""
    by_trust = [gone(trust, 0.0, churn_base=-1.5)[0] for trust in (-0.5, 0.0, 0.3, 0.6, 0.9)]
    by_visits = [gone(0.4, visits, churn_base=-1.5)[0] for visits in (-1.0, -0.4, 0.0, 0.4, 1.0)]
    by_frailty = [gone(0.4, 0.0, frailty, churn_base=-1.5)[0] for frailty in (1.0, 0.4, 0.0, -0.4, -1.0)]
    for found in (by_trust, by_visits, by_frailty):
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


@pytest.mark.parametrize(("rate", "verdict"), [(0.4, 0.0), (1.0, -0.5), (0.0, -1.0)])
def test_a_session_without_a_click_takes_trust_further_whatever_its_length(rate, verdict):
    users = crowd(SCENARIO, 6)
    users["leave_logit"], users["trust"], users["satisfaction"] = 50.0, 0.7, 0.3
    users["depth"] = [0, 3, 9, 3, 9, 0]
    users["skips"] = [0, 3, 9, 2, 0, 0]  # so the fourth and the fifth have clicked before
    users["slate"][:5] = 0
    users["slate"][5, 1:] = 0  # and the last clicks now
    p = record(SCENARIO, choice_nothing=-20.0, churn_base=-20.0, trust_vain=rate, trust_vain_verdict=verdict)
    read(SCENARIO, p, users, ITEMS)
    assert (users["choice"] == [-1, -1, -1, -1, -1, 0]).all()
    assert (users["left"] == 1).all()
    skipped = 0.3 + P.satisfaction_rate * (-P.satisfaction_skip - 0.3)
    usual = 0.7 + P.trust_rate * (skipped - 0.7)
    np.testing.assert_allclose(users["trust"][:3], usual + rate * (verdict - usual), rtol=1e-12)
    np.testing.assert_allclose(users["trust"][3:5], usual, rtol=1e-12)
    assert users["trust"][5] == pytest.approx(read_last(P, 0.7, 0.3, ITEMS[1]))


def read_last(p, trust, satisfaction, it):
    """Trust after a session that ends with this item."""
    promise = p.satisfaction_base + p.satisfaction_substance * it["substance"] - p.satisfaction_appeal * it["appeal"]
    satisfaction += p.satisfaction_rate * (expit(promise) - satisfaction)
    return trust + p.trust_rate * (satisfaction - trust)


def test_visits_in_vain_are_those_without_a_click_by_a_plain_log(catalog):
    """Satisfaction stays what trust is here, so that a visit in vain is all that moves trust."""
    changes = {"satisfaction.rate": 0.0, "trust.vain": 0.5, "trust.vain_verdict": -1.0, "horizon.days": 6}
    changes["time.glance"] = 60.0  # so that the horizon comes within sessions, too
    world = build_world(catalog, SCENARIO.with_overrides(changes | {"churn.base": -3.0, "leave.skips": 0.0}))
    env = SlateVectorEnv(world, 300, autoreset_mode="Disabled")
    env.reset(seed=0)
    users, rng = env.engine.users, np.random.default_rng(0)
    clicks, slates, seen = np.zeros(300, int), np.zeros(300, int), {}
    for _ in range(80):
        before = users.copy()
        env.step(rng.integers(1, 301, (300, 10)))
        active, over = before["status"] == ACTIVE, users["status"] != ACTIVE
        clicks += active & (users["choice"] >= 0)
        slates += active
        left = active & (users["left"] == 1)
        fell = users["trust"] < before["trust"]
        np.testing.assert_array_equal(fell, left & (clicks == 0))
        expected = before["trust"] + 0.5 * (-1.0 - before["trust"])
        np.testing.assert_allclose(users["trust"][fell], expected[fell], rtol=1e-12)
        cut = active & over & ~left  # by the horizon, within a session
        ended = left & over | cut
        np.testing.assert_array_equal((users["skips"] > users["depth"])[ended], (clicks == 0)[ended])
        for how, which in (("left", left), ("cut", cut)):
            for b in np.flatnonzero(which):
                seen.setdefault((how, bool(clicks[b] == 0)), set()).add(int(slates[b]))
        clicks[left], slates[left] = 0, 0
    assert {1, 2, 3} <= seen["left", True] & seen["left", False]
    assert max(seen["left", True]) >= 5
    assert seen["cut", True]
    assert seen["cut", False]


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

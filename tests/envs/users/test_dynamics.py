"""The user model: the story of one slate, of a session's end, of drift and of arrival.

Its parts have files of their own: `test_satiation`, `test_choice`, `test_leaving`, `test_gaps`.
"""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from longplay.envs.engine import _begin_lives
from longplay.envs.users import dynamics
from longplay.envs.users.records import ACTIVE, HORIZON, NOTHING, user_type
from longplay.tests.envs.worlds import as_array, content, crowd, hand_items, membership, read, record, small

SCENARIO = small()
P = record(SCENARIO)
ITEMS = hand_items(SCENARIO)
TOPICS = membership(ITEMS, SCENARIO.shape.topics)
K = SCENARIO.shape.slate
MANY = 20_000
COMING = {"churn_base": -20.0, "horizon_days": 3650.0}  # nobody churns, and the month has no end


def params(**changes):
    return record(SCENARIO, **changes)


# --- one slate -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("idle", [1.0, 0.1, 0.0])
@pytest.mark.parametrize("item", [0, 3, 8])
def test_satisfaction_moves_a_share_towards_the_verdict(item, idle):
    """A slate without a click moves it by `satisfaction.idle` of that."""
    users = crowd(SCENARIO, 20)
    users["leave_logit"], users["satisfaction"] = -50.0, 0.6
    users["slate"] = 0
    users["slate"][:, 4] = item
    it = ITEMS[item]
    promise = P.satisfaction_base + P.satisfaction_substance * it["substance"] - P.satisfaction_appeal * it["appeal"]
    verdict = expit(promise) if item else -P.satisfaction_skip
    read(SCENARIO, params(choice_nothing=-20.0, satisfaction_idle=idle), users, ITEMS)
    assert ((users["choice"] == 4) == (item > 0)).all()
    share = P.satisfaction_rate * (1.0 if item else idle)
    np.testing.assert_allclose(users["satisfaction"], 0.6 + share * (verdict - 0.6), rtol=1e-12)


@pytest.mark.parametrize("coupling", [0.0, 0.3, 1.0])
def test_fatigue_skips_time_and_history_after_a_slate(coupling):
    p = params(time_coupling=coupling, momentum_persistence=0.5)
    users = crowd(SCENARIO, 2000)
    users["leave_logit"] = -50.0  # nobody leaves
    users["skips"], users["fatigue"], users["session_minutes"], users["depth"] = 2, 7.0, 9.0, 4
    users["momentum"] = np.linspace(0, 1, SCENARIO.shape.topics)
    before = users.copy()
    minutes = read(SCENARIO, p, users, ITEMS)
    chose = users["choice"] != NOTHING
    assert 200 < chose.sum() < 1800
    reading = np.where(chose, minutes, p.time_glance)
    elapsed = p.time_pace + coupling * (reading - p.time_pace)
    item = np.where(chose, before["slate"][np.arange(2000), users["choice"]], 0)
    np.testing.assert_array_equal(minutes, users["minutes"])
    np.testing.assert_allclose(minutes, users["completion"] * ITEMS["minutes"][item], rtol=1e-12)
    np.testing.assert_allclose(users["fatigue"], 7.0 + np.where(chose, minutes, p.fatigue_skip))
    np.testing.assert_allclose(users["session_minutes"], 9.0 + elapsed)
    np.testing.assert_allclose(users["clock"], before["clock"] + elapsed / 1440, rtol=1e-12)
    np.testing.assert_array_equal(users["skips"], np.where(chose, 0, 3))
    np.testing.assert_array_equal(users["history_items"][:, 0], item)
    np.testing.assert_array_equal(users["history_items"][:, 1:], 0)
    np.testing.assert_array_equal(users["history_completion"][:, 0], users["completion"].astype(np.float32))
    np.testing.assert_array_equal(users["history_time"][:, 0], np.where(chose, users["clock"], 0).astype(np.float32))
    assert (users["depth"] == 5).all()
    assert not users["left"].any()
    share = np.where(np.arange(K) == users["choice"][:, None], 1.0, p.satiation_seen)
    kept = before["satiation"] * np.exp(-elapsed / 1440 / users["recovery"])[:, None]
    np.testing.assert_allclose(users["satiation"], kept + share @ TOPICS[before["slate"][0]], rtol=1e-9)
    turned = 0.5 * before["momentum"] + TOPICS[item]
    np.testing.assert_allclose(users["momentum"], np.where(chose[:, None], turned, before["momentum"]), rtol=1e-6)


def test_without_coupling_time_does_not_depend_on_what_is_read():
    users = crowd(SCENARIO, 500)
    users["leave_logit"] = -50.0
    read(SCENARIO, params(time_coupling=0.0, time_pace=3.0), users, ITEMS)
    assert set(users["clock"]) == {2.4 + 3.0 / 1440}
    assert len(set(users["choice"])) > 1


def test_a_history_keeps_the_most_recent_first_and_forgets_the_oldest():
    users = crowd(SCENARIO, 1)
    users["leave_logit"] = -50.0
    consumed, size = [], SCENARIO.shape.history
    for _ in range(size + 7):
        users["slate"] = np.random.default_rng(len(consumed)).permutation(np.arange(1, 13))[:K]
        read(SCENARIO, params(choice_nothing=-20.0, repeat_penalty=0.0), users, ITEMS)
        consumed.insert(0, (users["slate"][0, users["choice"][0]], users["completion"][0], users["clock"][0]))
    items, completion, times = (np.array(column) for column in zip(*consumed[:size], strict=True))
    np.testing.assert_array_equal(users["history_items"][0], items)
    np.testing.assert_array_equal(users["history_completion"][0], completion.astype(np.float32))
    np.testing.assert_array_equal(users["history_time"][0], times.astype(np.float32))


def test_the_draws_of_one_slate_are_independent_of_each_other():
    still = ["leave_satisfaction", "leave_fatigue", "leave_skips", "churn_base", "churn_trust", "churn_visits"]
    p = params(
        horizon_days=3650.0,
        choice_nothing=1.0,
        dwell_utility=0.0,
        gap_trust=0.0,
        hours=np.ones(24),
        **dict.fromkeys(still, 0.0),
    )
    users = crowd(SCENARIO, MANY)
    users["leave_logit"], users["slate"][:, 1:] = 0.0, 1
    read(SCENARIO, p, users, ITEMS)
    chose, left = users["choice"] != NOTHING, users["left"] == 1
    back = left & (users["status"] == ACTIVE)
    dwell = (np.log(users["completion"][chose] / (1 - users["completion"][chose])) - p.dwell_base) / p.dwell_noise
    gap = (np.log(users["gap"][back]) - p.gap_location) / p.gap_scale
    # Each draw has its distribution whatever came of the others.
    for some in (left[chose], ~left[chose], back[chose], (left & ~back)[chose]):
        assert stats.kstest(dwell[some], "norm").pvalue > 1e-3
    assert stats.kstest(gap, "norm").pvalue > 1e-3
    for group, outcome in ((chose, left), (~chose, left), (left, back), (left & chose, back)):
        assert stats.binomtest(int((group & outcome).sum()), int(group.sum()), 0.5).pvalue > 1e-3
    both = chose & back
    for power in (1, 2):
        found = stats.spearmanr(dwell[back[chose]] ** power, gap[chose[back]] ** power)[0]
        assert abs(found) < 4 / np.sqrt(both.sum())


# --- the end of a session and of a life ----------------------------------------------------------------------------


def test_a_new_session_starts_fresh_and_recovered():
    users = crowd(SCENARIO, 300)
    users["leave_logit"], users["fatigue"], users["depth"] = 50.0, 30.0, 6
    users["skips"], users["session_minutes"], users["momentum"] = 2, 40.0, 0.7
    before = users.copy()
    read(SCENARIO, params(taste_drift=0.0, **COMING), users, ITEMS)
    for field in ("fatigue", "depth", "skips", "session_minutes", "momentum"):
        assert not users[field].any()
    assert (users["session"] == before["session"] + 1).all()
    assert (users["left"] == 1).all()
    np.testing.assert_array_equal(users["satisfaction"], users["trust"])
    np.testing.assert_array_equal(users["taste"], before["taste"])
    chose = users["choice"] != NOTHING
    left = before["clock"] + np.where(chose, users["minutes"], P.time_glance) / 1440
    np.testing.assert_allclose(users["clock"], left + users["gap"], rtol=1e-12)
    assert (users["gap"] > 0).all()
    share = np.where(np.arange(K) == users["choice"][:, None], 1.0, P.satiation_seen)
    reading = np.exp(-(left - before["clock"]) / before["recovery"])[:, None]
    full = before["satiation"] * reading + share @ TOPICS[before["slate"][0]]
    away = np.exp(-users["gap"] / before["recovery"])[:, None]
    np.testing.assert_allclose(users["satiation"], full * away, rtol=1e-9, atol=1e-300)


def test_the_horizon_ends_a_life_between_sessions_and_within_one():
    away = crowd(SCENARIO, 50)
    away["leave_logit"], away["slate"] = 50.0, 0
    read(SCENARIO, params(churn_base=-20.0, horizon_days=2.41, gap_location=5.0), away, ITEMS)
    assert (away["left"] == 1).all()
    assert (away["status"] == HORIZON).all()
    assert (away["clock"] == 2.41).all()
    users = crowd(SCENARIO, 50)
    users["leave_logit"] = 50.0
    read(SCENARIO, params(horizon_days=2.4 + 1e-9), users, ITEMS)
    assert (users["status"] == HORIZON).all()
    assert not users["left"].any()  # the horizon comes before the question whether to leave
    after = users.copy()
    assert read(SCENARIO, P, users, ITEMS).max() == 0.0  # who has finished reads nothing
    assert content(users) == content(after)


# --- drift, arrival ------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0.01, 5.0), min_size=1, max_size=6), st.integers(0, 2**31 - 1))
def test_taste_drifts_once_a_day_on_the_sphere_whatever_the_split(gaps, who):
    p = params(taste_drift=0.3)
    users = crowd(SCENARIO, 2)
    users["id"] = who
    start = users["taste"][0].copy()
    for gap in gaps:
        users["clock"][0] += gap
        dynamics.drift(p, users[0])
    users["clock"][1] = users["clock"][0]
    dynamics.drift(p, users[1])
    np.testing.assert_array_equal(users["taste"][0], users["taste"][1])
    assert np.linalg.norm(users["taste"][0]) == pytest.approx(1.0)
    assert users["day"][0] == math.floor(users["clock"][0])
    assert np.array_equal(users["taste"][0], start) == (users["day"][0] == 2)


def test_drift_is_the_walk_of_its_signs_compiled_and_plain():
    """Regression: signed products that overflow let the compiler mistake one sign in 32."""
    p = params(taste_drift=0.5)
    for day in range(3, 103):
        users = crowd(SCENARIO, 2)
        users["id"], users["clock"], users["day"] = 0, day + 0.5, day - 1
        dynamics.drift(p, users[0])
        dynamics.drift.py_func(p, users[1])
        np.testing.assert_array_equal(users["taste"][0], users["taste"][1])


@pytest.mark.parametrize("width", [8, 64, 72, 256])
def test_drift_draws_signs_for_each_block_of_32_dimensions(width):
    """Of its own: with those of the first, all blocks of a wider taste would walk alike."""
    shape, who = dataclasses.replace(SCENARIO.shape, taste=width), 7
    users = np.zeros(1, user_type(shape))
    users["id"], users["k0"], users["k1"], users["clock"], users["day"] = who, 12345, 67890, 3.5, 2
    users["taste"] = np.sqrt(1 / width)
    signs = [dynamics.philox(who, 3, 0, dynamics.DRIFT + block, 12345, 67890)[0] for block in range(-(-width // 32))]
    assert len(set(map(int, signs))) == len(signs)
    ups = np.array([int(signs[d // 32]) >> (d % 32) & 1 for d in range(width)])
    walked = np.sqrt(1 / width) + 0.5 / np.sqrt(width) * (2 * ups - 1)
    dynamics.drift.py_func(params(taste_drift=0.5), users[0])
    np.testing.assert_allclose(users["taste"][0], walked / np.linalg.norm(walked), rtol=1e-5)


def test_a_month_of_drift_turns_taste_as_far_as_the_constant_says():
    users = crowd(SCENARIO, 400)
    users["id"] = np.arange(400)
    start = users["taste"].copy()
    users["clock"], users["day"] = 30.5, 0
    for user in users:
        dynamics.drift(P, user)
    cosine = (users["taste"] * start).sum(axis=1)
    assert cosine.mean() == pytest.approx(math.exp(-30 * P.taste_drift**2 / 2), abs=0.002)


def test_drift_does_not_depend_on_what_is_shown():
    unmoved = dict.fromkeys(["leave_satisfaction", "leave_fatigue", "leave_skips", "gap_trust"], 0.0)
    p = params(time_coupling=0.0, taste_drift=0.3, churn_base=-20.0, **unmoved)
    users = crowd(SCENARIO, 60)
    users["leave_logit"] = 0.0
    users["slate"][30:] = 0
    users["id"][30:] = users["id"][:30]
    for _ in range(20):
        read(SCENARIO, p, users, ITEMS)
    assert users["day"].max() > 10
    assert (users["choice"][:30] != users["choice"][30:]).any()
    np.testing.assert_array_equal(users["taste"][:30], users["taste"][30:])


def test_a_person_arrives_with_their_past(world):
    users = np.zeros(40, crowd(SCENARIO).dtype)
    users["id"], users["fatigue"], users["history_items"] = np.arange(40), 9.0, 7
    users["momentum"], users["slate"], users["satiation"] = 5.0, 3, 8.0
    _begin_lives(as_array(P), world.items, world.people, users, np.arange(40), 0)
    people = world.people[:40]
    past = SCENARIO.shape.past
    assert ((users["clock"] >= 0) & (users["clock"] < 1)).all()
    np.testing.assert_array_equal(users["history_items"][:, :past], people["past_items"])
    np.testing.assert_array_equal(users["history_items"][:, past:], 0)
    np.testing.assert_allclose(
        users["clock"][:, None] - users["history_time"][:, :past], people["past_age"], rtol=0, atol=2e-6
    )
    left = np.exp(-people["past_age"] / people["recovery"][:, None])
    expected = np.einsum("up,upg->ug", left, world.topics[people["past_items"]].astype(float))
    np.testing.assert_allclose(users["satiation"], expected, rtol=1e-6, atol=1e-300)
    for trait in ("sensitivity", "recovery", "leave_logit", "visit_rate", "chronotype"):
        np.testing.assert_array_equal(users[trait], people[trait])
    np.testing.assert_array_equal(users["taste"], people["taste"].astype(np.float32))
    np.testing.assert_array_equal(users["gap"], people["past_age"][:, 0])
    for field in ("fatigue", "momentum", "slate", "session", "depth", "skips", "session_minutes", "left", "minutes"):
        assert not users[field].any(), field
    assert (users["choice"] == NOTHING).all()
    assert (users["trust"] == P.trust_start).all()
    assert (users["satisfaction"] == P.trust_start).all()
    assert (users["status"] == ACTIVE).all()

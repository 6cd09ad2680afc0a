"""The user model, behaviour by behaviour, against closed forms and frequencies."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from longplay.envs import dynamics
from longplay.envs.engine import _begin_all, _read_all
from longplay.envs.records import ACTIVE, CHURNED, HORIZON, NOTHING
from longplay.tests.envs.worlds import crowd, hand_items, record, small

SCENARIO = small()
P = record(SCENARIO)
ITEMS = hand_items(SCENARIO)
K = SCENARIO.shape.slate
MANY = 20_000

days = st.floats(0.0, 30.0)
seeds = st.integers(0, 2**32 - 1)


def params(**changes):
    return record(SCENARIO, **changes)


def as_array(p):
    """A record as the array of one that the engine's loops take."""
    array = np.zeros(1, p.dtype)
    array[0] = p
    return array


def utilities(p, user, items=ITEMS):
    """U of every item of the table, from the formula."""
    taste, topics = items["taste"].astype(np.float64), items["topics"].astype(np.float64)
    mood = p.momentum_weight * topics[user["last"]] * (user["last"] > 0) - user["sensitivity"] * user["satiation"]
    known = np.isin(np.arange(len(items)), user["history_items"][: int(p.repeat_memory)])
    return p.taste_weight * taste @ user["taste"] + topics @ mood - p.repeat_penalty * known


def attraction(p, user, item, items=ITEMS):
    dynamics.feel(p, user, items)
    return dynamics.attract(p, user, items, item)


def choice_chances(p, user, items=ITEMS):
    """Multinomial logit over the slots and, last, no choice; from the formula."""
    slate = user["slate"]
    first = np.array([item > 0 and item not in slate[:k] for k, item in enumerate(slate)])
    discount = np.arange(1, len(slate) + 1.0) ** -SCENARIO.values["choice_position"]
    weight = first * discount * np.exp(utilities(p, user, items) + p.choice_appeal * items["appeal"])[slate]
    weight = np.append(weight, math.exp(p.choice_nothing))
    return weight / weight.sum()


def read(p, users, items=ITEMS):
    """Every user reads their slate once."""
    minutes = np.zeros(len(users))
    _read_all(as_array(p), items, users, users["slate"].astype(np.int64), minutes)
    return minutes


# --- satiation, momentum, repeats ----------------------------------------------------------------------------------


@given(st.lists(days, min_size=1, max_size=6), st.floats(0.05, 5.0))
def test_satiation_decays_the_same_under_any_split_of_the_gap(gaps, recovery):
    users = crowd(SCENARIO, 2)
    users["recovery"] = recovery
    before = users["satiation"][0].copy()
    for gap in gaps:
        dynamics.fade(users[0], gap)
    dynamics.fade(users[1], sum(gaps))
    np.testing.assert_allclose(users["satiation"][0], users["satiation"][1], rtol=1e-9, atol=1e-280)
    np.testing.assert_allclose(users["satiation"][1], before * math.exp(-sum(gaps) / recovery), rtol=1e-9, atol=1e-280)


@given(st.integers(0, K - 1), st.integers(1, 12), seeds)
def test_consuming_never_makes_another_item_more_attractive_through_satiation(choice, other, seed):
    user = crowd(SCENARIO, seed=seed)[0]
    p = params(momentum_weight=0.0)
    same = int(user.slate[choice])
    before, before_same = attraction(p, user, other), attraction(p, user, same)
    dynamics.expose(p, user, ITEMS, choice)
    assert attraction(p, user, other) <= before
    assert attraction(p, user, same) < before_same


@given(st.integers(1, 12), st.integers(0, SCENARIO.shape.topics - 1), st.floats(0.0, 10.0))
def test_more_satiation_never_raises_attraction(item, topic, more):
    user = crowd(SCENARIO)[0]
    before = attraction(P, user, item)
    user.satiation[topic] += more
    fall = user.sensitivity * more * float(ITEMS["topics"][item, topic])
    assert attraction(P, user, item) == pytest.approx(before - fall, abs=1e-9)


def test_exposure_is_one_for_the_item_consumed_and_little_for_those_seen():
    user = crowd(SCENARIO)[0]
    before = user.satiation.copy()
    user.slate[4] = 0
    dynamics.expose(P, user, ITEMS, 2)
    share = np.where(np.arange(K) == 2, 1.0, P.satiation_seen) * (user.slate > 0)
    np.testing.assert_allclose(user.satiation - before, share @ ITEMS["topics"][user.slate], rtol=1e-9)


@pytest.mark.parametrize("last", [0, 5])
def test_utility_is_taste_momentum_satiation_and_repeats(last):
    user = crowd(SCENARIO)[0]
    user.last = last
    user.history_items[:3] = [5, 2, 9]
    dynamics.index(user)
    found = [attraction(P, user, item) for item in range(1, 13)]
    np.testing.assert_allclose(found, utilities(P, user)[1:], rtol=1e-9)


def test_momentum_is_the_overlap_with_the_last_item_of_the_session():
    user = crowd(SCENARIO)[0]
    without = [attraction(P, user, item) for item in range(1, 13)]
    user.last = 7
    gained = np.array([attraction(P, user, item) for item in range(1, 13)]) - without
    np.testing.assert_allclose(gained, P.momentum_weight * ITEMS["topics"][1:] @ ITEMS["topics"][7], atol=1e-9)


@pytest.mark.parametrize(("memory", "place", "penalised"), [(20, 19, True), (5, 4, True), (5, 5, False), (0, 0, False)])
def test_repeat_penalty_reaches_back_as_far_as_memory(memory, place, penalised):
    p = params(repeat_memory=float(memory))
    user = crowd(SCENARIO)[0]
    before = attraction(p, user, 3)
    user.history_items[place] = 3
    dynamics.index(user)
    assert attraction(p, user, 3) == pytest.approx(before - p.repeat_penalty * penalised)


# --- choice --------------------------------------------------------------------------------------------------------


def test_choice_weights_are_those_of_the_logit():
    user = crowd(SCENARIO)[0]
    user.last, user.history_items[0] = 4, 4
    dynamics.index(user)
    user.slate[:] = [3, 3, 0, 4, 12, 1, 3, 0, 7, 8]
    dynamics.feel(P, user, ITEMS)
    total = dynamics.weigh(P, user, ITEMS)
    assert total == pytest.approx(user.weight.sum())
    assert (user.weight > 0).tolist() == [True, False, False, True, True, True, False, False, True, True]
    chances = np.append(user.weight, math.exp(P.choice_nothing)) / (total + math.exp(P.choice_nothing))
    np.testing.assert_allclose(chances, choice_chances(P, user), rtol=1e-9)


def test_position_discount_is_a_power_of_the_slot():
    p = record(SCENARIO.with_overrides({"choice.position": 0.7}))
    np.testing.assert_allclose(p.position, np.arange(1, K + 1) ** -0.7)
    weights = []
    for slot in range(K):
        user = crowd(SCENARIO)[0]
        user.slate[:] = 0
        user.slate[slot] = 6
        dynamics.feel(p, user, ITEMS)
        weights.append(dynamics.weigh(p, user, ITEMS))
    np.testing.assert_allclose(np.array(weights) / weights[0], np.arange(1, K + 1) ** -0.7)


def test_choices_come_as_often_as_the_logit_says():
    users = crowd(SCENARIO, MANY)
    users["slate"][:, 3], users["slate"][:, 7] = 1, 0  # a duplicate and an empty slot
    p = params(choice_nothing=1.5)
    expected = choice_chances(p, users[0])
    read(p, users)
    counts = np.bincount(np.where(users["choice"] == NOTHING, K, users["choice"]), minlength=K + 1)
    assert counts[3] == counts[7] == 0
    real = expected > 0
    assert stats.chisquare(counts[real], MANY * expected[real]).pvalue > 0.01


def test_an_empty_slate_is_never_opened():
    users = crowd(SCENARIO, 100)
    users["slate"] = 0
    assert read(params(choice_nothing=-20.0), users).max() == 0.0
    assert (users["choice"] == NOTHING).all()


# --- dwell, satisfaction, fatigue ----------------------------------------------------------------------------------


def test_completion_follows_its_formula_and_distribution():
    users = crowd(SCENARIO, MANY)
    users["slate"][:, 1:] = 0
    utility = utilities(P, users[0])[1]
    minutes = read(params(choice_nothing=-20.0), users)
    noise = np.log(users["completion"] / (1 - users["completion"])) - P.dwell_base - P.dwell_utility * utility
    assert stats.kstest(noise / P.dwell_noise, "norm").pvalue > 0.01
    np.testing.assert_allclose(minutes, users["completion"] * ITEMS["minutes"][1])


@given(st.integers(1, 12), st.integers(0, 2**31), st.floats(0.0, 3.0))
def test_completion_rises_with_utility(item, who, less):
    user = crowd(SCENARIO)[0]
    user.id = who
    dynamics.feel(P, user, ITEMS)
    completion = dynamics.watch(P, user, ITEMS, item)
    assert 0.0 < completion < 1.0
    user.mood[:] += less  # topics sum to 1, so that utility rises by as much
    higher = dynamics.watch(P, user, ITEMS, item)
    gain = math.log(higher / (1 - higher)) - math.log(completion / (1 - completion))
    assert gain == pytest.approx(P.dwell_utility * less, abs=1e-5)


@pytest.mark.parametrize("item", [0, 3, 8])
def test_satisfaction_moves_a_share_towards_the_verdict(item):
    user = crowd(SCENARIO)[0]
    user.satisfaction = 0.6
    it = ITEMS[item]
    promise = P.satisfaction_base + P.satisfaction_substance * it["substance"] - P.satisfaction_appeal * it["appeal"]
    verdict = expit(promise) if item else -P.satisfaction_skip
    dynamics.judge(P, user, ITEMS, item)
    assert user.satisfaction == pytest.approx(0.6 + P.satisfaction_rate * (verdict - 0.6))


def test_fatigue_skips_time_and_history_after_a_slate():
    p = params(leave_beta_a=1.0)
    users = crowd(SCENARIO, 2000)
    users["leave_logit"] = -50.0  # nobody leaves
    users["skips"], users["fatigue"], users["session_minutes"], users["depth"] = 2, 7.0, 9.0, 4
    before = users.copy()
    minutes = read(p, users)
    chose = users["choice"] != NOTHING
    assert 200 < chose.sum() < 1800
    elapsed = np.where(chose, minutes, p.time_glance)
    item = np.where(chose, before["slate"][np.arange(2000), users["choice"]], 0)
    np.testing.assert_allclose(users["fatigue"], 7.0 + np.where(chose, minutes, p.fatigue_skip))
    np.testing.assert_allclose(users["session_minutes"], 9.0 + elapsed)
    np.testing.assert_allclose(users["clock"], before["clock"] + elapsed / 1440, rtol=1e-12)
    np.testing.assert_array_equal(users["skips"], np.where(chose, 0, 3))
    np.testing.assert_array_equal(users["last"], item)
    np.testing.assert_array_equal(users["history_items"][:, 0], item)
    np.testing.assert_array_equal(users["history_time"][:, 0], np.where(chose, users["clock"], 0))
    assert (users["depth"] == 5).all()
    assert not users["left"].any()
    slate = np.where(np.arange(K) == users["choice"][:, None], 1.0, p.satiation_seen)
    kept = before["satiation"] * np.exp(-elapsed / 1440 / users["recovery"])[:, None]
    np.testing.assert_allclose(users["satiation"], kept + slate @ ITEMS["topics"][before["slate"][0]], rtol=1e-9)


def test_pace_makes_time_independent_of_what_is_read():
    users = crowd(SCENARIO, 500)
    users["leave_logit"] = -50.0
    read(params(time_pace=3.0), users)
    assert set(users["clock"]) == {2.4 + 3.0 / 1440}
    assert len(set(users["choice"])) > 1


# --- leaving, churn, gaps ------------------------------------------------------------------------------------------

CASES = [{}, {"fatigue": 55.0}, {"satisfaction": 0.9}, {"skips": 2}, {"skips": 9}, {"leave_logit": 0.7}]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_sessions_end_as_often_as_the_hazard_says(case):
    users = crowd(SCENARIO, MANY)
    state = {"leave_logit": -1.2, "fatigue": 12.0, "satisfaction": 0.3, "skips": 0} | case
    for field, value in state.items():
        users[field] = value
    hazard = expit(
        state["leave_logit"]
        + P.leave_fatigue * (state["fatigue"] - P.leave_fatigue_pivot) / 10
        - P.leave_satisfaction * (state["satisfaction"] - P.leave_satisfaction_pivot)
        + P.leave_skips * min(state["skips"], 3)
    )
    left = sum(dynamics.leaves(P, user) for user in users)
    assert stats.binomtest(left, MANY, hazard).pvalue > 0.01


@pytest.mark.parametrize(("trust", "visits"), [(0.4, 0.0), (0.1, 0.0), (0.4, -0.8), (0.7, 0.5)])
def test_users_churn_as_often_as_trust_and_visit_rate_say(trust, visits):
    users = crowd(SCENARIO, MANY)
    users["trust"], users["visit_rate"] = trust, visits
    hazard = expit(P.churn_base - P.churn_trust * (trust - P.churn_trust_pivot) - P.churn_visits * visits)
    gone = sum(dynamics.churns(P, user) for user in users)
    assert stats.binomtest(gone, MANY, hazard).pvalue > 0.01


def active(p, chronotype, clock):
    """Activity [days] up to a clock, counted in the user's own day: the oracle of `after_waking`."""
    local = clock - chronotype / 24
    day = np.floor(local)
    passed = np.append(0.0, np.cumsum(p.hours))
    return day + np.interp((local - day) * 24, np.arange(25), passed) / 24


def test_gaps_are_log_normal_once_the_day_night_warp_is_undone():
    p = params(churn_base=-20.0, horizon_days=3650.0)
    users = crowd(SCENARIO, MANY)
    users["leave_logit"], users["visit_rate"], users["chronotype"] = 50.0, 0.3, 2.5
    users["satisfaction"] = users["trust"] = 0.7
    read(p, users)
    assert users["left"].all()
    assert (users["status"] == ACTIVE).all()
    worked = active(p, 2.5, users["clock"]) - active(p, 2.5, users["clock"] - users["gap"])
    location = p.gap_location - 0.3 - p.gap_trust * (users["trust"] - p.churn_trust_pivot)
    assert stats.kstest((np.log(worked) - location) / p.gap_scale, "norm").pvalue > 0.01
    assert len(np.unique(users["trust"])) > 2


def test_returns_follow_the_hours_of_activity():
    p = params(churn_base=-20.0, horizon_days=3650.0, gap_location=3.0)
    users = crowd(SCENARIO, MANY)
    users["leave_logit"] = 50.0
    read(p, users)
    hour = (users["clock"] % 1.0 * 24).astype(int)
    assert stats.chisquare(np.bincount(hour, minlength=24), MANY * p.hours / 24).pvalue > 0.01


@given(st.floats(0.0, 40.0), st.floats(-12.0, 12.0), st.floats(0.0, 10.0), st.floats(0.0, 10.0))
def test_waking_time_adds_up_and_never_runs_backwards(clock, chronotype, a, b):
    between = dynamics.after_waking(P, chronotype, clock, a)
    after = dynamics.after_waking(P, chronotype, between, b)
    assert clock <= between <= after
    assert dynamics.after_waking(P, chronotype, clock, a + b) == pytest.approx(after, abs=1e-9)
    assert active(P, chronotype, between) - active(P, chronotype, clock) == pytest.approx(a, abs=1e-9)


@given(st.floats(0.0, 40.0), st.floats(-12.0, 12.0), st.floats(0.0, 30.0))
def test_waking_time_is_plain_time_when_all_hours_are_alike(clock, chronotype, gap):
    flat = params(hours=np.ones(24))
    assert dynamics.after_waking(flat, chronotype, clock, gap) == pytest.approx(clock + gap, abs=1e-9)


def test_waking_time_holds_where_a_local_day_is_about_to_begin():
    for form in (dynamics.after_waking, dynamics.after_waking.py_func):
        for clock in (-1e-17, 3.0, np.nextafter(3.0, 0.0)):
            assert form(P, 0.0, clock, 0.0) == pytest.approx(clock, abs=1e-12)


def test_the_draws_of_one_slate_are_independent_of_each_other():
    still = [
        "leave_satisfaction",
        "leave_fatigue",
        "leave_skips",
        "churn_base",
        "churn_trust",
        "churn_visits",
        "gap_trust",
    ]
    p = params(horizon_days=3650.0, choice_nothing=1.0, dwell_utility=0.0, **dict.fromkeys(still, 0.0))
    users = crowd(SCENARIO, MANY)
    users["leave_logit"], users["slate"][:, 1:] = 0.0, 1
    read(p, users)
    chose, left = users["choice"] != NOTHING, users["left"] == 1
    back = left & (users["status"] == ACTIVE)
    dwell = (np.log(users["completion"][chose] / (1 - users["completion"][chose])) - p.dwell_base) / p.dwell_noise
    worked = active(p, 0.0, users["clock"]) - active(p, 0.0, users["clock"] - users["gap"])
    gap = (np.log(worked[back]) - p.gap_location) / p.gap_scale
    # Each draw has its distribution whatever came of the others.
    for some in (left[chose], ~left[chose], back[chose], (left & ~back)[chose]):
        assert stats.kstest(dwell[some], "norm").pvalue > 0.005
    assert stats.kstest(gap, "norm").pvalue > 0.005
    for group, outcome in ((chose, left), (~chose, left), (left, back), (left & chose, back)):
        assert stats.binomtest(int((group & outcome).sum()), int(group.sum()), 0.5).pvalue > 0.005
    both = chose & back
    for power in (1, 2):
        found = stats.spearmanr(dwell[back[chose]] ** power, gap[chose[back]] ** power)[0]
        assert abs(found) < 4 / np.sqrt(both.sum())


def test_trust_moves_a_share_towards_the_satisfaction_of_the_session():
    user = crowd(SCENARIO)[0]
    user.trust, user.satisfaction = 0.5, 0.1
    dynamics.part(params(churn_base=-20.0), user)
    assert user.trust == pytest.approx(0.5 + P.trust_rate * (0.1 - 0.5))


def test_a_new_session_starts_fresh_and_recovered():
    p = params(churn_base=-20.0, horizon_days=3650.0)
    user = crowd(SCENARIO)[0]
    user.fatigue, user.depth, user.skips, user.last, user.session_minutes = 30.0, 6, 2, 5, 40.0
    before = user.copy()
    dynamics.part(p, user)
    assert (user.fatigue, user.depth, user.skips, user.last, user.session_minutes) == (0.0, 0, 0, 0, 0.0)
    assert user.session == before["session"] + 1
    assert user.left == 1
    assert user.satisfaction == user.trust
    assert user.clock == before["clock"] + user.gap > before["clock"]
    recovered = before["satiation"] * math.exp(-user.gap / user.recovery)
    np.testing.assert_allclose(user.satiation, recovered, rtol=1e-12)


def test_churn_ends_a_life_where_it_stands():
    user = crowd(SCENARIO)[0]
    dynamics.part(params(churn_base=20.0), user)
    assert (user.status, user.clock, user.session, user.left) == (CHURNED, 2.4, 3, 1)


def test_the_horizon_ends_a_life_between_sessions_and_within_one():
    away = crowd(SCENARIO)[0]
    dynamics.part(params(churn_base=-20.0, horizon_days=2.4 + 1e-9), away)
    assert (away.status, away.clock) == (HORIZON, 2.4 + 1e-9)
    users = crowd(SCENARIO, 50)
    users["leave_logit"] = 50.0
    read(params(horizon_days=2.4 + 1e-9), users)
    assert (users["status"] == HORIZON).all()
    assert not users["left"].any()  # the horizon comes before the question whether to leave
    after = users.copy()
    assert read(P, users).max() == 0.0  # who has finished reads nothing
    np.testing.assert_array_equal(users, after)


# --- drift, arrival ------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0.01, 5.0), min_size=1, max_size=6), seeds)
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


def test_a_month_of_drift_turns_taste_as_stated():
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
    p = params(time_pace=3.0, taste_drift=0.3, churn_base=-20.0, **unmoved)
    users = crowd(SCENARIO, 60)
    users["leave_logit"] = 0.0
    users["slate"][30:] = 0
    users["id"][30:] = users["id"][:30]
    for _ in range(20):
        read(p, users)
    assert users["day"].max() > 10
    assert (users["choice"][:30] != users["choice"][30:]).any()
    np.testing.assert_array_equal(users["taste"][:30], users["taste"][30:])


def test_a_person_arrives_with_their_past(world):
    users = np.zeros(40, crowd(SCENARIO).dtype)
    users["id"], users["fatigue"], users["history_items"] = np.arange(40), 9.0, 7
    _begin_all(as_array(P), world.items, world.people, users, np.arange(40), 0)
    people = world.people[:40]
    past = SCENARIO.shape.past
    assert ((users["clock"] >= 0) & (users["clock"] < 1)).all()
    np.testing.assert_array_equal(users["history_items"][:, :past], people["past_items"])
    np.testing.assert_array_equal(users["history_items"][:, past:], 0)
    np.testing.assert_allclose(users["clock"][:, None] - users["history_time"][:, :past], people["past_age"])
    left = np.exp(-people["past_age"] / people["recovery"][:, None])
    expected = np.einsum("up,upg->ug", left, world.items["topics"][people["past_items"]].astype(float))
    np.testing.assert_allclose(users["satiation"], expected, rtol=1e-9)
    assert (users["fatigue"] == 0).all()
    assert (users["trust"] == P.trust_start).all()
    assert (users["satisfaction"] == P.trust_start).all()


def test_first_hours_follow_the_hours_of_activity(world):
    users = np.zeros(MANY, crowd(SCENARIO).dtype)
    users["luck"] = np.arange(MANY)  # one person, many lucks
    _begin_all(as_array(P), world.items, world.people, users, np.arange(MANY), 0)
    local = (users["clock"] - world.people["chronotype"][0] / 24) % 1.0
    assert stats.chisquare(np.bincount((local * 24).astype(int), minlength=24), MANY * P.hours / 24).pvalue > 0.01

"""When users come: gaps between sessions and the first hour, against exact distributions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from longplay.envs.engine import _begin_lives
from longplay.envs.users.arithmetic import add_waking_days
from longplay.envs.users.records import ACTIVE, HORIZON
from longplay.tests.envs.worlds import as_array, crowd, hand_items, read, record, small

SCENARIO = small()
P = record(SCENARIO)
ITEMS = hand_items(SCENARIO)
MANY = 20_000
FLAT = np.ones(24)
COMING = {"churn_base": -20.0, "horizon_days": 3650.0}  # nobody churns, and the month has no end


def active(p, chronotype, clock):
    """Activity [days] up to a clock, counted in the user's own day: the integral of the hours."""
    local = clock - chronotype / 24
    day = np.floor(local)
    passed = np.append(0.0, np.cumsum(p.hours))
    return day + np.interp((local - day) * 24, np.arange(25), passed) / 24


def back(p, count=MANY, **fields):
    """Users who have just left and come back; and when they left."""
    users = crowd(SCENARIO, count)
    users["leave_logit"], users["slate"] = 50.0, 0
    for field, value in fields.items():
        users[field] = value
    left = users["clock"] + p.time_glance / 1440
    read(SCENARIO, p, users, ITEMS)
    assert users["left"].all()
    return users, left


def location(p, users):
    """Of the logarithm of the gap, from the definition."""
    return p.gap_location - users["visit_rate"] - p.gap_trust * (users["trust"] - p.churn_trust_pivot)


def test_log_gaps_are_normal_where_all_hours_are_alike():
    p = record(SCENARIO, hours=FLAT, **COMING)
    rng = np.random.default_rng(0)
    users, left = back(p, visit_rate=rng.normal(0, 0.4, MANY), satisfaction=rng.uniform(0, 1, MANY), chronotype=2.5)
    assert (users["status"] == ACTIVE).all()
    np.testing.assert_allclose(users["clock"], left + users["gap"], rtol=1e-12)
    assert len(np.unique(users["trust"])) > 1000
    noise = (np.log(users["gap"]) - location(p, users)) / p.gap_scale
    assert stats.kstest(noise, "norm").pvalue > 1e-4
    for trait in ("visit_rate", "trust"):
        assert abs(stats.spearmanr(noise, users[trait])[0]) < 4 / np.sqrt(MANY)


@pytest.mark.parametrize("chronotype", [-7.0, 0.0, 2.5])
def test_gaps_follow_the_exact_distribution_under_day_and_night(chronotype):
    """P(gap <= g) = Φ((ln activity within g − location)/scale), whatever the hour at which the user leaves."""
    p = record(SCENARIO, gap_location=-1.0, **COMING)
    users, left = back(p, visit_rate=0.3, chronotype=chronotype)
    assert len(np.unique(users["trust"])) == 1
    start = active(p, chronotype, left[0])

    def cdf(gap):
        with np.errstate(divide="ignore"):
            return stats.norm.cdf(
                (np.log(active(p, chronotype, left[0] + gap) - start) - location(p, users)[0]) / p.gap_scale
            )

    assert stats.kstest(users["gap"], cdf).pvalue > 1e-4
    # Undone, the plain log-normal is found; not undone, it is not.
    plain = stats.norm(location(p, users)[0], p.gap_scale)
    worked = active(p, chronotype, users["clock"]) - active(p, chronotype, users["clock"] - users["gap"])
    assert stats.kstest(np.log(worked), plain.cdf).pvalue > 1e-4
    assert stats.kstest(np.log(users["gap"]), plain.cdf).pvalue < 1e-6


def test_returns_follow_the_hours_of_activity():
    users, _ = back(record(SCENARIO, gap_location=3.0, **COMING))
    hour = (users["clock"] % 1.0 * 24).astype(int)
    assert stats.chisquare(np.bincount(hour, minlength=24), MANY * P.hours / 24).pvalue > 1e-4


@pytest.mark.parametrize(("step", "hours"), [(1.0, P.hours), (2.0, P.hours), (0.25, FLAT), (1.0, FLAT)])
def test_gaps_are_whole_steps_rounded_up(step, hours):
    p = record(SCENARIO, gap_step=step, hours=hours, gap_location=0.2, gap_scale=0.6, **COMING)
    users, _ = back(p)
    steps = users["gap"] / step
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
    steps = np.round(steps).astype(int)
    assert steps.min() >= 1
    upper = stats.norm.cdf((np.log(step * np.arange(1, steps.max() + 1)) - location(p, users)[0]) / p.gap_scale)
    expected = MANY * np.diff(upper, prepend=0.0)
    counts = np.bincount(steps, minlength=len(upper) + 1)[1:]
    common = expected >= 5
    found = np.append(counts[common], counts[~common].sum())
    assert stats.chisquare(found, np.append(expected[common], MANY - expected[common].sum())).pvalue > 1e-4


@pytest.mark.parametrize("step", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("location", [-60.0, 30.0, 44.0, 60.0, 90.0])
def test_a_gap_of_any_size_is_never_negative_and_one_too_long_ends_the_life(step, location):
    """Regression: of a gap of e^44 days the whole days fit no integer, and the user was back at once."""
    p = record(SCENARIO, gap_step=step, gap_location=location, churn_base=-20.0)
    users, left = back(p, 200)
    if location > 0 or step == 30.0:
        assert (users["status"] == HORIZON).all()
        assert (users["clock"] == p.horizon_days).all()
    else:
        assert (users["status"] == ACTIVE).all()
        assert (users["clock"] >= left).all()
        np.testing.assert_allclose(users["clock"] - left, step, atol=1e-9)


@given(st.floats(0.0, 40.0), st.floats(-12.0, 12.0), st.floats(0.0, 10.0), st.floats(0.0, 10.0))
def test_waking_time_adds_up_and_never_runs_backwards(clock, chronotype, a, b):
    between = add_waking_days(P, chronotype, clock, a)
    after = add_waking_days(P, chronotype, between, b)
    assert clock <= between <= after
    assert add_waking_days(P, chronotype, clock, a + b) == pytest.approx(after, abs=1e-9)
    assert active(P, chronotype, between) - active(P, chronotype, clock) == pytest.approx(a, abs=1e-9)


def test_waking_time_holds_where_a_local_day_is_about_to_begin():
    for form in (add_waking_days, add_waking_days.py_func):
        for clock in (-1e-17, 3.0, np.nextafter(3.0, 0.0)):
            assert form(P, 0.0, clock, 0.0) == pytest.approx(clock, abs=1e-12)


# --- the first session ---------------------------------------------------------------------------------------------


def arrivals(world, p, person=0):
    """First clocks of one person under many lucks, and the same in their own day."""
    users = np.zeros(MANY, crowd(SCENARIO).dtype)
    users["luck"], users["id"] = np.arange(MANY), person
    _begin_lives(as_array(p), world.items, world.people, users, np.arange(MANY), 0)
    assert ((users["clock"] >= 0) & (users["clock"] < 1)).all()
    return users["clock"], (users["clock"] - world.people["chronotype"][person] / 24) % 1.0


def test_first_hours_follow_the_hours_of_activity(world):
    for person in np.argsort(world.people["chronotype"])[[0, -1]]:
        _, local = arrivals(world, P, person)
        assert stats.chisquare(np.bincount((local * 24).astype(int), minlength=24), MANY * P.hours / 24).pvalue > 1e-4


@pytest.mark.parametrize("share", [0.25, 0.6])
def test_first_sessions_spread_over_their_share_of_the_waking_day(world, share):
    p = record(SCENARIO, day_arrival=share)
    _, local = arrivals(world, p)
    assert stats.kstest(active(p, 0.0, local), stats.uniform(0, share).cdf).pvalue > 1e-4


def test_without_a_share_everybody_arrives_at_their_own_midnight(world):
    clock, _ = arrivals(world, record(SCENARIO, day_arrival=0.0))
    assert len(set(clock)) == 1
    assert clock[0] == pytest.approx(world.people["chronotype"][0] / 24 % 1.0)


@pytest.mark.parametrize("habit", [0.4, 0.9])
def test_habit_pulls_gaps_to_whole_days_and_leaves_the_same_day_alone(habit):
    """The same luck with and without: each gap above half a day is moved by the map of the circle, no other."""
    plain = back(record(SCENARIO, hours=FLAT, **COMING))[0]["gap"]
    gaps = back(record(SCENARIO, hours=FLAT, gap_habit=habit, **COMING))[0]["gap"]
    long = plain > 0.5
    assert 0.05 < long.mean() < 0.95
    # A gap is the difference of two clocks, so it has fewer digits than they.
    np.testing.assert_allclose(gaps[~long], plain[~long], atol=1e-12)
    np.testing.assert_allclose(gaps[long], (plain - habit / (2 * np.pi) * np.sin(2 * np.pi * plain))[long], atol=1e-10)
    assert (np.diff(gaps[np.argsort(plain)]) > -1e-10).all()
    # In theory (1 + h)/(1 − h) times as dense at whole days as at half days; here in a tenth of a day around each.
    phase = gaps[gaps > 1] % 1
    whole, half = (np.abs(phase - 0.5) > 0.45).mean(), (np.abs(phase - 0.5) < 0.05).mean()
    assert whole / half > 0.6 * (1 + habit) / (1 - habit) if habit < 0.5 else whole / half > 5

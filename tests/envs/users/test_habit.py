"""Habit: it grows by visits that were worth it, never beyond 1, fades while the user is away, and shortens gaps."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from longplay.envs.env import SlateVectorEnv
from longplay.envs.users.constants import ScenarioError
from longplay.envs.users.records import ACTIVE
from longplay.envs.users.world import build_world
from longplay.tests.assertions import assert_same
from longplay.tests.envs.worlds import content, crowd, hand_items, make_catalog, read, record, remembering, small

SCENARIO = small(habit__gap=1.5, habit__rate=0.3, habit__recovery=6.0)
ITEMS = hand_items(SCENARIO)
FLAT = np.ones(24)
COMING = {"churn_base": -20.0, "horizon_days": 3650.0}  # nobody churns, and the month has no end
EVEN = record(SCENARIO, hours=FLAT, **COMING)


def visit(p, count=1, **fields):
    """Users whose session ends with this slate, of nothing, and who have come back."""
    users = crowd(SCENARIO, count)
    users["leave_logit"], users["slate"] = 50.0, 0
    for field, value in fields.items():
        users[field] = value
    read(SCENARIO, p, users, ITEMS)
    assert (users["status"] == ACTIVE).all()
    return users


@given(st.floats(0.0, 1.0), st.floats(-1.0, 1.0))
def test_a_session_moves_it_by_its_satisfaction_and_time_away_takes_from_it(habit, satisfaction):
    p = record(SCENARIO, hours=FLAT, satisfaction_rate=0.0, **COMING)  # the last slate moves nothing
    (user,) = visit(p, habit=habit, satisfaction=satisfaction)
    grown = habit + p.habit_rate * max(satisfaction, 0.0) * (1.0 - habit)
    assert user["habit"] == pytest.approx(grown * math.exp(-user["gap"] / p.habit_recovery), rel=1e-9, abs=1e-12)
    assert 0.0 <= user["habit"] <= 1.0


def test_it_shortens_gaps_by_the_exact_distribution():
    rng = np.random.default_rng(0)
    habit, satisfaction = rng.random(20_000), rng.uniform(0, 1, 20_000)
    p = record(SCENARIO, hours=FLAT, satisfaction_rate=0.0, **COMING)
    users = visit(p, 20_000, habit=habit, satisfaction=satisfaction)
    grown = habit + p.habit_rate * satisfaction * (1.0 - habit)
    location = p.gap_location - p.gap_trust * (users["trust"] - p.churn_trust_pivot) - p.habit_gap * grown
    noise = (np.log(users["gap"]) - location) / p.gap_scale
    assert stats.kstest(noise, "norm").pvalue > 1e-4
    assert stats.spearmanr(users["gap"], habit)[0] < -0.1


def test_it_stays_bounded_however_good_and_often_visits_are():
    p = record(SCENARIO, hours=FLAT, gap_location=-8.0, satisfaction_rate=0.0, **COMING)
    users = crowd(SCENARIO, 50)
    users["leave_logit"], users["slate"] = 50.0, 0
    for _ in range(200):
        users["satisfaction"] = 1.0
        read(SCENARIO, p, users, ITEMS)
    assert (users["habit"] > 0.95).all()
    assert (users["habit"] <= 1.0).all()


def test_where_there_are_none_nothing_of_them_is_kept():
    (user,) = visit(record(small(), hours=FLAT, habit_rate=1.0, **COMING), satisfaction=1.0)
    assert user["habit"] == 0.0
    env = SlateVectorEnv(build_world(make_catalog(300), remembering()), 5, privileged=True)
    assert "habit" not in env.reset(seed=1)[1]["latent"]


def test_newcomers_have_none_and_a_saved_state_keeps_it():
    world = build_world(make_catalog(300), remembering(habit__gap=1.5, habit__rate=0.3, shape__users=400))
    env, other = (SlateVectorEnv(world, 20, autoreset_mode="Disabled", privileged=True) for _ in range(2))
    _, info = env.reset(seed=1)
    assert not info["latent"]["habit"].any()
    slates = np.random.default_rng(0).integers(0, 301, (60, 20, 10))
    for slate in slates[:30]:
        env.step(slate)
    assert env.engine.users["habit"].std() > 0.01
    other.reset(seed=2)
    other.load_state(env.save_state())
    assert content(other.engine.users) == content(env.engine.users)
    for slate in slates[30:]:
        assert_same(other.step(slate), env.step(slate))


@pytest.mark.parametrize("key", ["gap", "rate"])
def test_what_is_not_allowed_is_refused(key):
    with pytest.raises(ScenarioError, match=rf"habit\.{key} = -1\.0 is out of range"):
        small(**{f"habit__{key}": -1.0})

"""The memory: what ignored impressions and repeats do to pulls, how it fades, and what it drops when a row is full."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longplay.envs.engine import _read_slates
from longplay.envs.env import SlateVectorEnv
from longplay.envs.single import SlateEnv
from longplay.envs.users.constants import BY_SESSION
from longplay.envs.users.memory import NEVER
from longplay.envs.users.records import ACTIVE, NOTHING, WAYS
from longplay.envs.users.world import build_world
from longplay.tests.assertions import assert_same
from longplay.tests.envs.users.oracles import Notes, chances, examined, pulls, read_notes
from longplay.tests.envs.worlds import (
    PLACES,
    aged,
    as_array,
    content,
    crowd,
    hand_items,
    read,
    record,
    remembering,
    scratch,
    small,
)

SCENARIO = remembering()
K = SCENARIO.shape.slate
MODELS = {model: remembering(choice__model=model, choice__position=0.2) for model in ("logit", "cascade", "position")}
ITEMS = hand_items(SCENARIO, 400)
ROWS = PLACES // WAYS
CROWDED = [
    [item for item in range(1, 401) if Notes(SCENARIO.params).row(item) == row][:12] for row in (0, 5)
]  # in two rows, so that both overflow
EVERY = [item for row in CROWDED for item in row]
# Nothing but the memory moves a pull: nobody opens anything, leaves or tires.
STILL = {
    "choice_nothing": 20.0,
    "satiation_seen": 0.0,
    "momentum_weight": 0.0,
    "time_glance": 0.01,
    "horizon_days": 3650.0,
}
P = record(SCENARIO, **STILL)

models = pytest.mark.parametrize("model", MODELS)
positions = st.lists(st.integers(0, K - 1), min_size=1, max_size=6)


def someone():
    """One user in the middle of a session, with nothing in mind."""
    users = crowd(SCENARIO)
    users["satiation"], users["leave_logit"] = 0.0, -50.0
    return users


def show(users, slots, days=0.0, p=P):
    """After some days the items stand in these slots, {slot: item}, and nothing in the others."""
    users["clock"] += days
    users["slate"] = [slots.get(k, 0) for k in range(K)]
    read(SCENARIO, p, users, ITEMS)


def log_pulls(users, items, p=P):
    """Logarithms of the pulls of items, now, by showing them to a copy of the user."""
    work, found = np.array([scratch(SCENARIO)]), []
    for start in range(0, len(items), K):
        copy, shown = users.copy(), items[start : start + K]
        slate = np.array([[*shown, *[0] * (K - len(shown))]])
        _read_slates(as_array(p), work, ITEMS, copy, slate, np.zeros(1))
        found += (work["weight"][0] / p.position)[: len(shown)].tolist()  # of a logit
    return np.log(found)


# --- one more ignored impression ------------------------------------------------------------------------------------

ignored_slates = st.lists(
    st.tuples(st.floats(0, 4), st.lists(st.sampled_from(EVERY), unique=True, min_size=1, max_size=K)),
    max_size=8,
)


@given(ignored_slates, st.sampled_from(EVERY), st.integers(0, K - 1), st.floats(0, 4))
def test_one_more_ignored_impression_lowers_that_items_pull_and_touches_no_other(slates, item, slot, days):
    """But for the most faded entry of a full row, which is dropped, so that its item pulls as if never shown."""
    users, every = someone(), EVERY
    fresh = log_pulls(users, every)
    for gap, shown in slates:
        show(users, dict(enumerate(shown)), gap)
    users["clock"] += days
    later = users.copy()
    show(later, {slot: item})
    users["clock"] = later["clock"]  # both are asked at the same moment
    before, after = log_pulls(users, every), log_pulls(later, every)
    own = every.index(item)
    assert after[own] < before[own]
    known = read_notes(users[0])
    changed = [other for other in np.flatnonzero(after != before) if other != own]
    row = [other for other in known if known[other][0] == Notes(P).row(item)]
    if item in known or len(row) < WAYS:
        assert not changed
    else:
        dropped = min(row, key=lambda other: known[other][2])
        assert dropped not in read_notes(later[0])
        assert [every[other] for other in changed] == [dropped] * len(changed)  # nothing was left of it, or all is back
        assert after[every.index(dropped)] == pytest.approx(fresh[every.index(dropped)], abs=1e-12)
    assert after[own] >= before[own] - P.impression_weight * math.log(2.0) - 1e-6  # n grows by at most 1


@given(st.lists(st.tuples(st.floats(0, 9), st.integers(0, K - 1)), min_size=1, max_size=6), st.lists(st.floats(0, 9)))
def test_recovery_is_exact_over_any_split_of_time(impressions, waits):
    """What is left is the sum of what each impression left, to the digits in which counts and times are kept."""
    users, seen = someone(), []
    fresh = log_pulls(users, [7])[0]
    for days, slot in impressions:
        show(users, {slot: 7}, days)
        seen.append((users["clock"][0], P.position[slot]))
    whole = users.copy()
    for days in waits:
        users["clock"] += days
        log_pulls(users, [7])  # to be asked changes nothing
    whole["clock"] += math.fsum(waits)
    now = users["clock"][0]
    left = math.fsum(share * math.exp((when - now) / P.impression_recovery) for when, share in seen)
    for found in (users, whole):
        fall = fresh - log_pulls(found, [7])[0]
        assert fall == pytest.approx(P.impression_weight * math.log1p(left), rel=2e-5, abs=1e-9)


@given(st.lists(st.tuples(st.floats(0, 90), st.integers(0, K - 1)), min_size=1, max_size=9))
def test_until_the_session_ends_counts_are_whole_where_they_fade_by_session(impressions):
    """However long it takes; slots that are looked at in full count 1."""
    p = record(SCENARIO, **STILL, impression_fade=BY_SESSION)
    p.position[:] = 1.0
    users = someone()
    fresh = log_pulls(users, [7], p)[0]
    for days, slot in impressions:
        show(users, {slot: 7}, days, p)
    fall = fresh - log_pulls(users, [7], p)[0]
    assert fall == pytest.approx(p.impression_weight * math.log1p(len(impressions)), rel=1e-6)


def test_when_a_session_ends_what_was_ignored_is_forgotten_and_what_was_consumed_is_not(catalog):
    world = build_world(catalog, SCENARIO.with_overrides({"impression.fade": "session", "choice.nothing": 1.0}))
    env = SlateVectorEnv(world, 40, autoreset_mode="Disabled")
    env.reset(seed=2)
    rng, users, back = np.random.default_rng(0), env.engine.users, 0
    for _ in range(60):
        before = users["session"].copy()
        env.step(rng.integers(1, 61, (40, K)))
        for user in users[users["session"] > before]:
            back += 1
            notes = read_notes(user)
            assert all(trace == NEVER != consumed for _, _, trace, consumed in notes.values())
            assert set(user["history_items"].tolist()) - {0} <= set(notes)
        assert (users["memory_trace"][users["depth"] > 0] != NEVER).any()
    assert back > 20


@given(st.lists(st.floats(0, 90), min_size=1, max_size=4), st.integers(0, 3))
def test_the_penalty_of_a_repeat_fades_since_the_item_was_consumed_last(waits, ignored):
    opened = record(SCENARIO, **STILL | {"choice_nothing": -20.0})
    users = someone()
    users["sensitivity"] = 0.0
    fresh = log_pulls(users, [7, 8])
    show(users, {2: 7}, p=opened)
    assert users["choice"][0] == 2
    when = users["clock"][0]
    for _ in range(ignored):
        show(users, {0: 7})
    for days in waits:
        users["clock"] += days
    now = users["clock"][0]
    fall = P.repeat_penalty * math.exp((when - now) / P.repeat_recovery)
    left = sum(math.exp((when - now) / P.impression_recovery) for _ in range(ignored))
    fall += P.impression_weight * math.log1p(left)
    found = fresh - log_pulls(users, [7, 8])
    assert found[0] == pytest.approx(fall, rel=2e-5)
    assert found[1] == 0.0
    if not ignored:  # by how much it is liked, completion depends; by how often it was passed over, it does not
        assert (users["memory_trace"] == NEVER).all()


def test_what_is_consumed_takes_no_place_where_repeats_do_not_recover(catalog):
    """It would push out what was ignored, and nothing would ask for it."""
    world = build_world(catalog, remembering(repeat__recovery=0.0, choice__nothing=0.0))
    env = SlateVectorEnv(world, 20)
    env.reset(seed=0)
    assert not env.engine.users["memory_item"].any()
    clicks = sum((env.step(np.tile(np.arange(1, K + 1), (20, 1)))[4]["choice"] >= 0).sum() for _ in range(10))
    assert clicks > 20
    assert (env.engine.users["memory_consumed"] == NEVER).all()
    assert env.engine.users["memory_item"].any()


@models
def test_ignored_impressions_leave_utility_and_so_completion_as_they_are(model):
    scenario = MODELS[model]
    users, work = crowd(scenario, 2), np.array([scratch(scenario)])
    utilities = []
    for user in (users[:1], users[1:]):
        _read_slates(as_array(record(scenario)), work, ITEMS, user, user["slate"].astype(np.int64), np.zeros(1))
        utilities.append(work["utility"][0].copy())
        row = np.array([Notes(scenario.params).row(int(item)) for item in users["slate"][1]])
        way = np.array([np.sum(row[:k] == row[k]) for k in range(K)])
        users["memory_item"][1, row, way] = users["slate"][1]
        users["memory_trace"][1, row, way] = math.log(3.0) + 2.4 / scenario.params.impression_recovery
    np.testing.assert_array_equal(*utilities)


def test_what_is_shown_again_and_again_is_clicked_less_and_less_until_it_has_been_away():
    users, slate = someone(), list(range(1, K + 1))
    other, chance = list(range(11, 11 + K)), []
    for _ in range(6):
        weight = np.exp(log_pulls(users, slate)) * P.position
        chance.append(weight.sum() / (math.exp(3.0) + weight.sum()))
        show(users, dict(enumerate(slate)))
    assert (np.diff(chance) < 0).all()
    assert chance[5] < 0.7 * chance[0]
    np.testing.assert_array_equal(log_pulls(users, other), log_pulls(someone(), other))
    users["clock"] += 60.0
    np.testing.assert_allclose(log_pulls(users, slate), log_pulls(someone(), slate), atol=1e-6)


# --- how far a slot was examined ------------------------------------------------------------------------------------


@models
@pytest.mark.parametrize("nothing", [-1.0, 2.0])
def test_a_slot_counts_by_the_chance_that_it_was_reached_given_what_was_chosen(model, nothing):
    """Against all walks of a user through the slate, listed one by one."""
    scenario = MODELS[model]
    p, users = record(scenario, choice_nothing=nothing, horizon_days=3650.0), crowd(scenario, 300)
    users["slate"] = [4, 9, 0, 9, 2, 11, 3, 8, 1, 6]  # a copy and an empty slot
    users["trust"] = 0.7
    before = users.copy()
    read(scenario, p, users, ITEMS)
    weight = pulls(p, before[0], ITEMS, Notes(p))
    opens = nothing - p.choice_trust * (0.7 - p.churn_trust_pivot)
    assert len(set(users["choice"])) > 3
    for user in users:
        choice = int(user["choice"])
        share = examined(model, weight, 0.2, opens, choice)
        there = np.flatnonzero((weight > 0) & (share > 0) & (np.arange(K) != choice))
        known = read_notes(user)
        counted = {
            item: math.exp(trace - user["shown_time"][0] / p.impression_recovery)
            for item, (_, _, trace, _) in known.items()
            if trace != NEVER
        }
        assert counted == pytest.approx(
            dict(zip(before["slate"][0, there].tolist(), share[there], strict=True)), rel=1e-5
        )
        assert {item for item in known if known[item][3] != NEVER} == {user["history_items"][0]} - {0}
    if model == "cascade":
        assert share[0] == 1.0 > share[9] > 0 or choice != NOTHING


# --- against a dictionary -------------------------------------------------------------------------------------------


def live_beside(notes, world, users, before, model):
    """Let the dictionary read what the user has read; the user must remember the same."""
    p, user = world.scenario.params, users
    weight = pulls(p, before, world.items, notes)
    opens = p.choice_nothing - p.choice_trust * (before["trust"] - p.churn_trust_pivot)
    choice, item = int(user["choice"]), int(user["slate"][user["choice"]]) if user["choice"] != NOTHING else 0
    reading = user["minutes"] if item else p.time_glance
    now = before["clock"] + (p.time_pace + p.time_coupling * (reading - p.time_pace)) / 1440.0
    share = examined(model, weight, world.scenario.read_number("choice_position"), opens, choice)
    for k in np.flatnonzero((weight > 0) & (share > 0) & (np.arange(K) != choice)):
        notes.ignore(int(user["slate"][k]), now, share[k])
    if item:
        notes.consume(item, now, now)
    found = read_notes(user)
    assert {key: entry[:2] for key, entry in found.items()} == {
        key: (notes.row(key), entry[0]) for key, entry in notes.known.items()
    }
    expected = [
        (math.log(count) + touched / p.impression_recovery if count else NEVER, consumed)
        for _, count, touched, consumed in notes.known.values()
    ]
    np.testing.assert_allclose([found[key][2:] for key in notes.known], expected, rtol=2e-6, atol=2e-6)
    assert user["evicted"] == notes.evicted
    return chances(model, weight, world.scenario.read_number("choice_position"), opens)


@models
def test_the_memory_is_a_dictionary_that_drops_what_has_faded_most(catalog, model):
    """Whole lives, from the past on; and what is chosen comes as often as the dictionary's pulls say."""
    world = build_world(catalog, MODELS[model].with_overrides({"choice.nothing": 2.5}))
    env = SlateVectorEnv(world, 6, autoreset_mode="Disabled")
    env.reset(seed=1)
    users, rng, expected, variance, clicks = env.engine.users, np.random.default_rng(0), 0.0, 0.0, 0
    notes = [Notes(world.scenario.params) for _ in users]
    for note, user in zip(notes, users, strict=True):
        person = world.people[user["id"]]
        for item, age in list(zip(person["past_items"].tolist(), person["past_age"].tolist(), strict=True))[::-1]:
            note.consume(item, user["clock"], user["clock"] - age)
    for step in range(90):
        slates = rng.integers(0, 301 if step % 3 else 60, (6, K))
        before = users.copy()
        before["slate"] = slates
        env.step(slates)
        for b in np.flatnonzero(before["status"] == ACTIVE):
            found = live_beside(notes[b], world, users[b], before[b], model).sum()
            expected, variance = expected + found, variance + found * (1 - found)
            clicks += users["choice"][b] != NOTHING
    assert abs(clicks - expected) < 4 * math.sqrt(variance)
    assert sum(note.evicted for note in notes) > 20
    assert clicks > 20


def test_a_new_life_begins_with_nothing_in_mind_but_the_past(catalog):
    world = build_world(catalog, SCENARIO)
    env, other = SlateVectorEnv(world, 20), SlateVectorEnv(world, 20)
    env.reset(seed=1)
    for slates in np.random.default_rng(0).integers(1, 301, (40, 20, K)):
        env.step(slates)
    assert env.engine.users["evicted"].any()
    env.reset(seed=2)
    other.reset(seed=2)
    assert content(env.engine.users) == content(other.engine.users)
    for user in other.engine.users:
        assert set(read_notes(user)) == set(world.people["past_items"][user["id"]].tolist())
        assert not user["shown"].any()


def test_items_are_spread_evenly_over_the_rows():
    counts = np.bincount([Notes(SCENARIO.params).row(item) for item in range(1, 20_001)], minlength=ROWS)
    assert counts.min() > 0.95 * counts.mean()
    assert counts.max() < 1.05 * counts.mean()


# --- where there is a memory and nothing that asks for it -----------------------------------------------------------

NEUTRAL = {"small": (small, {}), "cascade": (aged, {}), "position": (aged, {"choice__model": "position"})}


def live(world, steps=60):
    env = SlateVectorEnv(world, 40)
    env.reset(seed=4)
    rng, records = np.random.default_rng(0), []
    for _ in range(steps):
        env.step(rng.integers(0, 301, (40, K)))
        records.append(env.engine.users.copy())
    return np.array(records)


@pytest.mark.parametrize("kind", NEUTRAL)
def test_a_memory_that_weighs_nothing_changes_no_bit_of_a_life(catalog, kind):
    make, changes = NEUTRAL[kind]
    without = live(build_world(catalog, make(**changes)))
    found = live(build_world(catalog, make(**changes, impression__memory=PLACES)))
    kept = {"slates", "shown", "shown_time", "entered", "evicted"}
    for name in without.dtype.names:
        if name not in kept and not name.startswith("memory_"):
            np.testing.assert_array_equal(found[name], without[name], err_msg=name)
    assert (found["memory_trace"] != NEVER).any()
    assert (found["choice"] != NOTHING).sum() > 100


@models
def test_one_user_alone_is_one_of_a_batch(catalog, model):
    world, steps = build_world(catalog, MODELS[model].with_overrides({"horizon.days": 4})), 0
    slates = np.random.default_rng(0).integers(1, 60, (60, K))
    for slot in range(5):
        batch = SlateVectorEnv(world, 5, autoreset_mode="Disabled")
        env = SlateEnv(SlateVectorEnv(world, autoreset_mode="Disabled"))
        whole, found, over = batch.reset(seed=10)[0], env.reset(seed=10 + slot)[0], False
        for slate in slates:
            assert_same(found, {key: value[slot] for key, value in whole.items()})
            if over:
                break
            whole = batch.step(np.tile(slate, (5, 1)))[0]
            found, _, churned, horizon, _ = env.step(slate)
            over, steps = churned or horizon, steps + 1
    assert steps > 30

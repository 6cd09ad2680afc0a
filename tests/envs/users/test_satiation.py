"""Satiation and momentum: nothing consumed ever makes anything else more attractive through satiation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from longplay.envs.users import dynamics
from longplay.envs.users.constants import CASCADE, LINEAR, SATURATING
from longplay.envs.users.records import NOTHING, TOPICS_PER_ITEM
from longplay.tests.envs.worlds import crowd, hand_items, membership, read, record, scratch, small

SCENARIO = small()
P = record(SCENARIO)
ITEMS = hand_items(SCENARIO)
K, G = SCENARIO.shape.slate, SCENARIO.shape.topics
N = len(ITEMS) - 1
TOPICS = membership(ITEMS, G)
WORK = scratch(SCENARIO)

kinds = st.sampled_from([LINEAR, SATURATING])
exposures = arrays.arrays(np.float64, G, elements=st.floats(0, 300))
days = st.floats(0.0, 30.0)


@st.composite
def tables(draw):
    """Items with arbitrary non-negative topics: any shares of any topics, the same topic twice among them."""
    items = ITEMS.copy()
    shares = arrays.arrays(np.float32, (N, TOPICS_PER_ITEM), elements=st.floats(0, 1, width=32))
    numbers = arrays.arrays(np.uint8, (N, TOPICS_PER_ITEM), elements=st.integers(0, G - 1))
    items["share"][1:], items["topic"][1:] = draw(shares), draw(numbers)
    items.setflags(write=False)
    return items


def attractions(p, user, items=ITEMS):
    """U of each item, 1 to N."""
    dynamics.feel(p, WORK, user)
    return np.array([dynamics.attract(p, WORK, items, user, item) for item in range(1, N + 1)])


def utilities(p, user, items=ITEMS):
    """U of each item, 1 to N, from the definition."""
    topics = membership(items, G)[1:]
    sated = topics @ user["satiation"]
    if p.satiation_kind == SATURATING:
        sated = np.log(1 + sated)
    known = np.isin(np.arange(1, N + 1), user["history_items"][: int(p.repeat_memory)])
    return (
        p.taste_weight * items["taste"][1:].astype(float) @ user["taste"].astype(float)
        + p.momentum_weight * topics @ user["momentum"].astype(float)
        - user["sensitivity"] * sated
        - p.repeat_penalty * known
    )


def expose(p, user, choice, items=ITEMS):
    """The slate has been weighed, and slot `choice` is consumed."""
    dynamics.feel(p, WORK, user)
    dynamics.weigh(p, WORK, items, user)
    dynamics.expose(p, WORK, items, user, choice)


# --- what it does to attraction ------------------------------------------------------------------------------------


@given(kinds, exposures, tables())
def test_utility_is_taste_momentum_satiation_and_repeats(kind, satiation, items):
    user = crowd(SCENARIO)[0]
    p = record(SCENARIO, satiation_kind=kind)
    user.satiation[:] = satiation
    user.momentum[:] = np.linspace(0, 2, G)
    user.history_items[:3] = [5, 2, 9]
    dynamics.index_history(user)
    np.testing.assert_allclose(attractions(p, user, items), utilities(p, user, items), rtol=1e-9, atol=1e-9)


@given(kinds, exposures, exposures, tables(), st.floats(0, 10))
def test_more_satiation_never_raises_attraction(kind, satiation, more, items, sensitivity):
    user = crowd(SCENARIO)[0]
    user.satiation[:], user.sensitivity = satiation, sensitivity
    p = record(SCENARIO, satiation_kind=kind)
    before = attractions(p, user, items)
    user.satiation[:] += more
    after = attractions(p, user, items)
    rounding = 1e-12 * (1 + np.abs(before) + np.abs(after))
    assert (after <= before + rounding).all()
    added = membership(items, G)[1:] @ more
    sated = membership(items, G)[1:] @ satiation
    fall = added if kind == LINEAR else np.log1p(added / (1 + sated))
    np.testing.assert_allclose(before - after, sensitivity * fall, rtol=1e-6, atol=1e-7)


@given(kinds, tables(), st.integers(NOTHING, K - 1), exposures)
def test_nothing_consumed_or_seen_makes_anything_more_attractive_through_satiation(kind, items, choice, satiation):
    user = crowd(SCENARIO)[0]
    user.satiation[:] = satiation
    p = record(SCENARIO, satiation_kind=kind, momentum_weight=0.0)
    before = attractions(p, user, items)
    expose(p, user, choice, items)
    after = attractions(p, user, items)
    assert (after <= before + 1e-12 * (1 + np.abs(before))).all()
    if choice != NOTHING:
        consumed = user.slate[choice] - 1
        own = (membership(items, G)[consumed + 1] ** 2).sum()
        if own > 1e-3:  # what has a topic tires of itself
            assert after[consumed] < before[consumed]


def test_a_signed_kernel_would_fail_here():
    """The property above can fail: with a negative share, consuming one item attracts to another."""
    items = ITEMS.copy()
    items["topic"][1:], items["share"][1:] = np.arange(TOPICS_PER_ITEM), [0.5, 0.5, 0, 0]
    items["share"][2] = [-0.5, -0.5, 0, 0]
    user = crowd(SCENARIO)[0]
    p = record(SCENARIO, momentum_weight=0.0, satiation_seen=0.0)
    before = attractions(p, user, items)[1]
    expose(p, user, 0, items)
    assert attractions(p, user, items)[1] > before


@pytest.mark.parametrize("choice", [NOTHING, 2])
def test_exposure_is_one_for_the_item_consumed_and_little_for_those_seen(choice):
    items = ITEMS.copy()
    items["born"][8] = 1e6
    user = crowd(SCENARIO)[0]
    user.slate[:] = [1, 2, 3, 3, 0, 5, 8, 1, 9, 10]  # two copies, an empty slot, an item yet to come
    before = user.satiation.copy()
    expose(P, user, choice, items)
    there = np.array([1, 1, 1, 0, 0, 1, 0, 0, 1, 1])
    share = np.where(np.arange(K) == choice, 1.0, P.satiation_seen) * there
    np.testing.assert_allclose(user.satiation - before, share @ TOPICS[user.slate], rtol=1e-9, atol=1e-12)


def test_in_a_cascade_nothing_below_the_item_consumed_is_seen():
    p = record(SCENARIO, choice_model=CASCADE)
    for choice, looked_at in ((0, 1), (2, 3), (K - 1, K), (NOTHING, K)):
        user = crowd(SCENARIO)[0]
        before = user.satiation.copy()
        expose(p, user, choice)
        share = np.where(np.arange(K) == choice, 1.0, p.satiation_seen) * (np.arange(K) < looked_at)
        np.testing.assert_allclose(user.satiation - before, share @ TOPICS[user.slate], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("memory", "place", "penalised"), [(20, 19, True), (5, 4, True), (5, 5, False), (0, 0, False)])
@pytest.mark.parametrize("item", [3, 12])
def test_repeat_penalty_reaches_back_as_far_as_memory(memory, place, penalised, item):
    p = record(SCENARIO, repeat_memory=memory)
    user = crowd(SCENARIO)[0]
    before = attractions(p, user)
    user.history_items[place] = item
    dynamics.index_history(user)
    fall = np.where(np.arange(1, N + 1) == item, p.repeat_penalty * penalised, 0.0)
    np.testing.assert_allclose(before - attractions(p, user), fall, atol=1e-12)


@given(st.lists(st.integers(0, 300), min_size=20, max_size=20), st.integers(1, 300))
def test_the_residues_of_a_history_never_hide_an_item(history, item):
    user = crowd(SCENARIO)[0]
    user.history_items[:] = history
    dynamics.index_history(user)
    assert dynamics.remembers(P, user, item) == (item in history)


# --- recovery ------------------------------------------------------------------------------------------------------


@given(st.lists(days, min_size=1, max_size=6), st.floats(0.2, 5.0))
def test_recovery_is_exact_under_any_split_of_the_gap(gaps, recovery):
    users = crowd(SCENARIO, 2)
    users["recovery"] = recovery
    before = users["satiation"][0].copy()
    for gap in gaps:
        dynamics.fade(users[0], gap)
    dynamics.fade(users[1], math.fsum(gaps))
    # Each of the exponents rounds by half a unit in the last place of its own size.
    rtol = 1e-12 + 2.3e-16 * 2 * math.fsum(gaps) / recovery
    np.testing.assert_allclose(users["satiation"][0], users["satiation"][1], rtol=rtol, atol=1e-300)
    exact = before * np.exp(np.longdouble(-math.fsum(gaps)) / np.longdouble(recovery))
    np.testing.assert_allclose(users["satiation"][1], exact.astype(float), rtol=rtol, atol=1e-300)


# --- momentum ------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(NOTHING, K - 1), max_size=8), st.floats(0, 0.99))
def test_momentum_is_a_fading_trace_of_the_sessions_clicks(choices, persistence):
    user = crowd(SCENARIO)[0]
    p = record(SCENARIO, momentum_persistence=persistence)
    for choice in choices:
        expose(p, user, choice)  # a slate without a click leaves it as it is
    clicks = [int(user.slate[choice]) for choice in choices if choice != NOTHING]
    powers = [persistence ** (len(clicks) - 1 - j) for j in range(len(clicks))]
    expected = sum((power * TOPICS[item] for power, item in zip(powers, clicks, strict=True)), np.zeros(G))
    np.testing.assert_allclose(user.momentum, expected, rtol=3e-6, atol=1e-6)


def test_without_persistence_only_the_last_item_counts():
    user = crowd(SCENARIO)[0]
    p = record(SCENARIO, momentum_persistence=0.0)
    user.sensitivity = 0.0
    without = attractions(p, user)
    for choice in (4, 1, 6):
        expose(p, user, choice)
    gained = attractions(p, user) - without
    np.testing.assert_allclose(gained, P.momentum_weight * TOPICS[1:] @ TOPICS[7], atol=1e-6)


@pytest.mark.parametrize("leave", [50.0, -50.0])
def test_momentum_ends_with_the_session_and_only_then(leave):
    p = record(SCENARIO, churn_base=-20.0, horizon_days=3650.0, choice_nothing=-20.0)
    users = crowd(SCENARIO, 50)
    users["leave_logit"] = leave
    read(SCENARIO, p, users, ITEMS)
    assert (users["choice"] != NOTHING).all()
    consumed = TOPICS[users["slate"][np.arange(50), users["choice"]]]
    np.testing.assert_allclose(users["momentum"], consumed * (leave < 0), rtol=1e-6)

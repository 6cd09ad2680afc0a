"""Choice from a slate by each model, and how much of the item is watched, against formulas and frequencies."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from longplay.envs.users import dynamics
from longplay.envs.users.arithmetic import logistic
from longplay.envs.users.constants import CASCADE, LOGIT, POSITION, WORDS
from longplay.envs.users.records import NOTHING
from longplay.tests.envs.users.oracles import chances, pulls
from longplay.tests.envs.worlds import crowd, hand_items, read, record, scratch, small

K = 10
MANY = 20_000
MODELS = {"logit": LOGIT, "cascade": CASCADE, "position": POSITION}
NOW = 2.4  # the clock of a crowd
SCENARIOS = {model: small(choice__model=model, choice__nothing=1.0, choice__position=0.2) for model in MODELS}
ITEMS = hand_items(SCENARIOS["logit"], 40)
WORK = scratch(SCENARIOS["logit"])

models = pytest.mark.parametrize("model", MODELS)
slates = st.lists(st.integers(0, 40), min_size=K, max_size=K)


def ageing(items=ITEMS):
    """Half of the items have appeared, up to nine days ago; the others are yet to come."""
    aged = items.copy()
    aged["born"][1:] = NOW + np.linspace(-9, 9, len(items) - 1)
    aged.setflags(write=False)
    return aged


def found_chances(p, user, items):
    """P(slot k is chosen) by the model itself."""
    dynamics.feel(p, WORK, user)
    dynamics.weigh(p, WORK, items, user)
    form = (dynamics.logit_chances, dynamics.cascade_chances, dynamics.position_chances)[int(p.choice_model)]
    total = form(p, WORK, dynamics.weigh_nothing(p, user))
    return WORK.weight / total


def test_the_words_of_the_models_stand_for_themselves():
    assert {word: WORDS["choice_model"].index(word) for word in WORDS["choice_model"]} == MODELS


@models
@given(
    slates,
    st.floats(0, 5),
    st.floats(-5, 5),
    st.sampled_from([0.0, 3.0]),
    st.integers(0, 1000),
    st.sampled_from([0.0, 1.0, 20.0]),
    st.floats(-1, 1),
)
def test_chances_are_those_of_the_model(model, slate, rate, nothing, life, seed, opening, trust):
    """Trust takes off the weight of choosing nothing, in each of them."""
    scenario = SCENARIOS[model].with_overrides({"choice.position": rate})
    p = record(scenario, choice_nothing=nothing, items_life=life, choice_trust=opening)
    user = crowd(scenario, seed=seed)[0]
    user.slate[:], user.momentum[:], user.trust = slate, np.linspace(0, 1, len(user.momentum)), trust
    user.history_items[:2] = [7, 9]
    dynamics.index_history(user)
    items = ageing() if life else ITEMS
    found = found_chances(p, user, items)
    opens = nothing - opening * (trust - p.churn_trust_pivot)
    np.testing.assert_allclose(found, chances(model, pulls(p, user, items), rate, opens), rtol=1e-8, atol=1e-300)
    assert (found >= 0).all()
    assert found.sum() <= 1 + 1e-12


@models
def test_choices_come_as_often_as_the_model_says(model):
    """Many users alike but for their luck; a copy, an empty slot, an item yet to come, one new and one that aged."""
    scenario = SCENARIOS[model]
    users, items = crowd(scenario, MANY), ageing()
    users["slate"] = [20, 20, 0, 40, 10, 19, 12, 15, 18, 20]
    p = record(scenario, items_life=3.0)
    chance = chances(model, pulls(p, users[0], items), scenario.read_number("choice_position"), 1.0)
    read(scenario, p, users, items)
    assert (chance > 0).tolist() == [True, False, False, False, True, True, True, True, True, False]
    counts = np.bincount(np.where(users["choice"] == NOTHING, K, users["choice"]), minlength=K + 1)
    expected = MANY * np.append(chance, 1 - chance.sum())
    assert not counts[expected == 0].any()
    assert expected[expected > 0].min() > 5
    assert stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue > 1e-4


@models
def test_who_trusts_more_opens_whatever_they_would_have_opened_with_less(model):
    """With common luck; without `choice.trust` it changes nothing."""
    scenario, found = SCENARIOS[model], {}
    for opening in (0.0, 2.0):
        for trust in (-0.5, 0.4, 0.9):
            users = crowd(scenario, 400)
            users["trust"] = trust
            read(scenario, record(scenario, choice_trust=opening, horizon_days=3650.0), users, ITEMS)
            found[opening, trust] = users["choice"] != NOTHING
    for trust in (-0.5, 0.4, 0.9):
        np.testing.assert_array_equal(found[0.0, trust], found[0.0, 0.4])
    np.testing.assert_array_equal(found[2.0, 0.4], found[0.0, 0.4])  # 0.4 is the pivot
    little, some, much = (found[2.0, trust] for trust in (-0.5, 0.4, 0.9))
    assert not (little & ~some).any()
    assert not (some & ~much).any()
    assert little.sum() < some.sum() < much.sum()


@models
def test_an_empty_slate_is_never_opened(model):
    users = crowd(SCENARIOS[model], 100)
    users["slate"] = 0
    assert read(SCENARIOS[model], record(SCENARIOS[model], choice_nothing=-20.0), users, ITEMS).max() == 0.0
    assert (users["choice"] == NOTHING).all()


@models
def test_the_draw_decides_in_the_order_of_the_slate(model):
    """Inverse transform: the choice is the slot whose stretch of [0, 1) the draw falls into."""
    scenario = SCENARIOS[model]
    p, user = record(scenario), crowd(scenario)[0]
    ends = np.cumsum(found_chances(p, user, ITEMS))
    for draw in np.linspace(0.001, 0.999, 97):
        WORK.choice_draw = draw
        dynamics.feel(p, WORK, user)
        slot = np.searchsorted(ends, draw, side="right")
        assert dynamics.choose(p, WORK, ITEMS, user) == (slot if slot < K else NOTHING)


@models
def test_an_item_attracts_less_the_lower_it_stands(model):
    scenario = SCENARIOS[model]
    p, found = record(scenario), []
    for slot in range(K):
        user = crowd(scenario)[0]
        user.slate[:] = 0
        user.slate[slot] = 6
        found.append(found_chances(p, user, ITEMS)[slot])
    assert (np.diff(found) < 0).all()
    rate = scenario.read_number("choice_position")
    expected = np.exp(-rate * np.arange(K)) if model == "cascade" else (np.arange(K) + 1.0) ** -rate
    np.testing.assert_allclose(p.position, expected, rtol=1e-12)


def test_freshness_falls_to_1_over_e_in_a_life():
    scenario = SCENARIOS["logit"]
    items, user = ITEMS.copy(), crowd(scenario)[0]
    items["born"][1:] = NOW - 2.0
    fresh, aged = [], []
    for days, out in ((2.0, fresh), (2.0 + 3.0, aged)):
        items["born"][1:] = NOW - days
        dynamics.feel(record(scenario, items_life=3.0), WORK, user)
        dynamics.weigh(record(scenario, items_life=3.0), WORK, items, user)
        out.extend(WORK.weight)
    np.testing.assert_allclose(np.array(aged) / fresh, math.exp(-1), rtol=1e-6)


@pytest.mark.parametrize("life", [0.0, 3.0])
def test_an_item_yet_to_come_is_not_there(life):
    """It is not chosen however it attracts, tires nobody, and leaves the others their chances."""
    scenario = SCENARIOS["logit"]
    items = ITEMS.copy()
    items["born"][6] = np.nextafter(np.float32(NOW), np.float32(9.0))
    p = record(scenario, choice_nothing=-20.0, items_life=life)
    user = crowd(scenario)[0]
    user.slate[:] = [6, *[0] * 9]
    before = user.satiation.copy()
    assert found_chances(p, user, items)[0] == 0.0
    dynamics.expose(p, WORK, items, user, NOTHING)
    np.testing.assert_array_equal(user.satiation, before)
    items["born"][6] = np.float32(2.0)
    assert found_chances(p, user, items)[0] > 0.99


# --- what sets the models apart ------------------------------------------------------------------------------------


@given(slates, st.integers(0, K - 1), st.integers(0, 40))
def test_logit_is_independent_of_irrelevant_alternatives(slate, place, other):
    """Replacing one item leaves the ratios of all other chances as they were."""
    scenario = SCENARIOS["logit"]
    p, user = record(scenario), crowd(scenario)[0]
    user.slate[:] = slate
    before = found_chances(p, user, ITEMS).copy()
    user.slate[place] = other
    after = found_chances(p, user, ITEMS)
    same = np.delete(np.arange(K), place)
    same = same[(before[same] > 0) & (after[same] > 0)]  # what is, or has become, a copy is not compared
    nothing = (1 - before.sum(), 1 - after.sum())
    np.testing.assert_allclose(before[same] / nothing[0], after[same] / nothing[1], rtol=1e-9)


@given(st.permutations(range(1, 41)), st.integers(0, K - 1), st.lists(st.integers(0, 40), min_size=K, max_size=K))
def test_in_a_cascade_what_is_below_never_changes_what_is_above(order, place, others):
    scenario = SCENARIOS["cascade"]
    p, user = record(scenario), crowd(scenario)[0]
    user.slate[:] = order[:K]
    before = found_chances(p, user, ITEMS).copy()
    user.slate[place + 1 :] = others[place + 1 :]
    after = found_chances(p, user, ITEMS)
    np.testing.assert_array_equal(before[: place + 1], after[: place + 1])


@given(st.permutations(range(1, 41)), st.integers(1, K - 1))
def test_in_a_cascade_a_better_item_takes_from_what_is_below(order, place):
    scenario = SCENARIOS["cascade"]
    p, user = record(scenario), crowd(scenario)[0]
    user.slate[:] = order[:K]
    user.slate[place - 1] = 0
    without = found_chances(p, user, ITEMS).copy()
    user.slate[place - 1] = order[place - 1]
    assert (found_chances(p, user, ITEMS)[place:] < without[place:]).all()


@given(st.permutations(range(1, 41)), st.integers(0, K - 1))
def test_by_position_others_matter_through_crowding_alone(order, place):
    """Whatever else is shown, all chances shrink by one factor, and their sum is 1 − e^(−S)."""
    scenario = SCENARIOS["position"]
    p, user = record(scenario), crowd(scenario)[0]
    user.slate[:] = order[:K]
    full = found_chances(p, user, ITEMS).copy()
    attraction = pulls(p, user, ITEMS) / (math.e + pulls(p, user, ITEMS))
    hazard = attraction * np.arange(1, K + 1) ** -scenario.read_number("choice_position")
    assert full.sum() == pytest.approx(-math.expm1(-hazard.sum()), rel=1e-9)
    np.testing.assert_allclose(full / full[0], hazard / hazard[0], rtol=1e-9)
    user.slate[place] = 0
    fewer = found_chances(p, user, ITEMS)
    rest = np.delete(np.arange(K), place)
    gain = fewer[rest] / full[rest]
    assert (gain > 1).all()
    np.testing.assert_allclose(gain, gain[0], rtol=1e-9)


# --- dwell ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.8, 2.0])
def test_the_logit_of_completion_is_normal_around_its_mean(noise):
    scenario = SCENARIOS["logit"]
    users, p = crowd(scenario, MANY), record(scenario, choice_nothing=-20.0, dwell_noise=noise)
    users["slate"][:, 1:] = 0
    utility = math.log(pulls(p, users[0], ITEMS)[0]) - p.choice_appeal * ITEMS["appeal"][1]
    minutes = read(scenario, p, users, ITEMS)
    logits = np.log(users["completion"] / (1 - users["completion"]))
    mean = p.dwell_base + p.dwell_utility * utility
    assert stats.kstest(logits, stats.norm(mean, noise).cdf).pvalue > 1e-4
    np.testing.assert_allclose(minutes, users["completion"] * ITEMS["minutes"][1], rtol=1e-12)


@given(st.floats(-30, 30), st.integers(0, 2**31 - 1), st.floats(0.0, 3.0))
def test_completion_rises_with_utility(utility, who, more):
    user, p = crowd(SCENARIOS["logit"])[0], record(SCENARIOS["logit"])
    user.id = who
    lower, higher = dynamics.watch(p, user, utility), dynamics.watch(p, user, utility + more)
    assert 0.0 < lower <= higher < 1.0
    gain = math.log(higher / (1 - higher)) - math.log(lower / (1 - lower))
    assert gain == pytest.approx(p.dwell_utility * more, abs=1e-6)


@pytest.mark.parametrize("form", [logistic, logistic.py_func], ids=["compiled", "plain"])
def test_the_logistic_is_a_share_where_its_argument_is_extreme(form):
    """A user tired beyond measure watches nothing; that must be no overflow in plain Python."""
    assert [form(x) for x in (-1e9, -800.0, 1e9)] == [pytest.approx(0, abs=1e-300)] * 2 + [1.0]
    assert form(-3.0) == pytest.approx(1 / (1 + math.exp(3.0)), rel=1e-15)

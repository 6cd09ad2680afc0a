"""Items that appear by and by, and flare: a rise and a fall in an item's pull, of a size of its own."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from longplay.envs.candidates.retriever import Retriever, count_live_items
from longplay.envs.env import SlateVectorEnv
from longplay.envs.users import dynamics
from longplay.envs.users.constants import ScenarioError
from longplay.envs.users.world import EVER, build_world
from longplay.tests.envs.users.oracles import pulls
from longplay.tests.envs.worlds import crowd, hand_items, make_catalog, record, scratch, shop, small, vectors

CATALOG = make_catalog(300)
SCENARIO = small()
WORK = scratch(SCENARIO)
NOW = 2.4  # the clock of a crowd


class TestCurve:
    @given(st.floats(1e-3, 10), st.floats(0.01, 100))
    def test_it_is_highest_after_its_days_and_nothing_before_and_long_after(self, peak, days):
        ages = np.linspace(0, 30, 301) * days
        curve = np.array([dynamics.measure_flare(peak, age, days) for age in ages])
        assert curve[0] == 0
        assert dynamics.measure_flare(peak, days, days) == peak
        assert ((curve >= 0) & (curve <= peak * (1 + 1e-12))).all()
        assert (np.diff(curve[:11]) >= 0).all()
        assert (np.diff(curve[10:]) <= 0).all()
        assert curve[-1] <= 1e-10 * peak

    def test_its_area_is_that_of_the_closed_form(self):
        area, _ = integrate.quad(lambda age: dynamics.measure_flare(1.7, age, 0.4), 0, 60)
        assert area == pytest.approx(1.7 * 0.4 * math.e, rel=1e-8)

    def test_of_what_has_always_been_there_nothing_is_left(self):
        assert dynamics.measure_flare(3.0, EVER, 0.001) == 0.0
        assert dynamics.measure_flare(3.0, EVER, 365.0) == 0.0


@given(st.floats(0.1, 3), st.floats(0.01, 20), st.sampled_from([0.0, 3.0]), st.floats(0, 3), st.integers(0, 999))
def test_pulls_are_those_of_the_definition(flare, days, life, price, seed):
    rng = np.random.default_rng(seed)
    items = hand_items(SCENARIO, 40).copy()
    items["born"][1:] = NOW + rng.uniform(-9, 3, 40)
    items["flare"][1:], items["price"][1:] = flare * rng.exponential(size=40), rng.normal(size=40)
    p = record(SCENARIO, items_flare=flare, items_flare_days=days, items_life=life, choice_price=price)
    user = crowd(SCENARIO)[0]
    user.slate[:] = rng.integers(0, 41, len(user.slate))
    dynamics.feel(p, WORK, user)
    dynamics.weigh(p, WORK, items, user)
    np.testing.assert_allclose(WORK.weight, pulls(p, user, items), rtol=1e-8, atol=1e-300)


class TestWorld:
    def test_sizes_are_exponential_and_leave_all_else_as_it_is(self):
        plain = build_world(CATALOG, small(items__life=4.0))
        world = build_world(CATALOG, small(items__life=4.0, items__flare=0.7))
        sizes = world.items["flare"][1:]
        assert stats.kstest(sizes / 0.7, "expon").pvalue > 0.01
        assert sizes.mean() == pytest.approx(0.7, rel=0.15)
        assert world.items["flare"][0] == 0
        for name in world.items.dtype.names:
            if name != "flare":
                np.testing.assert_array_equal(world.items[name], plain.items[name])
        assert not plain.items["flare"].any()
        assert build_world(CATALOG, small(items__life=4.0, items__flare=1.4)).items["flare"][5] == 2 * sizes[4]
        assert abs(stats.spearmanr(sizes, CATALOG.popularity)[0]) < 0.15

    def test_the_latest_arrive_evenly_over_the_horizon(self):
        world = build_world(CATALOG, small(items__arrivals=0.3))
        born, latest = world.born[1:], np.argsort(CATALOG.published, kind="stable")[-90:]
        coming = np.flatnonzero(born > 0)
        assert sorted(coming) == sorted(latest)
        assert (born[np.setdiff1d(np.arange(300), coming)] == -EVER).all()
        np.testing.assert_allclose(np.sort(born[coming]), (np.arange(90) + 0.5) / 3, rtol=1e-6)
        assert (np.diff(born[latest]) > 0).all()
        assert count_live_items(world) == 210
        assert world.scenario.appearing

    def test_nobody_has_a_past_with_what_is_yet_to_come(self):
        world = build_world(CATALOG, small(items__arrivals=0.6))
        assert (world.born[world.people["past_items"]] == -EVER).all()


class TestLives:
    def test_candidates_and_random_slates_are_of_what_is_there_and_turn_to_what_is_new(self):
        world = build_world(CATALOG, small(items__arrivals=0.5, churn__base=-20.0))
        env = Retriever(SlateVectorEnv(world, 30, autoreset_mode="Disabled"), vectors(CATALOG))
        observation, _ = env.reset(seed=3)
        agent, news = pytest.importorskip("longplay.agents.logs.exploring").ExploringAgent(world), []
        for _ in range(150):
            day, slates = observation["context"][:, 5], agent.act(observation)
            started = observation["context"][:, 0] == 0
            candidates = observation["candidates"].astype(int)[started]
            assert (world.born[candidates] <= day[started, None] + 1e-5).all()
            assert (world.born[slates] <= day[:, None] + 1e-5).all()
            news += [*zip(day[started], (world.born[candidates] > 0).mean(axis=1), strict=True)]
            observation, _, _, _, info = env.step(slates)
            assert (world.born[info["item"]] <= info["day"]).all()
        early, late = ([share for day, share in news if low <= day < high] for low, high in ((0, 3), (20, 30)))
        assert np.mean(early) < 0.1 < 0.3 < np.mean(late)

    def test_the_myopic_oracle_weighs_as_users_do(self):
        world = build_world(CATALOG, shop(shape__users=400))
        env = SlateVectorEnv(world, 20, autoreset_mode="Disabled", privileged=True)
        observation, info = env.reset(seed=1)
        rng = np.random.default_rng(0)
        for _ in range(20):
            observation, _, _, _, info = env.step(rng.integers(0, 301, (20, 10)))
        slates = rng.integers(0, 301, (20, 10))
        oracle = pytest.importorskip("longplay.agents.references.oracles").MyopicOracle(world)
        pull, _ = oracle.weigh_items(slates, {**observation, "latent": info["latent"]})
        for b, user in enumerate(env.engine.users.copy()):
            user["slate"] = slates[b]
            expected = pulls(world.scenario.params, user, world.items)
            there = expected > 0  # a later copy is the oracle's business elsewhere
            np.testing.assert_allclose(pull[b][there], expected[there], rtol=2e-5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"items__flare": 0.5}, r"items\.flare = 0\.5 needs items that appear"),
        ({"items__arrivals": 0.2, "items__life": 3.0}, r"items\.arrivals = 0\.2 and items\.life = 3 each say"),
        ({"items__arrivals": 0.95}, r"items\.arrivals = 0\.95 is out of range; allowed: 0 to 0\.9"),
        ({"items__life": 3.0, "items__flare": -1.0}, r"items\.flare = -1\.0 is out of range"),
        ({"items__life": 3.0, "items__flare_days": 0.0}, r"items\.flare_days = 0\.0 is out of range"),
    ],
)
def test_what_is_not_allowed_is_refused(changes, said):
    with pytest.raises(ScenarioError, match=said):
        small(**changes)


def test_what_is_off_is_no_part_of_a_scenario_s_identity():
    assert small(items__arrivals=0.0, items__flare=0.0, items__flare_days=0.1, choice__price=0.0) == SCENARIO
    assert dataclasses.replace(SCENARIO, values={**SCENARIO.values, "purchase_rate": 0.0}).digest == SCENARIO.digest

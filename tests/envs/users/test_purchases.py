"""Prices, purchases after a look, and what is counted of them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from longplay.envs.env import SlateVectorEnv
from longplay.envs.single import SlateEnv
from longplay.envs.users.chance import PURCHASE, uniform
from longplay.envs.users.constants import ScenarioError
from longplay.envs.users.world import build_world
from longplay.tests.assertions import assert_same
from longplay.tests.envs.worlds import content, crowd, hand_items, make_catalog, read, record, shop, small, vectors

CATALOG = make_catalog(300)
SCENARIO = shop()
LOOKING = {"choice_nothing": -20.0, "choice_price": 0.0}  # somebody looks at something, whatever it costs


def priced_items(seed=0):
    items = hand_items(SCENARIO, 40).copy()
    items["price"][1:] = np.random.default_rng(seed).normal(size=40)
    items.setflags(write=False)
    return items


ITEMS = priced_items()


def look(count=400, **constants):
    """Users who each looked at one of ten items; who bought."""
    users = crowd(SCENARIO, count)
    users["leave_logit"] = -50.0
    read(SCENARIO, record(SCENARIO, **LOOKING | constants), users, ITEMS)
    assert (users["choice"] >= 0).all()
    return users


class TestConversion:
    @given(st.floats(0.001, 0.99), st.floats(0, 3), st.floats(0, 3), st.floats(0, 3))
    def test_a_look_ends_in_a_purchase_by_the_logit(self, rate, worth, quality, cost):
        constants = {
            "purchase_rate": rate,
            "purchase_utility": worth,
            "purchase_substance": quality,
            "purchase_price": cost,
            "momentum_weight": 0.0,
            "repeat_penalty": 0.0,
        }
        before = crowd(SCENARIO, 50)
        before["sensitivity"] = 0.0
        users, p = before.copy(), record(SCENARIO, **LOOKING | constants)
        read(SCENARIO, p, users, ITEMS)
        chosen = ITEMS[users["slate"][np.arange(50), users["choice"]]]
        value = p.taste_weight * (chosen["taste"].astype(float) * before["taste"].astype(float)).sum(axis=1)
        substance, price = chosen["substance"].astype(float), chosen["price"].astype(float)
        chance = expit(logit(rate) + worth * value + quality * substance - cost * price)
        luck = [
            uniform(int(u["k0"]), int(u["k1"]), int(u["id"]), int(u["session"]), int(u["depth"]), PURCHASE)
            for u in before
        ]
        sure = np.abs(luck - chance) > 1e-9
        np.testing.assert_array_equal(users["bought"][sure], (luck < chance)[sure])

    def test_shares_are_those_of_the_rate_where_nothing_else_counts(self):
        constants = {"purchase_utility": 0.0, "purchase_substance": 0.0, "purchase_price": 0.0}
        users = look(20_000, purchase_rate=0.03, **constants)
        assert users["bought"].mean() == pytest.approx(0.03, abs=4 * np.sqrt(0.03 * 0.97 / 20_000))

    def test_with_the_same_luck_who_buys_the_dearer_buys_the_cheaper(self):
        bought = []
        for cost in (0.0, 1.0, 3.0):
            cheap = look(2_000, purchase_price=cost)
            chosen = ITEMS["price"][cheap["slate"][np.arange(2_000), cheap["choice"]]]
            bought.append((cheap["bought"] == 1, chosen))
        (none, price), (some, _), (much, _) = bought
        dear = price > 0
        assert not (some & ~none & dear).any()
        assert not (much & ~some & dear).any()
        assert not (none & ~some & ~dear).any()
        assert none[dear].sum() > some[dear].sum() > much[dear].sum()

    def test_nothing_is_bought_of_a_slate_without_a_look_nor_where_nothing_is_sold(self):
        users = crowd(SCENARIO, 200)
        users["bought"] = 1  # of the slate before
        read(SCENARIO, record(SCENARIO, choice_nothing=20.0, purchase_rate=0.99), users, ITEMS)
        assert not users["bought"].any()
        assert not look(purchase_rate=0.0)["bought"].any()


@pytest.fixture(scope="module")
def world():
    return build_world(CATALOG, shop(shape__users=400))


class TestLives:
    def test_a_purchase_moves_nothing_else(self, world):
        off = {f"purchase_{name}": 0.0 for name in ("rate", "utility", "substance", "price")}
        plain = dataclasses.replace(world.scenario, values={**world.scenario.values, **off})
        envs = [SlateVectorEnv(w, 40, autoreset_mode="Disabled") for w in (world, build_world(CATALOG, plain))]
        slates = np.random.default_rng(0).integers(0, 301, (60, 40, 10))
        for env in envs:
            env.reset(seed=4)
        bought = 0
        for slate in slates:
            (*one, info), (*other, less) = (env.step(slate) for env in envs)
            assert_same(one, other)
            assert set(info) - set(less) == {"bought", "_bought", "paid", "_paid"}
            bought += info["bought"].sum()
        users = [env.engine.users.copy() for env in envs]
        users[0]["bought"] = 0
        assert content(users[0]) == content(users[1])
        assert bought > 20

    def test_one_alone_buys_what_one_of_many_does(self, world):
        many = SlateVectorEnv(world, 3, autoreset_mode="Disabled", reward="sales")
        alone = SlateEnv(SlateVectorEnv(world, 1, autoreset_mode="Disabled", reward="sales"))
        slates = np.random.default_rng(1).integers(0, 301, (80, 10))
        many.reset(seed=5, options={"users": np.array([7, 8, 9])})
        _, info = alone.reset(seed=5, options={"user": 8})
        assert (info["bought"], info["paid"]) == (False, 0.0)
        paid = 0.0
        for slate in slates:
            _, rewards, _, _, infos = many.step(np.tile(slate, (3, 1)))
            _, reward, _, _, info = alone.step(slate)
            assert (reward, info["bought"]) == (rewards[1], infos["bought"][1])
            assert infos["paid"][1] == info["paid"] == info["bought"] * world.prices[info["item"]]
            paid += reward
        assert paid > 0

    def test_a_saved_state_keeps_what_was_bought_last(self, world):
        env, other = (SlateVectorEnv(world, 40, autoreset_mode="Disabled") for _ in range(2))
        env.reset(seed=1)
        other.reset(seed=2)
        slates = np.random.default_rng(0).integers(0, 301, (40, 40, 10))
        for slate in slates:
            _, _, _, _, info = env.step(slate)
            if info["bought"].any():
                break
        other.load_state(env.save_state())
        assert content(other.engine.users) == content(env.engine.users)
        for slate in slates[:10]:
            assert_same(other.step(slate), env.step(slate))

    def test_lives_add_up(self, world):
        playing = pytest.importorskip("longplay.agents.playing.evaluate")
        summaries = pytest.importorskip("longplay.agents.comparison.summary")
        evaluator = playing.Evaluator(world, vectors(CATALOG), np.arange(30), 3)
        slates = iter(np.random.default_rng(2).integers(1, 301, (5_000, 30, 10)))
        table = evaluator.play(lambda observation: next(slates)[: len(observation["context"])])
        assert list(table.columns) == ["user", *playing.COLUMNS, *playing.PURCHASES]
        again = iter(np.random.default_rng(2).integers(1, 301, (5_000, 30, 10)))
        env = SlateVectorEnv(world, 30, autoreset_mode="Disabled", reward="sales")
        env.reset(seed=3, options={"users": np.arange(30)})
        active, paid, looks, count = np.ones(30, bool), np.zeros(30), np.zeros(30), np.zeros(30)
        shown = np.zeros((30, 10), np.int64)
        while active.any():
            shown[active] = next(again)[: active.sum()]
            _, reward, terminated, truncated, info = env.step(shown)
            paid += reward
            looks += active & (info["item"] > 0)
            count += active & info["bought"]
            active = ~(terminated | truncated)
        np.testing.assert_array_equal(table["sales"], paid)
        np.testing.assert_array_equal(table["purchases"], count)
        assert (table["purchases"] <= table["clicks"]).all()
        summary = summaries.summarise_purchases(table)
        assert summary == {"conversion": count.sum() / looks.sum(), "sales": pytest.approx(paid.mean())}
        assert 0.0 < summary["conversion"] < 1.0
        assert summaries.summarise_purchases(table.drop(columns=list(playing.PURCHASES))) == {}


class TestPrices:
    def test_a_catalogue_s_own_are_taken(self):
        price = np.random.default_rng(0).lognormal(3, 1, 300)
        world = build_world(dataclasses.replace(CATALOG, price=price), SCENARIO)
        np.testing.assert_array_equal(world.prices, [0.0, *price])
        z = np.log(price)
        np.testing.assert_allclose(world.items["price"][1:], (z - z.mean()) / z.std(), rtol=1e-5, atol=1e-6)

    def test_else_they_are_drawn_by_topic_and_that_is_said(self, capfd):
        world = build_world(dataclasses.replace(CATALOG, name="unpriced"), SCENARIO, seed=3)
        assert "catalogue 'unpriced' has no prices" in capfd.readouterr().err
        log, topic = np.log(world.prices[1:]), world.items["topic"][1:, 0]
        level = np.array([log[topic == own].mean() for own in topic])
        assert 0.6 < (log - level).std() < 0.8
        assert level.std() > 0.3
        np.testing.assert_array_equal(world.prices, build_world(dataclasses.replace(CATALOG), SCENARIO, seed=3).prices)
        assert (world.prices != build_world(CATALOG, SCENARIO, seed=4).prices)[1:].all()

    def test_equal_prices_move_nobody(self):
        world = build_world(dataclasses.replace(CATALOG, price=np.full(300, 9.5)), SCENARIO)
        assert not world.items["price"].any()
        assert set(world.prices[1:]) == {9.5}

    def test_where_they_play_no_part_there_are_none_and_states_are_those_of_any(self):
        priced = dataclasses.replace(CATALOG, price=np.linspace(1, 9, 300))
        assert priced.digest == CATALOG.digest
        envs = [SlateVectorEnv(build_world(catalog, small()), 5) for catalog in (CATALOG, priced)]
        assert not envs[1].world.prices.any()
        envs[0].reset(seed=1)
        envs[1].load_state(envs[0].save_state())
        envs = [SlateVectorEnv(build_world(catalog, SCENARIO), 5) for catalog in (CATALOG, priced)]
        envs[0].reset(seed=1)
        with pytest.raises(ValueError, match="state is of another catalogue"):
            envs[1].load_state(envs[0].save_state())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"purchase.price": 0.5}, r"purchase\.price = 0\.5 is about purchases, and purchase\.rate is 0"),
        ({"purchase.utility": 1.0}, r"purchase\.utility = 1\.0 is about purchases"),
        ({"reward": "sales"}, r"reward = 'sales' is about purchases"),
        ({"purchase.rate": 1.0}, r"purchase\.rate = 1\.0 is out of range; allowed: 0 to 0\.99"),
        ({"choice.price": -1.0}, r"choice\.price = -1\.0 is out of range"),
    ],
)
def test_what_is_not_allowed_is_refused(changes, said):
    with pytest.raises(ScenarioError, match=said):
        small().with_overrides(changes)


def test_sales_are_no_reward_where_nothing_is_sold():
    with pytest.raises(ValueError, match=r"reward = 'sales': nothing is sold in scenario 'video'; give its purchase"):
        SlateVectorEnv(build_world(CATALOG, small()), 2, reward="sales")

"""Anything that the limits allow, under slates that mean harm: a quarter of a million slates without a fault.

No error, no value that is no number, no observation outside its space, no time that runs backwards.
"""

from functools import partial

import numpy as np
import pytest

from longplay.envs.env import REWARDS, SlateVectorEnv
from longplay.envs.users.constants import LIMITS, WORDS
from longplay.envs.users.memory import NEVER
from longplay.envs.users.params import Scenario
from longplay.envs.users.population import PAST_DAYS
from longplay.envs.users.records import ACTIVE, CHURNED, HORIZON, NOTHING, WAYS
from longplay.envs.users.world import _build_world, build_world
from longplay.tests.envs.worlds import PLACES, aged, make_catalog, remembering

WORLDS = 48
USERS = 128
STEPS = 40
CATALOGS = {items: make_catalog(items, seed=items) for items in (12, 40, 90)}
K = 10
FEW = 16  # places of the memory, so that it overflows


def draw_value(rng, low, high):
    """An end of the range, or anything between: often near the lower end, where ranges are wide."""
    kind = rng.integers(5)
    if kind < 2:
        return float((low, high)[kind])
    return float(low + (high - low) * rng.random() ** (1, 1, 4)[kind - 2])


def draw_scenario(rng, items):
    """All constants at random within their limits, in the sizes of Video."""
    values = {key: draw_value(rng, low, high) for key, (low, high, _) in LIMITS.items()}
    values |= {key: str(rng.choice(words)) for key, words in WORDS.items()}
    # Two sizes alone, as for each the loops are compiled anew.
    values["impression_memory"] = float(rng.choice([0, FEW]))
    if not values["impression_memory"]:
        values |= {"impression_weight": 0.0, "repeat_recovery": 0.0}
    ends = sorted((values["items_shortest"], values["items_longest"]))
    values["items_shortest"], values["items_longest"] = ends
    first = PAST_DAYS[1] + 3 * values["items_life"]
    if items * (first - PAST_DAYS[0]) / (first + values["horizon_days"]) < K:
        values["items_life"] = 0.0  # too few items for a past
    if values["items_life"] or items * (1 - values["items_arrivals"]) < K:
        values["items_arrivals"] = 0.0
    if not values["items_life"] and not values["items_arrivals"]:
        values["items_flare"] = 0.0
    reward = str(rng.choice(REWARDS))
    if not values["purchase_rate"]:
        values |= {key: 0.0 for key in values if key.startswith("purchase_")}
        reward = "minutes"
    changes = {key.replace("_", ".", 1): value for key, value in values.items()}
    changes |= {"shape.users": 60, "shape.candidates": 16, "shape.types": int(rng.choice([0, 1, 7]))}
    changes["reward"] = reward
    hours = rng.random(24) ** 4 + 1e-9
    return Scenario.load("video").with_overrides(changes | {"day.hours": hours.tolist()})


def draw_slates(rng, step, world, clocks):
    """Random and adversarial slates of item numbers, one kind for a few users each."""
    n = len(world.catalog)
    out = rng.integers(0, n + 1, (USERS, K))
    kind = (np.arange(USERS) + step) % 8
    out[kind == 1] = rng.integers(1, n + 1, ((kind == 1).sum(), 1))  # one item in all slots
    out[kind == 2] = 0
    out[kind == 3] = n
    out[kind == 4] = np.sort(out[kind == 4], axis=1)[:, ::-1]  # from the last to the empty
    out[kind == 5, :5] = out[kind == 5, 5:]
    latest = np.argsort(-world.born, kind="stable")[:K]
    out[kind == 6] = np.resize(latest, K)  # where items age, yet to come
    out[np.arange(USERS) % 16 == 7] = 1  # the same item, always
    return out


def check_users(world, users, before):
    """What holds in any life."""
    for name in users.dtype.names:
        assert np.isfinite(users[name]).all(), name
    assert (users["clock"] >= before["clock"]).all()
    for name in ("satisfaction", "trust"):
        assert (np.abs(users[name]) <= 1 + 1e-12).all(), name
    for name in ("satiation", "momentum", "fatigue", "minutes", "gap", "session_minutes"):
        assert (users[name] >= 0).all(), name
    assert ((users["completion"] >= 0) & (users["completion"] <= 1)).all()
    assert set(users["status"]) <= {ACTIVE, CHURNED, HORIZON}
    assert (users["history_time"] <= users["clock"][:, None] * (1 + 1e-6) + 1e-6).all()
    rows = np.flatnonzero((users["choice"] != NOTHING) & (before["status"] == ACTIVE))
    item = users["slate"][rows, users["choice"][rows]]
    assert (item > 0).all()
    assert (users["history_items"][rows, 0] == item).all()
    assert (world.items["born"][item] <= before["clock"][rows]).all()
    first = (users["slate"][rows] == item[:, None]).argmax(axis=1)
    np.testing.assert_array_equal(first, users["choice"][rows])  # never a later copy
    still = before["status"] != ACTIVE
    assert users[still].tobytes() == before[still].tobytes()
    if world.scenario.memory:
        check_memory(world, users)


def check_memory(world, users):
    """An item stands once, in its row; nothing is remembered of an empty place, nor of what is yet to happen."""
    places, rows = users["memory_item"].reshape(len(users), -1), world.scenario.memory // WAYS
    there = np.sort(places, axis=1)
    assert not ((np.diff(there, axis=1) == 0) & (there[:, 1:] > 0)).any()
    assert ((places >= 0) & (places <= len(world.catalog))).all()
    row = places.astype(np.int64) * 2654435761 % 2**32 // 256 % rows
    assert (row == np.repeat(np.arange(rows), WAYS))[places > 0].all()
    assert (users["memory_consumed"] <= users["clock"][:, None, None] * (1 + 1e-6) + 1e-6).all()
    for name in ("memory_trace", "memory_consumed"):
        assert np.isfinite(users[name]).all()
        assert (users[name][users["memory_item"] == 0] == NEVER).all()
    counts = users["memory_trace"] - users["clock"][:, None, None] / world.scenario.params.impression_recovery
    assert (counts <= np.log(1 + users["slates"])[:, None, None] + 1e-3).all()  # once in a slate at most
    entries = (places > 0).sum(axis=1)
    assert ((users["entered"] >= entries) & (users["evicted"] <= users["entered"] - entries)).all()


def live_through(world, rng, seed, steps):
    """Slates that mean harm, to users who begin anew when they end; everything that holds in any life is checked."""
    env = SlateVectorEnv(world, USERS, autoreset_mode="Disabled", threads=1 + seed % 2)
    observation, _ = env.reset(seed=seed)
    assert observation in env.observation_space
    for step in range(steps):
        before = env.engine.users.copy()
        slates = draw_slates(rng, step, world, before["clock"])
        observation, reward, terminated, truncated, _ = env.step(slates)
        assert observation in env.observation_space
        assert np.isfinite(reward).all()
        assert (reward >= 0).all()
        check_users(world, env.engine.users, before)
        done = terminated | truncated
        if done.any():
            observation, _ = env.reset(options={"reset_mask": done})
            assert observation in env.observation_space
    env.close()


@pytest.mark.parametrize("seed", range(WORLDS))
def test_no_world_and_no_slate_breaks_a_life(seed):
    rng = np.random.default_rng([17, seed])
    catalog = CATALOGS[int(rng.choice(list(CATALOGS)))]
    live_through(_build_world.__wrapped__(catalog, draw_scenario(rng, len(catalog)), seed), rng, seed, STEPS)


@pytest.mark.parametrize("make", [remembering, partial(aged, remembering)], ids=["logit", "cascade"])
@pytest.mark.parametrize("places", [FEW, PLACES])
def test_no_slate_breaks_a_long_life_that_leaves_traces(places, make):
    """A hundred thousand slates in all; few places overflow all the time."""
    world = build_world(make_catalog(200), make(impression__memory=places, shape__users=60))
    live_through(world, np.random.default_rng(places), places, 200)

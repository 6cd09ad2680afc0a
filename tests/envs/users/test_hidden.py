"""Nothing hidden reaches the observation, and everything that is to be seen does."""

from dataclasses import replace

import numpy as np
import pytest

from longplay.envs.candidates.retriever import Retriever
from longplay.envs.env import LATENT_MEMORY, SlateVectorEnv
from longplay.envs.users.records import person_type, user_type
from longplay.envs.users.world import build_world
from longplay.tests.assertions import assert_same
from longplay.tests.envs.worlds import remembering, small, vectors

# Fields of a user that no observation may depend on: who they are, how they are, their luck, and bookkeeping.
HIDDEN = {"taste", "sensitivity", "recovery", "leave_logit", "visit_rate", "chronotype", "luck", "episode", "k0", "k1"}
HIDDEN |= {"satiation", "momentum", "fatigue", "satisfaction", "trust", "residues", "day", "status", "left", "minutes"}
HIDDEN |= {"second", "habit", "frailty", "entered", "evicted", "memory_item", "memory_trace", "memory_consumed"}
HIDDEN |= {"first_taste", "first_minutes", "bought"}
# Kept only where impressions leave a trace.
KEPT = {"slates": {"shown_ids", "shown_age"}, "shown": {"shown_ids"}, "shown_time": {"shown_age"}}
# Fields that show, and where.
VISIBLE = {
    "id": {"profile"},
    "clock": {"context", "history_age"},
    "gap": {"context"},
    "session_minutes": {"context"},
    "session": {"context"},
    "depth": {"context"},
    "skips": {"context"},
    "slate": {"slate_ids"},
    "choice": {"slate_response"},
    "completion": {"slate_response"},
    "history_items": {"history_ids"},
    "history_completion": {"history_completion"},
    "history_time": {"history_age"},
}
SECRETS = {"taste", "share", "topic", "appeal", "substance", "minutes", "born", "flare", "price"}  # of an item
PRIVATE = set(person_type(small().shape).names) - {"profile"}  # of a person


@pytest.fixture(params=["", "remembering"])
def env(request, catalog):
    """Users in the middle of their lives: some have just chosen, some have just come back; or with a memory."""
    env = SlateVectorEnv(build_world(catalog, remembering() if request.param else small()), 50)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(12):
        env.step(rng.integers(1, 301, (50, 10)))
    assert 5 < (env.engine.users["choice"] >= 0).sum() < 45
    return env


def seen(env):
    """What the engine writes for the agents."""
    return {key: value.copy() for key, value in env._observe().items()}


def mutate(field):
    """Other values of the same type, other than before in every row."""
    mixed = np.random.default_rng(1).permutation(field)
    return np.where(mixed == field, field + 1 + np.abs(field) / 1000, mixed).astype(field.dtype)


def test_every_field_of_a_user_is_told_apart():
    assert set(user_type(small().shape).names) == HIDDEN | set(VISIBLE) | set(KEPT)
    assert not HIDDEN & (set(VISIBLE) | set(KEPT))


@pytest.mark.parametrize("field", sorted(HIDDEN))
def test_a_hidden_field_is_not_in_the_observation(env, field):
    before = seen(env)
    users = env.engine.users
    old = users[field].copy()
    users[field] = mutate(old)
    assert (users[field] != old).reshape(50, -1).any(axis=1).all()
    assert_same(seen(env), before)


@pytest.mark.parametrize("field", sorted(VISIBLE))
def test_a_visible_field_shows_where_it_should_and_nowhere_else(env, field):
    before, users = seen(env), env.engine.users
    if field == "choice":
        users[field] = (users[field] + 1) % 10
    elif field == "id":
        users[field] = (users[field] + 1) % 200
    elif field == "history_items":
        users[field] = np.where(users[field] > 0, users[field] % 300 + 1, 0)
    else:
        users[field] += np.array(1, users[field].dtype)
    after = seen(env)
    changed = {key for key in before if before[key].tobytes() != after[key].tobytes()}
    assert changed == VISIBLE[field] | ({"shown_age"} & set(before) if field == "clock" else set())


@pytest.mark.parametrize("field", sorted(KEPT))
def test_what_is_kept_of_the_slates_shows_where_there_is_a_memory(env, field):
    before, users = seen(env), env.engine.users
    remembers = "shown_ids" in before
    assert remembers == (env.engine.world.scenario.memory > 0)
    users[field] -= np.array(1, users[field].dtype)
    after = seen(env)
    changed = {key for key in before if before[key].tobytes() != after[key].tobytes()}
    assert changed == (KEPT[field] if remembers else set())


def test_hidden_attributes_of_items_and_people_are_not_in_the_observation(env):
    before, world = seen(env), env.engine.world
    items, people = world.items.copy(), world.people.copy()
    assert set(items.dtype.names) == SECRETS
    for table, fields in ((items, SECRETS), (people, PRIVATE)):
        for field in fields:
            table[field] = mutate(table[field])
    env.engine.world = replace(world, items=items, people=people)
    assert_same(seen(env), before)
    people["profile"] = 1 - people["profile"]
    assert (seen(env)["profile"] != before["profile"]).all()


def test_candidates_depend_on_luck_history_and_time_alone(env, catalog):
    """And on the session, which shows."""
    found = Retriever(env, vectors(catalog))
    everybody = np.ones(50, bool)
    before = found._add_candidates({}, everybody)["candidates"].copy()
    users = env.engine.users
    for field in sorted(HIDDEN - {"k0", "k1"}):
        users[field] = mutate(users[field])
    np.testing.assert_array_equal(found._add_candidates({}, everybody)["candidates"], before)
    for field in ("k0", "history_items", "session"):
        saved = users[field].copy()
        users[field] = saved % 299 + 1 if field == "history_items" else saved + 1
        assert (found._add_candidates({}, everybody)["candidates"] != before).any(axis=1).all(), field
        users[field] = saved


def test_latent_state_is_in_the_info_of_the_privileged_alone(world):
    for privileged in (False, True):
        env = SlateVectorEnv(world, 3, privileged=privileged)
        _, info = env.reset(seed=0)
        assert ("latent" in info) == privileged
        for key in {"taste", "satiation", "trust", "fatigue"} & set(info):
            pytest.fail(f"{key} is in the info")
    latent = info["latent"]
    for key in ("taste", "satiation", "sensitivity", "recovery", "fatigue", "satisfaction", "trust", "momentum"):
        np.testing.assert_array_equal(latent[key], env.engine.users[key])
    assert not set(LATENT_MEMORY) & set(latent)


def test_the_memory_is_latent_where_there_is_one(catalog):
    env = SlateVectorEnv(build_world(catalog, remembering()), 3, privileged=True)
    env.reset(seed=0)
    latent = env.step(np.tile(np.arange(1, 11), (3, 1)))[4]["latent"]
    for key in LATENT_MEMORY:
        np.testing.assert_array_equal(latent[key], env.engine.users[key])
        assert latent[key].any()
        assert not np.shares_memory(latent[key], env.engine.users)

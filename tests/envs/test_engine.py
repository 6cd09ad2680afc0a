"""The batch: a life depends on nobody else, and policies that agree share their luck."""

from dataclasses import replace

import numpy as np
import pytest

from longplay.envs import engine
from longplay.envs.env import SlateVectorEnv
from longplay.envs.users.records import ACTIVE
from longplay.envs.users.world import build_world
from longplay.tests.envs.worlds import aged, content, remembering, small

STEPS = 40
SCENARIOS = {"video": small(), "control": small("control"), "aged": aged(), "position": aged(choice__model="position")}


@pytest.fixture(params=SCENARIOS)
def any_world(request, catalog):
    return build_world(catalog, SCENARIOS[request.param])


def slates_of(world, users, step):
    """A slate for each user that depends on the user and the step alone."""
    shape = (len(world.people), world.scenario.shape.slate)
    return np.random.default_rng(step).integers(0, len(world.catalog) + 1, shape)[users]


def named_lives(world, users, steps=STEPS, seed=4, policy=slates_of, **options):
    """Records of the users' whole state after each step, (steps, B)."""
    env = SlateVectorEnv(world, len(users), autoreset_mode="Disabled", **options)
    env.reset(seed=seed, options={"users": users})
    records = []
    for step in range(steps):
        env.step(policy(world, users, step))
        records.append(env.engine.users.copy())
    env.close()
    return np.stack(records)


def test_a_named_user_lives_the_same_life_alone_in_any_batch_and_on_any_thread(any_world):
    world, rng = any_world, np.random.default_rng(0)
    users = rng.integers(0, 200, 1000)  # most of them several times
    whole = named_lives(world, users)
    order = rng.permutation(1000)
    assert content(named_lives(world, users[order])) == content(whole[:, order])
    for threads in (2, 3):
        assert content(named_lives(world, users, threads=threads)) == content(whole)
    assert content(named_lives(world, users[:2], threads=3)) == content(whole[:, :2])
    for cut in (slice(0, 333), slice(333, 1000)):
        assert content(named_lives(world, users[cut])) == content(whole[:, cut])
    for slot in (0, 17, 999):
        assert content(named_lives(world, users[slot : slot + 1])) == content(whole[:, slot : slot + 1])
    assert (whole["status"][-1] != ACTIVE).any()
    assert len({content(whole[-1, slot : slot + 1]) for slot in range(1000)}) == len(np.unique(users))


def test_nor_does_a_life_that_leaves_traces_depend_on_others(catalog):
    world, users = build_world(catalog, remembering()), np.arange(60) % 40
    whole, order = named_lives(world, users), np.random.default_rng(0).permutation(60)
    assert content(named_lives(world, users[order])) == content(whole[:, order])
    assert content(named_lives(world, users, threads=2)) == content(whole)
    assert content(named_lives(world, users[17:18])) == content(whole[:, 17:18])
    assert whole["evicted"].any()


def test_lives_do_not_depend_on_how_items_are_numbered(any_world):
    """The item table permuted, and the slates and pasts with it: the same slots are chosen, for the same minutes.

    But for worlds with a memory, where the number says which items share a row of places.
    """
    world, users = any_world, np.arange(200)
    number = np.append(0, np.random.default_rng(0).permutation(np.arange(1, len(world.items))))
    items, people = np.empty_like(world.items), world.people.copy()
    items[number] = world.items
    people["past_items"] = number[people["past_items"]]
    for table in (items, people):
        table.setflags(write=False)
    other = replace(world, items=items, people=people)
    one = named_lives(world, users)
    two = named_lives(other, users, policy=lambda w, u, step: number[slates_of(w, u, step)])
    for field in ("slate", "history_items"):
        np.testing.assert_array_equal(number[one[field]], two[field])
    rest = [name for name in one.dtype.names if name not in ("slate", "history_items", "residues")]
    assert content(one[rest]) == content(two[rest])
    assert (one["choice"] >= 0).sum() > 200


def test_policies_share_luck_while_their_slates_agree(world):
    users = np.arange(200)

    def other(world, users, step):
        """From slate 10 on, every other user sees something else."""
        slates = slates_of(world, users, step)
        slates[::2] = slates[::2] if step < 10 else slates_of(world, users, step + 1000)[::2]
        return slates

    one, two = named_lives(world, users), named_lives(world, users, policy=other)
    assert content(one[:10]) == content(two[:10])
    assert content(one[:, 1::2]) == content(two[:, 1::2])
    assert (one["choice"][10:, ::2] != two["choice"][10:, ::2]).any(axis=0).mean() > 0.8


def test_luck_stays_in_step_between_sessions_of_different_length(control_world):
    """Gaps and leavings index the session, so that what was shown before does not shift them."""
    users = np.arange(100)
    one = named_lives(control_world, users)
    two = named_lives(control_world, users, policy=lambda w, u, s: slates_of(w, u, s + 500))
    assert (one["choice"] != two["choice"]).any()
    np.testing.assert_array_equal(one["clock"], two["clock"])


def test_the_first_episode_is_number_0_with_and_without_new_luck(world):
    slots, all_of_them = engine.Engine(world, 3), np.ones(3, bool)
    slots.begin(all_of_them)
    assert slots.users["episode"].tolist() == [0, 0, 0]
    whole = slots.users.copy()
    slots.begin(all_of_them)
    assert slots.users["episode"].tolist() == [1, 1, 1]
    slots.seed(np.zeros(3, np.int64), all_of_them)
    slots.begin(all_of_them)
    assert content(slots.users) == content(whole)


def test_seeds_change_luck_and_never_who_exists(world):
    def hidden(seed):
        env = SlateVectorEnv(world, 50)
        env.reset(seed=seed, options={"users": np.arange(50)})
        users = env.engine.users
        return users[["taste", "sensitivity", "recovery", "leave_logit", "visit_rate"]].copy(), users["clock"].copy()

    who, when = hidden(1)
    who_else, when_else = hidden(2)
    assert content(who) == content(who_else)
    assert (when != when_else).all()


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_pass_of_episodes_meets_every_user_of_the_split_once(world, split):
    env = SlateVectorEnv(world, 3, split=split)
    size = len(world.split(split))
    env.reset(seed=9)
    met = [env.engine.users["id"].copy()] + [env.reset()[1]["user"] for _ in range(3 * size - 1)]
    passes = np.array(met).T.reshape(3, 3, size)
    assert (np.sort(passes, axis=2) == np.array(world.split(split))).all()
    orders = {tuple(row) for slot in passes for row in slot}
    assert len(orders) == 9  # another order for each slot and each pass


@pytest.mark.parametrize(("sealed", "half"), [(False, range(180, 190)), (True, range(190, 200))])
def test_of_the_test_users_one_half_is_met_where_impressions_leave_a_trace(remembering_world, sealed, half):
    env = SlateVectorEnv(remembering_world, 3, split="test", sealed=sealed)
    env.reset(seed=9)
    met = [env.engine.users["id"].copy()] + [env.reset()[1]["user"] for _ in range(len(half) - 1)]
    assert (np.sort(np.array(met).T, axis=1) == np.array(half)).all()


def test_a_user_met_again_has_new_luck(world):
    env = SlateVectorEnv(world, 1, split="test")
    env.reset(seed=0)
    keys = {}
    for _ in range(2 * len(world.split("test"))):
        user = env.engine.users[0]
        keys.setdefault(int(user["id"]), set()).add((int(user["k0"]), int(user["k1"]), float(user["clock"])))
        env.reset()
    assert all(len(found) == 2 for found in keys.values())


def test_slot_i_of_seed_z_is_slot_0_of_seed_z_plus_i(world):
    def users(seed, slots):
        env = SlateVectorEnv(world, slots)
        env.reset(seed=seed)
        env.reset()  # the second episode, too
        return env.engine.users.copy()

    batch = users(100, 5)
    for i in range(5):
        assert content(users(100 + i, 1)) == content(batch[i : i + 1])


def test_large_seeds_give_lives_of_their_own(world):
    traces = []
    for seed in (0, 2**32, 2**62 + 5):
        env = SlateVectorEnv(world, 4)
        env.reset(seed=seed)
        traces.append(content(env.engine.users[["id", "k0", "k1"]]))
    assert len(set(traces)) == 3


@pytest.mark.parametrize(("field", "value"), [("num", 0), ("num", 2.5), ("threads", 0), ("threads", "two")])
def test_engine_refuses_sizes_that_are_none(world, field, value):
    sizes = {"num": 2, "threads": 1} | {field: value}
    name = {"num": "num_envs"}.get(field, field)
    with pytest.raises(ValueError, match=f"{name} = {value!r} must be a whole number of at least 1"):
        engine.Engine(world, **sizes)

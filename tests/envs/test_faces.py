"""One face is the other: the native vector, a vector of singles and the single, bit for bit; states saved mid-life."""

import copy

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from longplay.envs.env import REWARDS, SlateVectorEnv
from longplay.envs.single import SlateEnv
from longplay.envs.users.world import build_world
from longplay.tests.assertions import assert_same
from longplay.tests.envs.worlds import aged, small

MODES = list(AutoresetMode)
DAYS = {"horizon__days": 3}
SCENARIOS = {"video": small(**DAYS), "control": small("control", **DAYS), "aged": aged(**DAYS)}


@pytest.fixture(params=SCENARIOS)
def short(request, catalog):
    """A world whose lives end within three days; in that of items that age, some appear in between."""
    world = build_world(catalog, SCENARIOS[request.param])
    assert ((world.born > 0).any()) == (request.param == "aged")
    return world


def slates_of(env, rng):
    return rng.integers(0, env.single_action_space.nvec[0], env.action_space.shape)


@pytest.mark.parametrize("slots", [1, 2, 33])
@pytest.mark.parametrize("mode", MODES)
def test_native_vector_is_a_sync_vector_of_singles(short, mode, slots):
    options = {"privileged": True, "reward": REWARDS[slots % 3]}
    native = SlateVectorEnv(short, slots, autoreset_mode=mode, **options)

    def single():
        return SlateEnv(SlateVectorEnv(short, autoreset_mode=AutoresetMode.DISABLED, **options))

    sync = SyncVectorEnv([single] * slots, autoreset_mode=mode)
    assert native.observation_space == sync.observation_space
    assert native.action_space == sync.action_space
    assert native.metadata["autoreset_mode"] == sync.metadata["autoreset_mode"] == mode
    assert_same(native.reset(seed=5), sync.reset(seed=5))
    rng, ends, finals = np.random.default_rng(slots), 0, 0
    for _ in range(150 if slots < 33 else 60):
        slates = slates_of(native, rng)
        one, other = native.step(slates), sync.step(slates)
        assert_same(one, other)
        done = one[2] | one[3]
        ends += done.sum()
        finals += sum(final is not None for final in one[4].get("final_obs", ()))
        assert ("final_info" in one[4]) == (mode == AutoresetMode.SAME_STEP and done.any())
        if mode == AutoresetMode.DISABLED and done.any():
            assert_same(
                native.reset(options={"reset_mask": done.copy()}), sync.reset(options={"reset_mask": done.copy()})
            )
    assert ends > slots
    assert finals == (ends if mode == AutoresetMode.SAME_STEP else 0)


@pytest.mark.parametrize("mode", MODES)
def test_each_slot_of_a_vector_is_a_single_environment(short, mode):
    """Without Gymnasium's help: reset where the mode resets, with the luck that follows."""
    native = SlateVectorEnv(short, 3, autoreset_mode=mode)
    singles = [SlateEnv(SlateVectorEnv(short, autoreset_mode="Disabled")) for _ in range(3)]
    observation, _ = native.reset(seed=7)
    for b, env in enumerate(singles):
        assert_same(env.reset(seed=7 + b)[0], {key: value[b] for key, value in observation.items()})
    rng, over, ends = np.random.default_rng(0), np.zeros(3, bool), 0
    for _ in range(120):
        slates = slates_of(native, rng)
        observation, reward, terminated, truncated, info = native.step(slates)
        for b, env in enumerate(singles):
            found = {key: value[b] for key, value in observation.items()}
            if mode == AutoresetMode.NEXT_STEP and over[b]:
                assert_same(env.reset()[0], found)
                assert (reward[b], terminated[b], truncated[b]) == (0, False, False)
                continue
            own, paid, *flags, known = env.step(slates[b])
            assert (paid, *flags) == (reward[b], terminated[b], truncated[b])
            if mode == AutoresetMode.SAME_STEP and any(flags):
                assert_same(info["final_obs"][b], own)
                assert info["final_info"]["day"][b] == known["day"]
                own, known = env.reset()
            assert_same(own, found)
            assert {key: info[key][b] for key in known} == known
        over = terminated | truncated
        ends += over.sum()
    assert ends > 3


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 3), (3, 1)])
@pytest.mark.parametrize("mode", MODES)
def test_a_state_saved_mid_life_continues_to_the_bit_on_any_number_of_threads(short, mode, before, after):
    env = SlateVectorEnv(short, 33, autoreset_mode=mode, threads=before, privileged=True)
    env.reset(seed=2)
    rng = np.random.default_rng(0)
    slates = [slates_of(env, rng) for _ in range(50)]
    last = [env.step(slate) for slate in slates[:20]][-1]
    state = env.save_state()
    expected = [env.step(slate) for slate in slates[20:]]
    assert np.array([step[2] | step[3] for step in expected]).any()
    other = SlateVectorEnv(short, 33, autoreset_mode=mode, threads=after, privileged=True)
    observation = other.load_state(state)
    if not (last[2] | last[3]).any():
        assert_same(observation, last[0])
    assert_same([other.step(slate) for slate in slates[20:]], expected)
    env.close()
    other.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("slots", [None, 1, 3])
def test_what_a_step_has_returned_stays_as_it_was(short, mode, slots):
    """For callers keep it; no later step writes there, nor into another key."""
    options = {"privileged": True}
    if slots is None:
        env = SlateEnv(SlateVectorEnv(short, autoreset_mode=AutoresetMode.DISABLED, **options))
    else:
        env = SlateVectorEnv(short, slots, autoreset_mode=mode, **options)
    rng, kept = np.random.default_rng(3), [env.reset(seed=2)]
    copies = copy.deepcopy(kept)
    for _ in range(40):
        kept.append(env.step(rng.integers(0, len(short.catalog), env.action_space.shape)))
        copies.append(copy.deepcopy(kept[-1]))
    for value in kept[-1][0].values():
        value[...] = -1.0
        assert value.flags.c_contiguous
        assert not any(np.shares_memory(value, other) for other in kept[-1][0].values() if other is not value)
    for one, other in zip(kept[:-1], copies[:-1], strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("reward", REWARDS[:3])
def test_the_short_way_of_one_user_is_the_long_way(short, reward):
    """A step without arrays of one, and one through the vector environment, down to types and order."""
    envs = [SlateEnv(SlateVectorEnv(short, autoreset_mode="Disabled", reward=reward)) for _ in range(2)]
    envs[1]._alone = False
    rng, ended = np.random.default_rng(4), 0
    for env in envs:
        env.reset(seed=6)
    for _ in range(80):
        slate = rng.integers(0, len(short.catalog), envs[0].action_space.shape).astype(rng.choice(["i8", "i2", "f4"]))
        one, other = (env.step(slate) for env in envs)
        assert_same(one, other)
        assert [type(value) for value in one[1:4]] == [type(value) for value in other[1:4]]
        for place in (0, 4):
            assert [(name, type(value)) for name, value in one[place].items()] == [
                (name, type(value)) for name, value in other[place].items()
            ]
        if one[2] or one[3]:
            ended += 1
            for env in envs:
                env.reset()
    assert ended
    for wrong in ([1, 2], np.full(envs[0].action_space.shape, -1), np.full(envs[0].action_space.shape, 10**6), 1.5):
        said = []
        for env in envs:
            with pytest.raises(ValueError) as error:  # noqa: PT011  # whatever it says, both say the same
                env.step(wrong)
            said.append(str(error.value))
        assert said[0] == said[1]

"""The control scenario: nothing shown matters later, so that the best slate now is the best policy."""

import itertools
import math

import numpy as np
import pytest

from longplay.envs.env import SlateVectorEnv
from longplay.envs.users import dynamics, records
from longplay.tests.envs.worlds import content, record, scratch

PLACES = ["clock", "gap", "session", "depth", "session_minutes", "day", "status", "left", "taste"]


def lives(world, policy, steps=120):
    """Where and when the users are after each slate, and what they chose."""
    env = SlateVectorEnv(world, 100, autoreset_mode="Disabled")
    env.reset(seed=5, options={"users": np.arange(100)})
    places, rewards = [], []
    for _ in range(steps):
        rewards.append(env.step(policy(env.engine.users))[1])
        places.append(content(env.engine.users[PLACES]))
    return places, np.array(rewards), env.engine.users["status"].copy()


def best_first(world, users):
    """The items nearest to each user's current taste, best position first."""
    liking = users["taste"] @ world.items["taste"][1:].T.astype(np.float64)
    return np.argsort(-liking, axis=1)[:, : users["slate"].shape[1]] + 1


def policies(world):
    rng = np.random.default_rng(0)
    return {
        "best": lambda users: best_first(world, users),
        "nothing": lambda users: np.zeros((100, 10), np.int64),
        "random": lambda users: rng.integers(0, 301, (100, 10)),
    }


def test_what_is_shown_changes_nothing_later(control_world):
    found = {name: lives(control_world, policy) for name, policy in policies(control_world).items()}
    assert found["best"][0] == found["random"][0] == found["nothing"][0]
    ends = set(found["best"][2])
    assert ends >= {records.CHURNED, records.HORIZON}
    minutes = {name: rewards.sum() for name, (_, rewards, _) in found.items()}
    assert minutes["best"] > 2 * minutes["random"] > minutes["nothing"] == 0


def test_in_the_video_scenario_it_does(world):
    found = [lives(world, policy)[0] for policy in policies(world).values()]
    assert len({tuple(places) for places in found}) == 3


def test_every_click_pays_the_same(control_world):
    _, rewards, _ = lives(control_world, policies(control_world)["best"])
    paid = rewards[rewards > 0]
    np.testing.assert_allclose(paid, 10.0 / (1 + math.exp(-0.4)), rtol=1e-12)


def click_chance(world, user, slate):
    """Chance that the slate is opened, by the engine's own weights."""
    p, work = record(world.scenario), scratch(world.scenario)
    user.slate[:] = slate
    dynamics.feel(p, work, user)
    dynamics.weigh(p, work, world.items, user)
    total = dynamics.logit_chances(p, work, math.exp(p.choice_nothing))
    return work.weight.sum() / total


@pytest.fixture
def users(control_world):
    env = SlateVectorEnv(control_world, 12)
    env.reset(seed=1)
    for _ in range(15):  # with a history, so that there is something that might matter
        env.step(best_first(control_world, env.engine.users))
    return env.engine.users.copy()


def test_best_first_beats_any_perturbation(control_world, users):
    rng = np.random.default_rng(0)
    for user, best in zip(users, best_first(control_world, users), strict=True):
        highest = click_chance(control_world, user, best)
        for _ in range(60):
            other = best.copy()
            change = rng.integers(3)
            if change == 0:  # another item
                other[rng.integers(10)] = rng.integers(0, 301)
            elif change == 1:  # another order
                other[rng.permutation(10)[:2]] = other[rng.permutation(10)[:2]]
            else:
                other = rng.integers(0, 301, 10)
            found = click_chance(control_world, user, other)
            assert found < highest if not np.array_equal(other, best) else found == highest


def test_best_first_is_the_best_of_all_slates_of_a_tiny_catalogue(control_world, users):
    """Three slots, five items, all 6**3 slates, duplicates and empty slots among them."""
    rng = np.random.default_rng(3)
    for user in users:
        items = rng.choice(np.arange(1, 301), 5, replace=False)
        liking = control_world.items["taste"][items].astype(np.float64) @ user["taste"]
        best = tuple(items[np.argsort(-liking)][:3])
        chances = {
            slate: click_chance(control_world, user, [*slate, *[0] * 7])
            for slate in itertools.product([0, *items], repeat=3)
        }
        assert max(chances, key=chances.get) == best
        assert sorted(chances.values())[-2] < chances[best]

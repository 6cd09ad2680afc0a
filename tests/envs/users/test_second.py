"""The second taste, by which people judge: how it is drawn, what it does to a verdict, and that it may be missing."""

import numpy as np
import pytest
from scipy.special import expit

from longplay.envs.engine import _begin_lives
from longplay.envs.env import SlateVectorEnv
from longplay.envs.users.constants import ScenarioError
from longplay.envs.users.world import build_world
from longplay.tests.assertions import assert_same
from longplay.tests.envs.worlds import (
    as_array,
    content,
    crowd,
    hand_items,
    make_catalog,
    read,
    record,
    remembering,
    small,
)

MANY = 3000
JUDGING = {"second__weight": 2.0}
SCENARIO = remembering(**JUDGING)
ITEMS = hand_items(SCENARIO)
WIDTH = SCENARIO.shape.taste
K = SCENARIO.shape.slate


def draw(seed=0, **changes):
    """(taste, second taste) of many people, and the people."""
    people = build_world(make_catalog(300), small(shape__users=MANY, **JUDGING, **changes), seed).people
    return people["taste"], people["second"], people


class TestPeople:
    @pytest.mark.parametrize("agreement", [-0.5, 0.0, 0.3, 1.0])
    @pytest.mark.parametrize("own", [0.0, 0.2, 1.0])
    def test_it_agrees_with_the_taste_as_far_as_is_said(self, agreement, own):
        taste, second, _ = draw(second__agreement=agreement, second__own=own)
        np.testing.assert_allclose(np.linalg.norm(second, axis=1), 1.0)
        np.testing.assert_allclose((taste * second).sum(axis=1), agreement, atol=1e-12)

    def test_without_a_part_of_their_own_who_likes_the_same_is_glad_of_the_same(self):
        """A rotation, up to what of it lies along the taste: alike before is alike after."""
        taste, second, _ = draw()
        alike = taste[:400] @ taste[400:].T
        both = second[:400] @ second[400:].T
        close = alike > 0.8
        assert close.sum() > 100
        assert both[close].min() > 0.55
        assert np.corrcoef(alike.ravel(), both.ravel())[0, 1] > 0.9

    def test_with_nothing_else_it_is_everyones_own(self):
        taste, second, _ = draw(second__own=1.0)
        both = second[:400] @ second[400:].T
        close = taste[:400] @ taste[400:].T > 0.8
        assert abs(both[close].mean()) < 0.15

    def test_the_shared_part_is_the_worlds(self):
        """The same in every draw of a world's people, another in another world."""
        _, zero, _ = draw(second__own=0.0)
        _, again, _ = draw(second__own=0.0)
        np.testing.assert_array_equal(zero, again)
        _, mixed, _ = draw(second__own=0.5)
        # √(1−η) of the shared part, and of a part that is at a right angle to neither.
        assert abs((zero * mixed).sum(axis=1).mean() - np.sqrt(0.5)) < 0.05

    def test_it_comes_with_the_same_people(self):
        _, _, people = draw()
        plain = build_world(make_catalog(300), small(shape__users=MANY)).people
        assert not plain["second"].any()
        assert plain["second"].shape == (MANY, 1)
        rest = [name for name in people.dtype.names if name != "second"]
        assert content(people[rest]) == content(plain[rest])


class TestVerdict:
    @pytest.mark.parametrize("weight", [0.0, 0.7, 2.0])
    @pytest.mark.parametrize("item", [3, 8])
    def test_satisfaction_moves_towards_what_both_tastes_say(self, item, weight):
        users = crowd(SCENARIO, 20)
        users["leave_logit"], users["satisfaction"] = -50.0, 0.6
        rng = np.random.default_rng(2)
        second = rng.normal(size=(20, WIDTH))
        users["second"] = second / np.linalg.norm(second, axis=1, keepdims=True)
        users["slate"] = 0
        users["slate"][:, 4] = item
        p = record(SCENARIO, choice_nothing=-20.0, second_weight=weight)
        read(SCENARIO, p, users, ITEMS)
        assert (users["choice"] == 4).all()
        it = ITEMS[item]
        gain = p.satisfaction_base + p.satisfaction_substance * it["substance"] - p.satisfaction_appeal * it["appeal"]
        gain = gain + weight * np.sqrt(WIDTH) * users["second"].astype(float) @ it["taste"].astype(float)
        expected = 0.6 + p.satisfaction_rate * (expit(gain) - 0.6)
        np.testing.assert_allclose(users["satisfaction"], expected, rtol=1e-6)
        assert (users["satisfaction"].std() > 0.01) == (weight > 0)

    def test_it_moves_neither_choice_nor_completion_nor_minutes(self):
        rng, lives = np.random.default_rng(2), []
        for weight in (0.0, 3.0):
            users = crowd(SCENARIO, 500)
            second = rng.normal(size=(500, WIDTH))
            users["second"] = second / np.linalg.norm(second, axis=1, keepdims=True)
            minutes = read(SCENARIO, record(SCENARIO, second_weight=weight), users, ITEMS)
            lives.append((minutes, users["choice"].copy(), users["completion"].copy()))
        assert_same(*lives)

    def test_a_match_is_in_standard_deviations_of_items_in_any_direction(self):
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(20_000, WIDTH))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        assert (vectors @ np.eye(WIDTH)[0] * np.sqrt(WIDTH)).std() == pytest.approx(1.0, abs=0.02)


class TestLives:
    def make(self, num, **settings):
        world = build_world(make_catalog(300), remembering(shape__users=400, **JUDGING, **settings))
        return SlateVectorEnv(world, num, autoreset_mode="Disabled", privileged=True)

    def test_who_arrives_brings_theirs(self):
        env = self.make(20)
        _, info = env.reset(seed=1)
        np.testing.assert_array_equal(
            env.engine.users["second"], env.world.people["second"][env.engine.users["id"]].astype(np.float32)
        )
        np.testing.assert_array_equal(info["latent"]["second"], env.engine.users["second"])

    def test_a_saved_state_keeps_it(self):
        env, other = self.make(20), self.make(20)
        env.reset(seed=1)
        other.reset(seed=2)
        other.load_state(env.save_state())
        assert content(other.engine.users) == content(env.engine.users)
        slates = np.random.default_rng(0).integers(0, 301, (40, 20, K))
        for slate in slates:
            assert_same(other.step(slate), env.step(slate))

    def test_where_there_is_none_nothing_of_it_is_told_or_saved(self):
        world = build_world(make_catalog(300), remembering(shape__users=400))
        env = SlateVectorEnv(world, 5, privileged=True)
        _, info = env.reset(seed=1)
        assert "second" not in info["latent"]
        assert env.save_state()["users"].shape[1] < env.engine.users.dtype.itemsize + 8
        assert not env.engine.users["second"].any()

    def test_those_who_are_shown_what_they_are_glad_of_stay(self):
        """Slates of the items that match most and least, the same for a person in all sessions."""
        kept = []
        for sign in (1.0, -1.0):
            env = self.make(200, churn__trust=10.0, horizon__days=20.0)
            env.reset(seed=5)
            match = env.engine.users["second"] @ env.world.items["taste"][1:].T
            slates = 1 + np.argsort(-sign * match, axis=1)[:, :K]
            for _ in range(120):
                env.step(slates)
            kept.append((env.engine.users["status"] != 1).mean())
        assert kept[0] > kept[1] + 0.05


@pytest.mark.parametrize(
    ("key", "value"), [("weight", -1.0), ("weight", 30.0), ("agreement", 1.2), ("own", 1.1), ("own", -0.1)]
)
def test_what_is_not_allowed_is_refused(key, value):
    with pytest.raises(ScenarioError, match=rf"second\.{key} = {value} is out of range"):
        small(**{f"second__{key}": value})


def test_a_person_without_one_begins_without_one():
    """Where the weight is 0 the field is not read, whatever is in it."""
    world = build_world(make_catalog(300), remembering())
    users = np.zeros(1, world.scenario.make_user_type())
    _begin_lives(as_array(world.scenario.params), world.items, world.people, users, np.zeros(1, int), 0)
    assert users["second"].shape == (1, 1)
    assert not users["second"].any()

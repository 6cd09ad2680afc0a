"""What every behaviour of one's own keeps to: a concrete test class inherits it, and names its function."""

from types import FunctionType

import numpy as np
import pytest

from longplay.envs.env import SlateVectorEnv
from longplay.envs.single import SlateEnv
from longplay.envs.users import behaviours
from longplay.envs.users.world import build_world
from longplay.tests.envs.worlds import crowd, hand_items, make_catalog, record, remembering, scratch, small

STEPS = 30
USERS = 6
ARGUMENTS = {"utility": 0.5, "item": 3, "days": 0.25, "choice": 1}  # where a test does not say otherwise


def as_plain(function):
    """A copy of a function that is marked so that it is not compiled."""
    plain = behaviours.get_plain(function)
    copy = FunctionType(plain.__code__, plain.__globals__, plain.__name__, plain.__defaults__, plain.__closure__)
    copy.__module__ = plain.__module__
    return behaviours.mark_plain(copy)


class BehaviourContract:
    """What every behaviour of one's own keeps to: bounds, luck as its only chance, the same lives everywhere.

    A test class that inherits this names the behaviour and the function; what is claimed to rise or fall is listed in
    `monotone`, and checked alone, with the luck held.

    Attributes
    ----------
    name
        One of `longplay.envs.users.behaviours.BEHAVIOURS`.
    function
        The function, in ``staticmethod``.
    monotone
        For each claim ``(what, values, sign)``: with a field of the user, or a parameter of its own, set to these
        rising values, what is returned never falls (sign 1) or never rises (−1).
    compiles
        Whether Numba is expected to compile it.
    """

    name: str
    function = None
    monotone = ()
    compiles = True

    @pytest.fixture
    def world(self):  # built, and its users compiled, once in a process
        scenario = remembering(shape__users=40, horizon__days=4).with_behaviours({self.name: self.function})
        return build_world(make_catalog(120), scenario)

    @staticmethod
    def live(world, steps=STEPS, users=USERS, seed=3):
        """What happens to a few users who are shown random slates, and their states at the end."""
        env = SlateVectorEnv(world, users)
        env.reset(seed=seed)
        rng, trace = np.random.default_rng(0), []
        for _ in range(steps):
            _, reward, churned, over, info = env.step(rng.integers(0, len(world.catalog) + 1, env.action_space.shape))
            trace.append([info["user"], info["choice"], info["left"], churned, over, reward, info["day"]])
        return np.array(trace, float), env.engine.users.copy()

    def call(self, **changes):
        """What the function returns, and the user after it, for somebody in the middle of a session."""
        scenario = small()
        user, work = crowd(scenario)[0], scratch(scenario)
        work.choice_draw = work.leave_draw = 0.5
        user.fatigue, user.session_minutes, user.depth = 12.0, 15.0, 3
        known = {"p": record(scenario), "work": work, "items": hand_items(scenario), "user": user} | ARGUMENTS
        for key, value in changes.items():
            if key in known:
                known[key] = value
            else:
                user[key] = value
        given = [known[key] for key in behaviours.BEHAVIOURS[self.name].parameters]
        return behaviours.get_plain(self.function)(*given), user

    def test_it_is_one_of_the_behaviours_with_its_parameters(self):
        assert behaviours.read_behaviours("mine", {self.name: self.function}) == {self.name: self.function}

    def test_what_it_gives_is_finite_and_within_its_bounds(self, world):
        trace, users = self.live(world)  # guards raise where a promise is broken
        assert np.isfinite(trace).all()
        for field in ("satiation", "momentum", "satisfaction", "trust", "fatigue", "clock", "gap"):
            assert np.isfinite(users[field]).all(), field
        assert (users["satiation"] >= 0).all()

    def test_luck_is_its_only_chance(self, world):
        first, _ = self.live(world)
        again, _ = self.live(world)
        np.testing.assert_array_equal(first, again)
        other, _ = self.live(world, seed=4)
        assert (first != other).any()
        names = behaviours.get_plain(self.function).__code__.co_names
        assert "random" not in names, "all chance comes from longplay.envs.users.chance"

    def test_a_life_is_the_same_alone_and_in_a_batch(self, world):
        batch, _ = self.live(world)
        for slot in (0, USERS - 1):
            env = SlateEnv(SlateVectorEnv(world, 1, autoreset_mode="Disabled"))
            env.reset(seed=3 + slot)
            rng, over = np.random.default_rng(0), False
            for step in batch[:, :, slot]:
                slates = rng.integers(0, len(world.catalog) + 1, (USERS, *env.action_space.shape))
                if over:
                    break  # the batch goes on with the next user
                _, reward, churned, horizon, info = env.step(slates[slot])
                over = churned or horizon
                found = [info["user"], info["choice"], info["left"], churned, horizon, reward, info["day"]]
                np.testing.assert_array_equal(np.array(found, float), step)

    def test_plain_python_gives_the_same_lives(self, world, capsys):
        """Events agree exactly, times to 1e-9: the C library and LLVM round exp and log apart in the last bit."""
        if not self.compiles:
            assert "plain Python" in self.say_at_first(world, capsys)
            return
        compiled, _ = self.live(world)
        scenario = world.scenario.with_behaviours({self.name: as_plain(self.function)})
        plain, _ = self.live(build_world(world.catalog, scenario))
        np.testing.assert_array_equal(plain[:, :5], compiled[:, :5])
        np.testing.assert_allclose(plain, compiled, rtol=1e-9)

    def say_at_first(self, world, capsys):
        """What is said of a world's users."""
        from longplay.envs.shared import notices

        notices._SAID.clear()
        SlateVectorEnv(world, 1)
        return capsys.readouterr().err

    def test_what_is_claimed_to_rise_or_fall_does(self):
        for what, values, sign in self.monotone:
            results = [float(self.call(**{what: value})[0]) for value in values]
            assert (sign * np.diff(results) >= 0).all(), (what, results)
            assert results[0] != results[-1], f"{what} changes nothing"

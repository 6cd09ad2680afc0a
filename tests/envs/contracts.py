"""What every vector environment keeps to: a concrete test class inherits it, and says how its subject is made."""

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from longplay.tests.assertions import assert_same


class EnvContract:
    """What every vector environment keeps to, whatever its actions.

    A test class that inherits this defines a fixture ``make``: a function from ``slots`` and an autoreset mode to a
    vector environment whose episodes end within about 60 random steps.
    """

    modes = ("NextStep", "SameStep", "Disabled")

    @staticmethod
    def act(env, rng):
        """A random batch of actions, inside the space."""
        space = env.single_action_space
        if not hasattr(space, "low"):  # whole numbers, below n
            return rng.integers(0, space.nvec if hasattr(space, "nvec") else space.n, env.action_space.shape)
        return rng.uniform(space.low, space.high, env.action_space.shape).astype(space.dtype)

    def follow(self, env, steps, rng):
        return [env.step(self.act(env, rng)) for _ in range(steps)]

    @pytest.mark.parametrize("mode", modes)
    def test_steps_are_of_the_declared_spaces_and_types(self, make, mode):
        env = make(5, mode)
        assert env.metadata["autoreset_mode"].value == mode
        observation, info = env.reset(seed=0)
        assert observation in env.observation_space
        assert isinstance(info, dict)
        rng, ends = np.random.default_rng(0), 0
        for _ in range(60):
            action = self.act(env, rng)
            assert action in env.action_space
            observation, reward, terminated, truncated, info = env.step(action)
            assert observation in env.observation_space
            assert reward.dtype == np.float64
            assert np.isfinite(reward).all()
            assert terminated.dtype == truncated.dtype == bool
            assert reward.shape == terminated.shape == truncated.shape == (5,)
            assert not (terminated & truncated).any()
            assert ("final_obs" in info) == (mode == "SameStep" and (terminated | truncated).any())
            ends += (terminated | truncated).sum()
        assert ends > 0

    def test_equal_seeds_give_equal_bits_and_others_do_not(self, make):
        traces = []
        for seed in (1, 1, 2):
            env = make(4, "NextStep")
            env.reset(seed=seed)
            traces.append(repr(self.follow(env, 40, np.random.default_rng(0))))
        assert traces[0] == traces[1]
        assert traces[0] != traces[2]

    def test_slot_i_lives_as_slot_0_of_seed_plus_i(self, make):
        actions = self.act(make(6, "SameStep"), np.random.default_rng(0))
        batch = make(6, "SameStep")
        expected = [batch.reset(seed=10)[0]] + [batch.step(actions)[0] for _ in range(50)]
        for slot in (0, 5):
            env = make(1, "SameStep")
            found = [env.reset(seed=10 + slot)[0]] + [env.step(actions[slot : slot + 1])[0] for _ in range(50)]
            for one, whole in zip(found, expected, strict=True):
                for key in whole:
                    np.testing.assert_array_equal(one[key][0], whole[key][slot])

    @pytest.mark.parametrize("mode", modes)
    def test_a_saved_state_continues_to_the_bit(self, make, mode):
        env = make(6, mode)
        env.reset(seed=3)
        rng = np.random.default_rng(0)
        self.follow(env, 20, rng)
        while not ((step := env.step(self.act(env, rng)))[2] | step[3]).any():
            pass  # saved when somebody has just finished, the hardest moment
        before, state = step[0], env.save_state()
        expected = self.follow(env, 60, np.random.default_rng(1))
        assert np.array([step[2] | step[3] for step in expected]).any()
        other = make(6, mode)
        other.reset(seed=77)
        for continuing in (env, other, make(6, mode)):
            assert_same(continuing.load_state(state), before)
            assert_same(self.follow(continuing, 60, np.random.default_rng(1)), expected)

    def test_observations_and_actions_are_the_callers_own(self, make):
        one, two = make(4, "NextStep"), make(4, "NextStep")
        found, expected = one.reset(seed=0)[0], two.reset(seed=0)[0]
        for _ in range(20):
            assert_same(found, expected)
            if not hasattr(one, "map"):  # else the next actions answer this observation
                for array in found.values():
                    array[...] = 0
            action = self.act(one, np.random.default_rng(1))
            given = action.copy()
            found, expected = one.step(action)[0], two.step(given)[0]
            np.testing.assert_array_equal(action, given)

    def test_a_step_before_the_reset_is_refused(self, make):
        env = make(2, "NextStep")
        with pytest.raises(ResetNeeded, match=r"call reset\(\) before step\(\)"):
            env.step(self.act(env, np.random.default_rng(0)))

    @pytest.mark.parametrize(
        "wrong", [lambda a: a[:, :-1], lambda a: a[:1], lambda a: a[0]], ids=["width", "rows", "flat"]
    )
    def test_actions_of_another_shape_are_refused(self, make, wrong):
        env = make(2, "NextStep")
        env.reset(seed=0)
        with pytest.raises(ValueError, match="shape"):
            env.step(wrong(self.act(env, np.random.default_rng(0))))

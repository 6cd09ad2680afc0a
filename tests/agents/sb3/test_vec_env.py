"""The stable-baselines3 face against its own `DummyVecEnv`."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from longplay.agents.playing.training_users import REWARD_SCALE
from longplay.agents.runs.reading import Reading
from longplay.agents.sb3.vec_env import SideBySide, SlateVecEnv
from longplay.envs import Video
from longplay.envs.engine import ContextColumn
from longplay.tests.agents.small import make_training_env, tiny_run

SLOTS = 4


class Encoded(gym.Wrapper):
    """A single environment whose observations are states and whose rewards are scaled, one user at a time."""

    def __init__(self, env, encoder):
        super().__init__(env)
        self.encoder = encoder
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (encoder.width,), np.float32)

    def state(self, observation):
        return self.encoder({key: value[None] for key, value in observation.items()})[0]

    def reset(self, **options):
        observation, info = self.env.reset(**options)
        self.session = int(observation["context"][ContextColumn.SESSION])
        return self.state(observation), info

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        info["churned"] = terminated
        info["session"] = self.session
        self.session = int(observation["context"][ContextColumn.SESSION])
        return self.state(observation), REWARD_SCALE * reward, terminated, truncated, info


@pytest.fixture(scope="module")
def traces(setting):
    """The same 320 random actions through the native face and through single environments."""
    encoder = Reading(setting, "pooled").state_encoder
    config = tiny_run(setting, num_envs=SLOTS)
    native = SlateVecEnv(make_training_env(config), encoder, REWARD_SCALE)
    world = setting.world

    def single():
        options = {"scenario": world.scenario, "catalog": world.catalog, "action": "weights"}
        return Encoded(Video(item_vectors=setting.item_vectors, **options), Reading(setting, "pooled").state_encoder)

    dummy = DummyVecEnv([single] * SLOTS)
    found = []
    for env in (native, dummy):
        rng = np.random.default_rng(0)
        env.seed(5)
        steps = [(env.reset(), None, None, [{}] * SLOTS)]
        for _ in range(320):
            steps.append(env.step(rng.uniform(-1.2, 1.2, (SLOTS, 10)).astype(np.float32)))
        found.append([tuple(np.array(x) if k < 3 else x for k, x in enumerate(step)) for step in steps])
    return found


class TestSlateVecEnv:
    def test_many_episodes_end_in_both_ways(self, traces):
        ends = [info["churned"] for step in traces[1] for info in step[3] if "terminal_observation" in info]
        assert len(ends) > 30
        assert 4 <= sum(ends) <= len(ends) - 4

    def test_states_rewards_and_ends_are_those_of_single_environments(self, traces):
        for k, (one, other) in enumerate(zip(*traces, strict=True)):
            np.testing.assert_array_equal(one[0], other[0], err_msg=f"states of step {k}")
            if k > 0:
                for a, b in zip(one[1:3], other[1:3], strict=True):
                    np.testing.assert_array_equal(a, b, err_msg=f"step {k}")
                    assert a.dtype == b.dtype
        assert traces[0][0][0].dtype == np.float32

    def test_terminal_observations_are_those_of_single_environments(self, traces):
        for one, other in zip(*traces, strict=True):
            for a, b in zip(one[3], other[3], strict=True):
                assert ("terminal_observation" in a) == ("terminal_observation" in b)
                if "terminal_observation" in a:
                    np.testing.assert_array_equal(a["terminal_observation"], b["terminal_observation"])

    def test_horizon_and_churn_are_never_confused(self, traces):
        for one, other in zip(*traces, strict=True):
            for a, b in zip(one[3], other[3], strict=True):
                assert a.get("TimeLimit.truncated", False) == b.get("TimeLimit.truncated", False)
                if "terminal_observation" in a:
                    assert a["TimeLimit.truncated"] is not b["churned"]
                    assert a["TimeLimit.truncated"] == (b["day"] >= 6.0)

    def test_episodes_report_their_own_minutes_and_length(self, traces):
        minutes, length = np.zeros(SLOTS), np.zeros(SLOTS, int)
        for _, reward, done, infos in traces[0][1:]:
            minutes += reward / REWARD_SCALE
            length += 1
            for b, info in enumerate(infos):
                assert ("episode" in info) == done[b]
                if done[b]:
                    assert info["episode"]["r"] == pytest.approx(minutes[b], rel=1e-5)
                    assert info["episode"]["l"] == length[b]
                    minutes[b] = length[b] = 0

    def test_infos_say_who_was_shown_a_slate_and_what_came_of_it(self, traces):
        sessions, churned = set(), 0
        for one, other in zip(*(trace[1:] for trace in traces), strict=True):
            for a, b in zip(one[3], other[3], strict=True):
                for name in ("user", "item", "left", "session"):
                    assert a[name] == b[name], name
                    assert type(a[name]) is (bool if name == "left" else int)
                sessions.add(a["session"])
                churned += b["churned"] and a["left"]
        assert {0, 1, 2} <= sessions
        assert churned > 3

    def test_saved_state_continues(self, setting):
        config = tiny_run(setting, num_envs=SLOTS)
        one, other = (
            SlateVecEnv(make_training_env(config), Reading(setting, "pooled").state_encoder) for _ in range(2)
        )
        rng = np.random.default_rng(0)
        one.seed(3)
        one.reset()
        for _ in range(20):
            one.step(rng.uniform(-1, 1, (SLOTS, 10)))
        other.reset()
        other.load_state(one.save_state())
        for _ in range(60):
            action = rng.uniform(-1, 1, (SLOTS, 10))
            for a, b in zip(one.step(action), other.step(action), strict=True):
                np.testing.assert_equal(a, b)

    def test_parts_side_by_side_are_the_whole(self, setting):
        encoder = Reading(setting, "pooled").state_encoder

        def make(users):
            return SlateVecEnv(make_training_env(tiny_run(setting, num_envs=users)), encoder, REWARD_SCALE)

        whole, parts, again = make(4), SideBySide([make(3), make(1)]), SideBySide([make(2), make(2)])
        rng = np.random.default_rng(1)
        for env in (whole, parts):
            assert env.seed(3) == [3, 4, 5, 6]
        np.testing.assert_array_equal(whole.reset(), parts.reset())
        ended = 0
        for k in range(150):
            action = rng.uniform(-1, 1, (4, 10))
            for a, b in zip(whole.step(action), parts.step(action), strict=True):
                np.testing.assert_equal(a, b)
            ended += whole.returns.min() == 0.0
            if k == 100:
                np.testing.assert_equal(whole.save_state(), parts.save_state())
                again.reset()
                again.load_state(parts.save_state())
                action = np.zeros((4, 10))
                steps = [env.step(action) for env in (whole, parts, again)]
                for step in steps[1:]:
                    np.testing.assert_equal(steps[0], step)
        assert ended
        assert parts.get_attr("map", [0, 3]) == [part.env.map for part in parts.parts]
        assert parts.env_is_wrapped(Monitor) == [True] * 4

    def test_reset_starts_the_sums_again(self, setting):
        env = SlateVecEnv(
            make_training_env(tiny_run(setting, num_envs=SLOTS)), Reading(setting, "pooled").state_encoder
        )
        env.seed(0)
        first = env.reset()
        for _ in range(3):
            env.step(np.ones((SLOTS, 10)))
        assert env.lengths.min() >= 1
        env.seed(0)
        np.testing.assert_array_equal(env.reset(), first)
        assert not env.lengths.any()
        assert not env.returns.any()

    @pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
    def test_another_autoreset_mode_is_refused(self, setting, mode):
        env = setting.vector_env(2, "weights", autoreset_mode=mode)
        with pytest.raises(ValueError, match=rf"autoreset_mode is {mode}; .* needs SAME_STEP"):
            SlateVecEnv(env, Reading(setting, "pooled").state_encoder)

    def test_slots_are_one_batch(self, setting):
        env = SlateVecEnv(
            make_training_env(tiny_run(setting, num_envs=SLOTS)), Reading(setting, "pooled").state_encoder
        )
        assert env.get_attr("num_envs") == [SLOTS] * SLOTS
        assert env.get_attr("num_envs", [0, 2]) == [SLOTS] * 2
        assert env.env_is_wrapped(gym.Wrapper) == [False] * SLOTS
        assert env.env_is_wrapped(Monitor, [1]) == [True]
        with pytest.raises(NotImplementedError, match="one batch"):
            env.set_attr("num_envs", 1)
        with pytest.raises(NotImplementedError, match="one batch"):
            env.env_method("reset")


class First:
    """Shows the first candidates by the action of weights that are all 0, in place of a model."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return np.zeros((len(observation), 10), np.float32), None


def play_by_hand(setting, reward, episodes):
    """What the first episodes of each slot paid, by the vector environment alone."""
    env = setting.vector_env(SLOTS, "weights", autoreset_mode=AutoresetMode.SAME_STEP)
    env.unwrapped.reward = reward
    env.reset(seed=5)
    sums, found = np.zeros(SLOTS), [[] for _ in range(SLOTS)]
    while min(map(len, found)) < episodes:
        _, paid, terminated, truncated, _ = env.step(np.zeros((SLOTS, 10), np.float32))
        sums += paid
        for b in np.flatnonzero(terminated | truncated):
            found[b].append(float(sums[b]))
            sums[b] = 0.0
    return [value for row in found for value in row[:episodes]]


@pytest.mark.filterwarnings("error")
class TestTrueUnits:
    """What is reported is what was earned, though training sees a tenth of it."""

    def make(self, setting, reward="minutes", **options):
        env = setting.vector_env(SLOTS, "weights", autoreset_mode=AutoresetMode.SAME_STEP)
        env.unwrapped.reward = reward
        found = SlateVecEnv(env, Reading(setting, "pooled").state_encoder, **options)
        found.seed(5)
        return found

    @pytest.mark.parametrize(
        ("reward", "options"),
        [("minutes", {}), ("minutes", {"scale": REWARD_SCALE}), ("clicks", {}), ("returns", {})],
    )
    def test_evaluate_policy_reports_what_was_earned(self, setting, reward, options):
        found, _ = evaluate_policy(
            First(), self.make(setting, reward, **options), 2 * SLOTS, return_episode_rewards=True
        )
        expected = play_by_hand(setting, reward, 2)
        assert sum(expected) > 0
        np.testing.assert_allclose(sorted(found), sorted(expected), rtol=1e-9)

    def test_a_step_pays_the_environments_unit(self, setting):
        env, earned = self.make(setting), 0.0
        env.reset()
        while True:
            _, paid, done, infos = env.step(np.zeros((SLOTS, 10), np.float32))
            earned += paid[0]
            if done[0]:
                break
        assert earned == pytest.approx(infos[0]["episode"]["r"], rel=1e-6)
        assert earned == pytest.approx(play_by_hand(setting, "minutes", 1)[0], rel=1e-6)

    def test_the_callback_for_evaluation_reports_minutes(self, setting):
        settings = {"n_steps": 8, "batch_size": 32, "n_epochs": 1, "learning_rate": 0.0, "seed": 0}
        model = PPO("MlpPolicy", self.make(setting, scale=REWARD_SCALE), device="cpu", **settings)
        callback = EvalCallback(self.make(setting), eval_freq=8, n_eval_episodes=SLOTS, verbose=0)
        model.learn(8 * SLOTS, callback=callback)
        earned, _ = evaluate_policy(model, self.make(setting), SLOTS)
        assert callback.last_mean_reward == pytest.approx(earned)
        assert earned > 1.0

    @pytest.mark.parametrize("reward", ["clicks", "returns"])
    def test_what_is_no_minutes_is_never_scaled(self, setting, reward):
        with pytest.raises(ValueError, match=rf"scale = 0.1 is for rewards in minutes, .* pays {reward}; leave it out"):
            self.make(setting, reward, scale=0.1)

    def test_trainings_see_a_tenth_and_tell_minutes(self, setting):
        config = tiny_run(setting, num_envs=SLOTS)
        reading = Reading(setting, "pooled", action="weights")
        env = config.entry.make_env(config, reading, reading.state_encoder)
        env.seed(5)
        env.reset()
        paid = sum(env.step(np.zeros((SLOTS, 10), np.float32))[1].sum() for _ in range(3))
        assert paid == pytest.approx(REWARD_SCALE * sum(part.returns.sum() for part in env.parts), rel=1e-6)
        assert paid > 0


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_that_would_turn_or_end_rewards_is_refused(setting, scale):
    env, encoder = make_training_env(tiny_run(setting)), Reading(setting, "pooled").state_encoder
    with pytest.raises(ValueError, match=rf"scale = {scale} is out of range; allowed: above 0, and finite"):
        SlateVecEnv(env, encoder, scale)


def test_an_environment_of_one_user_is_refused_with_the_way(setting):
    single = Video(scenario=setting.world.scenario, catalog=setting.world.catalog)
    with pytest.raises(ValueError, match=r"of a single user; SlateVecEnv takes .*make_vec\(id, num_envs="):
        SlateVecEnv(single, Reading(setting, "pooled").state_encoder)

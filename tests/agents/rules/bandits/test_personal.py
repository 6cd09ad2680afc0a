"""Bandits that go on learning in each user's life."""

from dataclasses import replace

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from longplay.agents.base import AgentSession, Remembering
from longplay.agents.rules.bandits.linear import WARM_UP, BanditOptions, LinearBandit
from longplay.agents.rules.bandits.personal import PersonalBandit
from longplay.agents.rules.bandits.posterior import Posterior
from longplay.tests.agents.contracts import AgentContract
from longplay.tests.assertions import assert_same

SLOTS = 10
UCB = BanditOptions()
THOMPSON = BanditOptions(method="thompson", play_alpha=0.5)


@pytest.fixture(scope="session")
def learned(setting, scorer):
    """Personal bandits by options, each learned once."""
    kept = {}

    def make(options=UCB):
        if options not in kept:
            kept[options] = PersonalBandit(setting.world, scorer, options)
            env = setting.vector_env(64, "items", autoreset_mode=AutoresetMode.SAME_STEP)
            kept[options].learn(env, WARM_UP + 30, seed=3)
        return kept[options]

    return make


@pytest.fixture
def observation(states):
    return states[0]


@pytest.fixture
def visible(observation):
    return {key: value for key, value in observation.items() if key != "latent"}


class TestPersonalLinUCBContract(AgentContract):
    @pytest.fixture
    def subject(self, learned):
        return learned(replace(UCB, play_alpha=0.3))


class TestPersonalLinTSContract(AgentContract):
    @pytest.fixture
    def subject(self, learned):
        return learned(THOMPSON)


def lives(setting, agent, users, steps=30):
    """Slates (steps, B, K) of users followed, and their memory at the end."""
    env = setting.vector_env(len(users), "items", split="validation", autoreset_mode=AutoresetMode.DISABLED)
    observation, _ = env.reset(seed=5, options={"users": np.asarray(users)})
    following, everyone, slates = AgentSession(agent, len(users)), np.ones(len(users), bool), []
    for _ in range(steps):
        slates.append(following.act(observation, everyone))
        observation = env.step(slates[-1])[0]
    return np.array(slates), following.memory


class TestPersonal:
    @pytest.fixture
    def agent(self, learned):
        return learned(replace(UCB, prior_slots=50.0))

    @pytest.fixture
    def users(self, setting):
        return np.arange(setting.world.split("validation").start, setting.world.split("validation").start + 6)

    def test_it_remembers_and_the_shared_one_does_not(self, agent):
        assert isinstance(agent, Remembering)
        assert not isinstance(LinearBandit(agent.world, agent.scorer), Remembering)

    def test_a_life_depends_on_its_own_user_alone(self, setting, agent, users):
        slates, memory = lives(setting, agent, users)
        again, same = lives(setting, agent, users)
        np.testing.assert_array_equal(slates, again)
        assert_same(memory, same)
        for some in ([4], [5, 0, 2]):
            part, kept = lives(setting, agent, users[some])
            np.testing.assert_array_equal(part, slates[:, some])
            for key, value in kept.items():
                np.testing.assert_array_equal(value, memory[key][some])

    def test_what_one_user_answers_teaches_nothing_of_another(self, agent, visible):
        slates, memory = agent.follow(visible, agent.start(len(visible["candidates"])))
        after = visible | {"slate_ids": slates.astype(np.float32), "slate_response": np.zeros(slates.shape, np.float32)}
        quiet = agent.follow(after, memory)[1]
        after["slate_response"][0, 4] = 0.8
        found = agent.follow(after, memory)[1]
        assert (quiet["moment"][0] != found["moment"][0]).any()
        for key in memory:
            np.testing.assert_array_equal(quiet[key][1:], found[key][1:])

    @pytest.mark.parametrize("feedback", ["semi", "cascade"])
    def test_follow_learns_minutes_of_the_slate_it_showed(self, learned, visible, feedback):
        agent = learned(BanditOptions(feedback=feedback))
        memory = agent.start(len(visible["candidates"]))
        slates, between = agent.follow(visible, memory)
        for key in ("precision", "moment"):
            np.testing.assert_array_equal(between[key], memory[key])  # nobody has answered yet
        response = np.zeros(slates.shape, np.float32)
        response[:, 2] = 0.5
        after = agent.follow(visible | {"slate_ids": slates.astype(np.float32), "slate_response": response}, between)[1]
        place = (visible["candidates"][:, None, :] == slates[:, :, None]).argmax(axis=2)
        inputs = agent.design.make_inputs(agent.scorer, agent._components, visible)
        x = np.take_along_axis(inputs, place[:, :, None], axis=1)
        x = x * np.arange(1, SLOTS + 1)[:, None] ** -0.5 if feedback == "semi" else x[:, :3]
        minutes = 0.5 * agent.world.items["minutes"][slates[:, 2]]
        np.testing.assert_allclose(after["moment"], memory["moment"] + minutes[:, None] * x[:, 2], rtol=1e-9)
        np.testing.assert_allclose(
            after["precision"], memory["precision"] + np.einsum("bki,bkj->bij", x, x), rtol=1e-9, atol=1e-9
        )

    def test_it_learns_the_minutes_that_were_paid(self, setting, agent, users):
        env = setting.vector_env(len(users), "items", split="validation", autoreset_mode=AutoresetMode.DISABLED)
        observation, _ = env.reset(seed=5, options={"users": users})
        memory, clicks, alive = agent.start(len(users)), 0, np.ones(len(users), bool)
        for _ in range(12):
            slates, memory = agent.follow(observation, memory)
            observation, minutes, terminated, truncated, info = env.step(slates)
            response = observation["slate_response"].astype(float)[alive]
            np.testing.assert_allclose(
                (response * agent._minutes[slates[alive]]).sum(axis=1), minutes[alive], rtol=1e-5
            )
            np.testing.assert_array_equal(response.any(axis=1), (info["choice"] >= 0)[alive])
            clicks += response.any(axis=1).sum()
            alive = ~(terminated | truncated)
        assert clicks > 0

    def test_slates_of_somebody_else_teach_nothing(self, agent, visible):
        slates, memory = agent.follow(visible, agent.start(len(visible["candidates"])))
        others = slates[:, ::-1].astype(np.float32)
        response = np.zeros(slates.shape, np.float32)
        response[:, 0] = 1.0
        after = agent.follow(visible | {"slate_ids": others, "slate_response": response}, memory)[1]
        np.testing.assert_array_equal(after["moment"], memory["moment"])
        np.testing.assert_array_equal(after["precision"], memory["precision"])

    def test_it_starts_from_the_shared_mean_at_the_weight_asked(self, agent):
        memory = agent.start(3)
        mine = Posterior(memory["precision"], memory["moment"])
        np.testing.assert_allclose(mine.mean, np.tile(agent.posterior.mean, (3, 1)), rtol=1e-8)
        np.testing.assert_allclose(memory["precision"][1] * agent.slots_learned / 50.0, agent.posterior.precision)
        surer = PersonalBandit(agent.world, agent.scorer, replace(agent.options, prior_slots=1e12))
        surer._adopt(agent.design, agent.posterior)
        surer.slots_learned = agent.slots_learned
        np.testing.assert_array_equal(
            surer.start(1)["precision"][0], agent.posterior.precision
        )  # no more than was seen

    def test_memory_is_small(self, setting, scorer):
        agent = PersonalBandit(setting.world, scorer, BanditOptions(components=14))
        agent.learn(setting.vector_env(16, "items", autoreset_mode=AutoresetMode.SAME_STEP), WARM_UP + 1)
        memory = agent.start(10)
        assert agent.design.width == 24
        assert sum(value.nbytes for value in memory.values()) / 10 < 8192

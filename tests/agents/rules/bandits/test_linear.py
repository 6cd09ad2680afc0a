"""Linear bandits against closed forms, on a bandit whose best slate is known, and in a small world."""

import json
from dataclasses import replace
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from longplay.agents.playing.evaluate import Evaluator
from longplay.agents.rules.bandits.linear import WARM_UP, BanditOptions, LinearBandit
from longplay.agents.rules.bandits.personal import PersonalBandit
from longplay.agents.rules.simple import RandomCandidates
from longplay.envs.candidates.scoring import Scorer
from longplay.envs.engine import ContextColumn
from longplay.envs.users.world import build_world
from longplay.tests.agents.contracts import AgentContract
from longplay.tests.envs.worlds import make_catalog, small

SLOTS = 10
UCB = BanditOptions()
THOMPSON = BanditOptions(method="thompson", play_alpha=0.5)


def make_env(setting, users=64, **options):
    return setting.vector_env(users, "items", **{"autoreset_mode": AutoresetMode.SAME_STEP, **options})


@pytest.fixture(scope="session")
def learned(setting, scorer):
    """Bandits by class and options, each learned once."""
    kept = {}

    def make(kind=LinearBandit, options=UCB):
        if (kind, options) not in kept:
            agent = kept[kind, options] = kind(setting.world, scorer, options)
            agent.learn(make_env(setting), WARM_UP + 30, seed=3)
        return kept[kind, options]

    return make


@pytest.fixture
def observation(states):
    return states[0]


@pytest.fixture
def visible(observation):
    return {key: value for key, value in observation.items() if key != "latent"}


class TestLinUCBContract(AgentContract):
    @pytest.fixture
    def subject(self, learned):
        return learned(LinearBandit, replace(UCB, play_alpha=1.0))


class TestCascadeLinUCBContract(AgentContract):
    @pytest.fixture
    def subject(self, learned):
        return learned(LinearBandit, replace(UCB, feedback="cascade"))


class TestLinTSContract(AgentContract):
    @pytest.fixture
    def subject(self, learned):
        return learned(LinearBandit, THOMPSON)


class TestCascadeLinTSContract(AgentContract):
    @pytest.fixture
    def subject(self, learned):
        return learned(LinearBandit, replace(THOMPSON, feedback="cascade", reward="clicks"))


class TestLessons:
    def lesson(self, learned, options, choice):
        agent = LinearBandit(learned().world, learned().scorer, options)
        shown, slates = np.ones((2, SLOTS, 3)), np.tile(np.arange(1, SLOTS + 1), (2, 1))
        slates[:, 1] = 0  # an empty slot
        return agent._read_lesson(shown, slates, np.array(choice), np.array([7.0, 0.0]))

    def test_semi_lessons_discount_the_slot(self, learned):
        inputs, rewards, weights = self.lesson(learned, UCB, [3, -1])
        np.testing.assert_allclose(inputs[0, :, 0], np.arange(1, SLOTS + 1) ** -0.5)
        np.testing.assert_array_equal(rewards, [np.arange(SLOTS) == 3, np.zeros(SLOTS)] * np.array(7.0))
        np.testing.assert_array_equal(weights, np.tile(np.arange(SLOTS) != 1, (2, 1)))

    def test_cascade_lessons_end_at_the_choice_and_have_no_discount(self, learned):
        inputs, rewards, weights = self.lesson(learned, BanditOptions(feedback="cascade", reward="clicks"), [3, -1])
        np.testing.assert_array_equal(inputs, 1.0)
        assert rewards[0].tolist() == (np.arange(SLOTS) == 3).tolist()
        assert weights[0].tolist() == [1, 0, 1, 1, 0, 0, 0, 0, 0, 0]
        assert weights[1].tolist() == [1, 0, 1, 1, 1, 1, 1, 1, 1, 1]

    def test_what_was_not_seen_changes_nothing(self, learned):
        agent = learned(LinearBandit, replace(UCB, feedback="cascade"))
        shown = np.random.default_rng(0).normal(size=(2, SLOTS, agent.design.width))
        slates, choice, minutes = np.tile(np.arange(1, SLOTS + 1), (2, 1)), np.array([2, 4]), np.array([3.0, 5.0])
        other = shown.copy()
        other[0, 3:], other[1, 5:] = 99.0, -99.0
        kept = agent.posterior, agent.slots_learned
        found = []
        for inputs in (shown, other):
            agent.posterior, agent.slots_learned = kept
            agent._learn_from(inputs, slates, choice, minutes)
            found.append((agent.posterior.mean, agent.slots_learned - kept[1]))
        agent.posterior, agent.slots_learned = kept
        np.testing.assert_array_equal(found[0][0], found[1][0])
        assert found[0][1] == found[1][1] == 3 + 5


class LinearWorld:
    """A semi-bandit whose best slate is known: an item of worth v pays v, give or take, from one slot at random.

    Every user has the same candidates, so that who settles too early on what pays enough never finds what pays best.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
    reward = "minutes"

    def __init__(self, world, worth, users=2):
        self.world, self.worth, self.num_envs, self.unwrapped = world, worth, users, self
        self.slots, self.rng = world.scenario.shape.slate, np.random.default_rng(0)
        self.single_observation_space = SimpleNamespace(spaces={"candidates": None})
        self.single_action_space = gym.spaces.MultiDiscrete([len(world.catalog) + 1] * self.slots)
        self.steps = 0

    def observe(self):
        shape, items = self.world.scenario.shape, len(self.world.catalog)
        past = ("history_ids", "history_completion", "history_age")
        out = {name: np.zeros((self.num_envs, shape.history), np.float32) for name in past}
        out["profile"] = np.zeros((self.num_envs, shape.topics), np.float32)
        out["candidates"] = np.tile(np.arange(1, items + 1, dtype=np.float32), (self.num_envs, 1))
        out["context"] = np.zeros((self.num_envs, len(ContextColumn)), np.float32)
        out["context"][:, ContextColumn.DEPTH] = self.steps
        out["context"][:, ContextColumn.SESSION_MINUTES] = np.arange(self.num_envs)
        return out

    def reset(self, seed):
        self.rng, self.steps = np.random.default_rng(seed), 0
        return self.observe(), {}

    def step(self, slates):
        self.steps += 1
        slot = self.rng.integers(0, self.slots, self.num_envs)
        paid = self.worth[slates[np.arange(self.num_envs), slot]] + 0.3 * self.rng.normal(size=self.num_envs)
        no = np.zeros(self.num_envs, bool)
        return self.observe(), paid, no, no, {"choice": slot, "worth": self.worth[slates].mean(axis=1)}


class TestRegret:
    """In units of an item's mean reward, over the last steps of learning in `LinearWorld`."""

    @pytest.fixture(scope="class")
    @classmethod
    def arms(cls):
        """Worths that inputs explain exactly; what is worth most is unlike what comes first."""
        catalog = make_catalog(60)
        world = build_world(catalog, small())
        vectors = np.random.default_rng(0).normal(size=(60, 12)).astype(np.float32)
        scorer = Scorer(world, vectors)
        unit = scorer.vectors[1:].astype(float)
        best = unit[SLOTS:].mean(axis=0) - unit[:SLOTS].mean(axis=0)
        worth = np.zeros(61)
        worth[1:] = 2.0 + 4.0 * unit @ best / np.linalg.norm(best)
        return world, scorer, worth

    def regret(self, arms, agent, steps):
        """Mean shortfall to the best slate of the steps, early and late."""
        world, _, worth = arms
        env, found = LinearWorld(world, worth), []
        step = env.step

        def watched(slates):
            out = step(slates)
            found.append(np.sort(worth)[-SLOTS:].mean() - out[4]["worth"].mean())
            return out

        env.step = watched
        agent.learn(env, steps, seed=0)
        regret = np.array(found[WARM_UP:])
        return regret[:100].mean(), regret[-100:].mean()

    @pytest.mark.parametrize("method", ["ucb", "thompson"])
    def test_it_shrinks_and_beats_random_and_greed(self, arms, method):
        world, scorer, worth = arms
        options = BanditOptions(method=method, components=12, position=0.0, alpha=1.0)
        early, late = self.regret(arms, LinearBandit(world, scorer, options), 1500)
        _, greedy = self.regret(arms, LinearBandit(world, scorer, replace(options, alpha=0.0)), 1500)
        random = np.sort(worth)[-SLOTS:].mean() - worth[1:].mean()
        assert late < 0.5 * early
        assert late < 0.1 * random
        assert late < 0.5 * greedy


class TestLearning:
    def test_clicks_and_minutes_rise_over_random(self, setting, scorer, learned):
        users = np.array(list(setting.world.split("validation")))
        evaluator = Evaluator(setting.world, setting.item_vectors, users, luck=7)

        def rates(agent):
            table = evaluator.play(agent)
            return table["clicks"].sum() / table["slates"].sum(), table["minutes"].mean()

        clicks, minutes = rates(RandomCandidates(scorer))
        for agent in (learned(), learned(LinearBandit, THOMPSON), learned(PersonalBandit, UCB)):
            better = rates(agent)
            assert better[0] > clicks + 0.02
            assert better[1] > minutes

    def test_it_is_what_its_lessons_give_by_ridge_regression(self, setting, scorer):
        """Rewards and choices of the episodes that ended, too."""
        lessons = []

        class Watched(LinearBandit):
            def _learn_from(self, shown, slates, choice, minutes):
                np.testing.assert_array_equal(choice >= 0, minutes > 0)
                lessons.append(self._read_lesson(shown, slates, choice, minutes))
                return super()._learn_from(shown, slates, choice, minutes)

        env, ends = make_env(setting, 32), []
        step = env.step

        def watched(slates):
            out = step(slates)
            ends.append(((out[2] | out[3]) & (out[1] > 0)).sum())
            return out

        env.step = watched
        agent = Watched(setting.world, scorer, UCB)
        curve = agent.learn(env, WARM_UP + 25, seed=1)
        assert sum(ends[WARM_UP:]) > 0  # else nothing was tried
        inputs, rewards, weights = (np.concatenate(parts) for parts in zip(*lessons, strict=True))
        flat = inputs.reshape(-1, agent.design.width)
        weighted = flat.T * weights.ravel()
        expected = np.linalg.solve(np.eye(agent.design.width) + weighted @ flat, weighted @ rewards.ravel())
        np.testing.assert_allclose(agent.posterior.mean, expected, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(curve, rewards.sum(axis=1).reshape(25, 32).mean(axis=1))
        assert agent.slots_learned == weights.sum() == 25 * 32 * SLOTS

    @pytest.mark.parametrize("options", [UCB, THOMPSON], ids=["ucb", "thompson"])
    def test_equal_seeds_teach_the_same_and_others_do_not(self, setting, scorer, options):
        means = []
        for seed in (1, 1, 2):
            agent = LinearBandit(setting.world, scorer, options)
            agent.learn(make_env(setting, 16), WARM_UP + 4, seed=seed)
            means.append(agent.posterior.mean.tolist())
        assert means[0] == means[1] != means[2]

    def test_it_starts_from_nothing_and_tells_how_far_it_is(self, setting, scorer):
        agent, told = LinearBandit(setting.world, scorer), []
        for _ in range(2):
            agent.learn(make_env(setting, 16), WARM_UP + 4, seed=1, progress=told.append)
            mean = agent.posterior.mean
        np.testing.assert_array_equal(mean, agent.posterior.mean)
        assert agent.slots_learned == 4 * 16 * SLOTS
        assert told == 2 * [pytest.approx((WARM_UP + n) / (WARM_UP + 4)) for n in (1, 2, 3, 4)]

    def test_playing_teaches_nothing(self, learned, visible):
        agent = learned()
        before = agent.posterior.mean.copy()
        agent.act(visible)
        np.testing.assert_array_equal(agent.posterior.mean, before)

    def test_draws_are_of_the_seed(self, learned, visible):
        agent = learned(LinearBandit, replace(THOMPSON, play_alpha=30.0))
        kept, slates = agent.seed, agent.act(visible)
        agent.seed = 12345
        other = agent.act(visible)
        agent.seed = kept
        assert (slates != other).any()
        assert (slates != learned(LinearBandit, replace(THOMPSON, play_alpha=0.0)).act(visible)).any()

    def test_play_by_the_mean_ranks_by_it(self, learned, visible):
        agent = learned()
        scores = agent.design.make_inputs(agent.scorer, agent._components, visible) @ agent.posterior.mean
        for slate, row, candidates, history in zip(
            agent.act(visible), scores, visible["candidates"], visible["history_ids"], strict=True
        ):
            order = [int(c) for c in candidates[np.argsort(-row)] if c not in history]
            assert slate.tolist() == order[:SLOTS]


class TestSaved:
    @pytest.mark.parametrize("kind", [LinearBandit, PersonalBandit])
    @pytest.mark.parametrize("options", [replace(UCB, play_alpha=1.0), THOMPSON], ids=["ucb", "thompson"])
    def test_loaded_it_chooses_the_same_slates(self, setting, scorer, learned, visible, tmp_path, kind, options):
        agent = learned(kind, options)
        agent.save(tmp_path)
        agent.save(tmp_path)  # over itself
        loaded = kind.load(tmp_path, setting.world, scorer)
        assert loaded.options == options
        assert loaded.name == agent.name
        assert (loaded.seed, loaded.slots_learned) == (agent.seed, agent.slots_learned)
        np.testing.assert_array_equal(loaded.act(visible), agent.act(visible))
        assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]

    def test_another_bandit_takes_the_place_of_the_first(self, setting, scorer, learned, visible, tmp_path):
        learned().save(tmp_path)
        learned(LinearBandit, THOMPSON).save(tmp_path)
        assert LinearBandit.load(tmp_path, setting.world, scorer).options == THOMPSON
        assert len(list(tmp_path.iterdir())) == 2

    def test_the_shared_one_can_be_played_personally(self, setting, scorer, learned, tmp_path):
        learned().save(tmp_path)
        agent = PersonalBandit.load(tmp_path, setting.world, scorer)
        assert agent.start(2)["moment"].shape == (2, agent.design.width)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"format": 0}, "format = 0, here it must be 2; learn again"),
            ({"features": ["length"]}, r"features = \['length'\], here they are"),
            ({"slots": 3}, "slots = 3, slates here have 10"),
            ({"options": {"alpha": -1.0}}, "alpha = -1.0 is out of range"),
            ({"options": {"beta": 1.0}}, "does not describe a bandit.*beta"),
            ({"options": {"components": 5}}, r"precision is \(14, 14\) float64, here it must be \(15, 15\)"),
            ({"sha256": "0"}, "is damaged, its checksum is wrong"),
            ({"file": "gone"}, "cannot be read"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, setting, scorer, learned, tmp_path, changes, message):
        learned().save(tmp_path)
        path = tmp_path / "bandit.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        with pytest.raises(ValueError, match=message):
            LinearBandit.load(tmp_path, setting.world, scorer)

    def test_vectors_of_another_width_are_refused(self, setting, learned, tmp_path):
        learned().save(tmp_path)
        with pytest.raises(ValueError, match=r"projection is \(16, 4\) float64, here it must be \(8, 4\)"):
            LinearBandit.load(tmp_path, setting.world, Scorer(setting.world, setting.item_vectors[:, :8]))

    @pytest.mark.parametrize("content", [None, "{", "[]", "{}"], ids=["none", "torn", "list", "empty"])
    def test_folders_of_something_else_are_refused(self, setting, scorer, tmp_path, content):
        if content is not None:
            (tmp_path / "bandit.json").write_text(content)
        with pytest.raises(ValueError, match=r"cannot be read .* name a folder that save\(\) wrote"):
            LinearBandit.load(tmp_path, setting.world, scorer)


class TestTenFeatures:
    """Where the environment says what it has shown, that is one input more."""

    @pytest.fixture(scope="class")
    @staticmethod
    def ten(remembering_setting):
        agent = LinearBandit(remembering_setting.world, remembering_setting.scorer)
        agent.learn(make_env(remembering_setting, 32), WARM_UP + 8, seed=3)
        return agent

    def test_they_are_learned_from(self, ten, learned, remembering_setting, remembering_states):
        assert ten.design.width == learned().design.width + 1
        features = remembering_setting.scorer.features(remembering_states[0])
        inputs = ten.design.make_inputs(ten.scorer, ten._components, remembering_states[0])
        np.testing.assert_allclose(inputs[:, :, 1:11], (features - ten.design.centre) / ten.design.spread)
        assert ten.design.spread[9] != 1.0  # it had some
        assert abs(ten.posterior.mean[10]) > 1e-4

    @pytest.mark.parametrize("kind", [LinearBandit, PersonalBandit])
    def test_they_come_back_from_a_file(self, ten, remembering_setting, remembering_states, tmp_path, kind):
        ten.save(tmp_path)
        loaded = kind.load(tmp_path, remembering_setting.world, remembering_setting.scorer)
        found = loaded.act(remembering_states[0])
        assert found.shape == (len(remembering_states[0]["context"]), SLOTS)
        if kind is LinearBandit:
            np.testing.assert_array_equal(found, ten.act(remembering_states[0]))

    def test_a_bandit_of_ten_is_refused_where_there_are_nine(self, ten, setting, scorer, tmp_path):
        ten.save(tmp_path)
        with pytest.raises(ValueError, match=r"features = .*'shown'\], here they are .*'continues'\]; learn again"):
            LinearBandit.load(tmp_path, setting.world, scorer)


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"method": "ucp"}, r"method = 'ucp' is unknown \(did you mean 'ucb'\?\)"),
            ({"feedback": "full"}, "feedback = 'full' is unknown.*allowed: 'semi', 'cascade'"),
            ({"reward": "returns"}, "reward = 'returns' is unknown.*allowed: 'minutes', 'clicks'"),
            ({"alpha": -0.1}, "alpha = -0.1 is out of range; allowed: 0 to 1e\\+06"),
            ({"play_alpha": float("nan")}, "play_alpha = nan is out of range"),
            ({"ridge": 0.0}, "ridge = 0.0 is out of range"),
            ({"position": 5.0}, "position = 5.0 is out of range; allowed: 0 to 4"),
            ({"prior_slots": 0.0}, "prior_slots = 0.0 is out of range"),
            ({"components": 15}, "components = 15 is out of range; allowed: 0 to 14"),
            ({"components": 2.0}, "components = 2.0 must be a whole number, 0 to 14"),
        ],
    )
    def test_options_out_of_range(self, change, message):
        with pytest.raises(ValueError, match=message):
            BanditOptions(**change)

    @pytest.mark.parametrize("kind", [LinearBandit, PersonalBandit])
    def test_nothing_learned_yet(self, setting, scorer, visible, tmp_path, kind):
        agent = kind(setting.world, scorer)
        for use in (lambda: agent.act(visible), lambda: agent.save(tmp_path)):
            with pytest.raises(ValueError, match=r"has learned nothing yet; call learn\(\) or load\(\) first"):
                use()

    @pytest.mark.parametrize("steps", [0, WARM_UP])
    def test_too_few_steps(self, setting, scorer, steps):
        with pytest.raises(ValueError, match=f"steps = {steps} is out of range; allowed: at least {WARM_UP + 1}"):
            LinearBandit(setting.world, scorer).learn(make_env(setting, 2), steps)

    def test_other_environments(self, setting, scorer):
        agent = LinearBandit(setting.world, scorer)
        with pytest.raises(ValueError, match="autoreset_mode = 'NextStep' is not learned from"):
            agent.learn(make_env(setting, 2, autoreset_mode=AutoresetMode.NEXT_STEP), 20)
        with pytest.raises(ValueError, match="make it with action='items'"):
            agent.learn(setting.vector_env(2, "weights", autoreset_mode=AutoresetMode.SAME_STEP), 20)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"reward": "clicks"}, "reward = 'clicks' is not learned from"),
            ({"single_observation_space": gym.spaces.Dict()}, "shows no candidates; make it with candidates=True"),
        ],
    )
    def test_environments_that_pay_or_show_something_else(self, world, scorer, change, message):
        env = LinearWorld(world, np.zeros(301))
        vars(env).update(change)
        with pytest.raises(ValueError, match=message):
            LinearBandit(world, scorer).learn(env, 20)

"""Predicted minutes: what they are fitted on, and the trees as bit masks against scikit-learn's own predictions."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from sklearn.ensemble import HistGradientBoostingRegressor

from longplay.agents.rules.minutes import (
    MinutesAndRating,
    PredictedMinutes,
    Trees,
    fit_minutes,
    list_inputs,
    log_minutes,
)
from longplay.envs.candidates.scoring import FEATURES
from longplay.tests.agents.contracts import AgentContract
from longplay.tests.agents.rules.rankings import SLOTS, greedy

INPUTS = (*FEATURES, "slot")


@pytest.fixture
def observation(states):
    return states[0]


@pytest.fixture
def visible(observation):
    return {key: value for key, value in observation.items() if key != "latent"}


@pytest.fixture(scope="session")
def minutes(setting, scorer):
    env = setting.vector_env(64, "items", autoreset_mode=AutoresetMode.SAME_STEP)
    return fit_minutes(scorer, env, 30)


class TestPredictedMinutesContract(AgentContract):
    @pytest.fixture
    def subject(self, minutes):
        return minutes


class TestMinutesAndRatingContract(AgentContract):
    @pytest.fixture
    def subject(self, minutes):
        return MinutesAndRating(minutes, 1.5)

    def test_it_is_greedy_on_both_in_standard_deviations(self, minutes, scorer, visible):
        def standardise(scores):
            return (scores - scores.mean(axis=1, keepdims=True)) / scores.std(axis=1, keepdims=True)

        predicted = standardise(minutes.score(visible).astype(np.float64))
        rating = standardise(scorer.features(visible)[:, :, FEATURES.index("rating")].astype(np.float64))
        for weight in (0.0, 0.7, 4.0):
            found = MinutesAndRating(minutes, weight).act(visible)
            scores = (predicted + weight * rating).astype(np.float32)
            np.testing.assert_array_equal(found, greedy(visible, scores))
        np.testing.assert_array_equal(MinutesAndRating(minutes, 0.0).act(visible), minutes.act(visible))

    def test_what_is_no_candidate_counts_for_nothing(self, minutes, visible):
        """As where what was shown is withdrawn: means and spreads are of the others."""
        half = visible | {"candidates": visible["candidates"].copy()}
        half["candidates"][:, ::2] = 0
        rest = visible | {"candidates": visible["candidates"][:, 1::2]}
        agent = MinutesAndRating(minutes, 1.5)
        np.testing.assert_array_equal(agent.act(half), agent.act(rest))


class Logged:
    """A vector environment of two users whose episodes end when they are told to; the rest is written down."""

    num_envs = 2

    def __init__(self, real, pays):
        self.real, self.pays, self.count = real, pays, 0
        self.slates = []

    def reset(self, seed):
        return self.real, {}

    def step(self, slates):
        """Slot 3 is chosen and pays; every second time, the episode ends and the next has chosen nothing yet."""
        self.slates.append(slates)
        self.count += 1
        ended = np.array([self.count % 2 == 0] * self.num_envs)
        pays = np.full(self.num_envs, self.pays)
        info = {"choice": np.where(ended, -1, 3)}
        if ended.any():
            info |= {"final_info": {"choice": np.where(ended, 3, 0)}, "_final_info": ended}
        return self.real, pays, ended, ~ended & False, info


class TestPredictedMinutes:
    def test_minutes_go_to_the_slot_chosen_also_where_an_episode_ended(self, scorer, visible):
        two = {key: value[:2] for key, value in visible.items()}
        env = Logged(two, 7.5)
        inputs, targets = log_minutes(scorer, env, 6, 0)
        targets = targets.reshape(6, 2, SLOTS)
        assert (targets[:, :, 3] == 7.5).all()
        assert np.delete(targets, 3, axis=2).sum() == 0
        inputs = inputs.reshape(6, 2, SLOTS, len(FEATURES) + 1)
        assert (inputs[..., -1] == np.arange(SLOTS)).all()
        features = scorer.features(two)
        for step, slates in enumerate(env.slates):
            for b in range(2):
                place = [list(two["candidates"][b]).index(item) for item in slates[b]]
                np.testing.assert_array_equal(inputs[step, b, :, :-1], features[b, place])
        assert len({slates.tobytes() for slates in env.slates}) == 6  # new random weights for every slate

    def test_it_predicts_fresh_steps_better_than_a_constant(self, minutes, setting, scorer):
        env = setting.vector_env(128, "items", split="validation", autoreset_mode=AutoresetMode.SAME_STEP)
        rng, told, got = np.random.default_rng(5), [], []
        observation, _ = env.reset(seed=77)
        for _ in range(15):
            predicted = minutes.score(observation)
            place = rng.permuted(np.tile(np.arange(64), (128, 1)), axis=1)[:, :SLOTS]
            slates = np.take_along_axis(observation["candidates"], place, axis=1).astype(np.int64)
            told.append(np.take_along_axis(predicted, place, axis=1).sum(axis=1))
            observation, reward, *_ = env.step(slates)
            got.append(reward)
        told, got = np.concatenate(told), np.concatenate(got)
        assert np.corrcoef(told, got)[0, 1] > 0.1
        slope = np.cov(told, got)[0, 1] / told.var()
        assert ((got - (got.mean() + slope * (told - told.mean()))) ** 2).mean() < got.var()

    def test_it_is_greedy_on_its_own_score(self, minutes, visible):
        np.testing.assert_array_equal(minutes.act(visible), greedy(visible, minutes.score(visible)))

    def test_score_is_of_the_first_slot(self, scorer, visible):
        class Echo:
            def predict(self, flat):
                assert (flat[:, -1] == 0).all()
                return flat[:, FEATURES.index("length")]

        score = PredictedMinutes(scorer, Echo()).score(visible)
        np.testing.assert_array_equal(score, scorer.features(visible)[:, :, FEATURES.index("length")])

    def test_same_seed_gives_the_same_model(self, setting, scorer, visible):
        scores = []
        for seed in (0, 0, 1):
            env = setting.vector_env(32, "items", autoreset_mode=AutoresetMode.SAME_STEP)
            scores.append(fit_minutes(scorer, env, 5, seed=seed).score(visible))
        np.testing.assert_array_equal(scores[0], scores[1])
        assert (scores[0] != scores[2]).any()


def noisy(rows=6000, seed=0, whole=False):
    """Inputs with ties in some columns, and targets with an interaction."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, len(INPUTS))).astype(np.float32).astype(np.float64)
    inputs[:, 4:] = np.round(inputs[:, 4:], 0 if whole else 1)
    return inputs, inputs[:, 0] * inputs[:, 5] + np.maximum(inputs[:, 2], 0) + rng.normal(size=rows)


def boosted(inputs, targets, **settings):
    options = {"max_iter": 40, "max_leaf_nodes": 15, "min_samples_leaf": 20, "random_state": 0} | settings
    return HistGradientBoostingRegressor(**options).fit(inputs, targets)


class TestTrees:
    @pytest.mark.parametrize("spread", [0.0, 5.0, 40.0])
    def test_values_of_any_spread_are_held_against_the_right_thresholds(self, spread):
        """From 1 to e^200: most thresholds are in one cell of their range; and values on thresholds, and far off."""
        rng = np.random.default_rng(3)
        inputs = np.exp(spread * rng.standard_normal((4000, len(INPUTS))))
        model = boosted(inputs, np.log(inputs[:, 0]) + inputs[:, 1].argsort() + rng.standard_normal(4000))
        trees = Trees.of(model)
        on = np.where(np.isfinite(trees.thresholds), trees.thresholds, 0.0)
        probes = np.concatenate(
            [inputs, on.T, np.nextafter(on, np.inf).T, [[1e300] * len(INPUTS), [-1e300] * len(INPUTS)]]
        )
        np.testing.assert_array_equal(trees.predict(probes), model.predict(probes))

    def test_what_lasts_of_items_is_looked_up_and_changes_nothing(self, minutes, visible, scorer):
        features = scorer.features(visible)
        table = np.concatenate([features, np.zeros((*features.shape[:2], 1))], axis=2).reshape(
            -1, features.shape[2] + 1
        )
        expected = minutes.model.predict(table).reshape(features.shape[:2]).astype(np.float32)
        np.testing.assert_array_equal(minutes.score(visible), expected)

    @pytest.mark.parametrize("settings", [{}, {"max_iter": 1}, {"max_leaf_nodes": 2}, {"max_leaf_nodes": 16}])
    def test_predictions_have_the_bits_of_scikit_learn(self, settings):
        inputs, targets = noisy()
        model = boosted(inputs, targets, **settings)
        trees = Trees.of(model)
        fresh, _ = noisy(seed=1)
        thresholds = np.where(np.isfinite(trees.thresholds), trees.thresholds, 0.0).T
        on_them = np.resize(thresholds, (len(thresholds), len(INPUTS)))  # where ≤ and < differ
        for some in (inputs, fresh, on_them, np.full((1, len(INPUTS)), 1e9), np.full((1, len(INPUTS)), -1e9)):
            np.testing.assert_array_equal(trees.predict(some), model.predict(some))
        assert len(np.unique(trees.predict(fresh))) > 1

    def test_thresholds_themselves_are_on_the_left(self):
        inputs, targets = noisy(whole=True)
        model = boosted(np.round(inputs), targets)
        np.testing.assert_array_equal(Trees.of(model).predict(np.round(inputs)), model.predict(np.round(inputs)))

    def test_a_model_without_a_split_predicts_the_mean(self):
        model = boosted(np.zeros((50, len(INPUTS))), np.arange(50.0))
        found = Trees.of(model).predict(np.ones((3, len(INPUTS))))
        np.testing.assert_array_equal(found, model.predict(np.ones((3, len(INPUTS)))))
        assert found[0] == pytest.approx(24.5)

    def test_more_leaves_than_bits_are_refused(self):
        inputs, targets = noisy()
        with pytest.raises(ValueError, match=r"leaves; allowed: up to 16"):
            Trees.of(boosted(inputs, targets, max_leaf_nodes=31))

    def test_inputs_of_another_width_are_refused(self):
        trees = Trees.of(boosted(*noisy(), max_iter=1))
        with pytest.raises(ValueError, match=r"inputs have shape \(2, 3\), expected \(n, 10\)"):
            trees.predict(np.zeros((2, 3)))

    def test_it_reads_what_it_wrote(self, tmp_path):
        inputs, targets = noisy()
        trees = Trees.of(boosted(inputs, targets))
        trees.save(tmp_path / "trees.safetensors", INPUTS)
        trees.save(tmp_path / "trees.safetensors", INPUTS)  # over itself
        again = Trees.load(tmp_path / "trees.safetensors", INPUTS)
        np.testing.assert_array_equal(again.predict(inputs), trees.predict(inputs))
        assert [path.name for path in tmp_path.iterdir()] == ["trees.safetensors"]

    def test_what_is_no_such_file_is_named(self, tmp_path):
        with pytest.raises(ValueError, match=r"none\.safetensors cannot be read .*tune the rule again"):
            Trees.load(tmp_path / "none.safetensors", INPUTS)
        from safetensors.numpy import save_file

        save_file({"a": np.zeros(3)}, tmp_path / "other.safetensors")
        with pytest.raises(ValueError, match=r"other\.safetensors holds no trees on similarity"):
            Trees.load(tmp_path / "other.safetensors", INPUTS)

    def test_minutes_fitted_on_a_log_are_those_of_scikit_learn(self, setting, scorer, minutes):
        env = setting.vector_env(64, "items", autoreset_mode=AutoresetMode.SAME_STEP)
        inputs, targets = log_minutes(scorer, env, 30, 0)
        model = HistGradientBoostingRegressor(
            max_iter=100, max_leaf_nodes=15, min_samples_leaf=200, random_state=0
        ).fit(inputs, targets)
        np.testing.assert_array_equal(minutes.model.predict(inputs), model.predict(inputs))


class TestTenFeatures:
    """Where the environment says what it has shown, trees read that, too."""

    @pytest.fixture(scope="class")
    @staticmethod
    def traced_minutes(remembering_setting):
        env = remembering_setting.vector_env(32, "items", autoreset_mode=AutoresetMode.SAME_STEP)
        return fit_minutes(remembering_setting.scorer, env, 10)

    def test_they_are_read_and_told(self, remembering_setting, traced_minutes, remembering_states, tmp_path):
        scorer, seen = remembering_setting.scorer, remembering_states[0]
        assert list_inputs(scorer) == (*FEATURES, "shown", "slot")
        features = scorer.features(seen)
        assert features.shape[2] == len(FEATURES) + 1
        flat = np.concatenate([features, np.zeros((*features.shape[:2], 1))], axis=2).reshape(-1, len(FEATURES) + 2)
        expected = traced_minutes.model.predict(flat).reshape(features.shape[:2])
        np.testing.assert_array_equal(traced_minutes.score(seen), expected.astype(np.float32))
        traced_minutes.model.save(tmp_path / "trees.safetensors", list_inputs(scorer))
        again = Trees.load(tmp_path / "trees.safetensors", list_inputs(scorer))
        np.testing.assert_array_equal(again.predict(flat), traced_minutes.model.predict(flat))

    def test_trees_of_nine_are_refused_where_there_are_ten(self, remembering_setting, minutes, scorer, tmp_path):
        minutes.model.save(tmp_path / "trees.safetensors", list_inputs(scorer))
        with pytest.raises(ValueError, match=r"holds no trees on .*, shown, slot; tune the rule again"):
            Trees.load(tmp_path / "trees.safetensors", list_inputs(remembering_setting.scorer))

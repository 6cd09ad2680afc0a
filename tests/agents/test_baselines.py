"""The rules against oracles written down in plain NumPy."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from longplay.agents.baselines import (
    MMR,
    GreedyEncoder,
    GreedySimilarity,
    Popularity,
    PredictedMinutes,
    RandomCandidates,
    RandomSlate,
    StaticCap,
    best_of,
    fit_minutes,
    similarity_score,
)
from longplay.encoders import Items, PooledHistory
from longplay.envs.pooling import pool_history
from longplay.envs.scoring import FEATURES
from longplay.tests.contracts import AgentContract

SLOTS = 10


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


class TestRandomSlateContract(AgentContract):
    whole_catalogue = True
    avoids_history = False

    @pytest.fixture
    def subject(self, world):
        return RandomSlate(world)


class TestRandomCandidatesContract(AgentContract):
    @pytest.fixture
    def subject(self, scorer):
        return RandomCandidates(scorer)


class TestPopularityContract(AgentContract):
    @pytest.fixture
    def subject(self, scorer):
        return Popularity(scorer)


class TestGreedySimilarityContract(AgentContract):
    @pytest.fixture
    def subject(self, scorer):
        return GreedySimilarity(scorer)


class TestGreedyEncoderContract(AgentContract):
    @pytest.fixture
    def encoder(self, scorer):
        vectors = scorer.vectors[1:]
        return PooledHistory(Items(tuple(f"Number {i}." for i in range(len(vectors))), vectors, np.ones(len(vectors))))

    @pytest.fixture
    def subject(self, scorer, encoder):
        return GreedyEncoder(scorer, encoder, "pooled")

    def test_scores_of_the_pooled_history_make_greedy_similarity(self, subject, scorer, observation):
        np.testing.assert_array_equal(subject.act(observation), GreedySimilarity(scorer).act(observation))


class TestPredictedMinutesContract(AgentContract):
    @pytest.fixture
    def subject(self, minutes):
        return minutes


class TestMMRContract(AgentContract):
    @pytest.fixture
    def subject(self, scorer):
        return MMR(scorer, 0.5)


class TestStaticCapContract(AgentContract):
    @pytest.fixture
    def subject(self, scorer):
        return StaticCap(scorer, similarity_score(scorer), 8)  # so wide that candidates never run out under it


def cosines(scorer, observation):
    """Similarity (B, M) of candidates and pooled history, in float64."""
    pooled = pool_history(
        scorer.vectors[1:],
        observation["history_ids"],
        observation["history_completion"],
        observation["history_age"],
    ).astype(float)
    vectors = scorer.vectors[observation["candidates"].astype(int)].astype(float)
    return np.einsum("bmd,bd->bm", vectors, pooled / np.linalg.norm(pooled, axis=1, keepdims=True))


def usable(observation):
    return (observation["candidates"][:, :, None] != observation["history_ids"][:, None, :]).all(axis=2)


def greedy(observation, scores):
    """The best-scored candidates outside the history."""
    order = np.argsort(-np.where(usable(observation), scores, -np.inf), axis=1, kind="stable")[:, :SLOTS]
    return np.take_along_axis(observation["candidates"], order, axis=1).astype(np.int64)


def mmr(scorer, candidates, history, similarity, trade_off):
    """The definition, one user, slot by slot."""
    left, slate = [m for m in range(len(candidates)) if candidates[m] not in history], []
    for _ in range(SLOTS):
        values = []
        for m in left:
            mine = scorer.vectors[int(candidates[m])].astype(float)
            above = max([0.0, *(float(mine @ scorer.vectors[item].astype(float)) for item in slate)])
            values.append(trade_off * similarity[m] - (1 - trade_off) * above)
        slate.append(int(candidates[left.pop(int(np.argmax(values)))]))
    return slate


class TestOrders:
    def test_popularity_shows_the_most_talked_about_first(self, catalog, scorer, visible):
        scores = catalog.popularity[visible["candidates"].astype(int) - 1].astype(np.float32)
        np.testing.assert_array_equal(Popularity(scorer).act(visible), greedy(visible, scores))

    def test_similarity_shows_the_nearest_to_the_pooled_history_first(self, scorer, visible):
        np.testing.assert_array_equal(GreedySimilarity(scorer).act(visible), greedy(visible, cosines(scorer, visible)))

    def test_similarity_of_one_consumed_item_is_nearest_neighbours(self, scorer, visible):
        history = np.zeros_like(visible["history_ids"])
        history[:, 0] = visible["history_ids"][:, 0]
        alone = visible | {"history_ids": history}
        slates = GreedySimilarity(scorer).act(alone)
        for slate, item, candidates in zip(slates, history[:, 0].astype(int), visible["candidates"], strict=True):
            near = sorted(
                (int(c) for c in candidates if int(c) != item),
                key=lambda c: -float(scorer.vectors[c].astype(float) @ scorer.vectors[item].astype(float)),
            )
            assert slate.tolist() == near[:SLOTS]

    @pytest.mark.parametrize("trade_off", [0.0, 0.3, 0.7, 1.0])
    def test_mmr_is_its_definition(self, scorer, visible, trade_off):
        slates, similarity = MMR(scorer, trade_off).act(visible), cosines(scorer, visible)
        for b, slate in enumerate(slates):
            expected = mmr(scorer, visible["candidates"][b], visible["history_ids"][b], similarity[b], trade_off)
            assert slate.tolist() == expected

    def test_mmr_without_diversity_is_greedy_similarity(self, scorer, visible):
        np.testing.assert_array_equal(MMR(scorer, 1.0).act(visible), GreedySimilarity(scorer).act(visible))
        assert (MMR(scorer, 0.3).act(visible) != GreedySimilarity(scorer).act(visible)).any()


class TestRandomRules:
    def test_another_slate_of_the_same_user_is_another_draw(self, world, scorer, visible):
        later = visible | {"context": visible["context"] + np.float32(0.5)}
        for rule in (RandomSlate(world), RandomCandidates(scorer)):
            assert (rule.act(visible) != rule.act(later)).any(axis=1).all()

    def test_every_item_and_every_candidate_has_the_same_chance(self, world, scorer, visible):
        shown, places = np.zeros(301), np.zeros(64)
        for k in range(80):
            later = visible | {"context": visible["context"] + np.float32(k)}
            shown[RandomSlate(world).act(later)] += 1
            slates = RandomCandidates(scorer).act(later)
            chosen = (visible["candidates"][:, :, None] == slates[:, None, :]).any(axis=2)
            places += (chosen & usable(visible)).sum(axis=0)
        expected = shown.sum() / 300
        assert shown[0] == 0
        assert ((shown[1:] - expected) ** 2 / expected).sum() < 300 + 5 * np.sqrt(600)  # chi-square, 5 sigma
        share = places / places.sum() * 64
        assert share.min() > 0.7
        assert share.max() < 1.3


class TestStaticCap:
    @pytest.mark.parametrize("cap", [1, 2, 3])
    def test_no_main_topic_exceeds_the_cap(self, scorer, visible, cap):
        slates = StaticCap(scorer, similarity_score(scorer), cap).act(visible)
        most = []
        for slate, candidates, free in zip(slates, visible["candidates"], usable(visible), strict=True):
            topics = scorer.main_topic[candidates[free].astype(int)]
            if sum(min(cap, count) for count in np.bincount(topics)) >= SLOTS:  # the cap can be kept
                most.append(np.bincount(scorer.main_topic[slate]).max())
        assert len(most) > 10
        assert max(most) == cap

    def test_it_is_greedy_within_the_cap(self, scorer, visible):
        slates = StaticCap(scorer, similarity_score(scorer), 2).act(visible)
        similarity, free = cosines(scorer, visible), usable(visible)
        for b, slate in enumerate(slates):
            used, expected = {}, []
            for m in np.argsort(-similarity[b], kind="stable"):
                item = int(visible["candidates"][b, m])
                topic = scorer.main_topic[item]
                if free[b, m] and used.get(topic, 0) < 2 and len(expected) < SLOTS:
                    used[topic] = used.get(topic, 0) + 1
                    expected.append(item)
            if len(expected) == SLOTS:
                assert slate.tolist() == expected

    def test_a_cap_of_the_whole_slate_is_greedy(self, scorer, visible):
        capped = StaticCap(scorer, similarity_score(scorer), SLOTS).act(visible)
        np.testing.assert_array_equal(capped, GreedySimilarity(scorer).act(visible))


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
    def test_minutes_go_to_the_slot_chosen_also_where_an_episode_ended(self, scorer, visible, monkeypatch):
        seen = {}

        class Recorder:
            def __init__(self, **settings):
                pass

            def fit(self, inputs, targets):
                seen.update(inputs=inputs, targets=targets)

        monkeypatch.setattr("longplay.agents.baselines.HistGradientBoostingRegressor", Recorder)
        two = {key: value[:2] for key, value in visible.items()}
        env = Logged(two, 7.5)
        fit_minutes(scorer, env, 6)
        targets = seen["targets"].reshape(6, 2, SLOTS)
        assert (targets[:, :, 3] == 7.5).all()
        assert np.delete(targets, 3, axis=2).sum() == 0
        inputs = seen["inputs"].reshape(6, 2, SLOTS, len(FEATURES) + 1)
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


class TestBestOf:
    def test_the_agent_of_highest_value_and_all_values(self):
        assert best_of(["a", "bbb", "cc", "ddd"], len) == ("bbb", [1, 3, 2, 3])

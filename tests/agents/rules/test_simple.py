"""The rules that look at each item alone, against oracles written down in plain NumPy."""

import numpy as np
import pytest

from longplay.agents.rules.encoded import score_by_encoder
from longplay.agents.rules.similarity import GreedySimilarity, Softmax
from longplay.agents.rules.simple import Longest, Popularity, RandomCandidates, RandomSlate
from longplay.agents.rules.topics import StaticCap
from longplay.encoders import Items, PooledHistory
from longplay.envs.candidates.pooling import pool_history
from longplay.tests.agents.contracts import AgentContract
from longplay.tests.agents.rules.rankings import SLOTS, cosines, greedy, usable


@pytest.fixture
def observation(states):
    return states[0]


@pytest.fixture
def visible(observation):
    return {key: value for key, value in observation.items() if key != "latent"}


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


class TestLongestContract(AgentContract):
    @pytest.fixture
    def subject(self, scorer):
        return Longest(scorer)


class TestGreedySimilarityContract(AgentContract):
    @pytest.fixture
    def subject(self, scorer):
        return GreedySimilarity(scorer)


class TestEncoderScoreContract(AgentContract):
    @pytest.fixture
    def encoder(self, scorer):
        vectors = scorer.vectors[1:]
        return PooledHistory(Items(tuple(f"Number {i}." for i in range(len(vectors))), vectors, np.ones(len(vectors))))

    @pytest.fixture
    def subject(self, scorer, encoder):
        return StaticCap(scorer, score_by_encoder(encoder), 0, "pooled")

    def test_scores_of_the_pooled_history_make_greedy_similarity(self, subject, scorer, observation):
        np.testing.assert_array_equal(subject.act(observation), GreedySimilarity(scorer).act(observation))

    def test_a_cap_on_it_is_the_static_cap_on_similarity(self, scorer, encoder, observation):
        capped = StaticCap(scorer, score_by_encoder(encoder), 1).act(observation)
        expected = StaticCap(scorer, lambda observation: cosines(scorer, observation), 1).act(observation)
        np.testing.assert_array_equal(capped, expected)


class TestSoftmaxContract(AgentContract):
    @pytest.fixture
    def subject(self, scorer, item_vectors):
        return Softmax(scorer, item_vectors, 0.2)


class TestOrders:
    def test_popularity_shows_the_most_talked_about_first(self, catalog, scorer, visible):
        scores = catalog.popularity[visible["candidates"].astype(int) - 1].astype(np.float32)
        np.testing.assert_array_equal(Popularity(scorer).act(visible), greedy(visible, scores))

    def test_longest_shows_the_longest_first(self, catalog, scorer, visible):
        scores = np.log(catalog.minutes)[visible["candidates"].astype(int) - 1].astype(np.float32)
        np.testing.assert_array_equal(Longest(scorer).act(visible), greedy(visible, scores))

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


class TestSoftmax:
    @pytest.fixture
    def long(self, item_vectors):
        """Vectors of lengths from 1 to 3, so that products are no cosines."""
        return item_vectors * np.linspace(1.0, 3.0, len(item_vectors), dtype=np.float32)[:, None]

    @staticmethod
    def multiply(long, visible):
        history = (visible[f"history_{name}"] for name in ("ids", "completion", "age"))
        table = np.vstack([np.zeros(long.shape[1]), long])[visible["candidates"].astype(int)]
        return np.einsum("bmd,bd->bm", table, pool_history(long, *history).astype(float))

    def test_products_are_of_the_pooled_history_and_the_vectors_as_they_are(self, scorer, long, visible):
        found = Softmax(scorer, long, 1.0).multiply(visible)
        np.testing.assert_allclose(found, self.multiply(long, visible), atol=1e-5)

    def test_cold_it_is_greedy_on_the_products(self, scorer, long, visible):
        expected = greedy(visible, self.multiply(long, visible))
        np.testing.assert_array_equal(Softmax(scorer, long, 1e-5).act(visible), expected)

    def test_first_and_second_item_come_as_often_as_the_softmax_says(self, scorer, long, visible):
        """4000 slates of one user, against the probabilities worked out exactly."""
        draws = 4000
        one = {key: np.repeat(value[:1], draws, axis=0) for key, value in visible.items()}
        one["context"] = one["context"] + np.arange(draws, dtype=np.float32)[:, None]  # other chance for each
        slates = Softmax(scorer, long, 0.5).act(one)
        free = usable(visible)[0]
        weight = np.exp(self.multiply(long, visible)[0] / 0.5) * free
        first = weight / weight.sum()
        places = (one["candidates"][:, :, None] == slates[:, None, :]).argmax(axis=1)
        counts = np.bincount(places[:, 0], minlength=len(first))
        assert (counts[~free] == 0).all()
        chi = ((counts - draws * first)[free] ** 2 / (draws * first[free])).sum()
        assert chi < free.sum() + 4 * np.sqrt(2 * free.sum())
        # The second is drawn from what is left: P(j second) = Σ_i p_i · p_j / (1 − p_i).
        second = first * ((first / (1 - first)).sum() - first / (1 - first))
        assert second.sum() == pytest.approx(1.0)
        counts = np.bincount(places[:, 1], minlength=len(first))
        chi = ((counts - draws * second)[free] ** 2 / (draws * second[free])).sum()
        assert chi < free.sum() + 4 * np.sqrt(2 * free.sum())
        assert first.max() > 2 * first[free].min()  # far from uniform: the test could tell

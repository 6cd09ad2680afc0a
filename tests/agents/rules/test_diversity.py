"""The rules that mix a slate, against their definitions."""

import itertools

import numpy as np
import pytest

from longplay.agents.rules.diversity import DPP, MMR
from longplay.agents.rules.ranking import score_by_similarity, standardise_scores
from longplay.agents.rules.similarity import GreedySimilarity
from longplay.agents.rules.topics import RoundRobin, StaticCap, weigh_topics
from longplay.tests.agents.contracts import AgentContract
from longplay.tests.agents.rules.rankings import SLOTS, cosines, greedy, usable


@pytest.fixture
def observation(states):
    return states[0]


@pytest.fixture
def visible(observation):
    return {key: value for key, value in observation.items() if key != "latent"}


class TestMMRContract(AgentContract):
    @pytest.fixture
    def subject(self, scorer):
        return MMR(scorer, 0.5)


class TestStaticCapContract(AgentContract):
    @pytest.fixture
    def subject(self, scorer):
        return StaticCap(scorer, score_by_similarity(scorer), 8)  # so wide that candidates never run out under it


class TestDPPContract(AgentContract):
    @pytest.fixture
    def subject(self, scorer):
        return DPP(scorer, score_by_similarity(scorer), 1.0)


class TestRoundRobinContract(AgentContract):
    @pytest.fixture
    def subject(self, scorer):
        return RoundRobin(scorer, score_by_similarity(scorer), 4)


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


class TestMMR:
    @pytest.mark.parametrize("trade_off", [0.0, 0.3, 0.7, 1.0])
    def test_mmr_is_its_definition(self, scorer, visible, trade_off):
        slates, similarity = MMR(scorer, trade_off).act(visible), cosines(scorer, visible)
        for b, slate in enumerate(slates):
            expected = mmr(scorer, visible["candidates"][b], visible["history_ids"][b], similarity[b], trade_off)
            assert slate.tolist() == expected

    def test_mmr_without_diversity_is_greedy_similarity(self, scorer, visible):
        np.testing.assert_array_equal(MMR(scorer, 1.0).act(visible), GreedySimilarity(scorer).act(visible))
        assert (MMR(scorer, 0.3).act(visible) != GreedySimilarity(scorer).act(visible)).any()


class TestStaticCap:
    @pytest.mark.parametrize("cap", [1, 2, 3])
    def test_no_main_topic_exceeds_the_cap(self, scorer, visible, cap):
        slates = StaticCap(scorer, score_by_similarity(scorer), cap).act(visible)
        most = []
        for slate, candidates, free in zip(slates, visible["candidates"], usable(visible), strict=True):
            topics = scorer.main_topic[candidates[free].astype(int)]
            if sum(min(cap, count) for count in np.bincount(topics)) >= SLOTS:  # the cap can be kept
                most.append(np.bincount(scorer.main_topic[slate]).max())
        assert len(most) > 10
        assert max(most) == cap

    def test_it_is_greedy_within_the_cap(self, scorer, visible):
        slates = StaticCap(scorer, score_by_similarity(scorer), 2).act(visible)
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
        capped = StaticCap(scorer, score_by_similarity(scorer), SLOTS).act(visible)
        np.testing.assert_array_equal(capped, GreedySimilarity(scorer).act(visible))


def determinant(scorer, items, quality):
    """Of the kernel of some items, by its definition."""
    vectors = scorer.vectors[items].astype(float)
    return np.linalg.det(quality[:, None] * (vectors @ vectors.T) * quality[None, :])


class TestDPP:
    @pytest.mark.parametrize("theta", [0.05, 0.5, 3.0])
    def test_each_item_makes_the_determinant_grow_most(self, scorer, visible, theta):
        score = score_by_similarity(scorer)
        slates = DPP(scorer, score, theta).act(visible)
        quality = np.exp(theta * standardise_scores(score(visible), visible))
        free = usable(visible)
        for b in range(0, len(slates), 4):
            candidates = visible["candidates"][b].astype(int)
            left, chosen = list(np.flatnonzero(free[b])), []
            for item in slates[b]:
                values = [determinant(scorer, candidates[[*chosen, m]], quality[b, [*chosen, m]]) for m in left]
                place = left[int(np.argmax(values))]
                assert candidates[place] == item
                left.remove(place)
                chosen.append(place)

    def test_of_two_it_is_the_best_pair_with_the_best_first(self, scorer, visible):
        """Greedy is no exhaustive search: only given the first is the second the best of all."""
        slates = DPP(scorer, score_by_similarity(scorer), 0.2).act(visible)
        quality = np.exp(0.2 * standardise_scores(score_by_similarity(scorer)(visible), visible))
        for b in range(5):
            candidates, free = visible["candidates"][b].astype(int), usable(visible)[b]
            first = int(np.argmax(np.where(free, quality[b], 0)))
            pairs = {
                pair: determinant(scorer, candidates[list(pair)], quality[b, list(pair)])
                for pair in itertools.permutations(np.flatnonzero(free), 2)
                if pair[0] == first
            }
            assert tuple(candidates[list(max(pairs, key=pairs.get))]) == tuple(slates[b, :2])

    def test_a_large_theta_is_greedy_and_a_small_one_is_not(self, scorer, visible):
        score = score_by_similarity(scorer)
        expected = greedy(visible, cosines(scorer, visible))
        np.testing.assert_array_equal(DPP(scorer, score, 1e4).act(visible), expected)
        assert (DPP(scorer, score, 0.1).act(visible) != expected).any(axis=1).all()

    def test_a_copy_of_an_item_comes_last(self, scorer, visible, monkeypatch):
        """Its variance given the first is nothing, whatever its quality."""
        one = {key: value[:1] for key, value in visible.items()}
        score = score_by_similarity(scorer)
        first, second = DPP(scorer, score, 0.1).act(one)[0, :2]
        vectors = scorer.vectors.copy()
        vectors[second] = vectors[first]
        few = one | {"candidates": one["candidates"][:, usable(one)[0]][:, :SLOTS].copy()}
        few["candidates"][0, :2] = first, second
        values = score(few)
        monkeypatch.setattr(scorer, "vectors", vectors)
        slate = DPP(scorer, lambda observation: values, 0.1).act(few)[0]
        assert slate[-1] in (first, second)
        assert len(set(slate)) == SLOTS


class TestRoundRobin:
    def test_topics_take_turns_by_their_weight(self, scorer, visible):
        """By hand, with the sets of items of each topic."""
        score = score_by_similarity(scorer)
        slates = RoundRobin(scorer, score, 3).act(visible)
        scores, free, weights = score(visible), usable(visible), weigh_topics(scorer, visible)
        turns = 0
        for b, slate in enumerate(slates):
            queues = {}
            for topic in np.argsort(-weights[b], kind="stable")[:3]:
                own = [
                    m
                    for m in np.flatnonzero(free[b])
                    if scorer.main_topic[int(visible["candidates"][b, m])] == topic and weights[b, topic] > 0
                ]
                queues[topic] = sorted(own, key=lambda m: -scores[b, m])
            expected = []
            while any(queues.values()) and len(expected) < SLOTS:
                for queue in queues.values():
                    if queue and len(expected) < SLOTS:
                        expected.append(queue.pop(0))
            turns += len(expected)
            others = sorted((m for m in np.flatnonzero(free[b]) if m not in expected), key=lambda m: -scores[b, m])
            expected = [*expected, *others][:SLOTS]
            assert slate.tolist() == visible["candidates"][b, expected].astype(int).tolist()
        assert turns > len(slates) * SLOTS / 2  # most were filled in turn

    def test_weights_are_of_the_history_and_of_what_was_named(self, scorer, visible):
        expected = visible["profile"].astype(float)
        for b, (ids, completion) in enumerate(
            zip(visible["history_ids"].astype(int), visible["history_completion"], strict=True)
        ):
            expected[b] += (completion[:, None] * scorer.topics[ids] * (ids > 0)[:, None]).sum(axis=0)
        np.testing.assert_allclose(weigh_topics(scorer, visible), expected, atol=1e-5)

    def test_one_topic_is_shown_until_it_has_nothing_left(self, scorer, visible):
        slates = RoundRobin(scorer, score_by_similarity(scorer), 1).act(visible)
        heaviest = weigh_topics(scorer, visible).argmax(axis=1)
        for b, slate in enumerate(slates):
            own = scorer.main_topic[visible["candidates"][b][usable(visible)[b]].astype(int)] == heaviest[b]
            shown = scorer.main_topic[slate] == heaviest[b]
            assert shown[: min(own.sum(), SLOTS)].all()

    def test_more_topics_than_there_are_is_all_of_them(self, scorer, visible):
        count = scorer.topics.shape[1]
        score = score_by_similarity(scorer)
        np.testing.assert_array_equal(
            RoundRobin(scorer, score, count + 5).act(visible), RoundRobin(scorer, score, count).act(visible)
        )

    def test_who_has_no_topics_gets_the_best_scored(self, scorer, visible):
        nobody = visible | {name: np.zeros_like(visible[name]) for name in ("history_completion", "profile")}
        values = np.random.default_rng(0).random(visible["candidates"].shape).astype(np.float32)
        slates = RoundRobin(scorer, lambda observation: values, 3).act(nobody)
        np.testing.assert_array_equal(slates, greedy(visible, values))

    def test_it_is_not_greedy_similarity(self, scorer, visible):
        slates = RoundRobin(scorer, score_by_similarity(scorer), 5).act(visible)
        assert (slates != GreedySimilarity(scorer).act(visible)).any(axis=1).mean() > 0.5

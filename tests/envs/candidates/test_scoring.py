"""Scoring features and the slates that weights give, against NumPy."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longplay.envs.candidates.pooling import HALF_LIFE_DAYS, HALF_LIFE_ITEMS
from longplay.envs.candidates.retriever import Retriever
from longplay.envs.candidates.scoring import BLOCK, EXPOSURE_DAYS, FEATURES, SHOWN, SHOWN_DAYS, WEIGHTS, Scorer
from longplay.envs.engine import ContextColumn
from longplay.envs.env import SlateVectorEnv
from longplay.envs.users.world import build_world
from longplay.tests.envs.worlds import make_catalog, small, vectors

USERS = 25


def observe(world, steps=9, seed=0):
    """An observation in the middle of lives: some users have just consumed something, some have just come back."""
    env = Retriever(SlateVectorEnv(world, USERS), vectors(world.catalog))
    observation, _ = env.reset(seed=seed)
    rng, infos = np.random.default_rng(seed), []
    for _ in range(steps):
        observation, *_, info = env.step(rng.integers(1, len(world.catalog) + 1, env.action_space.shape))
        infos.append(info)
    return observation


@pytest.fixture(scope="module")
def seen(world):
    return observe(world)


@pytest.fixture(scope="module")
def scorer(world, catalog):
    return Scorer(world, vectors(catalog))


def oracle_features(world, table, seen, b):
    """(M, F) of one user, from the definitions."""
    catalog, topics = world.catalog, world.topics.astype(np.float64)
    row = {key: value[b].astype(np.float64) for key, value in seen.items()}
    ids, cand = row["history_ids"].astype(int), row["candidates"].astype(int)
    real = ids > 0
    unit = np.zeros((len(catalog) + 1, table.shape[1]))
    unit[1:] = table / np.linalg.norm(table, axis=1, keepdims=True)
    recency = 2.0 ** -(
        np.arange(len(ids)) / HALF_LIFE_ITEMS + (row["history_age"] - row["history_age"][0]) / HALF_LIFE_DAYS
    )
    pooled = (row["history_completion"] * recency * real) @ unit[ids]
    pooled /= max(np.linalg.norm(pooled), 1e-12)
    in_session = row["history_age"][0] * 1440 < row["context"][ContextColumn.SESSION_MINUTES]
    static = np.stack([catalog.popularity, catalog.rating, np.log(catalog.minutes), catalog.published], axis=1)
    return np.column_stack(
        [
            unit[cand] @ pooled,
            static[cand - 1],
            topics[cand] @ row["profile"],
            topics[cand] @ (row["history_completion"] @ topics[ids]),
            topics[cand] @ ((np.exp(-row["history_age"] / EXPOSURE_DAYS) * real) @ topics[ids]),
            topics[cand] @ topics[ids[0]] * in_session,
        ]
    )


def oracle_slate(world, seen, b, features, weights):
    """Greedy slate of one user by standardised features, less the penalty for repeated main topics."""
    spread = features.std(axis=0)
    z = np.where(spread > 1e-6, (features - features.mean(axis=0)) / np.where(spread > 1e-6, spread, 1), 0)
    score = z @ weights[: len(FEATURES)]
    cand = seen["candidates"][b].astype(int)
    base = score - 1e6 * np.isin(cand, seen["history_ids"][b].astype(int))
    main, left, slate = world.topics.argmax(axis=1), list(range(len(cand))), []
    while len(slate) < world.scenario.shape.slate:
        used = np.bincount(main[slate], minlength=99) if slate else np.zeros(99)
        value = [base[m] - max(weights[-1], 0) * score.std() * used[main[cand[m]]] for m in left]
        slate.append(cand[left.pop(int(np.argmax(value)))])
    return slate


def test_features_are_what_they_say(world, catalog, seen, scorer):
    found = scorer.features(seen)
    assert found.shape == (USERS, 64, len(FEATURES))
    for b in range(USERS):
        np.testing.assert_allclose(found[b], oracle_features(world, vectors(catalog), seen, b), rtol=2e-4, atol=2e-5)
    assert ((found.std(axis=1) > 0).mean(axis=0)[:8] > 0.8).all()  # none is empty
    assert 0 < (found[:, :, 8].max(axis=1) > 0).sum() < USERS  # some are in a session with something consumed


def test_the_last_item_counts_if_it_was_consumed_in_this_session(world, catalog, seen, scorer):
    seen = {name: array.copy() for name, array in seen.items()}
    minutes = np.linspace(0.9, 1.1, USERS).astype(np.float32)  # ago, as a multiple of the session's length
    seen["context"][:, ContextColumn.SESSION_MINUTES] = 30.0
    seen["history_age"][:, 0] = 30.0 * minutes / 1440.0
    seen["history_ids"][:, 0] = np.arange(1, USERS + 1)
    topics = world.topics[seen["candidates"].astype(int)] @ world.topics[1 : USERS + 1, :, None]
    expected = np.where(minutes[:, None] < 1.0, topics[:, :, 0], 0.0)
    within = np.abs(minutes - 1.0) > 1e-3
    np.testing.assert_allclose(scorer.features(seen)[within, :, 8], expected[within], rtol=1e-4, atol=1e-6)
    assert (expected[:5].max(axis=1) > 0).any()


@given(st.integers(0, 2**32))
def test_weights_give_the_slate_of_the_hand_computed_order(world, catalog, seen, scorer, seed):
    weights = np.random.default_rng(seed).uniform(-1, 1, (USERS, len(WEIGHTS)))
    slates = scorer.recommend(seen, weights)
    for b in range(0, USERS, 6):
        features = oracle_features(world, vectors(catalog), seen, b)
        assert slates[b].tolist() == oracle_slate(world, seen, b, features, weights[b])


@pytest.mark.parametrize("feature", FEATURES[:7])
def test_one_weight_ranks_by_its_feature(seen, scorer, feature):
    weights = np.zeros((USERS, len(WEIGHTS)))
    weights[:, FEATURES.index(feature)] = 1.0
    values, slates = scorer.features(seen)[:, :, FEATURES.index(feature)], scorer.recommend(seen, weights)
    for b in range(USERS):
        value = dict(zip(seen["candidates"][b], values[b], strict=True))
        shown = [value[item] for item in slates[b]]
        assert shown == sorted(shown, reverse=True)
        fresh = ~np.isin(seen["candidates"][b], seen["history_ids"][b])
        assert shown[0] == values[b][fresh].max()


class TestShown:
    """The tenth feature, where the environment says what it has shown: how often an item was, each time faded."""

    @pytest.fixture(scope="class")
    @staticmethod
    def met(remembering_world):
        """Slates of few items, so that candidates are among them, some of them twice in a slate or empty."""
        env = Retriever(SlateVectorEnv(remembering_world, USERS), vectors(remembering_world.catalog))
        observation, _ = env.reset(seed=2)
        rng = np.random.default_rng(2)
        for _ in range(30):
            place = rng.integers(0, 64, env.action_space.shape)
            slates = np.take_along_axis(observation["candidates"], place, axis=1).astype(np.int64)
            observation = env.step(np.where(rng.random(slates.shape) < 0.1, 0, slates))[0]
        return observation

    @pytest.fixture(scope="class")
    @staticmethod
    def ten(remembering_world):
        return Scorer(remembering_world, vectors(remembering_world.catalog))

    def test_it_is_the_last_of_ten_and_only_there(self, ten, scorer):
        assert ten.own == ten.names == (*FEATURES, SHOWN)
        assert ten.weights == (*FEATURES, SHOWN, "variety")
        assert scorer.own == FEATURES
        assert scorer.weights == WEIGHTS

    def test_it_counts_as_plain_python_does(self, met, ten):
        found = ten.features(met)
        assert found.shape == (USERS, 64, 10)
        for b in range(USERS):
            counts = {}
            for slate, days in zip(met["shown_ids"][b].tolist(), met["shown_age"][b].tolist(), strict=True):
                for item in slate:
                    counts[item] = counts.get(item, 0.0) + math.exp(-days / SHOWN_DAYS)
            expected = [counts.get(item, 0.0) if item > 0 else 0.0 for item in met["candidates"][b].tolist()]
            np.testing.assert_allclose(found[b, :, 9], expected, rtol=1e-5)
        assert (found[:, :, 9] > 0).mean() > 0.2
        assert found[:, :, 9].max() > 2.0

    def test_the_others_are_what_they_say_there_too(self, remembering_world, met, ten):
        found = ten.features(met)
        for b in range(0, USERS, 5):
            expected = oracle_features(remembering_world, vectors(remembering_world.catalog), met, b)
            np.testing.assert_allclose(found[b, :, :9], expected, rtol=2e-4, atol=2e-5)

    def test_weights_over_it_move_what_was_shown(self, met, ten):
        weights = np.zeros((USERS, len(ten.weights)))
        values = ten.features(met)[:, :, 9]
        for sign in (1.0, -1.0):
            weights[:, ten.weights.index(SHOWN)] = sign
            for b, slate in enumerate(ten.recommend(met, weights)):
                value = dict(zip(met["candidates"][b], values[b], strict=True))
                free = [v for item, v in value.items() if item not in met["history_ids"][b]]
                assert [value[item] for item in slate] == sorted(free, reverse=sign > 0)[:10]

    def test_weighted_features_are_those_of_a_scorer_that_adds_scores(self, remembering_world, met, ten):
        """One loop for features and slates, and another where fitted scores come between."""
        more = Scorer(
            remembering_world, vectors(remembering_world.catalog), {"none": lambda seen, own: 0.0 * own[:, :, 0]}
        )
        weights = np.random.default_rng(0).uniform(-1, 1, (USERS, len(ten.weights)))
        longer = np.insert(weights, len(ten.own), 0.5, axis=1)
        np.testing.assert_array_equal(more.recommend(met, longer), ten.recommend(met, weights))


def test_novelty_is_how_long_an_item_has_been_out_where_items_age(catalog):
    """A date alone would say less every day; the candidates of a later day must look as fresh as those of the first."""
    world = build_world(catalog, small(items__life=2.0))
    seen = observe(world, steps=60)
    day, ids = seen["context"][:, ContextColumn.DAY], seen["candidates"].astype(int)
    hours = 24.0 * (day[:, None] - world.items["born"][ids])
    novelty = Scorer(world, vectors(catalog)).features(seen)[:, :, FEATURES.index("novelty")]
    assert day.max() > 2.0
    assert (hours >= 0.0)[ids > 0].all()
    np.testing.assert_allclose(novelty[ids > 0], -np.log1p(hours)[ids > 0], rtol=1e-4, atol=1e-4)
    assert not novelty[ids == 0].any()


def test_dates_in_seconds_weigh_as_much_as_dates_in_years(catalog):
    """Standard deviations must not drown in the size of the numbers, which single precision still tells apart."""
    shifted = replace(catalog, published=1.7e9 + 4096.0 * (catalog.published - 1940.0))
    slates = []
    for one in (catalog, shifted):
        world = build_world(one, small())
        seen = observe(world, steps=0)
        weights = np.zeros((USERS, len(WEIGHTS)))
        weights[:, [FEATURES.index("novelty"), FEATURES.index("popularity")]] = 0.5
        slates.append(Scorer(world, vectors(one)).recommend(seen, weights))
    np.testing.assert_array_equal(*slates)


@pytest.mark.parametrize("cap", [1, 2, 3])
def test_no_topic_appears_more_often_than_the_cap_while_others_are_left(world, seen, scorer, cap):
    scores = np.random.default_rng(0).normal(size=seen["candidates"].shape).astype(np.float32)
    slates = scorer.fill(seen, scores, np.zeros(USERS), cap=cap)
    main = world.topics.argmax(axis=1)
    for b in range(USERS):
        counts = np.bincount(main[slates[b]])
        topics = np.bincount(main[seen["candidates"][b].astype(int)])
        assert np.minimum(topics, cap).sum() >= 10
        assert counts.max() <= cap
        assert len(set(slates[b])) == 10


def test_a_larger_penalty_gives_more_topics(world, seen, scorer):
    scores = np.random.default_rng(0).normal(size=seen["candidates"].shape).astype(np.float32)
    main = world.topics.argmax(axis=1)
    topics = [
        np.mean([len(set(main[slate])) for slate in scorer.fill(seen, scores, np.full(USERS, penalty), cap=10)])
        for penalty in (0.0, 0.5, 5.0)
    ]
    assert topics[0] < topics[1] < topics[2]


def test_what_was_consumed_comes_last_and_nothing_is_shown_twice():
    catalog = make_catalog(30)
    world = build_world(catalog, small(shape__users=20))
    seen = observe(world, steps=3)
    scorer = Scorer(world, vectors(catalog))
    seen["candidates"][:, :5] = seen["history_ids"][:, :5]  # as after consuming candidates in the session
    seen["candidates"][:, 8:] = 0  # as where few are live
    slates = scorer.fill(seen, np.ones_like(seen["candidates"]), np.zeros(USERS), cap=10)
    for b in range(USERS):
        old = np.isin(slates[b], seen["history_ids"][b][seen["history_ids"][b] > 0])
        shown = slates[b] > 0
        assert (np.diff(old[shown].astype(int)) >= 0).all()
        assert (np.diff(shown.astype(int)) <= 0).all()  # empty slots at the end
        assert shown.sum() == (seen["candidates"][b] > 0).sum()


def test_scores_do_not_depend_on_the_batch(seen, scorer):
    weights = np.random.default_rng(1).uniform(-1, 1, (USERS, len(WEIGHTS)))
    whole = scorer.recommend(seen, weights)
    for b in (0, 7, 24):
        alone = {key: value[b : b + 1] for key, value in seen.items()}
        np.testing.assert_array_equal(scorer.recommend(alone, weights[b : b + 1])[0], whole[b])
        np.testing.assert_array_equal(scorer.features(alone)[0], scorer.features(seen)[b])


def test_a_large_batch_gives_the_same_bits(seen, scorer):
    """From as many places as there are items on, similarities are taken item by item, in blocks of users."""
    copies = BLOCK // USERS + 2  # more than one block, the last of them small
    many = {key: np.tile(value, (copies, 1)) for key, value in seen.items()}
    weights = np.random.default_rng(2).uniform(-1, 1, (USERS, len(WEIGHTS)))
    features, slates = scorer.features(seen), scorer.recommend(seen, weights)
    for b in (0, 7, 24):
        alone = {key: value[b : b + 1] for key, value in seen.items()}
        assert alone["candidates"].size < len(scorer.vectors)
        np.testing.assert_array_equal(scorer.features(alone)[0], features[b])
    np.testing.assert_array_equal(scorer.features(many), np.tile(features, (copies, 1, 1)))
    np.testing.assert_array_equal(scorer.recommend(many, np.tile(weights, (copies, 1))), np.tile(slates, (copies, 1)))


@pytest.mark.parametrize("count", [64, 6])
def test_empty_candidates_change_nothing_and_come_last(seen, scorer, count):
    """Where items age there may be too few: the spreads are those of the candidates that there are."""
    weights = np.random.default_rng(count).uniform(-1, 1, (USERS, len(WEIGHTS)))
    assert (weights[:, -1] > 0).sum() > 5  # variety is wanted
    some = seen | {"candidates": seen["candidates"][:, :count]}
    padded = seen | {"candidates": np.pad(some["candidates"], ((0, 0), (0, 40)))}
    slates = scorer.recommend(padded, weights)
    np.testing.assert_array_equal(slates, scorer.recommend(some, weights))
    assert ((slates > 0).sum(axis=1) == min(count, 10)).all()
    assert (np.diff((slates > 0).astype(int), axis=1) <= 0).all()

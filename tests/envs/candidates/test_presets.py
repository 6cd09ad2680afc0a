"""Presets: what their names promise, and that a policy can tell them apart."""

import gymnasium
import numpy as np
import pytest

import longplay  # noqa: F401  # registers the environments
from longplay.envs.candidates.presets import PRESETS, UNSEEN, stack_preset_weights
from longplay.envs.candidates.retriever import Retriever
from longplay.envs.candidates.scoring import FEATURES, WEIGHTS, Scorer
from longplay.envs.candidates.wrappers import PresetMap
from longplay.envs.env import SlateVectorEnv
from longplay.tests.envs.worlds import vectors

USERS = 40


@pytest.fixture(scope="module")
def seen(world):
    """Users in the middle of sessions, who have just consumed something."""
    env = Retriever(SlateVectorEnv(world, USERS), vectors(world.catalog))
    observation, _ = env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(6):
        observation = env.step(rng.integers(1, len(world.catalog) + 1, env.action_space.shape))[0]
    return observation


@pytest.fixture(scope="module")
def scorer(world):
    return Scorer(world, vectors(world.catalog))


@pytest.fixture(scope="module")
def means(scorer, seen):
    """(P, F) mean standardised feature of the items that each preset shows."""
    features = scorer.features(seen)
    z = (features - features.mean(axis=1, keepdims=True)) / np.maximum(features.std(axis=1, keepdims=True), 1e-6)
    found = {}
    for k, name in enumerate(PRESETS):
        slates = PresetMap(scorer)(seen, np.full(USERS, k))
        place = (seen["candidates"][:, None, :] == slates[:, :, None]).argmax(axis=2)
        shown = np.take_along_axis(z, place[:, :, None], axis=1)
        found[name] = dict(zip(FEATURES, shown.mean(axis=(0, 1)), strict=True))
    return found


def test_weights_are_as_written_and_inside_the_box():
    table = stack_preset_weights()
    assert table.dtype == np.float32
    assert table.shape == (len(PRESETS), len(WEIGHTS))
    assert np.abs(table).max() == 1.0
    for row, rule in zip(table, PRESETS.values(), strict=True):
        assert set(rule) <= set(WEIGHTS)
        assert {name: value for name, value in zip(WEIGHTS, row.tolist(), strict=True) if value} == rule


def test_what_was_shown_has_a_preset_where_it_is_known(remembering_world):
    scorer = Scorer(remembering_world, vectors(remembering_world.catalog))
    table = stack_preset_weights(scorer.weights)
    assert table.shape == (len(PRESETS) + 1, len(WEIGHTS) + 1)
    last = dict(zip(scorer.weights, table[-1].tolist(), strict=True))
    assert {name: value for name, value in last.items() if value} == UNSEEN == {"similarity": 1.0, "shown": -1.0}
    others = np.delete(table[:-1], scorer.weights.index("shown"), axis=1)
    np.testing.assert_array_equal(others, stack_preset_weights())
    assert not table[:-1, scorer.weights.index("shown")].any()


def test_no_two_presets_are_the_same_rule():
    table = stack_preset_weights()
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    assert (unit @ unit.T - np.eye(len(unit))).max() < 0.99


def test_the_number_of_a_preset_means_its_weights(scorer, seen):
    actions = np.arange(USERS) % len(PRESETS)
    slates = PresetMap(scorer)(seen, actions)
    np.testing.assert_array_equal(slates, scorer.recommend(seen, stack_preset_weights()[actions]))


def test_no_two_presets_show_the_same_slates(scorer, seen):
    slates = [PresetMap(scorer)(seen, np.full(USERS, k)).tobytes() for k in range(len(PRESETS))]
    assert len(set(slates)) == len(PRESETS)


@pytest.mark.parametrize("name", ["similarity", "popularity", "rating", "novelty", "favourite", "familiar"])
def test_a_signal_alone_shows_the_most_of_it(means, name):
    assert max(means, key=lambda preset: means[preset][name]) == name


@pytest.mark.parametrize(
    ("feature", "most", "least"),
    [
        ("continues", "continues", "similarity"),
        ("length", "long", "short"),
        ("rating", "acclaimed", "similarity"),
        ("popularity", "trending", "similarity"),
        ("exposed", "familiar", "rested"),
        ("exposed", "similarity", "refreshing"),
        ("familiar", "rating", "exploring"),
    ],
)
def test_a_mixture_does_what_its_name_promises(means, feature, most, least):
    assert means[most][feature] > means[least][feature] + 0.1


def test_variety_spreads_topics(scorer, seen):
    names = list(PRESETS)
    topics = [
        np.mean([len(set(scorer.main_topic[slate])) for slate in PresetMap(scorer)(seen, np.full(USERS, k))])
        for k in (names.index("similarity"), names.index("varied"))
    ]
    assert topics[1] > topics[0]


def test_make_vec_takes_the_action(catalog):
    env = gymnasium.make_vec(
        "longplay/Video-v0",
        num_envs=2,
        catalog=catalog,
        scenario={"shape.users": 50, "shape.candidates": 64},
        action="presets",
        item_vectors=vectors(catalog),
    )
    assert env.single_action_space == gymnasium.spaces.Discrete(len(PRESETS))
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[0]["slate_ids"].min() >= 1

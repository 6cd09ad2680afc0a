"""What exists: taste that the text does not give away, soft topics, hidden quality, people and splits."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from longplay.envs.catalogs.catalog import Catalog
from longplay.envs.users.world import SPLITS, _build_world, build_world
from longplay.tests.envs.worlds import THEMES, content, make_catalog, remembering, small

build_anew = _build_world.__wrapped__  # past the cache


def themes_of(catalog):
    """(N, themes) 1 where a text has words of a theme."""
    return np.array([[any(w in text for w in words.split()) for words in THEMES.values()] for text in catalog.texts])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_text_explains_the_share_of_taste_that_the_scenario_says(catalog, share):
    factors = build_world(catalog, small(taste__text_share=1.0)).items["taste"][1:]
    taste = build_world(catalog, small(taste__text_share=share)).items["taste"][1:]
    np.testing.assert_allclose(np.linalg.norm(taste, axis=1), 1.0, rtol=1e-5)
    assert (taste * factors).sum(axis=1).mean() == pytest.approx(np.sqrt(share), abs=0.04)


def test_text_factors_are_near_where_texts_share_themes(catalog):
    factors = build_world(catalog, small(taste__text_share=1.0)).items["taste"][1:]
    themes = themes_of(catalog).astype(int)
    shared = themes @ themes.T
    cosine = factors @ factors.T
    off = ~np.eye(len(catalog), dtype=bool)
    assert cosine[off & (shared >= 2)].mean() > cosine[off & (shared == 0)].mean() + 0.3


@pytest.mark.parametrize("unlabelled", [0.0, 0.3, 1.0])
def test_topics_are_shares_that_sum_to_one(unlabelled):
    world = build_world(make_catalog(unlabelled=unlabelled), small())
    topics = world.topics
    assert topics.shape == (301, 24)
    assert (topics >= 0).all()
    np.testing.assert_allclose(topics[1:].sum(axis=1), 1.0, rtol=1e-5)
    assert not topics[0].any()
    assert len(world.topic_names) == 24
    unnamed = np.array([name == "" for name in world.topic_names])
    assert not topics[:, unnamed].any()


def test_labels_are_the_topics_and_rare_ones_weigh_more():
    catalog = make_catalog()
    world = build_world(catalog, small())
    assert set(world.topic_names) - {""} == set(THEMES)
    counts = {name: sum(name in labels for labels in catalog.topics) for name in THEMES}
    for n, labels in enumerate(catalog.topics, 1):
        row = dict(zip(world.topic_names, world.topics[n], strict=True))
        assert {name for name in row if row[name] > 0} == set(labels)
        ordered = sorted(labels, key=counts.get)
        assert [row[label] for label in ordered] == sorted((row[label] for label in labels), reverse=True)


def test_a_catalogue_without_labels_gets_topics_of_its_texts():
    catalog = make_catalog(unlabelled=1.0)
    world = build_world(catalog, small())
    assert world.topic_names[:2] == ("topic 1", "topic 2")
    unit = world.topics[1:] / np.linalg.norm(world.topics[1:], axis=1, keepdims=True)
    themes = themes_of(catalog).astype(int)
    shared, cosine = themes @ themes.T, unit @ unit.T
    off = ~np.eye(len(catalog), dtype=bool)
    assert cosine[off & (shared >= 2)].mean() > cosine[off & (shared == 0)].mean() + 0.2


def test_items_without_labels_take_the_topics_that_their_texts_are_near():
    catalog = make_catalog(unlabelled=0.3)
    world = build_world(catalog, small())
    bare = np.array([not labels for labels in catalog.topics])
    assert 50 < bare.sum() < 150
    columns = [world.topic_names.index(name) for name in THEMES]
    true = themes_of(catalog)[bare]
    share = world.topics[1:][bare][:, columns]
    assert (share * true).sum(axis=1).mean() > 1.5 * true.mean()  # of chance


@pytest.mark.parametrize("noise", [0.0, 0.3, 0.6])
@pytest.mark.parametrize(("hidden", "visible"), [("appeal", "popularity"), ("substance", "rating")])
def test_quality_shows_in_the_ratings_as_far_as_the_noise_lets_it(catalog, noise, hidden, visible):
    items = build_world(catalog, small(**{f"items__{hidden}_noise": noise})).items[1:]
    seen = norm.ppf(getattr(catalog, visible))
    assert np.corrcoef(items[hidden], seen)[0, 1] == pytest.approx(np.sqrt(1 - noise), abs=0.06)
    assert items[hidden].std() == pytest.approx(1.0, abs=0.1)
    assert (np.diff(items[hidden][np.argsort(seen)]) >= 0).all() == (noise == 0.0)


def test_minutes_are_compressed_into_their_range_in_order(catalog):
    minutes = build_world(catalog, small()).items["minutes"][1:]
    assert (minutes.min(), minutes.max()) == (pytest.approx(3.0), pytest.approx(20.0))
    assert (np.diff(minutes[np.argsort(catalog.minutes)]) >= 0).all()
    assert len(np.unique(minutes)) > 280
    equal = Catalog("equal", catalog.ids, catalog.texts, catalog.topics, np.full(300, 9.0), *[np.full(300, 0.5)] * 3)
    assert set(build_world(equal, small()).items["minutes"][1:]) == {11.5}


def test_people_are_as_the_scenario_describes_them(catalog):
    scenario = small(shape__users=2000)
    world, p = build_world(catalog, scenario), scenario.params
    people = world.people
    np.testing.assert_allclose(np.linalg.norm(people["taste"], axis=1), 1.0, rtol=1e-9)
    for trait, median, spread in (
        (np.log(people["sensitivity"]), np.log(p.satiation_sensitivity), p.satiation_sensitivity_spread),
        (np.log(people["recovery"]), np.log(p.satiation_recovery), p.satiation_recovery_spread),
        (people["visit_rate"], 0.0, p.gap_between_users),
        (people["chronotype"], 0.0, p.day_chronotype),
    ):
        assert np.median(trait) == pytest.approx(median, abs=5 * spread / np.sqrt(2000))
        assert trait.std() == pytest.approx(spread, rel=0.1)
    rate = 1 / (1 + np.exp(-people["leave_logit"]))
    assert rate.mean() == pytest.approx(p.leave_beta_a / (p.leave_beta_a + p.leave_beta_b), abs=0.02)
    assert all(len(set(past)) == 8 for past in people["past_items"].tolist())
    assert people["past_items"].min() >= 1
    assert (np.diff(people["past_age"]) >= 0).all()
    assert (people["past_age"].min() >= 0.5) & (people["past_age"].max() <= 14.0)
    assert ((people["past_completion"] > 0) & (people["past_completion"] < 1)).all()
    assert (people["profile"].sum(axis=1) == 3).all()


def test_pasts_and_favourites_follow_taste_without_giving_it_away(world):
    taste, items, people = world.people["taste"], world.items, world.people
    liking = taste @ items["taste"][1:].T.astype(float)
    past = np.take_along_axis(liking, people["past_items"] - 1, axis=1)
    assert past.mean() > liking.mean() + liking.std()
    named = people["profile"] @ world.topics.T
    assert np.corrcoef(named[:, 1:].ravel(), liking.ravel())[0, 1] > 0.1
    assert np.corrcoef(named[:, 1:].ravel(), liking.ravel())[0, 1] < 0.8


def test_another_seed_is_another_world_and_the_same_seed_the_same(catalog):
    one, other = build_world(catalog, small(), 1), build_world(catalog, small(), 2)
    assert not np.array_equal(one.people["taste"], other.people["taste"])
    assert not np.array_equal(one.items["taste"], other.items["taste"])
    assert build_world(catalog, small(), 1) is one
    told = dataclasses.replace(small(), name="mine.toml", ranges={"taste_drift": (0.0, 0.5)})
    other = build_world(catalog, told, 1)  # regression: the world of the first was returned, with what it tells
    assert (other.scenario.name, other.scenario.ranges) == ("mine.toml", {"taste_drift": (0.0, 0.5)})
    assert other.items is one.items
    with pytest.raises(ValueError, match="read-only"):
        one.items["minutes"][1] = 5.0


@pytest.mark.parametrize("unlabelled", [0.0, 1.0])
def test_a_world_does_not_depend_on_the_threads_of_blas(unlabelled):
    catalog, worlds = make_catalog(unlabelled=unlabelled), []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            world = build_anew(catalog, small(), 3)
            worlds.append(content(world.items) + content(world.people))
    assert worlds[0] == worlds[1]


def test_splits_share_out_everybody(world):
    found = [set(world.split(name)) for name in SPLITS]
    assert [len(split) for split in found] == [160, 20, 20]
    assert set.union(*found) == set(range(200))
    assert sum(map(len, found)) == 200
    assert len(world.sealed) == 0


@pytest.mark.parametrize("users", [200, 10, 30, 15])
def test_half_of_the_test_users_are_sealed_where_impressions_leave_a_trace(catalog, users):
    plain, world = (build_world(catalog, make(shape__users=users)) for make in (small, remembering))
    for name in ("train", "validation"):
        assert world.split(name) == plain.split(name)
    open_half, sealed = world.split("test"), world.sealed
    assert [*open_half, *sealed] == [*plain.split("test")]
    assert 0 <= len(open_half) - len(sealed) <= 1
    world.check_open(np.arange(users - len(sealed)), "users")
    for user in sealed:
        with pytest.raises(
            ValueError, match=f"users contains {user}, who is sealed, as are {sealed.start} to {users - 1}"
        ):
            world.check_open(np.array([0, user]), "users")
    if sealed:
        assert world.split("test", sealed=True) == sealed
    else:  # of a single test user there is no half
        with pytest.raises(ValueError, match="sealed = True with split = 'test'"):
            world.split("test", sealed=True)


@pytest.mark.parametrize(
    ("items", "changes", "message"),
    [
        (9, {}, "has 9 items, fewer than a slate of 10; add items or lower shape.slate"),
        (5, {}, "has 5 items, fewer than a slate of 10 and a past of 8; add items or lower shape.slate and shape.past"),
        (7, {"shape__slate": 4}, "has 7 items, fewer than a past of 8; add items or lower shape.past"),
    ],
)
def test_a_catalogue_too_small_is_refused(items, changes, message):
    with pytest.raises(ValueError, match=message):
        build_world(make_catalog(items), small(**changes))


@pytest.mark.parametrize("seed", [-1, 1.5, 2**63])
def test_a_seed_that_is_none_is_refused(catalog, seed):
    with pytest.raises(ValueError, match=f"world_seed = {seed!r} must be a whole number from 0 to"):
        build_world(catalog, small(), seed)


class TestSubstance:
    """What of it goes against appeal, and what is the topics' own."""

    @pytest.mark.parametrize("conflict", [0.25, 0.5, 0.9])
    def test_a_conflict_is_the_correlation(self, catalog, conflict):
        plain = build_world(catalog, small()).items[1:]
        items = build_world(catalog, small(items__conflict=conflict)).items[1:]
        assert np.corrcoef(items["appeal"], items["substance"])[0, 1] == pytest.approx(-conflict, abs=1e-5)
        assert items["substance"].std() == pytest.approx(1.0, abs=1e-4)
        rest = [name for name in items.dtype.names if name != "substance"]
        assert content(items[rest]) == content(plain[rest])
        # What appeal does not tell is as before.
        appeal = np.c_[np.ones(len(items)), items["appeal"]].astype(float)
        left = [
            table["substance"] - appeal @ np.linalg.lstsq(appeal, table["substance"].astype(float), rcond=None)[0]
            for table in (plain, items)
        ]
        assert np.corrcoef(*left)[0, 1] == pytest.approx(1.0, abs=1e-5)

    @pytest.mark.parametrize("share", [0.3, 1.0])
    def test_topics_explain_the_share_that_is_theirs(self, share):
        catalog = make_catalog(3000)
        world = build_world(catalog, small(items__topics=share))
        items, topics = world.items[1:], world.topics[1:].astype(float)
        assert items["substance"].std() == pytest.approx(1.0, abs=1e-4)
        fitted = topics @ np.linalg.lstsq(topics, items["substance"].astype(float), rcond=None)[0]
        # Ratings here are drawn without regard to topics.
        assert fitted.var() == pytest.approx(share, abs=0.05)

    def test_which_topics_are_good_is_the_worlds(self, catalog):
        kinds = [build_world(catalog, small(items__topics=1.0), seed).items["substance"] for seed in (0, 0, 1)]
        np.testing.assert_array_equal(kinds[0], kinds[1])
        assert abs(np.corrcoef(kinds[0][1:], kinds[2][1:])[0, 1]) < 0.8

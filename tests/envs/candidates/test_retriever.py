"""Candidates: the same for everybody who saw the same, fresh when a session starts, near to the history."""

import dataclasses

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from longplay.envs.candidates.pooling import HALF_LIFE_DAYS, HALF_LIFE_ITEMS
from longplay.envs.candidates.retriever import Retriever, count_live_items
from longplay.envs.engine import ContextColumn
from longplay.envs.env import SlateVectorEnv
from longplay.envs.make import make_vector_env
from longplay.envs.users.world import build_world
from longplay.tests.envs.worlds import aged, make_catalog, small, vectors

SIMILAR, POPULAR, RECENT = 40, 12, 6  # of 64


@pytest.fixture
def make(world, short_world, catalog):
    def made(slots, short=False, **options):
        return Retriever(SlateVectorEnv(short_world if short else world, slots, **options), vectors(catalog))

    return made


def slates(env, rng):
    return rng.integers(0, 301, env.action_space.shape)


def most_similar(observation, table, count):
    """The items with the most votes of one user's history, by brute force."""
    unit = table.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    votes = np.zeros(len(table))
    ids = observation["history_ids"].astype(int)
    for h, item in enumerate(ids):
        if item > 0:
            days = float(observation["history_age"][h] - observation["history_age"][0])
            recency = 2.0 ** -(h / HALF_LIFE_ITEMS + days / HALF_LIFE_DAYS)
            near = np.argsort(-cosine[item - 1])[:64]
            votes[near] += observation["history_completion"][h] * recency * np.maximum(cosine[item - 1, near], 1e-6)
    votes[ids[ids > 0] - 1] = -1
    return set((np.argsort(-votes)[:count] + 1).tolist())


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_candidates_are_found_when_a_session_starts_and_only_then(make, mode):
    env = make(30, short=True, autoreset_mode=mode)
    observation, _ = env.reset(seed=0)
    rng, seen = np.random.default_rng(0), {"same": 0, "fresh": 0, "ends": 0}
    over = np.zeros(30, bool)
    for _ in range(80):
        before = observation["candidates"]
        observation, _, terminated, truncated, info = env.step(slates(env, rng))
        ended = terminated | truncated
        again = over if mode == AutoresetMode.NEXT_STEP else ended & (mode == AutoresetMode.SAME_STEP)
        for b in range(30):
            if "final_obs" in info and info["_final_obs"][b]:
                np.testing.assert_array_equal(info["final_obs"][b]["candidates"], before[b])
            starts = again[b] or (info["left"][b] and not ended[b])
            same = np.array_equal(observation["candidates"][b], before[b])
            assert same != starts
            seen["fresh" if starts else "same"] += 1
            if starts:
                found, history = observation["candidates"][b].astype(int), observation["history_ids"][b]
                assert len(set(found)) == 64
                assert not set(found) & set(history.astype(int))
                assert found.min() >= 1
        assert observation in env.observation_space
        over = ended
        seen["ends"] += ended.sum()
    assert min(seen.values()) > 10


def test_a_masked_reset_finds_candidates_for_its_slots_alone(make):
    env = make(4, autoreset_mode="Disabled")
    first, _ = env.reset(seed=0)
    second, _ = env.reset(options={"reset_mask": np.array([True, False, True, False])})
    changed = (first["candidates"] != second["candidates"]).any(axis=1)
    assert changed.tolist() == [True, False, True, False]


def test_candidates_come_from_their_sources(make, catalog):
    env = make(60)
    observation, _ = env.reset(seed=1)
    popular = set(np.argsort(-catalog.popularity)[:64] + 1)
    recent = set(np.argsort(catalog.published, kind="stable")[-2 * 64 :] + 1)  # the newest, twice as many as are found
    apart = {"popular": 0, "recent": 0, "neither": 0}
    for b in range(60):
        one = {key: value[b] for key, value in observation.items()}
        found = set(one["candidates"].astype(int).tolist())
        near = most_similar(one, vectors(catalog), SIMILAR)
        assert near <= found
        rest = found - near
        assert len(rest) == 64 - SIMILAR
        assert len(rest & popular) >= POPULAR
        assert len(rest & recent) >= RECENT
        apart["popular"] += len(rest & popular - recent)
        apart["recent"] += len(rest & recent - popular)
        apart["neither"] += len(rest - recent - popular)
    assert apart["neither"] > 60  # some are random


class TestOrder:
    """Where ``candidates.order`` is luck, a candidate's place tells nothing, and all else is as it was."""

    @pytest.fixture(scope="class")
    @staticmethod
    def both(catalog):
        """Environments that differ in the order alone."""

        def made(slots, **options):
            worlds = [build_world(catalog, small(candidates__order=order)) for order in ("source", "luck")]
            return [Retriever(SlateVectorEnv(world, slots, **options), vectors(catalog)) for world in worlds]

        return made

    def test_the_candidates_are_the_same_in_every_session(self, both):
        envs = both(40)
        plain, drawn = (env.reset(seed=6)[0]["candidates"] for env in envs)
        rng, moved = np.random.default_rng(6), 0
        for _ in range(60):
            np.testing.assert_array_equal(np.sort(plain, axis=1), np.sort(drawn, axis=1))
            moved += (plain != drawn).any(axis=1).sum()
            shown = slates(envs[0], rng)
            plain, drawn = (env.step(shown)[0]["candidates"] for env in envs)
        assert moved == 60 * 40

    def test_it_changes_with_the_session_and_not_within(self, both):
        _, env = both(40, autoreset_mode="Disabled")
        before, rng, starts = env.reset(seed=6)[0]["candidates"], np.random.default_rng(6), 0
        for _ in range(30):
            after, _, terminated, truncated, info = env.step(slates(env, rng))
            fresh = info["left"] & ~terminated & ~truncated
            assert ((after["candidates"] != before).any(axis=1) == fresh).all()
            before, starts = after["candidates"], starts + fresh.sum()
        assert starts > 100

    def test_every_place_is_as_likely_for_every_source(self, both):
        """Chi-square of where the first, the last similar and the last candidate are, 5 sigma."""
        envs = both(3000)
        plain, drawn = (env.reset(seed=6)[0]["candidates"] for env in envs)
        for place in (0, SIMILAR - 1, 63):
            found = (drawn == plain[:, place, None]).argmax(axis=1)
            counts, expected = np.bincount(found, minlength=64), 3000 / 64
            assert ((counts - expected) ** 2 / expected).sum() < 63 + 5 * np.sqrt(2 * 63)

    def test_it_is_a_function_of_user_luck_and_session_alone(self, both):
        users = np.array([5, 9, 5, 77])
        whole = both(4)[1].reset(seed=3, options={"users": users})[0]["candidates"]
        for b, user in enumerate(users):
            alone = both(1)[1].reset(seed=3, options={"users": np.array([user])})[0]["candidates"]
            np.testing.assert_array_equal(alone[0], whole[b])
        plain, other = (env.reset(seed=4, options={"users": users})[0]["candidates"] for env in both(4))
        order = [np.argsort(row) for row in plain]
        assert any((np.argsort(row) != one).any() for row, one in zip(other, order, strict=True))

    def test_places_that_are_empty_stay_at_the_end(self):
        """Few live items: what there is is mixed, and the rest are 0."""
        catalog = make_catalog(500)
        worlds = [build_world(catalog, aged(items__life=1.0, candidates__order=order)) for order in ("source", "luck")]
        envs = [Retriever(SlateVectorEnv(world, 60), vectors(catalog)) for world in worlds]
        plain, drawn = (env.reset(seed=0)[0]["candidates"] for env in envs)
        np.testing.assert_array_equal(plain > 0, drawn > 0)
        assert 0 < (plain == 0).mean() < 1
        np.testing.assert_array_equal(np.sort(plain, axis=1), np.sort(drawn, axis=1))
        assert (plain != drawn).any()


def test_later_sessions_take_the_history_at_their_start(make, catalog):
    env = make(40)
    observation, _ = env.reset(seed=2)
    rng, checked = np.random.default_rng(2), 0
    for _ in range(30):
        observation, _, terminated, truncated, info = env.step(slates(env, rng))
        for b in np.flatnonzero(info["left"] & ~terminated & ~truncated):
            one = {key: value[b] for key, value in observation.items()}
            assert most_similar(one, vectors(catalog), SIMILAR) <= set(one["candidates"].astype(int).tolist())
            checked += 1
    assert checked > 100


def test_a_user_has_the_same_candidates_in_any_batch(make):
    users = np.array([5, 9, 5, 77])
    observation, _ = make(4).reset(seed=3, options={"users": users})
    for b, user in enumerate(users):
        alone, _ = make(1).reset(seed=3, options={"users": np.array([user])})
        np.testing.assert_array_equal(alone["candidates"][0], observation["candidates"][b])
    other, _ = make(4).reset(seed=4, options={"users": users})
    assert (other["candidates"] != observation["candidates"]).any(axis=1).all()


def test_length_of_the_vectors_does_not_matter(make, world, catalog):
    scaled = vectors(catalog) * np.random.default_rng(0).uniform(0.5, 4.0, (300, 1)).astype(np.float32)
    one, _ = make(20).reset(seed=0)
    two, _ = Retriever(SlateVectorEnv(world, 20), scaled).reset(seed=0)
    np.testing.assert_array_equal(np.sort(one["candidates"]), np.sort(two["candidates"]))


def test_the_smallest_catalogue_always_fills_a_slate():
    catalog = make_catalog(30)
    scenario = small(shape__users=20)
    env = make_vector_env(8, catalog=catalog, scenario=scenario, candidates=True, item_vectors=vectors(catalog))
    observation, _ = env.reset(seed=0)
    rng, checked = np.random.default_rng(0), 0
    for _ in range(40):
        for b in np.flatnonzero(observation["context"][:, ContextColumn.DEPTH] == 0):
            found = observation["candidates"][b]
            assert found.min() >= 1
            assert len(set(found)) == 10
            assert not set(found) & set(observation["history_ids"][b])
            checked += 1
        assert observation in env.observation_space
        observation = env.step(rng.integers(0, 31, (8, 10)))[0]
    assert checked > 20
    assert env.single_observation_space["candidates"].shape == (10,)


def refuse(catalog, scenario):
    with pytest.raises(ValueError, match="candidates") as refused:
        make_vector_env(1, catalog=catalog, scenario=scenario, candidates=True, item_vectors=vectors(catalog))
    return str(refused.value)


@pytest.mark.parametrize(("items", "left"), [(29, 9), (19, 0), (10, 0)])
def test_a_catalogue_that_cannot_fill_a_slate_is_refused(items, left):
    catalog = make_catalog(items)
    assert refuse(catalog, small(shape__users=20)) == (
        f"catalogue 'small' has {items} items; less a history of 20, that may leave {left} candidates for a slate of "
        "10. Give about 31 items, or lower shape.slate or shape.history, or leave candidates out (action='items')"
    )
    make_vector_env(1, catalog=catalog, scenario=small(shape__users=20)).reset(seed=0)  # as the message says


def test_where_items_age_those_live_at_a_time_must_fill_a_slate(catalog):
    """News with 300 items of one's own: 8 to 14 candidates were found for slates of 12."""
    news = small("news", shape__users=20)
    text = refuse(catalog, news)
    numbers = "catalogue 'small' has 300 items of which at times only 13 are live (for 2.12 days each)"
    assert text.startswith(
        f"{numbers}; less a history of 20, that may leave 0 candidates for a slate of 12. Give about "
    )
    assert "or raise items.life" in text
    enough = make_catalog(int(text.split("Give about ")[1].split()[0]))
    env = make_vector_env(40, catalog=enough, scenario=news, candidates=True, item_vectors=vectors(enough))
    assert 32 <= count_live_items(env.unwrapped.world) < 36
    few = make_catalog(len(enough) * 9 // 10)
    assert "candidates for a slate of 12" in refuse(few, news)


def test_the_fewest_live_items_are_those_of_any_moment(catalog):
    world = build_world(catalog, aged(items__life=0.5))
    counts = [
        ((world.born[1:] <= now) & (world.born[1:] >= now - 2.0)).sum()
        for now in np.linspace(0, world.scenario.params.horizon_days, 20001)
    ]
    assert count_live_items(world) == min(counts)


def test_tiny_keeps_its_empty_places():
    """Its optimum is known for two items, of which a history holds one or both."""
    env = make_vector_env(4, base="tiny", candidates=True, item_vectors=np.eye(2, dtype=np.float32))
    assert (env.reset(seed=0)[0]["candidates"] > 0).sum(axis=1).tolist() == [1] * 4


def constant(catalog, column):
    return dataclasses.replace(catalog, **{column: np.full(len(catalog), 0.5)})


def reverse(catalog):
    """The same items, the last row first."""
    columns = ("ids", "texts", "topics", "minutes", "popularity", "rating", "published")
    return dataclasses.replace(catalog, **{name: getattr(catalog, name)[::-1] for name in columns})


@pytest.mark.parametrize("column", ["popularity", "published"])
def test_a_constant_column_favours_no_row(column):
    """Of the candidates a tenth come from a tenth of the rows: without `popularity` it was a quarter."""
    catalog = constant(make_catalog(2000), column)
    found = []
    for seed in range(3):
        env = Retriever(SlateVectorEnv(build_world(catalog, small(), seed), 100), vectors(catalog))
        found.append(env.reset(seed=0)[0]["candidates"].astype(int))
    share = (np.array(found) <= 200).mean()
    assert share == pytest.approx(0.1, abs=0.03)
    assert (np.array(found) > 1800).mean() == pytest.approx(0.1, abs=0.03)


def test_where_values_exist_the_first_rows_of_equal_ones_come_first():
    """What the candidates of the shipped ids hang on."""
    catalog = dataclasses.replace(make_catalog(2000), popularity=np.repeat([0.75, 0.25], 1000))
    env = Retriever(SlateVectorEnv(build_world(catalog, small()), 1), vectors(catalog))
    assert np.flatnonzero(env._index.popular).tolist() == list(range(1, 201))


def test_who_is_popular_hangs_on_ids_and_world_alone():
    catalog = constant(make_catalog(400), "popularity")

    def find_popular(items, seed=0):
        env = Retriever(SlateVectorEnv(build_world(items, small(), seed), 1), vectors(items))
        return {items.ids[i] for i in np.flatnonzero(env._index.popular[1:])}

    assert len(find_popular(catalog)) == 64
    assert find_popular(reverse(catalog)) == find_popular(catalog)
    assert find_popular(catalog, 1) != find_popular(catalog)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v[:-1], r"item_vectors have shape \(299, 16\), expected \(items, width\) = \(300, E\)"),
        (lambda v: v.ravel(), r"item_vectors have shape \(4800,\)"),
        (
            lambda v: np.where(np.arange(300)[:, None] == 6, np.nan, v),
            r"row 6 \(item 7\) has a value that is not finite",
        ),
    ],
    ids=["rows", "flat", "nan"],
)
def test_wrong_vectors_are_named(world, catalog, change, message):
    with pytest.raises(ValueError, match=message):
        Retriever(SlateVectorEnv(world), change(vectors(catalog)))


# --- items that age ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("life", "count"), [(1.5, 64), (4.0, 64)])
def test_where_items_age_only_live_ones_are_found(catalog, life, count):
    """Those that have appeared, and not longer ago than four lives; where too few are, the rest are 0."""
    world = build_world(catalog, aged(items__life=life, shape__candidates=count))
    env = Retriever(SlateVectorEnv(world, 60), vectors(catalog))
    observation, _ = env.reset(seed=0)
    rng, checked, short = np.random.default_rng(0), 0, 0
    fresh = np.ones(60, bool)
    for _ in range(25):
        for b in np.flatnonzero(fresh):
            now = env.unwrapped.engine.users["clock"][b]
            found = observation["candidates"][b].astype(int)
            real = found[found > 0]
            live = np.flatnonzero((world.born[1:] <= now) & (world.born[1:] >= now - 4 * life)) + 1
            history = observation["history_ids"][b].astype(int)
            assert set(real) <= set(live) - set(history)
            assert len(set(real)) == len(real)
            assert (np.diff((found > 0).astype(int)) <= 0).all()  # the zeros come last
            assert len(real) == min(env.count, len(set(live) - set(history)))
            checked, short = checked + 1, short + (len(real) < env.count)
        observation, _, terminated, truncated, _ = env.step(rng.integers(0, 301, (60, 10)))
        assert observation in env.observation_space
        fresh = (observation["context"][:, ContextColumn.DEPTH] == 0) & ~terminated & ~truncated
    assert checked > 200
    assert (short == checked) if life < 2 else (short < checked)


def test_recent_candidates_are_the_newest_of_those_that_have_appeared(catalog):
    world = build_world(catalog, aged())
    env = Retriever(SlateVectorEnv(world, 60), vectors(catalog))
    observation, _ = env.reset(seed=0)
    new = 0
    for b in range(60):
        now = env.unwrapped.engine.users["clock"][b]
        live = np.flatnonzero((world.born[1:] <= now) & (world.born[1:] >= now - 16)) + 1
        newest = live[np.argsort(-world.born[live])][: 2 * 64]
        found = set(observation["candidates"][b].astype(int)) - {0}
        assert len(found & set(newest)) >= RECENT
        new += len(found & set(newest[:10]))
    assert new > 0

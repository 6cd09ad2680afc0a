"""Features of items times traits of users: each from the records, and as slopes that differ from user to user."""

import dataclasses
import json
import math

import numpy as np
import pytest

from longplay.agents.playing.cross_entropy import CrossEntropyOptions
from longplay.agents.playing.sweep import SweepOptions
from longplay.agents.references.features import FEATURES
from longplay.agents.references.linear import ALL_FEATURES, LinearOracle, measure_own_verdict, sweep_bonus
from longplay.agents.references.traces import recall_traces
from longplay.agents.references.traits import (
    MORE,
    OWN,
    TURN,
    TURN_LEFT,
    describe_more,
    describe_own,
    fold_slopes,
    judge_items,
    read_traits,
)
from longplay.envs.engine import ContextColumn
from longplay.envs.users.world import build_world
from longplay.tests.agents.contracts import AgentContract
from longplay.tests.agents.references.test_items import MEMORY
from longplay.tests.agents.small import phases
from longplay.tests.envs.worlds import small


@pytest.fixture(scope="module")
def remembered(catalog, item_vectors):
    """A world with a memory and frail people, observations and records in all phases of sessions."""
    world = build_world(catalog, small().with_overrides(MEMORY | {"churn.frailty": 1.0}))
    return world, *phases(world, item_vectors, users=36, steps=12)


@pytest.fixture(scope="module")
def judging(catalog, item_vectors):
    """A world in which people judge by a second taste, observations and records."""
    changes = MEMORY | {"second.weight": 2.0, "second.own": 0.3, "satisfaction.substance": 0.5}
    world = build_world(catalog, small().with_overrides(changes))
    return world, *phases(world, item_vectors, users=24, steps=8)


@pytest.fixture(scope="module")
def growing(catalog, item_vectors):
    """A world in which what is watched turns taste, and observations."""
    changes = MEMORY | {"taste.cultivation": 0.1, "taste.drift": 0.0, "items.topics": 0.5}
    world = build_world(catalog, small().with_overrides(changes))
    return world, phases(world, item_vectors, users=12, steps=6)[0]


@pytest.fixture
def observation(states):
    return states[0]


@pytest.fixture(scope="module")
def scales():
    """Weights, centre and scale of all features, drawn."""
    weights, centre, scale = np.random.default_rng(0).normal(size=(3, len(ALL_FEATURES)))
    return weights, centre, np.exp(scale)


class TestContract(AgentContract):
    avoids_history = False  # it knows what a repeat costs
    leaves_slots_empty = True

    @pytest.fixture
    def subject(self, world, scales):
        return LinearOracle(world, *scales, shortlist=24)


class TestFeatures:
    def test_each_from_the_records(self, remembered):
        world, observation, users = remembered
        p, oracle = world.scenario.params, LinearOracle(world, np.zeros(len(ALL_FEATURES)))
        ids = observation["candidates"].astype(np.int64)
        ids[:, :10] = observation["shown_ids"][:, 0]
        _, x = oracle.describe_items(ids, observation)
        assert x.shape == (*ids.shape, len(ALL_FEATURES))
        traces = recall_traces(world, ids, observation)
        assert traces.ignored.max() > 0.5
        met = {"skips": set(), "vain": set()}
        for b, user in enumerate(users):
            left = 1 - float(observation["context"][b, ContextColumn.DAY]) / p.horizon_days
            churn = p.churn_base - p.churn_trust * (user["trust"] - p.churn_trust_pivot) + user["frailty"]
            ages = observation["history_age"][b][observation["history_ids"][b] > 0]
            clicked = bool((ages * 1440 < user["session_minutes"]).any())
            traits = {
                "trust": user["trust"],
                "satisfaction": user["satisfaction"],
                "left": left,
                "churn": churn,
                "at stake": left / (1 + math.exp(-churn)),
                "fatigue": user["fatigue"] / 10,
                "skips": min(user["skips"], 3),
                "in vain": float(not clicked),
            }
            met["skips"].add(int(user["skips"]))
            met["vain"].add(traits["in vain"])
            for m in (0, 5, 20):
                assert x[b, m, len(FEATURES)] == pytest.approx(math.log1p(traces.ignored[b, m]))
                assert x[b, m, ALL_FEATURES.index("own verdict")] == 0.0
                assert not x[b, m, len(FEATURES) + 2 : len(FEATURES) + 4].any()  # nothing turns taste
                for name in MORE[4:]:
                    feature, trait = name.split(" × ")
                    expected = x[b, m, FEATURES.index(feature)] * traits[trait]
                    assert x[b, m, ALL_FEATURES.index(name)] == pytest.approx(expected, rel=1e-4, abs=1e-6), name
        assert len(met["skips"]) > 1
        assert met["vain"] == {0.0, 1.0}

    def test_a_world_without_frailty_or_memory_has_them_too(self, world, states):
        _, x = LinearOracle(world, np.zeros(len(ALL_FEATURES))).describe_items(
            states[0]["candidates"].astype(np.int64), states[0]
        )
        assert np.isfinite(x).all()
        assert not x[:, :, len(FEATURES)].any()  # nothing was ignored


class TestSlopes:
    def test_folded_they_are_the_weighted_sum_of_all_features(self, remembered, scales):
        world, observation, _ = remembered
        ids = observation["candidates"].astype(np.int64)
        _, x = LinearOracle(world).describe_items(ids, observation)
        traces, traits = recall_traces(world, ids, observation), read_traits(world, observation)
        own = describe_own(world, ids, observation, traces.ignored)
        whole = np.concatenate([x, describe_more(x, own, traits)], axis=2)
        slopes = np.broadcast_to(scales[0] / scales[2], (len(ids), len(ALL_FEATURES)))
        folded = np.einsum("bmf,bf->bm", x, fold_slopes(slopes, traits))
        folded += slopes[:, len(FEATURES), None] * np.log1p(traces.ignored)
        np.testing.assert_allclose(folded, np.einsum("bmf,bf->bm", whole, slopes), rtol=1e-9, atol=1e-9)

    def test_slates_are_those_of_the_standardised_sum(self, remembered, scales):
        """A trait's weight, centre and scale may as well be in the slope of its feature and in that of the click."""
        world, observation, _ = remembered
        weights, centre, scale = scales
        oracle, raw = LinearOracle(world, weights, centre, scale), LinearOracle(world, weights / scale)
        raw.weights[0] -= (weights / scale) @ centre
        np.testing.assert_array_equal(oracle.act(observation), raw.act(observation))

    def test_a_weight_on_what_was_ignored_brings_it_back_or_keeps_it_away(self, remembered):
        world, observation, _ = remembered

        def count_ignored(weight):
            weights = np.zeros(len(ALL_FEATURES))
            weights[0], weights[ALL_FEATURES.index("ignored")] = 10.0, weight
            slates = LinearOracle(world, weights).act(observation)
            return recall_traces(world, slates, observation).ignored[slates > 0].mean()

        assert count_ignored(-10.0) < count_ignored(0.0) < count_ignored(10.0)

    @pytest.mark.parametrize("name", [name for name in MORE if name not in (OWN, TURN, TURN_LEFT)])
    def test_each_changes_slates(self, remembered, name):
        world, observation, _ = remembered
        weights = np.zeros(len(ALL_FEATURES))
        weights[0] = 10.0  # that all are worth more in the same proportion would change nothing
        without = LinearOracle(world, weights).act(observation)
        weights[ALL_FEATURES.index(name)] = 30.0 if name.startswith(("minutes", "verdict", "click")) else -30.0
        assert (LinearOracle(world, weights).act(observation) != without).any()

    def test_without_weight_they_change_nothing(self, remembered, scales):
        world, observation, _ = remembered
        known = [values[: len(FEATURES)] for values in scales]
        more = np.append(known[0], np.zeros(len(MORE)))
        oracle = LinearOracle(world, more, *known[1:])
        np.testing.assert_array_equal(oracle.act(observation), LinearOracle(world, *known).act(observation))


class TestFiles:
    def test_saved_and_loaded_it_is_the_same(self, tmp_path, world, scales):
        oracle = LinearOracle(world, *scales)
        oracle.save(tmp_path / "oracle.json")
        loaded = LinearOracle.load(tmp_path / "oracle.json", world)
        for name, values in zip(("weights", "centre", "scale"), scales, strict=True):
            np.testing.assert_array_equal(getattr(loaded, name), values)

    def test_what_a_file_does_not_name_has_no_weight(self, tmp_path, world, scales):
        path = tmp_path / "oracle.json"
        LinearOracle(world, *scales).save(path)
        content = json.loads(path.read_text(encoding="utf-8"))
        del content["features"]["verdict × at stake"]
        path.write_text(json.dumps(content), encoding="utf-8")
        loaded, place = LinearOracle.load(path, world), ALL_FEATURES.index("verdict × at stake")
        assert loaded.weights[place] == 0.0 == loaded.centre[place]
        rest = np.arange(len(ALL_FEATURES)) != place
        np.testing.assert_array_equal(loaded.weights[rest], scales[0][rest])

    def test_a_file_of_the_features_of_old_has_no_more(self, tmp_path, world, scales):
        LinearOracle(world, *(values[: len(FEATURES)] for values in scales)).save(tmp_path / "oracle.json")
        assert len(LinearOracle.load(tmp_path / "oracle.json", world).weights) == len(FEATURES)

    def test_other_names_and_numbers_are_refused(self, tmp_path, world, scales):
        path = tmp_path / "oracle.json"
        LinearOracle(world, *scales).save(path)
        content = json.loads(path.read_text(encoding="utf-8"))
        content["features"]["verdict × luck"] = content["features"].pop("verdict × churn")
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(ValueError, match=r"is not a linear oracle: .*; fit and save again"):
            LinearOracle.load(path, world)
        with pytest.raises(ValueError, match=f"or {len(ALL_FEATURES)} with MORE"):
            dataclasses.replace(LinearOracle(world), weights=np.zeros(20))
        with pytest.raises(ValueError, match=f"centre has {len(ALL_FEATURES)} numbers, weights {len(FEATURES)}"):
            LinearOracle(world, centre=np.zeros(len(ALL_FEATURES)))


class TestSecondTaste:
    """Where people judge by a second taste, a planner knows each one's own verdict."""

    def test_own_verdicts_are_those_that_the_user_model_passes(self, judging):
        world, observation, users = judging
        p = world.scenario.params
        ids = observation["candidates"].astype(np.int64)[:, :6]
        own = describe_own(world, ids, observation, np.zeros(ids.shape))[:, :, 1]
        for b, m in ((0, 0), (3, 5), (len(users) - 1, 2)):
            item, verdicts = world.items[ids[b, m]], []
            gain = p.satisfaction_base + p.satisfaction_substance * item["substance"]
            gain -= p.satisfaction_appeal * item["appeal"]
            match = sum(float(u) * float(v) for u, v in zip(users[b]["second"], item["taste"], strict=True))
            for extra in (0.0, p.second_weight * match * math.sqrt(len(item["taste"]))):
                verdicts.append(1 / (1 + math.exp(-(float(gain) + extra))))
            assert own[b, m] == pytest.approx(verdicts[1] - verdicts[0], abs=1e-5)
        assert own.std() > 0.05

    def test_a_bonus_on_ones_own_is_one_of_the_items_and_of_the_difference(self, judging):
        world, observation, _ = judging
        mean, spread = measure_own_verdict(world)
        oracle = LinearOracle(world, np.zeros(len(ALL_FEATURES)), shortlist=None)
        oracle.weights = oracle.express_bonus(4.0, own=True)
        ids = observation["candidates"].astype(np.int64)
        _, x = oracle.describe_items(ids, observation)
        said = (x * oracle.weights).sum(axis=2)
        verdict = judge_items(world, ids, observation["latent"]["second"].astype(np.float64))
        np.testing.assert_allclose(said, 4.0 * (verdict - mean) / spread, rtol=1e-4, atol=1e-4)

    def test_it_shows_people_what_they_are_glad_of(self, judging):
        world, observation, _ = judging
        second = observation["latent"]["second"].astype(np.float64)

        def please(bonus):
            oracle = LinearOracle(world, np.zeros(len(ALL_FEATURES)))
            oracle.weights = oracle.express_bonus(bonus, own=True)
            slates = oracle.act(observation)
            return judge_items(world, slates, second)[slates > 0].mean()

        assert please(-3.0) < please(0.0) < please(3.0) < please(30.0)

    def test_a_search_starts_from_the_better_bonus_and_elsewhere_knows_no_own_verdict(self, judging, item_vectors):
        world, _, _ = judging
        quick = CrossEntropyOptions(users=4, population=3, elites=2, iterations=1, validation_users=20)
        sweep = SweepOptions(users=20, grid=(0.0, 4.0), rounds=0)
        found = []
        for own in (False, True):
            found.append(sweep_bonus(world, item_vectors, sweep, lambda what, share: None, own=own).scores.max())
        oracle = LinearOracle(world, np.zeros(len(ALL_FEATURES)))
        start = oracle._sweep_start(item_vectors, sweep, lambda what, share: None)
        assert (start[ALL_FEATURES.index(OWN)] != 0) == (found[1] > found[0])
        plain = build_world(world.catalog, small().with_overrides(MEMORY))
        fitted = LinearOracle.fit(plain, item_vectors, quick, sweep=sweep)
        assert fitted.weights[ALL_FEATURES.index(OWN)] == 0.0


class TestTurn:
    """Where what is watched turns taste, a planner knows what that does to what people like."""

    def test_it_is_the_slope_of_what_people_like(self, growing):
        """The mean verdict by softmax, after a small step towards each item and before, over the step."""
        world, observation = growing
        ids = observation["candidates"].astype(np.int64)
        x = describe_own(world, ids, observation, np.zeros(ids.shape))
        verdict, step = judge_items(world, ids), 1e-5
        left = 1 - observation["context"][:, ContextColumn.DAY] / world.scenario.params.horizon_days
        for b, m in ((0, 0), (5, 7), (10, 30)):
            tastes = world.items["taste"][ids[b]].astype(float)
            before = observation["latent"]["taste"][b].astype(float)
            after = before + step * tastes[m]
            worth = []
            for taste in (before, after / np.linalg.norm(after)):
                pull = np.exp(world.scenario.params.taste_weight * tastes @ taste) * (ids[b] > 0)
                worth.append((pull * verdict[b]).sum() / pull.sum())
            slope = (worth[1] - worth[0]) / step
            assert x[b, m, 2] == pytest.approx(slope, rel=1e-3, abs=1e-5)
            assert x[b, m, 3] == pytest.approx(slope * left[b], rel=1e-3, abs=1e-5)
        assert x[:, :, 2].std() > 0.01

    def test_a_search_weighs_it_there(self, growing, item_vectors):
        world, _ = growing
        quick = CrossEntropyOptions(users=4, population=6, elites=2, iterations=2, validation_users=20)
        fitted = LinearOracle.fit(world, item_vectors, quick, sweep=SweepOptions(users=20, grid=(0.0,), rounds=0))
        assert fitted.weights[ALL_FEATURES.index(OWN)] == 0.0
        assert len(fitted.weights) == len(ALL_FEATURES)

"""The linear oracle: the myopic one at weights of 0, closed forms, the search, and what it finds."""

import dataclasses
import json
import math

import numpy as np
import pytest

from longplay.agents.playing.cross_entropy import CrossEntropyOptions, search_by_cross_entropy
from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.sweep import SweepOptions
from longplay.agents.playing.trials import make_life_env
from longplay.agents.references.features import FEATURES
from longplay.agents.references.linear import LinearOracle, play_trials
from longplay.agents.references.oracles import MyopicOracle
from longplay.envs.engine import ContextColumn
from longplay.envs.users.world import build_world
from longplay.tests.agents.contracts import AgentContract
from longplay.tests.agents.small import phases
from longplay.tests.envs.worlds import small

# Trust decides who stays and substance makes trust, so what pays now and what keeps are far apart.
STRONG = {
    "horizon.days": 10.0,
    "shape.users": 600,
    "satisfaction.substance": 2.5,
    "satisfaction.rate": 0.6,
    "trust.rate": 0.6,
    "churn.base": -2.0,
    "churn.trust": 8.0,
    "leave.satisfaction": 3.0,
    "choice.nothing": 2.0,
}
SHORT = SweepOptions(users=40, grid=(0.0, 3.0), rounds=0)  # of the bonus that a search starts from
QUICK = CrossEntropyOptions(users=25, population=16, elites=4, iterations=4, spread=0.5, validation_users=40)


def number(name):
    return FEATURES.index(name)


def with_weights(oracle, **weights):
    """The oracle with some weights, by name."""
    changed = np.zeros(len(FEATURES))
    for name, weight in weights.items():
        changed[number(name)] = weight
    return dataclasses.replace(oracle, weights=changed)


@pytest.fixture
def observation(states):
    return states[0]


class TestContract(AgentContract):
    avoids_history = False  # it knows what a repeat costs
    leaves_slots_empty = True

    @pytest.fixture
    def subject(self, world):
        return with_weights(LinearOracle(world, shortlist=24), click=3.0, verdict=8.0, crowding=-0.3)


def scenes(catalog):
    """Video, and what it leaves at rest."""
    other = {"items.life": 2.0, "satiation.kind": "saturating", "momentum.persistence": 0.5, "choice.nothing": 1.0}
    flares = {"items.flare": 1.5, "items.flare_days": 1.0, "choice.price": 0.4}
    for changes in ({}, other | {"choice.model": "cascade"}, other | flares | {"choice.model": "position"}):
        yield build_world(catalog, small(horizon__days=6).with_overrides(changes))


class TestFeatures:
    @pytest.mark.parametrize("scene", range(3))
    def test_pull_and_minutes_are_those_of_the_myopic_oracle(self, catalog, item_vectors, scene):
        world = list(scenes(catalog))[scene]
        observation, _ = phases(world, item_vectors)
        oracle = LinearOracle(world)
        ids = np.concatenate([oracle.list_items(observation), observation["history_ids"].astype(np.int64)], axis=1)
        pull, x = oracle.describe_items(ids, observation)
        expected, minutes = MyopicOracle(world).weigh_items(ids, observation)
        np.testing.assert_allclose(pull, expected, rtol=1e-5)
        there = pull > 0
        assert there.mean() > 0.5
        np.testing.assert_allclose(x[:, :, number("minutes")][there], minutes[there], rtol=3e-5)

    def test_each_feature_from_the_records(self, world, states):
        observation, users = states
        p, items = world.scenario.params, world.items
        ids = observation["candidates"].astype(np.int64)
        ids[:, 5] = observation["history_ids"][:, 0]
        pull, x = LinearOracle(world).describe_items(ids, observation)
        for b, m in ((0, 0), (7, 5), (13, 9), (len(users) - 1, 5)):
            user, item, item_topics = users[b], items[ids[b, m]], world.topics[ids[b, m]].astype(float)
            satiation = float(user["satiation"] @ item_topics)
            verdict = 1 / (
                1
                + math.exp(
                    -(
                        p.satisfaction_base
                        + p.satisfaction_substance * item["substance"]
                        - p.satisfaction_appeal * item["appeal"]
                    )
                )
            )
            left = 1 - float(observation["context"][b, ContextColumn.DAY]) / p.horizon_days
            value = pull[b] * x[b, :, number("minutes")]
            main = world.topics.argmax(axis=1)[ids[b]]
            expected = {
                "click": 1.0,
                "completion": x[b, m, number("minutes")] / float(item["minutes"]),
                "length": math.log(item["minutes"]),
                "taste": p.taste_weight * float(user["taste"].astype(float) @ item["taste"]),
                "momentum": float(user["momentum"] @ item_topics),
                "satiation": satiation,
                "tired": float(user["sensitivity"]) * satiation,
                "repeat": float(m == 5),
                "appeal": float(item["appeal"]),
                "substance": float(item["substance"]),
                "verdict": verdict,
                "crowding": ((main == main[m]) & (value > value[m])).sum(),
                "click × left": left,
                "verdict × left": verdict * left,
                "verdict × trust": verdict * float(user["trust"]),
                "verdict × satisfaction": verdict * float(user["satisfaction"]),
            }
            assert {*expected, "minutes"} == set(FEATURES)
            for name, value in expected.items():
                assert x[b, m, number(name)] == pytest.approx(value, rel=1e-4, abs=1e-5), name


class TestSlates:
    @pytest.mark.parametrize("scene", range(3))
    def test_weights_of_0_are_the_myopic_oracle(self, catalog, item_vectors, scene):
        world = list(scenes(catalog))[scene]
        observation, _ = phases(world, item_vectors)
        myopic = MyopicOracle(world).act(observation)
        np.testing.assert_array_equal(LinearOracle(world, shortlist=None).act(observation), myopic)
        short = LinearOracle(world, shortlist=24).act(observation)
        assert (short == myopic).all(axis=1).mean() > 0.9

    def test_choosing_from_the_whole_catalogue(self, world, observation):
        myopic = MyopicOracle(world, whole=True).act(observation)
        np.testing.assert_array_equal(LinearOracle(world, shortlist=None, whole=True).act(observation), myopic)

    def test_a_click_worth_1_whatever_it_is_gives_the_slate_with_most_clicks(self, world, observation):
        oracle = with_weights(LinearOracle(world, shortlist=None), minutes=-1.0, click=1.0)
        np.testing.assert_array_equal(oracle.act(observation), MyopicOracle(world, "clicks").act(observation))

    def test_what_is_worth_nothing_is_not_shown(self, world, observation):
        oracle = with_weights(LinearOracle(world), minutes=-1.0, substance=1.0)  # worth: substance, at least 0
        slates = oracle.act(observation)
        assert (world.items["substance"][slates[slates > 0]] > 0).all()
        assert not with_weights(oracle, click=-100.0).act(observation).any()

    def test_centre_and_scale_standardise(self, world, observation):
        rng = np.random.default_rng(0)
        weights, centre, scale = rng.normal(size=(3, len(FEATURES)))
        scale = np.exp(scale)
        oracle = LinearOracle(world, weights, centre, scale)
        raw = LinearOracle(world, weights / scale)
        raw.weights[0] -= (weights / scale) @ centre  # the constant may as well be in the click
        np.testing.assert_array_equal(oracle.act(observation), raw.act(observation))

    def test_a_penalty_on_crowding_spreads_topics(self, world, observation):
        main = world.topics.argmax(axis=1)

        def variety(oracle):
            return np.mean([len(set(main[slate[slate > 0]])) for slate in oracle.act(observation)])

        oracle = LinearOracle(world)
        assert variety(with_weights(oracle, crowding=-1.0)) > variety(oracle) + 0.5

    def test_rows_have_weights_of_their_own(self, world, observation):
        oracles = [LinearOracle(world), with_weights(LinearOracle(world), substance=5.0)]
        users = len(observation["context"])
        each = np.arange(users) % 2
        slates = oracles[0].choose_slates(observation, np.stack([o.weights for o in oracles])[each])
        expected = np.stack([o.act(observation) for o in oracles])[each, np.arange(users)]
        np.testing.assert_array_equal(slates, expected)


class TestCrossEntropy:
    target = np.array([2.0, -1.0, 0.5])

    def score(self, iteration, trials):
        return -((trials - self.target) ** 2).sum(axis=1)

    def test_it_finds_the_top_of_a_paraboloid(self):
        means = search_by_cross_entropy(
            self.score, np.zeros(3), CrossEntropyOptions(population=60, elites=12, iterations=25)
        )
        assert len(means) == 26
        assert (means[0] == 0).all()
        assert means[-1] == pytest.approx(self.target, abs=0.05)

    def test_mean_takes_part_and_the_elites_give_the_next(self):
        seen = []

        def score(iteration, trials):
            seen.append(trials)
            return self.score(iteration, trials)

        search = CrossEntropyOptions(population=10, elites=3, iterations=2, seed=5)
        means = search_by_cross_entropy(score, np.ones(3), search)
        for mean, after, trials in zip(means, means[1:], seen, strict=False):
            assert (trials[0] == mean).all()
            order = np.argsort(((trials - self.target) ** 2).sum(axis=1))
            assert after == pytest.approx(trials[order[:3]].mean(axis=0))

    def test_it_is_a_function_of_the_seed(self):
        one, same, other = (
            search_by_cross_entropy(self.score, np.zeros(3), CrossEntropyOptions(iterations=2, seed=seed))[-1]
            for seed in (0, 0, 1)
        )
        assert (one == same).all()
        assert (one != other).any()


@pytest.fixture(scope="module")
def strong(catalog):
    return build_world(catalog, small().with_overrides(STRONG))


@pytest.fixture(scope="module")
def fitted(strong, item_vectors):
    return LinearOracle.fit(strong, item_vectors, QUICK, sweep=SHORT)


class TestFit:
    def test_looking_ahead_pays_where_trust_decides(self, strong, item_vectors, fitted):
        evaluator = Evaluator(strong, item_vectors, held_out_users(strong, "test", 60), 9)
        ahead, now = evaluator.play(fitted), evaluator.play(MyopicOracle(strong))
        paired = ahead["minutes"] - now["minutes"]
        assert paired.mean() > 2 * paired.std() / math.sqrt(len(paired))
        assert ahead["minutes"].mean() > 1.05 * now["minutes"].mean()
        assert ahead["churned"].mean() <= now["churned"].mean()
        slates = (ahead["first_session_minutes"].sum(), now["first_session_minutes"].sum())
        assert slates[0] != slates[1]

    def test_nothing_is_gained_with_the_dial_at_0(self, catalog, item_vectors):
        still = build_world(catalog, small().with_overrides({**STRONG, "horizon.days": 3.0}).with_strength(0))
        quick = dataclasses.replace(QUICK, iterations=2)
        oracle = LinearOracle.fit(still, item_vectors, quick, sweep=SHORT)
        evaluator = Evaluator(still, item_vectors, held_out_users(still, "test", 40), 9)
        best, other = evaluator.play(MyopicOracle(still, whole=True)), evaluator.play(oracle)
        assert (best["slates"] == other["slates"]).all()
        paired = best["minutes"] - other["minutes"]
        assert paired.mean() > -2 * paired.std() / math.sqrt(len(paired))

    def test_it_is_a_function_of_its_inputs_and_reports(self, strong, item_vectors):
        search = CrossEntropyOptions(users=4, population=4, elites=2, iterations=2, validation_users=4)
        told = []
        one = LinearOracle.fit(
            strong, item_vectors, search, lambda what, share: told.append((what, share)), sweep=SHORT
        )
        two = LinearOracle.fit(strong, item_vectors, search, sweep=SHORT)
        for name in ("weights", "centre", "scale"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        assert told[:3] == [("sweeping the bonus", 0.0), ("searching weights", 0.0), ("searching weights", 0.5)]

    def test_it_keeps_the_start_unless_something_is_better(self, strong, item_vectors, monkeypatch):
        monkeypatch.setattr(
            "longplay.agents.references.linear.play_trials",
            lambda env, choose_slates, users, trials, luck: -np.abs(trials).sum(axis=1),
        )
        search = CrossEntropyOptions(users=4, population=4, elites=2, iterations=2, validation_users=4)
        start = LinearOracle.fit(strong, item_vectors, search, sweep=SweepOptions(grid=(0.0,)))
        assert not start.weights.any()

    def test_trials_earn_what_the_evaluator_says(self, strong, item_vectors):
        oracles = [LinearOracle(strong), with_weights(LinearOracle(strong), verdict=20.0)]
        users = held_out_users(strong, "test", 10)
        env, weights = make_life_env(strong, item_vectors, 20), np.stack([oracle.weights for oracle in oracles])
        found = play_trials(env, oracles[0].choose_slates, users, weights, 9)
        evaluator = Evaluator(strong, item_vectors, users, 9)
        assert found == pytest.approx([evaluator.mean_minutes(oracle) for oracle in oracles])

    def test_features_are_standardised_over_the_states_met(self, fitted, strong, item_vectors):
        assert fitted.centre[0] == 0  # a click is not the same as none
        observation, _ = phases(strong, item_vectors)
        _, x = fitted.describe_items(fitted.list_items(observation), observation)
        z = (x - fitted.centre) / fitted.scale
        for name in ("substance", "verdict", "minutes", "taste"):
            assert abs(z[:, :, number(name)].mean()) < 0.5, name
            assert 0.5 < z[:, :, number(name)].std() < 2, name


class TestFiles:
    def test_saved_and_loaded_it_is_the_same(self, tmp_path, strong, item_vectors, fitted):
        fitted.save(tmp_path / "oracle.json")
        loaded = LinearOracle.load(tmp_path / "oracle.json", strong)
        for name in ("weights", "centre", "scale"):
            np.testing.assert_array_equal(getattr(loaded, name), getattr(fitted, name))
        assert (loaded.shortlist, loaded.whole) == (fitted.shortlist, fitted.whole)
        assert [path.name for path in tmp_path.iterdir()] == ["oracle.json"]

    def test_another_scenario_is_refused(self, tmp_path, world, fitted):
        fitted.save(tmp_path / "oracle.json")
        with pytest.raises(ValueError, match="was fitted in another scenario than 'video' as it is here; fit it again"):
            LinearOracle.load(tmp_path / "oracle.json", world)

    def test_what_is_no_oracle_is_refused(self, tmp_path, world):
        path = tmp_path / "oracle.json"
        with pytest.raises(ValueError, match="does not exist; write it with the save of a linear oracle"):
            LinearOracle.load(path, world)
        LinearOracle(world).save(path)
        content = json.loads(path.read_text(encoding="utf-8"))
        content["features"]["luck"] = content["features"].pop("click")
        for text in ("{", "[]", json.dumps(content)):
            path.write_text(text, encoding="utf-8")
            with pytest.raises(ValueError, match=r"is not a linear oracle: .*; fit and save again"):
                LinearOracle.load(path, world)


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"weights": np.zeros(3)}, "weights = .* must be 17 finite numbers, as FEATURES"),
            ({"centre": np.full(17, np.nan)}, "centre = .* must be 17 finite numbers"),
            ({"scale": np.zeros(17)}, "scale = .* must be positive; give 1 for what does not vary"),
            ({"shortlist": 5}, r"shortlist = 5 is out of range; allowed: 10 \(a slate\) or more, None"),
        ],
    )
    def test_of_oracles(self, world, changes, message):
        with pytest.raises(ValueError, match=message):
            LinearOracle(world, **changes)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"users": 0}, "users = 0 is out of range; allowed: 1 to 1000000"),
            ({"elites": 40}, "elites = 40 is out of range; allowed: 2 to population = 20"),
            ({"spread": 0.0}, "spread = 0.0 is out of range; allowed: 1e-06 to 1000"),
        ],
    )
    def test_of_searches(self, changes, message):
        with pytest.raises(ValueError, match=message):
            CrossEntropyOptions(**changes)

    def test_of_more_users_than_there_are(self, strong, item_vectors):
        with pytest.raises(ValueError, match="users = 1000 is out of range; the train split has 1 to 480"):
            LinearOracle.fit(strong, item_vectors, CrossEntropyOptions(users=100, iterations=10))

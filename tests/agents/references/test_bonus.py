"""The best constant bonus: a linear oracle of one weight, the myopic one at 0, and chosen on validation users."""

import dataclasses
import json
import math

import numpy as np
import pytest

from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.luck import VALIDATION_LUCK
from longplay.agents.playing.sweep import SweepOptions
from longplay.agents.references.bonus import BonusOracle
from longplay.agents.references.features import FEATURES
from longplay.agents.references.linear import LinearOracle
from longplay.agents.references.oracles import MyopicOracle
from longplay.envs.users.world import build_world
from longplay.tests.agents.contracts import AgentContract
from longplay.tests.agents.references.test_linear import STRONG
from longplay.tests.envs.worlds import small

VERDICT = FEATURES.index("verdict")
QUICK = SweepOptions(users=40, grid=(0.0, 4.0, 8.0), rounds=1)


@pytest.fixture
def observation(states):
    return states[0]


@pytest.fixture(scope="module")
def strong(catalog):
    return build_world(catalog, small().with_overrides(STRONG))


@pytest.fixture(scope="module")
def fitted(strong, item_vectors):
    return BonusOracle.fit(strong, item_vectors, QUICK)


class TestContract(AgentContract):
    avoids_history = False  # it knows what a repeat costs
    leaves_slots_empty = True

    @pytest.fixture
    def subject(self, world):
        return BonusOracle(world, 3.0, shortlist=24)


class TestSlates:
    @pytest.mark.parametrize("bonus", [0.0, 2.5, -1.0])
    def test_it_is_a_linear_oracle_with_one_weight(self, world, observation, bonus):
        p, items = world.scenario.params, world.items
        substance, appeal = (items[name][1:].astype(np.float64) for name in ("substance", "appeal"))
        verdict = 1 / (
            1 + np.exp(-(p.satisfaction_base + p.satisfaction_substance * substance - p.satisfaction_appeal * appeal))
        )
        weights, centre = np.zeros(len(FEATURES)), np.zeros(len(FEATURES))
        weights[VERDICT], centre[VERDICT] = bonus / verdict.std(), verdict.mean()
        linear = LinearOracle(world, weights, centre)
        np.testing.assert_array_equal(BonusOracle(world, bonus).act(observation), linear.act(observation))

    def test_without_a_bonus_it_is_the_myopic_oracle(self, world, observation):
        oracle = BonusOracle(world, shortlist=None)
        np.testing.assert_array_equal(oracle.act(observation), MyopicOracle(world).act(observation))

    def test_the_bonus_pays_for_what_pleases(self, world, observation):
        def please(bonus):
            slates = BonusOracle(world, bonus).act(observation)
            return (world.items["substance"] - world.items["appeal"])[slates[slates > 0]].mean()

        assert please(-3.0) < please(0.0) < please(3.0) < please(30.0)

    def test_it_is_the_same_for_everybody_and_at_all_times(self, world, observation):
        """Trust, satisfaction and what is left of the month change nothing."""
        latent = dict(observation["latent"])
        latent["trust"], latent["satisfaction"] = latent["trust"] + 0.3, latent["satisfaction"] - 0.3
        oracle = BonusOracle(world, 5.0)
        later = observation["context"].copy()
        later[:, 5] += 1.0
        other = {**observation, "context": later, "latent": latent}
        np.testing.assert_array_equal(oracle.act(observation), oracle.act(other))


class TestFit:
    def test_it_pays_where_trust_decides(self, strong, item_vectors, fitted):
        assert fitted.bonus > 0
        gains = []
        for luck in range(4):
            evaluator = Evaluator(strong, item_vectors, held_out_users(strong, "test", 60), luck)
            gains.append(evaluator.play(fitted)["minutes"] - evaluator.play(MyopicOracle(strong))["minutes"])
        paired = np.concatenate(gains)
        assert paired.mean() > 2 * paired.std() / math.sqrt(len(paired))

    def test_all_values_are_tried_on_the_same_lives_of_validation_users(self, strong, item_vectors, fitted):
        assert {0.0, 4.0, 8.0} < set(fitted.sweep.values.tolist())
        evaluator = Evaluator(strong, item_vectors, held_out_users(strong, "validation", 40), VALIDATION_LUCK)
        for value, minutes in zip(fitted.sweep.values, fitted.sweep.scores, strict=True):
            assert evaluator.mean_minutes(BonusOracle(strong, value)) == pytest.approx(minutes)
        assert fitted.bonus == fitted.sweep.values[np.argmax(fitted.sweep.scores)]

    def test_it_reports_and_checks_its_users(self, strong, item_vectors):
        told = []
        quick = dataclasses.replace(QUICK, users=3)
        BonusOracle.fit(strong, item_vectors, quick, lambda what, share: told.append((what, share)))
        assert told == [("sweeping the bonus", 0.0), ("sweeping the bonus", 0.5)]
        with pytest.raises(ValueError, match="validation_users = 900 is out of range; the validation split has"):
            BonusOracle.fit(strong, item_vectors, dataclasses.replace(QUICK, users=900))


class TestFiles:
    def test_saved_and_loaded_it_is_the_same(self, tmp_path, strong, fitted):
        fitted.save(tmp_path / "bonus.json")
        loaded = BonusOracle.load(tmp_path / "bonus.json", strong)
        assert (loaded.bonus, loaded.shortlist, loaded.whole) == (fitted.bonus, fitted.shortlist, fitted.whole)
        np.testing.assert_array_equal(loaded.sweep.values, fitted.sweep.values)
        np.testing.assert_array_equal(loaded.sweep.scores, fitted.sweep.scores)
        BonusOracle(strong, 2.0).save(tmp_path / "plain.json")
        assert BonusOracle.load(tmp_path / "plain.json", strong).sweep is None

    def test_what_is_none_is_refused(self, tmp_path, world, fitted):
        path = tmp_path / "bonus.json"
        with pytest.raises(ValueError, match="does not exist; write it with the save of a constant bonus"):
            BonusOracle.load(path, world)
        fitted.save(path)
        with pytest.raises(ValueError, match="was fitted in another scenario than 'video' as it is here; fit it again"):
            BonusOracle.load(path, world)
        content = json.loads(path.read_text(encoding="utf-8"))
        for text in ("{", "[]", "{}", json.dumps(content | {"bonus": None}), json.dumps(content | {"shortlist": 1})):
            path.write_text(text, encoding="utf-8")
            with pytest.raises(ValueError, match=r"is not a constant bonus: .*; fit and save again"):
                BonusOracle.load(path, world)

    def test_a_bonus_that_is_no_number_is_refused(self, world):
        with pytest.raises(ValueError, match="bonus = nan must be a finite number of minutes"):
            BonusOracle(world, float("nan"))

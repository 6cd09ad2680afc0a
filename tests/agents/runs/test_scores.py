"""Scores of fitted models as features: what they say, where they are read from, what is refused."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from longplay.agents.base import RatesItems
from longplay.agents.registry import AGENTS
from longplay.agents.rules import tuning
from longplay.agents.rules.encoded import score_by_encoder
from longplay.agents.rules.minutes import fit_minutes, list_inputs
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.reading import Reading, load_agent, read_run
from longplay.agents.runs.scores import TREES, check_scores
from longplay.agents.runs.training import train
from longplay.encoders.registry import ENCODERS
from longplay.envs.candidates.scoring import FEATURES, Scorer
from longplay.envs.candidates.wrappers import WeightMap
from longplay.tests.agents.small import make_setting, phases, tiny_run

TINY = {"segment": 16, "epochs": 1, "batch": 32, "hidden": 16, "match": 4}


@pytest.fixture(scope="module")
def observation(world, item_vectors):
    return {key: value for key, value in phases(world, item_vectors)[0].items() if key != "latent"}


def with_world(other, setting):
    """A setting with the world of another one, already built."""
    other.__dict__.update(world=setting.world, item_vectors=setting.item_vectors)
    return other


@pytest.fixture(scope="module")
def folders(setting, tmp_path_factory):
    """An encoder, boosted trees and a run, each in a folder of its own."""
    whole = tmp_path_factory.mktemp("scores")
    ENCODERS["pooled"].make(setting.items).save(whole / "pooled")
    env = setting.vector_env(16, "items", autoreset_mode=AutoresetMode.SAME_STEP)
    (whole / "minutes").mkdir()
    fit_minutes(setting.scorer, env, 12).model.save(whole / "minutes" / TREES, list_inputs(setting.scorer))
    train(tiny_run(setting, agent="slateq", options=TINY, gamma=0.0), whole / "run", False, lambda row: None)
    return whole


def test_an_encoders_score_is_its_own_for_the_candidates(setting, observation):
    for name in ("pooled", "mean"):
        encoder = ENCODERS[name].make(setting.items)
        found = score_by_encoder(encoder)(observation)
        ids = observation["candidates"].astype(int)
        expected = np.take_along_axis(encoder.score(observation), ids, axis=1)
        np.testing.assert_allclose(found[ids > 0], expected[ids > 0], rtol=1e-5, atol=1e-6)


def test_they_come_after_the_features_in_the_order_given(setting, folders, observation):
    names = [str(folders / name) for name in ("minutes", "pooled", "run")]
    scorer = Reading(setting, scores=names).scorer
    assert scorer.names == (*FEATURES, "minutes", "pooled", "run")
    assert scorer.weights[-2:] == ("run", "variety")
    features = scorer.features(observation)
    np.testing.assert_array_equal(features[:, :, : len(FEATURES)], setting.scorer.features(observation))
    for column, score in enumerate(scorer.scores.values()):
        found = score(observation, features[:, :, : len(FEATURES)])
        np.testing.assert_array_equal(features[:, :, len(FEATURES) + column], found)
        assert np.isfinite(found).all()
        assert found.std() > 0


def test_a_weight_on_a_score_ranks_by_it(setting, folders, observation):
    scorer = Reading(setting, scores=[str(folders / "minutes")]).scorer
    weights = np.zeros((len(observation["candidates"]), len(scorer.weights)), np.float32)
    weights[:, scorer.weights.index("minutes")] = 1.0
    slates = WeightMap(scorer)(observation, weights)
    minutes = scorer.features(observation)[:, :, -1]
    expected = scorer.fill(observation, minutes, np.zeros(len(slates)), cap=scorer.slots)
    np.testing.assert_array_equal(slates, expected)


@pytest.mark.parametrize(("agent", "changes"), [("ppo", {}), ("slateq", {"options": TINY})])
def test_agents_learn_with_them_and_are_loaded_with_them(setting, folders, tmp_path, agent, changes):
    config = tiny_run(setting, agent=agent, scores=(str(folders / "minutes"),), steps=256, evals=1, **changes)
    assert config.label.endswith("+minutes")
    curve = train(config, tmp_path, False, lambda row: None)
    assert (curve["minutes"] > 0).all()
    without = tiny_run(setting, agent=agent, steps=256, evals=1, **changes)
    assert load_agent(tmp_path, config, setting).name == config.label
    with pytest.raises(ValueError, match="train again"):
        load_agent(tmp_path, without, setting)


def test_ppo_sets_out_from_the_first_score_alone(setting, folders, observation, tmp_path):
    names = tuple(str(folders / name) for name in ("minutes", "pooled"))
    config = tiny_run(setting, scores=names, steps=128, evals=1)
    stop = KeyboardInterrupt()

    def at_once(row):
        raise stop

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path, False, at_once)
    scorer = Reading(setting, scores=names).scorer
    minutes = scorer.features(observation)[:, :, scorer.names.index("minutes")]
    expected = scorer.fill(observation, minutes, np.zeros(len(minutes)), cap=scorer.slots)
    slates = load_agent(tmp_path, config, setting).act(observation)
    # The other weights are what a network that knows nothing says: almost 0.
    assert (slates[:, 0] == expected[:, 0]).mean() > 0.8


def test_scores_survive_the_configurations_file(setting, folders, tmp_path):
    config = RunConfig(scores=(str(folders / "minutes"),))
    (tmp_path / "config.json").write_text(config.to_json())
    assert RunConfig.from_json(tmp_path / "config.json") == config


class TestRefusals:
    def test_a_folder_without_a_score(self, tmp_path):
        with pytest.raises(ValueError, match=r"holds no fitted encoder .*, no rule fitted with trees or an encoder"):
            check_scores([str(tmp_path)])

    def test_two_of_one_name(self, folders):
        with pytest.raises(ValueError, match="'minutes' is the name of two features"):
            check_scores([str(folders / "minutes"), str(folders / "minutes")])

    def test_a_run_of_another_setting(self, setting, folders):
        other = dataclasses.replace(setting, world_seed=9)
        with pytest.raises(ValueError, match=r"was trained on .*, the run is on"):
            assert Reading(with_world(other, setting), scores=[str(folders / "run")]).scorer

    def test_a_rule_of_another_setting(self, setting, folders, tmp_path):
        shutil.copy(folders / "minutes" / TREES, tmp_path)
        content = {"format": 2, "rule": "minutes", "options": {}, "setting": tuning.identify_setting(setting)}
        (tmp_path / tuning.FILE).write_text(json.dumps(content | {"search": {}, "trials": []}))
        assert list(Reading(setting, scores=[str(tmp_path)]).scorer.scores) == [tmp_path.name]
        other = with_world(dataclasses.replace(setting, world_seed=9), setting)
        with pytest.raises(ValueError, match="was tuned on another world_seed"):
            assert Reading(other, scores=[str(tmp_path)]).scorer

    def test_the_run_of_an_agent_that_rates_nothing(self, setting, tmp_path):
        for agent in ("ppo", "wolpertinger"):
            (tmp_path / "config.json").write_text(RunConfig(setting=setting, agent=agent).to_json())
            with pytest.raises(ValueError, match=f"is a run of '{agent}', which rates no items; name a"):
                check_scores([str(tmp_path)])

    @pytest.mark.parametrize(
        "changes", [{"agent": "ppo-stock"}, {"agent": "pl-ppo-catalog"}, {"agent": "sac", "action": "query"}]
    )
    def test_agents_that_would_not_see_them(self, setting, folders, changes):
        with pytest.raises(ValueError, match=r"scores = .* would change nothing: .* leave out --scores"):
            RunConfig(setting=setting, scores=(str(folders / "minutes"),), **changes)

    def test_an_agent_that_rates_nothing(self, setting, observation):
        config = RunConfig(setting=setting, agent="wolpertinger")
        agent = config.entry.make_agent(config, read_run(config, setting))
        assert not isinstance(agent, RatesItems)
        assert not config.entry.rates_items

    def test_an_agent_that_rates_leaves_out_what_is_no_candidate(self, setting, observation):
        config = RunConfig(setting=setting, agent="slateq")
        agent = AGENTS["slateq"].make_agent(config, read_run(config, setting))
        assert isinstance(agent, RatesItems)
        fewer = observation | {"candidates": observation["candidates"].copy()}
        fewer["candidates"][:, 3] = 0
        ratings = agent.rate_candidates(fewer)
        assert (ratings[:, 3] == 0).all()
        assert (np.delete(ratings, 3, axis=1) != 0).all()


def test_the_scorer_without_scores_is_the_plain_one(world, item_vectors):
    assert Scorer(world, item_vectors).names == FEATURES


@pytest.mark.parametrize(("agent", "changes"), [("ppo", {}), ("slateq", {"options": TINY})])
def test_a_policy_belongs_to_the_models_whose_scores_it_read(setting, folders, tmp_path, agent, changes):
    """Fitted anew under the same name, a model says other things."""
    score = tmp_path / "minutes"
    score.mkdir()
    (score / TREES).write_bytes((folders / "minutes" / TREES).read_bytes())
    config = tiny_run(setting, agent=agent, scores=(str(score),), steps=256, evals=1, **changes)
    train(config, tmp_path / "run", False, lambda row: None)
    env = setting.vector_env(16, "items", autoreset_mode=AutoresetMode.SAME_STEP)
    fit_minutes(setting.scorer, env, 12, seed=1).model.save(score / TREES, list_inputs(setting.scorer))
    again = make_setting(setting.world)
    with pytest.raises(ValueError, match="train again"):
        load_agent(tmp_path / "run", config, again)

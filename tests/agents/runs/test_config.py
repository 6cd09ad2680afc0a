"""Settings and configurations of runs: what they refuse, how they are kept, what the strength of the dynamics does."""

import dataclasses
import json

import pytest

from longplay.agents.runs.config import RunConfig
from longplay.agents.setting import Setting
from longplay.envs.users.params import Scenario


def test_strength_reaches_the_world(monkeypatch):
    made = []
    monkeypatch.setattr("longplay.agents.setting.make_world", lambda *given: made.append(given))
    assert Setting(strength=0.5).world is None
    assert made == [("video-v1", None, 0, "video-v1", 0.5, None)]


def test_strength_scales_what_couples_slates_to_the_future():
    half = Setting("longplay/Tiny-v0", strength=0.5).world.scenario
    assert half.values["churn_trust"] == 0.5 * Scenario.load("tiny").values["churn_trust"]
    assert half.values["choice_appeal"] == Scenario.load("tiny").values["choice_appeal"]


@pytest.mark.parametrize("strength", [-0.1, 10.1, float("nan")])
def test_a_strength_out_of_range_is_named(strength):
    with pytest.raises(ValueError, match=f"strength = {strength!r} is out of range; allowed: 0 to 5"):
        Setting(strength=strength)


def test_it_is_kept_with_a_run_and_older_runs_still_load(tmp_path):
    config = RunConfig(Setting(strength=1.5), seed=3)
    file = tmp_path / "config.json"
    file.write_text(config.to_json())
    assert RunConfig.from_json(file) == config
    content = json.loads(config.to_json())
    assert content["setting"].pop("strength") == 1.5
    file.write_text(json.dumps(content))
    assert RunConfig.from_json(file) == RunConfig(Setting(), seed=3)


def test_a_search_that_no_run_would_come_to_is_refused():
    options = {"later": "search", "search_after": 300}
    assert RunConfig(agent="slateq", steps=300, options=options).steps == 300
    with pytest.raises(ValueError, match="search_after = 300 is out of range; allowed: 0 to steps = 299"):
        RunConfig(agent="slateq", steps=299, options=options)


class TestTwins:
    def test_a_twin_learns_what_pays_now_and_is_otherwise_the_same(self):
        run = RunConfig(gamma=0.9, seed=3, steps=500)
        assert run.twin() == RunConfig(gamma=0.0, seed=3, steps=500)

    def test_twins_are_told_whatever_their_seeds(self):
        run = RunConfig(gamma=0.9, seed=3)
        assert run.twin().is_twin_of(run)
        assert RunConfig(gamma=0.0, seed=7).is_twin_of(run)
        assert not run.is_twin_of(run.twin())
        assert not RunConfig(gamma=0.0, steps=500).is_twin_of(run)  # of another budget


class TestRunConfig:
    def test_it_reads_what_it_wrote(self, setting, tmp_path):
        config = RunConfig(setting=dataclasses.replace(setting, world_seed=3), agent="sac", gamma=0.5, seed=7)
        (tmp_path / "config.json").write_text(config.to_json(), encoding="utf-8")
        assert RunConfig.from_json(tmp_path / "config.json") == config

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("gamma", 1.5),
            ("gamma", -0.1),
            ("gamma", float("nan")),
            ("seed", -1),
            ("steps", 0),
            ("num_envs", -3),
            ("learning_rate", 0.0),
            ("eval_users", 0),
            ("evals", -1),
        ],
    )
    def test_numbers_out_of_range_are_named(self, field, value):
        with pytest.raises(ValueError, match=f"{field} = {value!r} is out of range; allowed: "):
            RunConfig(**{field: value})

    @pytest.mark.parametrize(("field", "value", "close"), [("state", "pool", "pooled"), ("agent", "ppp", "ppo")])
    def test_unknown_names_come_with_the_closest_one(self, field, value, close):
        with pytest.raises(ValueError, match=rf"{field} = '{value}' is unknown \(did you mean '{close}'\?\); "):
            RunConfig(**{field: value})

    def test_unknown_environment_comes_with_the_closest_one(self):
        with pytest.raises(ValueError, match=r"env = 'longplay/Vido-v0' is unknown \(did you mean 'longplay/Video-v0'"):
            Setting(env="longplay/Vido-v0")

    def test_labels_tell_methods_apart(self):
        labels = {
            RunConfig(**changes).label
            for changes in ({}, {"gamma": 0.0}, {"agent": "sac"}, {"action": "query"}, {"state": "text"})
        }
        assert len(labels) == 5
        assert RunConfig(seed=3).label == RunConfig().label

    def test_a_twin_differs_in_the_discount_alone(self):
        run = RunConfig(agent="slateq", gamma=0.9, seed=4, options={"hidden": 8})
        assert run.twin() == dataclasses.replace(run, gamma=0.0)
        assert run.twin().is_twin_of(run)
        assert dataclasses.replace(run.twin(), seed=9).is_twin_of(run)
        assert not run.is_twin_of(run.twin())
        assert not run.twin().is_twin_of(run.twin())
        assert not dataclasses.replace(run.twin(), steps=7).is_twin_of(run)

"""The worlds of a study: what is changed, and what it is called."""

import pytest

from longplay.envs.users.params import Scenario
from longplay.scripts.studies.headroom.worlds import DIAL, StudyWorld, read_changes


def test_words_become_a_world_each():
    assert read_changes(()) == [()]
    assert read_changes(("choice.trust", "0", "1.5")) == [(("choice.trust", 0.0),), (("choice.trust", 1.5),)]
    assert read_changes(("choice.model", "cascade")) == [(("choice.model", "cascade"),)]


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ((), "Video-v0-seed-3"),
        ((("impression.memory", 64.0),), "Video-v0-seed-3-impression.memory-64"),
        (((DIAL, 0.5),), "Video-v0-seed-3-dynamics_strength-0.5"),
        ((("choice.model", "cascade"),), "Video-v0-seed-3-choice.model-cascade"),
    ],
)
def test_folders_are_named_for_what_is_changed(changes, label):
    assert StudyWorld("longplay/Video-v0", 3, changes).label == label
    assert StudyWorld("longplay/Video-v0", 3, changes, name="any").label == "Video-v0-seed-3-any"


@pytest.mark.parametrize("scenario", [None, "mine.toml"])
def test_the_setting_has_all_changes_and_the_seed(tmp_path, monkeypatch, scenario):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text('base = "video"\n\n[gap]\ntrust = 1.25\n', encoding="utf-8")
    changes = (("repeat.penalty", 1.0), ("choice.model", "cascade"), (DIAL, 2.0))
    world = StudyWorld("longplay/Video-v0", 3, changes, scenario)
    setting = world.make_setting(tmp_path / "runs" / "x")
    assert (setting.env, setting.world_seed, setting.strength) == ("longplay/Video-v0", 3, 2.0)
    found = Scenario.load(setting.scenario).with_strength(setting.strength)
    assert found == world.read_scenario()
    assert found.values["repeat_penalty"] == 2.0  # scaled by the dial
    assert found.values["choice_model"] == "cascade"
    assert found.values["gap_trust"] == 2 * (0.7 if scenario is None else 1.25)

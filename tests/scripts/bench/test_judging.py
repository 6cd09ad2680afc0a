"""The benchmark of judging: it plays what a comparison would, and its arithmetic is right."""

import json

import pytest

from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.luck import VALIDATION_LUCK
from longplay.agents.rules.simple import Popularity
from longplay.agents.setting import Setting
from longplay.scripts.bench import judging as bench


@pytest.fixture
def setting(place, monkeypatch):
    """The small world."""
    monkeypatch.setenv("LONGPLAY_CACHE", str(place / "cache"))
    return Setting(catalog=str(place / "items.csv"), scenario=str(place / "small.toml"))


def test_the_command_plays_the_rules_that_are_asked_for(call, setting, tmp_path):
    place = ["--catalog", setting.catalog, "--scenario", setting.scenario]
    small = ["--users", "30", "--people", "400", "--json", tmp_path / "speed" / "figures.json"]
    code, output = call(bench, *place, *small, "--rules", "popularity", "round-robin", "--trials", "2")
    assert code == 0, output
    figures = json.loads((tmp_path / "speed" / "figures.json").read_text())["judging"]
    assert [row["rule"] for row in figures] == ["popularity", "round-robin"]
    larger = bench.populate(setting, 400)
    assert len(larger.world.people) == 400
    people = held_out_users(larger.world, "validation", 30)
    lives = Evaluator(larger.world, setting.item_vectors, people, VALIDATION_LUCK).play(Popularity(larger.scorer))
    assert figures[0]["minutes"] == lives["minutes"].mean()
    for row in figures:
        assert row["users"] == 30
        assert row["per_second"] == pytest.approx(row["slates"] / row["seconds"])
        assert f"{row['slates']:,}" in output
        assert row["peak_megabytes"] is None or row["peak_megabytes"] > 50
    assert figures[0]["slates"] == lives["slates"].sum()


@pytest.mark.parametrize("option", ["--users 0", "--people -1", "--trials 0", "--workers 0"])
def test_wrong_numbers_are_named(call, option):
    code, output = call(bench, *option.split())
    name, value = option[2:].split()
    assert code == 2
    assert f"{name} = {value} must be at least 1" in output


def test_what_is_not_there_is_named(call, setting):
    place = ["--catalog", setting.catalog, "--scenario", setting.scenario]
    code, output = call(bench, *place, "--rules", "mmrr")
    assert code == 2
    assert "rules = 'mmrr' is unknown (did you mean 'mmr'?)" in output
    code, output = call(bench, *place, "--users", "41", "--people", "400")
    assert code == 2
    assert "users = 41 is out of range; the validation split has 1 to 40" in output

"""explain.py: a user, played or of a log, to recommendations with reasons."""

import json

import pandas as pd
import pytest
from PIL import Image

from longplay.scripts import collect, explain
from longplay.scripts.shared.folders import RUNS, resolve_policy
from longplay.tests.agents.small import Counts, short_setting

SMALL = ("--catalog", "items.csv", "--scenario", "small.toml")


@pytest.fixture
def ready(call, place):
    """A folder with a log."""
    if not (place / "runs" / "log" / "users.parquet").exists():
        code, words = call(
            collect, "--name", "log", *SMALL, "--users", 160, "--minari-users", 0, "--items", 80, folder=place
        )
        assert code == 0, words
    return place


def read(place, name):
    content = json.loads((place / "runs" / f"{name}.json").read_text())
    table = pd.read_csv(place / "runs" / f"{name}.csv", keep_default_na=False)
    assert len(table) == sum(
        1 + len(one["history"]) + len(one["attributes"]) + len(one["neighbours"]) for one in content["explanations"]
    )
    with Image.open(place / "runs" / f"{name}.png") as image:
        assert min(image.size) > 300
    return content["explanations"]


def test_a_user_who_is_played(call, ready):
    code, words = call(explain, "--name", "played", *SMALL, "--items", 2, "--slates", 6, folder=ready)
    assert code == 0, words
    found = read(ready, "played")
    assert len(found) == 2
    assert found[0]["score"] >= found[1]["score"]
    for one in found:
        total = sum(reason["contribution"] for reason in one["history"]) + one["remainder"]
        assert total == pytest.approx(one["score"], abs=1e-5)
        assert one["item"] not in {reason["item"] for reason in one["history"]}
        assert one["attributes"]
    assert found[0]["title"] in words
    assert "user 180, recommended by pooled" in words
    longer, _ = call(explain, "--name", "longer", *SMALL, "--slates", 40, folder=ready)
    assert longer == 0
    assert read(ready, "longer")[0]["history"] != found[0]["history"]


def test_a_policy_with_a_memory_keeps_it_through_the_life(monkeypatch):
    policy = Counts()
    monkeypatch.setattr(explain, "make_policy", lambda name, setting: policy)
    explain._play_history(short_setting(), explain.Arguments(name="any", slates=4), 3)
    assert policy.met == list(range(len(policy.met)))
    assert len(policy.met) > 1


def test_a_user_of_a_log_and_an_encoder_that_learns_from_it(call, ready):
    code, words = call(explain, "--name", "logged", "--log", "log", "--encoder", "svd", "--user", 7, folder=ready)
    assert code == 0, words
    (one, *_) = read(ready, "logged")
    assert one["history"]
    assert "user 7, recommended by svd" in words


def test_attributes_by_the_text_or_none(call, ready):
    code, words = call(explain, "--name", "text", "--log", "log", "--user", 7, "--attributes", "text", folder=ready)
    assert code == 0, words
    assert all("read without it" in one["attribute_method"] for one in read(ready, "text"))
    assert call(explain, "--name", "none", "--log", "log", "--attributes", "none", folder=ready)[0] == 0
    assert {len(one["attributes"]) for one in read(ready, "none")} == {0}


def test_a_policy_is_a_rule_or_a_run_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "random"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert [resolve_policy(name) for name in ("mine", "random", "nobody")] == [str(RUNS / "mine"), "random", "nobody"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--log nothing", "log = 'nothing': runs/nothing holds no log"),
        ("--log log --user 4000", "user = 4000 is not in the log; it has 160 users, such as 0, 1, 2"),
        ("--user 4000", "user = 4000 is out of range; allowed: 0 to 199"),
        ("--items 0", "items = 0 is out of range; allowed: 1 to 20"),
        ("--attributes txt", "attributes = 'txt' is unknown (did you mean 'text'?)"),
        ("--encoder svd", "encoder = 'svd' learns from a log; give one with --log"),
        ("--encoder nobody", "nobody/encoder.json cannot be read"),
        ("--log log --encoder svd --attributes text", "item vectors of 'svd' are not those of texts"),
        ("--log log --luck 5", "luck = 5 is of a user who is played, and log = 'log' tells what was consumed"),
        ("--log log --policy mmr", "policy = 'mmr' is of a user who is played"),
        ("--log log --catalog items.csv", "catalog = 'items.csv', and log = 'log' brings its own items"),
        ("--policy nobody", "policy = 'nobody' is unknown"),
    ],
)
def test_a_wrong_argument_is_named(call, ready, arguments, said):
    where = () if "--log" in arguments else SMALL
    code, words = call(explain, "--name", "wrong", *where, *arguments.split(), folder=ready)
    assert code == 2
    assert said in words
    assert not (ready / "runs" / "wrong.png").exists()


def test_reasons_that_are_there_are_not_overwritten_unasked(call, ready):
    given = ("--name", "again", *SMALL, "--items", 1, "--slates", 6)
    assert call(explain, *given, folder=ready)[0] == 0
    code, words = call(explain, *given, folder=ready)
    assert code == 2
    assert "runs/again.png exists; give --overwrite to replace it, or another --name" in words
    assert call(explain, *given, "--overwrite", folder=ready)[0] == 0

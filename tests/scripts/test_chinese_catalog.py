"""A catalogue in Chinese goes through the commands as one in English does."""

import json
import warnings

import pandas as pd
import pytest
from PIL import Image

from longplay.agents.comparison import contestants as comparison
from longplay.encoders.networks.pretrain import ScratchOptions, pretrain_from_scratch
from longplay.scripts import collect, compare, encode, explain, play, predict, train
from longplay.tests.envs.catalogs.parallel import make_parallel, write_parallel
from longplay.tests.scripts.conftest import SCENARIO

MODEL = ScratchOptions(epochs=1, layers=1, width=16, heads=2, tokens=64)


@pytest.fixture(scope="module")
def chinese(tmp_path_factory):
    """A folder with a catalogue, a scenario and a text model that knows its letters."""
    folder = tmp_path_factory.mktemp("chinese")
    write_parallel(folder, 120)
    (folder / "small.toml").write_text(SCENARIO)
    pretrain_from_scratch(make_parallel(120)[1].texts, folder, MODEL)
    return folder


SETTING = ("--catalog", "chinese.csv", "--scenario", "small.toml", "--bert", "model")


def test_it_is_played_and_explained(call, chinese):
    code, output = call(play, "--agent", "similarity", "--users", "10", *SETTING, folder=chinese)
    assert code == 0, output
    assert "[UNK]" not in output
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of letters that no font has
        code, output = call(explain, "--name", "why", "--slates", "10", *SETTING, folder=chinese)
    assert code == 0, output
    why = json.loads((chinese / "runs" / "why.json").read_text(encoding="utf-8"))["explanations"][0]
    assert why["title"].startswith("《")
    assert why["title"].endswith("）")  # with its year, and no clause more
    with Image.open(chinese / "runs" / "why.png") as image:
        assert image.width > 500


def test_its_log_is_encoded_and_predicted_from(call, chinese):
    code, output = call(collect, "--name", "log", "--users", "160", "--minari-users", "0", *SETTING, folder=chinese)
    assert code == 0, output
    profiles = pd.read_parquet(chinese / "runs" / "log" / "users.parquet")["profile"]
    assert profiles.str.match(r"喜欢.+。$").all()
    arguments = ("--name", "knn", "--encoder", "item-knn", "--log", "log", "--bert", "model")
    code, output = call(encode, *arguments, folder=chinese)
    assert code == 0, output
    quick = ("--days", 1, "--resamples", 10, "--components", 2, "--rows", 1000)
    code, output = call(predict, "--name", "said", "--log", "log", "--bert", "model", *quick, folder=chinese)
    assert code == 0, output
    assert (chinese / "runs" / "said" / "metrics.json").exists()


def test_it_is_trained_on_compared_and_reported(call, chinese, monkeypatch):
    monkeypatch.setattr(comparison, "LOGGED_STEPS", 2)
    budget = ("--steps", 256, "--num-envs", 8, "--eval-users", 5, "--evals", 2, "--track", "off")
    code, output = call(train, "--name", "learnt", "--agent", "pl-ppo", *SETTING, *budget, folder=chinese)
    assert code == 0, output
    few = ("--users", 8, "--validation-users", 4, "--rule-trials", 1, "--track", "off")
    words = ("--name", "all", *SETTING, "--runs", "learnt", "--rules", "similarity", "mmr", *few)
    code, output = call(compare, *words, folder=chinese)
    assert code == 0, output
    assert "PL-PPO" in output
    assert "PL-PPO" in (chinese / "runs" / "all" / "report.html").read_text(encoding="utf-8")
    with Image.open(chinese / "runs" / "all" / "retention.png") as image:
        assert image.width > 500

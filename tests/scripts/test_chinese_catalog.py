"""A catalogue in Chinese goes through the commands as one in English does."""

import json
import warnings

import pandas as pd
import pytest
from PIL import Image

from longplay.encoders.networks.pretrain import ScratchOptions, pretrain_from_scratch
from longplay.scripts import collect, encode, explain, play, predict
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

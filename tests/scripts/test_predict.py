"""predict.py: a small log to predictors, metrics and pictures."""

import json

import numpy as np
import pytest
from PIL import Image

from longplay.encoders.data.splits import hold_back
from longplay.encoders.outcomes.features import ITEM_FEATURES, USER_FEATURES
from longplay.encoders.outcomes.predictors import Components, InterestPredictor, RatingPredictor, RetentionPredictor
from longplay.encoders.outcomes.survival import FEATURES, ReturnTime
from longplay.encoders.registry import ENCODERS
from longplay.scripts import collect, predict

SMALL = ("--catalog", "items.csv", "--scenario", "small.toml")
QUICK = ("--days", 1, "--resamples", 10, "--components", 2, "--rows", 1000)


@pytest.fixture
def ready(call, place):
    """A folder with a log."""
    if not (place / "runs" / "log" / "users.parquet").exists():
        code, words = call(
            collect, "--name", "log", *SMALL, "--users", 160, "--minari-users", 0, "--items", 80, folder=place
        )
        assert code == 0, words
    return place


def test_the_encoder_by_default_is_one_that_learns():
    assert predict.Arguments(name="x", log="log").encoder == "als"


def test_predictors_are_fitted_measured_and_kept(call, ready):
    code, words = call(predict, "--name", "found", "--log", "log", *QUICK, folder=ready)
    assert code == 0, words
    folder = ready / "runs" / "found"
    metrics = json.loads((folder / "metrics.json").read_text())["metrics"]
    assert list(metrics) == [
        "opened by chance",
        "interest",
        "interest, recalibrated",
        "interest with match",
        "interest with match, recalibrated",
        "interest with features",
        "interest with features, recalibrated",
        "mean completion",
        "rating",
        "rating with features",
        "back in 1 days by chance",
        "retention in 1 days",
        "retention in 1 days, recalibrated",
        "return time",
    ]
    assert json.loads((folder / "metrics.json").read_text())["encoder_has_seen_all"] is False
    assert "on users not met before" in words
    for scores in metrics.values():
        for value, low, high in scores.values():
            assert low - 1e-9 <= high
            assert np.isfinite([value, low, high]).all()
    assert set(metrics["interest"]) == {"AUC", "Brier", "calibration error (range if perfect)"}
    assert set(metrics["return time"]) == {"concordance", "integrated Brier", "integrated Brier, Kaplan–Meier"}
    for name in ("reliability", "survival"):
        with Image.open(folder / f"{name}.png") as image:
            assert min(image.size) > 400
    assert f"{metrics['interest']['AUC'][0]:.4f}" in words
    width = InterestPredictor.load(folder / "interest.safetensors").W.shape[0]
    assert RatingPredictor.load(folder / "rating.safetensors").user_map.shape[1] == width
    assert InterestPredictor.load(folder / "interest.safetensors").m == 0.0
    assert InterestPredictor.load(folder / "interest-with-match.safetensors").m != 0.0
    wider = InterestPredictor.load(folder / "interest-with-features.safetensors")
    assert wider.m != 0.0
    assert wider.matched == width
    assert (folder / "interest-platt.safetensors").is_file()
    assert metrics["interest with match"]["AUC"][0] > 0.55
    assert (len(wider.W), len(wider.V)) == (width + len(USER_FEATURES), width + len(ITEM_FEATURES))
    assert RatingPredictor.load(folder / "rating-with-features.safetensors").user_map.shape[1] == len(wider.W)
    assert Components.load(folder / "components.safetensors").scale.shape == (2, width)
    assert RetentionPredictor.load(folder / "retention.safetensors").W.shape == (2 + len(FEATURES),)
    assert ReturnTime.load(folder / "return.safetensors").coefficients.shape == (2 + len(FEATURES),)


@pytest.mark.parametrize(("known", "seen"), [("train", False), ("parted", False), ("log", True)])
def test_a_saved_encoder_that_has_met_the_test_users_is_said_to(call, ready, monkeypatch, known, seen):
    monkeypatch.chdir(ready)
    arguments = predict.Arguments(name="kept", log="log", days=1, rows=1000)
    source, parts = predict._read_parts(arguments)
    learnt = {"train": (parts.train,), "parted": hold_back(parts.train), "log": (source.log,)}[known]
    ENCODERS["svd"].make(source.items).fit(*learnt).save(ready / "runs" / f"svd-{known}")
    code, words = call(
        predict, "--name", f"kept-{known}", "--log", "log", "--encoder", f"svd-{known}", *QUICK, folder=ready
    )
    assert code == 0, words
    content = json.loads((ready / "runs" / f"kept-{known}" / "metrics.json").read_text())
    assert content["encoder_has_seen_all"] is seen
    assert ("was not fitted on the training part of this log" in words) is seen
    assert ("on users not met before" in words) is not seen
    assert ("on users whom the encoder may have met" in words) is seen


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--log nothing", "log = 'nothing': runs/nothing holds no log; make one with scripts/collect.py"),
        ("--log ../out", "name = '../out' must be a folder name below runs/"),
        ("--log log --rows 5", "rows = 5 is out of range; allowed: 100 to 10000000"),
        ("--log log --components 0", "components = 0 is out of range; allowed: 1 to 64"),
        ("--log log --resamples 1", "resamples = 1 is out of range"),
        ("--log log --cut 1.5", "cut = 1.5 is out of range; allowed: 0.05 to 0.95"),
        ("--log log --days 0", "days = 0.0 is out of range; allowed: 0.01 to 1000"),
        ("--log log --encoder nobody", "nobody/encoder.json cannot be read"),
    ],
)
def test_a_wrong_argument_is_named(call, ready, arguments, said):
    code, words = call(predict, "--name", "wrong", *arguments.split(), folder=ready)
    assert code == 2
    assert said in words
    assert not (ready / "runs" / "wrong").exists()


def test_days_that_the_log_does_not_tell_of_are_named_with_a_fix(call, ready):
    quick = ("--days", 900, *QUICK[2:])
    code, words = call(predict, "--name", "late", "--log", "log", *quick, folder=ready)
    assert code == 2
    assert "back within 900 days: of 0 rows of the train part it holds for 0; some of both kinds are needed" in words
    assert "Fix: give other --days, a log of more users (scripts/collect.py --users), or move --cut" in words


def test_measures_that_are_there_are_not_overwritten_unasked(call, ready):
    (ready / "runs" / "measured").mkdir()
    (ready / "runs" / "measured" / "metrics.json").touch()
    code, words = call(predict, "--name", "measured", "--log", "log", *QUICK, folder=ready)
    assert code == 2
    assert "runs/measured exists; give --overwrite to replace it, or another --name" in words

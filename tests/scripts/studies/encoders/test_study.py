"""The comparison of encoders on a small log: measured, trained on, played, interrupted and taken up again."""

import shutil

import pandas as pd
import pytest

from longplay.scripts import collect
from longplay.scripts.studies.encoders import fits as encoder_fits
from longplay.scripts.studies.encoders import study as compare_encoders
from longplay.scripts.studies.encoders import tables as encoder_tables

SMALL = "--catalog items.csv --scenario small.toml"
STUDY = "--name study --log studied --encoders random popularity pooled als --states pooled als --fine-tuned --seeds 1"
STUDY += " --users 5 --validation-users 5 --steps 256 --workers 1 --track off"


@pytest.fixture
def logged(call, place, monkeypatch):
    """A folder with a log."""
    monkeypatch.setenv("LONGPLAY_CACHE", str(place / "cache"))
    code, output = call(
        collect, "--name", "studied", "--users", "120", "--minari-users", "0", *SMALL.split(), folder=place
    )
    assert code == 0, output
    return place


def test_a_study_is_measured_played_and_told(call, logged):
    code, output = call(compare_encoders, *STUDY.split(), folder=logged)
    assert code == 0, output
    folder = logged / "runs" / "study"
    results = pd.read_parquet(folder / "results.parquet")
    assert set(results["encoder"]) == {"random", "popularity", "pooled", "als", "als+text", "pooled+text"}
    assert set(results["seed"]) == {0}
    lives = pd.read_parquet(folder / "engagement.parquet")
    assert set(zip(lives["policy"], lives["kind"], strict=True)) == {
        ("greedy similarity", "rule"),
        *((name, kind) for name in ("pooled", "als") for kind in ("greedy", "PPO")),
    }
    assert len(lives) == 5 * (1 + 2 * 2)
    tables = (folder / "tables.md").read_text()
    for title in ("known users and items", "never learnt from", "Minutes in 30 days"):
        assert title in tables
        assert title in output

    # Once more: nothing is fitted or trained again, and more encoders can be added.
    kept = ("encoder.json", "measures.parquet", "policy.safetensors")
    before = {path: path.stat().st_mtime_ns for name in kept for path in folder.rglob(name)}
    assert len(before) == 2 + 4 + 2
    code, output = call(
        compare_encoders, *STUDY.replace("pooled als --st", "pooled als svd --st").split(), folder=logged
    )
    assert code == 0, output
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "svd" in (folder / "tables.md").read_text()

    # Another log under the same name: what was measured on the old one counts no more.
    shutil.rmtree(logged / "runs" / "studied")
    call(
        collect,
        "--name",
        "studied",
        "--users",
        "120",
        "--minari-users",
        "0",
        "--seed",
        "1",
        *SMALL.split(),
        folder=logged,
    )
    encoder_fits.load_source.cache_clear()  # as in another process
    code, output = call(compare_encoders, *STUDY.split(), "--states", folder=logged)
    assert code == 0, output
    assert not results.equals(pd.read_parquet(folder / "results.parquet"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--log nowhere", "runs/nowhere has no log; run scripts/collect.py --name nowhere first"),
        ("--encoders alss", "encoders = 'alss' is unknown (did you mean 'als'?)"),
        ("--states gruu", "states = 'gruu' is unknown (did you mean 'gru'?)"),
        ("--fine-tuned als", "fine_tuned = 'als' is unknown (did you mean 'lstm'?); allowed: 'gru', 'lstm', 'tr"),
        ("--seeds 0", "seeds = 0 must be at least 1"),
        ("--track maybe", "track = 'maybe' is unknown"),
    ],
)
def test_a_wrong_argument_is_named(call, arguments, said):
    code, output = call(compare_encoders, "--name", "x", *arguments.split())
    assert code == 2
    assert said in output


def test_differences_are_paired_by_seed_and_user():
    table = pd.DataFrame(
        {
            "encoder": ["a", "a", "b", "b"] * 2,
            "seed": [0] * 4 + [1] * 4,
            "user": [1, 2, 1, 2] * 2,
            "recall": [0.3, 0.6, 0.1, 0.4, 0.5, 0.7, 0.3, 0.5],
        }
    )
    assert encoder_tables.format_difference(table, "a", "b", "recall") == "+0.2000 [+0.2000, +0.2000]"
    assert encoder_tables.format_difference(table, "b", "b", "recall") == ""

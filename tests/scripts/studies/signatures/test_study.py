"""The script that measures the signatures of a simulated log."""

import json
from pathlib import Path

import pandas as pd
import pytest

from longplay.scripts.studies.signatures import study as script
from longplay.scripts.studies.signatures.distances import COLUMNS
from longplay.scripts.studies.signatures.measures import measure
from longplay.tests.scripts.conftest import furnish
from longplay.tests.scripts.studies.signatures.test_measures import DAYS, grow

SMALL = {"env": "longplay/Video-v0", "catalog": "items.csv", "scenario": "small.toml", "pool": 20}


@pytest.fixture(scope="module")
def measured():
    return measure(grow(users=400), DAYS, events=5000)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a small catalogue and scenario, and this process in it."""
    furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_report_is_written_and_says_what_is_within(place, measured, capsys):
    (place / "real.json").write_text(json.dumps({"note": "", "mine": measured}))
    options = {**SMALL, "users": 150, "days": 18.0, "reference": Path("real.json"), "log": "mine"}
    script.main(script.Arguments(name="log", **options))
    folder = place / "runs" / "log"
    assert sorted(p.name for p in folder.iterdir()) == ["distances.csv", "signatures.json", "signatures.png"]
    distances = pd.read_csv(folder / "distances.csv")
    assert tuple(distances.columns) == COLUMNS
    found = json.loads((folder / "signatures.json").read_text())
    assert found["session_length_ge2"]["mean"] >= 2
    said = capsys.readouterr().out
    judged = distances["within"].dropna().astype(bool)
    assert f"{judged.sum()} of {len(judged)} statistics with a target are within it" in " ".join(said.split())
    assert said.count("not within") == (~judged).sum() > 0


def test_without_a_reference_the_log_is_shown_alone(place, capsys):
    script.main(script.Arguments(name="log", users=100, days=17.0, **SMALL))
    assert not (place / "runs" / "log" / "distances.csv").exists()
    said = capsys.readouterr().out
    assert "mean session length" in said
    assert "within it" not in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": Path("no.json")}, "does not exist"),
        ({"reference": Path("small.toml")}, "is not JSON"),
        ({"reference": Path("empty.json")}, "'globo' is not in empty.json"),
        ({"days": 9.0}, "days = 9 is less than the log's 16"),
        ({"users": 10**6, "days": 17.0}, "users = 1000000 is out of range"),
    ],
)
def test_refusals(place, options, message):
    (place / "empty.json").write_text("{}")
    with pytest.raises(ValueError, match=message):
        script.main(script.Arguments(name="log", **{**SMALL, **options}))
    assert not (place / "runs" / "log").exists()

"""Fitting constants to a log: what is compared, the search in small, going on after a stop, and refusals."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from longplay.envs.users.params import Scenario
from longplay.scripts.studies.signatures import fit as script
from longplay.scripts.studies.signatures import study as signatures
from longplay.tests.scripts.conftest import furnish

SMALL = {"env": "longplay/Video-v0", "catalog": "items.csv", "scenario": "month.toml", "pool": 20, "users": 60}
ONLY = ("choice.nothing", "policy.related")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small catalogue, a scenario of 17 days, and the signatures of a log of it as what is to be fitted."""
    place = tmp_path_factory.mktemp("fit")
    furnish(place)
    (place / "month.toml").write_text((place / "small.toml").read_text().replace("4.0", "17.0"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        measured = signatures.simulate(
            signatures.Arguments(name="real", related=2.5, **SMALL), {"choice.nothing": 1.5}, 2000, quiet=True
        )
    (place / "real.json").write_text(json.dumps({"mine": measured}))
    return place


@pytest.fixture
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def arguments(name, **changes):
    values = {"reference": Path("real.json"), "log": "mine", "only": ONLY, "events": 2000, "evaluations": 1, **SMALL}
    return script.Arguments(name=name, **{**values, **changes})


def history(folder, name):
    with (folder / "runs" / name / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


class TestMoments:
    def test_a_log_is_at_no_distance_from_itself(self, folder):
        measured = json.loads((folder / "real.json").read_text())["mine"]
        found = script.compute_moments(measured, measured)
        assert len(found) > 50
        assert set(found.values()) == {0.0}
        assert script.compute_soft_loss(found) == 0.0

    def test_differences_count_in_tolerances(self, folder):
        measured = json.loads((folder / "real.json").read_text())["mine"]
        other = json.loads(json.dumps(measured))
        other["category_entropy_nats"]["user_mean"] = 2.0
        measured["category_entropy_nats"]["user_mean"] = 2.3
        other["churn_no_session_next_8d_by_sessions_in_first_8d"]["1"] = float("nan")
        other["session_length_ge2"]["ccdf"][3] += 0.03
        found = script.compute_moments(measured, other)
        differ = {name: value for name, value in found.items() if value}
        assert differ == pytest.approx({"entropy user_mean": 2.0, "length 5": -2.0})
        assert script.compute_soft_loss(found) == pytest.approx(4 * (5**0.5 - 1))

    def test_odds_that_chance_moves_count_less(self, folder):
        measured = json.loads((folder / "real.json").read_text())["mine"]
        counted = []
        for error in (0.0, 0.5):
            mine, real = (json.loads(json.dumps(measured)) for _ in range(2))
            mine["choice_logit_or"]["session_run1"], real["choice_logit_or"]["session_run1"] = 1.15, 1.0
            mine["choice_logit_or"]["se_log_odds"]["session_run1"] = error
            counted.append(script.compute_moments(mine, real)["choice session_run1"])
        assert counted[0] == pytest.approx(1.0)
        assert 0 < counted[1] < 0.2


def test_search_comes_nearer_and_goes_on_where_it_stopped(inside, capsys):
    script.main(arguments("fit", evaluations=2))
    first = history(inside, "fit")
    assert len(first) == 2
    script.main(arguments("fit", evaluations=12))
    said = " ".join(capsys.readouterr().out.split())
    rows = history(inside, "fit")
    assert "2 evaluations read from" in said
    assert rows[:2] == first
    assert len({tuple(row[name] for name in ONLY) for row in rows}) == len(rows) == 12
    losses = [float(row["loss"]) for row in rows]
    assert min(losses) < losses[0]
    best = rows[losses.index(min(losses))]
    text = (inside / "runs" / "fit" / "fitted.toml").read_text()
    found = Scenario.load(inside / "runs" / "fit" / "fitted.toml")
    assert found.values["choice_nothing"] == pytest.approx(float(best["choice.nothing"]), rel=1e-4)
    assert found.params.horizon_days == 17.0
    assert f"--related {float(best['policy.related']):.4g}" in text.splitlines()[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"only": ("choice.noting",)}, "only names 'choice.noting', which is unknown; allowed: choice.nothing"),
        ({"reference": None}, "reference is missing"),
        ({"log": "globo"}, "'globo' is not in real.json"),
        ({"users": 10**6}, "users = 1000000 is out of range"),
    ],
)
def test_refusals(inside, changes, message):
    with pytest.raises(ValueError, match=message):
        script.main(arguments("refused", **changes))


def test_a_history_of_other_constants_is_refused(inside):
    script.main(arguments("other", evaluations=1))
    with pytest.raises(ValueError, match="is of other constants; pass another --name"):
        script.main(arguments("other", only=("gap.scale",)))


def test_the_linear_step_finds_the_minimum_within_its_box():
    offsets = np.random.default_rng(0).uniform(-0.1, 0.1, (40, 2))
    goal = np.array([0.05, 0.3])
    differences = 10.0 * (offsets - goal) @ np.array([[1.0, 0.5], [0.0, 1.0]])
    step = script.propose_linear_step(offsets, differences, 0.1, (np.full(2, -0.5), np.full(2, 0.5)))
    assert step[1] == pytest.approx(0.1, abs=1e-3)  # as far as the box goes
    assert step == pytest.approx(
        script.propose_linear_step(offsets, differences, 0.1, (np.full(2, -0.5), np.r_[0.5, 0.1]))
    )
    near = script.propose_linear_step(offsets, 10.0 * (offsets - 0.04), 0.1, (np.full(2, -0.5), np.full(2, 0.5)))
    assert near == pytest.approx([0.04, 0.04], abs=0.005)

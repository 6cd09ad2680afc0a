"""Logging, estimating and learning from the command line: what is written and refused."""

import json

import numpy as np
import pandas as pd
import pytest

from longplay.agents.offline.data import read_log
from longplay.scripts import collect, offline, play

SMALL = ("--catalog", "items.csv", "--scenario", "small.toml")
LOG = (*SMALL, "--users", "40", "--slates", "3")
ESTIMATE = ("--distances", "0.1", "0.5", "--horizons", "1", "3", "--truth-users", "60", "--resamples", "50")
LEARN = ("--updates", "20", "--batch", "32", "--hidden", "8", "--match", "2", "--eval-users", "5")


@pytest.fixture(autouse=True)
def cached(monkeypatch, environment):
    monkeypatch.setenv("LONGPLAY_CACHE", environment["LONGPLAY_CACHE"])


@pytest.fixture
def logged(call, place):
    """A folder with the run ``soft``, made once."""
    if not (place / "runs" / "soft").exists():
        code, output = call(offline, "log", "--name", "soft", *LOG, folder=place)
        assert code == 0, output
        assert "40 users, " in output
        assert "left for good; kept in runs/soft" in output
    return place


class TestLog:
    def test_is_read_with_its_propensities(self, logged):
        run = logged / "runs" / "soft"
        assert {path.name for path in run.iterdir()} == {"config.json", "minari", "propensities.safetensors"}
        log = read_log(run)
        np.testing.assert_array_equal(log.user, np.arange(40))
        assert log.steps.max() == 3
        assert log.log_propensities.shape == (log.steps.sum(), 10)
        assert (log.log_propensities < 0).all()
        assert json.loads((run / "config.json").read_text())["weights"] == [["similarity", 1.0]]


class TestEstimate:
    def test_says_estimate_truth_and_sample_size(self, call, logged):
        code, output = call(offline, "estimate", "--name", "ope", "--log", "soft", *ESTIMATE, folder=logged)
        assert code == 0, output
        table = pd.read_parquet(logged / "runs" / "ope" / "estimates.parquet")
        assert len(table) == 2 * (8 + 4)
        np.testing.assert_allclose(table["error"], table["estimate"] - table["truth"])
        assert (table["low"] <= table["high"]).all()
        sizes = table[table["estimator"].isin(["IPS", "per-decision IPS"])].pivot(
            index="distance", columns="slates", values="ess"
        )
        assert (sizes.loc[0.1] > sizes.loc[0.5]).all()
        assert sizes.loc[0.1, 1] > sizes.loc[0.1, 3]
        row = table[(table["target"] == "length +0.5") & (table["estimator"] == "SNIPS")].iloc[0]
        assert f"length +0.5, 1 slate: truth {row['truth']:.2f}" in output
        assert f"SNIPS {row['estimate']:.2f} {row['low']:.2f} to {row['high']:.2f}" in output
        assert table.groupby(["target", "slates"])["truth"].nunique().eq(1).all()


class TestLearn:
    def test_keeps_a_policy_and_plays_it(self, call, logged):
        command = ("learn", "--name", "iql", "--log", "soft", "--agent", "iql", "--gamma", "0", *LEARN)
        code, output = call(offline, *command, folder=logged)
        assert code == 0, output
        run = logged / "runs" / "iql"
        names = {"config.json", "curve.parquet", "policy.json", "policy.safetensors", "users.parquet"}
        assert {path.name for path in run.iterdir()} == names
        minutes = pd.read_parquet(run / "users.parquet")["minutes"]
        assert f"IQL γ=0: {minutes.mean():.1f} [" in output
        assert len(pd.read_parquet(run / "curve.parquet")) == 20
        # Played again by name, the users of another comparison.
        again = ("--agent", "run", "--run", "iql", "--users", "5", "--split", "validation")
        code, output = call(play, *again, *SMALL, folder=logged)
        assert code == 0, output
        whom = "5 validation users of longplay/Video-v1, scenario small.toml, catalogue items.csv"
        said = f"(learned from the log soft), {whom}: {minutes.mean():.1f} minutes"
        assert said in " ".join(output.split())
        code, output = call(play, *again, *SMALL, "--world-seed", "3", folder=logged)
        assert code == 2
        assert "was trained on" in output

    def test_takes_a_collected_log_with_candidates(self, call, logged):
        command = ("--name", "similar", *SMALL, "--policy", "similarity", "--users", "12", "--items", "60")
        code, output = call(collect, *command, folder=logged)
        assert code == 0, output
        code, output = call(
            offline, "learn", "--name", "bc", "--log", "similar", "--agent", "bc", *LEARN, folder=logged
        )
        assert code == 0, output
        assert "BC: " in output
        code, output = call(offline, "estimate", "--name", "x", "--log", "similar", *ESTIMATE, folder=logged)
        assert code == 2
        assert "log = 'similar' has no propensities; log a policy with the job `log`" in output


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ("log --users 161", "users = 161 is out of range; the train split has 1 to 160"),
            ("log --slates 0", "slates = 0 must be at least 1"),
            ("log --temperature 0", "temperature = 0.0 must be above 0"),
            ("log --weights lenght 1", "weights = 'lenght' is unknown (did you mean 'length'?)"),
            ("estimate --log nobody", "runs/nobody is no log; write one with scripts/offline.py log"),
            ("estimate --log soft --horizons 4", "horizons = 4 is out of range; the log 'soft' has 3 slates a user"),
            ("estimate --log soft --direction up", "direction = 'up' is unknown"),
            (
                "estimate --log soft --horizons 1 --truth-users 161",
                "truth_users = 161 is out of range; the train split has 1",
            ),
            ("learn --log soft --agent icql", "agent = 'icql' is unknown"),
            ("learn --log soft --eval-users 21", "eval_users = 21 is out of range; the validation split has 1 to 20"),
        ],
    )
    def test_a_wrong_argument_is_named_and_nothing_is_written(self, call, logged, arguments, said):
        job, *rest = arguments.split()
        small = SMALL if job == "log" else ()
        code, output = call(offline, job, "--name", "x", *small, *rest, folder=logged)
        assert code == 2
        assert said in output
        assert not (logged / "runs" / "x").exists()

    def test_an_existing_run_is_not_written_over(self, call, logged):
        code, output = call(offline, "log", "--name", "soft", *LOG, folder=logged)
        assert code == 2
        assert "runs/soft exists; give another --name" in output

    def test_help_shows_the_exact_commands(self, call):
        code, output = call(offline, "--help")
        assert code == 0
        assert "python scripts/offline.py estimate --name ope --log soft" in output
        for option in ("log", "estimate", "learn"):
            assert option in output

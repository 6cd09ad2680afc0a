"""The study of headroom: worlds are kept, an interruption costs one step, the figures come from them."""

import json

import pandas as pd
import pytest
import tyro

from longplay.agents.references.bonus import BonusOracle
from longplay.agents.references.linear import LinearOracle
from longplay.scripts.studies.headroom import steps as playing
from longplay.scripts.studies.headroom import study as headroom

ARGUMENTS = ["--name", "h", "--users", "6", "--validation-users", "4", "--search-users", "3", "--population", "4"]
ARGUMENTS += ["--rounds", "1", "--catalog", "items.csv", "--scenario", "small.toml", "--seeds", "1", "2"]


@pytest.fixture
def here(place, environment, monkeypatch):
    monkeypatch.setenv("LONGPLAY_CACHE", environment["LONGPLAY_CACHE"])
    return place


class TestStudy:
    def test_it_is_kept_and_goes_on(self, here, call, monkeypatch):
        folder = here / "runs/h"
        whole, written = playing.write_table, []

        def twice(table, path):
            if len(written) == 2:
                raise KeyboardInterrupt
            written.append(path)
            whole(table, path)

        monkeypatch.setattr(playing, "write_table", twice)
        assert call(headroom, *ARGUMENTS, folder=here)[0] == 130
        assert [path.stem for path in written] == ["items", "myopic"]
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
        assert len(before) == 2

        monkeypatch.setattr(playing, "write_table", whole)
        code, output = call(headroom, *ARGUMENTS, folder=here)
        assert code == 0, output
        assert before == {path: path.stat().st_mtime_ns for path in before}
        results = pd.read_parquet(folder / "results.parquet")
        assert results.groupby(["seed", "policy"])["user"].nunique().eq(6).all()
        assert set(results["seed"]) == {1, 2}
        assert set(results["policy"]) == {"items oracle", "myopic oracle", "best constant bonus", "planner"}
        assert (results["again"] <= results["places"]).all()
        assert len(pd.read_parquet(folder / "headroom.parquet")) == 3  # two worlds, and all
        assert {"constant", "planner", "over", "myopic"} <= set(output.split())  # a head may take two lines
        assert (folder / "headroom.png").read_bytes().startswith(b"\x89PNG")
        assert not list(folder.rglob("*.tmp"))

        monkeypatch.setattr(playing, "play_lives", lambda *given: pytest.fail("nothing is left to play"))
        assert call(headroom, *ARGUMENTS, folder=here)[1].split("Lives of 6")[1] == output.split("Lives of 6")[1]
        code, output = call(headroom, *ARGUMENTS, "--users", "7", folder=here)
        assert code == 2
        assert "runs/h was begun with users = 6, not 7; give another --name" in output

    def test_what_was_chosen_is_not_chosen_again(self, here, call, monkeypatch):
        arguments = [word if word != "h" else "once" for word in ARGUMENTS]
        assert call(headroom, *arguments, "--steps", "constant", "planner", folder=here)[0] == 0
        for file in (here / "runs/once").rglob("*/planner.parquet"):
            file.unlink()
        for kind in (BonusOracle, LinearOracle):
            monkeypatch.setattr(kind, "fit", lambda *given: pytest.fail("this has been fitted"))
        assert call(headroom, *arguments, "--steps", "constant", "planner", folder=here)[0] == 0

    def test_a_network_starts_from_the_planner(self, here, call):
        quick = [word if word != "h" else "network" for word in ARGUMENTS]
        code, output = call(headroom, *quick, "--seeds", "1", "--steps", "planner", "network", folder=here)
        assert code == 0, output
        assert "network over planner" in output
        folder = here / "runs/network/Video-v1-seed-1"
        linear, network = (json.loads((folder / f"{step}.json").read_text()) for step in ("planner", "network"))
        assert network["linear"] == linear

    def test_rollouts_are_played_around_the_planner(self, here, call):
        quick = [word if word != "h" else "rolled" for word in ARGUMENTS]
        words = ["--steps", "planner", "rollouts", "--rollout-users", "2"]
        code, output = call(headroom, *quick, "--seeds", "1", *words, folder=here)
        assert code == 0, output
        lives = pd.read_parquet(here / "runs/rolled/results.parquet")
        assert lives.groupby("policy")["user"].nunique().to_dict() == {"planner": 6, "rollouts": 2}
        assert "rollouts over planner" in output
        assert "1 rounds of 4 trials of 3 training users" in output

    def test_a_sweep_goes_over_the_values_of_one_constant(self, here, call):
        quick = [word if word != "h" else "swept" for word in ARGUMENTS]
        words = ["--steps", "myopic", "constant", "--sweep", "impression.memory", "16", "64"]
        code, output = call(headroom, *quick, *words, folder=here)
        assert code == 0, output
        results = pd.read_parquet(here / "runs/swept/results.parquet")
        assert set(results["value"]) == {"16.0", "64.0"}
        entered = results.groupby("value")[["entered", "evicted"]].sum()
        assert (entered["entered"] > 0).all()
        share = entered["evicted"] / entered["entered"]
        assert share["16.0"] > share["64.0"]
        assert "impression.memory 16" in output
        text = (here / "runs/swept/Video-v1-seed-1-impression.memory-16/scenario.toml").read_text()
        assert "memory = 16.0" in text

    def test_a_sweep_goes_over_the_dial(self, here, call):
        quick = [word if word != "h" else "dials" for word in ARGUMENTS]
        words = ["--steps", "myopic", "--sweep", "dynamics_strength", "0", "2"]
        code, output = call(headroom, *quick, *words, folder=here)
        assert code == 0, output
        lives = pd.read_parquet(here / "runs/dials/results.parquet")
        assert set(lives["constant"]) == {"dynamics_strength"}
        minutes = lives.groupby("value")["minutes"].mean()
        assert minutes["0.0"] != minutes["2.0"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--envs Vido", "envs = 'Vido' is unknown"),
        ("--seeds 1 1", "seeds = [1, 1] must be one or more different ones"),
        (
            "--steps plan",
            "steps = 'plan' is unknown (did you mean 'planner'?); allowed: 'items', 'myopic', 'constant', 'planner'",
        ),
        ("--sweep choice.trst 1", "constant = 'choice.trst' is unknown (did you mean 'choice.trust'?)"),
        ("--sweep choice.trust", "must be a constant and one or more different values, such as choice.trust 0 1"),
        ("--sweep choice.trust 1 1.0", "must be a constant and one or more different values"),
        ("--sweep choice.trust 99", "choice.trust = 99.0 is out of range; allowed: 0 to 20"),
        ("--sweep dynamics_strength 7", "dynamics_strength = 7.0 is out of range; allowed: 0 to 5"),
        ("--envs longplay/Video-v0 --sweep impression.weight 1", "impression.weight = 1.0 needs a memory"),
        ("--rollout-users 0", "rollout_users = 0 must be at least 1"),
        ("--workers 0", "workers = 0 must be at least 1"),
        ("--population 1", "population = 1 is out of range; allowed: 2 to"),
        ("--name ../x", "name = '../x' must be a folder name below runs/"),
        ("--users 900 --catalog items.csv --scenario small.toml", "users = 900 is out of range; the test split has"),
    ],
)
def test_a_wrong_argument_is_named(here, call, arguments, said):
    named = () if "--name" in arguments else ("--name", "wrong")
    code, output = call(headroom, *named, *arguments.split(), folder=here)
    assert code == 2
    assert said in output
    assert not (here / "runs" / "wrong").exists()


def test_the_commands_of_the_docstring_are_such():
    lines = [line.strip() for line in headroom.__doc__.splitlines() if line.strip().startswith("python ")]
    first, second = (tyro.cli(headroom.Arguments, args=line.split()[3:]) for line in lines)
    assert first == headroom.Arguments()
    assert (second.name, second.sweep) == ("trust", ("choice.trust", "0", "0.5", "1", "2"))

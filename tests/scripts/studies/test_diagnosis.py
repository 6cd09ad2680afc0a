"""The diagnosis: what is switched off is off, worlds are kept, and costs are paired by user."""

import pandas as pd
import pytest
import tyro

from longplay.envs.users.constants import NEUTRAL
from longplay.envs.users.params import Scenario
from longplay.scripts.studies import diagnosis
from longplay.scripts.studies.headroom import steps as playing

ARGUMENTS = ["--users", "6", "--validation-users", "4", "--search-users", "3", "--population", "4", "--rounds", "1"]
ARGUMENTS += ["--catalog", "items.csv", "--scenario", "small.toml"]
LITTLE = ["--effects", "churn", "satiation", "impressions", "--horizons", "2", "4", "--strengths", "--steps", "myopic"]


@pytest.fixture
def here(place, environment, monkeypatch):
    monkeypatch.setenv("LONGPLAY_CACHE", environment["LONGPLAY_CACHE"])
    return place


def test_it_is_kept_and_goes_on(here, call, monkeypatch):
    folder = here / "runs/diagnosed"
    whole, written = playing.write_table, []

    def thrice(table, path):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        whole(table, path)

    monkeypatch.setattr(playing, "write_table", thrice)
    assert call(diagnosis, "--name", "diagnosed", *ARGUMENTS, *LITTLE, folder=here)[0] == 130
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
    assert [path.parent.name for path in written] == ["Video-v1-seed-0-as-it-is"] * 2 + ["Video-v1-seed-0-churn"]

    monkeypatch.setattr(playing, "write_table", whole)
    code, output = call(diagnosis, "--name", "diagnosed", *ARGUMENTS, *LITTLE, folder=here)
    assert code == 0, output
    assert before == {path: path.stat().st_mtime_ns for path in before}
    lives = pd.read_parquet(folder / "results.parquet")
    assert set(lives["without"]) == {"as-it-is", "churn", "satiation"}  # impressions leave no trace here anyway
    assert set(lives["policy"]) == {"greedy similarity", "myopic oracle"}
    means = lives.groupby("without")[["churned", "minutes"]].mean()
    assert means.loc["churn", "churned"] == 0
    assert means.loc["satiation", "minutes"] != means.loc["as-it-is", "minutes"]
    assert "greedy similarity: where the minutes go" in output
    assert "horizon.days" in output
    assert (folder / "diagnosis.png").read_bytes().startswith(b"\x89PNG")

    monkeypatch.setattr(playing, "play_lives", lambda *given: pytest.fail("nothing is left to play"))
    again = call(diagnosis, "--name", "diagnosed", *ARGUMENTS, *LITTLE, folder=here)[1]
    assert again.split("where the minutes go")[1:] == output.split("where the minutes go")[1:]


def test_there_may_be_no_steps(here, call):
    words = ["--effects", "churn", "--policies", "myopic", "--steps"]
    code, output = call(diagnosis, "--name", "n", *ARGUMENTS, *words, folder=here)
    assert code == 0, output
    assert "dynamics_strength" not in output


def test_all_steps_grow_with_horizon_and_dial(here, call):
    words = ["--effects", "churn", "--policies", "myopic", "--horizons", "3", "--strengths", "0", "1"]
    code, output = call(diagnosis, "--name", "g", *ARGUMENTS, *words, folder=here)
    assert code == 0, output
    for name in ("horizon.days-3", "dynamics_strength-0", "dynamics_strength-1"):
        for step in ("myopic", "constant", "planner"):
            assert (here / f"runs/g/Video-v1-seed-0-{name}/{step}.parquet").is_file()
    assert {"planner", "constant", "over"} <= set(output.split())  # a head may take two lines


@pytest.mark.parametrize("name", list(diagnosis.EFFECTS))
def test_each_effect_is_off_in_its_world(name):
    """Its constants are what takes the effect away, and each is one that a scenario may have."""
    changes = diagnosis.EFFECTS[name]
    scenario = Scenario.load("video").with_overrides(changes)
    for constant, value in changes.items():
        key = constant.replace(".", "_", 1)
        assert scenario.read_number(key) == value
        assert value == NEUTRAL.get(key, value)
        assert not diagnosis.has_effect(scenario, constant, value)


def test_costs_are_paired_by_user_and_in_percent():
    rows = []
    for world, factor in (("as-it-is", 1.0), ("churn", 1.5)):
        for user in range(5):
            row = {"policy": "p", "without": world, "seed": 0, "user": user, "minutes": factor * 10.0 * (user + 1)}
            row |= {"churned": False, "clicks": 1, "slates": 2, "sessions": 3, "places": 20, "again": 5}
            rows.append(row | {"entered": 0, "evicted": 0})
    costs = diagnosis.compare_worlds(pd.DataFrame(rows), "p").set_index("without")
    assert costs.loc["as it is", "gain"] is None
    gain = costs.loc["churn", "gain"]
    assert (gain.low, gain.mean, gain.high) == pytest.approx((50.0, 50.0, 50.0))
    assert costs.loc["churn", "opened"] == 50.0
    assert costs.loc["churn", "shown before"] == 25.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--env Vido", "envs = 'Vido' is unknown"),
        ("--policies similarty", "policies = 'similarty' is unknown (did you mean 'similarity'?)"),
        ("--policies myopic myopic", "policies = ['myopic', 'myopic'] must be different ones"),
        ("--effects chrun", "effects = 'chrun' is unknown (did you mean 'churn'?)"),
        ("--horizons 0", "horizon.days = 0.0 is out of range; allowed: 0.1 to 3650"),
        ("--strengths 9", "dynamics_strength = 9.0 is out of range; allowed: 0 to 5"),
        ("--steps plan", "steps = 'plan' is unknown"),
        ("--workers 0", "workers = 0 must be at least 1"),
        ("--name ../x", "name = '../x' must be a folder name below runs/"),
        ("--users 900 --catalog items.csv --scenario small.toml", "users = 900 is out of range; the test split has"),
    ],
)
def test_a_wrong_argument_is_named(here, call, arguments, said):
    named = () if "--name" in arguments else ("--name", "wrong")
    code, output = call(diagnosis, *named, *arguments.split(), folder=here)
    assert code == 2
    assert said in output
    assert not (here / "runs" / "wrong").exists()


def test_the_command_of_the_docstring_is_one():
    (line,) = [line.strip() for line in diagnosis.__doc__.splitlines() if line.strip().startswith("python ")]
    assert tyro.cli(diagnosis.Arguments, args=line.split()[3:]) == diagnosis.Arguments()

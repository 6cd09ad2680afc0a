"""The sensitivity study: worlds are kept, an interruption costs one of them, the figures come from them."""

import pickle
from concurrent.futures import Future

import pandas as pd
import pytest
import tyro

from longplay.agents.comparison import contestants as comparison
from longplay.agents.rules.tuning import QUICK, is_always_fresh
from longplay.envs.users.params import Scenario
from longplay.scripts.shared import pool
from longplay.scripts.studies.sensitivity import study as sensitivity

ARGUMENTS = ["--worlds", "2", "--users", "6", "--validation-users", "4"]
ARGUMENTS += ["--catalog", "items.csv", "--scenario", "small.toml"]


class Inline:
    """A pool that works in this process, on what another process would get."""

    def __init__(self, workers, context, initializer, arguments):
        assert (workers, context.get_start_method()) == (2, "spawn")

    def submit(self, job, *arguments):
        future = Future()
        job, arguments = pickle.loads(pickle.dumps((job, arguments)))  # noqa: S301  # its own words
        future.set_result(job(*arguments))
        return future

    def shutdown(self, cancel_futures):
        assert cancel_futures


@pytest.fixture
def here(place, environment, monkeypatch):
    monkeypatch.setenv("LONGPLAY_CACHE", environment["LONGPLAY_CACHE"])
    monkeypatch.setattr(comparison, "LOGGED_STEPS", 2)
    monkeypatch.setattr(pool, "ProcessPoolExecutor", Inline)
    return place


def test_a_study_is_kept_and_goes_on(here, call, monkeypatch):
    folder = here / "runs/s"
    whole = sensitivity.write_table

    def interrupted(table, path):
        if path.name == "world-0001.parquet":
            raise KeyboardInterrupt
        whole(table, path)

    monkeypatch.setattr(sensitivity, "write_table", interrupted)
    assert call(sensitivity, "--name", "s", *ARGUMENTS, folder=here)[0] == 130
    assert [path.name for path in folder.glob("*.parquet")] == ["world-0000.parquet"]
    first = (folder / "world-0000.parquet").stat().st_mtime_ns

    monkeypatch.setattr(sensitivity, "write_table", whole)
    code, output = call(sensitivity, "--name", "s", *ARGUMENTS, folder=here)
    assert code == 0, output
    assert (folder / "world-0000.parquet").stat().st_mtime_ns == first
    results = pd.read_parquet(folder / "results.parquet")
    assert set(results["world"]) == {0, 1, 2}
    assert results.groupby(["world", "policy"])["user"].nunique().eq(6).all()
    assert results["policy"].nunique() == sum(not is_always_fresh(name) for name in QUICK) + 3  # three references
    assert "Does the default ranking hold?" in output
    assert "Kendall's τ" in output
    assert (folder / "sensitivity.png").read_bytes().startswith(b"\x89PNG")

    worlds = pd.read_parquet(folder / "worlds.parquet")
    base = Scenario.load(here / "small.toml")
    for world, row in worlds.iterrows():
        scenario = Scenario.load(folder / f"world-{world:04d}.toml")
        assert scenario.shape == base.shape
        for key in ("repeat_penalty", "dwell_base"):
            assert scenario.read_number(key) == pytest.approx(row[key])
            low, high = base.ranges[key]
            assert low <= row[key] <= high
    assert worlds.loc[0, "repeat_penalty"] == base.read_number("repeat_penalty")
    assert worlds["τ"][0] == pytest.approx(1.0)

    monkeypatch.setattr(sensitivity, "play_world", lambda args, file: pytest.fail("nothing is left to play"))
    assert call(sensitivity, "--name", "s", *ARGUMENTS, folder=here)[1].split("Does")[1] == output.split("Does")[1]
    code, output = call(sensitivity, "--name", "s", *ARGUMENTS, "--seed", "1", folder=here)
    assert code == 2
    assert "runs/s was begun with seed = 0, not 1; give another --name" in output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--worlds 1", "worlds = 1 must be at least 2"),
        ("--workers 0", "workers = 0 must be at least 1"),
        ("--env Vido", "env = 'Vido' is unknown"),
        ("--name ../x", "name = '../x' must be a folder name below runs/"),
        ("--users 900 --catalog items.csv --scenario small.toml", "users = 900 is out of range; the test split has"),
        ("--validation-users 0 --users 5 --catalog items.csv --scenario small.toml", "validation_users = 0 is out of"),
    ],
)
def test_a_wrong_argument_is_named(here, call, arguments, said):
    named = () if "--name" in arguments else ("--name", "wrong")
    code, output = call(sensitivity, *named, *arguments.split(), folder=here)
    assert code == 2
    assert said in output
    assert not (here / "runs" / "wrong").exists()


def test_the_command_of_the_docstring_is_one():
    (line,) = [line.strip() for line in sensitivity.__doc__.splitlines() if line.strip().startswith("python ")]
    assert line.startswith("python -m longplay.scripts.studies.sensitivity ")
    assert tyro.cli(sensitivity.Arguments, args=line.split()[3:]) == sensitivity.Arguments()

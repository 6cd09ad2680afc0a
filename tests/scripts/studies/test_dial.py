"""The dial study: cells are kept, an interruption costs one of them, the figures come from them."""

import pandas as pd
import pytest
import tyro

from longplay.agents.comparison import contestants as comparison
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.training import train
from longplay.agents.setting import Setting
from longplay.scripts.shared import trainings
from longplay.scripts.shared.folders import run_folder
from longplay.scripts.studies import dial
from longplay.scripts.train import Arguments as TrainArguments

ARGUMENTS = "--name d --seeds 1 --steps 64 --users 6 --validation-users 4 --catalog items.csv --scenario small.toml"


@pytest.fixture
def here(place, environment, monkeypatch):
    """The folder with items; trainings run in this process and are listed."""
    monkeypatch.setenv("LONGPLAY_CACHE", environment["LONGPLAY_CACHE"])
    monkeypatch.setattr(comparison, "LOGGED_STEPS", 2)
    monkeypatch.setattr(RunConfig, "algorithm_arguments", {"n_steps": 4, "batch_size": 256, "n_epochs": 1})
    started = []

    def run(listed, workers, track):
        assert workers == 2
        for job in listed:
            started.append(job.name)
            train(job.config, run_folder(job.name), False, lambda row: None)

    monkeypatch.setattr(dial, "train_all", run)
    return place, started


class TestDial:
    def test_a_study_is_kept_and_goes_on(self, here, call, monkeypatch):
        place, started = here
        arguments = (*ARGUMENTS.split(), "--strengths", "0")

        # Interrupted after the first file of lives.
        whole, written = dial.write_table, []

        def once(table, path):
            if written:
                raise KeyboardInterrupt
            written.append(path)
            whole(table, path)

        monkeypatch.setattr(dial, "write_table", once)
        code, output = call(dial, *arguments, folder=place)
        assert code == 130
        assert "interrupted" in output
        assert sorted(started) == ["d/strength-0/ppo-0", "d/strength-0/twin-0"]
        assert [path.name for path in written] == ["greedy-similarity.parquet"]

        # The rest, and the figures.
        monkeypatch.setattr(dial, "write_table", whole)
        first = (place / "runs/d/strength-0/greedy-similarity.parquet").stat().st_mtime_ns
        code, output = call(dial, *arguments, folder=place)
        assert code == 0, output
        assert (place / "runs/d/strength-0/greedy-similarity.parquet").stat().st_mtime_ns == first
        results = pd.read_parquet(place / "runs/d/results.parquet")
        assert len(results) == len(dial.POLICIES) * 6
        assert set(results["policy"]) == set(dial.POLICIES)
        assert results.groupby(["strength", "policy", "seed"])["user"].nunique().eq(6).all()
        config = RunConfig.from_json(place / "runs/d/strength-0/twin-0/config.json")
        assert (config.gamma, config.setting.strength) == (0.0, 0.0)
        assert not list((place / "runs/d").rglob("*.tmp"))

        # Nothing is left to do.
        started.clear()
        monkeypatch.setattr(dial, "play_missing", lambda args, strength, setting, show: None)
        before = {path: path.stat().st_mtime_ns for path in (place / "runs/d").rglob("*/*.parquet")}
        code, again = call(dial, *arguments, folder=place)
        assert code == 0
        assert not started
        assert before == {path: path.stat().st_mtime_ns for path in (place / "runs/d").rglob("*/*.parquet")}
        assert again.split("Minutes, 6 test users")[1] == output.split("Minutes, 6 test users")[1]
        assert (place / "runs/d/dial.png").read_bytes().startswith(b"\x89PNG")
        assert "data:image/png;base64," in (place / "runs/d/dial.html").read_text()

    def test_another_study_is_not_mixed_in(self, here, call):
        place, started = here
        (place / "runs/mixed").mkdir(parents=True, exist_ok=True)
        (place / "runs/mixed/study.json").write_text('{"env": "longplay/Control-v0"}')
        code, output = call(dial, *ARGUMENTS.replace("d ", "mixed ", 1).split(), folder=place)
        assert code == 2
        assert "was begun with env = 'longplay/Control-v0', not 'longplay/Video-v1'; give another --name" in output
        assert not started

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ("--seeds 0", "seeds = 0 must be at least 1"),
            ("--strengths 1 1", "strengths = [1.0, 1.0] must be one or more different numbers"),
            ("--strengths -1", "strength = -1.0 is out of range; allowed: 0 to 5"),
            ("--strengths nan", "strength = nan is out of range"),
            ("--env Vido", "env = 'Vido' is unknown"),
            ("--track of", "track = 'of' is unknown (did you mean 'off'?)"),
            ("--name ../x", "name = '../x' must be a folder name below runs/"),
            ("--users 900 --catalog items.csv --scenario small.toml", "users = 900 is out of range; the test split"),
        ],
    )
    def test_a_wrong_argument_is_named(self, here, call, arguments, said):
        place, started = here
        named = () if "--name" in arguments else ("--name", "wrong")
        code, output = call(dial, *named, *arguments.split(), folder=place)
        assert code == 2
        assert said in output
        assert not started
        assert not (place / "runs" / "wrong").exists()


def test_summary_pairs_users_and_names_the_best_rule():
    rows = []
    for strength in (0.0, 1.0):
        for place, policy in enumerate(dial.POLICIES):
            for user in range(5):
                minutes = 10.0 * user + place + (100.0 * strength if policy == "static cap" else 0.0)
                rows.append({"strength": strength, "policy": policy, "seed": 0, "user": user, "minutes": minutes})
    frame = dial.summarise(pd.DataFrame(rows))
    assert frame["best rule"].tolist() == ["greedy minutes", "static cap"]
    assert [i.mean for i in frame["− twin"]] == pytest.approx([-1.0, -1.0])
    assert [(i.low, i.high) for i in frame["− oracle"]] == [pytest.approx((1.0, 1.0))] * 2  # users are paired
    assert [i.mean for i in frame["− best rule"]] == pytest.approx([2.0, -97.0])


def test_summary_pairs_twins_by_seed():
    rows = []
    for place, policy in enumerate(dial.POLICIES):
        for seed in range(5 if policy in (dial.AHEAD, dial.TWIN) else 1):
            luck = 50.0 * seed if policy in (dial.AHEAD, dial.TWIN) else 0.0
            for user in range(5):
                minutes = 10.0 * user + place + luck
                rows.append({"strength": 1.0, "policy": policy, "seed": seed, "user": user, "minutes": minutes})
    (row,) = dial.summarise(pd.DataFrame(rows)).to_dict("records")
    assert (row["− twin"].low, row["− twin"].high) == pytest.approx((-1.0, -1.0))
    assert row["− best rule"].high - row["− best rule"].low > 20.0


def test_a_job_is_told_everything_that_its_configuration_says(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr(trainings.subprocess, "Popen", lambda command, **options: asked.append(command))
    setting = Setting("longplay/Control-v0", catalog="a b.csv", world_seed=3, strength=0.5)
    config = RunConfig(setting, gamma=0.0, seed=2, steps=128, learning_rate=3e-4, eval_users=7)
    trainings.start_training(trainings.Training("x/y", config), "off")
    (command,) = asked
    given = tyro.cli(TrainArguments, args=command[2:])
    assert given.run == config
    assert (given.name, given.overwrite, given.resume, given.track) == ("x/y", True, False, "off")


def test_the_command_of_the_docstring_is_one():
    (line,) = [line.strip() for line in dial.__doc__.splitlines() if line.strip().startswith("python ")]
    assert line.startswith("python -m longplay.scripts.studies.dial ")
    assert tyro.cli(dial.Arguments, args=line.split()[3:]) == dial.Arguments()

"""A user's own table through the real BERT: train in a process of its own, then resume and compare."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import wandb

import longplay
from longplay.agents.comparison import contestants as comparison
from longplay.agents.rules.tuning import QUICK, is_always_fresh
from longplay.agents.runs.config import RunConfig
from longplay.agents.setting import Setting
from longplay.envs.make import make_world
from longplay.scripts import compare, demo, train
from longplay.scripts.bench import environment as bench
from longplay.scripts.shared import processes
from longplay.tests.scripts import network

SCRIPTS = Path(longplay.__file__).parent / "scripts"
SMALL = ("--catalog", "items.csv", "--scenario", "small.toml")
NAME = "a-rather-long-name-of-a-folder/ppo-0"


@pytest.fixture(scope="module")
def trained(place, environment):
    """A run in the folder, and what train.py printed."""
    command = [sys.executable, str(SCRIPTS / "train.py"), "--name", NAME, *SMALL, "--track", "offline"]
    command += ["--steps", "2048", "--num-envs", "64", "--eval-users", "5", "--evals", "2"]
    command = network.watch(command, place / "sent")
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "runs" / NAME, done.stdout + done.stderr


class FakeRun:
    def __init__(self):
        self.logged, self.artifacts, self.finished = {}, [], []

    def log(self, values, step=None):
        self.logged.update(values)

    def log_artifact(self, artifact):
        self.artifacts.append(artifact)

    def finish(self, exit_code):
        self.finished.append(exit_code)


@pytest.fixture
def here(place, environment, monkeypatch):
    """This process in the folder; rules fitted on little."""
    monkeypatch.setenv("LONGPLAY_CACHE", environment["LONGPLAY_CACHE"])
    monkeypatch.setattr(comparison, "LOGGED_STEPS", 2)
    return place


class TestTrain:
    def test_run_is_written(self, trained):
        folder, _ = trained
        names = {path.name for path in folder.iterdir()}
        policy, course = {"policy.json", "policy.safetensors"}, {"checkpoint.pt", "curve.csv", "finished.json"}
        assert names == {"config.json", "wandb"} | policy | course
        config = RunConfig.from_json(folder / "config.json")
        assert config.setting == Setting(catalog="items.csv", scenario="small.toml")
        assert (config.steps, config.num_envs, config.evals) == (2048, 64, 2)
        assert json.loads((folder / "policy.json").read_text())["label"] == config.label

    def test_tracking_is_offline_in_the_run_folder(self, trained):
        folder, _ = trained
        (run,) = (folder / "wandb").glob("offline-run-*")
        (log,) = run.glob("*.wandb")
        content = log.read_bytes()
        assert b"validation/minutes" in content
        assert b"learning_rate" in content

    def test_nothing_reaches_for_a_network(self, trained, place):
        """Neither the program nor what it starts: wandb's service is a program of its own."""
        if not network.can_watch():
            pytest.skip("strace, which sees what child processes send, is not here or not allowed")
        assert network.list_attempts(place / "sent") == []

    def test_it_says_what_it_did(self, trained):
        folder, output = trained
        assert "80 items, 200 users" in output
        assert "item vectors: 80 × 384" in output
        assert "step         0  validation" in output
        best = pd.read_csv(folder / "curve.csv")["minutes"].max()
        # The demo shows the last line up to its first semicolon; after it, here, is what went to the other stream.
        (last,) = [line for line in output.splitlines() if line.startswith("best: ")]
        assert re.fullmatch(
            rf"best: {best:.1f} validation minutes at step [\d,]+; runs/{NAME}/checkpoint\.pt kept", last
        )
        assert "Warning" not in output

    def test_vectors_are_in_the_cache_that_was_named(self, trained, place):
        assert list((place / "cache").rglob("*.safetensors"))

    def test_resuming_a_finished_run_ends_at_once(self, trained, here, call):
        folder, _ = trained
        before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        code, output = call(train, "--name", NAME, "--resume", "--track", "offline", folder=here)
        assert code == 0
        assert "best: " in output
        assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before  # no empty wandb run

    def test_what_a_resumed_run_does_not_heed_is_said_and_what_contradicts_it_refused(self, trained, here, call):
        code, output = call(
            train, "--name", NAME, "--resume", "--track", "off", "--gamma", "0.5", "--steps=9", folder=here
        )
        assert code == 0
        assert "--resume goes on with the run's own configuration; not heeded: --gamma, --steps" in output
        code, output = call(train, "--name", NAME, "--resume", "--overwrite", "--track", "off", folder=here)
        assert code == 2
        assert "--resume goes on with a run, --overwrite starts it again; give one of them" in output

    def test_overwriting_starts_again(self, trained, here, call):
        arguments = (
            "--name",
            "again",
            *SMALL,
            "--steps",
            "64",
            "--num-envs",
            "64",
            "--eval-users",
            "2",
            "--evals",
            "1",
        )
        assert call(train, *arguments, "--agent", "sac", "--track", "off", folder=here)[0] == 0
        code, output = call(train, *arguments, "--agent", "td3", "--overwrite", "--track", "off", folder=here)
        assert code == 0, output
        assert RunConfig.from_json(here / "runs/again/config.json").agent == "td3"
        assert not (here / "runs/again/wandb").exists()


class TestCompare:
    @pytest.fixture
    def arguments(self, trained):
        return ("--name", "reported", "--runs", NAME, *SMALL, "--users", "8", "--validation-users", "4")

    def test_report_results_and_configuration_are_written(self, trained, here, call, arguments, monkeypatch):
        run = FakeRun()
        asked = []
        monkeypatch.setattr(wandb, "init", lambda **options: (asked.append(options), run)[1])
        code, output = call(compare, *arguments, "--track", "offline", folder=here)
        assert code == 0, output
        folder = here / "runs" / "reported"
        results = pd.read_parquet(folder / "results.parquet")
        rules = [name for name in QUICK if not is_always_fresh(name)]
        assert results["policy"].nunique() == len(rules) + 4  # a learned policy and three references
        assert (results.groupby("policy").size() == 8).all()
        label = RunConfig.from_json(trained[0] / "config.json").label
        page = (folder / "report.html").read_text(encoding="utf-8")
        for policy in (*results["policy"].unique(), label):
            assert policy in page
            assert policy.split()[0] in output
        assert not re.search(r"https?://", page)
        config = tomllib.loads((folder / "config.toml").read_text())
        assert config["longplay"] == longplay.__version__
        assert config["runs"] == [NAME]
        assert (config["users"], config["validation_users"]) == (8, 4)
        assert config["setting"] == {
            "env": "longplay/Video-v1", "catalog": "items.csv", "scenario": "small.toml", "world_seed": 0,
            "strength": 1.0,
        }  # fmt: skip
        assert not list(folder.glob("*.tmp"))
        # What the tracker got.
        assert asked[0]["mode"] == "offline"
        assert asked[0]["dir"] == Path("runs/reported")
        assert run.logged[f"{label}/minutes"] == pytest.approx(
            results.loc[results["policy"] == label, "minutes"].mean()
        )
        assert isinstance(run.logged["comparison"], wandb.Table)
        assert isinstance(run.logged["retention"], wandb.Image)
        assert set(run.artifacts[0].manifest.entries) == {"report.html", "results.parquet"}
        assert run.finished == [0]

    def test_a_failing_writer_leaves_the_old_results(self, here, call, arguments, monkeypatch):
        folder = here / "runs" / "reported"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.parquet").write_bytes(b"old")

        def full_disk(self, path, index):
            path.write_bytes(b"half")
            raise ValueError("no space left")

        monkeypatch.setattr(pd.DataFrame, "to_parquet", full_disk)
        code, output = call(compare, *arguments, "--overwrite", "--track", "off", folder=here)
        assert code == 2
        assert "no space left" in output
        assert (folder / "results.parquet").read_bytes() == b"old"

    def test_another_catalogue_is_refused(self, trained, here, call):
        (here / "other.csv").write_bytes((here / "items.csv").read_bytes())
        arguments = ("--name", "unlike", "--runs", NAME, "--catalog", "other.csv", "--scenario", "small.toml")
        code, output = call(compare, *arguments, "--users", "8", "--validation-users", "4", folder=here)
        assert code == 2
        assert "compare like with like" in output


class FakeProcess:
    """A training, or a comparison, that ends when it is first asked."""

    started: list[list[str]] = []
    compared: list[list[str]] = []

    stdin = None
    fails = "failing"  # what a command says that fails

    def __init__(self, command, stdin, stdout, stderr, env):
        (self.compared if command[1].endswith("compare.py") else self.started).append(command)
        stdout.write(b"...\nbest: 12.3 validation minutes at step 64; runs/x/checkpoint.pt kept\n")
        self.returncode = 1 if self.fails in " ".join(command) else 0
        assert env["OMP_NUM_THREADS"] == "1"

    def poll(self):
        return self.returncode

    def wait(self, timeout=None):
        return self.returncode


class TestDemo:
    @pytest.fixture
    def started(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(demo, "load_world", lambda setting, show_cleaning: None)
        monkeypatch.setattr(processes.subprocess, "Popen", FakeProcess)
        monkeypatch.setattr(FakeProcess, "started", [])
        monkeypatch.setattr(FakeProcess, "compared", [])
        return FakeProcess.started, FakeProcess.compared

    def test_it_trains_every_seed_of_all_and_compares_them(self, started, call):
        trainings, compared = started
        code, output = call(demo, "--name", "d", "--seeds", "2", "--steps", "64", "--track", "off")
        assert code == 0, output
        names = [command[command.index("--name") + 1] for command in trainings]
        assert {"d/ppo-0", "d/ppo-1", "d/myopic-0", "d/myopic-1"} <= set(names)
        gammas = {n: float(c[c.index("--gamma") + 1]) for n, c in zip(names, trainings, strict=True)}
        assert gammas["d/myopic-1"] == 0.0
        assert gammas["d/ppo-1"] == RunConfig.gamma
        steps = {n: c[c.index("--steps") + 1] for n, c in zip(names, trainings, strict=True)}
        assert steps["d/ppo-1"] == steps["d/control/ppo-0"] == "64"
        assert steps["d/slateq-1"] == steps["d/slateq-myopic-0"] == "21"
        assert gammas["d/slateq-myopic-1"] == 0.0
        assert gammas["d/slateq-1"] > 0.0
        assert "d/ppo-0: best: 12.3 validation minutes at step 64" in output
        control, last = compared
        assert control[control.index("--runs") + 1 :] == ["d/control/ppo-0"]
        runs = last[last.index("--runs") + 1 :]
        assert {"d/ppo-0", "d/myopic-1", "d/slateq-0", "d/slateq-myopic-1"} <= set(runs)

    def test_what_was_begun_is_taken_up_again(self, started, call, tmp_path):
        trainings, _ = started
        call(demo, "--name", "d", "--seeds", "1", "--steps", "64", "--track", "off")
        for command in trainings:
            assert "--overwrite" in command
        folder = tmp_path / "runs" / "d" / "ppo-0"
        (folder / "config.json").write_text(RunConfig(steps=64).to_json())
        (folder / "checkpoint.pt").write_bytes(b"")
        other = tmp_path / "runs" / "d" / "myopic-0"
        (other / "config.json").write_text(RunConfig(steps=65, gamma=0.0).to_json())
        (other / "checkpoint.pt").write_bytes(b"")
        trainings.clear()
        call(demo, "--name", "d", "--seeds", "1", "--steps", "64", "--track", "off")
        by_name = {command[command.index("--name") + 1]: command for command in trainings}
        assert "--resume" in by_name["d/ppo-0"]
        assert "--overwrite" not in by_name["d/ppo-0"]
        assert "--overwrite" in by_name["d/myopic-0"]  # begun with other settings

    def test_what_is_finished_is_left_as_it_is(self, started, call, tmp_path):
        trainings, compared = started
        words = ("--name", "d", "--seeds", "1", "--steps", "64", "--track", "off")
        assert call(demo, *words)[0] == 0
        for command in trainings:
            name = command[command.index("--name") + 1]
            folder = tmp_path / "runs" / name
            (folder / "config.json").write_text(
                RunConfig(
                    Setting(env=command[command.index("--env") + 1]),
                    agent=command[command.index("--agent") + 1],
                    gamma=float(command[command.index("--gamma") + 1]),
                    steps=int(command[command.index("--steps") + 1]),
                ).to_json()
            )
            (folder / "finished.json").write_text('{"step": 64}')
            (folder / "policy.safetensors").write_bytes(name.encode())
        assert len(compared) == 2
        trainings.clear()
        compared.clear()
        assert call(demo, *words)[0] == 0  # policies have come, which have not been compared
        assert not trainings
        assert len(compared) == 2
        compared.clear()
        files = {file: file.read_bytes() for file in (tmp_path / "runs").rglob("*.*") if file.is_file()}
        code, output = call(demo, *words)
        assert code == 0, output
        assert "5 of 5 trainings were finished before" in output
        assert "2 of 2 comparisons were finished before" in output
        assert output.count("best: 12.3 validation minutes") == 2  # what comparisons printed is shown again
        assert not trainings + compared
        assert files == {file: file.read_bytes() for file in (tmp_path / "runs").rglob("*.*") if file.is_file()}
        # One that is trained anew is compared anew; the other comparison stays.
        (tmp_path / "runs" / "d" / "slateq-0" / "policy.safetensors").write_bytes(b"another")
        call(demo, *words)
        assert [command[command.index("--name") + 1] for command in compared] == ["d"]

    def test_a_failed_comparison_is_not_finished(self, started, call, monkeypatch):
        _, compared = started
        monkeypatch.setattr(FakeProcess, "fails", "compare.py")
        words = ("--name", "d", "--seeds", "1", "--steps", "64", "--track", "off")
        for _ in range(2):
            compared.clear()
            code, output = call(demo, *words)
            assert code == 2
            assert "the comparison d/control failed; see above" in output
            assert len(compared) == 2

    def test_a_failed_training_is_named_with_its_log(self, started, call):
        _, compared = started
        code, output = call(demo, "--name", "failing", "--seeds", "1", "--steps", "64", "--track", "off")
        assert code == 2
        assert "failed; its output is in runs/failing/" in output
        assert not compared


def test_bench_prints_a_rate_for_each_batch(call, here, monkeypatch):
    small, asked = make_world(str(here / "small.toml"), here / "items.csv"), []
    monkeypatch.setattr(bench, "make_world", lambda scenario: (asked.append(scenario), small)[1])
    monkeypatch.setattr(bench, "measure_first_step", lambda: {"cold": 2.0, "warm": 1.0})
    quick = ("--batches", "1", "8", "--seconds", "0.01", "--rounds", "1", "--items", "0", "--no-peers")
    code, output = call(bench, *quick, "--scenario", "video-v1", folder=here)
    assert code == 0
    assert asked == ["video-v1"]
    assert "million user-steps a second on one thread, best of 1 rounds" in output
    assert "slates of 10, 80 items, vectors of 32" in output
    rates = re.findall(r"(?<= )(\d) (\d+\.\d+) (\d+\.\d+) (\d+\.\d+) (\d+\.\d+) (\d+\.\d+) ([\d,]+)", output)
    assert [row[0] for row in rates] == ["1", "8"]
    assert all(float(row[3]) >= 0 for row in rates)

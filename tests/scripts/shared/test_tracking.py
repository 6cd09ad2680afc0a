"""Tracking: nothing when off, files without a network when offline, failure marked as failure."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import wandb

from longplay.agents.stats import Interval
from longplay.scripts import train
from longplay.scripts.shared import tracking
from longplay.scripts.shared.tracking import Tracker
from longplay.tests.scripts import network


class FakeRun:
    def __init__(self):
        self.finished, self.logged, self.artifacts = [], [], []

    def finish(self, exit_code):
        self.finished.append(exit_code)

    def log(self, values, step=None):
        self.logged.append((values, step))

    def log_artifact(self, artifact):
        self.artifacts.append(artifact)


@pytest.fixture
def fake(monkeypatch):
    """What `wandb.init` was asked for, and the run it gave."""
    run, asked = FakeRun(), []
    monkeypatch.setattr(wandb, "setup", lambda settings: None)
    monkeypatch.setattr(wandb, "init", lambda **options: (asked.append(options), run)[1])
    return run, asked


class TestOff:
    def test_no_run_starts_and_nothing_is_written(self, tmp_path, monkeypatch):
        def refuse(**options):
            raise AssertionError("a run was started")

        monkeypatch.setattr(wandb, "init", refuse)
        monkeypatch.setattr(wandb, "Table", refuse)
        monkeypatch.setattr(wandb, "Image", refuse)
        monkeypatch.setattr(wandb, "Artifact", refuse)
        environment = dict(os.environ)
        with Tracker("off", tmp_path / "run", "train", {"a": 1}) as tracker:
            tracker.log({"x": 1.0}, step=3)
            tracker.table("t", pd.DataFrame({"a": [1]}))
            tracker.picture("p", tmp_path / "missing.png")
            tracker.artifact("a", "model", [tmp_path / "missing"])
        assert not list(tmp_path.iterdir())
        assert dict(os.environ) == environment


class TestWithoutWandb:
    @pytest.fixture(autouse=True)
    def lacking(self, monkeypatch):
        monkeypatch.setattr(tracking, "list_missing", lambda extra: [extra])

    @pytest.mark.parametrize("mode", ["offline", "online"])
    def test_the_extra_and_the_way_without_it_are_named(self, tmp_path, mode):
        message = rf'track = \'{mode}\' needs wandb, .*; fix: pip install "longplay\[wandb\]", or --track off'
        with pytest.raises(ValueError, match=message):
            Tracker(mode, tmp_path, "train", {})
        with pytest.raises(ValueError, match=message):  # before the training, not after it
            train.main(train.Arguments(name="never", track=mode))

    def test_nothing_is_needed_where_nothing_is_tracked(self, tmp_path):
        with Tracker("off", tmp_path, "train", {}) as tracker:
            tracker.log({"x": 1.0})


class TestModes:
    def test_unknown_mode_is_named_with_the_closest_one(self, tmp_path):
        with pytest.raises(
            ValueError,
            match=r"track = 'ofline' is unknown \(did you mean 'offline'\?\); allowed: 'online', 'offline', 'off'",
        ):
            Tracker("ofline", tmp_path, "train", {})

    @pytest.mark.parametrize("mode", ["online", "offline"])
    def test_wandb_is_asked_for_what_was_chosen(self, fake, tmp_path, mode):
        run, asked = fake
        with Tracker(mode, tmp_path / "deep" / "run", "compare", {"seed": 3}):
            assert not run.finished
        (options,) = asked
        assert options["mode"] == mode
        assert options["job_type"] == "compare"
        assert options["config"] == {"seed": 3}
        assert options["name"] == "run"
        assert options["settings"].x_disable_machine_info  # which asks the network where it runs
        assert options["dir"] == tmp_path / "deep" / "run"
        assert options["dir"].is_dir()
        assert run.finished == [0]


class TestEnding:
    @pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
    def test_an_exception_marks_the_run_as_failed_and_goes_on(self, fake, tmp_path, error):
        run, _ = fake
        with pytest.raises(type(error)), Tracker("offline", tmp_path, "train", {}):
            raise error
        assert run.finished == [1]

    def test_values_keep_their_step(self, fake, tmp_path):
        run, _ = fake
        with Tracker("offline", tmp_path, "train", {}) as tracker:
            tracker.log({"x": 1.0}, step=64)
            tracker.log({"y": 2.0})
        assert run.logged == [({"x": 1.0}, 64), ({"y": 2.0}, None)]


def test_an_artifact_of_an_older_name_is_kept_under_one_that_it_can_have(fake, tmp_path):
    run, _ = fake
    (tmp_path / "weights").write_bytes(b"12345")
    with Tracker("offline", tmp_path, "train", {}) as tracker:
        tracker.artifact("policy-Läufe/mein Lauf", "model", [tmp_path / "weights"])
    (artifact,) = run.artifacts
    assert artifact.name == "policy-L-ufe-mein-Lauf"


@pytest.mark.parametrize("mode", [None, "offline"])
def test_offline_writes_everything_to_the_folder_without_a_network(tmp_path, mode):
    """Whether WANDB_MODE is set or not; in a process of its own, for wandb starts a service that would outlive it."""
    code = (
        "import sys; from pathlib import Path; import pandas as pd\n"
        "from longplay.scripts.shared.tracking import Tracker\n"
        f"folder = Path({str(tmp_path)!r}) / 'run'\n"
        "(folder.parent / 'weights').write_bytes(b'12345')\n"
        "with Tracker('offline', folder, 'train', {'gamma': 0.95}) as tracker:\n"
        "    tracker.log({'validation/minutes': 12.5}, step=64)\n"
        "    tracker.table('comparison', pd.DataFrame({'policy': ['MMR']}))\n"
        "    tracker.artifact('policy-run', 'model', [folder.parent / 'weights'])\n"
    )
    # No address to send anything to: going online would fail.
    environment = {**os.environ, "WANDB_BASE_URL": "http://127.0.0.1:9", "HOME": str(tmp_path)}
    environment.pop("WANDB_MODE", None)
    if mode is not None:
        environment["WANDB_MODE"] = mode
    command = network.watch([sys.executable, "-c", code], tmp_path / "sent")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    (folder,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    (log,) = folder.glob("run-*.wandb")
    content = log.read_bytes()
    for text in (b"validation/minutes", b"gamma", b"policy-run"):
        assert text in content
    if network.can_watch():
        assert network.list_attempts(tmp_path / "sent") == []
    assert not (tmp_path / "wandb").exists()


class TestResuming:
    def start(self, asked, folder, mode="offline", resume=False):
        with Tracker(mode, folder, "train", {}, resume):
            pass
        return asked[-1]

    @pytest.mark.parametrize(("mode", "again"), [("offline", None), ("online", "allow")])
    def test_a_resumed_run_goes_on_as_the_same(self, fake, tmp_path, mode, again):
        _, asked = fake
        first = self.start(asked, tmp_path, mode)
        assert first["resume"] is None
        second = self.start(asked, tmp_path, mode, resume=True)
        assert second["id"] == first["id"]
        assert second["resume"] == again  # offline there is nothing to resume
        assert (tmp_path / "wandb" / "run-id.txt").read_text() == first["id"]

    def test_one_that_starts_again_is_another(self, fake, tmp_path):
        _, asked = fake
        assert self.start(asked, tmp_path)["id"] != self.start(asked, tmp_path)["id"]

    def test_one_that_was_not_tracked_before_begins(self, fake, tmp_path):
        _, asked = fake
        begun = self.start(asked, tmp_path, "online", resume=True)
        assert begun["resume"] is None
        assert self.start(asked, tmp_path, "online", resume=True)["id"] == begun["id"]


def test_table_of_a_summary_is_plain_text(fake, tmp_path):
    run, _ = fake
    frame = pd.DataFrame({"policy": ["MMR"], "vs": [Interval(1.0, 0.0, 2.0)], "minutes": [np.float64(3.0)]})
    with Tracker("offline", tmp_path, "compare", {}) as tracker:
        tracker.table("comparison", frame.astype(str))
    ((values, _),) = run.logged
    assert values["comparison"].data == [["MMR", "+1.0 [+0.0, +2.0]", "3.0"]]
    assert json.dumps(values["comparison"].data)


def test_what_wandb_refuses_is_one_sentence_with_the_way_without_an_account(tmp_path, monkeypatch):
    def refuse(**options):
        raise wandb.errors.UsageError("No API key configured. Use `wandb login` to log in.\nAnd more.")

    monkeypatch.setattr(wandb, "setup", lambda settings: None)
    monkeypatch.setattr(wandb, "init", refuse)
    said = "track = 'online': No API key configured.*; log in with wandb login, or give --track offline"
    with pytest.raises(ValueError, match=said), Tracker("online", tmp_path, "train", {}):
        pass

"""Trainings side by side: when one is finished, and what it cost."""

import json
import sys
from pathlib import Path

import pytest

from longplay.agents.runs.config import RunConfig
from longplay.scripts.shared import trainings
from longplay.scripts.shared.trainings import Training, add_cost, is_finished

CONFIG = RunConfig(steps=100)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Of a training ``x`` that has come to its end."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/x")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(CONFIG.to_json())
    (folder / "finished.json").write_text('{"step": 104}')
    return folder


class TestFinished:
    def test_one_that_has_come_to_its_end(self, folder):
        assert is_finished(Training("x", CONFIG))

    def test_no_other(self, folder):
        assert not is_finished(Training("y", CONFIG))
        assert not is_finished(Training("x", RunConfig(steps=100, gamma=0.5)))
        (folder / "finished.json").write_text('{"step": 96}')
        assert not is_finished(Training("x", CONFIG))
        (folder / "finished.json").unlink()
        assert not is_finished(Training("x", CONFIG))

    def test_one_that_begins_anew_is_not_taken_for_the_last(self, folder, monkeypatch):
        monkeypatch.setattr(trainings.subprocess, "Popen", lambda command, **more: None)
        add_cost(folder, 1.0, 1.0)
        trainings.start_training(Training("x", CONFIG), "off")
        assert not is_finished(Training("x", CONFIG))
        assert not (folder / trainings.COST).exists()


class TestCost:
    def test_costs_add_up(self, folder):
        add_cost(folder, 1.5, 2.0)
        add_cost(folder, 1.0, 4.0)
        assert json.loads((folder / "cost.json").read_text(encoding="utf-8")) == {"cpu": 2.5, "wall": 6.0}

    def started(self, monkeypatch, folder, code):
        (folder / "finished.json").unlink()
        whole = trainings.subprocess.Popen
        begin = "import sys; sys.stdout.write('best: 1 minute; kept'); sys.stdout.flush(); "
        monkeypatch.setattr(
            trainings.subprocess, "Popen", lambda command, **more: whole([sys.executable, "-c", begin + code], **more)
        )

    def test_a_training_is_charged_with_its_own_seconds(self, folder, monkeypatch):
        self.started(
            monkeypatch, folder, "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
        )
        trainings.train_all([Training("x", CONFIG), Training("y", CONFIG)], 2, "off")
        for name in ("x", "y"):
            cost = json.loads(Path(f"runs/{name}/cost.json").read_text(encoding="utf-8"))
            assert 0.3 <= cost["cpu"] < 0.6
            assert cost["wall"] >= 0.3

    def test_one_that_fails_ends_the_others_and_all_are_charged(self, folder, monkeypatch):
        self.started(monkeypatch, folder, "raise SystemExit(3)")
        with pytest.raises(ValueError, match=r"training x failed; its output is in runs/x/log\.txt"):
            trainings.train_all([Training("x", CONFIG), Training("y", CONFIG)], 2, "off")
        assert Path("runs/x/cost.json").exists()
        assert Path("runs/y/cost.json").exists()

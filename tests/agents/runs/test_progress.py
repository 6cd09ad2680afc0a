"""The progress of a training: when it evaluates, what it keeps, and what its checkpoints hold."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from longplay.agents.base import Trainer
from longplay.agents.runs.progress import CHECKPOINT, CURVE, FINISHED, TrainingProgress


class FixedMinutes:
    """An evaluator whose users have the minutes that are given, one value an evaluation."""

    def __init__(self, *minutes):
        self.minutes = list(minutes)

    def play(self, agent):
        m = self.minutes.pop(0)
        return pd.DataFrame(
            {"minutes": [m - 1, m + 1], "sessions": [2, 4], "churned": [0, 1], "clicks": [1, 2], "slates": [4, 8]}
        )


class Standing(Trainer):
    """A trainer that stands where it is put, and notes which policies are saved."""

    agent = None
    steps = 0
    finished_minutes = ()

    def __init__(self):
        self.saved = []

    def learn(self, steps, before_update):
        raise NotImplementedError

    def save_policy(self, folder, about):
        self.saved.append(about)

    def capture(self):
        return {"weights": torch.arange(3.0)}

    def restore(self, content):
        raise NotImplementedError

    def close(self):
        pass


@pytest.fixture
def begin(tmp_path):
    """A progress by its evaluations' minutes; what it reports is in its `rows`."""

    def make(*minutes, every=100.0, seconds=0.0):
        rows = []
        progress = TrainingProgress(tmp_path, Standing(), "ours", FixedMinutes(*minutes), every, rows.append, seconds)
        progress.rows = rows
        return progress

    return make


def move(progress, *steps, note=None, due=False):
    """Let the trainer come to some steps, one after the other."""
    for step in steps:
        progress.trainer.steps = step
        progress.before_update(note, due=due)


class TestBeforeAnUpdate:
    def test_evaluates_at_once_and_then_when_enough_was_learnt(self, begin):
        progress = begin(1.0, 2.0, 3.0, every=100.0)
        move(progress, 0, 60, 120, 180, 220)
        assert list(progress.curve["step"]) == [0.0, 120.0, 220.0]
        assert [("minutes" in row) for row in progress.rows] == [True, False, True, False, True]

    def test_evaluates_when_it_is_due(self, begin):
        progress = begin(1.0, 2.0, 3.0, every=100.0)
        move(progress, 0)
        move(progress, 10, 10, due=True)  # the second time as a resumed run does
        move(progress, 20)
        assert list(progress.curve["step"]) == [0.0, 10.0]

    def test_an_earlier_run_is_forgotten(self, begin, tmp_path):
        begin(1.0).finish()
        begin().start_fresh()
        assert not (tmp_path / CHECKPOINT).exists()
        assert not (tmp_path / FINISHED).exists()

    def test_rows_are_means_and_shares(self, begin):
        progress = begin(7.0)
        progress.trainer.finished_minutes = [3.0, 5.0]
        move(progress, 0, note={"loss/value": 0.5})
        row = progress.curve.iloc[0]
        assert row["minutes"] == 7.0
        assert row["sessions"] == 3.0
        assert row["churned"] == 0.5
        assert row["click_rate"] == 0.25
        assert row["training_minutes"] == 4.0
        assert row["loss/value"] == 0.5

    def test_nobody_has_finished_yet(self, begin):
        progress = begin(7.0)
        move(progress, 0)
        assert np.isnan(progress.curve["training_minutes"].iloc[0])

    def test_only_a_better_policy_is_saved(self, begin):
        progress = begin(5.0, 9.0, 7.0, 9.0, 9.5, every=1.0)
        move(progress, *range(5))
        assert [about["minutes"] for about in progress.trainer.saved] == [5.0, 9.0, 9.5]
        assert {about["label"] for about in progress.trainer.saved} == {"ours"}

    def test_checkpoints_are_no_closer_than_asked(self, begin, tmp_path):
        progress = begin(1.0, 2.0, every=1.0, seconds=1e9)
        move(progress, 0)
        first = (tmp_path / CHECKPOINT).read_bytes()  # the first is due at once
        move(progress, 1)
        assert (tmp_path / CHECKPOINT).read_bytes() == first


class TestCheckpoint:
    def test_resuming_takes_up_the_curve(self, begin, tmp_path):
        progress = begin(1.0, 2.0, every=10.0)
        move(progress, 0, 10)
        later = begin(3.0, every=10.0)
        content = later.read_checkpoint()
        weights = content["weights"]
        later.resume(content)
        pd.testing.assert_frame_equal(later.curve, progress.curve, check_exact=True)
        move(later, 15, 20)  # not due before 20
        assert list(later.curve["minutes"]) == [1.0, 2.0, 3.0]
        assert torch.equal(weights, torch.arange(3.0))
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / CURVE), later.curve, check_exact=True)

    def test_an_empty_curve_is_taken_up_too(self, begin):
        begin().save_checkpoint()
        progress = begin()
        progress.resume(progress.read_checkpoint())
        assert progress.curve.empty

    def test_the_end_is_evaluated_and_saved(self, begin, tmp_path):
        progress = begin(4.0, 2.0, seconds=1e9)
        move(progress, 0)
        (tmp_path / CHECKPOINT).unlink()
        progress.trainer.steps = 30
        progress.finish()
        curve = progress.read_checkpoint()["curve"]
        assert list(curve.splitlines()) == list(progress.curve.to_csv(index=False).splitlines())
        assert list(progress.curve["step"]) == [0.0, 30.0]
        assert json.loads((tmp_path / FINISHED).read_text()) == {"step": 30}

    def test_nothing_to_resume_is_said(self, begin):
        with pytest.raises(ValueError, match=r"checkpoint\.pt does not exist; there is nothing to resume"):
            begin().read_checkpoint()

    @pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
    def test_truncated_checkpoint_is_refused(self, begin, tmp_path, share):
        begin().save_checkpoint()
        whole = (tmp_path / CHECKPOINT).read_bytes()
        (tmp_path / CHECKPOINT).write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match=r"cannot be read as a checkpoint: .*give --overwrite"):
            begin().read_checkpoint()

    def test_checkpoint_with_code_in_it_is_refused(self, begin, tmp_path):
        torch.save({"curve": print}, tmp_path / CHECKPOINT)
        with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
            begin().read_checkpoint()

    def test_failed_write_leaves_the_old_checkpoint(self, begin, tmp_path, monkeypatch):
        progress = begin()
        progress.save_checkpoint()
        before = (tmp_path / CHECKPOINT).read_bytes()

        def full_disk(content, file):
            file.write(b"half")
            raise OSError("no space left")

        monkeypatch.setattr(torch, "save", full_disk)
        with pytest.raises(OSError, match="no space left"):
            progress.save_checkpoint()
        assert (tmp_path / CHECKPOINT).read_bytes() == before
        assert not list(tmp_path.glob("*.tmp"))

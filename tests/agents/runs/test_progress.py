"""The course of a training: when it evaluates, what it keeps, and what its checkpoints hold."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from longplay.agents.runs.progress import CHECKPOINT, CURVE, FINISHED, Course


class Played:
    """An evaluator whose users have the minutes that are given, one value an evaluation."""

    def __init__(self, *minutes):
        self.minutes = list(minutes)

    def play(self, agent):
        m = self.minutes.pop(0)
        return pd.DataFrame(
            {"minutes": [m - 1, m + 1], "sessions": [2, 4], "churned": [0, 1], "clicks": [1, 2], "slates": [4, 8]}
        )


@pytest.fixture
def begin(tmp_path):
    """A course by its evaluations' minutes; what it reports and keeps is in its `seen` and `kept`."""

    def make(*minutes, every=100.0, seconds=0.0):
        seen, kept = [], []
        weights = {"weights": torch.arange(3.0)}
        course = Course(tmp_path, None, Played(*minutes), every, seen.append, seconds, kept.append, lambda: weights)
        course.seen, course.kept = seen, kept
        return course

    return make


class TestBetween:
    def test_evaluates_at_once_and_then_when_enough_was_learnt(self, begin):
        course = begin(1.0, 2.0, 3.0, every=100.0)
        for step in (0, 60, 120, 180, 220):
            course.between(step, [])
        assert list(course.curve["step"]) == [0.0, 120.0, 220.0]
        assert [("minutes" in row) for row in course.seen] == [True, False, True, False, True]

    def test_evaluates_when_told_to(self, begin):
        course = begin(1.0, 2.0, 3.0, every=100.0)
        course.between(0, [])
        course.between(10, [], due=True)
        course.between(10, [], due=True)  # as a resumed run does
        course.between(20, [])
        assert list(course.curve["step"]) == [0.0, 10.0]

    def test_an_earlier_run_is_forgotten(self, begin, tmp_path):
        begin(1.0).finish(30, [])
        begin().begin()
        assert not (tmp_path / CHECKPOINT).exists()
        assert not (tmp_path / FINISHED).exists()

    def test_rows_are_means_and_shares(self, begin):
        course = begin(7.0)
        course.between(0, [3.0, 5.0], {"loss/value": 0.5})
        row = course.curve.iloc[0]
        assert row["minutes"] == 7.0
        assert row["sessions"] == 3.0
        assert row["churned"] == 0.5
        assert row["click_rate"] == 0.25
        assert row["training_minutes"] == 4.0
        assert row["loss/value"] == 0.5

    def test_nobody_has_finished_yet(self, begin):
        course = begin(7.0)
        course.between(0, [])
        assert np.isnan(course.curve["training_minutes"].iloc[0])

    def test_only_a_better_policy_is_kept(self, begin):
        course = begin(5.0, 9.0, 7.0, 9.0, 9.5, every=1.0)
        for step in range(5):
            course.between(step, [])
        assert [row["minutes"] for row in course.kept] == [5.0, 9.0, 9.5]

    def test_checkpoints_are_no_closer_than_told(self, begin, tmp_path):
        course = begin(1.0, 2.0, every=1.0, seconds=1e9)
        course.between(0, [])
        first = (tmp_path / CHECKPOINT).read_bytes()  # the first is due at once
        course.between(1, [])
        assert (tmp_path / CHECKPOINT).read_bytes() == first


class TestCheckpoint:
    def test_going_on_takes_up_the_curve(self, begin, tmp_path):
        course = begin(1.0, 2.0, every=10.0)
        course.between(0, [])
        course.between(10, [])
        later = begin(3.0, every=10.0)
        content = later.read()
        weights = content["weights"]
        later.go_on(content)
        pd.testing.assert_frame_equal(later.curve, course.curve, check_exact=True)
        later.between(15, [])  # not due before 20
        later.between(20, [])
        assert list(later.curve["minutes"]) == [1.0, 2.0, 3.0]
        assert torch.equal(weights, torch.arange(3.0))
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / CURVE), later.curve, check_exact=True)

    def test_an_empty_curve_is_taken_up_too(self, begin):
        begin().save()
        course = begin()
        course.go_on(course.read())
        assert course.curve.empty

    def test_the_end_is_evaluated_and_saved(self, begin, tmp_path):
        course = begin(4.0, 2.0, seconds=1e9)
        course.between(0, [])
        (tmp_path / CHECKPOINT).unlink()
        course.finish(30, [])
        assert list(course.read()["curve"].splitlines()) == list(course.curve.to_csv(index=False).splitlines())
        assert list(course.curve["step"]) == [0.0, 30.0]
        assert json.loads((tmp_path / FINISHED).read_text()) == {"step": 30}

    def test_nothing_to_resume_is_said(self, begin):
        with pytest.raises(ValueError, match=r"checkpoint\.pt does not exist; there is nothing to resume"):
            begin().read()

    @pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
    def test_truncated_checkpoint_is_refused(self, begin, tmp_path, share):
        begin().save()
        whole = (tmp_path / CHECKPOINT).read_bytes()
        (tmp_path / CHECKPOINT).write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match=r"cannot be read as a checkpoint: .*give --overwrite"):
            begin().read()

    def test_checkpoint_with_code_in_it_is_refused(self, begin, tmp_path):
        torch.save({"curve": print}, tmp_path / CHECKPOINT)
        with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
            begin().read()

    def test_failed_write_leaves_the_old_checkpoint(self, begin, tmp_path, monkeypatch):
        course = begin()
        course.save()
        before = (tmp_path / CHECKPOINT).read_bytes()

        def full_disk(content, file):
            file.write(b"half")
            raise OSError("no space left")

        monkeypatch.setattr(torch, "save", full_disk)
        with pytest.raises(OSError, match="no space left"):
            course.save()
        assert (tmp_path / CHECKPOINT).read_bytes() == before
        assert not list(tmp_path.glob("*.tmp"))

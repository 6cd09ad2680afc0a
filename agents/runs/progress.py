"""The progress of a training: evaluations on the way, the best policy kept, checkpoints that it goes on from."""

import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ...envs.shared.files import replacing, write_whole
from ...envs.shared.progress import ProgressCallback
from ..base import Trainer
from ..playing.evaluate import Evaluator

CHECKPOINT = "checkpoint.pt"
CURVE = "curve.csv"
FINISHED = "finished.json"


def count_slates(folder: Path) -> int:
    """Slates that the training in a folder has learnt from: whole rounds of them, so often more than were asked for."""
    end = folder / FINISHED
    if end.is_file():
        return int(json.loads(end.read_text(encoding="utf-8"))["step"])
    return int(pd.read_csv(folder / CURVE)["step"].iloc[-1])


class TrainingProgress:
    """Evaluates at even intervals, keeps the best policy, and writes checkpoints, all between two rounds of learning.

    Parameters
    ----------
    folder
        Gets ``curve.csv``, ``checkpoint.pt``, in the end ``finished.json`` and the policy.
    trainer
        Whose agent is evaluated and kept, and whose state is written into checkpoints.
    label
        Name of the method, kept with the policy.
    evaluator
        Of validation users.
    every
        Slates between two evaluations.
    report
        Called with ``{"step": ..., "minutes": ..., ...}`` at each evaluation, and with ``{"step": ...}`` in between.
    seconds
        Least time between two checkpoints [s].
    """

    def __init__(
        self,
        folder: Path,
        trainer: Trainer,
        label: str,
        evaluator: Evaluator,
        every: float,
        report: ProgressCallback,
        seconds: float,
    ) -> None:
        self.folder, self.trainer, self.label = folder, trainer, label
        self.evaluator, self.every, self.report, self.seconds = evaluator, every, report, seconds
        self.curve = pd.DataFrame()
        self._saved = -np.inf  # when the last checkpoint was written: the first is due at once
        self._next = 0.0  # step of the next evaluation

    def start_fresh(self) -> None:
        """Forget an earlier run of this folder."""
        for name in (CHECKPOINT, FINISHED):
            (self.folder / name).unlink(missing_ok=True)

    def before_update(self, note: Mapping[str, float] | None = None, *, due: bool = False) -> None:
        """Before a round of learning: evaluate if it is time, tell how far it is, write a checkpoint if it is time.

        Parameters
        ----------
        note
            What is logged of the last round.
        due
            Evaluate, whatever the interval; but not twice, as a resumed run would.
        """
        step = self.trainer.steps
        evaluated = not self.curve.empty and self.curve["step"].iloc[-1] == step
        if (due and not evaluated) or step >= self._next:
            self.evaluate(note)
        else:
            self.report({"step": float(step)})
        if time.monotonic() - self._saved > self.seconds:
            self.save_checkpoint()
            self._saved = time.monotonic()

    def evaluate(self, note: Mapping[str, float] | None = None) -> None:
        """Add a point to the curve; keeps the policy if it is the best so far."""
        step, finished = self.trainer.steps, self.trainer.finished_minutes
        table = self.evaluator.play(self.trainer.agent)
        row = {
            "step": float(step),
            "minutes": float(table["minutes"].mean()),
            "sessions": float(table["sessions"].mean()),
            "churned": float(table["churned"].mean()),
            "click_rate": float(table["clicks"].sum() / table["slates"].sum()),
            "training_minutes": float(np.mean(finished)) if finished else float("nan"),
            **(note or {}),
        }
        if self.curve.empty or row["minutes"] > self.curve["minutes"].max():
            self.trainer.save_policy(self.folder, {"label": self.label, **row})
        self.curve = pd.concat([self.curve, pd.DataFrame([row])], ignore_index=True)
        write_whole(self.folder / CURVE, self.curve.to_csv(index=False))
        self._next = step + self.every
        self.report(row)

    def finish(self, note: Mapping[str, float] | None = None) -> None:
        """Add the last point, and write the last checkpoint: resuming a finished run finds nothing left to do."""
        self.evaluate(note)
        write_whole(self.folder / FINISHED, json.dumps({"step": self.trainer.steps}))
        self.save_checkpoint()

    def save_checkpoint(self) -> None:
        """Write the checkpoint, whole or not at all."""
        content = self.trainer.capture() | {"curve": self.curve.to_csv(index=False), "next": float(self._next)}
        with replacing(self.folder / CHECKPOINT) as temporary, temporary.open("wb") as file:
            torch.save(content, file)

    def read_checkpoint(self) -> dict[str, Any]:
        """Read the checkpoint's content; an error says what to do where there is none."""
        path = self.folder / CHECKPOINT
        if not path.is_file():
            raise ValueError(
                f"{path} does not exist; there is nothing to resume: give --overwrite in place of --resume"
            )
        try:
            content: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        except Exception as error:
            raise ValueError(
                f"{path} cannot be read as a checkpoint: {error}; train again: give --overwrite in place of --resume"
            ) from error
        return content

    def resume(self, content: Mapping[str, Any]) -> None:
        """Take up the curve of a checkpoint."""
        text = content["curve"]
        self.curve = pd.read_csv(io.StringIO(text)) if text.strip() else pd.DataFrame()
        self._next = content["next"]

"""The one loop of training, whoever learns: it can be interrupted, and goes on to the same curve."""

from pathlib import Path

import pandas as pd

from ...envs.shared.files import write_whole
from ...envs.shared.progress import ProgressCallback
from ..playing.evaluate import Evaluator, held_out_users
from ..playing.luck import VALIDATION_LUCK
from .config import RunConfig
from .progress import TrainingProgress
from .reading import read_run
from .scores import CONFIG_FILE


def train(
    config: RunConfig, folder: Path, resume: bool, report: ProgressCallback, seconds: float = 20.0
) -> pd.DataFrame:
    """Train, evaluate on validation users on the way, and keep the best policy in `folder`.

    Parameters
    ----------
    config
        The run.
    folder
        Gets ``config.json``, ``policy.*``, ``curve.csv``, ``checkpoint.pt`` and, in the end, ``finished.json``.
    resume
        Continue from the checkpoint in `folder`.
    report
        Called with ``{"step": ..., "minutes": ..., ...}`` at each evaluation, and with ``{"step": ...}`` in between.
    seconds
        Least time between two checkpoints [s].

    Returns
    -------
    pandas.DataFrame
        The learning curve: step, validation minutes, sessions, churned share, click rate, training minutes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    setting = config.setting
    trainer = config.entry.make_trainer(config, read_run(config))
    users = held_out_users(setting.world, "validation", config.eval_users, field="eval_users")
    evaluator = Evaluator(setting.world, setting.item_vectors, users, VALIDATION_LUCK)
    progress = TrainingProgress(folder, trainer, config.label, evaluator, config.steps / config.evals, report, seconds)
    if resume:
        content = progress.read_checkpoint()
        try:
            trainer.restore(content)
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"{folder} holds no checkpoint of {config.label} as configured: {error}; train again: give --overwrite "
                "in place of --resume"
            ) from error
        progress.resume(content)
    else:
        progress.start_fresh()
        write_whole(folder / CONFIG_FILE, config.to_json())
        trainer.start()
    first = trainer.steps
    note = trainer.learn(config.steps, progress.before_update)
    if trainer.steps > first or progress.curve.empty:
        progress.finish(note)
    trainer.close()
    return progress.curve

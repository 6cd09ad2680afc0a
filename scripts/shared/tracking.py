"""Logging to Weights & Biases, offline unless asked otherwise."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from longplay.envs.shared.extras import install_command, list_missing
from longplay.envs.shared.names import one_of

if not list_missing("wandb"):
    import wandb

MODES = ("online", "offline", "off")


def check_tracking(mode: str) -> str:
    """The word for ``--track``, if it is one and what it takes is installed.

    Raises
    ------
    ValueError
        If it is none of `MODES`, or wandb is not installed.
    """
    one_of("track", mode, MODES)
    if mode != "off" and list_missing("wandb"):
        fix = f"{install_command('wandb')}, or --track off"
        raise ValueError(f"track = {mode!r} needs wandb, which is not installed; fix: {fix}")
    return mode


class Tracker:
    """A wandb run, or nothing.

    ``offline`` writes to ``<folder>/wandb`` without a network (look at it with ``wandb leet``, send it with
    ``wandb sync``); ``online`` needs an account; ``off`` writes nothing. Entering starts the run, leaving ends it.

    Parameters
    ----------
    mode
        One of `MODES`.
    folder
        Where the files go.
    job
        ``"train"`` or ``"compare"``.
    config
        Shown with the run.
    """

    def __init__(self, mode: str, folder: Path, job: str, config: Mapping[str, Any]) -> None:
        self.mode = check_tracking(mode)
        self.folder, self.job, self.config = folder, job, dict(config)
        self._run: Any = None

    def __enter__(self) -> Self:
        """Start the run."""
        if self.mode != "off":
            self.folder.mkdir(parents=True, exist_ok=True)
            os.environ.setdefault("WANDB_SILENT", "true")
            self._run = wandb.init(
                project="longplay",
                dir=self.folder,
                name=self.folder.name,
                job_type=self.job,
                config=self.config,
                mode="online" if self.mode == "online" else "offline",
                settings=wandb.Settings(console="off", silent=True),
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the run; an exception marks it as failed."""
        if self._run is not None:
            self._run.finish(exit_code=0 if kind is None else 1)

    def log(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers, pictures or tables."""
        if self._run is not None:
            self._run.log(dict(values), step=step)

    def table(self, name: str, frame: Any) -> None:
        """Log a data frame as a table."""
        if self._run is not None:
            self._run.log({name: wandb.Table(dataframe=frame)})

    def picture(self, name: str, path: Path) -> None:
        """Log a PNG file."""
        if self._run is not None:
            self._run.log({name: wandb.Image(str(path))})

    def artifact(self, name: str, kind: str, paths: list[Path]) -> None:
        """Log files as an artifact; what its name cannot have becomes ``-``, for the files are there already."""
        if self._run is not None:
            artifact = wandb.Artifact(re.sub(r"[^A-Za-z0-9._-]", "-", name)[:128], type=kind)
            for path in paths:
                artifact.add_file(str(path))
            self._run.log_artifact(artifact)

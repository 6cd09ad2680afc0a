"""Logging to Weights & Biases, offline unless asked otherwise."""

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from longplay.envs.shared.extras import install_command, list_missing
from longplay.envs.shared.files import write_whole
from longplay.envs.shared.names import one_of

if not list_missing("wandb"):
    import wandb

MODES = ("online", "offline", "off")
RUN_ID = Path("wandb", "run-id.txt")
# wandb asks the network where it runs, and a process of its own measures the machine: neither is asked for here.
QUIET: dict[str, Any] = {"console": "off", "silent": True, "x_disable_machine_info": True, "x_disable_stats": True}


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
    ``wandb sync``); ``online`` needs an account; ``off`` writes nothing. Entering starts the run, leaving ends it. The
    run's identity is kept in ``<folder>/wandb/run-id.txt``, so that one that is resumed goes on as the same run.

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
    resume
        Whether to go on with the folder's run, where there is one.
    """

    def __init__(self, mode: str, folder: Path, job: str, config: Mapping[str, Any], resume: bool = False) -> None:
        self.mode = check_tracking(mode)
        self.folder, self.job, self.config, self.resume = folder, job, dict(config), resume
        self._run: Any = None

    def __enter__(self) -> Self:
        """Start the run."""
        if self.mode != "off":
            self.folder.mkdir(parents=True, exist_ok=True)
            os.environ.setdefault("WANDB_SILENT", "true")
            identity = self._read_identity() if self.resume else None
            # Offline there is nothing to resume: what `wandb sync` sends is joined by its identity.
            again: Literal["allow"] | None = "allow" if identity and self.mode == "online" else None
            if identity is None:
                identity = secrets.token_hex(4)
                write_whole(self.folder / RUN_ID, identity)
            mode: Literal["online", "offline"] = "online" if self.mode == "online" else "offline"
            try:
                # For the whole process: the mode of a run does not keep wandb's own telemetry from the network.
                wandb.setup(wandb.Settings(mode=mode, **QUIET))
                self._run = wandb.init(
                    project="longplay",
                    id=identity,
                    dir=self.folder,
                    name=self.folder.name,
                    job_type=self.job,
                    config=self.config,
                    mode=mode,
                    settings=wandb.Settings(**QUIET),
                    resume=again,
                )
            except wandb.errors.Error as error:
                reason = str(error).strip().split("\n")[0]
                raise ValueError(
                    f"track = {self.mode!r}: {reason}; log in with wandb login, or give --track offline"
                ) from error
        return self

    def _read_identity(self) -> str | None:
        file = self.folder / RUN_ID
        return file.read_text(encoding="utf-8").strip() or None if file.is_file() else None

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

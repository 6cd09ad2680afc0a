"""Several trainings side by side, each in a process of its own; what was interrupted is taken up again."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from longplay.agents.setup import RunConfig
from longplay.agents.training import CHECKPOINT
from longplay.scripts.common import console, run_name

SCRIPTS = Path(__file__).parent


@dataclass(frozen=True)
class Job:
    """One training."""

    name: str
    config: RunConfig


def train_all(jobs: Sequence[Job], workers: int, track: str) -> None:
    """Run the trainings, some side by side; none outlives this call."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    waiting = list(jobs)
    running: dict[subprocess.Popen[bytes], str] = {}
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("trainings", total=len(jobs))
            while waiting or running:
                while waiting and len(running) < workers:
                    job = waiting.pop(0)
                    running[start(job, track)] = job.name
                time.sleep(0.2)
                for process in [p for p in running if p.poll() is not None]:
                    name = running.pop(process)
                    if process.returncode:
                        raise ValueError(f"training {name} failed; its output is in {run_name(name)}/log.txt")
                    last = (run_name(name) / "log.txt").read_text(encoding="utf-8").strip().splitlines()[-1]
                    progress.console.print(f"{name}: {last.split(';')[0]}")
                    progress.advance(task)
    finally:
        for process in running:
            process.terminate()


def start(job: Job, track: str) -> subprocess.Popen[bytes]:
    """Start one training, or go on with it if a checkpoint of the same configuration is there."""
    folder, config = run_name(job.name), job.config
    command = [sys.executable, str(SCRIPTS / "train.py"), "--name", job.name, "--track", track]
    begun = folder / "config.json"
    if begun.exists() and (folder / CHECKPOINT).exists() and RunConfig.from_json(begun) == config:
        command += ["--resume"]
    else:
        settings = {key: value for key, value in asdict(config).items() if key != "setting"} | asdict(config.setting)
        command += ["--overwrite", *(word for key, value in settings.items() for word in option(key, value))]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment())


def option(name: str, value: object) -> list[str]:
    """The words that give a script one of its options."""
    name = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [] if value is None else [f"--{name}", str(value)]


def environment() -> dict[str, str]:
    """One thread for each training, and no spinning: idle OpenMP threads would take the cores from the others."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "GOMP_SPINCOUNT": "0"}

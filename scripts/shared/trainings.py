"""Several trainings side by side, each in a process of its own; what was interrupted is taken up again."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.presets import NONE
from longplay.agents.runs.progress import CHECKPOINT, FINISHED
from longplay.envs.shared.files import write_whole
from longplay.scripts.shared.console import console, make_progress
from longplay.scripts.shared.folders import run_folder
from longplay.scripts.shared.processes import ask_to_stop, has_ended, start_child, wait_for_end

SCRIPTS = Path(__file__).parents[1]
COST = "cost.json"


@dataclass(frozen=True)
class Training:
    """One training."""

    name: str
    config: RunConfig


def train_all(trainings: Sequence[Training], workers: int, track: str) -> None:
    """Run the trainings that are not finished, some side by side; none outlives this call, or this process."""
    waiting = [training for training in trainings if not is_finished(training)]
    if len(waiting) < len(trainings):
        console.print(f"{len(trainings) - len(waiting)} of {len(trainings)} trainings were finished before")
    running: dict[subprocess.Popen[bytes], tuple[str, float]] = {}
    try:
        with make_progress(count=True) as progress:
            task = progress.add_task("trainings", total=len(trainings), completed=len(trainings) - len(waiting))
            while waiting or running:
                while waiting and len(running) < workers:
                    training = waiting.pop(0)
                    running[start_training(training, track)] = training.name, time.monotonic()
                time.sleep(0.2)
                for process in list(running):
                    before = _measure_child_seconds()
                    if not has_ended(process):
                        continue
                    name, start = running.pop(process)
                    add_cost(run_folder(name), _measure_child_seconds() - before, time.monotonic() - start)
                    if process.returncode:
                        raise ValueError(f"training {name} failed; its output is in {run_folder(name)}/log.txt")
                    said = (run_folder(name) / "log.txt").read_text(encoding="utf-8", errors="replace")
                    last = said.strip().splitlines()[-1]
                    progress.console.print(f"{name}: {last.split(';')[0]}")
                    progress.advance(task)
    finally:
        for process in running:
            ask_to_stop(process)
        for process, (name, start) in running.items():
            before = _measure_child_seconds()
            wait_for_end(process)
            add_cost(run_folder(name), _measure_child_seconds() - before, time.monotonic() - start)


def is_finished(training: Training) -> bool:
    """Whether a training of this very configuration has come to its end."""
    folder = run_folder(training.name)
    config, end = folder / "config.json", folder / FINISHED
    if not config.is_file() or not end.is_file() or RunConfig.from_json(config) != training.config:
        return False
    return bool(json.loads(end.read_text(encoding="utf-8"))["step"] >= training.config.steps)


def _measure_child_seconds() -> float:
    """CPU seconds of the processes that this one has started and that have ended; NaN where the system doesn't tell."""
    times = os.times()
    return float("nan") if os.name == "nt" else times.children_user + times.children_system


def add_cost(folder: Path, cpu: float, wall: float) -> None:
    """Add to what a training has taken, start of the process and interruptions included [s]; NaN is unknown."""
    file = folder / COST
    cost = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"cpu": 0.0, "wall": 0.0}
    write_whole(file, json.dumps({"cpu": cost["cpu"] + cpu, "wall": cost["wall"] + wall}))


def start_training(training: Training, track: str) -> subprocess.Popen[bytes]:
    """Start one training, or go on with it if a checkpoint of the same configuration is there."""
    folder, config = run_folder(training.name), training.config
    command = [sys.executable, str(SCRIPTS / "train.py"), "--name", training.name, "--track", track]
    earlier = folder / "config.json"
    if earlier.exists() and (folder / CHECKPOINT).exists() and RunConfig.from_json(earlier) == config:
        command += ["--resume"]
    else:
        for name in (COST, FINISHED):  # of another run
            (folder / name).unlink(missing_ok=True)
        # A training that begins has the latest arithmetic: there is no word for it.
        settings = {k: v for k, v in asdict(config).items() if k not in ("setting", "arithmetic")}
        settings |= asdict(config.setting)
        # Nothing but the configuration counts, so no preset.
        command += ["--preset", NONE, "--overwrite"]
        command += [word for key, value in settings.items() for word in make_words(key, value)]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("ab" if "--resume" in command else "wb") as log:
        return start_child(command, log, make_environment())


def make_words(name: str, value: object) -> list[str]:
    """The words that give a script one of its options."""
    if isinstance(value, Mapping):
        return [word for key, inner in value.items() for word in make_words(f"{name}.{key}", inner)]
    group, dot, name = name.replace("_", "-").rpartition(".")
    if isinstance(value, bool):
        return [f"--{group}{dot}{'' if value else 'no-'}{name}"]
    values = value if isinstance(value, tuple) else () if value is None else (value,)
    return [f"--{group}{dot}{name}", *map(str, values)] if values else []


def make_environment() -> dict[str, str]:
    """One thread for each training, and no spinning: idle OpenMP threads would take the cores from the others.

    What it prints into a file is UTF-8, whatever the terminal's encoding.
    """
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "GOMP_SPINCOUNT": "0"}
    return {**os.environ, "PYTHONIOENCODING": "utf-8", **threads}

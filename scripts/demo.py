"""The whole story on two cores: encode real films, train PPO and its γ = 0 twin with three seeds each, compare.

    make demo            (or: python scripts/demo.py)

One PPO is also trained in the control, where looking ahead cannot pay and nobody can beat the taste oracle.
Writes runs/demo and runs/demo/control: report.html, results.parquet, config.toml, and the trained policies. What an
interrupted demo had finished or begun is taken up again.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from longplay.agents.names import one_of
from longplay.agents.setup import RunConfig, Setting
from longplay.agents.tracking import MODES
from longplay.agents.training import CHECKPOINT
from longplay.scripts.common import command_line, console, prepare, run_name

SCRIPTS = Path(__file__).parent
COMPARED = "compare.txt"


@dataclass(frozen=True)
class Job:
    """One training."""

    name: str
    config: RunConfig


@dataclass
class Arguments:
    """Encode, train, compare."""

    name: str = "demo"
    """Folder below runs/."""
    seeds: int = 3
    """Training seeds of each method."""
    steps: int = RunConfig.steps
    """Slates that each training learns from."""
    users: int = 500
    """Test users of the comparison."""
    workers: int = 2
    """Trainings side by side, one thread each."""
    track: str = "offline"
    """Weights & Biases: online, offline or off."""


def main(args: Arguments) -> None:
    """Run the three parts."""
    one_of("track", args.track, MODES)
    for name in ("seeds", "steps", "users", "workers"):
        if getattr(args, name) < 1:
            raise ValueError(f"{name} = {getattr(args, name)} must be at least 1")
    run_name(args.name)
    started = time.monotonic()
    console.rule("1. Real films through a real BERT")
    prepare(Setting(), counts=True)
    console.rule("2. PPO, and the same PPO that does not look ahead (γ = 0)")
    ahead, myopic = RunConfig(steps=args.steps), RunConfig(steps=args.steps, gamma=0.0)
    control = RunConfig(Setting(env="longplay/Control-v0"), steps=args.steps)
    jobs = [
        Job(f"{args.name}/{kind}-{seed}", replace(config, seed=seed))
        for seed in range(args.seeds)
        for kind, config in (("ppo", ahead), ("myopic", myopic))
    ]
    train_all([*jobs, Job(f"{args.name}/control/ppo-0", control)], args)
    console.rule("3. Everyone on the same test users with the same luck")
    runs = [job.name for job in jobs]
    # Half the users do for the control, where the oracle is far ahead; lives are longer there, so it takes as long.
    half = replace(args, users=(args.users + 1) // 2)
    control_run = compare(f"{args.name}/control", [f"{args.name}/control/ppo-0"], control.setting.env, half)
    main_run = compare(args.name, runs, ahead.setting.env, args)
    with console.status("rules are tuned on validation users, then all policies play"):
        for process in (control_run, main_run):
            process.wait()
    finish(control_run, f"{args.name}/control", "The control: nothing shown now changes anything later")
    finish(main_run, args.name, "The comparison")
    console.print(f"done in {(time.monotonic() - started) / 60:.1f} minutes")


def compare(name: str, runs: Sequence[str], env: str, args: Arguments) -> subprocess.Popen[bytes]:
    """Start scripts/compare.py; what it prints goes to a file, so that two can run side by side."""
    command = ["--name", name, "--env", env, "--users", str(args.users), "--track", args.track, "--runs", *runs]
    with (run_name(name) / COMPARED).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, str(SCRIPTS / "compare.py"), *command],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment() | {"COLUMNS": "80"},
        )


def finish(process: subprocess.Popen[bytes], name: str, title: str) -> None:
    """Show what a comparison printed."""
    console.rule(title)
    console.print((run_name(name) / COMPARED).read_text(encoding="utf-8"), markup=False, soft_wrap=True)
    if process.returncode:
        raise ValueError(f"the comparison {name} failed; see above")


def train_all(jobs: Sequence[Job], args: Arguments) -> None:
    """Run the trainings, some side by side."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    waiting = list(jobs)
    running: dict[subprocess.Popen[bytes], str] = {}
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("trainings", total=len(jobs))
        while waiting or running:
            while waiting and len(running) < args.workers:
                job = waiting.pop(0)
                running[start(job, args)] = job.name
            time.sleep(0.2)
            for process in [p for p in running if p.poll() is not None]:
                name = running.pop(process)
                if process.returncode:
                    for other in running:
                        other.terminate()
                    raise ValueError(f"training {name} failed; its output is in {run_name(name)}/log.txt")
                last = (run_name(name) / "log.txt").read_text(encoding="utf-8").strip().splitlines()[-1]
                progress.console.print(f"{name}: {last.split(';')[0]}")
                progress.advance(task)


def start(job: Job, args: Arguments) -> subprocess.Popen[bytes]:
    """Start one training, or go on with it if a checkpoint of the same configuration is there."""
    folder, config = run_name(job.name), job.config
    command = [sys.executable, str(SCRIPTS / "train.py"), "--name", job.name, "--track", args.track]
    begun = folder / "config.json"
    if begun.exists() and (folder / CHECKPOINT).exists() and RunConfig.from_json(begun) == config:
        command += ["--resume"]
    else:
        settings = {"env": config.setting.env, "gamma": config.gamma, "seed": config.seed, "steps": config.steps}
        command += ["--overwrite", *(text for key, value in settings.items() for text in (f"--{key}", str(value)))]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment())


def environment() -> dict[str, str]:
    """One thread for each training, and no spinning: idle OpenMP threads would take the cores from the others."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "GOMP_SPINCOUNT": "0"}


if __name__ == "__main__":
    command_line(main, Arguments)

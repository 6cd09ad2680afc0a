"""The whole story on two cores: encode real films, train PPO, SlateQ and their γ = 0 twins, compare.

    make demo            (or: python scripts/demo.py)

One PPO is also trained in the control, where looking ahead cannot pay and nobody can beat the taste oracle.
Writes runs/demo and runs/demo/control: report.html, results.parquet, config.toml, and the trained policies. What an
interrupted demo had finished or begun is taken up again.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from longplay.agents.runs.config import RunConfig
from longplay.agents.setting import Setting
from longplay.envs.shared.names import one_of
from longplay.scripts.shared.console import console, load_world, run_command
from longplay.scripts.shared.folders import run_folder
from longplay.scripts.shared.tracking import MODES
from longplay.scripts.shared.trainings import SCRIPTS, Training, make_environment, train_all

COMPARED = "compare.txt"
SLATEQ_SHARE = 3  # it learns from a third of PPO's slates: what is chosen from each tells it more


@dataclass
class Arguments:
    """Encode, train, compare."""

    name: str = "demo"
    """Folder below runs/."""
    seeds: int = 3
    """Training seeds of each method."""
    steps: int = RunConfig.steps
    """Slates that each training of PPO learns from; SlateQ takes a third."""
    users: int = 500
    """Test users of the comparison."""
    workers: int = 2
    """Trainings side by side, one thread each."""
    track: str = "offline"
    """Tracking by Weights & Biases: online, offline or off."""


def main(args: Arguments) -> None:
    """Run the three parts."""
    one_of("track", args.track, MODES)
    for name in ("seeds", "steps", "users", "workers"):
        if getattr(args, name) < 1:
            raise ValueError(f"{name} = {getattr(args, name)} must be at least 1")
    run_folder(args.name)
    started = time.monotonic()
    console.rule("1. Real films through a real BERT")
    load_world(Setting(), show_cleaning=True)
    console.rule("2. PPO and SlateQ, and the same agents not looking ahead (γ = 0)")
    ahead = RunConfig(steps=args.steps)
    slateq = RunConfig(agent="slateq", gamma=0.99, steps=max(args.steps // SLATEQ_SHARE, 1))
    kinds = {"ppo": ahead, "myopic": replace(ahead, gamma=0.0)}
    kinds |= {"slateq": slateq, "slateq-myopic": replace(slateq, gamma=0.0)}
    control = RunConfig(Setting(env="longplay/Control-v0"), steps=args.steps)
    trainings = [
        Training(f"{args.name}/{kind}-{seed}", replace(config, seed=seed))
        for seed in range(args.seeds)
        for kind, config in kinds.items()
    ]
    train_all([*trainings, Training(f"{args.name}/control/ppo-0", control)], args.workers, args.track)
    console.rule("3. Everyone on the same test users with the same luck")
    runs = [training.name for training in trainings]
    # Half the users do for the control, where the oracle is far ahead; lives are longer there, so it takes as long.
    half = replace(args, users=(args.users + 1) // 2)
    control_run = start_comparison(f"{args.name}/control", [f"{args.name}/control/ppo-0"], control.setting.env, half)
    main_run = start_comparison(args.name, runs, ahead.setting.env, args)
    with console.status("rules are tuned on validation users, then all policies play"):
        for process in (control_run, main_run):
            process.wait()
    print_comparison(control_run, f"{args.name}/control", "The control: nothing shown now changes anything later")
    print_comparison(main_run, args.name, "The comparison")
    console.print(f"done in {(time.monotonic() - started) / 60:.1f} minutes")


def start_comparison(name: str, runs: Sequence[str], env: str, args: Arguments) -> subprocess.Popen[bytes]:
    """Start scripts/compare.py; what it prints goes to a file, so that two can run side by side."""
    command = ["--name", name, "--env", env, "--users", str(args.users), "--track", args.track, "--runs", *runs]
    with (run_folder(name) / COMPARED).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, str(SCRIPTS / "compare.py"), *command],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=make_environment() | {"COLUMNS": "80", "PYTHONIOENCODING": console.encoding},  # as it will be shown
        )


def print_comparison(process: subprocess.Popen[bytes], name: str, title: str) -> None:
    """Show what a comparison printed."""
    console.rule(title)
    said = (run_folder(name) / COMPARED).read_text(encoding=console.encoding, errors="replace")
    console.print(said, markup=False, soft_wrap=True)
    if process.returncode:
        raise ValueError(f"the comparison {name} failed; see above")


if __name__ == "__main__":
    run_command(main, Arguments)

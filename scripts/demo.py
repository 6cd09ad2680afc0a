"""The whole story on two cores: encode real films, train PPO, SlateQ and their γ = 0 twins, compare.

    make demo            (or: python scripts/demo.py)

One PPO is also trained in the control, where looking ahead cannot pay and nobody can beat the taste oracle.
Writes runs/demo and runs/demo/control: report.html, results.parquet, config.toml, and the trained policies. What an
interrupted demo had finished or begun is taken up again; what is finished is shown as it was, until code or trainings
change.
"""

import hashlib
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from longplay.agents.rules.kept import digest_code
from longplay.agents.runs.config import RunConfig
from longplay.agents.setting import Setting
from longplay.envs.shared.files import write_whole
from longplay.scripts.shared.claims import claim, share_claims
from longplay.scripts.shared.console import console, load_world, run_command
from longplay.scripts.shared.folders import run_folder
from longplay.scripts.shared.processes import ask_to_stop, start_child, wait_for_end
from longplay.scripts.shared.tracking import check_tracking
from longplay.scripts.shared.trainings import SCRIPTS, Training, make_environment, train_all

COMPARED, COMPARED_STAMP = "compare.txt", "compare.sha256"
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
    """Trainings side by side, one thread each, and threads of each comparison."""
    track: str = "offline"
    """Tracking by Weights & Biases: online, offline or off."""


def main(args: Arguments) -> None:
    """Run the three parts."""
    check_tracking(args.track)
    for name in ("seeds", "steps", "users", "workers"):
        if getattr(args, name) < 1:
            raise ValueError(f"{name} = {getattr(args, name)} must be at least 1")
    claim(run_folder(args.name))
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
    compare_all(
        [
            Comparison(f"{args.name}/control", control.setting.env, (f"{args.name}/control/ppo-0",), half),
            Comparison(args.name, ahead.setting.env, tuple(runs), args),
        ]
    )
    titles = {f"{args.name}/control": "The control: nothing shown now changes anything later"}
    for name, title in (titles | {args.name: "The comparison"}).items():
        console.rule(title)
        print_comparison(name)
    console.print(f"done in {(time.monotonic() - started) / 60:.1f} minutes")


@dataclass(frozen=True)
class Comparison:
    """One call of scripts/compare.py; what it prints goes to a file, so that two can run side by side."""

    name: str
    env: str
    runs: tuple[str, ...]
    args: Arguments

    @property
    def words(self) -> list[str]:
        """Of its command line."""
        users, track = str(self.args.users), self.args.track
        words = ["--name", self.name, "--env", self.env, "--users", users, "--track", track, "--overwrite"]
        return [*words, "--workers", str(self.args.workers), "--runs", *self.runs]

    def compute_stamp(self) -> str:
        """Digest of what it depends on: words, policies, the package's code, and how it is to be shown."""
        digest = hashlib.sha256("\n".join([*self.words, console.encoding, digest_code()]).encode())
        policies = [run_folder(run) / name for run in self.runs for name in ("config.json", "policy.safetensors")]
        for file in policies:
            digest.update(hashlib.sha256(file.read_bytes() if file.is_file() else b"").digest())
        return digest.hexdigest()

    def is_finished(self) -> bool:
        """Whether it has come to its end as it would now."""
        stamp = run_folder(self.name) / COMPARED_STAMP
        return stamp.is_file() and stamp.read_text(encoding="utf-8") == self.compute_stamp()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process."""
        command = [sys.executable, str(SCRIPTS / "compare.py"), *self.words]
        shown = {"COLUMNS": "80", "PYTHONIOENCODING": console.encoding}
        environment = make_environment() | share_claims() | shown
        with (run_folder(self.name) / COMPARED).open("wb") as log:
            return start_child(command, log, environment)


def compare_all(comparisons: Sequence[Comparison]) -> None:
    """Make the comparisons that are not finished, side by side; none outlives this call, or this process."""
    missing = [comparison for comparison in comparisons if not comparison.is_finished()]
    if len(missing) < len(comparisons):
        console.print(f"{len(comparisons) - len(missing)} of {len(comparisons)} comparisons were finished before")
    running: list[tuple[Comparison, str, subprocess.Popen[bytes]]] = []
    try:
        for comparison in missing:
            running.append((comparison, comparison.compute_stamp(), comparison.start()))
        with console.status("rules are tuned on validation users, then all policies play"):
            for comparison, stamp, process in running:
                if process.wait():
                    print_comparison(comparison.name)
                    raise ValueError(f"the comparison {comparison.name} failed; see above")
                write_whole(run_folder(comparison.name) / COMPARED_STAMP, stamp)
    finally:
        for _, _, process in running:
            ask_to_stop(process)
        for _, _, process in running:
            wait_for_end(process)


def print_comparison(name: str) -> None:
    """Show what a comparison printed."""
    said = (run_folder(name) / COMPARED).read_text(encoding=console.encoding, errors="replace")
    console.print(said, markup=False, soft_wrap=True)


if __name__ == "__main__":
    run_command(main, Arguments)

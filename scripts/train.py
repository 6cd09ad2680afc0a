"""Train an agent on simulated users, with evaluations on validation users on the way.

    python scripts/train.py --name my-ppo --gamma 0.95 --seed 0
    python scripts/train.py --name my-ppo --resume          # after an interruption: continues to the same curve
    python scripts/train.py --agent slateq --help           # the options of another agent
    python scripts/train.py --name my-slateq --agent slateq --options.polyak 0.05 --env longplay/News-v0

Defaults are those of the agent's preset, where it has one: settings that scripts/tune.py found. Flags override them.

Writes runs/NAME: config.json, the best policy on the validation users (policy.safetensors), curve.csv, a checkpoint,
and in the end finished.json.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pandas as pd
import tyro

from longplay.agents.playing.evaluate import held_out_users
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.presets import DEFAULT, configure_run
from longplay.agents.runs.progress import CHECKPOINT, CURVE, count_slates
from longplay.agents.runs.training import train
from longplay.agents.setting import Setting
from longplay.encoders.text.components import measure_recall
from longplay.envs.shared.notices import say_once
from longplay.envs.shared.options import find_changes
from longplay.scripts.shared.claims import claim
from longplay.scripts.shared.console import console, load_world, make_progress, run_command
from longplay.scripts.shared.folders import run_folder
from longplay.scripts.shared.tracking import Tracker, check_tracking
from longplay.scripts.shared.trainings import Training, is_finished

OF_RESUMPTION = ("--name", "--resume", "--track", "--device")


@dataclass
class Arguments:
    """Train a policy."""

    name: str
    """Folder below runs/ that the run is written to."""
    run: tyro.conf.OmitArgPrefixes[RunConfig] = field(default_factory=RunConfig)
    options: Any = None
    """The agent's own settings."""
    preset: str = DEFAULT
    """Settings that flags override: default (those that come with the package, if any), none, or a TOML file of
    scripts/tune.py."""
    resume: bool = False
    """Continue the run NAME from its checkpoint; its own configuration is used."""
    overwrite: bool = False
    """Start again although NAME exists."""
    track: str = "offline"
    """Tracking by Weights & Biases: online, offline or off."""

    @classmethod
    def defaults(cls, words: Sequence[str]) -> Self:
        """What holds unless other words say otherwise, given the agent, the environment and the preset."""
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        for name, value in (("agent", RunConfig.agent), ("action", ""), ("env", Setting.env), ("preset", DEFAULT)):
            parser.add_argument(f"--{name}", nargs="?", default=value, const=value)  # that a word is missing, tyro says
        named = parser.parse_known_args(words)[0]
        run = configure_run(named.agent, named.action, named.env, named.preset)
        return cls(tyro.MISSING, run, run.agent_options)


def main(args: Arguments) -> None:
    """Train, or go on."""
    check_tracking(args.track)
    folder = run_folder(args.name)
    config = replace(args.run, options=find_changes(args.options))
    if config.learning_rate != RunConfig.learning_rate and not config.entry.takes_learning_rate:
        raise ValueError(
            f"learning_rate = {config.learning_rate} would change nothing: {config.agent!r} has its own among its "
            "options; leave out --learning-rate"
        )
    if args.resume:
        check_resumption(args)
        config = RunConfig.from_json(folder / "config.json")
    if not args.resume and not args.overwrite and (folder / "config.json").exists():
        raise ValueError(
            f"{folder} exists; give --resume to continue it, --overwrite to start again, or another --name"
        )
    if args.resume and is_finished(Training(args.name, config)):
        print_best(pd.read_csv(folder / CURVE), folder)
        return
    held_out_users(config.setting.world, "validation", config.eval_users, field="eval_users")
    claim(folder)
    console.print(f"{folder}: {config.label}, seed {config.seed}, {config.steps:,} steps")
    load_world(config.setting)
    if config.dimensions:
        say_what_is_kept(config)
    with (
        Tracker(args.track, folder, "train", {**asdict(config), "label": config.label}, args.resume) as tracker,
        make_progress(count=True, remaining=True, note=True) as progress,
    ):
        task = progress.add_task("training", total=config.steps, note="")

        def report(row: Mapping[str, float]) -> None:
            step = int(row["step"])
            progress.update(task, completed=min(step, config.steps))
            if "minutes" in row:
                progress.update(task, note=f"validation {row['minutes']:.0f} min")
                progress.console.print(
                    f"step {step:>9,}  validation {row['minutes']:6.1f} min, {row['churned']:.0%} churned"
                )
                tracker.log({f"validation/{key}": value for key, value in row.items() if key != "step"}, step=step)

        curve = train(config, folder, args.resume, report)
        files: list[Path] = [folder / name for name in ("policy.safetensors", "policy.json", "config.json", CURVE)]
        tracker.artifact(f"policy-{args.name}", "model", files)
    console.print(f"learnt from {count_slates(folder):,} slates, {config.steps:,} were asked for: rounds are whole")
    print_best(curve, folder)


def say_what_is_kept(config: RunConfig) -> None:
    """How much of the order of the item vectors is left in fewer dimensions."""
    whole, fewer = config.setting.item_vectors, config.setting.project_vectors(config.dimensions)
    if fewer is whole:
        console.print(
            f"dimensions = {config.dimensions}: the item vectors have {whole.shape[1]}, and are read as they are"
        )
        return
    kept = measure_recall(whole, fewer)
    console.print(f"{fewer.shape[1]} of {whole.shape[1]} dimensions keep {kept:.0%} of each item's ten nearest ones")


def check_resumption(args: Arguments) -> None:
    """Refuse what contradicts going on, and say what changes nothing then."""
    if args.overwrite:
        raise ValueError("--resume goes on with a run, --overwrite starts it again; give one of them")
    given = [word.partition("=")[0] for word in sys.argv[1:] if word.startswith("--")]
    if ignored := [word for word in dict.fromkeys(given) if word not in OF_RESUMPTION]:
        say_once(f"--resume goes on with the run's own configuration; not heeded: {', '.join(ignored)}")


def print_best(curve: pd.DataFrame, folder: Path) -> None:
    """The point of the curve whose policy was kept."""
    best = curve.sort_values("minutes").iloc[-1]
    # On one line however narrow the terminal: the demo reads it.
    console.print(
        f"best: {best['minutes']:.1f} validation minutes at step {int(best['step']):,}; {folder}/{CHECKPOINT} kept",
        soft_wrap=True,
    )


if __name__ == "__main__":
    run_command(main, Arguments)

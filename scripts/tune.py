"""Search an agent's settings: trainings with proposed settings, those that fall behind given up, the best written down.

    python scripts/tune.py --name slateq-video --agent slateq --trials 40 --steps 150000 --workers 2
    python scripts/train.py --name my-slateq --agent slateq --preset runs/slateq-video/preset.toml

The first trial has the defaults; further ones are proposed by a tree-structured Parzen estimator. A trial counts by the
most minutes of validation users at any evaluation, and is pruned if its best so far is below the median of what others
had at the same evaluation. How far the agent looks ahead is searched too, over 5 to 500 slates, or fixed by --gamma;
not for ars, which knows the month or the slate alone.

Writes runs/NAME: journal.log (an Optuna study), trial-*/ (each a run, as scripts/train.py writes it), trials.csv,
preset.toml. Interrupted, the same command goes on, with the trials that had begun first; more --trials may be added.
"""

import shlex
import sys
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import tyro

from longplay.agents.playing.evaluate import held_out_users
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.presets import write_preset
from longplay.agents.runs.search import SettingsSearch, TrialState, run_trial
from longplay.agents.runs.spaces import make_run_space
from longplay.agents.setting import Setting
from longplay.envs.named.registry import ENVIRONMENTS
from longplay.envs.shared.files import write_whole
from longplay.scripts.shared.console import console, load_world, make_progress, run_command
from longplay.scripts.shared.folders import record_study, run_folder
from longplay.scripts.shared.pool import is_stopped, make_stop, open_pool
from longplay.scripts.shared.tables import make_table

TRAINING = ("agent", "action", "state", "scores", "steps", "num_envs", "eval_users", "evals", "seed")


@dataclass
class Arguments:
    """Search settings."""

    name: str
    """Folder below runs/."""
    agent: str = RunConfig.agent
    """Agent whose settings are searched; see scripts/train.py."""
    action: str = ""
    """Action of a stable-baselines3 agent; by default its first."""
    setting: tyro.conf.OmitArgPrefixes[Setting] = field(default_factory=Setting)
    state: str = RunConfig.state
    """Encoder of the states; see scripts/train.py."""
    scores: tuple[str, ...] = ()
    """Folders of fitted encoders or rules whose scores are further features of candidates."""
    gamma: float | None = None
    """Fix the discount; by default it is searched (of ars it is not, but stays as it is)."""
    trials: int = 40
    """Trainings in all, with those of earlier calls."""
    steps: int = 150_000
    """Slates that each training learns from."""
    num_envs: int = RunConfig.num_envs
    """Users at a time in training."""
    eval_users: int = RunConfig.eval_users
    """Validation users."""
    evals: int = RunConfig.evals
    """Evaluations of each training, at which it may be pruned."""
    prune: bool = True
    """Give up trainings that fall behind."""
    workers: int = 1
    """Trainings side by side, one process each; with 1 the same seed gives the same search."""
    seed: int = 0
    """Seed of the proposals and of every training."""


def main(args: Arguments) -> None:
    """Propose, train, report."""
    for name in ("trials", "workers"):
        if getattr(args, name) < 1:
            raise ValueError(f"{name} = {getattr(args, name)} must be at least 1")
    folder = run_folder(args.name)
    fields = {name: getattr(args, name) for name in TRAINING}
    config = RunConfig(setting=args.setting, **fields, gamma=RunConfig.gamma if args.gamma is None else args.gamma)
    held_out_users(config.setting.world, "validation", config.eval_users, field="eval_users")
    about = {name: value for name, value in asdict(args).items() if name not in ("name", "trials", "workers")}
    record_study(folder, about | {"action": config.action, "scores": list(config.scores)})
    load_world(config.setting)
    search = SettingsSearch(folder, config, make_run_space(config, args.gamma is None), args.seed)
    console.print(f"{folder}: {config.agent} {config.action}, searched are {', '.join(search.space)}", soft_wrap=True)
    try:
        run_trials(search, args)
    finally:
        write_whole(folder / "trials.csv", search.study.trials_dataframe().to_csv(index=False))
    report_trials(search, folder, ENVIRONMENTS[config.setting.env].scenario)


def run_trials(search: SettingsSearch, args: Arguments) -> None:
    """Train the trials that are missing, some side by side; interrupted, the workers stop at their next slates."""
    stop = make_stop()
    pool = open_pool(args.workers, stop)
    running: dict[Future[float | None], int] = {}
    try:
        with make_progress(note=True) as progress:
            task = progress.add_task("trials", total=args.trials * args.evals, note="")
            while True:
                while len(running) < args.workers and (number := search.next(args.trials)) is not None:
                    config = asdict(search.propose(number))
                    running[pool.submit(run_worker_trial, search.folder, number, config, args.prune)] = number
                if not running:
                    break
                for future in wait(running, timeout=1.0, return_when=FIRST_COMPLETED).done:
                    progress.console.print(record_outcome(search, running.pop(future), future), soft_wrap=True)
                completed, note = count_evaluations(search, args.evals), describe_progress(search, args.trials)
                progress.update(task, completed=completed, note=note)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def record_outcome(search: SettingsSearch, number: int, future: "Future[float | None]") -> str:
    """Tell the study what came of a trial; returns it in words."""
    try:
        minutes = future.result()
    except BrokenExecutor as error:
        raise ValueError(
            f"trial {number}: its process ended, perhaps for want of memory; give fewer --workers"
        ) from error
    except (ArithmeticError, RuntimeError, ValueError) as error:
        search.fail(number)
        return f"trial {number}: failed, {error}"
    search.tell(number, minutes)
    return f"trial {number}: " + ("pruned" if minutes is None else f"{minutes:.1f} validation minutes")


def count_evaluations(search: SettingsSearch, evals: int) -> int:
    """How many have been done or need not be."""
    return sum(
        len(trial.intermediate_values) if trial.state == TrialState.RUNNING else evals for trial in search.trials()
    )


def describe_progress(search: SettingsSearch, trials: int) -> str:
    """How far the search is."""
    ended = search.trials(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    values = [trial.value for trial in search.trials(TrialState.COMPLETE) if trial.value is not None]
    return f"{len(ended)}/{trials}" + (f", best {max(values):.1f} min" if values else "")


@cache
def keep_setting(setting: Setting) -> Setting:
    """A setting whose world and vectors this process keeps."""
    return setting


def run_worker_trial(folder: Path, number: int, config: dict[str, Any], prune: bool) -> float | None:
    """One trial in a worker's process."""
    setting = keep_setting(Setting(**config["setting"]))

    def check_stop(row: Mapping[str, float]) -> None:
        if is_stopped():
            raise KeyboardInterrupt

    return run_trial(folder, number, RunConfig(**{**config, "setting": setting}), prune, check_stop)


def report_trials(search: SettingsSearch, folder: Path, scenario: str) -> None:
    """Show the trials, the best first, and write the preset."""
    columns = ("trial", "minutes", "", "settings that differ from the defaults")
    table = make_table(None, columns, "l", show_edge=True)
    trials = sorted(search.trials(), key=lambda trial: (trial.state != TrialState.COMPLETE, -(trial.value or 0.0)))
    for trial in trials:
        changed = search.find_changes(trial.number)
        words = [f"{key} {value:g}" for key, value in changed.items() if key != "options"]
        words += [f"{key} {value}" for key, value in changed.get("options", {}).items()]
        minutes = "" if trial.value is None else f"{trial.value:.1f}"
        table.add_row(str(trial.number), minutes, trial.state.name.lower(), ", ".join(words) or "none")
    console.print(table)
    command = shlex.join(["python", "scripts/tune.py", *sys.argv[1:]])
    write_preset(search.make_preset(scenario, command), folder / "preset.toml")
    console.print(f"settings of trial {search.best().number}: {folder / 'preset.toml'}", soft_wrap=True)


if __name__ == "__main__":
    run_command(main, Arguments)

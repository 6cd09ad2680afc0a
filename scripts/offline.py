"""Offline: log slates whose probabilities are known, estimate other policies from the log, learn from the log.

    python scripts/offline.py log --name soft --users 2000 --slates 10
    python scripts/offline.py estimate --name ope --log soft
    python scripts/offline.py learn --name iql --log soft --agent iql

`log` plays a Plackett–Luce policy over scoring features and writes a Minari dataset, the propensities beside it.
`estimate` compares what the log tells about targets ever further from the logger with what they earn when played:
estimate, interval, truth, error, effective sample size (ESS). Weights multiply along a life, so the ESS falls
exponentially with the slates: of a whole month nothing can be told. `learn` also takes logs of scripts/collect.py that
have candidates. All is written to runs/NAME.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tyro
from rich.progress import track

from longplay.agents.logs.propensities import PlackettLuce, make_weighted_score
from longplay.agents.offline.agent import OfflineConfig, save_agent
from longplay.agents.offline.data import log_lives, read_log, read_logged_setting, write_log
from longplay.agents.offline.evaluation import Evaluation, play_first_slates
from longplay.agents.offline.learning import learn
from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.luck import TRUTH_LUCK, VALIDATION_LUCK
from longplay.agents.runs.reading import Reading
from longplay.agents.setting import Setting
from longplay.agents.slates.inputs import SlateInputs
from longplay.agents.stats import bootstrap_difference
from longplay.envs.candidates.scoring import FEATURES, Scorer
from longplay.envs.shared.files import write_whole
from longplay.envs.shared.names import one_of
from longplay.scripts.shared.claims import claim
from longplay.scripts.shared.console import console, load_world, run_command, set_threads
from longplay.scripts.shared.folders import run_folder, write_table
from longplay.scripts.shared.tables import MARK, explain_labels, format_interval, make_table

CONFIG = "config.json"


@dataclass
class Log:
    """Log a Plackett–Luce policy on training users."""

    name: str
    """Folder below runs/ that the log is written to."""
    setting: tyro.conf.OmitArgPrefixes[Setting] = field(default_factory=Setting)
    users: int = 2000
    """Users who play, the first of the training split."""
    slates: int | None = None
    """Slates of each user that are logged, the first ones; by default those of the whole month."""
    weights: tuple[tuple[str, float], ...] = (("similarity", 1.0),)
    """Weights of scoring features standardised over the candidates: NAME VALUE …; the score is their weighted sum."""
    temperature: float = 1.0
    """Temperature above 0; slates are drawn in proportion to exp(score / temperature)."""
    seed: int = 0
    """Seed of the users' luck and of the policy's chance."""


@dataclass
class Estimate:
    """Estimate what target policies would earn, and compare with the truth."""

    name: str
    """Folder below runs/ for estimates.parquet."""
    log: str
    """Folder below runs/ that the job `log` wrote."""
    direction: str = "length"
    """The scoring feature whose weight grows from target to target."""
    distances: tuple[float, ...] = (0.1, 0.3, 1.0)
    """Amounts that are added to that weight, one target each; 0 is the logger."""
    horizons: tuple[int, ...] = (1, 3, 10)
    """Numbers of first slates whose minutes are estimated."""
    truth_users: int = 4000
    """Users who are played to know the truth."""
    resamples: int = 1000
    """Resamples of the bootstrap over users."""


@dataclass
class Learn:
    """Learn a policy from a log, and play it on validation users."""

    name: str
    """Folder below runs/ for the policy."""
    log: str
    """Folder below runs/ that the job `log` or scripts/collect.py wrote."""
    config: tyro.conf.OmitArgPrefixes[OfflineConfig] = field(default_factory=OfflineConfig)
    state: str = "pooled"
    """Encoder of the states: pooled, mean or text, or the folder of a fitted encoder."""
    eval_users: int = 200
    """Validation users who are played."""


@dataclass
class Arguments:
    """One of three jobs."""

    job: tyro.conf.OmitSubcommandPrefixes[tyro.conf.OmitArgPrefixes[Log | Estimate | Learn]]


def main(args: Arguments) -> None:
    """Do the job in a new folder."""
    folder = run_folder(args.job.name)
    if (folder / CONFIG).exists():
        raise ValueError(f"{folder} exists; give another --name")
    claim(folder)
    set_threads(1)
    jobs: dict[type[Any], Any] = {Log: log_policy, Estimate: estimate_targets, Learn: learn_policy}
    jobs[type(args.job)](args.job, folder)
    write_whole(folder / CONFIG, json.dumps(asdict(args.job), indent=1))


def check_at_least(job: Any, **least: int) -> None:
    """Refuse numbers that are too small; `least` by name of the field."""
    for name, low in least.items():
        values = getattr(job, name)
        for value in values if isinstance(values, tuple) else (values,):
            if value is not None and value < low:
                raise ValueError(f"{name} = {value} must be at least {low}")


def make_policy(setting: Setting, weights: dict[str, float], temperature: float, seed: int, name: str) -> PlackettLuce:
    """A Plackett–Luce policy over scoring features."""
    scorer = Scorer(setting.world, setting.item_vectors)
    return PlackettLuce(make_weighted_score(scorer, weights), scorer.slots, temperature, seed, name)


def log_policy(job: Log, folder: Path) -> None:
    """Play, and keep."""
    check_at_least(job, users=1, slates=1, seed=0)
    for name, _ in job.weights:
        one_of("weights", name, FEATURES)
    if not job.temperature > 0:
        raise ValueError(f"temperature = {job.temperature} must be above 0")
    setting, users = job.setting, held_out_users(job.setting.world, "train", job.users)
    load_world(setting)
    logger = make_policy(setting, dict(job.weights), job.temperature, job.seed, "Plackett–Luce")
    log = log_lives(setting.world, setting.item_vectors, logger, users, job.seed, job.slates)
    write_log(folder, log, setting, logger.name, job.seed)
    churned = log.churned.sum() / len(users)
    console.print(
        f"{len(users):,} users, {len(log.slates):,} slates, {log.minutes.mean():.2f} minutes a slate, {churned:.0%} "
        f"left for good; kept in {folder}",
        soft_wrap=True,
    )


def estimate_targets(job: Estimate, folder: Path) -> None:
    """Evaluate each target from the log and by playing it; print and keep."""
    check_at_least(job, horizons=1, truth_users=2, resamples=10)
    one_of("direction", job.direction, FEATURES)
    setting, logged = read_logged_setting(run_folder(job.log))
    if "weights" not in logged:
        raise ValueError(f"log = {job.log!r} has no propensities; log a policy with the job `log`")
    weights, most = dict(logged["weights"]), max(job.horizons)
    if logged["slates"] is not None and most > logged["slates"]:
        raise ValueError(f"horizons = {most} is out of range; the log {job.log!r} has {logged['slates']} slates a user")
    people = held_out_users(setting.world, "train", job.truth_users, field="truth_users")
    load_world(setting)
    log, scorer = read_log(run_folder(job.log)), Scorer(setting.world, setting.item_vectors)
    logger = make_policy(setting, weights, logged["temperature"], logged["seed"], "logger")
    tables = []
    for distance in track(job.distances, "targets", console=console, transient=True):
        moved = {**weights, job.direction: weights.get(job.direction, 0.0) + distance}
        target = make_policy(setting, moved, logged["temperature"], logged["seed"], f"{job.direction} {distance:+g}")
        truth = play_first_slates(setting.world, setting.item_vectors, target, people, TRUTH_LUCK, job.horizons)
        evaluation = Evaluation(log, logger, target, scorer, most)
        for slates, minutes in zip(job.horizons, truth.T, strict=True):
            rows = pd.DataFrame(tabulate_estimates(evaluation.estimates(slates), job.resamples))
            rows["truth"], rows["truth_error"] = minutes.mean(), minutes.std(ddof=1) / np.sqrt(len(minutes))
            tables.append(rows.assign(target=target.name, distance=distance, slates=slates))
    table = pd.concat(tables, ignore_index=True)
    table["error"] = table["estimate"] - table["truth"]
    write_table(table, folder / "estimates.parquet")
    print_estimates(table, f"Minutes of the first slates, from {len(log.user):,} users of the logger {weights}")


def tabulate_estimates(estimates: dict[str, tuple[Any, float]], resamples: int) -> list[dict[str, Any]]:
    """One row an estimator."""
    rows = []
    for name, (estimate, size) in estimates.items():
        interval = estimate.estimate_interval(resamples)
        row = {"estimator": name, "estimate": interval.mean, "low": interval.low, "high": interval.high}
        rows.append(row | {"ess": size})
    return rows


def print_estimates(table: pd.DataFrame, title: str) -> None:
    """Print the estimates, target by target."""
    lines = make_table(title, ("", "minutes", "95 % interval", "error", "ESS"), "LR")
    for _, group in table.groupby(["target", "slates"], sort=False):
        rows = group.to_dict("records")
        slates = rows[0]["slates"]
        lines.add_section()
        lines.add_row(f"{rows[0]['target']}, {slates} slate{'s' * (slates > 1)}: truth", f"{rows[0]['truth']:.2f}")
        for row in rows:
            missed = " " if row["low"] <= row["truth"] <= row["high"] else "*"
            lines.add_row(
                f"  {row['estimator']}",
                f"{row['estimate']:.2f}",
                f"{row['low']:.2f} to {row['high']:.2f}{missed}",
                f"{row['error']:+.2f}",
                f"{row['ess']:,.0f}" if row["ess"] > 0 else "",
            )
    console.print(lines)
    console.print(
        "* the interval misses the truth. It is of the log's chance alone: not of a wrong model (direct), nor of slots "
        "that are not independent; and below an ESS of about 30 no interval can be believed.",
        soft_wrap=True,
    )


def learn_policy(job: Learn, folder: Path) -> None:
    """Learn, keep, and play on validation users."""
    check_at_least(job, eval_users=1)
    setting, _ = read_logged_setting(run_folder(job.log))
    people = held_out_users(setting.world, "validation", job.eval_users, field="eval_users")
    log = read_log(run_folder(job.log))
    load_world(setting)
    inputs = SlateInputs(Scorer(setting.world, setting.item_vectors), Reading(setting, job.state).state_encoder)
    curve: list[dict[str, float]] = []

    def report(number: int, losses: dict[str, float]) -> None:
        curve.append({"update": number, **losses})
        text = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
        console.print(f"{number:,} of {job.config.updates:,} updates: {text}", soft_wrap=True)

    agent = learn(log, inputs, job.config, report)
    save_agent(agent, folder)
    write_table(pd.DataFrame(curve), folder / "curve.parquet")
    played = Evaluator(setting.world, setting.item_vectors, people, VALIDATION_LUCK).play(agent)
    played.attrs = {}
    write_table(played, folder / "users.parquet")
    minutes = bootstrap_difference(played["minutes"].to_numpy(), trained_once=True)
    console.print(
        f"{agent.name}: {format_interval(minutes, '.1f', mark=MARK)} minutes in the month of "
        f"{len(people):,} validation users, {played['minutes'].sum() / played['slates'].sum():.2f} a slate; the log "
        f"had {log.minutes.sum() / len(log.user):.1f} a user, {log.minutes.mean():.2f} a slate. Kept in {folder}. "
        f"{explain_labels([minutes], MARK)}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    run_command(main, Arguments)

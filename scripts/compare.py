"""Compare policies on the same held-out users with the same luck: table, intervals, retention, report.

    python scripts/compare.py --name first --runs my-ppo my-myopic-ppo
    python scripts/compare.py --name control --env longplay/Control-v0
    python scripts/compare.py --name more --rules similarity fatigue linucb als --rule-trials 20 --rules-folder rules

Rules are tuned on validation users, everything is played by test users. Writes runs/NAME: report.html (self-contained),
results.parquet (one row a policy, seed and user), config.toml. Both say what made the results, down to the options of
each rule, the versions of packages and the commit: ``pandas.read_parquet(...).attrs["origin"]``, and ``[origin]``.
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pandas as pd
import tyro
from rich.table import Table

import longplay
from longplay.agents.comparison.contestants import (
    group_runs,
    load_learned,
    make_references,
    play_contestants,
    tune_rules,
)
from longplay.agents.comparison.origin import describe_origin, make_plain
from longplay.agents.comparison.report import write_report, write_retention
from longplay.agents.comparison.summary import flatten_summary, summarise
from longplay.agents.playing.evaluate import held_out_users
from longplay.agents.references.linear import LinearOracle
from longplay.agents.rules.tuning import TRIALS, check_rules, list_quick_rules
from longplay.agents.setting import Setting
from longplay.scripts.shared.claims import claim
from longplay.scripts.shared.console import console, load_world, make_progress, run_command
from longplay.scripts.shared.folders import run_folder, write_table, write_toml
from longplay.scripts.shared.tables import MARK, explain_labels, format_interval, make_table
from longplay.scripts.shared.tracking import Tracker, check_tracking

RESULTS = "results.parquet"


@dataclass
class Arguments:
    """Compare policies."""

    name: str
    """Folder below runs/ that the comparison is written to."""
    runs: tuple[str, ...] = ()
    """Names of training runs; those that differ in the seed alone are one method."""
    rules: tuple[str, ...] | None = None
    """Rules that take part, or nothing for none; by default the quick ones that the environment offers, beside which
    there are linucb, lints, personal-linucb, personal-lints, user-knn, item-knn, als, tower-heads and lightgcn."""
    rule_trials: int = TRIALS
    """Options that are tried of each rule that has any."""
    rules_folder: str | None = None
    """Folder below runs/ that keeps the tuned rules; those there of the same search are not tuned again. By default
    that is a folder of the cache for each world, budget and state of the code."""
    keep_rules: bool = True
    """Keep the tuned rules in the cache, and take those that are there; where --rules-folder is given, that is used."""
    linear: Path | None = None
    """JSON file of a linear oracle's weights, which then takes part as a reference; the study
    longplay.scripts.studies.results writes such files, as runs/results/Video/linear.json."""
    setting: tyro.conf.OmitArgPrefixes[Setting] = field(default_factory=Setting)
    users: int = 500
    """Test users that every policy plays."""
    sealed: bool = False
    """Play the sealed half of the test users, whom nothing is chosen by: for the last word on a method."""
    validation_users: int = 200
    """Validation users that the rules are tuned on."""
    workers: int = 1
    """Threads that tune and play; they change no result."""
    overwrite: bool = False
    """Replace a comparison of this name."""
    track: str = "offline"
    """Tracking by Weights & Biases: online, offline or off."""


def main(args: Arguments) -> None:
    """Play, summarise, write."""
    check_tracking(args.track)
    folder, setting, args = run_folder(args.name), args.setting, replace(args, rules=choose_rules(args))
    if not args.overwrite and (folder / RESULTS).exists():
        raise ValueError(f"{folder} holds a comparison; give --overwrite to replace it, or another --name")
    rules_folder = None if args.rules_folder is None else run_folder(args.rules_folder)
    trained = [run_folder(run) for run in args.runs]
    group_runs(setting, trained)  # refuses what cannot be compared before anything slow happens
    if args.workers < 1:
        raise ValueError(f"workers = {args.workers} must be at least 1")
    held_out_users(setting.world, "test", args.users, sealed=args.sealed)
    held_out_users(setting.world, "validation", args.validation_users, field="validation_users")
    claim(folder)
    linear = None if args.linear is None else LinearOracle.load(args.linear, setting.world)
    load_world(setting)
    policies = load_learned(setting, trained)
    with make_progress() as progress:
        task = progress.add_task("rules", total=None)

        def say(what: str) -> None:
            progress.update(task, description=what)

        kept = (lambda what: progress.console.print(what, soft_wrap=True)) if args.keep_rules else None
        tuned = tune_rules(
            setting, args.validation_users, say, args.rules, args.rule_trials, rules_folder, kept, args.workers
        )
        progress.update(task, total=1.0)
        contestants = [*tuned, *policies, *make_references(setting, linear)]

        def show(name: str, share: float) -> None:
            progress.update(task, description=f"test users: {name}", completed=share)

        results = play_contestants(setting, contestants, args.users, show, args.sealed, args.workers)
    frame = summarise(results, contestants)
    origin = describe_origin(setting, contestants, args.users, args.validation_users, args.sealed)
    results.attrs = {"origin": origin}
    write_table(results, folder / RESULTS)
    results.attrs = {}  # which pandas would copy with every step
    config = make_plain({"longplay": longplay.__version__, **asdict(args), "origin": origin})
    write_toml(config, folder / "config.toml")
    report = write_report(folder, frame, results, trained, config)
    with Tracker(args.track, folder, "compare", config) as tracker:
        tracker.log(flatten_summary(frame))
        tracker.table("comparison", frame.drop(columns="note").astype(str))
        tracker.picture("retention", write_retention(results, folder / "retention.png"))
        tracker.artifact(f"comparison-{args.name}", "report", [report, folder / RESULTS])
    whom = f"{args.users} {'sealed ' if args.sealed else ''}test users"
    for table in make_tables(frame, whom, setting.world.scenario.params.horizon_days):
        console.print(table)
    console.print(f"report: {report}", soft_wrap=True)


def choose_rules(args: Arguments) -> tuple[str, ...]:
    """Names of the rules that take part; refuses what could not be compared."""
    if args.rule_trials < 1:
        raise ValueError(f"rule_trials = {args.rule_trials} is out of range; allowed: from 1, which tries the defaults")
    if args.rules is None:
        return list_quick_rules(args.setting.world)
    check_rules(args.rules, args.setting.world, "rules")
    if len(set(args.rules)) < len(args.rules):
        raise ValueError(f"rules = {list(args.rules)} must be different ones; name each once")
    return args.rules


def make_tables(frame: pd.DataFrame, whom: str, days: float) -> list[Table]:
    """The summary as two terminal tables that fit 80 columns."""
    learned = frame[frame["kind"] == "learned"]
    last = "γ=0 twin" if learned["vs γ=0 twin"].notna().any() else "taste oracle"
    differences = [name for name in ("similarity", "best rule", last) if frame[f"vs {name}"].notna().any()]
    title = f"Minutes in {days:g} days, {whom}, same luck (95 % intervals)"
    columns = ("policy", "minutes", *(f"− {name}" for name in differences))
    caption = explain_labels(frame[[f"vs {name}" for name in differences]].to_numpy().ravel(), MARK)
    minutes = make_table(title, columns, "lr", padding=0, caption=caption or None, caption_justify="left")
    title = f"How they earn it (best rule: {frame.attrs['best rule'] or 'none took part'})"
    columns = ("policy", "first session", "sessions", "click rate", "kept", "diversity", "coverage")
    sold = tuple(name for name in ("conversion", "sales") if name in frame)
    spent = "\n".join(f"{row['policy']} learnt from {row['note']}" for row in learned.to_dict("records"))
    habits = make_table(title, columns + sold, "lr", padding=0, caption=spent or None, caption_justify="left")
    kinds = frame["kind"].tolist()
    for row, following in zip(frame.to_dict("records"), [*kinds[1:], kinds[-1]], strict=True):
        end = row["kind"] != following
        gains = (format_interval(row[f"vs {name}"], "+.0f", ".0f", MARK) for name in differences)
        minutes.add_row(row["policy"], f"{row['minutes']:.1f}", *gains, end_section=end)
        habits.add_row(
            row["policy"],
            f"{row['first session']:.1f} min",
            f"{row['sessions']:.1f}",
            f"{row['click rate']:.0%}",
            f"{row['kept']:.0%}",
            f"{row['diversity']:.2f}",
            f"{row['coverage']:.0%}",
            *(f"{row[name]:{'.1%' if name == 'conversion' else '.1f'}}" for name in sold),
            end_section=end,
        )
    return [minutes, habits]


if __name__ == "__main__":
    run_command(main, Arguments)

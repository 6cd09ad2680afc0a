"""Compare policies on the same held-out users with the same luck: table, intervals, retention, report.

    python scripts/compare.py --name first --runs my-ppo my-myopic-ppo
    python scripts/compare.py --name control --env longplay/Control-v0

Rules are tuned on validation users, everything is played by test users. Writes runs/NAME: report.html (self-contained),
results.parquet (one row a policy, seed and user), config.toml.
"""

from dataclasses import asdict, dataclass, field

import pandas as pd
import tomli_w
import tyro
from rich import box
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import longplay
from longplay.agents.compare import flat, grouped, learned, play, references, rules, summary
from longplay.agents.evaluate import held_out_users
from longplay.agents.names import one_of
from longplay.agents.report import retention_picture, write_report
from longplay.agents.setup import Setting
from longplay.agents.stats import Interval
from longplay.agents.tracking import MODES, Tracker
from longplay.agents.training import write_text
from longplay.scripts.common import command_line, console, prepare, run_name


@dataclass
class Arguments:
    """Compare policies."""

    name: str
    """Folder below runs/ that the comparison is written to."""
    runs: tuple[str, ...] = ()
    """Names of training runs; those that differ in the seed alone are one method."""
    setting: tyro.conf.OmitArgPrefixes[Setting] = field(default_factory=Setting)
    users: int = 500
    """Test users that every policy plays."""
    validation_users: int = 200
    """Validation users that the rules are tuned on."""
    track: str = "offline"
    """Weights & Biases: online, offline or off."""


def main(args: Arguments) -> None:
    """Play, summarise, write."""
    one_of("track", args.track, MODES)
    folder, setting = run_name(args.name), args.setting
    trained = [run_name(run) for run in args.runs]
    grouped(setting, trained)  # refuses what cannot be compared before anything slow happens
    held_out_users(setting.world, "test", args.users)
    held_out_users(setting.world, "validation", args.validation_users, field="validation_users")
    prepare(setting)
    policies = learned(setting, trained)
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("rules", total=None)
        ruled = rules(setting, args.validation_users, lambda what: progress.update(task, description=what))
        progress.update(task, total=1.0)
        contestants = [*ruled, *policies, *references(setting)]

        def show(name: str, share: float) -> None:
            progress.update(task, description=f"test users: {name}", completed=share)

        results = play(setting, contestants, args.users, show)
    frame = summary(results, contestants)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "results.parquet.tmp"
    results.to_parquet(temporary, index=False)
    temporary.replace(folder / "results.parquet")
    config = {"longplay": longplay.__version__, **{k: v for k, v in asdict(args).items() if k != "setting"}}
    config["runs"] = list(args.runs)
    config["setting"] = {key: value for key, value in asdict(setting).items() if value is not None}
    write_text(folder / "config.toml", tomli_w.dumps(config))
    report = write_report(folder, frame, results, trained, config)
    with Tracker(args.track, folder, "compare", config) as tracker:
        tracker.log(flat(frame))
        tracker.table("comparison", frame.drop(columns="note").astype(str))
        tracker.picture("retention", retention_picture(results, folder / "retention.png"))
        tracker.artifact(f"comparison-{args.name.replace('/', '-')}", "report", [report, folder / "results.parquet"])
    for table in tables(frame, args.users, setting.world.scenario.params.horizon_days):
        console.print(table)
    console.print(f"report: {report}", soft_wrap=True)


def tables(frame: pd.DataFrame, users: int, days: float) -> list[Table]:
    """The summary as two terminal tables that fit 80 columns."""
    last = "γ=0 twin" if frame["vs γ=0 twin"].notna().any() else "taste oracle"
    differences = ("similarity", "best rule", last)
    first = _table(f"Minutes in {days:g} days, {users} test users, same luck (95 % intervals)")
    second = _table(f"How they earn it (best rule: {frame.attrs['best rule']})")
    for column in ("minutes", *(f"− {name}" for name in differences)):
        first.add_column(column, justify="right", no_wrap=True)
    for column in ("first session", "sessions", "click rate", "kept", "diversity", "coverage"):
        second.add_column(column, justify="right", no_wrap=True)
    kinds = frame["kind"].tolist()
    for row, following in zip(frame.to_dict("records"), [*kinds[1:], kinds[-1]], strict=True):
        shares = (f"{row[key]:.0%}" for key in ("click rate", "kept"))
        more = (f"{row['diversity']:.2f}", f"{row['coverage']:.0%}")
        end = row["kind"] != following
        gains = (_short(row[f"vs {name}"]) for name in differences)
        first.add_row(row["policy"], f"{row['minutes']:.1f}", *gains, end_section=end)
        counts = (f"{row['first session']:.1f} min", f"{row['sessions']:.1f}")
        second.add_row(row["policy"], *counts, *shares, *more, end_section=end)
    return [first, second]


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column("policy", no_wrap=True)
    return table


def _short(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.mean:+.0f} [{interval.low:.0f}, {interval.high:.0f}]"


if __name__ == "__main__":
    command_line(main, Arguments)

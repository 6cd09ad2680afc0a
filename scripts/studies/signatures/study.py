"""Simulate a click log under a front-page policy, and set its signatures beside those of a real log.

    python -m longplay.scripts.studies.signatures --name news-log --env longplay/News-v0 --reference signatures.json

Users arrive day by day, read a front page mixed with topics they have read, and the log goes through the filters of the
Globo news log: its last 16 days, clicks only, sessions cut by 30 minutes without a click, those of one click dropped.
Writes runs/NAME: signatures.json (simulated), signatures.png and, with a reference, distances.csv.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from longplay.agents.logs.front_page import FrontPage, FrontPageOptions
from longplay.agents.playing.evaluate import held_out_users
from longplay.envs.candidates.scoring import Scorer
from longplay.envs.make import make_world, read_scenario
from longplay.envs.shared.files import replacing, write_whole
from longplay.scripts.shared.claims import claim
from longplay.scripts.shared.console import console, make_progress, set_threads
from longplay.scripts.shared.folders import run_folder
from longplay.scripts.shared.tables import TIGHT, make_table
from longplay.scripts.studies.signatures.distances import compare_signatures
from longplay.scripts.studies.signatures.figure import draw_signatures
from longplay.scripts.studies.signatures.measures import measure
from longplay.scripts.studies.signatures.simulate import WINDOW_DAYS, filter_as_globo, make_text_vectors, simulate_log

SHOWN = {  # of what has no target, what the table shows
    "session_length_ge2.mean": "mean session length in clicks",
    "session_length_ge2.icc_user": "session length, share between users (ICC)",
    "return_time_h.survival_h.24": "gaps longer than a day",
    "return_time_h.survival_h.168": "gaps longer than a week",
    "return_time_h.log_normal.mu": "gaps, log-normal μ, log h",
    "return_time_h.log_normal.sigma": "gaps, log-normal σ",
    "return_time_h.corr_consecutive_log_gaps": "correlation of consecutive log gaps",
    "return24_effect_of_last_session.pooled_per_log_size": "return in a day per log size, pooled",
    "return24_effect_of_last_session.within_user_per_log_size": "return in a day per log size, within user",
    "churn_overall": "no session in the next 8 days",
    "sessions_per_user_ccdf.5": "users with at least 5 sessions",
    "popularity.zipf_slope_rank10_3000": "Zipf slope of ranks 10 to 3000",
    "popularity.top1pct_share": "share of the top 1 % of articles",
    "popularity.gini": "Gini of clicks over articles",
    "category_entropy_nats.user_mean": "category entropy of a user, nats",
    "category_entropy_nats.global": "category entropy of the log, nats",
    "article_click_lifetime_h_10_90": "click lifetime of an article, h",
}


@dataclass
class Arguments:
    """Measure a simulated log."""

    name: str
    """Folder below runs/ that the report is written to."""
    env: str = "longplay/News-v0"
    """Environment id."""
    reference: Path | None = None
    """Signatures of real logs (JSON); without it the simulated ones are shown alone."""
    log: str = "globo"
    """Name of the log in the reference."""
    scenario: str | None = None
    """A scenario TOML file; by default the environment's own."""
    catalog: str | None = None
    """A table of items; by default the environment's own."""
    id_column: str | None = None
    """Column of ids in the catalogue's table; by default id."""
    text_column: str | None = None
    """Column of texts in the catalogue's table; by default text."""
    world_seed: int = 0
    """Seed of who and what exists."""
    users: int = 8000
    """Training users who play."""
    days: float | None = None
    """Days over which users arrive, of which the log is the last 16; by default the scenario's horizon."""
    luck: int = 0
    """Seed of the users' luck and arrivals, of the logging policy and of what the estimators sample."""
    popularity: float = FrontPageOptions.popularity
    """Logging policy: weight of a story falls as its popularity rank to minus this power."""
    half_life: float = FrontPageOptions.half_life
    """Logging policy: days in which a story's weight halves, where items age."""
    interest: float = FrontPageOptions.interest
    """Logging policy: log weight of a story whose main topic is all that the user has read."""
    related: float = FrontPageOptions.related
    """Logging policy: log weight of a story of the main topic of the last one read in this session."""
    pool: int = FrontPageOptions.pool
    """Logging policy: stories of the front page that all users are offered."""


def main(args: Arguments) -> None:
    """Simulate, measure, compare, write."""
    folder = run_folder(args.name)
    real = None if args.reference is None else read_reference(args.reference, args.log)
    claim(folder)
    set_threads(1)
    simulated = simulate(args)
    distances = None if real is None else compare_signatures(simulated, real)
    write_whole(folder / "signatures.json", json.dumps(simulated, indent=1))
    if distances is not None:
        write_whole(folder / "distances.csv", distances.to_csv(index=False))
    title = f"{args.env}, {simulated['users']:,} simulated users" + (f", beside {args.log}" if real is not None else "")
    picture = folder / "signatures.png"
    with replacing(picture) as temporary:
        draw_signatures(simulated, real, distances, title).savefig(temporary, dpi=110, format="png")
    counts = ("clicks", "sessions", "users", "articles")
    console.print("simulated log: " + ", ".join(f"{simulated[key]:,} {key}" for key in counts))
    if distances is None:
        console.print(make_single_table(simulated))
    else:
        for table in make_tables(distances):
            console.print(table)
        console.print(describe_verdict(distances, simulated))
    console.print(f"figure: {picture}", soft_wrap=True)


def simulate(
    args: Arguments, overrides: Mapping[str, Any] | None = None, events: int = 200_000, quiet: bool = False
) -> dict[str, Any]:
    """Play the users and measure their log.

    Parameters
    ----------
    overrides
        Constants of the scenario to replace.
    events
        At most this many clicks for the choice logit.
    quiet
        Without a bar of progress.
    """
    scenario = read_scenario(args.scenario or name_base_scenario(args.env))
    if overrides:
        scenario = scenario.with_overrides(overrides)
    if args.days is not None:
        scenario = scenario.with_overrides({"horizon.days": args.days})
    if scenario.params.horizon_days < WINDOW_DAYS:
        raise ValueError(
            f"days = {scenario.params.horizon_days:g} is less than the log's {WINDOW_DAYS:g}; pass --days 30 or more"
        )
    world = make_world(scenario, args.catalog, args.world_seed, id_column=args.id_column, text_column=args.text_column)
    users = held_out_users(world, "train", args.users)
    vectors = make_text_vectors(world)
    strengths = {name: getattr(args, name) for name in ("popularity", "half_life", "interest", "related", "pool")}
    policy = FrontPage(Scorer(world, vectors), world, FrontPageOptions(**strengths), args.luck)
    with make_progress(quiet=quiet) as progress:
        task = progress.add_task("playing", total=1.0)
        log = simulate_log(
            world, vectors, policy, users, args.luck, lambda share: progress.update(task, completed=share)
        )
        progress.update(task, description="measuring", total=None)
        signatures = measure(filter_as_globo(log), seed=args.luck, events=events)
        progress.update(task, description="measured", total=1.0, completed=1.0)
    return signatures


def name_base_scenario(env: str) -> str:
    """Name of the scenario of an environment id: "news" of "longplay/News-v0"."""
    return env.split("/")[-1].split("-")[0].lower()


def read_reference(path: Path, log: str) -> dict[str, Any]:
    """One log of a reference file.

    Raises
    ------
    ValueError
        If the file or the log is not there.
    """
    if not path.is_file():
        raise ValueError(f"reference = {str(path)!r} does not exist; name a JSON file of signatures, or leave it out")
    try:
        logs = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"reference = {str(path)!r} is not JSON: {error}") from error
    if "session_length_ge2" in logs:  # what this script wrote
        return dict(logs)
    names = [name for name, content in logs.items() if isinstance(content, dict) and "session_length_ge2" in content]
    if log not in names:
        raise ValueError(f"log = {log!r} is not in {path}; allowed: {', '.join(names) or 'none, the file has no log'}")
    return dict(logs[log])


def make_tables(distances: pd.DataFrame) -> list[Table]:
    """What has a target, with its verdict, and the main ones of the rest."""
    columns = ("statistic", "simulated", "real", "distance")
    targets = make_table("Statistics with a target", (*columns, "target", ""), "lrrrrl", **TIGHT)
    for row in distances[distances["within"].notna()].to_dict("records"):
        mark = "[green]within[/green]" if row["within"] else "[red]not within[/red]"
        relative = row["kind"] == "relative"
        limit = f"{row['tolerance']:.0%}" if relative else f"{row['tolerance']:.2f}"
        targets.add_row(_make_label(row["statistic"]), *_format_cells(row), limit, mark)
    rest = make_table("Without a target", columns, "LR", **TIGHT)
    rows = {row["statistic"]: row for row in distances.to_dict("records")}
    for name, label in SHOWN.items():
        if name in rows:
            rest.add_row(label, *_format_cells(rows[name]))
    return [targets, rest]


def describe_verdict(distances: pd.DataFrame, simulated: dict[str, Any]) -> str:
    """In one sentence what is met, and what chance alone does."""
    targets = distances[distances["within"].notna()]
    met = int(targets["within"].astype(bool).sum())
    floor = simulated["noise_floor"]
    return (
        f"{met} of {len(targets)} statistics with a target are within it. Between halves of the simulated users the KS "
        f"distance is {floor['user_split_KS_session_len']:.3f} for session length and "
        f"{floor['user_split_KS_return']:.3f} for gaps. Definitions that had to be assumed are noted in distances.csv."
    )


def make_single_table(simulated: dict[str, Any]) -> Table:
    """The main statistics of a log that there is no reference for."""
    table = make_table("Simulated log", ("statistic", "simulated"), "Lr")
    for name, label in SHOWN.items():
        value: Any = simulated
        for key in name.split("."):
            value = value[key]
        table.add_row(label, f"{value:.3f}")
    return table


def _format_cells(row: dict[Any, Any]) -> list[str]:
    values = ["" if pd.isna(row[side]) else f"{row[side]:.3f}" for side in ("simulated", "real")]
    return [*values, f"{row['distance']:.0%}" if row["kind"] == "relative" else f"{row['distance']:.3f}"]


def _make_label(statistic: str) -> str:
    group, _, rest = statistic.partition(".")
    names = {
        "choice_logit_or": "choice: " + rest.replace("last_exposure_h.", "last read, h ").replace("session_", ""),
        "plackett_luce_within_session_or": "order: " + rest.replace("per_log_earlier_count_of_current", "log count"),
        "session_length_ge2": "session length: KS",
        "return_time_h": "gaps: KS",
    }
    return names.get(group, statistic)

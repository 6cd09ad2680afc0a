"""Which conclusions depend on assumed constants? Rules and references in worlds drawn from the plausible ranges.

    python -m longplay.scripts.studies.sensitivity --name sensitivity --worlds 32 --users 150 --env longplay/Video-v1

Every constant whose source begins with "assumed", "chosen" or "fitted" is swept over its range, if it has one, by a
Latin hypercube; world 0 has the defaults. In each world the rules are tuned anew on its validation users, and everybody
plays its test users with the same luck. Reported: for each pair of policies the share of worlds that rank them as the
defaults do, Kendall's τ of each world's ranking with the default one, the constants that move differences most
(Spearman's ρ), and the plain-sense checks.

Writes runs/NAME: world-*.toml (each a scenario that the other scripts take), world-*.parquet, results.parquet,
worlds.parquet, sensitivity.png. An interrupted study goes on with the worlds that are missing.
"""

import os
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table

from longplay.agents.comparison.contestants import make_references, play_contestants, tune_rules
from longplay.agents.comparison.origin import describe_origin
from longplay.agents.playing.evaluate import held_out_users
from longplay.agents.setting import Setting
from longplay.envs.named.registry import ENVIRONMENTS
from longplay.envs.users.constants import format_key
from longplay.scripts.shared.console import console, load_world, make_progress
from longplay.scripts.shared.folders import record_study, run_folder, write_figure, write_table, write_toml
from longplay.scripts.shared.pool import work_side_by_side
from longplay.scripts.shared.tables import TIGHT, make_table
from longplay.scripts.studies.sensitivity.analysis import (
    check_plain_sense,
    correlate_constants,
    count_wins,
    draw_constants,
    draw_figure,
    measure_rank_agreement,
)


@dataclass
class Arguments:
    """Play in worlds with other constants."""

    name: str = "sensitivity"
    """Folder below runs/."""
    worlds: int = 32
    """Worlds drawn, beside the one with the default constants."""
    users: int = 150
    """Test users that every policy plays in each world."""
    validation_users: int = 60
    """Validation users that the rules are tuned on in each world."""
    env: str = Setting.env
    """Environment id."""
    catalog: str | None = None
    """A table of items; by default the environment's own."""
    id_column: str | None = None
    """Column of ids in the catalogue's table; by default id."""
    text_column: str | None = None
    """Column of texts in the catalogue's table; by default text."""
    scenario: str | None = None
    """A scenario TOML file; by default the environment's own."""
    workers: int = 2
    """Worlds side by side, one process each."""
    seed: int = 0
    """Seed of the Latin hypercube."""


def main(args: Arguments) -> None:
    """Draw, play, report; worlds that have been played are left as they are."""
    for name, least in (("worlds", 2), ("workers", 1), ("seed", 0)):
        if getattr(args, name) < least:
            raise ValueError(f"{name} = {getattr(args, name)} must be at least {least}")
    folder = run_folder(args.name)
    columns: dict[str, Any] = {"id_column": args.id_column, "text_column": args.text_column}
    setting = Setting(args.env, args.catalog, args.scenario, **columns)
    drawn = draw_constants(setting.world.scenario, args.worlds, args.seed)
    held_out_users(setting.world, "test", args.users)
    held_out_users(setting.world, "validation", args.validation_users, field="validation_users")
    record_study(folder, {key: value for key, value in vars(args).items() if key not in ("name", "workers")})
    load_world(setting)
    write_scenarios(folder, args, drawn)
    play_all(folder, args)
    played = {str(world): pd.read_parquet(locate_lives(folder, world)) for world in range(args.worlds + 1)}
    origins = {world: lives.attrs.pop("origin", {}) for world, lives in played.items()}  # lives of old have none
    results = pd.concat([lives.assign(world=int(world)) for world, lives in played.items()], ignore_index=True)
    results.attrs = {"origin": origins}
    write_table(results, folder / "results.parquet")
    minutes = results.pivot_table(index="world", columns="policy", values="minutes", aggfunc="mean")
    minutes = minutes.iloc[:, np.argsort(-minutes.loc[0].to_numpy(), kind="stable")]
    share, moved, checks = count_wins(minutes), correlate_constants(minutes, drawn), check_plain_sense(results)
    tau = measure_rank_agreement(minutes)
    defaults = pd.DataFrame({key: [setting.world.scenario.read_number(str(key))] for key in drawn})
    constants = pd.concat([defaults, drawn], ignore_index=True)
    write_table(pd.concat([constants, minutes, tau, checks], axis=1), folder / "worlds.parquet")
    write_figure(draw_figure(share, moved), folder / "sensitivity.png")
    for table in make_tables(results, share, moved, checks, tau):
        console.print(table)
    console.print(f"picture: {folder / 'sensitivity.png'}", soft_wrap=True)


def write_scenarios(folder: Path, args: Arguments, drawn: pd.DataFrame) -> None:
    """A TOML file a world."""
    base = ENVIRONMENTS[args.env].scenario if args.scenario is None else os.path.relpath(args.scenario, folder)
    for world in range(len(drawn) + 1):
        content: dict[str, Any] = {"base": base}
        for key, value in drawn.iloc[world - 1].items() if world else ():
            group, _, name = format_key(str(key)).partition(".")
            content.setdefault(group, {})[name] = float(value)
        write_toml(content, locate_lives(folder, world).with_suffix(".toml"))


def locate_lives(folder: Path, world: int) -> Path:
    """File of a world's lives."""
    return folder / f"world-{world:04d}.parquet"


def play_all(folder: Path, args: Arguments) -> None:
    """Play the worlds that are missing, some side by side."""
    missing = [world for world in range(args.worlds + 1) if not locate_lives(folder, world).exists()]
    files = [locate_lives(folder, world) for world in missing]
    with make_progress(count=True, remaining=True) as progress:
        task = progress.add_task("worlds", total=args.worlds + 1, completed=args.worlds + 1 - len(missing))
        for _ in work_side_by_side(partial(play_world, args), files, args.workers):
            progress.advance(task)


def play_world(args: Arguments, file: Path) -> None:
    """Tune the rules in one world, and play everybody."""
    columns: dict[str, Any] = {"id_column": args.id_column, "text_column": args.text_column}
    setting = Setting(args.env, args.catalog, str(file.with_suffix(".toml")), **columns)
    contestants = [*tune_rules(setting, args.validation_users, lambda what: None), *make_references(setting)]
    lives = play_contestants(setting, contestants, args.users, lambda name, share: None)
    lives.attrs = {"origin": describe_origin(setting, contestants, args.users, args.validation_users)}
    write_table(lives, file)


def make_tables(
    results: pd.DataFrame, share: pd.DataFrame, moved: pd.DataFrame, checks: pd.DataFrame, tau: Any
) -> list[Table]:
    """Pairs, movers, checks."""
    default = results[results["world"] == 0].pivot(index="user", columns="policy", values="minutes")
    columns = ("earns more", "than", "by default", "holds in")
    pairs = make_table("Does the default ranking hold?", columns, "l", **TIGHT)
    order: list[str] = list(share.columns)
    for (i, a), (j, b) in combinations(enumerate(order), 2):
        gap = default[a].to_numpy() - default[b].to_numpy()
        error = 1.96 * gap.std() / np.sqrt(len(gap))
        pairs.add_row(a, b, f"{gap.mean():+.1f} ± {error:.1f}", f"{share.to_numpy()[i, j]:.0%}")
    limit = min(1.0, 1.96 / np.sqrt(max(len(tau) - 2, 1)))  # of one constant; there are dozens
    title = f"Constants that move differences most (ρ; |ρ| < {limit:.2f} may be chance)"
    constants = make_table(title, ("difference", "constants"), "l", **TIGHT)
    for name, column in moved.items():
        top = column.reindex(column.abs().sort_values(ascending=False).index)[:4]
        constants.add_row(str(name), ", ".join(f"{key!s} {value:+.2f}" for key, value in top.items()))
    sense = make_table("Plain sense", ("check", "default", "holds in"), "l", **TIGHT)
    for name, column in checks.items():
        sense.add_row(str(name), "yes" if column.loc[0] else "no", f"{column.drop(index=0).mean():.0%}")
    rest = tau.drop(index=0)
    sense.add_row(
        "Kendall's τ with the default ranking", "1", f"{rest.median():.2f} ({rest.min():.2f} to {rest.max():.2f})"
    )
    return [pairs, constants, sense]

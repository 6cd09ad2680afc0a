"""Collect a log: simulated users live under a logging policy, and every slate of theirs is recorded.

    python scripts/collect.py --name log --items 1000 --users 3000 --policy random

Writes runs/NAME: log.parquet (one row an item shown), sessions.parquet, users.parquet (with the profiles) and
items.parquet (the catalogue, for --catalog); of the first --minari-users also whole transitions, as the Minari dataset
"longplay/slates-v0" in runs/NAME/minari. The columns are described in longplay.agents.logs.collect. The same command
goes on after an interruption.
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import tyro
from numpy.typing import NDArray
from rich.progress import Progress, TaskID

from longplay.agents.logs.collect import (
    collect,
    draw_items,
    join_tables,
    make_env,
    read_episodes,
    tabulate_items,
    write_collected,
)
from longplay.agents.logs.minari import write_minari
from longplay.agents.offline.logging_policies import check_policy, load_catalog, make_policy
from longplay.agents.playing.evaluate import held_out_users
from longplay.agents.setting import Setting
from longplay.envs.catalogs.catalog import Catalog
from longplay.scripts.shared.claims import claim
from longplay.scripts.shared.console import console, load_world, make_progress, run_command, set_threads
from longplay.scripts.shared.folders import record_study, resolve_policy, run_folder, write_table

CHUNK = 250  # users who play together; what is finished is kept


@dataclass
class Arguments:
    """Collect a log."""

    name: str
    """Folder below runs/ that the log is written to."""
    setting: tyro.conf.OmitArgPrefixes[Setting] = field(default_factory=Setting)
    policy: str = "random"
    """Policy that chooses the slates: random (from the whole catalogue; needs no text encoder), front-page, any other
    rule of scripts/play.py with its options as shipped, or the name of a training run."""
    epsilon: float = 0.0
    """Share of the policy's slates that are replaced by random ones."""
    users: int = 3000
    """Users who play."""
    split: str = "train"
    """Split whose users play: train, validation or test."""
    items: int | None = None
    """Items that are drawn first, to build the world from runs/NAME/items.parquet; by default all are taken."""
    seed: int = 0
    """Seed of the users' luck, of the policy's chance and of the items drawn."""
    minari_users: int = 500
    """Users whose whole transitions are written, about 15 kB each without candidates; 0 for none."""


def main(args: Arguments) -> None:
    """Play what is missing, join, write, summarise."""
    folder = run_folder(args.name)
    policy = resolve_policy(args.policy)
    check_arguments(args, policy)
    study = {key: value for key, value in asdict(args).items() if key != "name"}
    if (folder / "study.json").exists():
        record_study(folder, study)
    claim(folder)
    setting = replace_catalog(args, folder)
    users = held_out_users(setting.world, args.split, args.users)
    load_for_policy(setting, policy)
    record_study(folder, study)
    if args.items is None:
        write_catalog(setting.world.catalog, folder / "items.parquet")
    parts = folder / "parts"
    shutil.rmtree(folder / "parts.old", ignore_errors=True)
    if parts.exists() or not (folder / "users.parquet").exists():
        join_chunks(args, setting, policy, play_missing(args, setting, policy, users, parts), folder)
        parts.rename(folder / "parts.old")  # at once; removing may be interrupted
        shutil.rmtree(folder / "parts.old")
    print_summary(folder)


def check_arguments(args: Arguments, policy: str) -> None:
    """Refuse what could not run, before anything slow happens."""
    check_policy(policy, args.epsilon)
    if args.seed < 0:
        raise ValueError(f"seed = {args.seed} must be at least 0")
    if args.minari_users < 0:
        raise ValueError(f"minari_users = {args.minari_users} must be at least 0, which is none")


def replace_catalog(args: Arguments, folder: Path) -> Setting:
    """The setting, its catalogue replaced by the items drawn where some are to be drawn."""
    if args.items is None:
        return args.setting
    file = folder / "items.parquet"
    if not (folder / "study.json").exists():
        write_table(tabulate_items(draw_items(load_catalog(args.setting), args.items, args.seed)), file)
    return args.setting.with_table(file)


def load_for_policy(setting: Setting, policy: str) -> None:
    """Load what the policy needs; a random one needs no vectors."""
    set_threads(1)
    if policy != "random":
        load_world(setting)
    else:
        console.print(f"{len(setting.world.catalog):,} items, {len(setting.world.people):,} users")


def write_catalog(catalog: Catalog, file: Path) -> None:
    """Write the catalogue, and say if it does not read back equal."""
    write_table(tabulate_items(catalog), file)
    if Catalog.from_table(file).digest != catalog.digest:
        console.print(
            f"note: {catalog.name} has items of unknown rank, which {file} ranks among the others; to build this very "
            "world again leave out --catalog, as here"
        )


def play_missing(args: Arguments, setting: Setting, policy: str, users: NDArray[np.int64], parts: Path) -> list[Path]:
    """Play the users who have not been played yet; returns the folders of all parts, in the users' order."""
    chunks = [users[start : start + CHUNK] for start in range(0, len(users), CHUNK)]
    folders = [parts / f"{k:04d}" for k in range(len(chunks))]
    missing = [k for k, chunk in enumerate(folders) if not chunk.exists()]
    if not missing:
        return folders
    agent = make_policy(policy, setting, args.epsilon, args.seed)
    vectors = None if policy == "random" else setting.item_vectors
    with make_progress(count=True, remaining=True) as progress:
        task = progress.add_task("playing users", total=len(users), completed=CHUNK * (len(chunks) - len(missing)))
        for k in missing:
            done = progress.tasks[0].completed
            env = make_env(setting.world, len(chunks[k]), vectors)
            whole = min(max(args.minari_users - k * CHUNK, 0), len(chunks[k]))
            chunk = collect(env, agent, chunks[k], args.seed, whole, make_advance(progress, task, done, len(chunks[k])))
            write_collected(chunk, folders[k])
    return folders


def make_advance(progress: Progress, task: TaskID, done: float, count: int) -> Callable[[float], None]:
    """What moves the bar by the share of a chunk that is done."""
    return lambda share: progress.update(task, completed=round(done + share * count))


def join_chunks(args: Arguments, setting: Setting, policy: str, parts: list[Path], folder: Path) -> None:
    """Join the tables, and write the transitions."""
    join_tables(parts, folder)
    if args.minari_users > 0:
        env = make_env(setting.world, 1, None if policy == "random" else setting.item_vectors)
        episodes = (read_episodes(chunk) for chunk in parts[: -(-args.minari_users // CHUNK)])
        name = args.policy if args.epsilon == 0 else f"{args.policy}, {args.epsilon:.0%} random"
        write_minari(folder / "minari", episodes, env, setting, name, args.seed)


def print_summary(folder: Path) -> None:
    """What was collected, and how large it is."""
    users = pd.read_parquet(folder / "users.parquet")
    consumed = pd.read_parquet(folder / "log.parquet", columns=["consumed"])["consumed"]
    slates, clicks, minutes = (users[name].sum() for name in ("slates", "clicks", "minutes"))
    console.print(
        f"{len(users):,} users, {users['sessions'].sum():,} sessions, {slates:,} slates, {clicks:,} clicks "
        f"({clicks / slates:.1%} of slates), {minutes:,.0f} minutes ({users['minutes'].mean():.1f} a user), "
        f"{users['churned'].mean():.0%} left for good",
        soft_wrap=True,
    )
    console.print(f"{len(consumed):,} rows, {consumed.sum():,} consumed, the past included", soft_wrap=True)
    for path in sorted([*folder.glob("*.parquet"), *folder.glob("minari")]):
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        console.print(f"{path}: {sum(file.stat().st_size for file in files) / 1e6:.1f} MB", soft_wrap=True)


if __name__ == "__main__":
    run_command(main, Arguments)

"""Compare encoders: on a simulated log, on real ratings, and by the engagement that one agent earns on each state.

    python scripts/collect.py --name log --items 1000 --users 3000 --policy random
    python scripts/compare_encoders.py --name encoders --log log --ratings FOLDER

Every encoder is fitted on the past of each log and asked for its future, with another split and start for each seed.
FOLDER holds the files of MovieTweetings (see encoders/ratings.py); without --ratings that part is left out. Then PPO is
trained on the state that each encoder gives, with all else the same, and plays the month of the same test users.

Writes runs/NAME: results.parquet (a row for each encoder, seed, case and user), engagement.parquet, tables.md, and the
fitted encoders, which scripts/train.py takes as --state. Interrupted, it goes on where it was.
"""

import functools
import json
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from longplay.agents.baselines import GreedyEncoder, GreedySimilarity
from longplay.agents.compare import Contestant, play
from longplay.agents.evaluate import held_out_users
from longplay.agents.names import one_of
from longplay.agents.setup import RunConfig, Setting, load_agent
from longplay.agents.tracking import MODES, Tracker
from longplay.encoders.registry import ENCODERS
from longplay.encoders.study import FLOORS, Source, measure, ratings_source, simulated_source
from longplay.envs.scoring import Scorer
from longplay.scripts import encoder_tables
from longplay.scripts.common import begin_study, command_line, console, prepare, run_name, set_threads, write_table
from longplay.scripts.jobs import Job, train_all

ALL = (*FLOORS, *(name for name in ENCODERS if name != "cold-start"))
STATES = ("pooled", "mean", "tower", "item-knn", "als", "lightgcn", "gat", "gru", "transformer", "attention")

Cell = tuple[str, str, int, Path]  # source, encoder, seed, where the source lies


@dataclass
class Arguments:
    """Compare encoders."""

    name: str
    """Folder below runs/ that the study is written to."""
    log: str = "log"
    """Folder below runs/ that scripts/collect.py wrote."""
    ratings: Path | None = None
    """Folder with the files of MovieTweetings."""
    encoders: tuple[str, ...] = ALL
    """Encoders to measure."""
    states: tuple[str, ...] = STATES
    """Encoders whose states an agent is trained on; none: leave that part out."""
    fine_tuned: tuple[str, ...] = ("gru",)
    """Those of the states whose networks the agent also trains further, as another row."""
    seeds: int = 5
    """Splits and fits of each encoder, and trainings of the agent on each."""
    steps: int = 150_000
    """Slates of each training."""
    users: int = 400
    """Test users who are played."""
    validation_users: int = 100
    """Validation users by whom each training keeps its best policy."""
    workers: int = 2
    """Fits or trainings side by side, one process each."""
    track: str = "offline"
    """Weights & Biases: online, offline or off."""


def main(args: Arguments) -> None:
    """Measure, train, play, report."""
    folder, log = run_name(args.name), run_name(args.log)
    setting = check(args, log)
    given = {key: value for key, value in vars(args).items() if key not in ("name", "workers", "track", "encoders")}
    given |= {"ratings": args.ratings is not None, "states": list(args.states), "fine_tuned": list(args.fine_tuned)}
    begin_study(folder, given)
    prepare(setting)
    sources = {"simulated": log} | ({"ratings": args.ratings} if args.ratings else {})
    for source, place in sources.items():
        load(source, place)  # the texts are encoded once, before the workers start
    results = measure_all(args, folder, sources)
    write_table(results, folder / "results.parquet")
    tables = [make(results, source) for source in sources for make in (encoder_tables.warm, encoder_tables.cold)]
    if args.states:
        lives = engage(args, folder, setting)
        write_table(lives, folder / "engagement.parquet")
        tables.append(encoder_tables.engagement(lives))
    encoder_tables.write(tables, folder / "tables.md")
    with Tracker(args.track, folder, "compare-encoders", given) as tracker:
        for table in tables:
            console.print(encoder_tables.shown(table))
            tracker.table(table.attrs["title"], table.astype(str))
    console.print(f"tables: {folder / 'tables.md'}", soft_wrap=True)


def check(args: Arguments, log: Path) -> Setting:
    """Refuse what could not run, before anything slow happens; the setting of the log's world."""
    one_of("track", args.track, MODES)
    for name in args.encoders:
        one_of("encoders", name, ALL)
    for name in args.states:
        one_of("states", name, args.encoders)
    for name in args.fine_tuned if args.states else ():
        one_of("fine_tuned", name, args.states)
    for name, least in (("seeds", 1), ("workers", 1), ("steps", 1)):
        if getattr(args, name) < least:
            raise ValueError(f"{name} = {getattr(args, name)} must be at least {least}")
    if not (log / "study.json").is_file():
        raise ValueError(f"log = {args.log!r}: {log} has no log; run scripts/collect.py --name {args.log} first")
    study = json.loads((log / "study.json").read_text(encoding="utf-8"))
    setting = Setting(**study["setting"])
    if study["items"] is not None:
        setting = replace(setting, catalog=str(log / "items.parquet"))
    held_out_users(setting.world, "test", args.users)
    held_out_users(setting.world, "validation", args.validation_users, field="validation_users")
    return setting


@functools.cache
def load(source: str, place: Path) -> Source:
    """A log and its items, once in each process."""
    return simulated_source(place) if source == "simulated" else ratings_source(place)


def cell(folder: Path, source: str, name: str, seed: int) -> Path:
    """Folder of an encoder fitted with a seed; the last part, its name, labels what is trained on it."""
    return folder / source / f"seed-{seed}" / name


def measure_all(args: Arguments, folder: Path, sources: dict[str, Path]) -> pd.DataFrame:
    """Measure what is missing, some side by side."""
    asked = [(s, name, seed) for seed in range(args.seeds) for s in sources for name in args.encoders]
    missing = [job for job in asked if not (cell(folder, *job) / "measures.parquet").exists()]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("encoders", total=len(asked), completed=len(asked) - len(missing))
        for job, said in finished(args, folder, [(*job, sources[job[0]]) for job in missing]):
            progress.console.print(f"{'  '.join(map(str, job[:3]))}: {said}")
            progress.advance(task)
    return pd.concat([pd.read_parquet(cell(folder, *job) / "measures.parquet") for job in asked], ignore_index=True)


def finished(args: Arguments, folder: Path, jobs: Sequence[Cell]) -> Iterator[tuple[Cell, str]]:
    """Each measurement and what to say of it, as they are finished; a single worker is this process."""
    if args.workers == 1:
        yield from ((job, measure_one(folder, *job)) for job in jobs)
        return
    # New processes and no forks: a fork of a process with threads may hang.
    pool = ProcessPoolExecutor(args.workers, multiprocessing.get_context("spawn"), start_worker)
    try:
        work = {pool.submit(measure_one, folder, *job): job for job in jobs}
        yield from ((work[done], done.result()) for done in as_completed(work))
    finally:
        pool.shutdown(cancel_futures=True)


def start_worker() -> None:
    """One thread, and an interruption is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_threads(1)


def measure_one(folder: Path, source: str, name: str, seed: int, place: Path) -> str:
    """Fit and measure one encoder; what to say of it."""
    own = cell(folder, source, name, seed)
    table = measure(load(source, place), name, seed, own)
    write_table(table, own / "measures.parquet")
    warm = table[(table["case"] == "warm") & (table["encoder"] == name)]
    return f"recall@10 {warm['recall'].mean():.4f}, fitted in {table['fit_seconds'].iloc[0]:.0f} s"


def engage(args: Arguments, folder: Path, setting: Setting) -> pd.DataFrame:
    """Train the agent on each state, and play it beside the greedy use of each encoder's own scores."""
    methods = [*((name, False) for name in args.states), *((name, True) for name in args.fine_tuned)]
    runs = {method: [run_of(args, setting, folder, *method, seed) for seed in range(args.seeds)] for method in methods}
    train_all([run for some in zip(*runs.values(), strict=True) for run in some], args.workers, "off")
    scorer = Scorer(setting.world, setting.item_vectors)
    contestants = [Contestant("greedy similarity", "rule", [GreedySimilarity(scorer)])]
    for name in args.states:
        places = [cell(folder, "simulated", name, seed) for seed in range(args.seeds)]
        greedy = [GreedyEncoder(scorer, setting.state_encoder(str(place)).encoder, name) for place in places]
        contestants.append(Contestant(name, "greedy", greedy))
    for (name, tuned), jobs in runs.items():
        learned = [load_agent(run_name(job.name), job.config, setting) for job in jobs]
        contestants.append(Contestant(f"{name}, fine-tuned" if tuned else name, "PPO", learned))
    with Progress(TextColumn("playing {task.description}"), BarColumn(), console=console) as progress:
        task = progress.add_task("", total=1.0)
        return play(
            setting,
            contestants,
            args.users,
            lambda name, share: progress.update(task, description=name, completed=share),
        )


def run_of(args: Arguments, setting: Setting, folder: Path, name: str, tuned: bool, seed: int) -> Job:
    """The training on an encoder's states."""
    config = RunConfig(
        setting=setting,
        state=str(cell(folder, "simulated", name, seed)),
        fine_tune=tuned,
        seed=seed,
        steps=args.steps,
        eval_users=args.validation_users,
        evals=4,
    )
    return Job(f"{args.name}/agents/{name}{'-tuned' if tuned else ''}-{seed}", config)


if __name__ == "__main__":
    command_line(main, Arguments)

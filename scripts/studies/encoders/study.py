"""Compare encoders: on a simulated log, on real ratings, and by the engagement that one agent earns on each state.

    python scripts/collect.py --name log --items 1000 --users 3000 --policy random
    python -m longplay.scripts.studies.encoders --name encoders --log log --ratings FOLDER

Every encoder is fitted on the past of each log and asked for its future, with another split and start for each seed.
FOLDER holds the files of MovieTweetings (see ratings.py beside this); without --ratings that part is left out. Then
each encoder is fitted on the whole log, PPO is trained on its states, all else the same, and plays the month of the
same test users.

Writes runs/NAME: results.parquet (a row for each encoder, seed, case and user), engagement.parquet, tables.md, and the
encoders of the states, which scripts/train.py takes as --state. What is finished is kept; where the log or the settings
of an encoder have changed it is done anew.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from longplay.agents.comparison.contestants import Contestant, play_contestants
from longplay.agents.comparison.origin import describe_environment, describe_software, make_plain
from longplay.agents.playing.evaluate import held_out_users
from longplay.agents.playing.luck import TEST_LUCK
from longplay.agents.rules.encoded import score_by_encoder
from longplay.agents.rules.similarity import GreedySimilarity
from longplay.agents.rules.topics import StaticCap
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.reading import Reading, load_agent
from longplay.agents.setting import Setting
from longplay.encoders.registry import ENCODERS
from longplay.envs.candidates.scoring import Scorer
from longplay.envs.shared.names import one_of
from longplay.scripts.shared.console import console, load_world, make_progress
from longplay.scripts.shared.folders import record_study, run_folder, write_table
from longplay.scripts.shared.tables import render_frame, write_markdown
from longplay.scripts.shared.tracking import Tracker, check_tracking
from longplay.scripts.shared.trainings import Training, train_all
from longplay.scripts.studies.encoders import tables as encoder_tables
from longplay.scripts.studies.encoders.fits import LogLocation, load_source, locate_fit, run_fits
from longplay.scripts.studies.encoders.measures import FLOORS, fit_for_use, measure_encoder

ALL = (*FLOORS, *(name for name in ENCODERS if name != "cold-start"))
STATES = ("pooled", "tower-heads", "als", "lightgcn", "gru")
NETWORKS = ("gru", "lstm", "transformer", "attention")  # those that a policy can train further


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
    skip: tuple[str, ...] = ()
    """Measurements to leave out, such as ratings:text, which takes BERT minutes."""
    states: tuple[str, ...] = STATES
    """Encoders whose states an agent is trained on; nothing after --states leaves that part out."""
    fine_tuned: tuple[str, ...] = ("gru",)
    """Encoders whose network the agent goes on training, as rows of their own."""
    seeds: int = 5
    """Splits and fits of each encoder, and trainings of the agent on each."""
    steps: int = 100_000
    """Slates of each training."""
    users: int = 400
    """Test users who are played."""
    validation_users: int = 100
    """Validation users by whom each training keeps its best policy."""
    workers: int = 2
    """Fits or trainings side by side, one process each."""
    track: str = "offline"
    """Tracking by Weights & Biases: online, offline or off."""


def main(args: Arguments) -> None:
    """Measure, train, play, report."""
    folder, log = run_folder(args.name), run_folder(args.log)
    setting = check_arguments(args, log)
    record_study(folder, {"log": args.log})
    load_world(setting)
    locations = [LogLocation("simulated", log, setting.bert)]
    if args.ratings is not None:
        locations.append(LogLocation("ratings", args.ratings, setting.bert))
    for location in locations:
        load_source(location)  # texts are encoded once, before the workers start
    results = measure_all(args, folder, locations)
    origin = {"software": describe_software(), "environment": make_plain(describe_environment(setting))}
    results.attrs = {"origin": origin | {"log": args.log, "seeds": args.seeds}}
    write_table(results, folder / "results.parquet")
    results.attrs = {}
    makers = (encoder_tables.tabulate_warm, encoder_tables.tabulate_cold)
    tables = [make(results, location.source) for location in locations for make in makers]
    if args.states:
        played = measure_engagement(args, folder, setting, locations[0])
        people = {"users": args.users, "validation_users": args.validation_users, "steps": args.steps}
        played.attrs = {"origin": origin | {"log": args.log, "seeds": args.seeds, "luck": TEST_LUCK, **people}}
        write_table(played, folder / "engagement.parquet")
        played.attrs = {}
        tables.append(encoder_tables.tabulate_engagement(played))
    write_markdown(tables, folder / "tables.md")
    with Tracker(args.track, folder, "compare-encoders", {"log": args.log, "seeds": args.seeds}) as tracker:
        for table in tables:
            console.print(render_frame(table))
            tracker.table(table.attrs["title"], table.astype(str))
    console.print(f"tables: {folder / 'tables.md'}", soft_wrap=True)


def check_arguments(args: Arguments, log: Path) -> Setting:
    """Refuse what could not run, before anything slow happens; the setting of the log's world."""
    check_tracking(args.track)
    for name in args.encoders:
        one_of("encoders", name, ALL)
    for pair in args.skip:
        one_of("skip", pair, [f"{source}:{name}" for source in ("simulated", "ratings") for name in ALL])
    for name in args.states:
        one_of("states", name, [name for name in ALL if name not in FLOORS])
    for name in args.fine_tuned if args.states else ():
        one_of("fine_tuned", name, NETWORKS)
    for field, least in (("seeds", 1), ("workers", 1), ("steps", 1)):
        if getattr(args, field) < least:
            raise ValueError(f"{field} = {getattr(args, field)} must be at least {least}")
    if not (log / "study.json").is_file():
        raise ValueError(f"log = {args.log!r}: {log} has no log; run scripts/collect.py --name {args.log} first")
    study = json.loads((log / "study.json").read_text(encoding="utf-8"))
    if args.states and study["split"] != "train":
        raise ValueError(f"log = {args.log!r} is of {study['split']} users, who are met again; collect --split train")
    setting = Setting(**study["setting"])
    if study["items"] is not None:
        setting = setting.with_table(log / "items.parquet")
    held_out_users(setting.world, "test", args.users)
    held_out_users(setting.world, "validation", args.validation_users, field="validation_users")
    return setting


def measure_all(args: Arguments, folder: Path, locations: Sequence[LogLocation]) -> pd.DataFrame:
    """Measure what is missing, some side by side."""
    pairs = [
        (location, name)
        for location in locations
        for name in args.encoders
        if f"{location.source}:{name}" not in args.skip
    ]
    tasks = [(location, name, seed) for seed in range(args.seeds) for location, name in pairs]
    run_fits(args.workers, "encoders", measure_one, folder / "measured", tasks)
    files = [locate_fit(folder / "measured", *task) / "measures.parquet" for task in tasks]
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)


def measure_one(folder: Path, location: LogLocation, name: str, seed: int) -> str:
    """Fit and measure one encoder; what to say of it."""
    try:
        table = measure_encoder(load_source(location), name, seed)
    except ValueError as error:
        raise ValueError(f"{location.source}, {name}, seed {seed}: {error}") from error
    write_table(table, locate_fit(folder, location, name, seed) / "measures.parquet")
    warm = table[(table["case"] == "warm") & (table["encoder"] == name)]
    return f"recall@10 {warm['recall'].mean():.4f}, fitted in {table['fit_seconds'].iloc[0]:.0f} s"


def fit_one(folder: Path, location: LogLocation, name: str, seed: int) -> str:
    """Fit an encoder on the whole log; policies that were trained on an earlier fit are of no use any more."""
    fit_for_use(load_source(location), name, seed, locate_fit(folder, location, name, seed))
    for tuned in (False, True):
        shutil.rmtree(folder.parent / "agents" / name_training(name, tuned, seed), ignore_errors=True)
    return "fitted on the whole log"


def name_training(name: str, tuned: bool, seed: int) -> str:
    """Folder of a training."""
    return f"{name}{'-tuned' if tuned else ''}-{seed}"


def measure_engagement(args: Arguments, folder: Path, setting: Setting, location: LogLocation) -> pd.DataFrame:
    """Train the agent on each state, and play it beside the greedy use of each encoder's own scores."""
    states = list(dict.fromkeys((*args.states, *args.fine_tuned)))
    tasks = [(location, name, seed) for seed in range(args.seeds) for name in states]
    run_fits(args.workers, "states", fit_one, folder / "states", tasks)
    budget: dict[str, Any] = {"steps": args.steps, "eval_users": args.validation_users, "evals": 4}
    methods = [*((name, False) for name in args.states), *((name, True) for name in args.fine_tuned)]
    runs: dict[tuple[str, bool], list[Training]] = {method: [] for method in methods}
    for seed in range(args.seeds):
        for name, tuned in methods:
            state = str(locate_fit(folder / "states", location, name, seed))
            config = RunConfig(setting=setting, state=state, fine_tune=tuned, seed=seed, **budget)
            runs[name, tuned].append(Training(f"{args.name}/agents/{name_training(name, tuned, seed)}", config))
    train_all(
        [training for seed_trainings in zip(*runs.values(), strict=True) for training in seed_trainings],
        args.workers,
        "off",
    )
    scorer = Scorer(setting.world, setting.item_vectors)
    contestants = [Contestant("greedy similarity", "rule", [GreedySimilarity(scorer)])]
    for (name, tuned), trainings in runs.items():
        if not tuned:
            scores = [
                score_by_encoder(Reading(setting, training.config.state).state_encoder.encoder)
                for training in trainings
            ]
            contestants.append(Contestant(name, "greedy", [StaticCap(scorer, score, 0, name) for score in scores]))
        learned = [load_agent(run_folder(training.name), training.config, setting) for training in trainings]
        contestants.append(Contestant(f"{name}, fine-tuned" if tuned else name, "PPO", learned))
    with make_progress() as progress:
        task = progress.add_task("playing", total=1.0)

        def show(name: str, share: float) -> None:
            progress.update(task, description=f"playing {name}", completed=share)

        return play_contestants(setting, contestants, args.users, show)

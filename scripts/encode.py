"""Fit an encoder on a log, measure it on what it has not seen, and write its vectors.

    python scripts/collect.py --name log --items 1000 --users 3000 --policy random
    python scripts/encode.py --name my-gru --encoder gru --log log
    python scripts/train.py --name my-ppo --state runs/my-gru --catalog runs/log/items.parquet

A log is a folder that scripts/collect.py wrote, or a table of your own (CSV, JSONL, Parquet: user, item, time [days],
and completion, consumed, session, minutes, profile where there are any) beside the table of its items.

It is fitted twice: on the past of most users and items, to be measured on the rest (measures.json), and then on the
whole log, to be used.

Writes runs/NAME: encoder.json and weights (which scripts/train.py takes as --state), vectors.safetensors (``items``,
row 0 the padding, and ``users`` at the log's end). Interrupted, training goes on from its last epoch.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from longplay.encoders.base import ENCODER_FILE, Encoder
from longplay.encoders.data.interactions import Interactions
from longplay.encoders.data.splits import Split, hold_back, split
from longplay.encoders.data.table_parsing import AboveOne
from longplay.encoders.data.time_units import TimeUnit
from longplay.encoders.device import find_device
from longplay.encoders.measures.evaluation import evaluate
from longplay.encoders.measures.floor import warn_below_popularity
from longplay.encoders.registry import ENCODERS
from longplay.encoders.text.encoder import TextEncoder
from longplay.envs.shared.files import write_whole
from longplay.envs.shared.names import one_of
from longplay.scripts.shared.claims import claim
from longplay.scripts.shared.console import console, make_progress, run_command, set_threads
from longplay.scripts.shared.folders import check_free, run_folder, write_arrays
from longplay.scripts.shared.logs import Source, read_collected_log, read_table_log
from longplay.scripts.shared.tables import FRAMED, make_table

OF_TABLES = (  # arguments that a collected log has no use for
    "catalog",
    "id_column",
    "text_column",
    "user",
    "item",
    "time",
    "rating",
    "best_rating",
    "time_unit",
    "completion_above_one",
)
MEASURES = {"recall": "recall@10", "ndcg": "nDCG@10", "auc": "AUC", "click_through": "click-through"}


@dataclass
class Arguments:
    """Fit an encoder."""

    name: str = "encoder"
    """Folder below runs/ that the encoder is written to."""
    encoder: str = "pooled"
    """Encoder to fit, one of those that --list describes."""
    log: str = "log"
    """Folder below runs/ that scripts/collect.py wrote, or a table of interactions."""
    catalog: Path | None = None
    """Table of the items (id, text), where the log is a table."""
    id_column: str = "id"
    """Column of ids in the table of items."""
    text_column: str = "text"
    """Column of texts in the table of items."""
    user: str = "user"
    """Column of users in the table of interactions."""
    item: str = "item"
    """Column of items' ids in the table of interactions."""
    time: str = "time"
    """Column of times in the table of interactions."""
    rating: str | None = None
    """Column of ratings in the table, in place of the share consumed; give --best-rating too."""
    best_rating: float | None = None
    """The best possible rating."""
    time_unit: TimeUnit = "auto"
    """Unit of the table's times; auto finds out whether they are Unix time, dates (iso) or days."""
    completion_above_one: AboveOne = "drop"
    """What to do about rows of more than the whole item, such as watch ratios of what was watched twice."""
    settings: tuple[str, ...] = ()
    """Settings of the encoder that differ from its own, such as size=32 epochs=10."""
    bert: str | None = None
    """A text model by alias (minilm, multilingual), folder or hub name for the items' vectors; by default minilm."""
    seed: int = 0
    """Seed of the split and of the fit."""
    overwrite: bool = False
    """Replace an earlier result of the same name."""
    list: bool = False
    """Describe the encoders and their settings, and stop."""


def main(args: Arguments) -> None:
    """Fit, measure, write."""
    one_of("encoder", args.encoder, ENCODERS)
    if args.list:
        console.print(make_encoders_table())
        return
    folder = run_folder(args.name)
    changes = parse_settings(args.settings)
    check_free(folder, ENCODER_FILE, args.overwrite, ("training", "training-whole"))
    claim(folder)
    set_threads(1)
    source = load_source(args)
    encoder = ENCODERS[args.encoder].make(source.items, **changes)
    parts = split(source.log, seed=args.seed)
    console.print(f"{source.log}: {len(parts.train):,} rows to learn from, {len(parts.warm):,} users to measure by")
    fit_encoder(
        encoder, parts.train, parts.validation, args.seed, folder / "training", "fitting on the past, to measure"
    )
    measures = measure_encoder(encoder, parts)
    encoder = ENCODERS[args.encoder].make(source.items, **changes)
    train, validation = hold_back(source.log)
    fit_encoder(encoder, train, validation, args.seed, folder / "training-whole", "fitting on the whole log")
    warn_below_popularity(encoder, train, validation)
    encoder.save(folder)
    for training in ("training", "training-whole"):
        shutil.rmtree(folder / training, ignore_errors=True)
    now = float(np.nextafter(source.log.time.max(), np.inf))
    users = encoder.encode(source.log.histories(np.arange(source.log.users), now))
    write_arrays({"items": encoder.item_vectors, "users": users}, folder / "vectors.safetensors")
    write_whole(folder / "measures.json", json.dumps(measures, indent=1))
    console.print(make_measures_table(measures))
    console.print(
        f"encoder: {folder}; vectors: {len(users):,} users, {len(source.items):,} items, {encoder.width} wide"
    )


def load_source(args: Arguments) -> Source:
    """The log, and the frozen vectors of its items' texts."""
    text_encoder = TextEncoder(args.bert, device=find_device())
    if Path(args.log).is_file():
        if args.catalog is None:
            raise ValueError(f"log = {args.log!r} is a table; give --catalog, the table of its items (id, text)")
        names = ("id_column", "text_column", "user", "item", "time")
        columns = {name: getattr(args, name) for name in names}
        columns |= {"rating": args.rating, "best_rating": args.best_rating, "time_unit": args.time_unit}
        columns["completion_above_one"] = args.completion_above_one
        return read_table_log(Path(args.log), args.catalog, text_encoder, **columns)
    for field in fields(Arguments):
        if field.name in OF_TABLES and getattr(args, field.name) != field.default:
            raise ValueError(
                f"{field.name} = {str(getattr(args, field.name))!r} is for a table of interactions, and log = "
                f"{args.log!r} is none: leave it out, or give the table's path as --log"
            )
    folder = run_folder(args.log)
    if not (folder / "log.parquet").is_file():
        raise ValueError(f"log = {args.log!r}: no such table, and {folder} has no log.parquet; run scripts/collect.py")
    return read_collected_log(folder, text_encoder)


def parse_settings(settings: tuple[str, ...]) -> dict[str, Any]:
    """``key=value`` words as settings; values as in JSON, or else texts."""
    parsed: dict[str, Any] = {}
    for word in settings:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise ValueError(f"settings: {word!r} is not name=value, such as size=32")
        try:
            parsed[name] = json.loads(value)
        except json.JSONDecodeError:
            parsed[name] = value
    return parsed


def fit_encoder(
    encoder: Encoder, log: Interactions, validation: Interactions, seed: int, folder: Path, title: str
) -> None:
    """Fit with a progress bar."""
    with make_progress(count=True, remaining=True, note=True) as progress:
        task = progress.add_task(title, total=None, note="")

        def report(row: Mapping[str, float]) -> None:
            progress.update(task, completed=row.get("step", 0.0), total=row.get("steps"))
            if "score" in row:
                progress.update(task, note=f"validation {row['score']:.4f}")

        encoder.fit(log, validation, seed=seed, folder=folder, report=report)


def measure_encoder(encoder: Encoder, parts: Split) -> dict[str, dict[str, float]]:
    """Means over the users of each case."""
    cases = {"known users and items": parts.warm, "new users": parts.cold_users, "new items": parts.cold_items}
    means = {}
    for case, users in cases.items():
        if len(users):
            table = evaluate(encoder, users)
            means[case] = {"users": float(len(users))} | {key: float(table[key].mean()) for key in MEASURES}
    return means


def make_measures_table(measures: Mapping[str, Mapping[str, float]]) -> Table:
    """For the terminal."""
    table = make_table(None, ("case", "users", *MEASURES.values()), "l", **FRAMED)
    for case, values in measures.items():
        table.add_row(case, f"{values['users']:,.0f}", *(f"{values[key]:.4f}" for key in MEASURES))
    return table


def make_encoders_table() -> Table:
    """The encoders by name, with the settings of each."""
    table = make_table(None, ("encoder", "what it is", "settings"), "l", **FRAMED)
    for name, card in ENCODERS.cards.items():
        if card.missing:
            table.add_row(name, card.words["about"], f"needs {card.missing}, which is not installed")
            continue
        options = vars(ENCODERS[name].kind.options_type(**ENCODERS[name].preset))
        table.add_row(name, card.words["about"], "  ".join(f"{key}={value}" for key, value in options.items()))
    return table


if __name__ == "__main__":
    run_command(main, Arguments)

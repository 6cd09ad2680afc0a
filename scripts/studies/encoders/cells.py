"""Fits of encoders side by side, each finished one kept for as long as what it depends on stays the same."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from longplay.encoders.text.encoder import TextEncoder
from longplay.envs.shared.files import write_whole
from longplay.scripts.shared.console import console
from longplay.scripts.shared.pool import work_side_by_side
from longplay.scripts.studies.encoders.measures import Source, collected_source, ratings_source, stamp


@dataclass(frozen=True)
class Place:
    """Where a log lies, and which BERT reads its items."""

    source: str
    folder: Path
    bert: str | None


Job = tuple[Place, str, int]  # of which log, which encoder, which seed
Work = Callable[[Path, Place, str, int], str]  # in a folder; gives what to say of it


@functools.cache
def load(place: Place) -> Source:
    """A log and its items, once in each process."""
    read = collected_source if place.source == "simulated" else ratings_source
    return read(place.folder, TextEncoder(place.bert))


def cell(folder: Path, place: Place, name: str, seed: int) -> Path:
    """Folder of an encoder and seed; the last part, its name, labels what is trained on it."""
    return folder / place.source / f"seed-{seed}" / name


def run_all(workers: int, title: str, work: Work, folder: Path, asked: Sequence[Job]) -> None:
    """Do the work of each cell that is missing or out of date; a single worker is this process."""
    stamps = {(place, name): stamp(load(place), name) for place, name, _ in asked}
    missing = [job for job in asked if read_stamp(cell(folder, *job)) != stamps[job[:2]]]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=len(asked), completed=len(asked) - len(missing))
        for job, said in work_side_by_side(partial(do_job, work, folder), missing, workers):
            write_whole(cell(folder, *job) / "stamp.txt", stamps[job[:2]])
            progress.console.print(f"{title}: {job[0].source} {job[1]} {job[2]}: {said}")
            progress.advance(task)


def do_job(work: Work, folder: Path, job: Job) -> str:
    """One job's work."""
    return work(folder, *job)


def read_stamp(folder: Path) -> str | None:
    """What a finished cell depended on."""
    file = folder / "stamp.txt"
    return file.read_text(encoding="utf-8") if file.is_file() else None

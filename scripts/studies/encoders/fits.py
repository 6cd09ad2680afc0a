"""Fits of encoders side by side, a finished one being kept for as long as what it depends on stays the same."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from longplay.encoders.device import find_device
from longplay.encoders.text.encoder import TextEncoder
from longplay.envs.shared.files import write_whole
from longplay.scripts.shared.console import make_progress
from longplay.scripts.shared.logs import Source, read_collected_log
from longplay.scripts.shared.pool import work_side_by_side
from longplay.scripts.studies.encoders.measures import compute_stamp
from longplay.scripts.studies.encoders.ratings import read_ratings_log


@dataclass(frozen=True)
class LogLocation:
    """Where a log lies, and which BERT reads its items."""

    source: str
    folder: Path
    bert: str | None


FitTask = tuple[LogLocation, str, int]  # of which log, which encoder, which seed
FitWork = Callable[[Path, LogLocation, str, int], str]  # in a folder; gives what to say of it


@functools.cache
def load_source(location: LogLocation) -> Source:
    """A log and its items, once in each process."""
    read = read_collected_log if location.source == "simulated" else read_ratings_log
    return read(location.folder, TextEncoder(location.bert, device=find_device()))


def locate_fit(folder: Path, location: LogLocation, name: str, seed: int) -> Path:
    """Folder of an encoder and seed; the last part, its name, labels what is trained on it."""
    return folder / location.source / f"seed-{seed}" / name


def run_fits(workers: int, title: str, work: FitWork, folder: Path, tasks: Sequence[FitTask]) -> None:
    """Do the work of each fit that is missing or out of date; a single worker is this process."""
    stamps = {(location, name): compute_stamp(load_source(location), name) for location, name, _ in tasks}
    missing = [task for task in tasks if read_stamp(locate_fit(folder, *task)) != stamps[task[:2]]]
    with make_progress(count=True) as progress:
        bar = progress.add_task(title, total=len(tasks), completed=len(tasks) - len(missing))
        for task, message in work_side_by_side(partial(run_fit, work, folder), missing, workers):
            write_whole(locate_fit(folder, *task) / "stamp.txt", stamps[task[:2]])
            progress.console.print(f"{title}: {task[0].source} {task[1]} {task[2]}: {message}")
            progress.advance(bar)


def run_fit(work: FitWork, folder: Path, task: FitTask) -> str:
    """The work of one task."""
    return work(folder, *task)


def read_stamp(folder: Path) -> str | None:
    """What a finished fit depended on."""
    file = folder / "stamp.txt"
    return file.read_text(encoding="utf-8") if file.is_file() else None

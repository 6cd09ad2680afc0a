"""Work of a study side by side, in processes that keep the worlds they have built."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

from longplay.scripts.shared.console import set_threads
from longplay.scripts.shared.pool import start_worker

from ..studies.encoders.cells import Job, Work

T = TypeVar("T")


def side_by_side(work: Callable[[T], object], asked: Sequence[T], workers: int) -> Iterator[T]:
    """Do the work of each, and tell what is done; an interruption ends what runs.

    Parameters
    ----------
    work
        A function of a module, which another process can import.
    asked
        Plain data.
    workers
        Processes; a single one, or a single piece of work, is done in this process.
    """
    if workers == 1 or len(asked) < 2:
        for one in asked:
            work(one)
            yield one
        return
    # New processes and no forks: a fork of a process with threads may hang.
    pool = ProcessPoolExecutor(min(workers, len(asked)), multiprocessing.get_context("spawn"), start_worker)
    try:
        running = {pool.submit(work, one): one for one in asked}
        for done in as_completed(running):
            done.result()
            yield running[done]
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def finished(workers: int, work: Work, folder: Path, jobs: Sequence[Job]) -> Iterator[tuple[Job, str]]:
    """Each job and what to say of it, as they are finished; an interruption ends those that run."""
    if workers == 1:
        yield from ((job, work(folder, *job)) for job in jobs)
        return
    # New processes and no forks: a fork of a process with threads may hang.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), start_worker)
    try:
        running = {pool.submit(work, folder, *job): job for job in jobs}
        yield from ((running[done], done.result()) for done in as_completed(running))
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def start_worker() -> None:
    """One thread, and an interruption is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_threads(1)

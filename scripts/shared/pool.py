"""Work side by side, in processes that keep what they have loaded."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

from longplay.scripts.shared.console import set_threads

T = TypeVar("T")
R = TypeVar("R")


def work_side_by_side(work: Callable[[T], R], tasks: Sequence[T], workers: int) -> Iterator[tuple[T, R]]:
    """Do the work of each task, and give each with its result as it is done; an interruption ends what runs.

    Parameters
    ----------
    work
        A function of a module, which another process can import.
    tasks
        Plain data.
    workers
        Processes; a single one, or a single task, is done in this process.
    """
    if workers == 1 or len(tasks) < 2:
        yield from ((task, work(task)) for task in tasks)
        return
    # New processes and no forks: a fork of a process with threads may hang.
    pool = ProcessPoolExecutor(min(workers, len(tasks)), multiprocessing.get_context("spawn"), start_worker)
    try:
        running = {pool.submit(work, task): task for task in tasks}
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

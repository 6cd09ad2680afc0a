"""Work side by side, in processes that keep what they have loaded."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.synchronize import Event
from typing import TypeVar

from longplay.scripts.shared.console import fit_encoding, set_threads
from longplay.scripts.shared.processes import die_with, ignore_signals

Task = TypeVar("Task")
Result = TypeVar("Result")

_stop: Event | None = None  # of a worker's process


def work_side_by_side(
    work: Callable[[Task], Result], tasks: Sequence[Task], workers: int
) -> Iterator[tuple[Task, Result]]:
    """Do the work of each task, and give each with its result as it is done; an interruption ends what runs.

    Parameters
    ----------
    work
        A function of a module, which another process can import.
    tasks
        Plain data.
    workers
        Number of processes; a single one, or a single task, is done in this process.
    """
    if workers == 1 or len(tasks) < 2:
        yield from ((task, work(task)) for task in tasks)
        return
    pool = open_pool(min(workers, len(tasks)))
    try:
        running = {pool.submit(work, task): task for task in tasks}
        yield from ((running[future], future.result()) for future in as_completed(running))
    except BaseException:
        for child in multiprocessing.active_children():
            child.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def open_pool(workers: int, stop: Event | None = None) -> ProcessPoolExecutor:
    """Processes of one thread each, for work whose tasks are not known beforehand.

    Parameters
    ----------
    workers
        Number of processes.
    stop
        An event of `make_stop` by which work can be ended that asks `is_stopped` from time to time.
    """
    # New processes and no forks: a fork of a process with threads may hang.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker, (stop,))


def make_stop() -> Event:
    """An event that the processes of `open_pool` can be given."""
    return multiprocessing.get_context("spawn").Event()


def is_stopped() -> bool:
    """Whether the work of this process is to end."""
    return _stop is not None and _stop.is_set()


def _start_worker(stop: Event | None) -> None:
    """One thread; an interruption is the parent's business: it ends the process or sets `stop`. It dies with it."""
    global _stop
    _stop = stop
    ignore_signals()
    fit_encoding()
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        die_with(parent.pid)
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    set_threads(1)


def _end_after(parent: "multiprocessing.process.BaseProcess") -> None:
    parent.join()
    os._exit(1)

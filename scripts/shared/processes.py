"""How programs are interrupted, and how children end with their parent.

Ctrl-C (SIGINT) and SIGTERM, which managers, containers and schedulers send, are one request: stop at the next slate,
keep what is finished, leave no child behind, and exit with 128 + the signal's number. A second one ends at once.

A child is not interrupted by the terminal, but by its parent, with whom it shares a pipe: when the pipe closes, because
the parent says so or is dead, the child stops as after SIGTERM, and at once if it has not within `GRACE` seconds. On
Linux the kernel also kills it at the moment that its parent dies.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import IO

SIGNALS = (signal.SIGINT, signal.SIGTERM)
CHILD = "LONGPLAY_CHILD_OF"  # in a child's environment: the number of the process that started it
GRACE = 20.0  # seconds that a child has to stop
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)

_stopping = False  # whether this process has been asked to


class Interruption(KeyboardInterrupt):
    """A request to stop.

    Parameters
    ----------
    number
        The signal that asked.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def heed_signals() -> Iterator[None]:
    """Within, the first of `SIGNALS` raises an `Interruption` in the main thread, and a second one ends the process.

    What is ignored stays so: a shell lets its background commands ignore Ctrl-C. Outside of the main thread, which
    alone is told of signals, nothing changes.
    """
    global _stopping
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        global _stopping
        _stopping = True
        for each in heeded:
            signal.signal(each, signal.SIG_DFL)
        raise Interruption(number)

    heeded = {number: signal.getsignal(number) for number in SIGNALS}
    heeded = {number: before for number, before in heeded.items() if before != signal.SIG_IGN}
    for number in heeded:
        signal.signal(number, stop)
    try:
        yield
    finally:
        _stopping = False
        for number, before in heeded.items():
            signal.signal(number, before)


def ignore_signals() -> None:
    """Leave interruptions to the parent."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def follow_parent() -> None:
    """In a process of `start_child`, do as the parent says: see this module. In any other nothing happens."""
    parent = os.environ.pop(CHILD, None)
    if parent is None:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to parent and children alike
    die_with(int(parent))
    pipe = os.dup(sys.stdin.fileno())  # which stays open whatever becomes of sys.stdin
    threading.Thread(target=_stop_when_closed, args=(pipe,), daemon=True).start()


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the process of that number dies, where it can (Linux)."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it has died before the kernel was asked
        os._exit(128 + signal.SIGKILL)


def _stop_when_closed(pipe: int) -> None:
    while os.read(pipe, 1):
        pass
    if not _stopping:
        if hasattr(signal, "pthread_kill"):  # which also wakes a main thread that waits for something
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        else:
            signal.raise_signal(signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)


def start_child(command: list[str], output: IO[bytes], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a command of this package that ends with this process; output and errors go to a file."""
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**environment, CHILD: str(os.getpid())},
    )


def has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether a process of `start_child` has ended by itself."""
    if child.poll() is None:
        return False
    ask_to_stop(child)  # closes the pipe, which nobody reads any more
    return True


def ask_to_stop(child: subprocess.Popen[bytes]) -> None:
    """Close the pipe to a process of `start_child`."""
    if child.stdin is not None:
        child.stdin.close()


def wait_for_end(child: subprocess.Popen[bytes]) -> None:
    """Wait until a process that was asked to stop has ended, and kill it if that takes too long."""
    try:
        child.wait(2 * GRACE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()

"""Programs that tests start: with the default signals, found again with all that they have started themselves."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

MARK = "LONGPLAY_TEST_MARK"


def _heed_signals():
    """A suite that a shell put into the background ignores interruptions, and would hand that on."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class Program:
    """A Python program in a process of its own; leaving ends it.

    Parameters
    ----------
    words
        What follows ``python``.
    folder
        Where it runs.
    environment
        Its variables.
    """

    def __init__(self, words, folder, environment):
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, *map(str, words)],
            cwd=folder,
            env={**environment, MARK: self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=_heed_signals,
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        for number in self.list_living():
            os.kill(number, signal.SIGKILL)

    def wait_for(self, condition, seconds=120.0):
        """Until something holds, which it must while the program runs."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.process.stdout.read()
            assert time.monotonic() < deadline, f"not after {seconds} seconds"
            time.sleep(0.02)

    def send(self, number):
        """Send a signal; gives the exit code and all that was printed."""
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=60)
        return self.process.returncode, output

    def list_living(self):
        """Numbers of the processes that it has started, and they, and so on, and that live (Linux)."""
        mark = f"{MARK}={self.mark}".encode()
        living = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes():
                    living.append(int(folder.name))
            except OSError:  # it has ended meanwhile, or is another user's
                continue
        return [number for number in living if number != self.process.pid]

    def wait_until_alone(self, seconds=10.0):
        """Until none of those lives."""
        deadline = time.monotonic() + seconds
        while living := self.list_living():
            assert time.monotonic() < deadline, f"{living} live on"
            time.sleep(0.02)

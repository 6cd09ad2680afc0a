"""Signals are heeded once, and children end with their parent."""

import os
import re
import signal
import threading
from pathlib import Path

import pytest

from longplay.scripts.shared import processes
from longplay.scripts.shared.processes import Interruption, heed_signals
from longplay.tests.scripts.programs import Program

linux = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="processes are found again in /proc")

CHILD = """
import signal, sys, time
from longplay.scripts.shared import processes
if "without the kernel" in sys.argv:
    processes.die_with = lambda parent: None
processes.GRACE = 1.0
processes.follow_parent()
try:
    with processes.heed_signals():
        print("begun", flush=True)
        while "stubborn" in sys.argv or time.sleep(100) is None:
            try:
                time.sleep(100)
            except KeyboardInterrupt:
                pass
except KeyboardInterrupt as interruption:
    print("stopped by", interruption.number, flush=True)
    sys.exit(128 + interruption.number)
"""
PARENT = """
import os, sys, time
from pathlib import Path
from longplay.scripts.shared import processes
processes.GRACE = 1.0
children = []
try:
    with processes.heed_signals():
        for name in "ab":
            with Path(name).open("wb") as file:
                command = [sys.executable, "-c", CHILD, *sys.argv[1:]]
                children.append(processes.start_child(command, file, os.environ))
        time.sleep(100)
except KeyboardInterrupt as interruption:
    for child in children:
        processes.ask_to_stop(child)
    for child in children:
        processes.wait_for_end(child)
    print([child.returncode for child in children])
    sys.exit(128 + interruption.number)
"""


@pytest.fixture(autouse=True)
def signals():
    """The default ones, whatever this suite was started by."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in processes.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class TestSignals:
    @pytest.mark.parametrize("number", processes.SIGNALS)
    def test_the_first_one_interrupts_and_the_second_would_end_the_process(self, number):
        with heed_signals():
            with pytest.raises(KeyboardInterrupt) as interruption:
                signal.raise_signal(number)
            assert [signal.getsignal(each) for each in processes.SIGNALS] == [signal.SIG_DFL] * 2
        assert interruption.value.number == number
        assert isinstance(interruption.value, Interruption)
        assert signal.getsignal(number) == signal.default_int_handler  # as it was before

    def test_what_is_ignored_stays_so(self):
        """A shell's background commands ignore Ctrl-C; SIGTERM reaches them."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with heed_signals():
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(Interruption):
                signal.raise_signal(signal.SIGTERM)
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN

    def test_other_threads_are_left_alone(self):
        done = []

        def work():
            with heed_signals():
                done.append(signal.getsignal(signal.SIGTERM))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert done == [signal.default_int_handler]


@linux
class TestChildren:
    @pytest.fixture
    def start(self, tmp_path):
        def run(*words):
            program = Program(["-c", f"CHILD = {CHILD!r}\n{PARENT}", *words], tmp_path, os.environ)
            files = [tmp_path / name for name in "ab"]
            program.wait_for(lambda: all(file.is_file() and "begun" in file.read_text() for file in files))
            return program

        return run

    @pytest.mark.parametrize("number", processes.SIGNALS)
    def test_they_stop_as_their_parent_does(self, start, tmp_path, number):
        with start() as program:
            code, output = program.send(number)
            assert code == 128 + number
            assert output.split("\n")[0] == "[143, 143]"
            assert "stopped by 15" in (tmp_path / "a").read_text()
            program.wait_until_alone()

    def test_those_that_do_not_stop_are_ended(self, start):
        with start("stubborn") as program:
            code, output = program.send(signal.SIGTERM)
            assert code == 143
            assert output.split("\n")[0] == "[143, 143]"
            program.wait_until_alone()

    @pytest.mark.parametrize("words", [(), ("without the kernel",), ("without the kernel", "stubborn")])
    def test_they_end_with_a_parent_that_is_killed(self, start, words):
        with start(*words) as program:
            assert len(program.list_living()) == 2
            code, _ = program.send(signal.SIGKILL)
            assert code == -signal.SIGKILL
            program.wait_until_alone()

    def test_a_second_signal_ends_all_at_once(self, start):
        """The parent waits for children that do not stop; killed by the signal, it takes them along."""
        with start("stubborn") as program:
            program.process.send_signal(signal.SIGINT)
            program.wait_for(lambda: _asked_default(program.process.pid))
            code, _ = program.send(signal.SIGTERM)
            assert code == -signal.SIGTERM
            program.wait_until_alone()


def _asked_default(number):
    """Whether a process leaves SIGTERM to the system."""
    status = Path(f"/proc/{number}/status").read_text(encoding="ascii")
    caught = int(re.search(r"SigCgt:\s*(\w+)", status).group(1), 16)
    return not caught & 1 << (signal.SIGTERM - 1)

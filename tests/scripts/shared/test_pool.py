"""Work side by side: results, failures, being told to stop, and ending with the parent."""

import os
import signal
from pathlib import Path

import pytest

from longplay.scripts.shared.pool import is_stopped, make_stop, open_pool, work_side_by_side
from longplay.tests.scripts.programs import Program


class TestSideBySide:
    def test_one_after_the_other(self):
        assert list(work_side_by_side(int, ["5", "7"], 1)) == [("5", 5), ("7", 7)]
        assert list(work_side_by_side(int, [], 2)) == []
        with pytest.raises(ValueError, match="invalid literal"):
            list(work_side_by_side(int, ["five", "5"], 1))

    def test_in_other_processes_work_is_done_and_what_fails_is_told(self):
        done = []
        with pytest.raises(ValueError, match="invalid literal"):
            done.extend(work_side_by_side(int, ["5", "7", "five"], 2))
        assert set(done) <= {("5", 5), ("7", 7)}


def test_work_that_asks_is_stopped():
    assert not is_stopped()
    stop = make_stop()
    pool = open_pool(1, stop)
    try:
        assert not pool.submit(is_stopped).result()
        stop.set()
        assert pool.submit(is_stopped).result()
    finally:
        pool.shutdown()


WORK = """
import sys, time
from dataclasses import dataclass
from pathlib import Path
from longplay.scripts.shared.console import run_command
from longplay.scripts.shared.pool import work_side_by_side

@dataclass
class Arguments:
    pass

def work(name):
    Path(name).touch()
    time.sleep(100)

def main(args):
    list(work_side_by_side(work, ["a", "b"], 2))

if __name__ == "__main__":
    run_command(main, Arguments)
"""


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="processes are found again in /proc")
@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_workers_end_with_their_parent_however_it_ends(tmp_path, number, expected):
    (tmp_path / "program.py").write_text(WORK)
    with Program(["program.py"], tmp_path, os.environ) as program:
        program.wait_for(lambda: all((tmp_path / name).exists() for name in "ab"))
        code, output = program.send(number)
        assert code == expected, output
        assert "Traceback" not in output
        program.wait_until_alone()

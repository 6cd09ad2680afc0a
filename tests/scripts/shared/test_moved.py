"""Old paths of commands say which command took their place."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import longplay

SCRIPTS = Path(longplay.__file__).parent / "scripts"
MOVED = sorted(path for path in SCRIPTS.glob("*.py") if "moved import point_to" in path.read_text(encoding="utf-8"))


def test_there_are_some():
    assert {"results", "dial", "bench"} <= {path.stem for path in MOVED}


@pytest.mark.parametrize("path", MOVED, ids=lambda path: path.stem)
def test_an_old_path_prints_a_command_that_exists(path):
    words = ["--name", "two words"] if path.stem == "results" else []
    done = subprocess.run([sys.executable, str(path), *words], capture_output=True, text=True)
    assert done.returncode == 2
    command = done.stderr.strip().removeprefix("moved: ")
    module = command.split()[2]
    assert command == " ".join(["python", "-m", module, *words[:1], *["'two words'"] * bool(words)])
    assert importlib.util.find_spec(module) is not None
    assert module in path.read_text(encoding="utf-8").split('"""')[1]

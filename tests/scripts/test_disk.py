"""What a command says when the disk fails: a sentence; and nothing is left half-written."""

import errno
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file

from longplay.envs.shared.files import describe_disk_failure, replacing, write_whole
from longplay.scripts.shared import console
from longplay.scripts.shared.folders import write_table

resource = pytest.importorskip("resource", reason="Windows has no limits of files")
NUMBERS = np.random.default_rng(0).random(300_000).astype(np.float32)  # [1.2 MB] that nothing makes smaller


def write_checkpoint(path):
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save({"x": torch.from_numpy(NUMBERS)}, file)


def write_arrays(path):
    with replacing(path) as temporary:
        save_file({"x": NUMBERS}, temporary)


WRITERS = {
    "text": lambda path: write_whole(path, "x" * 2_000_000),
    "table": lambda path: write_table(pd.DataFrame({"x": NUMBERS}), path),
    "checkpoint": write_checkpoint,
    "arrays": write_arrays,
}


@pytest.fixture
def small_disk():
    """No file may grow beyond 100 kB; Python ignores the signal, so that writing fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_disk")
@pytest.mark.parametrize("name", WRITERS)
def test_where_a_write_fails_nothing_is_half_written_and_a_sentence_is_said(name, tmp_path):
    path = tmp_path / "result"
    path.write_bytes(b"old")
    with pytest.raises(Exception) as failure:  # noqa: PT011  # of four libraries
        WRITERS[name](path)
    said = describe_disk_failure(failure.value)
    assert said is not None, failure.value
    assert "the file would be larger than allowed here; what was finished before is kept. Fix: raise the limit" in said
    assert [file.name for file in tmp_path.iterdir()] == ["result"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/x/a"),
            "the system refuses runs/x/a: the disk is full; ",
        ),
        (OSError(errno.EROFS, "Read-only file system", "runs"), "the system refuses runs: the disk is read-only; "),
        (PermissionError(errno.EACCES, "Permission denied", "runs"), "the system refuses runs: permission is denied; "),
        (
            RuntimeError("I/O error: No space left on device (os error 28)"),
            "the system refuses a file: the disk is full",
        ),
    ],
)
def test_failures_of_a_disk_are_told_from_others(error, said):
    assert describe_disk_failure(error).startswith(said)
    later = RuntimeError("could not finish")
    later.__cause__ = error
    assert describe_disk_failure(later).startswith(said)
    assert describe_disk_failure(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None
    assert describe_disk_failure(ZeroDivisionError("division by zero")) is None


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="Linux has a folder that even root cannot write to")
def test_a_read_only_folder_is_a_sentence(call):
    from longplay.scripts import train

    code, output = call(train, "--name", "x", folder="/sys/kernel")
    assert code == 2
    assert "the system refuses /sys/kernel/runs: " in output
    assert "and give the command again" in output
    assert "Traceback" not in output


def test_other_errors_keep_their_traceback(monkeypatch):
    from longplay.scripts import train

    def fail(args):
        raise ZeroDivisionError("division by zero")

    fail.__module__ = train.__name__
    monkeypatch.setattr(sys, "argv", ["train.py", "--name", "x"])
    with pytest.raises(ZeroDivisionError):
        console.run_command(fail, train.Arguments)


def test_a_file_where_a_folder_is_wanted_is_named(tmp_path):
    (tmp_path / "runs").touch()
    for path in (tmp_path / "runs" / "x", tmp_path / "runs" / "deep" / "x"):
        with pytest.raises(OSError) as failure:  # noqa: PT011
            write_whole(path, "text")
        said = describe_disk_failure(failure.value)
        assert "a file stands where a folder is wanted" in said
        assert "runs" in said

"""A folder has one writer at a time, and an error that says who it is."""

import json
import os
import re
import signal

import pytest

from longplay.scripts import compare
from longplay.scripts.shared import claims
from longplay.scripts.shared.claims import claim, release_claims
from longplay.tests.scripts.programs import Program

VALIDATION = ("--validation-users", "5")
WRITER = """
import sys, time
from pathlib import Path
from longplay.scripts.shared.claims import claim
claim(Path("x"))
print("claimed", flush=True)
time.sleep(100)
"""


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(claims, "_WAIT", 0.1)
    return tmp_path


@pytest.fixture
def writer(place):
    with Program(["-c", WRITER, "--name", "x y"], place, os.environ) as program:
        program.wait_for(claims.locate_holder(place / "x").is_file)
        yield program


def test_a_second_writer_is_told_of_the_first(writer, place):
    with pytest.raises(ValueError, match="is being written to") as refusal, release_claims():
        claim(place / "x")
    said = rf"{place}/x is being written to by process {writer.process.pid} \(-c --name 'x y'\) since [-0-9]+ [0-9:]+; "
    assert re.fullmatch(said + "wait until it ends, end it, or give another --name", str(refusal.value))


def test_two_comparisons_of_one_name(call, place):
    other = "import sys, time; from pathlib import Path; from longplay.scripts.shared.claims import claim\n"
    with Program(["-c", other + "claim(Path('runs/x')); time.sleep(100)", "--name", "x"], place, os.environ) as first:
        first.wait_for(claims.locate_holder(place / "runs" / "x").is_file)
        code, output = call(compare, "--name", "x", "--env", "longplay/Tiny-v0", "--users", "5", *VALIDATION)
        assert code == 2
        assert f"runs/x is being written to by process {first.process.pid} (-c --name x) since " in output
        assert not (place / "runs" / "x").exists()


def test_a_claim_ends_with_its_holder(writer, place):
    writer.send(signal.SIGKILL)
    with release_claims():
        claim(place / "x")
        assert json.loads(claims.locate_holder(place / "x").read_text())["process"] == os.getpid()
    assert not claims.locate_holder(place / "x").exists()


def test_a_writer_that_has_not_said_who_it_is_counts_too(writer, place):
    claims.locate_holder(place / "x").unlink()
    with pytest.raises(ValueError, match="is being written to by another process; wait"), release_claims():
        claim(place / "x")


def test_one_process_may_claim_twice_and_lets_go_in_the_end(place):
    (place / "x").mkdir()
    for _ in range(2):
        with release_claims():
            claim(place / "x")
            claim(place / "." / "x")
    assert not claims.locate_holder(place / "x").exists()


def test_the_folder_itself_is_left_to_results(place):
    with release_claims():
        claim(place / "new")
        assert not (place / "new").exists()


def test_a_child_may_write_to_what_its_parent_has_claimed(place, monkeypatch):
    with release_claims():
        claim(place / "x")
        shared = claims.share_claims()
        code = "import os; from pathlib import Path; from longplay.scripts.shared.claims import claim\n"
        code += "claim(Path('x')); claim(Path('x/inner'))"
        with Program(["-c", code], place, {**os.environ, **shared}) as program:
            output, _ = program.process.communicate(timeout=60)
        assert program.process.returncode == 0, output
        with Program(["-c", code], place, os.environ) as program:
            output, _ = program.process.communicate(timeout=60)
        assert "is being written to by process" in output

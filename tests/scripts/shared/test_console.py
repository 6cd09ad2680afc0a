"""What is printed where the terminal or the pipe is not UTF-8."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

import longplay
from longplay.encoders.device import VARIABLE
from longplay.scripts.shared import console as module
from longplay.scripts.shared.console import console, fit_encoding, spell, take_device
from longplay.scripts.shared.tables import FRAMED, make_table
from longplay.scripts.shared.trainings import make_environment

SCRIPTS = Path(longplay.__file__).parent / "scripts"


@pytest.fixture
def pipe(monkeypatch):
    """A strict standard output of an encoding; gives what is printed there, decoded."""

    def open_pipe(encoding):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", write_through=True)
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setenv("COLUMNS", "80")
        fit_encoding()
        return lambda: stream.buffer.getvalue().decode(encoding)

    return open_pipe


@pytest.mark.parametrize(
    ("text", "encoding", "spelled"),
    [
        ("SlateQ γ=0.99 − ε", "utf-8", "SlateQ γ=0.99 − ε"),
        ("SlateQ γ=0.99 − ε", "cp1252", "SlateQ gamma=0.99 - epsilon"),
        ("λ → ≥ ≤ ×", "ascii", "lambda -> >= <= x"),
        ("300 × 2 ± é “Amélie”", "cp1252", "300 × 2 ± é “Amélie”"),  # which it has
        ("Amélie, Erdős 中", "ascii", "Amelie, Erdos ?"),
        ("Erdős ⠋", "cp1252", "Erdos ?"),
        ("┏━┓╭│╯", "ascii", "+-+" + "+|+"),
    ],
)
def test_what_an_encoding_lacks_is_spelled_out(text, encoding, spelled):
    assert spell(text, encoding) == spelled


@pytest.mark.parametrize("style", [{}, FRAMED])
@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "gbk"])
def test_a_table_keeps_its_columns_in_line(pipe, encoding, style):
    said = pipe(encoding)
    console.print(make_table("− γ=0 twin", ("policy", "minutes"), rows=[("PPO γ=0", "1 − 2"), ("no γ", "3")], **style))
    lines = [line for line in said().splitlines() if "3" in line or "2" in line]
    assert len({len(line.rstrip(" |")) for line in lines}) == 1, said()
    assert "?" not in said()


def test_what_is_printed_past_the_console_is_spelled_out_too(pipe):
    said = pipe("cp1252")
    print("γ ≥ 0.95 ─ 中")
    assert said() == "gamma >= 0.95 - ?\n"


def test_a_choice_of_the_user_s_own_stays(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", stream)
    fit_encoding()
    assert stream.errors == "backslashreplace"


def test_a_script_speaks_through_a_pipe_of_windows(environment, tmp_path):
    """In a process whose output is cp1252 and whose locale has no characters but ASCII."""
    settings = {**environment, "PYTHONIOENCODING": "cp1252", "LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"}
    code = "import sys, longplay.scripts.play as play; from longplay.scripts.shared.console import *; "
    code += r"console.print('\u03b3 \u2265 \u03b5'); run_command(play.main, play.make_arguments_type)"
    done = subprocess.run(
        [sys.executable, "-c", code, "--agent", "linucb", "--split", "tets"],
        cwd=tmp_path,
        env=settings,
        capture_output=True,
        timeout=120,
    )
    said = done.stdout.decode("cp1252")
    assert done.returncode == 2, said + done.stderr.decode("cp1252")
    assert "gamma >= epsilon" in said
    assert "split = 'tets' is unknown (did you mean 'test'?)" in said


def test_what_children_print_into_files_is_utf_8(monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    assert make_environment()["PYTHONIOENCODING"] == "utf-8"


@pytest.mark.parametrize("words", [["--device", "cpu"], ["--device=cpu"], ["x", "--device", "auto", "--y", "3"]])
def test_the_device_is_of_the_process_and_its_children(monkeypatch, words):
    monkeypatch.setenv(VARIABLE, "cpu")
    assert take_device(words) == [word for word in words if word in ("x", "--y", "3")]
    assert make_environment()[VARIABLE] == ("auto" if "auto" in words else "cpu")


@pytest.mark.parametrize(
    ("words", "said"), [(["--device", "gpu"], "'gpu' is unknown"), (["--device"], "'' is unknown")]
)
def test_another_device_is_refused(monkeypatch, words, said):
    monkeypatch.setenv(VARIABLE, "cpu")
    with pytest.raises(ValueError, match=f"device = {said}.*; allowed: 'auto', 'cpu', 'cuda'"):
        take_device(words)


def test_the_handler_is_known_by_its_name(pipe):
    pipe("cp1252")
    assert sys.stdout.errors == module.HANDLER

"""A soak: small commands are interrupted at random moments, again and again, and must end with the same results.

    python -m longplay.scripts.bench.interruptions --minutes 5 --seed 0

Each round takes a command (a training, a log, a comparison, a search, a study whose fits are workers and whose
trainings are programs, the demo in small) and sends SIGINT, SIGTERM or SIGKILL at a random moment, some times, before
it may come to its end. Checked are the exit codes, that nothing which was started lives on, that no folder stays
claimed, and that the files in the end are those of a run that nobody interrupted. Linux only: processes are found again
in /proc.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from longplay.agents.logs.collect import draw_items, tabulate_items
from longplay.envs.catalogs.films import load_films
from longplay.scripts.shared.console import console, run_command
from longplay.scripts.shared.folders import write_table
from longplay.scripts.shared.trainings import SCRIPTS, make_environment

MARK = "LONGPLAY_SOAK_MARK"
SCENARIO = 'base = "video"\n[shape]\nusers = 200\ncandidates = 40\n[horizon]\ndays = 4.0\n'
WORLD = "--catalog items.parquet --scenario small.toml"
RUN = f"{WORLD} --agent pl-ppo --steps 4096 --num-envs 8 --eval-users 5"
COMMANDS = {
    "train": f"{SCRIPTS}/train.py {RUN} --evals 2 --track offline",
    "collect": f"{SCRIPTS}/collect.py {WORLD} --users 150 --minari-users 4",
    "compare": f"{SCRIPTS}/compare.py {WORLD} --users 20 --validation-users 10 --rules similarity mmr --track offline",
    "tune": f"{SCRIPTS}/tune.py {RUN} --evals 2 --trials 2",
    "demo": f"{SCRIPTS}/demo.py --seeds 1 --steps 4096 --users 10 --track off",
    "study": (
        "-m longplay.scripts.studies.encoders --log straight-collect --encoders popularity pooled --states pooled "
        "--fine-tuned --seeds 2 --users 5 --validation-users 5 --steps 1024 --track off"
    ),
}
RESULTS = ("log.parquet", "users.parquet", "results.parquet", "engagement.parquet", "curve.csv", "policy.safetensors")
UNLIKE = {"study": "results.parquet", "demo": "results.parquet"}  # seconds, and the folders of the runs, stand in them
GRACE = 15.0  # seconds in which what was started must have ended


@dataclass
class Arguments:
    """Interrupt at random."""

    minutes: float = 5.0
    """For how long."""
    seed: int = 0
    """Seed of commands, signals and moments."""
    commands: tuple[str, ...] = tuple(name for name in COMMANDS if name != "demo")
    """Those among which to choose; demo, which is left out otherwise, takes five minutes in peace."""


def main(args: Arguments) -> None:
    """Run each command once in peace, then interrupt."""
    chance, counts = random.Random(args.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_table(tabulate_items(draw_items(load_films(), 80, 0)), place / "items.parquet")
        (place / "small.toml").write_text(SCENARIO, encoding="utf-8")
        seconds, straight = {}, {}
        for key in dict.fromkeys(("collect", *args.commands)):  # the study reads the log
            start = time.monotonic()
            run_to_end(key, f"straight-{key}", place)
            seconds[key], straight[key] = (
                time.monotonic() - start,
                read_results(key, place / "runs" / f"straight-{key}"),
            )
            console.print(f"{key}: {seconds[key]:.0f} s in peace, {len(straight[key])} files")
        end = time.monotonic() + 60 * args.minutes
        while time.monotonic() < end:
            key = chance.choice(args.commands)
            name = f"{key}-{counts['rounds']}"
            for _ in range(chance.randint(1, 3)):
                number = chance.choice((signal.SIGINT, signal.SIGTERM, signal.SIGKILL))
                ended = interrupt(key, name, place, number, chance.uniform(0.0, seconds[key]))
                counts["ended before" if ended else number.name] += 1
            run_to_end(key, name, place)
            counts["rounds"] += 1
            other = read_results(key, place / "runs" / name)
            if other != straight[key]:
                different = sorted(file for file in straight[key] if other.get(file) != straight[key][file])
                raise ValueError(f"{name} has other results than a run that nobody interrupted: {different}")
            console.print(f"{name}: as in peace; {dict(counts)}")


def read_results(key: str, folder: Path) -> dict[str, bytes]:
    """Contents of the files that are the same in every folder."""
    files = sorted(file for name in RESULTS if name != UNLIKE.get(key) for file in folder.rglob(name))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@contextmanager
def start(key: str, name: str, place: Path, mark: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command, or go on with it; what it prints goes to a file beside the runs. In the end it is killed."""
    words = [*COMMANDS[key].split(), "--name", name]
    run = place / "runs" / name
    if key == "train" and (run / "config.json").is_file():
        words += ["--resume"] if (run / "checkpoint.pt").is_file() else ["--overwrite"]
    with (place / f"{name}.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=place,
            env=make_environment() | {MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def run_to_end(key: str, name: str, place: Path) -> None:
    """Run a command that nobody interrupts."""
    mark = uuid.uuid4().hex
    with start(key, name, place, mark) as process:
        code = process.wait()
    if code != 0:
        raise ValueError(f"{name} ended with {code}: {(place / f'{name}.txt').read_text(encoding='utf-8')[-2000:]}")
    check_left(name, place, mark)


def interrupt(key: str, name: str, place: Path, number: signal.Signals, moment: float) -> bool:
    """Start a command and interrupt it after so many seconds; gives whether it had ended before."""
    mark = uuid.uuid4().hex
    expected: tuple[int, ...] = (0,)
    with start(key, name, place, mark) as process:
        try:
            code = process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            code = process.wait(60)
            # Before its imports are done, Python leaves signals to the system; and it may have just ended by itself.
            expected = (-number,) if number == signal.SIGKILL else (128 + number, -number, 0)
    if code not in expected:
        text = (place / f"{name}.txt").read_text(encoding="utf-8")[-2000:]
        raise ValueError(f"{name} ended with {code} after {moment:.1f} s and {number.name}: {text}")
    check_left(name, place, mark, killed=number == signal.SIGKILL)
    return expected == (0,)


def check_left(name: str, place: Path, mark: str, *, killed: bool = False) -> None:
    """Nothing that a command has started may live on, nor a claim of it."""
    end = time.monotonic() + GRACE
    while living := list_living(mark):
        if time.monotonic() > end:
            raise ValueError(f"{name} has ended, and what it started lives on: {living}")
        time.sleep(0.05)
    if not killed and list((place / "runs").rglob(".*.writer.json")):
        raise ValueError(f"{name} has ended, and its folder is still claimed")


def list_living(mark: str) -> dict[int, str]:
    """Commands of the living processes that carry a mark, by number."""
    words, living = f"{MARK}={mark}".encode(), {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if words in (folder / "environ").read_bytes():
                living[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has ended meanwhile, or is another user's
            continue
    living.pop(os.getpid(), None)
    return living


if __name__ == "__main__":
    run_command(main, Arguments)

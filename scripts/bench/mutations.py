"""What the tests notice: one operator or constant is changed at a time, and the tests are run on what comes of it.

    python -m longplay.scripts.bench.mutations --name mutations --mutants 105 --workers 2
    python -m longplay.scripts.bench.mutations --name mutations --missed     # after tests were added
    python -m longplay.scripts.bench.mutations --name mutations --suite

Mutants are drawn by seed, as many of each subject. Each is made in a copy of the project and meets the tests of its
own file, the recorded lives of the environments, then those of its room, until one fails; with --suite those that
nothing noticed meet the whole suite. What is done is kept, for as long as the files that are changed stay as they are,
and not done again, but for --missed. docs/mutations.toml holds an argument for each that changes no result,
docs/mutations.md the table.
"""

import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

import pandas as pd

import longplay
from longplay.scripts.bench.mutants import Mutant, list_mutants
from longplay.scripts.shared.console import console, make_progress, run_command
from longplay.scripts.shared.folders import record_study, run_folder, write_table
from longplay.scripts.shared.tables import make_frame, render_frame, write_markdown

ROOT = Path(longplay.__file__).resolve().parent
COMMAND = "python -m longplay.scripts.bench.mutations"
RUNNER = (  # tests, in a process that the kernel ends with its parent
    "import sys, pytest; from longplay.scripts.shared.processes import die_with; die_with(int(sys.argv[1])); "
    "sys.exit(pytest.main(sys.argv[2:]))"
)
NEUTRAL = ROOT / "docs" / "mutations.toml"
SUBJECTS = {
    "dynamics": ("envs/users/dynamics.py", "envs/users/memory.py", "envs/users/arithmetic.py", "envs/users/chance.py"),
    "engine": ("envs/engine.py", "envs/users/population.py"),
    "retriever": ("envs/candidates/retriever.py", "envs/candidates/pooling.py"),
    "scoring": ("envs/candidates/scoring.py",),
    "losses": (
        "agents/slates/choice_losses.py",
        "agents/slates/plackett_luce.py",
        "agents/learners/policy_gradient/losses.py",
        "agents/learners/policy_gradient/gae.py",
        "agents/learners/wolpertinger/losses.py",
        "agents/offline/losses.py",
    ),
    "estimators": ("agents/offline/estimators.py",),
    "statistics": ("agents/stats.py", "encoders/measures/metrics.py"),
}


@dataclass
class Arguments:
    """Change one place at a time and see whether the tests notice."""

    name: str
    """Folder below runs/ in which results are kept."""
    mutants: int = 105
    """Changes to draw, in equal shares of the subjects."""
    seed: int = 0
    """Seed of the draw."""
    workers: int = 1
    """Copies of the project that are tested side by side."""
    timeout: float = 900.0
    """Seconds for one run of tests; what takes longer counts as noticed, since it never ends."""
    missed: bool = False
    """Run the tests of file and room again on those that they have not noticed and no argument calls neutral."""
    suite: bool = False
    """Run the whole suite on those that the tests of their room have not noticed."""


@dataclass(frozen=True)
class Task:
    """A change of a file, by a subject."""

    subject: str
    file: str
    line: int
    start: int
    before: str
    after: str


@dataclass(frozen=True)
class Outcome:
    """What came of it: the tests that noticed, if any; how far it came; seconds; the commit of the tests."""

    noticed_by: str
    reached: str
    seconds: float
    commit: str


def main(args: Arguments) -> None:
    """Draw, test, tabulate."""
    if args.mutants < len(SUBJECTS) or args.workers < 1 or args.timeout <= 0:
        raise ValueError(f"mutants must be at least {len(SUBJECTS)}, workers at least 1, timeout above 0")
    folder = run_folder(args.name)
    folder.mkdir(parents=True, exist_ok=True)
    record_study(folder, {"seed": args.seed, "mutants": args.mutants, "sources": digest_sources()})
    drawn = draw_mutants(args.mutants, args.seed)
    done = read_outcomes(folder)
    arguments = tomllib.loads(NEUTRAL.read_text(encoding="utf-8")) if NEUTRAL.exists() else {}
    wanted = [(task, mutant) for task, mutant in drawn if is_open(task, done.get(task), args, arguments)]
    with make_progress(count=True) as progress:
        bar = progress.add_task("mutants", total=len(wanted))
        for task, outcome in try_all(wanted, args):
            done[task] = outcome
            write_table(pd.DataFrame([asdict(key) | asdict(value) for key, value in done.items()]), table_of(folder))
            progress.advance(bar)
    frames = tabulate_outcomes(done, arguments)
    commits = ", ".join(sorted({outcome.commit for outcome in done.values()}))
    command = f"{COMMAND} --name NAME --mutants {args.mutants} --seed {args.seed}"
    head = f"# Mutants\n\n`{command}`: one operator or constant is changed at a time. Tests of {commits}."
    write_markdown(frames, folder / "mutations.md", head)
    for frame in frames:
        console.print(render_frame(frame))


def digest_sources() -> str:
    """Digest of the files that are changed."""
    digest = hashlib.sha256()
    for file in sorted(file for files in SUBJECTS.values() for file in files):
        digest.update(f"{file}\n".encode() + (ROOT / file).read_bytes())
    return digest.hexdigest()[:16]


def read_commit() -> str:
    """The commit whose tests are run."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def draw_mutants(number: int, seed: int) -> list[tuple[Task, Mutant]]:
    """Mutants of each subject in equal shares, drawn without regard to its files."""
    generator = random.Random(seed)
    drawn = []
    for place, (subject, files) in enumerate(SUBJECTS.items()):
        share = number // len(SUBJECTS) + (place < number % len(SUBJECTS))
        every = []
        for file in files:
            source = (ROOT / file).read_text(encoding="utf-8")
            every += [(make_task(subject, file, source, mutant), mutant) for mutant in list_mutants(source)]
        drawn += sorted(generator.sample(every, min(share, len(every))), key=lambda pair: (pair[0].file, pair[0].start))
    return drawn


def make_task(subject: str, file: str, source: str, mutant: Mutant) -> Task:
    """The changed line before and after, for people to read."""
    before = source.splitlines()[mutant.line - 1].strip()
    after = mutant.apply(source).splitlines()[mutant.line - 1].strip()
    return Task(subject, file, mutant.line, mutant.start, before, after)


def is_open(task: Task, outcome: Outcome | None, args: Arguments, arguments: Mapping[str, str]) -> bool:
    """Whether there is something left to run."""
    if outcome is None:
        return True
    if outcome.noticed_by or name_change(task) in arguments:
        return False
    return args.missed or (args.suite and outcome.reached != "suite")


def table_of(folder: Path) -> Path:
    """File of the outcomes."""
    return folder / "outcomes.parquet"


def read_outcomes(folder: Path) -> dict[Task, Outcome]:
    """What was done before."""
    if not table_of(folder).exists():
        return {}
    outcomes = {}
    for row in pd.read_parquet(table_of(folder)).to_dict("records"):
        task = Task(*(row[name] for name in Task.__dataclass_fields__))
        outcomes[task] = Outcome(*(row[name] for name in Outcome.__dataclass_fields__))
    return outcomes


def try_all(wanted: Sequence[tuple[Task, Mutant]], args: Arguments) -> Iterator[tuple[Task, Outcome]]:
    """Test each in one of the copies."""
    if not wanted:
        return
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(args.workers):
            copies.put(copy_project(Path(folder) / str(number)))
        trial = Trial(args)

        def work(task: Task, mutant: Mutant) -> Outcome:
            copy = copies.get()
            try:
                return trial.try_mutant(copy, task, mutant)
            finally:
                copies.put(copy)

        pool = ThreadPoolExecutor(args.workers)
        try:
            running = {pool.submit(work, task, mutant): task for task, mutant in wanted}
            for future in as_completed(running):
                yield running[future], future.result()
        finally:
            trial.stop()
            pool.shutdown(cancel_futures=True)


def copy_project(folder: Path) -> Path:
    """A copy of the files that git knows, in a folder that Python takes for the package."""
    files = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], check=True, capture_output=True, text=True)
    copy = folder / "longplay"
    for name in filter(None, files.stdout.split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    return copy


class Trial:
    """The tests of mutants, side by side in threads.

    Parameters
    ----------
    args
        Arguments of the command.
    """

    def __init__(self, args: Arguments) -> None:
        self.args = args
        self._proven: dict[str, bool] = {}  # whether tests pass without any change
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def try_mutant(self, copy: Path, task: Task, mutant: Mutant) -> Outcome:
        """Run the tests of the file, then of the room, or with ``suite`` all; stop at the first that fails."""
        file, start = copy / task.file, time.monotonic()
        source = file.read_text(encoding="utf-8")
        selections = {"suite": ["tests"]} if self.args.suite else list_tests(copy, task.file)
        with self._lock:  # tests that fail by themselves prove nothing
            for key in map(" ".join, selections.values()):
                if key not in self._proven:
                    self._proven[key] = self.run_tests(copy, key.split())
                if not self._proven[key]:
                    raise ValueError(f"tests = {key!r} fail without any change; mend them first")
        try:
            write_source(file, mutant.apply(source))
            for reached, tests in selections.items():  # noqa: B007  # how far it came is told below
                noticed = "" if self.run_tests(copy, tests) else " ".join(tests)
                if noticed:
                    break
            return Outcome(noticed, reached, time.monotonic() - start, read_commit())
        finally:
            write_source(file, source)

    def run_tests(self, copy: Path, tests: Sequence[str]) -> bool:
        """Whether tests pass, in a process that ends with this one."""
        command = [sys.executable, "-c", RUNNER, str(os.getpid()), "-c", "tests/pytest.ini", "-x", *tests]
        variables = os.environ | {
            "PYTHONPATH": str(copy.parent),
            "LONGPLAY_CACHE": str(copy.parent / "cache"),
            "OMP_NUM_THREADS": "1",
            "WANDB_MODE": "offline",
        }
        nowhere = subprocess.DEVNULL
        with subprocess.Popen(
            command, cwd=copy, env=variables, stdin=nowhere, stdout=nowhere, stderr=nowhere
        ) as process:
            self._running.add(process)
            try:
                if self._stopped:
                    process.kill()
                return process.wait(self.args.timeout) == 0
            except subprocess.TimeoutExpired:
                process.kill()
                return False
            finally:
                self._running.discard(process)

    def stop(self) -> None:
        """Kill the tests that run, and all that would follow."""
        self._stopped = True
        for process in list(self._running):
            process.kill()


def list_tests(copy: Path, file: str) -> dict[str, list[str]]:
    """The tests of a file and those of its room, for as far as there are such."""
    path = Path(file)
    own = Path("tests") / path.with_name(f"test_{path.name}")
    room = Path("tests", path.parts[0], *([path.parts[1]] if len(path.parts) > 2 else []))
    selections = {"file": [str(own)]} if (copy / own).exists() else {}
    if path.parts[0] == "envs":  # recorded lives hold what simulated users and their candidates do
        selections["lives"] = ["tests/envs/named/test_golden.py"]
    return selections | {"room": [str(room)]}


def write_source(file: Path, source: str) -> None:
    """Write a source, and forget its compiled form, which goes by the second of the change."""
    file.write_text(source, encoding="utf-8")
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        compiled.unlink()


def tabulate_outcomes(done: dict[Task, Outcome], arguments: Mapping[str, str]) -> list[pd.DataFrame]:
    """A row for each subject, and one for each change that nothing noticed, with its argument if it is neutral."""
    rows = []
    for subject in [*SUBJECTS, "all"]:
        of = {task: outcome for task, outcome in done.items() if subject in (task.subject, "all")}
        missed = [task for task, outcome in of.items() if not outcome.noticed_by]
        neutral = sum(name_change(task) in arguments for task in missed)
        counted = len(of) - neutral
        rows.append(
            {
                "subject": subject,
                "mutants": str(len(of)),
                "noticed": str(len(of) - len(missed)),
                "neutral": str(neutral),
                "missed": str(len(missed) - neutral),
                "noticed of those that change a result": f"{(len(of) - len(missed)) / max(counted, 1):.0%}",
            }
        )
    survivors = [
        {
            "file": f"{task.file}:{task.line}",
            "before": f"`{task.before}`",
            "after": f"`{task.after}`",
            "argument": arguments.get(name_change(task), "none: it is missed"),
        }
        for task, outcome in done.items()
        if not outcome.noticed_by
    ]
    return [make_frame(rows, "What the tests notice"), make_frame(survivors, "What nothing noticed")]


def name_change(task: Task) -> str:
    """The key of an argument in docs/mutations.toml, which does not hang on numbers of lines."""
    return f"{task.file}: {task.before} -> {task.after}"


if __name__ == "__main__":
    run_command(main, Arguments)

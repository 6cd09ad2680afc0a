"""Measure other simulators beside longplay, each in a virtual environment of its own below ``.peers``.

The environments are made by the first run and kept: a stamp in each names the packages and the Python that it was made
for. A peer that cannot be installed or does not run is skipped, with the reason.
"""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longplay.envs.shared.files import write_whole

Row = dict[str, Any]

FOLDER = Path(".peers")
WORKER, JAX_WORKER = (Path(__file__).parent / "workers" / name for name in ("simulators.py", "jax_ppo.py"))
STAMP = "installed.txt"
INSTALL_LIMIT, MEASURE_LIMIT = 600.0, 600.0  # seconds

# What a row must say, and of what type.
FIELDS: dict[str, type | tuple[type, ...]] = {
    "peer": str,
    "version": str,
    "way": str,
    "users": int,
    "slate": int,
    "items": int,
    "steps_per_second": (int, float),
    "note": str,
}

# One thread, and quiet.
SETTINGS = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_USE_LEGACY_KERAS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
}


class SkippedError(Exception):
    """A peer cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Peer:
    """A simulator, and what to install for it.

    Attributes
    ----------
    packages
        Pinned versions that work together.
    alone
        Installed after them without regard to what they ask for: versions that no longer install, or parts of them
        that are not measured.
    """

    name: str
    packages: tuple[str, ...]
    alone: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Name of its environment."""
        return self.name.lower().replace(" ", "-")


NUMPY, SCIPY = "numpy==2.4.6", "scipy==1.17.1"
GYM = ("gym==0.26.2", "absl-py==2.5.1", "gin-config==0.5.0")
TENSORFLOW = ("tensorflow-cpu==2.21.0", "tensorflow-probability==0.25.0", "edward2==0.0.2")

PEERS = (
    Peer("SARDINE", ("sardine-rec==1.0.8", "gymnasium==1.4.0", NUMPY)),
    # It asks for pandas 1.0.5 and for LensKit, which it needs only for matrix factorisation.
    Peer("T-RECS", (NUMPY, SCIPY, "networkx==3.6.1", "pandas==3.1.1", "tqdm==4.70.1"), ("trecs==0.2.1",)),
    Peer("RecSim", ("recsim-no-tf==0.2.3", "six==1.17.0", NUMPY, SCIPY, *GYM)),
    # It asks for JAX and matplotlib, of which nothing measured makes use; tf-keras for tensorflow by its other name.
    Peer("RecSim NG", (NUMPY, *GYM, *TENSORFLOW), ("tf-keras==2.21.0", "recsim-ng==0.1.2")),
)
# What the field calls fast: a learner and its environments as one compiled program.
JAX = Peer("JAX", (NUMPY, "jax==0.10.2", "gymnax==1.0.1", "optax==0.2.8", "six==1.17.0"))


def run_process(command: Sequence[str | Path], limit: float) -> str:
    """What a command prints.

    Raises
    ------
    SkippedError
        If it cannot be started, fails, or takes more than `limit` seconds; then it is ended with all that it started.
    """
    environment = {**os.environ, **SETTINGS}
    try:
        process = subprocess.Popen(
            [str(word) for word in command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise SkippedError(f"cannot start: {error}") from error
    try:
        output, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise SkippedError(f"took more than {limit:g} s") from error
    finally:
        if process.returncode is None:  # out of time, or interrupted
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode:
        lines = [line.strip() for line in (errors or output).splitlines() if line.strip()]
        # The notice about a newer pip comes last, and the error before it.
        messages = [line for line in lines if line.startswith("ERROR")] or lines or ["no message"]
        raise SkippedError(f"exit code {process.returncode}: {messages[-1]}")
    return output


def prepare_environment(peer: Peer, folder: Path = FOLDER, limit: float = INSTALL_LIMIT) -> Path:
    """Python of the peer's environment, which is made where there is none or the stamp differs.

    Parameters
    ----------
    limit
        Seconds for each of the commands that make it.

    Raises
    ------
    SkippedError
        If that fails; nothing is left behind.
    """
    home = folder / peer.folder
    python = home / "bin" / "python"
    stamp = "\n".join([sys.version, *peer.packages, *peer.alone])
    if (home / STAMP).is_file() and (home / STAMP).read_text(encoding="utf-8") == stamp and python.exists():
        return python
    pip = (python, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check")
    try:
        run_process((sys.executable, "-m", "venv", "--clear", home), limit)
        run_process((*pip, *peer.packages), limit)
        if peer.alone:
            run_process((*pip, "--no-deps", *peer.alone), limit)
        write_whole(home / STAMP, stamp)
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    return python


def parse_rows(output: str, peer: str) -> list[Row]:
    """The rows that a worker printed; lines that are no JSON objects are the libraries' own.

    Raises
    ------
    SkippedError
        If there is no row, or one lacks a field or has one of the wrong type or range.
    """
    rows = []
    for line in output.splitlines():
        if not line.startswith("{"):
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise SkippedError(f"printed what is no JSON: {line[:80]!r}") from error
        for name, kind in FIELDS.items():
            if not isinstance(row.get(name), kind):
                raise SkippedError(f"printed {name} = {row.get(name)!r}")
        speed = row["steps_per_second"]
        if row["peer"] != peer or not (math.isfinite(speed) and speed > 0):
            raise SkippedError(f"printed a row of {row['peer']} with steps_per_second = {speed!r}")
        rows.append(row)
    if not rows:
        raise SkippedError("printed no result")
    return rows


def measure_peer(
    peer: Peer, seconds: float, rounds: int, folder: Path = FOLDER, limit: float = MEASURE_LIMIT
) -> tuple[list[Row], str]:
    """Rows of a peer, or none and the reason.

    Parameters
    ----------
    seconds
        Processor time of a round.
    rounds
        Rounds of each case; the best counts.
    limit
        Seconds for the measurements of the peer together.
    """
    return run_worker(peer, WORKER, (str(seconds), str(rounds)), folder, limit)


def measure_jax(width: int, rounds: int) -> tuple[list[Row], str]:
    """The row of PPO in JAX whose observations are of a width, or none and the reason."""
    return run_worker(JAX, JAX_WORKER, (str(width), str(rounds)))


def run_worker(
    peer: Peer, worker: Path, words: Sequence[str], folder: Path = FOLDER, limit: float = MEASURE_LIMIT
) -> tuple[list[Row], str]:
    """Rows that a worker prints in a peer's environment, or none and the reason."""
    try:
        python = prepare_environment(peer, folder)
    except (SkippedError, OSError) as error:
        return [], f"not installed: {error}"
    try:
        # -I: no folder of longplay's on the path, whose modules could take the place of the peer's own.
        return parse_rows(run_process((python, "-I", worker, peer.name, *words), limit), peer.name), ""
    except SkippedError as error:
        return [], f"does not run: {error}"


def measure_all(seconds: float, rounds: int) -> tuple[list[Row], dict[str, str]]:
    """Rows of all peers, and for each that is missing the reason."""
    rows: list[Row] = []
    skipped = {}
    for peer in PEERS:
        measured, why = measure_peer(peer, seconds, rounds)
        rows += measured
        if why:
            skipped[peer.name] = why
    return rows, skipped

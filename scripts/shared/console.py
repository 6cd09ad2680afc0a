"""What the scripts share: threads, the console, errors that read well, the catalogue's vectors."""

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import tyro
from matplotlib.figure import Figure
from rich.console import Console
from threadpoolctl import threadpool_limits

from longplay.agents.offline.logging_policies import POLICIES
from longplay.agents.setting import Setting
from longplay.envs.shared.files import replacing, write_whole

console = Console(highlight=False)
RUNS = Path("runs")


def set_threads(count: int) -> None:
    """Threads of torch, BLAS and OpenMP.

    One is best for the small networks here: two collapse when anything else runs, and two runs side by side use the
    cores better.
    """
    torch.set_num_threads(count)
    threadpool_limits(limits=count)


def prepare(setting: Setting, counts: bool = False) -> None:
    """Load the catalogue and its vectors; what is not in the cache is encoded on all cores.

    Parameters
    ----------
    setting
        Whose world and encoder.
    counts
        Also say what cleaning the catalogue found.
    """
    world = setting.world
    console.print(f"{world.catalog.name}: {len(world.catalog):,} items, {len(world.people):,} users")
    if counts:
        console.print("cleaning found: " + ", ".join(f"{k} {v:,}" for k, v in world.catalog.report.items() if v))
    set_threads(os.cpu_count() or 1)
    vectors = setting.item_vectors
    set_threads(1)
    console.print(f"item vectors: {vectors.shape[0]:,} × {vectors.shape[1]}")


def policy_name(name: str) -> str:
    """A rule's name as it is, or the folder of the training run of that name."""
    return name if name in POLICIES or not (RUNS / name).is_dir() else str(RUNS / name)


def run_name(name: str) -> Path:
    """Folder of a run, below ``runs``.

    Raises
    ------
    ValueError
        If the name would lead out of it.
    """
    folder = RUNS / name
    if not name or not folder.resolve().is_relative_to(RUNS.resolve()) or folder.resolve() == RUNS.resolve():
        raise ValueError(f"name = {name!r} must be a folder name below {RUNS}/")
    return folder


def begin_study(folder: Path, study: dict[str, Any]) -> None:
    """Note in the folder what a study is of, so that its parts can be kept and added to.

    Raises
    ------
    ValueError
        If the folder holds a study of something else.
    """
    file = folder / "study.json"
    if not file.exists():
        write_whole(file, json.dumps(study, indent=1))
    before = json.loads(file.read_text(encoding="utf-8"))
    for key, value in study.items():
        if before.get(key) != value:
            raise ValueError(f"{folder} was begun with {key} = {before.get(key)!r}, not {value!r}; give another --name")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a Parquet file whole or not at all."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def write_figure(figure: Figure, path: Path) -> bytes:
    """Write a PNG file whole or not at all; returns its bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_whole(path, buffer.getvalue())
    return buffer.getvalue()


def command_line(main: Callable[[Any], None], arguments: type[Any]) -> None:
    """Parse the arguments, run, and turn a refusal into one readable line and exit code 2.

    Arguments whose defaults depend on other words have a class method ``defaults``, from the words to the arguments.
    """
    try:
        given: dict[str, Any] = {"prog": _command()}
        if hasattr(arguments, "defaults"):
            given["default"] = arguments.defaults(sys.argv[1:])
        main(tyro.cli(arguments, description=sys.modules[main.__module__].__doc__, **given))
    except ValueError as error:
        console.print("[red]error:[/red] ", end="")
        console.print(str(error), markup=False)
        raise SystemExit(2) from error
    except KeyboardInterrupt:
        console.print("interrupted")
        raise SystemExit(130) from None


def _command() -> str | None:
    """How a module that ``python -m`` runs is called; of a file, tyro knows it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None or not spec.name.startswith("longplay."):
        return None
    return f"python -m {spec.name.removesuffix('.__main__')}"

"""Folders below runs/, what a study notes in its own, and files that are written whole or not at all."""

import io
import json
import logging
import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import tomli_w
from numpy.typing import NDArray
from safetensors.numpy import save

from longplay.agents.offline.logging_policies import POLICIES
from longplay.envs.shared.files import replacing, write_whole
from longplay.scripts.shared.claims import claim

if TYPE_CHECKING:  # it takes most of a second, and few commands draw
    from matplotlib.figure import Figure

RUNS = Path("runs")
LONGEST_NAME = 100  # artifacts of Weights & Biases have at most 128 characters, with a word before the run's name


def run_folder(name: str) -> Path:
    """Folder of a run, below ``runs``.

    Raises
    ------
    ValueError
        If the name would lead out of it; or if there is no such folder yet, and the name is not one that trackers and
        data sets can take: what is there already can be read by any.
    """
    folder = RUNS / name
    if not name or not folder.resolve().is_relative_to(RUNS.resolve()) or folder.resolve() == RUNS.resolve():
        raise ValueError(f"name = {name!r} must be a folder name below {RUNS}/")
    if not folder.exists():
        check_name(name)
    return folder


def check_free(folder: Path, result: str, overwrite: bool, unfinished: Sequence[str] = ()) -> None:
    """Refuse a folder that has been written to.

    Parameters
    ----------
    folder
        Folder below ``runs``.
    result
        File by which what the command writes is known.
    overwrite
        Whether an earlier result of the same command may be replaced.
    unfinished
        Patterns of what an interrupted command may have left there, to go on from or to write again.

    Raises
    ------
    ValueError
        If the folder holds an earlier result, or something else, such as a training run.
    """
    if not folder.is_dir():
        return
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    if result in names:
        if not overwrite:
            raise ValueError(f"{folder} exists; give --overwrite to replace it, or another --name")
    elif others := [name for name in names if not any(fnmatch(name, pattern) for pattern in unfinished)]:
        raise ValueError(f"{folder} holds {', '.join(others[:3])}, which is not of this command; give another --name")


def check_free_files(files: Iterable[Path], overwrite: bool) -> None:
    """Refuse files that are there, unless they may be replaced."""
    there = [str(file) for file in files if file.exists()]
    if there and not overwrite:
        raise ValueError(f"{there[0]} exists; give --overwrite to replace it, or another --name")


def check_name(name: str) -> None:
    """Refuse what could not be the name of everything that a run is kept under, before the run."""
    odd = sorted(set(re.findall(r"[^A-Za-z0-9._/-]", name)))
    plain = re.sub(r"[^A-Za-z0-9._/-]+", "-", unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode())
    if odd:
        fix = f"; give, for instance, {plain.strip('-')!r}" if plain.strip("-/") else ""
        raise ValueError(
            f"name = {name!r} has {', '.join(map(repr, odd))}; allowed: letters A to Z and a to z without accents, "
            f"digits, '.', '_', '-', and '/' between folders{fix}"
        )
    if len(name) > LONGEST_NAME:
        raise ValueError(f"name = {name!r} has {len(name)} characters; allowed: at most {LONGEST_NAME}")


def resolve_policy(name: str) -> str:
    """A rule's name as it is, or the folder of the training run of that name."""
    return name if name in POLICIES or not (RUNS / name).is_dir() else str(RUNS / name)


def record_study(folder: Path, study: dict[str, Any]) -> None:
    """Claim the folder, and note in it what a study is of, so that its parts can be kept and added to.

    Raises
    ------
    ValueError
        If the folder holds a study of something else, or another process writes to it.
    """
    claim(folder)
    file = folder / "study.json"
    if not file.exists():
        write_whole(file, json.dumps(study, indent=1))
    before = json.loads(file.read_text(encoding="utf-8"))
    for key, value in study.items():
        if _drop_unset(before.get(key)) != _drop_unset(value):
            raise ValueError(f"{folder} was begun with {key} = {before.get(key)!r}, not {value!r}; give another --name")


def _drop_unset(value: Any) -> Any:
    """A study's words without those left to their default None, which older studies may not know."""
    if not isinstance(value, dict):
        return value
    return {key: _drop_unset(inner) for key, inner in value.items() if inner is not None}


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a Parquet file whole or not at all."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def write_toml(content: dict[str, Any], path: Path) -> None:
    """Write a TOML file whole or not at all."""
    write_whole(path, tomli_w.dumps(content))


def write_arrays(arrays: dict[str, NDArray[Any]], path: Path) -> None:
    """Write a safetensors file whole or not at all."""
    write_whole(path, save(arrays))


def write_figure(figure: "Figure", path: Path) -> bytes:
    """Write a PNG file whole or not at all; returns its bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # `pick_families` has said it, in one line
        log = logging.getLogger("matplotlib.font_manager")
        before = log.level
        log.setLevel(logging.ERROR)  # that a font of another script has one weight alone changes nothing
        try:
            figure.savefig(buffer, format="png", dpi=120)
        finally:
            log.setLevel(before)
    write_whole(path, buffer.getvalue())
    return buffer.getvalue()

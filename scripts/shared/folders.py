"""Folders below runs/, what a study notes in its own, and files that are written whole or not at all."""

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from longplay.agents.offline.logging_policies import POLICIES
from longplay.envs.shared.files import replacing, write_whole

if TYPE_CHECKING:  # it takes most of a second, and few commands draw
    from matplotlib.figure import Figure

RUNS = Path("runs")


def run_folder(name: str) -> Path:
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


def resolve_policy(name: str) -> str:
    """A rule's name as it is, or the folder of the training run of that name."""
    return name if name in POLICIES or not (RUNS / name).is_dir() else str(RUNS / name)


def record_study(folder: Path, study: dict[str, Any]) -> None:
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


def write_figure(figure: "Figure", path: Path) -> bytes:
    """Write a PNG file whole or not at all; returns its bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_whole(path, buffer.getvalue())
    return buffer.getvalue()

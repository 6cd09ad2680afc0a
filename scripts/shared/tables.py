"""Tables for the terminal and as Markdown, and how an interval is written in one."""

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from longplay.agents.stats import REASONS, Interval
from longplay.envs.shared.files import write_whole

FRAMED: dict[str, Any] = {"box": box.HEAVY_HEAD, "show_edge": True}  # a style with lines around all cells
TIGHT: dict[str, Any] = {"padding": (0, 1, 0, 0)}  # a style with a single space between columns
MARK = "*"  # of a labelled interval, where there is no room for its label; `explain_labels` says what it means


def format_interval(interval: Interval | None, mean: str = ".4f", bound: str = "", mark: str = "") -> str:
    """``mean [low, high]`` and the interval's label, if it has one; empty where there is no interval.

    Parameters
    ----------
    interval
        An estimate.
    mean, bound
        Format specifications of the mean and of the two bounds; those of the bounds are the mean's if left out.
    mark
        What stands in place of the label.
    """
    if interval is None:
        return ""
    low, high = (format(value, bound or mean) for value in (interval.low, interval.high))
    label = (mark or f" {interval.label}") if interval.label else ""
    return f"{interval.mean:{mean}} [{low}, {high}]{label}"


def explain_labels(intervals: Iterable[object], mark: str = "") -> str:
    """What the labels among some intervals mean, a sentence each; empty where there are none."""
    found = {interval.label for interval in intervals if isinstance(interval, Interval) and interval.label}
    before = f"{mark} " if mark else ""
    return " ".join(f"{before}{label}: {reason}." for label, reason in REASONS.items() if label in found)


def make_table(
    title: str | None,
    columns: Iterable[str],
    align: str = "lr",
    rows: Iterable[Iterable[str]] = (),
    **style: Any,
) -> Table:
    """A table for the terminal.

    Parameters
    ----------
    title
        Text above the table, if any.
    columns
        Heads of the columns.
    align
        A letter for each column, the last one for all that follow: ``l`` to the left, ``r`` to the right.
    rows
        Cells of the first rows; more may be added.
    style
        Arguments of `rich.table.Table` in place of the usual ones, such as `FRAMED`.
    """
    table = Table(title=title, **{"title_justify": "left", "box": box.SIMPLE_HEAD, "show_edge": False, **style})
    for column, letter in zip(columns, chain(align, repeat(align[-1])), strict=False):
        # Where the terminal is too narrow, cells go on in a next line: rich's defaults would cut figures off.
        table.add_column(column, justify="left" if letter == "l" else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def make_frame(rows: Sequence[dict[str, str]], title: str) -> pd.DataFrame:
    """A frame of texts that knows its title: what `render_frame` and `write_markdown` take."""
    frame = pd.DataFrame(rows).fillna("")
    frame.attrs["title"] = title
    return frame


def render_frame(frame: pd.DataFrame) -> Table:
    """A frame of texts for the terminal."""
    rows = ([escape(str(cell)) for cell in row] for row in frame.to_numpy())  # brackets in a cell are no style
    return make_table(frame.attrs["title"], map(str, frame), "lr", rows)


def write_markdown(frames: Iterable[pd.DataFrame], path: Path, head: str = "") -> None:
    """Write frames of texts as Markdown tables, below a head if there is one."""
    parts = [head] if head else []
    for frame in frames:
        titles = "| " + " | ".join(map(str, frame.columns)) + " |"
        rule = "|" + "|".join(["---", *["---:"] * (len(frame.columns) - 1)]) + "|"
        cells = ([str(cell).replace("|", "\\|") for cell in row] for row in frame.to_numpy())
        body = ["| " + " | ".join(row) + " |" for row in cells]
        parts.append("\n".join([f"**{frame.attrs['title']}**", "", titles, rule, *body]))
    write_whole(path, "\n\n".join(parts) + "\n")

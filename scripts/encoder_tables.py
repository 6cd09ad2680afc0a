"""The tables of a comparison of encoders: means with 95 % intervals over seeds and users."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from longplay.agents.stats import Interval, bootstrap_groups
from longplay.agents.training import write_text
from longplay.encoders.study import WITH_TEXT

FROZEN = "pooled"  # what trained encoders are compared with
MEASURES = {"recall": "recall@10", "ndcg": "nDCG@10", "auc": "AUC"}
COLD = {"cold users": "cold users", "no history": "no history", "cold items": "cold items"}


def warm(results: pd.DataFrame, source: str) -> pd.DataFrame:
    """Known users and items: a row an encoder, best first."""
    part = results[(results["source"] == source) & (results["case"] == "warm")]
    rows = []
    for name, own in part.groupby("encoder"):
        row: dict[str, str] = {"encoder": str(name)} | {
            title: said(groups(own, key)) for key, title in MEASURES.items()
        }
        row["coverage"] = f"{own.groupby('seed')['coverage'].first().mean():.0%}"
        row[f"recall@10 − {FROZEN}"] = against(part, str(name), FROZEN, "recall")
        spent = own.groupby("seed")[["fit_seconds", "encode_ms"]].first().mean()
        row |= {"fit [s]": f"{spent['fit_seconds']:.0f}", "encode [ms]": f"{spent['encode_ms']:.1f}"}
        rows.append((own.groupby("seed")["recall"].mean().mean(), row))
    return titled([row for _, row in sorted(rows, key=lambda pair: -pair[0])], f"{source}: known users and items")


def cold(results: pd.DataFrame, source: str) -> pd.DataFrame:
    """recall@10 for users and items that were not learnt from: alone, and with texts standing in."""
    part = results[(results["source"] == source) & (results["case"] != "warm")]
    rows = []
    for name in [name for name in part["encoder"].unique() if not name.endswith(WITH_TEXT)]:
        row = {"encoder": str(name)}
        for case, title in COLD.items():
            for key, extra in ((name, ""), (name + WITH_TEXT, " + text")):
                own = part[(part["encoder"] == key) & (part["case"] == case)]
                row[title + extra] = said(groups(own, "recall")) if len(own) else ""
        rows.append(row)
    return titled(rows, f"{source}: recall@10 for users and items never learnt from")


def engagement(lives: pd.DataFrame) -> pd.DataFrame:
    """Minutes in the month: PPO on each state, and the greedy use of each encoder's scores."""
    rows = []
    for name in lives["policy"].unique():
        row: dict[str, str] = {"state or encoder": name}
        for kind in ("PPO", "greedy", "rule"):
            own = lives[(lives["policy"] == name) & (lives["kind"] == kind)]
            title = "greedy" if kind == "rule" else kind
            if len(own):
                row[title] = said(groups(own, "minutes"), "{:.0f}")
                if kind == "PPO" and name != FROZEN:
                    row[f"PPO − PPO on {FROZEN}"] = against(lives[lives["kind"] == kind], name, FROZEN, "minutes")
        rows.append(row)
    frame = titled(rows, "Minutes in 30 days")
    return frame[
        [column for column in ("state or encoder", "PPO", f"PPO − PPO on {FROZEN}", "greedy") if column in frame]
    ]


def groups(own: pd.DataFrame, measure: str) -> list[NDArray[np.float64]]:
    """Values of the users, an array a seed."""
    return [part[measure].dropna().to_numpy(np.float64) for _, part in own.groupby("seed")]


def against(part: pd.DataFrame, name: str, other: str, measure: str) -> str:
    """Difference on the same users of each seed, with an interval."""
    key = "policy" if "policy" in part else "encoder"
    wide = part[part[key].isin([name, other])].pivot(index=["seed", "user"], columns=key, values=measure)
    if name == other or not {name, other} <= set(wide.columns):
        return ""
    gap = (wide[name] - wide[other]).dropna()
    digits = "{:+.4f}" if measure == "recall" else "{:+.0f}"
    return said([values.to_numpy(np.float64) for _, values in gap.groupby("seed")], digits)


def said(values: Sequence[NDArray[np.float64]], digits: str = "{:.4f}") -> str:
    """``mean [low, high]``."""
    found: Interval = bootstrap_groups(values)
    return f"{digits.format(found.mean)} [{digits.format(found.low)}, {digits.format(found.high)}]"


def titled(rows: list[dict[str, str]], title: str) -> pd.DataFrame:
    """A frame of texts that knows its title."""
    frame = pd.DataFrame(rows).fillna("")
    frame.attrs["title"] = title
    return frame


def shown(frame: pd.DataFrame) -> Table:
    """For the terminal."""
    table = Table(title=frame.attrs["title"], title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    for column in frame:
        table.add_column(str(column), justify="left" if column == frame.columns[0] else "right")
    for row in frame.to_numpy():
        table.add_row(*map(str, row))
    return table


def write(frames: Sequence[pd.DataFrame], path: Path) -> None:
    """As Markdown."""
    parts = []
    for frame in frames:
        head = "| " + " | ".join(map(str, frame.columns)) + " |"
        rule = "|" + "|".join(["---", *["---:"] * (len(frame.columns) - 1)]) + "|"
        body = ["| " + " | ".join(map(str, row)) + " |" for row in frame.to_numpy()]
        parts.append("\n".join([f"**{frame.attrs['title']}**", "", head, rule, *body]))
    write_text(path, "\n\n".join(parts) + "\n")

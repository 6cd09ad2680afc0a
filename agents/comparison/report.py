"""A comparison as one page that opens without a network, and its pictures."""

import base64
import html
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...envs.shared.files import write_whole
from ..runs.config import RunConfig
from ..runs.progress import CURVE
from ..stats import REASONS, Interval, estimate_retention

COLOURS = mpl.colormaps["tab10"](range(10))
KINDS = {"rule": "#666666", "learned": "#1f6fd0", "reference": "#e08a00"}
DASHES = ("-", "--", "-.", ":")  # curves that coincide show through each other
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1280px;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;font-size:13px}td,th{padding:.25rem .6rem;text-align:right;white-space:nowrap}
th{border-bottom:2px solid #444}td:first-child,th:first-child,td:last-child,th:last-child{text-align:left}
tr.rule td{background:#fafafa}tr.learned td{background:#eef5ff}tr.reference td{background:#fff7ea}
td:first-child,th:first-child{position:sticky;left:0}th:first-child{background:#fff}
img{max-width:100%;height:auto}pre{background:#f4f4f4;padding:1rem;overflow:auto}.wide{overflow-x:auto}
.key span{padding:.1rem .5rem;margin-right:.5rem}
"""


def write_report(
    folder: Path, frame: pd.DataFrame, results: pd.DataFrame, trained: Sequence[Path], config: Mapping[str, Any]
) -> Path:
    """Write ``report.html`` into `folder`.

    Parameters
    ----------
    frame
        Table of `summarise`.
    results
        Table of `play_contestants`.
    trained
        Folders of the training runs, for the learning curves.
    config
        Configuration, of which every line is shown.
    """
    pictures = [("Minutes until the horizon", draw_differences(frame)), ("Retention", draw_retention(results))]
    if trained:
        pictures.append(("Learning curves on validation users", draw_curves(trained)))
    whom = "sealed test users" if config.get("sealed") else "test users"
    body = [
        "<h1>Comparison of slate policies</h1>",
        f"<p>{results['user'].nunique()} {whom}, the same luck for every policy. The metric is undiscounted "
        "minutes of dwell until the horizon. Intervals are 95 %, from a bootstrap that resamples users "
        "(paired) and training seeds. Users are simulated: gains here are gains in this model of users.</p>",
        "<p class=key><span style='background:#fafafa'>rules</span><span style='background:#eef5ff'>learned</span>"
        "<span style='background:#fff7ea'>references that read hidden state</span></p>",
        f"<div class=wide>{_table(frame)}</div>",
        f"<p>Best rule: {html.escape(frame.attrs['best rule'] or 'none took part')}. Differences in bold have an "
        f"interval that excludes 0. {_explain_labels(frame)}“Kept” is the share of users who have not churned; "
        "“diversity” is one minus the mean pairwise cosine of the text vectors in a slate; “coverage” is the share of "
        "the catalogue ever shown; “satiation” is the mean of its sum over topics when a slate is read; “repeated” is "
        f"the share of slots filled with what the same session had shown already.{_explain_some(frame)}</p>",
    ]
    for title, figure in pictures:
        body.append(f"<h2>{title}</h2><img alt='{title}' src='data:image/png;base64,{_png(figure)}'>")
    rows = "\n".join(_list_settings(config))
    body.append(f"<h2>Configuration</h2><pre>{html.escape(rows)}</pre>")
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>longplay comparison</title><style>{STYLE}</style><body>{''.join(body)}</body></html>"
    )
    path = folder / "report.html"
    write_whole(path, page)
    return path


def _table(frame: pd.DataFrame) -> str:
    columns = [c for c in frame.columns if c not in ("kind", "note", "interval")]
    head = "".join(f"<th>{html.escape(c.replace('vs ', '− '))}</th>" for c in [*columns, "note"])
    rows = []
    for row in frame.to_dict("records"):
        cells = "".join(f"<td>{_cell(c, row[c])}</td>" for c in [*columns, "note"])
        rows.append(f"<tr class={row['kind']}>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _list_settings(config: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """A line a setting, those of tables within tables with dots in their names."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _list_settings(value, f"{before}{key}.")
        else:
            yield f"{before}{key} = {value}"


def _explain_labels(frame: pd.DataFrame) -> str:
    """Why some intervals have a label, and are not in bold."""
    found = {value.label for value in frame.to_numpy().ravel() if isinstance(value, Interval)}
    words = (f"“{label}” stands where {reason}; never in bold. " for label, reason in REASONS.items() if label in found)
    return "".join(words)


def _explain_some(frame: pd.DataFrame) -> str:
    """What the columns of some worlds say: where what is watched turns taste, and where users buy; else empty."""
    turns = (
        " “At first taste” are the minutes that the same slates would have had at the taste that people came with; "
        "“turned” is by how many degrees it has turned."
    )
    sales = (
        " “Conversion” is the share of clicks that end in a purchase; “sales” is what a user spends until the horizon."
    )
    return (turns if "turned" in frame else "") + (sales if "sales" in frame else "")


def _cell(column: str, value: Any) -> str:
    if isinstance(value, Interval):
        return f"<b>{value}</b>" if value.shows_difference else str(value)
    if value is None or isinstance(value, str):
        return html.escape(value or "")
    if column in ("click rate", "kept", "coverage", "repeated"):
        return f"{value:.0%}"
    if column == "conversion":
        return f"{value:.1%}"
    return f"{value:.2f}" if column in ("diversity", "satiation") else f"{value:.1f}"


def draw_differences(frame: pd.DataFrame) -> Figure:
    """Minutes of every policy with intervals."""
    figure = Figure(figsize=(8, 0.35 * len(frame) + 1.2), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(frame.to_dict("records")):
        interval = row["interval"]
        axes.errorbar(
            interval.mean,
            place,
            xerr=[[interval.mean - interval.low], [interval.high - interval.mean]],
            fmt="o",
            color=KINDS[row["kind"]],
            capsize=3,
        )
    axes.set_yticks(range(len(frame)), frame["policy"])
    axes.invert_yaxis()
    axes.set_xlabel("minutes of dwell until the horizon")
    axes.grid(axis="x", alpha=0.3)
    return figure


def draw_retention(results: pd.DataFrame) -> Figure:
    """Kaplan–Meier curves of the users not yet churned, those of learned policies in colour and with a band."""
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    grid = np.linspace(0, float(results["days"].max()), 121)
    drawn = dict.fromkeys(KINDS, 0)
    for policy, rows in results.groupby("policy", sort=False):
        share, _, _ = estimate_retention(rows["days"].to_numpy(), rows["churned"].to_numpy(), grid)
        kind = rows["kind"].iloc[0]
        learned = kind == "learned"
        place, drawn[kind] = drawn[kind], drawn[kind] + 1
        colour = COLOURS[place % len(COLOURS)] if learned else KINDS[kind]
        dashes = DASHES[(place if learned else place + 1) % len(DASHES)]
        axes.step(grid, share, dashes, where="post", label=str(policy), color=colour, lw=1.8 if learned else 1.0)
        if learned:
            low, high = find_retention_band(rows, grid)
            axes.fill_between(grid, low, high, step="post", color=colour, alpha=0.07, lw=0)
    axes.set(xlabel="day", ylabel="share of users not churned", ylim=(0, 1.02))
    figure.legend(*axes.get_legend_handles_labels(), fontsize=8, ncols=3, loc="outside lower center")
    axes.grid(alpha=0.3)
    return figure


def find_retention_band(rows: pd.DataFrame, grid: NDArray[np.float64], resamples: int = 1000) -> NDArray[np.float64]:
    """(2, T) 95 % band of a policy's share of users not churned on the days of `grid` (T,).

    A bootstrap resamples users, each with all its seeds: the seeds' curves are averaged, and a user played under S
    seeds counts once. Nobody is lost from sight before the horizon, so a share is a plain mean.
    """
    gone = np.where(rows["churned"], rows["days"], np.inf)
    kept = pd.DataFrame(gone[:, None] > grid).groupby(rows["user"].to_numpy()).mean().to_numpy()
    users = len(kept)
    weights = np.random.default_rng(0).multinomial(users, np.full(users, 1 / users), resamples) / users
    return np.asarray(np.percentile(weights @ kept, (2.5, 97.5), axis=0))


def draw_curves(trained: Sequence[Path]) -> Figure:
    """Validation minutes against steps, one line a run, one colour a method."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    labels: dict[str, int] = {}
    for folder in trained:
        curve, label = pd.read_csv(folder / CURVE), RunConfig.from_json(folder / "config.json").label
        fresh = label not in labels
        colour = COLOURS[labels.setdefault(label, len(labels)) % len(COLOURS)]
        axes.plot(curve["step"], curve["minutes"], color=colour, label=label if fresh else None)
    axes.set(xlabel="training slates", ylabel="validation minutes")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return figure


def write_retention(results: pd.DataFrame, path: Path) -> Path:
    """The retention curves as a PNG file."""
    write_whole(path, base64.b64decode(_png(draw_retention(results))))
    return path


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()

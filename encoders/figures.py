"""Pictures of what predictors say and why: reliability, return times, explanations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from rich.cells import cell_len

from ..envs.drawing.fonts import pick_families
from .explain import Explanation, Reason
from .outcomes.calibration import Reliability

# Okabe and Ito (2008): told apart with any of the common colour deficiencies.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
INK, GREY, BAND = "#1d2733", "#667385", "#dfe4ea"
FOR, AGAINST = COLOURS[0], COLOURS[1]
_MARKERS = "osD^vP"

Array = NDArray[np.float64]


def shorten(text: str, width: int) -> str:
    """The text on one line of at most `width` letters, at the end of a word with an ellipsis where it is longer.

    A wide letter, such as a Chinese one, counts as two.

    >>> shorten("The Good, the Bad and the Ugly (1966)", 24)
    'The Good, the Bad and…'
    >>> shorten("《黄金三镖客》，西部电影", 16)
    '《黄金三镖客》…'
    """
    text = " ".join(text.split())
    if cell_len(text) <= width:
        return text
    head = text[
        : next(end for end in range(len(text), -1, -1) if cell_len(text[:end]) <= width)
    ]  # what may stay, and one letter more: the ellipsis takes a place
    words = head[:-1] if head[-1] == " " else head.rpartition(" ")[0]
    return (words if len(words) > width // 2 else head[:-1]).rstrip(" ,.;:(，。；：（、") + "…"


def draw_reliability(panels: Mapping[str, Mapping[str, Reliability]], title: str = "Reliability") -> Figure:
    """Chance said against share that happened, with 95 % intervals; below, how many rows each bin has.

    Parameters
    ----------
    panels : mapping of str to mapping of str to Reliability
        Side by side, at least one; in each up to six curves, by what they are called.
    """
    figure = Figure(figsize=(0.8 + 4.4 * len(panels), 6.2), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    axes = figure.subplots(2, len(panels), height_ratios=(4, 1), sharex="col", squeeze=False)
    for top, below, (name, curves) in zip(*axes, panels.items(), strict=True):
        for (label, curve), colour, marker in zip(curves.items(), COLOURS, _MARKERS, strict=False):
            reach = np.abs(np.array([curve.low, curve.high]) - curve.observed)
            style: dict[str, Any] = {
                "color": colour,
                "marker": marker,
                "ms": 5,
                "lw": 1.4,
                "elinewidth": 1,
                "capsize": 2,
            }
            top.errorbar(
                curve.predicted, curve.observed, yerr=reach, label=f"{label} (error {curve.error:.3f})", **style
            )
            below.plot(curve.predicted, curve.count, color=colour, marker=marker, ms=4, lw=1)
        ends = np.concatenate([[*curve.predicted, *curve.low, *curve.high] for curve in curves.values()])
        low, high = float(ends.min()), float(ends.max())
        room = 0.06 * (high - low) or 0.05
        limits = (max(-room, low - room), min(1.0 + room, high + room))  # with points at 0 and 1 in full
        top.axline((0.5, 0.5), slope=1.0, color=GREY, lw=1, ls=":", label="what is said happens", zorder=1)
        top.set(title=name, ylabel="share that happened", xlim=limits, ylim=limits)
        top.legend(loc="lower right", fontsize=8.5, edgecolor="none")
        most = max(int(curve.count.max()) for curve in curves.values())
        below.set(xlabel="chance said", ylabel="rows in the bin", ylim=(0, 1.15 * most))
        _tidy_axes(top)
        _tidy_axes(below)
    return figure


def draw_survival(
    days: Array,
    groups: Mapping[str, Array],
    observed: Mapping[str, tuple[Array, Array, Array]],
    title: str = "Return",
) -> Figure:
    """Share of users not yet back, as told by a model (lines) and as seen (steps with 95 % intervals).

    Parameters
    ----------
    days : (D,) array
    groups : mapping of str to (D,) array
        Mean chances told, up to six groups.
    seen : mapping of str to three (D,) arrays
        Kaplan–Meier share and its interval, of groups of the same names; as far as there are any.
    """
    figure = Figure(figsize=(7.2, 5), layout="constrained")
    axes = figure.subplots()
    for (name, predicted), colour in zip(groups.items(), COLOURS, strict=False):
        axes.plot(days, predicted, color=colour, lw=2, label=f"{name}: told")
        if name in observed:
            share, low, high = observed[name]
            axes.step(days, share, where="post", color=colour, lw=1, ls="--", label=f"{name}: seen")
            axes.fill_between(days, low, high, step="post", color=colour, alpha=0.15, lw=0)
    axes.set(title=title, xlabel="days since the session ended", ylabel="share not back yet", ylim=(0, 1.02))
    axes.set_xlim(0, float(days[-1]))
    axes.legend(frameon=False, fontsize=9, ncols=2, loc="upper right")
    _tidy_axes(axes)
    return figure


def draw_explanations(explanations: Sequence[Explanation], most: int = 8) -> Figure:
    """One row of panels for each explanation: the history's contributions, and the attributes' where there are any.

    Parameters
    ----------
    explanations : sequence of Explanation
        Explanations, at least one.
    most : int
        Bars of a panel at most; the rest is told as one.
    """
    names = [name for why in explanations for name in (why.title, *(part.title for part in why.history))]
    names += [share.name for why in explanations for share in why.attributes]
    with mpl.rc_context({"font.family": pick_families(names)}):
        return _draw_panels(explanations, most)


def _draw_panels(explanations: Sequence[Explanation], most: int) -> Figure:
    beside = any(explanation.attributes for explanation in explanations)
    heights = [
        1.3 + 0.3 * min(most + 1, max(len(explanation.history), len(explanation.attributes), 2))
        for explanation in explanations
    ]
    layout = ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.08)
    figure = Figure(figsize=(11.5 if beside else 8.5, 0.6 + sum(heights)), layout=layout)
    ratios: dict[str, Any] = {"height_ratios": heights, "width_ratios": (3, 2) if beside else (1,)}
    grid = figure.subplots(len(explanations), 2 if beside else 1, squeeze=False, gridspec_kw=ratios)
    for row, why in zip(grid, explanations, strict=True):
        history = [(_label_reason(reason), reason.contribution) for reason in why.history]
        attributes = [(shorten(share.name, 28), share.value) for share in why.attributes]
        panels = [_sum_rest(bars, most) for bars in (history, attributes)]
        slots = max(len(bars) for bars in panels)
        _draw_bars(row[0], panels[0], slots, "no history")
        row[0].set_title(f"{shorten(why.title, 40)}   {why.score:.3g}", loc="left", fontweight="bold", color=INK)
        if beside:
            _draw_bars(row[1], panels[1], slots, "none to tell")
            row[1].set_title("attributes", loc="left", color=GREY, fontsize=10)
    methods = {explanation.method for explanation in explanations} | {
        explanation.attribute_method for explanation in explanations if explanation.attributes
    }
    lines = [f"history: {explanation}" for explanation in sorted({e.method for e in explanations})]
    lines += [f"attributes: {explanation}" for explanation in sorted(methods - {e.method for e in explanations})]
    figure.supxlabel("\n".join(lines), fontsize=8.5, color=GREY, x=0.01, ha="left")
    return figure


def _label_reason(reason: Reason) -> str:
    days = int(reason.age)
    when = "today" if days < 1 else f"{days} day{'s' * (days > 1)} ago"
    if reason.attention is None:
        return f"{shorten(reason.title, 40)} · {when}"
    return f"{shorten(reason.title, 30)} · {when} · attention {reason.attention:.0%}"


def _sum_rest(bars: list[tuple[str, float]], most: int) -> list[tuple[str, float]]:
    """The first ones, and what is left over as one."""
    rest = bars[most:]
    return bars if len(rest) < 2 else [*bars[:most], (f"{len(rest)} more", sum(value for _, value in rest))]


def _draw_bars(axes: Axes, bars: list[tuple[str, float]], slots: int, nothing: str) -> None:
    """Horizontal bars from the top, in as many slots as the panel beside it has."""
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom", "left"]].set_visible(False)
    axes.set_ylim(max(slots, 1) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_yticks(range(len(bars)), [name.replace("$", r"\$") for name, _ in bars], fontsize=9, color=INK)
    if not bars:
        axes.text(0.02, 0.0, nothing, transform=axes.get_yaxis_transform(), color=GREY, va="center", fontsize=9)
        return
    values = np.array([value for _, value in bars])
    axes.barh(range(len(bars)), values, color=np.where(values < 0, AGAINST, FOR), height=0.72)
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    reach = (high - low) or 1.0
    decimals = max(0, 1 - int(np.floor(np.log10(np.abs(values).max() or 1.0))))
    for place, value in enumerate(values):
        text = f"{value:+.{decimals}f}".replace("-", "−")
        side, align = (-4, "right") if value < 0 else (4, "left")
        style: dict[str, Any] = {"ha": align, "va": "center", "fontsize": 8.5, "color": GREY}
        axes.annotate(text, (value, place), (side, 0), textcoords="offset points", **style)
    room = (0.5 if low < 0.0 < high else 0.3) * reach  # for the numbers
    if low < high:  # else nothing contributes anything
        axes.set_xlim(low - (room if low < 0 else 0.0), high + (room if high > 0 else 0.0))
    axes.axvline(0.0, color=INK, lw=0.8)


def _tidy_axes(axes: Axes) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)

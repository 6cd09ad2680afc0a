"""The signatures of a simulated log beside a real one's, as a picture."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from longplay.scripts.studies.signatures.choice_models import MOMENTUM, RECENCY, WITHIN
from longplay.scripts.studies.signatures.distances import ODDS, read_survival_points

REAL, SIMULATED, BAND = "#222222", "#1f6fd0", "#bbbbbb"
REAL_STYLE: dict[str, Any] = {"color": REAL, "marker": "o", "markersize": 4, "linewidth": 1.2, "label": "real"}
OWN_STYLE: dict[str, Any] = {"color": SIMULATED, "linewidth": 1.6, "label": "simulated"}
OWN_POINTS: dict[str, Any] = {**OWN_STYLE, "marker": "s", "markersize": 4}

Signatures = Mapping[str, Any]


def draw_signatures(
    simulated: Signatures, real: Signatures | None = None, distances: pd.DataFrame | None = None, title: str = ""
) -> Figure:
    """Twelve panels: what a log looks like, simulated in blue and real in black.

    Parameters
    ----------
    simulated, real
        Of `signatures.measure`, and the reference with the same keys.
    distances
        Of `distances.compare`, for the last panel.
    """
    figure = Figure(figsize=(17, 11.5), layout="constrained")
    axes = figure.subplots(3, 4).ravel()
    for panel, draw in zip(axes, PANELS, strict=False):
        draw(panel, simulated, real or {})
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    _draw_verdicts(axes[-1], distances, simulated)
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].legend(handles, labels, frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=14)
    return figure


def _draw_lengths(axes: Axes, simulated: Signatures, real: Signatures) -> None:
    if real:
        hazard = real["session_length_ge2"]["hazard"]
        axes.plot([int(n) for n in hazard], list(hazard.values()), **REAL_STYLE)
    own = np.array(simulated["session_length_ge2"]["ccdf"])
    at_risk = own[:-1] * simulated["sessions"]
    some = np.flatnonzero(at_risk >= 50)
    hazard_own = 1.0 - own[some + 1] / own[some]
    error = np.sqrt(hazard_own * (1 - hazard_own) / at_risk[some])
    axes.plot(some + 2, hazard_own, **OWN_STYLE)
    axes.fill_between(some + 2, hazard_own - 2 * error, hazard_own + 2 * error, color=SIMULATED, alpha=0.15, lw=0)
    axes.set(title="Leaving: hazard by clicks so far", xlabel="clicks in the session", ylim=(0, None), xscale="log")
    _set_plain_ticks(axes, (2, 3, 5, 10, 20, 30))


def _draw_strata(axes: Axes, simulated: Signatures, real: Signatures) -> None:
    key = "hazard_by_other_session_mean"
    own = simulated["session_length_ge2"][key]
    shades = np.linspace(0.35, 1.0, len(own))
    for shade, (name, values) in zip(shades, own.items(), strict=True):
        if real:
            axes.plot(range(2, 7), real["session_length_ge2"][key][name], "o-", color=REAL, alpha=shade, ms=3, lw=1)
        axes.plot(range(2, 7), values, "s-", color=SIMULATED, alpha=shade, ms=3, lw=1.4)
        named = np.array(real["session_length_ge2"][key][name] if real else values)
        if np.isfinite(named).any():
            end = np.flatnonzero(np.isfinite(named))[-1]
            axes.annotate(name, (2 + end, named[end]), (5, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set(title="Leaving: by mean of the user's other sessions", xlabel="clicks in the session", ylim=(0, None))
    axes.set_xlim(1.8, 7.2)
    axes.set_xticks(range(2, 7))


def _draw_survival(axes: Axes, simulated: Signatures, real: Signatures) -> None:
    own = simulated["return_time_h"]["survival_h"]
    if real:
        points = sorted(read_survival_points(real["return_time_h"]).items())
        axes.plot([h for h, _ in points], [s for _, s in points], **REAL_STYLE)
    axes.plot([float(h) for h in own], list(own.values()), **OWN_STYLE)
    axes.set(title="Return: share of gaps still open", xlabel="hours since the last click", xscale="log", ylim=(0, 1))
    axes.set_xlim(1, 200)
    _set_plain_ticks(axes, (1, 2, 4, 8, 24, 72, 168))


def _draw_return_hazard(axes: Axes, simulated: Signatures, real: Signatures) -> None:
    own = simulated["return_time_h"]["hourly_hazard_0_96"]
    axes.plot(np.arange(len(own)) + 0.5, own, **OWN_STYLE)
    for number, (name, rate) in enumerate(real.get("return_time_h", {}).get("hazard_per_h", {}).items()):
        low, high = map(float, name.split("-"))
        axes.plot([low, high], [rate, rate], color=REAL, lw=4, solid_capstyle="butt", label=None if number else "real")
    axes.set(title="Return: hazard per hour (day cycle)", xlabel="hours since the last click", ylim=(0, None))
    axes.set_xticks(range(0, 97, 12))


def _make_odds_panel(
    names: Sequence[str], pick: Callable[[Signatures], Mapping[str, float]], key: str, title: str, label: str
) -> Callable[[Axes, Signatures, Signatures], None]:
    """A panel of odds ratios on a log scale, with the band of the target around the real ones."""

    def draw(axes: Axes, simulated: Signatures, real: Signatures) -> None:
        places = np.arange(len(names))
        error = np.array([simulated[key]["se_log_odds"].get(name, np.nan) for name in names])
        own = np.array([pick(simulated)[name] for name in names])
        if real:
            theirs = np.array([pick(real)[name] for name in names])
            low, high = theirs * (1 - ODDS), theirs * (1 + ODDS)
            axes.fill_between(places, low, high, color=BAND, alpha=0.6, lw=0, label=f"±{ODDS:.0%}")
            axes.plot(places, theirs, **REAL_STYLE)
        is_certain = np.isfinite(own) & (error < 1)  # what is less certain says nothing
        places, own, error = places[is_certain], own[is_certain], error[is_certain]
        reach = [own * (1 - np.exp(-2 * error)), own * (np.exp(2 * error) - 1)]
        axes.errorbar(places, own, yerr=reach, capsize=2, **OWN_POINTS)
        axes.axhline(1.0, color=REAL, lw=0.8, ls=":")
        axes.set(title=title, xlabel=label, yscale="log")
        axes.set_xticks(range(len(names)), [name.replace("session_", "") for name in names])
        low_end, high_end = axes.get_ylim()
        ticks = [v for v in (0.1, 0.2, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50) if low_end <= v <= high_end]
        axes.yaxis.set_major_locator(FixedLocator(ticks))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())

    return draw


def _draw_churn(axes: Axes, simulated: Signatures, real: Signatures) -> None:
    key = "churn_no_session_next_8d_by_sessions_in_first_8d"
    _draw_categories(axes, simulated[key], real.get(key))
    axes.set(
        title="Churn: none in days 8–16, by sessions in 0–8", xlabel="sessions in the first 8 days", ylim=(0, None)
    )


def _draw_sessions(axes: Axes, simulated: Signatures, real: Signatures) -> None:
    key = "sessions_per_user_ccdf"
    for side, style in ((real, REAL_STYLE), (simulated, OWN_POINTS)):
        if key in side:
            axes.plot([int(n) for n in side[key]], [v or np.nan for v in side[key].values()], **style)
    axes.set(title="Activity: share of users with at least n sessions", xlabel="n", xscale="log", yscale="log")
    _set_plain_ticks(axes, (2, 3, 5, 8, 12, 24))


def _draw_popularity(axes: Axes, simulated: Signatures, real: Signatures) -> None:
    shares = simulated["popularity"]["share_by_rank"]
    rank, share = np.array([int(n) for n in shares]), np.array(list(shares.values()))
    axes.plot(rank, share, **OWN_STYLE)
    if real:
        line = np.array([10.0, 3000.0])
        start = np.interp(10.0, rank, share)
        slope = real["popularity"]["zipf_slope_rank10_3000"]
        axes.plot(line, start * (line / 10.0) ** slope, color=REAL, lw=1.2, label=f"real slope {slope:.2f}")
    text = [f"{'':10}{'sim.':>7}{'real':>7}" if real else f"{'':10}{'sim.':>7}"]
    for name, label in (("zipf_slope_rank10_3000", "slope"), ("top1pct_share", "top 1 %"), ("gini", "Gini")):
        text.append(
            f"{label:10}{simulated['popularity'][name]:7.2f}" + (f"{real['popularity'][name]:7.2f}" if real else "")
        )
    axes.text(0.04, 0.05, "\n".join(text), transform=axes.transAxes, family="monospace", fontsize=8, va="bottom")
    axes.set(title="Popularity: share of clicks by rank", xlabel="rank of the article", xscale="log", yscale="log")


def _draw_hours(axes: Axes, simulated: Signatures, real: Signatures) -> None:
    key = "hour_of_day_session_share_brt"
    for side, style in ((real, REAL_STYLE), (simulated, OWN_STYLE)):
        if key in side:
            axes.plot(np.arange(24) + 0.5, side[key], **style)
    axes.set(title="Hour of day: share of sessions", xlabel="hour", ylim=(0, None))
    axes.set_xticks(range(0, 25, 4))


def _draw_verdicts(axes: Axes, distances: pd.DataFrame | None, simulated: Signatures) -> None:
    """Sizes of the log, and what is within its target."""
    axes.axis("off")
    own = simulated["category_entropy_nats"]
    lines = [
        ", ".join(f"{simulated[key]:,} {key}" for key in ("clicks", "sessions", "users", "articles")),
        f"category entropy [nats]: of a user {own['user_mean']:.2f}, of the log {own['global']:.2f}",
        f"click lifetime of an article: {simulated['article_click_lifetime_h_10_90']:.1f} h",
        "",
    ]
    if distances is not None:
        verdicts = distances[distances["within"].notna()]
        lines.append(f"{int(verdicts['within'].astype(bool).sum())} of {len(verdicts)} targets met:")
        cells = [_format_verdict(row) for row in verdicts.to_dict("records")]
        half = (len(cells) + 1) // 2
        lines += [f"{left:32}{right}" for left, right in zip(cells[:half], [*cells[half:], ""], strict=False)]
    text = axes.text(-0.08, 1.0, "\n".join(lines), va="top", family="DejaVu Sans Mono", fontsize=7.5)
    text.set_in_layout(False)


def _format_verdict(row: Mapping[Any, Any]) -> str:
    name = row["statistic"].replace("choice_logit_or.", "").replace("plackett_luce_within_session_or.", "order ")
    for long, short in (
        ("last_exposure_h.", "last read "),
        ("session_length_ge2", "session length"),
        ("return_time_h", "gap"),
        ("per_log_earlier_count_of_current", "log count"),
        (".KS", " KS"),
        ("session_run1", "run1"),
    ):
        name = name.replace(long, short)
    value = f"{row['distance']:.0%}" if row["kind"] == "relative" else f"{row['distance']:.3f}"
    return f"{'✓' if row['within'] else '✗'} {name:18}{value:>7}"


def _draw_categories(axes: Axes, own: Mapping[str, float], theirs: Mapping[str, float] | None) -> None:
    names = list(own)
    if theirs:
        axes.plot(range(len(names)), [theirs.get(name, np.nan) for name in names], **REAL_STYLE)
    axes.plot(range(len(names)), list(own.values()), **OWN_POINTS)
    axes.set_xticks(range(len(names)), names)


def _set_plain_ticks(axes: Axes, ticks: Sequence[float]) -> None:
    """Whole numbers on a logarithmic x axis."""
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())


PANELS: tuple[Callable[[Axes, Signatures, Signatures], None], ...] = (
    _draw_lengths,
    _draw_strata,
    _draw_survival,
    _draw_return_hazard,
    _make_odds_panel(
        MOMENTUM,
        lambda s: s["choice_logit_or"],
        "choice_logit_or",
        "Choice: odds of a category",
        "last read in this session: run of, or clicks ago",
    ),
    _make_odds_panel(
        RECENCY,
        lambda s: s["choice_logit_or"]["last_exposure_h"],
        "choice_logit_or",
        "Choice: odds of a category",
        "last read in an earlier session: hours ago",
    ),
    _make_odds_panel(
        WITHIN,
        lambda s: s["plackett_luce_within_session_or"],
        "plackett_luce_within_session_or",
        "Order within the session (Plackett–Luce): odds",
        "run of, or clicks ago",
    ),
    _draw_churn,
    _draw_sessions,
    _draw_popularity,
    _draw_hours,
)

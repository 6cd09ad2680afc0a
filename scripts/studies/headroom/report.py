"""What a study of headroom shows: each step's lives, the gains between steps, a picture."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from longplay.agents.playing.evaluate import TURNS
from longplay.agents.stats import Interval, bootstrap_difference, bootstrap_ratio
from longplay.scripts.shared.tables import TIGHT, format_interval, make_table
from longplay.scripts.studies.headroom.steps import (
    CONSTANT,
    ITEMS,
    MYOPIC,
    NETWORK,
    PLANNER,
    ROLLOUTS,
    STEPS,
    Budget,
    Part,
)

GAINS = {  # of one step over another
    "constant over myopic": (CONSTANT, MYOPIC),
    "planner over constant": (PLANNER, CONSTANT),
    "planner over myopic": (PLANNER, MYOPIC),
    "network over planner": (NETWORK, PLANNER),
    "rollouts over planner": (ROLLOUTS, PLANNER),
}
ALL = "all"  # in place of a world seed
COLOURS = {
    ITEMS: "#bbbbbb",
    MYOPIC: "#e08a00",
    CONSTANT: "#888888",
    PLANNER: "#1f6fd0",
    NETWORK: "#2b9348",
    ROLLOUTS: "#7a3fb0",
}


def estimate_gain(ahead: pd.DataFrame, behind: pd.DataFrame) -> Interval | None:
    """Gain in minutes of one step's lives over another's, in percent, over users of both; None if none is earned."""
    both = ahead.merge(behind, on=["seed", "user"], suffixes=("", " behind"))
    one, other = both["minutes"].to_numpy(), both["minutes behind"].to_numpy()
    ratio = bootstrap_ratio(one - other, other)
    return None if ratio is None else Interval(100 * ratio.mean, 100 * ratio.low, 100 * ratio.high, ratio.label)


def measure_lives(lives: pd.DataFrame) -> dict[str, Any]:
    """What a step's lives look like, by the names of columns; shares in percent."""
    share = {"gone": lives["churned"].mean(), "opened": lives["clicks"].sum() / lives["slates"].sum()}
    share["shown before"] = lives["again"].sum() / max(lives["places"].sum(), 1)
    share["evicted early"] = lives["evicted"].sum() / max(lives["entered"].sum(), 1)
    return {
        "minutes": bootstrap_difference(lives["minutes"].to_numpy()),
        "sessions": float(lives["sessions"].mean()),
        **{title: float(lives[column].mean(skipna=False)) for column, title in TURNS.items() if column in lives},
        **{name: 100 * float(value) for name, value in share.items()},
    }


def summarise(parts: Sequence[Part], results: pd.DataFrame, bonuses: Mapping[str, float]) -> pd.DataFrame:
    """One row an environment, value, and world seed or all of them: lives of each step, and gains between them."""
    label: dict[Any, str] = {(part.world.env, _show_value(part), part.world.seed): part.world.label for part in parts}
    rows = []
    for (env, constant, value), group in results.groupby(["env", "constant", "value"], sort=False):
        for seed in (*group["seed"].unique(), ALL):
            played = group if seed == ALL else group[group["seed"] == seed]
            lives = {policy: played[played["policy"] == policy] for policy in STEPS.values()}
            lives = {policy: table for policy, table in lives.items() if len(table)}
            row: dict[str, Any] = {"env": env, "constant": constant, "value": value, "seed": str(seed)}
            row["bonus"] = np.nan if seed == ALL else bonuses.get(label[env, value, seed], np.nan)
            for policy, table in lives.items():
                row |= {f"{policy}: {name}": measure for name, measure in measure_lives(table).items()}
            for name, (ahead, behind) in GAINS.items():
                if ahead in lives and behind in lives:
                    row[name] = estimate_gain(lives[ahead], lives[behind])
            rows.append(row)
    return pd.DataFrame(rows)


def _show_value(part: Part) -> str:
    return str(part.world.changes[0][1]) if part.world.changes else ""


def name_world(row: Mapping[Any, Any]) -> str:
    """Environment and value, in words."""
    env = str(row["env"]).removeprefix("longplay/")
    return f"{env}, {row['constant']} {_shorten(row['value'])}" if row["constant"] else env


def _shorten(value: str) -> str:
    return value.removesuffix(".0")


def make_tables(summary: pd.DataFrame, budget: Budget) -> list[Table]:
    """Lives of each step over all seeds, and gains in each world."""
    users = budget.users
    shares = ("gone", "opened", "shown before", "evicted early")
    some = [title for title in TURNS.values() if any(str(name).endswith(f": {title}") for name in summary)]
    columns = ("world", "policy", "minutes", "sessions", *shares, *some)
    lives = make_table(f"Lives of {users} test users in each world, all world seeds", columns, "llr", **TIGHT)
    names = [name for name in GAINS if name in summary]
    title = "Gain in minutes, % (paired 95 % intervals over users)"
    caption = f"{budget}; rollouts: {budget.rollout_users} users" if f"{PLANNER}: minutes" in summary else None
    gains = make_table(title, ("world", "seed", "bonus", *names), "llr", caption=caption, **TIGHT)
    for row in summary.to_dict("records"):
        world, whole = name_world(row), row["seed"] == ALL
        bonus = "" if whole or np.isnan(row["bonus"]) else f"{row['bonus']:.3g}"
        gains.add_row(world, row["seed"], bonus, *(format_interval(row[name], "+.1f") for name in names))
        for policy in STEPS.values() if whole else ():
            if f"{policy}: minutes" in row:
                minutes, sessions = row[f"{policy}: minutes"].mean, row[f"{policy}: sessions"]
                cells = [f"{minutes:.1f}", f"{sessions:.1f}"]
                cells += [f"{row[f'{policy}: {name}']:.1f} %" for name in shares]
                more = [row.get(f"{policy}: {title}", np.nan) for title in some]
                lives.add_row(world, policy, *cells, *("" if np.isnan(value) else f"{value:.1f}" for value in more))
    return [lives, gains]


def draw_figure(summary: pd.DataFrame) -> Figure:
    """Minutes of each step and gains between them: against the value of a sweep, or environment by environment."""
    whole = summary[summary["seed"] == ALL]
    groups = list(whole.groupby("env", sort=False)) if _is_swept(whole) else [("", whole)]
    figure = Figure(figsize=(11, 4.0 * len(groups)), layout="constrained")
    for (env, rows), (left, right) in zip(groups, figure.subplots(len(groups), 2, squeeze=False), strict=True):
        draw_minutes(left, rows)
        draw_gains(right, rows)
        for axes in (left, right):
            axes.set_title(str(env).removeprefix("longplay/"), fontsize=10)
            axes.set_xlabel(rows["constant"].iloc[0])
    return figure


def draw_minutes(axes: Axes, rows: pd.DataFrame) -> None:
    """Minutes of each step."""
    places, style = _lay_out(axes, rows)
    for policy, colour in COLOURS.items():
        if f"{policy}: minutes" in rows:
            axes.plot(places, [i.mean for i in rows[f"{policy}: minutes"]], style, color=colour, label=policy, ms=5)
    axes.set_ylabel("minutes until the horizon")
    axes.legend(fontsize=8)


def draw_gains(axes: Axes, rows: pd.DataFrame) -> None:
    """Gains between steps, with their intervals."""
    places, style = _lay_out(axes, rows)
    for number, name in enumerate(name for name in GAINS if name in rows):
        known = [(place, gain) for place, gain in zip(places, rows[name], strict=True) if gain is not None]
        if known:
            at, mean = [place for place, _ in known], np.array([gain.mean for _, gain in known])
            reach = np.abs([[gain.low for _, gain in known], [gain.high for _, gain in known]] - mean)
            axes.errorbar(at, mean, yerr=reach, fmt=style, ms=5, capsize=3, color=f"C{number}", label=name)
            axes.legend(fontsize=8)
    axes.axhline(0, color="#888888", lw=0.8)
    axes.set_ylabel("gain in minutes, %")


def _is_swept(rows: pd.DataFrame) -> bool:
    return bool((rows["constant"] != "").any())


def _lay_out(axes: Axes, rows: pd.DataFrame) -> tuple[list[float], str]:
    """Where values or worlds stand on the axis, which is labelled so, and how they are drawn."""
    swept = _is_swept(rows)
    labels = [_shorten(value) for value in rows["value"]] if swept else list(map(name_world, rows.to_dict("records")))
    places = _place(labels)
    axes.set_xticks(places, labels, rotation=0 if swept else 20)
    axes.grid(alpha=0.3)
    return places, "o-" if swept else "o"


def _place(labels: Sequence[str]) -> list[float]:
    """Where values stand on the axis: at their numbers if they are numbers that spread evenly enough, else in a row."""
    try:
        values = [float(label) for label in labels]
    except ValueError:
        return [float(place) for place in range(len(labels))]
    steps = np.diff(sorted(values))
    even = len(steps) > 0 and steps.min() > 0 and steps.max() / steps.min() < 8
    return values if even else [float(place) for place in range(len(labels))]

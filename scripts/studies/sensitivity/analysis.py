"""What a study over worlds with other constants asks: which conclusions hold, and which constants move them."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import kendalltau, qmc, spearmanr

from longplay.envs.users.constants import format_key
from longplay.envs.users.params import Scenario

SWEPT = ("assumed", "chosen", "fitted")  # the first word of the source of a constant that could be another
WHOLE = {"repeat_memory"}  # constants that count something
SIMILARITY, POPULARITY, RANDOM = "greedy similarity", "popularity", "random"
DIFFERENCES = (
    ("MMR", SIMILARITY),
    ("static cap", SIMILARITY),
    ("greedy minutes", SIMILARITY),
    (SIMILARITY, RANDOM),
    ("myopic oracle", "greedy minutes"),
)
SESSIONS, GONE = (5, 36), (0.2, 0.5)  # a handful to a few dozen; a fifth to a half


def draw_constants(scenario: Scenario, worlds: int, seed: int) -> pd.DataFrame:
    """One row a world, one column a constant that is no measurement and has a range: a Latin hypercube.

    Raises
    ------
    ValueError
        If the scenario has no such constant.
    """
    swept = {
        key: scenario.ranges[key]
        for key, source in scenario.sources.items()
        if source.startswith(SWEPT) and key in scenario.ranges and scenario.ranges[key][0] < scenario.ranges[key][1]
    }
    if not swept:
        raise ValueError(
            f"scenario {scenario.name!r} has no constant with a range that is no measurement; nothing to sweep"
        )
    low, high = np.array(list(swept.values())).T
    points = qmc.scale(qmc.LatinHypercube(len(swept), rng=seed).random(worlds), low, high)
    drawn = pd.DataFrame(points, columns=list(swept))
    return drawn.assign(**{key: drawn[key].round() for key in WHOLE & set(swept)})


def count_wins(minutes: pd.DataFrame) -> pd.DataFrame:
    """(P, P) share of the drawn worlds in which the row's policy earns more than the column's."""
    names, drawn = list(minutes.columns), minutes.drop(index=0)
    return pd.DataFrame({b: {a: float((drawn[a] > drawn[b]).mean()) for a in names} for b in names})


def correlate_constants(minutes: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """Spearman's ρ of each constant with each of `DIFFERENCES` over the drawn worlds: constants by differences."""
    rest = minutes.drop(index=0)
    correlations = {}
    for a, b in DIFFERENCES:
        difference = rest[a].to_numpy() - rest[b].to_numpy()
        correlations[f"{a} − {b}"] = {
            format_key(str(key)): float(spearmanr(drawn[key], difference).statistic) for key in drawn
        }
    return pd.DataFrame(correlations)


def check_plain_sense(results: pd.DataFrame) -> pd.DataFrame:
    """Whether each world is credible before anyone is trained in it: one row a world, one column a check."""
    columns = ["minutes", "first_session_minutes", "sessions", "churned"]
    mean = results.groupby(["world", "policy"])[columns].mean().unstack("policy")
    first = mean["first_session_minutes"]
    best = results.groupby(["world", "kind", "policy"])["minutes"].mean().groupby(["world", "kind"]).max().unstack()
    return pd.DataFrame(
        {
            "first session: similarity > popularity > random": (first[SIMILARITY] > first[POPULARITY])
            & (first[POPULARITY] > first[RANDOM]),
            "horizon: similarity ≥ random": mean["minutes"][SIMILARITY] >= mean["minutes"][RANDOM],
            f"{SESSIONS[0]} to {SESSIONS[1]} sessions": mean["sessions"][SIMILARITY].between(*SESSIONS),
            f"{GONE[0]:.0%} to {GONE[1]:.0%} gone": mean["churned"][SIMILARITY].between(*GONE),
            "no ceiling: best rule < best reference": best["rule"] < best["reference"],
        }
    )


def measure_rank_agreement(minutes: pd.DataFrame) -> Any:
    """Kendall's τ of each world's ranking of the policies with that of world 0."""
    agreements = [kendalltau(row, minutes.loc[0]).statistic for _, row in minutes.iterrows()]
    return pd.Series(agreements, minutes.index, name="τ")


def draw_figure(share: pd.DataFrame, moved: pd.DataFrame) -> Figure:
    """Two heat maps: how often the row's policy earns more, and which constants move which differences."""
    figure = Figure(figsize=(13, 0.24 * max(len(moved), 16) + 2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 0.7))
    for axes, frame, low, form, title in (
        (left, share, 0.0, "{:.0%}", "share of worlds in which the row earns more than the column"),
        (right, moved, -1.0, "{:+.2f}", "rank correlation of constant and difference"),
    ):
        values = frame.to_numpy().copy()
        if frame is share:
            np.fill_diagonal(values, np.nan)
        # Beyond the ends, so that no cell is too dark to read.
        axes.imshow(values, vmin=low - 0.3, vmax=1.3, cmap="RdBu", aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                axes.text(j, i, form.format(value), ha="center", va="center", fontsize=8)
        axes.set_xticks(range(frame.shape[1]), frame.columns, rotation=30, ha="right", fontsize=8)
        axes.set_yticks(range(frame.shape[0]), frame.index, fontsize=8)
        axes.set_title(title, fontsize=10)
    return figure

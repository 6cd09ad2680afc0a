"""Numbers with intervals: paired differences over seeds and users, and retention curves."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import CensoredData, ecdf
from scipy.stats import t as student

USERS_ONLY, ONE_USER = "users only", "one user"
# Why an interval with such a label says less than 95 %.
REASONS = {
    USERS_ONLY: "a method was trained once, so there are no seeds to resample, and another may well lie outside",
    ONE_USER: "there are no users to resample, and another user may well lie outside",
}


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval.

    Attributes
    ----------
    mean, low, high
        The estimate, and the bounds.
    label
        What alone the interval allows for, one of `REASONS`, where that is not all that varies; else empty.
    """

    mean: float
    low: float
    high: float
    label: str = ""

    def __str__(self) -> str:
        words = f"{self.mean:+.1f} [{self.low:+.1f}, {self.high:+.1f}]"
        return f"{words} {self.label}" if self.label else words

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0

    @property
    def shows_difference(self) -> bool:
        """Whether it excludes 0 and allows for all that varies: what tables set in bold."""
        return self.excludes_zero and not self.label


def choose_label(users: int, trained_once: bool) -> str:
    """Label of an interval of so many users, and of a method that was trained once or not."""
    if users == 1:
        return ONE_USER
    return USERS_ONLY if trained_once else ""


def spread_seeds(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (S, U) whose means over users lie further from their mean over seeds, for a bootstrap of few seeds.

    Resampled, S seeds vary by ``√((S − 1)/S)`` of what they should, and a percentile interval takes for normal what
    has Student's tails with S − 1 degrees of freedom. Where only seeds vary, 95 % intervals of 3 and 5 seeds would
    otherwise cover 75 % and 84 %. Values that are NaN stay so.
    """
    seeds = len(values)
    if seeds < 2:
        return values
    factor = np.sqrt(seeds / (seeds - 1)) * student.ppf(0.975, seeds - 1) / student.ppf(0.975, np.inf)
    means = np.nanmean(values, axis=1, keepdims=True)
    return np.asarray(values + (factor - 1.0) * (means - means.mean()))


def bootstrap_statistic(
    sums: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    resamples: int = 4000,
    seed: int = 0,
) -> Interval:
    """A statistic of means over users, such as a ratio of two, with a 95 % percentile interval of a bootstrap.

    Each resample draws users with replacement.

    Parameters
    ----------
    sums
        (U, M) numbers of each user, such as counts.
    statistic
        From means (R, M) to values (R,); NaN where there is none, which a resample may be, and is left out.
    resamples
        Bootstrap resamples.
    """
    users = len(sums)
    weights = np.random.default_rng(seed).multinomial(users, np.full(users, 1 / users), resamples) / users
    mean = float(statistic(sums.mean(axis=0)[None])[0])
    values = statistic(weights @ sums)
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.025, 0.975]) if len(values) and np.isfinite(mean) else (np.nan, np.nan)
    return Interval(mean, float(low), float(high), choose_label(users, False))


def bootstrap_difference(
    a: NDArray[np.float64],
    b: NDArray[np.float64] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    trained_once: bool = False,
) -> Interval:
    """Mean of ``a − b`` over seeds and users, with a 95 % percentile interval of a two-way bootstrap.

    Each resample draws users with replacement, the same for both sides (they are paired: same users, same luck), and
    training seeds with replacement, for each side on its own (their trainings are independent); for few seeds, see
    `spread_seeds`.

    Parameters
    ----------
    a, b
        (S, U) and (T, U): one row a training seed, one column a user; a rule has one row. Without `b`, the mean of `a`.
    resamples
        Bootstrap resamples.
    trained_once
        Whether a side is a method that was trained with one seed alone. A row of a rule is all there is of it, that of
        a training is one of many: the interval is then labelled.
    """
    sides = [np.atleast_2d(np.asarray(side, np.float64)) for side in (a, b) if side is not None]
    users = sides[0].shape[1]
    if any(side.shape[1] != users for side in sides):
        raise ValueError(
            f"sides have {[side.shape[1] for side in sides]} users; a paired difference needs the same users"
        )
    if not all(np.isfinite(side).all() for side in sides):
        raise ValueError("a side has values that are not finite; every seed must have played every user")
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(users, np.full(users, 1 / users), resamples) / users
    values = np.zeros(resamples)
    for sign, side in zip((1.0, -1.0), sides, strict=False):
        seeds = rng.multinomial(len(side), np.full(len(side), 1 / len(side)), resamples) / len(side)
        values += sign * ((seeds @ spread_seeds(side)) * weights).sum(axis=1)
    mean = sides[0].mean() - (sides[1].mean() if len(sides) > 1 else 0.0)
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(float(mean), float(low), float(high), choose_label(users, trained_once))


def bootstrap_ratio(
    above: NDArray[np.float64],
    below: NDArray[np.float64],
    resamples: int = 4000,
    seed: int = 0,
    trained_once: bool = False,
) -> Interval | None:
    """Ratio of two means over seeds and users, with a 95 % percentile interval of a two-way bootstrap.

    Each resample draws users and seeds with replacement, the same above and below.

    Parameters
    ----------
    above, below
        (S, U), or (1, U) where it is the same for all seeds.
    trained_once
        As of `bootstrap_difference`.

    Returns
    -------
    Interval or None
        None where the mean below is not above 0, or 1 in 40 or more of its resamples are not: there is no ratio then.
    """
    top, bottom = np.broadcast_arrays(np.atleast_2d(above), np.atleast_2d(below))
    seeds, users = top.shape
    rng = np.random.default_rng(seed)
    who = rng.multinomial(users, np.full(users, 1 / users), resamples) / users
    which = rng.multinomial(seeds, np.full(seeds, 1 / seeds), resamples) / seeds
    over, under = (((which @ spread_seeds(side)) * who).sum(axis=1) for side in (top, bottom))
    if bottom.mean() <= 0 or (under <= 0).mean() >= 0.025:
        return None
    low, high = np.quantile(over[under > 0] / under[under > 0], [0.025, 0.975])
    return Interval(float(top.mean() / bottom.mean()), float(low), float(high), choose_label(users, trained_once))


def bootstrap_incomplete(values: NDArray[np.float64], resamples: int = 2000, seed: int = 0) -> Interval:
    """Mean over seeds of the mean over users, where a seed has some of the users, with a 95 % percentile interval.

    Each resample draws users with replacement, the same for all seeds, because most are met in several, and seeds with
    replacement.

    Parameters
    ----------
    values
        (S, U); NaN where a seed has not met a user. Paired differences are given as differences.
    """
    known = np.isfinite(values)
    if not known.any(axis=1).all():
        raise ValueError("a seed has no value of any user; leave it out")
    rng, (seeds, users) = np.random.default_rng(seed), values.shape
    drawn = rng.multinomial(users, np.full(users, 1 / users), resamples).astype(np.float64)
    counts = drawn @ known.T
    means = drawn @ np.where(known, spread_seeds(values), 0.0).T / np.maximum(counts, 1.0)  # (resamples, S)
    weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), resamples) * (counts > 0)
    estimates = (weights * means).sum(axis=1) / np.maximum(weights.sum(axis=1), 1.0)
    low, high = np.quantile(estimates, [0.025, 0.975])
    label = choose_label(users, seeds == 1)
    return Interval(float(np.nanmean(values, axis=1).mean()), float(low), float(high), label)


def estimate_retention(
    days: NDArray[np.float64], churned: NDArray[np.bool_], grid: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Kaplan–Meier share of users not yet churned on each day of `grid`, with its 95 % interval (log-log).

    Parameters
    ----------
    days
        (U,) day of churn, or the day on which the user was last seen by the study.
    churned
        (U,) whether the user churned then; the others are censored.
    """
    days, churned = np.asarray(days, np.float64), np.asarray(churned, bool)
    if not churned.any():
        whole = np.ones(len(grid))
        return whole, whole, whole
    survival: Any = ecdf(CensoredData(uncensored=days[churned], right=days[~churned])).sf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where the interval is not defined, it is completed here
        interval = survival.confidence_interval(method="log-log")
    share, low, high = (curve.evaluate(grid) for curve in (survival, interval.low, interval.high))
    some = survival.probabilities > 0
    last = np.nan_to_num(interval.high.probabilities[some][-1], nan=1.0) if some.any() else 1.0
    # Before the first churn nobody is gone; once everybody is, the upper bound stays where it was last defined.
    low = np.where(share == 1, 1.0, np.where(share == 0, 0.0, low))
    high = np.where(share == 1, 1.0, np.where(share == 0, last, high))
    return share, low, high

"""How long things last: session lengths and the gaps between sessions, with gaps censored at the end of the log."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, log_ndtr

from longplay.scripts.studies.signatures.clicks import Floats, Ints

LONGEST_LENGTH = 60  # session lengths that distributions are tabulated to


def compute_length_hazard(length: Ints) -> Floats:
    """``P(length = n | length ≥ n)`` for n = 0 to the longest; NaN where nobody is left."""
    ends = np.bincount(length)
    with np.errstate(invalid="ignore"):
        return np.asarray(ends / ends[::-1].cumsum()[::-1])


def compute_length_ccdf(hazard: Floats) -> Floats:
    """``P(length ≥ n)`` for n = 2 to `LONGEST_LENGTH`, from hazards at lengths 2, 3, ..."""
    return np.asarray(np.r_[1.0, np.cumprod(1.0 - hazard[: LONGEST_LENGTH - 2])])


def compute_beta_geometric_hazard(a: float, b: float, length: NDArray[np.number]) -> Floats:
    """``a / (a + b + n − 2)``: leaving with probability p per click from the second on, p ~ Beta(a, b)."""
    return np.asarray(a / (a + b + length - 2.0))


def fit_beta_geometric(length: Ints) -> tuple[float, float, float]:
    """Maximum likelihood of a and b for lengths of at least 2, and the negative log likelihood per session."""
    n, count = np.unique(length, return_counts=True)
    share = count / count.sum()

    def loss(logs: Floats) -> float:
        a, b = np.exp(logs)
        return float(-(share * (betaln(a + 1, b + n - 2) - betaln(a, b))).sum())

    best = minimize(loss, np.log([3.0, 3.0]), method="L-BFGS-B", bounds=[(-5.0, 12.0)] * 2)
    a, b = np.exp(best.x)
    return float(a), float(b), float(best.fun)


def fit_geometric_loss(length: Ints) -> float:
    """Negative log likelihood per session of the geometric distribution from length 2, at its best."""
    mean = length.mean() - 1.0
    p = 1.0 / mean
    return float(-(np.log(p) + (mean - 1.0) * np.log1p(-p))) if mean > 1.0 else 0.0


def compute_intraclass_correlation(values: Floats, group: Ints) -> float:
    """One-way random-effects intraclass correlation ICC(1), unbalanced (Donner, 1986)."""
    _, code, size = np.unique(group, return_inverse=True, return_counts=True)
    mean = np.bincount(code, values) / size
    groups, total = len(size), len(values)
    if groups < 2 or total == groups:
        return float("nan")
    between = (size * (mean - values.mean()) ** 2).sum() / (groups - 1)
    within = ((values - mean[code]) ** 2).sum() / (total - groups)
    usual = (total - (size**2).sum() / total) / (groups - 1)
    return float((between - within) / (between + (usual - 1) * within))


def estimate_survival(duration: Floats, seen: NDArray[np.bool_], at: Floats) -> Floats:
    """Survival (Kaplan and Meier, 1958) at the times `at`; `seen` is False for a censored duration."""
    order = np.argsort(duration)
    time, ends = duration[order], seen[order]
    distinct, start = np.unique(time, return_index=True)
    deaths = np.add.reduceat(ends.astype(np.int64), start)
    survival = np.r_[1.0, np.cumprod(1.0 - deaths / (len(time) - start))]
    return np.asarray(survival[np.searchsorted(distinct, at, side="right")])


def estimate_hazard_rates(duration: Floats, seen: NDArray[np.bool_], low: Floats, high: Floats) -> Floats:
    """Ends per unit of time at risk between `low` and `high`."""
    rates = []
    for start, stop in zip(low, high, strict=True):
        risk = np.clip(duration, start, stop) - start
        ends = (seen & (duration >= start) & (duration < stop)).sum()
        rates.append(ends / risk.sum() if risk.sum() > 0 else np.nan)
    return np.array(rates)


def fit_log_normal(duration: Floats, seen: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Maximum likelihood of μ, σ of a log-normal with censoring, and the negative log likelihood per duration."""
    logs = np.log(duration)

    def loss(x: Floats) -> float:
        z = (logs - x[0]) / np.exp(x[1])
        ended = -0.5 * z**2 - x[1] - 0.5 * np.log(2 * np.pi) - logs
        return float(-np.where(seen, ended, log_ndtr(-z)).mean())

    start = [logs.mean(), np.log(max(logs.std(), 0.1))]
    best = minimize(loss, start, method="L-BFGS-B", bounds=[(-20.0, 30.0), (-5.0, 4.0)])
    return float(best.x[0]), float(np.exp(best.x[1])), float(best.fun)


def fit_exponential_loss(duration: Floats, seen: NDArray[np.bool_]) -> float:
    """Negative log likelihood per duration of the censored exponential at its best."""
    rate = seen.sum() / duration.sum()
    return float(rate * duration.mean() - seen.mean() * np.log(rate)) if rate > 0 else 0.0

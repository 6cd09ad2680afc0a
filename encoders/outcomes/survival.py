"""When users come back: Cox's proportional hazards of the return time, and how well it is told.

The time runs from the end of a session to the begin of the next. Where none was seen, it is censored: nobody can tell
who left for good from who is late. Statsmodels has the likelihood; it works beside pandas 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.stats import CensoredData, ecdf

from ..base import EncoderError
from .features import measure_columns
from .saved import Saved

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

FEATURES = ("clicks", "minutes", "completion", "no click", "slates", "sessions", "rate", "gap before", "first")
# Of half the squared coefficients of the standardised columns: hardly anything beside a hundred returns, yet none runs
# away where a group never comes back, or always first, and the likelihood alone has no maximum.
_PENALTY = 0.1


def compute_session_features(sessions: pd.DataFrame) -> Array:
    """What a platform knows of a user's trust when a session ends, (n, 9): see `FEATURES`.

    Parameters
    ----------
    sessions : DataFrame
        Sorted by ``user`` and ``session``, with ``begin`` and ``end`` [days], ``slates``, ``clicks``, ``minutes``,
        ``completion`` (mean of what was consumed; NaN if nothing was) and ``gap`` [days] to the next session.

    Returns
    -------
    (n, 9) array
        Logarithms ``log(1 + x)`` of clicks, minutes, slates, sessions so far, sessions a day so far and the gap before
        [days]; mean completion; and whether nothing was clicked, or it is the first session.
    """
    by_user = sessions.groupby("user", sort=False)
    so_far = by_user.cumcount().to_numpy() + 1.0
    days = (sessions["end"] - by_user["begin"].transform("first")).to_numpy()
    before = by_user["gap"].shift(1).to_numpy(np.float64)
    completion = sessions["completion"].to_numpy(np.float64)
    columns = {
        "clicks": np.log1p(sessions["clicks"].to_numpy(np.float64)),
        "minutes": np.log1p(sessions["minutes"].to_numpy(np.float64)),
        "completion": np.nan_to_num(completion),
        "no click": np.isnan(completion),
        "slates": np.log1p(sessions["slates"].to_numpy(np.float64)),
        "sessions": np.log1p(so_far),
        "rate": np.log1p(so_far / (1.0 + days)),  # a day more, or the first session would be a rate of its own
        "gap before": np.log1p(np.nan_to_num(before)),
        "first": np.isnan(before),
    }
    return np.column_stack([columns[name] for name in FEATURES]).astype(np.float64)


@dataclass(frozen=True, eq=False)
class ReturnTime(Saved):
    """Cox's model: the hazard of coming back after t days is ``h₀(t)·exp(βᵀ(x − centre))``.

    Attributes
    ----------
    coefficients : (P,) array
        Logarithms β of hazard ratios: above 0, users come back sooner.
    centre : (P,) array
        Mean of the columns it was fitted on, the user of the baseline.
    errors : (P,) array
        Standard errors of β, rows counting as independent, from the curvature of the penalised likelihood; 0 for a
        constant column, whose coefficient is 0.
    times : (T,) array
        Return times that were seen [days], ascending.
    hazard : (T,) array
        Cumulative baseline hazard from each of them on (Breslow's estimate).
    reach : float
        Longest time observed [days], returned or not; later, nothing is known.
    """

    coefficients: Array
    centre: Array
    errors: Array
    times: Array
    hazard: Array
    reach: float

    @classmethod
    def fit(cls, columns: ArrayLike, days: ArrayLike, returned: ArrayLike) -> Self:
        """Fit by partial likelihood with a small ridge penalty: ten rows that returned for each column are wanted.

        Parameters
        ----------
        columns : (n, P) array
            Known when the session ended.
        days : (n,) float
            Until the user came back, or until nobody looked any more.
        returned : (n,) bool
            Which of the two.

        Raises
        ------
        EncoderError
            If shapes do not fit, a value is not finite or a time negative, too few returned, a column is a linear
            combination of others, or the fit does not converge.
        """
        from statsmodels.duration.hazard_regression import PHReg  # takes a second to import, and only a fit needs it

        x = _check_columns(columns)
        time, event = _check_outcomes(days, returned, len(x))
        if event.sum() <= x.shape[1]:
            raise EncoderError(f"{int(event.sum())} returns for {x.shape[1]} columns; give more rows or fewer columns")
        centre, scale = measure_columns(x)
        varies = scale > 0.0
        scale = np.where(varies, scale, 1.0)
        z = ((x - centre) / scale)[:, varies]
        if np.linalg.matrix_rank(z) < z.shape[1]:
            raise EncoderError("a column is a linear combination of others; leave one of them out")
        coefficients, errors = np.zeros((2, x.shape[1]))
        if varies.any():
            coefficients[varies], errors[varies] = _maximise_likelihood(
                PHReg(time, z, status=event), np.flatnonzero(varies)
            )
        coefficients, errors = coefficients / scale, errors / scale
        times, hazard = _estimate_hazard((x - centre) @ coefficients, time, event)
        return cls(coefficients, centre, errors, times, hazard, float(time.max()))

    def risk(self, columns: ArrayLike) -> Array:
        """Logarithm of the hazard ratio to the baseline, (n,), of rows (n, P): the higher, the sooner back."""
        return np.asarray((_check_columns(columns) - self.centre) @ self.coefficients)

    def survival(self, columns: ArrayLike, days: ArrayLike) -> Array:
        """Chance of not being back yet after some days, (n, D), of rows (n, P) and days (D,).

        Raises
        ------
        EncoderError
            If a day is negative, or later than `reach`.
        """
        at = np.atleast_1d(np.asarray(days, np.float64))
        if not ((at >= 0.0) & (at <= self.reach)).all():
            raise EncoderError(f"days = {at} are out of range; this model knows 0 to {self.reach:g}")
        before = np.searchsorted(self.times, at, side="right")
        return np.asarray(np.exp(-np.exp(self.risk(columns))[:, None] * np.append(0.0, self.hazard)[before]))


def concordance(risk: ArrayLike, days: ArrayLike, returned: ArrayLike) -> float:
    """Harrell's concordance: how often, of two users, the one of higher risk comes back first.

    Parameters
    ----------
    risk, days, returned : (n,) arrays
        As of `ReturnTime`.

    Returns
    -------
    float
        Share of the pairs whose order is known (one returned, and the other was seen later, or censored at that
        time) that have the right order, equal risks counting half; 0.5 says nothing. NaN if there is no such pair.
    """
    r = np.asarray(risk, np.float64)
    time, event = _check_outcomes(days, returned, len(r))
    # Times in order, who was censored at a time after those who returned at it: a pair counts if the key is higher.
    key, rank = (np.unique(values, return_inverse=True)[1] for values in (time, r))
    key = 2 * key + ~event
    order = np.argsort(key, kind="stable")
    start = np.searchsorted(key[order], key[event], side="right")
    pairs = int((len(r) - start).sum())
    lower, not_higher = (_count_below(rank[order], start, rank[event] + more).sum() for more in (0, 1))
    return float(lower + not_higher) / (2 * pairs) if pairs else float("nan")


def kaplan_meier(days: ArrayLike, returned: ArrayLike, at: ArrayLike) -> Array:
    """Share of all that is not back yet after some days (D,), whoever they are."""
    time, event = _check_outcomes(days, returned, np.size(days))
    grid = np.asarray(at, np.float64)
    if not event.any():
        return np.ones(grid.shape)
    curve: Any = ecdf(CensoredData(uncensored=time[event], right=time[~event]))
    return np.asarray(curve.sf.evaluate(grid))


def brier_scores(survival: ArrayLike, days: ArrayLike, returned: ArrayLike, at: ArrayLike) -> Array:
    """Mean squared error of the chance of not being back, at some days (D,).

    Parameters
    ----------
    survival : (n, D) array
        Chances told.
    days, returned : (n,) arrays
        As of `ReturnTime`.
    at : (D,) array
        Days; some must still be seen at each.

    Notes
    -----
    Who is censored before a day does not count, and the others stand for them: each weighs the inverse chance of not
    being censored yet (Graf et al. 1999), a Kaplan–Meier curve of censoring.
    """
    predicted, grid = np.asarray(survival, np.float64), np.asarray(at, np.float64)
    time, event = _check_outcomes(days, returned, len(predicted))
    back = event[:, None] & (time[:, None] <= grid)
    absent = time[:, None] > grid
    # The chance of being uncensored just before the return: a return at the same time counts as earlier.
    own = kaplan_meier(time, ~event, np.nextafter(time, -np.inf))
    weight = back / np.where(own > 0.0, own, 1.0)[:, None] + absent / np.maximum(
        kaplan_meier(time, ~event, grid), 1e-12
    )
    return np.asarray((weight * (absent - predicted) ** 2).mean(axis=0))


def integrated_brier(survival: ArrayLike, days: ArrayLike, returned: ArrayLike, at: ArrayLike) -> float:
    """Mean of `brier_scores` over the time from the first to the last day (D ≥ 2, ascending), by trapezia."""
    grid = np.asarray(at, np.float64)
    return float(np.trapezoid(brier_scores(survival, days, returned, grid), grid) / (grid[-1] - grid[0]))


def _maximise_likelihood(model: Any, names: NDArray[np.int64]) -> tuple[Array, Array]:
    """Coefficients and standard errors at the maximum of the penalised likelihood, which is concave: there is one."""
    size = len(names)

    def loss(beta: Array) -> float:
        return float(0.5 * _PENALTY * beta @ beta - model.loglike(beta))

    def slope(beta: Array) -> Array:
        return np.asarray(_PENALTY * beta - model.score(beta))

    def curvature(beta: Array) -> Array:
        return np.asarray(_PENALTY * np.eye(size) - model.hessian(beta))

    options: Any = {"gtol": 1e-6 * len(model.endog)}
    result = minimize(loss, np.zeros(size), method="trust-exact", jac=slope, hess=curvature, options=options)
    if not result.success:
        worst = int(np.argmax(np.abs(result.x)))
        largest = f"column {names[worst]} has the largest coefficient, {result.x[worst]:.3g}"
        raise EncoderError(f"the fit did not converge ({result.message}); {largest}: leave it out, or give more rows")
    return result.x, np.sqrt(np.diag(np.linalg.inv(curvature(result.x))))


def _count_below(values: NDArray[np.int64], start: NDArray[np.int64], bound: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of ``values[start:]`` are below a bound, for each start and bound; values (n,) are from 0 to n − 1.

    Values are sorted bit by bit, the highest first, and each range is followed to where the bits lead (a wavelet
    matrix, Claude and Navarro 2012): O(n log n) for n of each.
    """
    low, high, count = start, np.full_like(start, len(values)), np.zeros_like(start)
    for bit in range(len(values).bit_length() - 1, -1, -1):
        is_one = (values >> bit & 1).astype(bool)
        zeros = np.append(0, np.cumsum(~is_one))
        left, right = zeros[low], zeros[high]
        up = (bound >> bit & 1).astype(bool)
        count += np.where(up, right - left, 0)
        low, high = np.where(up, zeros[-1] + low - left, left), np.where(up, zeros[-1] + high - right, right)
        values = np.concatenate([values[~is_one], values[is_one]])
    return count


def _estimate_hazard(risk: Array, time: Array, event: Flags) -> tuple[Array, Array]:
    """Times (T,) of returns and the cumulative hazard from each on: sums of returns over the risk of who is left."""
    order = np.argsort(time)
    left = np.cumsum(np.exp(risk[order])[::-1])[::-1]
    times, count = np.unique(time[event], return_counts=True)
    return times, np.cumsum(count / left[np.searchsorted(time[order], times)])


def _check_columns(values: ArrayLike) -> Array:
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or not np.isfinite(array).all():
        raise EncoderError(f"columns of shape {array.shape}: must be finite numbers (n, P), one row a session")
    return array


def _check_outcomes(days: ArrayLike, returned: ArrayLike, rows: int) -> tuple[Array, Flags]:
    time, event = np.asarray(days, np.float64), np.asarray(returned, np.bool_)
    if time.shape != (rows,) or event.shape != (rows,):
        raise EncoderError(f"days {time.shape} and returned {event.shape} must be ({rows},), one for each row")
    if not (np.isfinite(time) & (time >= 0.0)).all():
        raise EncoderError("days: must be finite and not negative; a user not seen again has the days until the end")
    return time, event

"""Choice of a category after what was read before: logits by Newton's method, and the states they are fitted on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit
from scipy.special import expit

from longplay.scripts.studies.signatures.clicks import Clicks, Floats, Ints

RECENCY_HOURS = (0.0, 3.0, 6.0, 12.0, 24.0, 48.0, 96.0)  # lower ends of the bins of time since the last exposure
RECENCY = ("<3", "3-6", "6-12", "12-24", "24-48", "48-96", "96+")
MOMENTUM = ("session_run1", "run2", "run3+", "lag2", "lag3", "lag4+")
WITHIN = ("run1", "run2", "run3", "run4+", "lag2", "lag3", "lag4", "lag5", "lag6+")
NEIGHBOURHOOD = 500  # clicks before and after, in time, that alternatives are drawn from
RIDGE = 1e-6  # a hair, which keeps the coefficient of a level that nobody chose finite
LONGEST = 30  # clicks of a session that the within-session model reads


@dataclass(frozen=True)
class LogitFit:
    """Coefficients (log odds) with standard errors; NaN where the data do not identify one."""

    coefficients: Floats
    errors: Floats
    events: int


def fit_conditional_logit(
    event: Ints, level: Ints, chosen: NDArray[np.bool_], levels: int, extra: Floats | None = None
) -> LogitFit:
    """Conditional logit (McFadden, 1974) of one choice per event, by Newton's method with the analytic Hessian.

    Each row is an alternative, whose utility is the coefficient of its level plus its extra covariates.

    Parameters
    ----------
    event
        (R,) number of the event that a row belongs to, from 0, not falling.
    level
        (R,) 0 for the reference, whose coefficient is 0, or 1 to `levels`.
    chosen
        (R,) exactly one True per event.
    extra
        (R, Q) further covariates.

    Returns
    -------
    LogitFit
        With ``levels + Q`` coefficients.
    """
    extra = np.zeros((len(event), 0)) if extra is None else extra
    starts = np.flatnonzero(np.r_[True, event[1:] != event[:-1]])
    if len(starts) == 0 or not (np.add.reduceat(chosen.astype(np.int64), starts) == 1).all():
        raise ValueError("chosen must be True for exactly one alternative of each event")
    sizes = np.diff(np.r_[starts, len(event)])
    number = np.repeat(np.arange(len(starts)), sizes)
    width = levels + 1

    def likelihood(beta: Floats) -> tuple[float, Floats, Floats]:
        whole = np.r_[0.0, beta]
        value, gradient, hessian = _compute_choice_likelihood(whole, starts, sizes, number, level, chosen, width, extra)
        return value, gradient[1:], hessian[1:, 1:]

    beta, hessian = _maximise(likelihood, levels + extra.shape[1])
    errors = np.sqrt(np.diag(np.linalg.inv(hessian)))
    picked = np.bincount(level[chosen], minlength=width)
    passed = np.bincount(level[~chosen], minlength=width)
    unknown = np.r_[(picked == 0) | (passed == 0), np.zeros(extra.shape[1], bool)][1:]
    return LogitFit(np.where(unknown, np.nan, beta), np.where(unknown, np.nan, errors), len(starts))


def _maximise(likelihood: Callable[[Floats], tuple[float, Floats, Floats]], size: int) -> tuple[Floats, Floats]:
    """Coefficients that maximise a concave log likelihood, from 0, and its negative Hessian there."""
    beta = np.zeros(size)
    value, gradient, hessian = likelihood(beta)
    for _ in range(50):
        step = np.linalg.solve(hessian, gradient)
        while True:  # halve a step that overshoots
            new = likelihood(beta + step)
            if new[0] >= value - 1e-9 * abs(value) or np.abs(step).max() < 1e-7:
                break
            step = step / 2.0
        beta = beta + step
        value, gradient, hessian = new
        if np.abs(step).max() < 1e-7:
            break
    return beta, hessian


def _compute_choice_likelihood(
    beta: Floats,
    starts: Ints,
    sizes: Ints,
    number: Ints,
    level: Ints,
    chosen: NDArray[np.bool_],
    width: int,
    extra: Floats,
) -> tuple[float, Floats, Floats]:
    """Log likelihood, gradient and negative Hessian of `fit_conditional_logit`."""
    utility = beta[level] + extra @ beta[width:]
    utility -= np.repeat(np.maximum.reduceat(utility, starts), sizes)
    weight = np.exp(utility)
    total = np.add.reduceat(weight, starts)
    p = weight / np.repeat(total, sizes)
    likelihood = float(utility[chosen].sum() - np.log(total).sum() - RIDGE * (beta**2).sum() / 2)
    residual = chosen - p
    gradient = np.r_[np.bincount(level, residual, width), extra.T @ residual] - RIDGE * beta
    hessian = np.zeros((len(beta), len(beta)))
    hessian[:width, :width] = np.diag(np.bincount(level, p, width))
    for q in range(extra.shape[1]):
        hessian[:width, width + q] = hessian[width + q, :width] = np.bincount(level, p * extra[:, q], width)
    hessian[width:, width:] = extra.T @ (p[:, None] * extra)
    mean = np.zeros((len(starts), len(beta)))
    mean[:, :width] = np.bincount(number * width + level, p, len(starts) * width).reshape(-1, width)
    if extra.shape[1]:
        mean[:, width:] = np.add.reduceat(p[:, None] * extra, starts)
    return likelihood, gradient, hessian - mean.T @ mean + RIDGE * np.eye(len(beta))


def fit_binary_logit(covariates: Floats, outcome: NDArray[np.bool_]) -> LogitFit:
    """Logistic regression of (R,) outcomes on (R, Q) covariates and an intercept, which is not returned."""
    if outcome.all() or not outcome.any():
        unknown = np.full(covariates.shape[1], np.nan)
        return LogitFit(unknown, unknown, len(outcome))
    x = np.c_[np.ones(len(outcome)), covariates - covariates.mean(axis=0)]

    def likelihood(beta: Floats) -> tuple[float, Floats, Floats]:
        utility = x @ beta
        p = expit(utility)
        value = (outcome * utility - np.logaddexp(0.0, utility)).sum() - RIDGE * (beta**2).sum() / 2
        hessian = x.T @ (x * (p * (1.0 - p))[:, None]) + RIDGE * np.eye(len(beta))
        return float(value), x.T @ (outcome - p) - RIDGE * beta, hessian

    beta, hessian = _maximise(likelihood, x.shape[1])
    return LogitFit(beta[1:], np.sqrt(np.diag(np.linalg.inv(hessian)))[1:], len(outcome))


@dataclass(frozen=True, eq=False)
class Exposure:
    """When a user last met a category before a click: what a choice model knows of an alternative.

    Attributes
    ----------
    run
        Clicks in a row on the category up to the click before, in this session; 0 if that click was on another.
    lag
        Clicks since the last one on the category in this session, 1 for the click before; 0 if none.
    hours
        Since the last click on it, of whatever session; infinite if there was none.
    day
        Clicks on it in the last 24 hours.
    """

    run: Ints
    lag: Ints
    hours: Floats
    day: Ints


class Exposures:
    """Answers `Exposure` for any clicks and categories, by binary search in an index sorted by user and category."""

    def __init__(self, clicks: Clicks) -> None:
        self.clicks = clicks
        self.count, self.categories = len(clicks.user), int(clicks.category.max()) + 1
        place = (clicks.user * self.categories + clicks.category) * self.count + np.arange(self.count)
        self.order = np.argsort(place)
        self.sorted = place[self.order]
        when = clicks.user * (clicks.window + 48.0) + clicks.hour
        self.day_before = np.searchsorted(when, when - 24.0)

    def before(self, index: Ints, category: Ints) -> Exposure:
        """Exposure (R,) to `category` just before click number `index`."""
        clicks = self.clicks
        key = (clicks.user[index] * self.categories + category) * self.count
        index_before = np.searchsorted(self.sorted, key + index)
        last = self.order[np.maximum(index_before - 1, 0)]
        is_met = (index_before > 0) & (clicks.user[last] == clicks.user[index]) & (clicks.category[last] == category)
        here = is_met & (clicks.session[last] == clicks.session[index])
        lag = np.where(here, clicks.position[index] - clicks.position[last], 0)
        run = np.where(lag == 1, clicks.run[last], 0)
        hours = np.where(is_met, clicks.hour[index] - clicks.hour[last], np.inf)
        return Exposure(run, lag, hours, index_before - np.searchsorted(self.sorted, key + self.day_before[index]))


def find_across_level(seen: Exposure) -> Ints:
    """Level of `MOMENTUM` or, for a category not yet met in this session, `RECENCY`, from 1; 0 if never met."""
    here = np.where(seen.run > 0, np.minimum(seen.run, 3), np.minimum(seen.lag, 4) + 2)
    earlier = len(MOMENTUM) + np.searchsorted(RECENCY_HOURS, seen.hours, side="right")
    return np.asarray(np.where(seen.lag > 0, here, np.where(np.isfinite(seen.hours), earlier, 0)))


def find_within_level(seen: Exposure) -> Ints:
    """Level of `WITHIN`, from 1; 0 for a category not yet met in this session."""
    here = np.where(seen.run > 0, np.minimum(seen.run, 4), np.minimum(seen.lag, 6) + 3)
    return np.asarray(np.where(seen.lag > 0, here, 0))


def measure_choice_odds(clicks: Clicks, seed: int = 0, events: int = 200_000, alternatives: int = 10) -> dict[str, Any]:
    """Odds of choosing a category by what the user read before, against categories never read in the log.

    Events are clicks of users who have clicked before. The alternatives are the categories of clicks of anybody at
    about that time, so that the model is ``P(category) ∝ its popularity then × exp(state)``; drawn in this way they
    need no correction for sampling.

    Parameters
    ----------
    events
        At most this many clicks, drawn at random.
    alternatives
        For each event, with replacement.
    """
    rng = np.random.default_rng(seed)
    index = np.flatnonzero(np.r_[False, clicks.user[1:] == clicks.user[:-1]])
    if len(index) > events:
        index = np.sort(rng.choice(index, events, replace=False))
    time = np.argsort(clicks.hour, kind="stable")
    rank = np.empty_like(time)
    rank[time] = np.arange(len(time))
    reach = min(NEIGHBOURHOOD, (len(time) - 1) // 2)
    offset = rng.integers(1, reach + 1, (len(index), alternatives)) * rng.choice([-1, 1], (len(index), alternatives))
    drawn = time[(rank[index][:, None] + offset) % len(time)]
    items = int(clicks.item.max()) + 1
    category_of = np.zeros(items, np.int64)
    category_of[clicks.item] = clicks.category
    real = _fit_choice(clicks, category_of, index, drawn)
    placebo = _fit_choice(clicks, rng.permutation(category_of), index, drawn)
    fit, bare = real
    names = (*MOMENTUM, *RECENCY)
    odds, errors = _name_values(names, np.exp(fit.coefficients)), _name_values(names, fit.errors)
    bins = slice(len(MOMENTUM), len(MOMENTUM) + len(RECENCY))
    tau, tau_error = fit_recovery_time(bare.coefficients[bins], bare.errors[bins])
    bare_odds, placebo_odds = (
        _name_values(names, np.exp(bare.coefficients)),
        _name_values(names, np.exp(placebo[0].coefficients)),
    )
    return {
        **{name: odds[name] for name in MOMENTUM},
        "last_exposure_h": {name: odds[name] for name in RECENCY},
        "log1p_count_24h_beta": float(fit.coefficients[-1]),
        "no_count_variant": {name: bare_odds[name] for name in ("lag4+", *RECENCY[:5])},
        "recovery_tau_h": tau,
        "recovery_tau_se": tau_error,
        "placebo_random_categories": {name: placebo_odds[name] for name in ("lag4+", *RECENCY[:3])},
        "se_log_odds": errors,
        "events": fit.events,
    }


def _fit_choice(clicks: Clicks, category_of: Ints, index: Ints, drawn: Ints) -> tuple[LogitFit, LogitFit]:
    """The choice logit with and without the count of the last day, under a map of items to categories."""
    other = clicks.recategorised(category_of[clicks.item])
    options = np.concatenate([other.category[index][:, None], other.category[drawn]], axis=1)
    event = np.repeat(np.arange(len(index)), options.shape[1])
    seen = Exposures(other).before(np.repeat(index, options.shape[1]), options.ravel())
    chosen = np.tile(np.arange(options.shape[1]) == 0, len(index))
    level, count = find_across_level(seen), np.log1p(seen.day)[:, None]
    levels = len(MOMENTUM) + len(RECENCY)
    return fit_conditional_logit(event, level, chosen, levels, count), fit_conditional_logit(
        event, level, chosen, levels
    )


def fit_recovery_time(log_odds: Floats, errors: Floats) -> tuple[float, float]:
    """Recovery time [h] and its standard error: weighted least squares of ``log odds = −A e^(−t/τ)`` over `RECENCY`.

    ``t`` is the middle of each bin (the last: 120 h). NaN where satiation is not seen in the first bin. Of the variant
    without the count of the last day, which would otherwise take a part of the recovery.
    """
    middle = np.r_[(np.array(RECENCY_HOURS[:-1]) + np.array(RECENCY_HOURS[1:])) / 2, 120.0]
    usable = np.isfinite(log_odds) & np.isfinite(errors)
    if usable.sum() < 4 or not log_odds[0] < 0:
        return np.nan, np.nan
    try:
        best, spread = curve_fit(
            lambda t, depth, tau: -depth * np.exp(-t / tau),
            middle[usable],
            log_odds[usable],
            p0=(-log_odds[0], 6.0),
            sigma=errors[usable],
            absolute_sigma=True,
            bounds=([0.0, 0.1], [10.0, 1000.0]),
        )
    except RuntimeError:  # no optimum within the iterations: nothing to recover from
        return np.nan, np.nan
    return float(best[1]), float(np.sqrt(spread[1, 1]))


def measure_order_odds(clicks: Clicks) -> dict[str, Any]:
    """Odds within sessions: each next click is chosen among the remaining clicks of its session (Plackett–Luce).

    What a user likes and what is popular cancel, as the set is what the user did read; the order alone speaks.
    ``per_log_earlier_count_of_current`` multiplies the odds of going on with the current category, per logarithm of one
    plus its clicks in this session before the current run.
    """
    length = np.minimum(clicks.length, LONGEST)
    sessions = np.flatnonzero(length > 2)
    # A click k of a session of n has n - k + 1 rows: itself and those after it; the last has no choice left.
    head = np.concatenate([clicks.first[sessions] + k for k in range(1, LONGEST)])
    end = np.tile(clicks.first[sessions] + length[sessions], LONGEST - 1)
    keep = head < end - 1
    order = np.argsort(head[keep])
    head, end = head[keep][order], end[keep][order]
    sizes = end - head
    event = np.repeat(np.arange(len(head)), sizes)
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    index = head[event]
    exposures = Exposures(clicks)
    category = clicks.category[index + within]
    seen = exposures.before(index, category)
    # Clicks on the category in this session = in all, less those before the session.
    key = (clicks.user[index] * exposures.categories + category) * exposures.count
    start = clicks.first[clicks.session[index]]
    count = np.searchsorted(exposures.sorted, key + index) - np.searchsorted(exposures.sorted, key + start)
    earlier = np.where(seen.run > 0, np.log1p(count - seen.run), 0.0)[:, None]
    fit = fit_conditional_logit(event, find_within_level(seen), within == 0, len(WITHIN), earlier)
    names = (*WITHIN, "per_log_earlier_count_of_current")
    return {
        **_name_values(names, np.exp(fit.coefficients)),
        "se_log_odds": _name_values(names, fit.errors),
        "events": fit.events,
    }


def _name_values(names: Sequence[str], values: Floats) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=False)}

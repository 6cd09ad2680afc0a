"""Signatures of a log: the statistics that real click logs were measured by, of any table of clicks.

Keys are those of the reference file. Where that does not define a statistic fully, the standard one is taken and its
path listed in `ASSUMED`. All are observational: they describe a log, they do not say what caused it.
"""

from typing import Any

import numpy as np
import pandas as pd

from longplay.scripts.studies.signatures.choice_models import fit_binary_logit, measure_choice_odds, measure_order_odds
from longplay.scripts.studies.signatures.clicks import Clicks, Floats, Ints, mean_of_other_sessions
from longplay.scripts.studies.signatures.durations import (
    LONGEST_LENGTH,
    compute_intraclass_correlation,
    compute_length_ccdf,
    compute_length_hazard,
    estimate_hazard_rates,
    estimate_survival,
    fit_beta_geometric,
    fit_exponential_loss,
    fit_geometric_loss,
    fit_log_normal,
)

LENGTHS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30)
STRATA = {
    "2.0-2.4": (2.0, 2.4),
    "2.4-2.8": (2.4, 2.8),
    "2.8-3.4": (2.8, 3.4),
    "3.4-4.25": (3.4, 4.25),
    "4.25+": (4.25, 1e9),
}
SURVIVAL_HOURS = (*range(1, 49), *range(50, 97, 2), *range(100, 373, 4))
HAZARD_HOURS = ((2, 3), (10, 12), (22, 24), (28, 32), (32, 36), (44, 48), (52, 60), (66, 72))
QUANTILES = (1, *range(5, 100, 5))
HALF = 8.0 * 24.0  # hours: what a user did before is set against whether they came after
CHURN_COUNTS = ("1", "2", "3", "4", "5", "6", "8", "12+")
SESSION_COUNTS = (2, 3, 5, 8, 12, 24)
FEW = 20  # a hazard of fewer sessions is not told
ENTROPY_CLICKS = 20  # a user's entropy says little below
LIFETIME_CLICKS = 20  # an article's 10 % and 90 % quantiles say little below

# Whose definition the reference leaves open, and what is taken here.
ASSUMED = {
    "session_length_ge2.icc_user": "ICC(1) of log length",
    "leave_logit": "joint logit; position and others' mean in logs, distinct categories per click so far",
    "choice_logit_or": "10 alternatives in proportion to popularity at the time; reference: never read in the log",
    "choice_logit_or.recovery_tau_h": "weighted least squares over the bins' odds of the variant without counts",
    "choice_logit_or.placebo_random_categories": "categories permuted over articles",
    "plackett_luce_within_session_or.per_log_earlier_count_of_current": "log(1 + clicks before the current run)",
    "return_time_h": "from a session's last click to the next session's first",
    "return24_effect_of_last_session": "linear probability of a return within 24 h, one covariate at a time, logs",
    "churn_logit_n>=2": "joint logit; entropy over log of clicks; days from the last session to day 8",
    "category_entropy_nats": "plug-in, users with at least 20 clicks",
    "article_click_lifetime_h_10_90": "median over articles with at least 20 clicks",
    "popularity": "of articles clicked at least once, so that a smaller log seems less skewed",
    "popularity.zipf_slope_rank10_3000": "least squares of log clicks on log rank, each rank once",
}


def measure(table: pd.DataFrame, days: float = 16.0, seed: int = 0, events: int = 200_000) -> dict[str, Any]:
    """All signatures of a log.

    Parameters
    ----------
    table
        One row a click: ``user``, ``session``, ``clock`` [days from the start of the window], ``item``, ``category``.
    days
        Length of the window.
    seed
        Of the alternatives that the choice logit draws, and of the halves of users of the noise floor.
    events
        At most this many clicks for the choice logit.

    Returns
    -------
    dict
        Nested, of numbers and lists; ready for JSON.
    """
    clicks = Clicks.from_table(table, days)
    if len(clicks.user) < 50:
        raise ValueError(f"the log has {len(clicks.user)} clicks, too few to measure; simulate more users")
    return {
        "clicks": len(clicks.user),
        "users": int(clicks.user.max()) + 1,
        "sessions": len(clicks.first),
        "articles": int(clicks.item.max()) + 1,
        "session_length_ge2": measure_session_length(clicks),
        "leave_logit": fit_leave_logit(clicks),
        "choice_logit_or": measure_choice_odds(clicks, seed, events),
        "plackett_luce_within_session_or": measure_order_odds(clicks),
        "return_time_h": measure_return_time(clicks),
        "return24_effect_of_last_session": measure_return_effect(clicks),
        **measure_churn(clicks),
        "sessions_per_user_ccdf": measure_sessions_per_user(clicks),
        "popularity": measure_popularity(clicks),
        "category_entropy_nats": measure_category_entropy(clicks),
        "article_click_lifetime_h_10_90": measure_lifetime(clicks),
        "hour_of_day_session_share_brt": measure_hour_share(clicks).tolist(),
        "noise_floor": measure_noise_floor(clicks, seed),
    }


def measure_session_length(clicks: Clicks) -> dict[str, Any]:
    """Lengths of sessions of at least two clicks: hazard, fits, and the hazard by the mean of the user's others."""
    is_long = clicks.length >= 2
    length = clicks.length[is_long]
    hazard = compute_length_hazard(np.minimum(length, LONGEST_LENGTH + 1))
    full = np.full(LONGEST_LENGTH + 2, np.nan)
    full[: len(hazard)] = hazard
    others = mean_of_other_sessions(clicks)[is_long]
    strata = {}
    for name, (low, high) in STRATA.items():
        own = length[(others >= low) & (others < high)]
        strata[name] = [_compute_share(own == n, own >= n, least=FEW) for n in range(2, 7)]
    a, b, loss = fit_beta_geometric(length)
    return {
        "mean": float(length.mean()),
        "hazard": {str(n): float(full[n]) for n in LENGTHS},
        "ccdf": compute_length_ccdf(np.nan_to_num(full[2:], nan=1.0)).tolist(),
        "fits_nll_per_session": {"geometric": fit_geometric_loss(length), "beta_geometric": loss},
        "beta_geometric": {"a": a, "b": b},
        "icc_user": compute_intraclass_correlation(np.log(length), clicks.session_user[is_long]),
        "hazard_by_other_session_mean": strata,
    }


def fit_leave_logit(clicks: Clicks) -> dict[str, float]:
    """Whether a click (from the second on) is its session's last, by what the session was so far and who the user is.

    Users with other sessions in the log only.
    """
    others = mean_of_other_sessions(clicks)[clicks.session]
    rows = np.flatnonzero((clicks.position >= 2) & np.isfinite(others))
    leaves = clicks.position[rows] == clicks.length[clicks.session[rows]]
    key = clicks.session * (clicks.category.max() + 1) + clicks.category
    fresh = np.zeros(len(key))
    fresh[np.unique(key, return_index=True)[1]] = 1.0
    distinct = np.cumsum(fresh)
    distinct -= (distinct[clicks.first] - 1.0)[clicks.session]
    run = clicks.run[rows]
    covariates = {
        "log_position": np.log(clicks.position[rows]),
        "log_other_session_len": np.log(others[rows]),
        "same_cat_run2": run == 2,
        "run3": run == 3,
        "run4+": run >= 4,
        "distinct_share": distinct[rows] / clicks.position[rows],
    }
    fit = fit_binary_logit(np.stack([np.asarray(c, np.float64) for c in covariates.values()], axis=1), leaves)
    return dict(zip(covariates, fit.coefficients.tolist(), strict=True))


def measure_return_time(clicks: Clicks) -> dict[str, Any]:
    """Hours from a session's last click to the user's next session, censored at the end of the window."""
    gap, seen = clicks.gaps
    usable = gap > 0
    duration, ended = gap[usable], seen[usable]
    hours = np.array(SURVIVAL_HOURS, np.float64)
    low, high = np.array(HAZARD_HOURS, np.float64).T
    mu, sigma, loss = fit_log_normal(duration, ended)
    edges = np.arange(0.0, 97.0)
    follows = seen[:-1] & seen[1:] & (gap[:-1] > 0) & (gap[1:] > 0)
    logs = np.log(np.maximum(gap, 1e-9))
    pair = np.corrcoef(logs[:-1][follows], logs[1:][follows])[0, 1] if follows.sum() > 2 else np.nan
    return {
        "observed_quantiles": {str(q): float(np.quantile(gap[seen], q / 100)) for q in QUANTILES} if seen.any() else {},
        "log_normal": {"mu": mu, "sigma": sigma},
        "censored_fit_nll": {"exp": fit_exponential_loss(duration, ended), "lognormal": loss},
        "survival_h": dict(
            zip(map(str, SURVIVAL_HOURS), estimate_survival(duration, ended, hours).tolist(), strict=True)
        ),
        "hazard_per_h": {
            f"{a}-{b}": float(rate)
            for (a, b), rate in zip(HAZARD_HOURS, estimate_hazard_rates(duration, ended, low, high), strict=True)
        },
        "hourly_hazard_0_96": estimate_hazard_rates(duration, ended, edges[:-1], edges[1:]).tolist(),
        "corr_consecutive_log_gaps": float(pair),
    }


def measure_return_effect(clicks: Clicks) -> dict[str, float]:
    """Slope of a return within 24 hours on what the last session was, pooled and with a mean per user taken out.

    Sessions that end less than 24 hours before the window does are left out.
    """
    gap, seen = clicks.gaps
    end = clicks.hour[clicks.last]
    rows = end + 24.0 <= clicks.window
    back = (seen & (gap <= 24.0))[rows].astype(np.float64)
    who = clicks.session_user[rows]
    minutes = 60.0 * (end - clicks.hour[clicks.first])
    top = _compute_top_share(clicks)
    size, dwell = np.log(clicks.length)[rows], np.log1p(minutes)[rows]
    within, error = _fit_slope(_demean(size, who), _demean(back, who), who)
    return {
        "pooled_per_log_size": _fit_slope(size - size.mean(), back - back.mean(), who)[0],
        "within_user_per_log_size": within,
        "within_user_se": error,
        "within_user_per_log_dwell": _fit_slope(_demean(dwell, who), _demean(back, who), who)[0],
        "within_user_top_category_share": _fit_slope(_demean(top[rows], who), _demean(back, who), who)[0],
    }


def measure_churn(clicks: Clicks) -> dict[str, Any]:
    """No session in days 8 to 16, by the sessions in days 0 to 8; and the logit of it for users with at least two."""
    start, who = clicks.hour[clicks.first], clicks.session_user
    users = int(clicks.user.max()) + 1
    early = start < HALF
    count = np.bincount(who[early], minlength=users)
    gone = np.bincount(who[~early], minlength=users) == 0
    present = count > 0
    table = {}
    for name in CHURN_COUNTS:
        group = present & ((count >= 12) if name == "12+" else (count == int(name)))
        table[name] = _compute_share(gone, group)
    regular = count >= 2
    some = np.bincount(clicks.user[clicks.hour < HALF], minlength=users)
    mean_size = np.bincount(who[early], clicks.length[early], users) / np.maximum(count, 1)
    latest = np.zeros(users)
    np.maximum.at(latest, who[early], start[early])
    half = clicks.hour < HALF
    entropy = _compute_entropy(clicks.user[half], clicks.category[half], users) / np.log(np.maximum(some, 2))
    covariates = np.stack(
        [np.log(np.maximum(count, 1)), np.log(np.maximum(mean_size, 1)), entropy, (HALF - latest) / 24.0], 1
    )
    names = ("log_sessions", "log_mean_size", "norm_category_entropy", "recency_days")
    logit = dict.fromkeys(names, float("nan"))
    if regular.sum() > 20:
        logit = dict(
            zip(names, fit_binary_logit(covariates[regular], gone[regular]).coefficients.tolist(), strict=True)
        )
    return {
        "churn_no_session_next_8d_by_sessions_in_first_8d": table,
        "churn_overall": _compute_share(gone, present),
        "churn_logit_n>=2": logit,
    }


def measure_sessions_per_user(clicks: Clicks) -> dict[str, float]:
    """Share of users with at least so many sessions."""
    count = np.bincount(clicks.session_user)
    return {str(n): float((count >= n).mean()) for n in SESSION_COUNTS}


def measure_popularity(clicks: Clicks) -> dict[str, Any]:
    """Skew of clicks over the articles clicked at least once."""
    count = np.sort(np.bincount(clicks.item))[::-1].astype(np.float64)
    rank = np.arange(1, len(count) + 1)
    some = (rank >= 10) & (rank <= 3000)
    slope = np.polyfit(np.log(rank[some]), np.log(count[some]), 1)[0] if some.sum() > 2 else np.nan
    top = max(round(0.01 * len(count)), 1)
    places = np.unique(np.geomspace(1, len(count), 60).astype(np.int64))
    return {
        "zipf_slope_rank10_3000": float(slope),
        "top1pct_share": float(count[:top].sum() / count.sum()),
        "gini": compute_gini(count),
        "share_by_rank": {str(n): float(count[n - 1] / count.sum()) for n in places},
    }


def compute_gini(values: Floats) -> float:
    """Gini coefficient of non-negative values: 0 if all are equal, near 1 if one has everything."""
    ordered = np.sort(values)
    n = len(ordered)
    return float(((2 * np.arange(1, n + 1) - n - 1) * ordered).sum() / (n * ordered.sum()))


def measure_category_entropy(clicks: Clicks) -> dict[str, float]:
    """Plug-in entropy [nats] of categories: over users with enough clicks, and of the whole log."""
    count = np.bincount(clicks.user)
    each = _compute_entropy(clicks.user, clicks.category, len(count))[count >= ENTROPY_CLICKS]
    spread = (
        {"user_mean": each.mean(), "p10": np.quantile(each, 0.1), "p90": np.quantile(each, 0.9)} if len(each) else {}
    )
    whole = _compute_entropy(np.zeros_like(clicks.category), clicks.category, 1)[0]
    empty = dict.fromkeys(("user_mean", "p10", "p90"), np.nan)
    return {name: float(value) for name, value in {**empty, **spread, "global": whole}.items()}


def measure_lifetime(clicks: Clicks) -> float:
    """Median over articles of the hours from the first tenth of their clicks to the last."""
    hours = pd.Series(clicks.hour).groupby(clicks.item)
    span = (hours.quantile(0.9) - hours.quantile(0.1))[hours.size() >= LIFETIME_CLICKS]
    return float(span.median())


def measure_hour_share(clicks: Clicks) -> Floats:
    """(24,) share of sessions by the hour of their first click."""
    hour = (clicks.hour[clicks.first] % 24.0).astype(np.int64)
    return np.asarray(np.bincount(np.minimum(hour, 23), minlength=24) / len(hour))


def measure_noise_floor(clicks: Clicks, seed: int) -> dict[str, float]:
    """KS distance between random halves of the users: what chance alone does to a log of this size."""
    half = np.random.default_rng(seed).random(int(clicks.user.max()) + 1) < 0.5
    side = half[clicks.session_user]
    if side.all() or not side.any():
        return {"user_split_KS_session_len": float("nan"), "user_split_KS_return": float("nan")}
    gap, seen = clicks.gaps
    hours = np.array(SURVIVAL_HOURS, np.float64)
    lengths = [np.bincount(np.minimum(clicks.length[s], 200), minlength=201) / s.sum() for s in (side, ~side)]
    survival = [estimate_survival(gap[s], seen[s], hours) for s in (side, ~side)]
    return {
        "user_split_KS_session_len": float(np.abs(np.cumsum(lengths[0] - lengths[1])).max()),
        "user_split_KS_return": float(np.abs(survival[0] - survival[1]).max()),
    }


def _compute_share(outcome: np.ndarray, among: np.ndarray, least: int = 1) -> float:
    return float(outcome[among].mean()) if among.sum() >= least else float("nan")


def _compute_entropy(group: Ints, category: Ints, groups: int) -> Floats:
    """(groups,) plug-in entropy of categories [nats]."""
    if len(group) == 0:
        return np.zeros(groups)
    pair, count = np.unique(group * (category.max() + 1) + category, return_counts=True)
    owner = pair // (category.max() + 1)
    total = np.bincount(owner, count, groups)
    share = count / total[owner]
    return np.asarray(np.bincount(owner, -share * np.log(share), groups))


def _compute_top_share(clicks: Clicks) -> Floats:
    """(S,) share of each session's most frequent category."""
    width = clicks.category.max() + 1
    pair, count = np.unique(clicks.session * width + clicks.category, return_counts=True)
    top = np.zeros(len(clicks.length))
    np.maximum.at(top, pair // width, count)
    return np.asarray(top / clicks.length)


def _demean(values: Floats, group: Ints) -> Floats:
    count = np.maximum(np.bincount(group), 1)
    return np.asarray(values - (np.bincount(group, values) / count)[group])


def _fit_slope(x: Floats, y: Floats, cluster: Ints) -> tuple[float, float]:
    """Least-squares slope of centred variables, and its standard error, robust to dependence within clusters."""
    square = (x**2).sum()
    if square < 1e-12:
        return float("nan"), float("nan")
    slope = (x * y).sum() / square
    score = np.bincount(cluster, x * (y - slope * x))
    return float(slope), float(np.sqrt((score**2).sum()) / square)

"""How far a simulated log's signatures are from a real log's: distances, and what is within its target."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from longplay.scripts.studies.signatures.clicks import Floats
from longplay.scripts.studies.signatures.durations import (
    LONGEST_LENGTH,
    compute_beta_geometric_hazard,
    compute_length_ccdf,
)
from longplay.scripts.studies.signatures.measures import ASSUMED

COLUMNS = ("statistic", "simulated", "real", "distance", "kind", "tolerance", "within", "note")
KS_LENGTH, KS_GAP, ODDS = 0.03, 0.06, 0.15  # targets; a statistic without one is shown without a verdict
# Sizes, errors of sampling, curves that are compared as a whole or only drawn, and losses, which are of their own log.
NOT_COMPARED = {"clicks", "users", "sessions", "articles", "events", "noise_floor", "se_log_odds", "recovery_tau_se"}
NOT_COMPARED |= {"within_user_se", "ccdf", "hourly_hazard_0_96", "hour_of_day_session_share_brt", "share_by_rank"}
NOT_COMPARED |= {"fits_nll_per_session", "censored_fit_nll"}
ODDS_GROUPS = ("choice_logit_or", "plackett_luce_within_session_or")

Row = tuple[str, float, float, float, str, float]


def compare_signatures(simulated: Mapping[str, Any], real: Mapping[str, Any]) -> pd.DataFrame:
    """Each statistic of both logs, and the distance between them.

    Parameters
    ----------
    simulated
        Of `signatures.measure`.
    real
        The same keys, as far as they are known.

    Returns
    -------
    pandas.DataFrame
        ``statistic``, ``simulated``, ``real``, ``distance``, ``kind`` (of distance: ``"KS"``, ``"relative"``,
        ``"absolute"``, ``"TV"``, ``"KL"``), ``tolerance`` (NaN: no target), ``within`` (None without a target or
        where either side is not known) and ``note``.
    """
    rows = [*_compare_distributions(simulated, real), *_compare_numbers(simulated, real)]
    table = []
    for name, simulated_value, real_value, distance, kind, tolerance in rows:
        decided = math.isfinite(tolerance) and math.isfinite(distance)
        within = bool(distance <= tolerance) if decided else None
        note = "; ".join(filter(None, (_describe_definition(name), _describe_error(name, simulated))))
        table.append((name, simulated_value, real_value, distance, kind, tolerance, within, note))
    return pd.DataFrame(table, columns=pd.Index(COLUMNS)).astype({"within": object})


def _compare_distributions(simulated: Mapping[str, Any], real: Mapping[str, Any]) -> Iterator[Row]:
    key = "session_length_ge2"
    if key in simulated and key in real:
        mine, theirs = read_ccdf(simulated[key]), read_ccdf(real[key])
        yield f"{key}.KS", math.nan, math.nan, float(np.abs(mine - theirs).max()), "KS", KS_LENGTH
    key = "return_time_h"
    if key in simulated and key in real:
        mine_at, theirs_at = read_survival_points(simulated[key]), read_survival_points(real[key])
        shared = sorted(set(mine_at) & set(theirs_at))
        worst = max((abs(mine_at[h] - theirs_at[h]) for h in shared), default=math.nan)
        yield f"{key}.KS", math.nan, math.nan, worst, "KS", KS_GAP
        yield f"{key}.KS_observed", math.nan, math.nan, _measure_observed_ks(simulated[key], real[key]), "KS", math.nan
    key = "hour_of_day_session_share_brt"
    if key in simulated and key in real:
        mine, theirs = (np.asarray(side[key], np.float64) / np.sum(side[key]) for side in (simulated, real))
        yield f"{key}.TV", math.nan, math.nan, float(np.abs(mine - theirs).sum() / 2), "TV", math.nan
        some = mine > 0
        divergence = float((mine[some] * np.log(mine[some] / theirs[some])).sum())
        yield f"{key}.KL", math.nan, math.nan, divergence, "KL", math.nan


def read_ccdf(lengths: Mapping[str, Any]) -> Floats:
    """``P(length ≥ n)`` for n = 2, 3, ...: as measured, or from tabulated hazards.

    Where no hazard is tabulated, that of the beta-geometric fit is taken.
    """
    if "ccdf" in lengths:
        return np.asarray(lengths["ccdf"], np.float64)
    fit = lengths["beta_geometric"]
    hazard = compute_beta_geometric_hazard(fit["a"], fit["b"], np.arange(2, LONGEST_LENGTH + 1))
    for n, value in lengths["hazard"].items():
        hazard[int(n) - 2] = value
    return compute_length_ccdf(hazard)


def read_survival_points(gaps: Mapping[str, Any]) -> dict[float, float]:
    """Survival of gaps by hour: as tabulated, and at the other end of each interval whose hazard is tabulated."""
    points = {float(h): float(s) for h, s in gaps["survival_h"].items()}
    for name, rate in gaps.get("hazard_per_h", {}).items():
        low, high = map(float, name.split("-"))
        if low in points and high not in points:
            points[high] = points[low] * math.exp(-rate * (high - low))
        elif high in points and low not in points:
            points[low] = points[high] * math.exp(rate * (high - low))
    return points


def _measure_observed_ks(simulated: Mapping[str, Any], real: Mapping[str, Any]) -> float:
    """Largest difference, at the real quantiles, of the distributions of the gaps that the logs saw end."""
    quantiles = simulated["observed_quantiles"]
    if not quantiles:
        return math.nan
    levels, values = np.array([int(q) / 100 for q in quantiles]), np.array(list(quantiles.values()))
    worst = 0.0
    for name, hours in real["observed_quantiles"].items():
        tied = levels[values == hours]  # many gaps may be of one length; the distribution function jumps there
        share = np.r_[tied, np.interp(hours, values, levels, left=0.0, right=1.0)]
        level = int(name) / 100
        worst = max(worst, share.min() - level, level - share.max())
    return float(worst)


def _compare_numbers(simulated: Mapping[str, Any], real: Mapping[str, Any]) -> Iterator[Row]:
    """All numbers that both sides have, under their paths."""
    simulated_values, real_values = _flatten(_add_log_normal(simulated)), _flatten(_add_log_normal(real))
    for name, value in real_values.items():
        if name not in simulated_values:
            continue
        group, field = name.split(".")[0], name.rsplit(".", 1)[-1]
        odds = group in ODDS_GROUPS and "_beta" not in field and "tau" not in field
        target = odds and "placebo" not in name and "no_count" not in name
        if odds:
            yield (
                name,
                simulated_values[name],
                value,
                abs(simulated_values[name] / value - 1.0),
                "relative",
                ODDS if target else math.nan,
            )
        else:
            yield name, simulated_values[name], value, abs(simulated_values[name] - value), "absolute", math.nan


def _add_log_normal(side: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with the constants of the log-normal as numbers, which a reference has in the name of a fit."""
    out = {name: dict(value) if isinstance(value, Mapping) else value for name, value in side.items()}
    for name in out.get("return_time_h", {}).get("censored_fit_nll", {}):
        match = re.fullmatch(r"lognormal\(mu ([\d.]+),sigma ([\d.]+)\)", name)
        if match:
            out["return_time_h"]["log_normal"] = {"mu": float(match[1]), "sigma": float(match[2])}
    return out


def _flatten(value: Any, path: str = "") -> dict[str, float]:
    """Numbers of a nested structure by their path, without those that are `NOT_COMPARED`."""
    if isinstance(value, Mapping):
        items = [(str(name), inner) for name, inner in value.items()]
    elif isinstance(value, list):
        items = [(str(number), inner) for number, inner in enumerate(value)]
    else:
        return {path: float(value)} if isinstance(value, int | float) else {}
    numbers: dict[str, float] = {}
    for name, inner in items:
        if name not in NOT_COMPARED:
            numbers |= _flatten(inner, f"{path}.{name}" if path else name)
    return numbers


def _describe_error(name: str, simulated: Mapping[str, Any]) -> str:
    """How far chance alone moves simulated odds."""
    group, field = name.split(".")[0], name.rsplit(".", 1)[-1]
    error = simulated[group].get("se_log_odds", {}).get(field) if group in ODDS_GROUPS else None
    applies = error is not None and math.isfinite(error) and "placebo" not in name and "no_count" not in name
    return f"simulated odds have a standard error of {error:.1%}" if applies else ""


def _describe_definition(name: str) -> str:
    special = {
        "session_length_ge2.KS": "real: tabulated hazards, between them those of the beta-geometric fit",
        "return_time_h.KS": "Kaplan–Meier survival, at the hours tabulated; definition assumed: "
        + ASSUMED["return_time_h"],
        "return_time_h.KS_observed": "gaps that ended within the log, at the real quantiles; not the target",
    }
    if name in special:
        return special[name]
    paths = [path for path in ASSUMED if name == path or name.startswith(path + ".")]
    return f"definition assumed: {ASSUMED[max(paths, key=len)]}" if paths else ""

"""In which unit a log counts time: recognised where only one can be, refused where the one given cannot."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...envs.catalogs.table import CatalogError
from ...envs.shared.notices import say_once

TimeUnit = Literal["auto", "days", "seconds", "milliseconds", "microseconds", "nanoseconds", "iso"]
UNITS = {"days": 1.0, "seconds": 86_400.0, "milliseconds": 86_400e3, "microseconds": 86_400e6, "nanoseconds": 86_400e9}
_PLAUSIBLE = tuple(pd.Timestamp(year).timestamp() / 86_400 for year in ("1990-01-01", "2100-01-01"))  # days since 1970
_MIXED = 0.01  # share of the times from which on they are no single slips
_LONGEST = 36_525.0  # days that a log can span


class LogError(CatalogError):
    """A defect in a log of interactions; the message names the place, the value, what is allowed and the fix."""


class _Bulk(NamedTuple):
    """Where all but the strangest hundredth of the numbers lie at either end: a few wrong ones decide nothing."""

    low: float
    middle: float
    high: float

    def is_dated(self, unit: str) -> bool:
        """Whether these are moments of our time, counted from 1970 in this unit."""
        return all(_PLAUSIBLE[0] <= value / UNITS[unit] <= _PLAUSIBLE[1] for value in self)

    def format_dates(self, unit: str) -> str:
        """The first and last day, counted from 1970 in this unit."""
        days = (np.datetime64("1970-01-01") + np.timedelta64(int(v // UNITS[unit]), "D") for v in (self.low, self.high))
        return " to ".join(map(str, days))


def _are_written_dates(known: NDArray[np.float64]) -> bool:
    """Whether all are like 20240131, whose differences are no days."""
    month, day = known // 100 % 100, known % 100
    within = (known >= 19_900_101) & (known <= 21_001_231) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    return bool((within & (known == np.floor(known))).all()) and len(np.unique(known)) > 1


def _check_one_unit(known: NDArray[np.float64]) -> None:
    """Refuse times of which some are of our time in one unit, and all others in another: no unit fits both."""
    shares = {}
    for unit in (name for name in UNITS if name != "days"):
        days = known / UNITS[unit]
        shares[unit] = float(((days >= _PLAUSIBLE[0]) & (days <= _PLAUSIBLE[1])).mean())
    many = {unit: share for unit, share in shares.items() if share >= _MIXED}
    if len(many) > 1 and sum(many.values()) >= 1.0 - _MIXED:
        parts = " and ".join(f"{share:.0%} in {unit}" for unit, share in many.items())
        raise LogError(f"times mix units: counted from 1970, {parts} are of our time. Fix: write all in one unit")


def resolve_time_unit(numbers: NDArray[np.float64], unit: str) -> str:
    """The unit of a log's times, for ``"auto"`` the one that dates it in our time, or else days.

    Parameters
    ----------
    numbers : (n,) float64
        The times as written; NaN where one is no number.
    unit : str
        As asked for.

    Returns
    -------
    str
        A key of `UNITS`, or ``"iso"``.

    Raises
    ------
    LogError
        If another unit fits and this one does not, or the log would span more than a hundred years.
    """
    known = numbers[np.isfinite(numbers)]
    if not len(known) or (unit == "iso" and 2 * len(known) <= len(numbers)):
        return "days" if unit == "auto" else unit
    bulk = _Bulk(*np.quantile(known, [0.01, 0.5, 0.99], method="nearest").tolist())
    if unit != "iso" and _are_written_dates(known):
        raise LogError(
            f"times such as {bulk.middle:.0f} are dates, not {'days' if unit == 'auto' else unit}. Fix: give the time "
            "unit 'iso', and write them as text"
        )
    _check_one_unit(known)
    fitting = next((name for name in UNITS if name != "days" and bulk.is_dated(name)), None)
    if unit == "auto" and fitting:
        say_once(
            f"times of the log such as {bulk.middle:.0f} are read as Unix {fitting}, {bulk.format_dates(fitting)}; "
            "give the time unit if they are not"
        )
        return fitting
    resolved = "days" if unit == "auto" else unit
    if fitting and resolved != fitting and not (resolved != "iso" and bulk.is_dated(resolved)):
        raise LogError(
            f"times such as {bulk.middle:.0f} are not {resolved}. Fix: give the time unit {fitting!r}, by which "
            f"the log goes from {bulk.format_dates(fitting)}"
        )
    if resolved != "iso" and (span := (bulk.high - bulk.low) / UNITS[resolved]) > _LONGEST:
        shorter = {name: span * UNITS[resolved] / UNITS[name] for name in UNITS}
        units = ", or ".join(f"{name!r} ({days:,.1f} days)" for name, days in shorter.items() if 0.01 < days < _LONGEST)
        raise LogError(
            f"times from {bulk.low:.0f} to {bulk.high:.0f} are {span:,.0f} days when read as {resolved}; allowed: up "
            f"to {_LONGEST:,.0f}. Fix: give the time unit that they are in: {units or 'in days, recounted'}"
        )
    return resolved

"""Numbers about users and items that are engineered from a log, and their standardisation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.preprocessing import OneHotEncoder

from ...envs.shared.files import write_whole
from ..data.interactions import Interactions
from ..data.table_parsing import LogError

INACTIVITY_DAYS = 30.0 / 1440.0  # without a row, after which a session is over, where the log names no sessions

_BOTH = {
    "shown": "rows: times shown, consumed or not",
    "consumed": "rows: times consumed",
    "recency": "days since last consumed",
    "tenure": "days since first consumed",
    "completion_mean": "share of an item, over consumed rows",
    "completion_median": "share of an item, over consumed rows",
    "minutes_mean": "dwell [min], over consumed rows where it is known",
    "minutes_median": "dwell [min], over consumed rows where it is known",
    "click_through": "consumed / shown",
    "liked_share": "liked / consumed",
}
USER_FEATURES = {
    **_BOTH,
    "distinct_items": "different items consumed",
    "sessions": "sessions with a consumed row",
    "gap_mean": "days from the end of a session to the next",
}
ITEM_FEATURES = {**_BOTH, "distinct_users": "different users who consumed it"}


def compute_user_features(log: Interactions, until: float) -> pd.DataFrame:
    """Features of every user from the rows strictly before a time.

    Parameters
    ----------
    log : Interactions
    until : float
        Time [days]; nothing at or after it is read.

    Returns
    -------
    DataFrame, (U, 13)
        Row u is user u; columns and their units are `USER_FEATURES`. All numbers are finite: of who consumed nothing
        yet, counts, shares, completion, dwell and tenure are 0. Recency is then, and a gap that was never seen always,
        the whole time from the log's first row to `until`, the longest that it could be.

    Notes
    -----
    Sessions are those that the rows before `until` name, or else are told by pauses of `INACTIVITY_DAYS`. What a user
    did before a log of ``scripts/collect.py`` begins is under one number there, −1: it counts as one session wherever
    rows of later ones are read.
    """
    rows = _select_rows(log, until)
    table, longest = _compute_common(rows, "user", log.users, until), _measure_time(log, until)
    consumed = rows[rows["consumed"]]
    table["distinct_items"] = consumed.groupby("user")["item"].nunique()
    first = consumed["user"] != consumed["user"].shift()
    pause = consumed["time"].diff()
    fresh = (
        (pause > INACTIVITY_DAYS) if not rows["session"].any() else consumed["session"] != consumed["session"].shift()
    )
    table["sessions"] = (first | fresh).groupby(consumed["user"]).sum()
    table["gap_mean"] = pause[fresh & ~first].groupby(consumed["user"]).mean()
    return _fill_unknown(table, {"recency": longest, "gap_mean": longest}, USER_FEATURES)


def compute_item_features(log: Interactions, until: float) -> pd.DataFrame:
    """Features of every item from the rows strictly before a time.

    Parameters
    ----------
    log : Interactions
    until : float
        Time [days]; nothing at or after it is read.

    Returns
    -------
    DataFrame, (N, 11)
        Indexed by item number, 1 .. N; columns and their units are `ITEM_FEATURES`. What is not known is filled as in
        `compute_user_features`.
    """
    rows = _select_rows(log, until)
    table = _compute_common(rows, "item", log.items + 1, until)
    table["distinct_users"] = rows[rows["consumed"]].groupby("item")["user"].nunique()
    return _fill_unknown(table, {"recency": _measure_time(log, until)}, ITEM_FEATURES).iloc[1:]


def measure_columns(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and population standard deviation of each column of (n, F), n ≥ 1; the latter 0 for a constant column."""
    varies = values.min(axis=0) < values.max(axis=0)  # exact, where a computed deviation may be 1e-17
    return values.mean(axis=0), np.where(varies, values.std(axis=0), 0.0)


@dataclass(frozen=True)
class Standardiser:
    """z-scores by the mean and the deviation of the training part.

    A column that was constant in training says nothing that could be learned: it becomes zeros, whatever its values
    elsewhere, and `constant` names it.

    Parameters
    ----------
    names : tuple of str, length F
        Columns, in order.
    mean, scale : tuple of float, length F
        Mean and population standard deviation; scale is 0 for a constant column.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]

    @property
    def constant(self) -> tuple[str, ...]:
        """Columns that did not vary in training."""
        return tuple(name for name, scale in zip(self.names, self.scale, strict=True) if scale == 0.0)

    @classmethod
    def fit(cls, train: pd.DataFrame) -> Self:
        """Learn mean and deviation of each column of the training part, (n, F), n ≥ 1.

        Raises
        ------
        LogError
            If there is no row, or a value is no finite number: the message names its column.
        """
        if not len(train):
            raise LogError("no rows to standardise by. Fix: give the training part")
        mean, scale = measure_columns(_read_finite(train))
        return cls(tuple(map(str, train.columns)), tuple(mean.tolist()), tuple(scale.tolist()))

    def transform(self, table: pd.DataFrame) -> NDArray[np.float32]:
        """Return z-scores (n, F) of a table with the same columns in the same order.

        Raises
        ------
        LogError
            If the columns differ, or a value is no finite number.
        """
        if tuple(map(str, table.columns)) != self.names:
            raise LogError(f"columns {list(table.columns)}. Fix: give those of the fit, {list(self.names)}")
        scale = np.array(self.scale)
        centred = _read_finite(table) - np.array(self.mean)
        scores = np.divide(centred, scale, out=np.zeros_like(centred), where=scale > 0.0)
        return np.asarray(scores, np.float32)

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        _write_json(Path(path), "standardiser", asdict(self))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; `LogError` if the file holds anything else."""
        content = _read_json(Path(path), "standardiser", ("names", "mean", "scale"))
        fitted = cls(*(tuple(content[name]) for name in ("names", "mean", "scale")))
        if not len(fitted.names) == len(fitted.mean) == len(fitted.scale):
            raise LogError(f"{path}: names, mean and scale differ in length. Fix: fit and save again")
        return fitted


class Categories:
    """Categorical columns as 0/1 columns, by scikit-learn's `OneHotEncoder`.

    A category that training did not have becomes zeros.

    Parameters
    ----------
    names : sequence of str, length F
        Columns.
    categories : sequence of F sequences of str
        Categories of each.
    """

    def __init__(self, names: Sequence[str], categories: Sequence[Sequence[str]]) -> None:
        self.names = tuple(names)
        self.categories = tuple(map(tuple, categories))
        self._encoder = OneHotEncoder(
            categories=[np.array(values, dtype=object) for values in self.categories],
            handle_unknown="ignore",
            sparse_output=False,
            dtype=np.float32,
        ).fit(np.array([[values[0] for values in self.categories]], dtype=object))

    @classmethod
    def fit(cls, train: pd.DataFrame) -> Self:
        """Learn the categories of each column of the training part; cells become texts, missing ones ``""``."""
        if not len(train) or not len(train.columns):
            raise LogError(f"a table of shape {train.shape} has no categories. Fix: give the training part")
        cells = _convert_to_texts(train)
        return cls(tuple(map(str, train.columns)), [sorted(set(column)) for column in cells.T.tolist()])

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of `transform`, like ``country=FR``."""
        return tuple(
            f"{name}={value}" for name, values in zip(self.names, self.categories, strict=True) for value in values
        )

    def transform(self, table: pd.DataFrame) -> NDArray[np.float32]:
        """Return 0/1 columns (n, total number of categories); `LogError` if the columns are not those of the fit."""
        if tuple(map(str, table.columns)) != self.names:
            raise LogError(f"columns {list(table.columns)}. Fix: give those of the fit, {list(self.names)}")
        return np.asarray(self._encoder.transform(_convert_to_texts(table)), np.float32)

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        _write_json(Path(path), "categories", {"names": self.names, "categories": self.categories})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; `LogError` if the file holds anything else."""
        content = _read_json(Path(path), "categories", ("names", "categories"))
        return cls(content["names"], content["categories"])


def _select_rows(log: Interactions, until: float) -> pd.DataFrame:
    if not np.isfinite(until):
        raise LogError(f"until {until!r} is not finite. Fix: give a time [days]")
    names = ("user", "item", "time", "completion", "consumed", "liked", "session", "minutes")
    return pd.DataFrame({name: getattr(log, name) for name in names})[log.time < until]


def _measure_time(log: Interactions, until: float) -> float:
    return max(0.0, until - float(log.time.min())) if len(log) else 0.0


def _compute_common(rows: pd.DataFrame, key: str, size: int, until: float) -> pd.DataFrame:
    """The features of `_BOTH`, one row a number 0 .. size − 1; NaN where there is nothing to tell."""
    table = pd.DataFrame(index=pd.RangeIndex(size, name=key))
    consumed = rows[rows["consumed"]].astype({"completion": np.float64, "minutes": np.float64})
    groups = consumed.groupby(key)
    table["shown"] = rows.groupby(key).size()
    table["consumed"] = groups.size()
    table["recency"] = until - groups["time"].max()
    table["tenure"] = until - groups["time"].min()
    timed = consumed[consumed["minutes"] > 0.0].groupby(key)
    for name, group in (("completion", groups), ("minutes", timed)):
        table[f"{name}_mean"] = group[name].mean()
        table[f"{name}_median"] = group[name].median()
    table["click_through"] = table["consumed"] / table["shown"]
    table["liked_share"] = groups["liked"].mean()
    return table


def _fill_unknown(table: pd.DataFrame, unknown: dict[str, float], order: dict[str, str]) -> pd.DataFrame:
    return table.fillna({name: unknown.get(name, 0.0) for name in order}).astype(np.float64)[list(order)]


def _read_finite(table: pd.DataFrame) -> NDArray[np.float64]:
    """Values (n, F), or an error that names the column of one that is no finite number."""
    columns = []
    for position, name in enumerate(table.columns):
        cells = table.iloc[:, position]
        values = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        # Squares must stay finite, too, or the deviation does not.
        for row in np.flatnonzero(~(np.abs(values) < 1e150))[:1].tolist():
            defect = f"column {str(name)!r}, row {row}: {cells.iloc[row]!r} is no finite number below 1e150"
            raise LogError(f"{defect}. Fix: fill or drop it before standardising")
        columns.append(values)
    return np.column_stack(columns) if columns else np.zeros((len(table), 0))


def _convert_to_texts(table: pd.DataFrame) -> NDArray[Any]:
    return table.astype(object).where(table.notna(), "").astype(str).to_numpy(dtype=object)


def _write_json(path: Path, kind: str, content: Mapping[str, Any]) -> None:
    write_whole(path, json.dumps({"kind": kind, **content}, indent=1) + "\n")


def _read_json(path: Path, kind: str, keys: Sequence[str]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LogError(f"{path}: cannot be read ({error}). Fix: name a file that `save` wrote") from error
    if not isinstance(content, dict) or content.get("kind") != kind or not set(keys) <= set(content):
        raise LogError(f"{path}: holds no {kind}. Fix: name a file that `save` wrote")
    return content

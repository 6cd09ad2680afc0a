"""What the results of a comparison say: means, and paired differences with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..playing.evaluate import TURNS
from ..stats import Interval, bootstrap_difference
from .contestants import ORACLE, SIMILARITY, Contestant


def read_minutes(results: pd.DataFrame, policy: str) -> NDArray[np.float64]:
    """(S, U) minutes of a policy: seeds by users."""
    rows = results[results["policy"] == policy]
    return rows.pivot(index="seed", columns="user", values="minutes").to_numpy()


def is_trained_once(results: pd.DataFrame, *policies: str) -> bool:
    """Whether one of these policies is a method with a single training seed: of intervals, see `Interval.label`."""
    learned = results[results["policy"].isin(policies) & (results["kind"] == "learned")]
    return bool((learned.groupby("policy")["seed"].nunique() == 1).any())


def find_best_rule(results: pd.DataFrame) -> str:
    """The rule of most minutes; empty where no rule took part."""
    minutes = results[results["kind"] == "rule"].groupby("policy")["minutes"].mean()
    return "" if minutes.empty else str(minutes.idxmax())


def summarise(results: pd.DataFrame, contestants: Sequence[Contestant]) -> pd.DataFrame:
    """One row a policy, by kind and minutes: means, and paired differences with intervals as `Interval`.

    A difference is None where it would be of a policy to itself, or to one that did not take part;
    ``attrs["best rule"]`` is empty where no rule did.
    """
    best = find_best_rule(results)
    table = []
    for c in contestants:
        rows = results[results["policy"] == c.name]
        own = read_minutes(results, c.name)
        table.append(
            {
                "policy": c.name,
                "kind": c.kind,
                "note": c.note,
                "minutes": own.mean(),
                "interval": bootstrap_difference(own, trained_once=is_trained_once(results, c.name)),
                "vs similarity": _against(results, c.name, SIMILARITY),
                "vs best rule": _against(results, c.name, best),
                "vs γ=0 twin": _against(results, c.name, c.twin, alike=True),
                "vs taste oracle": _against(results, c.name, ORACLE) if c.kind == "learned" else None,
                "first session": rows["first_session_minutes"].mean(),
                "sessions": rows["sessions"].mean(),
                "click rate": rows["clicks"].sum() / rows["slates"].sum(),
                "kept": 1.0 - rows["churned"].mean(),
                "diversity": rows["diversity"].mean(),
                "coverage": rows.groupby("seed")["coverage"].first().mean(),
                "satiation": rows["satiation"].mean(),
                "repeated": rows["repeated"].mean() if "repeated" in rows else np.nan,  # lives of old do not say
                **{title: rows[column].mean() for column, title in TURNS.items() if column in rows},
                **summarise_purchases(rows),
            }
        )
    frame = pd.DataFrame(table)
    frame.attrs["best rule"] = best
    order = {"rule": 0, "learned": 1, "reference": 2}
    return frame.sort_values(
        ["kind", "minutes"], key=lambda s: s.map(order) if s.name == "kind" else s, ignore_index=True
    )


def summarise_purchases(rows: pd.DataFrame) -> dict[str, float]:
    """Purchases for each look, and what a user spends until the horizon; nothing where nothing is sold."""
    if "purchases" not in rows:
        return {}
    return {"conversion": rows["purchases"].sum() / max(rows["clicks"].sum(), 1), "sales": rows["sales"].mean()}


def _against(results: pd.DataFrame, policy: str, other: str, alike: bool = False) -> Interval | None:
    """Less another policy that took part; `alike` if seed by seed: twins of a seed set out alike, and meet the same."""
    if policy == other or not (results["policy"] == other).any():
        return None
    own, theirs = read_minutes(results, policy), read_minutes(results, other)
    once = is_trained_once(results, policy, other)
    if alike and _seeds(results, policy) == _seeds(results, other):
        return bootstrap_difference(own - theirs, trained_once=once)
    return bootstrap_difference(own, theirs, trained_once=once)


def _seeds(results: pd.DataFrame, policy: str) -> list[int]:
    return sorted(results.loc[results["policy"] == policy, "seed"].unique().tolist())


def flatten_summary(frame: pd.DataFrame) -> Mapping[str, Any]:
    """The summary as plain numbers, ``{"policy/column": value}``, for trackers."""
    out: dict[str, Any] = {}
    for row in frame.to_dict("records"):
        for key, value in row.items():
            if isinstance(value, Interval):
                out[f"{row['policy']}/{key}"] = value.mean
                out[f"{row['policy']}/{key} low"], out[f"{row['policy']}/{key} high"] = value.low, value.high
            elif isinstance(value, float):
                out[f"{row['policy']}/{key}"] = value
    return out

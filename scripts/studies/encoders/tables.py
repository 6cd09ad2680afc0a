"""The tables of a comparison of encoders: means with 95 % intervals over seeds and users."""

import numpy as np
import pandas as pd

from longplay.agents.stats import bootstrap_difference, bootstrap_incomplete
from longplay.scripts.shared.tables import format_interval, make_frame
from longplay.scripts.studies.encoders.measures import WITH_TEXT

FROZEN, FLOOR = "pooled", "popularity"  # what trained encoders are compared with
MEASURES = {"recall": "recall@10", "ndcg": "nDCG@10", "auc": "AUC"}
COLD = {"cold users": "cold users", "no history": "no history", "cold items": "cold items"}


def tabulate_warm(results: pd.DataFrame, source: str) -> pd.DataFrame:
    """Known users and items: a row an encoder, best first."""
    cases = results[(results["source"] == source) & (results["case"] == "warm")]
    rows = []
    for name, own in cases.groupby("encoder"):
        row: dict[str, str] = {"encoder": str(name)} | {title: format_mean(own, key) for key, title in MEASURES.items()}
        row["coverage"] = f"{own.groupby('seed')['coverage'].first().mean():.0%}"
        for other in (FROZEN, FLOOR):
            row[f"recall@10 − {other}"] = format_difference(cases, str(name), other, "recall")
        costs = own.groupby("seed")[["fit_seconds", "encode_ms"]].first().mean()
        row |= {"fit [CPU s]": f"{costs['fit_seconds']:.0f}", "encode 1,024 [ms]": f"{costs['encode_ms']:.1f}"}
        rows.append((own.groupby("seed")["recall"].mean().mean(), row))
    return make_frame([row for _, row in sorted(rows, key=lambda pair: -pair[0])], f"{source}: known users and items")


def tabulate_cold(results: pd.DataFrame, source: str) -> pd.DataFrame:
    """recall@10 for users and items that were not learnt from: alone, and with texts standing in."""
    cases = results[(results["source"] == source) & (results["case"] != "warm")]
    rows = []
    for name in [name for name in cases["encoder"].unique() if not name.endswith(WITH_TEXT)]:
        row = {"encoder": str(name)}
        for case, title in COLD.items():
            for key, extra in ((name, ""), (name + WITH_TEXT, " + text")):
                own = cases[(cases["encoder"] == key) & (cases["case"] == case)]
                row[title + extra] = format_mean(own, "recall") if len(own) else ""
        rows.append(row)
    return make_frame(rows, f"{source}: recall@10 for users and items never learnt from")


def tabulate_engagement(lives: pd.DataFrame) -> pd.DataFrame:
    """Minutes in the month: PPO on each state, and the greedy use of each encoder's scores."""
    minutes = {
        key: part.pivot(index="seed", columns="user", values="minutes").to_numpy()
        for key, part in lives.groupby(["policy", "kind"])
    }
    rows = []
    for name in lives["policy"].unique():
        row = dict.fromkeys(("state or encoder", "PPO", f"PPO − PPO on {FROZEN}", "greedy"), "")
        row["state or encoder"] = str(name)
        for kind, title in (("PPO", "PPO"), ("greedy", "greedy"), ("rule", "greedy")):
            if (name, kind) in minutes:
                own = minutes[name, kind]
                once = kind != "rule" and len(own) == 1
                row[title] = format_interval(bootstrap_difference(own, trained_once=once), ".0f")
        if name != FROZEN and {(name, "PPO"), (FROZEN, "PPO")} <= minutes.keys():
            sides = minutes[name, "PPO"], minutes[FROZEN, "PPO"]
            gap = bootstrap_difference(*sides, trained_once=min(map(len, sides)) == 1)
            row[f"PPO − PPO on {FROZEN}"] = format_interval(gap, "+.0f")
        rows.append(row)
    return make_frame(rows, "Minutes in 30 days")


def format_mean(own: pd.DataFrame, measure: str) -> str:
    """Mean of a measure over seeds and users."""
    wide = own.pivot(index="seed", columns="user", values=measure).to_numpy(np.float64)
    wide = wide[np.isfinite(wide).any(axis=1)]
    return format_interval(bootstrap_incomplete(wide)) if len(wide) else ""


def format_difference(cases: pd.DataFrame, name: str, other: str, measure: str) -> str:
    """Difference on the same users of each seed."""
    wide = cases[cases["encoder"].isin([name, other])].pivot(index=["seed", "user"], columns="encoder", values=measure)
    if name == other or not {name, other} <= set(wide.columns):
        return ""
    gap = (wide[name] - wide[other]).unstack("user").to_numpy(np.float64)
    return format_interval(bootstrap_incomplete(gap), "+.4f")

"""The tables of the study of all agents: each scenario, all scenarios, the shifted ones, the control."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from longplay.agents.comparison.contestants import ORACLE, SIMILARITY, Contestant
from longplay.agents.comparison.summary import read_minutes, summarise
from longplay.agents.stats import Interval, bootstrap_difference, bootstrap_ratio
from longplay.envs.shared.files import write_whole
from longplay.scripts.studies.encoders import tables as encoder_tables
from longplay.scripts.studies.encoders.tables import titled, told

HOME, AWAY = "home", "shifted"
TWIN = "vs γ=0 twin"
DIFFERENCE, LEVEL, SHARE = "{:+.1f}", "{:.1f}", "{:.0%}"


@dataclass
class World:
    """What is known of the policies of a scenario beside their lives.

    Attributes
    ----------
    contestants
        All but the planner, without their agents.
    titles
        Of the agents, by their names in the study; those of the twins are not among them.
    ceiling
        Of the gap: the linear oracle.
    planner
        If it took part; it may have played some of the users only.
    spent
        By title: ``slates`` that a training learnt from, and its ``cpu`` and ``wall`` seconds, means over the seeds.
    """

    contestants: list[Contestant] = field(default_factory=list)
    titles: dict[str, str] = field(default_factory=dict)
    ceiling: str = ""
    planner: Contestant | None = None
    spent: dict[str, Mapping[str, float]] = field(default_factory=dict)


def gap_closed(results: pd.DataFrame, policy: str, ceiling: str) -> Interval | None:
    """Share of the way from greedy similarity to a ceiling that a policy goes."""
    if policy in (SIMILARITY, ceiling):
        return None
    floor = read_minutes(results, SIMILARITY)
    return bootstrap_ratio(read_minutes(results, policy) - floor, read_minutes(results, ceiling) - floor)


def gaps(results: pd.DataFrame, policies: "pd.Series[str]", ceiling: str) -> "pd.Series[Any]":
    """`gap_closed` of some policies."""
    return pd.Series([gap_closed(results, policy, ceiling) for policy in policies], policies.index, dtype=object)


def tables(results: pd.DataFrame, worlds: Mapping[str, World], control: str) -> list[pd.DataFrame]:
    """All of them.

    Parameters
    ----------
    results
        One row a ``scenario``, ``world`` (home or shifted), ``policy``, ``seed`` and ``user``.
    worlds
        By scenario.
    control
        The name of the scenario that is the control.
    """
    homes = {env: results[(results["scenario"] == env) & (results["world"] == HOME)] for env in worlds}
    plain = {env: world for env, world in worlds.items() if env != control}
    summaries = {env: summed(homes[env], world) for env, world in plain.items()}
    found = [scenario_table(env, homes[env], summaries[env], world) for env, world in plain.items()]
    found.append(overview(summaries, plain))
    for column, title, digits in (
        (
            TWIN,
            "Minutes of each agent − those of its γ=0 twin; of the linear oracle − those of the myopic one",
            DIFFERENCE,
        ),
        ("gap", "Share of the gap from greedy similarity to the linear oracle that each agent closes", SHARE),
    ):
        found.append(across(summaries, plain, column, title, digits))
    gains = seed_by_seed(homes, plain)
    found += [gains] if len(gains) else []
    for env, world in plain.items():
        away = results[(results["scenario"] == env) & (results["world"] == AWAY)]
        found.append(shifted_table(env, homes[env], away, world))
    if control in worlds:
        found.append(control_table(control, homes[control], worlds[control]))
    return found


def summed(home: pd.DataFrame, world: World) -> pd.DataFrame:
    """`summary` with the gap closed, and with the planner compared on the users whom it played."""
    planner = world.planner.name if world.planner else ""
    whole = home[home["policy"] != planner]
    frame = summarise(whole, world.contestants)
    best = frame.attrs["best rule"]
    frame["gap"] = gaps(whole, frame["policy"], world.ceiling)
    if world.planner is not None:
        met = home[home["user"].isin(home.loc[home["policy"] == planner, "user"])]
        compared = met[(met["kind"] != "rule") | met["policy"].isin([best, SIMILARITY])]
        row = summarise(compared, [world.planner])
        row["gap"] = gaps(met, row["policy"], world.ceiling)
        frame["gap to planner"] = gaps(met, frame["policy"], planner)
        frame = pd.concat([frame, row], ignore_index=True)
    frame.attrs["best rule"] = best
    return frame


def scenario_table(env: str, home: pd.DataFrame, frame: pd.DataFrame, world: World) -> pd.DataFrame:
    """A row a policy."""
    rows = []
    for found in frame.to_dict("records"):
        name = found["policy"]
        row = {"policy": name, "kind": found["kind"], "minutes": cell(found["interval"], LEVEL)}
        for title, key in (("− " + SIMILARITY, "vs similarity"), ("− best rule", "vs best rule"), ("− γ=0 twin", TWIN)):
            row[title] = cell(found[key], DIFFERENCE)
        row["gap closed"] = cell(found["gap"], SHARE)
        if world.planner is not None:
            row["gap to planner closed"] = cell(found["gap to planner"], SHARE)
        row |= {"sessions": f"{found['sessions']:.1f}", "kept": f"{found['kept']:.0%}"}
        row["diversity"] = f"{found['diversity']:.2f}"
        spent = world.spent.get(name, {})
        for title, key in (("training slates", "slates"), ("CPU [s]", "cpu"), ("wall [s]", "wall")):
            row[title] = f"{spent[key]:,.0f}" if key in spent else ""
        rows.append(row)
    title = f"{env}: minutes of {home['user'].nunique()} test users; the best rule is {frame.attrs['best rule']}"
    if world.planner is not None:
        count = home.loc[home["policy"] == world.planner.name, "user"].nunique()
        title += f"; the planner played the first {count} and is compared on them"
    return titled(rows, title)


def cell(interval: object, digits: str) -> str:
    """Empty where there is none."""
    return told(interval, digits) if isinstance(interval, Interval) else ""


def overview(summaries: Mapping[str, pd.DataFrame], worlds: Mapping[str, World]) -> pd.DataFrame:
    """Agents by scenario: minutes, and the difference to the best rule."""
    rows = across(summaries, worlds, "vs best rule", "", DIFFERENCE, minutes=True)
    others: list[dict[str, str]] = []
    for name in ("best rule", SIMILARITY, *dict.fromkeys(world.ceiling for world in worlds.values())):
        row = {"agent": name}
        for env, frame in summaries.items():
            policy = frame.attrs["best rule"] if name == "best rule" else name
            row[env] = minutes_in(frame, policy) + (f" ({policy})" if name == "best rule" else "")
        others.append(row)
    return titled([*rows.to_dict("records"), *others], "Minutes of each agent, and minutes − those of the best rule")  # type: ignore[list-item]


def across(
    summaries: Mapping[str, pd.DataFrame],
    worlds: Mapping[str, World],
    column: str,
    title: str,
    digits: str,
    minutes: bool = False,
) -> pd.DataFrame:
    """Agents by scenario: a column of their summaries, after their minutes if wished."""
    rows = []
    # The linear oracle says what looking ahead is worth to who sees everything.
    ceilings = {world.ceiling: world.ceiling for world in worlds.values() if world.ceiling and column == TWIN}
    for agent in dict.fromkeys([*(agent for world in worlds.values() for agent in world.titles), *ceilings]):
        row = {"agent": agent}
        for env, world in worlds.items():
            name = (world.titles | ceilings).get(agent)
            if name:
                found = summaries[env].set_index("policy")[column][name]
                before = f"{minutes_in(summaries[env], name)}; " if minutes else ""
                row[env] = before + cell(found, digits)
        rows.append(row)
    return titled(rows, title)


def seed_by_seed(homes: Mapping[str, pd.DataFrame], worlds: Mapping[str, World]) -> pd.DataFrame:
    """What each training seed of an agent gains on the twin of that seed, for agents with several."""
    found: dict[str, dict[str, str]] = {}
    for env, world in worlds.items():
        twins = {one.name: one.twin for one in world.contestants if one.twin}
        for agent, name in world.titles.items():
            if name in twins:
                gains = (read_minutes(homes[env], name) - read_minutes(homes[env], twins[name])).mean(axis=1)
                if len(gains) > 1:
                    found.setdefault(agent, {"agent": agent})[env] = ", ".join(f"{gain:+.1f}" for gain in gains)
    return titled(list(found.values()), "Minutes of each agent − those of its γ=0 twin, seed by seed")


def minutes_in(frame: pd.DataFrame, policy: str) -> str:
    """Mean minutes of a policy."""
    return f"{frame.set_index('policy')['minutes'][policy]:.1f}"


def shifted_table(env: str, home: pd.DataFrame, away: pd.DataFrame, world: World) -> pd.DataFrame:
    """What policies of a scenario earn from users of another kind, and what of their minutes that loses."""
    rows, there = [], set(away["policy"])
    for one in (one for one in world.contestants if one.name in there):
        before, after = read_minutes(home, one.name), read_minutes(away, one.name)
        row = {"policy": one.name, "kind": one.kind}
        row["minutes at home"] = told(bootstrap_difference(before), LEVEL)
        row["minutes shifted"] = told(bootstrap_difference(after), LEVEL)
        row["loss"] = cell(bootstrap_ratio(before - after, before), SHARE)
        gap = None if one.name == SIMILARITY else bootstrap_difference(after, read_minutes(away, SIMILARITY))
        row["shifted − greedy similarity"] = cell(gap, DIFFERENCE)
        rows.append((after.mean(), row))
    ordered = [row for _, row in sorted(rows, key=lambda pair: -pair[0])]
    return titled(
        ordered, f"{env}Shifted: policies trained and rules tuned in {env}; the oracles know the shifted users"
    )


def control_table(env: str, home: pd.DataFrame, world: World) -> pd.DataFrame:
    """Where looking ahead cannot pay: nobody may beat the taste oracle."""
    rows = []
    for one in world.contestants:
        own = read_minutes(home, one.name)
        row = {"policy": one.name, "kind": one.kind, "minutes": told(bootstrap_difference(own), LEVEL)}
        for other in (ORACLE, SIMILARITY):
            gap = None if one.name == other else bootstrap_difference(own, read_minutes(home, other))
            row[f"− {other}"] = cell(gap, DIFFERENCE)
        rows.append((own.mean(), row))
    ordered = [row for _, row in sorted(rows, key=lambda pair: -pair[0])]
    return titled(ordered, f"{env}: one seed of each agent, where the taste oracle is exactly optimal")


def write(frames: Sequence[pd.DataFrame], head: str, path: Path) -> None:
    """The tables as Markdown, below a head."""
    encoder_tables.write(frames, path)
    write_whole(path, f"{head}\n\n{path.read_text(encoding='utf-8')}")

"""The tables of the study of all agents: each scenario, all scenarios, the shifted ones, the control."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from longplay.agents.comparison.contestants import ORACLE, SIMILARITY, Contestant
from longplay.agents.comparison.summary import is_trained_once, read_minutes, summarise
from longplay.agents.stats import Interval, bootstrap_difference, bootstrap_ratio
from longplay.scripts.shared.tables import format_interval, make_frame

HOME, AWAY = "home", "shifted"  # the world of a life
TWIN = "vs γ=0 twin"
DIFFERENCE, LEVEL, SHARE = "+.1f", ".1f", ".0%"  # formats


@dataclass
class ScenarioResults:
    """What is known of the policies of a scenario beside their lives.

    Attributes
    ----------
    contestants
        All policies but the planner, without their agents.
    titles
        Titles of the agents, by their names in the study; those of the twins are not among them.
    ceiling
        Name of the policy that the gap is measured to: the linear oracle.
    planner
        The planner by rollouts, if it took part; it may have played some of the users only.
    spent
        What trainings took, by title, means over the seeds: ``slates`` learnt from, ``cpu`` and ``wall`` seconds.
    """

    contestants: list[Contestant] = field(default_factory=list)
    titles: dict[str, str] = field(default_factory=dict)
    ceiling: str = ""
    planner: Contestant | None = None
    spent: dict[str, Mapping[str, float]] = field(default_factory=dict)


def measure_gap_closed(results: pd.DataFrame, policy: str, ceiling: str, trained_once: bool = False) -> Interval | None:
    """Share of the way from greedy similarity to a ceiling that a policy goes."""
    if policy in (SIMILARITY, ceiling):
        return None
    floor = read_minutes(results, SIMILARITY)
    own, most = (read_minutes(results, name) - floor for name in (policy, ceiling))
    return bootstrap_ratio(own, most, trained_once=trained_once)


def measure_gaps(results: pd.DataFrame, policies: "pd.Series[str]", ceiling: str) -> "pd.Series[Any]":
    """`measure_gap_closed` of some policies."""
    gaps = [measure_gap_closed(results, name, ceiling, is_trained_once(results, name)) for name in policies]
    return pd.Series(gaps, policies.index, dtype=object)


def make_tables(results: pd.DataFrame, scenarios: Mapping[str, ScenarioResults], control: str) -> list[pd.DataFrame]:
    """All of them.

    Parameters
    ----------
    results
        One row a ``scenario``, ``world`` (home or shifted), ``policy``, ``seed`` and ``user``.
    scenarios
        What is known of each scenario beside its lives, by name.
    control
        Name of the scenario that is the control.
    """
    homes = {env: results[(results["scenario"] == env) & (results["world"] == HOME)] for env in scenarios}
    plain = {env: scenario for env, scenario in scenarios.items() if env != control}
    summaries = {env: summarise_scenario(homes[env], scenario) for env, scenario in plain.items()}
    frames = [make_scenario_table(env, homes[env], summaries[env], scenario) for env, scenario in plain.items()]
    frames.append(make_overview(summaries, plain))
    title = "Minutes of each agent − those of its γ=0 twin; of the linear oracle − those of the myopic one"
    frames.append(compare_scenarios(summaries, plain, TWIN, title, DIFFERENCE))
    title = "Share of the gap from greedy similarity to the linear oracle that each agent closes"
    frames.append(compare_scenarios(summaries, plain, "gap", title, SHARE))
    gains = make_seed_table(homes, plain)
    frames += [gains] if len(gains) else []
    for env, scenario in plain.items():
        away = results[(results["scenario"] == env) & (results["world"] == AWAY)]
        frames.append(make_shifted_table(env, homes[env], away, scenario))
    if control in scenarios:
        frames.append(make_control_table(control, homes[control], scenarios[control]))
    return frames


def summarise_scenario(home: pd.DataFrame, scenario: ScenarioResults) -> pd.DataFrame:
    """`summary` with the gap closed, and with the planner compared on the users whom it played."""
    planner = scenario.planner.name if scenario.planner else ""
    whole = home[home["policy"] != planner]
    frame = summarise(whole, scenario.contestants)
    best = frame.attrs["best rule"]
    frame["gap"] = measure_gaps(whole, frame["policy"], scenario.ceiling)
    if scenario.planner is not None:
        met = home[home["user"].isin(home.loc[home["policy"] == planner, "user"])]
        compared = met[(met["kind"] != "rule") | met["policy"].isin([best, SIMILARITY])]
        row = summarise(compared, [scenario.planner])
        row["gap"] = measure_gaps(met, row["policy"], scenario.ceiling)
        frame["gap to planner"] = measure_gaps(met, frame["policy"], planner)
        frame = pd.concat([frame, row], ignore_index=True)
    frame.attrs["best rule"] = best
    return frame


def make_scenario_table(env: str, home: pd.DataFrame, frame: pd.DataFrame, scenario: ScenarioResults) -> pd.DataFrame:
    """A row a policy."""
    rows = []
    for policy in frame.to_dict("records"):
        name = policy["policy"]
        row = {"policy": name, "kind": policy["kind"], "minutes": format_cell(policy["interval"], LEVEL)}
        for title, key in (("− " + SIMILARITY, "vs similarity"), ("− best rule", "vs best rule"), ("− γ=0 twin", TWIN)):
            row[title] = format_cell(policy[key], DIFFERENCE)
        row["gap closed"] = format_cell(policy["gap"], SHARE)
        if scenario.planner is not None:
            row["gap to planner closed"] = format_cell(policy["gap to planner"], SHARE)
        row |= {"sessions": f"{policy['sessions']:.1f}", "kept": f"{policy['kept']:.0%}"}
        row["diversity"] = f"{policy['diversity']:.2f}"
        spent = scenario.spent.get(name, {})
        for title, key in (("training slates", "slates"), ("CPU [s]", "cpu"), ("wall [s]", "wall")):
            row[title] = f"{spent[key]:,.0f}" if key in spent else ""
        rows.append(row)
    title = f"{env}: minutes of {home['user'].nunique()} test users; the best rule is {frame.attrs['best rule']}"
    if scenario.planner is not None:
        count = home.loc[home["policy"] == scenario.planner.name, "user"].nunique()
        title += f"; the planner played the first {count} and is compared on them"
    return make_frame(rows, title)


def format_cell(value: object, number: str) -> str:
    """An interval; empty where there is none, which a frame may hold as NaN."""
    return format_interval(value, number) if isinstance(value, Interval) else ""


def make_overview(summaries: Mapping[str, pd.DataFrame], scenarios: Mapping[str, ScenarioResults]) -> pd.DataFrame:
    """Agents by scenario: minutes, and the difference to the best rule."""
    agents = compare_scenarios(summaries, scenarios, "vs best rule", "", DIFFERENCE, minutes=True)
    rows: list[dict[str, str]] = agents.to_dict("records")  # type: ignore[assignment]
    for name in ("best rule", SIMILARITY, *dict.fromkeys(scenario.ceiling for scenario in scenarios.values())):
        row = {"agent": name}
        for env, frame in summaries.items():
            policy = frame.attrs["best rule"] if name == "best rule" else name
            row[env] = format_minutes(frame, policy) + (f" ({policy})" if name == "best rule" else "")
        rows.append(row)
    return make_frame(rows, "Minutes of each agent, and minutes − those of the best rule")


def compare_scenarios(
    summaries: Mapping[str, pd.DataFrame],
    scenarios: Mapping[str, ScenarioResults],
    column: str,
    title: str,
    number: str,
    minutes: bool = False,
) -> pd.DataFrame:
    """Agents by scenario: a column of their summaries, formatted, after their minutes if wished."""
    rows = []
    everything = list(scenarios.values())
    # The linear oracle says what looking ahead is worth to who sees everything.
    ceilings = {scenario.ceiling: scenario.ceiling for scenario in everything if scenario.ceiling and column == TWIN}
    for agent in dict.fromkeys([*(agent for scenario in everything for agent in scenario.titles), *ceilings]):
        row = {"agent": agent}
        for env, scenario in scenarios.items():
            name = (scenario.titles | ceilings).get(agent)
            if name:
                before = f"{format_minutes(summaries[env], name)}; " if minutes else ""
                row[env] = before + format_cell(summaries[env].set_index("policy")[column][name], number)
        rows.append(row)
    return make_frame(rows, title)


def make_seed_table(homes: Mapping[str, pd.DataFrame], scenarios: Mapping[str, ScenarioResults]) -> pd.DataFrame:
    """What each training seed of an agent gains on the twin of that seed, for agents with several."""
    rows: dict[str, dict[str, str]] = {}
    for env, scenario in scenarios.items():
        twins = {contestant.name: contestant.twin for contestant in scenario.contestants if contestant.twin}
        for agent, name in scenario.titles.items():
            if name in twins:
                gains = (read_minutes(homes[env], name) - read_minutes(homes[env], twins[name])).mean(axis=1)
                if len(gains) > 1:
                    rows.setdefault(agent, {"agent": agent})[env] = ", ".join(f"{gain:+.1f}" for gain in gains)
    return make_frame(list(rows.values()), "Minutes of each agent − those of its γ=0 twin, seed by seed")


def format_minutes(frame: pd.DataFrame, policy: str) -> str:
    """Mean minutes of a policy."""
    return f"{frame.set_index('policy')['minutes'][policy]:.1f}"


def make_shifted_table(env: str, home: pd.DataFrame, away: pd.DataFrame, scenario: ScenarioResults) -> pd.DataFrame:
    """What policies of a scenario earn from users of another kind, and what of their minutes that loses."""
    rows, movable = [], set(away["policy"])
    for policy in (contestant for contestant in scenario.contestants if contestant.name in movable):
        before, after = read_minutes(home, policy.name), read_minutes(away, policy.name)
        once = policy.kind == "learned" and len(after) == 1
        row = {"policy": policy.name, "kind": policy.kind}
        row["minutes at home"] = format_interval(bootstrap_difference(before, trained_once=once), LEVEL)
        row["minutes shifted"] = format_interval(bootstrap_difference(after, trained_once=once), LEVEL)
        row["loss"] = format_interval(bootstrap_ratio(before - after, before, trained_once=once), SHARE)
        row["shifted − greedy similarity"] = ""
        if policy.name != SIMILARITY:
            gap = bootstrap_difference(after, read_minutes(away, SIMILARITY), trained_once=once)
            row["shifted − greedy similarity"] = format_interval(gap, DIFFERENCE)
        rows.append((after.mean(), row))
    title = f"{env}Shifted: policies trained and rules tuned in {env}; the oracles know the shifted users"
    return make_frame(sort_rows(rows), title)


def make_control_table(env: str, home: pd.DataFrame, scenario: ScenarioResults) -> pd.DataFrame:
    """Where looking ahead cannot pay: nobody may beat the taste oracle."""
    rows = []
    for policy in scenario.contestants:
        own = read_minutes(home, policy.name)
        once = policy.kind == "learned" and len(own) == 1
        row = {"policy": policy.name, "kind": policy.kind}
        row["minutes"] = format_interval(bootstrap_difference(own, trained_once=once), LEVEL)
        for other in (ORACLE, SIMILARITY):
            row[f"− {other}"] = ""
            if policy.name != other:
                gap = bootstrap_difference(own, read_minutes(home, other), trained_once=once)
                row[f"− {other}"] = format_interval(gap, DIFFERENCE)
        rows.append((own.mean(), row))
    return make_frame(sort_rows(rows), f"{env}: one seed of each agent, where the taste oracle is exactly optimal")


def sort_rows(rows: list[tuple[float, dict[str, str]]]) -> list[dict[str, str]]:
    """Rows that come with their mean minutes, the most minutes first."""
    return [row for _, row in sorted(rows, key=lambda pair: -pair[0])]

"""Chosen settings of an agent as a TOML file: found by a search, shipped with the package, or written by hand.

A file says whose settings it has, by which command they were found, and the settings: those of ``[all]`` hold in every
scenario, those of a table named as a scenario override them there.

    agent = "slateq"
    command = "python scripts/tune.py --name slateq-video --agent slateq"

    [all]
    gamma = 0.98

    [video.options]
    polyak = 0.05
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from ...envs.named.registry import ENVIRONMENTS
from ...envs.shared.files import write_whole
from ...envs.shared.names import one_of
from ...envs.shared.options import check_value
from ...envs.users.params import list_scenarios
from ..registry import AGENTS
from .config import RunConfig

SHIPPED = Path(__file__).parent / "shipped"
DEFAULT, NONE = "default", "none"
EVERYWHERE = "all"
# Settings of a `RunConfig` that a file may have.
SETTINGS: dict[str, Any] = {"gamma": float, "learning_rate": float, "num_envs": int, "options": dict}


@dataclass(frozen=True)
class Preset:
    """Chosen settings.

    Attributes
    ----------
    agent, action
        Whose.
    tables
        Settings by name, by scenario or ``"all"``; those in ``options`` are the agent's own.
    command
        That found them.
    """

    agent: str
    action: str
    tables: Mapping[str, Mapping[str, Any]]
    command: str = ""
    name: str = field(default=DEFAULT, compare=False)

    def __post_init__(self) -> None:
        """Refuse unknown names and values out of range."""
        for scenario in self.tables:
            one_of(f"{self.name}: table", scenario, (EVERYWHERE, *list_scenarios()))
        for scenario in self.tables:
            try:
                for key, value in self.tables[scenario].items():
                    check_value(one_of("setting", key, SETTINGS), value, SETTINGS[key])
                RunConfig(agent=self.agent, action=self.action, **self.settings(scenario))
            except ValueError as error:
                raise ValueError(f"{self.name}: [{scenario}] holds settings that are not possible: {error}") from error

    def settings(self, scenario: str) -> dict[str, Any]:
        """Keyword arguments of `RunConfig` in a scenario, by its name."""
        general, special = (self.tables.get(table, {}) for table in (EVERYWHERE, scenario))
        options = {**general.get("options", {}), **special.get("options", {})}
        return {**general, **special, "options": options}

    def to_toml(self) -> str:
        """As text, for `read_preset`."""
        head = {"agent": self.agent, "action": self.action, "command": self.command}
        return tomli_w.dumps({**head, **self.tables})


def read_preset(path: Path) -> Preset:
    """Read a file.

    Raises
    ------
    ValueError
        If it is none, or has a key, a value or an agent that is not possible; the error names it.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path} cannot be read as settings: {error}") from error
    tables = {key: value for key, value in content.items() if isinstance(value, dict)}
    for key in content:
        if key not in tables:
            one_of(f"{path}: key", key, ("agent", "action", "command"))
    if "agent" not in content:
        raise ValueError(f"{path} does not say whose settings it has; add, for instance, agent = 'slateq'")
    agent = AGENTS.card(content["agent"], f"{path}: agent").name
    action = content.get("action") or AGENTS[agent].actions[0]
    return Preset(agent, action, tables, content.get("command", ""), str(path))


def write_preset(preset: Preset, path: Path) -> None:
    """Write a file whole or not at all."""
    write_whole(path, preset.to_toml())


def find_preset(name: str, agent: str, action: str, shipped: Path = SHIPPED) -> Preset | None:
    """The settings that a command line names.

    Parameters
    ----------
    name
        ``"default"``: those that come with the package for the agent and action, if there are any; ``"none"``: none;
        or a TOML file.
    agent, action
        That they have to be of.
    shipped
        Folder of those that come with the package, AGENT-ACTION.toml, or AGENT.toml for one that chooses items.

    Raises
    ------
    ValueError
        If there is no such file, or it is of another agent or action.
    """
    if name == NONE:
        return None
    path = Path(name)
    if name == DEFAULT:
        path = shipped / (f"{agent}.toml" if action == "items" else f"{agent}-{action}.toml")
        if not path.is_file():
            return None
    elif not path.is_file():
        raise ValueError(f"preset = {name!r} is no file; give a TOML file, {DEFAULT!r} or {NONE!r}")
    preset = read_preset(path)
    if (preset.agent, preset.action) != (agent, action):
        raise ValueError(f"{path} is of {preset.agent!r} with {preset.action!r}, not of {agent!r} with {action!r}")
    return preset


def configure_run(agent: str, action: str, env: str, preset: str, shipped: Path = SHIPPED) -> RunConfig:
    """A run of an agent as a preset has it in an environment, all else by default.

    Raises
    ------
    ValueError
        For names that do not exist, and for a preset that is not possible.
    """
    ENVIRONMENTS.card(env, "env")
    entry = AGENTS[agent]
    action = action or entry.actions[0]
    entry.check_action(agent, action)
    chosen = find_preset(preset, agent, action, shipped)
    scenario = ENVIRONMENTS[env].scenario
    if chosen and preset != DEFAULT and not {EVERYWHERE, scenario} & set(chosen.tables):
        there = ", ".join(f"[{table}]" for table in chosen.tables) or "no table"
        raise ValueError(f"preset = {preset!r} has {there}, and nothing for {env}; add [{EVERYWHERE}] or [{scenario}]")
    settings = chosen.settings(scenario) if chosen else {}
    return RunConfig(agent=agent, action=action, **settings)

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
from ...envs.users.params import list_scenarios
from ..learners.training import OWN, options_of
from ..options import check_type, make_options
from ..sb3.agents import ALGORITHMS, algorithm_named
from ..sb3.options import sb3_kind
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
                    check_type(one_of("setting", key, SETTINGS), value, SETTINGS[key])
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
    agent = one_of(f"{path}: agent", content["agent"], (*ALGORITHMS, *OWN))
    return Preset(agent, content.get("action") or first_action(agent), tables, content.get("command", ""), str(path))


def write_preset(preset: Preset, path: Path) -> None:
    """Write a file whole or not at all."""
    write_whole(path, preset.to_toml())


def first_action(agent: str) -> str:
    """What an agent does by default."""
    return "items" if agent in OWN else ALGORITHMS[agent][1][0]


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
        Folder of those that come with the package, AGENT-ACTION.toml or for an own agent AGENT.toml.

    Raises
    ------
    ValueError
        If there is no such file, or it is of another agent or action.
    """
    if name == NONE:
        return None
    path = Path(name)
    if name == DEFAULT:
        path = shipped / (f"{agent}.toml" if agent in OWN else f"{agent}-{action}.toml")
        if not path.is_file():
            return None
    elif not path.is_file():
        raise ValueError(f"preset = {name!r} is no file; give a TOML file, {DEFAULT!r} or {NONE!r}")
    preset = read_preset(path)
    if (preset.agent, preset.action) != (agent, action):
        raise ValueError(f"{path} is of {preset.agent!r} with {preset.action!r}, not of {agent!r} with {action!r}")
    return preset


def configured(agent: str, action: str, env: str, preset: str, shipped: Path = SHIPPED) -> RunConfig:
    """A run of an agent as a preset has it in an environment, all else by default.

    Raises
    ------
    ValueError
        For names that do not exist, and for a preset that is not possible.
    """
    one_of("env", env, tuple(ENVIRONMENTS))
    one_of("agent", agent, (*ALGORITHMS, *OWN))
    action = action or first_action(agent)
    if agent in ALGORITHMS:
        algorithm_named(agent, action)
    found = find_preset(preset, agent, action, shipped)
    scenario = ENVIRONMENTS[env].scenario
    if found and preset != DEFAULT and not {EVERYWHERE, scenario} & set(found.tables):
        there = ", ".join(f"[{table}]" for table in found.tables) or "no table"
        raise ValueError(f"preset = {preset!r} has {there}, and nothing for {env}; add [{EVERYWHERE}] or [{scenario}]")
    settings = found.settings(scenario) if found else {}
    return RunConfig(agent=agent, action=action, **settings)


def agent_options(config: RunConfig) -> Any:
    """The options of a run's agent: a frozen dataclass of its own."""
    if config.agent in OWN:
        return options_of(config.agent, config.options)
    return make_options(config.agent, sb3_kind(config.agent, config.action), config.options)

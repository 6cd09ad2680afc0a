"""Worlds that differ in what a study changes: constants of a scenario, the dial, the seed."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longplay.agents.setting import Setting
from longplay.envs.make import read_scenario
from longplay.envs.named.registry import ENVIRONMENTS
from longplay.envs.shared.names import unknown_name
from longplay.envs.users.constants import LIMITS, WORDS, format_key
from longplay.envs.users.params import Scenario
from longplay.scripts.shared.folders import write_toml

DIAL = "dynamics_strength"
Value = float | str


@dataclass(frozen=True)
class StudyWorld:
    """A world of a study: plain data, which another process can be given.

    Attributes
    ----------
    env, seed
        Environment id and world seed.
    changes
        Constants by their names in a scenario's file, or `DIAL`, and what they are set to.
    scenario
        A scenario TOML file in place of the environment's own.
    table
        Arguments of `Setting` that say where the items are.
    name
        What its folder is named for; by default the changes.
    """

    env: str
    seed: int
    changes: tuple[tuple[str, Value], ...] = ()
    scenario: str | None = None
    table: Mapping[str, str | None] = field(default_factory=dict, hash=False)
    name: str = ""

    @property
    def label(self) -> str:
        """Name of its folder."""
        short = self.env.rpartition("/")[2].replace(":", "-")
        words = [f"{name}-{value:g}" if isinstance(value, float) else f"{name}-{value}" for name, value in self.changes]
        return "-".join([short, f"seed-{self.seed}", *([self.name] if self.name else words)])

    def read_scenario(self) -> Scenario:
        """The scenario as it is here; `ScenarioError` for what is not allowed."""
        base = ENVIRONMENTS[self.env].scenario
        constants = {name: value for name, value in self.changes if name != DIAL}
        return read_scenario(self.scenario or base, base).with_overrides(constants).with_strength(self.strength)

    @property
    def strength(self) -> float:
        """Of the dial."""
        return float(dict(self.changes).get(DIAL, 1.0))

    def make_setting(self, folder: Path) -> Setting:
        """The setting; where constants are changed, its scenario is written into the folder."""
        file = self.scenario
        constants = [(name, value) for name, value in self.changes if name != DIAL]
        if constants:
            base = ENVIRONMENTS[self.env].scenario if file is None else os.path.relpath(file, folder)
            content: dict[str, Any] = {"base": base}
            for name, value in constants:
                group, _, key = name.partition(".")
                content.setdefault(group, {})[key] = value
            write_toml(content, folder / "scenario.toml")
            file = str(folder / "scenario.toml")
        return Setting(self.env, scenario=file, world_seed=self.seed, strength=self.strength, **self.table)


def read_changes(words: Sequence[str]) -> list[tuple[tuple[str, Value], ...]]:
    """The changes of each world of a sweep, from a constant's name and the values it takes; one of none for no words.

    Raises
    ------
    ValueError
        For an unknown name, no values, or one that is given twice.
    """
    if not words:
        return [()]
    name, values = check_constant(words[0]), [_read_value(word) for word in words[1:]]
    if not values or len(set(values)) < len(values):
        raise ValueError(
            f"sweep = {list(words)} must be a constant and one or more different values, such as {name} 0 1"
        )
    return [((name, value),) for value in values]


def check_constant(name: str) -> str:
    """The name, if it is that of a constant as a scenario's file has it, or `DIAL`."""
    known = [DIAL, *map(format_key, (*LIMITS, *WORDS))]
    if name not in known:
        raise unknown_name("constant", name, known)
    return name


def _read_value(word: str) -> Value:
    try:
        return float(word)
    except ValueError:
        return word

"""Who chooses the slates of a log: rules and trained policies by name, some slates replaced by random ones."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ...envs.catalogs.catalog import Catalog
from ...envs.catalogs.registry import CATALOGS
from ...envs.make import read_scenario
from ...envs.named.registry import ENVIRONMENTS
from ...envs.shared.names import one_of
from ..base import Agent
from ..logs.exploring import ExploringAgent
from ..logs.front_page import FrontPage
from ..registry import RULES
from ..rules.context import RuleModels
from ..runs.config import RunConfig
from ..runs.reading import load_agent
from ..setting import Setting

RANDOM, FRONT_PAGE = "random", "front-page"
POLICIES = (RANDOM, FRONT_PAGE, *(name for name in RULES if name != RANDOM))


def make_policy(name: str, setting: Setting, epsilon: float = 0.0, seed: int = 0) -> Agent:
    """A logging policy by name, or of the folder of a training run.

    Parameters
    ----------
    name
        One of `POLICIES`, or a folder that ``scripts/train.py`` wrote.
    epsilon
        Share of the slates that are replaced by random ones; see `ExploringAgent`.
    seed
        Of what the policy draws at random.

    Raises
    ------
    ValueError
        If there is no such policy, or the run learned in another world.
    """
    check_policy(name, epsilon)
    world = setting.world
    if name == RANDOM:
        return ExploringAgent(world, seed=seed)
    agent = _rule(name, setting, seed) if name in POLICIES else _trained(Path(name), setting)
    return ExploringAgent(world, agent, epsilon, seed) if epsilon > 0 else agent


def check_policy(name: str, epsilon: float = 0.0) -> None:
    """Refuse what `make_policy` could not make, before anything slow happens."""
    if not (Path(name) / "config.json").is_file():
        try:
            one_of("policy", name, POLICIES)
        except ValueError as error:
            raise ValueError(f"{error}, or the folder of a run that scripts/train.py wrote") from error
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon = {epsilon!r} is out of range; allowed: 0 to 1")
    if name == RANDOM and epsilon > 0:
        raise ValueError(f"epsilon = {epsilon!r}: the policy 'random' is random already; leave epsilon out")


def _rule(name: str, setting: Setting, seed: int) -> Agent:
    """A rule with its options as shipped."""
    models = RuleModels(setting)
    if name == FRONT_PAGE:
        return FrontPage(models.scorer, setting.world, seed=seed)
    return RULES[name].make(models, RULES[name].choose_options(setting.world)())


def _trained(folder: Path, setting: Setting) -> Agent:
    config = RunConfig.from_json(folder / "config.json")
    theirs = config.setting
    table: dict[str, Any] = {"catalog": None, "id_column": None, "text_column": None}
    same = replace(theirs, **table) == replace(setting, **table)
    if same and theirs != setting:  # two files may hold the same items
        same = load_catalog(theirs).digest == setting.world.catalog.digest
    if not same:
        raise ValueError(
            f"policy = {str(folder)!r} was trained on {theirs}, the log is of {setting}; collect in its world"
        )
    return load_agent(folder, config, setting)


def load_catalog(setting: Setting) -> Catalog:
    """The catalogue of a setting, without building its world."""
    if setting.catalog is not None:
        return Catalog.from_table(setting.catalog, **setting.columns)
    named = read_scenario(setting.scenario or ENVIRONMENTS[setting.env].scenario).catalog
    return CATALOGS[named]() if named in CATALOGS else setting.world.catalog  # which refuses

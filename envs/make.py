"""Entry points of `gymnasium.make` and `gymnasium.make_vec`."""

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .candidates.retriever import Retriever
from .candidates.scoring import Scorer
from .candidates.wrappers import MappedAction, check_action, make_action_map
from .catalogs.catalog import Catalog
from .catalogs.registry import CATALOGS
from .env import SlateVectorEnv
from .shared.names import unknown_name
from .specs import read_catalog, read_item_vectors
from .users.constants import ScenarioError
from .users.params import Scenario
from .users.world import World, build_world

COLUMNS = tuple(name for name in inspect.signature(Catalog.from_table).parameters if name.endswith("_column"))


def read_scenario(scenario: str | Path | Mapping[str, Any] | Scenario, base: str = "video") -> Scenario:
    """A scenario from its name, a TOML file, or overrides such as ``{"satiation.sensitivity": 0.8}`` of `base`."""
    if isinstance(scenario, Mapping):
        return Scenario.load(base).with_overrides(scenario)
    if not isinstance(scenario, str | Path | Scenario):
        raise ScenarioError(
            f"scenario = {scenario!r} must be a name, a TOML file, a dictionary of overrides or a Scenario"
        )
    return Scenario.load(scenario)


def make_world(
    scenario: str | Path | Mapping[str, Any] | Scenario = "video",
    catalog: str | Path | Catalog | None = None,
    world_seed: int = 0,
    base: str = "video",
    dynamics_strength: float = 1.0,
    behaviours: Mapping[str, Any] | None = None,
    **columns: str | None,
) -> World:
    """World of a scenario and a catalogue.

    Parameters
    ----------
    scenario
        Name, TOML file, overrides of `base`, or a `Scenario`.
    catalog
        A table's path or a `Catalog`; by default the one that the scenario names.
    world_seed
        Fixes who and what exists.
    base
        The scenario that overrides start from.
    dynamics_strength
        The dial; see `Scenario.with_strength`.
    behaviours
        Functions of one's own in place of what users do, ``{"leaves": my_leaves}``, or their addresses
        ``"module:function"``; see `longplay.envs.users.behaviours`.
    columns
        Names of the table's columns, ``id_column="asin"`` and the like; see `Catalog.from_table`.
    """
    given = [name for name, value in columns.items() if value is not None]
    if given and (catalog is None or isinstance(catalog, Catalog)):
        raise ValueError(
            f"{given[0]} = {columns[given[0]]!r} names a column of a table, and there is none; fix: pass catalog=..., "
            "the table's path, or leave the column out"
        )
    resolved = read_scenario(scenario, base).with_strength(dynamics_strength).with_behaviours(behaviours)
    if catalog is None:
        if resolved.catalog not in CATALOGS:
            raise ScenarioError(
                f"scenario {resolved.name!r}: catalog = {resolved.catalog!r} is unknown; allowed: "
                f"{', '.join(CATALOGS)}, or pass catalog=..., a table's path or a Catalog"
            )
        catalog = CATALOGS[resolved.catalog]()
    elif not isinstance(catalog, Catalog):
        if not isinstance(catalog, str | Path):
            raise ValueError(
                f"catalog is of type {type(catalog).__name__}; it must be a table's path (CSV, Parquet or JSONL) or a "
                "Catalog; write a data frame to a file first, such as frame.to_parquet('items.parquet')"
            )
        catalog = read_catalog(catalog, **columns)
    return build_world(catalog, resolved, world_seed)


# What Gymnasium calls by these names is done in another way here.
ELSEWHERE = {
    "max_episode_steps": "a life ends when its user churns or the horizon is over: pass scenario={'horizon.days': 7}, "
    "or limit single users with gymnasium.make(id, max_episode_steps=...)",
    "wrappers": "wrap what make_vec returns, or wrap single users with vectorization_mode='sync'",
    "vector_kwargs": "pass its keywords as they are",
}


def check_keywords(given: Iterable[str], without: Iterable[str] = ()) -> None:
    """Refuse keywords that no environment takes, with what was meant; `without` takes some from those allowed.

    Raises
    ------
    ValueError
        For the first that is unknown.
    """
    allowed = [*inspect.signature(make_vector_env).parameters, *COLUMNS, *inspect.signature(SlateVectorEnv).parameters]
    allowed = [name for name in dict.fromkeys(allowed) if name not in ("base", "world", "options", *without)]
    for name in given:
        if name in ELSEWHERE:
            raise ValueError(f"keyword = {name!r} is not taken: {ELSEWHERE[name]}")
        if name not in allowed:
            raise unknown_name("keyword", name, allowed)


def make_vector_env(
    num_envs: int = 1,
    *,
    scenario: str | Path | Mapping[str, Any] | Scenario | None = None,
    catalog: str | Path | Catalog | None = None,
    world_seed: int = 0,
    base: str = "video",
    dynamics_strength: float = 1.0,
    behaviours: Mapping[str, Any] | None = None,
    action: str = "items",
    candidates: bool = False,
    item_vectors: NDArray[np.float32] | str | Path | None = None,
    **options: Any,
) -> Any:
    """Make a vector environment; ``gymnasium.make_vec("longplay/Video-v0", num_envs=B, ...)`` calls this.

    Parameters
    ----------
    num_envs
        B.
    scenario
        Name, TOML file, overrides of the id's own scenario, or a `Scenario`; by default the id's own.
    catalog
        A table's path or a `Catalog`; by default the scenario's own.
    world_seed
        Fixes who and what exists.
    base
        The id's own scenario.
    dynamics_strength
        0 decouples the present from the future, 1 is the scenario, above 1 is stress; see `Scenario.with_strength`.
    behaviours
        Functions of one's own in place of what users do, ``{"leaves": my_leaves}``, or their addresses
        ``"module:function"``; see `longplay.envs.users.behaviours`.
    action
        ``"items"``, ``"candidates"``, ``"query"``, ``"weights"`` or ``"presets"``; see
        `longplay.envs.candidates.wrappers`.
    candidates
        Add candidates to the observation; the actions other than ``"items"`` always do.
    item_vectors
        (N, E) vectors that candidates are found with: ``TextEncoder().encode(catalog.texts)``, or a file of them that
        ``numpy.save`` wrote.
    options
        ``id_column`` and the like, where the table's columns have other names, see `Catalog.from_table`; and those of
        `SlateVectorEnv`: split, sealed, reward, autoreset_mode, privileged, threads, render_mode.

    Raises
    ------
    ValueError
        For an unknown keyword or a wrong value; the text names it, what is allowed and the fix.
    """
    check_keywords(options)
    check_action(action)
    if not isinstance(candidates, bool | np.bool_):
        raise ValueError(
            f"candidates = {candidates!r} must be True or False; how many there are, M, is a constant of the scenario: "
            "scenario={'shape.candidates': 256}"
        )
    columns = {name: options.pop(name) for name in COLUMNS if name in options}
    resolved = base if scenario is None else scenario
    world = make_world(resolved, catalog, world_seed, base, dynamics_strength, behaviours, **columns)
    env: Any = SlateVectorEnv(world, num_envs, **options)
    if action == "items" and not candidates:
        return env
    if item_vectors is None:
        raise ValueError(
            f"action = {action!r} with candidates needs item_vectors of shape ({len(world.catalog)}, E): pass "
            "item_vectors=TextEncoder().encode(catalog.texts)"
        )
    item_vectors = read_item_vectors(item_vectors)
    env = Retriever(env, item_vectors)
    if action != "items":
        env = MappedAction(env, make_action_map(action, Scorer(world, item_vectors), env.count))
    return env

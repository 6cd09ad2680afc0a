"""Files of oracles that were fitted: JSON, which says the scenario that they are for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ...envs.users.world import World

Oracle = TypeVar("Oracle")


def read_oracle(path: Path, world: World, what: str, build: Callable[[Any, World], Oracle]) -> Oracle:
    """Read what an oracle's ``save`` wrote.

    Parameters
    ----------
    path
        The file.
    world
        The world that the oracle is to know.
    what
        What the file should be, with its article, for messages.
    build
        Callable from the file's content and the world to the oracle; what it raises means that the content is none.

    Raises
    ------
    ValueError
        If there is no such file, it is none of these, or it was fitted in another scenario.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist; write it with the save of {what}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        scenario, oracle = content["scenario"], build(content, world)
    except (json.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not {what}: {error}; fit and save again") from error
    if scenario != world.scenario.digest:
        raise ValueError(
            f"{path} was fitted in another scenario than {world.scenario.name!r} as it is here; fit it again"
        )
    return oracle

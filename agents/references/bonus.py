"""The best constant bonus: what a term for quality could do in any ranking, the same for everybody and at all times.

The myopic oracle counts the minutes that a slate pays now. Here a click is worth those minutes and k more for each
standard deviation, over the catalogue, of the item's verdict: of what it does to satisfaction. One number k is chosen,
on validation users. What it gains on the myopic oracle takes no planning; what a planner gains beyond it does.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs.shared.files import write_whole
from ...envs.users.world import World
from ..playing.sweep import Sweep, SweepOptions
from ..registry import REFERENCES, Reference
from .linear import LinearOracle, sweep_bonus
from .oracle_files import read_oracle


@dataclass(eq=False)
class BonusOracle:
    """The best slate for minutes and a bonus of each item, from the user's true state.

    Parameters
    ----------
    world
        World whose user model it knows.
    bonus
        Minutes per standard deviation of the verdict over the catalogue; 0 is the myopic oracle.
    shortlist, whole
        As of `LinearOracle`.
    sweep
        The values that were tried to choose the bonus, if it was chosen so.
    """

    world: World
    bonus: float = 0.0
    shortlist: int | None = 64
    whole: bool = False
    sweep: Sweep | None = None
    name: str = "best constant bonus"
    privileged: bool = True

    def __post_init__(self) -> None:
        """Check the bonus."""
        if not np.isfinite(self.bonus):
            raise ValueError(f"bonus = {self.bonus!r} must be a finite number of minutes")
        self._linear = LinearOracle(self.world, shortlist=self.shortlist, whole=self.whole)
        self._linear.weights = self._linear.express_bonus(self.bonus)

    def act(self, observation: Any) -> NDArray[np.int64]:
        """Solve for each user."""
        return self._linear.act(observation)

    @classmethod
    def fit(
        cls,
        world: World,
        item_vectors: NDArray[np.float32],
        search: SweepOptions | None = None,
        progress: Callable[[str, float], None] | None = None,
        **options: Any,
    ) -> "BonusOracle":
        """Choose the bonus with the most minutes in a month of validation users.

        Parameters
        ----------
        world
            Items and people.
        item_vectors
            Vectors (N, E) that candidates are found by.
        search
            Options of the sweep.
        progress
            Callable that gets what is being done and the share of it that is done.
        options
            Parameters ``shortlist`` and ``whole`` of the class.
        """
        say = progress or (lambda what, share: None)
        sweep = sweep_bonus(world, item_vectors, search or SweepOptions(), say, **options)
        return cls(world, sweep.best, sweep=sweep, **options)

    def save(self, path: Path) -> None:
        """Write the bonus as JSON, with the scenario that it is for and what was tried."""
        sweep = self.sweep or Sweep(np.zeros(0), np.zeros(0))
        tried = dict(zip(map(str, sweep.values.tolist()), sweep.scores.tolist(), strict=True))
        content = {"scenario": self.world.scenario.digest, "bonus": self.bonus, "shortlist": self.shortlist}
        write_whole(path, json.dumps({**content, "whole": self.whole, "tried": tried}, indent=1))

    @classmethod
    def load(cls, path: Path, world: World) -> "BonusOracle":
        """Read what `save` wrote, for a world of the same scenario."""
        return read_oracle(path, world, "a constant bonus", cls.from_content)

    @classmethod
    def from_content(cls, content: Any, world: World) -> "BonusOracle":
        """The oracle of a file; AttributeError, KeyError, TypeError or ValueError for what is none."""
        tried = content["tried"]
        sweep = Sweep(np.array([float(value) for value in tried]), np.array(list(tried.values()), np.float64))
        bonus, shortlist, whole = float(content["bonus"]), content["shortlist"], content["whole"]
        return cls(world, bonus, shortlist, whole, sweep if tried else None)


REFERENCES.register(
    "constant",
    Reference(
        kind=BonusOracle,
        title="best constant bonus",
        about="the best slate for minutes and a bonus of each item, the same for everybody and at all times",
        build=BonusOracle,
        note="true state, candidates, one number chosen on validation users",  # with 0 it is the myopic oracle
        load=BonusOracle.load,
    ),
)

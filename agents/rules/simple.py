"""Rules that need no training by reinforcement: the baselines that a learned policy has to beat.

Those that look at each item alone are here; `diversity`, `fatigue` and `predicted` hold the others.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...envs.candidates.scoring import Scorer
from ...envs.engine import Observation
from ...envs.users.world import World
from .diversity import MMR as MMR  # part of this module's interface, like those below
from .minutes import PredictedMinutes as PredictedMinutes
from .minutes import fit_minutes as fit_minutes
from .ranking import column, generators, ranked
from .ranking import similarity_score as similarity_score
from .topics import StaticCap as StaticCap


@dataclass
class RandomSlate:
    """Items of the whole catalogue drawn at random, anew for each slate."""

    world: World
    name: str = "random"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Draw without repeats."""
        items, slots = len(self.world.catalog), self.world.scenario.shape.slate
        return np.stack([1 + rng.choice(items, slots, replace=False) for rng in generators(observation)])


@dataclass
class RandomCandidates:
    """Candidates drawn at random, anew for each slate."""

    scorer: Scorer
    name: str = "random candidates"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Random scores."""
        count = observation["candidates"].shape[1]
        scores = np.stack([rng.random(count, dtype=np.float32) for rng in generators(observation)])
        return ranked(self.scorer, observation, scores)


@dataclass
class Popularity:
    """The candidates that are talked about most."""

    scorer: Scorer
    name: str = "popularity"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Score by popularity."""
        return ranked(self.scorer, observation, column(self.scorer, observation, "popularity"))

"""Rules that read nothing of the history: items or candidates at random, what is talked about most, what is longest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...envs.candidates.scoring import Scorer
from ...envs.engine import Observation
from ...envs.users.world import World
from ..registry import RULES, Rule
from .ranking import make_generators, rank_candidates, read_feature


@dataclass
class RandomSlate:
    """Items of the whole catalogue drawn at random, anew for each slate."""

    world: World
    name: str = "random"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Draw without repeats."""
        items, slots = len(self.world.catalog), self.world.scenario.shape.slate
        return np.stack([1 + rng.choice(items, slots, replace=False) for rng in make_generators(observation)])


@dataclass
class RandomCandidates:
    """Candidates drawn at random, anew for each slate."""

    scorer: Scorer
    name: str = "random candidates"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Random scores."""
        count = observation["candidates"].shape[1]
        scores = np.stack([rng.random(count, dtype=np.float32) for rng in make_generators(observation)])
        return rank_candidates(self.scorer, observation, scores)


@dataclass
class Popularity:
    """The candidates that are talked about most."""

    scorer: Scorer
    name: str = "popularity"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Score by popularity."""
        return rank_candidates(self.scorer, observation, read_feature(self.scorer, observation, "popularity"))


@dataclass
class Longest:
    """The longest candidates."""

    scorer: Scorer
    name: str = "longest"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Score by length."""
        return rank_candidates(self.scorer, observation, read_feature(self.scorer, observation, "length"))


RULES.register(
    "random",
    Rule(
        kind=RandomSlate,
        title="random",
        about="items of the whole catalogue at random",
        build=lambda models, options: RandomSlate(models.setting.world),
        note="whole catalogue",
        fresh="never",
    ),
)
RULES.register(
    "random-candidates",
    Rule(
        kind=RandomCandidates,
        title="random candidates",
        about="candidates at random",
        build=lambda models, options: RandomCandidates(models.scorer),
    ),
)
RULES.register(
    "popularity",
    Rule(
        kind=Popularity,
        title="popularity",
        about="the candidates talked about most",
        build=lambda models, options: Popularity(models.scorer),
    ),
)
RULES.register(
    "longest",
    Rule(
        kind=Longest,
        title="longest",
        about="the longest candidates, nothing twice in a session",
        build=lambda models, options: Longest(models.scorer),
        fresh="always",
    ),
)

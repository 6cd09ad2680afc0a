"""A rule outside the package: the candidates that are talked about most among the newest, as toy_rule:NewestFirst."""

from dataclasses import dataclass

import numpy as np

from longplay.agents.registry import RULES, Rule
from longplay.agents.rules.ranking import rank_candidates, read_feature
from longplay.envs.candidates.scoring import Scorer
from longplay.envs.shared.options import Options, evenly, number


@dataclass(frozen=True)
class NewestOptions(Options):
    """Options of the rule."""

    weight: float = number(1.0, 0.0, 10.0, search=evenly(0.0, 3.0))
    """Weight of novelty against popularity."""


@dataclass
class NewestFirst:
    """Candidates by popularity and novelty."""

    scorer: Scorer
    weight: float
    name: str = "newest first"
    privileged: bool = False

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """Slates (B, K) of item numbers."""
        popularity, novelty = (read_feature(self.scorer, observation, name) for name in ("popularity", "novelty"))
        return rank_candidates(self.scorer, observation, popularity + self.weight * novelty)


RULES.register(
    "newest",
    Rule(
        kind=NewestFirst,
        title="newest first",
        about="popular candidates among the newest",
        build=lambda models, options: NewestFirst(models.scorer, options.weight),
        options=NewestOptions,
        note="weight {weight:.2g}",
    ),
)

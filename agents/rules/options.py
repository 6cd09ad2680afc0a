"""The options of rules, and where the best are searched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from ...envs.shared.options import Allowed, check_value, read_hints

MINUTES, SIMILARITY = "minutes", "similarity"
SCORES = (SIMILARITY, MINUTES)


@dataclass(frozen=True)
class Options:
    """Options of a rule, checked when made; `space` is what is searched, by default the whole of their ranges."""

    LIMITS: ClassVar[Mapping[str, tuple[float, float]]] = {}  # of the numbers, both ends included
    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # of the words
    LOGARITHMIC: ClassVar[tuple[str, ...]] = ()  # of the numbers, those that are searched on a logarithmic scale

    def __post_init__(self) -> None:
        """Refuse what is not allowed."""
        allowed = {name: Allowed(*limits) for name, limits in self.LIMITS.items()}
        allowed |= {name: Allowed(words=words) for name, words in self.CHOICES.items()}
        for name, what in allowed.items():
            check_value(name, getattr(self, name), read_hints(type(self))[name], what)

    @classmethod
    def space(cls) -> dict[str, BaseDistribution]:
        """What is searched, by option."""
        found: dict[str, BaseDistribution] = {}
        for name, (low, high) in cls.LIMITS.items():
            if isinstance(getattr(cls, name), int):
                found[name] = IntDistribution(int(low), int(high))
            else:
                found[name] = FloatDistribution(low, high, log=name in cls.LOGARITHMIC)
        return found | {name: CategoricalDistribution(words) for name, words in cls.CHOICES.items()}


@dataclass(frozen=True)
class SoftmaxOptions(Options):
    """Options of softmax."""

    temperature: float = 0.05
    """Of the softmax, 0.001 to 10; small is greedy."""

    LIMITS = {"temperature": (0.001, 10.0)}
    LOGARITHMIC = ("temperature",)


@dataclass(frozen=True)
class MMROptions(Options):
    """Options of MMR."""

    trade_off: float = 0.5
    """Weight of similarity against novelty, 0 to 1."""

    LIMITS = {"trade_off": (0.0, 1.0)}


@dataclass(frozen=True)
class DPPOptions(Options):
    """Options of the determinantal point process."""

    theta: float = 1.0
    """How much the score counts against diversity, 0.01 to 10."""
    on: str = SIMILARITY
    """What scores: similarity, or predicted minutes ("minutes")."""

    LIMITS = {"theta": (0.01, 10.0)}
    CHOICES = {"on": SCORES}
    LOGARITHMIC = ("theta",)


@dataclass(frozen=True)
class CapOptions(Options):
    """Options of the static cap."""

    cap: int = 2
    """Items per main topic in a slate, 1 to 10."""
    on: str = MINUTES
    """What scores: similarity, or predicted minutes ("minutes")."""

    LIMITS = {"cap": (1, 10)}
    CHOICES = {"on": SCORES}


@dataclass(frozen=True)
class RoundRobinOptions(Options):
    """Options of topics in turn."""

    topics: int = 5
    """Of the user's topics, so many take turns, 1 to 20."""
    on: str = SIMILARITY
    """What scores: similarity, or predicted minutes ("minutes")."""

    LIMITS = {"topics": (1, 20)}
    CHOICES = {"on": SCORES}


@dataclass(frozen=True)
class FatigueOptions(Options):
    """Options of the fatigue-aware rule."""

    tau: float = 0.25
    """Days in which estimated satiation falls to 37 %, 0.02 to 5."""
    alpha: float = 0.5
    """Standard deviations of the score that an item just consumed takes off another of its topics, 0 to 5."""
    variety: float = 0.3
    """Standard deviations that each item of the same main topic higher in the slate takes off, 0 to 3."""
    on: str = MINUTES
    """What scores: similarity, or predicted minutes ("minutes")."""

    LIMITS = {"tau": (0.02, 5.0), "alpha": (0.0, 5.0), "variety": (0.0, 3.0)}
    CHOICES = {"on": SCORES}
    LOGARITHMIC = ("tau",)


@dataclass(frozen=True)
class EncoderOptions(Options):
    """Options of a rule that ranks by an encoder."""

    cap: int = 0
    """Items per main topic in a slate, 1 to 10; 0 for any number."""

    LIMITS = {"cap": (0, 10)}


@dataclass(frozen=True)
class BanditRuleOptions(Options):
    """Options of a linear bandit that has learned from others and shows everybody its best slates."""

    alpha: float = 1.0
    """Exploration while it learns, in standard deviations of the posterior, 0 to 100."""
    play_alpha: float = 0.0
    """Exploration when it is played, 0 to 5; 0 plays by the posterior's mean."""

    LIMITS = {"alpha": (0.0, 100.0), "play_alpha": (0.0, 5.0)}

    @classmethod
    def space(cls) -> dict[str, BaseDistribution]:
        """What is searched: of `alpha` three values only, since each is learned anew."""
        return super().space() | {"alpha": CategoricalDistribution((0.3, 1.0, 3.0))}


@dataclass(frozen=True)
class PersonalOptions(BanditRuleOptions):
    """Options of a linear bandit that goes on learning about each user."""

    prior_slots: float = 1000.0
    """How many slots of a user's own weigh as much as all that was learned from others, 10 to 100 000."""

    LIMITS = {**BanditRuleOptions.LIMITS, "prior_slots": (10.0, 1e5)}
    LOGARITHMIC = ("prior_slots",)

"""What the rules of one setting share: the scoring features of candidates, and one store of fitted models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ...envs.candidates.scoring import Scorer

if TYPE_CHECKING:
    from ..setting import Setting

M = TypeVar("M")

LOGGERS = 256  # training users whose steps predicted minutes are fitted on, and bandits learn from
LOGGED_STEPS = 60  # of each of them: about 150 thousand shown items
LOG_USERS = 8000  # training users whose interactions the encoders are fitted on
LOG_LIVES = 4  # months of each of them, one after the other, with other luck


class Ingredient(ABC, Generic[M]):
    """Something that rules build on, named by all that it depends on beside the setting and the budget.

    Subclasses are frozen dataclasses, so that equal ones are one key of `RuleModels`.
    """

    @abstractmethod
    def make(self, models: RuleModels) -> M:
        """Collect or fit it, of other ingredients where need be."""


class FittedModel(Ingredient[M]):
    """A model that is saved with the rules that need it."""

    @abstractmethod
    def save(self, model: M, folder: Path) -> None:
        """Write a model into the folder of a rule."""

    @abstractmethod
    def load(self, folder: Path, models: RuleModels) -> M:
        """Read what `save` wrote."""

    def is_current(self, folder: Path) -> bool:
        """Whether what `save` wrote was fitted by the settings that `make` uses now."""
        return True


class RuleModels:
    """The fitted models that the rules of one setting share, each fitted when it is first asked for.

    Parameters
    ----------
    setting
        What is recommended to whom.
    say
        Told what takes long.
    logged_steps
        Steps of `LOGGERS` training users that predicted minutes are fitted on, and as many that bandits learn from.
    log_users
        Training users whose interactions the encoders are fitted on; all of them where there are fewer.
    log_lives
        Months of each of them.
    seed
        Seed of the fits.
    """

    def __init__(
        self,
        setting: Setting,
        say: Callable[[str], object] = lambda what: None,
        logged_steps: int = LOGGED_STEPS,
        log_users: int = LOG_USERS,
        log_lives: int = LOG_LIVES,
        seed: int = 0,
    ) -> None:
        self.setting, self.say = setting, say
        self.logged_steps, self.log_users, self.log_lives, self.seed = logged_steps, log_users, log_lives, seed
        self._made: dict[Ingredient[Any], Any] = {}

    @property
    def budget(self) -> dict[str, int]:
        """What the fits may use."""
        log = {"log_users": self.log_users, "log_lives": self.log_lives}
        return {"logged_steps": self.logged_steps, **log, "fit_seed": self.seed}

    @cached_property
    def scorer(self) -> Scorer:
        """Scoring features of candidates."""
        return Scorer(self.setting.world, self.setting.item_vectors)

    def get(self, key: Ingredient[M]) -> M:
        """The ingredient, made at the first request."""
        if key not in self._made:
            self._made[key] = key.make(self)
        ingredient: M = self._made[key]
        return ingredient

    def put(self, key: Ingredient[M], ingredient: M) -> None:
        """Take an ingredient made elsewhere, such as a model that was loaded."""
        self._made[key] = ingredient

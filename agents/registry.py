"""Agents, rules and references by name; each is registered at the end of the file that defines it.

Other packages add a learning agent with an entry point of the group ``longplay.agents``, and any module on the path is
named as ``module:Class``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, make_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..envs.shared.names import one_of
from ..envs.shared.options import Options, make_options, switch
from ..envs.shared.registry import Registry
from ..envs.users.world import World
from .base import Agent, Trainer
from .fresh import FRESH, check_shown, make_fresh

ALWAYS, ASKED, NEVER = "always", "asked", "never"  # when a rule shows nothing twice in a session


def need_nothing(options: Any) -> None:
    """Nothing is fitted, whatever the options."""


@dataclass(frozen=True)
class Rule:
    """A rule by name.

    Attributes
    ----------
    kind
        Its class.
    title
        Its name in tables.
    about
        What it does, in one line.
    build
        Makes the agent of the models that the rules of a setting share (`longplay.agents.rules.context.RuleModels`)
        and of options, without a thought of what was shown before: `make` sees to that.
    options
        Type of its options, whose fields say where the best are searched; `Options` itself for none. In worlds that say
        what they have shown `choose_options` adds ``fresh``.
    note
        What a table says of the options, by their names; `slates` is how many taught a bandit.
    needs
        The fitted model (`longplay.agents.rules.context.FittedModel`) that some options need, or None.
    fresh
        Whether it shows nothing twice in a session: ``"asked"`` by an option, ``"always"``, so that only worlds that
        say what they have shown offer it, or ``"never"``. A literal, so that it is known before the import.
    """

    kind: type[Any]
    title: str
    about: str
    build: Callable[[Any, Any], Agent]
    options: type[Options] = Options
    note: str = ""
    needs: Callable[[Any], Any] = need_nothing
    fresh: str = ASKED

    def __post_init__(self) -> None:
        """Refuse a word that there is not."""
        one_of("fresh", self.fresh, (ALWAYS, ASKED, NEVER))

    def choose_options(self, world: World) -> type[Options]:
        """Type of its options in a world, whose defaults are those that a search begins with."""
        return self.fresh_options if self.fresh == ASKED and world.scenario.memory else self.options

    @cached_property
    def fresh_options(self) -> type[Options]:
        """Type of its options with ``fresh`` beside them, on unless they say otherwise, and searched."""
        added = (FRESH, bool, switch(True, search=True))
        return make_dataclass(f"Fresh{self.options.__name__}", [added], bases=(self.options,), frozen=True)

    def is_fresh(self, options: Options) -> bool:
        """Whether it shows nothing twice in a session with these options."""
        return bool(getattr(options, FRESH, self.fresh == ALWAYS))

    def make(self, models: Any, options: Options) -> Agent:
        """Make the agent of the models of a setting, and of options with or without ``fresh``.

        Raises
        ------
        ValueError
            If it is to show nothing twice in a world that does not say what it has shown.
        """
        plain = self.options(**{name: value for name, value in vars(options).items() if name != FRESH})
        if not self.is_fresh(options):
            return self.build(models, plain)
        check_shown(models.setting.world, self.title)
        return make_fresh(self.build(models, plain), self.title)


@dataclass(frozen=True)
class Reference:
    """A policy that reads hidden state, by name.

    Attributes
    ----------
    kind
        Its class.
    title
        Its name in tables.
    about
        What it does, in one line.
    build
        Makes the agent of a world.
    note
        What a table says of it.
    load
        Makes the agent of a file of weights and a world, where it has weights.
    """

    kind: type[Any]
    title: str
    about: str
    build: Callable[[Any], Agent]
    note: str
    load: Callable[[Any, Any], Agent] | None = None


class AgentEntry(ABC):
    """What a learning agent says of itself: what it reads, which actions it takes, how it is trained and loaded.

    Attributes
    ----------
    kind
        The class that ``module:Class`` names.
    title
        In tables.
    about
        One line.
    actions
        Those it takes, the default first; ``"items"`` for agents that choose slates of items themselves.
    rates_items
        Whether its trained agents say of each candidate how good it is: `longplay.agents.base.RatesItems`.
    any_discount
        Whether every γ from 0 to 1 means something to it; otherwise 0 and 1 alone.
    takes_learning_rate
        Whether the learning rate of the run is its own; otherwise it has one among its options, or none.
    """

    kind: type[Any]
    title: str
    about: str
    actions: tuple[str, ...]
    rates_items: bool = False
    any_discount: bool = True
    takes_learning_rate: bool = False

    def check_action(self, agent: str, action: str) -> None:
        """Raise ValueError unless the agent of that name takes an action."""
        if action not in self.actions:
            taken = ", ".join(map(repr, self.actions))
            raise ValueError(f"{agent!r} does not take the action {action!r}; it takes {taken}")

    def make_options(self, agent: str, action: str, values: Mapping[str, Any]) -> Options:
        """The options of the agent of that name, from those that differ from the defaults; ValueError as `Options`."""
        return make_options(agent, self.choose_options(action), values)

    @abstractmethod
    def choose_options(self, action: str) -> type[Options]:
        """Class of the options where it takes an action."""

    @abstractmethod
    def reads_scores(self, action: str) -> bool:
        """Whether scores of candidates reach it, or rank what it chooses."""

    def can_fine_tune(self, action: str) -> bool:
        """Whether it can train the network of the history along with its own."""
        return False

    def name_method(self, action: str) -> str:
        """Name of the method in tables."""
        return self.title

    def check_run(self, config: Any) -> None:  # noqa: B027  # most have nothing more to check
        """Raise ValueError where a `longplay.agents.runs.config.RunConfig` could not run, beyond its single values."""

    def algorithm_arguments(self, config: Any) -> dict[str, Any]:
        """Keyword arguments of the algorithm that is wrapped, if one is, for a run's configuration."""
        return {}

    @abstractmethod
    def make_trainer(self, config: Any, reading: Any) -> Trainer:
        """A trainer before its first slate, for a ``RunConfig`` and its `longplay.agents.runs.reading.Reading`."""

    @abstractmethod
    def load(self, folder: Path, config: Any, reading: Any) -> Agent:
        """The policy that a run of this configuration kept in a folder; ValueError if it does not fit."""


RULES: Registry[Rule] = Registry("RULES", "rule", "longplay.agents.rules")
REFERENCES: Registry[Reference] = Registry("REFERENCES", "reference", "longplay.agents.references")
AGENTS: Registry[AgentEntry] = Registry(
    "AGENTS", "agent", "longplay.agents.sb3", "longplay.agents.learners", group="longplay.agents"
)

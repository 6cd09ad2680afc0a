"""Agents, rules and references by name; each is registered at the end of the file that defines it.

Other packages add a learning agent with an entry point of the group ``longplay.agents``, and any module on the path is
named as ``module:Class``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..envs.shared.options import Options, make_options
from ..envs.shared.registry import Registry
from .base import Agent, Trainer


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
        and of options.
    options
        Type of its options, whose fields say where the best are searched; `Options` itself for none.
    note
        What a table says of the options, by their names; `slates` is how many taught a bandit.
    needs
        The fitted model (`longplay.agents.rules.context.FittedModel`) that some options need, or None.
    """

    kind: type[Any]
    title: str
    about: str
    build: Callable[[Any, Any], Agent]
    options: type[Options] = Options
    note: str = ""
    needs: Callable[[Any], Any] = need_nothing


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

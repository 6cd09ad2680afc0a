"""What there is by name: rules and references. Each registers itself at the end of its own file."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..envs.shared.options import Options
from ..envs.shared.registry import Registry
from .base import Agent


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


RULES: Registry[Rule] = Registry("RULES", "rule", "longplay.agents.rules")
REFERENCES: Registry[Reference] = Registry("REFERENCES", "reference", "longplay.agents.references")

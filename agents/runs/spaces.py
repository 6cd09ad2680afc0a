"""Where a run's settings are searched: those declared at the fields of its agent's options, and how far it looks ahead.

How far an agent looks ahead is searched as a number of slates, 1 / (1 − γ), evenly on a logarithmic scale, and never
below `SHORTEST`: an agent that only learns what pays now is a twin to compare with, not a candidate.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from ...envs.shared.options import Allowed, find_changes
from ..options import RATE, Space, make_distribution, make_space
from .config import RunConfig

LOOKAHEAD = "lookahead"
SHORTEST, LONGEST = 5.0, 500.0  # slates
DIGITS = 3  # of what is proposed, so that what is written down is what was tried


def round_digits(value: float) -> float:
    """A number to `DIGITS`."""
    return float(f"{value:.{DIGITS}g}")


def widen(where: BaseDistribution, value: Any) -> BaseDistribution:
    """The distribution, widened to a value where need be."""
    if isinstance(where, CategoricalDistribution):
        return where if value in where.choices else CategoricalDistribution((*where.choices, value))
    assert isinstance(where, FloatDistribution | IntDistribution)
    return type(where)(min(where.low, value), max(where.high, value), log=where.log)


def make_run_space(config: RunConfig, lookahead: bool = True) -> Space:
    """What is searched for the agent of a run.

    Parameters
    ----------
    config
        The run; settings that are not searched are as it has them.
    lookahead
        Also search how far it looks ahead; otherwise γ is that of the run.

    Returns
    -------
    dict
        Distributions by name: ``lookahead``, ``learning_rate``, and the agent's own with ``options.`` before them.
    """
    space: Space = {}
    if lookahead and config.entry.any_discount:
        space[LOOKAHEAD] = FloatDistribution(SHORTEST, LONGEST, log=True)
    if config.entry.takes_learning_rate:
        space["learning_rate"] = make_distribution(RATE, Allowed(), whole=False)
    options = make_space(type(config.agent_options))
    for name in sorted(options, key=lambda name: name != "learning_rate"):  # which comes first
        space[f"options.{name}"] = options[name]
    # What it sets out from is always part of the space.
    return {name: widen(space[name], value) for name, value in locate(config, space).items()}


def locate(config: RunConfig, space: Space) -> dict[str, Any]:
    """Where a run is in the space."""
    values: dict[str, Any] = {"learning_rate": config.learning_rate}
    values[LOOKAHEAD] = round_digits(1.0 / max(1.0 - config.gamma, 1e-9))
    values |= {f"options.{name}": value for name, value in asdict(config.agent_options).items()}
    return {name: values[name] for name in space}


def apply_proposal(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """The run with the settings that were proposed."""
    values = {name: round_digits(v) if isinstance(v, float) else v for name, v in values.items()}
    options = {name.removeprefix("options."): v for name, v in values.items() if name.startswith("options.")}
    given = {name: v for name, v in values.items() if name == "learning_rate"}
    if LOOKAHEAD in values:
        given["gamma"] = round(1.0 - 1.0 / values[LOOKAHEAD], 5)
    proposed = replace(config, **given, options={**config.options, **options})
    return replace(proposed, options=find_changes(proposed.agent_options))

"""Where settings of agents are searched: what may be changed, from where to where.

How far an agent looks ahead is searched as a number of slates, 1 / (1 − γ), evenly on a logarithmic scale, and never
below `SHORTEST`: an agent that only learns what pays now is a twin to compare with, not a candidate.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from ..learners.training import OWN
from ..options import changes
from .config import RunConfig
from .presets import agent_options

LOOKAHEAD = "lookahead"
SHORTEST, LONGEST = 5.0, 500.0  # slates
DIGITS = 3  # of what is proposed, so that what is written down is what was tried

Space = dict[str, BaseDistribution]


def rounded(value: float) -> float:
    """To `DIGITS`."""
    return float(f"{value:.{DIGITS}g}")


def between(low: float, high: float) -> FloatDistribution:
    """Evenly."""
    return FloatDistribution(low, high)


def around(low: float, high: float) -> FloatDistribution:
    """Evenly on a logarithmic scale."""
    return FloatDistribution(low, high, log=True)


def one(*choices: float | str) -> CategoricalDistribution:
    """Any of these."""
    return CategoricalDistribution(choices)


RATE = around(1e-4, 1e-2)
ENTROPY = one(0.0, 0.001, 0.003, 0.01, 0.02, 0.03)

ON_POLICY: Space = {"n_steps": one(4, 8, 16, 32, 64), "gae_lambda": between(0.5, 1.0), "ent_coef": ENTROPY}
PPO: Space = {
    **ON_POLICY,
    "batch_size": one(256, 512, 1024, 2048),
    "n_epochs": IntDistribution(1, 20),
    "clip_range": one(0.1, 0.2, 0.3, 0.4),
}
OFF_POLICY: Space = {
    "gradient_steps": one(1, 2, 4, 8),
    "batch_size": one(128, 256, 512, 1024),
    "tau": around(0.001, 0.1),
}
DQN: Space = {**OFF_POLICY, "exploration_fraction": between(0.1, 0.8), "exploration_final_eps": around(0.01, 0.2)}
POLICY: Space = {
    "learning_rate": RATE,
    "rollout": one(8, 16, 32, 64),
    "epochs": IntDistribution(1, 10),
    "gae_lambda": between(0.5, 1.0),
    "entropy": ENTROPY,
}
PL_PPO: Space = {
    **POLICY,
    "clip": one(0.1, 0.2, 0.3, 0.4),
    "target_kl": one(0.0, 0.03, 0.1, 0.3),
    "auxiliary": IntDistribution(1, 10),
    "guide_learning_rate": RATE,
    "guide": between(0.5, 4.0),
}

# Options by agent. Those not named here are searched over their discount and learning rate.
SPACES: dict[str, Space] = {
    "ppo": PPO,
    "ppo-stock": PPO,
    "recurrent-ppo": PPO,
    "a2c": ON_POLICY,
    "sac": OFF_POLICY,
    "tqc": OFF_POLICY,
    "td3": OFF_POLICY,
    "ddpg": OFF_POLICY,
    "dqn": DQN,
    "qr-dqn": DQN,
    "ars": {
        "n_delta": one(4, 8, 16),
        "users": one(32, 64, 128),
        "delta_std": around(0.02, 0.3),
        "learning_rate": around(0.02, 0.5),
    },
    "wolpertinger": {
        "learning_rate": RATE,
        "actor_rate": RATE,
        "segment": one(8, 16, 32),
        "epochs": IntDistribution(1, 8),
        "replay": IntDistribution(1, 16),
        "neighbours": one(20, 40, 80, 160),
        "metric": one("distance", "inner"),
        "polyak": around(0.002, 0.2),
        "tether": between(0.0, 1.0),
        "noise": between(0.0, 1.0),
        "temperature": around(0.1, 2.0),
        "epsilon": around(0.005, 0.2),
    },
    "slateq": {
        "learning_rate": RATE,
        "segment": one(8, 16, 32),
        "epochs": IntDistribution(1, 8),
        "replay": IntDistribution(1, 8),
        "mix": between(0.5, 1.0),
        "polyak": around(0.002, 0.2),
        "temperature": around(0.1, 2.0),
        "last_temperature": around(0.02, 0.5),
        "epsilon": around(0.005, 0.2),
        "variety": between(0.0, 2.0),
        "future_weight": around(0.1, 10.0),
    },
    "pl-ppo": PL_PPO,
    "pl-ppo-catalog": PL_PPO,
    "reinforce": {**POLICY, "memory": IntDistribution(1, 8), "cap": around(1.0, 20.0)},
}


def including(where: BaseDistribution, value: Any) -> BaseDistribution:
    """The distribution, widened to a value where need be."""
    if isinstance(where, CategoricalDistribution):
        return where if value in where.choices else CategoricalDistribution((*where.choices, value))
    assert isinstance(where, FloatDistribution | IntDistribution)
    return type(where)(min(where.low, value), max(where.high, value), log=where.log)


def space_of(config: RunConfig, lookahead: bool = True) -> Space:
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
    has = asdict(agent_options(config))
    own = {name: where for name, where in SPACES.get(config.agent, {}).items() if name in has}
    if "learning_rate" in has:
        own = {"learning_rate": RATE, **own}
    searches = config.agent == "ars"  # which knows the month or the slate, nothing between, and steps of its own
    space: Space = {LOOKAHEAD: around(SHORTEST, LONGEST)} if lookahead and not searches else {}
    if config.agent not in OWN and not searches:
        space["learning_rate"] = RATE
    space |= {f"options.{name}": where for name, where in own.items()}
    # What it sets out from is always part of the space.
    return {name: including(space[name], value) for name, value in position(config, space).items()}


def position(config: RunConfig, space: Space) -> dict[str, Any]:
    """Where a run is in the space."""
    options = asdict(agent_options(config))
    found: dict[str, Any] = {"learning_rate": config.learning_rate}
    found[LOOKAHEAD] = rounded(1.0 / max(1.0 - config.gamma, 1e-9))
    found |= {f"options.{name}": value for name, value in options.items()}
    return {name: found[name] for name in space}


def placed(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """The run with the settings that were proposed."""
    values = {name: rounded(v) if isinstance(v, float) else v for name, v in values.items()}
    options = {name.removeprefix("options."): v for name, v in values.items() if name.startswith("options.")}
    given = {name: v for name, v in values.items() if name == "learning_rate"}
    if LOOKAHEAD in values:
        given["gamma"] = round(1.0 - 1.0 / values[LOOKAHEAD], 5)
    proposed = replace(config, **given, options={**config.options, **options})
    return replace(proposed, options=changes(agent_options(proposed)))

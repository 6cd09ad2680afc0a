"""Settings of the stable-baselines3 algorithms that a run may change, with our defaults.

Names are those of the algorithms' own parameters. The discount and the learning rate are the run's.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..options import check_ranges, make_options
from .agents import BOXES, draws_slates

if TYPE_CHECKING:
    from ..runs.config import RunConfig

POLICY = ("log_std_init", "lstm_hidden_size", "n_quantiles")  # settings of the policy, not of the algorithm
RANGES = (
    ("n_steps", 1, 10**6),
    ("gae_lambda", 0.0, 1.0),
    ("ent_coef", 0.0, 100.0),
    ("vf_coef", 0.0, 100.0),
    ("max_grad_norm", 1e-6, 1e6),
    ("log_std_init", -20.0, 2.0),
    ("batch_size", 2, 10**9),
    ("n_epochs", 1, 1000),
    ("clip_range", 1e-6, 10.0),
    ("target_kl", 1e-9, 1e6),
    ("lstm_hidden_size", 1, 4096),
    ("learning_starts", 0, 10**12),
    ("buffer_size", 1, 10**9),
    ("train_freq", 1, 10**6),
    ("gradient_steps", 1, 10**6),
    ("tau", 1e-9, 1.0),
    ("policy_delay", 1, 10**6),
    ("target_policy_noise", 0.0, 10.0),
    ("top_quantiles_to_drop_per_net", 0, 24),
    ("target_update_interval", 1, 10**12),
    ("exploration_fraction", 0.0, 1.0),
    ("exploration_final_eps", 0.0, 1.0),
    ("n_quantiles", 1, 1000),
    ("n_delta", 2, 10**4),
    ("n_top", 1, 10**4),
    ("users", 1, 10**6),
    ("delta_std", 1e-6, 1.0),
    ("learning_rate", 1e-8, 10.0),
)


@dataclass(frozen=True)
class SB3Options:
    """What all share: their ranges are checked."""

    def __post_init__(self) -> None:
        """Refuse what could not run."""
        check_ranges(self, *RANGES)


@dataclass(frozen=True)
class OnPolicyOptions(SB3Options):
    """Of the algorithms that learn from what they have just collected."""

    n_steps: int = 32
    """Slates for each user between two updates."""
    gae_lambda: float = 0.8
    """From 0, values of the next state, to 1, whole returns; below 1, for the minutes of single slates are noisy."""
    ent_coef: float = 0.0
    """Bonus for each nat of the policy's entropy."""
    vf_coef: float = 0.5
    """Weight of the loss of values."""
    max_grad_norm: float = 0.5
    """Longest gradient."""


@dataclass(frozen=True)
class StockPPOOptions(OnPolicyOptions):
    """Of PPO as stable-baselines3 has it."""

    batch_size: int = 2048
    """Slates in a gradient step."""
    n_epochs: int = 4
    """Passes over what was collected."""
    clip_range: float = 0.2
    """ε of the clipped surrogate."""
    target_kl: float | None = None
    """An update ends when the policy has moved by this much; by default never."""


@dataclass(frozen=True)
class PPOOptions(StockPPOOptions):
    """Of PPO."""

    log_std_init: float = -1.0
    """Logarithm of the actions' spread at first; for the actions weights and query."""


@dataclass(frozen=True)
class SlatePPOOptions(StockPPOOptions):
    """Of PPO with a policy of slates: its probabilities are products over items, and move as much faster."""

    clip_range: float = 0.4
    """ε of the clipped surrogate."""


@dataclass(frozen=True)
class RecurrentPPOOptions(PPOOptions):
    """Of RecurrentPPO."""

    lstm_hidden_size: int = 64
    """Width of the LSTM."""


@dataclass(frozen=True)
class A2COptions(OnPolicyOptions):
    """Of A2C."""

    n_steps: int = 8
    """Slates for each user between two updates."""
    gae_lambda: float = 1.0
    """From 0, values of the next state, to 1, whole returns."""
    log_std_init: float = -1.0
    """Logarithm of the actions' spread at first; for the actions weights and query."""


@dataclass(frozen=True)
class OffPolicyOptions(SB3Options):
    """Of the algorithms that learn from a buffer."""

    train_freq: int = 1
    """Slates for each user between two rounds of gradient steps."""
    gradient_steps: int = 4
    """Of a round; one for each slate would take a thousand times longer than the environment."""
    learning_starts: int | None = None
    """Random slates before learning; by default 20 for each user at a time."""
    buffer_size: int = 50_000
    """Latest slates that are learnt from."""
    batch_size: int = 512
    """Slates in a gradient step."""
    tau: float = 0.005
    """By how much the target network follows."""


@dataclass(frozen=True)
class SACOptions(OffPolicyOptions):
    """Of SAC."""

    ent_coef: float | None = None
    """Bonus for each nat of the policy's entropy; by default learned."""


@dataclass(frozen=True)
class TQCOptions(SACOptions):
    """Of TQC."""

    gradient_steps: int = 2
    """Of a round; its critics are the slowest."""
    top_quantiles_to_drop_per_net: int = 2
    """Of 25: the largest quantiles of each critic, left out against overestimation."""


@dataclass(frozen=True)
class TD3Options(OffPolicyOptions):
    """Of TD3."""

    policy_delay: int = 2
    """Updates of the critics for each of the policy."""
    target_policy_noise: float = 0.2
    """Standard deviation of the noise on the target's actions."""


@dataclass(frozen=True)
class DQNOptions(OffPolicyOptions):
    """Of DQN."""

    tau: float = 0.05
    """By how much the target network follows at each of its updates."""
    target_update_interval: int | None = None
    """Slates between two updates of the target network; by default one for each user at a time."""
    exploration_fraction: float = 0.5
    """Share of the run in which it explores less and less."""
    exploration_final_eps: float = 0.05
    """Share of actions that are drawn at random in the end."""


@dataclass(frozen=True)
class QRDQNOptions(DQNOptions):
    """Of QR-DQN."""

    n_quantiles: int = 50
    """Of the return's distribution."""


@dataclass(frozen=True)
class ARSOptions(SB3Options):
    """Of ARS, which has a learning rate of its own, not the run's."""

    n_delta: int = 8
    """Pairs of trials of a round, to one side and to the other."""
    n_top: int | None = None
    """Best pairs that lead on; by default all."""
    users: int = 32
    """Users whose lives each trial plays, all trials with the same luck."""
    delta_std: float = 0.1
    """Standard deviation of the trials' weights."""
    learning_rate: float = 0.15
    """How far a round moves, in standard deviations of the trials' values."""

    def __post_init__(self) -> None:
        """Refuse what could not run."""
        super().__post_init__()
        if self.n_top is not None and self.n_top > self.n_delta:
            raise ValueError(f"n_top = {self.n_top} is out of range; allowed: 1 to n_delta = {self.n_delta}")


SB3_OPTIONS: dict[str, type[SB3Options]] = {
    "ppo": PPOOptions,
    "a2c": A2COptions,
    "ppo-stock": StockPPOOptions,
    "recurrent-ppo": RecurrentPPOOptions,
    "sac": SACOptions,
    "tqc": TQCOptions,
    "td3": TD3Options,
    "ddpg": OffPolicyOptions,
    "dqn": DQNOptions,
    "qr-dqn": QRDQNOptions,
    "ars": ARSOptions,
}


def sb3_kind(agent: str, action: str) -> type[SB3Options]:
    """The options of an algorithm that takes an action."""
    return SlatePPOOptions if agent == "ppo" and draws_slates(agent, action) else SB3_OPTIONS[agent]


def sb3_settings(config: RunConfig) -> dict[str, Any]:
    """Keyword arguments of the algorithm of a run.

    Raises
    ------
    ValueError
        For options that it has not, or values that are not possible.
    """
    options = dataclasses.asdict(make_options(config.agent, sb3_kind(config.agent, config.action), config.options))
    if config.action not in BOXES:
        options.pop("log_std_init", None)
    if options.get("ent_coef", 0.0) is None:
        options["ent_coef"] = "auto"
    for name, each in (("learning_starts", 20), ("target_update_interval", 1)):
        if name in options and options[name] is None:
            options[name] = each * config.num_envs
    policy = {name: options.pop(name) for name in POLICY if name in options}
    common = {"gamma": config.gamma, "seed": config.seed, "learning_rate": config.learning_rate}
    return common | options | ({"policy_kwargs": policy} if policy else {})

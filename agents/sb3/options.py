"""Options of the stable-baselines3 algorithms that a run may change, with our defaults.

Names are those of the algorithms' own parameters. The discount and the learning rate are the run's.
"""

from dataclasses import dataclass

from ...envs.shared.options import Options, among, evenly, logarithmically, number
from ..options import ENTROPY


@dataclass(frozen=True)
class OnPolicyOptions(Options):
    """Options of the algorithms that learn from what they have just collected."""

    n_steps: int = number(32, 1, 10**6, search=among(4, 8, 16, 32, 64))
    """Slates for each user between two updates."""
    gae_lambda: float = number(0.8, 0.0, 1.0, search=evenly(0.5, 1.0))
    """λ of the advantages: from 0, values of the next state, to 1, whole returns; below 1, for the minutes of single
    slates are noisy."""
    ent_coef: float = number(0.0, 0.0, 100.0, search=ENTROPY)
    """Bonus for each nat of the policy's entropy."""
    vf_coef: float = number(0.5, 0.0, 100.0)
    """Weight of the loss of values."""
    max_grad_norm: float = number(0.5, 1e-6, 1e6)
    """Largest norm of a gradient."""


@dataclass(frozen=True)
class StockPPOOptions(OnPolicyOptions):
    """Options of PPO as stable-baselines3 has it."""

    batch_size: int = number(2048, 2, 10**9, search=among(256, 512, 1024, 2048))
    """Slates in a gradient step."""
    n_epochs: int = number(4, 1, 1000, search=evenly(1, 20))
    """Passes over the slates of a rollout."""
    clip_range: float = number(0.2, 1e-6, 10.0, search=among(0.1, 0.2, 0.3, 0.4))
    """ε of the clipped surrogate."""
    target_kl: float | None = number(None, 1e-9, 1e6)
    """KL divergence of the policy at which an update ends; by default none."""


@dataclass(frozen=True)
class PPOOptions(StockPPOOptions):
    """Options of PPO."""

    log_std_init: float = number(-1.0, -20.0, 2.0)
    """Logarithm of the actions' spread at first; for the actions weights and query."""


@dataclass(frozen=True)
class SlatePPOOptions(StockPPOOptions):
    """Options of PPO with a policy of slates: its probabilities are products over items, and move as much faster."""

    clip_range: float = 0.4
    """ε of the clipped surrogate."""


@dataclass(frozen=True)
class RecurrentPPOOptions(PPOOptions):
    """Options of RecurrentPPO."""

    lstm_hidden_size: int = number(64, 1, 4096)
    """Width of the LSTM."""


@dataclass(frozen=True)
class A2COptions(OnPolicyOptions):
    """Options of A2C."""

    n_steps: int = 8
    """Slates for each user between two updates."""
    gae_lambda: float = 1.0
    """λ of the advantages: from 0, values of the next state, to 1, whole returns."""
    log_std_init: float = number(-1.0, -20.0, 2.0)
    """Logarithm of the actions' spread at first; for the actions weights and query."""


@dataclass(frozen=True)
class OffPolicyOptions(Options):
    """Options of the algorithms that learn from a buffer."""

    train_freq: int = number(1, 1, 10**6)
    """Slates for each user between two rounds of gradient steps."""
    gradient_steps: int = number(4, 1, 10**6, search=among(1, 2, 4, 8))
    """Gradient steps of a round; one for each slate would take a thousand times longer than the environment."""
    learning_starts: int | None = number(None, 0, 10**12)
    """Random slates before learning; by default 20 for each user at a time."""
    buffer_size: int = number(50_000, 1, 10**9)
    """Latest slates that are learnt from."""
    batch_size: int = number(512, 2, 10**9, search=among(128, 256, 512, 1024))
    """Slates in a gradient step."""
    tau: float = number(0.005, 1e-9, 1.0, search=logarithmically(0.001, 0.1))
    """Share by which the target network follows."""


@dataclass(frozen=True)
class SACOptions(OffPolicyOptions):
    """Options of SAC."""

    ent_coef: float | None = number(None, 0.0, 100.0)
    """Bonus for each nat of the policy's entropy; by default learned."""


@dataclass(frozen=True)
class TQCOptions(SACOptions):
    """Options of TQC."""

    gradient_steps: int = 2
    """Gradient steps of a round; its critics are the slowest."""
    top_quantiles_to_drop_per_net: int = number(2, 0, 24)
    """Largest of the 25 quantiles of each critic that are left out, against overestimation."""


@dataclass(frozen=True)
class TD3Options(OffPolicyOptions):
    """Options of TD3."""

    policy_delay: int = number(2, 1, 10**6)
    """Updates of the critics for each of the policy."""
    target_policy_noise: float = number(0.2, 0.0, 10.0)
    """Standard deviation of the noise on the target's actions."""


@dataclass(frozen=True)
class DQNOptions(OffPolicyOptions):
    """Options of DQN."""

    tau: float = 0.05
    """Share by which the target network follows at each of its updates."""
    target_update_interval: int | None = number(None, 1, 10**12)
    """Slates between two updates of the target network; by default one for each user at a time."""
    exploration_fraction: float = number(0.5, 0.0, 1.0, search=evenly(0.1, 0.8))
    """Share of the run in which it explores less and less."""
    exploration_final_eps: float = number(0.05, 0.0, 1.0, search=logarithmically(0.01, 0.2))
    """Share of actions that are drawn at random in the end."""


@dataclass(frozen=True)
class QRDQNOptions(DQNOptions):
    """Options of QR-DQN."""

    n_quantiles: int = number(50, 1, 1000)
    """Quantiles of the return's distribution."""


@dataclass(frozen=True)
class ARSOptions(Options):
    """Options of ARS, which has a learning rate of its own, not the run's."""

    n_delta: int = number(8, 2, 10**4, search=among(4, 8, 16))
    """Pairs of trials of a round, to one side and to the other."""
    n_top: int | None = number(None, 1, 10**4)
    """Best pairs that lead on; by default all."""
    users: int = number(32, 1, 10**6, search=among(32, 64, 128))
    """Users whose lives each trial plays, all trials with the same luck."""
    delta_std: float = number(0.1, 1e-6, 1.0, search=logarithmically(0.02, 0.3))
    """Standard deviation of the trials' weights."""
    learning_rate: float = number(0.15, 1e-8, 10.0, search=logarithmically(0.02, 0.5))
    """Distance that a round moves, in standard deviations of the trials' values."""

    def __post_init__(self) -> None:
        """Refuse what could not run."""
        super().__post_init__()
        if self.n_top is not None and self.n_top > self.n_delta:
            raise ValueError(f"n_top = {self.n_top} is out of range; allowed: 1 to n_delta = {self.n_delta}")

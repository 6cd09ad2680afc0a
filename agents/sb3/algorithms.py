"""The algorithms by name, which action each takes, and how each sets out."""

from typing import Any

import torch
from sb3_contrib import QRDQN, TQC, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3

from ..registry import AGENTS
from .batched_ppo import BatchedPPO
from .entry import SB3Entry
from .options import (
    A2COptions,
    DQNOptions,
    OffPolicyOptions,
    PPOOptions,
    QRDQNOptions,
    RecurrentPPOOptions,
    SACOptions,
    SlatePPOOptions,
    StockPPOOptions,
    TD3Options,
    TQCOptions,
)

FIRST_WEIGHT = 0.5  # of a score at first: half-way to the largest, so that others can outweigh it


def prefer_score(model: Any, column: int | None) -> None:
    """Set out from the first fitted score alone, if there is one."""
    if column is not None:
        with torch.no_grad():
            model.policy.action_net.bias[column] = FIRST_WEIGHT


AGENTS.register(
    "ppo",
    SB3Entry(
        PPO,
        PPOOptions,
        title="PPO",
        about="proximal policy optimisation",
        actions=("weights", "query", "presets", "candidates"),
        slate_options=SlatePPOOptions,
        set_first_weights=prefer_score,
        batched=BatchedPPO,
    ),
)
AGENTS.register(
    "a2c",
    SB3Entry(
        A2C,
        A2COptions,
        title="A2C",
        about="advantage actor–critic",
        actions=("weights", "query", "presets", "candidates"),
        slate_options=A2COptions,
        set_first_weights=prefer_score,
    ),
)
AGENTS.register(
    "ppo-stock",
    SB3Entry(
        PPO,
        StockPPOOptions,
        title="PPO-STOCK",
        about="PPO with one softmax a slot, as stable-baselines3 has it, not a policy of slates",
        actions=("candidates",),
    ),
)
AGENTS.register(
    "recurrent-ppo",
    SB3Entry(
        RecurrentPPO,
        RecurrentPPOOptions,
        title="RECURRENT-PPO",
        about="PPO with an LSTM",
        actions=("weights", "query", "presets"),
        policy="LstmPolicy",
        set_first_weights=prefer_score,
    ),
)
AGENTS.register(
    "sac",
    SB3Entry(SAC, SACOptions, title="SAC", about="soft actor–critic", actions=("weights", "query")),
)
AGENTS.register(
    "tqc",
    SB3Entry(TQC, TQCOptions, title="TQC", about="truncated quantile critics", actions=("weights", "query")),
)
AGENTS.register(
    "td3",
    SB3Entry(
        TD3,
        TD3Options,
        title="TD3",
        about="twin delayed deterministic policy gradients",
        actions=("weights", "query"),
        needs_noise=True,
    ),
)
AGENTS.register(
    "ddpg",
    SB3Entry(
        DDPG,
        OffPolicyOptions,
        title="DDPG",
        about="deep deterministic policy gradients",
        actions=("weights", "query"),
        needs_noise=True,
    ),
)
AGENTS.register(
    "dqn",
    SB3Entry(DQN, DQNOptions, title="DQN", about="deep Q-network", actions=("presets",)),
)
AGENTS.register(
    "qr-dqn",
    SB3Entry(QRDQN, QRDQNOptions, title="QR-DQN", about="quantile regression DQN", actions=("presets",)),
)

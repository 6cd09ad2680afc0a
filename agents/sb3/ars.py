"""Augmented random search over whole lives: the algorithm of sb3-contrib, with trials on the same users and luck."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from sb3_contrib import ARS
from sb3_contrib.ars.policies import ARSLinearPolicy
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from ..playing.luck import LUCK_SPREAD
from ..playing.trials import LifeTrials
from ..registry import AGENTS
from .algorithms import FIRST_WEIGHT
from .entry import SB3Entry
from .options import ARSOptions


class ConstantFeature(BaseFeaturesExtractor):
    """A 1 whatever is seen."""

    def __init__(self, observation_space: gym.Space[Any]) -> None:
        super().__init__(observation_space, features_dim=1)

    def forward(self, observations: Tensor) -> Tensor:
        """(B, 1) ones."""
        return torch.ones(len(observations), 1, device=observations.device)


class ConstantPolicy(ARSLinearPolicy):
    """The same action in all states, such as one weighting of the scoring features: as many numbers as it has parts."""

    action_net: nn.Sequential

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """What the linear layer reads: a bias is all that is left of it."""
        return ConstantFeature(self.observation_space)


class LivesARS(ARS):
    """Augmented random search (Mania et al., 2018) whose trials play the same users for a month with the same luck.

    sb3-contrib's own plays each trial in turn, with luck of its own, which drowns what differs between them. Here all
    are played side by side, and the environment given is only asked for its world.

    Parameters
    ----------
    policy, env, settings
        As of `sb3_contrib.ARS`; the policy is a `ConstantPolicy`.
    gamma
        As of `longplay.agents.playing.trials.LifeTrials`.
    users
        Whom each trial plays.
    """

    weights: Any  # of which sb3-contrib only says that there are none at first

    def __init__(self, policy: Any, env: Any, *, gamma: float = 1.0, users: int = 64, **settings: Any) -> None:
        self.gamma, self.users = gamma, users
        self._trials: LifeTrials | None = None
        super().__init__(policy, env, **settings)

    def set_parameters(self, *given: Any, **how: Any) -> None:
        """Also of the mean of the next trials, which is the policy."""
        super().set_parameters(*given, **how)
        self.weights = parameters_to_vector(self.policy.parameters()).detach()

    def _do_one_update(self, callback: BaseCallback, async_eval: Any) -> None:
        """A round whose trials follow from the seed and its number, so that a resumed search is the same one."""
        torch.manual_seed(int(self.seed or 0) * LUCK_SPREAD + self._n_updates)
        super()._do_one_update(callback, async_eval)

    def evaluate_candidates(self, candidate_weights: Tensor, callback: BaseCallback, async_eval: Any) -> Tensor:
        """Values (P,) of trials (P, A)."""
        callback.on_rollout_start()
        mapped: Any = self.env.env  # type: ignore[union-attr]
        if self._trials is None:
            self._trials = LifeTrials(mapped.env, self.pop_size, self.users, self.gamma, int(self.seed or 0))
        actions = np.repeat(candidate_weights.cpu().numpy(), self.users, axis=0)
        number = self._n_updates
        values, shown = self._trials.play(number, lambda seen, which: mapped.map(seen, actions[which]))
        self.num_timesteps += shown
        callback.on_rollout_end()
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)


def set_one_weight(model: LivesARS, column: int | None) -> None:
    """Set out from the first fitted score alone, or from the first feature where there is none."""
    weights = torch.zeros(model.action_space.shape or ())
    weights[column or 0] = FIRST_WEIGHT
    model.set_parameters({"policy": {"action_net.0.weight": weights[:, None]}})


AGENTS.register(
    "ars",
    SB3Entry(
        LivesARS,
        ARSOptions,
        title="ARS",
        about="augmented random search over whole lives, for one weighting of scores",
        actions=("weights",),
        policy=ConstantPolicy,
        set_first_weights=set_one_weight,
        any_discount=False,
        takes_learning_rate=False,
    ),
)

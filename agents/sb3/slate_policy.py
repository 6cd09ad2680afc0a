"""A stable-baselines3 policy of slates: a score for each candidate, and a Plackett–Luce distribution over them.

stable-baselines3 itself has one softmax over the places of candidates for each slot, which may show an item twice and
has to learn every place and slot anew. Here the items are told apart by what they are.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from ...envs.engine import Observation
from ..slates.inputs import Inputs, SlateInputs
from ..slates.networks import HISTORY_LAST, SlateNetwork
from ..slates.plackett_luce import draw, evaluate, take_best

SAMPLE_STEPS = 16  # of random slates, from which the scale of the inputs is taken


class SlateStates:
    """What a `SlatePolicy` is given: the state, and features and numbers of the candidates.

    Parameters
    ----------
    inputs
        Observations to these three.
    candidates
        M; where an observation has fewer, or an item twice, the rest are none.
    """

    def __init__(self, inputs: SlateInputs, candidates: int) -> None:
        self.inputs, self.candidates = inputs, candidates
        shapes = {"state": (inputs.state_width,), "items": (candidates, inputs.item_width), "ids": (candidates,)}
        self.space = gym.spaces.Dict(
            {name: gym.spaces.Box(-np.inf, np.inf, shape, np.float32) for name, shape in shapes.items()}
        )

    def __call__(self, observation: Observation) -> dict[str, NDArray[np.float32]]:
        """State (B, S), features (B, M, F) and item numbers (B, M)."""
        inputs = self.inputs(observation)
        missing = ((0, 0), (0, self.candidates - inputs.ids.shape[1]))
        ids, items = np.pad(inputs.ids, missing), np.pad(inputs.items, (*missing, (0, 0)))
        again = _mark_repeats(ids)
        ids[again], items[again] = 0, 0.0
        return {"state": inputs.state, "items": items, "ids": ids.astype(np.float32)}

    @property
    def identity(self) -> str:
        """Of the encoder and the features."""
        return self.inputs.identity

    @property
    def policy_settings(self) -> dict[str, Any]:
        """Of a `SlatePolicy`."""
        return {"vectors": self.inputs.scorer.vectors, "repeated": self.inputs.item_features.index("repeated")}


def _mark_repeats(ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(B, M) whether the same item is a candidate in an earlier place already."""
    again = np.zeros(ids.shape, bool)
    ordered = np.sort(ids, axis=1)
    for b in np.flatnonzero(((np.diff(ordered, axis=1) == 0) & (ordered[:, 1:] > 0)).any(axis=1)):
        _, first = np.unique(ids[b], return_index=True)
        again[b] = ids[b] > 0
        again[b, first] = False
    return again


class SlateDistribution(Distribution):
    """Plackett–Luce over candidates, as stable-baselines3 asks for distributions."""

    def __init__(self, slots: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.slots = slots
        self.scores = torch.zeros(0, slots)

    def proba_distribution_net(self, *args: Any, **kwargs: Any) -> nn.Module:
        """No layer: the scores come from the `SlateNetwork`."""
        return nn.Identity()

    def proba_distribution(self, scores: Tensor) -> "SlateDistribution":
        """Set the scores (B, M)."""
        self.scores = scores
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        """Exact log-probability (B,) of slates (B, K)."""
        return evaluate(self.scores, actions.long())[0]

    def entropy(self) -> Tensor | None:
        """None, there being no closed form; `evaluate` has an estimate along slates."""
        return None

    def sample(self) -> Tensor:
        """Slates (B, K) drawn at random."""
        return draw(self.scores, self.slots)

    def mode(self) -> Tensor:
        """The most likely slates (B, K)."""
        return take_best(self.scores, self.slots)

    def actions_from_params(self, scores: Tensor, deterministic: bool = False) -> Tensor:
        """Slates (B, K) for scores (B, M)."""
        return self.proba_distribution(scores).get_actions(deterministic)

    def log_prob_from_params(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Slates (B, K) drawn at random, and their log-probabilities (B,)."""
        slates = self.actions_from_params(scores)
        return slates, self.log_prob(slates)


class SlatePolicy(ActorCriticPolicy):
    """Actor and critic in one `SlateNetwork`; items of the history come last, and no candidate never.

    Parameters
    ----------
    vectors
        (N + 1, E) text vectors of the items by number.
    repeated
        Column of the items' features that says that an item is of the history.
    hidden, match
        Of the `SlateNetwork`.
    settings
        Of `ActorCriticPolicy`.
    """

    def __init__(
        self,
        *args: Any,
        vectors: NDArray[np.float32],
        repeated: int,
        hidden: int = 64,
        match: int = 16,
        **settings: Any,
    ) -> None:
        self.vectors, self.repeated, self.hidden, self.match = vectors, repeated, hidden, match
        super().__init__(*args, **settings)

    def _build(self, lr_schedule: Any) -> None:
        """Create the network in place of stable-baselines3's own."""
        parts: Any = self.observation_space
        (state,), (_, item) = parts["state"].shape, parts["items"].shape
        self.network = SlateNetwork(state, item, self.vectors, hidden=self.hidden, match=self.match)
        self.action_dist = SlateDistribution(len(self.action_space.nvec))  # type: ignore[attr-defined]
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def calibrate(self, states: Mapping[str, NDArray[np.float32]]) -> None:
        """Take the scale of the inputs from a sample of them (see `SlateStates`); it is saved with the weights."""
        self.network.calibrate(Inputs(states["state"], states["items"], states["ids"].astype(np.int64)))

    def _judge(self, obs: Any) -> tuple[SlateDistribution, Tensor]:
        scores, values = self.network(obs["state"], obs["items"], obs["ids"].long())
        of_history = obs["items"][:, :, self.repeated] > 0
        distribution: Any = self.action_dist
        return distribution.proba_distribution(scores[0] - HISTORY_LAST * of_history), values[0][:, None]

    def forward(self, obs: Any, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Slates (B, K), values (B, 1) and log-probabilities (B,)."""
        distribution, values = self._judge(obs)
        slates = distribution.get_actions(deterministic)
        return slates, values, distribution.log_prob(slates)

    def evaluate_actions(self, obs: Any, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values (B, 1), log-probabilities (B,) and the entropy along the slates (B,); see `evaluate`."""
        distribution, values = self._judge(obs)
        return values, *evaluate(distribution.scores, actions.long())

    def get_distribution(self, obs: Any) -> SlateDistribution:
        """The distribution of slates."""
        return self._judge(obs)[0]

    def predict_values(self, obs: Any) -> Tensor:
        """Values (B, 1)."""
        return self._judge(obs)[1]


def calibrate(policy: SlatePolicy, env: Any, seed: int) -> None:
    """Take the scale of a policy's inputs from random slates in a `SlateVecEnv`, which must be seeded again."""
    rng = np.random.default_rng(seed)
    env.seed(seed)
    sample = [env.reset()]
    for _ in range(SAMPLE_STEPS):
        slates = rng.integers(0, env.action_space.nvec, (env.num_envs, *env.action_space.shape))
        sample.append(env.step(slates)[0])
    policy.calibrate({name: np.concatenate([states[name] for states in sample]) for name in sample[0]})

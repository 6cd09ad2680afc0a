"""An algorithm of stable-baselines3 or sb3-contrib by name: what it is given, how it is built, trained and loaded."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise

from ...encoders.device import find_device
from ...encoders.state import StateEncoder
from ...envs.candidates.wrappers import MappedAction
from ...envs.shared.options import Options
from ..playing.training_users import REWARD_SCALE
from ..registry import AGENTS, AgentEntry
from .agents import SB3Agent, check_encoder, load_policy, make_agent
from .extractor import OpenState
from .slate_policy import SlatePolicy, SlateStates, calibrate
from .states import States
from .training import SB3Trainer
from .vec_env import SideBySide, SlateVecEnv

BOXES = ("weights", "query")
POLICY_OPTIONS = ("log_std_init", "lstm_hidden_size", "n_quantiles")  # of the policy, not of the algorithm
EXPLORATION = 0.2  # standard deviation of the noise on actions in [−1, 1]


@dataclass(frozen=True)
class SB3Entry(AgentEntry):
    """An algorithm by name.

    Attributes
    ----------
    kind
        Its class.
    options
        Its options.
    title, about, actions, any_discount, takes_learning_rate
        As of `AgentEntry`.
    slate_options
        Options where its policy for the action ``"candidates"`` is a `SlatePolicy`; None if it never is.
    policy
        Its policy's class; or the end of a name of stable-baselines3's, which begins with ``Mlp`` where the policy is
        given vectors and with ``MultiInput`` where it is given dictionaries.
    needs_noise
        Whether the policy is deterministic, so that it explores by noise on its actions.
    set_first_weights
        Given the model and the column of the first fitted score (None without scores), sets what a policy with the
        action ``"weights"`` shows at first, where that is not left to chance.
    batched
        The same algorithm written for batches of users (`SideBySide`), where its policy is given vectors and acts in a
        box; None if there is none.
    """

    kind: type[BaseAlgorithm]
    options: type[Options]
    title: str
    about: str
    actions: tuple[str, ...]
    slate_options: type[Options] | None = None
    policy: Any = "Policy"
    needs_noise: bool = False
    set_first_weights: Callable[[Any, int | None], None] | None = None
    batched: type[BaseAlgorithm] | None = None
    any_discount: bool = True
    takes_learning_rate: bool = True

    def check_action(self, agent: str, action: str) -> None:
        """Say which others take the action, where this one does not."""
        if action in self.actions:
            return
        takers = [name for name, card in AGENTS.cards.items() if action in card.words.get("actions", ())]
        instead = f"; {action!r} is for {', '.join(map(repr, takers))}" if takers else ""
        taken = ", ".join(map(repr, self.actions))
        raise ValueError(f"{agent!r} does not take the action {action!r}; it takes {taken}{instead}")

    def draws_slates(self, action: str) -> bool:
        """Whether its policy is a `SlatePolicy` where it takes an action."""
        return self.slate_options is not None and action == "candidates"

    def choose_options(self, action: str) -> type[Options]:
        """Others where it draws slates."""
        return self.slate_options if self.slate_options and self.draws_slates(action) else self.options

    def reads_scores(self, action: str) -> bool:
        """With features of candidates, or where its actions weigh them."""
        return action in ("weights", "presets") or self.draws_slates(action)

    def can_fine_tune(self, action: str) -> bool:
        """With stable-baselines3's own policies."""
        return isinstance(self.policy, str) and not self.draws_slates(action)

    def name_method(self, action: str) -> str:
        """Algorithm and action."""
        return f"{self.title} {action}"

    def algorithm_arguments(self, config: Any) -> dict[str, Any]:
        """Keyword arguments of the algorithm of a run."""
        options = dataclasses.asdict(config.agent_options)
        if config.action not in BOXES:
            options.pop("log_std_init", None)
        if options.get("ent_coef", 0.0) is None:
            options["ent_coef"] = "auto"
        for name, each in (("learning_starts", 20), ("target_update_interval", 1)):
            if name in options and options[name] is None:
                options[name] = each * config.num_envs
        policy = {name: options.pop(name) for name in POLICY_OPTIONS if name in options}
        common = {"gamma": config.gamma, "seed": config.seed, "learning_rate": config.learning_rate}
        return common | options | ({"policy_kwargs": policy} if policy else {})

    def make_states(self, config: Any, reading: Any) -> States:
        """What the policy of a run is given."""
        if self.draws_slates(config.action):
            return SlateStates(reading.inputs, reading.candidates)
        return OpenState(reading.state_encoder, reading.history) if config.fine_tune else reading.state_encoder

    def choose_policy(self, states: States, arguments: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The policy that is trained on states, and the algorithm's arguments with what the policy needs."""
        if not isinstance(self.policy, str):
            return self.policy, dict(arguments)
        if isinstance(states, StateEncoder):
            return f"Mlp{self.policy}", dict(arguments)
        policy_arguments = {**arguments.get("policy_kwargs", {}), **states.policy_settings}
        name = SlatePolicy if isinstance(states, SlateStates) else f"MultiInput{self.policy}"
        return name, {**arguments, "policy_kwargs": policy_arguments}

    def is_batched(self, config: Any, states: States) -> bool:
        """Whether a run is trained by the algorithm that is written for batches."""
        vectors = isinstance(states, StateEncoder) and config.action in BOXES and config.num_envs > 1
        return self.batched is not None and config.arithmetic >= 2 and vectors and find_device() == "cpu"

    def make_env(self, config: Any, reading: Any, states: States) -> SlateVecEnv | SideBySide:
        """The training users of a run, as stable-baselines3 wants them; in two halves for what is batched."""

        def make(users: int) -> SlateVecEnv:
            return SlateVecEnv(MappedAction(reading.make_training_env(users), reading.action_map), states, REWARD_SCALE)

        if not self.is_batched(config, states):
            return make(config.num_envs)
        return SideBySide([make(config.num_envs - config.num_envs // 2), make(config.num_envs // 2)])

    def make_trainer(self, config: Any, reading: Any) -> SB3Trainer:
        """The algorithm in front of its training users."""
        states = self.make_states(config, reading)
        env = self.make_env(config, reading, states)
        noise = {}
        if self.needs_noise:
            size = env.action_space.shape or (1,)
            noise["action_noise"] = NormalActionNoise(np.zeros(size), np.full(size, EXPLORATION))
        policy, arguments = self.choose_policy(states, config.algorithm_arguments | noise)
        build: Any = self.batched if self.is_batched(config, states) else self.kind
        model = build(policy, env, device=find_device(), **arguments)
        agent = make_agent(model, states, reading.action_map, config.label)
        first = partial(self.set_first_slates, model, env, config, reading)
        return SB3Trainer(agent, env, config.seed, config.state, first)

    def set_first_slates(self, model: Any, env: Any, config: Any, reading: Any) -> None:
        """Set what the policy shows at first, where that is not left to chance."""
        if isinstance(model.policy, SlatePolicy):
            calibrate(model.policy, env, config.seed)
        elif config.action == "weights" and self.set_first_weights is not None:
            # The first of the scores, if there are any: there is no need to find out again what was fitted.
            self.set_first_weights(model, len(reading.scorer.own) if config.scores else None)

    def load(self, folder: Path, config: Any, reading: Any) -> SB3Agent:
        """Build the algorithm without an environment, and read its policy's weights."""
        states, action_map = self.make_states(config, reading), reading.action_map
        policy, arguments = self.choose_policy(states, config.algorithm_arguments)
        what = f"{config.agent!r} with the action {config.action!r}"
        model = load_policy(folder, self.kind, policy, states, action_map.space, what, **arguments)
        about = folder / "policy.json"
        check_encoder(about, json.loads(about.read_text(encoding="utf-8")).get("encoder"), states, config.state)
        return make_agent(model, states, action_map, config.label)

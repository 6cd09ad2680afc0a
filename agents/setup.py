"""A run's configuration, and the pieces it is made of: world, vectors, state encoder, environment, action map."""

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from ..encoders.base import ENCODER_FILE, Items
from ..encoders.registry import ENCODERS, load_encoder
from ..encoders.state import StateEncoder
from ..encoders.text import TextEncoder
from ..envs.engine import CONTEXT
from ..envs.make import make_vector_env, make_world
from ..envs.named import ENVIRONMENTS
from ..envs.params import MOST_STRENGTH
from ..envs.retriever import candidate_count
from ..envs.world import World
from ..envs.wrappers import ActionMap, make_action_map
from .extractor import OpenState
from .names import one_of
from .sb3 import SB3Agent, States, algorithm_named, check_encoder, load_policy

STATES = ("pooled", "mean", "text")  # the encoders that need no fit; any other is named by its folder


@dataclass(frozen=True)
class Setting:
    """What is recommended to whom: the part of a configuration that two runs must share to be compared."""

    env: str = "longplay/Video-v0"
    """Environment id."""
    catalog: str | None = None
    """A table of items (CSV, Parquet or JSONL with id and text); by default the films."""
    scenario: str | None = None
    """A scenario TOML file; by default the environment's own."""
    world_seed: int = 0
    """Fixes who and what exists."""
    strength: float = 1.0
    """The dial: 0 decouples the present from the future, 1 is the scenario, above 1 is stress."""
    bert: str | None = None
    """A BERT by folder or hub name; by default all-MiniLM-L6-v2 from the installed package."""

    def __post_init__(self) -> None:
        """Refuse unknown names before anything slow happens."""
        one_of("env", self.env, tuple(ENVIRONMENTS))
        if not 0 <= self.strength <= MOST_STRENGTH:
            raise ValueError(f"strength = {self.strength!r} is out of range; allowed: 0 to {MOST_STRENGTH:g}")

    @cached_property
    def world(self) -> World:
        """Items and people."""
        base = ENVIRONMENTS[self.env].scenario
        return make_world(self.scenario or base, self.catalog, self.world_seed, base, self.strength)

    @cached_property
    def encoder(self) -> TextEncoder:
        """The text encoder."""
        return TextEncoder(self.bert)

    @cached_property
    def item_vectors(self) -> NDArray[np.float32]:
        """(N, E) vectors of the catalogue's texts, from the cache on disk where it has them."""
        return self.encoder.encode(self.world.catalog.texts)

    def vector_env(self, num_envs: int, action: str, **options: Any) -> Any:
        """A vector environment with candidates that pays minutes, the metric of comparisons, in every scenario."""
        return make_vector_env(
            num_envs,
            reward="minutes",
            scenario=self.world.scenario,
            catalog=self.world.catalog,
            world_seed=self.world_seed,
            action=action,
            candidates=True,
            item_vectors=self.item_vectors,
            **options,
        )

    def action_map(self, action: str) -> ActionMap:
        """The map from a policy's actions to slates."""
        return make_action_map(action, self.world, candidate_count(self.world), self.item_vectors)

    @cached_property
    def items(self) -> Items:
        """What encoders know of the items."""
        catalog = self.world.catalog
        return Items(catalog.texts, self.item_vectors, catalog.minutes.astype(np.float32))

    def state_encoder(self, state: str) -> StateEncoder:
        """Observations to states, by the name of an encoder that needs no fit, or the folder of a fitted one."""
        encoder = ENCODERS[state].make(self.items) if state in STATES else load_encoder(state, self.items)
        return StateEncoder(encoder, context_width=len(CONTEXT), profile_width=self.world.scenario.shape.topics)

    def states(self, state: str, fine_tune: bool = False) -> States:
        """What a policy is given: states, or what its own copy of the encoder's network makes states of."""
        states = self.state_encoder(state)
        return OpenState(states, self.world.scenario.shape.history) if fine_tune else states


@dataclass(frozen=True)
class RunConfig:
    """One training run of a stable-baselines3 algorithm."""

    setting: Setting = dataclasses.field(default_factory=Setting)
    """What is recommended to whom."""
    agent: str = "ppo"
    """ppo, a2c, sac, td3 or ddpg."""
    action: str = "weights"
    """weights, query or candidates."""
    state: str = "pooled"
    """pooled or mean (text vectors of the history), text (the history's text through BERT), or the folder of an encoder
    that scripts/encode.py fitted."""
    fine_tune: bool = False
    """Train the encoder's network along with the policy; for gru, lstm, transformer and attention."""
    gamma: float = 0.95
    """Discount per slate; 0 learns what pays now."""
    seed: int = 0
    """Seeds the learner and the luck of the training users."""
    steps: int = 300_000
    """Slates to learn from."""
    num_envs: int = 256
    """Users at a time."""
    learning_rate: float = 1e-3
    """Of the optimiser."""
    eval_users: int = 200
    """Validation users that the policy is evaluated on during training."""
    evals: int = 8
    """Evaluations during training."""

    def __post_init__(self) -> None:
        """Refuse what could not run."""
        algorithm_named(self.agent, self.action)
        if not (Path(self.state) / ENCODER_FILE).is_file():
            one_of("state", self.state, (*STATES, "a folder with a fitted encoder"))
        for name, low, high in (
            ("gamma", 0.0, 1.0),
            ("seed", 0, 2**31 - 1),
            ("steps", 1, 10**12),
            ("num_envs", 1, 10**6),
            ("learning_rate", 1e-8, 1.0),
            ("eval_users", 1, 10**6),
            ("evals", 1, 10**6),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} = {value!r} is out of range; allowed: {low} to {high}")

    @property
    def label(self) -> str:
        """Name of the method in tables: what two seeds of it share."""
        state = "" if self.state == "pooled" else f" {Path(self.state).name}"
        return (
            f"{self.agent.upper()} {self.action} γ={self.gamma:g}{state}{' fine-tuned' if self.fine_tune else ''}"
        )

    def to_json(self) -> str:
        """As text, for `from_json`."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, path: Path) -> "RunConfig":
        """Read a run's configuration."""
        if not path.is_file():
            raise ValueError(f"{path} does not exist; name a folder that scripts/train.py wrote")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{**content, "setting": Setting(**content["setting"])})
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a run's configuration: {error}; train again") from error

    @property
    def settings(self) -> dict[str, Any]:
        """Keyword arguments of the algorithm."""
        common: dict[str, Any] = {"gamma": self.gamma, "seed": self.seed, "learning_rate": self.learning_rate}
        if self.agent == "ppo":
            # Short rollouts, so that there are many updates; 0.8 because the minutes of single slates are noisy.
            common |= {"n_steps": 16, "batch_size": 1024, "n_epochs": 10, "gae_lambda": 0.8}
        elif self.agent == "a2c":
            common |= {"n_steps": 8}
        else:
            # One gradient step for each slate of the batch would take a thousand times longer than the environment.
            common |= {"train_freq": 1, "gradient_steps": 4, "learning_starts": 20 * self.num_envs}
            common |= {"buffer_size": 50_000, "batch_size": 512}
        if self.agent in ("ppo", "a2c") and self.action != "candidates":
            common["policy_kwargs"] = {"log_std_init": -1.0}
        return common


def load_agent(folder: Path, config: RunConfig, setting: Setting) -> SB3Agent:
    """The policy that a run kept: the best on the validation users."""
    states, action_map = setting.states(config.state, config.fine_tune), setting.action_map(config.action)
    model = load_policy(folder, config.agent, config.action, states, action_map.space, **config.settings)
    about = folder / "policy.json"
    check_encoder(about, json.loads(about.read_text(encoding="utf-8")).get("encoder"), states, config.state)
    return SB3Agent(model, states, action_map, name=config.label)


def training_env(config: RunConfig) -> Any:
    """The vector environment that a run learns from."""
    return config.setting.vector_env(
        config.num_envs, config.action, split="train", autoreset_mode=AutoresetMode.SAME_STEP
    )

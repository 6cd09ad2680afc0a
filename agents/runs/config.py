"""A run's configuration, and the pieces it is made of: world, vectors, state encoder, environment, action map."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from tyro.conf import Suppress

from ...encoders.base import ENCODER_FILE, Items
from ...encoders.registry import ENCODERS, load_encoder
from ...encoders.state import StateEncoder
from ...encoders.text.encoder import TextEncoder
from ...envs.candidates.retriever import candidate_count
from ...envs.candidates.scoring import Scorer
from ...envs.candidates.wrappers import ActionMap, MappedAction, make_action_map
from ...envs.make import make_vector_env, make_world
from ...envs.named.registry import ENVIRONMENTS
from ...envs.shared.names import one_of
from ...envs.users.params import MOST_STRENGTH
from ...envs.users.world import World
from ..base import Agent
from ..learners.training import OWN, load_own, options_of
from ..sb3.agents import ALGORITHMS, States, agent_of, algorithm_named, check_encoder, draws_slates, load_policy
from ..sb3.extractor import OpenState
from ..sb3.options import sb3_settings
from ..sb3.slate_policy import SlateStates
from ..slates.inputs import SlateInputs, UserStates
from .scores import check_scores, load_scores

STATES = ("pooled", "mean", "text")  # the encoders that need no fit; any other is named by its folder


@dataclass(frozen=True)
class Setting:
    """What is recommended to whom: the part of a configuration that two runs must share to be compared."""

    env: str = "longplay/Video-v0"
    """Environment id."""
    catalog: str | None = None
    """A table of items (CSV, Parquet or JSONL with id and text); by default the environment's own."""
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

    def action_map(self, action: str, scores: Sequence[str] = ()) -> ActionMap:
        """The map from a policy's actions to slates; `scores` as of `scorer_with`."""
        return make_action_map(action, self.scorer_with(scores), candidate_count(self.world))

    @cached_property
    def scorer(self) -> Scorer:
        """The scoring features of candidates."""
        return Scorer(self.world, self.item_vectors)

    @cached_property
    def items(self) -> Items:
        """What encoders know of the items."""
        catalog = self.world.catalog
        return Items(catalog.texts, self.item_vectors, catalog.minutes.astype(np.float32))

    def scorer_with(self, scores: Sequence[str]) -> Scorer:
        """The features of candidates, and those that fitted models add; see `longplay.agents.runs.scores`."""
        if not scores:
            return self.scorer
        made: dict[tuple[str, ...], Scorer] = self.__dict__.setdefault("_scorers", {})
        key = tuple(scores)
        if key not in made:
            made[key] = Scorer(self.world, self.item_vectors, load_scores(scores, self))
        return made[key]

    def state_encoder(self, state: str, scores: Sequence[str] = ()) -> StateEncoder:
        """Observations to states, by the name of an encoder that needs no fit, or the folder of a fitted one.

        `scores`, as of `scorer_with`, are what a policy reads beside them; they are part of the identity.
        """
        encoder = ENCODERS[state].make(self.items) if state in STATES else load_encoder(state, self.items)
        return UserStates(encoder, self.scorer_with(scores))

    def states(self, state: str, fine_tune: bool = False, scores: Sequence[str] = ()) -> StateEncoder | OpenState:
        """What a policy is given: states, or what its copy of the encoder's network makes states of."""
        states = self.state_encoder(state, scores)
        return OpenState(states, self.world.scenario.shape.history) if fine_tune else states

    def inputs(self, state: str, scores: Sequence[str] = ()) -> SlateInputs:
        """What slate networks read; `state` as of `state_encoder`, `scores` as of `scorer_with`."""
        return SlateInputs(self.scorer_with(scores), self.state_encoder(state, scores))


@dataclass(frozen=True)
class RunConfig:
    """One training run."""

    setting: Setting = dataclasses.field(default_factory=Setting)
    """What is recommended to whom."""
    agent: str = "ppo"
    """Of stable-baselines3 ppo, a2c, recurrent-ppo, sac, tqc, td3, ddpg, dqn, qr-dqn, ars, or ppo-stock (PPO without
    the policy of slates); or one of our own, such as slateq or pl-ppo."""
    action: str = ""
    """weights, query, presets or candidates; by default weights, or presets where the agent takes only those. Our own
    agents choose slates of items."""
    state: str = "pooled"
    """pooled or mean (text vectors of the history), text (the history's text through BERT), or the folder of an encoder
    that scripts/encode.py fitted."""
    scores: tuple[str, ...] = ()
    """Folders of fitted encoders, of rules saved with trees or an encoder, and of runs of slateq, whose scores are
    further features of candidates. With the action weights, PPO, A2C, RecurrentPPO and ARS set out from the first of
    them alone. Not for agents that do not see features: ppo-stock, pl-ppo-catalog, and any with the action query."""
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
    """Of the optimiser of a stable-baselines3 agent; ars and our own have it among their options."""
    eval_users: int = 200
    """Validation users that the policy is evaluated on during training."""
    evals: int = 8
    """Evaluations during training."""
    options: Annotated[Mapping[str, Any], Suppress] = dataclasses.field(default_factory=dict)
    """The agent's own settings that differ from its defaults."""

    def __post_init__(self) -> None:
        """Refuse what could not run."""
        one_of("agent", self.agent, (*ALGORITHMS, *OWN))
        object.__setattr__(self, "scores", tuple(self.scores))
        if not self.action:
            object.__setattr__(self, "action", "items" if self.agent in OWN else ALGORITHMS[self.agent][1][0])
        if self.agent in OWN:
            options = options_of(self.agent, self.options)
            if getattr(options, "later", "") == "search" and options.search_after > self.steps:
                raise ValueError(
                    f"search_after = {options.search_after} is out of range; allowed: 0 to steps = {self.steps}, the "
                    "slates that a run learns from before it searches"
                )
            if self.action != "items" or self.fine_tune:
                raise ValueError(f"{self.agent!r} chooses slates of items; leave out --action and --fine-tune")
        else:
            algorithm_named(self.agent, self.action)
            sb3_settings(self)
        check_scores(self.scores)
        if self.scores and not self.reads_scores:
            raise ValueError(
                f"scores = {self.scores} would change nothing: {self.agent!r} with the action {self.action!r} sees no "
                "features of candidates; leave out --scores"
            )
        if self.fine_tune and (self.agent == "ars" or draws_slates(self.agent, self.action)):
            raise ValueError(
                f"fine_tune = True is not possible for {self.agent!r} with the action {self.action!r}; take another "
                "action or agent, such as 'ppo-stock'"
            )
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
    def reads_scores(self) -> bool:
        """Whether scores of candidates reach the agent, or rank what it chooses."""
        if self.agent in OWN:
            return self.agent != "pl-ppo-catalog"
        return self.action in ("weights", "presets") or draws_slates(self.agent, self.action)

    @property
    def label(self) -> str:
        """Name of the method in tables: what two seeds of it share."""
        state = "" if self.state == "pooled" else f" {Path(self.state).name}"
        name = OWN[self.agent].title if self.agent in OWN else f"{self.agent.upper()} {self.action}"
        more = "".join(f" +{Path(score).name}" for score in self.scores)
        return f"{name} γ={self.gamma:g}{state}{' fine-tuned' if self.fine_tune else ''}{more}"

    def twin(self) -> "RunConfig":
        """The same run, which learns what pays now."""
        return dataclasses.replace(self, gamma=0.0)

    def is_twin_of(self, other: "RunConfig") -> bool:
        """Whether it learns what pays now, and is otherwise the other run, whatever their seeds."""
        return self.gamma == 0 and self == dataclasses.replace(other, gamma=0.0, seed=self.seed)

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
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a run's configuration: {error}; train again") from error

    @property
    def settings(self) -> dict[str, Any]:
        """Keyword arguments of the algorithm; see `longplay.agents.sb3.options`."""
        return sb3_settings(self)


def states_of(config: RunConfig, setting: Setting) -> States:
    """What the policy of a run is given in a setting."""
    if draws_slates(config.agent, config.action):
        return SlateStates(setting.inputs(config.state, config.scores), candidate_count(setting.world))
    return setting.states(config.state, config.fine_tune, config.scores)


def load_agent(folder: Path, config: RunConfig, setting: Setting) -> Agent:
    """The policy that a run kept: the best on the validation users."""
    if config.agent in OWN:
        return load_own(folder, config, setting)
    states, action_map = states_of(config, setting), setting.action_map(config.action, config.scores)
    model = load_policy(folder, config.agent, config.action, states, action_map.space, **config.settings)
    about = folder / "policy.json"
    check_encoder(about, json.loads(about.read_text(encoding="utf-8")).get("encoder"), states, config.state)
    return agent_of(model, states, action_map, config.label)


def training_env(config: RunConfig) -> Any:
    """The vector environment that a run learns from."""
    setting = config.setting
    env = setting.vector_env(config.num_envs, "items", split="train", autoreset_mode=AutoresetMode.SAME_STEP)
    return MappedAction(env, setting.action_map(config.action, config.scores))

"""The configuration of a training run: plain data, checked by what its agent says of itself."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Suppress

from ...encoders.base import ENCODER_FILE
from ...encoders.registry import list_ready_encoders
from ...envs.shared.names import one_of
from ...envs.shared.options import Options, number
from ..registry import AGENTS, AgentEntry
from ..setting import Setting
from .scores import check_scores

LATEST = 2  # version of the arithmetic
BEFORE = {"dimensions": 0, "arithmetic": 1}  # what holds of a run whose file does not say, being older than the choice
POOLED = ("pooled", "mean")  # states that are made of the item vectors


@dataclass(frozen=True)
class RunConfig(Options):
    """One training run."""

    setting: Setting = dataclasses.field(default_factory=Setting)
    """What is recommended to whom."""
    agent: str = "ppo"
    """Agent to train: of stable-baselines3 ppo, a2c, recurrent-ppo, sac, tqc, td3, ddpg, dqn, qr-dqn, ars, or ppo-stock
    (PPO without the policy of slates); one of our own, slateq, pl-ppo, pl-ppo-catalog, reinforce or wolpertinger; or
    module:Class for one of yours."""
    action: str = ""
    """Action the agent takes: weights, query, presets or candidates; by default weights, or presets where the agent
    takes only those. Our own agents choose slates of items."""
    state: str = "pooled"
    """Encoder of the state: pooled or mean (text vectors of the history), text (the history's text through BERT), or
    the folder of an encoder that scripts/encode.py fitted."""
    scores: tuple[str, ...] = ()
    """Folders of fitted encoders, of rules saved with trees or an encoder, and of runs of slateq, whose scores are
    further features of candidates. With the action weights, PPO, A2C, RecurrentPPO and ARS set out from the first of
    them alone. Not for agents that do not see features: ppo-stock, pl-ppo-catalog, and any with the action query."""
    dimensions: int = number(0, 0, 10**6)
    """Directions of the text vectors that similarity and the states pooled and mean are made of, those that keep most
    of their inner products, such as 64; 0, or as many as there are, for the vectors as they are. Candidates are found
    by the whole vectors whatever is said here. Fewer take less time, and may cost minutes (docs/agents.md)."""
    fine_tune: bool = False
    """Train the encoder's network along with the policy; for gru, lstm, transformer and attention."""
    gamma: float = number(0.95, 0.0, 1.0)
    """Discount per slate; 0 learns what pays now."""
    seed: int = number(0, 0, 2**31 - 1)
    """Seed of the learner and of the luck of the training users."""
    steps: int = number(300_000, 1, 10**12)
    """Slates to learn from."""
    num_envs: int = number(256, 1, 10**6)
    """Users at a time."""
    learning_rate: float = number(1e-3, 1e-8, 1.0)
    """Learning rate of a stable-baselines3 agent's optimiser; ars and our own have it among their options."""
    eval_users: int = number(200, 1, 10**6)
    """Validation users that the policy is evaluated on during training."""
    evals: int = number(8, 1, 10**6)
    """Evaluations during training."""
    arithmetic: Annotated[int, Suppress] = dataclasses.field(default=LATEST, compare=False)
    """Version of the arithmetic of features and of training, so that a saved run plays and goes on as it began; a run
    is the same whatever its version. From 2 on features are summed as `Scorer` says, and PPO with the actions weights
    and query learns by `longplay.agents.sb3.batched_ppo`."""
    options: Annotated[Mapping[str, Any], Suppress] = dataclasses.field(default_factory=dict)
    """The agent's own options that differ from its defaults."""

    def __post_init__(self) -> None:
        """Refuse what could not run."""
        AGENTS.card(self.agent)
        object.__setattr__(self, "scores", tuple(self.scores))
        if not self.action:
            object.__setattr__(self, "action", self.entry.actions[0])
        super().__post_init__()
        if self.arithmetic not in range(1, LATEST + 1):
            raise ValueError(
                f"arithmetic = {self.arithmetic!r} is out of range; allowed: 1 to {LATEST}; install the version of "
                "longplay that wrote the run"
            )
        self.entry.check_action(self.agent, self.action)
        self.entry.make_options(self.agent, self.action, self.options)
        self.entry.check_run(self)
        check_scores(self.scores)
        if self.scores and not self.reads_scores:
            raise ValueError(
                f"scores = {self.scores} would change nothing: {self.agent!r} with the action {self.action!r} sees no "
                "features of candidates; leave out --scores"
            )
        if self.fine_tune and not self.entry.can_fine_tune(self.action):
            raise ValueError(
                f"fine_tune = True is not possible for {self.agent!r} with the action {self.action!r}; leave out "
                "--fine-tune, or take another action or agent, such as 'ppo-stock'"
            )
        if not (Path(self.state) / ENCODER_FILE).is_file():
            one_of("state", self.state, (*list_ready_encoders(), "a folder with a fitted encoder"))

    @property
    def entry(self) -> AgentEntry:
        """What the agent says of itself."""
        return AGENTS[self.agent]

    @property
    def reads_scores(self) -> bool:
        """Whether scores of candidates reach the agent, or rank what it chooses."""
        return self.entry.reads_scores(self.action)

    @property
    def agent_options(self) -> Any:
        """All options of the agent: a frozen dataclass of its own."""
        return self.entry.make_options(self.agent, self.action, self.options)

    @property
    def algorithm_arguments(self) -> dict[str, Any]:
        """Keyword arguments of the algorithm, where the agent wraps one."""
        return self.entry.algorithm_arguments(self)

    @property
    def label(self) -> str:
        """Name of the method in tables: what two seeds of it share."""
        state = "" if self.state == "pooled" else f" {Path(self.state).name}"
        more = "".join(f" +{Path(score).name}" for score in self.scores)
        tuned = " fine-tuned" if self.fine_tune else ""
        width = f" {self.dimensions} dimensions" if self.dimensions else ""
        return f"{self.entry.name_method(self.action)} γ={self.gamma:g}{state}{width}{tuned}{more}"

    def twin(self) -> "RunConfig":
        """The same run with γ = 0, which learns what pays now: what it is compared with."""
        return replace(self, gamma=0.0)

    def is_twin_of(self, other: "RunConfig") -> bool:
        """Whether this is the γ = 0 twin of a run, of whatever seed."""
        return other.gamma > 0 and replace(self, seed=0) == replace(other.twin(), seed=0)

    def to_json(self) -> str:
        """As text, for `from_json`."""
        content = dataclasses.asdict(self) | {"setting": self.setting.to_dict()}
        # What says nothing that was not so before stays out: files of earlier runs are as they were.
        return json.dumps({name: value for name, value in content.items() if BEFORE.get(name) != value}, indent=1)

    @classmethod
    def from_json(cls, path: Path) -> "RunConfig":
        """Read a run's configuration."""
        if not path.is_file():
            raise ValueError(f"{path} does not exist; name a folder that scripts/train.py wrote")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            for name in ("agent", "setting"):
                if name not in content:
                    raise ValueError(f"{name} is missing")
            for name in content:
                one_of("field", name, [part.name for part in fields(cls)])
            return cls(**{**BEFORE, **content, "setting": Setting(**content["setting"])})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a run's configuration: {error}; train again") from error

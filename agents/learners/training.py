"""How a learner of our own is built, trained and loaded by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...encoders.device import say_where_it_learns
from ...envs.shared.options import Options
from ..playing.training_users import REWARD_SCALE, TrainingUsers
from ..registry import AgentEntry
from .learner import Learner, SlateAgent


@dataclass(frozen=True)
class LearnerEntry(AgentEntry):
    """A learner of our own by name; its agent chooses slates of items.

    Attributes
    ----------
    kind
        The learner; its ``make_agent`` builds the agent, knowing nothing yet.
    options
        Its options.
    title, about, rates_items
        As of `AgentEntry`.
    sees_features
        Whether it reads features of candidates, those of fitted models included.
    sees_candidates
        Whether it chooses among candidates; otherwise training users bring none.
    change_inputs
        From `longplay.agents.slates.inputs.SlateInputs` to other inputs, where the agent reads others.
    """

    kind: type[Learner]
    options: type[Options]
    title: str
    about: str = ""
    rates_items: bool = False
    sees_features: bool = True
    sees_candidates: bool = True
    change_inputs: Callable[[Any], Any] | None = None
    actions: tuple[str, ...] = ("items",)

    def check_action(self, agent: str, action: str) -> None:
        """Item numbers alone."""
        if action not in self.actions:
            raise ValueError(f"{agent!r} chooses slates of items; leave out --action and --fine-tune")

    def choose_options(self, action: str) -> type[Options]:
        """Its own, always."""
        return self.options

    def reads_scores(self, action: str) -> bool:
        """As it sees features."""
        return self.sees_features

    def check_run(self, config: Any) -> None:
        """Ask the learner."""
        if config.fine_tune:
            raise ValueError(f"{config.agent!r} chooses slates of items; leave out --action and --fine-tune")
        self.kind.check_run(config)

    def make_inputs(self, reading: Any) -> Any:
        """What the agent reads."""
        return self.change_inputs(reading.inputs) if self.change_inputs else reading.inputs

    def make_agent(self, config: Any, reading: Any) -> SlateAgent:
        """The agent of a run, knowing nothing yet."""
        return self.kind.make_agent(
            self.make_inputs(reading),
            reading.scorer.vectors,
            reading.slots,
            config.agent_options,
            config.gamma,
            config.label,
        )

    def load(self, folder: Path, config: Any, reading: Any) -> SlateAgent:
        """Build it, and read its weights."""
        agent = self.make_agent(config, reading)
        agent.load(folder)
        return agent

    def make_trainer(self, config: Any, reading: Any) -> Learner:
        """The learner, in front of its training users; its small network learns on the CPU, where the users are."""
        say_where_it_learns(f"agent {config.agent!r}")
        env = reading.make_training_env(config.num_envs, self.sees_candidates)
        return self.kind(
            TrainingUsers(env, self.make_inputs(reading), REWARD_SCALE, config.seed),
            config.agent_options,
            config.gamma,
            config.seed,
            vectors=reading.scorer.vectors,
            slots=reading.slots,
            name=config.label,
        )

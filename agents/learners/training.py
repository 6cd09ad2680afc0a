"""Our own learning agents by name, their training and their loading; stable-baselines3's are in `sb3`."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from gymnasium.vector import AutoresetMode

from ...envs.shared.files import write_whole
from ..options import make_options
from ..playing.evaluate import Evaluator, held_out_users
from ..playing.training_users import REWARD_SCALE, TrainingUsers
from ..runs.progress import Course, Report
from .learner import Learner, SlateAgent

if TYPE_CHECKING:
    from ..runs.config import RunConfig, Setting


@dataclass(frozen=True)
class Recipe:
    """An agent by name: where its learner is, and what it is called.

    Attributes
    ----------
    module
        Has ``make_agent``, the learner and its options.
    learner, options
        Names of the classes.
    title
        In tables.
    about
        One line.
    inputs
        Name of a function in the module from `SlateInputs` to other inputs, where the agent reads others.
    """

    module: str
    learner: str
    options: str
    title: str
    about: str
    inputs: str = ""

    def named(self, name: str) -> Any:
        """Something of the module, imported when first asked for."""
        return getattr(importlib.import_module(f".{self.module}", __package__), name)


OWN: dict[str, Recipe] = {
    "slateq": Recipe(
        "slateq.learner", "SlateQ", "SlateQOptions", "SlateQ", "values of slates from values of their items"
    ),
    "pl-ppo": Recipe("policy_gradient.ppo", "PLPPO", "PPOOptions", "PL-PPO", "Plackett–Luce PPO over the candidates"),
    "pl-ppo-catalog": Recipe(
        "policy_gradient.catalog",
        "CatalogPPO",
        "CatalogOptions",
        "PL-PPO catalogue",
        "Plackett–Luce PPO over the whole catalogue",
        inputs="CatalogInputs",
    ),
    "reinforce": Recipe(
        "policy_gradient.reinforce",
        "TopKReinforce",
        "ReinforceOptions",
        "Top-K REINFORCE",
        "with off-policy correction",
    ),
    "wolpertinger": Recipe(
        "wolpertinger.learner",
        "Wolpertinger",
        "WolpertingerOptions",
        "Wolpertinger",
        "an actor points at an item, critics choose from the nearest",
    ),
}


def options_of(name: str, values: Mapping[str, Any]) -> Any:
    """The options of an agent, checked.

    Raises
    ------
    ValueError
        For an option that the agent has not, or a value out of range.
    """
    return make_options(name, OWN[name].named(OWN[name].options), values)


def own_inputs(config: "RunConfig", setting: "Setting") -> Any:
    """What the agent of a run reads."""
    inputs = setting.inputs(config.state, config.scores)
    recipe = OWN[config.agent]
    return recipe.named(recipe.inputs)(inputs) if recipe.inputs else inputs


def build(config: "RunConfig", setting: "Setting") -> SlateAgent:
    """The agent of a run, knowing nothing yet."""
    inputs, recipe = own_inputs(config, setting), OWN[config.agent]
    slots = setting.world.scenario.shape.slate
    made: SlateAgent = recipe.named("make_agent")(
        inputs, setting.scorer.vectors, slots, options_of(config.agent, config.options), config.gamma, config.label
    )
    return made


def load_own(folder: Path, config: "RunConfig", setting: "Setting") -> SlateAgent:
    """The policy that a run kept."""
    agent = build(config, setting)
    agent.load(folder)
    return agent


def make_learner(config: "RunConfig", env: Any) -> Learner:
    """The learner of a run, before training users."""
    setting, recipe = config.setting, OWN[config.agent]
    players = TrainingUsers(env, own_inputs(config, setting), REWARD_SCALE, config.seed)
    made: Learner = recipe.named(recipe.learner)(
        players,
        options_of(config.agent, config.options),
        config.gamma,
        config.seed,
        vectors=setting.scorer.vectors,
        slots=setting.world.scenario.shape.slate,
        name=config.label,
    )
    return made


def train_own(config: "RunConfig", folder: Path, resume: bool, report: Report, seconds: float) -> pd.DataFrame:
    """Train one of `OWN`; see `longplay.agents.sb3.training.train`."""
    from ..playing.luck import VALIDATION_LUCK  # which imports this module

    setting = config.setting
    env = setting.vector_env(config.num_envs, "items", split="train", autoreset_mode=AutoresetMode.SAME_STEP)
    learner = make_learner(config, env)
    users = held_out_users(setting.world, "validation", config.eval_users, field="eval_users")
    evaluator = Evaluator(setting.world, setting.item_vectors, users, VALIDATION_LUCK)

    def keep(row: Mapping[str, float]) -> None:
        learner.agent.save(folder, {"label": config.label, **row})

    every = config.steps / config.evals
    course = Course(folder, learner.agent, evaluator, every, report, seconds, keep, learner.capture)
    if resume:
        content = course.read()
        try:
            learner.restore(content)
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"{folder} holds no checkpoint of {config.label} as configured: {error}; train again: give --overwrite "
                "in place of --resume"
            ) from error
        course.go_on(content)
    else:
        course.begin()
        write_whole(folder / "config.json", config.to_json())
    note: dict[str, float] = {}
    begun = learner.steps
    while learner.steps < config.steps or learner.unfinished:
        # Each round of a last stage counts: which of its policies to keep is to be seen.
        course.between(learner.steps, learner.players.finished, note, due=learner.steps >= config.steps)
        note = {f"loss/{key}": value for key, value in learner.iterate().items()}
    if learner.steps > begun or course.curve.empty:
        course.finish(learner.steps, learner.players.finished, note)
    env.close()
    return course.curve

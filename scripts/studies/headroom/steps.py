"""The steps of headroom: items oracle, myopic oracle, best constant bonus, planner; each is fitted and played once."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from longplay.agents.base import Agent
from longplay.agents.playing.cross_entropy import CrossEntropyOptions
from longplay.agents.playing.sweep import SweepOptions
from longplay.agents.references.bonus import BonusOracle
from longplay.agents.references.items import ItemsOracle
from longplay.agents.references.linear import LinearOracle
from longplay.agents.references.neural import NeuralOracle
from longplay.agents.references.oracles import MyopicOracle
from longplay.agents.references.rollouts import RolloutPlanner
from longplay.agents.registry import RULES
from longplay.agents.rules.context import RuleModels
from longplay.agents.rules.tuning import TunedRule
from longplay.agents.setting import Setting
from longplay.envs.shared.files import write_whole
from longplay.scripts.shared.folders import write_table
from longplay.scripts.studies.headroom.lives import play_lives
from longplay.scripts.studies.headroom.worlds import StudyWorld

ITEMS, MYOPIC, CONSTANT, PLANNER = "items oracle", "myopic oracle", "best constant bonus", "planner"
NETWORK, ROLLOUTS = "network", "rollouts"
STEPS = {
    "items": ITEMS,
    "myopic": MYOPIC,
    "constant": CONSTANT,
    "planner": PLANNER,
    "network": NETWORK,
    "rollouts": ROLLOUTS,
}  # by the names of files
Say = Callable[[str, float], None]


@dataclass(frozen=True)
class Budget:
    """What choosing may cost: plain data.

    Attributes
    ----------
    users, rollout_users
        Test users that are played, and by the rollouts, which take long.
    sweep, search
        Options by which the constant bonus and the planner's weights are chosen.
    """

    users: int
    rollout_users: int
    sweep: SweepOptions
    search: CrossEntropyOptions

    def __str__(self) -> str:
        """The planner's, in words."""
        s = self.search
        return (
            f"planner: linear oracle, {s.iterations} rounds of {s.population} trials of {s.users} training users, the "
            f"best mean on {s.validation_users} validation users"
        )


@dataclass(frozen=True)
class Part:
    """One world of a study, and the steps that are to be played in it: plain data, which another process can be given.

    Attributes
    ----------
    world
        Which world.
    steps
        Names of `STEPS`, or of rules, with their default options.
    folder
        Keeps what is fitted and played in it.
    budget
        Of all steps.
    """

    world: StudyWorld
    steps: tuple[str, ...]
    folder: Path
    budget: Budget

    def __str__(self) -> str:
        return self.world.label

    def locate(self, step: str) -> Path:
        """File of the lives of a step."""
        return self.folder / f"{step}.parquet"

    @property
    def missing(self) -> list[str]:
        """Steps that have not been played."""
        return [step for step in self.steps if not self.locate(step).exists()]


def say_nothing(what: str, share: float) -> None:
    """Tell nobody what is being done."""


def play_part(part: Part, say: Say = say_nothing) -> None:
    """Play the steps that are missing; what is finished is kept, each file whole."""
    setting = part.world.make_setting(part.folder)
    for step in part.missing:
        play_step(setting, step, part, say)


def play_step(setting: Setting, step: str, part: Part, say: Say) -> None:
    """Fit where need be, play, keep."""
    title = name_step(step)
    agent = make_step(setting, step, part, lambda what, share: say(f"{part}, {title}: {what}", share))
    users = part.budget.rollout_users if step == "rollouts" else part.budget.users
    lives = play_lives(setting, agent, users, lambda share: say(f"{part}, {title}: playing", share))
    write_table(lives.assign(policy=title), part.locate(step))


def name_step(step: str) -> str:
    """What tables call a step."""
    return STEPS[step] if step in STEPS else RULES[step].title


def make_step(setting: Setting, step: str, part: Part, say: Say) -> Agent:
    """The policy of a step, fitted where that has not been done before."""
    if step not in STEPS:
        return TunedRule(step, RULES[step].options()).build(RuleModels(setting, lambda what: say(what, 0.0)))
    if step in ("items", "myopic"):
        return {"items": ItemsOracle, "myopic": MyopicOracle}[step](setting.world)
    if step == "rollouts":
        planner: Any = make_step(setting, "planner", part, say)
        say("learning what comes after a rollout", 0.0)
        return RolloutPlanner.build_around(planner, setting.item_vectors)
    kind: Any = {"constant": BonusOracle, "planner": LinearOracle, "network": NeuralOracle}[step]
    search = part.budget.sweep if step == "constant" else part.budget.search
    start = make_step(setting, "planner", part, say) if step == "network" else setting.world
    file, began = part.folder / f"{step}.json", time.monotonic()
    if not file.exists():
        oracle = kind.fit(start, setting.item_vectors, search, say)
        write_whole(part.folder / f"{step}-seconds.json", json.dumps(round(time.monotonic() - began, 1)))
        oracle.save(file)
    return kind.load(file, setting.world)  # type: ignore[no-any-return]


def read_part(part: Part) -> pd.DataFrame:
    """Lives of all steps of a part, a row a step and user."""
    lives = pd.concat([pd.read_parquet(part.locate(step)) for step in part.steps], ignore_index=True)
    change = part.world.changes[0] if part.world.changes else ("", "")
    return lives.assign(env=part.world.env, seed=part.world.seed, constant=change[0], value=str(change[1]))


def read_bonus(part: Part) -> float:
    """The bonus that was chosen in a part."""
    return float(json.loads((part.folder / "constant.json").read_text(encoding="utf-8"))["bonus"])

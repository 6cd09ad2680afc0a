"""The agents of a study: their settings, their trainings in order, and how tables name them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from longplay.agents.comparison.contestants import (
    Contestant,
    describe_seeds,
    describe_slates,
    describe_trainings,
)
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.presets import DEFAULT, configure_run
from longplay.agents.runs.progress import count_slates
from longplay.scripts.shared.folders import run_folder
from longplay.scripts.shared.trainings import COST, Training
from longplay.scripts.studies.results.prepare import get_setting

CONTROL, TWIN = "Control", "-myopic"
# What a run of each agent differs in from its preset, where it has one, and else from the defaults. "agent" names it
# where a row is a variant of another one. SlateQ's search comes after its steps. `SHORT` lets one seed of all that have
# it be trained in all scenarios in about an hour on two cores.
SHORT: dict[str, Any] = {"steps": 150_000, "evals": 4}
AGENTS: dict[str, dict[str, Any]] = {
    "ppo": {"gamma": 0.98, "options": {"gae_lambda": 0.9}},
    "ppo-stock": {"gamma": 0.98, **SHORT},
    "ppo-candidates": {"agent": "ppo", "action": "candidates", "gamma": 0.98, **SHORT},
    "a2c": {"gamma": 0.98, **SHORT},
    "recurrent-ppo": {"gamma": 0.98, **SHORT},
    "sac": {"gamma": 0.95, **SHORT},
    "tqc": {"gamma": 0.95, **SHORT},
    "qr-dqn": {"gamma": 0.95, **SHORT},
    "ars": {"gamma": 1.0, "steps": 400_000},
    "slateq": {
        "gamma": 1.0,
        "steps": 100_000,
        "options": {
            "later": "search",
            "polyak": 0.005,
            "search_after": 100_000,
            "search_rounds": 5,
            "search_users": 32,
        },
    },
    "slateq-regression": {"agent": "slateq", "gamma": 0.99, "steps": 100_000, "options": {"polyak": 0.005}},
    "pl-ppo": {"gamma": 0.99, **SHORT},
    "reinforce": {"gamma": 0.95, **SHORT},
    "wolpertinger": {"gamma": 0.98, **SHORT},
}


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes
    ----------
    name
        Folder below runs/.
    envs, agents, seeds
        Which; agents by their names in `AGENTS`.
    steps
        Slates of each training, whatever `AGENTS` says; None for those.
    eval_users
        Validation users.
    scores
        Fitted models in ENV/scores that all agents are given that can read them.
    seeds_of
        How many seeds some agents are trained with instead.
    """

    name: str
    envs: Sequence[str]
    agents: Sequence[str]
    seeds: int
    steps: int | None
    eval_users: int
    scores: Sequence[str]
    seeds_of: Mapping[str, int] = field(default_factory=dict)

    def make_config(self, env: str, agent: str, seed: int) -> RunConfig:
        """One training of an agent."""
        changes = {"agent": agent, "action": ""} | AGENTS[agent]
        setting = get_setting(env)
        preset = configure_run(changes["agent"], changes["action"], setting.env, DEFAULT)
        options = {**preset.options, **changes.pop("options", {})}
        if self.steps is not None:
            changes["steps"] = self.steps
            options |= {"search_after": self.steps} if "search_after" in options else {}
        own = {"setting": setting, "seed": seed, "eval_users": self.eval_users, "options": options}
        config = replace(preset, **{**own, **changes})
        scores = tuple(str(run_folder(self.name) / env / "scores" / score) for score in self.scores)
        return replace(config, scores=scores) if config.reads_scores else config

    def list_trainings(self) -> dict[tuple[str, str, int], Training]:
        """All trainings by scenario, label and seed, in the order in which they are to be done."""
        trainings = {}
        counts = {agent: self.seeds_of.get(agent, self.seeds) for agent in self.agents}
        for seed in range(max(counts.values())):
            for agent in (agent for agent in self.agents if seed < counts[agent]):
                for env in (*self.envs, *([CONTROL] if seed == 0 else [])):
                    config = self.make_config(env, agent, seed)
                    twins = {agent: config}
                    if config.gamma > 0 and env != CONTROL:
                        twins[agent + TWIN] = replace(config, gamma=0.0)
                    for label, twin in twins.items():
                        trainings[env, label, seed] = Training(f"{self.name}/{env}/trained/{label}-{seed}", twin)
        return trainings


def make_title(config: RunConfig, label: str) -> str:
    """Of a method in tables: what runs call it, less the scores that all have; with its name if that is a variant's."""
    title, agent = replace(config, scores=()).label, label.removesuffix(TWIN)
    changes = AGENTS[agent]
    return f"{title} ({agent})" if "agent" in changes and "action" not in changes else title


def summarise_agents(
    env: str, trainings: Mapping[tuple[str, str, int], Training]
) -> tuple[list[Contestant], dict[str, str], dict[str, Mapping[str, float]]]:
    """The agents of a scenario and their twins, the agents' titles by name, and by title what a training took."""
    contestants, titles = [], {}
    spent: dict[str, Mapping[str, float]] = {}
    labels = [label for other, label, seed in trainings if other == env and seed == 0]
    for label in labels:
        runs = [training for key, training in trainings.items() if key[:2] == (env, label)]
        config, twin = runs[0].config, label + TWIN
        title = make_title(config, label)
        second = make_title(trainings[env, twin, 0].config, twin) if twin in labels else ""
        folders = [run_folder(run.name) for run in runs]
        slates = [count_slates(folder) for folder in folders]
        search = " and a search" if config.options.get("later") == "search" else ""
        note = f"{describe_slates(slates, config.steps)}{search}, {describe_seeds(len(runs))}"
        about = describe_trainings([run.config for run in runs], folders, slates)
        contestants.append(Contestant(title, "learned", (), note, second, about=about))
        spent[title] = mean_costs(folders)
        if not label.endswith(TWIN):
            titles[label] = title
    return contestants, titles, spent


def mean_costs(folders: Sequence[Path]) -> dict[str, float]:
    """Mean slates of some trainings, and mean CPU and wall seconds as far as they are known."""
    slates = [count_slates(folder) for folder in folders]
    costs = [json.loads((f / COST).read_text(encoding="utf-8")) for f in folders if (f / COST).is_file()]
    seconds = {key: float(np.mean([cost[key] for cost in costs])) for key in ("cpu", "wall")} if costs else {}
    return {"slates": float(np.mean(slates)), **{key: mean for key, mean in seconds.items() if not np.isnan(mean)}}

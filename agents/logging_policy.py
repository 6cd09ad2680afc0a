"""Who chooses the slates of a log: rules and trained policies by name, some slates replaced by random ones."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from ..envs.catalog import Catalog
from ..envs.engine import Observation
from ..envs.make import CATALOGS, as_scenario
from ..envs.named import ENVIRONMENTS
from ..envs.scoring import Scorer
from ..envs.world import World
from .base import Agent, Memory, Remembering, rows
from .baselines import GreedySimilarity, Popularity, RandomCandidates
from .logs import FrontPage
from .names import one_of
from .predicted import LOGGED_STEPS, fit_minutes
from .setup import RunConfig, Setting, load_agent

POLICIES = ("random", "candidates", "similarity", "popularity", "front-page", "minutes")


@dataclass
class Exploring:
    """A policy some of whose slates are drawn at random from the whole catalogue; without one, all are.

    Which slates, and what is in them, is a function of the seed and of what is visible, so a user's slates do not
    depend on who else is played. Items that have not appeared yet are not drawn. An agent that remembers its users
    goes on doing so: it meets every observation, those that a random slate answers too.

    Parameters
    ----------
    world
        For its items.
    agent
        Chooses the other slates; ``None`` only with ``share=1``.
    share
        Of the slates that are random, 0 to 1.
    """

    world: World
    agent: Agent | None = None
    share: float = 1.0
    seed: int = 0
    name: str = field(init=False)
    privileged: bool = False

    def __post_init__(self) -> None:
        """Refuse a share that is none."""
        if self.agent is None and self.share != 1:
            raise ValueError(f"share = {self.share!r} leaves slates to choose; give an agent")
        self.name = "random" if self.agent is None else f"{self.agent.name}, {self.share:.0%} random"
        self._ages = self.world.scenario.params.items_life > 0

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Slates, random or the agent's, for users of whom nothing is remembered."""
        return self.follow(observation, self.start(len(observation["context"])))[0]

    def start(self, users: int) -> Memory:
        """The agent's memory of users not met before; empty if it has none."""
        return self.agent.start(users) if isinstance(self.agent, Remembering) else {}

    def follow(self, observation: Observation, memory: Memory) -> tuple[NDArray[np.int64], Memory]:
        """Slates, random or the agent's, and what the agent remembers from here on."""
        slates = np.zeros((len(observation["context"]), self.world.scenario.shape.slate), np.int64)
        random = np.zeros(len(slates), bool)
        for b, (context, history) in enumerate(zip(observation["context"], observation["history_ids"], strict=True)):
            rng = np.random.default_rng(zlib.crc32(history.tobytes(), zlib.crc32(context.tobytes(), self.seed)))
            random[b] = self.share == 1 or rng.random() < self.share
            if random[b]:
                drawn = self._draw(rng, float(context[5]))
                slates[b, : len(drawn)] = drawn
        agent: object = self.agent
        if isinstance(agent, Remembering):
            chosen, memory = agent.follow(observation, memory)
            slates[~random] = chosen[~random]
        elif self.agent is not None and not random.all():
            slates[~random] = self.agent.act(rows(observation, ~random))
        return slates, memory

    def _draw(self, rng: np.random.Generator, day: float) -> NDArray[np.int64]:
        size = self.world.scenario.shape.slate
        if not self._ages:
            return 1 + rng.choice(len(self.world.catalog), size, replace=False)
        live = np.flatnonzero(self.world.born[1:] <= day)
        return 1 + rng.choice(live, min(size, len(live)), replace=False)


def make_policy(name: str, setting: Setting, epsilon: float = 0.0, seed: int = 0) -> Agent:
    """A logging policy by name, or of the folder of a training run.

    Parameters
    ----------
    name
        One of `POLICIES`, or a folder that ``scripts/train.py`` wrote.
    epsilon
        Share of the slates that are replaced by random ones; see `Exploring`.
    seed
        Of what the policy draws at random.

    Raises
    ------
    ValueError
        If there is no such policy, or the run learned in another world.
    """
    check_policy(name, epsilon)
    world = setting.world
    if name == "random":
        return Exploring(world, seed=seed)
    agent = _rule(name, setting, seed) if name in POLICIES else _trained(Path(name), setting)
    return Exploring(world, agent, epsilon, seed) if epsilon > 0 else agent


def check_policy(name: str, epsilon: float) -> None:
    """Refuse what `make_policy` could not make, before anything slow happens."""
    if not (Path(name) / "config.json").is_file():
        try:
            one_of("policy", name, POLICIES)
        except ValueError as error:
            raise ValueError(f"{error}, or the folder of a run that scripts/train.py wrote") from error
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon = {epsilon!r} is out of range; allowed: 0 to 1")
    if name == "random" and epsilon > 0:
        raise ValueError(f"epsilon = {epsilon!r}: the policy 'random' is random already; leave epsilon out")


def _rule(name: str, setting: Setting, seed: int) -> Agent:
    scorer = Scorer(setting.world, setting.item_vectors)
    if name == "minutes":
        env = setting.vector_env(256, "items", autoreset_mode=AutoresetMode.SAME_STEP)
        return fit_minutes(scorer, env, LOGGED_STEPS)
    if name == "front-page":
        return FrontPage(scorer, setting.world, seed=seed)
    simple: dict[str, Callable[[Scorer], Agent]]
    simple = {"candidates": RandomCandidates, "similarity": GreedySimilarity, "popularity": Popularity}
    return simple[name](scorer)


def _trained(folder: Path, setting: Setting) -> Agent:
    config = RunConfig.from_json(folder / "config.json")
    theirs = config.setting
    same = replace(theirs, catalog=None) == replace(setting, catalog=None)
    if same and theirs.catalog != setting.catalog:  # two files may hold the same items
        same = load_catalog(theirs).digest == setting.world.catalog.digest
    if not same:
        raise ValueError(
            f"policy = {str(folder)!r} was trained on {theirs}, the log is of {setting}; collect in its world"
        )
    return load_agent(folder, config, setting)


def load_catalog(setting: Setting) -> Catalog:
    """The catalogue of a setting, without building its world."""
    if setting.catalog is not None:
        return Catalog.from_table(setting.catalog)
    named = as_scenario(setting.scenario or ENVIRONMENTS[setting.env].scenario).catalog
    return CATALOGS[named]() if named in CATALOGS else setting.world.catalog  # which refuses

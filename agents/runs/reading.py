"""One reading of a run: what its words `state`, `scores` and `action` stand for, resolved once."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from gymnasium.vector import AutoresetMode

from ...encoders.registry import ENCODERS, list_ready_encoders, load_encoder
from ...envs.candidates.retriever import count_candidates
from ...envs.candidates.scoring import Scorer
from ...envs.candidates.wrappers import ActionMap, make_action_map
from ..base import Agent, RatesItems
from ..setting import Setting
from ..slates.inputs import SlateInputs, UserStates
from .config import POOLED, RunConfig
from .scores import CONFIG_FILE, load_scores


class Reading:
    """What a policy reads in a setting, and how its actions become slates; each part is made when first asked for.

    Parameters
    ----------
    setting
        What is recommended to whom.
    state
        Name of an encoder that needs no fit, or the folder of a fitted one.
    scores
        Folders of fitted models whose scores are further features of candidates; see `longplay.agents.runs.scores`.
    action
        That the policy takes, as of `longplay.envs.candidates.wrappers`.
    dimensions
        Of the item vectors, as similarity and states see them (`Setting.project_vectors`); 0 for all.
    arithmetic
        Version of the arithmetic of features; see `Scorer`.
    """

    def __init__(
        self,
        setting: Setting,
        state: str = "pooled",
        scores: Sequence[str] = (),
        action: str = "items",
        dimensions: int = 0,
        arithmetic: int = 1,
    ) -> None:
        self.setting, self.state, self.scores, self.action = setting, state, tuple(scores), action
        self.dimensions, self.arithmetic = dimensions, arithmetic

    @cached_property
    def scorer(self) -> Scorer:
        """The features of candidates, those that fitted models add included; shared by all readings of the setting."""
        setting, kept = self.setting, self.setting.scorers
        key = (self.scores, self.dimensions, self.arithmetic)
        if key not in kept:
            scores = load_scores(self.scores, setting, self._load_rater)
            kept[key] = Scorer(setting.world, setting.project_vectors(self.dimensions), scores, self.arithmetic)
        return kept[key]

    def _load_rater(self, folder: Path) -> RatesItems:
        config = RunConfig.from_json(folder / CONFIG_FILE)
        if config.setting != self.setting:
            raise ValueError(
                f"scores: {str(folder)!r} was trained on {config.setting}, the run is on {self.setting}; train it on "
                "the same setting"
            )
        agent = load_agent(folder, config, self.setting)
        assert isinstance(agent, RatesItems), "which its entry says"
        return agent

    @cached_property
    def state_encoder(self) -> UserStates:
        """Observations to states; the scores that are read beside them are part of the identity."""
        items = self.setting.items
        if self.state in POOLED and self.dimensions:
            items = replace(items, vectors=self.setting.project_vectors(self.dimensions))
        encoder = (
            ENCODERS[self.state].make(items) if self.state in list_ready_encoders() else load_encoder(self.state, items)
        )
        return UserStates(encoder, self.scorer)

    @cached_property
    def inputs(self) -> SlateInputs:
        """What slate networks read."""
        return SlateInputs(self.scorer, self.state_encoder)

    @cached_property
    def action_map(self) -> ActionMap:
        """The map from the policy's actions to slates."""
        return make_action_map(self.action, self.scorer, self.candidates)

    @property
    def candidates(self) -> int:
        """M, candidates for each slate."""
        return count_candidates(self.setting.world)

    @property
    def slots(self) -> int:
        """K, items of a slate."""
        return self.setting.world.scenario.shape.slate

    @property
    def history(self) -> int:
        """H, items of the history that are visible."""
        return self.setting.world.scenario.shape.history

    def make_training_env(self, num_envs: int, candidates: bool = True) -> Any:
        """A vector environment of training users, whose action is item numbers; with candidates, if any are read."""
        mode = AutoresetMode.SAME_STEP
        return self.setting.vector_env(num_envs, "items", candidates, split="train", autoreset_mode=mode)


def read_run(config: RunConfig, setting: Setting | None = None) -> Reading:
    """The reading of a run; in another setting than its own, if one is given that has the same world built."""
    reads = (config.state, config.scores, config.action, config.dimensions, config.arithmetic)
    return Reading(setting or config.setting, *reads)


def load_agent(folder: Path, config: RunConfig, setting: Setting | None = None) -> Agent:
    """The policy that a run kept: the best on the validation users.

    Parameters
    ----------
    folder
        Of the run.
    config
        Of the run.
    setting
        Where it plays; by default the run's own.

    Raises
    ------
    ValueError
        If the files cannot be read, or belong to another configuration.
    """
    return config.entry.load(folder, config, read_run(config, setting))

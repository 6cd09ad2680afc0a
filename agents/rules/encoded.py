"""Rules that rank by a fitted encoder, under a cap per topic."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...encoders.base import Encoder, read_header
from ...encoders.data.interactions import Interactions, clean
from ...encoders.data.splits import hold_back
from ...encoders.measures.floor import warn_below_popularity
from ...encoders.registry import ENCODERS, load_encoder
from ...envs.engine import Observation
from ...envs.shared.options import Options, evenly, number
from ..logs.collect import PAST, collect, make_env
from ..logs.exploring import ExploringAgent
from ..playing.evaluate import held_out_users
from ..playing.luck import RULE_LOG_LUCK
from ..registry import RULES, Rule
from .context import FittedModel, Ingredient, RuleModels
from .ranking import Score
from .similarity import GreedySimilarity
from .topics import StaticCap

LOG_RANDOM = 0.5  # share of the log's slates that is random; greedy similarity chooses the others
PLAYERS = 250  # who play together while the log is collected
ENCODER = "encoder"  # in the folder of a rule that needs one
# Settings of encoders fitted on that log, where others than their defaults rank validation users' candidates better.
FITTED: dict[str, dict[str, Any]] = {"als": {"width": 32, "alpha": 60.0, "regularisation": 0.2}}


@dataclass(frozen=True)
class EncoderOptions(Options):
    """Options of a rule that ranks by an encoder."""

    cap: int = number(0, 0, 10, search=evenly())
    """Items per main topic in a slate, at most; 0 for any number."""


@dataclass(frozen=True)
class InteractionLog(Ingredient[Interactions]):
    """What training users consumed, half of whose slates are random; all encoders are fitted on it."""

    def make(self, models: RuleModels) -> Interactions:
        """Collect it, life by life."""
        setting = models.setting
        world = setting.world
        users = held_out_users(world, "train", min(models.log_users, len(world.split("train"))))
        tables = []
        for start in range(0, len(users), PLAYERS):
            models.say(f"collecting interactions: {start:,} of {len(users):,} users")
            some = users[start : start + PLAYERS]
            env = make_env(world, len(some), setting.item_vectors)
            for life in range(models.log_lives):
                policy = ExploringAgent(world, GreedySimilarity(models.scorer), LOG_RANDOM, models.seed + life)
                logged = collect(env, policy, some, RULE_LOG_LUCK + life)
                table = logged.log.drop(columns="item").merge(logged.users[["user", "profile"]], on="user")
                table["time"] += life * world.scenario.params.horizon_days
                # No rule's encoder learns from what was shown in vain, most rows by far. All lives have the same past.
                new = table["consumed"] & ((table["session"] != PAST) | (life == 0))
                tables.append(table[new])
        return clean(pd.concat(tables, ignore_index=True), world.catalog.ids, item="item_id")


@dataclass(frozen=True)
class EncoderModel(FittedModel[Encoder]):
    """An encoder of the registry, fitted on the log by its own settings, or those of `FITTED`."""

    name: str

    def make(self, models: RuleModels) -> Encoder:
        """Fit it."""
        train, validation = hold_back(models.get(InteractionLog()))
        models.say(f"fitting {self.name} on {len(train):,} rows")
        encoder = ENCODERS[self.name].make(models.setting.items, **FITTED.get(self.name, {}))
        encoder.fit(train, validation, seed=models.seed)
        warn_below_popularity(encoder, train, validation)
        return encoder

    def save(self, model: Encoder, folder: Path) -> None:
        """Write the encoder."""
        model.save(folder / ENCODER)

    def load(self, folder: Path, models: RuleModels) -> Encoder:
        """Read the encoder."""
        return load_encoder(folder / ENCODER, models.setting.items)

    def is_current(self, folder: Path) -> bool:
        """Whether the encoder that was saved has the settings that `FITTED` gives now."""
        chosen = FITTED.get(self.name, {})
        return not chosen or chosen.items() <= read_header(folder / ENCODER)["settings"].items()


def score_by_encoder(encoder: Encoder) -> Score:
    """How well each candidate goes with the history by a fitted encoder."""
    by_product = type(encoder).score is Encoder.score
    vectors = encoder.item_vectors if by_product else np.zeros((0, 0), np.float32)

    def score(observation: Observation) -> NDArray[np.float32]:
        ids = observation["candidates"].astype(np.int64)
        if by_product:
            # User by user: a batched product would sum in another order for another batch.
            users = encoder.encode(observation)
            return np.stack([vectors[row] @ user for row, user in zip(ids, users, strict=True)])
        scores = np.take_along_axis(encoder.score(observation), ids, axis=1)
        return np.where(ids > 0, scores, 0.0).astype(np.float32)

    return score


def rank_by_encoder(name: str, title: str, about: str) -> Rule:
    """The rule that ranks by an encoder of the registry."""
    key = EncoderModel(name)

    def build(models: RuleModels, options: EncoderOptions) -> StaticCap:
        return StaticCap(models.scorer, score_by_encoder(models.get(key)), options.cap, title)

    note = "at most {cap} per topic (0: any)"
    return Rule(StaticCap, title, about, build, EncoderOptions, note, needs=lambda options: key)


RULES.register(
    "user-knn",
    rank_by_encoder("user-knn", title="user kNN", about="what neighbours of the user consumed"),
    quick=False,
)
RULES.register(
    "item-knn",
    rank_by_encoder("item-knn", title="item kNN", about="neighbours of the history's items"),
    quick=False,
)
RULES.register(
    "als",
    rank_by_encoder(
        "als", title="matrix factorisation", about="implicit matrix factorisation by alternating least squares"
    ),
    quick=False,
)
RULES.register(
    "tower-heads",
    rank_by_encoder("tower-heads", title="two towers", about="two towers over a BERT that stays as it is"),
    quick=False,
)
RULES.register(
    "lightgcn",
    rank_by_encoder("lightgcn", title="LightGCN", about="linear propagation on the graph of users and items"),
    quick=False,
)

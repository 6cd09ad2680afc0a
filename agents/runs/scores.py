"""Scores of fitted models as features of candidates, beside those of `longplay.envs.candidates.scoring.FEATURES`."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...encoders.base import ENCODER_FILE, Encoder
from ...encoders.registry import load_encoder
from ...envs.candidates.scoring import WEIGHTS, Score
from ...envs.engine import Observation
from ..base import RatesItems
from ..registry import AGENTS
from ..rules import tuning
from ..rules.encoded import ENCODER, score_by_encoder
from ..rules.minutes import TREES, Trees, list_inputs, predict_minutes
from ..setting import Setting

CONFIG_FILE, WEIGHTS_FILE = "config.json", "policy.safetensors"  # of a run


@dataclass(frozen=True)
class FittedScore:
    """A score that a fitted model gives.

    Attributes
    ----------
    score
        From observations and features to (B, M).
    identity
        Of the model: a policy that reads its scores belongs to it.
    """

    score: Score
    identity: str

    def __call__(self, observation: Observation, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """The score (B, M)."""
        return self.score(observation, features)


def make_encoder_score(encoder: Encoder) -> Score:
    """How well each candidate goes with the history, by an encoder."""
    score = score_by_encoder(encoder)
    return lambda observation, features: score(observation)


def make_trees_score(trees: Trees) -> Score:
    """Predicted minutes of each candidate in the first slot."""
    return lambda observation, features: predict_minutes(trees, features)


def make_agent_score(agent: RatesItems) -> Score:
    """What an agent makes of each candidate, such as the logarithm of the minutes it expects."""
    return lambda observation, features: agent.rate_candidates(observation).astype(np.float32)


def check_scores(folders: Sequence[str]) -> None:
    """Refuse folders that hold no score, and two of one name, before anything slow happens."""
    for folder in map(Path, folders):
        if not holds_model(folder) and not (folder / CONFIG_FILE).is_file():
            raise ValueError(
                f"scores: {str(folder)!r} holds no fitted encoder (scripts/encode.py), no rule fitted with trees or "
                "an encoder (scripts/play.py --save) and no run of an agent that rates items "
                "(scripts/train.py); name such a folder"
            )
        if not holds_model(folder):
            _check_rates(folder)
    names = [Path(folder).name for folder in folders]
    for name in names:
        if names.count(name) > 1 or name in (*WEIGHTS, "repeated"):
            raise ValueError(f"scores: {name!r} is the name of two features; rename a folder")


def holds_model(folder: Path) -> bool:
    """Whether a folder holds an encoder, or a rule fitted with trees or an encoder."""
    return any((folder / name).is_file() for name in (ENCODER_FILE, TREES, f"{ENCODER}/{ENCODER_FILE}"))


def _check_rates(folder: Path) -> None:
    """Refuse the run of an agent that rates no candidates on their own."""
    try:
        agent = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))["agent"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / CONFIG_FILE} is not a run's configuration: {error}; train again") from error
    if not AGENTS[agent].rates_items:
        raters = " or ".join(repr(name) for name, card in AGENTS.cards.items() if card.words.get("rates_items"))
        raise ValueError(f"scores: {str(folder)!r} is a run of {agent!r}, which rates no items; name a run of {raters}")


def load_scores(
    folders: Sequence[str], setting: Setting, load_run: Callable[[Path], RatesItems]
) -> Mapping[str, FittedScore]:
    """Scores by the name of the folder that each was saved in.

    Parameters
    ----------
    folders
        Of fitted encoders, rules and runs; see `check_scores`.
    setting
        That all have to be of.
    load_run
        Loads the agent of a run's folder.
    """
    check_scores(folders)
    scores = {}
    for folder in map(Path, folders):
        if (folder / tuning.FILE).is_file():
            tuning.read_rule(folder, setting)  # refuses another setting; trees alone do not say where they were fitted
        if (folder / TREES).is_file():
            trees = Trees.load(folder / TREES, list_inputs(setting.scorer))
            scores[folder.name] = FittedScore(make_trees_score(trees), _digest(folder / TREES))
        elif (folder / CONFIG_FILE).is_file():
            scores[folder.name] = FittedScore(make_agent_score(load_run(folder)), _digest(folder / WEIGHTS_FILE))
        else:
            encoder = load_encoder(folder if (folder / ENCODER_FILE).is_file() else folder / ENCODER, setting.items)
            scores[folder.name] = FittedScore(make_encoder_score(encoder), encoder.identity)
    return scores


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

"""Scores of fitted models as features of candidates, beside those of `longplay.envs.candidates.scoring.FEATURES`."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...encoders.base import ENCODER_FILE, Encoder
from ...encoders.registry import load_encoder
from ...envs.candidates.scoring import WEIGHTS, Score
from ...envs.engine import Observation
from ..learners.learner import WEIGHTS_FILE, SlateAgent
from ..rules.encoded import score_by_encoder
from ..rules.minutes import Trees, predict_minutes

if TYPE_CHECKING:
    from .config import Setting

TREES = "minutes.safetensors"
ENCODER = "encoder"
RUN = "config.json"


@dataclass(frozen=True)
class Fitted:
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


def _by_encoder(encoder: Encoder) -> Score:
    score = score_by_encoder(encoder)
    return lambda observation, features: score(observation)


def minutes_score(trees: Trees) -> Score:
    """Predicted minutes of each candidate in the first slot."""
    return lambda observation, features: predict_minutes(trees, features)


def agent_score(agent: SlateAgent) -> Score:
    """What one of our own agents makes of each candidate, such as the logarithm of the minutes it expects."""

    def score(observation: Observation, features: NDArray[np.float32]) -> NDArray[np.float32]:
        inputs = agent.inputs(observation)
        return np.where(inputs.ids > 0, agent.rate(inputs), 0.0).astype(np.float32)

    return score


def check_scores(folders: Sequence[str]) -> None:
    """Refuse folders that hold no score, and two of one name, before anything slow happens."""
    for folder in folders:
        if not any((Path(folder) / name).is_file() for name in (ENCODER_FILE, TREES, f"{ENCODER}/{ENCODER_FILE}", RUN)):
            raise ValueError(
                f"scores: {folder!r} holds no fitted encoder (scripts/encode.py), no rule fitted with trees or "
                "an encoder (scripts/play.py --save) and no run of an agent that rates items "
                "(scripts/train.py); name such a folder"
            )
        _check_rates(Path(folder))
    names = [Path(folder).name for folder in folders]
    for name in names:
        if names.count(name) > 1 or name in (*WEIGHTS, "repeated"):
            raise ValueError(f"scores: {name!r} is the name of two features; rename a folder")


def _check_rates(folder: Path) -> None:
    """Refuse the run of an agent that rates no candidates on their own."""
    from .config import RunConfig  # which imports this module

    if any((folder / name).is_file() for name in (ENCODER_FILE, TREES, f"{ENCODER}/{ENCODER_FILE}")):
        return
    agent = RunConfig.from_json(folder / RUN).agent
    if agent != "slateq":
        raise ValueError(f"scores: {str(folder)!r} is a run of {agent!r}, which rates no items; name a run of 'slateq'")


def load_scores(folders: Sequence[str], setting: "Setting") -> Mapping[str, Fitted]:
    """Scores by the name of the folder that each was saved in."""
    check_scores(folders)
    found = {}
    for folder in map(Path, folders):
        _check_rule(folder, setting)
        if (folder / TREES).is_file():
            found[folder.name] = Fitted(minutes_score(Trees.load(folder / TREES)), _digest(folder / TREES))
        elif (folder / RUN).is_file():
            found[folder.name] = Fitted(agent_score(_trained(folder, setting)), _digest(folder / WEIGHTS_FILE))
        else:
            where = folder if (folder / ENCODER_FILE).is_file() else folder / ENCODER
            encoder = load_encoder(where, setting.items)
            found[folder.name] = Fitted(_by_encoder(encoder), encoder.identity)
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _check_rule(folder: Path, setting: "Setting") -> None:
    """Refuse what was saved with a rule of another setting; trees alone do not say where they were fitted."""
    from ..rules import tuning  # which imports this module

    if (folder / tuning.FILE).is_file():
        tuning.read_rule(folder, setting)


def _trained(folder: Path, setting: "Setting") -> SlateAgent:
    from .config import RunConfig, load_agent  # which import this module

    config = RunConfig.from_json(folder / RUN)
    if config.setting != setting:
        raise ValueError(f"scores: {str(folder)!r} was trained on {config.setting}, the run is on {setting}")
    agent = load_agent(folder, config, setting)
    if not isinstance(agent, SlateAgent):
        raise ValueError(f"scores: {str(folder)!r} holds {config.label}, which rates no items; name a run of 'slateq'")
    return agent

"""How a user is now, in a few numbers, and the features of items times these: what a planner reads of people.

Each feature here is one of `FEATURES` times a number that is the same for all items, so that weights on them are
weights on `FEATURES` that differ from user to user and from slate to slate. Only ``"ignored"`` is an item's own.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ...envs.engine import ContextColumn
from ...envs.users.world import World
from .features import FEATURES

TRAITS = (
    "trust",
    "satisfaction",
    "left",  # the share of the horizon that is left
    "churn",  # logit of the chance of never coming back, were the session to end with this trust
    "at stake",  # that chance times what is left
    "fatigue",  # in units of 10 minutes
    "skips",  # consecutive slates without a click, up to three
    "in vain",  # 1 while nothing has been consumed in this session
)
IGNORED = "ignored"  # logarithm of 1 and the impressions ignored, faded by now
PAIRS = (  # of a feature and a trait
    ("minutes", "left"),
    ("minutes", "trust"),
    ("minutes", "fatigue"),
    ("click", "trust"),
    ("click", "satisfaction"),
    ("click", "fatigue"),
    ("click", "skips"),
    ("click", "in vain"),
    ("verdict", "churn"),
    ("verdict", "at stake"),
    ("verdict", "fatigue"),
    ("verdict", "skips"),
    ("verdict", "in vain"),
    ("tired", "left"),
    ("repeat", "left"),
)
MORE = (IGNORED, *(f"{feature} × {trait}" for feature, trait in PAIRS))
PLACES = np.array([FEATURES.index(feature) for feature, _ in PAIRS])
PAIRED = np.array([TRAITS.index(trait) for _, trait in PAIRS])


def measure_traits(world: World, observation: Any) -> NDArray[np.float64]:
    """(B, T) traits of users in the order of `TRAITS`, from an observation with the hidden state."""
    p, latent, context = world.scenario.params, observation["latent"], observation["context"].astype(np.float64)
    trust, satisfaction, fatigue = (latent[name].astype(np.float64) for name in ("trust", "satisfaction", "fatigue"))
    left = 1.0 - context[:, ContextColumn.DAY] / p.horizon_days
    churn = p.churn_base - p.churn_trust * (trust - p.churn_trust_pivot) + latent.get("frailty", 0.0)
    skips, depth = context[:, ContextColumn.SKIPS], context[:, ContextColumn.DEPTH]
    traits = {
        "trust": trust,
        "satisfaction": satisfaction,
        "left": left,
        "churn": churn,
        "at stake": left * expit(churn),
        "fatigue": fatigue / 10.0,
        "skips": np.minimum(skips, 3.0),
        "in vain": (skips >= depth).astype(np.float64),
    }
    return np.stack([traits[trait] for trait in TRAITS], axis=1)


def read_traits(world: World, observation: Any) -> NDArray[np.float64]:
    """(B, J) the same in the order of `PAIRS`."""
    return measure_traits(world, observation)[:, PAIRED]


def describe_more(x: NDArray[np.float64], ignored: NDArray[np.float64], traits: NDArray[np.float64]) -> Any:
    """Features (B, M, E) of `MORE`: from those of `FEATURES` (B, M, F), the ignored (B, M) and traits (B, J)."""
    return np.concatenate([np.log1p(ignored)[:, :, None], x[:, :, PLACES] * traits[:, None, :]], axis=2)


def fold_slopes(slopes: NDArray[np.float64], traits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slopes (B, F) on `FEATURES` alone that do what slopes (B, F + E) do, but for that on ``"ignored"``."""
    folded = slopes[:, : len(FEATURES)].copy()
    for place, more in zip(PLACES, (slopes[:, len(FEATURES) + 1 :] * traits).T, strict=True):
        folded[:, place] += more
    return folded

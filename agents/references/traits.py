"""How a user is now, in a few numbers, and the features of items times these: what a planner reads of people.

Each feature here is one of `FEATURES` times a number that is the same for all items, so that weights on them are
weights on `FEATURES` that differ from user to user and from slate to slate. Only `ITEM_FEATURES` are an item's own.
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
OWN = "own verdict"  # the verdict of this person, less that of the item; 0 where nobody judges by a second taste
TURN = "turn"  # what watching the item, by which taste turns, would do to the verdicts of what the user likes; else 0
TURN_LEFT = "turn × left"
ITEM_FEATURES = (IGNORED, OWN, TURN, TURN_LEFT)
MORE = (*ITEM_FEATURES, *(f"{feature} × {trait}" for feature, trait in PAIRS))
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


def describe_own(world: World, ids: NDArray[np.int64], observation: Any, ignored: NDArray[np.float64]) -> Any:
    """(B, M, 4) `ITEM_FEATURES` of items (B, M), of which some impressions (B, M) were ignored."""
    own = turn = np.zeros(ids.shape)
    if world.scenario.second:
        second = np.asarray(observation["latent"]["second"], np.float64)
        own = judge_items(world, ids, second) - judge_items(world, ids)
    if world.scenario.cultivation:
        turn = measure_turn(world, ids, np.asarray(observation["latent"]["taste"], np.float64))
    left = 1.0 - observation["context"][:, ContextColumn.DAY].astype(np.float64) / world.scenario.params.horizon_days
    return np.stack([np.log1p(ignored), own, turn, turn * left[:, None]], axis=2)


def measure_turn(world: World, ids: NDArray[np.int64], taste: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B, M) how much better what people like gets, by their taste (B, D), as it turns a step towards items (B, M).

    What they like is worth the mean verdict of the items given, each weighed by ``exp(β⟨u, v⟩)``: of this the slope
    along the part of an item's vector that is at a right angle to taste.
    """
    vectors = world.items["taste"][ids].astype(np.float64)
    along = np.einsum("bd,bmd->bm", taste, vectors, optimize=True)
    pull = (ids > 0) * np.exp(world.scenario.params.taste_weight * (along - along.max(axis=1, keepdims=True)))
    pull /= np.maximum(pull.sum(axis=1, keepdims=True), 1e-300)
    verdict = judge_items(world, ids)
    better = pull * (verdict - (pull * verdict).sum(axis=1, keepdims=True))
    slope = world.scenario.params.taste_weight * np.einsum("bm,bmd->bd", better, vectors, optimize=True)
    ahead = np.einsum("bd,bd->b", slope, taste)[:, None]
    return np.asarray(np.einsum("bd,bmd->bm", slope, vectors, optimize=True) - along * ahead)


def judge_items(world: World, ids: NDArray[np.int64], second: NDArray[np.float64] | None = None) -> Any:
    """Verdicts of items (M,) or (B, M): of anybody (…, M), or (B, M) of people with second tastes (B, D)."""
    p, items = world.scenario.params, world.items[ids]
    gain = p.satisfaction_base + p.satisfaction_substance * items["substance"].astype(np.float64)
    gain -= p.satisfaction_appeal * items["appeal"]
    if second is not None:
        match = np.einsum("bd,md->bm" if ids.ndim == 1 else "bd,bmd->bm", second, items["taste"], optimize=True)
        gain = gain + p.second_weight * match * np.sqrt(second.shape[1])
    return expit(gain)


def describe_more(x: NDArray[np.float64], own: NDArray[np.float64], traits: NDArray[np.float64]) -> Any:
    """Features (B, M, E) of `MORE`: from those of `FEATURES` (B, M, F), `describe_own` (B, M, 4) and traits (B, J)."""
    return np.concatenate([own, x[:, :, PLACES] * traits[:, None, :]], axis=2)


def fold_slopes(slopes: NDArray[np.float64], traits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slopes (B, F) on `FEATURES` alone that do what slopes (B, F + E) do, but for those on `ITEM_FEATURES`."""
    folded = slopes[:, : len(FEATURES)].copy()
    for place, more in zip(PLACES, (slopes[:, len(FEATURES) + len(ITEM_FEATURES) :] * traits).T, strict=True):
        folded[:, place] += more
    return folded

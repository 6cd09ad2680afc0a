"""Greedy on predicted minutes, alone or beside the rating: boosted trees on the scoring features of logged steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode
from numba import njit
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from sklearn.ensemble import HistGradientBoostingRegressor

from ...envs.candidates.scoring import FEATURES, Scorer
from ...envs.engine import Observation
from ...envs.shared.files import write_whole
from ...envs.shared.options import Options, evenly, number
from ..registry import RULES, Rule
from .context import LOGGERS, FittedModel, RuleModels
from .ranking import Score, rank_candidates, score_by_similarity, standardise_scores

MINUTES, SIMILARITY = "minutes", "similarity"
SCORES = (SIMILARITY, MINUTES)  # that other rules build on
STATIC = ("popularity", "rating", "length", "novelty")  # columns of `Scorer.static`, the last where no item ages
CELLS = 256  # of the range of a feature's thresholds
LEAVES = 15  # of a tree; its leaves are bits of 16
TREES = "minutes.safetensors"  # in the folder of a rule that needs them
_LOWEST = np.array([16] + [(v & -v).bit_length() - 1 for v in range(1, 2**16)], np.uint8)  # place of the lowest bit
_FORMAT = "longplay trees 2"  # 2: novelty in hours where items age


class Cells(NamedTuple):
    """Thresholds (F, W), ascending, and by equal cells of their range how many lie in smaller ones."""

    thresholds: NDArray[np.float64]
    low: NDArray[np.float64]  # (F,) the smallest threshold
    scale: NDArray[np.float64]  # (F,) cells to a unit; 0 where there is but one threshold, or none
    start: NDArray[np.int64]  # (F, CELLS)


@dataclass(frozen=True, eq=False)
class Trees:
    """Boosted regression trees as bit masks: the same sums as scikit-learn's, to the bit, in about a fifth of the time.

    A value of a feature rules out leaves: those to the left of every node whose threshold it exceeds. Which ones is a
    matter of how many thresholds lie below the value, so it is looked up for all trees at once; the leaf reached is the
    leftmost that no feature rules out (QuickScorer: Lucchese et al., SIGIR 2015).

    Parameters
    ----------
    thresholds : (F, W) float64
        Of each feature in all trees, ascending; +∞ for padding.
    masks : (F, W + 1, T) uint16
        ``masks[f, w, t]`` has the bits of the leaves of tree t that remain where w thresholds of f are exceeded.
    leaves : (T, 16) float64
        Values of the leaves, from left to right.
    base : (1,) float64
        What the sum starts from.
    """

    thresholds: NDArray[np.float64]
    masks: NDArray[np.uint16]
    leaves: NDArray[np.float64]
    base: NDArray[np.float64]

    @classmethod
    def of(cls, model: Any) -> Trees:
        """The trees of a fitted `HistGradientBoostingRegressor` without categories and missing values."""
        nodes = [trees[0].nodes for trees in model._predictors]
        count = int(model.n_features_in_)
        split: Any = np.concatenate([tree[tree["is_leaf"] == 0] for tree in nodes])
        split_values = [np.unique(split["num_threshold"][split["feature_idx"] == f]) for f in range(count)]
        width = max(1, *(len(values) for values in split_values))
        thresholds = np.full((count, width), np.inf)
        for row, ascending in zip(thresholds, split_values, strict=True):
            row[: len(ascending)] = ascending
        masks = np.full((count, width + 1, len(nodes)), 2**16 - 1, np.uint16)
        leaves = np.zeros((len(nodes), 16))
        for t, tree in enumerate(nodes):
            if (tree["is_leaf"] == 1).sum() > 16:
                raise ValueError(f"tree {t} has {(tree['is_leaf'] == 1).sum()} leaves; allowed: up to 16")
            values: list[float] = []
            _walk(tree, 0, values, masks[:, :, t], split_values)
            leaves[t, : len(values)] = values
        return cls(thresholds, masks, leaves, np.asarray(model._baseline_prediction, np.float64).reshape(1))

    def predict(self, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Predictions (n,) for inputs (n, F), all finite."""
        if inputs.ndim != 2 or inputs.shape[1] != len(self.thresholds):
            raise ValueError(f"inputs have shape {inputs.shape}, expected (n, {len(self.thresholds)})")
        out = np.zeros(len(inputs))
        _predict(np.asarray(inputs, np.float64), self._cells, self.masks, self.leaves, self.base[0], _LOWEST, out)
        return out

    @cached_property
    def _cells(self) -> Cells:
        """The thresholds, and where to look for a value among them."""
        finite = np.isfinite(self.thresholds)
        low = np.where(finite[:, 0], self.thresholds[:, 0], 0.0)
        reach = np.where(finite, self.thresholds - low[:, None], 0.0).max(axis=1)
        scale = np.divide(CELLS - 1, reach, out=np.zeros(len(low)), where=reach > 1e-200)
        cells = Cells(self.thresholds, low, scale, np.zeros((len(low), CELLS), np.int64))
        for f, row in enumerate(self.thresholds):
            taken = [_find_cell(value, low[f], scale[f]) for value in row[finite[f]]]
            cells.start[f] = np.searchsorted(taken, np.arange(CELLS))
        return cells

    @cached_property
    def _words(self) -> NDArray[np.uint64]:
        """(F, W + 1, ·) the masks, four trees a word; what is beyond the trees means nothing."""
        features, width, trees = self.masks.shape
        words = np.zeros((features, width, -(-trees // 4)), np.uint64)
        words.view(np.uint16)[:, :, :trees] = self.masks
        return words

    def mask_items(self, values: NDArray[np.floating], features: Sequence[int]) -> NDArray[np.uint64]:
        """(n, ·) leaves that remain by the values (n, ·) of some features, four trees a word."""
        known = np.full((len(values), self._words.shape[2]), 2**64 - 1, np.uint64)
        for f, column in zip(features, values.T.astype(np.float64), strict=True):
            known &= self._words[f, np.searchsorted(self.thresholds[f], column)]
        return known

    def predict_items(
        self,
        known: NDArray[np.uint64],
        items: NDArray[np.floating],
        features: NDArray[np.float32],
        others: Sequence[int],
    ) -> NDArray[np.float32]:
        """Predictions (B, M) for items (B, M) and features (B, M, F), to the bit as `predict` makes them.

        Parameters
        ----------
        known
            (N + 1, ·) from `mask_items`, of the features that items always have.
        others
            Numbers of the other features.
        """
        out = np.zeros(items.shape, np.float32)
        trees = (self._cells, self._words, self.leaves, self.base[0])
        _predict_items(known, items, features, np.asarray(others, np.int64), *trees, _LOWEST, out)
        return out

    def save(self, path: Path, inputs: Sequence[str]) -> None:
        """Write to a safetensors file, whole or not at all; `inputs` are the names of the features."""
        arrays = {name: getattr(self, name) for name in ("thresholds", "masks", "leaves", "base")}
        write_whole(path, save(arrays, {"format": _FORMAT, "inputs": json.dumps(inputs)}))

    @classmethod
    def load(cls, path: Path, inputs: Sequence[str]) -> Trees:
        """Read what `save` wrote for features of these names.

        Raises
        ------
        ValueError
            If the file cannot be read, or holds something else.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                about = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
        except (OSError, SafetensorError) as error:
            raise ValueError(f"{path} cannot be read ({error}); tune the rule again") from error
        if about.get("format") != _FORMAT or about.get("inputs") != json.dumps(inputs):
            raise ValueError(f"{path} holds no trees on {', '.join(inputs)}; tune the rule again")
        return cls(**arrays)


def _walk(
    tree: Any, node: int, values: list[float], masks: NDArray[np.uint16], split_values: list[NDArray[Any]]
) -> int:
    """Number the leaves from left to right; returns the bits of those below a node."""
    if tree["is_leaf"][node]:
        values.append(float(tree["value"][node]))
        return 1 << (len(values) - 1)
    left = _walk(tree, int(tree["left"][node]), values, masks, split_values)
    right = _walk(tree, int(tree["right"][node]), values, masks, split_values)
    feature = int(tree["feature_idx"][node])
    threshold = int(np.searchsorted(split_values[feature], tree["num_threshold"][node]))
    masks[feature, threshold + 1 :] &= np.uint16((2**16 - 1) ^ left)
    return left | right


@njit(nogil=True)
def _find_cell(value: float, low: float, scale: float) -> int:
    """The cell of a value; a larger value is never in a smaller one, whatever the rounding."""
    return int(min(max((value - low) * scale, 0.0), CELLS - 1.0))


@njit(nogil=True)
def _narrow(value: float, cells: Cells, f: int, masks: np.ndarray, live: np.ndarray) -> None:
    """Rule out leaves, (T,) or words of four trees, by the value of feature f."""
    thresholds = cells.thresholds[f]
    # What is in a smaller cell is smaller, so few are left to compare: a search by halves guesses wrongly more often.
    below = cells.start[f, _find_cell(value, cells.low[f], cells.scale[f])]
    while below < len(thresholds) and value > thresholds[below]:
        below += 1
    mask = masks[below]
    for t in range(len(live)):
        live[t] &= mask[t]


@njit(nogil=True)
def _add_leaves(live: np.ndarray, leaves: np.ndarray, base: float, lowest: np.ndarray) -> float:
    """The sum in scikit-learn's order, so that it has its bits."""
    total = base
    for t in range(len(leaves)):
        total += leaves[t, lowest[live[t]]]
    return total


@njit(nogil=True)
def _predict(
    inputs: np.ndarray,
    cells: Cells,
    masks: np.ndarray,
    leaves: np.ndarray,
    base: float,
    lowest: np.ndarray,
    out: np.ndarray,
) -> None:
    live = np.zeros(len(leaves), np.uint16)
    for i in range(len(inputs)):
        live[:] = np.uint16(65535)
        for f in range(len(masks)):
            _narrow(inputs[i, f], cells, f, masks[f], live)
        out[i] = _add_leaves(live, leaves, base, lowest)


@njit(nogil=True)
def _predict_items(
    known: np.ndarray,
    items: np.ndarray,
    features: np.ndarray,
    others: np.ndarray,
    cells: Cells,
    masks: np.ndarray,
    leaves: np.ndarray,
    base: float,
    lowest: np.ndarray,
    out: np.ndarray,
) -> None:
    words = np.zeros(known.shape[1], np.uint64)
    live = words.view(np.uint16)
    for b in range(len(items)):
        for m in range(items.shape[1]):
            words[:] = known[int(items[b, m])]
            for f in others:
                _narrow(np.float64(features[b, m, f]), cells, f, masks[f], words)
            out[b, m] = np.float32(_add_leaves(live, leaves, base, lowest))


def list_inputs(scorer: Scorer) -> tuple[str, ...]:
    """What minutes are predicted from: the scorer's own features of an item, and its slot."""
    return (*scorer.own, "slot")


def predict_minutes(model: Any, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Minutes (B, M) of each candidate in the first slot, from its features (B, M, F)."""
    inputs = np.zeros((features[..., 0].size, features.shape[2] + 1))
    inputs[:, :-1] = features.reshape(-1, features.shape[2])
    minutes: NDArray[np.float32] = model.predict(inputs).reshape(features.shape[:2]).astype(np.float32)
    return minutes


@dataclass
class PredictedMinutes:
    """Greedy on predicted minutes: gradient boosting of dwell on the scoring features, fitted on logged steps."""

    scorer: Scorer
    model: Any
    name: str = "greedy minutes"
    privileged: bool = False

    def score(self, observation: Observation) -> NDArray[np.float32]:
        """Predicted minutes (B, M) of each candidate in the first slot."""
        return self.predict(observation, self.scorer.features(observation))

    def predict(self, observation: Observation, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same from the scorer's features (B, M, F) of an observation."""
        if not isinstance(self.model, Trees):
            return predict_minutes(self.model, features)
        others = [f for f, name in enumerate(self.scorer.own) if name not in self._lasting]
        return self.model.predict_items(self._known, observation["candidates"], features, others)

    @property
    def _lasting(self) -> tuple[str, ...]:
        """Features that an item has whoever sees it and when, in the order of the scorer's table."""
        return STATIC[:-1] if self.scorer.aging else STATIC

    @cached_property
    def _known(self) -> NDArray[np.uint64]:
        """Leaves that remain by what lasts, and by the first slot."""
        table = self.scorer.static[:, : len(self._lasting)]
        values = np.concatenate([table, np.zeros((len(table), 1), np.float32)], axis=1)
        features = [*map(self.scorer.own.index, self._lasting), len(self.scorer.own)]
        known: NDArray[np.uint64] = self.model.mask_items(values, features)
        return known

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Score by predicted minutes."""
        return rank_candidates(self.scorer, observation, self.score(observation))


@dataclass(frozen=True)
class MinutesRatingOptions(Options):
    """Options of predicted minutes and rating."""

    rating: float = number(1.0, 0.0, 4.0, search=evenly())
    """Standard deviations of predicted minutes that one of the rating is worth."""


@dataclass
class MinutesAndRating:
    """Greedy on predicted minutes and what critics make of an item: ``z(minutes) + k·z(rating)``.

    Parameters
    ----------
    minutes
        What predicts minutes; z is a score in standard deviations over the user's candidates.
    rating
        Weight k of the rating.
    """

    minutes: PredictedMinutes
    rating: float
    name: str = "greedy minutes + rating"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Score by both."""
        scorer = self.minutes.scorer
        features = scorer.features(observation)
        ratings = features[:, :, FEATURES.index("rating")]
        minutes = self.minutes.predict(observation, features)
        scores = standardise_scores(minutes, observation) + self.rating * standardise_scores(ratings, observation)
        return rank_candidates(scorer, observation, scores)


def fit_minutes(scorer: Scorer, env: Any, steps: int, seed: int = 0) -> PredictedMinutes:
    """Log slates chosen by random weights on training users, and fit minutes on features and slot.

    Random weights (new ones for every slate) show every region of the feature space, which no single rule does.

    Parameters
    ----------
    env
        A vector environment with candidates and the action ``"items"``, in autoreset mode SAME_STEP.
    steps
        Steps of the vector environment to log.
    """
    inputs, targets = log_minutes(scorer, env, steps, seed)
    model = HistGradientBoostingRegressor(max_iter=100, max_leaf_nodes=LEAVES, min_samples_leaf=200, random_state=seed)
    model.fit(inputs, targets)
    return PredictedMinutes(scorer, Trees.of(model))


def log_minutes(scorer: Scorer, env: Any, steps: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Inputs (n, F + 1) as `list_inputs` names them, and minutes (n,) of what slates of random weights showed."""
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    inputs, targets = [], []
    for _ in range(steps):
        weights = rng.uniform(-1, 1, (env.num_envs, len(scorer.weights)))
        slates = scorer.recommend(observation, weights)
        features = scorer.features(observation)
        place = (observation["candidates"][:, None, :] == slates[:, :, None]).argmax(axis=2)
        shown = np.take_along_axis(features, place[:, :, None], axis=1)
        observation, reward, _, _, info = env.step(slates)
        # Where an episode ended the chosen slot is in the final info; the reward is the ended episode's anyway.
        choice = info["choice"].copy()
        if "final_info" in info:
            choice = np.where(info["_final_info"], info["final_info"]["choice"], choice)
        minutes = np.where(np.arange(scorer.slots) == choice[:, None], reward[:, None], 0.0)
        slot = np.broadcast_to(np.arange(scorer.slots), minutes.shape)
        inputs.append(np.concatenate([shown, slot[:, :, None]], axis=2).reshape(-1, shown.shape[2] + 1))
        targets.append(minutes.ravel())
    return np.concatenate(inputs), np.concatenate(targets)


@dataclass(frozen=True)
class MinutesModel(FittedModel[PredictedMinutes]):
    """Predicted minutes, fitted on the logged steps of training users."""

    def make(self, models: RuleModels) -> PredictedMinutes:
        """Log, and fit."""
        models.say("fitting predicted minutes on logged steps")
        env = models.setting.vector_env(LOGGERS, "items", autoreset_mode=AutoresetMode.SAME_STEP)
        return fit_minutes(models.scorer, env, models.logged_steps, models.seed)

    def save(self, model: PredictedMinutes, folder: Path) -> None:
        """Write the trees."""
        model.model.save(folder / TREES, list_inputs(model.scorer))

    def load(self, folder: Path, models: RuleModels) -> PredictedMinutes:
        """Read the trees."""
        return PredictedMinutes(models.scorer, Trees.load(folder / TREES, list_inputs(models.scorer)))


def choose_score(models: RuleModels, on: str) -> Score:
    """The score of `SCORES` that a rule builds on."""
    return models.get(MinutesModel()).score if on == MINUTES else score_by_similarity(models.scorer)


def need_scores(options: Any) -> MinutesModel | None:
    """The model that the score named ``on`` needs."""
    return MinutesModel() if options.on == MINUTES else None


RULES.register(
    "minutes",
    Rule(
        kind=PredictedMinutes,
        title="greedy minutes",
        about="the most predicted minutes",
        build=lambda models, options: models.get(MinutesModel()),
        note="boosted trees on logged steps",
        needs=lambda options: MinutesModel(),
    ),
)
RULES.register(
    "minutes-rating",
    Rule(
        kind=MinutesAndRating,
        title="greedy minutes + rating",
        about="predicted minutes and critics' rating, nothing twice in a session",
        build=lambda models, options: MinutesAndRating(models.get(MinutesModel()), options.rating),
        options=MinutesRatingOptions,
        note="predicted minutes + {rating:.2g} × rating",
        needs=lambda options: MinutesModel(),
        fresh="always",
    ),
)

"""The best linear reference: what an item is worth beyond its minutes, by weights on hidden state, found by search.

The myopic oracle counts the minutes that a slate pays now. Here a click is worth those minutes plus a weighted sum of
features of the item and the user's true state, and the slate is the best one for these worths under the choice model.
Weights of 0 are the myopic oracle; the cross-entropy method then looks for the weights with the most minutes in a whole
month. What it gains is what looking ahead is worth to a rule of this form: a bound from below.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ...envs.candidates.retriever import Retriever
from ...envs.engine import ContextColumn
from ...envs.shared.compiled import loop
from ...envs.shared.files import write_whole
from ...envs.users.arithmetic import dot
from ...envs.users.constants import LINEAR
from ...envs.users.world import World
from ..base import rows
from ..playing.cross_entropy import Search, cross_entropy
from ..playing.evaluate import held_out_users
from ..playing.luck import REFERENCE_LUCK
from ..playing.trials import lived_minutes, lives_env
from .best_slates import BEST
from .oracles import NODE_WEIGHTS, NODES

FEATURES = (
    "click",  # 1: what any click is worth, against none
    "minutes",  # expected of a click
    "completion",  # expected of a click
    "length",  # logarithm of the item's minutes
    "taste",  # true taste's part of the utility
    "momentum",  # inner product with the topic consumed last
    "satiation",  # inner product with satiation
    "tired",  # the user's sensitivity times that: the part of the utility that satiation takes away
    "repeat",  # 1 for an item consumed before
    "appeal",
    "substance",
    "verdict",  # what the item would do to satisfaction: substance against what the appeal promised
    "crowding",  # items of the same main topic that are expected to pay more now: its weight is a penalty on sameness
    "click × left",  # the share of the horizon that is left
    "verdict × left",
    "verdict × trust",
    "verdict × satisfaction",
)
LOGITS = np.linspace(-30.0, 30.0, 6001)  # where the expected completion is tabulated: off by 1e-6 at most in between
PRICES = {"logit": 0.75, "position": 0.75, "cascade": 0.0}  # of attention, as a share of about the best slate's value
PIECE = 128  # rows at a time, so that the features stay small


@dataclass(eq=False)
class LinearOracle:
    """The best slate for worths that are linear in features of the item and the user's true state.

    An item's worth is ``minutes + Σ_f w_f (x_f − centre_f)/scale_f``, at least 0, with x in the order of `FEATURES`;
    the slate is the one with the most expected worth under the choice model, as the `MyopicOracle`'s is for minutes.

    Parameters
    ----------
    world
        Whose user model.
    weights
        (F,) minutes per standard deviation of a feature; 0 is the myopic oracle.
    centre, scale
        (F,) mean and standard deviation of the features, from `fit`.
    shortlist
        The slate is sought among this many candidates that would pay most if alone; None for all. In Video 64 are
        enough to show the myopic oracle's slates.
    whole
        Choose from the whole catalogue, not from the candidates.
    """

    world: World
    weights: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(FEATURES)))
    centre: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(FEATURES)))
    scale: NDArray[np.float64] = field(default_factory=lambda: np.ones(len(FEATURES)))
    shortlist: int | None = 64
    whole: bool = False
    name: str = "linear oracle"
    privileged: bool = True

    def __post_init__(self) -> None:
        """Check the numbers, and lay the items out for the compiled loop."""
        for name in ("weights", "centre", "scale"):
            value = np.asarray(getattr(self, name), np.float64)
            if value.shape != (len(FEATURES),) or not np.isfinite(value).all():
                raise ValueError(f"{name} = {value.tolist()} must be {len(FEATURES)} finite numbers, as FEATURES")
            setattr(self, name, value)
        if (self.scale <= 0).any():
            raise ValueError(f"scale = {self.scale.tolist()} must be positive; give 1 for what does not vary")
        slots = self.world.scenario.shape.slate
        if self.shortlist is not None and self.shortlist < slots:
            raise ValueError(f"shortlist = {self.shortlist} is out of range; allowed: {slots} (a slate) or more, None")
        items, p = self.world.items, self.world.scenario.params
        verdict = p.satisfaction_base + p.satisfaction_substance * items["substance"].astype(np.float64)
        verdict = 1 / (1 + np.exp(p.satisfaction_appeal * items["appeal"] - verdict))
        columns = [items[key].astype(np.float64) for key in ("minutes", "appeal", "substance", "born")]
        self._items = (
            *(np.ascontiguousarray(items[key]) for key in ("taste", "share", "topic")),
            np.stack([*columns, verdict], axis=1),
            self.world.topics.argmax(axis=1),
        )
        names = ("taste_weight", "momentum_weight", "repeat_penalty", "choice_appeal", "items_life", "dwell_base")
        constants = [p[name] for name in (*names, "dwell_utility", "horizon_days")]
        self._constants = np.array([*constants, float(p.satiation_kind == LINEAR)])
        shares = NODE_WEIGHTS / NODE_WEIGHTS.sum()
        self._completion = expit(LOGITS[:, None] + p.dwell_noise * NODES) @ shares

    def act(self, observation: Any) -> NDArray[np.int64]:
        """Solve for each user."""
        return self.slates(observation, np.broadcast_to(self.weights, (len(observation["context"]), len(FEATURES))))

    def slates(self, observation: Any, weights: NDArray[np.float64]) -> NDArray[np.int64]:
        """Slates (B, K) for weights (B, F) of each user's own."""
        piece = np.arange(len(weights)) // PIECE
        masks = [piece == number for number in range(piece[-1] + 1)]
        return np.concatenate([self._piece(rows(observation, mask), weights[mask]) for mask in masks])

    def _piece(self, observation: Any, weights: NDArray[np.float64]) -> NDArray[np.int64]:
        scenario = self.world.scenario
        ids = self.ids(observation)
        pull, x = self.features(ids, observation)
        slope = weights / self.scale
        worth = x[:, :, 1] + np.einsum("bmf,bf->bm", x, slope) - (slope * self.centre).sum(axis=1)[:, None]
        worth = np.maximum(worth, 0.0)
        model, nothing = str(scenario.values["choice_model"]), float(np.exp(scenario.params.choice_nothing))
        if self.shortlist is not None and self.shortlist < ids.shape[1]:
            kept = self._promising(
                pull if model == "logit" else nothing * pull / (nothing + pull), worth, model, self.shortlist
            )
            ids, pull, worth = (np.take_along_axis(a, kept, axis=1) for a in (ids, pull, worth))
        columns = BEST[model](pull, worth, scenario.params.position, nothing)
        slates = np.zeros((len(ids), scenario.shape.slate), np.int64)
        shown = np.where(columns >= 0, np.take_along_axis(ids, np.maximum(columns, 0), axis=1), 0)
        slates[:, : shown.shape[1]] = shown
        return slates

    def _promising(
        self, weight: NDArray[np.float64], worth: NDArray[np.float64], model: str, count: int
    ) -> NDArray[np.int64]:
        """Columns (B, count), in their order, with the most worth beyond the price of the attention they take."""
        scenario, gain = self.world.scenario, weight * worth
        slots, nothing = scenario.shape.slate, np.exp(scenario.params.choice_nothing)
        top = np.argpartition(-gain, slots, axis=1)[:, :slots]
        above, below = (np.take_along_axis(a, top, axis=1).sum(axis=1) for a in (gain, weight))
        gain -= weight * (PRICES[model] * above / (nothing + below))[:, None]
        return np.sort(np.argpartition(-gain, count, axis=1)[:, :count], axis=1)

    def ids(self, observation: Any) -> NDArray[np.int64]:
        """(B, M) items to choose from."""
        if not self.whole:
            return np.asarray(observation["candidates"], np.int64)
        numbers = np.arange(1, len(self.world.catalog) + 1)
        return np.tile(numbers, (len(observation["context"]), 1))

    def features(self, ids: NDArray[np.int64], observation: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Choice weight (B, M) of items before the slot counts, and their features (B, M, F), unscaled."""
        latent = observation["latent"]
        memory = int(self.world.scenario.params.repeat_memory)
        day = observation["context"][:, ContextColumn.DAY]
        state = [latent["sensitivity"], latent["trust"], latent["satisfaction"], day]
        pull, x = np.zeros(ids.shape), np.zeros((*ids.shape, len(FEATURES)))
        _features_all(
            ids,
            *self._items,
            *(np.asarray(latent[name], np.float64) for name in ("taste", "momentum", "satiation")),
            np.stack(state, axis=1).astype(np.float64),
            np.asarray(observation["history_ids"][:, :memory], np.int64),
            self._constants,
            self._completion,
            np.zeros(self.world.scenario.shape.topics, np.int64),
            pull,
            x,
        )
        return pull, x

    def save(self, path: Path) -> None:
        """Write weights and scales as JSON, with the scenario that they are for."""
        content = {
            "scenario": self.world.scenario.digest,
            "shortlist": self.shortlist,
            "whole": self.whole,
            "features": {
                name: {"weight": w, "centre": c, "scale": s}
                for name, w, c, s in zip(
                    FEATURES, self.weights.tolist(), self.centre.tolist(), self.scale.tolist(), strict=True
                )
            },
        }
        write_whole(path, json.dumps(content, indent=1, ensure_ascii=False))

    @classmethod
    def load(cls, path: Path, world: World) -> "LinearOracle":
        """Read what `save` wrote, for a world of the same scenario."""
        if not path.is_file():
            raise ValueError(f"{path} does not exist; write it with LinearOracle.save")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            scenario, table = content["scenario"], content["features"]
            if list(table) != list(FEATURES):
                raise ValueError(f"its features are {list(table)}, this version has {list(FEATURES)}")
            weights, centre, scale = (
                np.array([row[key] for row in table.values()]) for key in ("weight", "centre", "scale")
            )
            oracle = cls(world, weights, centre, scale, shortlist=content["shortlist"], whole=content["whole"])
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a linear oracle: {error}; fit and save again") from error
        if scenario != world.scenario.digest:
            raise ValueError(
                f"{path} was fitted in another scenario than {world.scenario.name!r} as it is here; fit it again"
            )
        return oracle

    @classmethod
    def fit(
        cls,
        world: World,
        item_vectors: NDArray[np.float32],
        search: Search | None = None,
        progress: Callable[[str, float], None] | None = None,
        **options: Any,
    ) -> "LinearOracle":
        """Search the weights with the most minutes in a month.

        Parameters
        ----------
        world
            Items and people; training users are played in the search, validation users in the last choice.
        item_vectors
            (N, E) for candidates.
        search
            Options of the search.
        progress
            Called with what is done and the share of it that is.
        options
            ``shortlist`` and ``whole``, as of the class.
        """
        search = search or Search()
        people = held_out_users(world, "train", search.users * search.iterations).reshape(search.iterations, -1)
        final = held_out_users(world, "validation", search.validation_users, field="validation_users")
        say = progress or (lambda what, share: None)
        oracle = cls(world, **options)
        oracle._standardise(lives_env(world, item_vectors, search.users), people[0], REFERENCE_LUCK + search.seed)
        env = lives_env(world, item_vectors, search.users * search.population)

        def score(iteration: int, trials: NDArray[np.float64]) -> NDArray[np.float64]:
            say("searching weights", iteration / search.iterations)
            return trial_minutes(env, oracle, people[iteration], trials, REFERENCE_LUCK + search.seed + iteration)

        means = np.stack(cross_entropy(score, np.zeros(len(FEATURES)), search))
        say("choosing among the means of all iterations", 1.0)
        env = lives_env(world, item_vectors, len(means) * len(final))
        minutes = trial_minutes(env, oracle, final, means, REFERENCE_LUCK + search.seed)
        oracle.weights = means[int(np.argmax(minutes))]
        return oracle

    def _standardise(self, env: Retriever, users: NDArray[np.int64], luck: int) -> None:
        """Set centre and scale from the states that these users, shown myopic slates, pass through."""
        found: list[NDArray[np.float64]] = []

        def act(observation: Any, which: NDArray[np.bool_]) -> NDArray[np.int64]:
            ids = self.ids(observation)
            found.append(self.features(ids[:, ::8], observation)[1][ids[:, ::8] > 0])
            return self.act(observation)

        lived_minutes(env, users, luck, act)
        x = np.concatenate(found)
        self.centre, spread = x.mean(axis=0), x.std(axis=0)
        self.scale = np.where(spread > 1e-9, spread, 1.0)
        self.centre[0] = 0.0  # a click is not the same as none


def trial_minutes(
    env: Retriever, oracle: LinearOracle, users: NDArray[np.int64], trials: NDArray[np.float64], luck: int
) -> NDArray[np.float64]:
    """(P,) mean minutes of each trial's weights (P, F), all on the same users with the same luck."""
    weights = np.repeat(trials, len(users), axis=0)
    lived = lived_minutes(env, np.tile(users, len(trials)), luck, lambda o, which: oracle.slates(o, weights[which]))
    return np.asarray(lived.reshape(len(trials), -1).mean(axis=1))


@loop
def _features_all(
    ids: np.ndarray,
    taste: np.ndarray,
    share: np.ndarray,
    topic: np.ndarray,
    static: np.ndarray,
    main_topic: np.ndarray,
    tastes: np.ndarray,
    momentum: np.ndarray,
    satiation: np.ndarray,
    state: np.ndarray,
    history: np.ndarray,
    constants: np.ndarray,
    completions: np.ndarray,
    above: np.ndarray,
    pull: np.ndarray,
    x: np.ndarray,
) -> None:
    taste_weight, momentum_weight, penalty, appeal_weight, life, base, slope, horizon, linear = constants
    for b in range(len(ids)):
        sensitivity, trust, satisfaction, clock = state[b]
        left = 1.0 - clock / horizon
        for m in range(ids.shape[1]):
            item = ids[b, m]
            minutes, appeal, substance, born, verdict = static[item]
            if item == 0 or born > clock:
                continue
            liking = dot(tastes[b], taste[item])
            going_on = tired = 0.0
            for j in range(share.shape[1]):
                going_on += momentum[b, topic[item, j]] * share[item, j]
                tired += satiation[b, topic[item, j]] * share[item, j]
            burden = sensitivity * (tired if linear == 1.0 else np.log1p(tired))
            repeat = 0.0
            for h in range(history.shape[1]):
                if history[b, h] == item:
                    repeat = 1.0
            utility = taste_weight * liking + momentum_weight * going_on - burden - penalty * repeat
            age = (clock - born) / life if life > 0.0 else 0.0
            pull[b, m] = np.exp(utility + appeal_weight * appeal - age)
            place = min(max((base + slope * utility + 30.0) * 100.0, 0.0), 5999.0)
            cell = int(place)
            completion = completions[cell] + (place - cell) * (completions[cell + 1] - completions[cell])
            row = x[b, m]
            row[0], row[1], row[2], row[3] = 1.0, completion * minutes, completion, np.log(minutes)
            row[4], row[5], row[6], row[7], row[8] = taste_weight * liking, going_on, tired, burden, repeat
            row[9], row[10], row[11] = appeal, substance, verdict
            row[13], row[14], row[15], row[16] = left, verdict * left, verdict * trust, verdict * satisfaction
        above[:] = 0
        for m in np.argsort(-pull[b] * x[b, :, 1]):
            if pull[b, m] > 0.0:
                x[b, m, 12] = above[main_topic[ids[b, m]]]
                above[main_topic[ids[b, m]]] += 1

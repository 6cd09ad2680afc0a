"""The best linear reference: what an item is worth beyond its minutes, by weights on hidden state, found by search.

The myopic oracle counts the minutes that a slate pays now. Here a click is worth those minutes plus a weighted sum of
features of the item and the user's true state, and the slate is the best one for these worths under the choice model.
Weights of 0 are the myopic oracle; one weight on the verdict is a constant bonus for what pleases. From the best of
these the cross-entropy method looks for the weights with the most minutes in a whole month. What it gains is what
looking ahead is worth to a rule of this form: a bound from below.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs.candidates.retriever import Retriever
from ...envs.shared.files import write_whole
from ...envs.users.world import World
from ..base import select_users
from ..playing.cross_entropy import CrossEntropyOptions, search_by_cross_entropy
from ..playing.evaluate import held_out_users
from ..playing.luck import REFERENCE_LUCK, VALIDATION_LUCK
from ..playing.sweep import Sweep, SweepOptions, sweep_number
from ..playing.trials import make_life_env, sum_life_minutes
from ..registry import REFERENCES, Reference
from .best_slates import BEST
from .features import FEATURES, Tastes, describe_items, lay_out_items, read_laws, read_users
from .oracle_files import read_oracle
from .traces import Traces, recall_traces, say_other_laws, weigh_nothing
from .traits import (
    ITEM_FEATURES,
    MORE,
    OWN,
    TURN,
    TURN_LEFT,
    describe_more,
    describe_own,
    fold_slopes,
    judge_items,
    read_traits,
)

PRICES = {"logit": 0.75, "position": 0.75, "cascade": 0.0}  # of attention, as a share of about the best slate's value
ALL_FEATURES = (*FEATURES, *MORE)
OWN_PLACES = slice(len(FEATURES), len(FEATURES) + len(ITEM_FEATURES))
PIECE = 128  # rows at a time, so that the features stay small


@dataclass(eq=False)
class LinearOracle:
    """The best slate for worths that are linear in features of the item and the user's true state.

    An item's worth is ``minutes + Σ_f w_f (x_f − centre_f)/scale_f``, at least 0, with x in the order of `FEATURES`,
    and where there are more weights of `MORE` after them; the slate is the one with the most expected worth under the
    choice model, as the `MyopicOracle`'s is for minutes.

    Parameters
    ----------
    world
        World whose user model it knows.
    weights
        Minutes (F,) per standard deviation of a feature; 0 is the myopic oracle. F is the number of `FEATURES`, or
        with those of `MORE`.
    centre, scale
        Mean and standard deviation (F,) of the features, from `fit`.
    shortlist
        Candidates that would pay most if alone, among which the slate is sought; None for all. In Video 64 are enough
        to show the myopic oracle's slates.
    whole
        Whether to choose from the whole catalogue, not from the candidates.
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
        """Check the numbers, and lay out what the compiled loop reads."""
        counts = (len(FEATURES), len(ALL_FEATURES))
        for name in ("weights", "centre", "scale"):
            value = np.asarray(getattr(self, name), np.float64)
            if value.ndim != 1 or len(value) not in counts or not np.isfinite(value).all():
                words = f"{counts[0]} finite numbers, as FEATURES, or {counts[1]} with MORE"
                raise ValueError(f"{name} = {value.tolist()} must be {words}")
            setattr(self, name, value)
        for name in ("centre", "scale"):  # left out they change nothing, however many weights there are
            value, missing = getattr(self, name), len(self.weights) - len(getattr(self, name))
            if missing < 0:
                raise ValueError(f"{name} has {len(value)} numbers, weights {len(self.weights)}; give as many")
            setattr(self, name, np.append(value, np.full(missing, 0.0 if name == "centre" else 1.0)))
        if (self.scale <= 0).any():
            raise ValueError(f"scale = {self.scale.tolist()} must be positive; give 1 for what does not vary")
        slots = self.world.scenario.shape.slate
        if self.shortlist is not None and self.shortlist < slots:
            raise ValueError(f"shortlist = {self.shortlist} is out of range; allowed: {slots} (a slate) or more, None")
        say_other_laws(self.world, self.name)
        self._items, self._laws = lay_out_items(self.world), read_laws(self.world)
        self._tastes = np.ascontiguousarray(self.world.items["taste"])

    def act(self, observation: Any) -> NDArray[np.int64]:
        """Solve for each user."""
        weights = np.broadcast_to(self.weights, (len(observation["context"]), len(self.weights)))
        return self.choose_slates(observation, weights)

    def choose_slates(self, observation: Any, weights: NDArray[np.float64]) -> NDArray[np.int64]:
        """Slates (B, K) for weights (B, F) of each user's own."""
        piece = np.arange(len(weights)) // PIECE
        masks = [piece == number for number in range(piece[-1] + 1)]
        return np.concatenate([self._solve(select_users(observation, mask), weights[mask]) for mask in masks])

    def _solve(self, observation: Any, weights: NDArray[np.float64]) -> NDArray[np.int64]:
        scenario = self.world.scenario
        ids = self.list_items(observation)
        traces = recall_traces(self.world, ids, observation)
        pull, x = self._describe(ids, observation, traces)
        slope = weights / self.scale
        offset = (slope * self.centre).sum(axis=1)[:, None]
        if slope.shape[1] > len(FEATURES):
            own = describe_own(self.world, ids, observation, traces.ignored)
            offset = offset - np.einsum("bmf,bf->bm", own, slope[:, OWN_PLACES])
            slope = fold_slopes(slope, read_traits(self.world, observation))
        worth = x[:, :, 1] + np.einsum("bmf,bf->bm", x, slope) - offset
        worth = np.maximum(worth, 0.0)
        model, nothing = str(scenario.values["choice_model"]), weigh_nothing(self.world, observation)
        if self.shortlist is not None and self.shortlist < ids.shape[1]:
            weight = pull if model == "logit" else nothing * pull / (nothing + pull)
            promising = self._find_promising(weight, worth, nothing, self.shortlist)
            ids, pull, worth = (np.take_along_axis(a, promising, axis=1) for a in (ids, pull, worth))
        columns = BEST[model](pull, worth, scenario.params.position, nothing)
        slates = np.zeros((len(ids), scenario.shape.slate), np.int64)
        shown = np.where(columns >= 0, np.take_along_axis(ids, np.maximum(columns, 0), axis=1), 0)
        slates[:, : shown.shape[1]] = shown
        return slates

    def _find_promising(
        self, weight: NDArray[np.float64], worth: NDArray[np.float64], nothing: NDArray[np.float64], count: int
    ) -> NDArray[np.int64]:
        """Columns (B, count), in their order, with the most worth beyond the price of the attention they take."""
        scenario, gain = self.world.scenario, weight * worth
        slots, price = scenario.shape.slate, PRICES[str(scenario.values["choice_model"])]
        top = np.argpartition(-gain, slots, axis=1)[:, :slots]
        above, below = (np.take_along_axis(a, top, axis=1).sum(axis=1) for a in (gain, weight))
        gain -= weight * (price * above / (nothing[:, 0] + below))[:, None]
        return np.sort(np.argpartition(-gain, count, axis=1)[:, :count], axis=1)

    def list_items(self, observation: Any) -> NDArray[np.int64]:
        """(B, M) items to choose from."""
        if not self.whole:
            return np.asarray(observation["candidates"], np.int64)
        numbers = np.arange(1, len(self.world.catalog) + 1)
        return np.tile(numbers, (len(observation["context"]), 1))

    def describe_items(
        self, ids: NDArray[np.int64], observation: Any
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Choice weight (B, M) of items before the slot counts, and their features (B, M, F), unscaled."""
        traces = recall_traces(self.world, ids, observation)
        pull, x = self._describe(ids, observation, traces)
        if len(self.weights) == len(FEATURES):
            return pull, x
        own = describe_own(self.world, ids, observation, traces.ignored)
        more = describe_more(x, own, read_traits(self.world, observation))
        return pull, np.concatenate([x, more], axis=2)

    def _describe(
        self, ids: NDArray[np.int64], observation: Any, traces: Traces
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The same with `FEATURES` alone."""
        users = read_users(observation)
        tastes = Tastes(np.asarray(observation["latent"]["taste"], np.float64), self._tastes)
        return describe_items(ids, self._items, users, self._laws, tastes, traces)

    def save(self, path: Path) -> None:
        """Write weights and scales as JSON, with the scenario that they are for."""
        write_whole(path, json.dumps(self.to_content(), indent=1, ensure_ascii=False))

    def to_content(self) -> dict[str, Any]:
        """What a file says of it: plain data."""
        names, columns = ALL_FEATURES[: len(self.weights)], ("weight", "centre", "scale")
        rows = zip(self.weights.tolist(), self.centre.tolist(), self.scale.tolist(), strict=True)
        table = {name: dict(zip(columns, row, strict=True)) for name, row in zip(names, rows, strict=True)}
        chosen = {"shortlist": self.shortlist, "whole": self.whole}
        return {"scenario": self.world.scenario.digest, **chosen, "features": table}

    @classmethod
    def load(cls, path: Path, world: World) -> "LinearOracle":
        """Read what `save` wrote, for a world of the same scenario; what of `MORE` is not in it has no weight."""
        return read_oracle(path, world, "a linear oracle", cls.from_content)

    @classmethod
    def from_content(cls, content: Any, world: World) -> "LinearOracle":
        """The oracle of `to_content`; KeyError, TypeError or ValueError for what is none."""
        table = content["features"]
        if list(table)[: len(FEATURES)] != list(FEATURES) or not set(table) <= set(ALL_FEATURES):
            raise ValueError(f"its features are {list(table)}, this version has {list(ALL_FEATURES)}")
        nothing = {"weight": 0.0, "centre": 0.0, "scale": 1.0}
        known = FEATURES if len(table) == len(FEATURES) else ALL_FEATURES
        rows = [table.get(name, nothing) for name in known]
        weights, centre, scale = (np.array([row[key] for row in rows]) for key in nothing)
        return cls(world, weights, centre, scale, shortlist=content["shortlist"], whole=content["whole"])

    @classmethod
    def fit(
        cls,
        world: World,
        item_vectors: NDArray[np.float32],
        search: CrossEntropyOptions | None = None,
        progress: Callable[[str, float], None] | None = None,
        *,
        more: bool = True,
        sweep: SweepOptions | None = None,
        **options: Any,
    ) -> "LinearOracle":
        """Search the weights with the most minutes in a month.

        Parameters
        ----------
        world
            Items and people; training users are played in the search, validation users in the last choice.
        item_vectors
            Vectors (N, E) that candidates are found by.
        search
            Options of the search.
        progress
            Callable that gets what is being done and the share of it that is done.
        more
            Whether features of `MORE` are weighed, too.
        sweep
            Options of the sweep of a constant bonus, from whose best the search starts; with a grid of 0 alone it
            starts from the myopic oracle.
        options
            Parameters ``shortlist`` and ``whole`` of the class.
        """
        search = search or CrossEntropyOptions()
        sweep = sweep or SweepOptions(users=search.validation_users)
        people = held_out_users(world, "train", search.users * search.iterations).reshape(search.iterations, -1)
        final = held_out_users(world, "validation", search.validation_users, field="validation_users")
        say = progress or (lambda what, share: None)
        oracle = cls(world, np.zeros(len(ALL_FEATURES) if more else len(FEATURES)), **options)
        oracle._standardise(make_life_env(world, item_vectors, search.users), people[0], REFERENCE_LUCK + search.seed)
        env = make_life_env(world, item_vectors, search.users * search.population)

        absent = {
            *(() if world.scenario.second else (OWN,)),
            *(() if world.scenario.cultivation else (TURN, TURN_LEFT)),
        }
        known = [name not in absent for name in ALL_FEATURES[: len(oracle.weights)]]

        def fill(trials: NDArray[np.float64]) -> NDArray[np.float64]:
            weights = np.zeros((len(trials), len(known)))
            weights[:, known] = trials
            return weights

        def score(iteration: int, trials: NDArray[np.float64]) -> NDArray[np.float64]:
            say("searching weights", iteration / search.iterations)
            luck = REFERENCE_LUCK + search.seed + iteration
            return play_trials(env, oracle.choose_slates, people[iteration], fill(trials), luck)

        start = oracle._sweep_start(item_vectors, sweep, say, **options)
        means = fill(np.stack(search_by_cross_entropy(score, start[known], search)))
        say("choosing among the means of all iterations", 1.0)
        env = make_life_env(world, item_vectors, len(means) * len(final))
        minutes = play_trials(env, oracle.choose_slates, final, means, REFERENCE_LUCK + search.seed)
        oracle.weights = means[int(np.argmax(minutes))]
        return oracle

    def _sweep_start(
        self, item_vectors: NDArray[np.float32], sweep: SweepOptions, say: Callable[[str, float], None], **options: Any
    ) -> NDArray[np.float64]:
        """(F,) weights of the best bonus: of the item's verdict, or where people differ in it of each one's own."""
        if len(sweep.grid) == 1:
            return self.express_bonus(sweep.grid[0])
        kinds = [False, True] if self.world.scenario.second and len(self.weights) == len(ALL_FEATURES) else [False]
        found = [(sweep_bonus(self.world, item_vectors, sweep, say, own=own, **options), own) for own in kinds]
        best, own = max(found, key=lambda pair: float(pair[0].scores.max()))
        return self.express_bonus(best.best, own)

    def express_bonus(self, bonus: float, own: bool = False) -> NDArray[np.float64]:
        """(F,) weights that pay a bonus for each standard deviation of the verdict over the catalogue.

        With `own` it is that of the person, which differs from the item's where people judge by a second taste, and its
        standard deviation over items and people.
        """
        weights, place = np.zeros(len(self.weights)), FEATURES.index("verdict")
        mean, spread = measure_own_verdict(self.world) if own else measure_verdict(self.world)
        weights[place] = bonus * self.scale[place] / spread
        weights[0] = bonus * (self.centre[place] - mean) / spread  # of each click
        if own:
            extra = ALL_FEATURES.index(OWN)
            weights[extra] = bonus * self.scale[extra] / spread
            weights[0] += bonus * self.centre[extra] / spread
        return weights

    def _standardise(self, env: Retriever, users: NDArray[np.int64], luck: int) -> None:
        """Set centre and scale from the states that these users, shown myopic slates, pass through."""
        pieces: list[NDArray[np.float64]] = []

        def act(observation: Any, which: NDArray[np.bool_]) -> NDArray[np.int64]:
            ids = self.list_items(observation)
            pieces.append(self.describe_items(ids[:, ::8], observation)[1][ids[:, ::8] > 0])
            return self.act(observation)

        sum_life_minutes(env, users, luck, act)
        x = np.concatenate(pieces)
        self.centre, spread = x.mean(axis=0), x.std(axis=0)
        self.scale = np.where(spread > 1e-9, spread, 1.0)
        self.centre[0] = 0.0  # a click is not the same as none


def play_trials(
    env: Retriever,
    choose_slates: Callable[[Any, NDArray[np.float64]], NDArray[np.int64]],
    users: NDArray[np.int64],
    trials: NDArray[np.float64],
    luck: int,
) -> NDArray[np.float64]:
    """(P,) mean minutes of each trial's numbers (P, F), all on the same users with the same luck.

    `choose_slates` gives slates (B, K) for an observation and numbers (B, F) of each user's own.
    """
    weights = np.repeat(trials, len(users), axis=0)
    everybody = np.tile(users, len(trials))
    minutes = sum_life_minutes(env, everybody, luck, lambda o, which: choose_slates(o, weights[which]))
    return np.asarray(minutes.reshape(len(trials), -1).mean(axis=1))


def measure_verdict(world: World) -> tuple[float, float]:
    """Mean and standard deviation of the verdict over the catalogue."""
    verdict = lay_out_items(world)["verdict"][1:]
    return float(verdict.mean()), max(float(verdict.std()), 1e-9)


def measure_own_verdict(world: World, people: int = 200) -> tuple[float, float]:
    """The same over the catalogue and the first training users, of each one's own verdict."""
    first = world.people[list(world.split("train"))[:people]]
    verdict = judge_items(world, np.arange(1, len(world.items)), first["second"])
    return float(verdict.mean()), max(float(verdict.std()), 1e-9)


def sweep_bonus(
    world: World,
    item_vectors: NDArray[np.float32],
    search: SweepOptions,
    progress: Callable[[str, float], None],
    *,
    own: bool = False,
    **options: Any,
) -> Sweep:
    """Mean minutes of validation users by the bonus of `LinearOracle.express_bonus`."""
    people = held_out_users(world, "validation", search.users, field="validation_users")
    oracle = LinearOracle(world, np.zeros(len(ALL_FEATURES) if own else len(FEATURES)), **options)
    done = 0

    def score(bonuses: NDArray[np.float64]) -> NDArray[np.float64]:
        nonlocal done
        progress("sweeping the bonus", done / (search.rounds + 1))
        done += 1
        env = make_life_env(world, item_vectors, len(bonuses) * len(people))
        weights = np.stack([oracle.express_bonus(float(bonus), own) for bonus in bonuses])
        return play_trials(env, oracle.choose_slates, people, weights, VALIDATION_LUCK)

    return sweep_number(score, search.grid, search.rounds)


REFERENCES.register(
    "linear",
    Reference(
        kind=LinearOracle,
        title="linear oracle",
        about="the best slate for minutes and a weighted sum of features of the true state",
        build=LinearOracle,
        note="true state, candidates, looks ahead by weights",  # with weights of 0 it is the myopic oracle
        load=LinearOracle.load,
    ),
)

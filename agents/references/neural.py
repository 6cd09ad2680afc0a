"""A network on the user's true state that moves a linear oracle's weights: a second opinion on what state is worth.

The linear oracle multiplies features of an item by traits of the user that somebody has paired. Here a network with one
hidden layer reads all traits, and says by how much a click, a minute, a pleasing item and tiredness are to count more
for this person at this moment. It starts as the linear oracle and is searched by the cross-entropy method, too, so that
what it gains on the linear oracle is what the pairs left lying: a bound from below.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs.shared.files import write_whole
from ...envs.users.world import World
from ..playing.cross_entropy import CrossEntropyOptions, search_by_cross_entropy
from ..playing.evaluate import held_out_users
from ..playing.luck import REFERENCE_LUCK
from ..playing.trials import make_life_env, sum_life_minutes
from ..registry import REFERENCES, Reference
from .features import FEATURES
from .linear import LinearOracle, play_trials
from .oracle_files import read_oracle
from .traits import TRAITS, measure_traits

MOVED = ("click", "minutes", "verdict", "tired")  # features whose weights the network moves
HIDDEN = 4
PLACES = np.array([FEATURES.index(name) for name in MOVED])
INPUTS = len(TRAITS) + 1  # and a 1
PARAMETERS = INPUTS * HIDDEN + HIDDEN * len(MOVED)


@dataclass(eq=False)
class NeuralOracle:
    """The best slate for a linear oracle's worths, whose weights a network on the user's true state moves.

    The weights of `MOVED` are ``w + Vᵀ tanh(Wᵀ z)``, z being the standardised `TRAITS` and a 1.

    Parameters
    ----------
    linear
        Where it starts from.
    parameters
        (P,) W (inputs, hidden) and V (hidden, moved), one after the other; by default 0, which is the linear oracle.
    centre, scale
        Mean and standard deviation (T,) of the traits, from `fit`.
    """

    linear: LinearOracle
    parameters: NDArray[np.float64] = field(default_factory=lambda: np.zeros(PARAMETERS))
    centre: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(TRAITS)))
    scale: NDArray[np.float64] = field(default_factory=lambda: np.ones(len(TRAITS)))
    name: str = "neural oracle"
    privileged: bool = True

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, count in (("parameters", PARAMETERS), ("centre", len(TRAITS)), ("scale", len(TRAITS))):
            value = np.asarray(getattr(self, name), np.float64)
            if value.shape != (count,) or not np.isfinite(value).all() or (name == "scale" and (value <= 0).any()):
                positive = "positive " if name == "scale" else ""
                raise ValueError(f"{name} = {value.tolist()} must be {count} finite {positive}numbers")
            setattr(self, name, value)

    @classmethod
    def build(cls, world: World) -> "NeuralOracle":
        """The one that moves nothing: the myopic oracle."""
        return cls(LinearOracle(world))

    def act(self, observation: Any) -> NDArray[np.int64]:
        """Solve for each user."""
        rows = np.broadcast_to(self.parameters, (len(observation["context"]), PARAMETERS))
        return self.choose_slates(observation, rows)

    def choose_slates(self, observation: Any, parameters: NDArray[np.float64]) -> NDArray[np.int64]:
        """Slates (B, K) for parameters (B, P) of each user's own."""
        weights = np.tile(self.linear.weights, (len(parameters), 1))
        weights[:, PLACES] += self.move_weights(measure_traits(self.linear.world, observation), parameters)
        return self.linear.choose_slates(observation, weights)

    def move_weights(self, traits: NDArray[np.float64], parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """(B, moved) what is added to the weights, from traits (B, T) and parameters (B, P)."""
        first = parameters[:, : INPUTS * HIDDEN].reshape(-1, INPUTS, HIDDEN)
        second = parameters[:, INPUTS * HIDDEN :].reshape(-1, HIDDEN, len(MOVED))
        inputs = np.concatenate([(traits - self.centre) / self.scale, np.ones((len(traits), 1))], axis=1)
        hidden = np.tanh(np.einsum("bi,bih->bh", inputs, first))
        return np.asarray(np.einsum("bh,bhm->bm", hidden, second))

    @classmethod
    def fit(
        cls,
        linear: LinearOracle,
        item_vectors: NDArray[np.float32],
        search: CrossEntropyOptions | None = None,
        progress: Callable[[str, float], None] | None = None,
    ) -> "NeuralOracle":
        """Search the parameters with the most minutes in a month.

        Parameters
        ----------
        linear
            Where the search starts from.
        item_vectors
            Vectors (N, E) that candidates are found by.
        search
            Options of the search; training users are played in it, validation users in the last choice among the means
            of all iterations, the start included.
        progress
            Callable that gets what is being done and the share of it that is done.
        """
        search = search or CrossEntropyOptions()
        world, say = linear.world, progress or (lambda what, share: None)
        people = held_out_users(world, "train", search.users * search.iterations).reshape(search.iterations, -1)
        final = held_out_users(world, "validation", search.validation_users, field="validation_users")
        oracle = cls(linear)
        oracle._standardise(item_vectors, people[0], REFERENCE_LUCK + search.seed)

        env = make_life_env(world, item_vectors, search.users * search.population)

        def score(iteration: int, trials: NDArray[np.float64]) -> NDArray[np.float64]:
            say("searching a network", iteration / search.iterations)
            luck = REFERENCE_LUCK + search.seed + iteration
            return play_trials(env, oracle.choose_slates, people[iteration], trials, luck)

        # The second layer alone is 0 at first: with both at 0 no single number would change anything.
        rng, start = np.random.default_rng(search.seed), np.zeros(PARAMETERS)
        start[: INPUTS * HIDDEN] = rng.standard_normal(INPUTS * HIDDEN) / np.sqrt(INPUTS)
        means = np.stack(search_by_cross_entropy(score, start, search))
        say("choosing among the means of all iterations", 1.0)
        env = make_life_env(world, item_vectors, len(means) * len(final))
        minutes = play_trials(env, oracle.choose_slates, final, means, REFERENCE_LUCK + search.seed)
        oracle.parameters = means[int(np.argmax(minutes))]
        return oracle

    def _standardise(self, item_vectors: NDArray[np.float32], users: NDArray[np.int64], luck: int) -> None:
        """Set centre and scale from the states that these users, shown the linear oracle's slates, pass through."""
        pieces: list[NDArray[np.float64]] = []

        def act(observation: Any, which: NDArray[np.bool_]) -> NDArray[np.int64]:
            pieces.append(measure_traits(self.linear.world, observation))
            return self.linear.act(observation)

        sum_life_minutes(make_life_env(self.linear.world, item_vectors, len(users)), users, luck, act)
        traits = np.concatenate(pieces)
        spread = traits.std(axis=0)
        self.centre, self.scale = traits.mean(axis=0), np.where(spread > 1e-9, spread, 1.0)

    def save(self, path: Path) -> None:
        """Write parameters, scales and the linear oracle as JSON, with the scenario that they are for."""
        numbers = {name: getattr(self, name).tolist() for name in ("parameters", "centre", "scale")}
        scenario = self.linear.world.scenario.digest
        content = {"scenario": scenario, "traits": list(TRAITS), "moved": list(MOVED), **numbers}
        write_whole(path, json.dumps({**content, "linear": self.linear.to_content()}, indent=1, ensure_ascii=False))

    @classmethod
    def load(cls, path: Path, world: World) -> "NeuralOracle":
        """Read what `save` wrote, for a world of the same scenario."""
        return read_oracle(path, world, "a neural oracle", cls.from_content)

    @classmethod
    def from_content(cls, content: Any, world: World) -> "NeuralOracle":
        """The oracle of a file; KeyError, TypeError or ValueError for what is none."""
        for name, known in (("traits", TRAITS), ("moved", MOVED)):
            if content[name] != list(known):
                raise ValueError(f"its {name} are {content[name]}, this version has {list(known)}")
        linear = LinearOracle.from_content(content["linear"], world)
        parameters, centre, scale = (np.array(content[name], np.float64) for name in ("parameters", "centre", "scale"))
        return cls(linear, parameters, centre, scale)


REFERENCES.register(
    "neural",
    Reference(
        kind=NeuralOracle,
        title="neural oracle",
        about="a linear oracle whose weights a network on the user's true state moves",
        build=NeuralOracle.build,
        note="true state, candidates, looks ahead by a network",  # without a file it is the myopic oracle
        load=NeuralOracle.load,
    ),
)

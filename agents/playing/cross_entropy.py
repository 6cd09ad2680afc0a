"""The cross-entropy method: search by drawing trials around a mean, and moving the mean to the best of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...envs.shared.options import Options, number


@dataclass(frozen=True)
class CrossEntropyOptions(Options):
    """How the weights are searched."""

    users: int = number(200, 1, 10**6)
    """Training users that each trial plays; other ones, with other luck, in each iteration."""
    population: int = number(20, 2, 10**4)
    """Trials in an iteration; the first is the mean itself."""
    elites: int = number(5, 2, 10**4)
    """Trials that give the next mean and spread."""
    iterations: int = number(12, 1, 10**4)
    """Rounds of trials."""
    spread: float = number(1.0, 1e-6, 1e3)
    """First standard deviation of the weights [minutes per standard deviation of a feature]."""
    validation_users: int = number(200, 1, 10**6)
    """Users on whom the means of all iterations are compared; the best is kept."""
    seed: int = number(0, 0, 2**31 - 1)
    """Seed of the draws and of the users' luck."""

    def __post_init__(self) -> None:
        """Refuse more elites than trials, too."""
        super().__post_init__()
        if self.elites > self.population:
            raise ValueError(f"elites = {self.elites} is out of range; allowed: 2 to population = {self.population}")


class CrossEntropy:
    """A search that draws trials and learns from what they brought.

    Trials come from a normal distribution with independent components, which is fitted to the best of them, with some
    spread added that shrinks to 0 with the rounds, against settling too soon (Szita and Lőrincz, 2006).

    Parameters
    ----------
    start
        First mean (F,).
    spread
        Standard deviation of the first trials.
    elites
        Trials that give the next mean and spread.
    rounds
        Rounds after which no spread is added any more.

    Attributes
    ----------
    mean, spread
        Mean and standard deviation (F,) of the next trials.
    done
        Rounds whose values are known.
    """

    def __init__(self, start: NDArray[np.float64], spread: float, elites: int, rounds: int) -> None:
        self.first, self.elites, self.rounds, self.done = spread, elites, rounds, 0
        self.mean = np.asarray(start, np.float64)
        self.spread = np.full(len(start), spread)

    def draw_trials(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """(P, F) what to try next; the first is the mean itself."""
        trials = self.mean + self.spread * rng.standard_normal((count, len(self.mean)))
        trials[0] = self.mean
        return trials

    def tell(self, trials: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        """Move to the best of some trials (P, F) by their values (P,), more being better."""
        best = trials[np.argsort(-values, kind="stable")[: self.elites]]
        self.done += 1
        self.mean = best.mean(axis=0)
        self.spread = np.sqrt(best.var(axis=0) + (0.3 * self.first * max(1 - self.done / self.rounds, 0.0)) ** 2)


def search_by_cross_entropy(
    score: Callable[[int, NDArray[np.float64]], NDArray[np.float64]],
    start: NDArray[np.float64],
    options: CrossEntropyOptions,
) -> list[NDArray[np.float64]]:
    """Means of all iterations of the cross-entropy method, the start first.

    Parameters
    ----------
    score
        Callable from the iteration and trials (P, F) to their values (P,), more being better.
    start
        First mean (F,).
    options
        Options of the search.
    """
    rng = np.random.default_rng(options.seed)
    search = CrossEntropy(start, options.spread, options.elites, options.iterations)
    means = [search.mean]
    for iteration in range(options.iterations):
        trials = search.draw_trials(options.population, rng)
        search.tell(trials, score(iteration, trials))
        means.append(search.mean)
    return means

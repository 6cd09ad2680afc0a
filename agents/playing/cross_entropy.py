"""The cross-entropy method: search by drawing trials around a mean, and moving the mean to the best of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..options import check_ranges


@dataclass(frozen=True)
class CrossEntropyOptions:
    """How the weights are searched."""

    users: int = 100
    """Training users that each trial plays; other ones, with other luck, in each iteration."""
    population: int = 32
    """Trials in an iteration; the first is the mean itself."""
    elites: int = 8
    """Trials that give the next mean and spread."""
    iterations: int = 10
    """Rounds."""
    spread: float = 0.4
    """First standard deviation of the weights [minutes per standard deviation of a feature]."""
    validation_users: int = 200
    """Users on whom the means of all iterations are compared; the best is kept."""
    seed: int = 0
    """Of the draws and of the users' luck."""

    def __post_init__(self) -> None:
        """Refuse what could not run."""
        check_ranges(
            self,
            ("users", 1, 10**6),
            ("population", 2, 10**4),
            ("elites", 2, self.population),
            ("iterations", 1, 10**4),
            ("spread", 1e-6, 1e3),
            ("validation_users", 1, 10**6),
            ("seed", 0, 2**31 - 1),
        )


class CrossEntropy:
    """A search that is asked for trials and told what they brought.

    Trials come from a normal distribution with independent components, which is fitted to the best of them, with some
    spread added that shrinks to 0 with the rounds, against settling too soon (Szita and Lőrincz, 2006).

    Parameters
    ----------
    start
        (F,) the first mean.
    spread
        Standard deviation of the first trials.
    elites
        Trials that give the next mean and spread.
    rounds
        After which no spread is added any more.

    Attributes
    ----------
    mean, spread
        (F,) of the next trials.
    done
        Rounds that it was told of.
    """

    def __init__(self, start: NDArray[np.float64], spread: float, elites: int, rounds: int) -> None:
        self.first, self.elites, self.rounds, self.done = spread, elites, rounds, 0
        self.mean = np.asarray(start, np.float64)
        self.spread = np.full(len(start), spread)

    def trials(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """(P, F) what to try next; the first is the mean itself."""
        found = self.mean + self.spread * rng.standard_normal((count, len(self.mean)))
        found[0] = self.mean
        return found

    def tell(self, trials: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        """Move to the best of some trials (P, F) by their values (P,), more being better."""
        best = trials[np.argsort(-values, kind="stable")[: self.elites]]
        self.done += 1
        self.mean = best.mean(axis=0)
        self.spread = np.sqrt(best.var(axis=0) + (0.3 * self.first * max(1 - self.done / self.rounds, 0.0)) ** 2)


def search_by_cross_entropy(
    score: Callable[[int, NDArray[np.float64]], NDArray[np.float64]],
    start: NDArray[np.float64],
    search: CrossEntropyOptions,
) -> list[NDArray[np.float64]]:
    """Means of all iterations of the cross-entropy method, the start first.

    Parameters
    ----------
    score
        From the iteration and trials (P, F) to their values (P,), more is better.
    start
        (F,) the first mean.
    """
    rng = np.random.default_rng(search.seed)
    found = CrossEntropy(start, search.spread, search.elites, search.iterations)
    means = [found.mean]
    for iteration in range(search.iterations):
        trials = found.trials(search.population, rng)
        found.tell(trials, score(iteration, trials))
        means.append(found.mean)
    return means

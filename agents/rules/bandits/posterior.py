"""What linear bandits are made of: a Gaussian posterior, what a slate teaches, and what candidates look like to both.

Everywhere: d inputs of an item, n items learned from, K slots; "..." stands for any axes before, such as users.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ....envs.candidates.scoring import Scorer
from ....envs.engine import Observation

Floats = NDArray[np.float64]

INTERCEPT = 1


@dataclass(frozen=True, eq=False)
class Posterior:
    """Gaussian beliefs about weights θ in ``reward = ⟨θ, x⟩ + noise``, for noise of variance 1.

    Ridge regression says the same: the mean minimises ``Σ w(r − ⟨θ, x⟩)² + ridge·|θ|²``.

    Parameters
    ----------
    precision : (..., d, d) float64
        ``A = ridge·I + Σ w x xᵀ``, the inverse of the covariance.
    moment : (..., d) float64
        ``b = Σ w r x``.
    """

    precision: Floats
    moment: Floats

    @classmethod
    def prior(cls, width: int, ridge: float) -> Self:
        """Of weights (d,) that are 0, give or take 1/√ridge."""
        return cls(ridge * np.eye(width), np.zeros(width))

    def learn(self, inputs: Floats, rewards: Floats, weights: Floats) -> Self:
        """After n items at once: inputs (..., n, d), rewards (..., n) and weights (..., n), 0 for what was not seen."""
        weighted = np.swapaxes(inputs * weights[..., None], -1, -2)
        # One product a user, so that what is learned of one does not depend on who else is in the batch.
        return type(self)(self.precision + weighted @ inputs, self.moment + (weighted @ rewards[..., None])[..., 0])

    def scale(self, share: float) -> Self:
        """The same mean, believed as if only this share of the slots had taught it."""
        return type(self)(share * self.precision, share * self.moment)

    @cached_property
    def root(self) -> Floats:
        """R (..., d, d) with ``RᵀR = A⁻¹``: the inverse of the Cholesky factor of the precision."""
        return np.linalg.inv(np.linalg.cholesky(self.precision))

    @cached_property
    def mean(self) -> Floats:
        """(..., d) ``A⁻¹b``."""
        half = self.root @ self.moment[..., None]
        return np.asarray((np.swapaxes(self.root, -1, -2) @ half)[..., 0])

    def measure_deviations(self, inputs: Floats) -> Floats:
        """(..., n) standard deviation of ``⟨θ, x⟩``: ``√(xᵀA⁻¹x)`` of inputs (..., n, d)."""
        return np.asarray(np.sqrt(((inputs @ np.swapaxes(self.root, -1, -2)) ** 2).sum(axis=-1)))

    def transform_normals(self, normal: Floats) -> Floats:
        """Standard normal numbers (..., d) as deviations from the mean, of covariance ``A⁻¹``."""
        return np.asarray((np.swapaxes(self.root, -1, -2) @ normal[..., None])[..., 0])


def weigh_slots(choice: NDArray[np.int64], slots: int, feedback: str) -> Floats:
    """(B, K) 1 for the slots that a response speaks of, from the slot chosen (B,), −1 for none.

    ``"semi"``: all of them. ``"cascade"``: those down to the one chosen, all if none was: users read from the top and
    stop at what they choose.
    """
    if feedback == "semi":
        return np.ones((len(choice), slots))
    last = np.where(choice >= 0, choice, slots)
    return (np.arange(slots) <= last[:, None]).astype(np.float64)


def discount_slots(slots: int, power: float) -> Floats:
    """(K,) how far each slot is looked at, 1 at the top: ``k^−power``."""
    return np.asarray(np.arange(1, slots + 1) ** -power)


@dataclass(frozen=True, eq=False)
class Design:
    """What a bandit sees of a candidate: an intercept, its scoring features, and its place among the items' vectors.

    Parameters
    ----------
    centre, spread : (F,) float64
        Mean and standard deviation of the features over the candidates that it was fitted on.
    projection : (E, P) float64
        From item vectors to P principal components, each of mean square 1 over the catalogue.
    """

    centre: Floats
    spread: Floats
    projection: Floats

    @classmethod
    def fit(cls, scorer: Scorer, observations: Sequence[Observation], components: int) -> Self:
        """Constants of the candidates in observations, and of the catalogue."""
        pieces = [scorer.features(o)[o["candidates"] > 0] for o in observations]
        features = np.concatenate(pieces).astype(np.float64)
        spread = features.std(axis=0)
        vectors = scorer.vectors[1:].astype(np.float64)
        values, axes = np.linalg.eigh(np.cov(vectors, rowvar=False, bias=True))
        values, axes = values[::-1][:components], axes[:, ::-1][:, :components]
        largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
        projection = axes * np.sign(largest) / np.sqrt(np.maximum(values, 1e-12))
        return cls(features.mean(axis=0), np.where(spread > 1e-6, spread, 1.0), projection)

    @property
    def width(self) -> int:
        """Inputs d of an item."""
        return INTERCEPT + len(self.centre) + int(self.projection.shape[1])

    def project_items(self, scorer: Scorer) -> Floats:
        """(N + 1, P) items on the principal components, centred; row 0 is no item."""
        vectors = scorer.vectors.astype(np.float64)
        components: Floats = (vectors - vectors[1:].mean(axis=0)) @ self.projection
        components[0] = 0.0
        return components

    def make_inputs(self, scorer: Scorer, components: Floats, observation: Observation) -> Floats:
        """(B, M, d) of the candidates."""
        candidates = observation["candidates"].astype(np.int64)
        out = np.ones((*candidates.shape, self.width))
        after = INTERCEPT + len(self.centre)
        out[:, :, INTERCEPT:after] = (scorer.features(observation) - self.centre) / self.spread
        out[:, :, after:] = components[candidates]
        return out

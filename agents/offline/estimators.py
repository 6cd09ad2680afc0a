"""Off-policy evaluation: what a target policy would have earned, from the log of another.

Letters: n logged slates or U users, T slates of a user, K slots, M items; π the target policy, μ the logging one, whose
probabilities are known; r rewards; ρ = π/μ. Every estimator gives an `Estimate`, which keeps what each user adds, so
that intervals resample users. All of it is a pure function of arrays.

What each assumes beyond μ > 0 wherever π > 0: IPS nothing; the reward-interaction estimator that what is clicked in a
slot does not depend on the slots below; independent slots that it depends on its own slot alone; the pseudo-inverse
that the reward of a slate is a sum over its slots. The less is assumed, the larger the variance, which grows
exponentially with the number of draws in which π and μ differ.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stats import Interval

Floats = NDArray[np.float64]
FOLDS = 2  # of users: a model is asked about those whom it was not fitted on
LARGEST = 2**24  # entries of a block of bootstrap counts


@dataclass(frozen=True, eq=False)
class Estimate:
    """``Σ_j mean_u(numerator_uj) / mean_u(denominator_uj)``: a mean over users where the denominator is 1.

    Attributes
    ----------
    numerator, denominator
        (U, J), one row an independent user; J slots or steps that are normalised on their own.
    """

    numerator: Floats
    denominator: Floats

    @property
    def value(self) -> float:
        """The estimate."""
        return float(_ratio(self.numerator.sum(axis=0), self.denominator.sum(axis=0)).sum())

    def estimate_interval(self, resamples: int = 1000, seed: int = 0) -> Interval:
        """The estimate with a 95 % percentile interval of a bootstrap over users."""
        users, rng = len(self.numerator), np.random.default_rng(seed)
        size = max(1, LARGEST // users)
        found = []
        for start in range(0, resamples, size):
            counts = rng.multinomial(users, np.full(users, 1 / users), min(size, resamples - start)).astype(np.float64)
            found.append(_ratio(counts @ self.numerator, counts @ self.denominator).sum(axis=1))
        low, high = np.quantile(np.concatenate(found), [0.025, 0.975])
        return Interval(self.value, float(low), float(high))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """0 where nothing has weight."""
    return np.asarray(np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1.0), 0.0))


def _mean(values: Floats) -> Estimate:
    values = values.reshape(len(values), -1)
    return Estimate(values, np.ones_like(values))


def measure_sample_size(ratio: Floats) -> float:
    """``(Σρ)² / Σρ²`` (Kish, 1965): how many samples from π the weighted ones are worth; 0 if all weights are 0."""
    square = float((ratio**2).sum())
    return float(ratio.sum()) ** 2 / square if square > 0 else 0.0


def estimate_by_weights(reward: Floats, ratio: Floats) -> Estimate:
    """``mean(ρ r)`` of (n,): inverse propensity scoring (Horvitz and Thompson, 1952). Unbiased."""
    _same_shape(reward, ratio)
    return _mean(ratio * reward)


def estimate_normalised(reward: Floats, ratio: Floats) -> Estimate:
    """``Σρr / Σρ`` of (n,): self-normalised (Swaminathan and Joachims, 2015). Consistent, of less variance."""
    _same_shape(reward, ratio)
    return Estimate((ratio * reward)[:, None], ratio[:, None])


def estimate_per_decision(reward: Floats, ratio: Floats, *, gamma: float = 1.0, normalised: bool = False) -> Estimate:
    """``Σ_t γ^t mean(ρ_1 ⋯ ρ_t r_t)`` of (U, T): per-decision importance sampling (Precup et al., 2000).

    Each reward is weighted by the draws before it alone. Normalised, each step is divided by its own mean weight. A
    life that is over goes on with ρ = 1 and r = 0. With the slots of a slate for steps, and ratios conditional on the
    slots above, this is the reward-interaction estimator (RIPS; McInerney et al., 2020), where clicks follow a cascade.
    """
    _same_shape(reward, ratio)
    weight = np.cumprod(ratio, axis=1)
    numerator = gamma ** np.arange(reward.shape[1]) * weight * reward
    return Estimate(np.asarray(numerator), np.asarray(weight if normalised else np.ones_like(weight)))


def estimate_by_slots(reward: Floats, ratio: Floats) -> Estimate:
    """``Σ_k mean(ρ_k r_k)`` of (n, K): the item-position click model (IIPS; Li et al., 2018).

    Parameters
    ----------
    reward
        (n, K) of each slot.
    ratio
        (n, K) of the slots' marginal probabilities, whatever stands in the other slots.
    """
    _same_shape(reward, ratio)
    return _mean(ratio * reward)


def weigh_independent_slots(ratio: Floats) -> Floats:
    """``1 − K + Σ_k ρ_k`` (n,) of (n, K) marginal ratios: the pseudo-inverse weight where μ fills slots independently.

    In closed form (Vlassis et al., 2021). Plackett–Luce slots are nearly independent where each item's probability is
    small, as among hundreds of candidates; an empty slot has ρ = 1.
    """
    return np.asarray(1.0 + (ratio - 1.0).sum(axis=1))


def compute_slate_moments(slates: NDArray[np.int64], probability: Floats, items: int) -> tuple[Floats, Floats]:
    """``E[1_s]`` (K·M,) and ``E[1_s 1_sᵀ]`` (K·M, K·M) of the slots-by-items indicator of a slate.

    Parameters
    ----------
    slates
        (A, K) columns 0 to M − 1: all slates of an exact answer, or drawn ones of an estimate.
    probability
        (A,) of each; 1/A for drawn ones.
    """
    indicator = _indicator(slates, items)
    return np.asarray(probability @ indicator), np.asarray((indicator * probability[:, None]).T @ indicator)


def weigh_by_pseudo_inverse(target: Floats, gamma: Floats, slates: NDArray[np.int64]) -> Floats:
    """``q_πᵀ Γ_μ⁺ 1_s`` (n,): the weight of the pseudo-inverse estimator (Swaminathan et al., 2017), for `ips`.

    Unbiased if the expected reward of a slate is a sum over its slots, and whatever μ shows together spans what π does.

    Parameters
    ----------
    target, gamma
        ``E_π[1_s]`` and ``E_μ[1_s 1_sᵀ]`` of `slate_moments`.
    slates
        (n, K) columns shown.
    """
    items = len(target) // slates.shape[1]
    return np.asarray(_indicator(slates, items) @ (np.linalg.pinv(gamma, hermitian=True) @ target))


def _indicator(slates: NDArray[np.int64], items: int) -> Floats:
    count, slots = slates.shape
    out = np.zeros((count, slots, items))
    np.put_along_axis(out, slates[:, :, None], 1.0, axis=2)
    return out.reshape(count, slots * items)


def estimate_by_model(value: Floats) -> Estimate:
    """``mean(V̂(x))`` of (n,): as good as the model, whatever the log."""
    return _mean(value)


def estimate_doubly_robust(reward: Floats, ratio: Floats, q: Floats, value: Floats) -> Estimate:
    """``mean(V̂(x) + ρ (r − Q̂(x, s)))`` of (n,): unbiased if ρ or the model is right (Dudík et al., 2011).

    With the weights of the pseudo-inverse it is that of Su et al. (2020) and Vlassis et al. (2021).
    """
    _same_shape(reward, ratio, q, value)
    return _mean(value + ratio * (reward - q))


def estimate_doubly_robust_steps(
    reward: Floats, ratio: Floats, q: Floats, value: Floats, *, gamma: float = 1.0
) -> Estimate:
    """``D_t = V̂_t + ρ_t (r_t + γ D_{t+1} − Q̂_t)``, ``mean(D_1)``, of (U, T) (Jiang and Li, 2016).

    A life that is over goes on with ρ = 1 and r = Q̂ = V̂ = 0.
    """
    _same_shape(reward, ratio, q, value)
    found = np.zeros(len(reward))
    for t in range(reward.shape[1] - 1, -1, -1):
        found = value[:, t] + ratio[:, t] * (reward[:, t] + gamma * found - q[:, t])
    return _mean(found)


def fit_q(
    features: Floats, expected: Floats, reward: Floats, alive: NDArray[np.bool_], penalty: float = 1.0
) -> tuple[Floats, Floats]:
    """Linear fitted Q evaluation of a finite horizon (Le et al., 2019): ``Q̂_t`` of what was shown, ``V̂_t``, (U, T).

    Backwards in time ``Q̂_t(x, s) = ⟨β_t, φ(x, s)⟩`` is fitted by ridge regression to ``r_t + V̂_{t+1}``; ``V̂_t`` is its
    mean under π. Each half of the users is asked of the model that the other half fitted, so that `doubly_robust` and
    `doubly_robust_steps` stay unbiased.

    Parameters
    ----------
    features
        (U, T, P) φ of what was shown.
    expected
        (U, T, P) mean of φ under π, in the states logged.
    alive
        (U, T) whether a slate was shown.
    penalty
        Of the squared coefficients of standardised features.
    """
    users, steps, _ = features.shape
    fold = np.arange(users) % FOLDS
    q, value = np.zeros((users, steps)), np.zeros((users, steps))
    for f in range(FOLDS):
        asked, known = fold == f, fold != f
        # What comes after is the fitting half's own estimate: the other half must not be looked at.
        after = np.zeros(int(known.sum()))
        for t in range(steps - 1, -1, -1):
            here = alive[known, t]
            model = _Ridge(features[known, t][here], (reward[known, t] + after)[here], penalty)
            q[asked, t] = np.where(alive[asked, t], model(features[asked, t]), 0.0)
            value[asked, t] = np.where(alive[asked, t], model(expected[asked, t]), 0.0)
            after = np.where(here, model(expected[known, t]), 0.0)
    return q, value


class _Ridge:
    """A ridge regression with an intercept that is not penalised."""

    def __init__(self, x: Floats, y: Floats, penalty: float) -> None:
        if len(x) == 0:
            x, y = np.zeros((1, x.shape[1])), np.zeros(1)
        self.mean, self.scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
        self.scale[x.std(axis=0) < 1e-9] = np.inf  # what does not vary says nothing
        z = (x - self.mean) / self.scale
        self.intercept = y.mean()
        self.beta = np.linalg.solve(z.T @ z + penalty * np.eye(x.shape[1]), z.T @ (y - self.intercept))

    def __call__(self, x: Floats) -> Floats:
        return np.asarray(self.intercept + ((x - self.mean) / self.scale) @ self.beta)


def _same_shape(*arrays: Floats) -> None:
    shapes = [array.shape for array in arrays]
    if len(set(shapes)) > 1:
        raise ValueError(f"arrays of shapes {shapes} do not belong together; all must be of one shape")

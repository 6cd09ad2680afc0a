"""What a user will do, from user and item vectors: interest, rating, retention.

The formulas are functions of given weights; the predictors are the same formulas with weights fitted on a log. All are
linear models in closed form or convex, so a fit has one answer, and what is saved are its coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, RidgeCV

from ..base import EncoderError
from .features import Standardiser
from .saved import Saved

Array = NDArray[np.float64]

# A penalty of a logistic fit is chosen among these on validation rows: Σ weights² (of standardised columns) · penalty.
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
_RIDGE = np.logspace(-1, 5, 13)


def interest(u: ArrayLike, i: ArrayLike, W: ArrayLike, V: ArrayLike, b: float) -> Array:  # noqa: N803  # as the formula has it
    """Chance that a user is interested in an item, ``σ(Wᵀu + Vᵀi + b)``.

    Parameters
    ----------
    u, i : (..., E) array
        User and item vectors.
    W, V : (E,) array
        Weights.
    b : float
        Bias.

    Returns
    -------
    (...) array

    Notes
    -----
    User and item add up, so the order of items is the same for every user: it tells who opens much and what is opened
    much. `InterestPredictor` has a term more, of how well the two match, which may be 0.

    Examples
    --------
    0.33 + 0.13 + 0.1 = 0.56 in the exponent; 0.65, printed elsewhere for these inputs, is not what the formula gives.

    >>> u, i, W, V = (1, 0.5, -0.2), (0.1, 0.3, 0.2), (0.2, 0.3, 0.1), (0.1, 0.2, 0.3)
    >>> round(float(interest(u, i, W, V, b=0.1)), 4)
    0.6365
    """
    return np.asarray(expit(_dot(u, W) + _dot(i, V) + b))


def rating(Q: ArrayLike, P: ArrayLike) -> Array:  # noqa: N803  # as the formula has it
    """Rating of an item by a user, ``QᵀP``.

    Parameters
    ----------
    Q, P : (..., k) array
        Factors of users and of items.

    Examples
    --------
    >>> round(float(rating((1, 0.5, 0.2), (0.1, 0.3, 0.2))), 2)
    0.29
    """
    return _dot(Q, P)


def retention(u: ArrayLike, W: ArrayLike, b: float) -> Array:  # noqa: N803  # as the formula has it
    """Chance that a user comes back, ``σ(Wᵀu + b)``.

    Parameters
    ----------
    u : (..., E) array
        User vectors.
    W : (E,) array
        Weights.
    b : float
        Bias.

    Examples
    --------
    0.87, printed elsewhere for these inputs, is not what the formula gives.

    >>> round(float(retention((1, 0.5, -0.2), (0.2, 0.3, 0.1), b=0.1)), 4)
    0.6059
    """
    return np.asarray(expit(_dot(u, W) + b))


@dataclass(frozen=True, eq=False)
class InterestPredictor(Saved):
    """Is an item that was shown opened? ``σ(Wᵀu + Vᵀi + m·⟨u, i⟩ + b)``, the inner product being of the vectors alone.

    Attributes
    ----------
    W, V : arrays
        Weights of user and item vectors, which features may follow.
    b : float
        Bias.
    m : float
        Weight of the inner product, 0 unless asked for; without it the order of items is the same for every user.
    matched : float
        Columns of u and i that the inner product is of, the first ones; 0 for all.
    """

    W: Array
    V: Array
    b: float
    m: float = 0.0
    matched: float = 0.0

    @classmethod
    def fit(
        cls,
        users: ArrayLike,
        items: ArrayLike,
        opened: ArrayLike,
        *,
        penalty: float = 1.0,
        match: bool = False,
        matched: int = 0,
    ) -> Self:
        """Fit by penalised logistic regression.

        Parameters
        ----------
        users, items : (n, E) array
            Vectors of who was shown what, features after them; they may differ in width, unless all is matched.
        opened : (n,) bool
            Whether it was opened; both must occur.
        penalty : float
            Weight of the squared weights of the standardised columns in the loss; above 0.
        match : bool
            Whether to fit `m`.
        matched : int
            Columns that are matched, the first ones of both, features left out; 0 for all.

        Raises
        ------
        EncoderError
            If shapes do not fit, a value is not finite, or all or none were opened.
        """
        u, i = _check_vectors("users", users), _check_vectors("items", items)
        if not 0 <= matched <= min(u.shape[1], i.shape[1]):
            raise EncoderError(f"matched = {matched} is out of range; allowed: 0 to {min(u.shape[1], i.shape[1])}")
        columns = np.concatenate([u, i, _match(u, i, matched)[:, None]] if match else [u, i], axis=1)
        weights, b = _fit_logistic(columns, opened, penalty)
        E = u.shape[1]
        m = float(weights[-1]) if match else 0.0
        return cls(weights[:E], weights[E : E + i.shape[1]], b, m, float(matched if match else 0))

    def predict(self, users: ArrayLike, items: ArrayLike) -> Array:
        """Chances (n,) of rows (n, E)."""
        u, i = _check_vectors("users", users), _check_vectors("items", items)
        bias = self.b + (self.m * _match(u, i, int(self.matched)) if self.m else 0.0)
        return np.asarray(expit(u @ self.W + i @ self.V + bias))


@dataclass(frozen=True, eq=False)
class Components(Saved):
    """The directions in which vectors vary most, each scaled to unit variance: ``scale @ (v − centre)``.

    Attributes
    ----------
    scale : (k, E) array
    centre : (E,) array
    """

    scale: Array
    centre: Array

    @classmethod
    def fit(cls, vectors: ArrayLike, count: int) -> Self:
        """Find at most `count` principal components of vectors (n, E), fewer where fewer directions vary.

        Raises
        ------
        EncoderError
            If `count` is below 1, a value is not finite, or all vectors are alike.
        """
        array = _check_vectors("vectors", vectors)
        if count < 1:
            raise EncoderError(f"components = {count} is out of range; allowed: from 1")
        # A direction in which nothing varies would be noise once it is scaled.
        kept = min(count, int(np.linalg.matrix_rank(array - array.mean(axis=0))))
        if kept < 1:
            raise EncoderError("all vectors are alike; nothing can be told from them: give others")
        model = PCA(kept, svd_solver="covariance_eigh").fit(array)
        return cls(model.components_ / np.sqrt(model.explained_variance_)[:, None], model.mean_)

    def __call__(self, vectors: ArrayLike) -> Array:
        """Components (n, k) of vectors (n, E)."""
        return np.asarray((_check_vectors("vectors", vectors) - self.centre) @ self.scale.T)


@dataclass(frozen=True, eq=False)
class RatingPredictor(Saved):
    """How much of an item is consumed, or how it is rated? ``Q(u)ᵀP(i)``, both factors affine in the vectors.

    That is a bilinear model with biases, ``r = b + wᵀũ + vᵀĩ + ũᵀMĩ`` of the k first principal components ũ and ĩ,
    written as ``Q = (Mᵀũ + v, wᵀũ + b)`` and ``P = (ĩ, 1)``.

    Attributes
    ----------
    user_map, item_map : (k + 1, E) array
    user_shift, item_shift : (k + 1,) array
        ``Q = user_map @ u + user_shift``, likewise P.
    """

    user_map: Array
    user_shift: Array
    item_map: Array
    item_shift: Array

    @classmethod
    def fit(cls, users: ArrayLike, items: ArrayLike, ratings: ArrayLike, *, components: int = 12) -> Self:
        """Fit by ridge regression, its penalty chosen by leave-one-out on these rows.

        Parameters
        ----------
        users, items : (n, E) array
            Vectors of who consumed what.
        ratings : (n,) float
            Completion or rating.
        components : int
            Principal components k of each side; at most E and n − 1 are used.

        Raises
        ------
        EncoderError
            If shapes do not fit, or a value is not finite.
        """
        y = _check_targets(ratings, len(_check_vectors("users", users)))
        of_users, of_items = Components.fit(users, components), Components.fit(items, components)
        u, i = of_users(users), of_items(items)
        k, j = u.shape[1], i.shape[1]
        cross = (u[:, :, None] * i[:, None, :]).reshape(len(y), k * j)
        model = RidgeCV(alphas=_RIDGE).fit(np.concatenate([u, i, cross], axis=1), y)
        w, v, M = np.split(model.coef_, [k, k + j])
        # Both factors as affine functions of the components, then of the vectors themselves.
        user_map = np.vstack([M.reshape(k, j).T, w]) @ of_users.scale
        item_map = np.vstack([of_items.scale, np.zeros(of_items.scale.shape[1])])
        user_shift = np.append(v, model.intercept_) - user_map @ of_users.centre
        return cls(user_map, user_shift, item_map, np.append(-of_items.scale @ of_items.centre, 1.0))

    def compute_factors(self, users: ArrayLike, items: ArrayLike) -> tuple[Array, Array]:
        """Factors Q (n, k + 1) of users and P (n, k + 1) of items."""
        of_users = _check_vectors("users", users) @ self.user_map.T + self.user_shift
        return of_users, _check_vectors("items", items) @ self.item_map.T + self.item_shift

    def predict(self, users: ArrayLike, items: ArrayLike) -> Array:
        """Ratings (n,) of rows (n, E)."""
        return rating(*self.compute_factors(users, items))


@dataclass(frozen=True, eq=False)
class RetentionPredictor(Saved):
    """Does a user come back within some days? ``σ(Wᵀu + b)``, u being the user vector and features of the session.

    Attributes
    ----------
    W : (E + F,) array
        Weights of the user vector and of the features.
    b : float
        Bias.
    """

    W: Array
    b: float

    @classmethod
    def fit(cls, users: ArrayLike, features: ArrayLike, returned: ArrayLike, *, penalty: float = 1.0) -> Self:
        """Fit by penalised logistic regression.

        Parameters
        ----------
        users : (n, E) array
            User vectors when a session ended; E may be 0.
        features : (n, F) array
            Features of that session and those before; F may be 0.
        returned : (n,) bool
            Whether the user came back in time; both must occur.
        penalty : float
            Weight of the squared weights of the standardised columns in the loss; above 0.

        Raises
        ------
        EncoderError
            If shapes do not fit, a value is not finite, or all or none came back.
        """
        return cls(*_fit_logistic(_join_columns(users, features), returned, penalty))

    def predict(self, users: ArrayLike, features: ArrayLike) -> Array:
        """Chances (n,) of rows (n, E) and (n, F)."""
        return retention(_join_columns(users, features), self.W, self.b)


def _dot(a: ArrayLike, b: ArrayLike) -> Array:
    return np.asarray(np.einsum("...e,...e->...", np.asarray(a, np.float64), np.asarray(b, np.float64)))


def _match(users: Array, items: Array, count: int) -> Array:
    """Inner products (n,) of the first `count` columns of both; of all, which must be as many, where it is 0."""
    return _dot(users[:, :count], items[:, :count]) if count else _dot(users, items)


def _check_vectors(name: str, values: ArrayLike) -> Array:
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or not np.isfinite(array).all():
        raise EncoderError(f"{name} of shape {array.shape}: must be finite numbers (n, E), one row an observation")
    return array


def _join_columns(users: ArrayLike, features: ArrayLike) -> Array:
    u, f = _check_vectors("users", users), _check_vectors("features", features)
    if len(u) != len(f):
        raise EncoderError(f"users have {len(u)} rows, features {len(f)}; give one of each for an observation")
    return np.concatenate([u, f], axis=1)


def _check_targets(values: ArrayLike, rows: int) -> Array:
    array = np.asarray(values, np.float64)
    if array.shape != (rows,) or not np.isfinite(array).all():
        raise EncoderError(f"targets of shape {array.shape}: must be finite numbers ({rows},), one for each row")
    return array


def _fit_logistic(columns: Array, outcome: ArrayLike, penalty: float) -> tuple[Array, float]:
    """Weights and bias of the columns as they are; the penalty is on those of the standardised columns."""
    y = _check_targets(outcome, len(columns)).astype(bool)
    if y.all() or not y.any():
        raise EncoderError(f"all {len(y)} outcomes are {bool(y.all())}; both kinds are needed: give more rows")
    if not 0.0 < penalty < np.inf:
        raise EncoderError(f"penalty = {penalty} is out of range; allowed: above 0")
    table = pd.DataFrame(columns)
    scaler = Standardiser.fit(table)
    model = LogisticRegression(C=1.0 / penalty, max_iter=5000).fit(scaler.transform(table), y)
    scale = np.array(scaler.scale)
    weights = np.divide(model.coef_[0], scale, out=np.zeros(len(scale)), where=scale > 0.0)
    return weights, float(model.intercept_[0] - weights @ np.array(scaler.mean))

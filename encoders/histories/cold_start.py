"""Cold start: vectors of new items from their texts, and of new users from a profile or a few chosen items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict

from ...envs.shared.options import Options, number
from ...envs.shared.progress import ProgressCallback
from ..base import Encoder, EncoderError, Histories, Items
from ..data.interactions import Interactions
from ..registry import ENCODERS, EncoderEntry
from ..text.cache import Vectors

# Penalties among which leave-one-out on the training rows chooses.
_RIDGE = np.logspace(-3, 4, 15)
# Weights of a profile, in items of a history, among which users left out choose; 0 is for who has no history alone.
KAPPAS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
_LENGTHS = (0, 1, 2, 4, 8)  # of the histories by which they choose
_FOLDS = 5  # of users: each is left out once, so that every profile is judged by what others taught
_CELLS = 2**24  # scores that are ranked at most
_HEAD, _INNER = "cold/", "inner/"


@dataclass(frozen=True)
class ColdStartOptions(Options):
    """Options of `ColdStart`."""

    inner: str = "pooled"
    """The encoder that has no vectors for what is new, by its name in the registry."""
    inner_settings: Mapping[str, Any] = field(default_factory=dict)
    """Options of the inner encoder that differ from its defaults."""
    least: int = number(3, 1, 10**9)
    """Times an item must have been consumed to keep the inner encoder's vector."""
    kappa: float = number(2.0, 0.0, 1e6)
    """Items of a history that weigh as much as the profile, where no validation log chooses."""


class ColdStart(Encoder):
    """Another encoder, with vectors for items and users that it has not met.

    *Items* consumed fewer than ``least`` times get a ridge regression of the inner encoder's item vectors on the text
    vectors, fitted on the other items (attribute-to-factor mapping; Gantner et al. 2010).

    *Users* with a profile get ``(n·u + κ·p) / (n + κ)``: u is the inner encoder's vector of the n items of the
    history, p a ridge regression of training users' vectors on their profiles' vectors. κ is chosen by the discounted
    gain of what users liked in the validation log, their profiles left out of the regression. A user without a profile,
    or a fit without profiles, keeps u. A few chosen items are a history, see `choose`.

    Parameters
    ----------
    items : Items
        Their `vectors` say what texts mean.
    options : ColdStartOptions, optional
        The inner encoder, and what counts as cold.
    inner : Encoder, optional
        The inner encoder itself, of the options named; not fitted again if it is fitted.
    profiles : (U, P) array, optional
        Profile vectors of the users of the log that it is fitted on; a row of zeros for a user without one.

    Notes
    -----
    ``encode`` takes the profiles from ``histories["profile_vector"]`` (B, P). A ridge regression shrinks towards the
    mean: scores of cold items spread less than those of others, so in one list with them they come up less at both
    ends.
    """

    options_type: ClassVar[type[Options]] = ColdStartOptions
    kappa: float
    cold: NDArray[np.bool_]

    def __init__(
        self,
        items: Items,
        options: ColdStartOptions | None = None,
        *,
        inner: Encoder | None = None,
        profiles: ArrayLike | None = None,
    ) -> None:
        super().__init__(items, options)
        expected = _make_inner(items, self.options)
        if inner is not None and (type(inner) is not type(expected) or inner.options != expected.options):
            raise EncoderError(
                f"inner is {type(inner).__name__} with {inner.options}, the options name {type(expected).__name__} "
                f"with {expected.options}; give options of the same"
            )
        self.inner = expected if inner is None else inner
        self._profiles = None if profiles is None else _check_profiles(profiles)
        self._from_profile = np.zeros((0, 0))

    def _fit(
        self,
        log: Interactions,
        validation: Interactions | None,
        seed: int,
        folder: Path | None,
        report: ProgressCallback,
    ) -> None:
        if not self.inner._fitted:
            self.inner.fit(log, validation, seed=seed, folder=folder, report=report)
        self.width = self.inner.width
        self.kappa = float(self.options.kappa)
        self._fill_items(np.bincount(log.item[log.consumed], minlength=log.items + 1))
        if self._profiles is not None:
            self._learn_profiles(log, validation, seed)

    def _fill_items(self, count: NDArray[np.int64]) -> None:
        """Vectors of all items, those of cold ones from their texts."""
        self.cold = count < self.options.least
        self.cold[0] = False
        self._table = self.inner.item_vectors.copy()
        warm = np.flatnonzero(~self.cold[1:])
        if self.cold.any():
            if len(warm) < 2:
                fix = "lower `least` or collect more"
                raise EncoderError(f"{len(warm)} items were consumed {self.options.least} times or more. Fix: {fix}")
            weights = _fit_ridge(self.items.vectors[warm], self._table[1 + warm])
            self._table[self.cold] = _apply_ridge(self.items.vectors[self.cold[1:]], weights)

    def _learn_profiles(self, log: Interactions, validation: Interactions | None, seed: int) -> None:
        """Fit profiles to user vectors; where there is a validation log, choose κ by profiles left out of a fit."""
        assert self._profiles is not None
        if len(self._profiles) != log.users:
            raise EncoderError(f"there are {len(self._profiles)} profiles and {log.users} users; give a row for each")
        told = self._profiles.any(axis=1)
        users = np.intersect1d(np.flatnonzero(told), log.user[log.consumed])
        if len(users) < 10:
            raise EncoderError(f"{len(users)} users have a profile and a history; give at least 10, or no profiles")
        vectors = self.inner.encode(log.histories(users, before=_find_time_after(log)))
        if validation is not None:
            folds = KFold(_FOLDS, shuffle=True, random_state=seed)
            told = cross_val_predict(RidgeCV(alphas=_RIDGE), self._profiles[users], vectors, cv=folds)
            self.kappa = self._choose_kappa(log, validation, users, np.asarray(told, np.float32), seed)
        self._from_profile = _fit_ridge(self._profiles[users], vectors)

    def _choose_kappa(
        self, log: Interactions, validation: Interactions, users: NDArray[np.int64], profile_vectors: Vectors, seed: int
    ) -> float:
        """κ of the best discounted gain of items that users liked later, over histories of several lengths."""
        target = _find_new_likes(log, validation, users, max(100, _CELLS // log.items), seed)
        if not len(target):
            return float(self.options.kappa)
        liking, place = np.unique(validation.user[target], return_inverse=True)
        item = validation.item[target] - 1
        rivals = ~_find_consumed(log, liking)[:, 1:]  # what was consumed is not recommended again: it would stand first
        scores = profile_vectors[np.searchsorted(users, liking)] @ self._table[1:].T
        gain = np.zeros((len(_LENGTHS), len(KAPPAS)))
        for i, length in enumerate(_LENGTHS):
            histories = log.histories(liking, before=_find_time_after(log), length=max(_LENGTHS))
            for column in histories.values():
                column[:, length:] = 0.0
            n = (histories["history_ids"] > 0).sum(axis=1)[:, None]
            own = self.inner.encode(histories) @ self._table[1:].T
            for j, kappa in enumerate(KAPPAS):
                share = _weigh_profile(n, kappa)
                mixed = np.where(rivals, (1.0 - share) * own + share * scores, -np.inf)
                rank = 1 + (mixed[place] > mixed[place, item][:, None]).sum(axis=1)
                gain[i, j] = (1.0 / np.log2(1.0 + rank)).mean()
        return KAPPAS[int(gain.mean(axis=0).argmax())]

    def _encode(self, histories: Histories) -> Vectors:
        vectors = self.inner.encode(histories)
        profiles = histories.get("profile_vector")
        if profiles is None or not self._from_profile.size:
            return vectors
        rows = _check_profiles(profiles)
        expected = (len(vectors), len(self._from_profile) - 1)
        if rows.shape != expected:
            raise EncoderError(f"profile_vector has shape {rows.shape}, must be {expected}; zeros say there is none")
        n = (histories["history_ids"] > 0).sum(axis=1)
        has_profile = rows.any(axis=1)
        share = np.where(has_profile, _weigh_profile(n, self.kappa), 0.0)[:, None]
        return np.asarray((1.0 - share) * vectors + share * _apply_ridge(rows, self._from_profile), np.float32)

    def _item_vectors(self) -> Vectors:
        return self._table

    def _weights(self) -> dict[str, NDArray[Any]]:
        own = {"items": self._table, "cold": self.cold, "kappa": np.array([self.kappa]), "profile": self._from_profile}
        inner = {_INNER + name: array for name, array in self.inner._weights().items()}
        return {_HEAD + name: array for name, array in own.items()} | inner

    def _restore(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self.inner._restore({name[len(_INNER) :]: a for name, a in weights.items() if name.startswith(_INNER)})
        self.inner._fitted = True
        self._table, self.cold = weights[_HEAD + "items"], weights[_HEAD + "cold"]
        self.kappa, self._from_profile = float(weights[_HEAD + "kappa"][0]), weights[_HEAD + "profile"]
        self.width = self.inner.width

    def _header(self) -> dict[str, object]:
        inner = {name: value for name, value in self.inner._header().items() if name != "items"}
        return super()._header() | {"inner": inner}


def choose(items: Sequence[int], length: int = 20) -> dict[str, NDArray[np.float32]]:
    """A history of one user who chose some items just now, as a new user is asked to.

    Parameters
    ----------
    items : sequence of int
        Item numbers, 1 to N; they count as finished today.
    length : int
        Length H of the history, at least that of `items`.
    """
    if not 0 <= len(items) <= length:
        raise EncoderError(f"{len(items)} items were chosen; allowed: 0 to {length}")
    histories = {f"history_{name}": np.zeros((1, length), np.float32) for name in ("ids", "completion", "age")}
    histories["history_ids"][0, : len(items)] = items
    histories["history_completion"][0, : len(items)] = 1.0
    return histories


def _make_inner(items: Items, options: ColdStartOptions) -> Encoder:
    ENCODERS.card(options.inner, "inner")  # an error names the field
    return ENCODERS[options.inner].make(items, **options.inner_settings)


def _weigh_profile(n: NDArray[np.int64], kappa: float) -> NDArray[np.float64]:
    """Weight of the profile beside n items, ``κ / (n + κ)``; it speaks alone where there is none, even with κ = 0."""
    return np.where(n > 0, kappa / np.maximum(n + kappa, 1e-12), 1.0)


def _find_consumed(log: Interactions, users: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(B, N + 1) whether each of some users, ascending, consumed an item."""
    rows = np.flatnonzero(log.consumed & np.isin(log.user, users))
    consumed = np.zeros((len(users), log.items + 1), np.bool_)
    consumed[np.searchsorted(users, log.user[rows]), log.item[rows]] = True
    return consumed


def _find_new_likes(
    log: Interactions, validation: Interactions, users: NDArray[np.int64], most: int, seed: int
) -> NDArray[np.int64]:
    """Rows of the validation log in which one of the users likes an item not consumed before; at most so many."""
    rows = np.flatnonzero(validation.liked & np.isin(validation.user, users))
    # A pair of user and item as one integer: a table of all pairs would not fit into memory.
    before, later = (table.user * (log.items + 1) + table.item for table in (log, validation))
    rows = rows[~np.isin(later[rows], before[log.consumed])]
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _check_profiles(profiles: ArrayLike) -> NDArray[np.float64]:
    rows = np.asarray(profiles, np.float64)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise EncoderError(f"profiles of shape {rows.shape}: must be finite numbers, one row a user")
    return rows


def _find_time_after(log: Interactions) -> float:
    """A moment after the last row."""
    return float(np.nextafter(log.time.max(), np.inf))


def _fit_ridge(columns: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.float64]:
    """Weights (P + 1, E) of a ridge regression, the intercepts last; its penalty by leave-one-out."""
    model = RidgeCV(alphas=_RIDGE).fit(columns.astype(np.float64), targets.astype(np.float64))
    return np.vstack([np.reshape(model.coef_, (targets.shape[1], -1)).T, model.intercept_])


def _apply_ridge(columns: NDArray[Any], weights: NDArray[np.float64]) -> Vectors:
    return np.asarray(columns @ weights[:-1] + weights[-1], np.float32)


ENCODERS.register(
    "cold-start",
    EncoderEntry(ColdStart),
    encoder="ColdStart",
    about="another encoder, helped by texts where it knows nothing",
)

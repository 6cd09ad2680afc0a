"""All slates of a few items, and what each is worth: the oracle of the references."""

import itertools

import numpy as np


def all_slates(items, slots):
    """(S, K) columns of every slate without repeats; −1 for an empty slot."""
    every = itertools.product(range(-1, items), repeat=slots)
    return np.array([s for s in every if len({c for c in s if c >= 0}) == sum(c >= 0 for c in s)])


def value(model, pull, reward, position, nothing, columns):
    """Expected reward of slates: (B, M) attributes, columns (B, S, K) or (1, S, K); written out slot by slot."""
    columns = np.broadcast_to(columns, (len(pull), *columns.shape[1:]))
    rows = np.arange(len(pull))[:, None]
    weights = [np.where(c >= 0, pull[rows, c], 0.0) for c in np.moveaxis(columns, 2, 0)]
    pays = [np.where(c >= 0, reward[rows, c], 0.0) for c in np.moveaxis(columns, 2, 0)]
    if model == "logit":
        shown = [p * w for p, w in zip(position, weights, strict=False)]
        return sum(w * r for w, r in zip(shown, pays, strict=True)) / (nothing + sum(shown))
    if model == "cascade":
        total, looking = np.zeros(columns.shape[:2]), np.ones(columns.shape[:2])
        for p, w, r in zip(position, weights, pays, strict=False):
            total = total + p * looking * w / (nothing + w) * r
            looking = looking * nothing / (nothing + w)
        return total
    rates = [p * w / (nothing + w) for p, w in zip(position, weights, strict=False)]
    attention = np.maximum(sum(rates), 1e-300)
    return sum(a * r for a, r in zip(rates, pays, strict=True)) * -np.expm1(-attention) / attention


def unique(slates):
    """Slates whose later copies of an item are empty slots."""
    return np.where([[i in row[:k] for k, i in enumerate(row)] for row in slates.tolist()], 0, slates)


def perturbed(slates, ids, rng):
    """Slates with two slots exchanged and one replaced by any of (B, M) ids, or emptied."""
    out, rows = slates.copy(), np.arange(len(slates))
    one, two = rng.integers(0, slates.shape[1], (2, len(slates)))
    out[rows, one], out[rows, two] = slates[rows, two], slates[rows, one]
    place, column = rng.integers(0, slates.shape[1], len(slates)), rng.integers(0, ids.shape[1], len(slates))
    out[rows, place] = np.where(rng.random(len(slates)) < 0.1, 0, ids[rows, column])
    return out

"""Where options of agents are searched, as declared at their fields: distributions to draw proposals from."""

import dataclasses

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from ..envs.shared.options import KEY, Allowed, Options, SearchRange, among, logarithmically

Space = dict[str, BaseDistribution]

RATE = logarithmically(1e-4, 1e-2)  # of optimisers
ENTROPY = among(0.0, 0.001, 0.003, 0.01, 0.02, 0.03)  # bonuses for entropy


def make_space(kind: type[Options]) -> Space:
    """Distributions of the options that are searched, by name, in the order of the fields."""
    space: Space = {}
    for field in dataclasses.fields(kind):
        allowed: Allowed | None = field.metadata.get(KEY)
        if allowed is not None and allowed.search is not None:
            space[field.name] = make_distribution(allowed.search, allowed, isinstance(field.default, int))
    return space


def make_distribution(search: SearchRange, allowed: Allowed, whole: bool) -> BaseDistribution:
    """The distribution of one option; of whole numbers, or not."""
    if search.choices:
        return CategoricalDistribution(search.choices)
    low = allowed.low if search.low is None else search.low
    high = allowed.high if search.high is None else search.high
    if whole:
        return IntDistribution(int(low), int(high), log=search.logarithmic)
    return FloatDistribution(low, high, log=search.logarithmic)

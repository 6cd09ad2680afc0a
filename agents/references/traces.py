"""What earlier slates left with a user, as references read it: impressions ignored, items consumed, trust."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...envs.engine import ContextColumn
from ...envs.shared.compiled import loop
from ...envs.shared.notices import say_once
from ...envs.users.memory import NOWHERE, choose_row, find_way, recall_consumed, recall_ignored
from ...envs.users.world import World

FIELDS = ("memory_item", "memory_trace", "memory_consumed")


class Traces(NamedTuple):
    """What earlier slates left of items for B users.

    Attributes
    ----------
    ignored
        (B, M) impressions ignored, faded by now.
    consumed
        (B, M) how much of the penalty for a repeat an item meets, 0 to 1.
    """

    ignored: NDArray[np.float64]
    consumed: NDArray[np.float64]


def recall_traces(world: World, ids: NDArray[np.int64], observation: Any) -> Traces:
    """What is left of earlier slates for items (B, M), from an observation with the hidden state."""
    p, latent, history = world.scenario.params, observation["latent"], observation["history_ids"]
    ignored, consumed = np.zeros(ids.shape), np.zeros(ids.shape)
    if world.scenario.memory:
        users = np.zeros(len(ids), world.scenario.make_user_type())
        for name in FIELDS:
            users[name] = latent[name]
        users["clock"] = observation["context"][:, ContextColumn.DAY]
        _recall_all(world.scenario.record, users, ids, ignored, consumed)
    if p.repeat_recovery == 0.0:
        for h in range(min(int(p.repeat_memory), history.shape[1])):
            consumed[ids == history[:, h, None]] = 1.0  # an item consumed twice is punished once
    return Traces(ignored, consumed)


@loop
def _recall_all(
    params: np.ndarray, users: np.ndarray, ids: np.ndarray, ignored: np.ndarray, consumed: np.ndarray
) -> None:
    p = params[0]
    for b in range(len(ids)):
        user = users[b]
        for m in range(ids.shape[1]):
            row = choose_row(user, ids[b, m])
            way = find_way(user, row, ids[b, m])
            if way != NOWHERE and ids[b, m] > 0:
                ignored[b, m] = recall_ignored(p, user, row, way)
                consumed[b, m] = recall_consumed(p, user, row, way)


def weigh_nothing(world: World, observation: Any) -> NDArray[np.float64]:
    """(B, 1) weights of choosing nothing, which fall with trust where ``choice.trust`` is not 0."""
    p, count = world.scenario.params, len(observation["context"])
    trust = observation["latent"]["trust"] - p.churn_trust_pivot if p.choice_trust > 0 else np.zeros(count)
    return np.asarray(np.exp(p.choice_nothing - p.choice_trust * trust)[:, None])


def say_other_laws(world: World, name: str) -> None:
    """Say that a reference knows the user model as it was shipped, where users choose or watch by laws of their own."""
    own = [behaviour for behaviour in ("attract", "choose", "watch") if behaviour in world.scenario.behaviours]
    if own:
        say_once(f"the {name} knows the user model as it was shipped, without the world's own {' and '.join(own)}")

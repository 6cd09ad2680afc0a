"""What the linear oracle reads of an item: features of the item and the user's true state, as records by name."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import expit

from ...envs.engine import ContextColumn
from ...envs.shared.compiled import loop
from ...envs.users.arithmetic import dot
from ...envs.users.constants import LINEAR
from ...envs.users.dynamics import measure_flare
from ...envs.users.records import Record
from ...envs.users.world import World
from .oracles import NODE_WEIGHTS, NODES
from .traces import Traces

FEATURES = (
    "click",  # 1: what any click is worth, against none
    "minutes",  # expected of a click
    "completion",  # expected of a click
    "length",  # logarithm of the item's minutes
    "taste",  # true taste's part of the utility
    "momentum",  # inner product with the topic consumed last
    "satiation",  # inner product with satiation
    "tired",  # the user's sensitivity times that: the part of the utility that satiation takes away
    "repeat",  # 1 for an item consumed before; where that is forgotten by and by, what is left of it
    "appeal",
    "substance",
    "verdict",  # what the item would do to satisfaction: substance against what the appeal promised
    "crowding",  # items of the same main topic that are expected to pay more now: its weight is a penalty on sameness
    "click × left",  # the share of the horizon that is left
    "verdict × left",
    "verdict × trust",
    "verdict × satisfaction",
)
LAWS = (  # constants of the scenario that describe an item
    "taste_weight",
    "momentum_weight",
    "repeat_penalty",
    "impression_weight",
    "choice_appeal",
    "items_life",
    "choice_price",
    "items_flare",
    "items_flare_days",
    "dwell_base",
    "dwell_utility",
    "horizon_days",
)
FEATURE_ROW = np.dtype([(name, np.float64) for name in FEATURES])
REACH, CELLS = 30.0, 6000  # the expected completion is tabulated for logits from −30 to 30: off by 1e-6 at most between


class Tastes(NamedTuple):
    """True tastes, beside the records: of vectors in a record the compiler sums the inner product in another order."""

    users: NDArray[np.float64]  # (B, D)
    items: NDArray[np.float32]  # (N + 1, D)


def lay_out_items(world: World) -> NDArray[Any]:
    """(N + 1,) records of the items of a world, item 0 being none."""
    items, p = world.items, world.scenario.params
    given = [(name, items.dtype[name]) for name in ("share", "topic")]
    numbers = [(name, np.float64) for name in ("minutes", "appeal", "substance", "born", "flare", "price", "verdict")]
    table = np.zeros(len(items), np.dtype([*given, *numbers, ("main_topic", np.int64)], align=True))
    for name in ("share", "topic", "minutes", "appeal", "substance", "born", "flare", "price"):
        table[name] = items[name]
    expected = p.satisfaction_base + p.satisfaction_substance * items["substance"].astype(np.float64)
    table["verdict"] = 1 / (1 + np.exp(p.satisfaction_appeal * items["appeal"] - expected))
    table["main_topic"] = world.topics.argmax(axis=1)
    return table


def read_laws(world: World) -> Any:
    """Record of the scenario's constants, by its own names, and of the expected completion by its logit."""
    p = world.scenario.params
    fields = [*((name, np.float64) for name in LAWS), ("linear", np.int64), ("completion", np.float64, (CELLS + 1,))]
    laws = np.zeros(1, np.dtype(fields))
    for name in LAWS:
        laws[name] = p[name]
    laws["linear"] = p.satiation_kind == LINEAR  # satiation, which saturates otherwise
    logits = np.linspace(-REACH, REACH, CELLS + 1)
    laws["completion"] = expit(logits[:, None] + p.dwell_noise * NODES) @ (NODE_WEIGHTS / NODE_WEIGHTS.sum())
    return laws[0]


def read_users(observation: Any) -> NDArray[Any]:
    """(B,) records of the users of an observation with the hidden state."""
    latent = observation["latent"]
    vectors = [(name, np.float64, latent[name].shape[1:]) for name in ("momentum", "satiation")]
    numbers = [(name, np.float64) for name in ("sensitivity", "trust", "satisfaction", "clock")]
    users = np.zeros(len(latent["trust"]), np.dtype([*vectors, *numbers]))
    for name in ("momentum", "satiation", "sensitivity", "trust", "satisfaction"):
        users[name] = latent[name]
    users["clock"] = observation["context"][:, ContextColumn.DAY]
    return users


def describe_items(
    ids: NDArray[np.int64], items: NDArray[Any], users: NDArray[Any], laws: Any, tastes: Tastes, traces: Traces
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Choice weight (B, M) of items before the slot counts, and their features (B, M, F), unscaled.

    Parameters
    ----------
    ids
        Items (B, M), 0 for none.
    items, users, laws
        Records of `lay_out_items`, `read_users` and `read_laws`.
    tastes
        Tastes of the same users and items.
    traces
        What earlier slates left of the items.
    """
    pull, x = np.zeros(ids.shape), np.zeros((*ids.shape, len(FEATURES)))
    topics = int(items["main_topic"].max()) + 1
    above = np.zeros(topics, np.int64)
    _describe_all(ids, items, users, laws, tastes, traces, above, pull, x.view(FEATURE_ROW)[..., 0])
    return pull, x


@njit(nogil=True)
def _describe_item(item: Record, user: Record, laws: Record, liking: float, repeat: float, row: Record) -> float:
    """Features of an item for a user into `row`, all but crowding; returns its choice weight before the slot counts."""
    going_on = tired = 0.0
    for j in range(len(item.share)):
        going_on += user.momentum[item.topic[j]] * item.share[j]
        tired += user.satiation[item.topic[j]] * item.share[j]
    burden = user.sensitivity * (tired if laws.linear == 1 else np.log1p(tired))
    utility = laws.taste_weight * liking + laws.momentum_weight * going_on - burden - laws.repeat_penalty * repeat
    logit = laws.dwell_base + laws.dwell_utility * utility
    place = min(max((logit + REACH) * (CELLS / (2.0 * REACH)), 0.0), CELLS - 1.0)
    cell = int(place)
    completion = laws.completion[cell] + (place - cell) * (laws.completion[cell + 1] - laws.completion[cell])
    left = 1.0 - user.clock / laws.horizon_days
    row["click"] = 1.0
    row["minutes"] = completion * item.minutes
    row["completion"] = completion
    row["length"] = np.log(item.minutes)
    row["taste"] = laws.taste_weight * liking
    row["momentum"] = going_on
    row["satiation"] = tired
    row["tired"] = burden
    row["repeat"] = repeat
    row["appeal"] = item.appeal
    row["substance"] = item.substance
    row["verdict"] = item.verdict
    row["click × left"] = left
    row["verdict × left"] = item.verdict * left
    row["verdict × trust"] = item.verdict * user.trust
    row["verdict × satisfaction"] = item.verdict * user.satisfaction
    age = user.clock - item.born
    worn = age / laws.items_life if laws.items_life > 0.0 else 0.0
    if laws.items_flare > 0.0:
        worn -= measure_flare(item.flare, age, laws.items_flare_days)
    worn += laws.choice_price * item.price
    return float(np.exp(utility + laws.choice_appeal * item.appeal - worn))


@loop
def _describe_all(
    ids: np.ndarray,
    items: np.ndarray,
    users: np.ndarray,
    laws: Record,
    tastes: Tastes,
    traces: Traces,
    above: np.ndarray,
    pull: np.ndarray,
    rows: np.ndarray,
) -> None:
    """Choice weights and features (B, M), records of `FEATURE_ROW`; `above` (G,) is room to count topics in."""
    for b in range(len(ids)):
        user = users[b]
        gain = np.zeros(ids.shape[1])
        for m in range(len(gain)):
            item = items[ids[b, m]]
            if ids[b, m] > 0 and item.born <= user.clock:
                liking = dot(tastes.users[b], tastes.items[ids[b, m]])
                pull[b, m] = _describe_item(item, user, laws, liking, traces.consumed[b, m], rows[b, m])
                pull[b, m] *= np.exp(-laws.impression_weight * np.log1p(traces.ignored[b, m]))
                gain[m] = pull[b, m] * rows[b, m]["minutes"]
        above[:] = 0
        for m in np.argsort(-gain):
            if pull[b, m] > 0.0:
                topic = items[ids[b, m]].main_topic
                rows[b, m]["crowding"] = above[topic]
                above[topic] += 1

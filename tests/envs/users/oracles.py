"""The user model a second way, in plain Python: pulls and choices by definition, and the memory as a dictionary."""

import math

import numpy as np

from longplay.envs.users.memory import NEVER
from longplay.envs.users.records import WAYS
from longplay.tests.envs.worlds import membership


def pulls(p, user, items, notes=None):
    """e^(U + κa − age/life + flare − λz − η·ln(1 + n)) of each slot of the slate.

    n and the repeats are those of `notes`, where there are any. It is 0 for an empty slot, a later copy and an item to
    come.
    """
    slate, now = user["slate"], float(user["clock"])
    topics = membership(items[slate], len(user["satiation"]))
    taste, tastes = user["taste"].astype(float), items["taste"][slate].astype(float)
    utility = p.taste_weight * tastes @ taste + p.momentum_weight * topics @ user["momentum"].astype(float)
    tired = topics @ user["satiation"]
    utility -= user["sensitivity"] * (np.log1p(tired) if p.satiation_kind else tired)
    if p.repeat_recovery:
        utility -= p.repeat_penalty * np.array([notes.consumed(item, now) for item in slate.tolist()])
    else:
        utility -= p.repeat_penalty * np.isin(slate, user["history_items"])
    age = now - items["born"][slate].astype(float)
    pull = utility + p.choice_appeal * items["appeal"][slate] - (age / p.items_life if p.items_life else 0.0)
    if p.items_flare:
        since = age / p.items_flare_days
        pull = pull + items["flare"][slate] * np.where(age > 0, since, 0.0) * np.exp(1 - np.maximum(since, 0.0))
    pull = pull - p.choice_price * items["price"][slate]
    if p.impression_weight:
        pull -= p.impression_weight * np.log([1 + notes.ignored(item, now) for item in slate.tolist()])
    first = np.array([item > 0 and item not in slate[:k].tolist() for k, item in enumerate(slate)])
    return np.where(first & (age >= 0), np.exp(pull), 0.0)


def chances(model, weight, rate, nothing):
    """P(slot k is chosen), from the definitions of the models: `rate` is choice.position."""
    slot, none = np.arange(len(weight)), math.exp(nothing)
    if model == "logit":
        seen = (slot + 1.0) ** -rate * weight
        return seen / (none + seen.sum())
    attraction = weight / (none + weight)
    if model == "cascade":
        above = np.array([np.prod(1 - attraction[:k]) for k in slot])
        return np.exp(-rate) ** slot * above * attraction
    hazard = (slot + 1.0) ** -rate * attraction
    total = hazard.sum()
    return hazard / total * -math.expm1(-total) if total > 0 else hazard


def examined(model, weight, rate, nothing, choice):
    """How far each slot was examined by a user who chose slot `choice`, or nothing where it is −1.

    In a cascade by listing all walks: from the top the user takes the item or not, and then looks on or stops.
    """
    slots = len(weight)
    if model != "cascade":
        return (np.arange(slots) + 1.0) ** -rate
    attraction = weight / (math.exp(nothing) + weight)
    reached, walks = np.zeros(slots), 0.0
    alive = 1.0  # chance of a walk that has come to this slot without a click
    for last in range(slots):
        on = math.exp(-rate) if last < slots - 1 else 0.0
        ends = {last: alive * attraction[last], -1: alive * (1 - attraction[last]) * (1 - on)}
        if choice in ends:
            reached[: last + 1] += ends[choice]
            walks += ends[choice]
        alive *= (1 - attraction[last]) * on
    return reached / walks


class Notes:
    """The memory as a dictionary of what is known of each item; rows matter only when one is full."""

    def __init__(self, p):
        self.p, self.rows = p, int(p.impression_memory) // WAYS
        self.known = {}  # by item: place in its row, ignored impressions, when last ignored, when last consumed
        self.evicted = 0

    def row(self, item):
        return item * 2654435761 % 2**32 // 256 % self.rows

    def ignored(self, item, now):
        _, count, touched, _ = self.known.get(item, (0, 0.0, now, now))
        return count * math.exp(-max(now - touched, 0.0) / self.p.impression_recovery)

    def consumed(self, item, now):
        when = self.known.get(item, (NEVER,))[-1]
        return math.exp(-max(now - when, 0.0) / self.p.repeat_recovery) if self.p.repeat_recovery else 0.0

    def enter(self, item, now):
        """The item's entry; where its row is full, the one of which least is left makes room."""
        if item not in self.known:
            others = [other for other in self.known if self.row(other) == self.row(item)]
            place = len(others)
            if place == WAYS:
                left = {other: self.ignored(other, now) + self.consumed(other, now) for other in others}
                gone = min(others, key=lambda other: (left[other], self.known[other][0]))
                self.evicted += self.ignored(gone, now) > math.exp(-1.0)
                place = self.known.pop(gone)[0]
            self.known[item] = place, 0.0, NEVER, NEVER
        return self.known[item]

    def ignore(self, item, now, amount):
        place, _, _, when = self.enter(item, now)
        self.known[item] = place, float(np.float32(amount + self.ignored(item, now))), float(np.float32(now)), when

    def consume(self, item, now, when):
        place, count, touched, _ = self.enter(item, now)
        self.known[item] = place, count, touched, float(np.float32(when))


def read_notes(user):
    """What a user's record remembers, by item: row, place, trace of impressions and when it was last consumed."""
    names = ("memory_trace", "memory_consumed")
    return {
        int(user["memory_item"][row, way]): (int(row), int(way), *(float(user[name][row, way]) for name in names))
        for row, way in zip(*np.nonzero(user["memory_item"]), strict=True)
    }

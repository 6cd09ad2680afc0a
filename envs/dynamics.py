"""The user model: one slate in the life of one user, as scalar code that Numba compiles.

Everything that happens to a user happens here; `engine.py` only loops over users. Each function is one behaviour, and
`read_slate` tells the story in order:

    attract -> choose -> watch -> judge -> satiate and tire -> leave? -> (if left) trust -> churn? -> gap -> recover

Arithmetic is float64 without fastmath, so a life has the same bits alone and among a million. Every function also runs
as plain Python (``NUMBA_DISABLE_JIT=1``, or ``f.py_func``), which is the oracle of the tests.

Sources: linear satiation, rebounding bandits (Leqi et al., 2021); exposure effect, CIRS (Gao et al., 2022); multinomial
logit with a no-click option, SlateQ (Ie et al., 2019); mixture cure, Boag (1949). The constants are in `scenarios/`.
"""

import math

import numpy as np
from numba import njit

from .chance import CHOICE, CHURN, DRIFT, DWELL, FIRST_HOUR, GAP, LEAVE, normal_pair, philox, uniform
from .params import Params
from .records import ACTIVE, CHURNED, HORIZON, NOTHING, Record


@njit(inline="always")
def logistic(x: float) -> float:
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + math.exp(-x))


@njit(inline="always")
def dot(a: np.ndarray, b: np.ndarray) -> float:
    """Inner product of two vectors whose length is a multiple of 8.

    Eight running sums in a fixed order: the compiler may use vector instructions without being allowed to reorder.
    """
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for d in range(0, len(a), 8):
        s0 += a[d] * np.float64(b[d])
        s1 += a[d + 1] * np.float64(b[d + 1])
        s2 += a[d + 2] * np.float64(b[d + 2])
        s3 += a[d + 3] * np.float64(b[d + 3])
        s4 += a[d + 4] * np.float64(b[d + 4])
        s5 += a[d + 5] * np.float64(b[d + 5])
        s6 += a[d + 6] * np.float64(b[d + 6])
        s7 += a[d + 7] * np.float64(b[d + 7])
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@njit(inline="always")
def add(a: np.ndarray, b: np.ndarray, scale: float) -> None:
    """``a += scale·b`` for vectors whose length is a multiple of 4, four at a time, loads before stores."""
    for d in range(0, len(a), 4):
        x0 = a[d] + scale * np.float64(b[d])
        x1 = a[d + 1] + scale * np.float64(b[d + 1])
        x2 = a[d + 2] + scale * np.float64(b[d + 2])
        x3 = a[d + 3] + scale * np.float64(b[d + 3])
        a[d], a[d + 1], a[d + 2], a[d + 3] = x0, x1, x2, x3


@njit
def feel(p: Params, user: Record, items: np.ndarray) -> None:
    """Worth of each topic right now: momentum from the last item of the session, less satiation.

    With it, ``μ φ·φ_last − α⟨Φ,φ⟩ = ⟨mood, φ⟩`` is one inner product per item.
    """
    for g in range(len(user.mood)):
        user.mood[g] = -user.sensitivity * user.satiation[g]
    if user.last > 0:
        add(user.mood, items[user.last].topics, p.momentum_weight)


@njit(inline="always")
def remembers(p: Params, user: Record, item: int) -> bool:
    """Whether the item is among the last R consumed."""
    if not (user.residues >> (item % 61)) & 1:
        return False  # the common case, without walking the history
    found = 0
    for h in range(min(int(p.repeat_memory), len(user.history_items))):
        found += user.history_items[h] == np.int32(item)
    return found > 0


@njit(inline="always")
def attract(p: Params, user: Record, items: np.ndarray, item: int) -> float:
    """Utility ``U = β⟨u,v⟩ + μ φ·φ_last − α⟨Φ,φ⟩ − ω·1[among the last R consumed]``; call `feel` first."""
    utility = p.taste_weight * dot(user.taste, items[item].taste) + dot(user.mood, items[item].topics)
    if remembers(p, user, item):
        utility -= p.repeat_penalty
    return utility


@njit
def weigh(p: Params, user: Record, items: np.ndarray) -> float:
    """Choice weights ``w_k = p_k exp(U + κa)`` of the user's slate, into ``user.weight``; returns their sum.

    An empty slot and a later copy of an item in the slate weigh 0.
    """
    for k in range(len(user.slate)):
        # Read a little of every row first: memory then fetches all of them at once, and not one after the other.
        it = items[user.slate[k]]
        user.weight[k] = it.taste[0] + it.taste[len(it.taste) // 2] + it.topics[0] + it.minutes
    total = 0.0
    for k in range(len(user.slate)):
        item = user.slate[k]
        weight = 0.0
        copies = 0
        for j in range(k):
            copies += user.slate[j] == item
        if item > 0 and copies == 0:
            utility = attract(p, user, items, item)
            weight = p.position[k] * math.exp(utility + p.choice_appeal * items[item].appeal)
        user.weight[k] = weight
        total += weight
    return total


@njit
def choose(p: Params, user: Record, items: np.ndarray) -> int:
    """Slot chosen from the slate by multinomial logit with a no-click option, or NOTHING."""
    total = weigh(p, user, items)
    draw = uniform(user.k0, user.k1, user.id, user.session, user.depth, CHOICE)
    point = draw * (math.exp(p.choice_nothing) + total)
    for k in range(len(user.slate)):
        point -= user.weight[k]
        if point < 0.0:
            return k
    return NOTHING


@njit
def watch(p: Params, user: Record, items: np.ndarray, item: int) -> float:
    """Completion ``logistic(b0 + b1·U + ε)`` in (0, 1) of the item chosen."""
    noise, _ = normal_pair(user.k0, user.k1, user.id, user.session, user.depth, DWELL)
    utility = attract(p, user, items, item)
    return logistic(p.dwell_base + p.dwell_utility * utility + p.dwell_noise * noise)


@njit
def judge(p: Params, user: Record, items: np.ndarray, item: int) -> None:
    """Move the session's satisfaction towards the item's substance against what its appeal promised, or a skip's."""
    if item > 0:
        it = items[item]
        verdict = logistic(
            p.satisfaction_base + p.satisfaction_substance * it.substance - p.satisfaction_appeal * it.appeal
        )
    else:
        verdict = -p.satisfaction_skip
    user.satisfaction += p.satisfaction_rate * (verdict - user.satisfaction)


@njit
def fade(user: Record, days: float) -> None:
    """Satiation decays by ``e^(−days/τ_s)``; any split of the time gives the same."""
    factor = math.exp(-days / user.recovery)
    for g in range(len(user.satiation)):
        user.satiation[g] *= factor


@njit
def expose(p: Params, user: Record, items: np.ndarray, choice: int) -> None:
    """Satiation grows by the topics of the item consumed and, a little, of those only seen."""
    for k in range(len(user.slate)):
        item = user.slate[k]
        if item > 0:
            add(user.satiation, items[item].topics, 1.0 if k == choice else p.satiation_seen)


@njit
def remember(user: Record, item: int, completion: float) -> None:
    """Put an item at the front of the history."""
    for h in range(len(user.history_items) - 1, 0, -1):
        user.history_items[h] = user.history_items[h - 1]
        user.history_completion[h] = user.history_completion[h - 1]
        user.history_time[h] = user.history_time[h - 1]
    user.history_items[0] = item
    user.history_completion[0] = completion
    user.history_time[0] = user.clock
    index(user)


@njit
def index(user: Record) -> None:
    """Note which remainders modulo 61 occur in the history, so that `remembers` seldom has to walk it."""
    bits = 0
    for h in range(len(user.history_items)):
        bits |= 1 << int(user.history_items[h] % 61)
    user.residues = bits


@njit
def leaves(p: Params, user: Record) -> bool:
    """Whether the session ends here: a logit hazard around the user's own base rate."""
    hazard = logistic(
        user.leave_logit
        + p.leave_fatigue * (user.fatigue - p.leave_fatigue_pivot) / 10.0
        - p.leave_satisfaction * (user.satisfaction - p.leave_satisfaction_pivot)
        + p.leave_skips * min(user.skips, 3)
    )
    return uniform(user.k0, user.k1, user.id, user.session, user.depth, LEAVE) < hazard


@njit
def churns(p: Params, user: Record) -> bool:
    """Whether the user never comes back: a logit in trust and in the user's visit rate."""
    hazard = logistic(
        p.churn_base - p.churn_trust * (user.trust - p.churn_trust_pivot) - p.churn_visits * user.visit_rate
    )
    return uniform(user.k0, user.k1, user.id, user.session, 0, CHURN) < hazard


@njit
def after_waking(p: Params, chronotype: float, clock: float, active_days: float) -> float:
    """Clock [days] at which `active_days` of activity have passed since `clock`.

    Activity runs fast in the busy hours and slow at night (``p.hours``, mean 1), in the user's own day, which is
    `chronotype` hours later than the clock. This turns a plain log-normal gap into one with a day-night cycle.
    """
    local = clock - chronotype / 24.0
    day = math.floor(local)
    hour = (local - day) * 24.0
    whole = min(int(hour), 23)  # just before midnight, rounding gives hour 24
    target = active_days * 24.0
    for h in range(whole):
        target += p.hours[h]
    target += p.hours[whole] * (hour - whole)
    days = math.floor(target / 24.0)
    target -= 24.0 * days
    h = 0
    while h < 23 and target >= p.hours[h]:
        target -= p.hours[h]
        h += 1
    # Rounding must not turn a gap of next to nothing into one of less than nothing.
    return max(clock, day + days + (h + min(target / p.hours[h], 1.0)) / 24.0 + chronotype / 24.0)


@njit
def drift(p: Params, user: Record) -> None:
    """Taste walks on the sphere by itself, once for each day that has passed."""
    today = int(user.clock)  # the clock is not negative
    if p.taste_drift == 0.0:
        user.day = today
    scale = p.taste_drift / math.sqrt(float(len(user.taste)))
    while user.day < today:
        user.day += 1
        # A step of ±scale in each dimension: its sums are normal soon enough, and 32 signs cost one draw.
        for block in range(0, len(user.taste), 32):
            signs, _, _, _ = philox(user.id, user.day, 0, DRIFT + block // 32, user.k0, user.k1)
            for d in range(block, min(block + 32, len(user.taste))):
                user.taste[d] += scale if (signs >> (d - block)) & 1 else -scale
        norm = math.sqrt(dot(user.taste, user.taste))
        for d in range(len(user.taste)):
            user.taste[d] /= norm


@njit
def part(p: Params, user: Record) -> None:
    """The session is over: trust moves, the user churns or stays away for a while and comes back recovered."""
    user.left = 1
    user.trust += p.trust_rate * (user.satisfaction - user.trust)
    if churns(p, user):
        user.status = CHURNED
        return
    location = p.gap_location - user.visit_rate - p.gap_trust * (user.trust - p.churn_trust_pivot)
    noise, _ = normal_pair(user.k0, user.k1, user.id, user.session, 0, GAP)
    back = after_waking(p, user.chronotype, user.clock, math.exp(location + p.gap_scale * noise))
    if back >= p.horizon_days:
        user.clock = p.horizon_days
        user.status = HORIZON
        return
    user.gap = back - user.clock
    user.clock = back
    fade(user, user.gap)
    drift(p, user)
    user.session += 1
    user.depth = 0
    user.skips = 0
    user.last = 0
    user.session_minutes = 0.0
    user.fatigue = 0.0
    user.satisfaction = user.trust


@njit
def begin(p: Params, items: np.ndarray, person: Record, user: Record) -> None:
    """A person arrives for the first session with their past; the luck of `user` is already set."""
    for d in range(len(user.taste)):
        user.taste[d] = person.taste[d]
    user.sensitivity = person.sensitivity
    user.recovery = person.recovery
    user.leave_logit = person.leave_logit
    user.visit_rate = person.visit_rate
    user.chronotype = person.chronotype

    first = uniform(user.k0, user.k1, user.id, 0, 0, FIRST_HOUR)
    start = after_waking(p, person.chronotype, person.chronotype / 24.0, first)
    user.clock = start - math.floor(start)
    user.gap = person.past_age[0]
    user.session = user.depth = user.skips = user.day = user.last = user.left = 0
    user.status = ACTIVE
    user.trust = user.satisfaction = p.trust_start
    user.fatigue = user.session_minutes = user.completion = user.minutes = 0.0
    user.choice = NOTHING
    for k in range(len(user.slate)):
        user.slate[k] = 0
        user.weight[k] = 0.0
    for g in range(len(user.satiation)):
        user.satiation[g] = 0.0
        user.mood[g] = 0.0
    for h in range(len(user.history_items)):
        user.history_items[h] = 0
        user.history_completion[h] = 0.0
        user.history_time[h] = 0.0
    for h in range(len(person.past_items)):
        item = person.past_items[h]
        user.history_items[h] = item
        user.history_completion[h] = person.past_completion[h]
        user.history_time[h] = user.clock - person.past_age[h]
        add(user.satiation, items[item].topics, math.exp(-person.past_age[h] / user.recovery))
    index(user)


@njit
def read_slate(p: Params, items: np.ndarray, user: Record) -> float:
    """The user reads ``user.slate``; returns the minutes of dwell (the step's reward) and leaves the rest in `user`."""
    feel(p, user, items)
    choice = choose(p, user, items)
    item = 0
    minutes = 0.0
    completion = 0.0
    if choice != NOTHING:
        item = user.slate[choice]
        completion = watch(p, user, items, item)
        minutes = completion * items[item].minutes
    judge(p, user, items, item)

    elapsed = minutes if item > 0 else p.time_glance
    if p.time_pace > 0.0:
        elapsed = p.time_pace
    user.clock += elapsed / 1440.0
    fade(user, elapsed / 1440.0)
    expose(p, user, items, choice)
    if item > 0:
        remember(user, item, completion)
        user.last = item
        user.skips = 0
        user.fatigue += minutes
    else:
        user.skips += 1
        user.fatigue += p.fatigue_skip
    user.session_minutes += elapsed
    user.choice = choice
    user.completion = completion
    user.minutes = minutes
    user.left = 0

    if user.clock >= p.horizon_days:
        user.status = HORIZON
    elif leaves(p, user):
        part(p, user)
    else:
        user.depth += 1
    return minutes

"""The user model: one slate in the life of one user, as scalar code that Numba compiles.

Everything that happens to a user happens here; `engine.py` only loops over users. Each function is one behaviour, of
which `behaviours.py` says what may be replaced, and `read_slate` tells the story in order:

    attract -> choose -> watch -> buy? -> judge -> satiate and tire -> leave traces -> leave? -> (if left) trust ->
    churn? -> gap -> recover

Arithmetic is float64, and only the inner product (`dot`) is left to the compiler's order, so a life has the same bits
alone and among a million. Every function also runs
as plain Python (``NUMBA_DISABLE_JIT=1``, or ``f.py_func``), which is the oracle of the tests.

Sources: linear satiation, rebounding bandits (Leqi et al., 2021); exposure effect, CIRS (Gao et al., 2022); multinomial
logit with a no-click option, SlateQ (Ie et al., 2019); mixture cure, Boag (1949). The constants are in `scenarios/`.
"""

import math

import numpy as np

from ..shared.parts import part
from .arithmetic import add_waking_days, dot, dot_topics, logistic
from .chance import CHURN, DRIFT, DWELL, FIRST_HOUR, GAP, PURCHASE, SLATE, normal_pair, philox, uniform, uniform_pair
from .constants import BY_SESSION, CASCADE, LINEAR, LOGIT, SATURATING
from .memory import (
    PLACES,
    find_place,
    find_row,
    forget,
    forget_ignored,
    log_slate,
    measure_fading,
    note_consumed,
    note_ignored,
    weigh_consumed,
    weigh_ignored,
)
from .records import ACTIVE, CHURNED, HORIZON, NOTHING, Record


@part
def feel(p: Record, work: Record, user: Record) -> None:
    """What topics are worth right now: momentum, less satiation where that is linear.

    With it, ``μ⟨M,φ⟩ − α⟨Φ,φ⟩ = ⟨mood,φ⟩`` is one inner product per item.
    """
    for d in range(len(user.taste)):
        work.taste[d] = user.taste[d]
    tired = user.sensitivity if p.satiation_kind == LINEAR else 0.0
    for g in range(len(user.satiation)):
        work.mood[g] = p.momentum_weight * np.float64(user.momentum[g]) - tired * user.satiation[g]


@part(forceinline=True)
def residue(item: int) -> int:
    """The item's bit in ``user.residues``, 0 to 62."""
    return min(item & 63, 62)


@part(forceinline=True)
def remembers(p: Record, user: Record, item: int) -> bool:
    """Whether the item is among the last R consumed."""
    if not (user.residues >> residue(item)) & 1:
        return False  # the common case, without walking the history
    seen = 0
    for h in range(min(int(p.repeat_memory), len(user.history_items))):
        seen += user.history_items[h] == np.int32(item)
    return seen > 0


@part(forceinline=True)
def attract(p: Record, work: Record, items: np.ndarray, user: Record, item: int) -> float:
    """Utility ``U = β⟨u,v⟩ + μ⟨M,φ⟩ − α·s(⟨Φ,φ⟩) − ω·1[among the last R consumed]``; call `feel` first.

    ``s(x)`` is x where satiation is linear, ``ln(1 + x)`` where it saturates. Where repeats recover, the penalty is
    `weigh`'s to take off.
    """
    it = items[item]
    utility = p.taste_weight * dot(work.taste, it.taste) + dot_topics(work.mood, it)
    if p.satiation_kind == SATURATING:
        utility -= user.sensitivity * math.log1p(dot_topics(user.satiation, it))
    if p.repeat_recovery == 0.0 and remembers(p, user, item):
        utility -= p.repeat_penalty
    return utility


@part(forceinline=True)
def measure_flare(peak: float, age: float, days: float) -> float:
    """Log weight of an item's flare at an age [days], ``f·(a/τ)·exp(1 − a/τ)``: 0 at birth, f after τ days, then gone.

    Attention to a story rises, and then fades on a scale of its own (Wu and Huberman, PNAS 2007; Leskovec, Backstrom
    and Kleinberg, KDD 2009); the form of the curve is assumed.
    """
    return float(peak * (age / days) * math.exp(1.0 - age / days))


@part
def weigh(p: Record, work: Record, items: np.ndarray, user: Record) -> None:
    """Utilities and pulls of the user's slate, into ``work.utility`` and ``work.weight``.

    An item pulls with ``exp(U + κa − age/life + flare − λz − η·ln(1 + n))``, z being its price and n how often it was
    ignored, faded. An empty slot, a later copy of an item in the slate and an item that has not appeared yet pull with
    0.
    """
    for k in range(len(user.slate)):
        # Read a little of every row first: memory then fetches all of them at once, and not one after the other.
        it = items[user.slate[k]]
        work.weight[k] = it.taste[0] + it.taste[len(it.taste) // 2] + it.minutes
        if p.impression_memory > 0.0:
            find_row(work, user, k)
    bits = 0
    for k in range(len(user.slate)):
        item = user.slate[k]
        bit = 1 << residue(int(item))
        copies = 0
        if bits & bit:  # perhaps a copy; the common case is none
            for j in range(k):
                copies += user.slate[j] == item
        bits |= bit
        work.weight[k] = work.utility[k] = 0.0
        if item > 0 and copies == 0 and items[item].born <= user.clock:
            utility = attract(p, work, items, user, item)
            if p.impression_memory > 0.0:
                find_place(p, work, user, k)
                utility -= p.repeat_penalty * weigh_consumed(p, work, user, k)
            pull = utility + p.choice_appeal * items[item].appeal
            if p.items_life > 0.0:
                pull -= (user.clock - items[item].born) / p.items_life
            if p.items_flare > 0.0:
                pull += measure_flare(items[item].flare, user.clock - items[item].born, p.items_flare_days)
            if p.choice_price > 0.0:
                pull -= p.choice_price * items[item].price
            if p.impression_memory > 0.0:
                pull -= weigh_ignored(p, work, k)
            work.utility[k] = utility
            work.weight[k] = math.exp(min(pull, 700.0))  # what constants at their limits could exceed


@part(forceinline=True)
def weigh_nothing(p: Record, user: Record) -> float:
    """Weight ``w_0`` of choosing nothing, the smaller the more the user trusts the service.

    Hohnhold, O'Brien and Tang, "Focusing on the long-term", KDD 2015: over months, people's propensity to click rises
    and falls with the quality of what they saw and clicked before.
    """
    return math.exp(p.choice_nothing - p.choice_trust * (user.trust - p.churn_trust_pivot))


@part
def logit_chances(p: Record, work: Record, nothing: float) -> float:
    """Multinomial logit: ``p_k w_k``, against ``w_0`` for no click; returns what they are out of.

    Ie et al. (2019), SlateQ, with a position discount.
    """
    total = 0.0
    for k in range(len(work.weight)):
        work.weight[k] *= p.position[k]
        total += work.weight[k]
    return nothing + total


@part
def cascade_chances(p: Record, work: Record, nothing: float) -> float:
    """Cascade: the user looks from the top, takes an item with ``w_k/(w_0 + w_k)``, else looks on with a fixed chance.

    Craswell et al. (2008), with the chance of going on of Chapelle and Zhang (2009).
    """
    missed = 1.0
    for k in range(len(work.weight)):
        share = work.weight[k] / (nothing + work.weight[k])
        work.weight[k] = p.position[k] * missed * share
        missed *= 1.0 - share
    return 1.0


@part
def position_chances(p: Record, work: Record, nothing: float) -> float:
    """Position-based race: slot k draws clicks at rate ``r_k = p_k w_k/(w_0 + w_k)`` whatever is beside it.

    The examination hypothesis of Richardson et al. (2007), adapted to one click at most: clicks come as a Poisson
    process over one unit of attention and the first is consumed, so ``P(k) = r_k (1 − e^{−Σr})/Σr``. For small rates
    that is their r_k; a slot alone is chosen with ``1 − e^{−r}``, at most 0.63.
    """
    total = 0.0
    for k in range(len(work.weight)):
        work.weight[k] = p.position[k] * work.weight[k] / (nothing + work.weight[k])
        total += work.weight[k]
    crowding = -math.expm1(-total) / total if total > 0.0 else 1.0
    for k in range(len(work.weight)):
        work.weight[k] *= crowding
    return 1.0


@part
def choose(p: Record, work: Record, items: np.ndarray, user: Record) -> int:
    """Slot chosen from the slate by the scenario's choice model, or NOTHING; ``work.choice_draw`` decides."""
    weigh(p, work, items, user)
    nothing = weigh_nothing(p, user)
    if p.choice_model == LOGIT:
        total = logit_chances(p, work, nothing)
    elif p.choice_model == CASCADE:
        total = cascade_chances(p, work, nothing)
    else:
        total = position_chances(p, work, nothing)
    point = work.choice_draw * total
    for k in range(len(user.slate)):
        point -= work.weight[k]
        if point < 0.0:
            return k
    return NOTHING


@part
def watch(p: Record, user: Record, utility: float) -> float:
    """Completion ``logistic(b0 + b1·U + ε)`` in (0, 1) of the item chosen."""
    noise, _ = normal_pair(user.k0, user.k1, user.id, user.session, user.depth, DWELL)
    return logistic(p.dwell_base + p.dwell_utility * utility + p.dwell_noise * noise)


@part
def buys(p: Record, user: Record, items: np.ndarray, item: int, utility: float) -> bool:
    """Whether the item looked at is bought: a logit in its utility, substance and price; what follows does not change.

    Choice as a logit in the price goes back to Guadagni and Little (Marketing Science, 1983); that of those who look
    some buy, by a chance of its own, to Moe and Fader (Management Science, 2004).
    """
    it = items[item]
    chance = logistic(
        math.log(p.purchase_rate / (1.0 - p.purchase_rate))
        + p.purchase_utility * utility
        + p.purchase_substance * it.substance
        - p.purchase_price * it.price
    )
    return uniform(user.k0, user.k1, user.id, user.session, user.depth, PURCHASE) < chance


@part
def match_second(second: np.ndarray, taste: np.ndarray) -> float:
    """How well an item matches a second taste, in standard deviations of items in any direction."""
    return float(dot(second, taste) * math.sqrt(float(len(taste))))


@part
def judge(p: Record, user: Record, items: np.ndarray, item: int) -> None:
    """Move the session's satisfaction towards the item's substance against what its appeal promised, or a skip's.

    Where people judge by a second taste, the verdict has a part of how well the item matches it, too: what they choose
    and what they are glad of are two tastes (Kleinberg, Mullainathan and Raghavan, EC 2022).
    A slate without a click moves it by the share ``satisfaction.idle`` of the rate.
    """
    rate = p.satisfaction_rate
    if item > 0:
        it = items[item]
        gain = p.satisfaction_base + p.satisfaction_substance * it.substance - p.satisfaction_appeal * it.appeal
        if p.second_weight > 0.0:
            gain += p.second_weight * match_second(user.second, it.taste)
        verdict = logistic(gain)
    else:
        verdict = -p.satisfaction_skip
        rate *= p.satisfaction_idle
    user.satisfaction += rate * (verdict - user.satisfaction)


@part
def fade(user: Record, days: float) -> None:
    """Satiation decays by ``e^(−days/τ_s)``; any split of the time gives the same."""
    factor = math.exp(-days / user.recovery)
    for g in range(len(user.satiation)):
        user.satiation[g] *= factor


@part
def expose(p: Record, work: Record, items: np.ndarray, user: Record, choice: int) -> None:
    """Satiation grows by the topics of the item consumed and, a little, of those only seen; momentum turns to it.

    In a cascade nothing below the item consumed was seen; where nothing was, all of the slate counts as seen.
    """
    below = choice + 1 if p.choice_model == CASCADE and choice != NOTHING else len(user.slate)
    for k in range(below):
        it = items[user.slate[k]]
        amount = 1.0 if k == choice else p.satiation_seen
        if work.weight[k] > 0.0:  # not an empty slot, a copy, or an item yet to come
            for j in range(len(it.share)):
                user.satiation[it.topic[j]] += amount * np.float64(it.share[j])
    if choice != NOTHING:
        for g in range(len(user.momentum)):
            user.momentum[g] *= np.float32(p.momentum_persistence)
        it = items[user.slate[choice]]
        for j in range(len(it.share)):
            user.momentum[it.topic[j]] += it.share[j]


@part(room=PLACES, absent=lambda p, work, user, choice, elapsed: None)
def leave_traces(p: Record, work: Record, user: Record, choice: int, elapsed: float) -> None:
    """What could have been taken from the slate and was not pulls less from now on, by how far it was examined.

    A slot counts as examined with ``p_k/p_1``; in a cascade, where a click shows that everything above it and nothing
    below it was reached, and otherwise with the chance of having been reached by a user who clicked on nothing:
    ``(reach_k − Σ_{j≥k} P(j)) / (1 − Σ_j P(j))``, as who clicks further down has reached the slot, too.
    """
    cascade = p.choice_model == CASCADE
    below = 0.0  # chance of a click in this slot or further down
    if cascade:
        for k in range(len(user.slate)):
            below += work.weight[k]
    nothing = max(1.0 - below, 1e-300)
    missed = 1.0
    fade = math.exp(-measure_fading(p, elapsed))
    for k in range(len(user.slate)):
        examined = p.position[k] / p.position[0]
        if cascade:
            reach = p.position[k] * missed
            if choice == NOTHING:
                examined = min(max((reach - below) / nothing, 0.0), 1.0)
            else:
                examined = 1.0 if k < choice else 0.0
            below -= work.weight[k]
            missed *= 1.0 - work.weight[k] / max(reach, 1e-300)
        if k != choice and work.weight[k] > 0.0 and examined > 0.0:
            note_ignored(p, work, user, k, examined, fade)
    log_slate(user)


@part
def remember(p: Record, user: Record, item: int, completion: float) -> None:
    """Put an item at the front of the history."""
    if p.repeat_recovery > 0.0:
        note_consumed(p, user, item, user.clock)
    for h in range(len(user.history_items) - 1, 0, -1):
        user.history_items[h] = user.history_items[h - 1]
        user.history_completion[h] = user.history_completion[h - 1]
        user.history_time[h] = user.history_time[h - 1]
    user.history_items[0] = item
    user.history_completion[0] = completion
    user.history_time[0] = user.clock
    index_history(user)


@part(room="first_taste", absent=lambda p, items, user, item, completion: None)
def cultivate(p: Record, items: np.ndarray, user: Record, item: int, completion: float) -> None:
    """What is watched turns taste towards it, ``u ← (u + ρ·w·v)/‖·‖``, no further than a reach from where it was first.

    Interests that consumption moves are of SlateQ's simulation (Ie et al., IJCAI 2019), there without a bound. Here
    taste that would leave the cone around the first taste stays on its edge, where it is nearest.
    """
    it = items[item]
    for d in range(len(user.taste)):
        user.taste[d] = np.float64(user.taste[d]) + p.taste_cultivation * completion * np.float64(it.taste[d])
    shrink = 1.0 / math.sqrt(dot(user.taste, user.taste))
    along = shrink * dot(user.taste, user.first_taste)
    least = math.cos(math.radians(p.taste_reach))
    turn = shrink
    keep = 0.0  # of the first taste, to add
    if along < least:
        across = math.sqrt(max(1.0 - along * along, 1e-12))
        turn *= math.sqrt(1.0 - least * least) / across
        keep = least - along * turn / shrink
    for d in range(len(user.taste)):
        user.taste[d] = turn * np.float64(user.taste[d]) + keep * np.float64(user.first_taste[d])


@part(room="first_taste", absent=lambda p, work, items, user: 0.0)
def read_as_first(p: Record, work: Record, items: np.ndarray, user: Record) -> float:
    """Minutes of dwell that the slate would have, were taste still the first, and all else and the luck the same."""
    work.supposed = 1
    feel(p, work, user)
    for d in range(len(user.first_taste)):
        work.taste[d] = user.first_taste[d]
    choice = choose(p, work, items, user)
    work.supposed = 0
    if choice == NOTHING:
        return 0.0
    return watch(p, user, work.utility[choice]) * np.float64(items[user.slate[choice]].minutes)


@part
def index_history(user: Record) -> None:
    """Note the residues of the history's items, so that `remembers` seldom has to walk it."""
    bits = 0
    for h in range(len(user.history_items)):
        bits |= 1 << residue(int(user.history_items[h]))
    user.residues = bits


@part
def leaves(p: Record, work: Record, user: Record) -> bool:
    """Whether the session ends here: a logit hazard around the user's own base rate; ``work.leave_draw`` decides."""
    hazard = logistic(
        user.leave_logit
        + p.leave_fatigue * (user.fatigue - p.leave_fatigue_pivot) / 10.0
        - p.leave_satisfaction * (user.satisfaction - p.leave_satisfaction_pivot)
        + p.leave_skips * min(user.skips, 3)
    )
    return work.leave_draw < hazard


@part
def churns(p: Record, user: Record) -> bool:
    """Whether the user never comes back: a logit in trust, in the user's visit rate and in their own frailty.

    Frailty is there from the first session on, whatever is shown, so that the frail are gone early and the hazard of
    those who remain falls (Vaupel, Manton and Stallard, 1979).
    """
    hazard = logistic(
        p.churn_base
        - p.churn_trust * (user.trust - p.churn_trust_pivot)
        - p.churn_visits * user.visit_rate
        + user.frailty
    )
    return uniform(user.k0, user.k1, user.id, user.session, 0, CHURN) < hazard


@part
def drift(p: Record, user: Record) -> None:
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
        shrink = 1.0 / np.sqrt(dot(user.taste, user.taste))  # not math's: plain Python would multiply in float32
        for d in range(len(user.taste)):
            user.taste[d] *= shrink


@part
def draw_gap(p: Record, user: Record) -> float:
    """Waking days until the user is back: log-normal, the shorter the more they trust and the stronger their habit."""
    location = p.gap_location - user.visit_rate - p.gap_trust * (user.trust - p.churn_trust_pivot)
    if p.habit_gap > 0.0:
        location -= p.habit_gap * user.habit
    noise, _ = normal_pair(user.k0, user.k1, user.id, user.session, 0, GAP)
    # A gap that ends the life anyway is cut, so that its days fit an integer.
    gap = min(math.exp(location + p.gap_scale * noise), p.horizon_days + 2.0)
    if p.gap_habit > 0.0 and gap > 0.5:
        # A map of the circle: people come back at their hour, unless on the same day. It is the identity at half days
        # and increases everywhere, so longer stays longer.
        gap -= p.gap_habit / (2.0 * math.pi) * math.sin(2.0 * math.pi * gap)
    if p.gap_step > 0.0:
        gap = p.gap_step * math.ceil(gap / p.gap_step)
    return gap


@part
def end_session(p: Record, user: Record) -> None:
    """The session is over: trust moves, the user churns or stays away for a while and comes back recovered.

    A visit in vain, one without a click, moves trust further: ``m ← m + ρ_v(v − m)``.

    Where there are habits, a session moves the user's by its satisfaction towards 1, ``h ← h + r·s̄(1 − h)``, and it
    fades while they are away: a habit grows by repetition up to a limit (Lally and others, 2010), and shortens gaps.
    """
    user.left = 1
    user.trust += p.trust_rate * (user.satisfaction - user.trust)
    if user.skips > user.depth:  # every slate of the session, this one included, was passed over
        user.trust += p.trust_vain * (p.trust_vain_verdict - user.trust)
    if churns(p, user):
        user.status = CHURNED
        return
    if p.habit_gap > 0.0:
        user.habit += p.habit_rate * min(max(user.satisfaction, 0.0), 1.0) * (1.0 - user.habit)
    gap = draw_gap(p, user)
    back = add_waking_days(p, user.chronotype, user.clock, gap)
    if back >= p.horizon_days:
        user.clock = p.horizon_days
        user.status = HORIZON
        return
    user.gap = back - user.clock
    user.clock = back
    fade(user, user.gap)
    if p.habit_gap > 0.0:
        user.habit *= math.exp(-user.gap / p.habit_recovery)
    drift(p, user)
    user.session += 1
    user.depth = 0
    user.skips = 0
    user.session_minutes = 0.0
    user.fatigue = 0.0
    user.satisfaction = user.trust
    if p.impression_memory > 0.0 and p.impression_fade == BY_SESSION:
        forget_ignored(user)
    for g in range(len(user.momentum)):
        user.momentum[g] = 0.0


@part
def begin(p: Record, items: np.ndarray, person: Record, user: Record) -> None:
    """A person arrives for the first session with their past; the luck of `user` is already set."""
    for d in range(len(user.taste)):
        user.taste[d] = person.taste[d]
    user.sensitivity = person.sensitivity
    user.recovery = person.recovery
    user.leave_logit = person.leave_logit
    user.visit_rate = person.visit_rate
    user.chronotype = person.chronotype
    user.frailty = person.frailty
    if p.second_weight > 0.0:
        for d in range(len(user.second)):
            user.second[d] = person.second[d]
    if p.taste_cultivation > 0.0:
        for d in range(len(user.taste)):
            user.first_taste[d] = user.taste[d]
    if p.impression_memory > 0.0:
        forget(user)

    first = uniform(user.k0, user.k1, user.id, 0, 0, FIRST_HOUR)
    start = add_waking_days(p, person.chronotype, person.chronotype / 24.0, p.day_arrival * first)
    user.clock = start - math.floor(start)
    user.gap = person.past_age[0]
    user.session = user.depth = user.skips = user.day = user.left = 0
    user.status = ACTIVE
    user.trust = user.satisfaction = p.trust_start
    user.fatigue = user.session_minutes = user.completion = user.minutes = user.habit = user.first_minutes = 0.0
    user.choice = NOTHING
    user.bought = 0
    for k in range(len(user.slate)):
        user.slate[k] = 0
    for g in range(len(user.satiation)):
        user.satiation[g] = 0.0
        user.momentum[g] = 0.0
    for h in range(len(user.history_items)):
        user.history_items[h] = 0
        user.history_completion[h] = 0.0
        user.history_time[h] = 0.0
    for h in range(len(person.past_items)):
        item = person.past_items[h]
        user.history_items[h] = item
        user.history_completion[h] = person.past_completion[h]
        user.history_time[h] = user.clock - person.past_age[h]
        left = math.exp(-person.past_age[h] / user.recovery)
        for j in range(len(items[item].share)):
            user.satiation[items[item].topic[j]] += left * np.float64(items[item].share[j])
    if p.repeat_recovery > 0.0:
        for h in range(len(person.past_items) - 1, -1, -1):
            note_consumed(p, user, int(person.past_items[h]), user.clock - person.past_age[h])
    index_history(user)


@part
def read_slate(p: Record, work: Record, items: np.ndarray, user: Record) -> float:
    """The user reads ``user.slate``; returns the minutes of dwell and leaves the rest in `user`."""
    work.choice_draw, work.leave_draw = uniform_pair(user.k0, user.k1, user.id, user.session, user.depth, SLATE)
    if p.taste_cultivation > 0.0:
        user.first_minutes = read_as_first(p, work, items, user)
    feel(p, work, user)
    choice = choose(p, work, items, user)
    item = 0
    minutes = 0.0
    completion = 0.0
    if choice != NOTHING:
        item = user.slate[choice]
        completion = watch(p, user, work.utility[choice])
        minutes = completion * np.float64(items[item].minutes)
    if p.purchase_rate > 0.0:
        user.bought = choice != NOTHING and buys(p, user, items, item, work.utility[choice])
    judge(p, user, items, item)

    reading = minutes if item > 0 else p.time_glance
    elapsed = p.time_pace + p.time_coupling * (reading - p.time_pace)
    user.clock += elapsed / 1440.0
    fade(user, elapsed / 1440.0)
    expose(p, work, items, user, choice)
    if p.impression_memory > 0.0:
        leave_traces(p, work, user, choice, elapsed / 1440.0)
    if item > 0:
        remember(p, user, item, completion)
        if p.taste_cultivation > 0.0:
            cultivate(p, items, user, item, completion)
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
    elif leaves(p, work, user):
        end_session(p, user)
    else:
        user.depth += 1
    return minutes

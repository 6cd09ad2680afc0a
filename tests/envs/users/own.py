"""Behaviours of tests' own: as somebody outside the package would write them."""

import math

from longplay.envs.users import dynamics
from longplay.envs.users.chance import CHURN, uniform
from longplay.envs.users.dynamics import attract, choose, leaves, weigh
from longplay.envs.users.records import NOTHING

WORDS = {"base": 0.1}  # what Numba does not compile


def leaves_by_the_clock(p, work, user):
    return work.leave_draw < 1.0 - math.exp(-0.3 * (user.session_minutes / 25.0) ** 2)


def leaves_sooner(p, work, user):
    """Builds on what was shipped."""
    return leaves(p, work, user) or user.depth >= 2


def leaves_by_a_table(p, work, user):
    return work.leave_draw < float(f"{WORDS['base']:.2f}")


def likes_no_more(p, work, items, user, item):
    """Half of the utility that was shipped."""
    return 0.5 * attract(p, work, items, user, item)


def takes_the_first(p, work, items, user):
    """The first that attracts at all; `weigh` asks the world's own `attract`."""
    weigh(p, work, items, user)
    for k in range(len(user.slate)):
        if work.weight[k] > 0.0 and work.utility[k] > 0.0:
            return k
    return NOTHING


def chooses_as_shipped(p, work, items, user):
    return choose(p, work, items, user)


def watches_all(p, user, utility):
    return 1.0


def judges_nothing(p, user, items, item):
    user.satisfaction = 0.25


def fades_by_half(user, days):
    for g in range(len(user.satiation)):
        user.satiation[g] *= 0.5 ** (days / user.recovery)


def exposes_the_choice(p, work, items, user, choice):
    if choice >= 0:
        it = items[user.slate[choice]]
        for j in range(len(it.share)):
            user.satiation[it.topic[j]] += it.share[j]


def churns_seldom(p, user):
    return uniform(user.k0, user.k1, user.id, user.session, 0, CHURN) < 0.02


def comes_back_next_day(p, user):
    return 1.0


OWN = {
    "attract": likes_no_more,
    "choose": takes_the_first,
    "watch": watches_all,
    "judge": judges_nothing,
    "fade": fades_by_half,
    "expose": exposes_the_choice,
    "leaves": leaves_by_the_clock,
    "churns": churns_seldom,
    "draw_gap": comes_back_next_day,
}
SHIPPED = {name: getattr(dynamics, name) for name in OWN}

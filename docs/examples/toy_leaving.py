"""A leaving rule of one's own: people stop when they have no time left, whatever they were shown.

    gymnasium.make_vec("longplay/Video-v1", num_envs=64, behaviours={"leaves": leaves_by_the_clock})

or, in a scenario's file, as toy_leaving.toml beside this one has it.
"""

import math

SCALE = 25.0  # minutes; so long a session in which nobody stopped before is hard to go on with


def leaves_by_the_clock(p, work, user):
    """The hazard of a slate grows with the square of the minutes so far; `work.leave_draw` is its luck."""
    hazard = 1.0 - math.exp(-0.3 * (user.session_minutes / SCALE) ** 2)
    return work.leave_draw < hazard

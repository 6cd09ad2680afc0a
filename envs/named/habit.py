"""Habit: films from a service that lives by return; and the same for users of another kind."""

from .base import NamedEnv
from .registry import ENVIRONMENTS


class Habit(NamedEnv):
    """Films from a service that lives by return: visits that were worth it make a habit, and who has one comes sooner.

    Description
    -----------
    The 17,465 films and 10,000 users of `VideoV1`, with the impressions, trust, visits in vain and frailty described
    there. Each user has a habit ``h`` from 0 to 1, hidden, 0 at first. A session moves it towards 1 by its
    satisfaction, ``h ← h + r·max(s̄, 0)·(1 − h)`` with ``habit.rate``, so that it grows by repetition up to a limit, as
    automaticity does (Lally, van Jaarsveld, Potts and Wardle, 2010); while the user is away it fades, ``h ←
    h·exp(−Δt/τ)`` with ``habit.recovery``. It shortens gaps by ``habit.gap·h`` in the logarithm, beside what trust
    does.

    A habit is capital: it is built over weeks, and a service that disappoints loses visits for longer than it
    disappoints. The reward is minutes all the same; ``reward="returns"`` pays for the visits themselves.

    What differs from `VideoV1`, and nothing else; sources and ranges are in ``envs/scenarios/habit.toml``:

    ==================  =====  =======
    constant            Habit  VideoV1
    ==================  =====  =======
    ``trust.start``     0.36   0.25
    ``churn.base``      -3.8   -4.3
    ``gap.location``    0.5    0.1
    ``habit.gap``       1.0    0.0
    ``habit.rate``      0.1    0.0
    ``habit.recovery``  14.0   10.0
    ==================  =====  =======

    Action space
    ------------
    ``MultiDiscrete([17466] * 10)``: ten item numbers, best position first. Item n is row n − 1 of the catalogue; 0
    leaves a slot empty. A second copy of an item in a slate is legal and wasted.

    Observation space
    -----------------
    A ``Dict`` of float32 boxes; nothing hidden is in it. ``context`` is one box of shape (8,).

    ======================  ========  ===========  ===  =========  ===================================================
    key                     shape     unit         low  high       what
    ======================  ========  ===========  ===  =========  ===================================================
    ``history_ids``         (20,)     item number  0    17465      consumed, most recent first; 0: no more
    ``history_completion``  (20,)     share        0    1          how much of each was consumed
    ``history_age``         (20,)     days         0    44.008335  since each was consumed
    ``slate_ids``           (10,)     item number  0    17465      the slate shown last; 0: empty
    ``slate_response``      (10,)     share        0    1          completion of the one chosen; else 0
    ``context[0]``          ()        slates       0    6337200    read in this session
    ``context[1]``          ()        minutes      0    63372      spent in this session
    ``context[2]``          ()        1            -1   1          sine of the hour
    ``context[3]``          ()        1            -1   1          cosine of the hour
    ``context[4]``          ()        days         0    44.008335  gap before this session
    ``context[5]``          ()        days         0    44.008335  the clock
    ``context[6]``          ()        sessions     0    6337200    earlier ones
    ``context[7]``          ()        slates       0    6337200    without a click, in a row
    ``profile``             (24,)     0 or 1       0    1          1: a favourite topic, named at sign-up
    ``shown_ids``           (24, 10)  item number  0    17465      slates shown last, most recent first
    ``shown_age``           (24,)     days         0    44.008335  since each of them; 0: no more
    ``candidates``          (256,)    item number  0    17465      only with ``candidates=True`` or another ``action``
    ======================  ========  ===========  ===  =========  ===================================================

    Reward
    ------
    ``"minutes"`` of dwell, 0 to 12 a slate: completion times length of the item chosen, 0 if none is. Alternatives:
    ``"clicks"``, 1 for a slate with an item chosen, else 0; ``"returns"``, 1 for a slate after which the user leaves
    and is back before the horizon, else 0.

    Starting state
    --------------
    A user of the split in their first session, at an hour of the first day that fits their own day and night. They
    bring a past of 8 films, chosen by taste and watched half a day to 14 days ago, of which some satiation is left, and
    three favourite topics, a noisy view of their taste. Trust and satisfaction are 0.36, fatigue is 0, and so is the
    habit. Nothing has been ignored yet; the past is remembered as consumed.

    Episode end
    -----------
    Termination: the user churns, which may happen when a session ends. Truncation: the clock reaches 30 days, or the
    next return would be later than that. There is no limit on the number of slates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`. ``latent`` also has ``frailty``, the
    memory (see `longplay.envs.env.LATENT_MEMORY`) and ``habit``, the last
    where ``habit.gap`` is above 0, so not with ``dynamics_strength=0``.

    Known optimum
    -------------
    None. With ``dynamics_strength=0`` the best slate now is the best slate, and the myopic oracle over the whole
    catalogue, ``MyopicOracle(world, whole=True)``, is optimal (but for the quadrature over the noise in completion). At
    other strengths references read hidden state and show what is left to gain; they are no bounds.

    Headroom (test users, ``docs/worlds.md``): on the myopic oracle the best bonus for an item's verdict, the same for
    everybody, gains 51 to 55 % in world seeds 0 to 3; a planner that reads people and their state nothing more.

    Examples
    --------
    >>> import gymnasium, longplay, numpy as np
    >>> env = gymnasium.make("longplay/Habit-v0", privileged=True)
    >>> observation, info = env.reset(seed=7, options={"user": 42})
    >>> float(info["latent"]["habit"])
    0.0
    >>> for n in range(40):
    ...     observation, minutes, churned, horizon, info = env.step(10 * n + np.arange(1, 11))
    >>> 0 < float(info["latent"]["habit"]) < 1
    True

    Version history
    ---------------
    v0: first version.
    """

    scenario = "habit"


class HabitShifted(NamedEnv):
    """Habit for users of another kind, to see whether a policy learned there still works.

    Description
    -----------
    The films of `Habit`, for users who read a slate from the top (a cascade), are choosier, tire more and recover more
    slowly, mind more what they have passed over, lose more trust by a visit in vain, differ more from each other, and
    are slower to make a habit and quicker to lose it. It is harder: rules and the myopic oracle earn less here
    (``docs/worlds.md``). All of it is assumed. What differs, and nothing else:

    ================================  ============  =====
    constant                          HabitShifted  Habit
    ================================  ============  =====
    ``taste.drift``                   0.06          0.03
    ``satiation.sensitivity``         0.6           0.4
    ``satiation.sensitivity_spread``  0.9           0.6
    ``satiation.recovery``            0.4           0.24
    ``impression.weight``             0.8           0.5
    ``impression.recovery``           5.0           3.0
    ``choice.nothing``                4.6           3.5
    ``choice.position``               0.15          0.5
    ``leave.beta_a``                  1.0           1.65
    ``leave.beta_b``                  3.0           5.85
    ``trust.vain``                    0.4           0.3
    ``gap.between_users``             0.6           0.38
    ``habit.rate``                    0.06          0.1
    ``habit.recovery``                9.0           14.0
    ``choice.model``                  cascade       logit
    ================================  ============  =====

    Action space
    ------------
    As of `Habit`: ``MultiDiscrete([17466] * 10)``.

    Observation space
    -----------------
    As of `Habit`, to the number.

    Reward
    ------
    As of `Habit`: ``"minutes"``, 0 to 12 a slate; the same alternatives.

    Starting state
    --------------
    As of `Habit`; user n has the same taste, and other traits.

    Episode end
    -----------
    As of `Habit`: churn terminates, the end of 30 days truncates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`.

    Known optimum
    -------------
    None, as in `Habit`; ``dynamics_strength=0`` has the same one. What the shift costs a policy is the difference
    between its minutes here and those of one that learned here; ``scripts/compare.py --env longplay/HabitShifted-v0``.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env, home = gymnasium.make("longplay/HabitShifted-v0"), gymnasium.make("longplay/Habit-v0")
    >>> env.observation_space == home.observation_space, env.action_space == home.action_space
    (True, True)
    >>> env.unwrapped.world.scenario.values["choice_model"]
    'cascade'

    Version history
    ---------------
    v0: first version.
    """

    scenario = "habit-shifted"


ENVIRONMENTS.register("longplay/Habit-v0", Habit, scenario="habit")
ENVIRONMENTS.register("longplay/HabitShifted-v0", HabitShifted, scenario="habit-shifted")

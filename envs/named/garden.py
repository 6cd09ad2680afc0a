"""Garden: films for people whose taste grows towards what they watch; and the same for users of another kind."""

from .base import NamedEnv
from .registry import ENVIRONMENTS


class Garden(NamedEnv):
    """Films for people whose taste grows towards what they watch, in topics some of which are better than others.

    Description
    -----------
    The 17,465 films and 10,000 users of `VideoV1`, with the impressions, trust, visits in vain and frailty described
    there. What is watched turns taste: ``u ← (u + ρ·w·v)/‖·‖``, ``w`` being the share that was watched, ``v`` the
    item's vector and ``ρ`` ``taste.cultivation``. Interests that consumption moves are of SlateQ's simulation (Ie and
    others, IJCAI 2019). Here they are bounded: taste never leaves the cone of ``taste.reach`` degrees around the one
    that the person came with. It does not drift by itself.

    A share ``items.topics`` of the variance of substance is the topics' own, drawn for the world. A detour through
    films that are not the best ones now can therefore lead somebody to where there is more to be glad of.

    **No policy shall be praised for moving people to what pays.** Beside the minutes stand two numbers:
    ``first_minutes``, what the same person with the same luck would have watched of the same slates at the taste that
    they came with (``latent["first_minutes"]`` of the last slate), and how far taste has turned, which `Evaluator`,
    ``play``, ``compare`` and the studies report in degrees. A policy that earns by the first serves people as they are;
    what it earns above that, it earns by having changed them.

    What differs from `VideoV1`, and nothing else; sources and ranges are in ``envs/scenarios/garden.toml``:

    =====================  ======  =======
    constant               Garden  VideoV1
    =====================  ======  =======
    ``taste.drift``        0.0     0.03
    ``taste.cultivation``  0.03    0.0
    ``items.topics``       0.4     0.0
    =====================  ======  =======

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
    three favourite topics, a noisy view of their taste. Trust and satisfaction are 0.25, fatigue is 0. Nothing has been
    ignored yet; the past is remembered as consumed.

    Episode end
    -----------
    Termination: the user churns, which may happen when a session ends. Truncation: the clock reaches 30 days, or the
    next return would be later than that. There is no limit on the number of slates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`. ``latent`` also has ``frailty``, the
    memory (see `longplay.envs.env.LATENT_MEMORY`), ``first_taste`` and ``first_minutes``; the
    last two where ``taste.cultivation`` is above 0, so not with ``dynamics_strength=0``.

    Known optimum
    -------------
    None. With ``dynamics_strength=0`` the best slate now is the best slate, and the myopic oracle over the whole
    catalogue, ``MyopicOracle(world, whole=True)``, is optimal (but for the quadrature over the noise in completion). At
    other strengths references read hidden state and show what is left to gain; they are no bounds.

    Headroom (test users, ``docs/worlds.md``): on the myopic oracle the best bonus for an item's verdict, the same for
    everybody, gains 39 to 55 % in world seeds 0 to 3, and 23 % of what is counted at the first taste; a planner that
    reads people and their state 1.9 % [-0.2, 4.2] more.

    Examples
    --------
    >>> import gymnasium, longplay, numpy as np
    >>> env = gymnasium.make_vec("longplay/Garden-v0", num_envs=2, privileged=True)
    >>> observation, info = env.reset(seed=7, options={"users": [42, 43]})
    >>> for n in range(40):
    ...     observation, minutes, churned, horizon, info = env.step(10 * n + np.tile(np.arange(1, 11), (2, 1)))
    >>> taste, first = info["latent"]["taste"], info["latent"]["first_taste"]
    >>> bool(((taste * first).sum(axis=1) >= np.cos(np.radians(45)) - 1e-6).all())  # within reach
    True

    Version history
    ---------------
    v0: first version.
    """

    scenario = "garden"


class GardenShifted(NamedEnv):
    """Garden for users of another kind, to see whether a policy learned there still works.

    Description
    -----------
    The films of `Garden`, for users who read a slate from the top (a cascade), are choosier, tire more and recover more
    slowly, mind more what they have passed over, lose more trust by a visit in vain, differ more from each other, and
    turn more slowly to what they watch, and less far. It is harder: rules and the myopic oracle earn less here
    (``docs/worlds.md``). All of it is assumed. What differs, and nothing else:

    ================================  =============  ======
    constant                          GardenShifted  Garden
    ================================  =============  ======
    ``taste.cultivation``             0.02           0.03
    ``taste.reach``                   30.0           45.0
    ``satiation.sensitivity``         0.6            0.4
    ``satiation.sensitivity_spread``  0.9            0.6
    ``satiation.recovery``            0.4            0.24
    ``impression.weight``             0.8            0.5
    ``impression.recovery``           5.0            3.0
    ``choice.nothing``                4.6            3.5
    ``choice.position``               0.15           0.5
    ``leave.beta_a``                  1.0            1.65
    ``leave.beta_b``                  3.0            5.85
    ``trust.vain``                    0.4            0.3
    ``gap.between_users``             0.6            0.38
    ``choice.model``                  cascade        logit
    ================================  =============  ======

    Action space
    ------------
    As of `Garden`: ``MultiDiscrete([17466] * 10)``.

    Observation space
    -----------------
    As of `Garden`, to the number.

    Reward
    ------
    As of `Garden`: ``"minutes"``, 0 to 12 a slate; the same alternatives.

    Starting state
    --------------
    As of `Garden`; user n has the same taste, and other traits.

    Episode end
    -----------
    As of `Garden`: churn terminates, the end of 30 days truncates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`.

    Known optimum
    -------------
    None, as in `Garden`; ``dynamics_strength=0`` has the same one. What the shift costs a policy is the difference
    between its minutes here and those of one that learned here; ``scripts/compare.py --env longplay/GardenShifted-v0``.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env, home = gymnasium.make("longplay/GardenShifted-v0"), gymnasium.make("longplay/Garden-v0")
    >>> env.observation_space == home.observation_space, env.action_space == home.action_space
    (True, True)
    >>> env.unwrapped.world.scenario.values["choice_model"]
    'cascade'

    Version history
    ---------------
    v0: first version.
    """

    scenario = "garden-shifted"


ENVIRONMENTS.register("longplay/Garden-v0", Garden, scenario="garden")
ENVIRONMENTS.register("longplay/GardenShifted-v0", GardenShifted, scenario="garden-shifted")

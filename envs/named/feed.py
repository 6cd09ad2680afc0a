"""Feed: short videos of which the most clicked are worth least, for sixty days; and for users of another kind."""

from .base import NamedEnv
from .registry import ENVIRONMENTS


class Feed(NamedEnv):
    """Short videos, three to a screen, for sixty days, where what is clicked most is worth least.

    Description
    -----------
    The 15,000 posts under 33 tags and 10,000 users of `SocialV1`, with the impressions, trust, visits in vain and
    frailty described there, as a feed of videos of one to three minutes that is scrolled through three at a time, in
    many sessions. A screen is read from the top (a cascade).

    What draws people and what they are glad of conflict, twice. Substance ``q`` is made to correlate with appeal ``a``
    by ``−items.conflict``, ``q = √(1−c²)·q⊥ − c·a``, ``q⊥`` being what is left of substance when appeal has been taken
    out of it (in `SocialV1` the correlation is +0.13); what an item's appeal promised is held against it as well. And
    each person has a second, hidden taste, by which they judge (see `Minds`), whose cosine with the first is below 0:
    what draws them is in part what they themselves regret. Whoever maximises clicks therefore shows what is regretted
    by everybody, and what is regretted by this person. Texts tell of the conflict what they tell of popularity and
    rating, which is a part.

    What differs from `SocialV1`, and nothing else; sources and ranges are in ``envs/scenarios/feed.toml``:

    ====================  ====  ========
    constant              Feed  SocialV1
    ====================  ====  ========
    ``shape.slate``       3     5
    ``items.conflict``    0.5   0.0
    ``items.shortest``    1.0   0.4
    ``choice.nothing``    1.5   2.0
    ``second.weight``     1.5   0.0
    ``second.agreement``  -0.3  0.0
    ``second.own``        0.2   0.0
    ``trust.start``       0.22  0.26
    ``horizon.days``      60.0  30.0
    ====================  ====  ========

    Action space
    ------------
    ``MultiDiscrete([15001] * 3)``: three item numbers, best position first. Item n is row n − 1 of the catalogue; 0
    leaves a slot empty. A second copy of an item, and a post yet to appear, are legal and wasted.

    Observation space
    -----------------
    A ``Dict`` of float32 boxes; nothing hidden is in it. ``context`` is one box of shape (8,).

    ======================  =======  ===========  ===  ========  ===================================================
    key                     shape    unit         low  high      what
    ======================  =======  ===========  ===  ========  ===================================================
    ``history_ids``         (20,)    item number  0    15000     consumed, most recent first; 0: no more
    ``history_completion``  (20,)    share        0    1         how much of each was consumed
    ``history_age``         (20,)    days         0    74.00208  since each was consumed
    ``slate_ids``           (3,)     item number  0    15000     the slate shown last; 0: empty
    ``slate_response``      (3,)     share        0    1         completion of the one chosen; else 0
    ``context[0]``          ()       slates       0    10656300  read in this session
    ``context[1]``          ()       minutes      0    106563    spent in this session
    ``context[2]``          ()       1            -1   1         sine of the hour
    ``context[3]``          ()       1            -1   1         cosine of the hour
    ``context[4]``          ()       days         0    74.00208  gap before this session
    ``context[5]``          ()       days         0    74.00208  the clock
    ``context[6]``          ()       sessions     0    10656300  earlier ones
    ``context[7]``          ()       slates       0    10656300  without a click, in a row
    ``profile``             (40,)    0 or 1       0    1         1: a favourite topic, named at sign-up
    ``shown_ids``           (24, 3)  item number  0    15000     slates shown last, most recent first
    ``shown_age``           (24,)    days         0    74.00208  since each of them; 0: no more
    ``candidates``          (256,)   item number  0    15000     only with ``candidates=True`` or another ``action``
    ======================  =======  ===========  ===  ========  ===================================================

    Reward
    ------
    ``"minutes"`` of dwell, 0 to 3 a slate: completion times length of the item chosen, 0 if none is. Alternatives:
    ``"clicks"``, 1 for a slate with an item chosen, else 0; ``"returns"``, 1 for a slate after which the user leaves
    and is back before the horizon, else 0.

    Starting state
    --------------
    A user of the split in their first session, at an hour of the first day that fits their own day and night. They
    bring a past of 8 posts, chosen by taste and read half a day to 14 days ago, of which some satiation is left, and
    three favourite topics, a noisy view of their taste. Trust and satisfaction are 0.22, fatigue is 0. Nothing has been
    ignored yet; the past is remembered as consumed.

    Episode end
    -----------
    Termination: the user churns, which may happen when a session ends. Truncation: the clock reaches 60 days, or the
    next return would be later than that. There is no limit on the number of slates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`. ``latent`` also has ``frailty``, the
    memory (see `longplay.envs.env.LATENT_MEMORY`) and ``second``, the second taste.

    Known optimum
    -------------
    None. With ``dynamics_strength=0`` the best slate now is the best slate, and the myopic oracle over the whole
    catalogue, ``MyopicOracle(world, whole=True)``, is optimal (but for the quadrature over the noise in completion). At
    other strengths references read hidden state and show what is left to gain; they are no bounds.

    Headroom (test users, ``docs/worlds.md``): on the myopic oracle the best bonus for an item's verdict, the same for
    everybody, gains 33 and 39 % in world seeds 0 and 1; one that reads each person's own verdict 17.6 % [15.7, 19.7]
    and 18.7 % [15.7, 22.2] more.

    Examples
    --------
    >>> import gymnasium, longplay, numpy as np
    >>> env = gymnasium.make("longplay/Feed-v0")
    >>> items = env.unwrapped.world.items[1:]
    >>> round(float(np.corrcoef(items["appeal"], items["substance"])[0, 1]), 2)
    -0.5
    >>> observation, info = env.reset(seed=7)
    >>> observation["slate_ids"].shape
    (3,)

    Version history
    ---------------
    v0: first version.
    """

    scenario = "feed"


class FeedShifted(NamedEnv):
    """Feed for users of another kind, to see whether a policy learned there still works.

    Description
    -----------
    The posts of `Feed`, for users whose eye jumps to what it likes wherever it stands, who are choosier, tire more and
    recover more slowly, mind more what they have passed over, lose more trust by a visit in vain, come more rarely,
    differ more from each other, and are glad more of what is their own. It is harder: rules and the myopic oracle earn
    less here (``docs/worlds.md``). All of it is assumed. What differs, and nothing else:

    ================================  ===========  =======
    constant                          FeedShifted  Feed
    ================================  ===========  =======
    ``satiation.sensitivity``         0.4          0.25
    ``satiation.sensitivity_spread``  0.9          0.6
    ``satiation.recovery``            0.25         0.1
    ``impression.weight``             0.8          0.5
    ``impression.recovery``           5.0          3.0
    ``choice.nothing``                1.9          1.5
    ``choice.position``               0.3          0.1
    ``second.own``                    0.5          0.2
    ``leave.beta_a``                  1.0          1.5
    ``leave.beta_b``                  8.0          17.0
    ``trust.vain``                    0.4          0.3
    ``gap.location``                  -0.1         -0.4
    ``gap.between_users``             0.6          0.38
    ``choice.model``                  position     cascade
    ================================  ===========  =======

    Action space
    ------------
    As of `Feed`: ``MultiDiscrete([15001] * 3)``.

    Observation space
    -----------------
    As of `Feed`, to the number.

    Reward
    ------
    As of `Feed`: ``"minutes"``, 0 to 3 a slate; the same alternatives.

    Starting state
    --------------
    As of `Feed`; user n has the same taste, and other traits.

    Episode end
    -----------
    As of `Feed`: churn terminates, the end of 60 days truncates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`.

    Known optimum
    -------------
    None, as in `Feed`; ``dynamics_strength=0`` has the same one. What the shift costs a policy is the difference
    between its minutes here and those of one that learned here; ``scripts/compare.py --env longplay/FeedShifted-v0``.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env, home = gymnasium.make("longplay/FeedShifted-v0"), gymnasium.make("longplay/Feed-v0")
    >>> env.observation_space == home.observation_space, env.action_space == home.action_space
    (True, True)
    >>> env.unwrapped.world.scenario.values["choice_model"]
    'position'

    Version history
    ---------------
    v0: first version.
    """

    scenario = "feed-shifted"


ENVIRONMENTS.register("longplay/Feed-v0", Feed, scenario="feed")
ENVIRONMENTS.register("longplay/FeedShifted-v0", FeedShifted, scenario="feed-shifted")

"""The scenarios of the field, version 1, in which impressions leave a trace, and Season, ninety days of the first."""

from .base import NamedEnv
from .registry import ENVIRONMENTS


class VideoV1(NamedEnv):
    """Films, ten previews to a slate, version 1: a slate passed over pulls less, and trust opens and keeps.

    Description
    -----------
    The 17,465 films and 10,000 users of `Video`, where a slate that was passed over may be shown again at no cost,
    people think of a service what the last clicks were worth, and even a blank screen keeps two fifths of them for a
    month. Here neither is so. Constants were chosen by plain sense about people alone, before any planner or learner
    was played; ``docs/worlds.md`` has the checks.

    Impressions leave a trace. After a slate each item that could have been taken and was not has its count of ignored
    impressions raised, ``n ← e_k + n·exp(−Δt/τ)``, where ``e_k`` is how far its slot was examined (``p_k/p_1``), and
    pulls less by ``η·ln(1 + n·exp(−Δt/τ))`` in the logarithm of its choice weight, ``η`` being ``impression.weight``
    and ``τ`` ``impression.recovery``; how it is liked once opened stays (Li, Lakshmanan, Tiwari and Shah, KDD 2014).
    What was consumed is penalised by ``repeat.penalty·exp(−Δt/repeat.recovery)``. A user remembers
    ``impression.memory`` items (`longplay.envs.users.memory`).

    Trust opens: choosing nothing weighs ``exp(c − κ(m − m₀))``, ``m`` being trust, ``κ`` ``choice.trust``, ``m₀``
    ``churn.trust_pivot`` (after Hohnhold, O'Brien and Tang, KDD 2015). A slate without a click moves satisfaction by
    ``satisfaction.idle`` of the rate alone, but a session without one costs trust, ``m ← m + ρ(v − m)`` with
    ``trust.vain`` and ``trust.vain_verdict``. People differ in frailty, an offset of the logit of churn that no slate
    changes, normal with ``churn.frailty``, so that the frail are gone early.

    What differs from version 0, and nothing else; sources and ranges are in ``envs/scenarios/video-v1.toml``:

    ==========================  =======  ======
    constant                    VideoV1  Video
    ==========================  =======  ======
    ``taste.weight``            9.0      8.0
    ``items.shortest``          5.0      3.0
    ``items.longest``           12.0     20.0
    ``repeat.recovery``         60.0     0.0
    ``impression.weight``       0.5      0.0
    ``impression.memory``       256      0.0
    ``choice.trust``            1.0      0.0
    ``satisfaction.substance``  1.6      1.2
    ``satisfaction.appeal``     0.9      0.6
    ``satisfaction.skip``       0.0      0.1
    ``satisfaction.rate``       0.5      0.25
    ``satisfaction.idle``       0.1      1.0
    ``trust.start``             0.25     0.5
    ``trust.vain``              0.3      0.0
    ``churn.base``              -4.3     -3.8
    ``churn.trust``             10.0     4.0
    ``churn.trust_pivot``       0.3      0.4
    ``churn.frailty``           1.0      0.0
    ``gap.trust``               1.5      0.7
    ``candidates.order``        luck     source
    ==========================  =======  ======

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
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`. ``latent`` also has ``frailty`` and the
    memory, see `longplay.envs.env.LATENT_MEMORY`.

    Known optimum
    -------------
    None. With ``dynamics_strength=0`` the best slate now is the best slate, and the myopic oracle over the whole
    catalogue, ``MyopicOracle(world, whole=True)``, is optimal (but for the quadrature over the noise in completion). At
    other strengths references read hidden state and show what is left to gain; they are no bounds.

    Headroom (test users, ``docs/worlds.md``): on the myopic oracle the best bonus for an item's verdict, the same for
    everybody, gains 31 to 38 % in world seeds 0 to 3; a planner that reads people and their state gains 1.8 %
    [0.6, 3.0] more (seed 0).

    Examples
    --------
    >>> import gymnasium, longplay, numpy as np
    >>> env = gymnasium.make("longplay/Video-v1")
    >>> observation, info = env.reset(seed=7, options={"user": 42})
    >>> observation, minutes, churned, horizon, info = env.step([5, 4, 3, 2, 1, 6, 7, 8, 9, 10])
    >>> observation["shown_ids"][0].tolist() == observation["slate_ids"].tolist(), observation["shown_ids"].shape
    (True, (24, 10))

    An item that was ignored pulls less for some days, and the hidden state has it:

    >>> env = gymnasium.make_vec("longplay/Video-v1", num_envs=1, privileged=True)
    >>> observation, info = env.reset(seed=7, options={"users": [42]})
    >>> _, _, _, _, info = env.step([[5, 4, 3, 2, 1, 6, 7, 8, 9, 10]])
    >>> trace = info["latent"]["memory_trace"][info["latent"]["memory_item"] == 5]
    >>> ignored = np.exp(trace - info["day"] / env.unwrapped.world.scenario.params.impression_recovery)
    >>> ignored.round(3).tolist() == ([] if info["choice"][0] == 0 else [1.0])
    True

    Version history
    ---------------
    v1: impressions leave a trace, trust opens, visits in vain cost trust, people are frail; the order of candidates
    tells nothing. v0: `Video`, which stays as it was.
    """

    scenario = "video-v1"


class NewsV1(NamedEnv):
    """Short articles, twelve to a page, version 1: headlines that were passed over pull less.

    Description
    -----------
    The 12,000 headlines in 62 sections and the 10,000 users of `News`, whose constants were fitted to a log that has
    clicks alone. Here headlines that were passed over pull less; the rest stays, so that the log's statistics do, too
    (``docs/worlds.md``).

    Impressions leave a trace. After a slate each item that could have been taken and was not has its count of ignored
    impressions raised, ``n ← e_k + n·exp(−Δt/τ)``, where ``e_k`` is how far its slot was examined (``p_k/p_1``), and
    pulls less by ``η·ln(1 + n·exp(−Δt/τ))`` in the logarithm of its choice weight, ``η`` being ``impression.weight``
    and ``τ`` ``impression.recovery``; how it is liked once opened stays (Li, Lakshmanan, Tiwari and Shah, KDD 2014).
    What was consumed is penalised by ``repeat.penalty·exp(−Δt/repeat.recovery)``. A user remembers
    ``impression.memory`` items (`longplay.envs.users.memory`).

    What differs from version 0, and nothing else; sources and ranges are in ``envs/scenarios/news-v1.toml``:

    =====================  ======  ======
    constant               NewsV1  News
    =====================  ======  ======
    ``repeat.recovery``    30.0    0.0
    ``impression.weight``  0.5     0.0
    ``impression.memory``  256     0.0
    ``candidates.order``   luck    source
    =====================  ======  ======

    Action space
    ------------
    ``MultiDiscrete([12001] * 12)``: twelve item numbers, best position first. Item n is row n − 1 of the catalogue; 0
    leaves a slot empty. A second copy of an item, and an article yet to appear, are legal and wasted.

    Observation space
    -----------------
    A ``Dict`` of float32 boxes; nothing hidden is in it. ``context`` is one box of shape (8,).

    ======================  ========  ===========  ===  =========  ===================================================
    key                     shape     unit         low  high       what
    ======================  ========  ===========  ===  =========  ===================================================
    ``history_ids``         (20,)     item number  0    12000      consumed, most recent first; 0: no more
    ``history_completion``  (20,)     share        0    1          how much of each was consumed
    ``history_age``         (20,)     days         0    44.004166  since each was consumed
    ``slate_ids``           (12,)     item number  0    12000      the slate shown last; 0: empty
    ``slate_response``      (12,)     share        0    1          completion of the one chosen; else 0
    ``context[0]``          ()        slates       0    6336600    read in this session
    ``context[1]``          ()        minutes      0    63366      spent in this session
    ``context[2]``          ()        1            -1   1          sine of the hour
    ``context[3]``          ()        1            -1   1          cosine of the hour
    ``context[4]``          ()        days         0    44.004166  gap before this session
    ``context[5]``          ()        days         0    44.004166  the clock
    ``context[6]``          ()        sessions     0    6336600    earlier ones
    ``context[7]``          ()        slates       0    6336600    without a click, in a row
    ``profile``             (64,)     0 or 1       0    1          1: a favourite topic, named at sign-up
    ``shown_ids``           (24, 12)  item number  0    12000      slates shown last, most recent first
    ``shown_age``           (24,)     days         0    44.004166  since each of them; 0: no more
    ``candidates``          (128,)    item number  0    12000      only with ``candidates=True`` or another ``action``
    ======================  ========  ===========  ===  =========  ===================================================

    Reward
    ------
    ``"minutes"`` of dwell, 0 to 6 a slate: completion times length of the item chosen, 0 if none is. Alternatives:
    ``"clicks"``, 1 for a slate with an item chosen, else 0; ``"returns"``, 1 for a slate after which the user leaves
    and is back before the horizon, else 0.

    Starting state
    --------------
    A user of the split in their first session, at an hour of the first day that fits their own day and night. They
    bring a past of 8 articles, chosen by taste and read half a day to 14 days ago, of which some satiation is left, and
    three favourite topics, a noisy view of their taste. Trust and satisfaction are 0.5, fatigue is 0. Nothing has been
    ignored yet; the past is remembered as consumed.

    Episode end
    -----------
    Termination: the user churns, which may happen when a session ends. Truncation: the clock reaches 30 days, or the
    next return would be later than that. There is no limit on the number of slates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`. ``latent`` also has ``frailty`` and the
    memory, see `longplay.envs.env.LATENT_MEMORY`.

    Known optimum
    -------------
    None. With ``dynamics_strength=0`` the best slate now is the best slate, and the myopic oracle over the whole
    catalogue, ``MyopicOracle(world, whole=True)``, is optimal (but for the quadrature over the noise in completion). At
    other strengths references read hidden state and show what is left to gain; they are no bounds.

    Headroom (test users, ``docs/worlds.md``): none; neither a bonus for what pleases nor a planner that reads people
    and their state gains on the myopic oracle (−0.2 % [−0.7, 0.0], seed 0). The constants are those that fit the log.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env = gymnasium.make("longplay/News-v1")
    >>> observation, info = env.reset(seed=7)
    >>> live = (env.unwrapped.world.born[1:] <= info["day"]).nonzero()[0] + 1  # in order of appearance
    >>> observation, minutes, churned, horizon, info = env.step(live[-12:])
    >>> observation["shown_ids"][0].tolist() == live[-12:].tolist()
    True

    Version history
    ---------------
    v1: impressions leave a trace; the order of candidates tells nothing. v0: `News`, which stays as it was.
    """

    scenario = "news-v1"


class ShopV1(NamedEnv):
    """Product pages, eight to a slate, version 1: a page passed over pulls less, and trust opens and keeps.

    Description
    -----------
    The 10,000 products in 38 departments and the 10,000 users of `Shop`, who mind being shown the same page again and
    do not come back to a shop that shows nothing for them. Pays minutes, as comparisons do, where version 0 paid
    clicks. Constants were chosen by plain sense about people alone; ``docs/worlds.md`` has the checks.

    Impressions leave a trace. After a slate each item that could have been taken and was not has its count of ignored
    impressions raised, ``n ← e_k + n·exp(−Δt/τ)``, where ``e_k`` is how far its slot was examined (``p_k/p_1``), and
    pulls less by ``η·ln(1 + n·exp(−Δt/τ))`` in the logarithm of its choice weight, ``η`` being ``impression.weight``
    and ``τ`` ``impression.recovery``; how it is liked once opened stays (Li, Lakshmanan, Tiwari and Shah, KDD 2014).
    What was consumed is penalised by ``repeat.penalty·exp(−Δt/repeat.recovery)``. A user remembers
    ``impression.memory`` items (`longplay.envs.users.memory`).

    Trust opens: choosing nothing weighs ``exp(c − κ(m − m₀))``, ``m`` being trust, ``κ`` ``choice.trust``, ``m₀``
    ``churn.trust_pivot`` (after Hohnhold, O'Brien and Tang, KDD 2015). A slate without a click moves satisfaction by
    ``satisfaction.idle`` of the rate alone, but a session without one costs trust, ``m ← m + ρ(v − m)`` with
    ``trust.vain`` and ``trust.vain_verdict``. People differ in frailty, an offset of the logit of churn that no slate
    changes, normal with ``churn.frailty``, so that the frail are gone early.

    What differs from version 0, and nothing else; sources and ranges are in ``envs/scenarios/shop-v1.toml``:

    ==========================  ======  ======
    constant                    ShopV1  Shop
    ==========================  ======  ======
    ``items.shortest``          1.0     0.5
    ``items.longest``           3.5     5.0
    ``repeat.recovery``         30.0    0.0
    ``impression.weight``       0.5     0.0
    ``impression.memory``       256     0.0
    ``choice.trust``            1.0     0.0
    ``satisfaction.substance``  1.6     1.2
    ``satisfaction.appeal``     0.9     0.6
    ``satisfaction.skip``       0.0     0.1
    ``satisfaction.rate``       0.5     0.25
    ``satisfaction.idle``       0.1     1.0
    ``trust.start``             0.18    0.5
    ``trust.vain``              0.3     0.0
    ``churn.base``              -3.4    -3.1
    ``churn.trust``             10.0    4.0
    ``churn.trust_pivot``       0.3     0.4
    ``churn.frailty``           1.0     0.0
    ``gap.trust``               1.5     0.7
    ``candidates.order``        luck    source
    ==========================  ======  ======

    Action space
    ------------
    ``MultiDiscrete([10001] * 8)``: eight item numbers, best position first. Item n is row n − 1 of the catalogue; 0
    leaves a slot empty. A second copy of an item in a slate is legal and wasted.

    Observation space
    -----------------
    A ``Dict`` of float32 boxes; nothing hidden is in it. ``context`` is one box of shape (8,).

    ======================  =======  ===========  ===  ========  ===================================================
    key                     shape    unit         low  high      what
    ======================  =======  ===========  ===  ========  ===================================================
    ``history_ids``         (20,)    item number  0    10000     consumed, most recent first; 0: no more
    ``history_completion``  (20,)    share        0    1         how much of each was consumed
    ``history_age``         (20,)    days         0    44.00243  since each was consumed
    ``slate_ids``           (8,)     item number  0    10000     the slate shown last; 0: empty
    ``slate_response``      (8,)     share        0    1         completion of the one chosen; else 0
    ``context[0]``          ()       slates       0    6336350   read in this session
    ``context[1]``          ()       minutes      0    63363.5   spent in this session
    ``context[2]``          ()       1            -1   1         sine of the hour
    ``context[3]``          ()       1            -1   1         cosine of the hour
    ``context[4]``          ()       days         0    44.00243  gap before this session
    ``context[5]``          ()       days         0    44.00243  the clock
    ``context[6]``          ()       sessions     0    6336350   earlier ones
    ``context[7]``          ()       slates       0    6336350   without a click, in a row
    ``profile``             (40,)    0 or 1       0    1         1: a favourite topic, named at sign-up
    ``shown_ids``           (24, 8)  item number  0    10000     slates shown last, most recent first
    ``shown_age``           (24,)    days         0    44.00243  since each of them; 0: no more
    ``candidates``          (256,)   item number  0    10000     only with ``candidates=True`` or another ``action``
    ======================  =======  ===========  ===  ========  ===================================================

    Reward
    ------
    ``"minutes"`` of dwell, 0 to 3.5 a slate: completion times length of the item chosen, 0 if none is. Alternatives:
    ``"clicks"``, 1 for a slate with an item chosen, else 0; ``"returns"``, 1 for a slate after which the user leaves
    and is back before the horizon, else 0.

    Starting state
    --------------
    A user of the split in their first session, at an hour of the first day that fits their own day and night. They
    bring a past of 8 products, chosen by taste and looked at half a day to 14 days ago, of which some satiation is
    left, and three favourite topics, a noisy view of their taste. Trust and satisfaction are 0.18, fatigue is 0.
    Nothing has been ignored yet; the past is remembered as consumed.

    Episode end
    -----------
    Termination: the user churns, which may happen when a session ends. Truncation: the clock reaches 30 days, or the
    next return would be later than that. There is no limit on the number of slates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`. ``latent`` also has ``frailty`` and the
    memory, see `longplay.envs.env.LATENT_MEMORY`.

    Known optimum
    -------------
    None. With ``dynamics_strength=0`` the best slate now is the best slate, and the myopic oracle over the whole
    catalogue, ``MyopicOracle(world, whole=True)``, is optimal (but for the quadrature over the noise in completion). At
    other strengths references read hidden state and show what is left to gain; they are no bounds.

    Headroom (test users, ``docs/worlds.md``): on the myopic oracle the best bonus for an item's verdict, the same for
    everybody, gains 24 to 28 % in world seeds 0 to 3; a planner that reads people and their state gains 2.0 %
    [−0.1, 4.1] more (seed 0).

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env = gymnasium.make("longplay/Shop-v1")
    >>> observation, info = env.reset(seed=7)
    >>> observation, minutes, churned, horizon, info = env.step(range(1, 9))
    >>> 0 <= minutes <= 3.5, observation["shown_ids"][0].tolist()
    (True, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])

    Version history
    ---------------
    v1: impressions leave a trace, trust opens, visits in vain cost trust, people are frail; the order of candidates
    tells nothing. v0: `Shop`, which stays as it was.
    """

    scenario = "shop-v1"


class SocialV1(NamedEnv):
    """Short posts, five to a screen, version 1: a post passed over pulls less, and trust opens and keeps.

    Description
    -----------
    The posts and users of `Social`: 15,000 posts under 33 tags, 10,000 users, who mind being shown the same post again
    and give up a feed with nothing in it for them. Constants were chosen by plain sense about people alone;
    ``docs/worlds.md`` has the checks.

    Impressions leave a trace. After a slate each item that could have been taken and was not has its count of ignored
    impressions raised, ``n ← e_k + n·exp(−Δt/τ)``, where ``e_k`` is how far its slot was examined (the chance that it
    was reached, given the response), and pulls less by ``η·ln(1 + n·exp(−Δt/τ))`` in the logarithm of its choice
    weight, ``η`` being ``impression.weight`` and ``τ`` ``impression.recovery``; how it is liked once opened stays (Li,
    Lakshmanan, Tiwari and Shah, KDD 2014). What was consumed is penalised by
    ``repeat.penalty·exp(−Δt/repeat.recovery)``. A user remembers ``impression.memory`` items
    (`longplay.envs.users.memory`).

    Trust opens: choosing nothing weighs ``exp(c − κ(m − m₀))``, ``m`` being trust, ``κ`` ``choice.trust``, ``m₀``
    ``churn.trust_pivot`` (after Hohnhold, O'Brien and Tang, KDD 2015). A slate without a click moves satisfaction by
    ``satisfaction.idle`` of the rate alone, but a session without one costs trust, ``m ← m + ρ(v − m)`` with
    ``trust.vain`` and ``trust.vain_verdict``. People differ in frailty, an offset of the logit of churn that no slate
    changes, normal with ``churn.frailty``, so that the frail are gone early.

    What differs from version 0, and nothing else; sources and ranges are in ``envs/scenarios/social-v1.toml``:

    ==========================  ========  ======
    constant                    SocialV1  Social
    ==========================  ========  ======
    ``items.shortest``          0.4       0.2
    ``items.longest``           3.0       2.0
    ``repeat.recovery``         30.0      0.0
    ``impression.weight``       0.5       0.0
    ``impression.memory``       256       0.0
    ``choice.nothing``          2.0       2.5
    ``choice.trust``            1.0       0.0
    ``satisfaction.substance``  1.6       1.2
    ``satisfaction.appeal``     0.9       0.6
    ``satisfaction.skip``       0.0       0.1
    ``satisfaction.rate``       0.5       0.25
    ``satisfaction.idle``       0.1       1.0
    ``leave.beta_b``            17.0      13.5
    ``trust.start``             0.26      0.5
    ``trust.vain``              0.3       0.0
    ``churn.base``              -5.0      -4.6
    ``churn.trust``             10.0      4.0
    ``churn.trust_pivot``       0.3       0.4
    ``churn.frailty``           1.0       0.0
    ``gap.trust``               1.5       0.7
    ``candidates.order``        luck      source
    ==========================  ========  ======

    Action space
    ------------
    ``MultiDiscrete([15001] * 5)``: five item numbers, best position first. Item n is row n − 1 of the catalogue; 0
    leaves a slot empty. A second copy of an item, and a post yet to appear, are legal and wasted.

    Observation space
    -----------------
    A ``Dict`` of float32 boxes; nothing hidden is in it. ``context`` is one box of shape (8,).

    ======================  =======  ===========  ===  =========  ===================================================
    key                     shape    unit         low  high       what
    ======================  =======  ===========  ===  =========  ===================================================
    ``history_ids``         (20,)    item number  0    15000      consumed, most recent first; 0: no more
    ``history_completion``  (20,)    share        0    1          how much of each was consumed
    ``history_age``         (20,)    days         0    44.002083  since each was consumed
    ``slate_ids``           (5,)     item number  0    15000      the slate shown last; 0: empty
    ``slate_response``      (5,)     share        0    1          completion of the one chosen; else 0
    ``context[0]``          ()       slates       0    6336300    read in this session
    ``context[1]``          ()       minutes      0    63363      spent in this session
    ``context[2]``          ()       1            -1   1          sine of the hour
    ``context[3]``          ()       1            -1   1          cosine of the hour
    ``context[4]``          ()       days         0    44.002083  gap before this session
    ``context[5]``          ()       days         0    44.002083  the clock
    ``context[6]``          ()       sessions     0    6336300    earlier ones
    ``context[7]``          ()       slates       0    6336300    without a click, in a row
    ``profile``             (40,)    0 or 1       0    1          1: a favourite topic, named at sign-up
    ``shown_ids``           (24, 5)  item number  0    15000      slates shown last, most recent first
    ``shown_age``           (24,)    days         0    44.002083  since each of them; 0: no more
    ``candidates``          (256,)   item number  0    15000      only with ``candidates=True`` or another ``action``
    ======================  =======  ===========  ===  =========  ===================================================

    Reward
    ------
    ``"minutes"`` of dwell, 0 to 3 a slate: completion times length of the item chosen, 0 if none is. Alternatives:
    ``"clicks"``, 1 for a slate with an item chosen, else 0; ``"returns"``, 1 for a slate after which the user leaves
    and is back before the horizon, else 0.

    Starting state
    --------------
    A user of the split in their first session, at an hour of the first day that fits their own day and night. They
    bring a past of 8 posts, chosen by taste and read half a day to 14 days ago, of which some satiation is left, and
    three favourite topics, a noisy view of their taste. Trust and satisfaction are 0.26, fatigue is 0. Nothing has been
    ignored yet; the past is remembered as consumed.

    Episode end
    -----------
    Termination: the user churns, which may happen when a session ends. Truncation: the clock reaches 30 days, or the
    next return would be later than that. There is no limit on the number of slates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`. ``latent`` also has ``frailty`` and the
    memory, see `longplay.envs.env.LATENT_MEMORY`.

    Known optimum
    -------------
    None. With ``dynamics_strength=0`` the best slate now is the best slate, and the myopic oracle over the whole
    catalogue, ``MyopicOracle(world, whole=True)``, is optimal (but for the quadrature over the noise in completion). At
    other strengths references read hidden state and show what is left to gain; they are no bounds.

    Headroom (test users, ``docs/worlds.md``): on the myopic oracle the best bonus for an item's verdict, the same for
    everybody, gains 22 to 26 % in world seeds 0 to 3.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env = gymnasium.make("longplay/Social-v1")
    >>> observation, info = env.reset(seed=7)
    >>> live = (env.unwrapped.world.born[1:] <= info["day"]).nonzero()[0] + 1  # in order of appearance
    >>> observation, minutes, churned, horizon, info = env.step(live[-5:])
    >>> 0 <= minutes <= 3, observation["shown_ids"][0].tolist() == live[-5:].tolist()
    (True, True)

    Version history
    ---------------
    v1: impressions leave a trace, trust opens, visits in vain cost trust, people are frail; the order of candidates
    tells nothing. v0: `Social`, which stays as it was.
    """

    scenario = "social-v1"


class Season(NamedEnv):
    """Films for a season of ninety days: what keeps people counts three times as long as in `VideoV1`.

    Description
    -----------
    `VideoV1` for ninety days: the 17,465 films and 10,000 users, impressions that leave a trace, trust that opens,
    visits in vain and frailty as described there, over a quarter of a year, in which films that were watched at its
    beginning are not new at its end. What differs from `VideoV1`, and nothing else:

    ================  ======  =======
    constant          Season  VideoV1
    ================  ======  =======
    ``churn.base``    -4.2    -4.3
    ``horizon.days``  90.0    30.0
    ================  ======  =======

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
    ``history_age``         (20,)     days         0    104.00833  since each was consumed
    ``slate_ids``           (10,)     item number  0    17465      the slate shown last; 0: empty
    ``slate_response``      (10,)     share        0    1          completion of the one chosen; else 0
    ``context[0]``          ()        slates       0    14977200   read in this session
    ``context[1]``          ()        minutes      0    149772     spent in this session
    ``context[2]``          ()        1            -1   1          sine of the hour
    ``context[3]``          ()        1            -1   1          cosine of the hour
    ``context[4]``          ()        days         0    104.00833  gap before this session
    ``context[5]``          ()        days         0    104.00833  the clock
    ``context[6]``          ()        sessions     0    14977200   earlier ones
    ``context[7]``          ()        slates       0    14977200   without a click, in a row
    ``profile``             (24,)     0 or 1       0    1          1: a favourite topic, named at sign-up
    ``shown_ids``           (24, 10)  item number  0    17465      slates shown last, most recent first
    ``shown_age``           (24,)     days         0    104.00833  since each of them; 0: no more
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
    Termination: the user churns, which may happen when a session ends. Truncation: the clock reaches 90 days, or the
    next return would be later than that. There is no limit on the number of slates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`. ``latent`` also has ``frailty`` and the
    memory, see `longplay.envs.env.LATENT_MEMORY`.

    Known optimum
    -------------
    None. With ``dynamics_strength=0`` the best slate now is the best slate, and the myopic oracle over the whole
    catalogue, ``MyopicOracle(world, whole=True)``, is optimal (but for the quadrature over the noise in completion). At
    other strengths references read hidden state and show what is left to gain; they are no bounds.

    Headroom (test users, ``docs/worlds.md``): on the myopic oracle the best bonus for an item's verdict, the same for
    everybody, gains 53 % [48, 57] and 53 % [46, 60] in world seeds 0 and 1.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env = gymnasium.make("longplay/Season-v0")
    >>> observation, info = env.reset(seed=7, options={"user": 42})
    >>> float(env.unwrapped.world.scenario.params.horizon_days), int(observation["shown_ids"].sum())
    (90.0, 0)

    Version history
    ---------------
    v0: first version.
    """

    scenario = "season"


ENVIRONMENTS.register("longplay/Video-v1", VideoV1, scenario="video-v1")
ENVIRONMENTS.register("longplay/News-v1", NewsV1, scenario="news-v1")
ENVIRONMENTS.register("longplay/Shop-v1", ShopV1, scenario="shop-v1")
ENVIRONMENTS.register("longplay/Social-v1", SocialV1, scenario="social-v1")
ENVIRONMENTS.register("longplay/Season-v0", Season, scenario="season")

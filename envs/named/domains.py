"""The four scenarios of the field: films, news, a shop, a social network."""

from .base import NamedEnv
from .registry import ENVIRONMENTS


class Video(NamedEnv):
    """Films, ten previews to a slate: who is shown what they like again and again tires of it, and may not come back.

    Description
    -----------
    A film service shows previews for thirty days. The catalogue is real: 17,465 films of 1940 to 2014, described in a
    sentence or two each, from Wikidata (CC0) through the package `bokeh-sampledata`; `longplay.envs.catalogs.films`
    says how they are cleaned. Runtimes are compressed into previews of 3 to 20 minutes, so that no policy wins by
    showing long films. Appeal follows a film's number of reviews and substance its critics' rating, both with noise.
    Films do not age. There are 10,000 users.

    Measured, in public logs of news and short videos (Globo, EB-NeRD, KuaiRand), none of which has films: momentum, the
    size of satiation and that it recovers within hours, how patience differs between users, gaps between sessions and
    how they differ, churn against the visit rate, the hours of the day. From papers: the multinomial logit with a
    no-click option (SlateQ), linear satiation (rebounding bandits). Assumed: taste and how much of it the text shows,
    appeal and substance, completion, satisfaction, fatigue, trust, and above all that dissatisfaction makes people
    leave and churn, which logs do not support. ``envs/scenarios/video.toml`` gives each constant's source and range.

    Action space
    ------------
    ``MultiDiscrete([17466] * 10)``: ten item numbers, best position first. Item n is row n − 1 of the catalogue; 0
    leaves a slot empty. A second copy of an item in a slate is legal and wasted.

    Observation space
    -----------------
    A ``Dict`` of float32 boxes; nothing hidden is in it. ``context`` is one box of shape (8,).

    ======================  ======  ===========  ===  ========  ===================================================
    key                     shape   unit         low  high      what
    ======================  ======  ===========  ===  ========  ===================================================
    ``history_ids``         (20,)   item number  0    17465     consumed, most recent first; 0: no more
    ``history_completion``  (20,)   share        0    1         how much of each was consumed
    ``history_age``         (20,)   days         0    44.01389  since each was consumed
    ``slate_ids``           (10,)   item number  0    17465     the slate shown last; 0: empty
    ``slate_response``      (10,)   share        0    1         completion of the one chosen; else 0
    ``context[0]``          ()      slates       0    6338000   read in this session
    ``context[1]``          ()      minutes      0    63380     spent in this session
    ``context[2]``          ()      1            -1   1         sine of the hour
    ``context[3]``          ()      1            -1   1         cosine of the hour
    ``context[4]``          ()      days         0    44.01389  gap before this session
    ``context[5]``          ()      days         0    44.01389  the clock
    ``context[6]``          ()      sessions     0    6338000   earlier ones
    ``context[7]``          ()      slates       0    6338000   without a click, in a row
    ``profile``             (24,)   0 or 1       0    1         1: a favourite topic, named at sign-up
    ``candidates``          (256,)  item number  0    17465     only with ``candidates=True`` or another ``action``
    ======================  ======  ===========  ===  ========  ===================================================

    Reward
    ------
    ``"minutes"`` of dwell, 0 to 20 a slate: completion times length of the item chosen, 0 if none is. Alternatives:
    ``"clicks"``, 1 for a slate with an item chosen, else 0; ``"returns"``, 1 for a slate after which the user leaves
    and is back before the horizon, else 0.

    Starting state
    --------------
    A user of the split in their first session, at an hour of the first day that fits their own day and night. They
    bring a past of 8 films, chosen by taste and watched half a day to 14 days ago, of which some satiation is left,
    and three favourite topics, a noisy view of their taste. Trust and satisfaction are 0.5, fatigue is 0.

    Episode end
    -----------
    Termination: the user churns, which may happen when a session ends. Truncation: the clock reaches 30 days, or the
    next return would be later than that. There is no limit on the number of slates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`.

    Known optimum
    -------------
    None. With ``dynamics_strength=0`` the best slate now is the best slate, and the myopic oracle over the whole
    catalogue, ``MyopicOracle(world, whole=True)``, is optimal (but for the quadrature over the noise in completion). At
    other strengths the references of `longplay.agents.references.oracles` (`MyopicOracle`, `TasteOracle`) read hidden
    state and show what is left to gain; they are no bounds. Their figures, beside rules and learned policies, are in
    the README; ``scripts/compare.py`` prints them anew.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env = gymnasium.make("longplay/Video-v0")
    >>> observation, info = env.reset(seed=7, options={"user": 42})
    >>> int(info["user"]), len(env.unwrapped.world.catalog)
    (42, 17465)
    >>> int((observation["history_ids"] > 0).sum()), int(observation["profile"].sum())
    (8, 3)
    >>> observation, minutes, churned, horizon, info = env.step([5, 4, 3, 2, 1, 6, 7, 8, 9, 10])
    >>> 0 <= minutes <= 20, observation["slate_ids"][:5].tolist()
    (True, [5.0, 4.0, 3.0, 2.0, 1.0])

    Nobody clicks on an empty slate, which takes 0.3 minutes; the same user with the same luck starts the same again:

    >>> again, info = env.reset(options={"user": 42})
    >>> observation, minutes, churned, horizon, info = env.step([0] * 10)
    >>> minutes, int(info["choice"]), round(24 * 60 * float(info["day"] - again["context"][5]), 1)
    (0.0, -1, 0.3)

    Version history
    ---------------
    v0: first version.
    """

    scenario = "video"


class News(NamedEnv):
    """Short articles, twelve to a page, that age within hours: what to show is also a matter of what is new.

    Description
    -----------
    A news site for thirty days. The catalogue is synthetic: 12,000 headlines with teasers in 62 sections, written by a
    grammar (`longplay.envs.catalogs.news`; part of this package, Apache-2.0), because the articles of public logs may
    not be passed on. Stories come in parts that share people, places and matter. Lurid articles are talked about and
    rated low, analyses are rated high. Lengths are 0.5 to 6 minutes. An article appears at its time of publication, and
    the pull of what has appeared fades within hours (``items.life``); before, it cannot be chosen. 10,000 users.

    This is the scenario that is held against a log: ``scripts/studies/signatures/study.py`` compares what it produces
    with the clicks of Globo (three million, sixteen days). The constants of taste, momentum, satiation, life, leaving,
    gaps and churn were fitted to statistics of that log, together with a logging policy, so the comparison is on what
    was fitted, and some constants may be traded for others or for the policy's strengths. From a paper: the
    position-based model, adapted to one click at most. Assumed: whatever the log does not show, which is appeal and
    substance, the effect of the position, completion, satisfaction, trust and what they do. That an article's
    popularity is known at once is a simplification: take it for an editor's forecast. ``envs/scenarios/news.toml``
    gives each constant's source.

    Action space
    ------------
    ``MultiDiscrete([12001] * 12)``: twelve item numbers, best position first. Item n is row n − 1 of the catalogue; 0
    leaves a slot empty. A second copy of an item, and an article yet to appear, are legal and wasted.

    Observation space
    -----------------
    A ``Dict`` of float32 boxes; nothing hidden is in it. ``context`` is one box of shape (8,).

    ======================  ======  ===========  ===  =========  ===================================================
    key                     shape   unit         low  high       what
    ======================  ======  ===========  ===  =========  ===================================================
    ``history_ids``         (20,)   item number  0    12000      consumed, most recent first; 0: no more
    ``history_completion``  (20,)   share        0    1          how much of each was consumed
    ``history_age``         (20,)   days         0    44.004166  since each was consumed
    ``slate_ids``           (12,)   item number  0    12000      the slate shown last; 0: empty
    ``slate_response``      (12,)   share        0    1          completion of the one chosen; else 0
    ``context[0]``          ()      slates       0    6336600    read in this session
    ``context[1]``          ()      minutes      0    63366      spent in this session
    ``context[2]``          ()      1            -1   1          sine of the hour
    ``context[3]``          ()      1            -1   1          cosine of the hour
    ``context[4]``          ()      days         0    44.004166  gap before this session
    ``context[5]``          ()      days         0    44.004166  the clock
    ``context[6]``          ()      sessions     0    6336600    earlier ones
    ``context[7]``          ()      slates       0    6336600    without a click, in a row
    ``profile``             (64,)   0 or 1       0    1          1: a favourite topic, named at sign-up
    ``candidates``          (128,)  item number  0    12000      only with ``candidates=True`` or another ``action``
    ======================  ======  ===========  ===  =========  ===================================================

    Reward
    ------
    ``"minutes"`` of dwell, 0 to 6 a slate: completion times length of the item chosen, 0 if none is. Alternatives:
    ``"clicks"``, 1 for a slate with an item chosen, else 0; ``"returns"``, 1 for a slate after which the user leaves
    and is back before the horizon, else 0.

    Starting state
    --------------
    A user of the split in their first session, at an hour of the first day that fits their own day and night. They
    bring a past of 8 articles, chosen by taste and read half a day to 14 days ago, of which some
    satiation is left, and three favourite topics, a noisy view of their taste. Trust and satisfaction are 0.5, fatigue
    is 0.

    Episode end
    -----------
    Termination: the user churns, which may happen when a session ends. Truncation: the clock reaches 30 days, or the
    next return would be later than that. There is no limit on the number of slates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`.

    Known optimum
    -------------
    None. With ``dynamics_strength=0`` the best slate now is the best slate: ``MyopicOracle(world, reward="clicks",
    whole=True)`` is optimal for clicks, and for minutes the same with ``reward="minutes"`` is the best that a grid of
    prices finds (`longplay.agents.references.best_slates`). At other strengths `MyopicOracle` and `TasteOracle` of
    `longplay.agents.references.oracles` read hidden state and show what is left to gain; they are no bounds.
    ``scripts/compare.py --env longplay/News-v0`` prints their figures.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env = gymnasium.make("longplay/News-v0")
    >>> observation, info = env.reset(seed=7)
    >>> born = env.unwrapped.world.born  # (N + 1,) days at which articles appear
    >>> int((born > info["day"]).sum()) > 6000, bool((born[observation["history_ids"][:8].astype(int)] < 0).all())
    (True, True)

    Tomorrow's papers attract nobody:

    >>> observation, minutes, churned, horizon, info = env.step(list(range(11_989, 12_001)))
    >>> minutes, int(info["item"])
    (0.0, 0)

    Version history
    ---------------
    v0: first version.
    """

    scenario = "news"


class Shop(NamedEnv):
    """Product pages, eight to a slate: people compare what is alike, and then need no more of it for weeks.

    Description
    -----------
    A shop for thirty days. The catalogue is synthetic: 10,000 products of invented brands in 38 departments, written by
    a grammar (`longplay.envs.catalogs.shop`; part of this package, Apache-2.0). Lines come in versions, so
    near-duplicates exist. Hyped products sell and disappoint, solid ones are rated high. A page takes 0.5 to 5 minutes;
    products do not age. People come every few days; momentum lasts for a session, satiation saturates and recovers
    within weeks. There are 10,000 users.

    Measured: little. The base rate of churn is set against the repeat purchases of CDNOW; what is not named in
    ``envs/scenarios/shop.toml`` is as in Video, with the sources given there, such as the hours of the day. Assumed:
    nearly all else, because no log of slates of products is public.

    Action space
    ------------
    ``MultiDiscrete([10001] * 8)``: eight item numbers, best position first. Item n is row n − 1 of the catalogue; 0
    leaves a slot empty. A second copy of an item in a slate is legal and wasted.

    Observation space
    -----------------
    A ``Dict`` of float32 boxes; nothing hidden is in it. ``context`` is one box of shape (8,).

    ======================  ======  ===========  ===  ========  ===================================================
    key                     shape   unit         low  high      what
    ======================  ======  ===========  ===  ========  ===================================================
    ``history_ids``         (20,)   item number  0    10000     consumed, most recent first; 0: no more
    ``history_completion``  (20,)   share        0    1         how much of each was consumed
    ``history_age``         (20,)   days         0    44.00347  since each was consumed
    ``slate_ids``           (8,)    item number  0    10000     the slate shown last; 0: empty
    ``slate_response``      (8,)    share        0    1         completion of the one chosen; else 0
    ``context[0]``          ()      slates       0    6336500   read in this session
    ``context[1]``          ()      minutes      0    63365     spent in this session
    ``context[2]``          ()      1            -1   1         sine of the hour
    ``context[3]``          ()      1            -1   1         cosine of the hour
    ``context[4]``          ()      days         0    44.00347  gap before this session
    ``context[5]``          ()      days         0    44.00347  the clock
    ``context[6]``          ()      sessions     0    6336500   earlier ones
    ``context[7]``          ()      slates       0    6336500   without a click, in a row
    ``profile``             (40,)   0 or 1       0    1         1: a favourite topic, named at sign-up
    ``candidates``          (256,)  item number  0    10000     only with ``candidates=True`` or another ``action``
    ======================  ======  ===========  ===  ========  ===================================================

    Reward
    ------
    ``"clicks"``, 0 to 1 a slate: 1 if a product's page is opened. Alternatives: ``"minutes"`` of dwell, 0 to 5 a slate;
    ``"returns"``, 1 for a slate after which the user leaves and is back before the horizon, else 0.

    Starting state
    --------------
    A user of the split in their first session, at an hour of the first day that fits their own day and night. They
    bring a past of 8 products, chosen by taste and looked at half a day to 14 days ago, of which some satiation is
    left, and three favourite topics, a noisy view of their taste. Trust and satisfaction are 0.5, fatigue is 0.

    Episode end
    -----------
    Termination: the user churns, which may happen when a session ends. Truncation: the clock reaches 30 days, or the
    next return would be later than that. There is no limit on the number of slates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`.

    Known optimum
    -------------
    None. With ``dynamics_strength=0`` the best slate now is the best slate, and the myopic oracle over the whole
    catalogue, ``MyopicOracle(world, reward="clicks", whole=True)``, is optimal. At other strengths `MyopicOracle` and
    `TasteOracle` of `longplay.agents.references.oracles` read hidden state and show what is left to gain; they are no
    bounds. ``scripts/compare.py --env longplay/Shop-v0`` prints their figures.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env = gymnasium.make("longplay/Shop-v0")
    >>> observation, info = env.reset(seed=7)
    >>> observation, click, churned, horizon, info = env.step([1, 2, 3, 4, 5, 6, 7, 8])
    >>> bool(click == (info["item"] > 0) == (observation["slate_response"] > 0).sum())
    True

    Version history
    ---------------
    v0: first version.
    """

    scenario = "shop"


class Social(NamedEnv):
    """Posts in a feed, five to a screen, read from the top; themes tire within minutes and recover within hours.

    Description
    -----------
    A social network for thirty days. The catalogue is synthetic: 15,000 posts under 33 tags, written by a grammar
    (`longplay.envs.catalogs.social`; part of this package, Apache-2.0). Threads are about one thing, so near-duplicates
    exist. Jokes and outrage are shared the most; useful posts are found good, and outrage is regretted. A post takes
    0.2 to 2 minutes, appears at its time, and its pull fades over a day; before, it cannot be chosen. People scroll (a
    cascade) and come once or twice a day. 10,000 users.

    Measured: what is not named in ``envs/scenarios/social.toml`` is as in Video, with the sources given there, such as
    the day gaps of KuaiRand; satiation is guided by a field study of a short-video app. From a paper: the cascade.
    Assumed: nearly all else, because no log shows which posts were scrolled past. That a post's popularity is known at
    once is a simplification: take it for a forecast.

    Action space
    ------------
    ``MultiDiscrete([15001] * 5)``: five item numbers, best position first. Item n is row n − 1 of the catalogue; 0
    leaves a slot empty. A second copy of an item, and a post yet to appear, are legal and wasted.

    Observation space
    -----------------
    A ``Dict`` of float32 boxes; nothing hidden is in it. ``context`` is one box of shape (8,).

    ======================  ======  ===========  ===  ========  ===================================================
    key                     shape   unit         low  high      what
    ======================  ======  ===========  ===  ========  ===================================================
    ``history_ids``         (20,)   item number  0    15000     consumed, most recent first; 0: no more
    ``history_completion``  (20,)   share        0    1         how much of each was consumed
    ``history_age``         (20,)   days         0    44.00139  since each was consumed
    ``slate_ids``           (5,)    item number  0    15000     the slate shown last; 0: empty
    ``slate_response``      (5,)    share        0    1         completion of the one chosen; else 0
    ``context[0]``          ()      slates       0    6336200   read in this session
    ``context[1]``          ()      minutes      0    63362     spent in this session
    ``context[2]``          ()      1            -1   1         sine of the hour
    ``context[3]``          ()      1            -1   1         cosine of the hour
    ``context[4]``          ()      days         0    44.00139  gap before this session
    ``context[5]``          ()      days         0    44.00139  the clock
    ``context[6]``          ()      sessions     0    6336200   earlier ones
    ``context[7]``          ()      slates       0    6336200   without a click, in a row
    ``profile``             (40,)   0 or 1       0    1         1: a favourite topic, named at sign-up
    ``candidates``          (256,)  item number  0    15000     only with ``candidates=True`` or another ``action``
    ======================  ======  ===========  ===  ========  ===================================================

    Reward
    ------
    ``"minutes"`` of dwell, 0 to 2 a slate: completion times length of the item chosen, 0 if none is. Alternatives:
    ``"clicks"``, 1 for a slate with an item chosen, else 0; ``"returns"``, 1 for a slate after which the user leaves
    and is back before the horizon, else 0.

    Starting state
    --------------
    A user of the split in their first session, at an hour of the first day that fits their own day and night. They
    bring a past of 8 posts, chosen by taste and read half a day to 14 days ago, of which some
    satiation is left, and three favourite topics, a noisy view of their taste. Trust and satisfaction are 0.5, fatigue
    is 0.

    Episode end
    -----------
    Termination: the user churns, which may happen when a session ends. Truncation: the clock reaches 30 days, or the
    next return would be later than that. There is no limit on the number of slates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`.

    Known optimum
    -------------
    None. With ``dynamics_strength=0`` the best slate now is the best slate, and the myopic oracle over the whole
    catalogue, ``MyopicOracle(world, whole=True)``, is optimal (but for the quadrature over the noise in completion).
    At other strengths `MyopicOracle` and `TasteOracle` of
    `longplay.agents.references.oracles` read hidden state and show what is left to gain; they are no bounds.
    ``scripts/compare.py --env longplay/Social-v0`` prints their figures.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env = gymnasium.make("longplay/Social-v0")
    >>> observation, info = env.reset(seed=7)
    >>> live = (env.unwrapped.world.born[1:] <= info["day"]).nonzero()[0] + 1  # in order of appearance
    >>> observation, minutes, churned, horizon, info = env.step(live[-5:])
    >>> 0 <= minutes <= 2, observation["slate_ids"].tolist() == live[-5:].tolist()
    (True, True)

    Version history
    ---------------
    v0: first version.
    """

    scenario = "social"


ENVIRONMENTS.register("longplay/Video-v0", Video, scenario="video")
ENVIRONMENTS.register("longplay/News-v0", News, scenario="news")
ENVIRONMENTS.register("longplay/Shop-v0", Shop, scenario="shop")
ENVIRONMENTS.register("longplay/Social-v0", Social, scenario="social")

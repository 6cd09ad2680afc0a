"""Three environments whose best policy is known: an agent that beats it has found a bug."""

from .base import NamedEnv
from .registry import ENVIRONMENTS


class Control(NamedEnv):
    """Nothing shown now changes anything later, so showing what is liked best is optimal, and nothing beats it.

    Description
    -----------
    The films and the tastes of `Video` (17,465 films from Wikidata, CC0, through `bokeh-sampledata`; 10,000 users), in
    a world without a future: no momentum, no satiation, a repeat as good as the first time; leaving, churn and gaps do
    not depend on the slates; every slate takes 3 minutes, whatever is read. Items differ in taste alone: all last 10
    minutes, completion is constant, appeal does not count. This is so by definition, in
    ``envs/scenarios/control.toml``; everything not named there is Video's. An agent that beats the optimum has found a
    bug, and one whose γ = 0 twin does worse here can have gained only through the candidates, which
    follow what was clicked.

    Action space
    ------------
    ``MultiDiscrete([17466] * 10)``: ten item numbers, best position first. Item n is row n − 1 of the catalogue; 0
    leaves a slot empty. A second copy of an item in a slate is legal and wasted.

    Observation space
    -----------------
    A ``Dict`` of float32 boxes; nothing hidden is in it. ``context`` is one box of shape (8,).

    ======================  ======  ===========  ===  =========  ===================================================
    key                     shape   unit         low  high       what
    ======================  ======  ===========  ===  =========  ===================================================
    ``history_ids``         (20,)   item number  0    17465      consumed, most recent first; 0: no more
    ``history_completion``  (20,)   share        0    1          how much of each was consumed
    ``history_age``         (20,)   days         0    44.006943  since each was consumed
    ``slate_ids``           (10,)   item number  0    17465      the slate shown last; 0: empty
    ``slate_response``      (10,)   share        0    1          completion of the one chosen; else 0
    ``context[0]``          ()      slates       0    6337000    read in this session
    ``context[1]``          ()      minutes      0    63370      spent in this session
    ``context[2]``          ()      1            -1   1          sine of the hour
    ``context[3]``          ()      1            -1   1          cosine of the hour
    ``context[4]``          ()      days         0    44.006943  gap before this session
    ``context[5]``          ()      days         0    44.006943  the clock
    ``context[6]``          ()      sessions     0    6337000    earlier ones
    ``context[7]``          ()      slates       0    6337000    without a click, in a row
    ``profile``             (24,)   0 or 1       0    1          1: a favourite topic, named at sign-up
    ``candidates``          (256,)  item number  0    17465      only with ``candidates=True`` or another ``action``
    ======================  ======  ===========  ===  =========  ===================================================

    Reward
    ------
    ``"minutes"`` of dwell, 0 to 10 a slate, and in fact 0 or 10 · logistic(0.4) = 5.9869. Alternatives: ``"clicks"``,
    1 for a slate with an item chosen, else 0; ``"returns"``, 1 for a slate after which the user leaves and is back
    before the horizon, else 0, here the same under all policies.

    Starting state
    --------------
    As in `Video`: a user of the split in their first session, at an hour of the first day that fits their own day and
    night, with a past of 8 films, chosen by taste and watched half a day to 14 days ago, and three favourite topics, a
    noisy view of their taste. What is hidden beside taste (trust 0.5, satiation left from the past) moves nothing.

    Episode end
    -----------
    Termination: the user churns, which may happen when a session ends. Truncation: the clock reaches 30 days, or the
    next return would be later than that. There is no limit on the number of slates. Both are the same under all
    policies that share their luck.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`. The proof below holds for every
    `catalog`, but not for every `scenario`; `dynamics_strength` scales nothing here that is not 0.

    Known optimum
    -------------
    The K items of the whole catalogue with the largest true taste ``⟨u, v⟩`` now, best first, as `TasteOracle` of
    `longplay.agents.references.oracles` shows them: exactly optimal, for minutes and for clicks.

    Proof. (1) What a slate moves beside its own reward is history, satiation, momentum, fatigue, satisfaction, skips
    and trust, and the clock. The former have weight 0 in choice, completion, leaving, churn and gaps, and the clock
    moves by the same time whatever is shown and read; taste drifts by itself. So how many slates there are, when, and
    the taste at each have one distribution under all policies, whatever these remember and however they randomise, and
    the expected total is the sum over slates of the expected reward of each, given the taste at its time. A policy that
    maximises every one of these terms is optimal. (2) All items are equally long and completion is constant, so a
    click pays the same whatever is clicked on, and a slate's expected reward is a constant times the probability of a
    click, ``W / (w_0 + W)`` with ``w_0 > 0`` and ``W = Σ_k p_k x_k``, where ``x_k = exp(β⟨u, v_k⟩) > 0`` for an item
    and 0 for an empty slot or a second copy. It increases with W. (3) The position discounts ``p_k = k^(−1/2)`` are
    positive and fall. So W grows when a slot that weighs 0 gets an item, and when an item is exchanged for one not
    shown of larger ``⟨u, v⟩``; it is largest for the K largest, and among their orders for the falling one
    (rearrangement inequality). ∎

    Examples
    --------
    >>> import gymnasium, longplay
    >>> from longplay.agents.references.oracles import TasteOracle
    >>> env = gymnasium.make_vec("longplay/Control-v0", num_envs=64, privileged=True)
    >>> observation, info = env.reset(seed=0, options={"users": [42] * 64})
    >>> slates = TasteOracle(env.unwrapped.world).act({"latent": info["latent"]})
    >>> slates[1:] = 0  # one is shown the best slate; the other 63, the same user with the same luck, see nothing
    >>> observation, minutes, churned, horizon, info = env.step(slates)
    >>> len(set(info["day"])), len(set(info["left"])), float(minutes[1:].sum())  # the future is the same for all
    (1, 1, 0.0)

    Version history
    ---------------
    v0: first version.
    """

    scenario = "control"


class Tiny(NamedEnv):
    """Two items, one kind of user and six days: small enough that the best policy is computed exactly.

    Description
    -----------
    The catalogue is synthetic and has two items (`longplay.envs.catalogs.tiny`; part of this package, Apache-2.0):
    number 1, the bait, attracts and disappoints, number 2, the gem, is the other way round. Both last 10 minutes. The
    bait pays at once; the gem keeps users. Every constant is so by definition, in ``envs/scenarios/tiny.toml``; nothing
    is measured.

    It is finite because all 1,000 users are of one kind, every slate takes an eighth of a day, gaps are whole days,
    satisfaction is the last verdict and trust the last session's satisfaction, completion is constant, satiation is
    gone after one slate, and the items differ in appeal and substance alone. All that matters is observed: the time,
    the last item of the session, whether it was consumed just now, and the skips since. There are 576 such states.

    Action space
    ------------
    ``MultiDiscrete([3] * 2)``: two item numbers, best position first; 0 leaves a slot empty. Seven of the nine slates
    differ: a second copy of an item is legal and wasted.

    Observation space
    -----------------
    A ``Dict`` of float32 boxes; nothing hidden is in it. ``context`` is one box of shape (8,).

    ======================  =====  ===========  ===  =======  ===================================================
    key                     shape  unit         low  high     what
    ======================  =====  ===========  ===  =======  ===================================================
    ``history_ids``         (8,)   item number  0    2        consumed, most recent first; 0: no more
    ``history_completion``  (8,)   share        0    1        how much of each was consumed
    ``history_age``         (8,)   days         0    20.125   since each was consumed
    ``slate_ids``           (2,)   item number  0    2        the slate shown last; 0: empty
    ``slate_response``      (2,)   share        0    1        completion of the one chosen; else 0
    ``context[0]``          ()     slates       0    2898000  read in this session
    ``context[1]``          ()     minutes      0    28980    spent in this session
    ``context[2]``          ()     1            -1   1        sine of the hour
    ``context[3]``          ()     1            -1   1        cosine of the hour
    ``context[4]``          ()     days         0    20.125   gap before this session
    ``context[5]``          ()     days         0    20.125   the clock
    ``context[6]``          ()     sessions     0    2898000  earlier ones
    ``context[7]``          ()     slates       0    2898000  without a click, in a row
    ``profile``             (8,)   0 or 1       0    1        1: a favourite topic, named at sign-up
    ``candidates``          (2,)   item number  0    2        only with ``candidates=True`` or another ``action``
    ======================  =====  ===========  ===  =======  ===================================================

    Reward
    ------
    ``"minutes"`` of dwell, 0 to 10 a slate, and in fact 0 or 10 · logistic(0.4) = 5.9869. Alternatives: ``"clicks"``,
    1 for a slate with an item chosen, else 0; ``"returns"``, 1 for a slate after which the user leaves and is back
    before the horizon, else 0.

    Starting state
    --------------
    A user of the split in their first session, at time 0, with a past of 1 item, which moves nothing. Users differ in
    their number alone, and so in their luck.

    Episode end
    -----------
    Termination: the user churns, which may happen when a session ends. Truncation: the clock reaches 6 days, or the
    next return would be later than that. An episode has 48 slates at most.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`. With a `scenario` of other numbers the
    planner solves that, or names the constant that leaves no finite problem. Candidates leave out the history, which
    two items soon fill: keep to ``action="items"``.

    Known optimum
    -------------
    Exact, by backward induction over the states (`longplay.agents.references.tiny.TinyPlanner`);
    ``scripts/studies/tiny.py`` prints these, and holds them against simulated lives.

    ===================================  ========================
    policy                               expected minutes
    ===================================  ========================
    optimal                              38.0133
    always the gem, then the bait        35.1651
    myopic (always the bait, the gem)    28.5998
    ===================================  ========================

    Examples
    --------
    >>> import gymnasium, longplay
    >>> from longplay.agents.references.tiny import TinyPlanner
    >>> print(f"{TinyPlanner(longplay.make_world('tiny')).value:.4f}")
    38.0133
    >>> env = gymnasium.make("longplay/Tiny-v0", render_mode="ansi")
    >>> observation, info = env.reset(seed=0)
    >>> observation, minutes, churned, horizon, info = env.step([2, 0])
    >>> round(minutes, 4) in (0.0, 5.9869), info["item"] in (0, 2), "lighthouse" in env.render()
    (True, True, True)

    Version history
    ---------------
    v0: first version.
    """

    scenario = "tiny"


class TinyTrust(NamedEnv):
    """Tiny's two items where what is ignored pulls less and trust opens: the best policy is computed exactly.

    Description
    -----------
    The items of `Tiny`: number 1, the bait, attracts and disappoints, number 2, the gem, is the other way round; both
    last 10 minutes. Here there is neither momentum nor satiation, and the order of a slate does not count, but what is
    passed over in a session pulls less for the rest of it, users who trust open more, and a visit without a click
    costs all trust. Every constant is so by definition, in ``envs/scenarios/tiny-trust.toml``; nothing is measured.

    It is finite because all 1,000 users are of one kind, every slate takes a quarter of a day and gaps are whole
    quarters, both slots are looked at in full, counts of ignored impressions are whole until the session ends and gone
    then (``impression.fade = "session"``), satisfaction is the last verdict, and trust the last session's satisfaction
    or, after a visit in vain, 0. So both are one of four numbers: 0, 0.1824 (the bait), 0.5 (the start) and 0.8909 (the
    gem). All that matters is the time, trust, satisfaction, whether the session was in vain so far, and how often each
    item was ignored in it. There are 4,929 such states.

    Nothing of this is shown as such, and all of it follows from one observation: a life has at most 12 slates, and
    ``shown_ids``, ``shown_age``, ``history_ids`` and ``history_age`` hold all slates and clicks of it with their times.
    Slates whose ends are a quarter of a day apart are of one session; a session's end lies between any others.
    `longplay.agents.references.exact.trust.TinyTrustPlanner.read_states` reads the state so.

    Action space
    ------------
    ``MultiDiscrete([3] * 2)``: two item numbers in any order; 0 leaves a slot empty. Four of the nine slates differ: a
    second copy of an item is legal and wasted.

    Observation space
    -----------------
    A ``Dict`` of float32 boxes; nothing hidden is in it. ``context`` is one box of shape (8,).

    ======================  =======  ===========  ===  =======  ===================================================
    key                     shape    unit         low  high     what
    ======================  =======  ===========  ===  =======  ===================================================
    ``history_ids``         (12,)    item number  0    2        consumed, most recent first; 0: no more
    ``history_completion``  (12,)    share        0    1        how much of each was consumed
    ``history_age``         (12,)    days         0    17.25    since each was consumed
    ``slate_ids``           (2,)     item number  0    2        the slate shown last; 0: empty
    ``slate_response``      (2,)     share        0    1        completion of the one chosen; else 0
    ``shown_ids``           (24, 2)  item number  0    2        slates shown last, most recent first; 0: empty
    ``shown_age``           (24,)    days         0    17.25    since each was shown; 0: no more, or just now
    ``context[0]``          ()       slates       0    2484000  read in this session
    ``context[1]``          ()       minutes      0    24840    spent in this session
    ``context[2]``          ()       1            -1   1        sine of the hour
    ``context[3]``          ()       1            -1   1        cosine of the hour
    ``context[4]``          ()       days         0    17.25    gap before this session
    ``context[5]``          ()       days         0    17.25    the clock
    ``context[6]``          ()       sessions     0    2484000  earlier ones
    ``context[7]``          ()       slates       0    2484000  without a click, in a row
    ``profile``             (8,)     0 or 1       0    1        1: a favourite topic, named at sign-up
    ``candidates``          (2,)     item number  0    2        only with ``candidates=True`` or another ``action``
    ======================  =======  ===========  ===  =======  ===================================================

    Reward
    ------
    ``"minutes"`` of dwell, 0 to 10 a slate, and in fact 0 or 10 · logistic(0.4) = 5.9869. Alternatives: ``"clicks"``,
    1 for a slate with an item chosen, else 0; ``"returns"``, 1 for a slate after which the user leaves and is back
    before the horizon, else 0.

    Starting state
    --------------
    A user of the split in their first session, at time 0, with trust 0.5 and a past of 1 item, which moves nothing.
    Users differ in their number alone, and so in their luck.

    Episode end
    -----------
    Termination: the user churns, which may happen when a session ends. Truncation: the clock reaches 3 days, or the
    next return would be later than that. An episode has 12 slates at most.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`. With a `scenario` of other numbers the
    planner solves that, or names the constant that leaves no finite problem. Candidates leave out the history, which
    two items soon fill: keep to ``action="items"``.

    Known optimum
    -------------
    Exact, by backward induction over the states (`longplay.agents.references.exact.trust.TinyTrustPlanner`);
    ``python -m longplay.scripts.studies.tiny tiny-trust`` prints these, and holds them against simulated lives. Looking
    ahead is worth 36 %, and so is reading the state: the myopic policy always shows both items, the best fixed slate.

    ===================================  ========================
    policy                               expected minutes
    ===================================  ========================
    optimal                              44.7704
    myopic (always both)                 32.9247
    always the bait                      32.2400
    always the gem                       29.8920
    ===================================  ========================

    The optimum depends on all parts of the state. Users who trust (0.5 or more) are shown the gem alone until they have
    ignored it, the longer the more satisfied they are, and then the bait alone; users who trust less begin with the
    bait. Both together are for the last slates before the horizon, and for those who have ignored both.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> from longplay.agents.references.exact.trust import TinyTrustPlanner
    >>> planner = TinyTrustPlanner(longplay.make_world("tiny-trust"))
    >>> print(f"{planner.value:.4f}")
    44.7704
    >>> env = gymnasium.make_vec("longplay/TinyTrust-v0", num_envs=1000)
    >>> observation, info = env.reset(seed=0)
    >>> planner.act(observation)[0].tolist()  # everybody's first slate is the gem alone
    [2, 0]
    >>> observation, minutes, churned, horizon, info = env.step(planner.act(observation))
    >>> len(set(planner.read_states(observation)))  # who has opened it or not, stays or is back
    6

    Version history
    ---------------
    v0: first version.
    """

    scenario = "tiny-trust"


ENVIRONMENTS.register("longplay/Control-v0", Control, scenario="control")
ENVIRONMENTS.register("longplay/Tiny-v0", Tiny, scenario="tiny")
ENVIRONMENTS.register("longplay/TinyTrust-v0", TinyTrust, scenario="tiny-trust")

"""The scenarios of the field, version 1, for users of another kind: whether what a policy learned still holds there."""

from .base import NamedEnv
from .registry import ENVIRONMENTS


class VideoShiftedV1(NamedEnv):
    """VideoV1 for users of another kind, to see whether a policy learned there still works.

    Description
    -----------
    The films of `VideoV1`, for users who read a slate from the top (a cascade), are choosier, tire more and recover
    more slowly, mind more what they have passed over, lose more trust by a visit in vain, and differ more from each
    other. It is harder: rules and the myopic oracle earn less here (``docs/worlds.md``). All of it is assumed. What
    differs, and nothing else:

    ================================  ==============  =======
    constant                          VideoShiftedV1  VideoV1
    ================================  ==============  =======
    ``taste.drift``                   0.06            0.03
    ``satiation.sensitivity``         0.6             0.4
    ``satiation.sensitivity_spread``  0.9             0.6
    ``satiation.recovery``            0.4             0.24
    ``impression.weight``             0.8             0.5
    ``impression.recovery``           5.0             3.0
    ``choice.nothing``                4.6             3.5
    ``choice.position``               0.15            0.5
    ``leave.beta_a``                  1.0             1.65
    ``leave.beta_b``                  3.0             5.85
    ``trust.vain``                    0.4             0.3
    ``gap.between_users``             0.6             0.38
    ``choice.model``                  cascade         logit
    ================================  ==============  =======

    Action space
    ------------
    As of `VideoV1`: ``MultiDiscrete([17466] * 10)``.

    Observation space
    -----------------
    As of `VideoV1`, to the number.

    Reward
    ------
    As of `VideoV1`: ``"minutes"``, 0 to 12 a slate; the same alternatives.

    Starting state
    --------------
    As of `VideoV1`; user n has the same taste, and other traits.

    Episode end
    -----------
    As of `VideoV1`: churn terminates, the end of 30 days truncates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`.

    Known optimum
    -------------
    None, as in `VideoV1`; ``dynamics_strength=0`` has the same one. What the shift costs a policy is the difference
    between its minutes here and those of one that learned here; ``scripts/compare.py --env longplay/VideoShifted-v1``.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env, home = gymnasium.make("longplay/VideoShifted-v1"), gymnasium.make("longplay/Video-v1")
    >>> env.observation_space == home.observation_space, env.action_space == home.action_space
    (True, True)
    >>> env.unwrapped.world.scenario.values["choice_model"]
    'cascade'

    Version history
    ---------------
    v1: of `VideoV1`. v0: `VideoShifted`, which stays as it was.
    """

    scenario = "video-shifted-v1"


class NewsShiftedV1(NamedEnv):
    """NewsV1 for users of another kind, to see whether a policy learned there still works.

    Description
    -----------
    The articles of `NewsV1`, for users who weigh a whole page at once (a multinomial logit), are choosier, follow a
    theme less, tire more, mind more what they have passed over, come more often and differ more from each other. It is
    harder: rules and the myopic oracle earn less here (``docs/worlds.md``). All of it is assumed. What differs, and
    nothing else:

    ================================  =============  ========
    constant                          NewsShiftedV1  NewsV1
    ================================  =============  ========
    ``momentum.weight``               0.6            1.14
    ``satiation.sensitivity``         0.6            0.08
    ``satiation.sensitivity_spread``  0.9            0.6
    ``impression.weight``             0.8            0.5
    ``choice.nothing``                3.4            2.68
    ``leave.beta_a``                  2.0            2.9
    ``leave.beta_b``                  2.0            3.3
    ``gap.location``                  -0.9           -0.7
    ``gap.between_users``             0.95           0.78
    ``satiation.kind``                saturating     linear
    ``choice.model``                  logit          position
    ================================  =============  ========

    Action space
    ------------
    As of `NewsV1`: ``MultiDiscrete([12001] * 12)``.

    Observation space
    -----------------
    As of `NewsV1`, to the number.

    Reward
    ------
    As of `NewsV1`: ``"minutes"``, 0 to 6 a slate; the same alternatives.

    Starting state
    --------------
    As of `NewsV1`; user n has the same taste, and other traits.

    Episode end
    -----------
    As of `NewsV1`: churn terminates, the end of 30 days truncates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`.

    Known optimum
    -------------
    None, as in `NewsV1`; ``dynamics_strength=0`` has the same one. What the shift costs a policy is the difference
    between its minutes here and those of one that learned here; ``scripts/compare.py --env longplay/NewsShifted-v1``.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env, home = gymnasium.make("longplay/NewsShifted-v1"), gymnasium.make("longplay/News-v1")
    >>> env.observation_space == home.observation_space, env.action_space == home.action_space
    (True, True)
    >>> env.unwrapped.world.scenario.values["choice_model"]
    'logit'

    Version history
    ---------------
    v1: of `NewsV1`. v0: `NewsShifted`, which stays as it was.
    """

    scenario = "news-shifted-v1"


class ShopShiftedV1(NamedEnv):
    """ShopV1 for users of another kind, to see whether a policy learned there still works.

    Description
    -----------
    The products of `ShopV1`, for users who scan a slate from the top (a cascade), are choosier, forget a need sooner,
    mind more what they have passed over, lose more trust by a visit in vain, and differ more from each other. It is
    harder: rules and the myopic oracle earn less here (``docs/worlds.md``). All of it is assumed. What differs, and
    nothing else:

    ================================  =============  ==========
    constant                          ShopShiftedV1  ShopV1
    ================================  =============  ==========
    ``satiation.sensitivity``         0.5            1.2
    ``satiation.sensitivity_spread``  0.9            0.6
    ``satiation.recovery``            4.0            10.0
    ``impression.weight``             0.8            0.5
    ``impression.recovery``           5.0            3.0
    ``choice.nothing``                5.2            3.2
    ``choice.position``               0.2            0.7
    ``leave.beta_a``                  1.0            2.0
    ``leave.beta_b``                  3.0            6.0
    ``trust.vain``                    0.4            0.3
    ``gap.between_users``             0.8            0.5
    ``satiation.kind``                linear         saturating
    ``choice.model``                  cascade        logit
    ================================  =============  ==========

    Action space
    ------------
    As of `ShopV1`: ``MultiDiscrete([10001] * 8)``.

    Observation space
    -----------------
    As of `ShopV1`, to the number.

    Reward
    ------
    As of `ShopV1`: ``"minutes"``, 0 to 3.5 a slate; the same alternatives.

    Starting state
    --------------
    As of `ShopV1`; user n has the same taste, and other traits.

    Episode end
    -----------
    As of `ShopV1`: churn terminates, the end of 30 days truncates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`.

    Known optimum
    -------------
    None, as in `ShopV1`; ``dynamics_strength=0`` has the same one. What the shift costs a policy is the difference
    between its minutes here and those of one that learned here; ``scripts/compare.py --env longplay/ShopShifted-v1``.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env, home = gymnasium.make("longplay/ShopShifted-v1"), gymnasium.make("longplay/Shop-v1")
    >>> env.observation_space == home.observation_space, env.action_space == home.action_space
    (True, True)
    >>> env.unwrapped.world.scenario.values["choice_model"]
    'cascade'

    Version history
    ---------------
    v1: of `ShopV1`. v0: `ShopShifted`, which stays as it was.
    """

    scenario = "shop-shifted-v1"


class SocialShiftedV1(NamedEnv):
    """SocialV1 for users of another kind, to see whether a policy learned there still works.

    Description
    -----------
    The posts of `SocialV1`, for users whose eye jumps to what it likes wherever it stands (a position-based model), who
    are choosier, tire more, recover more slowly, mind more what they have passed over, come less often, lose more trust
    by a visit in vain, and differ more from each other. It is harder: rules and the myopic oracle earn less here
    (``docs/worlds.md``). All of it is assumed. What differs, and nothing else:

    ================================  ===============  ========
    constant                          SocialShiftedV1  SocialV1
    ================================  ===============  ========
    ``satiation.sensitivity``         0.4              0.25
    ``satiation.sensitivity_spread``  0.9              0.6
    ``satiation.recovery``            0.25             0.1
    ``impression.weight``             0.8              0.5
    ``impression.recovery``           5.0              3.0
    ``choice.nothing``                2.4              2.0
    ``choice.position``               0.3              0.1
    ``leave.beta_a``                  1.0              1.5
    ``leave.beta_b``                  8.0              17.0
    ``trust.vain``                    0.4              0.3
    ``gap.location``                  -0.1             -0.4
    ``gap.between_users``             0.6              0.38
    ``choice.model``                  position         cascade
    ================================  ===============  ========

    Action space
    ------------
    As of `SocialV1`: ``MultiDiscrete([15001] * 5)``.

    Observation space
    -----------------
    As of `SocialV1`, to the number.

    Reward
    ------
    As of `SocialV1`: ``"minutes"``, 0 to 3 a slate; the same alternatives.

    Starting state
    --------------
    As of `SocialV1`; user n has the same taste, and other traits.

    Episode end
    -----------
    As of `SocialV1`: churn terminates, the end of 30 days truncates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`.

    Known optimum
    -------------
    None, as in `SocialV1`; ``dynamics_strength=0`` has the same one. What the shift costs a policy is the difference
    between its minutes here and those of one that learned here; ``scripts/compare.py --env longplay/SocialShifted-v1``.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env, home = gymnasium.make("longplay/SocialShifted-v1"), gymnasium.make("longplay/Social-v1")
    >>> env.observation_space == home.observation_space, env.action_space == home.action_space
    (True, True)
    >>> env.unwrapped.world.scenario.values["choice_model"]
    'position'

    Version history
    ---------------
    v1: of `SocialV1`. v0: `SocialShifted`, which stays as it was.
    """

    scenario = "social-shifted-v1"


ENVIRONMENTS.register("longplay/VideoShifted-v1", VideoShiftedV1, scenario="video-shifted-v1")
ENVIRONMENTS.register("longplay/NewsShifted-v1", NewsShiftedV1, scenario="news-shifted-v1")
ENVIRONMENTS.register("longplay/ShopShifted-v1", ShopShiftedV1, scenario="shop-shifted-v1")
ENVIRONMENTS.register("longplay/SocialShifted-v1", SocialShiftedV1, scenario="social-shifted-v1")

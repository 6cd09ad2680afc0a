"""The four scenarios of the field for users of another kind: whether what a policy learned still holds there."""

from .base import NamedEnv
from .registry import ENVIRONMENTS


class VideoShifted(NamedEnv):
    """Video for users of another kind, to see whether a policy learned on Video still works.

    Description
    -----------
    The films of `Video`, for users who read a slate from the top (a cascade), tire more and recover more slowly, and
    differ more from each other. All of it is assumed. What differs, and nothing else:

    ==================================  ==============  ==========
    constant                            VideoShifted    Video
    ==================================  ==============  ==========
    ``taste.drift``                     0.06            0.03
    ``satiation.sensitivity``           0.6             0.4
    ``satiation.sensitivity_spread``    0.9             0.6
    ``satiation.recovery``              0.4             0.24
    ``choice.model``                    cascade         logit
    ``choice.position``                 0.15            0.5
    ``leave.beta_a``                    1.0             1.65
    ``leave.beta_b``                    3.0             5.85
    ``gap.between_users``               0.6             0.38
    ==================================  ==============  ==========

    ``choice.position`` is the rate at which users stop looking in the cascade, and the exponent of the position
    discount in Video's logit.

    Action space
    ------------
    As of `Video`: ``MultiDiscrete([17466] * 10)``.

    Observation space
    -----------------
    As of `Video`, to the number.

    Reward
    ------
    As of `Video`: ``"minutes"``, 0 to 20 a slate; the same alternatives.

    Starting state
    --------------
    As of `Video`; user n has the same taste, and other traits.

    Episode end
    -----------
    As of `Video`: churn terminates, the end of 30 days truncates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`.

    Known optimum
    -------------
    None, as in `Video`; ``dynamics_strength=0`` has the same one. What the shift costs a policy is the difference
    between its minutes here and those of one that learned here; ``scripts/compare.py --env longplay/VideoShifted-v0``.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env, home = gymnasium.make("longplay/VideoShifted-v0"), gymnasium.make("longplay/Video-v0")
    >>> env.observation_space == home.observation_space, env.action_space == home.action_space
    (True, True)
    >>> people, others = env.unwrapped.world.people, home.unwrapped.world.people
    >>> [bool((people[trait] == others[trait]).all()) for trait in ("taste", "sensitivity")]
    [True, False]
    >>> observation, info = env.reset(seed=7)
    >>> env.unwrapped.world.scenario.values["choice_model"]
    'cascade'

    Version history
    ---------------
    v0: first version.
    """

    scenario = "video-shifted"


class NewsShifted(NamedEnv):
    """News for users of another kind, to see whether a policy learned on News still works.

    Description
    -----------
    The articles of `News`, for users who weigh a whole page at once (a multinomial logit), follow a theme less, tire
    more, come more often and differ more from each other. All of it is assumed. What differs, and nothing else; the
    values are in ``envs/scenarios/news-shifted.toml``:

    ==================================  ==============
    constant                            NewsShifted
    ==================================  ==============
    ``momentum.weight``                 lower
    ``satiation.kind``                  saturating
    ``satiation.sensitivity``           higher
    ``satiation.sensitivity_spread``    higher
    ``choice.model``                    logit
    ``leave.beta_a``                    lower
    ``leave.beta_b``                    lower
    ``gap.location``                    lower
    ``gap.between_users``               higher
    ==================================  ==============

    Action space
    ------------
    As of `News`: ``MultiDiscrete([12001] * 12)``.

    Observation space
    -----------------
    As of `News`, to the number.

    Reward
    ------
    As of `News`: ``"minutes"``, 0 to 6 a slate; the same alternatives.

    Starting state
    --------------
    As of `News`; user n has the same taste, and other traits.

    Episode end
    -----------
    As of `News`: churn terminates, the end of 30 days truncates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`.

    Known optimum
    -------------
    None. With ``dynamics_strength=0`` the myopic oracle over the whole catalogue, ``MyopicOracle(world, whole=True)``,
    is optimal, as in `Video`. What the shift costs a policy is the difference between its minutes here and those of one
    that learned here; ``scripts/compare.py --env longplay/NewsShifted-v0``.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env, home = gymnasium.make("longplay/NewsShifted-v0"), gymnasium.make("longplay/News-v0")
    >>> env.observation_space == home.observation_space, env.action_space == home.action_space
    (True, True)
    >>> people, others = env.unwrapped.world.people, home.unwrapped.world.people
    >>> [bool((people[trait] == others[trait]).all()) for trait in ("taste", "sensitivity")]
    [True, False]
    >>> observation, info = env.reset(seed=7)
    >>> env.unwrapped.world.scenario.values["choice_model"]
    'logit'

    Version history
    ---------------
    v0: first version.
    """

    scenario = "news-shifted"


class ShopShifted(NamedEnv):
    """Shop for users of another kind, to see whether a policy learned on Shop still works.

    Description
    -----------
    The products of `Shop`, for users who scan a slate from the top (a cascade), forget a need sooner, and differ more
    from each other. All of it is assumed. What differs, and nothing else:

    ==================================  ==============  ==========
    constant                            ShopShifted     Shop
    ==================================  ==============  ==========
    ``satiation.kind``                  linear          saturating
    ``satiation.sensitivity``           0.5             1.2
    ``satiation.sensitivity_spread``    0.9             0.6
    ``satiation.recovery``              4.0             10.0
    ``choice.model``                    cascade         logit
    ``choice.position``                 0.2             0.7
    ``leave.beta_a``                    1.0             2.0
    ``leave.beta_b``                    3.0             6.0
    ``gap.between_users``               0.8             0.5
    ==================================  ==============  ==========

    ``choice.position`` is the rate at which users stop looking in the cascade, and the exponent of the position
    discount in Shop's logit.

    Action space
    ------------
    As of `Shop`: ``MultiDiscrete([10001] * 8)``.

    Observation space
    -----------------
    As of `Shop`, to the number.

    Reward
    ------
    As of `Shop`: ``"clicks"``, 0 to 1 a slate; the same alternatives.

    Starting state
    --------------
    As of `Shop`; user n has the same taste, and other traits.

    Episode end
    -----------
    As of `Shop`: churn terminates, the end of 30 days truncates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`.

    Known optimum
    -------------
    None, as in `Shop`; ``dynamics_strength=0`` has the same one. What the shift costs a policy is the difference
    between its clicks here and those of one that learned here; ``scripts/compare.py --env longplay/ShopShifted-v0``.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env, home = gymnasium.make("longplay/ShopShifted-v0"), gymnasium.make("longplay/Shop-v0")
    >>> env.observation_space == home.observation_space, env.action_space == home.action_space
    (True, True)
    >>> people, others = env.unwrapped.world.people, home.unwrapped.world.people
    >>> [bool((people[trait] == others[trait]).all()) for trait in ("taste", "sensitivity")]
    [True, False]
    >>> observation, info = env.reset(seed=7)
    >>> env.unwrapped.world.scenario.values["satiation_kind"]
    'linear'

    Version history
    ---------------
    v0: first version.
    """

    scenario = "shop-shifted"


class SocialShifted(NamedEnv):
    """Social for users of another kind, to see whether a policy learned on Social still works.

    Description
    -----------
    The posts of `Social`, for users whose eye jumps to what it likes wherever it stands (a position-based model), who
    tire more, recover more slowly, come less often and differ more from each other. All of it is assumed. What differs,
    and nothing else:

    ==================================  ==============  ==========
    constant                            SocialShifted   Social
    ==================================  ==============  ==========
    ``satiation.sensitivity``           0.4             0.25
    ``satiation.sensitivity_spread``    0.9             0.6
    ``satiation.recovery``              0.25            0.1
    ``choice.model``                    position        cascade
    ``choice.position``                 0.3             0.1
    ``leave.beta_a``                    1.0             1.5
    ``leave.beta_b``                    8.0             13.5
    ``gap.location``                    -0.1            -0.4
    ``gap.between_users``               0.6             0.38
    ==================================  ==============  ==========

    ``choice.position`` is the exponent of the position discount here, and in Social's cascade the rate at which users
    stop looking.

    Action space
    ------------
    As of `Social`: ``MultiDiscrete([15001] * 5)``.

    Observation space
    -----------------
    As of `Social`, to the number.

    Reward
    ------
    As of `Social`: ``"minutes"``, 0 to 2 a slate; the same alternatives.

    Starting state
    --------------
    As of `Social`; user n has the same taste, and other traits.

    Episode end
    -----------
    As of `Social`: churn terminates, the end of 30 days truncates.

    Info, arguments, seeding
    ------------------------
    As of every environment by name: see `longplay.envs.named.base.NamedEnv`.

    Known optimum
    -------------
    None. With ``dynamics_strength=0`` the myopic oracles are as good as those of `News`, whose choice model this is.
    What the shift costs a policy is the difference between its minutes here and those of one that learned here;
    ``scripts/compare.py --env longplay/SocialShifted-v0``.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env, home = gymnasium.make("longplay/SocialShifted-v0"), gymnasium.make("longplay/Social-v0")
    >>> env.observation_space == home.observation_space, env.action_space == home.action_space
    (True, True)
    >>> people, others = env.unwrapped.world.people, home.unwrapped.world.people
    >>> [bool((people[trait] == others[trait]).all()) for trait in ("taste", "sensitivity")]
    [True, False]
    >>> observation, info = env.reset(seed=7)
    >>> env.unwrapped.world.scenario.values["choice_model"]
    'position'

    Version history
    ---------------
    v0: first version.
    """

    scenario = "social-shifted"


ENVIRONMENTS.register("longplay/VideoShifted-v0", VideoShifted, scenario="video-shifted")
ENVIRONMENTS.register("longplay/NewsShifted-v0", NewsShifted, scenario="news-shifted")
ENVIRONMENTS.register("longplay/ShopShifted-v0", ShopShifted, scenario="shop-shifted")
ENVIRONMENTS.register("longplay/SocialShifted-v0", SocialShifted, scenario="social-shifted")

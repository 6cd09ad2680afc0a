"""What the environments by name have in common: how they are made, what `info` holds, how they are seeded."""

from typing import Any, ClassVar

from gymnasium.vector import AutoresetMode

from ..make import check_keywords, make_vector_env
from ..single import SlateEnv


class NamedEnv(SlateEnv):
    r"""One user of the scenario that the class names; what all of these environments have in common stands here.

    A step shows one slate. The user picks an item or none, spends some minutes, tires of what is alike, and goes on or
    leaves; who leaves comes back after a gap, or never. The next observation after leaving is the start of the next
    session. `longplay.envs.users.dynamics` tells it in full; the constants, each with its source, are in
    ``envs/scenarios/``.

    Info
    ----
    Of the slate shown last; after `reset` there was none, and the values are those in brackets.

    ==============  ==========  ===========================================================================
    key             unit        what
    ==============  ==========  ===========================================================================
    ``user``        number      who it is; the world has users 0 to U − 1
    ``choice``      slot        slot chosen, 0 to K − 1; −1 for none [−1]
    ``item``        number      item chosen, 1 to N; 0 for none [0]
    ``completion``  share       how much of it was watched, 0 to 1; 0 for none [0]
    ``left``        bool        whether the slate ended its session [False]
    ``day``         days        the clock; the first day begins at 0
    ``bought``      bool        whether the item was bought; where ``purchase.rate`` is above 0 only [False]
    ``paid``        currency    its price if it was, else 0; with ``bought`` only [0]
    ``latent``      dictionary  with ``privileged=True`` only; the hidden state, for references and not for agents
    ==============  ==========  ===========================================================================

    ``latent`` holds ``taste`` (D,) [unit vector], ``satiation`` (G,) [exposures], ``sensitivity`` [utility per
    exposure], ``recovery`` [days], ``fatigue`` [minutes], ``satisfaction``, ``trust`` and ``momentum`` (G,) [topics'
    shares, faded]. Where impressions leave a trace (version 1 and Season) it also holds ``frailty`` [logit of churn]
    and the memory, rows of eight places: ``memory_item`` [number; 0: an empty place], ``memory_trace`` [``ln n + t/τ``
    of the last time t in days when it was ignored; −1e9: never], of which ``exp(trace − day/τ)`` impressions are left,
    and ``memory_consumed`` [day; −1e9: never].

    Arguments
    ---------
    Keywords of ``gymnasium.make(id, ...)`` and ``gymnasium.make_vec(id, num_envs=B, ...)``; the latter also takes
    ``autoreset_mode``, see `longplay.SlateVectorEnv`. It takes neither ``wrappers`` (wrap what it returns) nor
    ``max_episode_steps`` (override ``horizon.days``).

    =====================  ===========  ==========================================================================
    keyword                default      what
    =====================  ===========  ==========================================================================
    ``scenario``           ``None``     overrides of the id's own constants such as ``{"satiation.sensitivity":
                                        0.8}``, a TOML file, a scenario's name or a `longplay.Scenario`; ``None``:
                                        the id's own
    ``catalog``            ``None``     a table's path (CSV, JSONL, Parquet) or a `longplay.Catalog`; ``None``: the
                                        scenario's own. ``id_column="sku"``, ``text_column`` and so on name the
                                        table's columns, see `longplay.Catalog.from_table`
    ``world_seed``         ``0``        fixes who and what exists; 0 to 2**63 − 1
    ``dynamics_strength``  ``1.0``      how far the present moves the future, 0 to 5: 0 decouples them, 1 is the
                                        scenario, more is stress; see `longplay.Scenario.with_strength`
    ``behaviours``         ``None``     functions of your own in place of what users do, ``{"leaves": my_leaves}``, or
                                        their addresses ``"module:function"``; see
                                        `longplay.envs.users.behaviours`
    ``action``             ``'items'``  ``'items'``, ``'candidates'``, ``'query'``, ``'weights'`` or ``'presets'``;
                                        see `longplay.envs.candidates.wrappers`
    ``candidates``         ``False``    add ``candidates`` to the observation; actions other than ``'items'``
                                        always do
    ``item_vectors``       ``None``     (N, E) float32 that candidates are found with, such as
                                        ``TextEncoder().encode(catalog.texts)``, or a file of ``numpy.save``; needed
                                        with candidates
    ``split``              ``'train'``  whom an episode may meet: ``'train'`` (the first 80 % of the users),
                                        ``'validation'`` (the next 10 %) or ``'test'`` (the last 10 %)
    ``sealed``             ``False``    with ``split='test'``, meet the sealed half of the test users, the last 5 % of
                                        all: for the last word on a method. There are some where impressions leave a
                                        trace (``impression.memory`` above 0); without ``sealed`` they are not met
                                        there, and may not be named
    ``reward``             ``None``     ``'minutes'``, ``'clicks'``, ``'returns'`` or, where the scenario sells,
                                        ``'sales'``; ``None``: the scenario's own
    ``privileged``         ``False``    put hidden state into ``info["latent"]``
    ``threads``            ``1``        threads of the engine; more than one pays above about 100,000 users
    ``render_mode``        ``None``     ``'ansi'``: the last slate as text; ``'rgb_array'``: a picture (720, 1280, 3)
                                        of the user's life with the hidden state; ``'human'``: a window with it
    =====================  ===========  ==========================================================================

    Seeding
    -------
    ``world_seed`` fixes who and what exists; ``reset(seed=z)`` fixes luck, and never changes who exists. The j-th
    episode after it meets the j-th user of the split in an order that z draws, so without a seed the next `reset` goes
    on to the next user. ``reset(options={"user": n})`` names the user, of any split, sealed ones with ``sealed`` alone;
    with the same seed, or without a new one, they live the same life again if they are shown the same slates. A life is
    a function of (world, user, luck, slates) alone, and ``make_vec`` gives the same lives.

    Examples
    --------
    Your own items and constants; a TOML file starts from a scenario, too, and gives what differs:

    >>> from itertools import product
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import gymnasium, longplay
    >>> heroes, places = "spy cook judge king horse dog".split(), "sea war ice sun ship farm".split()
    >>> words = [f"{hero} and {place}" for hero, place in product(heroes, places)]
    >>> with TemporaryDirectory() as folder:
    ...     table, constants = Path(folder, "items.csv"), Path(folder, "mine.toml")
    ...     _ = table.write_text("id,text\n" + "".join(f"{word},A film about a {word}\n" for word in words))
    ...     _ = constants.write_text('base = "video"\n[satiation]\nsensitivity = 0.8\n')
    ...     env = gymnasium.make("longplay/Video-v0", catalog=table, scenario=constants)
    >>> world = env.unwrapped.world
    >>> world.catalog, float(world.scenario.params.satiation_sensitivity)
    (Catalog('items', 36 items), 0.8)
    >>> env.action_space == gymnasium.spaces.MultiDiscrete([37] * 10)
    True

    The same through objects, with the actions of `longplay.envs.candidates.wrappers`, and hidden state for a reference:

    >>> options = {"catalog": world.catalog, "scenario": {"satiation.sensitivity": 0.8}, "privileged": True}
    >>> vectors = world.topics[1:]  # (36, 24), for want of a text encoder
    >>> env = gymnasium.make("longplay/Video-v0", action="query", item_vectors=vectors, **options)
    >>> observation, info = env.reset(seed=0)
    >>> env.action_space.shape, observation["candidates"].shape, float(info["latent"]["trust"])
    ((24,), (16,), 0.5)
    """

    scenario: ClassVar[str]

    def __init__(self, **options: Any) -> None:
        check_keywords(options.keys() - {"base"}, without=("num_envs", "autoreset_mode"))
        options.setdefault("base", self.scenario)
        super().__init__(make_vector_env(1, autoreset_mode=AutoresetMode.DISABLED, **options))

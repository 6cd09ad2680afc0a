"""The Gymnasium face of a batch of users; `single.py` has that of one."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from .drawing.viewer import LifeRecorder, Window, list_render_modes, render_text
from .engine import ContextColumn, Engine, Facts, Observation
from .shared.names import one_of
from .specs import KeepsSpec
from .users.params import REWARDS, SALES
from .users.population import PAST_DAYS
from .users.records import ACTIVE, CHURNED, HORIZON, SLATES_KEPT
from .users.world import World

LATENT_MEMORY = ("frailty", "memory_item", "memory_trace", "memory_consumed")
LATENT_SOME = {  # by the property of a scenario that says whether it has them
    "second": ("second",),
    "habit": ("habit",),
    "cultivation": ("first_taste", "first_minutes"),
}
WORLD_PARTS = ("scenario", "catalogue", "world_seed", "split")  # of which a saved state is
LATENT = ("taste", "satiation", "sensitivity", "recovery", "fatigue", "satisfaction", "trust", "momentum")


def make_observation_space(world: World) -> gym.spaces.Dict:
    """Observation of one user; see `SlateVectorEnv`."""
    shape, p, n = world.scenario.shape, world.scenario.params, len(world.catalog)
    # A first session may start, and a last slate end, after the horizon.
    days = max(p.horizon_days, 1.0) + max(p.items_longest, p.time_pace, p.time_glance) / 1440 + PAST_DAYS[1]
    minutes = days * 1440
    slates = minutes * 100  # nobody reads a slate in less than 0.6 seconds

    # Bounds of the context's columns; where nothing else is said they are counts.
    low, high = np.zeros(len(ContextColumn), np.float32), np.full(len(ContextColumn), slates, np.float32)
    hours, times = [ContextColumn.HOUR_SIN, ContextColumn.HOUR_COS], [ContextColumn.GAP_DAYS, ContextColumn.DAY]
    low[hours], high[hours], high[times], high[ContextColumn.SESSION_MINUTES] = -1, 1, days, minutes

    def box(low: float, high: float, *size: int) -> gym.spaces.Box:
        return gym.spaces.Box(low, high, size, np.float32)

    boxes: dict[str, gym.Space[Any]] = {
        "history_ids": box(0, n, shape.history),
        "history_completion": box(0, 1, shape.history),
        "history_age": box(0, days, shape.history),
        "slate_ids": box(0, n, shape.slate),
        "slate_response": box(0, 1, shape.slate),
        "context": gym.spaces.Box(low, high),
        "profile": box(0, 1, shape.topics),
    }
    if world.scenario.memory:
        boxes["shown_ids"], boxes["shown_age"] = box(0, n, SLATES_KEPT, shape.slate), box(0, days, SLATES_KEPT)
    return gym.spaces.Dict(boxes)


class SlateVectorEnv(KeepsSpec, VectorEnv[Observation, NDArray[np.int64], NDArray[Any]]):  # type: ignore[misc]
    """Slate recommendation over the long run, for a batch of simulated users.

    One step shows one slate to each user. A user picks an item or none, spends some minutes, tires of what is alike,
    and goes on, or leaves; who leaves comes back after a gap, or never. The next observation after leaving is the start
    of the next session. What is particular to a scenario stands in the docstring of its class, such as
    `longplay.envs.Video`; keywords of ``gymnasium.make_vec`` in that of
    `longplay.envs.NamedEnv`.

    Action space
    ------------
    ``MultiDiscrete([N + 1] * K)`` for each user: K item numbers, best position first. Item n (1..N) is row n − 1 of the
    catalogue; 0 is an empty slot. A repeated item in a slate is legal and wasted.

    Observation space
    -----------------
    A ``Dict`` of float32 boxes for each user; item numbers are numbers, 0 for padding. Times are below the horizon,
    plus one slate, plus 14 days of past; counts of slates below 100 a minute.

    ========================  ========  ==========================================================================
    ``history_ids``           (H,)      items consumed, most recent first
    ``history_completion``    (H,)      share of each that was watched, in [0, 1]
    ``history_age``           (H,)      days since each was consumed
    ``slate_ids``             (K,)      the slate shown last (zeros at the first)
    ``slate_response``        (K,)      completion of the item chosen from it, 0 elsewhere
    ``context``               (8,)      depth [slates], session minutes, sine and cosine of the hour, gap before
                                        this session [days], day, earlier sessions, consecutive skips
    ``profile``               (G,)      1 for the topics that the user named as favourites at sign-up
    ``shown_ids``             (24, K)   the slates shown last, most recent first; only where impressions leave a trace
    ``shown_age``             (24,)     days since each of them, of the one just shown about 0; 0 where there is none;
                                        only with ``shown_ids``
    ========================  ========  ==========================================================================

    Reward
    ------
    ``"minutes"`` of dwell; ``"clicks"``: 1 per item chosen; ``"returns"``: 1 when the user, having left, is back before
    the horizon; ``"sales"``: the price of what was bought, where the scenario sells.

    Starting state
    --------------
    The first session of a user of the split, who brings a short past, on the first day, at an hour of their own.

    Episode end
    -----------
    ``terminated``: the user churned. ``truncated``: the scenario's horizon is reached, or lies before the next return.
    Autoreset modes NEXT_STEP, SAME_STEP (with ``final_obs`` and ``final_info``) and DISABLED; when disabled, a user who
    has finished stays finished: reward 0, the same flags.

    Seeding
    -------
    ``world_seed`` fixes who exists. ``reset(seed=z)`` fixes luck: slot i has luck z + i and meets the users of the
    split in an order of its own. ``options={"users": ids}`` names the users; then every slot has luck z itself, z being
    the last seed given, so that without a new one they live the same lives again. ``options={"reset_mask": mask}``
    resets some slots only.

    Info
    ----
    The keys of `NamedEnv`, each an array (B,) with a mask ``_key`` of the slots it speaks of: ``user``, ``choice``,
    ``item``, ``completion``, ``left``, ``day``, where the scenario sells ``bought`` and ``paid``, and with
    ``privileged=True`` ``latent``.

    Parameters
    ----------
    world
        Items and people; see `longplay.build_world`.
    num_envs
        B.
    split
        ``"train"``, ``"validation"`` or ``"test"`` users.
    sealed
        With ``split="test"``, the sealed half of these, whom nothing should be chosen by; only where impressions leave
        a trace. Without it nobody of them is met, and naming one is an error.
    reward
        One of `REWARDS`; by default the scenario's.
    autoreset_mode
        An `AutoresetMode` or its value.
    privileged
        Put hidden state into ``info["latent"]``.
    threads
        Threads of the engine; 1 is best below about a hundred thousand users.
    render_mode
        ``"ansi"``: `render` gives each user's last slate as text; ``"rgb_array"``: a picture of each user's life, with
        the hidden state; ``"human"``: a window with it at every reset and step, for ``num_envs=1``. The environment's
        ``metadata`` leaves the last out where there is no display.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> env = gymnasium.make_vec("longplay/Tiny-v0", num_envs=1000)  # what this class is for: one compiled loop
    >>> observation, info = env.reset(seed=7)
    >>> observation["history_ids"].shape, env.action_space.shape
    ((1000, 8), (1000, 2))
    >>> observation, minutes, churned, horizon, info = env.step([[2, 0]] * 1000)
    >>> bool(((minutes > 0) == (info["item"] == 2)).all()), bool((churned <= info["left"]).all())
    (True, True)
    """

    metadata: dict[str, Any] = {
        "render_modes": ["ansi", "rgb_array", "human"],
        "render_fps": 2,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }
    closed = True  # until there is something to close: Gymnasium 1.2 closes what is collected, a refused one too

    def __init__(
        self,
        world: World,
        num_envs: int = 1,
        *,
        split: str = "train",
        sealed: bool = False,
        reward: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        privileged: bool = False,
        threads: int = 1,
        render_mode: str | None = None,
    ) -> None:
        reward = world.scenario.reward if reward is None else reward
        if reward not in REWARDS:
            raise ValueError(f"reward = {reward!r} is unknown; allowed: {', '.join(map(repr, REWARDS))}")
        if reward == SALES and not world.scenario.selling:
            raise ValueError(
                f"reward = {reward!r}: nothing is sold in scenario {world.scenario.name!r}; give its purchase.rate a "
                "share, such as 0.01, or take another reward"
            )
        if render_mode not in (None, *self.metadata["render_modes"]):
            allowed = ", ".join(map(repr, self.metadata["render_modes"]))
            raise ValueError(f"render_mode = {render_mode!r} is unknown; allowed: None, {allowed}")
        if render_mode == "human" and num_envs != 1:
            raise ValueError(f"render_mode = 'human' shows one user, num_envs is {num_envs}; use 'rgb_array'")
        word = autoreset_mode.value if isinstance(autoreset_mode, AutoresetMode) else autoreset_mode
        self.autoreset_mode = AutoresetMode(one_of("autoreset_mode", word, [mode.value for mode in AutoresetMode]))
        for keyword, value in (("sealed", sealed), ("privileged", privileged)):
            if not isinstance(value, bool | np.bool_):
                raise ValueError(f"{keyword} = {value!r} must be True or False")
        self.engine = Engine(world, num_envs, split, threads, bool(sealed))
        self.sealed = bool(sealed)
        self.world, self.num_envs = world, self.engine.num
        self.reward, self.privileged, self.render_mode = reward, privileged, render_mode
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.metadata["render_modes"] = list_render_modes(type(self).metadata["render_modes"])
        slots = world.scenario.shape.slate
        self.single_observation_space = make_observation_space(world)
        self._latent = (*LATENT, *(LATENT_MEMORY if world.scenario.memory else ()))
        self._latent += tuple(
            name for has, some in LATENT_SOME.items() if getattr(world.scenario, has) for name in some
        )
        self.single_action_space = gym.spaces.MultiDiscrete([len(world.catalog) + 1] * slots)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._seeded = False
        self._luck = 0  # z of the last seed
        self._finished = np.zeros(self.num_envs, bool)
        self._lives = [LifeRecorder() for _ in range(self.num_envs)] if render_mode in ("rgb_array", "human") else []
        self._window = Window(self.metadata["render_fps"]) if render_mode == "human" else None
        self.closed = False

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start new episodes; see the class for seeds and options."""
        options = dict(options or {})
        ids = self._read_users(options.pop("users", None))
        mask = self._read_reset_mask(options.pop("reset_mask", None))
        if options:
            raise ValueError(f"reset option {next(iter(options))!r} is unknown; allowed: 'users', 'reset_mask'")
        self._reseed(seed, mask, named=ids is not None)
        self.engine.begin(mask, ids)
        self._finished[mask] = False
        self._follow(mask, read=False)
        return self._observe(), self._make_info(mask)

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Show a slate (K item numbers) to each user."""
        if not self._seeded:
            raise gym.error.ResetNeeded("call reset() before step()")
        engine, mode = self.engine, self.autoreset_mode
        slates = check_slates(actions, (self.num_envs, len(engine.params.position)), len(self.world.catalog))
        before = self._finished
        minutes = engine.read(slates)
        reward = self._compute_reward(minutes, before)
        status = engine.users["status"].copy()  # of records far apart; read once
        terminated, truncated = status == CHURNED, status == HORIZON
        self._finished = terminated | truncated
        info: dict[str, Any] = {}
        again = np.zeros(self.num_envs, bool)
        if mode == AutoresetMode.NEXT_STEP:
            again = before
            terminated, truncated = terminated & ~before, truncated & ~before
            self._finished = self._finished & ~before
        elif mode == AutoresetMode.SAME_STEP and self._finished.any():
            again = self._finished
            info = self._make_final_info(again)
            self._finished = np.zeros(self.num_envs, bool)
        if again.any():
            engine.begin(again)
        self._follow(again, read=True)
        return self._observe(), reward, terminated, truncated, {**self._make_info(np.ones(self.num_envs, bool)), **info}

    def _compute_reward(self, minutes: NDArray[np.float64], before: NDArray[np.bool_]) -> NDArray[np.float64]:
        users = self.engine.users
        if self.reward == "clicks":
            return np.where(before, 0.0, users["choice"] >= 0)
        if self.reward == "returns":
            return np.where(before, 0.0, (users["left"] == 1) & (users["status"] == ACTIVE))
        if self.reward == SALES:
            return np.where(before, 0.0, self._read_paid())
        return minutes.copy()

    def _reseed(self, seed: int | Sequence[int | None] | None, mask: NDArray[np.bool_], named: bool) -> None:
        if seed is None and self._seeded:
            if named:
                # Otherwise a named life would depend on its slot, and on what the slot did before.
                self.engine.seed(np.full(self.num_envs, self._luck), mask)
            return
        if seed is None or isinstance(seed, int | np.integer):
            super().reset(seed=None if seed is None else int(seed))
            first = int(self.np_random.integers(2**31)) if seed is None else int(seed)
            luck = np.full(self.num_envs, first) if named else first + np.arange(self.num_envs)
        else:
            if len(seed) != self.num_envs:
                raise ValueError(f"seed has {len(seed)} entries for {self.num_envs} users; give one each")
            lucks = [
                int(s) if s is not None else int(old) for s, old in zip(seed, self.engine.users["luck"], strict=True)
            ]
            mask = mask & np.array([s is not None for s in seed])
            luck = np.array(lucks)
        if (luck < 0).any():
            raise ValueError(f"seed = {seed!r} must not be negative")
        self.engine.seed(luck, mask)
        self._luck = int(luck[0])
        self._seeded = True

    def _read_users(self, ids: Any) -> NDArray[np.int64] | None:
        if ids is None:
            return None
        array = np.asarray(ids)
        people = len(self.world.people)
        if array.shape != (self.num_envs,) or not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f"options['users'] must be {self.num_envs} whole numbers, got {ids!r}")
        if array.min() < 0 or array.max() >= people:
            bad = int(array[(array < 0) | (array >= people)][0])
            raise ValueError(f"options['users'] contains {bad}; the world has users 0 to {people - 1}")
        if not self.sealed:
            self.world.check_open(array, "options['users']")
        return array.astype(np.int64)

    def _read_reset_mask(self, mask: Any) -> NDArray[np.bool_]:
        if mask is None:
            return np.ones(self.num_envs, bool)
        array = np.asarray(mask)
        if array.shape != (self.num_envs,) or array.dtype != np.bool_ or not array.any():
            raise ValueError(
                f"options['reset_mask'] must be {self.num_envs} booleans with at least one True, got {mask!r}"
            )
        if not self._seeded and not array.all():
            raise gym.error.ResetNeeded("the first reset must be of every slot")
        return array

    def _observe(self) -> Observation:
        observation, self._facts = self.engine.observe()
        return observation

    def _make_info(self, mask: NDArray[np.bool_]) -> dict[str, Any]:
        """What is told of the slates that the last observation showed, with a mask of the slots it speaks of."""
        info = add_masks(self._tell(self._facts, slice(None)), mask)
        if self.privileged:
            users = self.engine.users
            info["latent"] = add_masks({name: users[name].copy() for name in self._latent}, mask)
            info["_latent"] = mask.copy()
        return info

    def _tell(self, facts: Facts, which: Any) -> dict[str, NDArray[Any]]:
        """Values of the info, of the slots that the facts are of."""
        values: dict[str, NDArray[Any]] = {
            "user": facts.user.astype(np.int32),
            "choice": facts.choice,
            "item": facts.item,
            "completion": facts.completion,
            "left": facts.left == 1,
            "day": facts.day,
        }
        if self.world.scenario.selling:
            values["bought"] = facts.bought == 1
            values["paid"] = self._read_paid()[which]
        return values

    def _read_paid(self) -> NDArray[np.float64]:
        """(B,) price of what was bought from the last slate, 0 for nothing."""
        users = self.engine.users
        items = users["slate"][np.arange(self.num_envs), np.maximum(users["choice"], 0)]
        return np.where(users["bought"] == 1, self.world.prices[items], 0.0)

    def _make_final_info(self, done: NDArray[np.bool_]) -> dict[str, Any]:
        which = np.flatnonzero(done)
        observation, facts = self.engine.observe(which)
        rows = np.full(self.num_envs, None, dtype=object)
        for b, row in zip(which.tolist(), zip(*observation.values(), strict=True), strict=True):
            rows[b] = dict(zip(observation, row, strict=True))
        info = join_masks(self._spread(self._tell(facts, which), which), done)
        if self.privileged:
            users = self.engine.users
            latent = self._spread({name: users[name][which] for name in self._latent}, which)
            info["latent"], info["_latent"] = join_masks(latent, done), done.copy()
        return {"final_obs": rows, "_final_obs": done.copy(), "final_info": info, "_final_info": done.copy()}

    def _spread(self, some: Mapping[str, NDArray[Any]], which: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Values of some slots as values of all, zero for the others."""
        spread = {name: np.zeros((self.num_envs, *value.shape[1:]), value.dtype) for name, value in some.items()}
        for name, value in some.items():
            spread[name][which] = value
        return spread

    def save_state(self) -> dict[str, NDArray[Any]]:
        """Everything that moves, as arrays, and where it does; `load_state` continues from it to the bit."""
        return {
            "users": self.pack_users(self.engine.users),
            "finished": self._finished.copy(),
            "luck": np.array([self._luck], np.int64),
            "world": self._identify_world(),
        }

    def _identify_world(self) -> NDArray[np.uint8]:
        """(4, 8) bytes that a state of another `WORLD_PARTS` would not have."""
        split = f"{self.engine.split} of {len(self.world.people)}"
        scenario, catalog = self.world.scenario, self.world.catalog
        items = catalog.digest + (catalog.price_digest if scenario.priced else "")
        parts = (scenario.digest, items, str(self.world.seed), split)
        return np.array([list(hashlib.sha256(part.encode()).digest()[:8]) for part in parts], np.uint8)

    def pack_users(self, users: np.ndarray) -> NDArray[np.uint8]:
        """Records (B,) of users as the bytes of a saved state."""
        return users.view(np.uint8).reshape(len(users), -1)[:, : self._saved_bytes].copy()

    @property
    def _saved_bytes(self) -> int:
        """Of a user's record: all of it, or what comes before that which is not used; whole words."""
        kind = self.engine.users.dtype
        scenario = self.world.scenario
        if scenario.selling:
            return int(kind.itemsize)
        used = {
            "bought": scenario.cultivation,
            "first_taste": scenario.second or scenario.habit,
            "habit": scenario.memory,
        }
        unused = next((name for name, before in used.items() if before), "frailty")
        return -(-int(kind.fields[unused][1]) // 8) * 8

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> Observation:
        """Continue from `save_state`; returns the observation at that point.

        Raises
        ------
        ValueError
            If the state is of another world (scenario, dial, behaviours, catalogue, seed), of other users (split,
            sealed) or of another number of them. States that were saved before they said where they are from are taken
            as they are.
        """
        if not isinstance(state, Mapping):
            raise ValueError(f"state = {state!r} is of type {type(state).__name__}; pass what save_state returned")
        missing = {"users", "finished"} - state.keys()
        if missing:
            raise ValueError(f"state has no {min(missing)!r}, only {sorted(state)}; pass what save_state returned")
        if "world" in state:
            same = (np.asarray(state["world"]) == self._identify_world()).all(axis=-1)
            other = [part for part, equal in zip(WORLD_PARTS, same, strict=True) if not equal]
            if other:
                raise ValueError(
                    f"state is of another {' and '.join(other)} than this environment; make the environment with the "
                    "arguments of the one that saved it (scenario, dynamics_strength, behaviours, catalog, world_seed, "
                    "split and sealed)"
                )
        users = np.ascontiguousarray(state["users"])
        expected = (self.num_envs, self._saved_bytes)
        if users.shape != expected or users.dtype != np.uint8:
            raise ValueError(
                f"state is of shape {users.shape}, this environment needs {expected}: another scenario or B"
            )
        self.engine.users.view(np.uint8).reshape(self.num_envs, -1)[:, : self._saved_bytes] = users
        # Not among the bytes where nothing is kept of the slates, and a trait of the person all the same.
        self.engine.users["frailty"] = self.world.people["frailty"][self.engine.users["id"]]
        self._finished = np.asarray(state["finished"], bool).copy()
        self._luck, self._seeded = int(state.get("luck", [self._luck])[0]), True
        self._follow(np.ones(self.num_envs, bool), read=False)
        return self._observe()

    def render(self) -> tuple[Any, ...] | None:
        """Of each user the last slate as text ("ansi"), or a picture (720, 1280, 3) of uint8 ("rgb_array")."""
        if self.render_mode == "ansi":
            return tuple(render_text(self.world, user) for user in self.engine.users)
        return tuple(map(self._frame, range(self.num_envs))) if self.render_mode == "rgb_array" else None

    def _frame(self, b: int) -> NDArray[np.uint8]:
        from .drawing.pictures import draw_frame  # which imports matplotlib and Pillow, needed for pictures alone

        return draw_frame(self.world, self.engine.users[b], self._lives[b])

    def _follow(self, begun: NDArray[np.bool_], *, read: bool) -> None:
        """Keep the lives that pictures show, if any are asked for: who has begun, and whether the others have read."""
        for b, life in enumerate(self._lives):
            if begun[b]:
                life.begin(self.engine.users[b])
            elif read:
                life.read(self.engine.users[b])
        if self._window is not None:
            self._window.show(self._frame(0))

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the engine's threads, and close the window."""
        self.engine.close()
        if self._window is not None:
            self._window.close()


def add_masks(values: Mapping[str, NDArray[Any]], mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Gymnasium's vector info: each key with a ``_key`` mask of the slots it speaks of; other slots are zero."""
    if not mask.all():
        values = {
            key: np.where(mask.reshape(-1, *[1] * (value.ndim - 1)), value, np.zeros((), value.dtype))
            for key, value in values.items()
        }
    return join_masks(values, mask)


def join_masks(values: Mapping[str, NDArray[Any]], mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Values that are zero already where the mask is not set, each with a mask of its own."""
    info: dict[str, Any] = {}
    masks = np.repeat(mask[None], len(values), axis=0)
    for (key, value), own in zip(values.items(), masks, strict=True):
        info[key], info[f"_{key}"] = value, own
    return info


def check_slates(actions: Any, shape: tuple[int, int], items: int) -> NDArray[np.int64]:
    """Actions as (B, K) item numbers, or an error that names the value and what is allowed."""
    slates = np.asarray(actions)
    if slates.shape != shape:
        raise ValueError(f"slates have shape {slates.shape}, expected (users, slots) = {shape}")
    if slates.dtype.kind not in "iu":
        if slates.dtype.kind != "f" or not np.isfinite(slates).all() or (slates != np.floor(slates)).any():
            raise ValueError(f"slates must be whole item numbers from 0 to {items}, got {_find_first_odd(slates)!r}")
        slates = np.clip(slates, -1, items + 1)  # what is far out of range does not fit an integer
    low, high = slates.min(), slates.max()
    if low < 0 or high > items:
        bad = int(low if low < 0 else high)
        raise ValueError(f"item {bad} in a slate is out of range; allowed: 0 (empty slot) to {items}")
    # Always the same type and layout: each other one would have the engine compiled again.
    return np.array(slates, np.int64, order="C")


def _find_first_odd(slates: NDArray[Any]) -> Any:
    if slates.dtype.kind != "f":
        return slates.flat[0]
    return float(slates[~np.isfinite(slates) | (slates != np.floor(slates))][0])

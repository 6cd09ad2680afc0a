"""The only loop over users: runs the scalar user model for a batch, and writes what agents may see.

The compiled loops release the GIL and run on one thread unless more are asked for; a user's life does not depend on
the batch, the order or the number of threads.
"""

import functools
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numba.core.errors import NumbaError, UnsupportedBytecodeError
from numpy.typing import NDArray

from .shared.compiled import loop, say_compiling
from .shared.notices import say_once
from .shared.parts import part
from .users.behaviours import MARK, MEET, get_plain
from .users.chance import permute, stream_key
from .users.dynamics import begin, read_slate
from .users.memory import PLACES
from .users.records import ACTIVE, HORIZON, SLATES_KEPT, Record, work_type
from .users.replacing import check_compiled, rebind, replace_behaviours
from .users.world import World

Observation = dict[str, NDArray[np.float32]]
Own = tuple[tuple[str, Callable[..., Any]], ...]  # functions of one's own, by behaviour


class ContextColumn(IntEnum):
    """The columns of ``context`` in the observation: ``observation["context"][:, ContextColumn.DAY]``."""

    DEPTH = 0  # slates read in this session
    SESSION_MINUTES = 1  # minutes so far in this session
    HOUR_SIN = 2  # hour of the day on the circle
    HOUR_COS = 3
    GAP_DAYS = 4  # since the previous session ended
    DAY = 5  # days since the first day began
    SESSION = 6  # number of earlier sessions
    SKIPS = 7  # consecutive slates without a click


CONTEXT = len(ContextColumn)


@loop
def _begin_lives(
    params: np.ndarray, items: np.ndarray, people: np.ndarray, users: np.ndarray, which: np.ndarray, world_seed: int
) -> None:
    p = params[0]
    for b in which:
        user = users[b]
        user.k0, user.k1 = stream_key(world_seed, user.luck, user.episode)
        begin(p, items, people[user.id], user)


@loop
def _draw_users(users: np.ndarray, which: np.ndarray, first: int, size: int, world_seed: int) -> None:
    """User of each slot's j-th episode: element j of a permutation of the split that the slot's luck gives."""
    for b in which:
        user = users[b]
        k0, k1 = stream_key(world_seed, user.luck, user.episode // size)
        user.id = first + permute(user.episode % size, size, k0, k1)


@loop
def _read_slates(
    params: np.ndarray, work: np.ndarray, items: np.ndarray, users: np.ndarray, slates: np.ndarray, minutes: np.ndarray
) -> None:
    p, scratch = params[0], work[0]
    for b in range(len(users)):
        user = users[b]
        minutes[b] = 0.0
        if user.status == ACTIVE:
            for k in range(slates.shape[1]):
                user.slate[k] = slates[b, k]
            minutes[b] = read_slate(p, scratch, items, user)


@part(room=PLACES, absent=lambda user, ids, age, block: None)
def _write_shown(user: Record, ids: int, age: int, block: np.ndarray) -> None:
    """The slates shown last, most recent first, and the days since each, from places of the block on."""
    for j in range(len(user.shown)):
        known = j < user.slates
        place = (user.slates - 1 - j) % len(user.shown) if known else 0
        block[age + j] = max(user.clock - user.shown_time[place], 0.0) if known else 0.0
        for k in range(len(user.slate)):
            block[ids + j * len(user.slate) + k] = user.shown[place, k] if known else 0


@loop
def _write_observations(
    users: np.ndarray,
    people: np.ndarray,
    start: int,
    stop: int,
    block: np.ndarray,
    whole: np.ndarray,
    real: np.ndarray,
) -> None:
    """What agents may see of some users, one key of the observation after the other, in order of their names.

    Beside it what is told of the last slate: `Facts`.
    """
    num = len(users)
    for b in range(start, stop):
        user = users[b]
        items, slots, topics = len(user.history_items), len(user.slate), len(people[0].profile)
        at = b * CONTEXT
        angle = 2.0 * np.pi * (user.clock - np.floor(user.clock))
        block[at + ContextColumn.DEPTH.value] = user.depth
        block[at + ContextColumn.SESSION_MINUTES.value] = user.session_minutes
        block[at + ContextColumn.HOUR_SIN.value] = np.sin(angle)
        block[at + ContextColumn.HOUR_COS.value] = np.cos(angle)
        block[at + ContextColumn.GAP_DAYS.value] = user.gap
        block[at + ContextColumn.DAY.value] = user.clock
        block[at + ContextColumn.SESSION.value] = user.session
        block[at + ContextColumn.SKIPS.value] = user.skips
        age = num * CONTEXT + b * items
        completion, ids = age + num * items, age + 2 * num * items
        for h in range(items):
            item = user.history_items[h]
            # The time is kept in fewer digits than the clock, and may be rounded up.
            block[age + h] = max(user.clock - user.history_time[h], 0.0) if item > 0 else 0.0
            block[completion + h] = user.history_completion[h]
            block[ids + h] = item
        end = num * (CONTEXT + 3 * items)
        profile = people[user.id].profile
        for g in range(topics):
            block[end + b * topics + g] = profile[g]
        end += num * topics
        if len(user.shown) > 1:
            places = len(user.shown)
            _write_shown(user, end + num * places + b * places * slots, end + b * places, block)
            end += num * places * (1 + slots)
        for k in range(slots):
            block[end + b * slots + k] = user.slate[k]
            block[end + (num + b) * slots + k] = user.completion if k == user.choice else 0.0
        whole[0, b], whole[1, b] = user.id, user.choice
        whole[2, b] = user.slate[user.choice] if user.choice >= 0 else 0
        whole[3, b], whole[4, b] = user.left, user.bought
        real[0, b], real[1, b] = user.completion, user.clock


class Facts(NamedTuple):
    """What is told of the slate shown last, an array (B,) of each.

    Attributes
    ----------
    user, choice, item, left, bought
        Whole numbers; `left` and `bought` are 0 or 1.
    completion, day
        Shares, and days of the clock.
    """

    user: NDArray[np.int64]
    choice: NDArray[np.int64]
    item: NDArray[np.int64]
    left: NDArray[np.int64]
    bought: NDArray[np.int64]
    completion: NDArray[np.float64]
    day: NDArray[np.float64]


class Loops(NamedTuple):
    """The loops that run a user model, and of it the functions that are one's own, by behaviour."""

    begin_lives: Any
    read_slates: Any
    own: Mapping[str, Any]


SHIPPED = Loops(_begin_lives, _read_slates, {})
PLAIN_COST = "50 to 1,000"  # of a leaving rule, and of what is asked about every item of a slate
_UNCOMPILED: dict[Own, str] = {}  # behaviours that could not be compiled, and why


@functools.lru_cache(maxsize=32)
def make_loops(own: Own, compiled: bool) -> Loops:
    """The loops over a user model with functions of one's own, made once in a process for equal ones."""
    scope, functions = replace_behaviours(dict(own), compiled)
    around = globals() | {name: scope[name] for name in ("begin", "read_slate")}
    return Loops(rebind(_begin_lives, around, compiled), rebind(_read_slates, around, compiled), functions)


class Engine:
    """A batch of users of one world.

    Parameters
    ----------
    world
        Items and people.
    num
        B, the number of slots.
    split
        ``"train"``, ``"validation"`` or ``"test"``: whom the slots meet.
    threads
        Threads for the loops. One is best below about a hundred thousand users.
    sealed
        Whether it is the sealed test users whom they meet.
    """

    def __init__(self, world: World, num: int, split: str = "train", threads: int = 1, sealed: bool = False) -> None:
        for name, value in (("num_envs", num), ("threads", threads)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name} = {value!r} must be a whole number of at least 1")
        self.world, self.num, self.split = world, int(num), world.split(split, sealed)
        self.params = world.scenario.params
        self._record = world.scenario.record
        shape = world.scenario.shape
        self.users = np.zeros(self.num, world.scenario.make_user_type())
        self.users["status"] = HORIZON  # nobody has arrived yet
        self.users["episode"] = -1
        self.minutes = np.zeros(self.num)
        cuts = [slice(c[0], c[-1] + 1) for c in np.array_split(np.arange(self.num), threads) if len(c)]
        self._pieces = [(cut, np.zeros(1, work_type(shape))) for cut in cuts]
        self._sizes = self._size_keys()
        self._width = sum(width for _, _, width in self._sizes)
        self._loops = self._choose_loops()
        self._pool = self._start_threads()

    def seed(self, luck: NDArray[np.int64], mask: NDArray[np.bool_]) -> None:
        """Give the slots of `mask` new luck; their next episode is the first with it."""
        self.users["luck"][mask] = luck[mask]
        self.users["episode"][mask] = -1

    def begin(self, mask: NDArray[np.bool_], ids: NDArray[np.int64] | None = None) -> None:
        """Start the next episode of each slot of `mask`: with the users named, or with those that its luck gives."""
        users, which = self.users, np.flatnonzero(mask)
        users["episode"][which] += 1
        if ids is None:
            _draw_users(users, which, self.split.start, len(self.split), self.world.seed)
        else:
            users["id"][which] = ids[which]
        world = self.world
        self._loops.begin_lives(self._record, world.items, world.people, users, which, world.seed)

    def read(self, slates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Show a slate to each active user; returns the (B,) minutes of dwell. Users who have finished read nothing."""
        p, items, read = self._record, self.world.items, self._loops.read_slates
        plain = not hasattr(read, "py_func")
        before = self.users.copy() if plain else None
        try:
            self._each(lambda s, work: read(p, work, items, self.users[s], slates[s], self.minutes[s]))
        except Exception:
            # A model or a person may fail at one slate of many: then nobody has read, and the step can be tried again.
            if before is not None:
                self.users[...] = before
            raise
        return self.minutes

    def _choose_loops(self) -> Loops:
        """The shipped loops, or those with the scenario's behaviours: compiled if they can be, else plain Python."""
        own = tuple(self.world.scenario.behaviours.items())
        if not own:
            return SHIPPED
        for _, function in own:
            getattr(get_plain(function), MEET, lambda world: None)(self.world)
        names = " and ".join(dict(own))
        marked = " and ".join(name for name, function in own if getattr(get_plain(function), MARK, False))
        reason = f"{marked}: marked so"
        if not marked:
            if own not in _UNCOMPILED:
                say_compiling(f"in each process, as {names} is one's own")
                loops = make_loops(own, True)
                if not (objection := self._compile(loops)):
                    return loops
                _UNCOMPILED[own] = objection
            reason = f"{names}: Numba does not compile it, {_UNCOMPILED[own]}"
        say_once(f"behaviours run as plain Python, {PLAIN_COST} times as slow ({reason})")
        return make_loops(own, False)

    def _compile(self, loops: Loops) -> str:
        """Run loops on nobody, which compiles them; returns what Numba objects to, or ""."""
        p, items, people, nobody = self._record, self.world.items, self.world.people, self.users[:0]
        slates = np.zeros((0, self.world.scenario.shape.slate), np.int64)
        try:
            loops.begin_lives(p, items, people, nobody, np.zeros(0, np.int64), self.world.seed)
            loops.read_slates(p, self._pieces[0][1], items, nobody, slates, self.minutes[:0])
        except (NumbaError, UnsupportedBytecodeError, NotImplementedError) as error:
            lines = [line.strip() for line in str(error).splitlines()]
            reason = " ".join(line for line in lines if line and not line.startswith(("Failed in", "During")))[:300]
        else:
            reason = ""
        for name, function in loops.own.items():
            check_compiled(name, function)
        return reason

    def observe(self, which: NDArray[np.int64] | None = None) -> tuple[Observation, Facts]:
        """What agents may see, float32 arrays in order of their names, and what is told of the last slate.

        The arrays are new at each call. Those of an observation share one piece of memory.

        Parameters
        ----------
        which
            The slots, for whom the arrays have a row each; by default all of them.
        """
        users, people = self.users if which is None else self.users[which], self.world.people
        num, at, observation = len(users), 0, {}
        block = np.empty(num * self._width, np.float32)
        whole, real = np.empty((5, num), np.int64), np.empty((2, num))
        if which is None:
            self._each(lambda s, _: _write_observations(users, people, s.start, s.stop, block, whole, real))
        else:
            _write_observations(users, people, 0, num, block, whole, real)
        for name, shape, width in self._sizes:
            end = at + num * width
            observation[name] = block[at:end].reshape(num, *shape)
            at = end
        return observation, Facts(*whole, *real)

    def observe_first(self) -> tuple[Observation, NDArray[np.int64], NDArray[np.float64]]:
        """`observe` of the first slot alone, arrays without its axis: (5,) whole numbers and (2,) others of `Facts`."""
        block = np.empty(self._width, np.float32)
        whole, real = np.empty((5, 1), np.int64), np.empty((2, 1))
        _write_observations(self.users[:1], self.world.people, 0, 1, block, whole, real)
        observation, at = {}, 0
        for name, shape, width in self._sizes:
            end = at + width
            observation[name] = block[at:end] if len(shape) == 1 else block[at:end].reshape(shape)
            at = end
        return observation, whole[:, 0], real[:, 0]

    def _size_keys(self) -> list[tuple[str, tuple[int, ...], int]]:
        """Name, shape and length of each key of a user's observation, in the order of `_write_observations`."""
        shape = self.world.scenario.shape
        sizes: dict[str, tuple[int, ...]] = {
            "context": (CONTEXT,),
            **dict.fromkeys(("history_age", "history_completion", "history_ids"), (shape.history,)),
            "profile": (shape.topics,),
        }
        if self.world.scenario.memory:
            sizes |= {"shown_age": (SLATES_KEPT,), "shown_ids": (SLATES_KEPT, shape.slate)}
        sizes |= dict.fromkeys(("slate_ids", "slate_response"), (shape.slate,))
        return [(name, size, math.prod(size)) for name, size in sizes.items()]

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value for name, value in vars(self).items() if name not in ("params", "_record", "_loops", "_pool")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take threads of its own, and the world's constants as they are: the compiled loops then fit."""
        vars(self).update(state)
        self.params, self._record = self.world.scenario.params, self.world.scenario.record
        self._loops = self._choose_loops()
        self._pool = self._start_threads()

    def _start_threads(self) -> ThreadPoolExecutor | None:
        return ThreadPoolExecutor(len(self._pieces)) if len(self._pieces) > 1 else None

    def _each(self, job: Callable[[slice, np.ndarray], Any]) -> None:
        if self._pool is None:
            job(*self._pieces[0])
        else:
            list(self._pool.map(lambda piece: job(*piece), self._pieces))

    def close(self) -> None:
        """Stop the threads, if any."""
        if self._pool is not None:
            self._pool.shutdown()

"""A second opinion: whoever can answer a slate stands in for the simulated user's choice.

A table of real responses, a language model or a person at the terminal is a `Reader`. `answer_by` makes behaviours of
it, plain functions in place of `dynamics.choose` and `dynamics.watch`; all the rest of a life, satiation, trust,
memory, leaving, churn and gaps, goes on as it is. `listen_to` asks the reader the same and leaves the choice to the
simulated user, so that the two can be compared.
"""

import copyreg
import hashlib
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .behaviours import MEET, describe_things, get_plain, mark_plain
from .constants import LOGIT
from .dynamics import choose as choose_as_simulated
from .dynamics import watch as watch_as_simulated
from .dynamics import weigh_nothing
from .records import NOTHING, Record

if TYPE_CHECKING:
    from .world import World

Reply = int | None | tuple[int | None, float | None]


class Consumed(NamedTuple):
    """An item that the user consumed: its id and text, the share that was watched, and how many days ago."""

    item: str
    text: str
    completion: float
    days: float


@dataclass(frozen=True)
class Question:
    """What a reader is asked: a slate, and who is shown it when.

    Attributes
    ----------
    user
        Number of the simulated user whose life it is.
    session
        Earlier sessions of this life.
    depth
        Slates read before this one in the session.
    day, hour
        Days since the first day began, and the hour of the day in [0, 24).
    texts
        K texts, best position first; "" for what cannot be taken: an empty slot, a later copy of an item in the slate
        and an item that has not appeared yet.
    items
        K ids of the catalogue's items, "" beside an empty text.
    history
        What was consumed, most recent first, at most as many as an observation shows.
    favourites
        Topics that the user named at sign-up.
    """

    user: int
    session: int
    depth: int
    day: float
    hour: float
    texts: tuple[str, ...]
    items: tuple[str, ...]
    history: tuple[Consumed, ...]
    favourites: tuple[str, ...]

    @property
    def slots(self) -> tuple[int, ...]:
        """Numbers of the slots that can be taken, from 0."""
        return tuple(slot for slot, text in enumerate(self.texts) if text)

    def __str__(self) -> str:
        return f"user {self.user}, session {self.session}, slate {self.depth}"


class Reader(Protocol):
    """Whoever answers slates. A plain function of a question is a reader, too.

    A world is known by its reader: by the text of an attribute ``digest`` if there is one, else by the code of its
    class (or of the function) and the values of its attributes when it is given, as far as these are numbers, text,
    arrays or have a ``digest`` themselves; anything else is an error. Code of other packages counts by its name. What
    it consults outside of Python, such as a model by its name on a server, only a ``digest`` of its own can tell.
    """

    def answer(self, question: Question) -> Reply:
        """The slot taken, from 0, or None for nothing; or ``(slot, share)`` with the share watched, 0 to 1.

        Without a share the simulated user says how much is watched. `EnoughError` ends it all.
        """
        ...


class EnoughError(Exception):
    """Raised by a reader who wants to stop; whoever plays the life meets it as it is."""


@dataclass(frozen=True, eq=False)
class Exchange:
    """A question, the reader's answer, and what the simulated user in the same state makes of the slate.

    Attributes
    ----------
    slot, share
        The reader's answer: the slot taken or None, and the share watched or None.
    simulated
        The slot that the simulated user chooses by the luck of this life, or None.
    chances
        (K+1,) of the simulated user's answers: each slot, and nothing last; they sum to 1.
    """

    question: Question
    slot: int | None
    share: float | None
    simulated: int | None
    chances: NDArray[np.float64]


Note = Callable[[Exchange], object]


def answer_by(reader: Any, note: Note | None = None) -> dict[str, Callable[..., Any]]:
    """Behaviours in which a reader answers the slates: ``gymnasium.make(..., behaviours=answer_by(reader))``.

    They run as plain Python. What the reader takes is consumed, and watched as far as it says, or else as the
    simulated user would; the rest of the user model goes on as it is. The same luck lives the same life where the
    reader gives the same answers.

    Parameters
    ----------
    reader
        A `Reader`, or a function from a `Question` to a `Reply`.
    note
        Called with each `Exchange`, before the slate takes effect.

    Returns
    -------
    dict
        ``choose`` and ``watch``, for the argument ``behaviours`` of all makers.

    Raises
    ------
    ValueError
        If it is no reader, or worlds could not be told apart by it. In play: for an answer that is none, and for an
        error of the reader's, each with user, session and slate.

    Examples
    --------
    >>> import gymnasium, longplay
    >>> reader = lambda question: 0 if "Casablanca" in question.texts[0] else None
    >>> env = gymnasium.make("longplay/Tiny-v0", behaviours=longplay.answer_by(reader))
    >>> _ = env.reset(seed=7)
    >>> int(env.step([1, 2])[4]["choice"])
    -1
    """
    asked = _Asked(reader, note)

    def choose(p: Record, work: Record, items: np.ndarray, user: Record) -> int:
        simulated = choose_as_simulated(p, work, items, user)
        if work.supposed:  # which nobody but the simulated user could say
            user.completion = math.nan
            return int(simulated)
        if p.taste_cultivation > 0.0:
            user.first_minutes = math.nan  # so that a reader is not held against it
        slot, share = asked.ask(p, work, items, user, int(simulated))
        user.completion = math.nan if share is None else share  # where `_watch` finds it; nothing reads it before
        return NOTHING if slot is None else slot

    setattr(choose, MEET, asked.meet)
    return {"choose": mark_plain(choose), "watch": _watch}


def listen_to(reader: Any, note: Note) -> dict[str, Callable[..., Any]]:
    """Behaviours in which the simulated user decides, and a reader is asked the same slates.

    Parameters
    ----------
    reader, note
        As of `answer_by`.

    Returns
    -------
    dict
        ``choose``, for the argument ``behaviours`` of all makers. Lives are those without it.

    Raises
    ------
    ValueError
        As of `answer_by`.
    """
    asked = _Asked(reader, note)

    def choose(p: Record, work: Record, items: np.ndarray, user: Record) -> int:
        simulated = choose_as_simulated(p, work, items, user)
        if not work.supposed:
            asked.ask(p, work, items, user, int(simulated))
        return int(simulated)

    setattr(choose, MEET, asked.meet)
    return {"choose": mark_plain(choose)}


@mark_plain
def _watch(p: Record, user: Record, utility: float) -> float:
    """What the reader said, or else what the simulated user would watch."""
    return float(watch_as_simulated(p, user, utility) if math.isnan(user.completion) else user.completion)


class _Asked:
    """A reader on duty: it knows the worlds that engines live in, asks, checks answers and notes exchanges."""

    def __init__(self, reader: Any, note: Note | None) -> None:
        self.answer = get_answer(reader)
        self.name = getattr(reader, "__name__", type(reader).__name__)
        self.digest = digest_reader(reader)
        self.note = note
        self._worlds: dict[int, World] = {}  # by the identity of their items, which an engine hands on

    def meet(self, world: "World") -> None:
        """An engine is about to ask about a world."""
        self._worlds[id(world.items)] = world

    def ask(
        self, p: Record, work: Record, items: np.ndarray, user: Record, simulated: int
    ) -> tuple[int | None, float | None]:
        """The reader's slot and share for the user's slate; `work` is as the simulated choice has left it."""
        question = make_question(self._worlds[id(items)], user)
        try:
            reply = self.answer(question)
        except EnoughError:
            raise
        except Exception as error:
            raise ValueError(
                f"{question}: {self.name} failed with {type(error).__name__}: {error}; let it answer every question, "
                "None for nothing, or raise EnoughError to stop"
            ) from error
        slot, share = read_reply(reply, question, self.name)
        if self.note is not None:
            chosen = None if simulated == NOTHING else simulated
            self.note(Exchange(question, slot, share, chosen, read_chances(p, work, user)))
        return slot, share


def get_answer(reader: Any) -> Callable[[Question], Any]:
    """The function that answers; ValueError for what is no reader."""
    if isinstance(reader, type):
        raise ValueError(f"reader = {reader.__name__} is a class; give a reader made of it, {reader.__name__}(...)")
    answer = getattr(reader, "answer", reader)
    if not callable(answer):
        raise ValueError(
            f"reader = {reader!r} is no reader; give an object with a method answer(question), or a function of a "
            "question, which returns a slot from 0, or None for nothing"
        )
    return answer  # type: ignore[no-any-return]


def digest_reader(reader: Any) -> str:
    """Hash by which worlds of different readers are told apart; see `Reader`.

    Raises
    ------
    ValueError
        If there is a thing among its attributes whose value cannot be told.
    """
    known = getattr(reader, "digest", None)
    if known is not None:
        if not isinstance(known, str) or not known:
            raise ValueError(f"reader: digest = {known!r} must be a text that changes with its answers")
        return hashlib.sha256(known.encode()).hexdigest()
    if inspect.ismethod(reader) and not isinstance(reader.__self__, type):
        return describe_things("reader", reader.__module__, [digest_reader(reader.__self__), reader.__func__])
    if inspect.isfunction(get_plain(reader)) or inspect.ismethod(reader):
        return describe_things("reader", get_plain(reader).__module__, [reader])
    kind = type(reader)
    try:
        how, (_, *given), state, *items = [*reader.__reduce_ex__(2), None, None][:5]
    except TypeError:
        how, given, state, items = None, [], None, []
    if how is not copyreg.__newobj__:  # type: ignore[attr-defined]  # what copies of it are made of is not all in sight
        raise ValueError(
            f"reader = {reader!r} of type {kind.__name__}: worlds cannot be told apart by it; give it an attribute "
            "'digest', a text that changes with its answers, or wrap it in a function"
        )
    parts = [
        getattr(part, "__func__", getattr(part, "fget", part)) for one in kind.__mro__ for part in vars(one).values()
    ]
    code = [part for part in parts if inspect.isfunction(part)]
    held = [list(part or ()) for part in items]
    return describe_things(f"reader {kind.__name__}", kind.__module__, [kind, *code, given, state, held])


def make_question(world: "World", user: Record) -> Question:
    """What a reader is asked of a user who is shown ``user.slate``."""
    catalog, seen = world.catalog, set[int]()
    slate = []
    for number in user.slate:
        item = int(number)
        slate.append(item if item not in seen and world.items[item].born <= user.clock else 0)
        seen.add(item)
    history = tuple(
        Consumed(catalog.ids[item - 1], catalog.texts[item - 1], float(share), max(float(user.clock - time), 0.0))
        for item, share, time in zip(user.history_items, user.history_completion, user.history_time, strict=True)
        if item > 0
    )
    profile = world.people["profile"][user.id]
    return Question(
        user=int(user.id),
        session=int(user.session),
        depth=int(user.depth),
        day=float(user.clock),
        hour=float(user.clock % 1.0 * 24.0),
        texts=tuple(catalog.texts[item - 1] if item else "" for item in slate),
        items=tuple(catalog.ids[item - 1] if item else "" for item in slate),
        history=history,
        favourites=tuple(name for name, named in zip(world.topic_names, profile, strict=True) if named > 0),
    )


def read_reply(reply: Any, question: Question, name: str) -> tuple[int | None, float | None]:
    """Slot and share of a reply; ValueError with user, session, slate and value for what is none."""
    slot, share = reply if isinstance(reply, tuple) and len(reply) == 2 else (reply, None)
    fine = slot is None or (_is_number(slot, int | np.integer) and slot in question.slots)
    if share is not None:
        fine &= slot is not None and _is_number(share, int | float | np.integer | np.floating) and 0.0 <= share <= 1.0
    if not fine:
        slots = ", ".join(map(str, question.slots)) or "none here"
        raise ValueError(
            f"{question}: {name} answered {reply!r}; allowed: None for nothing, a slot with a text ({slots}), or "
            "(slot, share) with the share watched, 0 to 1"
        )
    return None if slot is None else int(slot), None if share is None else float(share)


def _is_number(value: Any, kinds: Any) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool | np.bool_)


def read_chances(p: Record, work: Record, user: Record) -> NDArray[np.float64]:
    """(K+1,) chances of a simulated user's answers, nothing last, of the weights that the choice model has left."""
    weights = np.array(work.weight, np.float64)
    total = weigh_nothing(p, user) + weights.sum() if p.choice_model == LOGIT else 1.0
    chances = weights / total
    return np.append(chances, max(1.0 - chances.sum(), 0.0))

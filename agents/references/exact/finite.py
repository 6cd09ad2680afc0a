"""What exact planners have in common: backward induction over everything that matters, in a world with few states.

A planner is an oracle for the user model, too: the equations are written here and in the files built on this a second
time, in NumPy and from the design, and the suite holds them against the compiled ones and against simulated lives.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from ....envs.users.world import World

Slate = tuple[int, ...]


class Timed(Protocol):
    """A state: a hashable tuple that tells, first of all, its time."""

    @property
    def tick(self) -> int:
        """Slates' worth of time passed since the first."""


StateT = TypeVar("StateT", bound=Timed)


class Event(NamedTuple, Generic[StateT]):
    """One thing that may happen: its probability, the minutes it pays, and where it leads (None: the end)."""

    chance: float
    minutes: float
    state: StateT | None


@dataclass
class FinitePlanner(Generic[StateT]):
    """Optimal slates of a finite world, their value, and the value of any other policy.

    Plays from the observation alone; that it knows the constants is its only privilege. A subclass says what a state
    is: `start`, `walk_back`, `find_events` and `read_states`, and what else its world must not have: `list_demands`.

    Parameters
    ----------
    world
        A world of the scenario that the planner is made for, or of one with other numbers that is finite for the same
        reasons.
    greedy
        Plan one slate ahead only: the same agent without a future.

    Attributes
    ----------
    slates
        Those that differ, each a tuple of K item numbers.

    Raises
    ------
    ValueError
        If the world's scenario is not finite; the text names the constant.
    """

    world: World
    greedy: bool = False
    name: str = "planner"
    privileged: bool = False
    slates: list[Slate] = field(init=False)
    _events: dict[tuple[StateT, Slate], list[Event[StateT]]] = field(init=False, repr=False, default_factory=dict)
    _departures: dict[tuple[int, float], list[tuple[float, int | None]]] = field(
        init=False, repr=False, default_factory=dict
    )

    example: ClassVar[str]  # a scenario that is finite for this planner

    def __post_init__(self) -> None:
        """Check that the scenario is finite, and list the slates that differ."""
        for name, holds in self.list_demands().items():
            if not holds:
                raise ValueError(
                    f"{name} of scenario {self.world.scenario.name!r} leaves no finite problem; see {self.example!r}"
                )
        self.slates = self.list_slates()

    def list_demands(self) -> dict[str, bool]:
        """By the constant's name, whether its value leaves the world finite, and within what is written here."""
        p = self.world.scenario.params
        return {
            "shape.types": self.world.scenario.shape.types == 1,
            "choice.model": self.world.scenario.values["choice_model"] == "logit",
            "taste.drift": p.taste_drift == 0,
            "items.life": p.items_life == 0,
            "items.arrivals": p.items_arrivals == 0,
            "choice.price": p.choice_price == 0,
            "repeat.penalty": p.repeat_penalty == 0,
            "dwell.noise": p.dwell_noise == 0,
            "dwell.utility": p.dwell_utility == 0,
            "second.weight": p.second_weight == 0,
            "satisfaction.rate": p.satisfaction_rate == 1,
            "trust.rate": p.trust_rate == 1,
            "leave.fatigue": p.leave_fatigue == 0,
            "churn.frailty": p.churn_frailty == 0,
            "time.coupling": p.time_coupling == 0,
            "gap.scale": p.gap_scale > 0,
            "gap.habit": p.gap_habit == 0,
            "habit.gap": p.habit_gap == 0,
            "time.pace": (p.gap_step * 1440 / p.time_pace) % 1 == 0,
            "day.arrival": p.day_arrival == 0,
            "day.chronotype": p.day_chronotype == 0,
            "day.hours": np.allclose(p.hours, 1),
            "behaviours": not self.world.scenario.behaviours,
        }

    def list_slates(self) -> list[Slate]:
        """Slates without a second copy of an item."""
        every = product(range(len(self.world.catalog) + 1), repeat=self.world.scenario.shape.slate)
        return [s for s in every if len({i for i in s if i}) == sum(i > 0 for i in s)]

    @property
    def start(self) -> StateT:
        """The state in which all lives begin."""
        raise NotImplementedError

    # --- what may happen ---------------------------------------------------------------------------------------------

    def find_events(self, state: StateT, slate: Slate) -> list[Event[StateT]]:
        """Work out everything that may happen when a slate is shown."""
        raise NotImplementedError

    def list_events(self, state: StateT, slate: Slate) -> list[Event[StateT]]:
        """Everything that may happen when a slate is shown; worked out once."""
        if (state, slate) not in self._events:
            self._events[state, slate] = self.find_events(state, slate)
        return self._events[state, slate]

    @cached_property
    def ticks(self) -> int:
        """Length of the horizon in slates."""
        p = self.world.scenario.params
        return int(np.ceil(p.horizon_days * 1440 / p.time_pace))

    @cached_property
    def tastes(self) -> list[float]:
        """What items are worth by taste, by item number; the empty one nothing."""
        items, person = self.world.items, self.world.people[0]
        weight = self.world.scenario.params.taste_weight
        return [float(weight * (taste.astype(np.float64) @ person["taste"])) for taste in items["taste"]]

    @cached_property
    def verdicts(self) -> list[float]:
        """What satisfaction becomes when an item is consumed, by item number; when none is, first."""
        p, items = self.world.scenario.params, self.world.items
        gain = p.satisfaction_substance * items["substance"].astype(np.float64)
        gain -= p.satisfaction_appeal * items["appeal"].astype(np.float64)
        return [float(-p.satisfaction_skip), *expit(p.satisfaction_base + gain)[1:].tolist()]

    @cached_property
    def minutes(self) -> list[float]:
        """What an item pays when it is consumed, by item number; the empty one nothing."""
        paid = expit(self.world.scenario.params.dwell_base) * self.world.items["minutes"].astype(np.float64)
        return [0.0, *paid[1:].tolist()]

    def compute_leaving(self, satisfaction: float, skips: int = 0) -> float:
        """Probability that the session ends."""
        p, person = self.world.scenario.params, self.world.people[0]
        return float(
            expit(
                person["leave_logit"]
                - p.leave_satisfaction * (satisfaction - p.leave_satisfaction_pivot)
                + p.leave_skips * skips
            )
        )

    def list_departures(self, tick: int, trust: float) -> list[tuple[float, int | None]]:
        """When a user who leaves with this trust is met again, and with what probability; None for never."""
        if (tick, trust) not in self._departures:
            self._departures[tick, trust] = self._find_departures(tick, trust)
        return self._departures[tick, trust]

    def _find_departures(self, tick: int, trust: float) -> list[tuple[float, int | None]]:
        p, person = self.world.scenario.params, self.world.people[0]
        churn = expit(
            p.churn_base - p.churn_trust * (trust - p.churn_trust_pivot) - p.churn_visits * person["visit_rate"]
        )
        location = p.gap_location - person["visit_rate"] - p.gap_trust * (trust - p.churn_trust_pivot)
        found: list[tuple[float, int | None]] = []
        left = 1.0
        for steps in range(1, int(p.horizon_days / p.gap_step) + 1):
            days = steps * p.gap_step
            shorter = ndtr((np.log(days - p.gap_step) - location) / p.gap_scale) if steps > 1 else 0.0
            share = ndtr((np.log(days) - location) / p.gap_scale) - shorter
            back = tick + round(days * 1440 / p.time_pace)
            if back < self.ticks:
                found.append((float((1 - churn) * share), back))
                left -= share
        return [*found, (float(churn + (1 - churn) * left), None)]

    # --- what it is worth --------------------------------------------------------------------------------------------

    def walk_back(self) -> Iterable[StateT]:
        """Every state from which a life may go on, the latest first."""
        raise NotImplementedError

    @cached_property
    def solution(self) -> dict[StateT, tuple[float, Slate]]:
        """Value of each state, and the slate to show there."""
        values: dict[StateT, float] = {}
        solved: dict[StateT, tuple[float, Slate]] = {}
        for state in self.walk_back():
            worth = [self._value_slate(values, state, slate) for slate in self.slates]
            best = int(np.argmax([now if self.greedy else total for now, total in worth]))
            values[state] = worth[best][1]
            solved[state] = values[state], self.slates[best]
        return solved

    def evaluate(self, policy: Callable[[StateT], Slate]) -> float:
        """Expected minutes of a whole life under any policy, exactly."""
        values: dict[StateT, float] = {}
        for state in self.walk_back():
            values[state] = self._value_slate(values, state, policy(state))[1]
        return values[self.start]

    def _value_slate(self, values: dict[StateT, float], state: StateT, slate: Slate) -> tuple[float, float]:
        """Expected minutes of this slate, and with all that follow."""
        now = total = 0.0
        for chance, minutes, after in self.list_events(state, slate):
            now += chance * minutes
            total += chance * (minutes + (values[after] if after is not None else 0.0))
        return now, total

    @property
    def value(self) -> float:
        """Expected minutes of a whole life under this planner's slates."""
        return self.solution[self.start][0]

    # --- playing -----------------------------------------------------------------------------------------------------

    def read_states(self, observation: Any) -> Sequence[StateT]:
        """The state that each row of the observation shows."""
        raise NotImplementedError

    def act(self, observation: Any) -> NDArray[np.int64]:
        """Slates (B, K) for the observed states; empty ones where the horizon is over and nothing will be read."""
        empty: Slate = (0,) * self.world.scenario.shape.slate
        states = self.read_states(observation)
        return np.array([self.solution[s][1] if s.tick < self.ticks else empty for s in states], np.int64)

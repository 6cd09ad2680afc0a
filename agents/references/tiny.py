"""The exact planner of the Tiny scenario: backward induction over everything that matters.

It is an oracle for the user model, too: the equations are written here a second time, in NumPy and from the design, and
the suite holds them against the compiled ones and against simulated lives.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from ...envs.engine import ContextColumn
from ...envs.users.world import World

MOST_SKIPS = 3  # more do not move the hazard of leaving


class State(NamedTuple):
    """What the future depends on."""

    tick: int  # slates' worth of time passed since the first
    last: int  # last item consumed in this session, 0 for none
    fresh: bool  # it was consumed at the last slate, so that it is satiated
    skips: int  # slates without a click since, at most `MOST_SKIPS`


START = State(0, 0, False, 0)
Slate = tuple[int, ...]


class Event(NamedTuple):
    """One thing that may happen: its probability, the minutes it pays, and where it leads (None: the end)."""

    chance: float
    minutes: float
    state: State | None


@dataclass
class TinyPlanner:
    """Optimal slates for `longplay/Tiny-v0`, and its optimal value.

    Plays from the observation alone; that it knows the constants is its only privilege.

    Parameters
    ----------
    world
        A world of the Tiny scenario, or of one with other numbers that is finite for the same reasons.
    greedy
        Plan one slate ahead only: the same agent without a future.

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
    _events: dict[tuple[State, Slate], list[Event]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the scenario is finite, and list the slates that differ."""
        p, people = self.world.scenario.params, self.world.people
        demands = {
            "shape.types": self.world.scenario.shape.types == 1,
            "choice.model": self.world.scenario.values["choice_model"] == "logit",
            "satiation.kind": self.world.scenario.values["satiation_kind"] == "linear",
            "satiation.seen": p.satiation_seen == 0,
            "satiation.recovery": people["recovery"][0] * 25 < p.time_pace / 1440,
            "momentum.persistence": p.momentum_persistence == 0,
            "taste.drift": p.taste_drift == 0,
            "items.life": p.items_life == 0,
            "repeat.penalty": p.repeat_penalty == 0,
            "dwell.noise": p.dwell_noise == 0,
            "dwell.utility": p.dwell_utility == 0,
            "satisfaction.rate": p.satisfaction_rate == 1,
            "trust.rate": p.trust_rate == 1,
            "leave.fatigue": p.leave_fatigue == 0,
            "time.coupling": p.time_coupling == 0,
            "gap.scale": p.gap_scale > 0,
            "gap.habit": p.gap_habit == 0,
            "gap.step": p.gap_step >= 1 and p.gap_step % 1 == 0,
            "time.pace": (p.gap_step * 1440 / p.time_pace) % 1 == 0,
            "day.arrival": p.day_arrival == 0,
            "day.chronotype": p.day_chronotype == 0,
            "day.hours": np.allclose(p.hours, 1),
            "behaviours": not self.world.scenario.behaviours,
        }
        for name, holds in demands.items():
            if not holds:
                raise ValueError(
                    f"{name} of scenario {self.world.scenario.name!r} leaves no finite problem; see 'tiny'"
                )
        items, slots = len(self.world.catalog), self.world.scenario.shape.slate
        every = product(range(items + 1), repeat=slots)
        self.slates = [s for s in every if len({i for i in s if i}) == sum(i > 0 for i in s)]

    @cached_property
    def ticks(self) -> int:
        """Length of the horizon in slates."""
        p = self.world.scenario.params
        return int(np.ceil(p.horizon_days * 1440 / p.time_pace))

    def compute_chances(self, state: State, slate: Slate) -> NDArray[np.float64]:
        """(K + 1,) probability of each slot, and of nothing."""
        p, items, person = self.world.scenario.params, self.world.items, self.world.people[0]
        topics = self.world.topics.astype(np.float64)
        weights = np.zeros(len(slate) + 1)
        for k, item in enumerate(slate):
            if item:
                utility = p.taste_weight * (items["taste"][item].astype(np.float64) @ person["taste"])
                if state.last:
                    alike = topics[item] @ topics[state.last]
                    utility += p.momentum_weight * alike - person["sensitivity"] * alike * state.fresh
                weights[k] = p.position[k] * np.exp(utility + p.choice_appeal * float(items["appeal"][item]))
        weights[-1] = np.exp(p.choice_nothing)
        return np.asarray(weights / weights.sum())

    def list_events(self, state: State, slate: Slate) -> list[Event]:
        """Everything that may happen when a slate is shown; worked out once."""
        if (state, slate) not in self._events:
            self._events[state, slate] = self._list_events(state, slate)
        return self._events[state, slate]

    def _list_events(self, state: State, slate: Slate) -> list[Event]:
        p, items, person = self.world.scenario.params, self.world.items, self.world.people[0]
        found = []
        for k, chance in enumerate(self.compute_chances(state, slate)):
            item = slate[k] if k < len(slate) else 0
            if chance == 0:
                continue
            if item:
                q, a = float(items["substance"][item]), float(items["appeal"][item])
                verdict = expit(p.satisfaction_base + p.satisfaction_substance * q - p.satisfaction_appeal * a)
                minutes = expit(p.dwell_base) * float(items["minutes"][item])
                after = State(state.tick + 1, item, True, 0)
            else:
                verdict, minutes = -p.satisfaction_skip, 0.0
                after = State(state.tick + 1, state.last, False, min(state.skips + 1, MOST_SKIPS))
            if after.tick >= self.ticks:
                found.append(Event(chance, minutes, None))
                continue
            leaving = expit(
                person["leave_logit"]
                - p.leave_satisfaction * (verdict - p.leave_satisfaction_pivot)
                + p.leave_skips * after.skips
            )
            found.append(Event(chance * (1 - leaving), minutes, after))
            found += [
                Event(chance * leaving * share, minutes, where)
                for share, where in self.list_departures(after.tick, verdict)
            ]
        return found

    def list_departures(self, tick: int, trust: float) -> list[tuple[float, State | None]]:
        """Where a user who leaves with this trust is met again, and with what probability; None for never."""
        p, person = self.world.scenario.params, self.world.people[0]
        churn = expit(
            p.churn_base - p.churn_trust * (trust - p.churn_trust_pivot) - p.churn_visits * person["visit_rate"]
        )
        location = p.gap_location - person["visit_rate"] - p.gap_trust * (trust - p.churn_trust_pivot)
        found: list[tuple[float, State | None]] = []
        left = 1.0
        for steps in range(1, int(p.horizon_days / p.gap_step) + 1):
            days = steps * p.gap_step
            shorter = ndtr((np.log(days - p.gap_step) - location) / p.gap_scale) if steps > 1 else 0.0
            share = ndtr((np.log(days) - location) / p.gap_scale) - shorter
            back = tick + round(days * 1440 / p.time_pace)
            if back < self.ticks:
                found.append(((1 - churn) * share, State(back, 0, False, 0)))
                left -= share
        return [*found, (churn + (1 - churn) * left, None)]

    def walk_back(self) -> Iterator[State]:
        """Every state from which a life may go on, the latest first."""
        lasts = range(len(self.world.catalog) + 1)
        for tick in range(self.ticks - 1, -1, -1):
            yield State(tick, 0, False, 0)  # a session begins
            for last in lasts:
                yield from (State(tick, last, False, skips) for skips in range(1, MOST_SKIPS + 1))
                if last:
                    yield State(tick, last, True, 0)

    @cached_property
    def solution(self) -> dict[State, tuple[float, Slate]]:
        """Value of each state, and the slate to show there."""
        values: dict[State, float] = {}
        solved: dict[State, tuple[float, Slate]] = {}
        for state in self.walk_back():
            worth = [self._value_slate(values, state, slate) for slate in self.slates]
            best = int(np.argmax([now if self.greedy else total for now, total in worth]))
            values[state] = worth[best][1]
            solved[state] = values[state], self.slates[best]
        return solved

    def evaluate(self, policy: Callable[[State], Slate]) -> float:
        """Expected minutes of a whole life under any policy, exactly."""
        values: dict[State, float] = {}
        for state in self.walk_back():
            values[state] = self._value_slate(values, state, policy(state))[1]
        return values[START]

    def _value_slate(self, values: dict[State, float], state: State, slate: Slate) -> tuple[float, float]:
        """Expected minutes of this slate, and with all that follow."""
        now = total = 0.0
        for chance, minutes, after in self.list_events(state, slate):
            now += chance * minutes
            total += chance * (minutes + (values[after] if after is not None else 0.0))
        return now, total

    @property
    def value(self) -> float:
        """Expected minutes of a whole life under this planner's slates."""
        return self.solution[START][0]

    def act(self, observation: Any) -> NDArray[np.int64]:
        """Slates (B, K) for the observed states; empty ones where the horizon is over and nothing will be read."""
        empty: Slate = (0,) * self.world.scenario.shape.slate
        states = self.read_states(observation)
        return np.array([self.solution[s][1] if s.tick < self.ticks else empty for s in states], np.int64)

    def read_states(self, observation: Any) -> list[State]:
        """The state that each row of the observation shows."""
        p = self.world.scenario.params
        found = []
        wanted = (ContextColumn.DEPTH, ContextColumn.SESSION_MINUTES, ContextColumn.SKIPS, ContextColumn.DAY)
        columns = (observation["context"][:, column] for column in wanted)
        for history, age, depth, minutes, skipped, day in zip(
            observation["history_ids"], observation["history_age"], *columns, strict=True
        ):
            skips = min(int(skipped), MOST_SKIPS)
            consumed = depth > skips and age[0] * 1440 < minutes
            last = int(history[0]) if consumed else 0
            found.append(State(round(float(day) * 1440 / p.time_pace), last, bool(last) and skips == 0, skips))
        return found

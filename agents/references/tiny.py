"""The exact planner of the Tiny scenario: backward induction over everything that matters.

What it has in common with the planners of other small worlds is in `longplay.agents.references.exact.finite`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...envs.engine import ContextColumn
from .exact.finite import Event, FinitePlanner, Slate

MOST_SKIPS = 3  # more do not move the hazard of leaving


class State(NamedTuple):
    """What the future depends on."""

    tick: int  # slates' worth of time passed since the first
    last: int  # last item consumed in this session, 0 for none
    fresh: bool  # it was consumed at the last slate, so that it is satiated
    skips: int  # slates without a click since, at most `MOST_SKIPS`


START = State(0, 0, False, 0)


@dataclass
class TinyPlanner(FinitePlanner[State]):
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

    example: ClassVar[str] = "tiny"

    @property
    def start(self) -> State:
        """The state in which all lives begin."""
        return START

    def list_demands(self) -> dict[str, bool]:
        """By the constant's name, whether its value leaves the world finite, and within what is written here."""
        p = self.world.scenario.params
        return super().list_demands() | {
            "satiation.kind": self.world.scenario.values["satiation_kind"] == "linear",
            "satiation.seen": p.satiation_seen == 0,
            "satiation.recovery": self.world.people["recovery"][0] * 25 < p.time_pace / 1440,
            "momentum.persistence": p.momentum_persistence == 0,
            "impression.weight": p.impression_weight == 0,
            "choice.trust": p.choice_trust == 0,
            "satisfaction.idle": p.satisfaction_idle == 1,
            "trust.vain": p.trust_vain == 0,
            "gap.step": p.gap_step >= 1 and p.gap_step % 1 == 0,
        }

    def compute_chances(self, state: State, slate: Slate) -> NDArray[np.float64]:
        """(K + 1,) probability of each slot, and of nothing."""
        p, items, person = self.world.scenario.params, self.world.items, self.world.people[0]
        topics = self.world.topics.astype(np.float64)
        weights = np.zeros(len(slate) + 1)
        for k, item in enumerate(slate):
            if item:
                utility = self.tastes[item]
                if state.last:
                    alike = topics[item] @ topics[state.last]
                    utility += p.momentum_weight * alike - person["sensitivity"] * alike * state.fresh
                weights[k] = p.position[k] * np.exp(utility + p.choice_appeal * float(items["appeal"][item]))
        weights[-1] = np.exp(p.choice_nothing)
        return np.asarray(weights / weights.sum())

    def find_events(self, state: State, slate: Slate) -> list[Event[State]]:
        """Work out everything that may happen when a slate is shown."""
        found: list[Event[State]] = []
        for k, chance in enumerate(self.compute_chances(state, slate)):
            item = slate[k] if k < len(slate) else 0
            if chance == 0:
                continue
            verdict, minutes = self.verdicts[item], self.minutes[item]
            if item:
                after = State(state.tick + 1, item, True, 0)
            else:
                after = State(state.tick + 1, state.last, False, min(state.skips + 1, MOST_SKIPS))
            if after.tick >= self.ticks:
                found.append(Event(chance, minutes, None))
                continue
            leaving = self.compute_leaving(verdict, after.skips)
            found.append(Event(chance * (1 - leaving), minutes, after))
            found += [
                Event(chance * leaving * share, minutes, None if back is None else State(back, 0, False, 0))
                for share, back in self.list_departures(after.tick, verdict)
            ]
        return found

    def walk_back(self) -> Iterator[State]:
        """Every state from which a life may go on, the latest first."""
        lasts = range(len(self.world.catalog) + 1)
        for tick in range(self.ticks - 1, -1, -1):
            yield State(tick, 0, False, 0)  # a session begins
            for last in lasts:
                yield from (State(tick, last, False, skips) for skips in range(1, MOST_SKIPS + 1))
                if last:
                    yield State(tick, last, True, 0)

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

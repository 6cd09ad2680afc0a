"""The exact planner of TinyTrust: what was ignored in this session, and what earlier ones left of trust."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....envs.engine import ContextColumn
from ....envs.users.records import SLATES_KEPT, WAYS
from .finite import Event, FinitePlanner, Slate


class State(NamedTuple):
    """What the future depends on."""

    tick: int  # slates' worth of time passed since the first
    trust: float
    satisfaction: float
    vain: bool  # nothing has been consumed in this session
    ignored: tuple[int, ...]  # how often each item was ignored in this session, by its number less 1


@dataclass
class TinyTrustPlanner(FinitePlanner[State]):
    """Optimal slates for `longplay/TinyTrust-v0`, and its optimal value.

    Plays from the observation alone; that it knows the constants is its only privilege.

    Parameters
    ----------
    world
        A world of the TinyTrust scenario, or of one with other numbers that is finite for the same reasons.
    greedy
        Plan one slate ahead only: the same agent without a future.

    Raises
    ------
    ValueError
        If the world's scenario is not finite; the text names the constant.
    """

    example: ClassVar[str] = "tiny-trust"

    @property
    def start(self) -> State:
        """The state in which all lives begin."""
        return self.begin(0, float(self.world.scenario.params.trust_start))

    def list_demands(self) -> dict[str, bool]:
        """By the constant's name, whether its value leaves the world finite, and within what is written here."""
        scenario = self.world.scenario
        p, shape = scenario.params, scenario.shape
        return super().list_demands() | {
            "satiation.sensitivity": not self.world.people["sensitivity"].any(),
            "momentum.weight": p.momentum_weight == 0,
            "impression.memory": scenario.memory > 0 and len(self.world.catalog) <= WAYS,
            "impression.fade": scenario.values["impression_fade"] == "session",
            "choice.position": p.choice_position == 0,
            "satisfaction.idle": p.satisfaction_idle in (0, 1),
            "trust.vain": p.trust_vain in (0, 1),
            "leave.skips": p.leave_skips == 0,
            "gap.step": p.gap_step > 0,
            "horizon.days": self.ticks <= SLATES_KEPT,
            "shape.history": self.ticks <= shape.history,
        }

    def list_slates(self) -> list[Slate]:
        """Slates without a second copy of an item, once in whatever order: empty places last."""
        sets = {tuple(sorted(slate, key=lambda item: (item == 0, item))) for slate in super().list_slates()}
        return sorted(sets)

    # --- what may happen ---------------------------------------------------------------------------------------------

    def begin(self, tick: int, trust: float) -> State:
        """The state in which a session begins."""
        return State(tick, trust, trust, True, (0,) * len(self.world.catalog))

    def read_slate(self, state: State, slate: Slate, item: int) -> State:
        """The state after a slate from which the item was consumed, or nothing (0), in the same session."""
        p, satisfaction = self.world.scenario.params, state.satisfaction
        if item or p.satisfaction_idle:
            satisfaction = self.verdicts[item]
        ignored = tuple(n + (i in slate and i != item) for i, n in enumerate(state.ignored, 1))
        return State(state.tick + 1, state.trust, satisfaction, state.vain and not item, ignored)

    def end_session(self, state: State) -> float:
        """Trust after a session that ends in this state."""
        p = self.world.scenario.params
        return float(p.trust_vain_verdict) if state.vain and p.trust_vain else state.satisfaction

    @cached_property
    def pulls(self) -> list[float]:
        """Weight of an item that was never ignored, by item number; the empty one has none."""
        appeal = self.world.scenario.params.choice_appeal * self.world.items["appeal"].astype(np.float64)
        return [0.0, *np.exp(np.array(self.tastes) + appeal)[1:].tolist()]

    def compute_chances(self, state: State, slate: Slate) -> NDArray[np.float64]:
        """(K + 1,) probability of each slot, and of nothing."""
        p = self.world.scenario.params
        nothing = np.exp(p.choice_nothing - p.choice_trust * (state.trust - p.churn_trust_pivot))
        counts = (0, *state.ignored)
        weights = [self.pulls[item] * (1.0 + counts[item]) ** -p.impression_weight for item in slate]
        return np.asarray(np.array([*weights, nothing]) / (sum(weights) + nothing))

    def find_events(self, state: State, slate: Slate) -> list[Event[State]]:
        """Work out everything that may happen when a slate is shown."""
        found: list[Event[State]] = []
        for item, chance in zip((*slate, 0), self.compute_chances(state, slate).tolist(), strict=True):
            if chance == 0:
                continue
            minutes, after = self.minutes[item], self.read_slate(state, slate, item)
            if after.tick >= self.ticks:
                found.append(Event(chance, minutes, None))
                continue
            leaving, trust = self.compute_leaving(after.satisfaction), self.end_session(after)
            found.append(Event(chance * (1 - leaving), minutes, after))
            found += [
                Event(chance * leaving * share, minutes, None if back is None else self.begin(back, trust))
                for share, back in self.list_departures(after.tick, trust)
            ]
        return found

    @cached_property
    def states(self) -> list[State]:
        """Every state to which some slates lead, the latest first."""
        levels: list[set[State]] = [set() for _ in range(self.ticks)]
        levels[0].add(self.start)
        for level in levels:  # time goes forward, so a level is whole when its turn comes
            for state in level:
                for slate in self.slates:
                    for event in self.list_events(state, slate):
                        if event.state is not None:
                            levels[event.state.tick].add(event.state)
        return [state for level in reversed(levels) for state in sorted(level)]

    def walk_back(self) -> Sequence[State]:
        """Every state from which a life may go on, the latest first."""
        return self.states

    # --- playing -----------------------------------------------------------------------------------------------------

    def read_states(self, observation: Any) -> list[State]:
        """The state that each row of the observation shows: the life so far, told again from its slates and clicks."""
        now = self._count_ticks(observation["context"][:, ContextColumn.DAY])
        shown = now[:, None] - self._count_ticks(observation["shown_age"])
        clicked = now[:, None] - self._count_ticks(observation["history_age"])
        slates = observation["shown_ids"].astype(np.int64)
        taken = np.where(clicked[:, None] == shown[:, :, None], observation["history_ids"][:, None], 0).max(axis=2)
        # What is no slate has age 0, as the last one may have.
        there = shown < now[:, None]
        there[:, 0] = now > 0
        lives = np.concatenate([shown[:, :, None], taken.astype(np.int64)[:, :, None], slates], axis=2)
        lives[~there] = 0
        lives = np.column_stack([now, lives.reshape(len(now), -1)])
        different, place = np.unique(lives, axis=0, return_inverse=True)  # lives that went alike are told once
        width = slates.shape[2] + 2
        states = [self._tell_life(now, np.reshape(life, (-1, width)).tolist()) for now, *life in different.tolist()]
        return [states[k] for k in place.ravel()]

    def _count_ticks(self, days: NDArray[np.float32]) -> NDArray[np.int64]:
        """Days as whole numbers of slates."""
        ticks = days.astype(np.float64) * 1440 / self.world.scenario.params.time_pace
        return np.asarray(np.rint(ticks).astype(np.int64))

    def _tell_life(self, now: int, slates: list[list[int]]) -> State:
        """Go through a life: the tick after each slate (0: there was none), the item consumed and the slate's items."""
        state = self.start
        for tick, taken, *slate in reversed(slates):
            if tick == 0:
                continue
            if tick - 1 > state.tick:
                state = self.begin(tick - 1, self.end_session(state))
            state = self.read_slate(state, tuple(slate), taken)
        return state if state.tick == now else self.begin(now, self.end_session(state))

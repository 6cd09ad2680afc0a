"""Training users in front of a learner: what they see now, and what came of the slates they were shown."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs.engine import ContextColumn
from ..slates.inputs import Inputs
from .luck import training_luck

MOST_DAYS = 1e3
REWARD_SCALE = 0.1  # learners see tens of minutes, so that values are of order one; every report is in minutes


@dataclass
class SlateOutcome:
    """What came of one slate for each of B users.

    Attributes
    ----------
    choice
        (B,) int64 slot consumed, −1 for none.
    reward
        (B,) float32, scaled minutes.
    terminated, truncated
        (B,) bool: churned; reached the horizon. Never both.
    left
        (B,) bool: the session ended here.
    days
        (B,) float32 days until the next slate, or until the horizon.
    ended
        (E,) int64 rows whose episode ended.
    last
        Inputs (E, ·) that those users would have seen next; what follows in the next batch is another user.
    """

    choice: NDArray[np.int64]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    left: NDArray[np.bool_]
    days: NDArray[np.float32]
    ended: NDArray[np.int64]
    last: Inputs | None

    def discounts(self, gamma: float, by_time: bool) -> NDArray[np.float32]:
        """(B,) discount of what comes after this slate; 0 after churn, and everywhere for γ = 0.

        Parameters
        ----------
        gamma
            Discount for each slate, or for each day away.
        by_time
            Whether days away count, and slates within a session do not (a semi-Markov process: Bradtke and Duff, 1994;
            Cai et al., 2023, RLUR, discount across sessions alone).
        """
        away = np.where(self.left, self.days, 0.0) if by_time else np.ones(len(self.reward))
        discount = np.power(gamma, away) if gamma > 0 else np.zeros(len(self.reward))
        return np.where(self.terminated, 0.0, discount).astype(np.float32)


class TrainingUsers:
    """Users of a vector environment (SAME_STEP, action ``"items"``, with candidates), as `Inputs` and `SlateOutcome`.

    Parameters
    ----------
    env
        Vector environment that is played.
    inputs
        Callable from observations to `Inputs`, such as `SlateInputs`.
    scale
        Reward of a minute.
    seed
        Training seed: slot i has luck ``training_luck(seed) + i``.
    """

    def __init__(self, env: Any, inputs: Callable[[Any], Inputs], scale: float, seed: int) -> None:
        self.env, self.inputs, self.scale = env, inputs, scale
        self.minutes = np.zeros(env.num_envs)  # of the running lives
        self.finished: list[float] = []  # minutes of the latest lives that ended
        self.observation, _ = env.reset(seed=training_luck(seed))
        self.now: Inputs = inputs(self.observation)

    def step(self, columns: NDArray[np.int64]) -> SlateOutcome:
        """Show each user the candidates at `columns` (B, K), −1 for an empty slot; `now` moves on."""
        columns = _check_columns(columns, self.now.ids.shape)
        shown = np.take_along_axis(self.now.ids, np.maximum(columns, 0), axis=1)
        day = self.observation["context"][:, ContextColumn.DAY].copy()
        observation, reward, terminated, truncated, info = self.env.step(np.where(columns >= 0, shown, 0))
        choice, left = info["choice"].copy(), info["left"].copy()
        next_day = observation["context"][:, ContextColumn.DAY].copy()
        ended, last = np.flatnonzero(terminated | truncated), None
        if len(ended):
            final, over = info["final_info"], info["_final_info"]
            choice[over], left[over], next_day[over] = final["choice"][over], final["left"][over], final["day"][over]
            rows = [info["final_obs"][b] for b in ended]
            last = self.inputs({key: np.stack([row[key] for row in rows]) for key in rows[0]})
        self.minutes += reward
        self.finished = [*self.finished, *self.minutes[ended].tolist()][-100:]
        self.minutes[ended] = 0.0
        self.observation, self.now = observation, self.inputs(observation)
        days = np.clip(next_day - day, 0.0, MOST_DAYS).astype(np.float32)
        scaled = (self.scale * reward).astype(np.float32)
        return SlateOutcome(choice, scaled, terminated, truncated, left, days, ended, last)

    def save_state(self) -> dict[str, NDArray[Any]]:
        """Everything that moves."""
        finished = np.array(self.finished)
        return {**self.env.save_state(), "running_minutes": self.minutes.copy(), "finished_minutes": finished}

    def load_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Continue from `save_state`."""
        self.observation = self.env.load_state(state)
        self.now = self.inputs(self.observation)
        self.minutes[:] = state["running_minutes"]
        self.finished = state["finished_minutes"].tolist()


def _check_columns(columns: Any, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Columns (B, K) of candidates (B, M); NumPy would spread others over all users, or cut them."""
    users, count = shape
    array = np.asarray(columns)
    if array.ndim != 2 or len(array) != users or array.dtype.kind not in "iu":
        raise ValueError(
            f"columns must be integers of shape (users, slots) = ({users}, K), got {array.dtype} {array.shape}"
        )
    wrong = array[(array < -1) | (array >= count)]
    if wrong.size:
        raise ValueError(
            f"column {int(wrong[0])} is out of range; allowed: 0 to {count - 1}, one of the candidates, or -1 for an "
            "empty slot"
        )
    return array

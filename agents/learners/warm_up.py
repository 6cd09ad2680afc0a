"""Random slates before learning, from which learners take the scales of what they read."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..playing.training_users import SlateOutcome, TrainingUsers
from ..slates.inputs import Inputs


def show_random_slates(
    players: TrainingUsers, count: int, draw: Callable[[Inputs], NDArray[np.int64]]
) -> tuple[list[Inputs], list[SlateOutcome]]:
    """Show each user some slates at random; returns what users saw before each, and what came of it.

    Parameters
    ----------
    players
        Training users, who move on.
    count
        Slates for each of them.
    draw
        Columns (B, K) of the candidates to show, −1 for an empty slot.
    """
    seen, outcomes = [], []
    for _ in range(count):
        seen.append(players.now)
        outcomes.append(players.step(draw(seen[-1])))
    return seen, outcomes


def join_inputs(seen: Sequence[Inputs]) -> Inputs:
    """One batch of several; without the ids of candidates that have no features, as those of a whole catalogue."""
    return Inputs(
        np.concatenate([inputs.state for inputs in seen]),
        np.concatenate([inputs.items for inputs in seen]),
        np.concatenate([inputs.ids[:, : inputs.items.shape[1]] for inputs in seen]),
    )

"""What an evaluation measures of each slate: how unlike its items are, and how many the session had shown already."""

import numpy as np
from numpy.typing import NDArray

from ...envs.shared.compiled import loop

BLOCK = 128  # values that NumPy adds up in eight sums, before it halves what is longer
MOST_PIECES = 128  # that wait at a time: three for each halving


class SlateMeasures:
    """Measures the slates of U users.

    Parameters
    ----------
    unit
        (N + 1, E) vectors of unit length; row 0 is zeros.
    users
        U.

    Attributes
    ----------
    diversity, repeated
        Sums (U,) over the slates of each user: 1 − mean pairwise cosine of its items, 0 for fewer than two; share of
        the slots that showed an item of an earlier slate of the same session.
    shown
        (N + 1,) items ever shown; whether 0 is true means nothing.
    """

    def __init__(self, unit: NDArray[np.float32], users: int) -> None:
        self.unit = unit
        self.diversity, self.repeated = np.zeros(users), np.zeros(users)
        self.shown = np.zeros(len(unit), bool)
        self._told = np.zeros((users, len(unit)), bool)  # what the session has shown

    def note(self, rows: NDArray[np.int64], slates: NDArray[np.int64], begins: NDArray[np.bool_]) -> None:
        """Slates (B, K) shown to the users `rows` (B,); `begins` (B,) where one is the first of its session."""
        _measure_slates(self.unit, rows, slates, begins, self._told, self.shown, self.diversity, self.repeated)


@loop
def _measure_slates(
    unit: np.ndarray,
    rows: np.ndarray,
    slates: np.ndarray,
    begins: np.ndarray,
    told: np.ndarray,
    shown: np.ndarray,
    diversity: np.ndarray,
    repeated: np.ndarray,
) -> None:
    slots, width = slates.shape[1], unit.shape[1]
    squares, total = np.zeros(slots * width), np.zeros(width)
    for b in range(len(rows)):
        known = told[rows[b]]
        if begins[b]:
            known[:] = False
        again = 0
        filled = 0
        total[:] = 0.0
        for k in range(slots):
            item = slates[b, k]
            again += item > 0 and known[item]
            filled += item > 0
            for e in range(width):
                value = np.float64(unit[item, e])
                total[e] += value
                squares[k * width + e] = value * value
        for k in range(slots):
            known[slates[b, k]] = True
            shown[slates[b, k]] = True
        repeated[rows[b]] += again / slots
        if filled > 1:
            for e in range(width):
                total[e] *= total[e]
            together = _add_up(total, width) - _add_up(squares, slots * width)
            diversity[rows[b]] += 1.0 - together / (filled * (filled - 1))


@loop
def _add_up(values: np.ndarray, count: int) -> float:
    """Sum of the first values in NumPy's order, so that it has the bits of ``values[:count].sum()``."""
    # By hand, as what calls itself cannot be kept on disk: where pieces begin, their lengths (0: add up the last two).
    pieces, sums = np.zeros((MOST_PIECES, 2), np.int64), np.zeros(MOST_PIECES)
    pieces[0, 1] = count
    waiting, known = 1, 0
    while waiting > 0:
        waiting -= 1
        start, length = pieces[waiting]
        if length == 0:
            known -= 1
            sums[known - 1] += sums[known]
        elif length <= BLOCK:
            sums[known] = _add_up_block(values[start : start + length])
            known += 1
        else:
            half = length // 2
            half -= half % 8
            pieces[waiting] = 0, 0
            pieces[waiting + 1] = start + half, length - half
            pieces[waiting + 2] = start, half
            waiting += 3
    return float(sums[0])


@loop
def _add_up_block(values: np.ndarray) -> float:
    """Sum of at most `BLOCK` values in NumPy's order."""
    whole = len(values) - len(values) % 8
    sums = np.zeros(8)
    for i in range(0, whole, 8):
        for j in range(8):
            sums[j] += values[i + j]
    result = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]))
    for i in range(whole, len(values)):
        result += values[i]
    return float(result)

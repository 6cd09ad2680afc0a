"""Which items are clicked, and how old they are then."""

import numpy as np
from numpy.typing import NDArray

TOP = 0.01  # of the items
AGES = (0.1, 0.5, 0.9)  # quantiles


class ClickedItems:
    """Counts the clicks of each item, and keeps the ages at which they came.

    Parameters
    ----------
    born
        (N + 1,) when each item appeared [days]; item 0 is none.
    """

    def __init__(self, born: NDArray[np.float64]) -> None:
        self.born = born
        self.counts = np.zeros(len(born), np.int64)
        self._ages = [np.zeros(0)]

    def note(self, items: NDArray[np.int64], days: NDArray[np.floating]) -> None:
        """Items (B,) clicked by users at some days (B,) of the clock; 0 is no click."""
        opened = items > 0
        self.counts += np.bincount(items[opened], minlength=len(self.born))
        self._ages.append(days[opened] - self.born[items[opened]])

    def summarise(self) -> dict[str, float | list[float]]:
        """Where the clicks went: by plain numbers, so that tables can carry them.

        Returns
        -------
        dict
            ``concentration``, the share of the clicks that the 1 % of the items clicked most took, and ``ages``, the
            10th, 50th and 90th percentile of an item's age when it was clicked [days], and ``arrived``, the share of
            the clicks on items that were not there when the first day began; empty without a click.
        """
        clicks = int(self.counts.sum())
        if not clicks:
            return {}
        most = np.sort(self.counts[1:])[-max(round(TOP * (len(self.counts) - 1)), 1) :]
        return {
            "concentration": float(most.sum() / clicks),
            "arrived": float(self.counts[self.born > 0].sum() / clicks),
            "ages": np.quantile(np.concatenate(self._ages), AGES).tolist(),
        }

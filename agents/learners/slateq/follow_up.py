"""What a choice changes in what follows, by least squares."""

import torch
from torch import Tensor


class FollowUpRegression:
    """Regression of what followed a slate on what was chosen from it, both less what was to be expected.

    What follows depends on the user far more than on one choice. But which item is chosen from a given slate is chance
    with probabilities that the choice model estimates from what is visible, so the choice less its expectation has
    nothing to do with the visible state: regressed on it, errors in the value of that state do no harm (Robinson,
    Econometrica 1988; Nie and Wager, 2021, the R-learner). Hidden traits that move both the choice and what follows,
    such as a taste that the history does not show, are still taken for effects of the choice. With one coefficient a
    feature, effects of a hundredth of the spread show within some ten thousand slates, where a network's gradients
    would still follow the noise.

    Parameters
    ----------
    width
        F, features of an item.
    memory
        Slates after which an observation counts for 37 %: the policy, and with it what follows, goes on changing.
    ridge
        Slates' worth of belief that nothing changes.
    """

    def __init__(self, width: int, memory: float, ridge: float) -> None:
        self.memory, self.ridge = memory, ridge
        self.gram = torch.zeros(width + 1, width + 1, dtype=torch.float64)
        self.moment = torch.zeros(width + 1, dtype=torch.float64)

    @staticmethod
    def compute_surprise(features: Tensor, chances: Tensor, choice: Tensor) -> Tensor:
        """What was chosen less what was expected: (n, F + 1), the click itself first.

        Parameters
        ----------
        features
            (n, K, F) of the items shown.
        chances
            (n, K + 1) probability of each slot and of no click.
        choice
            (n,) slot, −1 for none.
        """
        whole = torch.cat([torch.ones_like(features[..., :1]), features], dim=-1)
        expected = (chances[:, :-1, None] * whole).sum(dim=1)
        taken = whole[torch.arange(len(choice)), choice.clamp(min=0)] * (choice >= 0)[:, None]
        return taken - expected

    def add(self, surprise: Tensor, rest: Tensor) -> None:
        """Take in slates: `surprise` (n, F + 1), and what followed less its expectation (n,)."""
        decay = float(torch.exp(torch.tensor(-len(rest) / self.memory)))
        x, y = surprise.double(), rest.double()
        self.gram = decay * self.gram + x.T @ x
        self.moment = decay * self.moment + x.T @ y

    @property
    def coefficients(self) -> Tensor:
        """(F + 1,): what a click changes, and what each feature of the item adds."""
        penalty = self.ridge * torch.eye(len(self.moment), dtype=torch.float64)
        solved: Tensor = torch.linalg.solve(self.gram + penalty, self.moment)
        return solved.float()

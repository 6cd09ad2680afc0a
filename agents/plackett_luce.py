"""The Plackett–Luce distribution of slates: items drawn one after the other, each by a softmax over those left.

``log π(a) = Σ_k [s_{a_k} − log Σ_{j ∉ a_{<k}} e^{s_j}]``, so no item is drawn twice. Pure functions of scores (B, M);
slates (B, K) are columns of these. Scores of minus infinity are never drawn while another is left, and count for
nothing where they are. Luce (1959), Plackett (1975); for slates of a policy: Kool et al. (2019).
"""

import torch
from torch import Tensor

NEVER = -1e9  # stands for minus infinity, whose differences are not numbers


def draw(scores: Tensor, slots: int) -> Tensor:
    """Slates (B, K) drawn at random: the largest scores after Gumbel noise (Yellott, 1977)."""
    gumbel = -torch.empty_like(scores).exponential_().log()
    return best(scores + gumbel, slots)


def best(scores: Tensor, slots: int) -> Tensor:
    """The most likely slates (B, K): the largest scores, largest first.

    Raises
    ------
    ValueError
        If there are fewer columns than slots.
    """
    if scores.shape[1] < slots:
        raise ValueError(f"{slots} slots need as many candidates, got {scores.shape[1]}: give more candidates")
    return torch.topk(scores, slots, dim=1).indices


def evaluate(scores: Tensor, slates: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability (B,) of slates, and an estimate (B,) of the distribution's entropy along them.

    The estimate is ``Σ_k H(A_k | a_{<k})``, the entropy of each draw given the draws before it. Over slates that are
    drawn from the distribution its mean is the entropy, by the chain rule, with less variance than that of
    ``−log π(a)``; and unlike that form, it has a gradient that raises the entropy of every draw for a given slate.
    """
    scores = scores.clamp(min=NEVER)
    chosen = scores.gather(1, slates)
    rest = scores.scatter(1, slates, NEVER)
    # From the last slot back: `mass` is the log of the sum over what is left, `mean` its mean score.
    mass = torch.logsumexp(rest, dim=1)
    mean = (torch.softmax(rest, dim=1) * rest).sum(dim=1)
    log_probability, entropy = torch.zeros_like(mass), torch.zeros_like(mass)
    for score in chosen.T.flip(0):
        whole = torch.logaddexp(mass, score)
        mean = torch.exp(mass - whole) * mean + torch.exp(score - whole) * score
        mass = whole
        real = score > NEVER
        log_probability = log_probability + torch.where(real, score - mass, 0.0)
        entropy = entropy + torch.where(real, mass - mean, 0.0)
    return log_probability, entropy

"""The Plackett–Luce distribution of slates: items drawn one after the other, each by a softmax over those left.

``log π(a) = Σ_k [s_{a_k} − log Σ_{j ∉ a_{<k}} e^{s_j}]``, so no item is drawn twice. Pure functions of scores (B, M);
slates (B, K) are columns of these. Scores of minus infinity are never drawn while another is left, and count for
nothing where they are. Luce (1959), Plackett (1975); for slates of a policy: Kool et al. (2019).
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

NEVER = -1e9  # stands for minus infinity, whose differences are not numbers


def draw_gumbel(like: Tensor, torch_rng: torch.Generator | None = None) -> Tensor:
    """Standard Gumbel noise in the shape of `like`; from the global generator where no torch_rng are given."""
    return -torch.empty_like(like).exponential_(generator=torch_rng).log_()


def draw(scores: Tensor, slots: int, torch_rng: torch.Generator | None = None) -> Tensor:
    """Slates (B, K) drawn at random: the largest scores after Gumbel noise (Yellott, 1977)."""
    return take_best(scores + draw_gumbel(scores, torch_rng), slots)


def draw_one_by_one(scores: Tensor, slots: int, torch_rng: torch.Generator) -> Tensor | None:
    """Slates (B, K) drawn slot by slot, faster than by noise where there are thousands of columns.

    Columns are held in about as many blocks as a block has columns: each draw is of a block by its mass and of a column
    of it, and what was drawn loses its mass. Plackett–Luce slates exactly, but for weights that are 0 in single
    precision: None where fewer than `slots` are left in some row.
    """
    users, count = scores.shape
    size = math.ceil(math.sqrt(count))
    weights = torch.exp(scores - scores.amax(dim=1, keepdim=True))
    weights = pad(weights, (0, -count % size)).view(users, -1, size)
    masses, rows = weights.sum(dim=2), torch.arange(users, device=weights.device)
    found = []
    for _ in range(slots):
        if not (masses.sum(dim=1) > 0).all():
            return None
        block = _pick(masses, torch_rng)
        column = _pick(weights[rows, block], torch_rng)
        found.append(block * size + column)
        weights[rows, block, column] = 0.0
        masses[rows, block] = weights[rows, block].sum(dim=1)
    return torch.stack(found, dim=1)


def _pick(weights: Tensor, torch_rng: torch.Generator) -> Tensor:
    """(B,) columns, each as likely as it weighs; never one of weight 0."""
    edges = weights.cumsum(dim=1)
    total = edges[:, -1:].contiguous()
    at = torch.rand(len(weights), 1, generator=torch_rng, device=weights.device) * total
    below = torch.nextafter(total, torch.zeros_like(total))
    return torch.searchsorted(edges, torch.minimum(at, below), right=True)[:, 0]


def take_best(scores: Tensor, slots: int) -> Tensor:
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


def slot_log_probabilities(scores: Tensor, columns: Tensor) -> Tensor:
    """(B, K) log-probability of each slot's item, given those above: ``s_k − log Σ_{j not yet placed} e^{s_j}``.

    Parameters
    ----------
    scores
        (B, M); minus infinity where there is no candidate, which has log-probability 0 in a slate.
    columns
        (B, K), none twice; −1 for an empty slot, which has log-probability 0, too.
    """
    finite = pad(scores.clamp(min=NEVER), (0, 1), value=NEVER)  # an empty slot holds the column added here
    place = torch.where(columns < 0, scores.shape[1], columns)
    mass = torch.logsumexp(finite.scatter(1, place, NEVER), dim=1)
    found = []
    for score in finite.gather(1, place).T.flip(0):  # from the last slot back, so that nothing is ever subtracted
        mass = torch.logaddexp(mass, score)
        found.append(torch.where(score > NEVER, score - mass, 0.0))
    return torch.stack(found[::-1], dim=1)

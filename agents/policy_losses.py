"""Losses of policies over slates, for each user of a batch: pure functions of tensors, in the notation of the papers.

B users, K slots, M candidates. Nothing here averages over the batch, so minibatches of any size can be weighed.
"""

import math

import torch
from torch import Tensor

from .plackett_luce import NEVER


def gumbel(like: Tensor, dice: torch.Generator) -> Tensor:
    """Standard Gumbel noise in the shape of `like`: the largest of scores plus noise are Plackett–Luce slates."""
    return -torch.empty_like(like).exponential_(generator=dice).log_()


def draw_one_by_one(scores: Tensor, slots: int, dice: torch.Generator) -> Tensor | None:
    """Slates (B, K) drawn slot by slot, faster than by noise where there are thousands of columns.

    Columns are held in about as many blocks as a block has columns: each draw is of a block by its mass and of a column
    of it, and what was drawn loses its mass. Plackett–Luce slates exactly, but for weights that are 0 in single
    precision: None where fewer than `slots` are left in some row.
    """
    users, count = scores.shape
    size = math.ceil(math.sqrt(count))
    weights = torch.exp(scores - scores.amax(dim=1, keepdim=True))
    weights = torch.nn.functional.pad(weights, (0, -count % size)).view(users, -1, size)
    masses, rows = weights.sum(dim=2), torch.arange(users)
    found = []
    for _ in range(slots):
        if not (masses.sum(dim=1) > 0).all():
            return None
        block = _pick(masses, dice)
        column = _pick(weights[rows, block], dice)
        found.append(block * size + column)
        weights[rows, block, column] = 0.0
        masses[rows, block] = weights[rows, block].sum(dim=1)
    return torch.stack(found, dim=1)


def _pick(weights: Tensor, dice: torch.Generator) -> Tensor:
    """(B,) columns, each as likely as it weighs; never one of weight 0."""
    edges = weights.cumsum(dim=1)
    total = edges[:, -1:].contiguous()
    at = torch.rand(len(weights), 1, generator=dice) * total
    below = torch.nextafter(total, torch.zeros_like(total))
    return torch.searchsorted(edges, torch.minimum(at, below), right=True)[:, 0]


def slot_log_probabilities(scores: Tensor, slates: Tensor) -> Tensor:
    """(B, K) Plackett–Luce log-probability of each slot's column, given the slots above it.

    Parameters
    ----------
    scores
        (B, M); minus infinity where there is no candidate, which has log-probability 0 in a slate.
    slates
        (B, K) columns, none twice.
    """
    chosen = scores.gather(1, slates).clamp(min=NEVER)
    mass = torch.logsumexp(scores.scatter(1, slates, NEVER), dim=1)
    found = []
    for score in chosen.T.flip(0):  # from the last slot back, so that nothing is ever subtracted
        mass = torch.logaddexp(mass, score)
        found.append(torch.where(score > NEVER, score - mass, 0.0))
    return torch.stack(found[::-1], dim=1)


def first_slot_entropy(scores: Tensor) -> Tensor:
    """(B,) entropy in nats of the softmax over candidates, from which the first slot is drawn."""
    log_p = torch.log_softmax(scores.clamp(min=NEVER), dim=1)
    return -(log_p.exp() * log_p).sum(dim=1)


def examined(choice: Tensor, slots: int) -> Tensor:
    """(B, K) 1 for the slot consumed and those above it, or for all where nothing was (`choice` −1); else 0."""
    last = torch.where(choice < 0, slots - 1, choice)
    return (torch.arange(slots) <= last[:, None]).float()


def clipped_surrogate(log_ratio_t: Tensor, adv_t: Tensor, epsilon: float) -> Tensor:
    """``−min(ρ_t A_t, clip(ρ_t, 1 − ε, 1 + ε) A_t)`` (Schulman et al., 2017), in the shape of the inputs."""
    ratio_t = log_ratio_t.exp()
    return -torch.minimum(ratio_t * adv_t, ratio_t.clamp(1 - epsilon, 1 + epsilon) * adv_t)


def approximate_kl(log_ratio_t: Tensor) -> Tensor:
    """``ρ − 1 − log ρ``: never negative, and its mean over the old policy's slates is KL(old ‖ new)."""
    return log_ratio_t.expm1() - log_ratio_t


def value_loss(v_tm1: Tensor, return_t: Tensor, old_v_tm1: Tensor, epsilon: float) -> Tensor:
    """``½(v − G)²``; for ε > 0 the larger of this and that of v moved at most ε from its old value."""
    loss = (v_tm1 - return_t) ** 2
    if epsilon > 0:
        moved = old_v_tm1 + (v_tm1 - old_v_tm1).clamp(-epsilon, epsilon)
        loss = torch.maximum(loss, (moved - return_t) ** 2)
    return 0.5 * loss


def choice_loss(logits: Tensor, choice: Tensor) -> Tensor:
    """Cross-entropy of a multinomial logit over the slots (B, K) and nothing, whose logit is 0; −1 is nothing."""
    whole = torch.cat([logits.clamp(min=NEVER), torch.zeros_like(logits[:, :1])], dim=1)
    row = torch.where(choice < 0, logits.shape[1], choice)
    return -torch.log_softmax(whole, dim=1).gather(1, row[:, None])[:, 0]


def gamma_deviance(log_mean: Tensor, y: Tensor) -> Tensor:
    """``log μ + y/μ``: least where μ is the mean of y, for durations whose spread grows with their mean."""
    return log_mean + y * torch.exp(-log_mean)


def top_k_weight(pi: Tensor, slots: int) -> Tensor:
    """``λ_K = K(1 − π)^(K−1)``: how the chance of being among K draws grows with π (Chen et al., 2019, eq. 8)."""
    return slots * (1 - pi) ** (slots - 1)


def top_k_reinforce(
    log_pi: Tensor, log_beta: Tensor, adv_t: Tensor, credit_t: Tensor, slots: int, cap: float
) -> Tensor:
    """(B,) loss of top-K off-policy REINFORCE: ``−Σ_k credit·min(π/β, cap)·λ_K·A·log π`` (Chen et al., 2019).

    Parameters
    ----------
    log_pi, log_beta
        (B, K) log-probability of the shown items under one draw of the policy, and of whoever chose them.
    adv_t
        (B,) return, or what it is above a baseline.
    credit_t
        (B, K) share of each slot in what came of the slate.
    slots
        K of the weight; 1 leaves it out, which is REINFORCE of one item.
    cap
        Largest importance ratio.
    """
    pi = log_pi.detach().exp()
    ratio = (log_pi - log_beta).detach().exp().clamp(max=cap)
    return -(credit_t * ratio * top_k_weight(pi, slots) * log_pi).sum(dim=1) * adv_t

"""Losses of policies over slates, for each user of a batch: pure functions of tensors, in the notation of the papers.

B users, K slots, M candidates. Nothing here averages over the batch, so minibatches of any size can be weighed.
"""

import torch
from torch import Tensor

from ...slates.plackett_luce import NEVER


def first_slot_entropy(scores: Tensor) -> Tensor:
    """(B,) entropy in nats of the softmax over candidates, from which the first slot is drawn."""
    log_p = torch.log_softmax(scores.clamp(min=NEVER), dim=1)
    return -(log_p.exp() * log_p).sum(dim=1)


def mark_examined(choice: Tensor, slots: int) -> Tensor:
    """(B, K) 1 for the slot consumed and those above it, or for all where nothing was (`choice` −1); else 0."""
    last = torch.where(choice < 0, slots - 1, choice)
    return (torch.arange(slots, device=last.device) <= last[:, None]).float()


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

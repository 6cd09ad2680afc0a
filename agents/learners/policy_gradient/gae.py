"""Generalised advantage estimation (Schulman et al., 2016) with a discount for each step."""

import torch
from torch import Tensor


def gae(r_t: Tensor, discount_t: Tensor, v_tm1: Tensor, v_t: Tensor, going_t: Tensor, lambda_: float) -> Tensor:
    """Advantages (T, B): ``A_t = δ_t + λ·discount_t·going_t·A_{t+1}``, ``δ_t = r_t + discount_t·v_t − v_{t−1}``.

    Parameters
    ----------
    r_t
        (T, B) rewards of the slates.
    discount_t
        (T, B) of what comes after each; 0 where nothing does.
    v_tm1, v_t
        (T, B) values of the states where the slates were shown, and of those that they led to: after a truncation of
        the life that was cut, not of the next user.
    going_t
        (T, B) 1 where the next row is the same life, else 0.
    lambda_
        From 0, one-step differences, to 1, whole returns.
    """
    delta_t = r_t + discount_t * v_t - v_tm1
    advantages = torch.empty_like(delta_t)
    following = torch.zeros_like(delta_t[0])
    for t in range(len(delta_t) - 1, -1, -1):
        following = delta_t[t] + lambda_ * discount_t[t] * going_t[t] * following
        advantages[t] = following
    return advantages

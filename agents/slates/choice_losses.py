"""What SlateQ minimises, and the values it is made of: pure functions of tensors.

Everywhere: B users, K slots, T slates one after another. The choice model is the multinomial logit with position
effects: ``P(k) = p_k e^{v_k} / (1 + Σ_j p_j e^{v_j})``, the weight of no click being 1. Ie et al. (IJCAI 2019), SlateQ.
"""

import torch
from torch import Tensor


def choice_log_probabilities(appeal: Tensor, log_position: Tensor) -> Tensor:
    """Log-probabilities (B, K + 1) of each slot, and in the last column of no click.

    Parameters
    ----------
    appeal
        (B, K) scores v of the items shown, −∞ for an empty slot, which is never chosen.
    log_position
        (K,) logarithms of p.
    """
    none = torch.zeros_like(appeal[..., :1])
    return torch.log_softmax(torch.cat([appeal + log_position, none], dim=-1), dim=-1)


def choice_loss(log_probabilities: Tensor, choice: Tensor) -> Tensor:
    """Negative log-likelihoods (B,) of the slots chosen (B,), −1 for none."""
    place = torch.where(choice >= 0, choice, log_probabilities.shape[-1] - 1)
    return -log_probabilities.gather(-1, place[..., None])[..., 0]


def pick_chosen(items: Tensor, none: Tensor, choice: Tensor) -> Tensor:
    """What of `items` (B, K), or of `none` (B,), belongs to the choice (B,), −1 for none."""
    return torch.where(choice >= 0, items.gather(-1, choice.clamp(min=0)[..., None])[..., 0], none)


def slate_value(log_probabilities: Tensor, items: Tensor, none: Tensor) -> Tensor:
    """``Q(s, A) = P(∅) Q̄(s, ∅) + Σ_k P(k) Q̄(s, i_k)`` (B,), of (B, K + 1), (B, K) and (B,)."""
    chance = log_probabilities.exp()
    return (chance[..., :-1] * items).sum(dim=-1) + chance[..., -1] * none


def lambda_futures(reward: Tensor, discount: Tensor, following: Tensor, ended: Tensor, mix: float) -> Tensor:
    """Discounted values (T, B) of what came after each slate: the λ-return without the slate's own reward.

    ``F_t = d_t [(1 − λ) V_{t+1} + λ (r_{t+1} + F_{t+1})]``, and ``d_t V_{t+1}`` where a life or the segment ends.
    Sutton and Barto (2018), 12.1; used off policy without correction (Peng and Williams, 1996), so for recent slates.

    Parameters
    ----------
    reward, discount
        (T, B); the discount of what follows is 0 after churn.
    following
        (T, B) values of the states that followed: after a life has ended, of the state its user would have seen.
    ended
        (T, B) bool: the next slate is another user's.
    mix
        λ.
    """
    futures = torch.empty_like(reward)
    later = following[-1]  # r + F of the next slate; unknown at the segment's end
    for t in range(len(reward) - 1, -1, -1):
        mixed = torch.lerp(following[t], later, mix)
        futures[t] = discount[t] * torch.where(ended[t], following[t], mixed)
        later = reward[t] + futures[t]
    return futures


def squared_error(predicted: Tensor, target: Tensor, scale: Tensor) -> Tensor:
    """Squared errors in units of `scale`: their mean is least at the conditional mean, which is what a value is."""
    return ((predicted - target) / scale) ** 2

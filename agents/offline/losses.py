"""Losses of what is learned from a log alone, each by its paper's equation.

Letters: B users, M candidates, K slots; ``s`` states, ``A`` slates, ``r`` rewards; shapes of losses are after them.
"""

from torch import Tensor

HEAVIEST = 100.0  # weight of an advantage, at most, as in the paper


def cloning_loss(log_probability: Tensor, weight: Tensor) -> Tensor:
    """``−mean(w log π(A|s))`` of (B,): behaviour cloning with w = 1, advantage-weighted regression otherwise."""
    return -(weight * log_probability).mean()


def weigh_advantage(advantage: Tensor, inverse_temperature: float) -> Tensor:
    """``min(exp(β (Q(s, A) − V(s))), 100)`` (Kostrikov et al., 2021, equation 7)."""
    return (inverse_temperature * advantage).exp().clamp(max=HEAVIEST)


def expectile_loss(difference: Tensor, expectile: float) -> Tensor:
    """``mean(|τ − 1(u < 0)| u²)`` of (B,) u = Q(s, A) − V(s) (Kostrikov et al., 2021, equation 5)."""
    return ((expectile - (difference < 0).to(difference.dtype)).abs() * difference.square()).mean()


def bootstrap(r_t: Tensor, discount_t: Tensor, v_t: Tensor) -> Tensor:
    """``r + γ V(s')`` of (B,), without gradient; the discount is 0 where the user has left for good."""
    return (r_t + discount_t * v_t).detach()


def conservative_loss(q: Tensor, columns: Tensor) -> Tensor:
    """``mean(log Σ_i exp Q̄(s, i) − mean_{i ∈ A} Q̄(s, i))`` (Kumar et al., 2020, equation 4) over items.

    Parameters
    ----------
    q
        (B, M) of the candidates, −inf for none.
    columns
        (B, K) shown, −1 for an empty slot.
    """
    real = columns >= 0
    shown = q.gather(1, columns.clamp(min=0)).masked_fill(~real, 0.0)
    return (q.logsumexp(dim=1) - shown.sum(dim=1) / real.sum(dim=1).clamp(min=1)).mean()

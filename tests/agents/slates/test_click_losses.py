"""Compiled losses of choices and minutes against the plain formulas, and their gradients against finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longplay.agents.learners.policy_gradient.losses import gamma_deviance
from longplay.agents.slates.choice_losses import choice_log_probabilities, choice_loss
from longplay.agents.slates.click_losses import Shown, compute_click_losses


def make_case(users, slots, width, size, seed, missing=0.2, with_own=True):
    """What moves, with gradients, the table and slates; row 0 stands for no item."""
    rng = np.random.default_rng(seed)
    shapes = ((users, 2, size), (users, 2, width + 1), (2, 20 if with_own else 0), (slots,))
    moving = [torch.from_numpy(rng.normal(size=shape)).requires_grad_(True) for shape in shapes]
    table, scaled = (torch.from_numpy(rng.normal(size=shape)) for shape in ((20, size), (users, slots, width)))
    rows = torch.from_numpy(rng.integers(1, 20, (users, slots)) * (rng.random((users, slots)) >= missing))
    choice = torch.from_numpy(rng.integers(-1, slots, users))
    empty = rows.gather(1, choice.clamp(min=0)[:, None])[:, 0] == 0
    choice = torch.where(empty, -1, choice)  # nobody chooses what is not there
    return moving, table, Shown(scaled, rows, 0, choice, torch.from_numpy(10.0 * rng.random(users)))


def lose_plainly(queries, weights, own, position, table, shown):
    scores = torch.einsum("bhe,bke->bhk", queries, table[shown.rows]) + weights[:, :, -1:]
    scores = scores + torch.einsum("bhf,bkf->bhk", weights[:, :, :-1], shown.scaled)
    if own.numel():
        scores = scores + own[:, shown.rows].transpose(0, 1)
    logits = (scores[:, 0] + position).masked_fill(shown.rows == shown.none, -torch.inf)
    held = scores[:, 1].gather(1, shown.choice.clamp(min=0)[:, None])[:, 0]
    choices = choice_loss(choice_log_probabilities(logits, torch.zeros(())), shown.choice)
    minutes = torch.where(shown.choice >= 0, gamma_deviance(held, shown.minutes), 0.0)
    return choices.mean(), minutes.mean()


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(0, 3), st.integers(0, 5), st.integers(0, 2**32)),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.booleans(),
)
def test_losses_and_gradients_are_those_of_the_plain_formulas(shape, missing, with_own):
    moving, table, shown = make_case(*shape, missing, with_own)
    kept = []
    for function in (compute_click_losses, lose_plainly):
        losses = function(*moving, table, shown)
        gradients = torch.autograd.grad(losses[0] + 0.3 * losses[1], moving, allow_unused=True)
        kept.append((*losses, *(torch.zeros(()) if part is None else part for part in gradients)))
    for ours, theirs in zip(*kept, strict=True):
        torch.testing.assert_close(ours.detach(), theirs.detach().expand(ours.shape).to(ours), rtol=1e-9, atol=1e-9)


def test_gradients_are_those_of_finite_differences():
    moving, table, shown = make_case(3, 3, 2, 4, 0)
    assert torch.autograd.gradcheck(lambda *given: compute_click_losses(*given, table, shown), tuple(moving))


def test_every_row_may_be_an_item_and_the_same_input_gives_the_same_bits():
    moving, table, shown = make_case(50, 10, 3, 384, 1)
    given = [part.detach().float().requires_grad_(True) for part in moving]
    whole = shown._replace(scaled=shown.scaled.float(), minutes=shown.minutes.float(), none=-1)
    found = [compute_click_losses(*given, table.float(), whole) for _ in range(2)]
    assert found[0] == found[1]
    plain = lose_plainly(*moving, table, shown._replace(none=-1))
    assert [loss.item() for loss in found[0]] == pytest.approx([loss.item() for loss in plain], rel=1e-5)

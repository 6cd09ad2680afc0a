"""Compiled Plackett–Luce slates against the plain formulas, and their gradients against finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longplay.agents.learners.policy_gradient.losses import first_slot_entropy
from longplay.agents.slates.plackett_luce import draw, draw_one_by_one, slot_log_probabilities
from longplay.agents.slates.slate_draws import draw_among_many, draw_largest, log_slates, log_slots


@st.composite
def cases(draw):
    """Scores (B, M) in double precision, some of no candidate and some held back, and slates (B, K)."""
    users, columns = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    slots = draw(st.integers(1, columns))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = rng.normal(size=(users, columns)) * draw(st.sampled_from([0.1, 3.0, 50.0]))
    scores[rng.random(scores.shape) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = -np.inf
    scores[rng.random(scores.shape) < draw(st.sampled_from([0.0, 0.5]))] -= 1000.0
    slates = rng.random(scores.shape).argsort(axis=1)[:, :slots]
    return torch.from_numpy(scores), torch.from_numpy(slates)


def pass_back(function, scores, *weights):
    """What a function gives, and the gradient of its weighted sum."""
    scores = scores.clone().requires_grad_(True)
    found = function(scores)
    sum((part * weight).sum() for part, weight in zip(found, weights, strict=True)).backward()
    return *(part.detach() for part in found), scores.grad


@given(cases())
def test_log_probabilities_entropies_and_gradients_are_those_of_the_plain_formulas(case):
    scores, slates = case
    generator = torch.Generator().manual_seed(0)
    weights = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in (slates.shape, len(slates)))
    weights = tuple(weights)
    found = pass_back(lambda s: log_slates(s, slates), scores, *weights)
    plain = pass_back(lambda s: (slot_log_probabilities(s, slates), first_slot_entropy(s)), scores, *weights)
    for ours, theirs in zip(found, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_in_single_precision_they_agree_to_rounding():
    generator = torch.Generator().manual_seed(0)
    scores = 3.0 * torch.randn(64, 256, generator=generator)
    scores[:, :5] -= 1000.0
    slates = torch.stack([torch.randperm(256, generator=generator)[:10] for _ in range(64)])
    torch.testing.assert_close(log_slots(scores, slates), slot_log_probabilities(scores, slates), rtol=1e-6, atol=1e-5)
    before = scores.clone()
    log_slots(scores, slates)
    assert torch.equal(scores, before)  # which the pass writes to meanwhile


def test_gradients_are_those_of_finite_differences():
    scores = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_(True)
    slates = torch.tensor([[0, 3, 6], [6, 5, 4], [1, 2, 3], [2, 0, 1], [4, 1, 5]])
    assert torch.autograd.gradcheck(lambda s: log_slates(s, slates), (scores,))


@given(st.integers(1, 30), st.integers(0, 2**32), st.booleans())
def test_the_largest_are_drawn_as_by_sorting(columns, seed, some_missing):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(3, columns, generator=generator)
    if some_missing:
        scores[:, columns // 2 :] = -torch.inf
    slots = (columns + 1) // 2
    ours, theirs = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)
    found, expected = draw_largest(scores, slots, ours), draw(scores, slots, theirs)
    real = scores.gather(1, expected) > -torch.inf
    assert torch.equal(found[real], expected[real])
    assert torch.equal(scores.gather(1, found) > -torch.inf, real)
    assert all(len(set(row)) == slots for row in found.tolist())
    assert torch.equal(ours.get_state(), theirs.get_state())


def test_more_slots_than_columns_are_refused():
    with pytest.raises(ValueError, match="3 slots need as many candidates, got 2"):
        draw_largest(torch.zeros(1, 2), 3)


@pytest.mark.parametrize("held_back", [0, 2998])
def test_among_many_the_draws_and_the_chance_used_are_those_of_the_plain_way(held_back):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(20, 3000, generator=generator)
    scores[3, :held_back] -= 1000.0
    ours, theirs = torch.Generator().manual_seed(2), torch.Generator().manual_seed(2)
    found, expected = draw_among_many(scores, 5, ours), draw_one_by_one(scores, 5, theirs)
    assert torch.equal(ours.get_state(), theirs.get_state())
    if held_back:
        assert found is expected is None
        return
    assert torch.equal(found[0], expected)
    torch.testing.assert_close(found[1], slot_log_probabilities(scores, expected), rtol=1e-5, atol=1e-5)

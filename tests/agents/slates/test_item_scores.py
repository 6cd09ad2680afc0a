"""Compiled scores against the plain formulas, and their gradients against finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longplay.agents.slates.item_scores import average_candidates, score_candidates, score_slates
from longplay.agents.slates.networks import CLIP, SlateNetwork, standardise


def make_case(users, heads, columns, width, match, seed, missing=0.2, dtype=torch.float64):
    """Weights, users and places, that have gradients, and items, ids and their scale."""
    rng = np.random.default_rng(seed)
    shapes = ((users, heads, width + 1), (users, heads, match), (20, match))
    moving = [torch.from_numpy(rng.normal(size=shape)).to(dtype).requires_grad_(True) for shape in shapes]
    items = torch.from_numpy(4.0 * rng.normal(size=(users, columns, width))).to(dtype)
    ids = torch.from_numpy(rng.integers(1, 20, (users, columns)) * (rng.random((users, columns)) >= missing))
    scale = (torch.from_numpy(rng.normal(size=width)).to(dtype), torch.from_numpy(0.5 + rng.random(width)).to(dtype))
    return moving, items, ids, (*scale, CLIP)


def score_plainly(weights, users, places, items, ids, scale):
    z = standardise(items, *scale[:2])
    scores = torch.einsum("bhf,bmf->bhm", weights[:, :, :-1], z) + weights[:, :, -1:]
    return (scores + torch.einsum("bhd,bmd->bhm", users, places[ids])).masked_fill((ids == 0)[:, None], -torch.inf)


sizes = st.tuples(*(st.integers(1, n) for n in (3, 3, 6, 4)), st.integers(0, 5), st.integers(0, 2**32))


@given(sizes, st.sampled_from([0.0, 0.4, 1.0]))
def test_scores_and_gradients_are_those_of_the_plain_formula(shape, missing):
    moving, items, ids, scale = make_case(*shape, missing)
    found, plain = (function(*moving, items, ids, scale) for function in (score_candidates, score_plainly))
    torch.testing.assert_close(found, plain, rtol=1e-10, atol=1e-10)
    weights, users, places = moving
    few = score_slates(users, weights, places, standardise(items, *scale[:2]), ids)
    torch.testing.assert_close(few, plain, rtol=1e-10, atol=1e-10)
    push = torch.randn(found.shape, dtype=found.dtype, generator=torch.Generator().manual_seed(0))
    for one in (found, plain):
        (one.masked_fill((ids == 0)[:, None], 0.0) * push).sum().backward()
        gradients = [part.grad.clone() for part in moving]
        for part in moving:
            part.grad = None
        if one is found:
            ours = gradients
    for mine, theirs in zip(ours, gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def test_gradients_are_those_of_finite_differences():
    moving, items, ids, scale = make_case(2, 2, 4, 3, 2, 0)
    real = ids > 0
    assert torch.autograd.gradcheck(
        lambda *given: score_candidates(*given, items, ids, scale).transpose(1, 2)[real], tuple(moving)
    )
    table, scaled = moving[2].detach(), standardise(items, *scale[:2])
    for none, there in ((0, real), (-1, ids >= 0)):
        assert torch.autograd.gradcheck(
            lambda queries, weights, none=none, there=there: score_slates(
                queries, weights, table, scaled, ids, none
            ).transpose(1, 2)[there],
            (moving[1], moving[0]),
        )


@given(sizes)
def test_the_mean_candidate_is_that_of_the_network(shape):
    _, items, ids, scale = make_case(*shape)
    expected = (standardise(items, *scale[:2]) * (ids > 0)[:, :, None]).sum(dim=1)
    expected = expected / (ids > 0).sum(dim=1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(average_candidates(items, ids, scale), expected, rtol=1e-10, atol=1e-10)


def test_a_row_depends_on_itself_alone_and_the_same_input_gives_the_same_bits():
    moving, items, ids, scale = make_case(5, 2, 40, 10, 16, 0, dtype=torch.float32)
    weights, users, places = (part.detach() for part in moving)
    whole = score_candidates(weights, users, places, items, ids, scale)
    assert torch.equal(whole, score_candidates(weights, users, places, items, ids, scale))
    alone = score_candidates(weights[3:4], users[3:4], places, items[3:4], ids[3:4], scale)
    assert torch.equal(whole[3:4], alone)


@pytest.mark.parametrize("match", [0, 4])
def test_learners_see_the_scores_and_values_that_agents_play_by(match):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(20, 6)).astype(np.float32)
    torch.manual_seed(0)
    network = SlateNetwork(5, 3, vectors, heads=3, values=2, hidden=8, match=match)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    _, items, ids, _ = make_case(7, 1, 9, 3, 0, 0, dtype=torch.float32)
    state = torch.from_numpy(rng.normal(size=(7, 5)).astype(np.float32))
    scores, values = network(state, items, ids)
    mean = network.average(items, ids)
    torch.testing.assert_close(mean, network.mean_candidate(items, ids))
    whole = network.scale(state, mean)
    sight = network.see(whole)
    same = {"rtol": 1e-5, "atol": 1e-4}
    torch.testing.assert_close(network.score(sight.weights, sight.users, items, ids).transpose(0, 1), scores, **same)
    few = network.score_few(sight.weights, sight.users, network.scaled(items, ids), ids)
    torch.testing.assert_close(few.transpose(0, 1), scores, **same)
    torch.testing.assert_close(network.rate(whole), values, **same)
    later = network.see(whole, first=1)
    torch.testing.assert_close(later.weights, sight.weights[:, 1:], **same)
    torch.testing.assert_close(later.users, sight.users[:, 1:], **same)
    with network.holding_items():
        held = network.score(sight.weights, sight.users, items, ids)
        assert torch.equal(held, network.score(sight.weights, sight.users, items, ids))
    torch.testing.assert_close(held.transpose(0, 1), scores, **same)

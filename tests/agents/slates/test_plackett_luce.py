"""The Plackett–Luce distribution against enumeration of all slates."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from longplay.agents.slates.plackett_luce import draw, evaluate, take_best

SIZES = [(1, 1), (3, 1), (4, 2), (5, 3), (4, 4)]


def every_slate(candidates, slots):
    return torch.tensor(list(itertools.permutations(range(candidates), slots)))


def by_definition(scores, slate):
    """Probability of a slate: each item by its share of what is left."""
    weights, left, probability = [math.exp(s) for s in scores], set(range(len(scores))), 1.0
    for item in slate:
        probability *= weights[item] / sum(weights[j] for j in left)
        left.remove(item)
    return probability


def random_scores(candidates, seed=0):
    return torch.randn(candidates, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2


@pytest.mark.parametrize(("candidates", "slots"), SIZES)
def test_log_probabilities_are_those_of_the_definition_and_sum_to_one(candidates, slots):
    scores, slates = random_scores(candidates), every_slate(candidates, slots)
    found = evaluate(scores.expand(len(slates), -1), slates)[0].exp()
    expected = [by_definition(scores.tolist(), slate) for slate in slates.tolist()]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.sum().item() == pytest.approx(1.0, abs=1e-12)


def test_numbers_computed_by_hand():
    """Weights 1, 2, 3: (third, first) has 3/6 · 1/3, (first, second) 1/6 · 2/5; uniform weights have entropy ln 6."""
    scores = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 1.0, 1.0]]).double().log()
    log_probability, entropy = evaluate(scores, torch.tensor([[2, 0], [0, 1], [1, 2]]))
    np.testing.assert_allclose(log_probability.exp(), [1 / 6, 1 / 15, 1 / 6], rtol=1e-12)
    assert entropy[2].item() == pytest.approx(math.log(6), abs=1e-12)


@pytest.mark.parametrize(("candidates", "slots"), SIZES)
def test_both_estimates_of_the_entropy_have_it_for_their_mean(candidates, slots):
    """The mean over all slates, each as likely as it is drawn."""
    scores, slates = random_scores(candidates, 1), every_slate(candidates, slots)
    log_probability, along = evaluate(scores.expand(len(slates), -1), slates)
    probability = np.array([by_definition(scores.tolist(), slate) for slate in slates.tolist()])
    exact = -(probability * np.log(probability)).sum()
    assert (probability * along.numpy()).sum() == pytest.approx(exact, abs=1e-12)
    assert (probability * -log_probability.numpy()).sum() == pytest.approx(exact, abs=1e-12)
    # Along the slate it varies less than the logarithm of the probability does.
    assert np.average((along.numpy() - exact) ** 2, weights=probability) <= np.average(
        (-log_probability.numpy() - exact) ** 2, weights=probability
    )


def test_the_entropy_of_samples_is_near_the_exact_one():
    scores, slates = random_scores(5, 2), every_slate(5, 3)
    exact = evaluate(scores.expand(len(slates), -1), slates)[0]
    torch.manual_seed(0)
    many = scores.expand(20_000, -1)
    for estimate in (evaluate(many, draw(many, 3))[1], -evaluate(many, draw(many, 3))[0]):
        error = estimate.std().item() / math.sqrt(len(estimate))
        assert abs(estimate.mean().item() + (exact.exp() * exact).sum().item()) < 4 * error + 1e-12


@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_those_of_finite_differences(masked):
    scores = torch.stack([random_scores(5, seed) for seed in range(4)]).requires_grad_(True)
    slates = torch.tensor([[0, 1, 2], [4, 3, 2], [3, 0, 4], [2, 1, 0]])
    none = torch.zeros(4, 5, dtype=bool)
    none[:, 4] = none[1:, 3] = masked

    def both(scores):
        return evaluate(scores.masked_fill(none, -torch.inf), slates)

    assert torch.autograd.gradcheck(both, (scores,))


def test_the_gradient_of_the_log_probability_has_mean_zero():
    """The score function: were it not so, the policy gradient would be biased."""
    scores, slates = random_scores(4, 3).requires_grad_(True), every_slate(4, 3)
    log_probability = evaluate(scores.expand(len(slates), -1), slates)[0]
    (log_probability.exp().detach() * log_probability).sum().backward()
    np.testing.assert_allclose(scores.grad, 0.0, atol=1e-12)


@given(st.integers(1, 12), st.integers(0, 11), st.integers(0, 2**31 - 1), st.floats(0.0, 50.0))
@settings(max_examples=60, deadline=None)
def test_slates_never_repeat_and_have_a_probability(slots, more, seed, spread):
    torch.manual_seed(seed)
    scores = torch.randn(8, slots + more) * spread
    for slates in (draw(scores, slots), take_best(scores, slots)):
        assert slates.shape == (8, slots)
        assert all(len(set(slate)) == slots for slate in slates.tolist())
        log_probability, entropy = evaluate(scores, slates)
        assert (log_probability <= 1e-4).all()
        assert torch.isfinite(log_probability).all()
        assert (entropy >= -1e-3).all()
        assert (entropy <= sum(math.log(slots + more - k) for k in range(slots)) + 1e-3).all()


def test_slates_are_drawn_as_often_as_they_are_likely():
    scores, slates = random_scores(4, 5) / 2, every_slate(4, 2)
    torch.manual_seed(0)
    drawn = draw(scores.float().expand(30_000, -1), 2)
    counts = (drawn[:, None] == slates).all(dim=2).sum(dim=0)
    assert counts.sum() == len(drawn)
    expected = [len(drawn) * by_definition(scores.tolist(), slate) for slate in slates.tolist()]
    assert chisquare(counts, expected).pvalue > 0.001


def test_the_best_slate_is_the_most_likely_one():
    for seed in range(10):
        scores, slates = random_scores(5, seed), every_slate(5, 3)
        likely = slates[evaluate(scores.expand(len(slates), -1), slates)[0].argmax()]
        assert take_best(scores[None], 3)[0].tolist() == likely.tolist()


def test_what_is_no_candidate_comes_last_and_counts_for_nothing():
    """Three candidates and two that are none, for four slots: the distribution is that of the three."""
    scores = torch.tensor([[0.5, -torch.inf, -1.0, 2.0, -torch.inf]]).expand(200, -1)
    torch.manual_seed(0)
    for slates in (draw(scores, 4), take_best(scores, 4)):
        assert {tuple(sorted(slate[:3])) for slate in slates.tolist()} == {(0, 2, 3)}
        column = {0: 0, 2: 1, 3: 2}
        three = torch.tensor([[column[item] for item in slate[:3]] for slate in slates.tolist()])
        for found, expected in zip(
            evaluate(scores, slates), evaluate(torch.tensor([[0.5, -1.0, 2.0]]).expand(200, -1), three), strict=True
        ):
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_where_nothing_is_a_candidate_the_probability_is_one():
    log_probability, entropy = evaluate(torch.full((1, 4), -torch.inf), torch.tensor([[0, 1]]))
    assert (log_probability.item(), entropy.item()) == (0.0, 0.0)


def test_scores_far_apart_keep_their_precision():
    """A thousand below the rest, as items of the history are: among themselves they are drawn by their own scores."""
    scores = torch.tensor([[3.0, -1000.0, -1000.0 + math.log(3.0)]])
    log_probability, entropy = evaluate(scores, torch.tensor([[0, 2]]))
    assert log_probability.exp().item() == pytest.approx(0.75, abs=1e-4)
    # A mean of scores near a thousand, in single precision.
    assert entropy.item() == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), abs=0.05)


def test_a_constant_changes_nothing():
    scores, slates = random_scores(5).expand(60, -1), every_slate(5, 3)
    for one, other in zip(evaluate(scores, slates), evaluate(scores + 7.0, slates), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_more_slots_than_candidates_are_refused():
    with pytest.raises(ValueError, match="4 slots need as many candidates, got 3"):
        draw(torch.zeros(2, 3), 4)

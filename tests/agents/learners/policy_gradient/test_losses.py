"""Losses of slate policies against numbers computed by hand and slow oracles."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from longplay.agents.learners.policy_gradient.gae import gae
from longplay.agents.learners.policy_gradient.losses import (
    approximate_kl,
    clipped_surrogate,
    first_slot_entropy,
    gamma_deviance,
    mark_examined,
    top_k_reinforce,
    top_k_weight,
    value_loss,
)
from longplay.agents.learners.policy_gradient.rollouts import draw_slates
from longplay.agents.slates.plackett_luce import draw_gumbel, draw_one_by_one, evaluate, slot_log_probabilities

CHOICES = torch.tensor([0, 2, -1])


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def slow_gae(r, discount, v_tm1, v_t, going, lambda_):
    """Every advantage as a sum of its own over the steps of its life."""
    found = np.zeros_like(r)
    for t, b in itertools.product(*map(range, r.shape)):
        weight = 1.0
        for s in range(t, len(r)):
            found[t, b] += weight * (r[s, b] + discount[s, b] * v_t[s, b] - v_tm1[s, b])
            if not going[s, b]:
                break
            weight *= lambda_ * discount[s, b]
    return found


class TestGAE:
    @pytest.fixture
    def steps(self):
        rng = np.random.default_rng(0)
        r, v_tm1, v_t = rng.normal(size=(3, 12, 5))
        discount, going = rng.uniform(0.5, 1, (12, 5)), (rng.random((12, 5)) < 0.8).astype(float)
        return r, discount, v_tm1, v_t, going

    @pytest.mark.parametrize("lambda_", [0.0, 0.6, 1.0])
    def test_it_is_the_sum_over_each_life(self, steps, lambda_):
        found = gae(*map(torch.from_numpy, steps), lambda_)
        np.testing.assert_allclose(found, slow_gae(*steps, lambda_), rtol=1e-12, atol=1e-12)

    def test_numbers_computed_by_hand(self):
        """δ = (1 + 0.5·4 − 2, 3 + 0·9 − 4) = (1, −1); A = (1 + 0.8·0.5·(−1), −1)."""
        column = [tensor(*pair)[:, None] for pair in ((1, 3), (0.5, 0), (2, 4), (4, 9), (1, 0))]
        np.testing.assert_allclose(gae(*column, 0.8)[:, 0], [0.6, -1.0], rtol=1e-12)

    def test_without_a_future_it_is_reward_less_value(self, steps):
        r, _, v_tm1, v_t, going = map(torch.from_numpy, steps)
        np.testing.assert_allclose(gae(r, torch.zeros_like(r), v_tm1, v_t, going, 0.95), r - v_tm1, rtol=1e-12)

    def test_with_lambda_one_values_cancel_and_the_return_is_left(self):
        r, v = torch.rand(6, 2).double(), torch.rand(7, 2).double()
        found = gae(r, torch.full_like(r, 0.9), v[:-1], v[1:], torch.ones_like(r), 1.0)
        powers = 0.9 ** torch.arange(6).double()
        np.testing.assert_allclose(found[0], powers @ r + 0.9**6 * v[-1] - v[0], rtol=1e-12)

    def test_with_exact_values_of_a_constant_reward_nothing_is_left(self):
        """V = r / (1 − γ)."""
        r = torch.ones(5, 1).double()
        v = r / (1 - 0.9)
        np.testing.assert_allclose(gae(r, 0.9 * r, v, v, r, 0.95), 0.0, atol=1e-12)


class TestPlackettLuceSlots:
    scores = torch.randn(60, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slates = torch.tensor(list(itertools.permutations(range(5), 3)))

    def test_slots_add_up_to_the_slate(self):
        found = slot_log_probabilities(self.scores, self.slates)
        np.testing.assert_allclose(found.sum(dim=1), evaluate(self.scores, self.slates)[0], rtol=1e-12)

    def test_numbers_computed_by_hand(self):
        """Weights 1, 2, 3: (third, first) has 3/6 and then 1/3."""
        found = slot_log_probabilities(tensor(1, 2, 3).log()[None], torch.tensor([[2, 0]]))
        np.testing.assert_allclose(found.exp()[0], [1 / 2, 1 / 3], rtol=1e-12)

    def test_a_slot_does_not_depend_on_those_below(self):
        found = slot_log_probabilities(self.scores[:1].expand(60, -1), self.slates)
        for row, slate in zip(found, self.slates, strict=True):
            alone = slot_log_probabilities(self.scores[:1], slate[None, :2])
            np.testing.assert_allclose(row[:2], alone[0], rtol=1e-12)

    def test_what_is_no_candidate_counts_for_nothing_and_has_no_gradient(self):
        scores = torch.tensor([[0.5, -torch.inf, -1.0, -torch.inf]], requires_grad=True)
        found = slot_log_probabilities(scores, torch.tensor([[2, 0, 1]]))
        share = math.exp(-1) / (math.exp(-1) + math.exp(0.5))
        np.testing.assert_allclose(found.detach().exp()[0], [share, 1, 1], rtol=1e-6)
        found.sum().backward()
        np.testing.assert_allclose(scores.grad[0], [share - 1, 0, 1 - share, 0], atol=1e-6)

    def test_gradients_are_those_of_finite_differences(self):
        scores = self.scores[:4].clone().requires_grad_(True)
        assert torch.autograd.gradcheck(slot_log_probabilities, (scores, self.slates[::15]))

    def test_the_entropy_of_the_first_slot(self):
        scores = torch.tensor([[1.0, 1.0, -torch.inf], [math.log(3), 0.0, -torch.inf]], requires_grad=True)
        found = first_slot_entropy(scores)
        expected = [math.log(2), -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))]
        np.testing.assert_allclose(found.detach(), expected, rtol=1e-6)
        found.sum().backward()
        assert torch.isfinite(scores.grad).all()

    def test_noise_is_gumbels_and_the_dice_fix_it(self):
        drawn = [draw_gumbel(torch.zeros(200, 200), torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
        assert torch.equal(drawn[0], drawn[1])
        assert not torch.equal(drawn[0], drawn[2])
        assert drawn[0].mean().item() == pytest.approx(np.euler_gamma, abs=0.03)
        assert drawn[0].std().item() == pytest.approx(math.pi / math.sqrt(6), abs=0.03)


class TestOneByOne:
    @pytest.mark.parametrize("draw", [draw_one_by_one, lambda *given: draw_slates(*given)[0]])
    def test_slates_are_drawn_as_often_as_they_are_likely(self, draw):
        scores, slates = (
            torch.tensor([0.5, -1.0, 0.0, 1.0, 0.3]),
            torch.tensor(list(itertools.permutations(range(5), 2))),
        )
        drawn = draw(scores.expand(30_000, -1), 2, torch.Generator().manual_seed(0))
        counts = (drawn[:, None] == slates).all(dim=2).sum(dim=0)
        likely = slot_log_probabilities(scores.expand(len(slates), -1), slates).sum(dim=1).exp().double()
        assert counts.sum() == len(drawn)
        assert chisquare(counts, len(drawn) * likely / likely.sum()).pvalue > 0.001

    def test_none_is_drawn_twice_or_without_weight(self):
        scores = torch.randn(50, 3000, generator=torch.Generator().manual_seed(1))
        scores[:, 20:] = -torch.inf
        drawn, _ = draw_slates(scores, 20, torch.Generator().manual_seed(0))
        assert torch.equal(drawn.sort(dim=1).values, torch.arange(20).expand(50, -1))

    def test_where_too_little_weighs_anything_noise_draws_instead(self):
        scores = torch.full((4, 3000), -1000.0)
        scores[:, :2] = 0.0
        assert draw_one_by_one(scores, 3, torch.Generator()) is None
        drawn, logs = draw_slates(scores, 3, torch.Generator().manual_seed(0))
        assert set(drawn[:, :2].flatten().tolist()) == {0, 1}
        assert (drawn[:, 2] > 1).all()
        torch.testing.assert_close(logs, slot_log_probabilities(scores, drawn), rtol=1e-5, atol=1e-4)


class TestPPO:
    @pytest.mark.parametrize(
        ("ratio", "advantage", "loss", "slope"),
        [
            (1.0, 2.0, -2.0, -2.0),  # nothing has moved: the policy gradient
            (1.1, 2.0, -2.2, -2.2),
            (1.5, 2.0, -2.4, 0.0),  # as far as it may go
            (0.5, 2.0, -1.0, -1.0),  # moved the wrong way: not clipped
            (1.5, -2.0, 3.0, 3.0),  # likewise
            (0.5, -2.0, 1.6, 0.0),
        ],
    )
    def test_the_clipped_surrogate(self, ratio, advantage, loss, slope):
        log_ratio = tensor(math.log(ratio)).requires_grad_(True)
        found = clipped_surrogate(log_ratio, tensor(advantage), 0.2)
        assert found.item() == pytest.approx(loss)
        found.sum().backward()
        assert log_ratio.grad.item() == pytest.approx(slope)

    def test_the_divergence_has_the_exact_one_for_its_mean(self):
        old, new = tensor(0.5, 0.3, 0.2), tensor(0.2, 0.3, 0.5)
        found = approximate_kl((new / old).log())
        assert (found >= 0).all()
        assert (old * found).sum().item() == pytest.approx((old * (old / new).log()).sum().item())

    def test_the_loss_of_values(self):
        v, returns, old = tensor(2.0, 2.0, 1.1), tensor(5.0, 1.0, 5.0), tensor(1.0, 1.0, 1.0)
        np.testing.assert_allclose(value_loss(v, returns, old, 0.0), [4.5, 0.5, 7.605])
        # Moved by 0.5 at most: to 1.5, 1.5 and 1.1; the larger of both.
        np.testing.assert_allclose(value_loss(v, returns, old, 0.5), [6.125, 0.5, 7.605])

    def test_slots_examined_end_at_the_one_consumed(self):
        assert mark_examined(CHOICES, 4).tolist() == [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


class TestGuide:
    def test_the_deviance_is_least_at_the_mean(self):
        log_mean, y = tensor(0.0).requires_grad_(True), tensor(1.0, 2.0, 9.0)
        gamma_deviance(log_mean + math.log(4), y).sum().backward()  # of mean 4
        assert log_mean.grad.item() == pytest.approx(0.0, abs=1e-12)
        assert gamma_deviance(tensor(math.log(2)), tensor(6.0)).item() == pytest.approx(math.log(2) + 3)


class TestTopK:
    def test_the_weight(self):
        np.testing.assert_allclose(top_k_weight(tensor(0.0, 0.5, 1.0), 3), [3, 0.75, 0])
        np.testing.assert_allclose(top_k_weight(tensor(0.0, 0.5, 1.0), 1), 1)

    def test_the_weight_is_the_slope_of_the_chance_of_being_among_k_draws(self):
        pi = tensor(0.1, 0.4, 0.9).requires_grad_(True)
        (1 - (1 - pi) ** 4).sum().backward()
        np.testing.assert_allclose(pi.grad, top_k_weight(pi.detach(), 4))

    def test_the_loss_and_its_gradient(self):
        """π 0.5, β 0.25 and K 3: −credit · min(2, cap) · 0.75 · A · log π, and no gradient through the weights."""
        for cap, ratio in ((5.0, 2.0), (1.5, 1.5)):
            log_pi = tensor(0.5, 0.5).log()[None].requires_grad_(True)
            log_beta = tensor(0.25, 0.25).log()[None].requires_grad_(True)
            loss = top_k_reinforce(log_pi, log_beta, tensor(4.0), tensor(1.0, 0.0)[None], 3, cap)
            assert loss.item() == pytest.approx(4 * ratio * 0.75 * math.log(2))
            loss.sum().backward()
            np.testing.assert_allclose(log_pi.grad, [[-4 * ratio * 0.75, 0.0]])
            assert log_beta.grad is None

    def test_the_expected_gradient_is_that_of_on_policy_reinforce(self):
        """Over what β shows, with K of 1 and no cap: Σ β · loss has the gradient of −Σ π · A."""
        beta, advantage = tensor(0.1, 0.2, 0.7), tensor(3.0, -1.0, 2.0)
        scores = tensor(0.3, -0.2, 0.5).requires_grad_(True)
        log_pi = torch.log_softmax(scores, dim=0)[:, None]
        loss = top_k_reinforce(log_pi, beta.log()[:, None], advantage, torch.ones(3, 1).double(), 1, 1e9)
        (found,) = torch.autograd.grad((beta * loss).sum(), scores, retain_graph=True)
        (expected,) = torch.autograd.grad(-(log_pi[:, 0].exp() * advantage).sum(), scores)
        np.testing.assert_allclose(found, expected, rtol=1e-12)

"""The least squares of what a choice changes: by hand, and where the state would mislead a plain regression."""

import numpy as np
import torch

from longplay.agents.learners.slateq.follow_up import FollowUpRegression


def test_surprise_is_the_choice_less_what_was_expected():
    features = torch.tensor([[[2.0], [4.0]], [[2.0], [4.0]]])
    chances = torch.tensor([[0.25, 0.5, 0.25], [0.25, 0.5, 0.25]])
    surprise = FollowUpRegression.compute_surprise(features, chances, torch.tensor([1, -1]))
    # Expected: a click with 0.75, a feature of 0.25·2 + 0.5·4 = 2.5.
    torch.testing.assert_close(surprise, torch.tensor([[0.25, 1.5], [-0.75, -2.5]]))


def test_coefficients_are_those_of_ridge_regression():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 3)), rng.normal(size=50)
    found = FollowUpRegression(2, memory=1e12, ridge=7.0)
    found.add(torch.from_numpy(x[:20]), torch.from_numpy(y[:20]))
    found.add(torch.from_numpy(x[20:]), torch.from_numpy(y[20:]))
    expected = np.linalg.solve(x.T @ x + 7.0 * np.eye(3), x.T @ y)
    np.testing.assert_allclose(found.coefficients.numpy(), expected, rtol=1e-5)


def test_old_slates_are_forgotten_at_the_rate_of_the_memory():
    found = FollowUpRegression(0, memory=100.0, ridge=0.0)
    found.add(torch.ones(100, 1), torch.zeros(100))
    found.add(torch.ones(100, 1), torch.ones(100))
    np.testing.assert_allclose(found.coefficients.numpy(), 1.0 / (1.0 + np.exp(-1.0)), rtol=1e-5)


def test_before_the_first_slate_nothing_changes():
    assert not FollowUpRegression(3, memory=10.0, ridge=1.0).coefficients.any()


def users(rng, count):
    """Happy users are shown better items and do better whatever they choose; a good item adds 0.5, a click −0.3."""
    happy = rng.normal(size=count)
    features = 2.0 * happy[:, None, None] + rng.normal(size=(count, 3, 1))
    weights = np.exp(0.5 * features[:, :, 0])
    chances = np.concatenate([weights, np.ones((count, 1))], axis=1)
    chances /= chances.sum(axis=1, keepdims=True)
    choice = (rng.random(count)[:, None] > chances.cumsum(axis=1)).sum(axis=1)
    choice = np.where(choice < 3, choice, -1)
    taken = np.where(choice >= 0, features[np.arange(count), np.maximum(choice, 0), 0], 0.0)
    after = 10.0 * happy - 0.3 * (choice >= 0) + 0.5 * taken + rng.normal(size=count)
    return [torch.from_numpy(part) for part in (features, chances, choice, after)]


def test_the_state_does_not_mislead_it_though_its_value_is_unknown():
    features, chances, choice, after = users(np.random.default_rng(0), 200_000)
    found = FollowUpRegression(1, memory=1e12, ridge=1.0)
    found.add(FollowUpRegression.compute_surprise(features, chances, choice), after)
    np.testing.assert_allclose(found.coefficients.numpy(), [-0.3, 0.5], atol=0.25)
    # A regression on the choice itself takes the happiness of the user for the work of the item.
    taken = FollowUpRegression.compute_surprise(features, torch.zeros_like(chances), choice)
    plain = FollowUpRegression(1, memory=1e12, ridge=1.0)
    plain.add(taken, after)
    assert plain.coefficients[1] > 3.0

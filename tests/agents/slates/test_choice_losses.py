"""The losses and values of SlateQ against numbers worked out by hand."""

import math

import pytest
import torch

from longplay.agents.slates.choice_losses import (
    choice_log_probabilities,
    choice_loss,
    lambda_futures,
    pick_chosen,
    slate_value,
    squared_error,
)

LOG2 = math.log(2.0)


def test_choice_is_a_logit_with_positions_and_no_click():
    # Weights 1·2, ½·4 and 1 for nothing; then 1·1, an empty slot, and nothing.
    appeal = torch.tensor([[LOG2, 2 * LOG2], [0.0, -torch.inf]])
    chances = choice_log_probabilities(appeal, torch.tensor([0.0, -LOG2])).exp()
    torch.testing.assert_close(chances, torch.tensor([[0.4, 0.4, 0.2], [0.5, 0.0, 0.5]]))


def test_choice_loss_is_the_negative_logarithm_of_what_was_chosen():
    chances = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.5, 0.4], [0.2, 0.3, 0.5]])
    loss = choice_loss(chances.log(), torch.tensor([1, 1, -1]))
    torch.testing.assert_close(loss, torch.tensor([2 * LOG2, LOG2, LOG2]))


def test_an_empty_slot_leaves_finite_gradients():
    appeal = torch.tensor([[0.3, -torch.inf]], requires_grad=True)
    lower = torch.zeros(2, requires_grad=True)
    choice_loss(choice_log_probabilities(appeal, lower), torch.tensor([0])).sum().backward()
    torch.testing.assert_close(appeal.grad[0, 0], torch.sigmoid(torch.tensor(0.3)) - 1.0)
    assert appeal.grad[0, 1] == 0.0
    assert torch.isfinite(lower.grad).all()


def test_what_belongs_to_a_choice():
    items, none = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), torch.tensor([7.0, 8.0, 9.0])
    torch.testing.assert_close(pick_chosen(items, none, torch.tensor([0, -1, 1])), torch.tensor([1.0, 8.0, 6.0]))


def test_value_of_a_slate_is_what_its_items_are_worth_by_their_chances():
    chances = torch.tensor([[0.2, 0.3, 0.5], [0.0, 0.0, 1.0]])
    value = slate_value(chances.log(), torch.tensor([[10.0, 20.0], [10.0, 20.0]]), torch.tensor([4.0, 4.0]))
    torch.testing.assert_close(value, torch.tensor([0.2 * 10 + 0.3 * 20 + 0.5 * 4, 4.0]))


@pytest.mark.parametrize(
    ("mix", "expected"),
    [
        (0.0, [0.5 * 10, 0.5 * 20, 0.5 * 30]),  # one slate ahead
        (1.0, [0.5 * (2 + 0.5 * (3 + 0.5 * 30)), 0.5 * (3 + 0.5 * 30), 0.5 * 30]),  # as far as the segment goes
        (0.5, [0.5 * (0.5 * 10 + 0.5 * (2 + 9.5)), 0.5 * (0.5 * 20 + 0.5 * (3 + 15)), 15.0]),
    ],
)
def test_futures_of_a_segment(mix, expected):
    reward = torch.tensor([[1.0], [2.0], [3.0]])
    following = torch.tensor([[10.0], [20.0], [30.0]])
    futures = lambda_futures(reward, torch.full((3, 1), 0.5), following, torch.zeros(3, 1, dtype=torch.bool), mix)
    torch.testing.assert_close(futures[:, 0], torch.tensor(expected))


def test_futures_stop_where_a_life_ends():
    # The first user churns at the second slate, the other reaches the horizon there.
    reward = torch.tensor([[1.0, 1.0], [2.0, 2.0], [100.0, 100.0]])
    discount = torch.tensor([[0.5, 0.5], [0.0, 0.5], [0.5, 0.5]])
    following = torch.tensor([[10.0, 10.0], [40.0, 40.0], [30.0, 30.0]])
    ended = torch.tensor([[False, False], [True, True], [False, False]])
    futures = lambda_futures(reward, discount, following, ended, 1.0)
    torch.testing.assert_close(futures, torch.tensor([[1.0, 0.5 * (2 + 20)], [0.0, 20.0], [15.0, 15.0]]))


def test_errors_are_in_units():
    error = squared_error(torch.tensor([3.0, 1.0]), torch.tensor([1.0, 2.0]), torch.tensor(2.0))
    torch.testing.assert_close(error, torch.tensor([1.0, 0.25]))

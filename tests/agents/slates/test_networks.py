"""The network that slate agents share, with weights so few that its scores are worked out by hand."""

import math

import numpy as np
import pytest
import torch

from longplay.agents.slates.inputs import Inputs
from longplay.agents.slates.networks import CLIP, SlateNetwork

VECTORS = np.array([[0, 0], [1, 0], [0, 2], [3, 1]], np.float32)  # of no item and of three
STATE = torch.tensor([[0.5]])
ITEMS = torch.tensor([[[1.0, 2.0], [3.0, -1.0], [9.0, 9.0]]])  # the last belongs to nobody
IDS = torch.tensor([[1, 3, 0]])


def plain(match=0, **sizes):
    """State (1,), features (2,), one hidden unit; every weight is 0 until a test sets it."""
    network = SlateNetwork(1, 2, VECTORS, hidden=1, match=match, **sizes)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    return network


def put(parameter, values):
    with torch.no_grad():
        parameter.copy_(torch.tensor(values).reshape(parameter.shape))


def test_scores_are_weights_over_features_that_the_state_sets():
    network = plain()
    put(network.trunk[0].bias, [10.0])  # tanh is 1
    put(network.trunk[2].bias, [math.atanh(0.5)])
    put(network.weights.weight, [2.0, 0.0, 6.0])  # half of it: 1 for the first feature, and a constant of 3
    put(network.constant, [0.0, 0.1])
    scores, values = network(STATE, ITEMS, IDS)
    assert scores.shape == (1, 1, 3)
    torch.testing.assert_close(scores[0, 0, :2], torch.tensor([1.0 + 0.2 + 3.0, 3.0 - 0.1 + 3.0]))
    assert scores[0, 0, 2] == -torch.inf
    assert values.tolist() == [[0.0]]


def test_the_match_is_an_inner_product_with_the_text_of_the_item():
    network = plain(match=2)
    put(network.user_direct.weight, [2.0, 4.0])  # u = (1, 2) for the state 0.5
    put(network.item.weight, [[1.0, 0.0], [0.0, 1.0]])
    scores, _ = network(STATE, ITEMS, IDS)
    assert scores[0, 0].tolist() == [1.0, 3.0 + 2.0, -math.inf]


def test_the_whole_table_or_the_candidates_alone_give_the_same_match():
    torch.manual_seed(0)
    many = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    network = SlateNetwork(1, 2, many, match=4)
    items, ids = torch.randn(8, 6, 2), torch.randint(1, 30, (8, 6))
    state = torch.randn(8, 1)
    torch.testing.assert_close(
        network(state, items, ids)[0][:, :2], network(state[:2], items[:2], ids[:2])[0], rtol=1e-5, atol=1e-6
    )


def test_values_are_of_the_state_and_the_mean_candidate():
    network = plain(values=2)
    put(network.judge[0].weight, [1.0, 0.0, 0.1])
    put(network.judge[2].weight, [1.0])
    put(network.value.weight, [1.0, 10.0])
    _, values = network(STATE, ITEMS, IDS)
    level = math.tanh(math.tanh(0.5 + 0.1 * (2 - 1) / 2))  # the mean of the real candidates' second feature
    torch.testing.assert_close(values, torch.tensor([[level], [10 * level]]))


def test_what_stands_where_no_candidate_is_changes_nothing():
    torch.manual_seed(0)
    network = SlateNetwork(1, 2, VECTORS, heads=2)
    other = ITEMS.clone()
    other[0, 2] = -4.0
    for one, two in zip(network(STATE, ITEMS, IDS), network(STATE, other, IDS), strict=True):
        assert torch.equal(one, two)


def test_the_mean_of_all_candidates_can_be_given_with_some_of_them():
    torch.manual_seed(0)
    network = SlateNetwork(1, 2, VECTORS)
    mean = network.mean_candidate(ITEMS, IDS)
    torch.testing.assert_close(mean, torch.tensor([[2.0, 0.5]]))
    scores, values = network(STATE, ITEMS, IDS)
    part, same = network(STATE, ITEMS[:, 1:2], IDS[:, 1:2], mean)
    torch.testing.assert_close(part[0, 0], scores[0, 0, 1:2])
    torch.testing.assert_close(same, values)


def test_a_user_without_candidates_has_a_value_and_no_scores():
    scores, values = SlateNetwork(1, 2, VECTORS)(STATE, ITEMS, torch.zeros(1, 3, dtype=torch.int64))
    assert (scores == -torch.inf).all()
    assert torch.isfinite(values).all()


def test_without_a_match_there_are_no_weights_for_one():
    names = {name.split(".")[0] for name in SlateNetwork(1, 2, VECTORS, match=0).state_dict()}
    assert not names & {"user", "user_direct", "item", "vectors"}


class TestCalibrate:
    SAMPLE = Inputs(
        np.array([[1.0], [3.0], [2.0]], np.float32),
        np.array([[[0, 5], [9, 9]], [[2, 5], [4, 5]], [[9, 9], [9, 9]]], np.float32),
        np.array([[1, 0], [2, 3], [0, 0]]),
    )

    @pytest.fixture
    def network(self):
        network = plain()
        network.calibrate(self.SAMPLE)
        return network

    def test_scale_is_that_of_states_and_of_real_candidates(self, network):
        assert network.mean_state.tolist() == [2.0]
        assert network.scale_state.tolist() == [1.0]
        assert network.mean_items.tolist() == [2.0, 5.0]  # of 0, 2 and 4
        assert network.scale_items.tolist() == [2.0, 1.0]  # what never varies is left as it is

    def test_features_are_in_standard_deviations_and_clipped(self, network):
        found = network.scaled(torch.tensor([[[6.0, 5.0], [100.0, -100.0], [6.0, 5.0]]]), IDS)
        assert found.tolist() == [[[2.0, 0.0], [CLIP, -CLIP], [0.0, 0.0]]]

    def test_it_is_saved_with_the_weights(self, network):
        other = plain()
        other.load_state_dict(network.state_dict())
        assert other.mean_items.tolist() == [2.0, 5.0]


def test_run_takes_arrays():
    torch.manual_seed(0)
    network = SlateNetwork(1, 2, VECTORS)
    found = network.run(Inputs(STATE.numpy(), ITEMS.numpy(), IDS.numpy()))
    for one, two in zip(found, network(STATE, ITEMS, IDS), strict=True):
        assert torch.equal(one, two)

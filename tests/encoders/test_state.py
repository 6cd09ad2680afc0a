"""States: the history's vector, then context and profile, compressed."""

import numpy as np
import pytest

from longplay.encoders import PooledHistory, StateEncoder
from longplay.tests.encoders.contracts import make_observation
from longplay.tests.encoders.small import make_items


@pytest.fixture
def encoder():
    return PooledHistory(make_items())


@pytest.fixture
def observation():
    return make_observation(9, items=30)


def test_a_state_is_the_history_and_then_context_and_profile_compressed(encoder, observation):
    states = StateEncoder(encoder, context_width=3, profile_width=2)
    tail = np.concatenate([observation["context"], observation["profile"]], axis=1)
    found = states(observation)
    assert found.dtype == np.float32
    assert found.shape == (9, states.width) == (9, 21)
    np.testing.assert_array_equal(found[:, :-5], encoder.encode(observation))
    np.testing.assert_allclose(found[:, -5:], np.sign(tail) * np.log(1.0 + np.abs(tail.astype(float))), rtol=1e-5)


def test_parts_of_no_width_are_left_out(encoder, observation):
    bare = StateEncoder(encoder, context_width=0, profile_width=0)
    del observation["context"], observation["profile"]
    assert bare(observation).shape == (9, bare.width) == (9, 16)


def test_a_part_of_another_width_is_named(encoder, observation):
    states = StateEncoder(encoder, context_width=3, profile_width=2)
    with pytest.raises(ValueError, match=r"context has shape \(9, 1\), expected \(9, 3\). Fix: set context_width"):
        states(observation | {"context": observation["context"][:, :1]})

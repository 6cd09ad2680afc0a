"""The replay: what it holds, what it draws and how often, and that it continues where it stopped."""

import numpy as np
import pytest
import torch

from longplay.agents.learners.replay import LEAST, Replay


def segment(number, slates=3, users=2):
    """Each slate's reward says which it is: segment, slate, user as digits; states have one more row."""
    digits = 100 * number + 10 * torch.arange(slates + 1)[:, None] + torch.arange(users)
    return {"state": digits[:, :, None].float(), "reward": digits[:-1].float()}


def filled(segments=2, added=3, **options):
    replay = Replay(segments, 3, 2, **options)
    for number in range(added):
        replay.add(segment(number))
    return replay


def test_the_latest_segments_are_kept():
    replay = filled()
    assert replay.held == 2
    assert sorted(replay.read_all("reward")[:, 0, 0].tolist()) == [100.0, 200.0]
    assert replay.read_all("state").shape == (2, 4, 2, 1)
    assert filled(added=1).read_all("reward").shape == (1, 3, 2)


def test_rows_of_all_arrays_belong_together():
    replay, chance = filled(), np.random.default_rng(0)
    places, weights = replay.draw(100, chance)
    assert sorted(places) == list(range(12))  # each once; the last state of a segment, which has no reward, never
    np.testing.assert_array_equal(replay.read_rows("state", places)[:, 0], replay.read_rows("reward", places))
    np.testing.assert_array_equal(replay.read_rows("reward", places), replay.read_all("reward").flatten()[places])
    assert (weights == 1).all()
    assert len(set(replay.draw(5, chance)[0])) == 5


def test_large_errors_are_drawn_in_proportion_and_weigh_less():
    replay = filled(alpha=1.0)
    errors = torch.arange(1.0, 13.0)
    replay.set_priorities(np.arange(12), -errors)
    places, weights = replay.draw(60_000, np.random.default_rng(0))
    share = np.bincount(places, minlength=12) / len(places)
    expected = (errors.numpy() + LEAST) / (errors + LEAST).sum().item()
    np.testing.assert_allclose(share, expected, atol=0.005)
    # β = 1: what is drawn in proportion to the error weighs in inverse proportion, at most 1.
    product = weights.numpy() * expected[places]
    np.testing.assert_allclose(product, product[0], rtol=1e-5)
    assert weights.max() == 1.0


def test_new_slates_are_as_urgent_as_any():
    replay = filled(alpha=1.0)
    replay.set_priorities(np.arange(12), torch.full((12,), 0.5))
    replay.set_priorities(np.array([4]), torch.tensor([7.0]))
    replay.add(segment(3))
    assert (replay.priority[3 % 2] == 7.0 + LEAST).all()


def test_it_continues_where_it_stopped():
    one, other = filled(alpha=0.6), Replay(2, 3, 2, alpha=0.6)
    one.set_priorities(np.arange(4), torch.arange(4.0))
    other.load_state(one.save_state())
    for replay in (one, other):
        replay.add(segment(5))
    assert other.added == 4
    for name in ("reward", "state"):
        torch.testing.assert_close(other.read_all(name), one.read_all(name), rtol=0, atol=0)
    draws = [replay.draw(6, np.random.default_rng(3)) for replay in (one, other)]
    np.testing.assert_array_equal(draws[0][0], draws[1][0])
    torch.testing.assert_close(draws[0][1], draws[1][1], rtol=0, atol=0)


def test_another_size_is_refused():
    with pytest.raises(ValueError, match=r"replay has the shape \(2, 3, 2\), expected \(4, 3, 2\): other settings"):
        Replay(4, 3, 2).load_state(filled().save_state())

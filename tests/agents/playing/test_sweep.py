"""The sweep of a number: it comes to the top of a hill, and beyond the end of its grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longplay.agents.playing.sweep import Sweep, SweepOptions, sweep_number

GRID = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0)


class TestSweep:
    @given(top=st.floats(0.0, 12.0))
    def test_it_comes_nearer_to_the_top_of_a_hill_with_each_round(self, top):
        seen = []

        def score(values):
            seen.append(values.tolist())
            return -((values - top) ** 2)

        sweep = sweep_number(score, GRID, 6)
        assert abs(sweep.best - top) < 0.25
        tried = sorted(value for values in seen for value in values)
        assert tried == sweep.values.tolist()  # in order, each of them once
        assert len(set(tried)) == len(tried)
        np.testing.assert_array_equal(sweep.scores, -((sweep.values - top) ** 2))

    def test_it_goes_beyond_a_grid_that_ends_too_soon(self):
        sweep = sweep_number(lambda values: -((values - 40) ** 2), GRID, 4)
        assert sweep.values.max() > 40
        assert abs(sweep.best - 40) < 5

    def test_no_round_leaves_the_grid(self):
        sweep = sweep_number(lambda values: values, GRID, 0)
        assert sweep.values.tolist() == list(GRID)
        assert sweep.best == 12.0

    def test_of_equals_the_smallest_is_the_best(self):
        assert Sweep(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 3.0])).best == 1.0

    def test_a_single_value_is_all_there_is(self):
        assert sweep_number(lambda values: values, (0.0,), 3).values.tolist() == [0.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": ()}, r"grid = \[\] must be one or more finite numbers that rise"),
        ({"grid": (0.0, 0.0)}, r"grid = \[0.0, 0.0\] must be"),
        ({"grid": (0.0, float("nan"))}, "must be one or more finite numbers that rise"),
        ({"users": 0}, "users = 0 is out of range; allowed: 1 to 1000000"),
        ({"rounds": -1}, "rounds = -1 is out of range; allowed: 0 to 10"),
    ],
)
def test_wrong_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SweepOptions(**changes)

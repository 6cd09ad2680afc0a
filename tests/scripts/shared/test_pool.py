"""Work side by side: results, failures, and being told to stop."""

import pytest

from longplay.scripts.shared.pool import is_stopped, make_stop, open_pool, work_side_by_side


class TestSideBySide:
    def test_one_after_the_other(self):
        assert list(work_side_by_side(int, ["5", "7"], 1)) == [("5", 5), ("7", 7)]
        assert list(work_side_by_side(int, [], 2)) == []
        with pytest.raises(ValueError, match="invalid literal"):
            list(work_side_by_side(int, ["five", "5"], 1))

    def test_in_other_processes_work_is_done_and_what_fails_is_told(self):
        done = []
        with pytest.raises(ValueError, match="invalid literal"):
            done.extend(work_side_by_side(int, ["5", "7", "five"], 2))
        assert set(done) <= {("5", 5), ("7", 7)}


def test_work_that_asks_is_stopped():
    assert not is_stopped()
    stop = make_stop()
    pool = open_pool(1, stop)
    try:
        assert not pool.submit(is_stopped).result()
        stop.set()
        assert pool.submit(is_stopped).result()
    finally:
        pool.shutdown()

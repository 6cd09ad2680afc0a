"""Intervals against closed forms and simulation, retention against tables worked out by hand."""

import math

import numpy as np
import pytest

from longplay.agents.stats import (
    ONE_USER,
    REASONS,
    Interval,
    bootstrap_difference,
    bootstrap_incomplete,
    bootstrap_ratio,
    bootstrap_statistic,
    estimate_retention,
    spread_seeds,
)


class TestLabels:
    """An interval that leaves out what varies says so."""

    ROWS = np.random.default_rng(0).normal(10.0, 1.0, (3, 50))

    def test_a_method_trained_once_has_users_alone(self):
        once = bootstrap_difference(self.ROWS[:1], trained_once=True)
        assert (once.label, once.excludes_zero, once.shows_difference) == ("users only", True, False)
        assert str(once).endswith("] users only")

    def test_bounds_are_the_same_with_or_without_a_label(self):
        once, rule = (bootstrap_difference(self.ROWS[:1], trained_once=label) for label in (True, False))
        assert (once.mean, once.low, once.high) == (rule.mean, rule.low, rule.high)
        assert (rule.label, rule.shows_difference) == ("", True)

    def test_one_user_is_no_sample_of_users(self):
        alone = bootstrap_difference(self.ROWS[:, :1])
        assert (alone.label, alone.shows_difference) == ("one user", False)

    def test_ratios_and_incomplete_rows_have_them_too(self):
        assert bootstrap_ratio(self.ROWS[:1], self.ROWS[:1] + 1.0, trained_once=True).label == "users only"
        assert bootstrap_ratio(self.ROWS, self.ROWS + 1.0).label == ""
        assert bootstrap_incomplete(self.ROWS[:1]).label == "users only"
        assert bootstrap_incomplete(self.ROWS).label == ""

    def test_each_label_has_its_reason(self):
        assert set(REASONS) == {"users only", "one user"}


class TestInterval:
    def test_text_has_signs(self):
        assert str(Interval(1.25, -0.5, 3.0)) == "+1.2 [-0.5, +3.0]"

    @pytest.mark.parametrize(
        ("low", "high", "excludes"), [(-1, 1, False), (0.1, 1, True), (-2, -0.1, True), (0, 1, False)]
    )
    def test_excludes_zero(self, low, high, excludes):
        assert Interval(0.0, low, high).excludes_zero is excludes


class TestBootstrapDifference:
    def test_mean_of_one_side(self):
        interval = bootstrap_difference(np.array([[1.0, 2.0], [3.0, 6.0]]))
        assert interval.mean == 3.0

    def test_mean_of_a_difference_with_other_numbers_of_seeds(self):
        interval = bootstrap_difference(np.array([[1.0, 2.0], [3.0, 6.0]]), np.array([1.0, 0.0]))
        assert interval.mean == 2.5

    def test_one_seed_has_the_width_of_the_central_limit(self):
        rng = np.random.default_rng(0)
        for n in (50, 400):
            a, b = rng.gamma(2.0, 20.0, (2, n))
            interval, sd = bootstrap_difference(a, b), np.std(a - b)
            assert interval.high - interval.low == pytest.approx(2 * 1.96 * sd / np.sqrt(n), rel=0.06)
            assert (interval.low + interval.high) / 2 == pytest.approx(interval.mean, abs=0.1 * sd / np.sqrt(n) * 2)

    def test_seeds_alone_have_the_width_of_the_central_limit(self):
        effects = np.random.default_rng(1).normal(0, 3.0, 60)
        interval = bootstrap_difference(np.repeat(effects[:, None], 30, axis=1))  # users are all alike
        assert interval.high - interval.low == pytest.approx(2 * 1.96 * effects.std() / np.sqrt(60), rel=0.06)

    def test_variances_of_seeds_of_both_sides_and_users_add(self):
        rng = np.random.default_rng(2)
        s, t, n = 40, 25, 300
        seeds_a, seeds_b, users = rng.normal(0, 2, s), rng.normal(0, 3, t), rng.normal(0, 20, n)
        a, b = seeds_a[:, None] + users, np.repeat(seeds_b[:, None], n, axis=1)
        interval = bootstrap_difference(a, b)
        variance = seeds_a.var() / s + seeds_b.var() / t + users.var() / n
        assert interval.high - interval.low == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.06)

    def test_seeds_widen_the_interval(self):
        rng = np.random.default_rng(3)
        users = rng.normal(0, 10, 200)
        alike, apart = np.repeat(users[None], 5, axis=0), users + rng.normal(0, 5, (5, 1))
        narrow, wide = bootstrap_difference(alike), bootstrap_difference(apart)
        assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)

    def test_ninety_five_percent_cover_the_truth(self):
        rng, hits, trials = np.random.default_rng(4), 0, 300
        for k in range(trials):
            luck = rng.gamma(1.0, 30.0, 60)  # of users, shared by both sides
            a, b = luck + rng.normal(5.0, 10.0, 60), luck + rng.normal(3.0, 10.0, 60)
            interval = bootstrap_difference(a, b, resamples=400, seed=k)
            hits += interval.low <= 2.0 <= interval.high
        assert 0.90 < hits / trials < 0.985

    def test_with_seeds_ninety_five_percent_cover_the_truth(self):
        rng, hits, trials = np.random.default_rng(5), 0, 200
        for k in range(trials):
            a = rng.normal(0, 3.0, (12, 1)) + rng.normal(2.0, 20.0, 80)
            b = rng.normal(0, 3.0, (12, 1)) + np.zeros(80)
            interval = bootstrap_difference(a, b, resamples=400, seed=k)
            hits += interval.low <= 2.0 <= interval.high
        # A bootstrap of 12 seeds is a little too narrow; one that left the seeds out would cover about 0.86.
        assert 0.90 < hits / trials < 0.985

    def test_what_both_sides_share_does_not_move_the_interval(self):
        rng = np.random.default_rng(6)
        a, b, shared = rng.normal(0, 1, (3, 50)), rng.normal(0, 1, (2, 50)), 1000 * rng.normal(size=50)
        plain, moved = bootstrap_difference(a, b), bootstrap_difference(a + shared, b + shared)
        for name in ("mean", "low", "high"):
            assert getattr(moved, name) == pytest.approx(getattr(plain, name), abs=1e-9)
        assert bootstrap_difference(a + shared).high > 10 * plain.high  # unpaired, the effect would be all there is

    def test_a_policy_does_not_differ_from_itself(self):
        a = np.random.default_rng(7).normal(size=40)
        assert bootstrap_difference(a, a) == Interval(0.0, 0.0, 0.0)

    def test_interval_holds_its_mean_and_swaps_with_the_sides(self):
        rng = np.random.default_rng(8)
        a, b = rng.normal(1, 1, (1, 60)), rng.normal(0, 1, (1, 60))
        one, other = bootstrap_difference(a, b), bootstrap_difference(b, a)
        assert one.low < one.mean < one.high
        assert (other.mean, other.low, other.high) == pytest.approx((-one.mean, -one.high, -one.low))

    def test_same_seed_same_interval(self):
        a = np.random.default_rng(9).normal(size=40)
        assert bootstrap_difference(a) == bootstrap_difference(a)
        assert bootstrap_difference(a) != bootstrap_difference(a, seed=1)

    def test_sides_of_other_users_are_refused(self):
        with pytest.raises(ValueError, match=r"sides have \[3, 4\] users; a paired difference needs the same users"):
            bootstrap_difference(np.zeros((2, 3)), np.zeros((2, 4)))

    def test_numbers_that_are_not_are_refused(self):
        with pytest.raises(ValueError, match="not finite"):
            bootstrap_difference(np.array([1.0, np.nan]))


class TestRetention:
    # A worked table: 10 users; churn on day 2 (one), 3 (two at once), 5 (one); censored on 3, 4 and 30 (four).
    days = np.array([2, 3, 3, 3, 4, 5, 30, 30, 30, 30.0])
    churned = np.array([True, True, True, False, False, True, False, False, False, False])

    def test_kaplan_meier_table_with_ties_and_censoring(self):
        share, low, high = estimate_retention(self.days, self.churned, np.array([0, 1.9, 2, 2.5, 3, 4, 5, 29, 30.0]))
        # Who is censored on the day of a churn was still at risk on it.
        after = [1 - 1 / 10, (1 - 1 / 10) * (1 - 2 / 9), (1 - 1 / 10) * (1 - 2 / 9) * (1 - 1 / 5)]
        np.testing.assert_allclose(share, [1, 1, after[0], after[0], after[1], after[1], after[2], after[2], after[2]])
        # Log-log interval by Greenwood's sum over the days of churn so far.
        for place, terms in ((2, [(1, 10)]), (4, [(1, 10), (2, 9)]), (6, [(1, 10), (2, 9), (1, 5)])):
            error = math.sqrt(sum(d / (n * (n - d)) for d, n in terms)) / abs(math.log(share[place]))
            expected = sorted(share[place] ** math.exp(sign * 1.959964 * error) for sign in (1, -1))
            assert (low[place], high[place]) == pytest.approx(tuple(expected), rel=1e-5)
        assert (low[:2] == 1).all()
        assert (high[:2] == 1).all()

    def test_order_of_the_users_does_not_matter(self):
        order, grid = np.random.default_rng(0).permutation(10), np.linspace(0, 30, 50)
        for one, other in zip(
            estimate_retention(self.days, self.churned, grid),
            estimate_retention(self.days[order], self.churned[order], grid),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)

    def test_nobody_churned(self):
        for curve in estimate_retention(np.array([30.0, 12.0]), np.array([False, False]), np.arange(5.0)):
            np.testing.assert_array_equal(curve, 1.0)

    def test_everyone_churned(self):
        share, low, high = estimate_retention(
            np.array([1.0, 2.0, 4.0]), np.ones(3, bool), np.array([0, 1, 2, 3, 4, 5.0])
        )
        np.testing.assert_allclose(share, [1, 2 / 3, 1 / 3, 1 / 3, 0, 0], atol=1e-12)
        assert (low <= share).all()
        assert (share <= high).all()
        np.testing.assert_array_equal(low[4:], 0.0)
        assert high[4] < 1.0

    def test_everyone_churned_on_one_day(self):
        share, low, high = estimate_retention(np.full(4, 2.0), np.ones(4, bool), np.array([1.0, 2.0, 3.0]))
        np.testing.assert_array_equal(share, [1, 0, 0])
        np.testing.assert_array_equal(low, [1, 0, 0])
        assert (high >= share).all()

    def test_censored_before_the_first_churn(self):
        share, low, high = estimate_retention(
            np.array([1.0, 2.0, 3.0, 9.0]), np.array([False, True, False, False]), np.array([0.5, 1, 1.5, 2, 9.0])
        )
        np.testing.assert_allclose(share, [1, 1, 1, 2 / 3, 2 / 3])
        np.testing.assert_array_equal(low[:3], 1.0)
        np.testing.assert_array_equal(high[:3], 1.0)
        assert (low[3:] < 2 / 3).all()

    def test_without_censoring_it_is_the_share_of_users(self):
        days = np.random.default_rng(1).integers(1, 20, 200).astype(float)
        grid = np.arange(21.0)
        share, _, _ = estimate_retention(days, np.ones(200, bool), grid)
        np.testing.assert_allclose(share, [(days > day).mean() for day in grid], atol=1e-12)


class TestBootstrapIncomplete:
    def test_every_seed_counts_alike(self):
        values = np.full((2, 110), np.nan)
        values[0, :100], values[1, 100:] = 0.0, 3.0
        found = bootstrap_incomplete(values)
        assert found.mean == 1.5
        reach = 1.5 * np.sqrt(2) * 12.7062 / 1.95996  # two seeds: Student's t of one degree of freedom
        assert (found.low, found.high) == pytest.approx((1.5 - reach, 1.5 + reach), rel=1e-4)

    def test_where_all_users_are_known_it_is_the_two_way_bootstrap(self):
        rng = np.random.default_rng(0)
        values = rng.normal(size=(1, 300)) + 0.3 * rng.normal(size=(5, 300)) + rng.normal(0, 0.1, (5, 1))
        found, expected = bootstrap_incomplete(values, 20_000), bootstrap_difference(values, resamples=20_000)
        assert found.mean == pytest.approx(expected.mean)
        assert found.high - found.low == pytest.approx(expected.high - expected.low, rel=0.03)

    def test_users_met_by_several_seeds_are_not_new_ones(self):
        """95 % intervals hold the truth about 95 times in 100 where seeds share their users, each 70 % of them."""
        rng, held = np.random.default_rng(1), 0
        for trial in range(200):
            values = rng.normal(size=(1, 200)) + 0.2 * rng.normal(size=(5, 200))
            values[rng.random(values.shape) > 0.7] = np.nan
            found = bootstrap_incomplete(values, 500, seed=trial)
            held += found.low <= 0.0 <= found.high
        assert held >= 180  # the allowance for few seeds is generous where they met other users

    def test_a_seed_without_values_is_refused(self):
        with pytest.raises(ValueError, match="a seed has no value of any user"):
            bootstrap_incomplete(np.array([[1.0, 2.0], [np.nan, np.nan]]))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_of_few_seeds_cover_what_they_say(seeds):
    """Where only seeds vary; without the allowance for their number 95 % intervals would cover 51, 75 and 84 %."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(300):
        values = rng.normal(size=(seeds, 1)) + np.zeros((seeds, 20))
        found = bootstrap_difference(values, resamples=1000)
        covered += found.low <= 0.0 <= found.high
    assert covered >= 270


def test_one_seed_is_left_as_it_is_and_means_are_kept():
    values = np.random.default_rng(0).normal(size=(4, 7))
    np.testing.assert_array_equal(spread_seeds(values[:1]), values[:1])
    spread = spread_seeds(values)
    assert spread.mean() == pytest.approx(values.mean())
    np.testing.assert_allclose(spread - spread.mean(axis=1, keepdims=True), values - values.mean(axis=1, keepdims=True))


def test_ratio_by_hand():
    # Seeds and users alike: no resample differs.
    found = bootstrap_ratio(np.full((3, 4), 2.0), np.full((1, 4), 8.0))
    assert (found.mean, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))
    # A ratio of means and no mean of ratios.
    assert bootstrap_ratio(np.array([[1.0, 5.0]]), np.array([[10.0, 2.0]])).mean == pytest.approx(0.5)
    # Users vary above and below together, so the ratio does not.
    users = np.arange(1.0, 9.0)[None]
    found = bootstrap_ratio(0.3 * users, users)
    assert (found.low, found.high) == pytest.approx((0.3, 0.3))
    # Two seeds, one closing nothing and the other all of it: Student's t of one degree of freedom, √2 wider.
    found = bootstrap_ratio(np.array([[0.0] * 5, [4.0] * 5]), np.full((1, 5), 4.0))
    reach = 0.5 * np.sqrt(2) * 12.7062 / 1.95996
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5 - reach, 0.5 + reach), rel=1e-4)
    assert bootstrap_ratio(users, -users) is None
    assert bootstrap_ratio(users, users - users.mean() + 0.01) is None


def test_a_bootstrapped_ratio_agrees_with_the_one_of_pairs():
    rng = np.random.default_rng(2)
    below = rng.uniform(1.0, 3.0, 80)
    above = below * rng.uniform(0.2, 0.6, 80)
    found = bootstrap_statistic(np.column_stack([above, below]), lambda means: means[:, 0] / means[:, 1])
    expected = bootstrap_ratio(above, below)
    assert found.mean == pytest.approx(above.sum() / below.sum())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=0.02)
    assert found.label == ""


def test_a_statistic_that_some_resamples_lack_is_of_the_others():
    sums = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 2.0]])

    def divide(means):
        with np.errstate(invalid="ignore"):
            return means[:, 0] / means[:, 1]

    found = bootstrap_statistic(sums, divide)
    assert found.mean == pytest.approx(2 / 3)
    assert (found.low, found.high) == (0.5, 1.0)
    assert np.isnan(bootstrap_statistic(np.zeros((3, 2)), divide).mean)
    assert bootstrap_statistic(sums[:1], divide).label == ONE_USER

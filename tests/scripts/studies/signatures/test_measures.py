"""Estimators on logs whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import expon

from longplay.scripts.studies.signatures.choice_models import (
    MOMENTUM,
    RECENCY,
    WITHIN,
    Exposures,
    fit_binary_logit,
    fit_conditional_logit,
    fit_recovery_time,
    measure_choice_odds,
    measure_order_odds,
)
from longplay.scripts.studies.signatures.clicks import Clicks, mean_of_other_sessions
from longplay.scripts.studies.signatures.durations import (
    compute_beta_geometric_hazard,
    compute_intraclass_correlation,
    compute_length_ccdf,
    compute_length_hazard,
    estimate_hazard_rates,
    estimate_survival,
    fit_beta_geometric,
    fit_log_normal,
)
from longplay.scripts.studies.signatures.measures import (
    compute_gini,
    fit_leave_logit,
    measure_category_entropy,
    measure_churn,
    measure_hour_share,
    measure_lifetime,
    measure_popularity,
    measure_return_effect,
    measure_return_time,
    measure_session_length,
    measure_sessions_per_user,
)

DAYS = 16.0


def table(user, session, hour, category=None, item=None):
    """A log from plain lists; by default every click is on an item and a category of its own."""
    own = np.arange(len(user))
    columns = {"user": user, "session": session, "clock": np.asarray(hour, float) / 24.0}
    columns |= {"item": own if item is None else item, "category": own if category is None else category}
    return pd.DataFrame(columns)


def clicks_of(*columns, **named):
    return Clicks.from_table(table(*columns, **named), DAYS)


def log_of_lengths(lengths, users, starts=None):
    """One session after the other for each user, clicks a minute apart."""
    lengths, users = np.asarray(lengths), np.asarray(users)
    session = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    order = pd.Series(users).groupby(users).cumcount().to_numpy()
    begin = 24.0 * order if starts is None else np.asarray(starts)
    return clicks_of(users[session], session, begin[session] + place / 60.0)


class TestClicks:
    def test_sessions_are_numbered_in_order_of_user_and_time(self):
        clicks = clicks_of([5, 2, 2, 5, 2], [1, 0, 1, 1, 0], [9, 1, 40, 8, 2], [0, 1, 1, 1, 1])
        assert clicks.user.tolist() == [0, 0, 0, 1, 1]
        assert clicks.session.tolist() == [0, 0, 1, 2, 2]
        assert clicks.position.tolist() == [1, 2, 1, 1, 2]
        assert clicks.run.tolist() == [1, 2, 1, 1, 1]
        gap, seen = clicks.gaps
        assert gap == pytest.approx([38.0, 384.0 - 40.0, 384.0 - 9.0])
        assert seen.tolist() == [True, False, False]

    def test_mean_of_the_other_sessions(self):
        assert mean_of_other_sessions(log_of_lengths([2, 4, 6, 3], [0, 0, 0, 1])) == pytest.approx(
            [5, 4, 3, np.nan], nan_ok=True
        )

    def test_refusals_name_the_fault(self):
        with pytest.raises(ValueError, match="no column 'item'"):
            Clicks.from_table(table([0], [0], [1]).drop(columns="item"), DAYS)
        with pytest.raises(ValueError, match="no clicks"):
            Clicks.from_table(table([], [], []), DAYS)
        with pytest.raises(ValueError, match="window is 0 to 16 days"):
            Clicks.from_table(table([0], [0], [400]), DAYS)


class TestLogits:
    def test_two_alternatives_have_a_closed_form(self):
        events, wins = 200, 140
        level = np.tile([1, 0], events)
        chosen = np.repeat(np.arange(events) < wins, 2) == (level == 1)
        fit = fit_conditional_logit(np.repeat(np.arange(events), 2), level, chosen, 1)
        assert fit.coefficients == pytest.approx([np.log(wins / (events - wins))], abs=1e-6)
        assert fit.errors == pytest.approx([np.sqrt(events / (wins * (events - wins)))], rel=1e-5)

    def test_ragged_sets_and_covariates_are_recovered(self):
        rng = np.random.default_rng(0)
        sizes = rng.integers(2, 7, 20_000)
        event = np.repeat(np.arange(len(sizes)), sizes)
        level, extra = rng.integers(0, 3, len(event)), rng.normal(size=(len(event), 1))
        utility = np.array([0.0, 0.8, -0.5])[level] + 0.3 * extra[:, 0] + rng.gumbel(size=len(event))
        best = pd.Series(utility).groupby(event).transform("max").to_numpy()
        fit = fit_conditional_logit(event, level, utility == best, 2, extra)
        assert np.all(np.abs(fit.coefficients - [0.8, -0.5, 0.3]) < 4 * fit.errors)
        assert np.all(fit.errors < 0.03)

    def test_a_level_nobody_chose_is_unknown_and_harmless(self):
        chosen = np.array([True, False, False] * 50 + [False, True, False] * 50)
        fit = fit_conditional_logit(np.repeat(np.arange(100), 3), np.tile([0, 1, 2], 100), chosen, 2)
        assert fit.coefficients[0] == pytest.approx(0.0, abs=1e-6)
        assert np.isnan(fit.coefficients[1])

    def test_one_choice_per_event_is_asked_for(self):
        with pytest.raises(ValueError, match="exactly one"):
            fit_conditional_logit(np.array([0, 0]), np.array([0, 1]), np.array([True, True]), 1)

    def test_binary_logit_is_the_log_odds_ratio_of_a_two_by_two_table(self):
        x = np.repeat([0.0, 0.0, 1.0, 1.0], [30, 70, 60, 40])[:, None]
        y = np.repeat([True, False, True, False], [30, 70, 60, 40])
        fit = fit_binary_logit(x, y)
        assert fit.coefficients == pytest.approx([np.log(60 * 70 / (40 * 30))], abs=1e-5)
        assert fit.errors == pytest.approx([np.sqrt(1 / 30 + 1 / 70 + 1 / 60 + 1 / 40)], rel=1e-4)


# Odds that a log is grown from: by run, lag, and time since the last exposure in an earlier session.
PLANTED = dict(
    zip((*MOMENTUM, *RECENCY), (2.5, 4.0, 6.0, 1.1, 0.8, 0.6, 0.5, 0.7, 0.8, 0.9, 1.0, 1.0, 1.0), strict=True)
)
CATEGORIES, ITEMS_EACH = 12, 200


def grow(users=2500, sessions=6, length=6, seed=0):
    """A log whose categories, equally popular, are chosen with the odds `PLANTED`."""
    rng = np.random.default_rng(seed)
    odds = np.array([1.0, *PLANTED.values()])
    who = np.arange(users)
    clock = rng.uniform(0, 100, users)
    last_time = np.full((users, CATEGORIES), -np.inf)
    parts = []
    for session in range(sessions):
        last_place = np.zeros((users, CATEGORIES), int)
        run = np.zeros(users, int)
        for place in range(1, length + 1):
            ago = clock[:, None] - last_time
            level = np.where(np.isfinite(ago), len(MOMENTUM) + np.digitize(ago, [0, 3, 6, 12, 24, 48, 96]), 0)
            lag = np.where(last_place > 0, place - last_place, 0)
            level = np.where(lag > 1, 2 + np.minimum(lag, 4), level)
            level = np.where(lag == 1, np.minimum(run, 3)[:, None], level)
            share = odds[level] / odds[level].sum(axis=1, keepdims=True)
            pick = (share.cumsum(axis=1) > rng.random(users)[:, None]).argmax(axis=1)
            run = np.where(lag[who, pick] == 1, run + 1, 1)
            last_place[who, pick], last_time[who, pick] = place, clock
            item = pick * ITEMS_EACH + rng.integers(0, ITEMS_EACH, users)
            parts.append(table(who, np.full(users, session), clock, pick, item))
            clock = clock + 1 / 60
        clock = clock + rng.choice([1.5, 4, 8, 18, 36], users)
    return pd.concat(parts)


@pytest.fixture(scope="module")
def grown():
    return Clicks.from_table(grow(), DAYS)


class TestChoice:
    def test_exposure_of_a_hand_written_log(self):
        clicks = clicks_of([0] * 6, [0, 0, 0, 0, 1, 1], [0, 1, 2, 3, 26, 27], [7, 8, 8, 7, 8, 7])
        ask = Exposures(clicks)
        seen = ask.before(np.array([3, 3, 4, 4, 5, 0]), np.array([0, 1, 0, 1, 0, 0]))
        assert seen.run.tolist() == [0, 2, 0, 0, 0, 0]
        assert seen.lag.tolist() == [3, 1, 0, 0, 0, 0]
        assert seen.hours.tolist() == [3, 1, 23, 24, 24, np.inf]
        assert seen.day.tolist() == [1, 2, 1, 1, 1, 0]

    def test_planted_momentum_and_satiation_are_recovered(self, grown):
        found = measure_choice_odds(grown)
        errors = found["se_log_odds"]
        for name, truth in PLANTED.items():
            estimate = found["last_exposure_h"][name] if name in RECENCY else found[name]
            if name == "96+":
                continue  # gaps of the grown log seldom reach so far
            assert abs(np.log(estimate / truth)) < 4 * errors[name] + 0.02, (name, estimate, truth)
            assert errors[name] < 0.08
        assert abs(found["log1p_count_24h_beta"]) < 0.1

    def test_placebo_finds_nothing(self, grown):
        for name, odds in measure_choice_odds(grown)["placebo_random_categories"].items():
            assert odds == pytest.approx(1.0, abs=0.12), name

    def test_planted_order_within_sessions_is_recovered(self):
        rng = np.random.default_rng(1)
        sessions, length = 12_000, 10
        odds = np.array([1.0, 2.3, 3.1, 4.0, 4.6, 1.2, 1.0, 0.9, 0.8, 0.7])  # none, WITHIN
        left = rng.integers(0, 4, (sessions, length))
        who, order = np.arange(sessions), []
        last, run = np.zeros((sessions, 4), int), np.zeros(sessions, int)
        for place in range(1, length + 1):
            lag = np.where(last > 0, place - last, 0)
            level = np.where(lag > 1, np.minimum(lag, 6) + 3, np.where(lag == 1, np.minimum(run, 4)[:, None], 0))
            weight = odds[level][who[:, None], np.maximum(left, 0)] * (left >= 0)
            slot = (np.cumsum(weight / weight.sum(1, keepdims=True), axis=1) > rng.random(sessions)[:, None]).argmax(1)
            pick = left[who, slot]
            run = np.where(lag[who, pick] == 1, run + 1, 1)
            last[who, pick] = place
            left[who, slot] = -1
            order.append(pick)
        hour = np.tile(np.arange(length) / 60, sessions)
        clicks = clicks_of(np.repeat(who, length), np.repeat(who, length), hour, np.stack(order, axis=1).ravel())
        found = measure_order_odds(clicks)
        for name, truth in zip(WITHIN, odds[1:], strict=True):
            assert abs(np.log(found[name] / truth)) < 4 * found["se_log_odds"][name], (name, found[name], truth)
        assert abs(np.log(found["per_log_earlier_count_of_current"])) < 4 * found["se_log_odds"]["run1"] + 0.1

    def test_recovery_time_of_an_exact_curve(self):
        middle = np.array([1.5, 4.5, 9.0, 18.0, 36.0, 72.0, 120.0])
        tau, error = fit_recovery_time(-0.4 * np.exp(-middle / 6.0), np.full(7, 0.01))
        assert tau == pytest.approx(6.0, rel=1e-4)
        assert 0 < error < 1
        assert np.isnan(fit_recovery_time(np.full(7, 0.1), np.full(7, 0.01))[0])


class TestLengths:
    def test_beta_geometric_is_recovered(self):
        rng = np.random.default_rng(2)
        length = 1 + rng.geometric(rng.beta(4.5, 3.0, 60_000))
        a, b, _ = fit_beta_geometric(length)
        assert (a, b) == pytest.approx((4.5, 3.0), rel=0.1)
        n = np.arange(2, 9)
        assert compute_length_hazard(length)[2:9] == pytest.approx(compute_beta_geometric_hazard(4.5, 3.0, n), abs=0.02)

    def test_signature_of_users_with_their_own_geometric_lengths(self):
        rng = np.random.default_rng(3)
        users = np.repeat(np.arange(4000), 6)
        length = 1 + rng.geometric(rng.beta(4.5, 3.0, 4000)[users])
        found = measure_session_length(log_of_lengths(length, users))
        assert found["mean"] == pytest.approx(length.mean())
        assert found["hazard"]["2"] == pytest.approx(4.5 / 7.5, abs=0.015)
        assert found["ccdf"][1] == pytest.approx((length >= 3).mean())
        assert found["fits_nll_per_session"]["beta_geometric"] < found["fits_nll_per_session"]["geometric"]
        # Within strata of the user's other sessions the hazard hardly falls, though it does overall.
        strata = found["hazard_by_other_session_mean"]
        assert strata["2.0-2.4"][0] > strata["2.8-3.4"][0] > strata["4.25+"][0]
        assert abs(strata["4.25+"][0] - strata["4.25+"][4]) < 0.06
        assert found["hazard"]["2"] - found["hazard"]["8"] > 0.2

    def test_hazard_and_survival_belong_together(self):
        length = np.array([2, 2, 2, 3, 3, 5])
        hazard = compute_length_hazard(length)
        assert hazard[2:] == pytest.approx([0.5, 2 / 3, 0.0, 1.0])
        assert compute_length_ccdf(hazard[2:])[:5] == pytest.approx([1, 0.5, 1 / 6, 1 / 6, 0])

    def test_intraclass_correlation_of_known_components(self):
        rng = np.random.default_rng(4)
        group = np.repeat(np.arange(3000), rng.integers(2, 7, 3000))
        values = np.sqrt(0.3) * rng.normal(size=3000)[group] + np.sqrt(0.7) * rng.normal(size=len(group))
        assert compute_intraclass_correlation(values, group) == pytest.approx(0.3, abs=0.03)

    def test_planted_leaving_is_recovered(self):
        rng = np.random.default_rng(5)
        sessions = 30_000
        user, alive = np.repeat(np.arange(5000), 6), np.ones(sessions, bool)
        category, run = rng.integers(0, 3, sessions), np.ones(sessions, int)
        parts = [(np.arange(sessions), category)]
        for place in range(2, 40):
            following = rng.integers(0, 3, sessions)
            run, category = np.where(following == category, run + 1, 1), following
            parts.append((np.flatnonzero(alive), category[alive]))
            logit = -0.4 - 0.3 * np.log(place) + np.array([0, 0, -0.5, -0.8, -1.2])[np.minimum(run, 4)]
            alive &= rng.random(sessions) > 1 / (1 + np.exp(-logit))
        session, category = (np.concatenate(column) for column in zip(*parts, strict=True))
        place = pd.Series(session).groupby(session).cumcount().to_numpy()
        found = fit_leave_logit(clicks_of(user[session], session, 24.0 * (session % 6) + place / 60.0, category))
        planted = {"log_position": -0.3, "same_cat_run2": -0.5, "run3": -0.8, "run4+": -1.2, "distinct_share": 0.0}
        for name, truth in planted.items():
            assert found[name] == pytest.approx(truth, abs=0.15), name

    def test_leaving_differs_between_users(self):
        rng = np.random.default_rng(9)
        users = np.repeat(np.arange(1000), 8)
        length = 1 + rng.geometric(np.where(rng.random(1000) < 0.5, 0.6, 0.2)[users])
        assert fit_leave_logit(log_of_lengths(length, users))["log_other_session_len"] < -0.8


class TestGaps:
    def test_kaplan_meier_by_hand(self):
        survival = estimate_survival(
            np.array([1.0, 2, 2, 3, 4]), np.array([1, 1, 0, 1, 0], bool), np.array([0.5, 1, 2, 3, 9])
        )
        assert survival == pytest.approx([1, 0.8, 0.6, 0.3, 0.3])

    def test_hazard_rate_is_ends_over_time_at_risk(self):
        rates = estimate_hazard_rates(
            np.array([1.0, 2.0, 5.0]), np.array([True, True, False]), np.array([0, 1.5]), np.array([1.5, 3])
        )
        assert rates == pytest.approx([1 / (1 + 1.5 + 1.5), 1 / (0.5 + 1.5)])

    def test_censored_log_normal_is_recovered(self):
        rng = np.random.default_rng(6)
        gap, limit = rng.lognormal(4.0, 1.8, 30_000), rng.uniform(0, 384, 30_000)
        mu, sigma, _ = fit_log_normal(np.minimum(gap, limit), gap < limit)
        assert (mu, sigma) == pytest.approx((4.0, 1.8), abs=0.05)

    def test_return_times_of_a_renewal_process(self):
        rng = np.random.default_rng(7)
        users, sessions = 3000, 12
        speed = 0.6 * rng.normal(size=(users, 1))
        gap = np.exp(3.0 + speed + 1.0 * rng.normal(size=(users, sessions)))
        start = np.cumsum(gap, axis=1) - gap[:, :1] + rng.uniform(0, 100, (users, 1))
        who, number = np.nonzero(start < 24 * DAYS)
        found = measure_return_time(clicks_of(who, number, start[who, number]))
        assert found["survival_h"]["24"] == pytest.approx((gap > 24).mean(), abs=0.03)
        assert found["hazard_per_h"]["22-24"] > 0
        # Of the variance of log gaps 0.36 of 1.36 is between users; long gaps, of the slow, are censored.
        assert 0.1 < found["corr_consecutive_log_gaps"] < 0.36 / 1.36
        assert found["observed_quantiles"]["50"] < np.exp(3.0)

    def test_effect_of_size_is_pooled_and_not_within_users(self):
        rng = np.random.default_rng(8)
        users, sessions = 1500, 10
        keen = rng.random(users) < 0.5
        gap = rng.exponential(np.where(keen, 15.0, 60.0)[:, None], (users, sessions))
        start = np.cumsum(gap, axis=1)
        length = 1 + rng.geometric(np.where(keen, 0.2, 0.6)[:, None], (users, sessions))
        who, number = np.nonzero(start < 24 * DAYS - 1)
        begin = start[who, number]
        found = measure_return_effect(log_of_lengths(length[who, number], who, begin))
        assert found["pooled_per_log_size"] > 0.1
        assert abs(found["within_user_per_log_size"]) < 4 * found["within_user_se"]
        assert 0 < found["within_user_se"] < 0.03


class TestShares:
    def test_churn_by_activity(self):
        # Users 0-3 have one session early, of whom 0 returns; 4 has two and returns, 5 two and does not; 6 comes late.
        user, day = [0, 0, 1, 2, 3, 4, 4, 4, 5, 5, 6], [1, 9, 1, 2, 7.9, 1, 2, 15, 3, 4, 12]
        found = measure_churn(clicks_of(user, np.arange(11), 24 * np.array(day)))
        rates = found["churn_no_session_next_8d_by_sessions_in_first_8d"]
        assert (rates["1"], rates["2"]) == (0.75, 0.5)
        assert np.isnan(rates["3"])
        assert found["churn_overall"] == pytest.approx(4 / 6)

    def test_sessions_per_user(self):
        found = measure_sessions_per_user(clicks_of([0, 1, 1, 2, 2, 2], range(6), [1, 1, 50, 1, 50, 99]))
        assert (found["2"], found["3"], found["5"]) == pytest.approx((2 / 3, 1 / 3, 0))

    def test_gini_of_known_distributions(self):
        assert compute_gini(np.full(10, 3.0)) == pytest.approx(0.0)
        assert compute_gini(np.r_[np.zeros(99), 1.0]) == pytest.approx(0.99)
        assert compute_gini(expon.ppf((np.arange(20_000) + 0.5) / 20_000)) == pytest.approx(0.5, abs=1e-3)

    def test_zipf_slope_of_a_power_law(self):
        count = np.round(60_000 * np.arange(1, 301.0) ** -1.0).astype(int)
        item = np.repeat(np.arange(300), count)
        found = measure_popularity(
            clicks_of(np.zeros(len(item), int), np.zeros(len(item), int), np.zeros(len(item)), item=item)
        )
        assert found["zipf_slope_rank10_3000"] == pytest.approx(-1.0, abs=0.01)
        assert found["top1pct_share"] == pytest.approx(count[:3].sum() / count.sum())

    def test_entropy_of_users_and_of_the_log(self):
        category = np.r_[np.tile([0, 1], 20), np.tile([2, 3, 4, 5], 10), [9] * 5]
        user = np.repeat([0, 1, 2], [40, 40, 5])
        found = measure_category_entropy(clicks_of(user, user, np.arange(85.0), category))
        assert found["user_mean"] == pytest.approx((np.log(2) + np.log(4)) / 2)  # the third has too few clicks
        share = np.bincount(category)[[0, 1, 2, 3, 4, 5, 9]] / 85
        assert found["global"] == pytest.approx(-(share * np.log(share)).sum())

    def test_lifetime_of_an_article(self):
        hour = np.r_[np.linspace(0, 10, 101), 50.0]
        assert measure_lifetime(clicks_of(range(102), range(102), hour, item=[1] * 101 + [2])) == pytest.approx(8.0)

    def test_hour_of_day_counts_sessions_not_clicks(self):
        share = measure_hour_share(clicks_of([0, 0, 1, 1], [0, 0, 0, 1], [8.0, 9.0, 32.5, 383.9]))
        assert share[8] == pytest.approx(2 / 3)
        assert share[23] == pytest.approx(1 / 3)
        assert share.sum() == pytest.approx(1.0)

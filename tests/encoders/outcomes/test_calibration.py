"""Known miscalibration is measured and mended."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from longplay.encoders import EncoderError
from longplay.encoders.outcomes.calibration import (
    Isotonic,
    Platt,
    brier_score,
    expected_calibration_error,
    fit_recalibration,
    measure_reliability,
    simulate_perfect_error,
)


def draw(rows=20_000, seed=0):
    """Chances as they are, and what happened."""
    rng = np.random.default_rng(seed)
    true = rng.beta(2.0, 3.0, rows)
    return true, rng.random(rows) < true


def overconfident(true):
    return expit(3.0 * logit(true) + 0.5)


def test_reliability_has_the_bins_of_scikit_learn():
    true, happened = draw()
    found = measure_reliability(overconfident(true), happened, bins=15)
    observed, predicted = calibration_curve(happened, overconfident(true), n_bins=15, strategy="quantile")
    np.testing.assert_allclose(found.predicted, predicted)
    np.testing.assert_allclose(found.observed, observed)
    assert found.count.sum() == len(true)
    assert np.ptp(found.count) <= 2
    assert ((found.low < found.observed) & (found.observed < found.high)).all()


def test_intervals_hold_the_truth_about_95_times_in_100():
    inside = []
    for seed in range(40):
        true, happened = draw(1000, seed)
        found = measure_reliability(true, happened)
        inside += list((found.low <= found.predicted) & (found.predicted <= found.high))
    assert 0.91 < np.mean(inside) < 0.985


def test_error_by_hand():
    """Bins {0.1, 0.2} with one of two, {0.6, 0.8} with one of two: gaps 0.35 and 0.2."""
    assert expected_calibration_error([0.1, 0.2, 0.6, 0.8], [0, 1, 0, 1], bins=2) == pytest.approx(0.275)


def test_error_is_that_of_a_known_distortion():
    true, happened = draw()
    assert expected_calibration_error(true, happened) < 0.012
    said = overconfident(true)
    assert expected_calibration_error(said, happened) == pytest.approx(np.abs(said - true).mean(), abs=0.02)


def test_a_perfect_forecast_lies_in_the_range_of_perfect_ones_and_a_wrong_one_does_not():
    inside = 0
    for seed in range(60):
        true, happened = draw(500, seed)
        low, high = simulate_perfect_error(true, draws=100, seed=seed)
        inside += low <= expected_calibration_error(true, happened) <= high
        assert (
            expected_calibration_error(overconfident(true), happened) > simulate_perfect_error(overconfident(true))[1]
        )
    assert 53 <= inside <= 60


def test_noise_of_the_error_is_what_the_docstring_says():
    rng = np.random.default_rng(1)
    errors = [
        expected_calibration_error(0.3 + 1e-6 * rng.random(2000), rng.random(2000) < 0.3, bins=10) for _ in range(50)
    ]
    assert np.mean(errors) == pytest.approx(0.8 * np.sqrt(0.3 * 0.7 * 10 / 2000), rel=0.1)


def test_equal_chances_share_a_bin():
    found = measure_reliability(np.full(10, 0.3), np.arange(10) < 3)
    assert found.count.tolist() == [10]
    assert found.error == pytest.approx(0.0)


def test_brier_is_scikit_learns():
    true, happened = draw(500)
    assert brier_score(true, happened) == pytest.approx(brier_score_loss(happened, true))


def test_platt_finds_the_distortion_and_undoes_it():
    true, happened = draw()
    mend = Platt.fit(overconfident(true), happened)
    assert mend.slope == pytest.approx(1 / 3, abs=0.02)
    assert mend.shift == pytest.approx(-0.5 / 3, abs=0.04)
    fresh, later = draw(seed=1)
    said = overconfident(fresh)
    assert expected_calibration_error(said, later) > 0.1
    assert expected_calibration_error(mend(said), later) < 0.015
    assert brier_score(mend(said), later) < brier_score(said, later) - 0.02


def test_isotonic_undoes_what_is_no_sigmoid():
    true, happened = draw()
    mend = Isotonic.fit(np.round(true**3, 3), happened)
    fresh, later = draw(seed=1)
    assert expected_calibration_error(fresh**3, later) > 0.1
    assert expected_calibration_error(mend(fresh**3), later) < 0.02
    assert (np.diff(mend(np.linspace(0, 1, 200))) >= 0).all()


def test_few_rows_are_mended_by_two_numbers_which_help_where_steps_harm():
    """Chances somewhat too extreme, 2,000 rows to learn from, one in four happening: Brier scores of 20 draws."""

    def draw_some(rows, rng):
        true = rng.beta(2.0, 6.0, rows)
        return expit(1.2 * logit(true) + 0.1), rng.random(rows) < true

    changes = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        few, fresh = draw_some(2000, rng), draw_some(100_000, rng)
        mended = (mend.fit(*few)(fresh[0]) for mend in (Platt, Isotonic))
        plain = brier_score(*fresh)
        changes.append([brier_score(chances, fresh[1]) - plain for chances in mended])
    by_platt, by_steps = np.array(changes).T
    assert (by_steps > 0).mean() >= 0.75
    assert (by_platt < 0).mean() >= 0.75
    assert (by_platt < by_steps).all()


@pytest.mark.parametrize(("rows", "kind"), [(2000, Platt), (9999, Platt), (10_000, Isotonic)])
def test_how_many_rows_say_what_mends(rows, kind):
    assert type(fit_recalibration(*draw(rows))) is kind


@pytest.mark.parametrize("kind", [Platt, Isotonic])
def test_saved_and_loaded_it_mends_the_same(kind, tmp_path):
    true, happened = draw(300)
    mend = kind.fit(true, happened)
    mend.save(tmp_path / "mend.safetensors")
    np.testing.assert_array_equal(kind.load(tmp_path / "mend.safetensors")(true), mend(true))
    assert np.isfinite(mend(np.array([0.0, 1.0]))).all()


@pytest.mark.parametrize(
    ("chances", "outcomes", "said"),
    [
        ([0.5], [1.0, 0.0], r"chances \(1,\) and outcomes \(2,\) must both be \(n,\)"),
        ([], [], "with at least one row"),
        ([1.5, 0.5], [1, 0], r"chances must lie in \[0, 1\]"),
        ([0.1, 0.5], [2, 0], "outcomes be 0 or 1"),
        ([0.1, 0.5], [1, 1], "all 2 outcomes are 1; both kinds are needed"),
    ],
)
def test_what_is_no_chance_is_refused(chances, outcomes, said):
    with pytest.raises(EncoderError, match=said):
        Platt.fit(chances, outcomes)


def test_bins_are_checked():
    with pytest.raises(EncoderError, match="bins = 0 is out of range; allowed: from 1"):
        measure_reliability([0.5], [1], bins=0)


@pytest.mark.parametrize("kind", [Platt, Isotonic])
def test_chances_that_rank_the_wrong_way_become_the_share_and_are_not_turned_round(kind):
    true, happened = draw(2000)
    mended = kind.fit(1.0 - true, happened)(np.array([0.1, 0.5, 0.9]))
    assert (np.diff(mended) >= 0.0).all()
    np.testing.assert_allclose(mended, happened.mean(), atol=0.12)
    if kind is Platt:
        np.testing.assert_allclose(mended, happened.mean(), rtol=1e-9)

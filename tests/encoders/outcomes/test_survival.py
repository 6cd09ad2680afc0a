"""Return times: known hazards are found, and each score equals its definition."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.duration.hazard_regression import PHReg

from longplay.encoders import EncoderError
from longplay.encoders.outcomes.survival import (
    FEATURES,
    ReturnTime,
    brier_scores,
    compute_session_features,
    concordance,
    integrated_brier,
    kaplan_meier,
)

BETA = np.array([0.8, -0.4, 0.0])


def draw(rows=3000, seed=0, censor=3.0):
    """Exponential return times of hazard exp(βᵀx), censored at a random day; column 0 far from 0."""
    rng = np.random.default_rng(seed)
    x = rng.normal([5.0, 0.0, 0.0], 1.0, (rows, 3))
    true = rng.exponential(np.exp(-(x - [5.0, 0.0, 0.0]) @ BETA))
    end = rng.uniform(0.0, censor, rows)
    return x, np.minimum(true, end), true <= end


@pytest.fixture(scope="module")
def model():
    return ReturnTime.fit(*draw())


def test_the_hazards_that_made_the_data_are_found(model):
    np.testing.assert_allclose(model.coefficients, BETA, atol=3.5 * model.errors.max())
    assert 0.01 < model.errors.min() <= model.errors.max() < 0.06
    x = np.array([[5.0, 0.0, 0.0], [6.0, 1.0, 0.0]])
    days = np.array([0.0, 0.3, 1.0])
    expected = np.exp(-np.exp([[0.0], [0.4]]) * days)
    np.testing.assert_allclose(model.survival(x, days), expected, atol=0.04)


def test_the_baseline_is_breslows_as_statsmodels_has_it(model):
    x, days, returned = draw()
    z = x - x.mean(axis=0)
    result = PHReg(days, z, status=returned.astype(int)).fit(disp=0)
    times, before, _ = result.baseline_cumulative_hazard[0]  # the hazard just before each time
    np.testing.assert_allclose(model.coefficients, result.params, rtol=3e-4)  # but for the penalty
    np.testing.assert_allclose(model.times, times)
    np.testing.assert_allclose(np.append(0.0, model.hazard[:-1]), before, rtol=1e-3)


def test_breslow_by_hand():
    """Without differing columns: 1/4, then 2/3 (two at once), then nothing; a step holds from its day on."""
    model = ReturnTime.fit(np.zeros((4, 1)), [1.0, 2.0, 2.0, 3.0], [True, True, True, False])
    np.testing.assert_allclose(model.hazard, [0.25, 0.25 + 2 / 3])
    np.testing.assert_array_equal(model.coefficients, 0.0)
    chance = model.survival([[9.0]], [0.0, 0.99, 1.0, 1.99, 2.0, 3.0])[0]
    np.testing.assert_allclose(chance, np.exp([0, 0, -0.25, -0.25, -0.25 - 2 / 3, -0.25 - 2 / 3]))


def test_it_agrees_with_kaplan_meier_where_columns_tell_nothing():
    _, days, returned = draw()
    noise = np.random.default_rng(1).normal(size=(len(days), 1))
    at = np.linspace(0.0, 2.5, 20)
    mean = ReturnTime.fit(noise, days, returned).survival(noise, at).mean(axis=0)
    np.testing.assert_allclose(mean, kaplan_meier(days, returned, at), atol=0.01)


def test_kaplan_meier_by_hand():
    """Of 5: one back at 1 (4/5), one lost at 2, one back at 3 (2/3 of it), nobody after."""
    days, returned = [1.0, 2.0, 3.0, 4.0, 4.0], [True, False, True, False, False]
    np.testing.assert_allclose(kaplan_meier(days, returned, [0.5, 1.0, 2.9, 3.0, 9.0]), [1, 0.8, 0.8, 8 / 15, 8 / 15])
    np.testing.assert_array_equal(kaplan_meier(days, np.zeros(5), [0.0, 9.0]), 1.0)


def brute_concordance(risk, days, returned):
    right = pairs = 0.0
    for i in range(len(risk)):
        for j in range(len(risk)):
            if returned[i] and (days[i] < days[j] or (days[i] == days[j] and not returned[j])):
                pairs += 1
                right += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    return right / pairs


@pytest.mark.parametrize("seed", range(5))
def test_concordance_equals_its_definition(seed):
    rng = np.random.default_rng(seed)
    days, returned = rng.integers(0, 8, 60).astype(float), rng.random(60) < 0.6  # many ties
    risk = rng.integers(0, 10, 60).astype(float)
    assert concordance(risk, days, returned) == pytest.approx(brute_concordance(risk, days, returned), abs=1e-12)


def test_concordance_of_many_rows(model):
    x, days, returned = draw(1500, seed=3)
    days, risk = np.round(days, 2), np.round(model.risk(x), 1)
    assert concordance(risk, days, returned) == pytest.approx(brute_concordance(risk, days, returned), abs=1e-12)
    assert 0.6 < concordance(risk, days, returned) < 0.8
    assert concordance(-days, days, np.ones(1500)) == 1.0
    assert np.isnan(concordance(days, days, np.zeros(1500)))
    assert np.isnan(concordance([], [], []))


@pytest.mark.parametrize("always", [False, True])
def test_a_group_that_never_returns_or_always_first_has_a_finite_coefficient(always):
    rng = np.random.default_rng(7)
    group = rng.random(400) < 0.3
    days = rng.uniform(0.1, 2.0, 400)
    days[group] = rng.uniform(0.0, 0.1, group.sum()) if always else 2.0
    model = ReturnTime.fit(group[:, None], days, np.full(400, always) | ~group)
    assert 2.0 < (model.coefficients[0] if always else -model.coefficients[0]) < 25.0
    assert 0.1 < model.errors[0] < 5.0
    early, late = model.survival([[1.0], [0.0]], [1.0])[:, 0]
    assert (early < 0.01) if always else (early > 0.99)
    assert late > 0.4


def test_a_fit_that_does_not_converge_is_refused(monkeypatch):
    monkeypatch.setattr(PHReg, "score", lambda self, beta: np.full(len(beta), 1e9))  # no maximum anywhere
    with pytest.raises(EncoderError, match=r"the fit did not converge \(.*\); column \d has the largest coefficient"):
        ReturnTime.fit(*draw(100))


def test_brier_without_censoring_is_a_mean_square():
    rng = np.random.default_rng(4)
    days, told, at = rng.exponential(size=50), rng.random((50, 3)), np.array([0.2, 0.7, 1.5])
    expected = ((told - (days[:, None] > at)) ** 2).mean(axis=0)
    np.testing.assert_allclose(brier_scores(told, days, np.ones(50), at), expected)
    area = np.sum((expected[1:] + expected[:-1]) / 2 * np.diff(at)) / 1.3
    assert integrated_brier(told, days, np.ones(50), at) == pytest.approx(area)


def test_brier_under_censoring_estimates_that_without():
    x, days, returned = draw(20_000, seed=5, censor=4.0)
    at = np.array([0.5, 1.0, 2.0])
    truth = np.exp(-np.exp((x - [5.0, 0.0, 0.0]) @ BETA)[:, None] * at)
    expected = (truth * (1 - truth)).mean(axis=0)  # of a forecast that knows the chances
    np.testing.assert_allclose(brier_scores(truth, days, returned, at), expected, rtol=0.03)


def test_saved_and_loaded_it_tells_the_same(model, tmp_path):
    model.save(tmp_path / "return.safetensors")
    loaded = ReturnTime.load(tmp_path / "return.safetensors")
    x, days = draw(5, seed=6)[0], [0.1, 1.0]
    np.testing.assert_array_equal(loaded.survival(x, days), model.survival(x, days))


def test_constant_columns_count_for_nothing():
    x, days, returned = draw(500)
    x[:, 2] = 4.0
    model = ReturnTime.fit(x, days, returned)
    assert model.coefficients[2] == 0.0
    assert np.isfinite(model.survival(x, [1.0])).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"days": np.full(8, -1.0)}, "days: must be finite and not negative"),
        ({"days": np.full(7, 1.0)}, r"days \(7,\) and returned \(8,\) must be \(8,\)"),
        ({"returned": np.arange(8) < 2}, "2 returns for 2 columns; give more rows or fewer columns"),
        ({"columns": np.arange(8.0)}, r"columns of shape \(8,\): must be finite numbers \(n, P\)"),
        ({"columns": np.arange(8.0)[:, None] * [1.0, 2.0]}, "a column is a linear combination of others"),
    ],
)
def test_what_cannot_be_fitted_is_said(change, said):
    given = {"columns": np.eye(8)[:, :2], "days": np.arange(8.0), "returned": np.ones(8)}
    with pytest.raises(EncoderError, match=said):
        ReturnTime.fit(**(given | change))


@pytest.mark.parametrize("days", [-0.1, 3.1])
def test_days_that_were_not_seen_are_refused(model, days):
    with pytest.raises(EncoderError, match="are out of range; this model knows 0 to"):
        model.survival(np.zeros((1, 3)), [days])


def test_features_tell_of_the_past_alone():
    sessions = pd.DataFrame(
        {
            "user": [3, 3, 3, 8],
            "session": [0, 1, 2, 0],
            "begin": [0.0, 2.0, 3.0, 0.5],
            "end": [0.5, 2.5, 3.5, 1.0],
            "slates": [3, 2, 1, 4],
            "clicks": [1, 0, 2, 3],
            "minutes": [10.0, 0.0, 30.0, 5.0],
            "completion": [0.5, np.nan, 1.0, 0.2],
            "gap": [1.5, 0.5, np.nan, np.nan],
        }
    )
    table = pd.DataFrame(compute_session_features(sessions), columns=list(FEATURES))
    np.testing.assert_allclose(table["gap before"], np.log1p([0.0, 1.5, 0.5, 0.0]))
    np.testing.assert_array_equal(table["first"], [1, 0, 0, 1])
    np.testing.assert_array_equal(table["no click"], [0, 1, 0, 0])
    np.testing.assert_allclose(table["rate"], np.log1p([1 / 1.5, 2 / 3.5, 3 / 4.5, 1 / 1.5]))
    np.testing.assert_allclose(table["completion"], [0.5, 0.0, 1.0, 0.2])
    later = sessions.assign(gap=[1.5, 9.9, 9.9, 9.9], minutes=[10.0, 0.0, 99.0, 5.0])
    np.testing.assert_array_equal(compute_session_features(later)[:2], compute_session_features(sessions)[:2])

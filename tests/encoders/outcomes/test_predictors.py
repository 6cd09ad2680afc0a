"""The worked examples, and that what is fitted is what made the data."""

import doctest
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from longplay.encoders import EncoderError
from longplay.encoders.outcomes import predictors
from longplay.encoders.outcomes.predictors import (
    Components,
    InterestPredictor,
    RatingPredictor,
    RetentionPredictor,
    interest,
    rating,
    retention,
)
from longplay.encoders.outcomes.saved import Saved

U, J = (1.0, 0.5, -0.2), (0.1, 0.3, 0.2)
W, V = (0.2, 0.3, 0.1), (0.1, 0.2, 0.3)


def test_worked_interest():
    """Wᵀu = 0.2 + 0.15 − 0.02 and Vᵀi = 0.01 + 0.06 + 0.06, so σ(0.33 + 0.13 + 0.1): not 0.65, as printed elsewhere."""
    value = float(interest(U, J, W, V, 0.1))
    assert value == pytest.approx(1 / (1 + np.exp(-0.56)), abs=1e-12)
    assert round(value, 4) == 0.6365


def test_worked_rating():
    assert float(rating((1, 0.5, 0.2), (0.1, 0.3, 0.2))) == pytest.approx(0.29, abs=1e-12)


def test_worked_retention():
    """σ(0.33 + 0.1): not 0.87, as printed elsewhere."""
    value = float(retention(U, W, 0.1))
    assert value == pytest.approx(1 / (1 + np.exp(-0.43)), abs=1e-12)
    assert round(value, 4) == 0.6059


def test_the_examples_in_the_docstrings_hold():
    failed, tried = doctest.testmod(predictors)
    assert (failed, tried) == (0, 4)


def test_formulas_take_batches():
    users, items = np.array([U, J]), np.array([J, U])
    np.testing.assert_allclose(interest(users, items, W, V, 0.1)[0], interest(U, J, W, V, 0.1))
    np.testing.assert_allclose(rating(users, items), [np.dot(U, J)] * 2)
    np.testing.assert_allclose(retention(users, W, 0.1)[1], retention(J, W, 0.1))


def vectors(rows=4000, width=5, seed=0):
    rng = np.random.default_rng(seed)
    # Columns of very different sizes and a constant one: the penalty must not care.
    return rng.normal(size=(2, rows, width)) * [10.0, 1.0, 0.1, 1.0, 0.0] + 3.0


def test_interest_finds_the_weights_that_made_the_data():
    u, i = vectors()
    truth = expit(interest_logit(u, i))
    predictor = InterestPredictor.fit(u, i, np.random.default_rng(1).random(len(u)) < truth)
    sizes = np.array([10.0, 1.0, 0.1, 1.0, 1.0])
    np.testing.assert_allclose(predictor.W * sizes, [1.0, -1.0, 0.5, 0.0, 0.0], atol=0.15)
    np.testing.assert_allclose(predictor.V * sizes, [0.0, 1.0, 0.0, -0.5, 0.0], atol=0.15)
    assert predictor.m == 0.0
    assert np.abs(predictor.predict(u, i) - truth).mean() < 0.02
    formula = interest(u, i, predictor.W, predictor.V, predictor.b)
    np.testing.assert_allclose(predictor.predict(u, i), formula, rtol=1e-12)


def interest_logit(u, i):
    return (u - 3.0) @ [0.1, -1.0, 5.0, 0.0, 0.0] + (i - 3.0) @ [0.0, 1.0, 0.0, -0.5, 0.0] - 0.5


def test_interest_without_match_orders_items_alike_for_all_and_with_it_by_user():
    rng = np.random.default_rng(2)
    u, i = rng.normal(size=(2, 4000, 4))
    opened = rng.random(4000) < expit(2.0 * (u * i).sum(axis=1))
    plain, matched = (InterestPredictor.fit(u, i, opened, match=match) for match in (False, True))
    fresh_u, fresh_i = rng.normal(size=(2, 1, 4)), rng.normal(size=(30, 4))
    orders = [
        [np.argsort(predictor.predict(np.repeat(user, 30, axis=0), fresh_i)).tolist() for user in fresh_u]
        for predictor in (plain, matched)
    ]
    assert orders[0][0] == orders[0][1]
    assert orders[1][0] != orders[1][1]
    assert matched.m == pytest.approx(2.0, abs=0.25)
    assert np.corrcoef(matched.predict(u, i), expit(2.0 * (u * i).sum(axis=1)))[0, 1] > 0.99


def test_features_after_the_vectors_are_not_matched(tmp_path):
    rng = np.random.default_rng(2)
    u, i = rng.normal(size=(2, 4000, 4))
    opened = rng.random(4000) < expit(2.0 * (u * i).sum(axis=1))
    users, items = np.hstack([u, rng.normal(size=(4000, 3))]), np.hstack([i, rng.normal(size=(4000, 2))])
    model = InterestPredictor.fit(users, items, opened, match=True, matched=4)
    assert model.m == pytest.approx(2.0, abs=0.25)
    by_hand = users @ model.W + items @ model.V + model.m * (u * i).sum(axis=1) + model.b
    np.testing.assert_allclose(model.predict(users, items), expit(by_hand))
    model.save(tmp_path / "model.safetensors")
    loaded = InterestPredictor.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict(users, items), model.predict(users, items))
    with pytest.raises(EncoderError, match="matched = 7 is out of range; allowed: 0 to 6"):
        InterestPredictor.fit(users, items, opened, match=True, matched=7)


def test_without_match_items_may_be_wider_than_users():
    rng = np.random.default_rng(3)
    u, i, y = rng.normal(size=(80, 2)), rng.normal(size=(80, 5)), rng.random(80) < 0.5
    model = InterestPredictor.fit(u, i, y)
    np.testing.assert_allclose(model.predict(u, i), expit(u @ model.W + i @ model.V + model.b))


def test_interest_equals_scikit_learn_on_standardised_columns():
    u, i = np.random.default_rng(3).normal(size=(2, 300, 3))
    opened = u[:, 0] + i[:, 1] > np.random.default_rng(4).normal(size=300)
    columns = np.concatenate([u, i], axis=1)
    z = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    expected = LogisticRegression(C=0.1, max_iter=1000).fit(z, opened).predict_proba(z)[:, 1]
    predictor = InterestPredictor.fit(u, i, opened, penalty=10.0)
    np.testing.assert_allclose(predictor.predict(u, i), expected, atol=1e-6)


def test_rating_finds_a_bilinear_truth_and_is_an_inner_product():
    rng = np.random.default_rng(5)
    u, i = rng.normal(size=(2, 3000, 4)) + 0.5
    M = rng.normal(size=(4, 4))
    truth = np.einsum("na,ab,nb->n", u, M, i) + u @ [1, 0, 0, 2] - i @ [0, 1, 0, 0] + 0.7
    predictor = RatingPredictor.fit(u, i, truth + 0.1 * rng.normal(size=3000))
    assert np.sqrt(np.mean((predictor.predict(u, i) - truth) ** 2)) < 0.03
    of_users, of_items = predictor.compute_factors(u, i)
    assert of_users.shape == of_items.shape == (3000, 5)
    np.testing.assert_allclose((of_users * of_items).sum(axis=1), predictor.predict(u, i))
    np.testing.assert_array_equal(of_items[:, -1], 1.0)


def test_rating_uses_no_direction_in_which_nothing_varies():
    rng = np.random.default_rng(6)
    u = np.concatenate([rng.normal(size=(200, 2)), np.full((200, 3), 7.0)], axis=1)
    predictor = RatingPredictor.fit(u, u[:, ::-1], u[:, 0], components=4)
    assert predictor.user_map.shape == (3, 5)
    assert np.isfinite(predictor.predict(u, u[:, ::-1])).all()


def test_components_are_those_that_vary_most_with_unit_variance(tmp_path):
    rng = np.random.default_rng(9)
    vectors = rng.normal([5.0, 0.0, 0.0], [1.0, 9.0, 0.1], (500, 3))
    components = Components.fit(vectors, 2)
    found = components(vectors)
    np.testing.assert_allclose(np.cov(found.T), np.eye(2), atol=1e-9)
    assert abs(np.corrcoef(found[:, 0], vectors[:, 1])[0, 1]) > 0.999
    assert abs(np.corrcoef(found[:, 1], vectors[:, 0])[0, 1]) > 0.99
    components.save(tmp_path / "components.safetensors")
    np.testing.assert_array_equal(Components.load(tmp_path / "components.safetensors")(vectors), found)


def test_retention_reads_vector_and_features():
    rng = np.random.default_rng(7)
    u, f = rng.normal(size=(2, 3000, 3))
    truth = expit(1.5 * u[:, 0] - f[:, 2])
    predictor = RetentionPredictor.fit(u, f, rng.random(3000) < truth)
    assert np.abs(predictor.predict(u, f) - truth).mean() < 0.03
    both = np.concatenate([u, f], axis=1)
    np.testing.assert_allclose(predictor.predict(u, f), retention(both, predictor.W, predictor.b))
    alone = RetentionPredictor.fit(u[:, :0], f, rng.random(3000) < truth)
    assert alone.W.shape == (3,)


def fitted(seed=8):
    rng = np.random.default_rng(seed)
    u, i = rng.normal(size=(2, 100, 3))
    y = rng.random(100) < 0.5
    return {
        "interest": (InterestPredictor.fit(u, i, y, match=True), (u, i)),
        "rating": (RatingPredictor.fit(u, i, u[:, 0] * i[:, 0]), (u, i)),
        "retention": (RetentionPredictor.fit(u, i, y), (u, i)),
    }


@pytest.mark.parametrize("name", ["interest", "rating", "retention"])
def test_fitted_again_or_loaded_it_gives_the_same_bits(name, tmp_path):
    (predictor, rows), (again, _) = fitted()[name], fitted()[name]
    np.testing.assert_array_equal(again.predict(*rows), predictor.predict(*rows))
    predictor.save(tmp_path / "model.safetensors")
    loaded = type(predictor).load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict(*rows), predictor.predict(*rows))
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_load_names_the_fields_of_another_version(tmp_path):
    @dataclass(frozen=True, eq=False)
    class Older(Saved):
        W: np.ndarray
        bias: float

    Older.__name__ = "RetentionPredictor"
    Older(np.ones(2), 0.0).save(tmp_path / "old.safetensors")
    said = r"is of another version: its fields are W, bias, here they are W, b\. Fix: fit the model again"
    with pytest.raises(EncoderError, match=said):
        RetentionPredictor.load(tmp_path / "old.safetensors")


def test_load_refuses_what_is_another_or_damaged_or_missing(tmp_path):
    file = tmp_path / "model.safetensors"
    fitted()["interest"][0].save(file)
    with pytest.raises(EncoderError, match="holds 'InterestPredictor', here it must be 'RatingPredictor'"):
        RatingPredictor.load(file)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(EncoderError, match="is damaged: its checksum is wrong"):
        InterestPredictor.load(file)
    file.write_bytes(b"none")
    with pytest.raises(EncoderError, match=r"cannot be read .* Fix: name a file that save\(\) wrote"):
        InterestPredictor.load(file)
    with pytest.raises(EncoderError, match="cannot be read"):
        InterestPredictor.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"opened": np.ones(6)}, "all 6 outcomes are True; both kinds are needed"),
        ({"opened": np.zeros(6)}, "all 6 outcomes are False; both kinds are needed"),
        ({"opened": np.ones(5)}, r"targets of shape \(5,\): must be finite numbers \(6,\)"),
        ({"users": np.full((6, 2), np.nan)}, r"users of shape \(6, 2\): must be finite numbers"),
        ({"items": np.ones(6)}, r"items of shape \(6,\): must be finite numbers \(n, E\)"),
        ({"penalty": 0.0}, "penalty = 0.0 is out of range; allowed: above 0"),
    ],
)
def test_what_cannot_be_fitted_is_said(change, said):
    given = {"users": np.eye(6)[:, :2], "items": np.eye(6)[:, 2:4], "opened": np.arange(6) % 2, "penalty": 1.0}
    with pytest.raises(EncoderError, match=said):
        InterestPredictor.fit(**(given | change))


def test_other_mistakes_are_said():
    with pytest.raises(EncoderError, match="components = 0 is out of range; allowed: from 1"):
        RatingPredictor.fit(np.eye(6), np.eye(6), np.arange(6), components=0)
    with pytest.raises(EncoderError, match="all vectors are alike"):
        RatingPredictor.fit(np.ones((6, 2)), np.eye(6), np.arange(6))
    with pytest.raises(EncoderError, match="users have 6 rows, features 5"):
        RetentionPredictor.fit(np.eye(6), np.eye(5), np.arange(6) % 2)

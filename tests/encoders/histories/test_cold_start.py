"""New items from texts, new users from profiles: in a log whose crowds the texts and profiles tell."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from longplay.encoders import EncoderError
from longplay.encoders.base import Encoder
from longplay.encoders.histories import cold_start
from longplay.encoders.histories.cold_start import KAPPAS, ColdStart, ColdStartOptions, choose
from longplay.encoders.histories.factors import SVD, SVDOptions
from longplay.tests.encoders.contracts import EncoderContract
from longplay.tests.encoders.small import make_items, make_log

SMALL = {"width": 4}
OPTIONS = ColdStartOptions(inner="svd", inner_settings=SMALL, least=2)
COLD = [4, 7, 18, 29]


@pytest.fixture(scope="module")
def items():
    return make_items()


@pytest.fixture(scope="module")
def log():
    """Four items were never met."""
    whole = make_log()
    return whole.take(~np.isin(whole.item, COLD))


def crowds(users=60, noise=0.4, seed=0):
    """Profile vectors that tell the crowd, among other things."""
    rng = np.random.default_rng(seed)
    vectors = noise * rng.normal(size=(users, 5))
    vectors[:, 2] += np.where(np.arange(users) % 2 == 0, 1.0, -1.0)
    return vectors


def empty(users):
    return {f"history_{name}": np.zeros((users, 6), np.float32) for name in ("ids", "completion", "age")}


class TestContract(EncoderContract):
    encoder = ColdStart
    options = OPTIONS


class TestItemsContract(EncoderContract):
    """Where the inner encoder needs no fit."""

    encoder = ColdStart
    options = ColdStartOptions(least=3)


class TestItems:
    def test_a_cold_item_gets_the_vector_of_its_crowd(self, items, log):
        subject = ColdStart(items, OPTIONS).fit(log)
        assert np.flatnonzero(subject.cold).tolist() == COLD
        scores = subject.score(log.histories(np.arange(20), before=100.0))[:, COLD]
        odd, even = scores[:, [1, 3]].mean(axis=1), scores[:, [0, 2]].mean(axis=1)
        assert ((odd > even) == (np.arange(20) % 2 == 0)).mean() >= 0.9
        inner = subject.inner.score(log.histories(np.arange(20), before=100.0))[:, COLD]
        assert np.abs(inner).max() < 0.1 * np.abs(scores).max()  # which has nothing to say of them

    def test_other_items_keep_their_bits(self, items, log):
        subject = ColdStart(items, OPTIONS).fit(log)
        inner = SVD(items, SVDOptions(**SMALL)).fit(log)
        np.testing.assert_array_equal(subject.item_vectors[~subject.cold], inner.item_vectors[~subject.cold])

    def test_text_vectors_come_back_where_the_inner_vectors_are_linear_in_them(self, log):
        """With more items than dimensions, what is held out is found exactly, but for the penalty."""
        items = make_items(width=6)
        subject = ColdStart(items, ColdStartOptions(inner="mean")).fit(log)
        assert subject.cold.sum() >= 4
        np.testing.assert_allclose(subject.item_vectors[COLD], subject.inner.item_vectors[COLD], atol=0.02)

    def test_an_inner_encoder_that_is_fitted_stays_as_it_is(self, items, log):
        inner = SVD(items, SVDOptions(**SMALL)).fit(make_log(seed=5))
        before = inner.item_vectors.copy()
        subject = ColdStart(items, OPTIONS, inner=inner).fit(log)
        assert subject.inner is inner
        np.testing.assert_array_equal(inner.item_vectors, before)
        assert np.flatnonzero(subject.cold).tolist() == COLD

    def test_too_few_known_items_are_said(self, items, log):
        with pytest.raises(EncoderError, match=r"0 items were consumed 999 times or more\. Fix: lower `least`"):
            ColdStart(items, ColdStartOptions(least=999)).fit(log)


@pytest.fixture(scope="module")
def subject(items, log):
    """Fitted with profiles."""
    later = make_log(seed=1, start=10.0)
    return ColdStart(items, OPTIONS, profiles=crowds()).fit(log, later, seed=2)


class TestUsers:
    def test_a_user_without_history_is_told_by_the_profile(self, subject):
        fresh = crowds(40, seed=9)
        scores = subject.score(empty(40) | {"profile_vector": fresh})[:, 1:]
        odd, even = scores[:, 0::2].mean(axis=1), scores[:, 1::2].mean(axis=1)
        assert ((odd > even) == (np.arange(40) % 2 == 0)).mean() >= 0.9
        np.testing.assert_array_equal(subject.score(empty(2))[:, 1:], 0.0)

    def test_history_outweighs_the_profile_as_it_grows(self, items, log):
        subject = ColdStart(items, ColdStartOptions(**(vars(OPTIONS) | {"kappa": 2.0})), profiles=crowds()).fit(log)
        assert subject.kappa == 2.0
        told = {"profile_vector": crowds(1, seed=3)}
        alone = subject.encode(empty(1) | told)[0]
        for n in (1, 2, 6):
            histories = choose(list(range(1, n + 1)), length=6)
            expected = (n * subject.inner.encode(histories)[0] + 2.0 * alone) / (n + 2.0)
            np.testing.assert_allclose(subject.encode(histories | told)[0], expected, atol=1e-6)

    def test_without_a_profile_the_history_is_all(self, subject, log):
        histories = log.histories(np.arange(6), before=5.0, length=6)
        zeros = histories | {"profile_vector": np.zeros((6, 5))}
        expected = subject.inner.encode(histories)
        np.testing.assert_array_equal(subject.encode(histories), expected)
        np.testing.assert_array_equal(subject.encode(zeros), expected)

    def test_held_out_users_choose_the_weight(self, items):
        """Profiles that say everything weigh more than profiles that say nothing."""
        log, later = make_log(users=400), make_log(users=400, seed=1, start=10.0)
        kappas = [
            ColdStart(items, OPTIONS, profiles=crowds(400, noise)).fit(log, later, seed=2).kappa
            for noise in (0.05, 30.0)
        ]
        assert kappas[0] in KAPPAS
        assert kappas[0] > kappas[1]

    def test_contributions_keep_the_profile(self, subject, log):
        histories = log.histories(np.arange(4), before=3.0, length=6) | {"profile_vector": crowds(4)}
        item = np.array([1, 2, 3, 5])
        shares = subject.contributions(histories, item)
        less = {name: array.copy() for name, array in histories.items()}
        for name in ("ids", "completion", "age"):
            less[f"history_{name}"][:, 1] = 0.0
        rows = np.arange(4)
        fallen = subject.score(histories)[rows, item] - subject.score(less)[rows, item]
        np.testing.assert_allclose(shares[:, 1], fallen * (histories["history_ids"][:, 1] > 0), atol=1e-5)
        plain = {name: histories[name] for name in histories if name != "profile_vector"}
        np.testing.assert_allclose(
            subject.contributions(plain, item), Encoder.contributions(subject, plain, item), atol=1e-5
        )

    def test_saved_and_loaded_it_knows_profiles(self, subject, tmp_path):
        subject.save(tmp_path)
        loaded = ColdStart.load(tmp_path, subject.items)
        told = empty(8) | {"profile_vector": crowds(8)}
        assert loaded.kappa == subject.kappa
        np.testing.assert_array_equal(loaded.encode(told), subject.encode(told))

    @pytest.mark.parametrize(
        ("profiles", "said"),
        [
            (np.ones((3, 5)), "there are 3 profiles and 60 users; give a row for each"),
            (np.zeros((60, 5)), "0 users have a profile and a history; give at least 10"),
        ],
    )
    def test_profiles_that_do_not_fit_are_refused(self, items, log, profiles, said):
        with pytest.raises(EncoderError, match=said):
            ColdStart(items, OPTIONS, profiles=profiles).fit(log)

    def test_wrong_shapes_and_values_are_named(self, subject, items):
        with pytest.raises(EncoderError, match=r"profile_vector has shape \(2, 4\), must be \(2, 5\)"):
            subject.encode(empty(2) | {"profile_vector": np.zeros((2, 4))})
        with pytest.raises(EncoderError, match=r"profiles of shape \(1, 5\): must be finite"):
            ColdStart(items, OPTIONS, profiles=[[np.nan] * 5])


def test_new_likes_are_those_not_consumed_before():
    log, later = make_log(), make_log(seed=1, start=10.0)
    before = set(zip(log.user[log.consumed].tolist(), log.item[log.consumed].tolist(), strict=True))
    users = np.arange(0, 60, 2)
    pairs = zip(later.user.tolist(), later.item.tolist(), later.liked.tolist(), strict=True)
    expected = [row for row, (u, i, liked) in enumerate(pairs) if liked and u in users and (u, i) not in before]
    found = cold_start._find_new_likes(log, later, users, 10**6, seed=0)
    assert found.tolist() == expected
    seen = cold_start._find_consumed(log, users)
    assert {(int(users[b]), int(i)) for b, i in np.argwhere(seen)} == {pair for pair in before if pair[0] in users}
    assert set(cold_start._find_new_likes(log, later, users, 5, seed=0).tolist()) < set(expected)


def test_a_large_log_needs_no_table_of_all_users_and_items():
    n = 50_000
    names = tuple(map(str, range(n)))
    sizes = {"users": n, "items": n, "user_ids": names, "item_ids": names, "profiles": ("",) * n}
    log, later = (replace(make_log(seed=seed), **sizes) for seed in (0, 1))
    tracemalloc.start()
    cold_start._find_new_likes(log, later, np.arange(n), 100, seed=0)
    cold_start._find_consumed(log, np.arange(3))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6  # a byte for each pair would be 2.5e9


def test_an_inner_encoder_of_other_options_is_refused(items):
    with pytest.raises(EncoderError, match=r"inner is SVD with SVDOptions.*, the options name PooledHistory with"):
        ColdStart(items, inner=SVD(items))
    with pytest.raises(ValueError, match=r"inner = 'nobody' is unknown.*; allowed: 'cold-start', 'als'"):
        ColdStart(items, ColdStartOptions(inner="nobody"))


def test_chosen_items_are_a_history(items):
    histories = choose([3, 9], length=4)
    np.testing.assert_array_equal(histories["history_ids"], [[3, 9, 0, 0]])
    np.testing.assert_array_equal(histories["history_completion"], [[1, 1, 0, 0]])
    with pytest.raises(EncoderError, match="5 items were chosen; allowed: 0 to 4"):
        choose([1, 2, 3, 4, 5], length=4)

"""What every encoder keeps to: a concrete test class inherits it, and says how its subject is made."""

import json

import numpy as np
import pytest

from longplay.encoders import EncoderError, Items
from longplay.tests.assertions import assert_same
from longplay.tests.encoders.small import make_items, make_log


def make_observation(users, *, items, history=6, context=3, profile=2, seed=0):
    """A batch as the vector environment gives it; the first user has no history, the others some to all of it."""
    rng = np.random.default_rng(seed)
    real = np.arange(history) < np.arange(users)[:, None] % (history + 1)
    return {
        "history_ids": (rng.integers(1, items + 1, real.shape) * real).astype(np.float32),
        "history_completion": (rng.random(real.shape) * real).astype(np.float32),
        "history_age": (np.sort(rng.random(real.shape) * 30.0) * real).astype(np.float32),
        "context": rng.normal(size=(users, context)).astype(np.float32),
        "profile": rng.normal(size=(users, profile)).astype(np.float32),
    }


class EncoderContract:
    """What every encoder keeps to.

    A test class that inherits this sets ``encoder`` (the class) and, where the defaults would take long, ``options``.
    """

    encoder = None
    options = None
    tolerance = 1e-5  # by which a vector may differ with the batch around it
    inner_products = True  # scores are inner products of the vectors
    items = 30

    @classmethod
    def make(cls):
        """The subject before it is fitted."""
        return cls.encoder(make_items(cls.items), cls.options)

    @pytest.fixture(scope="class")
    @classmethod
    def log(cls):
        return make_log(items=cls.items)

    @pytest.fixture(scope="class")
    @classmethod
    def validation(cls):
        return make_log(items=cls.items, seed=1, start=10.0)

    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, log, validation):
        return cls.make().fit(log, validation, seed=3)

    @pytest.fixture
    def histories(self):
        return make_observation(9, items=self.items)

    def test_vectors_are_finite_float32_of_the_width_declared(self, subject, histories):
        for vectors, rows in ((subject.encode(histories), 9), (subject.item_vectors, self.items + 1)):
            assert vectors.dtype == np.float32
            assert vectors.shape == (rows, subject.width)
            assert np.isfinite(vectors).all()
        np.testing.assert_array_equal(subject.item_vectors[0], 0.0)

    def test_scores_rank_every_item_and_never_the_padding(self, subject, histories):
        scores = subject.score(histories)
        assert scores.dtype == np.float32
        assert scores.shape == (9, self.items + 1)
        assert (scores[:, 0] == -np.inf).all()
        assert np.isfinite(scores[:, 1:]).all()
        if self.inner_products:
            expected = subject.encode(histories).astype(float) @ subject.item_vectors.astype(float).T
            np.testing.assert_allclose(scores[:, 1:], expected[:, 1:], rtol=1e-4, atol=1e-4)

    def test_scores_tell_the_crowds_apart(self, subject, log):
        """Histories of one crowd score that crowd's items above the other's."""
        scores = subject.score(log.histories(np.arange(20), before=100.0))[:, 1:]
        odd, even = scores[:, 0::2].mean(axis=1), scores[:, 1::2].mean(axis=1)
        assert ((odd > even) == (np.arange(20) % 2 == 0)).mean() >= 0.9

    def test_same_histories_give_the_same_bits(self, subject, histories):
        np.testing.assert_array_equal(subject.encode(histories), subject.encode(histories))

    def test_fitted_again_it_gives_the_same_bits(self, subject, log, validation, histories):
        again = self.make().fit(log, validation, seed=3)
        np.testing.assert_array_equal(again.encode(histories), subject.encode(histories))
        np.testing.assert_array_equal(again.item_vectors, subject.item_vectors)

    def test_histories_are_left_as_they_were(self, subject, histories):
        before = {name: array.copy() for name, array in histories.items()}
        subject.encode(histories)
        subject.score(histories)
        subject.contributions(histories, np.ones(9, np.int64))
        assert_same(dict(histories), before)

    def test_a_vector_does_not_depend_on_the_batch(self, subject, histories):
        whole = subject.encode(histories)
        for row in range(len(whole)):
            one = subject.encode({name: array[row : row + 1] for name, array in histories.items()})
            np.testing.assert_allclose(one[0], whole[row], rtol=0, atol=self.tolerance)

    def test_vectors_follow_the_order_of_the_users(self, subject, histories):
        order = np.random.default_rng(1).permutation(9)
        moved = subject.encode({name: array[order] for name, array in histories.items()})
        np.testing.assert_allclose(moved, subject.encode(histories)[order], rtol=0, atol=self.tolerance)

    def test_longer_padding_changes_nothing(self, subject, histories):
        wider = {name: np.pad(array, ((0, 0), (0, 3))) for name, array in histories.items() if "history" in name}
        np.testing.assert_allclose(subject.encode(wider), subject.encode(histories), rtol=0, atol=self.tolerance)

    def test_history_matters(self, subject, histories):
        other = histories | {"history_ids": np.where(histories["history_ids"] > 0, 1.0, 0.0).astype(np.float32)}
        assert np.abs(subject.encode(other) - subject.encode(histories)).max() > 1e-3

    def test_contributions_are_of_the_history(self, subject, histories):
        shares = subject.contributions(histories, np.arange(1, 10))
        assert shares.shape == histories["history_ids"].shape
        assert np.isfinite(shares).all()
        np.testing.assert_array_equal(shares[histories["history_ids"] == 0], 0.0)
        assert np.abs(shares).max() > 0.0

    def test_a_batch_of_nobody_gives_arrays_of_no_rows(self, subject, histories):
        nobody = {name: array[:0] for name, array in histories.items()}
        shares = subject.contributions(nobody, np.zeros(0, np.int64))
        expected = (0, subject.width), (0, self.items + 1), nobody["history_ids"].shape
        for array, shape in zip((subject.encode(nobody), subject.score(nobody), shares), expected, strict=True):
            assert array.shape == shape
            assert array.dtype == np.float32

    def test_saved_and_loaded_it_gives_the_same_bits(self, subject, histories, tmp_path):
        subject.save(tmp_path)
        subject.save(tmp_path)  # over itself
        loaded = self.encoder.load(tmp_path, subject.items)
        assert loaded.width == subject.width
        assert loaded.options == subject.options
        np.testing.assert_array_equal(loaded.encode(histories), subject.encode(histories))
        np.testing.assert_array_equal(loaded.item_vectors, subject.item_vectors)
        np.testing.assert_array_equal(loaded.score(histories), subject.score(histories))
        assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}

    def test_load_refuses_other_items(self, subject, tmp_path):
        subject.save(tmp_path)
        with pytest.raises(EncoderError, match="Fix: give the items it was fitted on"):
            self.encoder.load(tmp_path, Items(subject.items.texts, subject.items.vectors[::-1], subject.items.minutes))

    @pytest.mark.parametrize(("field", "value"), [("version", 0), ("encoder", "Somebody"), ("format", 99)])
    def test_load_refuses_another_version_or_class(self, subject, tmp_path, field, value):
        subject.save(tmp_path)
        (file,) = tmp_path.glob("*.json")
        file.write_text(json.dumps(json.loads(file.read_text()) | {field: value}))
        with pytest.raises(EncoderError, match=f"its {field} is {value!r}"):
            self.encoder.load(tmp_path, subject.items)

    def test_vectors_that_differ_in_their_last_bits_are_the_same_items(self, subject, histories, tmp_path):
        subject.save(tmp_path)
        items = Items(subject.items.texts, subject.items.vectors * np.float32(1 + 1e-6), subject.items.minutes)
        loaded = self.encoder.load(tmp_path, items)
        np.testing.assert_allclose(loaded.encode(histories), subject.encode(histories), rtol=0, atol=1e-4)

    def test_options_of_another_version_are_refused(self, subject, tmp_path):
        subject.save(tmp_path)
        (file,) = tmp_path.glob("*.json")
        content = json.loads(file.read_text())
        file.write_text(json.dumps(content | {"settings": content["settings"] | {"an older one": 1}}))
        with pytest.raises(EncoderError, match=r"its options are of another version .*; fit it again"):
            self.encoder.load(tmp_path, subject.items)

    def test_load_refuses_damaged_weights(self, subject, tmp_path):
        subject.save(tmp_path)
        (file,) = tmp_path.glob("*.safetensors")
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(bytes(content))
        with pytest.raises(EncoderError, match="its checksum is wrong"):
            self.encoder.load(tmp_path, subject.items)

    def test_before_it_is_fitted_it_says_so(self, histories, tmp_path):
        fresh = self.make()
        if not fresh.needs_fit:
            pytest.skip("learns nothing from logs")
        for use in (lambda: fresh.encode(histories), lambda: fresh.item_vectors, lambda: fresh.save(tmp_path)):
            with pytest.raises(EncoderError, match=r"is not fitted. Fix: call fit\(log\)"):
                use()

    def test_a_log_of_other_items_is_refused(self):
        with pytest.raises(EncoderError, match=f"the log is of 10 items, the encoder of {self.items}"):
            self.make().fit(make_log(items=10, rows=4))

    def test_a_log_of_nothing_is_refused(self, log):
        if not self.encoder.needs_fit:
            pytest.skip("learns nothing from logs")
        with pytest.raises(EncoderError, match="the log has no consumed item"):
            self.make().fit(log.take(~log.consumed))

    @pytest.mark.parametrize("wrong", [-1.0, 1.5, 31.0])
    def test_id_that_is_no_item_is_named(self, subject, histories, wrong):
        histories["history_ids"][3, 0] = wrong
        with pytest.raises(ValueError, match=f"history_ids holds {wrong:g}; items are 1 to 30"):
            subject.encode(histories)

    def test_shapes_that_differ_are_named(self, subject, histories):
        with pytest.raises(ValueError, match=r"history_ids \(9, 6\) and history_age \(9, 5\)"):
            subject.encode(histories | {"history_age": histories["history_age"][:, 1:]})

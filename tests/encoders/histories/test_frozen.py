"""Encoders that learn nothing: texts against their own vectors, the contract."""

import math
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from longplay.encoders import EncoderError, Items, PooledHistory, TextEncoder, TextHistory
from longplay.encoders.base import Encoder
from longplay.encoders.histories.frozen import PooledOptions, TextOptions
from longplay.encoders.registry import ENCODERS
from longplay.tests.encoders.contracts import EncoderContract, make_observation
from longplay.tests.encoders.small import make_items
from longplay.tests.encoders.text.tiny_bert import tiny_bert

VECTORS = np.random.default_rng(7).normal(size=(12, 16)).astype(np.float32)
NAMES = ["Ash", "Bay", "Cog", "Dew", "Elm", "Fox", "Gem", "Hay", "Ivy", "Jar", "Key", "Log"]
TITLES = [f"{name} ({1990 + i})" for i, name in enumerate(NAMES)]


@pytest.fixture
def other_bert(tmp_path):
    """A folder of the tiny BERT with other weights."""
    folder = shutil.copytree(tiny_bert()[0], tmp_path / "other")
    file = folder / "model.safetensors"
    rng = np.random.default_rng(0)
    weights = {name: w + rng.normal(0.0, 0.2, w.shape).astype(w.dtype) for name, w in load_file(file).items()}
    save_file(weights, file)
    return folder


def read_items(text_encoder):
    """Items whose vectors name what made them."""
    items = make_items()
    return Items(items.texts, text_encoder.encode(items.texts), items.minutes, text_encoder)


def test_an_encoder_fitted_on_another_models_vectors_names_both(other_bert, tmp_path):
    ours, other = (read_items(TextEncoder(folder, cache=None)) for folder in (tiny_bert()[0], other_bert))
    PooledHistory(ours).save(tmp_path / "pooled")
    assert PooledHistory.load(tmp_path / "pooled", ours).width == 32
    both = rf"vectors of the text model '{tiny_bert()[0]}', here the items' are of '{other_bert}'. Fix: give --bert"
    with pytest.raises(EncoderError, match=both):
        PooledHistory.load(tmp_path / "pooled", other)


class TestPooledHistory(EncoderContract):
    encoder = PooledHistory
    options = PooledOptions(half_life_items=3.0, half_life_days=math.inf)
    tolerance = 0.0

    def test_contributions_sum_to_the_score(self, subject, histories):
        items = np.arange(1, 10)
        shares = subject.contributions(histories, items)
        np.testing.assert_allclose(shares.sum(axis=1), subject.score(histories)[np.arange(9), items], atol=1e-5)

    def test_leaving_one_of_one_out_agrees(self, subject):
        histories = make_observation(2, items=30, history=1)
        items = np.array([4, 9])
        np.testing.assert_allclose(
            subject.contributions(histories, items), Encoder.contributions(subject, histories, items), atol=1e-5
        )


class TestTextHistory(EncoderContract):
    encoder = TextHistory
    options = TextOptions(limit=3, memory=100)

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def own_vectors(cls, text_encoder):
        """Items with vectors of the same BERT."""
        items = make_items(30)
        known = Items(items.texts, text_encoder.encode(items.texts), items.minutes)
        cls.make = staticmethod(lambda: TextHistory(known, cls.options, text_encoder))

    def test_history_is_the_vector_of_its_text(self, text_encoder):
        items = Items(tuple(TITLES), text_encoder.encode(TITLES), np.ones(12))
        observation = {
            "history_ids": np.array([[2, 5, 7, 9]], np.float32),
            "history_completion": np.array([[1.0, 1.0, 0.0, 1.0]], np.float32),
            "history_age": np.array([[0.0, 0.1, 1.5, 3.0]], np.float32),
        }
        told = "Finished, today: Bay (1991); Elm (1994). Skipped through, yesterday: Gem (1996)."
        expected = text_encoder.encode([told])
        np.testing.assert_allclose(
            TextHistory(items, self.options, text_encoder).encode(observation), expected, atol=1e-6
        )

    def test_a_history_met_before_costs_nothing(self, histories, reached):
        subject = self.make()
        first = subject.encode(histories)
        reached.clear()
        np.testing.assert_array_equal(subject.encode(histories), first)
        assert reached == []
        histories["history_ids"][4, 0] = histories["history_ids"][4, 0] % 30 + 1
        subject.encode(histories)
        assert len(reached) == 1

    def test_memory_smaller_than_the_batch_only_costs_time(self, histories, text_encoder, reached):
        subject = self.make()
        forgetful = TextHistory(subject.items, TextOptions(limit=3, memory=2), text_encoder)
        np.testing.assert_array_equal(forgetful.encode(histories), subject.encode(histories))
        reached.clear()
        np.testing.assert_allclose(forgetful.encode(histories), subject.encode(histories), rtol=0, atol=1e-6)
        assert len(reached) == len(set(forgetful.histories_to_texts(histories))) - 2

    def test_vectors_of_another_width_are_refused(self, text_encoder):
        with pytest.raises(
            EncoderError, match=r"'minilm', the items' vectors are of another, 16 wide, not 384: .* Fix"
        ):
            TextHistory(make_items(), None, text_encoder)

    def test_histories_are_read_by_the_model_of_the_items(self, histories):
        items = read_items(TextEncoder(tiny_bert()[0], cache=None))
        subject = ENCODERS["text"].make(items)
        assert subject.options.model == str(tiny_bert()[0])
        expected = items.text_encoder.encode_uncached(subject.histories_to_texts(histories))
        np.testing.assert_array_equal(subject.encode(histories), expected)

    def test_a_model_of_the_same_width_and_other_weights_is_refused(self, other_bert):
        ours, other = (TextEncoder(folder, cache=None) for folder in (tiny_bert()[0], other_bert))
        assert ours.width == other.width
        items = read_items(ours)
        both = rf"read by the text model '{other_bert}', the items' vectors are of '{tiny_bert()[0]}': .* --bert"
        for make in (
            lambda: ENCODERS["text"].make(items, model=str(other_bert)),
            lambda: TextHistory(items, None, other),
            lambda: ENCODERS["cold-start"].make(items, inner="text", inner_settings={"model": str(other_bert)}),
        ):
            with pytest.raises(EncoderError, match=both):
                make()

    def test_where_the_items_name_no_model_their_vectors_tell(self, other_bert):
        ours, other = (TextEncoder(folder, cache=None) for folder in (tiny_bert()[0], other_bert))
        items = read_items(ours)
        nameless = Items(items.texts, items.vectors, items.minutes)
        assert TextHistory(nameless, None, ours).width == ours.width
        with pytest.raises(EncoderError, match=rf"'{other_bert}', the items' vectors are of another, which"):
            TextHistory(nameless, None, other)

    def test_the_same_model_elsewhere_is_the_same(self, tmp_path, histories):
        copy = shutil.copytree(tiny_bert()[0], tmp_path / "copy")
        items = read_items(TextEncoder(tiny_bert()[0], cache=None))
        np.testing.assert_array_equal(
            ENCODERS["text"].make(items, model=str(copy)).encode(histories),
            ENCODERS["text"].make(items).encode(histories),
        )

    def test_another_bert_is_refused_on_loading(self, subject, tmp_path):
        subject.save(tmp_path)
        shorter = TextHistory(subject.items, self.options, TextEncoder(max_tokens=9, cache=None))
        (file,) = tmp_path.glob("*.json")
        file.write_text(file.read_text().replace(subject._header()["bert"], shorter._header()["bert"]))
        with pytest.raises(EncoderError, match="its bert is"):
            TextHistory.load(tmp_path, subject.items)


class TestItems:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"vectors": VECTORS[:5]}, r"vectors have shape \(5, 16\); there are 12 texts"),
            ({"vectors": VECTORS[:, 0]}, r"vectors have shape \(12,\)"),
            ({"minutes": np.ones(3)}, r"minutes have shape \(3,\)"),
            ({"vectors": np.where(np.arange(12)[:, None] == 4, np.nan, VECTORS)}, r"vectors row 4 \(item 5\)"),
        ],
    )
    def test_what_does_not_fit_is_named(self, change, said):
        with pytest.raises(EncoderError, match=said):
            Items(**({"texts": TITLES, "vectors": VECTORS, "minutes": np.ones(12)} | change))

    def test_the_digest_is_of_all_that_is_known(self):
        first = {"texts": TITLES, "vectors": VECTORS, "minutes": np.ones(12)}
        changes = [{}, {"texts": TITLES[::-1]}, {"vectors": VECTORS[::-1]}, {"minutes": np.full(12, 2.0)}]
        known = [Items(**(first | change)) for change in changes]
        assert len({(items.digest, items.vector_digest) for items in known}) == 4
        assert Items(**first).digest == known[0].digest


class TestOptions:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"half_life_items": 0.0}, "half_life_items = 0.0 is out of range; allowed: 1e-06 to inf"),
            ({"half_life_days": "long"}, "half_life_days = 'long' must be a number, 1e-06 to inf"),
            ({"half_life_days": math.nan}, "half_life_days = nan is out of range"),
        ],
    )
    def test_a_wrong_one_is_named(self, change, said):
        with pytest.raises(ValueError, match=said):
            PooledOptions(**change)

    def test_counts_are_whole_numbers(self):
        with pytest.raises(ValueError, match=r"limit = 2.5 must be a whole number, 1 to 1000"):
            TextOptions(limit=2.5)

    def test_infinity_is_kept(self, tmp_path):
        PooledHistory(make_items(), PooledOptions(half_life_days=math.inf)).save(tmp_path)
        assert "Infinity" not in (tmp_path / "encoder.json").read_text()
        assert PooledHistory.load(tmp_path, make_items()).options.half_life_days == math.inf

    def test_those_of_another_encoder_are_refused(self):
        with pytest.raises(EncoderError, match="options are TextOptions, must be PooledOptions"):
            PooledHistory(make_items(), TextOptions())


def test_a_history_is_told_in_the_language_of_the_options(text_encoder):
    made = make_items(3, width=384)
    items = Items(made.texts, text_encoder.encode(made.texts), made.minutes, text_encoder)
    histories = {
        f"history_{name}": np.array([[value]], np.float32)
        for name, value in zip(("ids", "completion", "age"), (1, 1, 0), strict=True)
    }
    told = TextHistory(items, TextOptions(language="zh", kind="article"), text_encoder).histories_to_texts(histories)
    assert told == [f"今天读完了文章：{items.texts[0].rstrip('.')}。"]
    with pytest.raises(ValueError, match="language = 'fr'"):
        TextOptions(language="fr")

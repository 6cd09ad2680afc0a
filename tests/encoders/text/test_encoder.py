"""The text encoder: equal to plain transformers and to sentence-transformers, cached whole or not at all."""

import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from longplay.encoders import ModelError, TextEncoder
from longplay.encoders.text import encoder as text
from longplay.encoders.text.cache import VectorCache, hash_text
from longplay.tests.encoders.text.test_model_folder import MODEL, variant

TEXTS = [
    "A retired detective returns for one last case.",
    "An old policeman comes back to solve a final crime.",
    "A cooking show about bread and pastry.",
    "Amélie (2001). Comedy, romance. Directed by Jean-Pierre Jeunet.",
    "Space.",
    "Two sisters " + "run a farm in the hills and " * 60 + "argue.",
    "space.",
]


def cosines(a, b):
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.fixture
def encoder(tmp_path, text_encoder):
    """An encoder with its own cache and the session's model."""
    encoder = TextEncoder(cache=tmp_path)
    encoder._bert = text_encoder._bert
    return encoder


# --- vectors -------------------------------------------------------------------------------------------------------


def test_vectors_equal_plain_transformers_one_text_at_a_time(text_encoder):
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODEL, local_files_only=True)
    model = AutoModel.from_pretrained(MODEL, local_files_only=True).eval()
    plain = []
    for one in TEXTS:
        tokens = tokenizer([one], truncation=True, max_length=256, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**tokens).last_hidden_state
        mask = tokens["attention_mask"][..., None]
        plain.append(((hidden * mask).sum(1) / mask.sum(1))[0].numpy())
    vectors = text_encoder.encode(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), text_encoder.width) == (7, 384)
    assert (cosines(vectors, np.array(plain)) > 1 - 1e-5).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("recipe", ["as shipped", "as saved today", "first token, not normalised"])
def test_vectors_equal_sentence_transformers(recipe, text_encoder, tmp_path):
    from sentence_transformers import SentenceTransformer

    encoder, folder = text_encoder, MODEL
    if recipe == "as saved today":
        folder = tmp_path / "saved"
        SentenceTransformer(str(MODEL), device="cpu").save(str(folder))
        encoder = TextEncoder(folder, cache=None)
    if recipe == "first token, not normalised":
        folder = variant(
            tmp_path / "model", pooling={"pooling_mode_cls_token": True}, modules=["Transformer", "Pooling"]
        )
        encoder = TextEncoder(folder, cache=None)
    theirs = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, show_progress_bar=False)
    ours = encoder.encode(TEXTS)
    assert (cosines(ours, theirs) > 1 - 1e-5).all()
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), np.linalg.norm(theirs, axis=1), rtol=1e-5)


def test_a_vector_does_not_depend_on_the_texts_beside_it(text_encoder):
    together = text_encoder.encode(TEXTS)
    np.testing.assert_allclose(text_encoder.encode(TEXTS[::-1])[::-1], together, rtol=0, atol=1e-6)
    for one, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(text_encoder.encode([one])[0], vector, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("dtype", "most"), [("float32", 1e-6), ("bfloat16", 1e-4)])
def test_batch_size_changes_nothing_but_the_rounding_of_bfloat16(dtype, most):
    texts = [f"Episode {number}." for number in range(10)]  # of one length, so that batches are cut
    large, small = (TextEncoder(cache=None, dtype=dtype, batch_size=size) for size in (64, 3))
    np.testing.assert_allclose(small.encode(texts), large.encode(texts), rtol=0, atol=most)
    np.testing.assert_allclose(small.encode(texts[:1]), large.encode(texts)[:1], rtol=0, atol=most)


def test_long_texts_run_in_smaller_batches():
    from longplay.encoders.text.bert import _split_by_length

    lengths = np.repeat([5, 512, 256, 5000], 100)
    batches = list(_split_by_length(lengths, 64))
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(400))
    assert [len(batch) for batch in batches[:100]] == [1] * 100
    assert {(int(lengths[batch[0]]), len(batch)) for batch in batches[100:]} == {
        (512, 8),
        (512, 4),
        (256, 16),
        (256, 4),
        (5, 64),
        (5, 36),
    }
    assert all(len(set(lengths[batch])) == 1 for batch in batches)


@pytest.mark.parametrize("kind", ["BertConfig", "ElectraConfig", "ModernBertConfig", "GPT2Config"])
def test_the_attention_of_bfloat16_is_every_models_own(kind):
    import torch
    import transformers

    from longplay.encoders.text.bert import _ATTENTION

    tokens = {f"{name}_token_id": i for i, name in enumerate(("pad", "bos", "eos", "cls", "sep"))}
    sizes = {"hidden_size": 48, "num_attention_heads": 4, "num_hidden_layers": 3, "vocab_size": 99, **tokens}
    windows = {"local_attention": 4, "intermediate_size": 64} if kind == "ModernBertConfig" else {}
    ids = torch.arange(5, 65).reshape(2, 30)
    outputs = []
    for attention in (_ATTENTION, "sdpa"):
        torch.manual_seed(0)
        config = getattr(transformers, kind)(**sizes, **windows)
        model = transformers.AutoModel.from_config(config, attn_implementation=attention).eval()
        with torch.inference_mode():
            outputs.append(model(input_ids=ids).last_hidden_state.numpy())
    np.testing.assert_allclose(*outputs, atol=1e-5)


def test_paraphrases_are_nearer_than_strangers(text_encoder):
    a, paraphrase, stranger = text_encoder.encode(TEXTS[:3])
    assert a @ paraphrase > 0.5
    assert a @ stranger < 0.25


def test_bfloat16_is_near_float32(text_encoder):
    half = TextEncoder(cache=None, dtype="bfloat16").encode(TEXTS)
    assert half.dtype == np.float32
    assert cosines(half, text_encoder.encode(TEXTS)).min() > 0.999


def test_max_tokens_cuts_the_text(text_encoder):
    short = TextEncoder(cache=None, max_tokens=8)
    long, begun = short.encode([TEXTS[5], TEXTS[5][:60]])
    np.testing.assert_allclose(long, begun, atol=1e-6)
    assert cosines(short.encode([TEXTS[5]]), text_encoder.encode([TEXTS[5]]))[0] < 0.999


def test_truncated_texts_are_counted_and_said(encoder, capsys):
    counted = TextEncoder(cache=encoder._cache_folder, max_tokens=8)
    word = "film "
    counted.encode([word * 6, word * 7, word * 7, word * 50, "Space."])  # two tokens are special
    assert counted.report == {"texts": 5, "from_cache": 0, "encoded": 4, "truncated": 2, "tokens": 26, "unknown": 0}
    assert capsys.readouterr().err.endswith("; 2 truncated, having more than 8 tokens\n")
    counted.encode([word * 7, "Space.", "Time."])
    assert counted.report == {"texts": 3, "from_cache": 2, "encoded": 1, "truncated": 0, "tokens": 10, "unknown": 0}
    assert capsys.readouterr().err == ""
    counted.encode([word * 7])
    assert counted.report == {"texts": 1, "from_cache": 1, "encoded": 0, "truncated": 0, "tokens": 6, "unknown": 0}


def test_no_texts_give_no_vectors(text_encoder, encoder):
    assert text_encoder.encode([]).shape == text_encoder.encode_uncached([]).shape == (0, 384)
    assert encoder.encode([]).shape == (0, 384)


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blank", ["", "  \n\t"])
def test_a_blank_text_is_named_by_its_position(text_encoder, blank):
    for encode in (text_encoder.encode, text_encoder.encode_uncached):
        with pytest.raises(ValueError, match=r"texts\[2\] is blank"):
            encode(["one", "two", blank])


def test_what_is_no_list_of_texts_is_refused(text_encoder):
    with pytest.raises(TypeError, match="pass a list of texts"):
        text_encoder.encode("one text")
    with pytest.raises(TypeError, match=r"texts\[1\] is of type NoneType"):
        text_encoder.encode(["one", None])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "mini-lm"}, "did you mean 'minilm'"),
        ({"model": "MiniLM"}, "did you mean 'minilm'"),
        (
            {"model": Path("no") / "such"},
            "no such folder; allowed are 'minilm', 'multilingual', a local folder, or a name on",
        ),
        ({"model": "too/many/parts"}, "no such folder; allowed are"),
        ({"dtype": "int8"}, "dtype='int8' is not known; allowed are 'float32' and 'bfloat16'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"max_tokens": 513}, "max_tokens=513; this model allows 3 to 512"),
    ],
)
def test_a_wrong_setting_says_what_is_allowed(arguments, message):
    with pytest.raises(ModelError, match=message):
        TextEncoder(**arguments)


def test_a_name_the_hub_does_not_have_is_one_clear_error(monkeypatch):
    import huggingface_hub

    def refuse(*_, **__):
        raise OSError("Repository Not Found\nmore\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(ModelError, match=r"'some/name': .*\(Repository Not Found\); allowed are 'minilm'") as caught:
        TextEncoder("some/name")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


# --- the cache -----------------------------------------------------------------------------------------------------


def test_only_texts_that_changed_reach_the_model(encoder, tmp_path, reached):
    first = encoder.encode(TEXTS)
    assert sorted(reached) == sorted(TEXTS)
    reached.clear()
    again = TextEncoder(cache=tmp_path)
    np.testing.assert_array_equal(again.encode(TEXTS), first)
    assert reached == []
    assert "_bert" not in vars(again)  # nothing was loaded

    changed = [*TEXTS[:3], "A new text.", "A new text.", *TEXTS[4:]]
    vectors = encoder.encode(changed)
    assert reached == ["A new text."]
    np.testing.assert_array_equal(vectors[[0, 1, 2, 5, 6, 7]], first[[0, 1, 2, 4, 5, 6]])
    np.testing.assert_array_equal(vectors[3], vectors[4])


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_an_interrupted_encoding_keeps_what_it_has_done(encoder, tmp_path, error, monkeypatch):
    texts = [f"{'word ' * length}." for length in range(1, 9)]  # the longest is encoded first
    model = encoder._bert._model
    forward, lengths = model.forward, []

    def fail_at_the_fourth(input_ids):
        lengths.append(input_ids.shape[1])
        if len(lengths) == 4:
            raise error
        return forward(input_ids=input_ids)

    monkeypatch.setattr(model, "forward", fail_at_the_fourth)
    with pytest.raises(error):
        encoder.encode(texts)
    monkeypatch.undo()
    assert len(VectorCache(tmp_path, encoder.identity, 384).read()) == 3
    again = encoder.encode(texts)
    assert {"texts": 8, "from_cache": 3, "encoded": 5, "truncated": 0}.items() <= encoder.report.items()
    np.testing.assert_allclose(again, encoder.encode_uncached(texts), atol=1e-6)


def test_a_killed_encoding_has_saved_on_the_way(encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(text, "_SAVED_EVERY", 0.0)
    sizes = []
    add = VectorCache.add
    monkeypatch.setattr(
        VectorCache, "add", lambda self, fresh, *rest: (sizes.append(len(fresh)), add(self, fresh, *rest))[1]
    )
    encoder.encode(["One.", "One, two.", "One, two, three."])
    assert sizes == [1, 2, 3, 3]  # after each batch, and at the end


def test_cache_folder_comes_from_the_environment(encoder, tmp_path, monkeypatch, text_encoder):
    monkeypatch.setenv("LONGPLAY_CACHE", str(tmp_path / "chosen"))
    by_default = TextEncoder()
    by_default._bert = text_encoder._bert
    by_default.encode(["Somewhere."])
    assert len(list((tmp_path / "chosen").iterdir())) == 1


def damage_truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def damage_one_bit(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def damage_foreign(path):
    path.write_bytes(b"This is not a cache at all, but somebody's notes.")


def damage_empty(path):
    path.write_bytes(b"")


def damage_other_model(path):
    other = VectorCache(path.parent, "another model", 384)
    other.add({hash_text(one): np.zeros(384, np.float32) for one in TEXTS})
    other.path.replace(path)


@pytest.mark.parametrize("damage", [damage_truncate, damage_one_bit, damage_foreign, damage_empty, damage_other_model])
def test_a_damaged_cache_is_reported_in_one_line_and_made_again(encoder, tmp_path, reached, caplog, damage):
    first = encoder.encode(TEXTS[:3])
    (file,) = tmp_path.glob("*.safetensors")
    damage(file)
    reached.clear()
    with caplog.at_level(logging.WARNING):
        np.testing.assert_allclose(encoder.encode(TEXTS[:3]), first, atol=1e-6)
    assert sorted(reached) == sorted(TEXTS[:3])
    (message,) = caplog.messages
    assert str(file) in message
    assert "\n" not in message
    reached.clear()
    caplog.clear()
    encoder.encode(TEXTS[:3])
    assert (reached, caplog.messages) == ([], [])


def test_a_writer_killed_before_the_rename_leaves_the_old_cache(tmp_path):
    cache = VectorCache(tmp_path, "model", 2)
    cache.add({hash_text("old"): np.ones(2, np.float32)})
    script = """
import os, signal, sys
from pathlib import Path
import numpy as np
from longplay.encoders.text.cache import VectorCache, hash_text
from longplay.tests.encoders.text.test_model_folder import MODEL, variant
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
VectorCache(Path(sys.argv[1]), "model", 2).add({hash_text("new"): np.zeros(2, np.float32)})
"""
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert killed.returncode == -9
    assert len(list(tmp_path.glob("*.tmp"))) == 1  # it had written all but the name
    np.testing.assert_equal(cache.read(), {hash_text("old"): np.ones(2, np.float32)})


def test_writers_at_once_never_leave_a_broken_cache(tmp_path, caplog):
    def write(writer):
        cache = VectorCache(tmp_path, "model", 64)
        for number in range(20):
            cache.add({hash_text(f"{writer} {number}"): np.full(64, number, np.float32)})
            assert cache.read()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert caplog.messages == []
    assert len(VectorCache(tmp_path, "model", 64).read()) >= 20
    assert list(tmp_path.glob("*.tmp")) == []


def test_a_cache_that_cannot_be_written_costs_a_line_and_not_the_vectors(tmp_path, text_encoder, caplog):
    (tmp_path / "file").write_text("a file where the folder should be")
    encoder = TextEncoder(cache=tmp_path / "file")
    encoder._bert = text_encoder._bert
    assert encoder.encode(["One."]).shape == (1, 384)
    assert any("cannot be written" in message for message in caplog.messages)


def test_cached_vectors_need_neither_torch_nor_transformers(encoder, tmp_path):
    encoder.encode(TEXTS)
    script = (
        "import sys; from longplay.encoders import TextEncoder; TextEncoder().encode(['Space.']);"
        "print(*{'torch', 'transformers', 'sentence_transformers'} & set(sys.modules))"
    )
    environment = os.environ | {"LONGPLAY_CACHE": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


# --- what is shown -------------------------------------------------------------------------------------------------


def test_a_long_job_ends_with_one_line_on_standard_error(encoder, monkeypatch, capsys):
    encoder.encode(TEXTS[:5])
    assert capsys.readouterr() == ("", "")  # a short one is silent
    monkeypatch.setattr(text, "_LONG_JOB", 5)
    encoder.encode([*TEXTS[:5], "One more."])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("text encoder: 6 texts in ")
    assert "5 of them from the cache; " in err
    assert err.endswith(" texts/s encoded\n")
    assert err.count("\n") == 1

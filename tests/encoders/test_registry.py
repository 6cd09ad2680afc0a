"""Encoders by name: every name leads to a class that can be made, and every folder back to its class."""

import json

import pytest

from longplay.encoders import EncoderError, PooledHistory
from longplay.encoders.base import Encoder
from longplay.encoders.registry import ENCODERS, list_ready_encoders, load_encoder
from longplay.tests.encoders.small import make_items

OTHER = dict.fromkeys(("settings", "fingerprint", "logs", "file", "sha256")) | {"encoder": "Other"}
MADE = [name for name in ENCODERS if name != "text"]  # its items need vectors of the BERT's width


@pytest.mark.parametrize("name", MADE)
def test_a_name_makes_an_encoder(name):
    entry = ENCODERS[name]
    assert issubclass(entry.kind, Encoder)
    made = entry.make(make_items())
    for key, value in entry.preset.items():
        assert getattr(made.options, key) == value


@pytest.mark.parametrize("name", ENCODERS)
def test_what_is_known_without_importing_is_true(name):
    card, kind = ENCODERS.card(name), ENCODERS[name].kind
    assert card.words["about"]
    assert card.words["encoder"] == kind.__name__
    assert card.words.get("needs_fit", True) == kind.needs_fit
    assert (name in list_ready_encoders()) == (not kind.needs_fit)


def test_options_can_be_changed_and_mistyped_ones_are_named():
    assert ENCODERS["pooled"].make(make_items(), half_life_items=2.0).options.half_life_items == 2.0
    with pytest.raises(ValueError, match=r"'PooledHistory': name = 'half_life' is unknown \(did you mean 'half_life"):
        ENCODERS["pooled"].make(make_items(), half_life=2.0)


def test_a_folder_leads_back_to_its_class(tmp_path):
    made = ENCODERS["mean"].make(make_items())
    made.save(tmp_path)
    loaded = load_encoder(tmp_path, make_items())
    assert type(loaded) is PooledHistory
    assert loaded.options == made.options


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

"""The names that users import from `longplay.encoders`, and that reading them loads no network library."""

import subprocess
import sys

import longplay.encoders

NAMES = [
    "ENCODERS",
    "Encoder",
    "EncoderError",
    "Interactions",
    "Items",
    "LogError",
    "ModelError",
    "PooledHistory",
    "StateEncoder",
    "TextEncoder",
    "TextHistory",
    "behaviour_to_text",
    "evaluate",
    "load_encoder",
]
LISTING = """
import sys
from longplay.encoders import Encoder, StateEncoder, TextEncoder, TextHistory
from longplay.encoders.registry import ENCODERS, list_ready_encoders
assert len(ENCODERS) > 10 and list_ready_encoders()
assert all(card.words["about"] for card in ENCODERS.cards.values())
ENCODERS["svd"]
print(*{name.split(".")[0] for name in sys.modules})
"""


def test_these_are_public():
    assert longplay.encoders.__all__ == NAMES
    for name in NAMES:
        assert getattr(longplay.encoders, name) is not None


def test_listing_encoders_imports_no_network():
    run = subprocess.run([sys.executable, "-c", LISTING], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "longplay" in loaded
    assert not loaded & {"torch", "transformers", "torch_geometric", "implicit", "statsmodels"}

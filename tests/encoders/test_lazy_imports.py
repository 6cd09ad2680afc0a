"""Reading what encoders there are loads no network library; `tests/test_public.py` lists the public names."""

import subprocess
import sys

LISTING = """
import sys
from longplay.encoders import Encoder, StateEncoder, TextEncoder, TextHistory
from longplay.encoders.registry import ENCODERS, list_ready_encoders
assert len(ENCODERS) > 10 and list_ready_encoders()
assert all(card.words["about"] for card in ENCODERS.cards.values())
ENCODERS["svd"]
print(*{name.split(".")[0] for name in sys.modules})
"""


def test_listing_encoders_imports_no_network():
    run = subprocess.run([sys.executable, "-c", LISTING], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "longplay" in loaded
    assert not loaded & {"torch", "transformers", "torch_geometric", "implicit", "statsmodels"}

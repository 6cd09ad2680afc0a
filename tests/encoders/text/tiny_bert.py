"""A BERT of two layers that some texts train in under a second."""

import functools
import tempfile
from pathlib import Path

from longplay.encoders.networks.pretrain import ScratchOptions, pretrain_from_scratch
from longplay.tests.encoders.small import make_items

TEXTS = tuple(f"{text} Part {i % 7}." for i, text in enumerate(make_items(200).texts))
SETTINGS = ScratchOptions(
    epochs=6, layers=2, width=32, heads=2, tokens=64, vocabulary=200, batch_size=16, learning_rate=3e-3
)


@functools.cache
def tiny_bert():
    """Folder of the model, and what its training did."""
    folder = tempfile.TemporaryDirectory()
    known = pretrain_from_scratch(TEXTS, Path(folder.name), SETTINGS)
    return Path(folder.name) / "model", known, folder  # the folder lives as long as the cache

"""The real MiniLM, loaded once."""

import pytest

from longplay.encoders import TextEncoder


@pytest.fixture(scope="session")
def text_encoder():
    """Encoder without a cache, so that every text reaches the model."""
    return TextEncoder(cache=None)


@pytest.fixture
def reached(monkeypatch):
    """The texts that reach the model."""
    from longplay.encoders.text.bert import Bert

    seen = []
    run = Bert.__call__
    monkeypatch.setattr(Bert, "__call__", lambda self, texts, *rest: (seen.extend(texts), run(self, texts, *rest))[1])
    return seen

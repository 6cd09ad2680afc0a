"""What every test shares: Hypothesis draws the same examples each time, and takes the time it needs; one thread."""

import importlib.util
import os

import pytest
from hypothesis import settings

settings.register_profile("deterministic", derandomize=True, database=None, deadline=None, max_examples=40)
settings.load_profile("deterministic")
# Programs that tests start speak as the locale does, by which they are read; other encodings have tests of their own.
os.environ.pop("PYTHONIOENCODING", None)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Other tests want the cores."""
    if importlib.util.find_spec("torch") is None:  # the environment alone is installed
        yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

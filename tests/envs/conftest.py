"""Worlds, built once."""

import matplotlib.pyplot as plt
import pytest

from longplay.envs.users.world import build_world
from longplay.tests.envs.drawing import fake_window
from longplay.tests.envs.worlds import make_catalog, remembering, small


@pytest.fixture(scope="session")
def catalog():
    return make_catalog()


@pytest.fixture(scope="session")
def world(catalog):
    return build_world(catalog, small())


@pytest.fixture(scope="session")
def short_world(catalog):
    """A life of three days, so that episodes end often."""
    return build_world(catalog, small(horizon__days=3))


@pytest.fixture(scope="session")
def remembering_world(catalog):
    """What slates leave behind matters; a life of three days."""
    return build_world(catalog, remembering(horizon__days=3))


@pytest.fixture(scope="session")
def control_world(catalog):
    return build_world(catalog, small("control"))


@pytest.fixture
def window():
    """A window toolkit that needs no display; gives the canvases it made."""
    before = plt.get_backend()
    fake_window.CANVASES.clear()
    plt.switch_backend(f"module://{fake_window.__name__}")
    yield fake_window.CANVASES
    plt.close("all")
    plt.switch_backend(before)

"""Small worlds and what is learned in them, built once."""

import pytest

from longplay.envs.candidates.scoring import Scorer
from longplay.envs.users.world import build_world
from longplay.tests.agents.small import make_setting, phases, unit_vectors
from longplay.tests.envs.worlds import make_catalog, remembering, small


@pytest.fixture(scope="session")
def catalog():
    return make_catalog()


@pytest.fixture(scope="session")
def item_vectors(catalog):
    return unit_vectors(catalog)


@pytest.fixture(scope="session")
def world(catalog):
    """A life of six days, so that episodes end often."""
    return build_world(catalog, small(horizon__days=6))


@pytest.fixture(scope="session")
def remembering_world(catalog):
    """A life of six days in which impressions leave a trace, and the environment says what it has shown."""
    return build_world(catalog, remembering(horizon__days=6))


@pytest.fixture(scope="session")
def control_world(catalog):
    return build_world(catalog, small("control", horizon__days=6))


@pytest.fixture(scope="session")
def setting(world):
    return make_setting(world)


@pytest.fixture(scope="session")
def remembering_setting(remembering_world):
    return make_setting(remembering_world)


@pytest.fixture(scope="session")
def scorer(world, item_vectors):
    return Scorer(world, item_vectors)


@pytest.fixture(scope="session")
def states(world, item_vectors):
    """Observations (B, ·) with ``latent``, in all phases of sessions, and the users' records behind them."""
    return phases(world, item_vectors)


@pytest.fixture(scope="session")
def remembering_states(remembering_world, item_vectors):
    """The same of a world in which impressions leave a trace."""
    return phases(remembering_world, item_vectors)

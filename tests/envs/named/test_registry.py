"""Environments and catalogues by name: known before their files are imported, and added by new files alone."""

import re

import gymnasium
import pytest

from longplay.envs.catalogs.catalog import Catalog
from longplay.envs.catalogs.registry import CATALOGS
from longplay.envs.named.registry import ENVIRONMENTS
from longplay.envs.users.params import Scenario


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_what_is_known_before_the_import_is_so(name):
    card = ENVIRONMENTS.card(name)
    assert card.words == {"scenario": ENVIRONMENTS[name].scenario}
    assert card.module == ENVIRONMENTS[name].__module__
    kind, version = re.fullmatch(r"longplay/(\w+)-v(\d+)", name).groups()
    assert ENVIRONMENTS[name].__name__ == (kind if version == "0" else f"{kind}V{version}")
    assert gymnasium.spec(name).kwargs == {"base": ENVIRONMENTS[name].scenario}
    assert gymnasium.spec(name).vector_entry_point == "longplay.envs:make_vector_env"


def test_the_catalogue_of_every_scenario_is_there_and_loaded_once():
    for card in ENVIRONMENTS.cards.values():
        name = Scenario.load(card.words["scenario"]).catalog
        assert isinstance(CATALOGS[name](), Catalog)
        assert CATALOGS[name]() is CATALOGS[name]()


def test_an_unknown_name_is_refused_with_what_was_meant():
    with pytest.raises(ValueError, match=r"env = 'longplay/Vido-v0' is unknown \(did you mean 'longplay/Video-v0'\?\)"):
        ENVIRONMENTS.card("longplay/Vido-v0", "env")
    with pytest.raises(ValueError, match=r"catalogue = 'film' is unknown \(did you mean 'films'\?\)"):
        CATALOGS["film"]

"""Worlds on disk: the bits of those that are built, and none for other ingredients."""

import ast
import dataclasses

import numpy as np
import pytest

from longplay.envs.catalogs import films, registry
from longplay.envs.catalogs.films import load_films
from longplay.envs.kept import shelf
from longplay.envs.users import world
from longplay.envs.users.world import BUILDERS, _build_world, _fill_world, key_world
from longplay.tests.envs.worlds import small

# What the code that builds worlds imports, and what changes none of them.
WITHOUT_EFFECT = {
    "envs/catalogs/table.py",
    "envs/shared/files.py",
    "envs/shared/names.py",
    "envs/shared/notices.py",
    "envs/shared/ownership.py",
    "envs/shared/parts.py",
    "envs/users/behaviours.py",
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGPLAY_CACHE", str(tmp_path))
    monkeypatch.setattr(shelf, "WORTH", 0.0)
    return tmp_path


def refuse(*_):
    raise AssertionError("built, though it was kept")


@pytest.mark.parametrize("changes", [{}, {"second__weight": 0.5}], ids=["plain", "second"])
def test_a_kept_world_has_the_bits_of_the_built_one(catalog, place, monkeypatch, changes):
    scenario = small(**changes)
    fresh = _fill_world(catalog, scenario, 3)
    built = _build_world.__wrapped__(catalog, scenario, 3)
    monkeypatch.setattr(world, "_fill_world", refuse)
    kept = _build_world.__wrapped__(catalog, scenario, 3)
    assert len(list((place / "worlds").iterdir())) == 1
    for one in (built, kept):
        assert one.items.tobytes() == fresh.arrays["items"].tobytes()
        assert one.people.tobytes() == fresh.arrays["people"].tobytes()
        assert one.items.flags.aligned
        assert not one.items.flags.writeable
        assert not one.people.flags.writeable
    assert kept.items.dtype == built.items.dtype
    assert kept.people.dtype == built.people.dtype
    assert kept.topic_names == built.topic_names == fresh.facts["topic_names"]
    with pytest.raises(AssertionError, match="built, though"):
        _build_world.__wrapped__(catalog, scenario, 4)


def leave_never(p, work, user):
    return False


def test_the_key_is_of_catalogue_constants_and_seed_and_not_of_behaviours(catalog):
    scenario = small()
    key = key_world(catalog, scenario, 0)
    others = [
        key_world(dataclasses.replace(catalog, minutes=catalog.minutes + 1.0), scenario, 0),
        key_world(dataclasses.replace(catalog, price=np.ones(len(catalog))), scenario, 0),
        key_world(catalog, small(taste__text_share=0.123), 0),
        key_world(catalog, dataclasses.replace(scenario, hours=tuple(range(1, 25))), 0),
        key_world(catalog, dataclasses.replace(scenario, shape=dataclasses.replace(scenario.shape, users=11)), 0),
        key_world(catalog, scenario, 1),
    ]
    assert len({key, *others}) == 7
    assert key_world(catalog, scenario.with_behaviours({"leaves": leave_never}), 0) == key
    assert key_world(catalog, dataclasses.replace(scenario, name="other"), 0) == key


def list_imports(name):
    """Files of the package that a file imports by relative names, in functions too, but for typing."""
    path = shelf.PACKAGE / name
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1]
            module = base.joinpath(*(node.module or "").split("."))
            for file in (module.with_suffix(".py"), *(module / f"{one.name}.py" for one in node.names)):
                if file.is_file():
                    yield file.relative_to(shelf.PACKAGE).as_posix()


def test_all_code_that_builds_a_world_is_in_its_key():
    found, waiting = set(), {"envs/users/world.py"}
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= set(list_imports(name)) - found - WITHOUT_EFFECT
    assert found == set(BUILDERS)


def test_a_kept_catalogue_is_the_one_that_was_read(place, monkeypatch):
    read, taken = load_films(), films._take_films.__wrapped__()
    monkeypatch.setattr(registry, "_pack", refuse)
    monkeypatch.setattr(films, "load_films", refuse)
    again = films._take_films.__wrapped__()
    for catalog in (taken, again):
        assert catalog.digest == read.digest
        assert catalog.price is None
        for field in ("name", "ids", "texts", "topics", "report", "source"):
            assert getattr(catalog, field) == getattr(read, field)
    assert len(list((place / "catalogues").iterdir())) == 1

"""Registries: names are read without imports, files are imported one at a time, mistakes are named."""

import importlib
import sys

import pytest

from longplay.envs.shared.registry import Card, Registry, named_by

ONE = """
from things import THINGS

class Apple: pass

class Entry:
    kind, title = Apple, "An apple"

THINGS.register(
    "apple",
    Entry(),
    title="An apple",
    size=3,
    eaten=(1, 2),
    made=len("x"),
)
"""
OTHER = """
from things import THINGS

THINGS.register("pear", dict(title="A pear", about="green"))
THINGS.register("plum", 1)
"""
NEEDS = 'import no_such_module\nfrom things import THINGS\n\nTHINGS.register("fig", 1, needs="no_such_module")\n'


@pytest.fixture
def things(tmp_path, monkeypatch):
    """A registry of a package on the path, freshly written; no module of it outlives the test."""
    (tmp_path / "things.py").write_text(
        "from longplay.envs.shared.registry import Registry\n"
        'THINGS = Registry("THINGS", "thing", "fruit", group="longplay.test.things")\n'
    )
    (tmp_path / "fruit" / "stone").mkdir(parents=True)
    for name, text in {"__init__": "", "one": ONE, "stone/__init__": "", "stone/other": OTHER, "needs": NEEDS}.items():
        (tmp_path / "fruit" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    import things

    yield things.THINGS
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("things", "fruit", "orchard", "berries"):
            del sys.modules[name]


class TestLookingUp:
    def test_names_and_literals_are_known_without_an_import(self, things):
        assert list(things) == ["fig", "apple", "pear", "plum"]
        assert len(things) == 4
        assert things.cards["apple"].words == {"title": "An apple", "size": 3, "eaten": (1, 2)}
        assert things.cards["pear"].words == {"title": "A pear", "about": "green"}
        assert things.cards["plum"].module == "fruit.stone.other"
        assert not {"fruit.one", "fruit.stone.other", "fruit.needs"} & set(sys.modules)

    def test_only_the_file_of_the_entry_is_imported(self, things):
        assert things["apple"].title == "An apple"
        assert "fruit.one" in sys.modules
        assert "fruit.stone.other" not in sys.modules
        assert things["apple"] is things["apple"]

    def test_what_is_asked_for_by_name_is_there_or_not(self, things):
        assert "pear" in things
        assert "peer" not in things
        with pytest.raises(ValueError, match=r"thing = 'peer' is unknown \(did you mean 'pear'\?\); allowed: 'fig'"):
            things["peer"]
        with pytest.raises(ValueError, match="--fruit = 'peer' is unknown"):
            things.card("peer", "--fruit")

    def test_what_needs_a_module_of_an_extra_names_the_extra(self, things, monkeypatch):
        monkeypatch.setitem(things.cards, "fig", Card("fig", "fruit.needs", {"needs": "torch_geometric"}))
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # nothing is installed
        with pytest.raises(ValueError, match=r'needs torch_geometric, .*; fix: pip install "longplay\[encoders\]"$'):
            things["fig"]

    def test_what_needs_something_that_is_not_installed_is_listed_and_refused(self, things):
        assert things.cards["fig"].missing == "no_such_module"
        assert things.cards["apple"].missing == ""
        with pytest.raises(ValueError, match=r"'fig' needs no_such_module, .* fix: pip install no-such-module"):
            things["fig"]


class TestRegistering:
    def test_a_name_of_another_module_is_refused(self, things):
        with pytest.raises(ValueError, match=r"thing 'apple' is registered by fruit\.one already; take another name"):
            things.register("apple", 2)

    def test_a_name_in_two_files_is_refused(self, things, tmp_path):
        (tmp_path / "fruit" / "two.py").write_text('\nTHINGS.register("apple", 2)\n')
        with pytest.raises(ValueError, match=r"'apple' is registered by fruit\.one and fruit\.two; rename one"):
            list(things)

    def test_it_shows_its_names(self, things):
        assert repr(things).startswith("<things: fig, apple, ")

    def test_a_module_may_add_its_own(self, things):
        things.register("melon", 7, title="A melon")
        assert things["melon"] == 7
        assert list(things)[-1] == "melon"
        assert things.card("melon").words == {"title": "A melon"}


class TestOtherModules:
    def write(self, tmp_path, text):
        (tmp_path / "orchard.py").write_text(f"from things import THINGS\n\n{text}")

    def test_one_is_named_by_module_and_class(self, things, tmp_path):
        self.write(tmp_path, ONE.replace("apple", "quince"))
        assert things["orchard:Apple"].title == "An quince"
        assert things["orchard:Apple"] is things["quince"]

    def test_one_is_named_by_module_and_name(self, things, tmp_path):
        self.write(tmp_path, ONE.replace("apple", "garden/quince-v0"))
        assert things["orchard:garden/quince-v0"] is things["garden/quince-v0"]

    def test_a_name_twice_in_one_file_is_refused(self, things, tmp_path):
        self.write(tmp_path, 'THINGS.register("lime", 1)\nTHINGS.register("lime", 2)\n')
        with pytest.raises(ValueError, match=r"thing 'lime' is registered twice by orchard; rename one"):
            things["orchard:Lime"]

    def test_a_module_may_be_loaded_again(self, things, tmp_path):
        self.write(tmp_path, ONE.replace("apple", "quince"))
        before = things["orchard:Apple"]
        importlib.reload(sys.modules["orchard"])
        assert things["quince"] is not before

    def test_a_module_that_is_no_python_is_told_where(self, things, tmp_path):
        self.write(tmp_path, "class Apple\n")
        with pytest.raises(ValueError, match=r"'orchard:Apple': .*orchard\.py, line 3 is not Python \(expected ':'\)"):
            things["orchard:Apple"]

    def test_a_module_whose_own_import_fails_is_not_said_to_be_missing(self, things, tmp_path):
        self.write(tmp_path, "import nowhere_at_all\n")
        with pytest.raises(ValueError, match=r"No module named 'nowhere_at_all'\); fix: mend that import"):
            things["orchard:Apple"]

    def test_a_module_that_is_not_there_is_named(self, things):
        with pytest.raises(ValueError, match=r"'nowhere:Apple': module nowhere cannot be imported .* on PYTHONPATH"):
            things["nowhere:Apple"]

    def test_a_module_that_registers_nothing_of_that_name_is_told_how(self, things, tmp_path):
        self.write(tmp_path, "class Apple: pass\n")
        with pytest.raises(
            ValueError, match=r"registered no such thing; fix: end the file with THINGS\.register\('app"
        ):
            things["orchard:Apple"]

    def test_one_is_announced_by_an_installed_distribution(self, things, tmp_path):
        info = tmp_path / "berries-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: berries\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[longplay.test.things]\nstrawberry = berries:Berry\n")
        (tmp_path / "berries.py").write_text(
            "from things import THINGS\n\nclass Berry: pass\n\nTHINGS.register('strawberry', Berry)\n"
        )
        assert list(things)[-1] == "strawberry"
        assert "berries" not in sys.modules
        assert things["strawberry"].__name__ == "Berry"


def test_a_class_means_itself_or_what_is_made_of_it():
    class Made:
        kind = int

    assert named_by(int, int)
    assert named_by(Made(), int)
    assert not named_by(Made(), float)
    assert not named_by(None, None)


def test_no_package_of_that_name_holds_nothing():
    assert list(Registry("X", "thing", "no_such_package")) == []

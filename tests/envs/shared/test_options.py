"""Options: what their fields allow is checked in one place, whoever makes them."""

from dataclasses import dataclass, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longplay.envs.shared.options import (
    KEY,
    Options,
    among,
    evenly,
    find_changes,
    logarithmically,
    make_options,
    number,
    show_number,
    switch,
    word,
)


@dataclass(frozen=True)
class Example(Options):
    RENAMED = {"old": "share"}

    share: float = number(0.5, 0.0, 1.0, search=evenly(0.1, 0.9))
    count: int = number(3, 1, 10**6, search=logarithmically())
    limit: float | None = number(None, 1e-9, 10.0)
    kind: str = word("plain", "plain", "fancy", search=True)
    flag: bool = False
    lit: bool = switch(True, search=True)
    name: str = "x"


@dataclass(frozen=True)
class Narrower(Example):
    share: float = 0.25
    count: int = number(5, 1, 9, search=among(1, 5))


class TestChecks:
    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"share": 1.5}, r"share = 1\.5 is out of range; allowed: 0 to 1$"),
            ({"share": float("nan")}, "share = nan is out of range"),
            ({"share": "x"}, "share = 'x' must be a number, 0 to 1"),
            ({"share": True}, "share = True must be a number, 0 to 1"),
            ({"count": 0}, "count = 0 is out of range; allowed: 1 to 1000000"),
            ({"count": 2.5}, r"count = 2\.5 must be a whole number, 1 to 1000000"),
            ({"limit": 0.0}, r"limit = 0\.0 is out of range; allowed: 1e-09 to 10"),
            ({"limit": "none"}, "limit = 'none' must be a number"),
            ({"kind": "fancier"}, r"kind = 'fancier' is unknown \(did you mean 'fancy'\?\); allowed: 'plain', 'fancy'"),
            ({"flag": 1}, "flag = 1 must be True or False"),
            ({"lit": "on"}, "lit = 'on' must be True or False"),
            ({"name": 3}, "name = 3 must be text"),
            ({"shar": 0.5}, r"options of 'me': name = 'shar' is unknown \(did you mean 'share'\?\)"),
        ],
    )
    def test_what_is_not_allowed_is_named(self, values, said):
        with pytest.raises(ValueError, match=said):
            make_options("me", Example, values)

    def test_what_is_allowed_is_taken(self):
        assert make_options("me", Example, {"share": 1, "limit": 2, "flag": True}).share == 1
        assert Example().limit is None

    def test_a_former_name_is_read(self):
        assert make_options("me", Example, {"old": 0.7}) == Example(share=0.7)

    @given(st.floats(0.0, 1.0), st.integers(1, 10**6))
    def test_all_of_a_range_is_allowed(self, share, count):
        made = Example(share, count)
        assert (made.share, made.count) == (share, count)

    @given(st.floats().filter(lambda value: not 0.0 <= value <= 1.0))
    def test_nothing_outside_is(self, share):
        with pytest.raises(ValueError, match="share = "):
            Example(share)


class TestInheritance:
    def test_another_default_keeps_what_is_allowed(self):
        assert Narrower().share == 0.25
        with pytest.raises(ValueError, match="share = 2 is out of range; allowed: 0 to 1"):
            Narrower(share=2)
        assert {field.name: field.metadata[KEY].search for field in fields(Narrower) if KEY in field.metadata} == {
            "share": evenly(0.1, 0.9),
            "count": among(1, 5),
            "limit": None,
            "kind": among("plain", "fancy"),
            "lit": among(True, False),
        }

    def test_another_declaration_replaces_it(self):
        with pytest.raises(ValueError, match="count = 10 is out of range; allowed: 1 to 9"):
            Narrower(count=10)


def test_only_what_differs_is_a_change():
    assert find_changes(Example()) == {}
    assert find_changes(Example(count=4, kind="fancy")) == {"count": 4, "kind": "fancy"}


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.5, "0.5"), (1e-8, "1e-08"), (10**6, "1000000"), (1e6, "1e+06")]
)
def test_numbers_are_shown_as_short_as_can_be(value, text):
    assert show_number(value) == text

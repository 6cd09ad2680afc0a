"""Titles of texts."""

import doctest

import pytest

from longplay.envs.catalogs import titles
from longplay.envs.catalogs.titles import extract_title, split_title


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Alien (1979), a horror film. From the United States.", "Alien (1979)"),
        ("Man opens  shop: all is well.", "Man opens shop"),
        ("A long headline without an end", "A long headline without an end"),
        ("", ""),
    ],
)
def test_a_text_has_a_title(text, title):
    assert extract_title(text) == title


def test_nothing_of_the_text_is_lost():
    assert "".join(split_title("Heat (1995),  a\ncrime film.")) == "Heat (1995), a crime film."


def test_a_year_or_a_clause_beyond_the_width_is_none():
    assert split_title("a" * 90 + "(1990)", 90)[0] == "a" * 90 + "(1990)"
    assert split_title("a" * 91 + "(1990)", 90)[0] == ""
    assert split_title("a" * 60 + ", b", 90)[0] == "a" * 60
    assert split_title("a" * 61 + ", b", 90)[0] == ""


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(titles) == (0, 3)

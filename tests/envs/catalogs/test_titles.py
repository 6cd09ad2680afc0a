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
        ("《异形》（1979），恐怖电影。", "《异形》（1979）"),
        ("《异形》是恐怖电影。", "《异形》"),
        ("《你好，李焕英》：喜剧", "《你好，李焕英》"),
        ("导演谈《你好，李焕英》续集，票房大涨", "导演谈《你好，李焕英》续集"),
        ("国足2比0战胜泰国！比赛回顾(2019)", "国足2比0战胜泰国"),
        ("異形（1979年）恐怖片", "異形（1979年）"),
        ("没有标点的标题", "没有标点的标题"),
        ("导演谈《你好，李焕英》续集", "导演谈《你好，李焕英》续集"),
        ("《没有结尾，的书名", "《没有结尾"),
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
    assert doctest.testmod(titles) == (0, 5)

"""Attributes told in sentences, and titles of texts."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longplay.envs.catalogs import texts
from longplay.envs.catalogs.table import CatalogError
from longplay.envs.catalogs.texts import AttributeWords, attribute_to_text, extract_title, split_title

NAMES = st.lists(st.sampled_from(["Ann Lee", "  Bo \t Ray", "", " ", "nan", "None", "N/A", "Cy"]), max_size=4)


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
    assert doctest.testmod(texts) == (0, 5)


class TestAttributeToText:
    @pytest.mark.parametrize(
        ("title", "attributes", "text"),
        [
            (
                "Heat",
                {
                    "year": 1995,
                    "genres": ["Crime", "Drama"],
                    "director": "Michael Mann",
                    "cast": ["Al Pacino", "Robert De Niro", "Val Kilmer"],
                    "country": "United States",
                    "spoken": "English",
                },
                "Heat (1995), a crime drama film directed by Michael Mann, starring Al Pacino, Robert De Niro and "
                "Val Kilmer. From the United States, in English.",
            ),
            ("Heat", {}, "Heat, a film."),
            ("  The\n Big   Heat ", {"year": 1953.0}, "The Big Heat (1953), a film."),
            ("Heat", {"year": float("nan"), "genres": "Action"}, "Heat, an action film."),
            ("Rio", {"genres": ["Sci-Fi", "Comedy", "TV"]}, "Rio, a sci-fi, comedy and TV film."),
            ("Rio", {"cast": "A. B. Cole, Jr."}, "Rio, a film starring A. B. Cole, Jr."),
            ("Rio", {"cast": ["Ann", "Bo"]}, "Rio, a film starring Ann and Bo."),
            ("Rio", {"director": ["Ann", " ", "Bo"]}, "Rio, a film directed by Ann and Bo."),
            ("Rio", {"director": " None ", "cast": [None, "nan", "N/A", "Bo"]}, "Rio, a film starring Bo."),
            ("Rio", {"spoken": "French"}, "Rio, a film. In French."),
            ("Rio", {"country": ["France", "Netherlands"]}, "Rio, a film. From France and the Netherlands."),
            ("Rio", {"country": "People's Republic of China"}, "Rio, a film. From the People's Republic of China."),
            (
                "异形",
                {
                    "year": 1979,
                    "genres": ["恐怖", "科幻"],
                    "director": "雷德利·斯科特",
                    "spoken": "英语",
                    "language": "zh",
                },
                "《异形》（1979），恐怖、科幻电影，雷德利·斯科特执导。英语。",
            ),
            ("异形", {"language": "zh"}, "《异形》，电影。"),
            (
                "Kettle K1",
                {"genres": "Kitchen", "director": "Bo", "cast": ["steel lid", "timer"], "kind": "product"},
                "Kettle K1, a kitchen product made by Bo, with steel lid and timer.",
            ),
            ("水壶", {"director": "美的", "kind": "product", "language": "zh"}, "《水壶》，商品，美的制造。"),
            (
                "Vote",
                {"director": "Ann", "cast": "the budget", "kind": "article"},
                "Vote, an article written by Ann, about the budget.",
            ),
            ("Hike", {"director": "Ann", "kind": "post"}, "Hike, a post by Ann."),
            (
                "Rio",
                {"director": "Ann", "words": AttributeWords("opera", "composed by {names}", "sung by {names}")},
                "Rio, an opera composed by Ann.",
            ),
            ("And Then There Were None", {"year": 1945}, "And Then There Were None (1945), a film."),
        ],
    )
    def test_exactly(self, title, attributes, text):
        assert attribute_to_text(title, **attributes) == text

    def test_a_language_that_it_does_not_write_is_refused_with_the_fix(self):
        with pytest.raises(CatalogError, match=r"language = 'French' is not allowed: 'en', 'zh'. Fix: spoken='French'"):
            attribute_to_text("Rio", language="French")
        with pytest.raises(
            CatalogError, match=r"kind = 'song' is not allowed: 'film', .* Fix: take one of these, with words= of"
        ):
            attribute_to_text("Rio", kind="song")

    def test_a_title_is_needed(self):
        with pytest.raises(CatalogError, match=r"title ' ' is blank. Fix: "):
            attribute_to_text(" ")

    @given(
        year=st.sampled_from([None, float("nan"), 1995, 1995.0]),
        names=st.fixed_dictionaries(dict.fromkeys(("genres", "director", "cast", "country", "spoken"), NAMES)),
    )
    def test_never_says_what_is_not_known(self, year, names):
        text = attribute_to_text("Rio", year=year, **names)
        assert text.startswith("Rio")
        assert text.endswith(".")
        for flaw in ("None", "nan", "N/A", "  ", " ,", " .", "..", ",,", "and."):
            assert flaw not in text

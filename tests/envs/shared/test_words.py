"""Words of texts in any script."""

import doctest
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longplay.envs.shared import words
from longplay.envs.shared.words import is_unspaced, split_words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("《异形》是恐怖片。The 2nd", ["异形", "是恐", "恐怖", "怖片", "the", "2nd"]),
        ("ドラマを見る", ["ドラ", "ラマ", "を", "見", "る"]),
        ("영화를 가 본다", ["영화를", "영화", "화를", "가", "본다"]),
        ("ภาพยนตร์ที่ดี", ["ภา", "าพ", "พย", "ยน", "นต", "ตร์", "ร์ที่", "ที่ดี"]),
        ("हिन्दी फ़िल्म", ["हिन्दी", "फ़िल्म"]),
        ("ｶﾞﾝﾀﾞﾑ", ["ガン", "ンダ", "ダム"]),  # half width, the voicing mark a letter of its own
        ("中A1中 10分", ["中", "a1", "中", "10", "分"]),
        ("。！？ —", []),
        ("Ünïcode, don't ΟΔΟΣ", ["ünïcode", "don", "t", "οδος"]),
    ],
)
def test_words_of_each_script(text, expected):
    assert split_words(text) == expected


@given(st.text(st.characters(max_codepoint=0x8FF)))
def test_scripts_parted_by_spaces_are_read_as_they_always_were(text):
    assert not is_unspaced(text)
    assert split_words(text) == re.findall(r"(?u)\b\w+\b", text.lower())


@given(st.text(st.sampled_from("异形恐怖片の中カナ영화ที่ะກ")))
def test_no_letter_is_lost(text):
    assert set(text) <= set("".join(split_words(text))) | set("ี่ะ")  # a mark without a letter belongs to nothing


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(words).failed == 0

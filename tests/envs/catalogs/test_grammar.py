"""The grammar that writes the synthetic catalogues."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longplay.envs.catalogs.grammar import (
    VOCABULARY,
    Grammar,
    GrammarError,
    draw_bell,
    make_chance,
    read_vocabulary,
    takes_an,
    tidy,
)
from longplay.envs.catalogs.grammar import share_by_zipf as counts


def grammar(rules, seed=0):
    return Grammar(rules, make_chance(seed))


class TestSlots:
    def test_a_label_is_remembered_and_differs_from_others(self):
        speaker = grammar({"town": "Aldwick, Ostby", "line": ["{town:a} {town:a} {town:b}"]})
        for _ in range(20):
            one, again, other = speaker.say("line", {}).split()
            assert one == again != other

    def test_what_is_bound_lasts_for_the_next_text(self):
        speaker, bound = grammar({"town": "Aldwick, Ostby, Larkford", "line": ["to {town:a}"]}), {}
        assert len({speaker.say("line", bound) for _ in range(20)}) == 1
        assert set(bound) == {"town:a"}

    @given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 2**32))
    def test_numbers_stay_in_their_range(self, low, width, seed):
        said = grammar({"n": [f"{{{low}..{low + width}}}"]}, seed).say("n")
        assert low <= int(said) <= low + width

    def test_words_come_up_more_often_the_earlier_they_stand(self):
        speaker = grammar({"word": "first, second, third, fourth", "option": ["first", "second", "third", "fourth"]})
        for rule, least, most in (("word", 1480, 1700), ("option", 900, 1100)):
            said = [speaker.say(rule) for _ in range(4000)]
            assert least < said.count("first") < most  # (1/4)^(2/3) of 4000 is 1587
            assert set(said) == {"first", "second", "third", "fourth"}

    def test_equal_streams_say_the_same(self):
        rules = {"word": "a, b, c, d, e, f", "line": ["{word}{word}{1..9}{word}"]}
        first, second = grammar(rules, 5), grammar(rules, 5)
        assert [first.say("line") for _ in range(9)] == [second.say("line") for _ in range(9)]

    @pytest.mark.parametrize(
        ("rules", "message"),
        [
            ({"line": ["to {town}"]}, "rule 'line': unknown slot 'town' in 'to {town}'. Fix"),
            ({"line": []}, "rule 'line' has no options"),
            ({"line": ["a { brace"]}, "rule 'line': a brace stands alone"),
        ],
    )
    def test_a_vocabulary_that_cannot_be_spoken(self, rules, message):
        with pytest.raises(GrammarError, match=re.escape(message)):
            grammar(rules)


class TestTidy:
    @pytest.mark.parametrize(
        "word", ["apple", "hour", "honest", "MP", "LED", "8", "11", "18-year-old", "umbrella", "X-ray"]
    )
    def test_an(self, word):
        assert takes_an(word)
        assert tidy(f"it is a {word}.") == f"It is an {word}."

    @pytest.mark.parametrize(
        "word", ["pear", "university", "used", "European", "one", "house", "180", "Larkford", "useful"]
    )
    def test_a(self, word):
        assert not takes_an(word)
        assert tidy(f"it is a {word}.") == f"It is a {word}."

    def test_sentences_begin_with_capitals(self):
        assert tidy("one. two! 'three'? four: five") == "One. Two! 'Three'? Four: five"


@given(
    st.lists(st.text("abc", min_size=1), min_size=1, max_size=30, unique=True), st.integers(0, 5000), st.floats(0, 2)
)
def test_counts_add_up_and_fall(labels, total, exponent):
    shared = counts(labels, total, exponent)
    assert list(shared) == labels
    assert sum(shared.values()) == total
    values = list(shared.values())
    assert all(a >= b - 1 for a, b in pairwise(values))  # but for rounding


def test_bell_has_mean_0_and_variance_1():
    chance = make_chance(1)
    draws = [draw_bell(chance) for _ in range(20_000)]
    mean = sum(draws) / len(draws)
    assert abs(mean) < 0.03
    assert abs(sum((draw - mean) ** 2 for draw in draws) / len(draws) - 1) < 0.04


def test_the_stream_is_that_of_every_python():
    assert [make_chance(1)(), make_chance(1)()] == [0.13436424411240122] * 2


@pytest.mark.parametrize("path", sorted(VOCABULARY.glob("*.toml")), ids=lambda path: path.stem)
def test_vocabularies_are_rich(path):
    words = set(re.findall(r"[a-z]{3,}", str(read_vocabulary(path.stem)).lower()))
    assert len(words) > 300

"""Histories as texts: the stated phrases."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longplay.encoders import behaviour_to_text
from longplay.encoders.text.behaviour import KINDS, LANGUAGES, NO_HISTORY, BehaviourWords

histories = st.lists(
    st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1e5)),
    max_size=12,
)


def test_a_history_reads_as_stated():
    told = behaviour_to_text(
        ["Ash.", "Bay", "Cog", "Dew", "Elm", "Fox"],
        [1.0, 0.95, 0.7, 0.5, 0.1, 0.0],
        [0.0, 0.4, 1.2, 3.0, 20.0, 100.0],
    )
    assert told == (
        "Finished, today: Ash; Bay. Got through most of, yesterday: Cog. Got halfway through, 3 days ago: Dew. "
        "Skipped through, 2 weeks ago: Elm. Skipped through, 3 months ago: Fox."
    )


def test_nothing_consumed_has_its_own_sentence():
    assert behaviour_to_text([], [], []) == NO_HISTORY


@given(histories, st.integers(1, 15))
def test_text_keeps_order_and_limit_and_holds_no_nan(history, limit):
    names = [f"<{i}>" for i in range(len(history))]
    told = behaviour_to_text(names, [c for c, _ in history], [a for _, a in history], limit=limit)
    places = [told.find(name) for name in names]
    shown = min(limit, len(names))
    assert "nan" not in told.lower()
    assert "inf" not in told.lower()
    assert all(place >= 0 for place in places[:shown])
    assert places[:shown] == sorted(places[:shown])
    assert all(place < 0 for place in places[shown:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"completions": [0.5, 0.5]}, "1 texts, 2 completions and 1 ages"),
        ({"completions": [math.nan]}, "completion nan lies outside"),
        ({"completions": [1.5]}, "completion 1.5 lies outside"),
        ({"ages_days": [math.nan]}, "age nan"),
        ({"ages_days": [-1.0]}, "age -1.0"),
        ({"limit": 0}, "limit=0"),
    ],
)
def test_what_cannot_be_told_is_an_error(change, message):
    with pytest.raises(ValueError, match=message):
        behaviour_to_text(**({"texts": ["a"], "completions": [0.5], "ages_days": [1.0]} | change))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"language": "zh"}, "今天看完了：甲；乙。3天前略过了：丙。"),
        ({"language": "zh", "kind": "article"}, "今天读完了文章：甲；乙。3天前略读了文章：丙。"),
        ({"kind": "product"}, "Looked at everything of, today: 甲; 乙. Glanced at, 3 days ago: 丙."),
        (
            {
                "words": BehaviourWords(
                    ("A", "B", "C", "D"), ("0", "1", "{n}d", "{n}w", "{n}m"), "{age}{phrase}<{items}>", "+", "|"
                )
            },
            "0A<甲+乙>|3dD<丙>",
        ),
    ],
)
def test_other_languages_kinds_and_words(options, told):
    assert behaviour_to_text(["甲。", "乙", "丙"], [0.95, 1.0, 0.1], [0.0, 0.5, 3.0], **options) == told


def test_every_kind_has_words_in_every_language():
    told = {
        behaviour_to_text(["x"], [0.5], [1.0], language=tongue, kind=kind) for tongue in LANGUAGES for kind in KINDS
    }
    assert len(told) == len(LANGUAGES) * len(KINDS) - 1  # an article is read as a post is, in English
    assert behaviour_to_text([], [], [], language="zh") == "还没有记录。"


@pytest.mark.parametrize(
    ("option", "message"), [({"language": "fr"}, "language = 'fr'"), ({"kind": "song"}, "kind = 'song'")]
)
def test_unknown_languages_and_kinds_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        behaviour_to_text(["x"], [1.0], [0.0], **option)

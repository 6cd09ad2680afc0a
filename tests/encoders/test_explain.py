"""Explanations add up, say what they are, and find what was planted."""

import doctest
import json
import sys

import numpy as np
import pytest

from longplay.encoders import EncoderError, Items, PooledHistory
from longplay.encoders.explain import (
    LEFT_OUT,
    REWRITTEN,
    SHARED,
    SHARED_LEFT_OUT,
    SUM,
    Share,
    TextEffects,
    explain,
    remove_part,
    to_table,
)
from longplay.encoders.histories.neighbours import ItemNeighbours
from longplay.tests.encoders.small import make_items, make_log

ITEMS = make_items(12, width=6)
TITLES = [f"Title {n}" for n in range(1, 13)]
TOPICS = [("red", "big"), ("red",), ("blue",), ()] * 3


def history(rows):
    """Rows of item numbers, all finished, one a day."""
    ids = np.zeros((len(rows), 5), np.float32)
    for row, numbers in zip(ids, rows, strict=True):
        row[: len(numbers)] = numbers
    real = ids > 0
    return {
        "history_ids": ids,
        "history_completion": real.astype(np.float32),
        "history_age": (np.arange(5) * real).astype(np.float32),
    }


HISTORIES = history([[3, 5, 9], [2], []])


def test_contributions_and_remainder_make_the_score():
    encoder = PooledHistory(ITEMS)
    found = explain(encoder, HISTORIES, [1, 4, 6], TITLES)
    for row, one in enumerate(found):
        assert one.score == encoder.score(HISTORIES)[row, one.item]
        total = sum(reason.contribution for reason in one.history) + one.remainder
        assert total == pytest.approx(one.score, abs=1e-6)
        assert one.remainder == pytest.approx(0.0, abs=1e-5)
        assert one.method == SUM
    assert [reason.item for reason in found[1].history] == [2]
    assert (found[2].history, found[2].score) == ((), 0.0)


def test_reasons_are_the_items_of_the_history_largest_first():
    shares = PooledHistory(ITEMS).contributions(HISTORIES, np.array([1, 4, 6]))[0]
    (one, *_) = explain(PooledHistory(ITEMS), HISTORIES, [1, 4, 6], TITLES)
    expected = sorted(zip(shares[:3].tolist(), (3, 5, 9), range(3), strict=True), key=lambda part: -abs(part[0]))
    assert [(r.contribution, r.item, r.age) for r in one.history] == expected
    assert [r.title for r in one.history] == [f"Title {r.item}" for r in one.history]
    assert {r.completion for r in one.history} == {1.0}
    assert {r.attention for r in one.history} == {None}


class Product(PooledHistory):
    """Whose score is no sum: leaving one out is all that can be done."""

    def score(self, histories):
        scores = super().score(histories)
        return np.where(scores > -np.inf, scores**3, scores).astype(np.float32)

    def contributions(self, histories, item):
        return super(PooledHistory, self).contributions(histories, item)


def test_effects_that_overlap_are_said_to_be_left_out_ones():
    encoder = Product(ITEMS)
    (one,) = explain(encoder, history([[3, 5, 9]]), [1], TITLES)
    assert one.method == LEFT_OUT
    (reason,) = [reason for reason in one.history if reason.item == 5]
    # The rest is as it was: item 9 is of the third day still.
    less = history([[3, 0, 9]])
    assert reason.contribution == pytest.approx(one.score - encoder.score(less)[0, 1], abs=1e-6)


class Attentive(PooledHistory):
    """Whose attention is known."""

    def attention(self, histories):
        return histories["history_ids"] / 100.0


def test_attention_stands_beside_each_reason_where_there_is_one():
    (one,) = explain(Attentive(ITEMS), history([[3, 5]]), [1], TITLES)
    assert {reason.item: round(reason.attention, 4) for reason in one.history} == {3: 0.03, 5: 0.05}


def test_attention_that_the_options_leave_out_is_none():
    class Without(Attentive):
        def attention(self, histories):
            raise EncoderError("none")

    (one,) = explain(Without(ITEMS), history([[3, 5]]), [1], TITLES)
    assert {reason.attention for reason in one.history} == {None}


def test_neighbours_are_named_where_the_encoder_knows_them():
    items = make_items()
    encoder = ItemNeighbours(items).fit(make_log())
    names = [f"Title {n}" for n in range(1, 31)]
    (one,) = explain(encoder, history([[1, 3]]), [5], names)
    nearest, likeness = encoder.nearest_items(5, 5)
    assert one.neighbours == tuple(
        Share(f"Title {n}", value) for n, value in zip(nearest.tolist(), likeness.tolist(), strict=True)
    )
    assert len(one.neighbours) == 5
    assert explain(PooledHistory(ITEMS), HISTORIES, [1, 4, 6], TITLES)[0].neighbours == ()


def test_an_attribute_counts_what_the_history_items_that_have_it_contribute():
    (one,) = explain(PooledHistory(ITEMS), history([[2, 5, 3]]), [1], TITLES, TOPICS)
    value = {reason.item: reason.contribution for reason in one.history}
    assert one.attribute_method == SHARED
    shares = {share.name: share.value for share in one.attributes}
    assert shares == pytest.approx({"red": value[2] + value[5], "big": value[5]})
    assert [abs(share.value) for share in one.attributes] == sorted(map(abs, shares.values()), reverse=True)
    (none,) = explain(PooledHistory(ITEMS), history([[2, 5, 3]]), [4], TITLES, TOPICS)
    assert none.attributes == ()


def test_of_effects_that_overlap_an_attribute_is_left_out_as_a_whole():
    encoder, rows = Product(ITEMS), history([[2, 5, 3], [9, 6]])
    found = explain(encoder, rows, [1, 1], TITLES, TOPICS)
    # Red are 1, 2, 5, 6, 9 and 10, big are 1, 5 and 9; what stays keeps its age.
    less = {"red": history([[0, 0, 3], []]), "big": history([[2, 0, 3], [0, 6]])}
    for row, one in enumerate(found):
        expected = {name: one.score - float(encoder.score(left)[row, 1]) for name, left in less.items()}
        assert one.attribute_method == SHARED_LEFT_OUT
        assert {share.name: share.value for share in one.attributes} == pytest.approx(expected, abs=1e-6)
    single = {reason.item: reason.contribution for reason in found[0].history}
    red = {share.name: share.value for share in found[0].attributes}["red"]
    assert abs(red - single[2] - single[5]) > 0.05 * abs(red)  # the sum of single effects would be another


def words_to_vectors(texts):
    """A bag of three words, of unit length."""
    vectors = np.array([[text.lower().count(word) for word in ("robot", "duel", "film")] for text in texts], float)
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def test_text_effects_read_the_text_without_each_part():
    texts = ("A robot, duel film.", "A robot film.", "A duel film.")
    encoder = PooledHistory(Items(texts, words_to_vectors(texts), np.ones(3)))
    rows = history([[2]])
    effects = TextEffects(encoder, rows, [("Robot", "Duel", "Opera"), (), ()], words_to_vectors)
    (one,) = explain(encoder, rows, [1], list(texts), effects=effects)
    assert one.attribute_method == REWRITTEN
    user = words_to_vectors(["A robot film."])[0]
    expected = {
        "Robot": (words_to_vectors([texts[0]])[0] - words_to_vectors(["A duel film."])[0]) @ user,
        "Duel": (words_to_vectors([texts[0]])[0] - words_to_vectors(["A robot film."])[0]) @ user,
    }
    assert {share.name: share.value for share in one.attributes} == pytest.approx(expected, abs=1e-6)
    assert expected["Robot"] > 0 > expected["Duel"]


@pytest.mark.parametrize(
    ("part", "left"),
    [
        ("Horror", "Alien (1979), a science fiction film."),
        ("science fiction", "Alien (1979), a horror, film."),
        ("film", "Alien (1979), a horror, science fiction."),
        ("opera", "Alien (1979), a horror, science fiction film."),
        ("", "Alien (1979), a horror, science fiction film."),
    ],
)
def test_a_part_leaves_the_text(part, left):
    assert remove_part("Alien (1979), a horror, science fiction film.", part) == left


def test_the_examples_in_the_docstrings_hold():
    failed, tried = doctest.testmod(sys.modules["longplay.encoders.explain"])
    assert (failed, tried) == (0, 2)


def test_they_become_json_and_a_table():
    found = explain(PooledHistory(ITEMS), HISTORIES, [1, 4, 6], TITLES, TOPICS)
    content = json.loads(json.dumps([one.to_dict() for one in found]))
    assert content[0]["history"][0]["title"] == found[0].history[0].title
    table = to_table(found)
    assert table.groupby("kind").size().to_dict() == {"history": 4, "attribute": 3, "remainder": 3}
    parts = table[table["kind"].isin(["history", "remainder"])].groupby("user")["value"].sum()
    np.testing.assert_allclose(parts, [one.score for one in found], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"items": [1, 4, 13]}, "item 13 is unknown; items are 1 to 12"),
        ({"items": [1, 0, 2]}, "item 0 is unknown"),
        ({"items": [1, 2]}, r"items have shape \(2,\), there are 3 histories"),
        ({"titles": ["a"]}, "there are 1 titles and 12 items; give one for each"),
        ({"attributes": [()]}, "there are 1 attributes and 12 items"),
    ],
)
def test_what_does_not_fit_is_named(change, said):
    given = {"items": [1, 4, 6], "titles": TITLES}
    with pytest.raises(EncoderError, match=said):
        explain(PooledHistory(ITEMS), HISTORIES, **(given | change))

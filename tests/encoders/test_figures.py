"""Pictures hold what they are given, legibly: nothing overlaps and nothing is cut."""

import doctest
import io
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from longplay.encoders.explain import SHARED, SUM, Explanation, Reason, Share
from longplay.encoders.figures import draw_explanations, draw_reliability, draw_survival, shorten
from longplay.encoders.outcomes.calibration import measure_reliability

LONG = "The Assassination of Jesse James by the Coward Robert Ford and Other Stories (2007)"


def drawn(figure):
    """Drawn once, so that all has its place."""
    FigureCanvasAgg(figure)
    figure.savefig(io.BytesIO(), format="png")
    return figure


def why(reasons=12, attributes=3, title=LONG, sign=1.0):
    history = tuple(Reason(n, f"{LONG} {n}", sign * 0.3 / (n + 1), 1.0, float(n)) for n in range(reasons))
    shares = tuple(Share(f"attribute {n}", sign * (-1) ** n * 0.00339) for n in range(attributes))
    return Explanation(0, 1, title, 0.7, history, SUM, 0.0, shares, SHARED if shares else "")


@pytest.mark.parametrize("text", ["Alien (1979)", LONG, "Donaudampfschifffahrtsgesellschaftskapitän" * 2, "a  b\nc"])
@pytest.mark.parametrize("width", [10, 24, 40])
def test_a_title_is_shortened_at_a_word(text, width):
    short, tidy = shorten(text, width), " ".join(text.split())
    assert len(short) <= width
    if len(tidy) <= width:
        assert short == tidy
    else:
        assert short.endswith("…")
        assert tidy.startswith(short[:-1])


def test_the_examples_in_the_docstrings_hold():
    failed, tried = doctest.testmod(sys.modules["longplay.encoders.figures"])
    assert (failed, tried) == (0, 2)


def test_bars_are_the_contributions_and_the_rest_is_one():
    figure = drawn(draw_explanations([why(reasons=12)], most=8))
    bars = figure.axes[0].patches
    expected = [0.3 / (n + 1) for n in range(12)]
    np.testing.assert_allclose([bar.get_width() for bar in bars], [*expected[:8], sum(expected[8:])])
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[-1] == "4 more"
    assert names[0] == f"{shorten(LONG + ' 0', 40)} · today"
    assert names[2].endswith("… · 2 days ago")
    assert figure.axes[0].get_title(loc="left").startswith(shorten(LONG, 40))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_no_words_overlap_and_none_leave_the_picture(sign):
    figure = drawn(draw_explanations([why(sign=sign), why(reasons=1, sign=sign), why(reasons=0, attributes=0)]))
    renderer = figure.canvas.get_renderer()
    boxes = []
    for axes in figure.axes:
        words = [*axes.texts, *axes.get_yticklabels(), axes._left_title]
        boxes += [text.get_window_extent(renderer) for text in words if text.get_text()]
    for n, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1
        for other in boxes[n + 1 :]:
            apart = box.x1 <= other.x0 or other.x1 <= box.x0 or box.y1 <= other.y0 or other.y1 <= box.y0
            assert apart, (box, other)


def test_attention_is_told_beside_the_title():
    one = Explanation(0, 1, "Alien", 0.7, (Reason(1, LONG, 0.3, 1.0, 1.0, 0.25),), SUM, 0.0)
    (label,) = drawn(draw_explanations([one])).axes[0].get_yticklabels()
    assert label.get_text() == f"{shorten(LONG, 30)} · 1 day ago · attention 25%"


def test_what_contributions_mean_stands_below():
    words = drawn(draw_explanations([why()])).get_supxlabel()
    assert words == f"history: {SUM}\nattributes: {SHARED}"
    assert "attributes" not in drawn(draw_explanations([why(attributes=0)])).get_supxlabel()


def test_reliability_has_a_panel_for_each_and_its_own_range():
    rng = np.random.default_rng(0)
    low, high = 0.1 * rng.random(2000), 0.8 + 0.2 * rng.random(2000)
    curves = [measure_reliability(p, rng.random(2000) < p) for p in (low, high)]
    figure = drawn(draw_reliability({"rare": {"as fitted": curves[0]}, "common": {"as fitted": curves[1]}}))
    tops = figure.axes[:2]
    assert [axes.get_title() for axes in tops] == ["rare", "common"]
    assert tops[0].get_xlim()[1] < 0.25
    assert tops[1].get_xlim()[0] > 0.6
    for axes, curve in zip(tops, curves, strict=True):
        np.testing.assert_allclose(axes.lines[0].get_xydata(), np.column_stack([curve.predicted, curve.observed]))
        assert f"as fitted (error {curve.error:.3f})" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_survival_shows_what_was_told_and_what_was_seen():
    days = np.linspace(0, 5, 11)
    told, seen = np.exp(-days), np.exp(-0.9 * days)
    figure = drawn(draw_survival(days, {"all": told, "few": told**2}, {"all": (seen, 0.9 * seen, seen)}))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["all: told", "all: seen", "few: told"]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), told)
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), seen)
    assert axes.get_xlim() == (0.0, 5.0)

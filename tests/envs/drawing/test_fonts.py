"""Fonts for letters that the bundled one lacks: made up here, since machines differ in what is installed."""

import logging

import matplotlib as mpl
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from longplay.envs.drawing import canvas, fonts


def make_font(path, letters, weight=400):
    """A font in which each letter is a bar of a width of its own."""
    names = {letter: f"u{ord(letter):X}" for letter in letters}
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap({ord(letter): name for letter, name in names.items()})
    glyphs = {}
    for n, name in enumerate((".notdef", *names.values())):
        pen = TTGlyphPen(None)
        for x, y in ((100, 0), (100, 700), (200 + 100 * n, 700), (200 + 100 * n, 0)):
            (pen.lineTo if (x, y) != (100, 0) else pen.moveTo)((x, y))
        pen.closePath()
        glyphs[name] = pen.glyph()
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    builder.setupOS2(usWeightClass=weight)
    builder.setupPost()
    builder.save(path)


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Only the fonts that are asked for, and DejaVu Sans."""
    kept = [font for font in fontManager.ttflist if font.name.startswith("DejaVu")]
    monkeypatch.setattr(fontManager, "ttflist", kept)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    cached = (fonts._find_font, fonts._list_installed, canvas.fit_text, canvas.mask_text)

    def install(**letters):
        for name, text in letters.items():
            make_font(tmp_path / f"{name}.ttf", text)
            fontManager.addfont(tmp_path / f"{name}.ttf")

    monkeypatch.setattr(fonts, "_said", [])
    for function in cached:
        function.cache_clear()
    yield install
    for function in cached:
        function.cache_clear()


def test_latin_cyrillic_and_greek_stay_in_the_bundled_font(installed):
    installed(Everything="Aя恐")
    assert fonts.pick_font("Amélie, Война γ", bold=True) == fonts.BUNDLED[True]
    assert fonts.pick_families(["Amélie"]) == mpl.rcParams["font.family"]


def test_the_font_that_has_most_of_the_letters_is_taken(installed, tmp_path, caplog):
    installed(Few="恐", Most="恐怖a")
    assert fonts.pick_font("恐怖片") == tmp_path / "Most.ttf"
    assert fonts.pick_families(["恐怖", "Heat"]) == [*mpl.rcParams["font.family"], "Most"]
    assert caplog.messages == []


def test_the_ordinary_weight_is_taken_first_and_another_where_there_is_no_more(installed, tmp_path):
    for name, letters, weight in (("A", "恐怖", 900), ("B", "恐怖", 500), ("C", "恐", 400)):
        make_font(tmp_path / f"{name}.ttf", letters, weight)
        fontManager.addfont(tmp_path / f"{name}.ttf")
    assert fonts.pick_font("恐怖") == tmp_path / "B.ttf"
    assert fonts.pick_font("恐") == tmp_path / "C.ttf"


def test_a_font_installed_since_matplotlib_kept_its_list_is_found(installed, monkeypatch, tmp_path, caplog):
    make_font(tmp_path / "New.ttf", "恐怖")
    (tmp_path / "Broken.ttf").write_bytes(b"no font")
    found = [str(tmp_path / "New.ttf"), str(tmp_path / "Broken.ttf")]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: found)
    assert fonts.pick_font("恐怖") == tmp_path / "New.ttf"
    assert fonts.pick_families(["恐怖"]) == [*mpl.rcParams["font.family"], "New"]
    assert font_manager.findfont("New") == str(tmp_path / "New.ttf")
    assert caplog.messages == []


def test_several_families_share_the_letters_of_several_scripts(installed):
    installed(Chinese="恐怖", Thai="หนง")
    assert set(fonts.pick_families(["恐怖", "หนง"])[1:]) == {"Chinese", "Thai"}


def test_where_none_is_installed_one_line_says_so_once(installed, caplog):
    with caplog.at_level(logging.WARNING):
        assert fonts.pick_font("恐怖片") == fonts.BUNDLED[False]
        assert fonts.pick_font("另一部") == fonts.BUNDLED[False]
        assert fonts.pick_families(["战争"]) == mpl.rcParams["font.family"]
    (message,) = caplog.messages
    assert "no installed font has the letter" in message
    assert "Fix: install a font of its script, such as Noto Sans CJK" in message
    assert "\n" not in message


def test_pictures_of_lives_draw_the_letters(installed):
    installed(Chinese="恐怖")
    one, two = (np.asarray(canvas.mask_text(text, 20, False)) for text in ("恐", "怖"))
    assert one.any()
    assert not np.array_equal(one, two)  # which boxes in place of both would be


def test_matplotlib_draws_the_letters_without_a_warning(installed, tmp_path):
    installed(Chinese="恐怖")
    with mpl.rc_context({"font.family": fonts.pick_families(["恐怖"])}):
        figure = Figure()
        figure.text(0.5, 0.5, "恐怖 film")
    figure.savefig(tmp_path / "drawn.png")  # a missing letter is a warning, and here an error

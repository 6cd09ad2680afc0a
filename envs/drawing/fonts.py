"""Which installed font has the letters of a text, for pictures; what matplotlib carries lacks Chinese and others."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
from matplotlib.ft2font import FT2Font

_BUNDLED = Path(mpl.get_data_path()) / "fonts" / "ttf"
BUNDLED = {False: _BUNDLED / "DejaVuSans.ttf", True: _BUNDLED / "DejaVuSans-Bold.ttf"}  # by whether it is bold

_log = logging.getLogger(__name__)


def pick_font(text: str, bold: bool = False) -> Path:
    """File of the font for a text: DejaVu Sans, or where it lacks letters the installed font that has most of them."""
    lacking = _find_lacking(text)
    other = _find_font(lacking)[0] if lacking else None
    return other or BUNDLED[bold]


def pick_families(texts: Iterable[str]) -> list[str]:
    """Families for matplotlib's ``font.family``, which takes each letter from the first that has it."""
    lacking = frozenset().union(*map(_find_lacking, texts))
    families = [*mpl.rcParams["font.family"]]
    while lacking:
        path, family, had = _find_font(lacking)
        if path is None:
            break
        families.append(family)
        lacking -= had
    return families


@functools.lru_cache(maxsize=4096)
def _find_lacking(text: str) -> frozenset[str]:
    """Letters of a text that DejaVu Sans has not."""
    if text.isascii():
        return frozenset()
    bundled = _open_bundled()
    return frozenset(letter for letter in text if letter.isprintable() and not bundled.get_char_index(ord(letter)))


@functools.lru_cache(maxsize=1)
def _open_bundled() -> FT2Font:
    return FT2Font(str(BUNDLED[False]))


@functools.lru_cache(maxsize=1024)
def _find_font(letters: frozenset[str]) -> tuple[Path | None, str, frozenset[str]]:
    """The installed font that has most of some letters, its family, and which it has; where none has any, say so."""
    best: tuple[Path | None, str, frozenset[str]] = (None, "", frozenset())
    for path, family in _list_installed():
        try:
            font = FT2Font(str(path))
        except (OSError, RuntimeError):  # a file that only looks like a font
            continue
        had = frozenset(letter for letter in letters if font.get_char_index(ord(letter)))
        if len(had) > len(best[2]):
            best = path, family, had
        if had == letters:
            break
    if best[0] is None:
        _say_none_found(min(letters))
    return best


_said: list[str] = []  # the letter of which it was said that no font has it


@functools.lru_cache(maxsize=1)
def _list_installed() -> list[tuple[Path, str]]:
    """Upright fonts and their families, the ordinary weight first; those that draw boxes for every letter left out."""
    from matplotlib import font_manager  # it looks through the machine's fonts when first imported, and keeps the list
    from matplotlib.font_manager import fontManager

    known = {Path(font.fname) for font in fontManager.ttflist}
    for path in sorted({Path(found) for found in font_manager.findSystemFonts()} - known):
        with contextlib.suppress(OSError, RuntimeError):  # installed since, but only looks like a font
            fontManager.addfont(path)
    weights = font_manager.weight_dict
    fonts = {
        (
            abs((weights[font.weight] if isinstance(font.weight, str) else font.weight) - 400),
            Path(font.fname),
            font.name,
        )
        for font in fontManager.ttflist
        if font.style == "normal" and "Last Resort" not in font.name
    }
    return [(path, family) for _, path, family in sorted(fonts)]


def _say_none_found(letter: str) -> None:
    if _said:
        return
    _said.append(letter)
    _log.warning(
        "no installed font has the letter %r (U+%04X): it and others are drawn as boxes. Fix: install a font of its "
        "script, such as Noto Sans CJK (apt install fonts-noto-cjk)",
        letter,
        ord(letter),
    )

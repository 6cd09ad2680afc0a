"""Words and shapes for `pictures.py`: one line of text in a given space, smooth shapes, colours told apart by everyone.

Pillow draws fast, but neither smooth corners nor text of limited width; both are here, and what is drawn again (words,
corners) is rasterised once.
"""

import functools
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .fonts import pick_font

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]  # left, top, right, bottom


def rgb(code: str) -> Colour:
    """A colour from ``"#rrggbb"``."""
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """`share` of the colour, the rest of the other."""
    red, green, blue = (round(share * a + (1 - share) * b) for a, b in zip(colour, other, strict=True))
    return red, green, blue


WHITE, PAPER, NIGHT = rgb("#ffffff"), rgb("#eef1f5"), rgb("#f1f3f7")
INK, GREY, LINE, BAND = rgb("#1d2733"), rgb("#667385"), rgb("#dfe4ea"), rgb("#e9edf2")
HEADER, PALE = rgb("#1b2838"), rgb("#a9b8c9")
# Okabe and Ito (2008): told apart with any of the common colour deficiencies.
BLUE, ORANGE, GREEN, RED = rgb("#0072b2"), rgb("#e69f00"), rgb("#009e73"), rgb("#d55e00")
SKY, PINK, YELLOW = rgb("#56b4e9"), rgb("#cc79a7"), rgb("#f0e442")
TOPICS = (BLUE, ORANGE, GREEN, PINK, SKY, RED, YELLOW, rgb("#8a8f98"))
LIGHT, DARK = rgb("#a6cfe8"), rgb("#08306b")  # few and many minutes


@functools.lru_cache(maxsize=32)
def _open_font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size)


def _load_font(size: int, bold: bool, text: str = "") -> ImageFont.FreeTypeFont:
    """The font that has the letters of a text, as far as one is installed."""
    return _open_font(pick_font(text, bold), size)


@functools.lru_cache(maxsize=4096)
def fit_text(text: str, width: int, size: int, bold: bool = False) -> str:
    """The text on one line of at most `width` pixels, cut with an ellipsis where it is longer."""
    text, font = " ".join(text[:500].split()), _load_font(size, bold, text[:500])
    if font.getlength(text) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle] + "…") <= width else (low, middle - 1)
    return text[:low].rstrip(" ,.;:(，。；：（、") + "…" if low else ""


@functools.lru_cache(maxsize=2048)
def mask_text(text: str, size: int, bold: bool) -> Image.Image:
    """The words as a mask; its middle is the middle of a line of capitals."""
    font = _load_font(size, bold, text)
    mask = Image.new("L", (math.ceil(font.getlength(text)) + 2, 2 * size), 0)
    ImageDraw.Draw(mask).text((0, size + 0.37 * size), text, 255, font, anchor="ls")
    return mask


def write(
    image: Image.Image,
    at: tuple[int, int],
    text: str,
    size: int = 12,
    colour: Colour = INK,
    *,
    bold: bool = False,
    align: float = 0.0,
    width: int = 10_000,
) -> int:
    """Write one line whose left end (`align` 0), middle (0.5) or right end (1) is at a point; returns its width."""
    text = fit_text(text, width, size, bold)
    if not text:
        return 0
    mask = mask_text(text, size, bold)
    x, y = at
    image.paste(colour, (x - round(align * mask.width), y - size), mask)
    return mask.width


@functools.lru_cache(maxsize=512)
def _mask_box(width: int, height: int, radius: int) -> Image.Image:
    """A rounded rectangle as a mask with smooth edges."""
    mask = Image.new("L", (4 * width, 4 * height), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 4 * width - 1, 4 * height - 1), 4 * radius, 255)
    return mask.reduce(4)


def fill_box(image: Image.Image, box: Box, colour: Colour, radius: int = 0) -> None:
    """A rectangle with round corners; nothing where it has no area."""
    left, top, right, bottom = box
    if right <= left or bottom <= top:
        return
    radius = min(radius, (right - left) // 2, (bottom - top) // 2)
    if radius:
        image.paste(colour, (left, top), _mask_box(right - left, bottom - top, radius))
    else:
        image.paste(colour, box)


def draw_bar(image: Image.Image, box: Box, share: float, colour: Colour, track: Colour = BAND) -> None:
    """A track, and the share of it that is filled."""
    left, top, right, bottom = box
    radius = (bottom - top) // 2
    fill_box(image, box, track, radius)
    end = left + round(min(max(share, 0.0), 1.0) * (right - left))
    if end > left:
        fill_box(image, (left, top, max(end, left + 2), bottom), colour, radius)


def hatch_box(image: Image.Image, box: Box, colour: Colour) -> None:
    """Pale ground with slanted lines, so that it is told from others without colour too."""
    left, top, right, bottom = box
    if right <= left or bottom <= top:
        return
    x, y = np.meshgrid(np.arange(right - left), np.arange(bottom - top))
    fill_box(image, box, mix(colour, WHITE, 0.08))
    image.paste(
        mix(colour, WHITE, 0.3), (left, top), Image.fromarray(np.where((x + y) % 10 < 2, 255, 0).astype(np.uint8))
    )


def draw_pill(image: Image.Image, at: tuple[int, int], text: str, size: int, ground: Colour, colour: Colour) -> int:
    """Words on a rounded ground; `at` is its right end and middle. Returns its width."""
    width, (right, y) = mask_text(text, size, True).width + 2 * size, at
    fill_box(image, (right - width, y - size - 1, right, y + size + 1), ground, size)
    write(image, (right - width // 2, y), text, size, colour, bold=True, align=0.5)
    return width


def pick_topic_colour(topic: int) -> Colour:
    """Of a topic; they come round after eight, paler each time, so names always stand beside them."""
    return mix(TOPICS[topic % len(TOPICS)], WHITE, 0.75 ** (topic // len(TOPICS) % 4))


def draw_chip(image: Image.Image, box: Box, topic: int, name: str) -> None:
    """A topic's name on its colour."""
    left, top, right, bottom = box
    middle = (top + bottom) // 2
    fill_box(image, box, mix(pick_topic_colour(topic), WHITE, 0.22), (bottom - top) // 2)
    fill_box(image, (left + 6, middle - 4, left + 14, middle + 4), pick_topic_colour(topic), 4)
    write(image, (left + 19, middle), name, 10, width=right - left - 25)

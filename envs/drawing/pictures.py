"""A picture of one user's life: the last slate, the user's state, and all sessions so far on a calendar.

The picture is for people. It shows what no agent may see: trust, satisfaction, fatigue, taste and satiation are hidden
state, and only observations and rewards are an agent's business.

Drawn with Pillow, a few milliseconds a frame: what stays the same is drawn once and copied, words are rasterised once.
"""

import functools
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..catalogs.texts import split_title
from ..users.records import ACTIVE, CHURNED, Record
from ..users.world import World
from .canvas import (
    BAND,
    BLUE,
    DARK,
    GREEN,
    GREY,
    HEADER,
    INK,
    LIGHT,
    LINE,
    NIGHT,
    ORANGE,
    PALE,
    PAPER,
    RED,
    SKY,
    WHITE,
    YELLOW,
    Box,
    Colour,
    draw_bar,
    draw_chip,
    draw_pill,
    fill_box,
    hatch_box,
    mask_text,
    mix,
    pick_topic_colour,
    rgb,
    write,
)
from .viewer import LifeRecorder, format_clock

SIZE = (1280, 720)
SLATE, STATE, LIFE = (20, 80, 816, 450), (832, 80, 1260, 450), (20, 464, 1260, 706)
CALENDAR, TRUST, CURVE = (84, 500, 1244, 596), (84, 604, 1244, 613), (84, 622, 1244, 682)
ROW = 17  # the least height of a slate's row
TIRED = 60.0  # minutes of fatigue that fill its bar


def draw_life(world: World, user: Record, life: LifeRecorder, policy: str = "") -> Image.Image:
    """One frame, 1280 × 720: slate and choice, hidden state of the user, sessions on a calendar, minutes so far.

    Parameters
    ----------
    user
        A record of `records.user_type`, after the slate.
    life
        Fed with every slate of this life.
    policy
        Name of who fills the slates, if it is to be shown.

    Returns
    -------
    PIL.Image.Image
        RGB; a pure function of what is given.
    """
    days = float(world.scenario.params.horizon_days)
    image = _draw_page(days).copy()
    _draw_header(image, world, user, life, policy)
    _draw_slate(image, world, user, life)
    _draw_state(image, world, user, life)
    _draw_calendar(image, user, life, days)
    _draw_trust(image, life, days)
    _draw_curve(image, user, life, days)
    _draw_ending(image, user, life, days)
    return image


def draw_frame(world: World, user: Record, life: LifeRecorder, policy: str = "") -> NDArray[np.uint8]:
    """`draw_life` as an array (720, 1280, 3) of uint8."""
    return np.array(draw_life(world, user, life, policy))


# --- what stays the same -------------------------------------------------------------------------------------------


def _find_x(box: Box, clock: float, days: float) -> int:
    """Horizontal place of a clock [days] in a plot of the whole horizon."""
    return round(box[0] + (box[2] - box[0]) * min(max(clock / days, 0.0), 1.0))


def _find_y(clock: float) -> int:
    """Vertical place of a time of day in the calendar."""
    return round(CALENDAR[1] + (CALENDAR[3] - CALENDAR[1]) * (clock - math.floor(clock)))


@functools.lru_cache(maxsize=4)
def _draw_page(days: float) -> Image.Image:
    """Cards, headings and axes."""
    image = Image.new("RGB", SIZE, PAPER)
    fill_box(image, (0, 0, SIZE[0], 66), HEADER)
    for card in (SLATE, STATE, LIFE):
        left, top, right, bottom = card
        fill_box(image, (left - 1, top, right + 1, bottom + 2), LINE, 9)
        fill_box(image, card, WHITE, 8)
    label = functools.partial(write, image)
    label((LIFE[0] + 14, LIFE[1] + 19), "Life", 14, bold=True)
    label((LIFE[0] + 60, LIFE[1] + 19), "sessions by day and hour, trust, minutes so far", 12, GREY)
    for hour in (0, 6, 12, 18):
        y = CALENDAR[1] + (CALENDAR[3] - CALENDAR[1]) * hour // 24
        if hour % 12 == 0:
            fill_box(image, (CALENDAR[0], y, CALENDAR[2], y + (CALENDAR[3] - CALENDAR[1]) // 4), NIGHT)
        label((CALENDAR[0] - 8, y), f"{hour:02d}:00", 10, GREY, align=1.0)
    label((TRUST[0] - 8, (TRUST[1] + TRUST[3]) // 2), "trust", 10, GREY, align=1.0)
    count, width = math.ceil(days), (CALENDAR[2] - CALENDAR[0]) / days
    every = next((n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if n * width >= 26), 2000)
    for day in range(0, count, max(every // 5, 1)):
        x = _find_x(CALENDAR, day, days)
        fill_box(image, (x, CALENDAR[1], x + 1, CALENDAR[3]), LINE)
    for day in range(1, count + 1):
        if day == 1 or day % every == 0:
            middle = (day - 1 + min(day, days)) / 2  # the last day may be cut by the horizon
            label((_find_x(CALENDAR, middle, days), CURVE[3] + 13), f"{day}", 10, GREY, align=0.5)
    label((CALENDAR[0] - 8, CURVE[3] + 13), "day", 10, GREY, align=1.0)
    for box in (CALENDAR, CURVE):
        fill_box(image, (box[0], box[3], box[2], box[3] + 1), PALE)
    return image


# --- what changes --------------------------------------------------------------------------------------------------


def _describe_status(user: Record, life: LifeRecorder) -> tuple[str, Colour, Colour]:
    """What became of the user, with a ground and a colour of letters."""
    if user["status"] == CHURNED:
        return f"left for good, {format_clock(life.now).split(',')[0]}", RED, WHITE
    if user["status"] != ACTIVE:
        return "horizon reached", GREEN, WHITE
    if user["left"]:
        return f"left, back on {format_clock(float(user['clock']))}", YELLOW, INK
    return ("reading" if life.sessions else "arrives"), SKY, INK


def _draw_header(image: Image.Image, world: World, user: Record, life: LifeRecorder, policy: str) -> None:
    scenario, catalog = Path(world.scenario.name).stem, world.catalog
    used = write(image, (34, 24), f"User {user['id']}", 20, WHITE, bold=True)
    if policy:
        write(image, (34 + used + 16, 25), f"served by {policy}", 15, PALE, width=430 - used)
    write(image, (34, 48), f"{scenario} · {len(catalog):,} items: {catalog.name}", 12, PALE, width=440)
    session, slate, clock = life.shown
    write(image, (510, 24), format_clock(clock).capitalize(), 20, WHITE, bold=True)
    write(image, (510, 48), f"session {session} · slate {slate}", 12, PALE)
    write(image, (790, 24), f"{life.total:,.0f} min", 20, WHITE, bold=True)
    write(image, (790, 48), f"watched so far, {len(life.sessions)} session{'s' * (len(life.sessions) != 1)}", 12, PALE)
    words, ground, letters = _describe_status(user, life)
    draw_pill(image, (SIZE[0] - 20, 33), words, 13, ground, letters)


def _draw_slate(image: Image.Image, world: World, user: Record, life: LifeRecorder) -> None:
    """The last slate; before the first one, what the user had found alone."""
    left, top, right, bottom = SLATE
    items, choice = [int(item) for item in user["slate"]], int(user["choice"])
    if not life.sessions and not any(items):
        title, caption = "Past", "what the user found before the first slate, latest first"
        items = [int(item) for item in user["history_items"] if item > 0]
    elif choice >= 0:
        title, caption = "Slate", f"chose no. {choice + 1} and watched {user['minutes']:.1f} min of it"
    else:
        title, caption = "Slate", "chose nothing"
    used = write(image, (left + 14, top + 19), title, 14, bold=True)
    write(image, (left + 26 + used, top + 19), caption, 12, GREY)
    start, space = top + 38, bottom - top - 46
    height = min(max(space // max(len(items), 1), ROW), 40)
    shown = list(range(min(len(items), space // height)))
    if len(shown) < len(items):  # the last line says how many are left out; what was chosen is always there
        shown.pop()
        if choice > shown[-1]:
            shown[-1] = choice
        note = f"… and {len(items) - len(shown)} more"
        write(image, (left + 52, start + height * len(shown) + height // 2), note, 12, GREY)
    for line, slot in enumerate(shown):
        box = (left + 8, start + height * line, right - 8, start + height * (line + 1) - 1)
        watched = (float(user["completion"]), float(user["minutes"])) if slot == choice else None
        _draw_row(image, box, world, slot + 1, items[slot], watched)


def _draw_row(
    image: Image.Image, box: Box, world: World, number: int, item: int, watched: tuple[float, float] | None
) -> None:
    """One item: position, text, main topics, length; `watched` has the completion and minutes of the one chosen."""
    left, top, right, bottom = box
    middle, thick, size = (top + bottom) // 2, min(bottom - top - 2, 18) // 2, 13 if bottom - top > 20 else 11
    if watched:
        fill_box(image, box, mix(ORANGE, WHITE, 0.2), 5)
        fill_box(image, (left, top, left + 5, bottom), ORANGE, 2)
    elif number > 1:
        fill_box(image, (left + 8, top - 1, right - 8, top), BAND)
    colour = INK if watched else GREY
    write(image, (left + 30, middle), f"{number}", 12, colour, bold=bool(watched), align=1.0)
    if item == 0:
        write(image, (left + 44, middle), "(empty)", size - 1, PALE)
        return
    _write_item_text(image, (left + 44, middle), world.catalog.texts[item - 1], size, 400)
    share = world.topics[item]
    for place, topic in enumerate(np.argsort(-share, kind="stable")[:2]):
        if share[topic] > 0.15:
            x = left + 452 + 100 * place
            draw_chip(image, (x, middle - thick, x + 96, middle + thick), int(topic), name_topic(world, int(topic)))
    length = f"{world.items['minutes'][item]:.0f} min"
    if watched:
        draw_bar(image, (right - 124, middle - thick, right - 6, middle + thick), watched[0], ORANGE, WHITE)
        write(image, (right - 65, middle), f"{watched[1]:.1f} of {length}", 11, bold=True, align=0.5)
    else:
        write(image, (right - 12, middle), length, 11, GREY, align=1.0)


def _write_item_text(image: Image.Image, at: tuple[int, int], text: str, size: int, room: int) -> None:
    """The title or first clause in bold, the rest in grey, on one line."""
    title, rest = split_title(text[:500], 90)
    if not title:
        write(image, at, rest, size, width=room)
        return
    used = write(image, at, title, size, bold=True, width=room) + 4
    if room - used > 30:
        write(image, (at[0] + used, at[1]), rest.lstrip(" ,:;."), size - 1, GREY, width=room - used)


def name_topic(world: World, topic: int) -> str:
    """Of a topic; a number where it has none."""
    return world.topic_names[topic] or f"topic {topic + 1}"


@functools.lru_cache(maxsize=4)
def _compute_centroids(world: World) -> NDArray[np.float64]:
    """(G, D) mean taste vector of each topic's items, of unit length; 0 where a topic has no item."""
    sums = world.topics.astype(np.float64).T @ world.items["taste"].astype(np.float64)
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12))


def _draw_state(image: Image.Image, world: World, user: Record, life: LifeRecorder) -> None:
    """Gauges, taste and satiation."""
    left, top, right, _ = STATE
    write(image, (left + 14, top + 19), "User", 14, bold=True)
    away = user["left"] and user["status"] == ACTIVE
    write(image, (left + 64, top + 19), "hidden state" + (", on the return" if away else ""), 12, GREY)
    trust, satisfaction, fatigue = (float(user[name]) for name in ("trust", "satisfaction", "fatigue"))
    gauges = (
        ("trust", trust, f"{trust:.2f}", BLUE),
        ("satisfaction", satisfaction, f"{satisfaction:.2f}", GREEN),
        ("fatigue", fatigue / TIRED, f"{fatigue:.0f} min", RED),
    )
    for line, (name, share, value, colour) in enumerate(gauges):
        y = top + 48 + 22 * line
        write(image, (left + 14, y), name, 12)
        draw_bar(image, (left + 112, y - 5, right - 80, y + 5), share, colour)
        write(image, (right - 14, y), value, 12, bold=True, align=1.0)
    named = [g for g in range(len(world.topic_names)) if world.topic_names[g]]
    liking = _compute_centroids(world) @ user["taste"]
    likes = sorted(named, key=lambda g: -liking[g])[:4]
    favourites = [g for g in named if world.people["profile"][user["id"]][g] > 0]
    for line, (title, topics) in enumerate((("likes most", likes), ("at sign-up", favourites))):
        words = ", ".join(name_topic(world, g) for g in topics) or "–"
        y = top + 118 + 20 * line
        write(image, (left + 14, y), title, 12)
        write(image, (left + 112, y), words, 12, GREY, width=right - left - 126)
    _draw_satiation(image, world, user, life, named)


def _draw_satiation(image: Image.Image, world: World, user: Record, life: LifeRecorder, named: list[int]) -> None:
    """Bars of satiation in two columns of topics, always in the same places; of very many, the largest."""
    left, top, right, bottom = STATE
    scale, y = max(4.0, math.ceil(life.peak)), top + 166
    write(image, (left + 14, y), "Satiation by topic", 12, bold=True)
    write(image, (right - 14, y), f"full bar: {scale:.0f} items", 11, GREY, align=1.0)
    topics = sorted(sorted(named, key=lambda g: -user["satiation"][g])[:24])
    lines = max(math.ceil(len(topics) / 2), 1)
    height, wide = min((bottom - y - 22) // lines, 20), (right - left - 28 - 18) // 2
    for place, g in enumerate(topics):
        x, middle = left + 14 + (wide + 18) * (place // lines), y + 20 + height * (place % lines)
        value = float(user["satiation"][g])
        fill_box(image, (x, middle - 4, x + 8, middle + 4), pick_topic_colour(g), 4)
        write(image, (x + 13, middle), name_topic(world, g), 10, width=78)
        draw_bar(image, (x + 94, middle - 4, x + wide - 30, middle + 4), value / scale, pick_topic_colour(g))
        if value >= 0.05:
            write(image, (x + wide, middle), f"{value:.1f}", 10, GREY, align=1.0)


def _draw_calendar(image: Image.Image, user: Record, life: LifeRecorder, days: float) -> None:
    """A column a day, hours downwards, a block a session, darker the longer it was watched."""
    if user["status"] == ACTIVE:
        today = math.floor(life.now)
        span = (_find_x(CALENDAR, today, days), CALENDAR[1], _find_x(CALENDAR, today + 1, days), CALENDAR[3])
        fill_box(image, span, mix(YELLOW, WHITE, 0.35))
    most = max(30.0, 10.0 * math.ceil(max((s.minutes for s in life.sessions), default=0.0) / 10))
    for session in life.sessions:
        shade = mix(DARK, LIGHT, min(session.minutes / most, 1.0))
        for day in range(math.floor(session.start), math.floor(min(session.end, days - 1e-9)) + 1):
            left, right = _find_x(CALENDAR, day, days), _find_x(CALENDAR, day + 1, days)
            from_, to = max(session.start, day), min(session.end, day + 1)
            top, bottom = min(_find_y(from_), CALENDAR[3] - 6), CALENDAR[3] if to == day + 1 else _find_y(to)
            fill_box(image, (left + 2, top, max(right - 1, left + 4), max(bottom, top + 6)), shade, 2)
    end = _draw_key(
        image, LIFE[2] - 16, f"{most:.0f} min", "session of 0", [mix(DARK, LIGHT, n / 9) for n in range(10)]
    )
    _draw_key(image, end - 28, "1", "trust 0", [_colour_trust(n / 9) for n in range(10)])


def _colour_trust(trust: float) -> Colour:
    """Orange below one half, blue above."""
    share = min(max(2 * trust - 1, -1.0), 1.0)
    return mix(BLUE if share > 0 else RED, rgb("#d9d9d9"), min(1.6 * abs(share), 1.0))


def _draw_key(image: Image.Image, right: int, high: str, low: str, colours: list[Colour]) -> int:
    """What colours mean, ending at `right`; returns where it begins."""
    y = LIFE[1] + 19
    right -= write(image, (right, y), high, 11, GREY, align=1.0) + 6
    for place, colour in enumerate(reversed(colours)):
        fill_box(image, (right - 8 * place - 8, y - 5, right - 8 * place, y + 5), colour)
    right -= 8 * len(colours) + 6
    return right - write(image, (right, y), low, 11, GREY, align=1.0)


def _draw_ending(image: Image.Image, user: Record, life: LifeRecorder, days: float) -> None:
    """Where the user is now, or where and how the life ended."""
    draw, x = ImageDraw.Draw(image), _find_x(CALENDAR, life.now, days)
    if user["status"] == CHURNED:
        after = _find_x(CALENDAR, math.floor(life.now) + 1, days)
        hatch_box(image, (after, CALENDAR[1], CALENDAR[2], CALENDAR[3]), RED)
        hatch_box(image, (x + 5, CURVE[1], CURVE[2], CURVE[3]), RED)
        draw.line((x, TRUST[1], x, CURVE[3]), RED, 2)
        words = _describe_status(user, life)[0]
        width = mask_text(words, 13, True).width + 26
        end = after + 20 + width if after + 30 + width < CALENDAR[2] else after - 12
        # In the middle, or above or below it where that covers fewer sessions.
        places = [(CALENDAR[1] + CALENDAR[3]) // 2, CALENDAR[1] + 18, CALENDAR[3] - 18]
        covered = [image.crop((end - width, y - 14, end, y + 14)).convert("L").histogram() for y in places]
        y = places[int(np.argmin([sum(counts[:205]) for counts in covered]))]
        draw_pill(image, (end, y), words, 13, RED, WHITE)
    elif user["status"] != ACTIVE:
        draw.line((CALENDAR[2] - 1, CALENDAR[1], CALENDAR[2] - 1, CURVE[3]), GREEN, 3)
    else:
        draw.line((x, TRUST[1], x, CURVE[3]), GREY, 1)
        if user["left"]:
            draw.polygon(_make_pointer(_find_x(CALENDAR, float(user["clock"]), days)), fill=WHITE, outline=GREY)
        draw.polygon(_make_pointer(x), fill=INK)


def _make_pointer(x: int) -> tuple[tuple[int, int], ...]:
    return (x - 5, CALENDAR[1] - 7), (x + 5, CALENDAR[1] - 7), (x, CALENDAR[1])


def _draw_trust(image: Image.Image, life: LifeRecorder, days: float) -> None:
    """Trust over time."""
    fill_box(image, TRUST, BAND)
    ends = [s.start for s in life.sessions[1:]] + [life.now]
    for session, end in zip(life.sessions, ends, strict=False):
        box = (_find_x(TRUST, session.start, days), TRUST[1], _find_x(TRUST, end, days), TRUST[3])
        fill_box(image, box, _colour_trust(session.trust))


def _draw_curve(image: Image.Image, user: Record, life: LifeRecorder, days: float) -> None:
    """Minutes of dwell up to each moment: a staircase, since most of a life is gaps."""
    draw, top = ImageDraw.Draw(image), _round_up(life.total)
    height, base = CURVE[3] - CURVE[1], CURVE[3]
    for share in (0.0, 0.5, 1.0):
        y = base - round(share * height)
        if share:
            draw.line((CURVE[0], y, CURVE[2], y), LINE)
        write(image, (CURVE[0] - 8, y), f"{share * top:,.0f}" + (" min" if share == 1.0 else ""), 10, GREY, align=1.0)
    steps: list[tuple[int, int]] = []
    for clock, minutes in life.points:
        x, y = _find_x(CURVE, clock, days), base - round(height * minutes / top)
        steps += [(x, steps[-1][1] if steps else base), (x, y)]
    end = CURVE[2] if user["status"] not in (ACTIVE, CHURNED) else steps[-1][0]
    steps.append((end, steps[-1][1]))
    draw.polygon([*steps, (end, base), (steps[0][0], base)], fill=mix(BLUE, WHITE, 0.25))
    draw.line(steps, BLUE, 2)
    x, y = steps[-1]
    fill_box(image, (x - 4, y - 4, x + 4, y + 4), BLUE, 4)


def _round_up(value: float) -> float:
    """A round number that is at least the value, and at least 40."""
    unit = 10 ** math.floor(math.log10(max(value, 40.0)))
    return next(float(n * unit) for n in (1, 2, 4, 6, 8, 10) if n * unit >= max(value, 40.0))

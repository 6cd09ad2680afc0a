"""Pictures of a life: what they show, that nothing is too long for them, and Gymnasium's render modes."""

import itertools

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given
from hypothesis import strategies as st

from longplay.envs import Video
from longplay.envs.catalogs.catalog import Catalog
from longplay.envs.drawing import canvas as drawing
from longplay.envs.drawing import pictures
from longplay.envs.drawing.pictures import draw_frame
from longplay.envs.drawing.viewer import LifeRecorder, format_clock
from longplay.envs.env import SlateVectorEnv
from longplay.envs.single import SlateEnv
from longplay.envs.users.records import ACTIVE, CHURNED, HORIZON
from longplay.envs.users.world import build_world
from longplay.tests.envs.worlds import PLACES, make_catalog, small


def lived(world, steps=10_000, seed=0, empty=False):
    """A life of random slates: the user's record, what was recorded of it, and its rewards."""
    env = SlateVectorEnv(world, autoreset_mode="Disabled")
    env.reset(seed=seed)
    users, life, rng = env.engine.users, LifeRecorder(), np.random.default_rng(seed)
    life.begin(users[0])
    rewards = []
    while len(rewards) < steps and users[0]["status"] == ACTIVE:
        slate = rng.integers(1, len(world.catalog) + 1, env.action_space.shape)
        if empty:
            slate[0, ::2] = 0
        rewards.append(float(env.step(slate)[1][0]))
        life.read(users[0])
    return users[0].copy(), life, rewards


def ended(world, status):
    """A life that ended so."""
    return next(found for found in (lived(world, seed=seed) for seed in range(50)) if found[0]["status"] == status)


def part(image, box):
    left, top, right, bottom = box
    return image[top:bottom, left:right]


def share_of(image, box, colour):
    return (part(image, box) == np.array(colour)).all(axis=2).mean()


def rows(image, count=10):
    """The rows of the slate."""
    left, top, right, bottom = pictures.SLATE
    height = min(max((bottom - top - 46) // count, pictures.ROW), 40)
    return [part(image, (left, top + 38 + k * height, right, top + 38 + (k + 1) * height - 1)) for k in range(count)]


# --- what a picture shows ------------------------------------------------------------------------------------------


def test_a_frame_is_an_array_of_bytes_and_the_same_each_time(world):
    user, life, _ = lived(world, 8)
    image = draw_frame(world, user, life, "a policy")
    assert image.shape == (720, 1280, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, draw_frame(world, *lived(world, 8)[:2], "a policy"))
    assert image.flags.writeable
    assert (image != draw_frame(world, user, life, "another")).any()


def test_what_was_chosen_stands_out(world):
    user, life, _ = lived(world, 3)
    user["choice"] = -1
    without = rows(draw_frame(world, user, life))
    for slot in (0, 4, 9):
        user["choice"], user["completion"], user["minutes"] = slot, 0.6, 5.4
        changed = [(a != b).mean() for a, b in zip(rows(draw_frame(world, user, life)), without, strict=True)]
        assert changed[slot] > 0.5
        assert sum(changed) == changed[slot]


def test_the_bar_grows_with_completion(world):
    user, life, _ = lived(world, 3)
    user["choice"] = 2
    _, top, right, bottom = pictures.SLATE
    filled = []
    for completion in (0.0, 0.3, 0.9, 1.0):
        user["completion"] = completion
        filled.append(share_of(draw_frame(world, user, life), (right - 140, top, right, bottom), drawing.ORANGE))
    assert filled == sorted(filled)
    assert len(set(filled)) == 4


@pytest.mark.parametrize("status", [CHURNED, HORIZON])
def test_how_a_life_ended_is_marked(short_world, status):
    after = (pictures.CALENDAR[2] - 20, *pictures.CALENDAR[1:])
    user, life, _ = lived(short_world, 2)
    assert share_of(draw_frame(short_world, user, life), after, drawing.WHITE) > 0.4  # the future
    user, life, _ = ended(short_world, status)
    image = draw_frame(short_world, user, life)
    pill = (1000, 0, 1280, 60)
    colour, other = (drawing.RED, drawing.GREEN) if status == CHURNED else (drawing.GREEN, drawing.RED)
    assert share_of(image, pill, colour) > 0.05
    assert share_of(image, pill, other) == 0
    if status == HORIZON:
        assert share_of(image, after, drawing.GREEN) > 0.05


def test_after_churn_the_calendar_is_hatched_from_the_next_day(world):
    user, life, _ = ended(world, CHURNED)
    left = pictures._find_x(pictures.CALENDAR, np.floor(life.now) + 1, 30.0)
    image = draw_frame(world, user, life)
    ground = drawing.mix(drawing.RED, drawing.WHITE, 0.08)
    assert share_of(image, (left, pictures.CALENDAR[1], pictures.CALENDAR[2], pictures.CALENDAR[3]), ground) > 0.4
    assert share_of(image, (pictures.CALENDAR[0], pictures.CALENDAR[1], left, pictures.CALENDAR[3]), ground) == 0


def test_sessions_stand_on_their_day_and_hour_and_gaps_are_empty(world):
    user, life, _ = max((lived(world, seed=seed) for seed in range(10)), key=lambda found: len(found[1].sessions))
    assert len(life.sessions) > 5
    image = draw_frame(world, user, life)
    days = {int(session.start) for session in life.sessions} | {int(session.end) for session in life.sessions}
    for session in life.sessions:
        x = pictures._find_x(pictures.CALENDAR, np.floor(session.start) + 0.5, 30.0)
        y = pictures._find_y(session.start)
        block = image[min(y, pictures.CALENDAR[3] - 6) + 2, x].astype(int)
        assert block[2] - block[0] > 50  # blue
    for day in set(range(int(life.now))) - days:
        x = pictures._find_x(pictures.CALENDAR, day + 0.5, 30.0)
        column = image[pictures.CALENDAR[1] : pictures.CALENDAR[3], x].astype(int)
        assert (column[:, 2] - column[:, 0] < 30).all()


def test_satiation_trust_and_fatigue_move_their_bars(world):
    user, life, _ = lived(world, 3)
    user["satiation"] = 0.0
    before = part(draw_frame(world, user, life), pictures.STATE)
    for name, value in (("trust", 0.9), ("satisfaction", 0.05), ("fatigue", 44.0), ("satiation", 3.0)):
        changed = user.copy()
        changed[name] = value
        assert (part(draw_frame(world, changed, life), pictures.STATE) != before).any(), name
        assert (draw_frame(world, changed, life)[:450] != draw_frame(world, user, life)[:450]).any(axis=2).mean() < 0.1


def test_before_the_first_slate_the_past_is_shown(world):
    user, life, _ = lived(world, 0)
    assert life.sessions == []
    shown = rows(draw_frame(world, user, life), 8)
    user["history_items"][2] = 1 + user["history_items"][2] % 100
    changed = [(a != b).any() for a, b in zip(rows(draw_frame(world, user, life), 8), shown, strict=True)]
    assert changed == [False, False, True, False, False, False, False, False]


def test_a_mark_for_the_return_stands_in_the_gap(world):
    user, life, _ = next(
        found
        for found in (lived(world, steps, seed=2) for steps in range(1, 60))
        if found[0]["left"] and found[0]["status"] == ACTIVE and found[0]["gap"] > 1
    )
    assert life.now == pytest.approx(user["clock"] - user["gap"])
    x, top = pictures._find_x(pictures.CALENDAR, float(user["clock"]), 30.0), pictures.CALENDAR[1]
    above = (x - 6, top - 8, x + 7, top)
    assert share_of(draw_frame(world, user, life), above, drawing.WHITE) < 0.9
    user["left"] = 0
    assert share_of(draw_frame(world, user, life), above, drawing.WHITE) == 1.0


# --- what is recorded ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_a_life_is_recorded_as_it_was(world, seed):
    user, life, rewards = lived(world, seed=seed)
    assert life.total == pytest.approx(sum(rewards))
    assert len(life.points) == len(rewards) + 1
    assert sum(s.minutes for s in life.sessions) == pytest.approx(sum(rewards))
    assert sum(s.slates for s in life.sessions) == len(rewards)
    assert len(life.sessions) == user["session"] + 1
    times = [t for s in life.sessions for t in (s.start, s.end)]
    assert times == sorted(times)
    assert life.now == life.sessions[-1].end == life.points[-1][0]
    for s in life.sessions:
        assert s.minutes <= (s.end - s.start) * 1440 + 1e-6
    life.read(user)  # the life is over
    assert len(life.points) == len(rewards) + 1


def test_a_new_life_forgets_the_old(world):
    _, life, _ = lived(world, 12)
    fresh, _, _ = lived(world, 0, seed=5)
    life.begin(fresh)
    new = LifeRecorder()
    new.begin(fresh)
    assert life == new
    assert life.total == 0.0


@pytest.mark.parametrize(
    ("clock", "text"),
    [(0.0, "day 1, 00:00"), (1.5, "day 2, 12:00"), (2.99999999999, "day 4, 00:00"), (0.25 + 5 / 1440, "day 1, 06:05")],
)
def test_clock(clock, text):
    assert format_clock(clock) == text


# --- nothing is too much -------------------------------------------------------------------------------------------

TEXTS = (
    "word " * 300,
    "新しい映画と古い映画 " * 20,
    "Новый фильм про зиму, драма " + "я" * 300,
    "فيلم قديم عن البحر والصحراء",
    "x" * 5000,
    "Line\nbreak\tand\x00control \U0001f3ac",
    ".",
)


def crowded(topics, items=140):
    rng = np.random.default_rng(0)
    names = [f"Ein sehr langes Thema Nummer {g}" if g % 2 else f"тема{g}" for g in range(topics)]
    return Catalog(
        name="a catalogue with a name that goes on " * 5,
        ids=tuple(f"item{i}" for i in range(items)),
        texts=tuple(f"{TEXTS[i % len(TEXTS)]} {i}" for i in range(items)),
        topics=tuple(tuple(names[g] for g in rng.choice(topics, 3, replace=False)) for _ in range(items)),
        minutes=rng.lognormal(4.6, 0.3, items),
        popularity=rng.random(items),
        rating=rng.random(items),
        published=np.arange(items, dtype=float),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"shape__topics": 64},
        {"shape__slate": 1},
        {"shape__slate": 60},
        {"horizon__days": 365.0},
        {"horizon__days": 0.2},
    ],
    ids=str,
)
def test_nothing_breaks_and_nothing_leaves_its_card(changes):
    world = build_world(crowded(changes.get("shape__topics", 24)), small(**changes))
    margins = [(0, 70, 1280, 79), (0, 66, 19, 720), (1262, 66, 1280, 720), (818, 66, 831, 450), (0, 453, 1280, 463)]
    for user, life, _ in (lived(world, 0), lived(world, 25, empty=True), lived(world, 60, seed=3)):
        user["choice"] = len(user["slate"]) - 1
        user["completion"], user["minutes"], user["satiation"] = 1.0, 123.4, 50.0
        image = draw_frame(world, user, life, "a policy whose name is far too long " * 4)
        for box in margins:
            assert share_of(image, box, drawing.PAPER) == 1.0, box


def test_of_a_long_slate_the_chosen_row_is_always_there():
    world = build_world(make_catalog(), small(shape__slate=60))
    user, life, _ = lived(world, 2)
    left, top, right, bottom = pictures.SLATE
    for slot in (0, 30, 59):
        user["choice"], user["completion"] = slot, 1.0
        assert share_of(draw_frame(world, user, life), (left, top, right, bottom), drawing.ORANGE) > 0.004


@given(st.text(max_size=80), st.integers(0, 200), st.sampled_from([10, 13]), st.booleans())
def test_text_is_cut_to_its_room(text, width, size, bold):
    short, plain = drawing.fit_text(text, width, size, bold), " ".join(text.split())
    length = drawing._load_font(size, bold, text[:500]).getlength
    assert length(short) <= width
    if length(plain) <= width:
        assert short == plain
    else:
        assert short == "" or (short.endswith("…") and plain.startswith(short[:-1]))


# --- Gymnasium -----------------------------------------------------------------------------------------------------


def single(world, mode):
    return SlateEnv(SlateVectorEnv(world, autoreset_mode="Disabled", render_mode=mode))


def test_the_single_environment_renders_frames(short_world):
    env = single(short_world, "rgb_array")
    env.reset(seed=3)
    images = [env.render()]
    for k in range(4):
        env.step(np.arange(10) + k)
        images.append(env.render())
        np.testing.assert_array_equal(images[-1], env.render())
    assert all(image.shape == (720, 1280, 3) and image.dtype == np.uint8 for image in images)
    assert all((a != b).any() for a, b in itertools.pairwise(images))


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_vector_frames_are_those_of_single_environments(short_world, mode):
    env = SlateVectorEnv(short_world, 3, autoreset_mode=mode, render_mode="rgb_array")
    env.reset(seed=7)
    alone = [single(short_world, "rgb_array") for _ in range(3)]
    for b, other in enumerate(alone):
        other.reset(seed=7 + b)
    rng, over = np.random.default_rng(0), np.zeros(3, bool)
    for _ in range(40):
        slates = rng.integers(0, 301, (3, 10))
        _, _, terminated, truncated, _ = env.step(slates)
        for b, other in enumerate(alone):
            if mode == AutoresetMode.NEXT_STEP and over[b]:
                other.reset()
            else:
                _, _, gone, late, _ = other.step(slates[b])
                if mode == AutoresetMode.SAME_STEP and (gone or late):
                    other.reset()
        over = terminated | truncated
    frames = env.render()
    assert isinstance(frames, tuple)
    for image, other in zip(frames, alone, strict=True):
        np.testing.assert_array_equal(image, other.render())


def test_resetting_some_slots_leaves_the_others_as_they_are(short_world):
    env = SlateVectorEnv(short_world, 2, autoreset_mode="Disabled", render_mode="rgb_array")
    env.reset(seed=0)
    env.step(np.tile(np.arange(1, 11), (2, 1)))
    before = env.render()
    env.reset(options={"reset_mask": np.array([True, False])})
    after = env.render()
    assert (before[0] != after[0]).any()
    np.testing.assert_array_equal(before[1], after[1])


def test_a_life_that_leaves_traces_is_drawn_in_each_way(catalog, remembering_world, window):
    """A memory that nothing asks for changes no pixel; where it matters, text, pictures and window show its life."""
    neutral = build_world(catalog, small(horizon__days=3, impression__memory=PLACES))
    found = [lived(world, 12)[:2] for world in (build_world(catalog, small(horizon__days=3)), neutral)]
    plain, other = (draw_frame(neutral, user, life) for user, life in found)
    np.testing.assert_array_equal(plain, other)
    images = {}
    for mode in ("ansi", "rgb_array", "human"):
        env = single(remembering_world, mode)
        env.reset(seed=3)
        for k in range(4):
            env.step(np.arange(10) + k)
        images[mode] = env.render()
    assert images["ansi"].splitlines()[0].startswith("user ")
    np.testing.assert_array_equal(window[0].figure.axes[0].images[0].get_array(), images["rgb_array"])


def test_a_saved_state_can_be_pictured(short_world):
    env = single(short_world, "rgb_array")
    env.reset(seed=1)
    env.step(np.arange(1, 11))
    state = env.save_state()
    env.step(np.arange(11, 21))
    env.load_state(state)
    assert env.render().shape == (720, 1280, 3)
    env.step(np.arange(11, 21))
    assert env.render().shape == (720, 1280, 3)


def test_without_pictures_nothing_is_recorded(short_world):
    for mode in (None, "ansi"):
        assert SlateVectorEnv(short_world, 3, render_mode=mode)._lives == []


def test_human_shows_a_window_at_every_reset_and_step(short_world, window):
    env = single(short_world, "human")
    env.reset(seed=0)
    (canvas,) = window
    assert canvas.shown
    for k in range(3):
        env.step(np.arange(10) + k)
        assert env.render() is None
    assert canvas.draws >= 4
    assert canvas.pauses == [1 / env.metadata["render_fps"]] * 4
    (axes,) = canvas.figure.axes
    shown = axes.images[0].get_array()
    expected = single(short_world, "rgb_array")
    expected.reset(seed=0)
    for k in range(3):
        expected.step(np.arange(10) + k)
    np.testing.assert_array_equal(shown, expected.render())
    assert tuple(canvas.figure.get_size_inches() * canvas.figure.dpi) == (1280, 720)
    plt.close(canvas.figure)  # as a user may
    env.step(np.arange(10))
    assert len(window) == 2
    env.close()
    assert plt.get_fignums() == []


def test_human_without_a_display_says_what_to_do(short_world):
    before = plt.get_backend()
    plt.switch_backend("agg")
    with pytest.raises(RuntimeError, match=r"'human' needs a display .* use render_mode='rgb_array', or write a film"):
        single(short_world, "human")
    plt.switch_backend(before)


def test_record_video(catalog, tmp_path):
    pytest.importorskip("moviepy")
    env = gymnasium.wrappers.RecordVideo(
        Video(catalog=catalog, scenario=small(horizon__days=3), render_mode="rgb_array"), str(tmp_path / "films")
    )
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.arange(10))
    env.close()
    (film,) = tmp_path.glob("films/*.mp4")
    assert film.stat().st_size > 1000

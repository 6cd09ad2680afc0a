"""Films of a life: what is written, under which policy, and what is refused."""

import sys

import numpy as np
import pytest
from PIL import Image

from longplay.agents.rules.context import RuleModels
from longplay.scripts import train, watch
from longplay.scripts.shared import animation
from longplay.tests.agents.small import Counts, short_setting

SMALL = ("--catalog", "items.csv", "--scenario", "small.toml")


@pytest.fixture
def film(place, environment, monkeypatch, call):
    """Run watch.py in the folder, the minutes model fitted on little; gives exit code, words and the file."""
    monkeypatch.setenv("LONGPLAY_CACHE", environment["LONGPLAY_CACHE"])
    monkeypatch.setattr(RuleModels.__init__, "__defaults__", (lambda what: None, 2, 20, 1, 0))

    def run(*arguments, name="film", ending="gif"):
        path = place / "runs" / f"{name}.{ending}"
        path.unlink(missing_ok=True)
        code, words = call(watch, "--name", name, *arguments, folder=place)
        return code, words, path

    return run


def frames_of(path):
    with Image.open(path) as picture:
        found = []
        for k in range(picture.n_frames):
            picture.seek(k)
            found.append((np.array(picture.convert("RGB")), picture.info["duration"]))
        assert picture.info["loop"] == 0
        return found


@pytest.fixture
def whole(film):
    """The frames of a life of some length under popularity, and whose it is."""
    for user in range(180, 200):
        code, words, path = film(*SMALL, "--policy", "popularity", "--user", str(user), "--frames", "2000")
        assert code == 0, words
        images = frames_of(path)
        if len(images) > 6 and ", stayed" in words:
            return str(user), images
    raise AssertionError("every user leaves at once")


def test_help_shows_the_exact_command_and_the_options(call):
    code, words = call(watch, "--help")
    assert code == 0
    assert "python scripts/watch.py --name mine/life --policy static-cap --user 9123" in words
    for option in ("--name", "--policy", "--user", "--days", "--format", "--frames", "--fps", "--env", "--catalog"):
        assert option in words


class TestGif:
    def test_a_life_becomes_an_animation(self, film, whole):
        user, images = whole
        code, words, path = film(*SMALL, "--policy", "popularity", "--user", user, name="mine/life")
        assert code == 0, words
        assert f"runs/mine/life.gif: {len(images)} frames" in words
        assert f"user {user}: " in words
        assert {image.shape for image, _ in images} == {(720, 1280, 3)}
        assert [duration for _, duration in images] == [500] * (len(images) - 1) + [4000]
        assert path.stat().st_size < 40_000 * len(images)
        assert not list(path.parent.glob("*.tmp"))

    def test_colours_survive(self, film):
        _, _, path = film(*SMALL, "--policy", "popularity")
        last = frames_of(path)[-1][0].astype(int)
        assert np.abs(last[30, 640] - (27, 40, 56)).max() < 8  # the header
        assert np.abs(last[75, 10] - (238, 241, 245)).max() < 8  # the paper

    def test_the_same_film_twice(self, film):
        contents = [film(*SMALL, "--policy", "random", "--frames", "4")[2].read_bytes() for _ in range(2)]
        assert contents[0] == contents[1]

    def test_a_long_life_is_thinned_to_its_first_and_last(self, film, whole):
        user, images = whole
        thin = frames_of(film(*SMALL, "--policy", "popularity", "--user", user, "--frames", "3")[2])
        assert len(thin) == 3
        # The palettes differ, the pictures do not.
        for one, other in ((thin[0], images[0]), (thin[-1], images[-1])):
            assert np.abs(one[0].astype(int) - other[0]).mean() < 3
        assert np.abs(thin[1][0].astype(int) - images[0][0]).mean() > 3

    def test_the_first_days_only_and_smaller(self, film, whole):
        user, images = whole
        given = ("--policy", "popularity", "--user", user, "--days", "0.6", "--width", "640", "--fps", "5")
        code, words, path = film(*SMALL, *given)
        assert code == 0, words
        assert ", up to day 1, " in words
        start = frames_of(path)
        assert 1 < len(start) < len(images)
        assert start[0][0].shape == (360, 640, 3)
        assert start[0][1] == 200


class TestPolicies:
    @pytest.mark.parametrize(
        ("policy", "title"),
        [
            ("similarity", "greedy similarity"),
            ("static-cap", "static cap"),
            ("als", "matrix factorisation"),
            ("personal-lints", "personal LinTS"),
            ("taste", "taste oracle"),
        ],
    )
    def test_rules_and_references(self, film, policy, title):
        assert policy in watch.NAMES
        code, words, path = film(*SMALL, "--policy", policy, "--frames", "2")
        assert code == 0, words
        assert f"served by {title}" in words
        assert path.exists()

    def test_a_trained_run_brings_its_setting(self, film, call, place):
        given = ("--steps", "64", "--num-envs", "64", "--eval-users", "2", "--evals", "1", "--track", "off")
        assert call(train, "--name", "tiny/ppo", *given, *SMALL, folder=place)[0] == 0
        code, words, path = film("--policy", "tiny/ppo", "--frames", "2")
        assert code == 0, words
        assert "served by PPO weights γ=0.95" in words
        assert path.exists()
        code, words, path = film("--policy", "tiny/ppo", "--env", "longplay/Control-v0")
        assert code == 2
        assert "the run was trained on longplay/Video-v1, scenario small.toml, catalogue items.csv, not on" in words
        assert "leave the setting out" in words
        code, words, path = film("--policy", "tiny/pqo")
        assert code == 2
        assert "policy = 'tiny/pqo' is unknown (did you mean 'tiny/ppo'?)" in words


def test_an_agent_with_a_memory_keeps_it_through_the_life():
    setting, agent = short_setting(), Counts()
    moments = watch.play_life(setting, agent, 3, 0, None, lambda: None)
    assert len(moments) > 2
    assert agent.met == list(range(len(moments) - 1))


class TestMp4:
    @pytest.fixture
    def program(self, tmp_path, monkeypatch):
        """An ffmpeg that keeps what it is given, or fails as told."""

        def make(script):
            program = tmp_path / "bin" / "ffmpeg"
            program.parent.mkdir()
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
            monkeypatch.setenv("PATH", str(program.parent), prepend=":")

        return make

    def test_every_frame_goes_to_ffmpeg_and_the_last_is_held(self, film, program):
        program('for last; do :; done; cat > "$last"')
        code, words, path = film(
            *SMALL, "--policy", "random", "--format", "mp4", "--frames", "4", "--width", "320", ending="mp4"
        )
        assert code == 0, words
        content = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 180, 320, 3)
        assert len(content) == 4 + animation.LAST_FRAME_SECONDS * 2
        assert (content[3:] == content[3]).all()
        assert (content[2] != content[3]).any()
        assert not list(path.parent.glob("*.tmp"))

    def test_what_ffmpeg_says_is_shown(self, film, program):
        program("echo 'Unknown encoder libx264' >&2; exit 3")
        code, words, path = film(*SMALL, "--policy", "random", "--format", "mp4", "--frames", "4", ending="mp4")
        assert code == 2
        assert "failed: Unknown encoder libx264; use --format gif" in words
        assert not path.exists()
        assert not list(path.parent.glob("*.tmp"))

    def test_without_ffmpeg_the_fix_is_named(self, film, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
        code, words, path = film("--format", "mp4", ending="mp4")
        assert code == 2
        assert "format = 'mp4' needs ffmpeg, which is not here; install it, or pip install imageio-ffmpeg" in words
        assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--policy static-cop", "policy = 'static-cop' is unknown (did you mean 'static-cap'?); allowed: 'linucb'"),
        ("--policy nobody/here", "policy = 'nobody/here' is unknown; allowed: 'linucb', 'lints'"),
        ("--policy ../out", "name = '../out' must be a folder name below runs/"),
        ("--name ../out", "name = '../out' must be a folder name below runs/"),
        ("--format webm", "format = 'webm' is unknown; allowed: 'gif', 'mp4'"),
        ("--env longplay/Vido-v0", "env = 'longplay/Vido-v0' is unknown (did you mean 'longplay/Video-v0'?)"),
        (f"{' '.join(SMALL)} --user 200", "user = 200 is out of range; allowed: 0 to 199"),
        (f"{' '.join(SMALL)} --user 99999999", "user = 99999999 is out of range; allowed: 0 to 199"),
        (f"{' '.join(SMALL)} --user -1", "user = -1 is out of range; allowed: 0 to 199"),
        (f"{' '.join(SMALL)} --days 5", "days = 5 is out of range; allowed: 0.01 to 4"),
        (f"{' '.join(SMALL)} --days 0", "days = 0 is out of range; allowed: 0.01 to 4"),
        ("--frames 1", "frames = 1 is out of range; allowed: 2 to 2000"),
        ("--fps 0", "fps = 0 is out of range; allowed: 0.1 to 60"),
        ("--width 100", "width = 100 is out of range; allowed: 320 to 3840"),
        ("--luck -1", "luck = -1 is out of range; allowed: 0 to"),
        ("--polcy random", "--policy"),
        ("--catalog missing.csv", "missing.csv: no such file"),
    ],
)
def test_a_wrong_argument_is_named(film, place, arguments, said):
    code, words, _ = film(*arguments.split(), name="wrong")
    assert code == 2
    assert said in words
    assert "Traceback" not in words
    assert not (place / "runs" / "wrong.gif").exists()

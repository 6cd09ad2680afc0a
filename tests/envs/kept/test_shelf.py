"""Shelves: the same content again, made anew where a file is not what it should be, and never more than their size."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from longplay.envs.kept import shelf
from longplay.envs.kept.shelf import Shelf, make_key
from longplay.envs.shared import notices
from longplay.tests.envs.kept.keeping import keep_twenty, made

KEY = "0" * 32


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGPLAY_CACHE", str(tmp_path))
    monkeypatch.setattr(shelf, "WORTH", 0.0)
    monkeypatch.setattr(notices, "_SAID", set())
    return tmp_path / "things"


def refuse():
    raise AssertionError("made, though it was kept")


def assert_equal(one, other):
    assert one.facts == other.facts
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        assert array.dtype == other.arrays[name].dtype
        np.testing.assert_array_equal(array, other.arrays[name])


def test_what_is_kept_is_what_was_made(place):
    things = Shelf("things")
    assert_equal(things.fetch(KEY, made), made())
    assert_equal(things.fetch(KEY, refuse), made())
    assert [path.name for path in place.iterdir()] == [f"{KEY}.safetensors"]
    assert place.stat().st_mode & 0o777 == 0o700


def test_what_is_made_at_once_is_not_kept(place, monkeypatch):
    monkeypatch.setattr(shelf, "WORTH", 60.0)
    Shelf("things").fetch(KEY, made)
    assert list(place.iterdir()) == []


def cut(content):
    return content[: len(content) // 2]


def flip(content):
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


@pytest.mark.parametrize("spoil", [cut, flip, lambda content: b"", lambda content: b"\x80\x04."])
def test_a_damaged_file_is_made_anew_and_that_is_said_once(place, capsys, spoil):
    things = Shelf("things")
    things.fetch(KEY, made)
    (path,) = place.iterdir()
    whole = path.read_bytes()
    for _ in range(2):
        path.write_bytes(spoil(whole))
        assert_equal(things.fetch(KEY, made), made())
        assert_equal(things.fetch(KEY, refuse), made())
    said = capsys.readouterr().err
    assert said.count("it is made anew") == said.count("\n") == 1
    assert str(path) in said


def test_the_file_of_another_key_is_not_taken(place, capsys):
    things = Shelf("things")
    things.fetch(KEY, made)
    (path,) = place.iterdir()
    path.rename(place / f"{'1' * 32}.safetensors")
    assert_equal(things.fetch("1" * 32, lambda: made(7)), made(7))
    assert "it is made anew" in capsys.readouterr().err


def test_a_shelf_keeps_what_was_used_last_within_its_size(place):
    size = 8_500  # bytes of one entry, some more than its thousand numbers
    things = Shelf("things", 3 * size)
    for number in range(3):
        things.fetch(f"{number:032}", lambda number=number: made(number))
        os.utime(place / f"{number:032}.safetensors", (number, number))
    assert_equal(things.fetch(f"{0:032}", refuse), made(0))  # used again, so that the second is the oldest
    things.fetch(f"{3:032}", lambda: made(3))
    assert sorted(int(path.stem) for path in place.iterdir()) == [0, 2, 3]
    things.fetch(f"{4:032}", lambda: made(4, 2000))  # more than half of the shelf
    assert sorted(int(path.stem) for path in place.iterdir()) == [0, 2, 3]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has other rights")
@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_folder_that_others_can_write_to_is_not_used(place, capsys, mode):
    things = Shelf("things")
    things.fetch(KEY, made)
    place.chmod(mode)
    for number in (5, 6):
        assert_equal(things.fetch(KEY, lambda number=number: made(number)), made(number))
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "things are not kept on disk" in said
    assert "LONGPLAY_CACHE" in said


def test_where_there_can_be_no_folder_each_process_makes_its_own(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LONGPLAY_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        assert_equal(Shelf("things").fetch(KEY, made), made())
    assert capsys.readouterr().err.count("things are not kept on disk") == 1


def test_processes_at_the_same_time_do_not_disturb_each_other(place):
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(keep_twenty, range(2))) == [list(range(20))] * 2
    assert len(list(place.iterdir())) == 20


def test_a_key_changes_with_all_that_it_is_made_of(monkeypatch, tmp_path):
    (tmp_path / "code.py").write_text("1")
    monkeypatch.setattr(shelf, "PACKAGE", tmp_path)

    def key(parts=(1, 0.1), packages=("numpy",)):
        shelf.digest_sources.cache_clear()
        return make_key(parts, ("code.py",), packages)

    keys = [key(), key((1, 0.1)), key((2, 0.1)), key((1, np.nextafter(0.1, 1))), key(packages=("scipy",))]
    (tmp_path / "code.py").write_text("2")
    keys.append(key())
    monkeypatch.setattr(shelf, "version", lambda name: "0.0")
    keys.append(key())
    monkeypatch.setattr(shelf.sys, "version", "2.7")
    keys.append(key())
    monkeypatch.setattr(shelf, "describe_processor", lambda: ("z80",))
    keys.append(key())
    assert keys[0] == keys[1]
    assert len(set(keys)) == len(keys) - 1
    shelf.digest_sources.cache_clear()

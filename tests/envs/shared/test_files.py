"""A name stands for a whole file, whatever goes wrong while it is written."""

import pytest

from longplay.envs.shared.files import filling, replacing, write_whole


def test_text_is_utf_8_and_bytes_are_themselves(tmp_path):
    write_whole(tmp_path / "notes.txt", "γ = 0")
    assert (tmp_path / "notes.txt").read_bytes() == "γ = 0".encode()
    write_whole(tmp_path / "notes.txt", b"\xff\x00")
    assert (tmp_path / "notes.txt").read_bytes() == b"\xff\x00"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_folder_is_made(tmp_path):
    write_whole(tmp_path / "a/b/notes.txt", "here")
    assert (tmp_path / "a/b/notes.txt").read_text() == "here"


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "notes.txt"
    write_whole(path, "old")

    def full_disk(self, content):
        with self.open("wb") as file:
            file.write(content[:2])
        raise OSError("no space left")

    monkeypatch.setattr("pathlib.Path.write_bytes", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_whole(path, "new and longer")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "notes.txt"
    write_whole(path, "old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert not temporary.exists()


def test_writers_at_once_do_not_share_a_temporary_file(tmp_path):
    path = tmp_path / "notes.txt"
    with replacing(path) as one:
        one.write_text("one")
        with replacing(path) as other:
            assert other != one
            other.write_text("other")
        assert path.read_text() == "other"
    assert path.read_text() == "one"


def test_an_interruption_leaves_no_temporary_file(tmp_path):
    def interrupted():
        with replacing(tmp_path / "notes.txt") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_could_not_be_filled_takes_no_room(tmp_path):
    (tmp_path / "part.tmp").mkdir()
    (tmp_path / "part.tmp" / "old").write_text("left by a writer that was killed")
    with filling(tmp_path / "part.tmp") as folder:
        assert not list(folder.iterdir())
        (folder / "new").write_text("1")
    assert (tmp_path / "part.tmp" / "new").is_file()
    with pytest.raises(TypeError), filling(tmp_path / "part.tmp") as folder:
        (folder / "half").write_text("1") + "which is no text"
    assert not list(tmp_path.iterdir())

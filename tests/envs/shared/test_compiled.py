"""Compiled loops on disk: any change of the sources starts anew, and no folder is no failure."""

import contextlib
import multiprocessing
import os
import pickle
import re
import shutil
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor

import numba
import pytest
from numba import config, njit

from longplay.envs.shared import compiled
from longplay.envs.users import chance
from longplay.tests.envs.shared.kept_loops import keep_in_turn, keep_slowly, records, width


def triple(x):
    return 3 * x


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The sources, to be changed at will."""
    for name in compiled.SOURCES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(compiled.PACKAGE / name, tmp_path / name)
    monkeypatch.setattr(compiled, "PACKAGE", tmp_path)
    return tmp_path


def test_every_file_with_compiled_code_and_what_it_reads_is_a_source():
    files = sorted((compiled.PACKAGE / "envs").rglob("*.py"))
    found = {
        file.relative_to(compiled.PACKAGE).as_posix()
        for file in files
        if re.search(r"^@(njit|loop|part)\b", file.read_text(), re.M)
    }
    assert found
    assert found <= set(compiled.SOURCES)
    assert {"envs/users/records.py", "envs/users/constants.py"} <= set(
        compiled.SOURCES
    )  # types, and numbers compiled in


@pytest.mark.parametrize("name", compiled.SOURCES)
def test_a_change_of_any_source_starts_a_new_folder(copy, name):
    before = compiled.cache_folder()
    assert compiled.cache_folder() == before
    text = (copy / name).read_text()
    (copy / name).write_text(text + " ")
    assert compiled.cache_folder() != before
    (copy / name).write_text(text)
    assert compiled.cache_folder() == before


def test_the_folder_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGPLAY_CACHE", str(tmp_path / "mine"))
    assert compiled.cache_folder().parent == tmp_path / "mine" / "compiled"
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv("LONGPLAY_CACHE")
        else:
            monkeypatch.setenv("LONGPLAY_CACHE", unset)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert compiled.cache_folder().parent == tmp_path / ".cache" / "longplay" / "compiled"


def test_a_loop_is_kept_there_and_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGPLAY_CACHE", str(tmp_path))
    before = config.CACHE_DIR
    assert compiled.loop(triple)(4) == 12
    assert before == config.CACHE_DIR  # other packages' caches stay where they are
    kept = list(compiled.cache_folder().rglob("*triple*.nbi"))
    assert len(kept) == 1
    again = compiled.loop(triple)
    assert again(4) == 12
    assert sum(again.stats.cache_hits.values()) == 1


def test_processes_that_keep_loops_at_the_same_time_do_not_mix_them_up(tmp_path, monkeypatch):
    """Numba alone gives both the same name on disk, and then one process the code that was made for the other."""
    monkeypatch.setenv("LONGPLAY_CACHE", str(tmp_path))
    sizes = (3, 50)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(keep_slowly, sizes)) == [4, 51]
    assert len(list(compiled.cache_folder().rglob("*width*.nbc"))) == 2
    for size in sizes:
        again = compiled.loop(width)
        assert again(records(size)[0]) == size + 1
        assert sum(again.stats.cache_hits.values()) == 1


@pytest.mark.parametrize("size", [3, 7])
def test_kept_loops_are_not_taken_for_those_of_other_records(tmp_path, monkeypatch, size):
    """Numba alone gives the first records of all processes one name, and may run code for 50 on a record of 3."""
    monkeypatch.setenv("LONGPLAY_CACHE", str(tmp_path))
    for sizes in ([size], [50, size]):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            assert pool.submit(keep_in_turn, sizes).result() == [size + 1 for size in sizes]


def fallen_back(function):
    """It works, and is kept nowhere."""
    assert function(4) == 12
    return function.stats.cache_path is None


def test_where_the_folder_cannot_be_made_the_process_compiles_for_itself(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LONGPLAY_CACHE", str(tmp_path / "file"))
    assert fallen_back(compiled.loop(triple))


def test_where_the_folder_cannot_be_written_the_process_compiles_for_itself(tmp_path, monkeypatch):
    """Regression: Numba then kept the loop beside its source, where a change of another file goes unnoticed."""
    whole = tempfile.TemporaryFile

    def refuse(*args, dir=None, **options):
        if str(dir).startswith(str(tmp_path)):
            raise PermissionError(13, "read-only", str(dir))
        return whole(*args, dir=dir, **options)

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setenv("LONGPLAY_CACHE", str(tmp_path))
    assert fallen_back(compiled.loop(triple))


def test_where_nobody_is_at_home_the_process_compiles_for_itself(monkeypatch):
    monkeypatch.delenv("LONGPLAY_CACHE", raising=False)

    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(compiled.Path, "home", nowhere)
    assert fallen_back(compiled.loop(triple))


class Planted:
    """What unpickling it runs."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has other rights")
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_what_others_may_have_put_into_the_folder_does_not_run(tmp_path, monkeypatch, capsys, mode):
    monkeypatch.setenv("LONGPLAY_CACHE", str(tmp_path))
    compiled._say_not_kept.cache_clear()
    compiled.loop(triple)(4)
    folder = compiled.cache_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    (index,) = folder.rglob("*triple*.nbi")
    version = index.read_bytes()[: len(pickle.dumps(numba.__version__, protocol=-1))]
    index.write_bytes(version + pickle.dumps(Planted(tmp_path / "proof")))
    folder.chmod(mode)
    capsys.readouterr()
    loops = [compiled.loop(triple) for _ in range(2)]
    assert all(fallen_back(function) for function in loops)
    assert not (tmp_path / "proof").exists()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"longplay: compiled loops are not kept on disk ({folder.resolve()} can be written to by " in said
    assert "Fix: set LONGPLAY_CACHE to a folder of your own" in said
    # And it would have run: with the folder as it should be, Numba reads it.
    folder.chmod(0o700)
    with contextlib.suppress(Exception):
        compiled.loop(triple)(4)
    assert (tmp_path / "proof").exists()


# --- the notice ----------------------------------------------------------------------------------------------------


def made_by(module):
    """A function to compile that says it is of that module."""

    def plus(x):
        return x + 1

    plus.__module__ = module
    return njit(plus)


@pytest.fixture
def silent(monkeypatch):
    monkeypatch.setattr(compiled._Notice, "said", False)


@pytest.mark.usefixtures("silent")
def test_the_notice_is_said_once_and_only_for_this_package(capsys):
    for module in ("somebody.else", "longplay_other.envs", "longplay.scripts.own", None):
        made_by(module)(1)
    assert capsys.readouterr().err == ""
    for function in (njit(chance.unit.py_func), made_by("longplay.envs.engine")):
        function(1, 2) if function.__name__ == "unit" else function(1)
    said = capsys.readouterr().err
    assert said.count("longplay: compiling the user model") == 1
    assert said.count("\n") == 1


@pytest.mark.usefixtures("silent")
def test_the_notice_is_said_once_by_many_threads(capsys):
    start = threading.Barrier(6)

    def compile_one():
        start.wait()
        made_by("longplay.envs.users.dynamics")(1)

    threads = [threading.Thread(target=compile_one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capsys.readouterr().err.count("compiling") == 1


@pytest.mark.usefixtures("silent")
def test_nothing_is_said_where_the_loop_was_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LONGPLAY_CACHE", str(tmp_path))
    triple.__module__ = "longplay.envs.engine"
    try:
        compiled.loop(triple)(4)
        assert "compiling" in capsys.readouterr().err
        monkeypatch.setattr(compiled._Notice, "said", False)
        assert compiled.loop(triple)(4) == 12
        assert capsys.readouterr().err == ""
    finally:
        triple.__module__ = __name__


def test_the_cache_of_this_process_is_in_use():
    from longplay.envs import engine

    if os.access(compiled.cache_folder(), os.W_OK):
        assert engine._read_slates.stats.cache_path.startswith(str(compiled.cache_folder()))

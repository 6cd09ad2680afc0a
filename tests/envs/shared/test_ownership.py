"""Whose a folder is: files that are executed must not be anybody else's."""

import os
import stat
from types import SimpleNamespace

import pytest

from longplay.envs.shared import ownership
from longplay.envs.shared.ownership import find_other_writer

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has other rights")
USER, OTHER, GROUP = 1000, 1001, 1000


@pytest.fixture
def disk(monkeypatch, tmp_path):
    """Folders that the test tells of: owner, group and mode by name below /; what isn't told of is root's, 0755."""
    told = {}

    class Place(type(tmp_path)):
        def stat(self, **options):
            uid, gid, mode = told.get(str(self), (0, 0, 0o755))
            return SimpleNamespace(st_uid=uid, st_gid=gid, st_mode=stat.S_IFDIR | mode)

    def ask(path, **names):
        told.clear()
        told.update({"/" + name.replace("_", "/"): about for name, about in names.items()})
        return find_other_writer(Place(path))

    import grp
    import pwd

    groups = {GROUP: ["me"], 50: ["me"]}
    monkeypatch.setattr(os, "getuid", lambda: USER)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: SimpleNamespace(pw_gid=GROUP, pw_name="me"))
    monkeypatch.setattr(grp, "getgrgid", lambda gid: SimpleNamespace(gr_mem=groups[gid]))
    ask.groups = groups
    return ask


MINE = (USER, GROUP, 0o700)


class TestTrusted:
    def test_a_folder_of_ones_own_below_a_home(self, disk):
        assert disk("/home/me/x", home_me=(USER, GROUP, 0o755), home_me_x=MINE) is None
        assert disk("/home/me/x", home_me=MINE, home_me_x=(USER, GROUP, 0o755)) is None  # others may read

    def test_a_folder_of_ones_own_below_a_sticky_one(self, disk):
        assert disk("/tmp/x", tmp=(0, 0, 0o1777), tmp_x=MINE) is None

    def test_parents_that_the_private_group_may_write_to(self, disk):
        assert disk("/home/me/x", home_me=(USER, GROUP, 0o775), home_me_x=MINE) is None
        disk.groups[GROUP] = []
        assert disk("/home/me/x", home_me=(USER, GROUP, 0o775), home_me_x=MINE) is None


class TestRefused:
    @pytest.mark.parametrize("about", [(OTHER, GROUP, 0o700), (0, 0, 0o700)])
    def test_the_folder_of_another_user(self, disk, about):
        assert disk("/tmp/x", tmp=(0, 0, 0o1777), tmp_x=about) == f"/tmp/x belongs to another user (number {about[0]})"

    @pytest.mark.parametrize(
        ("mode", "said"),
        [
            (0o702, "/home/me/x can be written to by everybody"),
            (0o1777, "/home/me/x can be written to by everybody"),
            (0o720, f"/home/me/x can be written to by its group (number {GROUP})"),
        ],
    )
    def test_a_folder_that_others_can_write_to(self, disk, mode, said):
        assert disk("/home/me/x", home_me=MINE, home_me_x=(USER, GROUP, mode)) == said

    def test_parents_of_others_or_writable(self, disk):
        parent = {"srv_me_x": MINE}
        assert disk("/srv/me/x", srv_me=(OTHER, GROUP, 0o755), **parent) == (
            f"/srv/me belongs to another user (number {OTHER})"
        )
        assert disk("/srv/me/x", srv=(0, 0, 0o777), srv_me=MINE, **parent) == "/srv can be written to by everybody"
        # A sticky folder of another user is no shelter: its owner may rename what is in it.
        assert disk("/srv/me/x", srv=(OTHER, 0, 0o1777), srv_me=MINE, **parent) == (
            f"/srv belongs to another user (number {OTHER})"
        )

    def test_parents_that_a_shared_group_may_write_to(self, disk):
        said = "/home/me can be written to by its group (number 50)"
        assert disk("/home/me/x", home_me=(USER, 50, 0o775), home_me_x=MINE) == said  # not the primary one
        disk.groups[GROUP] = ["me", "you"]
        said = said.replace("50", str(GROUP))
        assert disk("/home/me/x", home_me=(USER, GROUP, 0o775), home_me_x=MINE) == said

    def test_a_user_without_a_name_has_no_private_group(self, disk, monkeypatch):
        import pwd

        monkeypatch.setattr(pwd, "getpwuid", lambda uid: {}[uid])
        assert "by its group" in disk("/home/me/x", home_me=(USER, GROUP, 0o775), home_me_x=MINE)


def test_without_such_rights_nothing_is_looked_at(monkeypatch, tmp_path):
    monkeypatch.delattr(ownership.os, "getuid")
    assert find_other_writer(tmp_path / "missing") is None


def test_the_real_disk(tmp_path):
    folder = tmp_path / "x"
    folder.mkdir(mode=0o700)
    assert find_other_writer(folder.resolve()) is None
    folder.chmod(0o777)
    assert find_other_writer(folder.resolve()) == f"{folder.resolve()} can be written to by everybody"

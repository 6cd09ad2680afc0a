"""Folders of the cache, and who else could write to them: what is executed from one must be the user's own."""

import os
import stat
import tempfile
from pathlib import Path


def find_cache() -> Path:
    """Root of all that is kept between processes: ``$LONGPLAY_CACHE``, by default ``~/.cache/longplay``.

    Raises
    ------
    RuntimeError
        If there is no home.
    """
    return Path(os.environ.get("LONGPLAY_CACHE") or Path.home() / ".cache" / "longplay")


def open_private(folder: Path) -> Path:
    """A folder for the user alone, made where it is missing; returns where it is without links.

    Raises
    ------
    OSError
        If it cannot be made or written to, or others could write to it (see `find_other_writer`).
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = folder.resolve()  # by which it is used, whatever a link says later
    if (reason := find_other_writer(folder)) is not None:
        raise PermissionError(reason)
    tempfile.TemporaryFile(dir=folder).close()
    return folder


def find_other_writer(folder: Path) -> str | None:
    """Why others could put files into a folder, or another folder in its place; None if only the user (or root) can.

    The folder must belong to the user, and nobody else may write to it. The folders above it must belong to the user or
    to root, and others may write to them only where they are sticky, such as ``/tmp``, or through the user's private
    group: the primary group, of which nobody else is listed as a member. Windows has other rights, which are not looked
    at: there it is always None.

    Parameters
    ----------
    folder
        An existing folder, without symbolic links on its way (see `Path.resolve`).
    """
    if not hasattr(os, "getuid"):
        return None
    user = os.getuid()
    for place in (folder, *folder.parents):
        about = place.stat()
        if about.st_uid != user and (place == folder or about.st_uid != 0):
            return f"{place} belongs to another user (number {about.st_uid})"
        sticky = place != folder and about.st_mode & stat.S_ISVTX
        if about.st_mode & stat.S_IWOTH and not sticky:
            return f"{place} can be written to by everybody"
        if about.st_mode & stat.S_IWGRP and not sticky and not (place != folder and _is_private(about.st_gid)):
            return f"{place} can be written to by its group (number {about.st_gid})"
    return None


def _is_private(group: int) -> bool:
    """Whether a group is the user's primary one and has no other members."""
    import grp
    import pwd

    try:
        user = pwd.getpwuid(os.getuid())
        return user.pw_gid == group and set(grp.getgrgid(group).gr_mem) <= {user.pw_name}
    except KeyError:  # a user or a group without a name
        return False

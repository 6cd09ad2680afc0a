"""Who else could write to a folder: what is executed from it must be the user's own."""

import os
import stat
from pathlib import Path


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

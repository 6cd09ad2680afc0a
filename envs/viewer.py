"""What one user sees and does, as text."""

import textwrap

from .records import ACTIVE, CHURNED, Record
from .world import World


def render_text(world: World, user: Record) -> str:
    """The last slate of one user, what was chosen, and where the user is.

    Parameters
    ----------
    user
        A record of `records.user_type`.
    """
    day, hour = divmod(float(user["clock"]), 1.0)
    lines = [
        f"user {user['id']}   day {int(day) + 1}, {int(hour * 24):02d}:{int(hour * 1440) % 60:02d}   "
        f"session {user['session'] + 1}, slate {user['depth'] + 1}"
    ]
    for slot, item in enumerate(user["slate"]):
        mark = ">" if slot == user["choice"] else " "
        text = world.catalog.texts[item - 1] if item > 0 else "(empty)"
        note = f"  watched {user['completion']:.0%}, {user['minutes']:.1f} min" if slot == user["choice"] else ""
        lines.append(f"{mark} {slot + 1:2d}. {textwrap.shorten(text, 70, placeholder='…')}{note}")
    if user["status"] == CHURNED:
        lines.append("left, and never came back")
    elif user["status"] != ACTIVE:
        lines.append("the horizon is reached")
    elif user["left"]:
        lines.append(f"left; back after {user['gap']:.1f} days")
    return "\n".join(lines)

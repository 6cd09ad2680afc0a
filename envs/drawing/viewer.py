"""What one user sees and does: as text, as the record a picture is drawn from, and in a window."""

import os
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..users.records import ACTIVE, CHURNED, Record
from ..users.world import World

FILE_BACKENDS = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")  # of matplotlib, which open no window


def format_clock(clock: float) -> str:
    """Day from 1 and time of day of a clock [days]: ``"day 3, 07:05"``."""
    minutes = int(clock * 1440 + 1e-6)
    return f"day {minutes // 1440 + 1}, {minutes // 60 % 24:02d}:{minutes % 60:02d}"


def render_text(world: World, user: Record) -> str:
    """The last slate of one user, what was chosen, and where the user is.

    Parameters
    ----------
    user
        A record of `records.user_type`.
    """
    lines = [
        f"user {user['id']}   {format_clock(float(user['clock']))}   "
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


@dataclass
class Session:
    """One session: when [days], minutes of dwell, slates read, and the trust it began with."""

    start: float
    end: float
    trust: float
    minutes: float = 0.0
    slates: int = 0


@dataclass
class LifeRecorder:
    """What a picture needs of a user's past, noted slate by slate; made only where pictures are asked for.

    Call `begin` with the user's record after a reset, `read` after each slate. A user's record says when the next
    slate will be read; this knows when the last one was.

    Attributes
    ----------
    sessions
        So far, the running one last.
    points
        (clock [days], minutes of dwell up to then), one a slate.
    shown
        Session and slate numbers of the last slate, from 1, and the clock [days] at which it was shown.
    now
        Clock at the end of the last slate: the user's own is past the gap already where the user has left.
    peak
        Largest satiation with a topic so far: the scale of its bars.
    """

    sessions: list[Session] = field(default_factory=list)
    points: list[tuple[float, float]] = field(default_factory=list)
    shown: tuple[int, int, float] = (1, 1, 0.0)
    now: float = 0.0
    peak: float = 0.0
    trust: float = 0.0
    _next: tuple[int, int, float] = (1, 1, 0.0)
    _over: bool = False

    def begin(self, user: Record) -> None:
        """A life starts, or goes on from a saved state whose past is not known."""
        self.sessions, self.points = [], [(float(user["clock"]), 0.0)]
        self.now, self.peak, self._over = float(user["clock"]), float(np.max(user["satiation"])), False
        self.trust = float(user["trust"])
        self.shown = self._next = _place(user)

    def read(self, user: Record) -> None:
        """The user has read a slate; nothing happens once the life is over."""
        if self._over:
            return
        self.shown = self._next
        clock = self.shown[2]
        minutes = float(user["minutes"])
        self.now = float(user["clock"])
        if user["left"] and user["status"] == ACTIVE:
            self.now -= float(user["gap"])
        elif user["left"] and user["status"] != CHURNED:
            self.now = clock + minutes / 1440  # the clock was set to the horizon
        if self.shown[1] == 1 or not self.sessions:
            self.sessions.append(Session(clock, self.now, self.trust))
        running = self.sessions[-1]
        running.end, running.minutes, running.slates = self.now, running.minutes + minutes, running.slates + 1
        self.points.append((self.now, self.points[-1][1] + minutes))
        self.peak = max(self.peak, float(np.max(user["satiation"])))
        self.trust = float(user["trust"])
        self._next = _place(user)
        self._over = bool(user["status"] != ACTIVE)

    @property
    def total(self) -> float:
        """Minutes of dwell so far."""
        return self.points[-1][1] if self.points else 0.0


def _place(user: Record) -> tuple[int, int, float]:
    return int(user["session"]) + 1, int(user["depth"]) + 1, float(user["clock"])


def list_render_modes(modes: Iterable[str]) -> list[str]:
    """Those of the modes that can be had here: without "human" where no window can be opened.

    Matplotlib is asked where it is in use already; importing it to ask would take half a second. Else a setting of it
    that draws into files, and Linux without a display server, count as no.
    """
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        backend, display = str(pyplot.get_backend()), True
    else:
        backend = os.environ.get("MPLBACKEND", "")
        display = sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
        display |= backend.startswith("module://")  # a toolkit of somebody's own
    fine = display and backend.lower() not in FILE_BACKENDS
    return [mode for mode in modes if fine or mode != "human"]


class Window:
    """A window that shows frames, through matplotlib's interactive backend.

    Parameters
    ----------
    fps
        Frames a second at most: each stays for at least ``1 / fps`` seconds.

    Raises
    ------
    RuntimeError
        Where matplotlib can open none: no display, or no toolkit such as Tk or Qt.
    """

    def __init__(self, fps: float) -> None:
        # pyplot takes half a second to import, and only windows need it.
        import matplotlib.pyplot as plt
        from matplotlib.backends.registry import BackendFilter, backend_registry

        name = plt.get_backend()
        without = backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE)  # type: ignore[no-untyped-call]
        if name.lower() in without:
            raise RuntimeError(
                "render_mode = 'human' needs a display and a window toolkit, and matplotlib finds none here (its "
                f"backend is {name!r}); use render_mode='rgb_array', or write a film with scripts/watch.py; on a "
                "desktop install a toolkit such as PyQt6, or name one in MPLBACKEND"
            )
        self._plt, self._pause = plt, 1.0 / fps
        self._figure: Any = None
        self._picture: Any = None

    def show(self, frame: NDArray[np.uint8]) -> None:
        """Show a (height, width, 3) frame; a window that was closed opens again."""
        plt = self._plt
        if self._figure is None or not plt.fignum_exists(self._figure.number):
            height, width = frame.shape[:2]
            with plt.rc_context({"toolbar": "None"}):
                self._figure = plt.figure("longplay", figsize=(width / 100, height / 100), dpi=100)
            axes = self._figure.add_axes((0.0, 0.0, 1.0, 1.0))
            axes.set_axis_off()
            self._picture = axes.imshow(frame)
            self._figure.show()
        else:
            self._picture.set_data(frame)
        self._figure.canvas.draw_idle()
        self._figure.canvas.start_event_loop(self._pause)

    def close(self) -> None:
        """Close the window."""
        if self._figure is not None:
            self._plt.close(self._figure)
            self._figure = None

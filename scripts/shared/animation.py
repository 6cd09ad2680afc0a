"""Frames to a GIF or an MP4. Frames are drawn when they are needed, so that a long film takes little memory."""

import importlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from longplay.envs.shared.files import replacing

LAST_FRAME_SECONDS = 4.0  # seconds that the last frame stays
EXACT_COLOURS, NEAR_COLOURS = (
    64,
    128,
)  # colours of a GIF: the most common ones as they are, and some that the others are near to
PALETTE_FRAMES = 6  # frames that its palette is made from

Draw = Callable[[int], Image.Image]


def write_gif(path: Path, count: int, draw: Draw, fps: float) -> None:
    """An animation that repeats, all frames with one palette, so that what stays the same takes no room.

    Parameters
    ----------
    path
        To write; replaced only when the animation is complete.
    count
        Number of frames.
    draw
        Gives frame i, RGB, all of one size; some are asked for twice.
    fps
        Frames a second.
    """
    palette = _make_palette([draw(int(i)) for i in np.unique(np.linspace(0, count - 1, PALETTE_FRAMES).round())])
    first, *others = (draw(i).quantize(palette=palette, dither=Image.Dither.NONE) for i in range(count))
    durations = [round(1000 / fps)] * len(others) + [round(1000 * LAST_FRAME_SECONDS)]
    with replacing(path) as temporary:
        first.save(temporary, "GIF", save_all=True, append_images=others, duration=durations, loop=0, optimize=True)


def _make_palette(samples: list[Image.Image]) -> Image.Image:
    """Grounds keep their very colour, and colours of few pixels (a dot, a bar) are not drowned by the edges of text."""
    sheet = Image.new("RGB", (samples[0].width, samples[0].height * len(samples)))
    for number, image in enumerate(samples):
        sheet.paste(image, (0, number * image.height))
    near = sheet.quantize(NEAR_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).getpalette() or []
    counted: list[tuple[int, tuple[int, int, int]]] = sheet.getcolors(sheet.width * sheet.height)  # type: ignore[assignment]
    exact = [channel for _, colour in sorted(counted, reverse=True)[:EXACT_COLOURS] for channel in colour]
    palette = Image.new("P", (1, 1))
    palette.putpalette(exact + near[: 3 * NEAR_COLOURS])
    return palette


def find_ffmpeg() -> str:
    """The program that makes MP4, from the path or from the package imageio-ffmpeg (which moviepy brings).

    Raises
    ------
    ValueError
        If there is none.
    """
    program = shutil.which("ffmpeg")
    if program is not None:
        return program
    try:
        return str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except ImportError:
        fix = "install it, or pip install imageio-ffmpeg, or use --format gif"
        raise ValueError(f"format = 'mp4' needs ffmpeg, which is not here; {fix}") from None


def write_mp4(path: Path, count: int, draw: Draw, fps: float, program: str) -> None:
    """H.264, which browsers and slides show; parameters as for `write_gif`, and the program of `find_ffmpeg`.

    Raises
    ------
    ValueError
        If the program fails, with what it says.
    """
    first = draw(0)
    command = [program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{first.width}x{first.height}", "-r", f"{fps:g}", "-i", "-"]
    command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4"]
    with replacing(path) as temporary, tempfile.TemporaryFile() as messages:
        with subprocess.Popen(
            [*command, str(temporary)], stdin=subprocess.PIPE, stdout=messages, stderr=messages
        ) as process:
            assert process.stdin is not None
            try:
                for i in [*range(count), *[count - 1] * round(LAST_FRAME_SECONDS * fps)]:
                    process.stdin.write(draw(i).tobytes())
                process.stdin.close()
            except BrokenPipeError:
                pass  # it has given up, and says why
        if process.returncode:
            messages.seek(0)
            words = messages.read().decode(errors="replace").strip()
            raise ValueError(f"{program} failed: {words}; use --format gif")

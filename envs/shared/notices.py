"""What was guessed, filled in or dropped on somebody's behalf: said once, on the error stream."""

import sys

_SAID: set[str] = set()


def say_once(text: str) -> None:
    """Print ``longplay: `` and the text on the error stream, unless this process has said it before."""
    if text not in _SAID:
        _SAID.add(text)
        print(f"longplay: {text}", file=sys.stderr)

"""Commands that have moved: the old file says which command took its place."""

import shlex
import sys


def point_to(module: str) -> None:
    """Print the command that does what this file did, with the words given, and exit with code 2."""
    print(f"moved: {shlex.join(['python', '-m', module, *sys.argv[1:]])}", file=sys.stderr)
    raise SystemExit(2)

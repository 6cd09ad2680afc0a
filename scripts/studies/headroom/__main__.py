"""Measure headroom: ``python -m longplay.scripts.studies.headroom``."""

from longplay.scripts.shared.console import run_command
from longplay.scripts.studies.headroom.study import Arguments, main

if __name__ == "__main__":
    run_command(main, Arguments)

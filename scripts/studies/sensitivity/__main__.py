"""See what the constants of a scenario change: ``python -m longplay.scripts.studies.sensitivity``."""

from longplay.scripts.shared.console import command_line
from longplay.scripts.studies.sensitivity.study import Arguments, main

if __name__ == "__main__":
    command_line(main, Arguments)

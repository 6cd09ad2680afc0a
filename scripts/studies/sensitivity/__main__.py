"""See what the constants of a scenario change: ``python -m longplay.scripts.studies.sensitivity``."""

from longplay.scripts.shared.console import run_command
from longplay.scripts.studies.sensitivity.study import Arguments, main

if __name__ == "__main__":
    run_command(main, Arguments)

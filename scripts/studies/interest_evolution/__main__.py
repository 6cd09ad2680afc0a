"""Play the interest-evolution environment: ``python -m longplay.scripts.studies.interest_evolution``."""

from longplay.scripts.shared.console import command_line
from longplay.scripts.studies.interest_evolution.study import Arguments, main

if __name__ == "__main__":
    command_line(main, Arguments)

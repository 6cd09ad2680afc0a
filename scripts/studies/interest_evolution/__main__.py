"""Play the interest-evolution environment: ``python -m longplay.scripts.studies.interest_evolution``."""

from longplay.scripts.shared.console import run_command
from longplay.scripts.studies.interest_evolution.study import Arguments, main

if __name__ == "__main__":
    run_command(main, Arguments)

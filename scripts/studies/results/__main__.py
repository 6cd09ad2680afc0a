"""Train and compare all agents in all scenarios: ``python -m longplay.scripts.studies.results``."""

from longplay.scripts.shared.console import run_command
from longplay.scripts.studies.results.study import Arguments, main

if __name__ == "__main__":
    run_command(main, Arguments)

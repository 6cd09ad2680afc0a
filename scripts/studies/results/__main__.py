"""Train and compare all agents in all scenarios: ``python -m longplay.scripts.studies.results``."""

from longplay.scripts.shared.console import command_line
from longplay.scripts.studies.results.study import Arguments, main

if __name__ == "__main__":
    command_line(main, Arguments)

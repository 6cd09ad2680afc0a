"""Hold simulated behaviour against public logs: ``python -m longplay.scripts.studies.signatures``."""

from longplay.scripts.shared.console import command_line
from longplay.scripts.studies.signatures.study import Arguments, main

if __name__ == "__main__":
    command_line(main, Arguments)

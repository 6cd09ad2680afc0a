"""Hold simulated behaviour against public logs: ``python -m longplay.scripts.studies.signatures``."""

from longplay.scripts.shared.console import run_command
from longplay.scripts.studies.signatures.study import Arguments, main

if __name__ == "__main__":
    run_command(main, Arguments)

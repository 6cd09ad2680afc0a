"""Compare encoders: ``python -m longplay.scripts.studies.encoders``."""

from longplay.scripts.shared.console import run_command
from longplay.scripts.studies.encoders.study import Arguments, main

if __name__ == "__main__":
    run_command(main, Arguments)

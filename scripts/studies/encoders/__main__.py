"""Compare encoders: ``python -m longplay.scripts.studies.encoders``."""

from longplay.scripts.shared.console import command_line
from longplay.scripts.studies.encoders.study import Arguments, main

if __name__ == "__main__":
    command_line(main, Arguments)

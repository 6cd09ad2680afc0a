"""Moved: ``python -m longplay.scripts.studies.signatures``."""

from longplay.scripts.shared.moved import point_to

if __name__ == "__main__":
    point_to("longplay.scripts.studies.signatures")

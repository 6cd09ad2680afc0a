"""Moved: ``python -m longplay.scripts.studies.dial``."""

from longplay.scripts.shared.moved import point_to

if __name__ == "__main__":
    point_to("longplay.scripts.studies.dial")

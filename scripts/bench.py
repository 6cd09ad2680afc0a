"""Moved: ``python -m longplay.scripts.bench.environment``."""

from longplay.scripts.shared.moved import point_to

if __name__ == "__main__":
    point_to("longplay.scripts.bench.environment")

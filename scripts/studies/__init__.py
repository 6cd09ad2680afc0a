"""Studies, each run as ``python -m longplay.scripts.studies.NAME``."""

"""Logs of interactions: reading, cleaning, splitting; ratings."""

"""What every test shares: Hypothesis draws the same examples each time, and takes the time it needs."""

from hypothesis import settings

settings.register_profile("deterministic", derandomize=True, database=None, deadline=None, max_examples=40)
settings.load_profile("deterministic")

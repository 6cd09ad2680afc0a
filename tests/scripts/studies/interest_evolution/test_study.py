"""interest_evolution.py: a table of all policies, the learners among them."""

import re

from longplay.scripts.studies.interest_evolution import study as interest_evolution


def test_it_trains_plays_and_compares(call):
    code, words = call(
        interest_evolution, "--seeds", 2, "--steps", 300, "--num-envs", 8, "--sessions", 20, "--gamma", 0.9
    )
    assert code == 0, words
    for name in (*interest_evolution.RULES, "SlateQ γ=0", "SlateQ γ=0.9", "SlateQ γ=0.9, by gradients"):
        assert name in words
    minutes = [float(found) for found in re.findall(r" (\d{3}\.\d) ", words)]
    assert minutes == sorted(minutes)
    assert len(minutes) >= 7
    assert "Traceback" not in words

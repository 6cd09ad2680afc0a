"""Tiny solved and simulated from the command line."""

import re

import tyro

from longplay.agents.references.exact.trust import TinyTrustPlanner
from longplay.agents.references.tiny import TinyPlanner
from longplay.envs.make import make_world
from longplay.scripts.studies import tiny


def test_exact_values_stand_beside_simulated_ones(call):
    code, output = call(tiny, "--users", "1500")
    assert code == 0, output
    planner = TinyPlanner(make_world("tiny"))
    greedy = TinyPlanner(planner.world, greedy=True)
    assert f"optimal {planner.value:.3f} 100.0%" in output
    assert f"myopic {greedy.value:.3f}" in output
    assert f"always gem, – {planner.evaluate(lambda state: (2, 0)):.3f}" in output
    rows = re.findall(r"(\d+\.\d{3}) \d+\.\d% (\d+\.\d{3}) (\d+\.\d{2}) to (\d+\.\d{2})", output)
    assert len(rows) == 9
    for exact, mean, low, high in (map(float, row) for row in rows):
        assert low <= mean <= high
        assert abs(exact - mean) <= 2 * (high - low)


def test_where_impressions_leave_a_trace_trust_is_planned_for(call):
    code, output = call(tiny, "tiny-trust", "--users", "800")
    assert code == 0, output
    planner = TinyTrustPlanner(make_world("tiny-trust"))
    assert f"optimal {planner.value:.3f} 100.0%" in output
    assert f"always bait, gem {planner.evaluate(lambda state: (1, 2)):.3f}" in output
    assert f"{len(planner.states):,} states" in output
    rows = re.findall(r"(\d+\.\d{3}) \d+\.\d% (\d+\.\d{3}) (\d+\.\d{2}) to (\d+\.\d{2})", output)
    assert len(rows) == 6
    for exact, mean, low, high in (map(float, row) for row in rows):
        assert abs(exact - mean) <= 2 * (high - low)


def test_other_seeds_live_other_lives(call):
    assert call(tiny, "--users", "40")[1] != call(tiny, "--users", "40", "--seed", "7")[1]


def test_a_scenario_that_is_not_finite_is_refused(call):
    code, output = call(tiny, "video", "--users", "10")
    assert code == 2
    assert "of scenario 'video' leaves no finite problem; see 'tiny'" in output
    code, output = call(tiny, "video-v1", "--users", "10")
    assert code == 2
    assert "of scenario 'video-v1' leaves no finite problem; see 'tiny-trust'" in output


def test_wrong_numbers_are_named(call):
    assert "users = 1 must be at least 2" in call(tiny, "--users", "1")[1]
    assert "seed = -1 must be at least 0" in call(tiny, "--seed", "-1")[1]


def test_the_commands_of_the_docstring_are_some():
    lines = [line.strip() for line in tiny.__doc__.splitlines() if line.strip().startswith("python ")]
    assert all(line.startswith("python -m longplay.scripts.studies.tiny ") for line in lines)
    found = [tyro.cli(tiny.Arguments, args=line.split()[3:]) for line in lines]
    assert found == [tiny.Arguments(), tiny.Arguments(scenario="tiny-trust")]

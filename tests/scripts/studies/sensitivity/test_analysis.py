"""The study of assumed constants: what is drawn, and what is read off the results."""

import numpy as np
import pandas as pd
import pytest

from longplay.envs.users.params import Scenario
from longplay.scripts.studies.sensitivity.analysis import (
    check_plain_sense,
    correlate_constants,
    count_wins,
    draw_constants,
    draw_figure,
    measure_rank_agreement,
)

NAMES = ["random", "popularity", "greedy similarity", "MMR", "static cap", "greedy minutes", "myopic oracle"]


class TestDraw:
    def test_what_is_assumed_and_has_a_range_is_drawn_and_nothing_else(self):
        scenario = Scenario.load("video")
        drawn = draw_constants(scenario, 8, 0)
        assert "repeat_penalty" in drawn
        assert "momentum_weight" not in drawn  # from a log
        for key in drawn:
            assert scenario.sources[key].startswith(("assumed", "chosen", "fitted"))
        for key, source in scenario.sources.items():
            free = source.startswith(("assumed", "chosen", "fitted"))
            if free and key in scenario.ranges and np.ptp(scenario.ranges[key]) > 0:
                assert key in drawn

    def test_every_constant_is_drawn_once_from_each_part_of_its_range(self):
        scenario = Scenario.load("video")
        drawn = draw_constants(scenario, 10, 3).drop(columns="repeat_memory")
        for key, column in drawn.items():
            low, high = scenario.ranges[key]
            assert sorted(np.floor(10 * (column - low) / (high - low)).astype(int)) == list(range(10))

    def test_each_row_is_a_scenario(self):
        scenario = Scenario.load("video")
        drawn = draw_constants(scenario, 6, 1)
        assert (drawn["repeat_memory"] % 1 == 0).all()
        for _, row in drawn.iterrows():
            other = scenario.with_overrides({key.replace("_", ".", 1): float(value) for key, value in row.items()})
            assert other.values["repeat_penalty"] == row["repeat_penalty"]

    def test_the_seed_decides(self):
        scenario = Scenario.load("video")
        one, again, other = (draw_constants(scenario, 4, seed) for seed in (0, 0, 1))
        pd.testing.assert_frame_equal(one, again)
        assert (one != other).to_numpy().any()

    def test_a_scenario_with_nothing_assumed_is_refused(self):
        plain = Scenario.load("video")
        bare = plain.with_overrides({key.replace("_", ".", 1): plain.values[key] for key in plain.ranges})
        with pytest.raises(ValueError, match="has no constant with a range that is no measurement"):
            draw_constants(bare, 4, 0)


@pytest.fixture
def minutes():
    """World by policy; MMR beats similarity where the first constant is large, all else is as in world 0."""
    table = pd.DataFrame([np.arange(10.0, 80.0, 10.0)] * 9, columns=NAMES)
    table.loc[1:, "MMR"] = 30.0 + np.array([-4, -3, 1, 2, 3, 4, 5, 6.0])  # in world 0 it earns 10 more
    return table


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    return pd.DataFrame({"repeat_penalty": np.arange(8.0), "dwell_base": rng.random(8)})


class TestReadings:
    def test_share_of_the_drawn_worlds_that_rank_a_pair_so(self, minutes):
        share = count_wins(minutes)
        assert share.loc["MMR", "greedy similarity"] == 6 / 8
        assert share.loc["greedy similarity", "MMR"] == 2 / 8
        assert share.loc["myopic oracle", "random"] == 1.0

    def test_the_constant_that_moves_a_difference_has_the_largest_correlation(self, minutes, drawn):
        others = ["static cap", "greedy minutes", "myopic oracle", "random"]
        minutes[others] += np.random.default_rng(1).normal(size=(9, 4))
        moved = correlate_constants(minutes, drawn)
        assert list(moved.index) == ["repeat.penalty", "dwell.base"]
        assert moved.loc["repeat.penalty", "MMR − greedy similarity"] == pytest.approx(1.0)
        assert abs(moved.loc["dwell.base", "MMR − greedy similarity"]) < 1.0

    def test_agreement_of_rankings(self, minutes):
        tau = measure_rank_agreement(minutes)
        assert tau[0] == pytest.approx(1.0)
        assert tau[8] == pytest.approx(1.0)
        assert tau[1] == pytest.approx(1 - 2 / 21)  # one pair of 21 the other way round

    def test_picture_shows_all_policies_and_constants(self, minutes, drawn):
        minutes += np.random.default_rng(1).normal(size=minutes.shape)
        left, right = draw_figure(count_wins(minutes), correlate_constants(minutes, drawn)).axes
        assert [label.get_text() for label in left.get_yticklabels()] == NAMES
        assert [label.get_text() for label in right.get_yticklabels()] == ["repeat.penalty", "dwell.base"]


def lives(world, **changes):
    """Two users of each policy; a credible world unless `changes` say otherwise."""
    rows = []
    for place, policy in enumerate(NAMES):
        kind = "reference" if "oracle" in policy else "rule"
        first = {"random": 1.0, "popularity": 2.0, "greedy similarity": 3.0}.get(policy, 4.0)
        row = {"minutes": 100.0 + place, "first_session_minutes": first, "sessions": 12, "churned": False}
        row |= changes.get(policy.replace(" ", "_"), {})
        rows += [
            {"world": world, "policy": policy, "kind": kind, **row, "churned": row["churned"] or user == 0}
            for user in (0, 1)
        ]
    return rows


def test_plain_sense_finds_each_flaw():
    flaws = [
        {},
        {"popularity": {"first_session_minutes": 5.0}},
        {"random": {"minutes": 102.5}},
        {"greedy_similarity": {"sessions": 80}},
        {"greedy_similarity": {"churned": True}},
        {"myopic_oracle": {"minutes": 50.0}},
    ]
    results = pd.DataFrame([row for world, flaw in enumerate(flaws) for row in lives(world, **flaw)])
    found = check_plain_sense(results)
    assert found.shape == (6, 5)
    assert found.loc[0].all()
    for world in range(1, 6):
        assert found.loc[world].tolist() == [check != world - 1 for check in range(5)], world

"""Plain sense of the scenarios, on the smallest one."""

import dataclasses

import pandas as pd
import pytest

from longplay.envs.users.world import build_world
from longplay.scripts.studies import scenarios
from longplay.scripts.studies.scenarios import correlate_substance_and_reward
from longplay.tests.envs.worlds import make_catalog, small


class TestScenarios:
    def test_tiny_is_no_plain_world_and_that_is_said(self, call, tmp_path):
        arguments = ("--name", "small", "--envs", "longplay/Tiny-v0", "--users", "12", "--validation-users", "6")
        code, output = call(scenarios, *arguments, folder=tmp_path)
        assert code == 0, output
        results = pd.read_parquet(tmp_path / "runs" / "small" / "results.parquet")
        assert set(results["world"]) == {"longplay/Tiny-v0"}
        assert set(results["kind"]) == {"rule", "reference"}
        minutes = results.groupby("policy")["minutes"].mean()
        assert f"{minutes['greedy similarity']:.1f}" in output
        # The bait pays and the gem satisfies, by definition.
        assert "correlation of substance and reward" in output
        assert "-1.00" in output

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--envs", "longplay/Vido-v0"), "env = 'longplay/Vido-v0' is unknown"),
            (("--envs", "longplay/Tiny-v0", "--users", "0"), "users = 0 is out of range"),
            (("--name", "../x"), "name = '../x' must be a folder name below runs/"),
        ],
    )
    def test_a_wrong_argument_is_named(self, call, tmp_path, arguments, said):
        code, output = call(scenarios, *arguments, folder=tmp_path)
        assert code == 2
        assert said in output


def test_correlation_is_that_of_worlds_with_and_without_a_link(world_of_links):
    alike, apart = world_of_links
    assert correlate_substance_and_reward(alike, users=20) > 0.2
    assert correlate_substance_and_reward(apart, users=20) < -0.2


@pytest.fixture
def world_of_links():
    """Substance equal to appeal, and to its opposite, where a click is all that pays."""
    catalog = make_catalog(120)
    still = {"dwell__utility": 0.0, "dwell__noise": 0.0, "items__shortest": 10.0, "items__longest": 10.0}
    world = build_world(catalog, small(shape__users=100, choice__appeal=3.0, **still))
    worlds = []
    for sign in (1.0, -1.0):
        items = world.items.copy()
        items["substance"] = sign * items["appeal"]
        worlds.append(dataclasses.replace(world, items=items))
    return worlds

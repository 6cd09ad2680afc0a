"""The benchmark of training: what it measures is what trains, and its arithmetic is right."""

import json
import time

import numpy as np
import pytest

from longplay.agents.playing.training_users import REWARD_SCALE
from longplay.agents.sb3.vec_env import SlateVecEnv
from longplay.agents.setting import Setting
from longplay.scripts.bench import training as bench
from longplay.tests.agents.small import make_states, make_training_env


@pytest.fixture
def setting(place, monkeypatch):
    """The small world."""
    monkeypatch.setenv("LONGPLAY_CACHE", str(place / "cache"))
    return Setting(catalog=str(place / "items.csv"), scenario=str(place / "small.toml"))


def learner(seconds, steps):
    """Takes that long for so many steps; the first time ten times as long."""
    calls = []

    def iterate():
        calls.append(steps)
        end = time.process_time() + seconds * (10 if len(calls) == 1 else 1)
        while time.process_time() < end:
            pass
        return steps

    return iterate


def test_rates_and_ratios_are_to_the_first_and_leave_the_first_iteration_out():
    rows = {
        "slow": bench.Contender(lambda: learner(0.04, 10), 1),
        "quick": bench.Contender(lambda: learner(0.02, 20), 5),
    }
    slow, quick = bench.measure(rows, rounds=2)
    assert (slow["ratio"], slow["ratio_wall"]) == (1.0, 1.0)
    assert 3.0 < quick["ratio"] < 5.0
    assert 200 < slow["per_second"] <= 250
    assert slow["per_second_wall"] <= 250
    assert (quick["learner"], quick["users"], quick["threads"]) == ("quick", 5, 1)


def test_the_stock_stack_lives_the_same_lives(setting):
    """Same action, same states, same rewards: only the way they are run differs."""
    config = bench.RunConfig(setting=setting, num_envs=3)
    own = SlateVecEnv(make_training_env(config), make_states(config, setting), REWARD_SCALE)
    envs = bench.make_stock_env(setting, 3), own
    for env in envs:
        env.seed(4)
    np.testing.assert_array_equal(*(env.reset() for env in envs))
    rng = np.random.default_rng(0)
    ends = 0
    for _ in range(60):
        actions = rng.uniform(-1, 1, (3, 10)).astype(np.float32)
        (theirs, paid, done, _), ours = (env.step(actions) for env in envs)
        ends += done.sum()
        for one, other in zip((theirs, paid, done), ours[:3], strict=True):
            np.testing.assert_array_equal(one, other)
    assert ends > 3


def test_the_command_prints_and_writes_what_is_asked_for(call, setting, tmp_path):
    place = ["--catalog", setting.catalog, "--scenario", setting.scenario]
    quick = ["--users", "64", "--own-users", "8", "--rounds", "1", "--json", tmp_path / "speed" / "figures.json"]
    only = ["--only", "PPO weights", "PPO weights, 2 threads", "PL-PPO"]
    code, output = call(bench, *place, *quick, *only)
    assert code == 0, output
    figures = json.loads((tmp_path / "speed" / "figures.json").read_text())
    rows = figures["training"]
    assert [(row["learner"], row["users"], row["threads"]) for row in rows] == [
        ("PPO weights", 64, 1),
        ("PPO weights, 2 threads", 64, 2),
        ("PL-PPO", 8, 1),
    ]
    assert set(figures["versions"]) == {"stable-baselines3", "torch", "gymnasium"}
    for row in rows:
        assert f"{row['per_second']:,.0f}" in output
        assert row["ratio"] == pytest.approx(row["per_second"] / rows[0]["per_second"])


def test_every_learner_of_the_table_counts_its_steps(setting):
    rows = bench.make_rows(bench.Arguments(setting=setting, users=64, own_users=4))
    assert next(iter(rows)) == bench.STOCK
    for name in ("PL-PPO catalogue", "SlateQ"):
        iterate = rows[name].make()
        assert iterate() > 0
    assert rows["PPO weights"].make()() == 64 * bench.RunConfig(setting=setting).algorithm_arguments["n_steps"]


@pytest.mark.parametrize("option", ["--rounds 0", "--users -1", "--own-users 0", "--stock-users 0"])
def test_wrong_numbers_are_named(call, option):
    code, output = call(bench, *option.split())
    name, value = option[2:].split()
    assert code == 2
    assert f"{name.replace('-', '_')} = {value} must be at least 1" in output


def test_an_unknown_row_is_named_with_all_there_are(call):
    code, output = call(bench, "--only", "PPO")
    assert code == 2
    assert "only = 'PPO' is unknown; allowed: 'stock', 'PPO weights'" in " ".join(output.split())

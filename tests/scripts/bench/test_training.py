"""The benchmark of training: what it measures is what trains, and its arithmetic is right."""

import json
import time

import numpy as np
import pytest

from longplay.agents.playing.training_users import REWARD_SCALE
from longplay.agents.sb3.vec_env import SlateVecEnv
from longplay.agents.setting import Setting
from longplay.scripts.bench import peers
from longplay.scripts.bench import training as bench
from longplay.scripts.bench.parts import OTHER, PARTS, Stopwatch, time_parts
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
    slow, quick = bench.measure({name: row.make() for name, row in rows.items()}, rows, rounds=2)
    assert (slow["ratio"], slow["ratio_wall"]) == (1.0, 1.0)
    assert 3.0 < quick["ratio"] < 5.0
    assert 200 < slow["per_second"] <= 250
    assert slow["per_second_wall"] <= 250
    assert (quick["learner"], quick["users"], quick["threads"]) == ("quick", 5, 1)


def test_the_stock_stack_lives_the_same_lives(setting):
    """Same action, same states, same rewards: only the way they are run differs."""
    config = bench.RunConfig(setting=setting, num_envs=3, dimensions=0, arithmetic=1)
    states = make_states(config, setting)
    envs = bench.make_stock_env(setting, 3, states), SlateVecEnv(make_training_env(config), states, REWARD_SCALE)
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
    code, output = call(bench, *place, *quick, *only, "--no-jax")
    assert code == 0, output
    figures = json.loads((tmp_path / "speed" / "figures.json").read_text())
    rows = figures["training"]
    assert [(row["learner"], row["users"], row["threads"]) for row in rows] == [
        ("PPO weights", 64, 1),
        ("PPO weights, 2 threads", 64, 2),
        ("PL-PPO", 8, 1),
    ]
    assert set(figures["versions"]) == {"stable-baselines3", "torch", "gymnasium"}
    assert set(figures["parts"]) == {"PPO weights", "PL-PPO"}
    for learner, parts in figures["parts"].items():
        assert list(parts) == [*PARTS, OTHER]
        used = {part for part, time in parts.items() if time > 0.0}
        assert used >= {"engine", "candidates", "similarity", "state", "policy", "update", OTHER}, learner
    assert figures["parts"]["PPO weights"]["slates of weights"] > 0.0
    assert figures["parts"]["PL-PPO"]["sampling"] > 0.0
    for row in rows:
        assert f"{row['per_second']:,.0f}" in output
        assert row["ratio"] == pytest.approx(row["per_second"] / rows[0]["per_second"])


def test_parts_within_parts_are_not_counted_twice():
    watch = Stopwatch()

    def work(seconds):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    inner = watch.time("engine", lambda: work(0.02))
    outer = watch.time("candidates", lambda: (work(0.01), inner(), inner()))
    updating = watch.time("update", lambda: (work(0.01), inner()))
    outer(), updating(), work(0.03)
    watch.switch_to(OTHER)
    expected = {"engine": 0.04, "candidates": 0.01, "update": 0.03, OTHER: 0.03}
    for part, seconds in watch.seconds.items():
        assert expected.get(part, 0.0) <= seconds < expected.get(part, 0.0) + 0.01


def test_functions_are_their_own_again_after_the_timing():
    from longplay.agents.sb3.batched_ppo import BatchedPPO

    before = BatchedPPO.train
    with time_parts():
        assert BatchedPPO.train is not before
    assert BatchedPPO.train is before


def test_jax_stands_beside_the_others_or_says_why_not(call, setting, monkeypatch):
    row = {"version": "1, gymnax 2", "users": 1024, "steps_per_second": 10_000_000.0}
    place = [
        "--catalog",
        setting.catalog,
        "--scenario",
        setting.scenario,
        "--users",
        "64",
        "--rounds",
        "1",
        "--no-parts",
    ]
    monkeypatch.setattr(peers, "measure_jax", lambda width, rounds: ([row], ""))
    code, output = call(bench, *place, "--only", "PPO weights")
    assert code == 0, output
    assert "10,000,000" in output
    monkeypatch.setattr(peers, "measure_jax", lambda width, rounds: ([], "not installed: no network"))
    code, output = call(bench, *place, "--only", "PPO weights")
    assert code == 0, output
    assert "JAX: not installed: no network" in output


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

"""The benchmark of behaviours: the same slates for all, ratios of the same round, and refusals."""

import json
import re

import pytest

from longplay.scripts.bench import behaviours as bench
from longplay.scripts.bench.behaviours import COMPILED, PLAIN, SHIPPED


class Clockwork:
    """Engines whose rounds take what they are told."""

    def __init__(self, monkeypatch, seconds):
        self.rounds = []

        def time_round(engine, slates, luck):
            self.rounds.append((engine.name, luck, slates.tobytes()))
            return 1.0 / seconds[engine.name][len(self.rounds) % 2]

        monkeypatch.setattr(bench, "time_round", time_round)


class Named:
    """An engine that is never run."""

    def __init__(self, name, world):
        self.name, self.world, self.num = name, world, 4


def test_ratios_are_to_the_first_of_the_same_round(monkeypatch, place):
    world = bench.make_world(str(place / "small.toml"), str(place / "items.csv"))
    names = ("first", "slow")
    clock = Clockwork(monkeypatch, {"first": (1.0, 1.0), "slow": (2.0, 4.0)})
    ticks = []
    rows = bench.measure({name: Named(name, world) for name in names}, 3, 4, lambda: ticks.append(1))
    assert [row["behaviours"] for row in rows] == list(names)
    assert (rows[0]["ratio"], rows[0]["low"], rows[0]["high"]) == (1.0, 1.0, 1.0)
    assert rows[1]["ratio"] == pytest.approx(0.5)
    assert rows[1]["rate"] == pytest.approx(0.5)
    assert [name for name, _, _ in clock.rounds] == list(names) * 5  # in turn, the first round unmeasured
    assert len({shown for _, _, shown in clock.rounds}) == 1
    assert [luck for _, luck, _ in clock.rounds][::2] == [4 * n for n in range(5)]
    assert len(ticks) == 5


def test_all_that_is_measured_is_listed_and_kept(call, place, monkeypatch):
    monkeypatch.setattr(bench, "time_round", lambda engine, slates, luck: 1000.0)
    make = bench.make_world
    monkeypatch.setattr(bench, "make_world", lambda name: make(name, str(place / "items.csv")))
    monkeypatch.setattr(bench, "make_engine", lambda world, own, users: Named(own, world))
    words = ("--scenarios", "small.toml", "--rounds", "2", "--json", "figures.json")
    code, said = call(bench, *words, folder=place)
    assert code == 0, said
    figures = json.loads((place / "figures.json").read_text())
    assert [row["behaviours"] for row in figures["small.toml"]] == [*COMPILED, *PLAIN]
    for name in (*COMPILED, *PLAIN):
        assert name in said
    assert "median of 2 rounds" in said
    code, said = call(bench, *words[:4], "--plain-users", "0", folder=place)
    assert code == 0
    assert not re.search("|".join(PLAIN.keys() - {SHIPPED}), said)


def test_a_round_counts_those_who_are_there(place):
    world = bench.make_world(str(place / "remembering.toml"), str(place / "items.csv"))
    engine = bench.make_engine(world, {}, 4)
    slates = bench.np.random.default_rng(0).integers(1, 80, (400, 4, world.scenario.shape.slate))
    assert bench.time_round(engine, slates, 3) > 0
    assert (engine.users["status"] != 0).all()
    first = engine.users["id"].copy()
    bench.time_round(engine, slates[:1], 3)
    assert (engine.users["id"] == first).all()  # the same luck meets the same people


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rounds", "0"), "rounds = 0 must be at least 1"),
        (("--plain-users", "-1"), "plain_users = -1 must be at least 0"),
        (("--scenarios", "vidio"), "unknown scenario 'vidio'"),
    ],
)
def test_a_wrong_argument_is_named(call, words, said):
    code, output = call(bench, *words)
    assert code == 2
    assert said in output

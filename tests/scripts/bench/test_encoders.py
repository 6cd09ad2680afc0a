"""The benchmark of encoders: what it measures is what runs, and its arithmetic is right."""

import json
import time

import numpy as np
import pytest

from longplay.agents.runs.reading import Reading
from longplay.agents.setting import Setting
from longplay.encoders import TextEncoder
from longplay.scripts.bench import encoders as bench


@pytest.fixture
def setting(place, monkeypatch):
    """The small world."""
    monkeypatch.setenv("LONGPLAY_CACHE", str(place / "cache"))
    return Setting(catalog=str(place / "items.csv"), scenario=str(place / "small.toml"))


def busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_ratios_and_cosines_are_to_the_first():
    def encoder(seconds, tilt):
        def encode(texts):
            if len(texts) > 64:
                busy(seconds)
            return np.tile(np.array([1.0, tilt], np.float32), (len(texts), 1))

        return encode

    work = {"theirs": encoder(0.10, 0.0), "ours": encoder(0.02, 1.0)}
    theirs, ours = bench.measure_encoding(work, ["text"] * 100, rounds=2)
    assert (theirs["ratio"], theirs["ratio_wall"], theirs["cosine"]) == (1.0, 1.0, pytest.approx(1.0))
    assert 3.0 < ours["ratio"] < 6.0
    assert ours["cosine"] == pytest.approx(0.5**0.5)
    assert 500 < theirs["per_second"] <= 1000


def test_what_is_compared_encodes_alike():
    work = bench.make_text_encoders(None)
    assert [name for name in work if name.startswith("ours")] == ["ours, float32", "ours, bfloat16"]
    texts = ["A cooking show.", "Space, and nothing else in it.", "A farm."]
    vectors = {name: encode(texts) for name, encode in work.items()}
    first = next(iter(vectors))
    assert first == "theirs, float32, 32"  # its default
    assert min(bench.find_least_cosine(other, vectors[first]) for other in vectors.values()) > 0.999
    assert bench.find_least_cosine(vectors["ours, float32"], vectors[first]) > 1 - 1e-5


def test_reload_meets_the_cache_only(monkeypatch):
    monkeypatch.setattr(TextEncoder, "_encode_missing", lambda *_: pytest.fail("a text was encoded"))
    processor, wall = bench.measure_reload(["One.", "Two."], None, 1)
    assert processor > 0
    assert 0 < wall < 30


def test_the_share_of_a_slow_state_is_seen(setting):
    encoder = Reading(setting, "pooled").state_encoder

    class Slow:
        width = encoder.width

        def __call__(self, observation):
            busy(0.02)
            return encoder(observation)

    quick, slow = (bench.measure_state_share(states, setting, users=64, rollouts=1) for states in (encoder, Slow()))
    for row in (quick, slow):
        assert row["share"] == pytest.approx(row["state"] / row["step"])
    assert quick["share"] < 0.5 < slow["share"] < 1.0
    assert slow["state"] >= 0.02


def test_the_command_prints_and_writes_all(call, setting, tmp_path):
    place = ["--catalog", setting.catalog, "--scenario", setting.scenario]
    quick = ["--texts", "5", "--rounds", "1", "--users", "64", "--json", tmp_path / "figures.json"]
    code, output = call(bench, *place, *quick)
    assert code == 0, output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["texts"], figures["catalogue"], figures["threads"]) == (5, 80, 1)
    assert "5 texts a second on 1 thread(s), best of 1 alternating rounds" in output
    assert len(figures["encoding"]) == 7
    for row in figures["encoding"]:
        assert f"{row['per_second']:,.0f}" in output
    assert f"pooled {1e3 * figures['states']['pooled']['state']:.2f}" in output


def test_all_texts_are_all():
    import tyro

    assert tyro.cli(bench.Arguments, args=["--texts", "all"]).texts == "all"
    assert tyro.cli(bench.Arguments, args=[]).texts == 1000


@pytest.mark.parametrize("option", ["--texts 0", "--rounds 0", "--threads 0", "--users -1"])
def test_wrong_numbers_are_named(call, option):
    code, output = call(bench, *option.split())
    name, value = option[2:].split()
    assert code == 2
    assert f"{name} = {value} must be at least 1" in output

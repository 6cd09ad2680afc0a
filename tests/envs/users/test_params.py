"""Scenarios: every constant limited, sourced and in force; every mistake named with its fix."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

import longplay
from longplay.envs.catalogs.registry import CATALOGS
from longplay.envs.users.constants import CASCADE, LIMITS, NEUTRAL, SATURATING, SHAPE_LIMITS, WORDS, ScenarioError
from longplay.envs.users.params import REWARDS, Scenario, list_scenarios

SHIPPED = list_scenarios()
VIDEO = Scenario.load("video")
DERIVED = {"position", "hours"}
# Before there were the constants of `NEUTRAL`; seeds of candidates, golden traces and saved studies hang on them.
DIGESTS = {
    "control": "e6db2b3ffafce6f831d19bd33895af71fc790214b06d841e443d3b459cbea198",
    "news": "560a4fd9beb8c1eadf6334a97e73d49ef7aa0a2543c1d1d4b0f9ca70bea44bde",
    "news-shifted": "bbecd9397fee200a4203b895be7b34aead808bed250071e0c5b14d3d65707131",
    "shop": "6d7d7c2b0e556d3e1656d4edd65b7c7bc00ef8103558c0e4f92fa297a5d0a41c",
    "shop-shifted": "2d52692b8c6944532231bf90efe1660c8670a6b4d6a9c6681820a562894cc424",
    "social": "c0fad0692a68206ebc64bf30117787b6525bc058a8a8543f353a51c4d027ec2b",
    "social-shifted": "edd8e1c83cd8d7b417e9c642eb864c59f545c4a6b2d53831d8c36cfd782f9957",
    "tiny": "daeb471b1b477c3f7ac9667849c0de2d5081509eee7a09fa16b4357830c3e309",
    "video": "3895c020844354eba030cb700ee7104e2cc0404d6b1a212f6e8a0921f1c604fd",
    "video-shifted": "2ed832ca106f3dc336e4c7b1b1b65138ffa4633577a3c9e192d2addfafa86fbf",
}


def toml(folder, text, name="mine.toml"):
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_shipped_scenarios():
    assert {"control", "tiny", "video"} <= set(SHIPPED)
    for name in SHIPPED:
        scenario = Scenario.load(name)
        assert scenario.catalog in CATALOGS
        assert scenario.reward in REWARDS


def test_every_field_has_limits_and_every_limit_a_field():
    assert set(VIDEO.record.dtype.names) - DERIVED == {*LIMITS, *WORDS}
    assert not set(LIMITS) & set(WORDS)
    assert set(SHAPE_LIMITS) == {field.name for field in dataclasses.fields(VIDEO.shape)}
    assert all(low < high and unit for low, high, unit in LIMITS.values())


@pytest.mark.parametrize("name", SHIPPED)
def test_every_constant_has_a_value_in_force_and_a_source(name):
    scenario = Scenario.load(name)
    assert set(scenario.values) == {*LIMITS, *WORDS}
    for key, value in scenario.values.items():
        if key in WORDS:
            assert WORDS[key][int(scenario.params[key])] == value
        else:
            assert scenario.params[key] == getattr(scenario.params, key) == scenario.read_number(key) == value
        if NEUTRAL.get(key) == value and key not in scenario.sources:
            continue  # it changes nothing
        source = scenario.sources[key]
        assert len(source) >= 7, key
        assert source not in ("set by the user", "stated without a source")
        if key in LIMITS and ("assumed" in source or key in scenario.ranges):
            low, high = scenario.ranges[key]
            assert low <= value <= high, key
            assert LIMITS[key][0] <= low <= high <= LIMITS[key][1], key
            assert low < high or "definition" in source, key
    assert len(scenario.sources["day_hours"]) >= 7


def test_words_stand_for_their_places():
    scenario = VIDEO.with_overrides({"choice.model": "cascade", "satiation.kind": "saturating"})
    assert (scenario.params.choice_model, scenario.params.satiation_kind) == (CASCADE, SATURATING)
    assert scenario.values["choice_model"] == "cascade"


@pytest.mark.parametrize("key", sorted(WORDS))
@pytest.mark.parametrize("wrong", ["Logit", "", 1, None, True])
def test_an_unknown_word_is_refused_with_those_known(key, wrong):
    dotted, allowed = key.replace("_", ".", 1), ", ".join(map(repr, WORDS[key]))
    with pytest.raises(ScenarioError, match=rf"'video': {dotted} = {wrong!r} is unknown; allowed: {allowed}$"):
        VIDEO.with_overrides({dotted: wrong})


def test_the_record_is_read_only():
    with pytest.raises(ValueError, match="read-only"):
        VIDEO.record["trust_rate"] = 0.5


def test_activity_has_mean_1_and_position_starts_at_1():
    assert VIDEO.params.hours.mean() == pytest.approx(1.0)
    np.testing.assert_allclose(VIDEO.params.hours / VIDEO.params.hours[0], np.array(VIDEO.hours) / VIDEO.hours[0])
    assert VIDEO.params.position[0] == 1.0
    assert len(VIDEO.params.position) == VIDEO.shape.slate
    cascade = VIDEO.with_overrides({"choice.model": "cascade", "choice.position": 0.3}).params.position
    np.testing.assert_allclose(cascade, np.exp(-0.3 * np.arange(10)))
    np.testing.assert_allclose(VIDEO.params.position, np.arange(1, 11) ** -0.5)


@pytest.mark.parametrize("key", sorted(LIMITS))
def test_a_value_out_of_its_limits_is_refused_with_value_and_limits(key):
    low, high, _ = LIMITS[key]
    dotted = key.replace("_", ".", 1)
    for wrong in (low - 1, high + 1, math.nan, math.inf, True, "much", None):
        with pytest.raises(ScenarioError) as error:
            VIDEO.with_overrides({dotted: wrong})
        number = isinstance(wrong, int | float) and wrong is not True
        refusal = "is out of range; allowed:" if number else "must be a number from"
        assert f"'video': {dotted} = {wrong!r} {refusal} {low} to {high} [" in str(error.value)
    ends = {dotted: low if key != "items_longest" else high}
    assert VIDEO.with_overrides(ends).values[key] == ends[dotted]


@pytest.mark.parametrize("key", sorted(SHAPE_LIMITS))
def test_a_size_out_of_its_limits_is_refused(key):
    low, high = SHAPE_LIMITS[key]
    for wrong in (low - 1, high + 1, 1.5, True, "8", math.nan):
        message = f"shape.{key} = {wrong!r} must be a whole number from {low} to {high}"
        with pytest.raises(ScenarioError, match=f"^scenario 'video': {message}$"):
            VIDEO.with_overrides({f"shape.{key}": wrong})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"satiation.sensitivty": 1.0},
            r"unknown field satiation.sensitivty \(did you mean 'satiation.sensitivity'\?\)",
        ),
        ({"shape.slates": 5}, r"unknown field shape.slates \(did you mean 'slate'\?\); known: slate, history"),
        ({"boredom.x": 1.0}, r"unknown field boredom.x"),
        ({"taste": 3.0}, r"'video': 'taste' is no constant.*; overrides are written"),
        ({"impression_weight": 0.2}, r"'impression_weight' is no constant \(did you mean 'impression.weight'\?\)"),
        ({"base": "news-v1"}, r"base = 'news-v1' is for TOML files; overrides start from the id's own scenario; give"),
        ({"taste.drift": "0.1"}, r"taste.drift = '0.1' must be a number from 0 to 1 \["),
        ({"impression.memory": True}, r"impression.memory = True must be a number from 0 to 4096 \["),
        ({"shape.past": 21}, r"shape.past = 21 exceeds shape.history = 20"),
        ({"shape.slate": 20, "shape.candidates": 10}, r"shape.candidates = 10 cannot fill a slate of 20; raise it"),
        ({"shape.taste": 30}, r"shape.taste = 30 must be a multiple of"),
        ({"shape.topics": 26}, r"shape.topics = 26 must be a multiple of"),
        ({"items.shortest": 30.0}, r"items.shortest = 30.0 exceeds items.longest = 20.0; swap them"),
        ({"day.hours": [1.0] * 23}, r"day.hours needs 24 positive numbers"),
        ({"day.hours": [0.0] * 24}, r"day.hours needs 24 positive numbers"),
        ({"day.hours": [math.nan] * 24}, r"day.hours needs 24 positive numbers"),
        ({"day.hours": 3}, r"day.hours needs 24 positive numbers, got 3"),
        ({"day.hours": ["noon"] * 24}, r"day.hours needs 24 positive numbers"),
        (
            {"impression.memory": 100},
            r"'video': impression.memory = 100 must be a multiple of 8; give 96$",
        ),
        ({"impression.memory": 3}, r"impression.memory = 3 must be a multiple of 8; give 8$"),
        ({"impression.memory": 12.5}, r"impression.memory = 12.5 must be a multiple of 8; give 16$"),
        (
            {"impression.weight": 0.5},
            r"impression.weight = 0.5 needs a memory, and impression.memory is 0; give it places, such as 128, or "
            "set impression.weight to 0$",
        ),
        (
            {"impression.weight": 0.5, "repeat.recovery": 9},
            r"impression.weight = 0.5 and repeat.recovery = 9 need a memory, .*, or set impression.weight and "
            "repeat.recovery to 0$",
        ),
        ({"repeat.recovery": 60}, r"repeat.recovery = 60 needs a memory, and impression.memory is 0; give it places"),
        ({"candidates.order": "random"}, r"candidates.order = 'random' is unknown; allowed: 'source', 'luck'$"),
        ({"reward": "likes"}, r"reward = 'likes' is unknown; allowed: 'minutes', 'clicks', 'returns'"),
        ({"taste.drift": {"value": 0.1, "sauce": "x"}}, r"taste.drift is written \{ value = .*'sauce'"),
        (
            {"taste.drift": {"value": 0.1, "range": [1.0]}},
            r"taste.drift: range needs two numbers, the smaller first, got \[1.0\]",
        ),
        ({"taste.drift": {"value": 0.1, "range": [1, 0]}}, r"taste.drift: range needs two numbers, the smaller first"),
        (
            {"taste.drift": {"value": 0.1, "range": 5}},
            r"taste.drift: range needs two numbers, the smaller first, got 5",
        ),
        ({"taste.drift": {"value": 0.1, "range": ["a", "b"]}}, r"taste.drift: range needs two numbers"),
    ],
    ids=str,
)
def test_a_wrong_override_is_named_with_its_fix(overrides, message):
    with pytest.raises(ScenarioError, match=message):
        VIDEO.with_overrides(overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[taste", "is not valid TOML"),
        ("taste = 3", "'taste' must be a table such as"),
        ("[taste]\nweight = 8.0", "missing shape.candidates; give it a whole number"),
        ('base = "vidoe"', r"unknown scenario 'vidoe' \(did you mean 'video'\?\); known: control, "),
        ('base = "video"\n[taste]\ndrift = 7', "taste.drift = 7 is out of range; allowed: 0 to 1"),
    ],
)
def test_a_wrong_file_is_named_with_its_fix(tmp_path, text, message):
    file = toml(tmp_path, text)
    with pytest.raises(ScenarioError, match=message) as error:
        Scenario.load(file)
    assert "mine.toml" in str(error.value) or "vidoe" in str(error.value)


def test_a_missing_constant_is_named(tmp_path):
    sizes = "\n".join(f"{key} = {getattr(VIDEO.shape, key)}" for key in SHAPE_LIMITS)
    with pytest.raises(
        ScenarioError, match=r"missing choice.appeal, choice.model, .*, trust.start; give each a number"
    ):
        Scenario.load(toml(tmp_path, f"[shape]\n{sizes}"))


def test_a_missing_file_is_named():
    with pytest.raises(ScenarioError, match=r"scenario file 'no/such.toml' does not exist; give a TOML file or one of"):
        Scenario.load("no/such.toml")


def test_a_chain_of_bases_and_overrides(tmp_path):
    first = toml(tmp_path, 'base = "control"\n[taste]\ndrift = 0.5\n[shape]\nusers = 50', "first.toml")
    assert first.is_absolute()
    second = toml(tmp_path, 'base = "first.toml"\n[taste]\nweight = 3')  # a base lies beside its file
    scenario = Scenario.load(str(second)).with_overrides({"trust": {"start": 0.25}})
    assert (scenario.values["taste_drift"], scenario.values["taste_weight"]) == (0.5, 3)
    assert (scenario.values["trust_start"], scenario.shape.users) == (0.25, 50)
    rest = {*LIMITS, *WORDS} - {"taste_drift", "taste_weight", "trust_start"}
    assert {key: scenario.values[key] for key in rest} == {key: Scenario.load("control").values[key] for key in rest}


@pytest.mark.parametrize("other", ["one.toml", "two.toml"])
def test_a_base_that_leads_back_to_itself_is_refused(tmp_path, other):
    toml(tmp_path, f'base = "{other}"', "one.toml")
    toml(tmp_path, 'base = "one.toml"', "two.toml")
    with pytest.raises(ScenarioError, match=r"one.toml' is based on itself; name another"):
        Scenario.load(tmp_path / "one.toml")


def test_a_plain_number_replaces_what_was_said_about_the_old_one():
    changed = VIDEO.with_overrides({"taste.drift": 0.7})
    assert changed.sources["taste_drift"] == "set by the user"
    assert "taste_drift" not in changed.ranges
    told = VIDEO.with_overrides({"taste.drift": {"value": 0.7, "range": [0.1, 0.9], "source": "a log"}})
    assert (told.sources["taste_drift"], told.ranges["taste_drift"]) == ("a log", (0.1, 0.9))


def test_a_file_may_ask_for_a_memory(tmp_path):
    text = 'base = "video"\n[impression]\nweight = 0.5\nmemory = 16\n[repeat]\nrecovery = 30'
    scenario = Scenario.load(toml(tmp_path, text))
    assert (scenario.memory, scenario.params.impression_recovery) == (16, NEUTRAL["impression_recovery"])
    assert VIDEO.memory == 0
    assert scenario.digest != VIDEO.digest
    with pytest.raises(ScenarioError, match=r"'.*mine.toml': impression.weight = 0.5 and repeat.recovery = 30 need"):
        Scenario.load(toml(tmp_path, text.replace("memory = 16", "memory = 0")))


def test_a_file_names_its_catalogue_and_its_reward(tmp_path):
    file = toml(tmp_path, 'base = "video"\ncatalog = "news"\nreward = "clicks"')
    assert (Scenario.load(file).catalog, Scenario.load(file).reward) == ("news", "clicks")
    plain = Scenario.load(toml(tmp_path, 'base = "mine.toml"', "other.toml"))
    assert (plain.catalog, plain.reward) == ("news", "clicks")
    changed = plain.with_overrides({"reward": "returns", "catalog": "films"})
    assert (changed.catalog, changed.reward) == ("films", "returns")


@pytest.mark.parametrize("key", sorted([*LIMITS, *WORDS]))
def test_the_digest_changes_with_any_value(key):
    value = VIDEO.values[key]
    if key in WORDS:
        other = WORDS[key][1]
    else:
        low, high, _ = LIMITS[key]
        other = value + (high - value) * 1e-3 if value < high else (low + value) / 2
    if key == "impression_memory":
        other = 128
    with_room = {**VIDEO.values, "impression_memory": 64}  # which some constants need
    if key in ("items_flare", "items_flare_days"):
        with_room["items_life"] = 1.0
    if key.startswith("purchase_"):
        with_room["purchase_rate"] = 0.5
    changed = dataclasses.replace(VIDEO, values={**with_room, key: other})
    assert changed.digest != dataclasses.replace(VIDEO, values=with_room).digest
    assert changed != VIDEO


@pytest.mark.parametrize("name", DIGESTS)
def test_digests_of_scenarios_are_what_they_were(name):
    scenario = Scenario.load(name)
    assert scenario.digest == DIGESTS[name]
    named = {key.replace("_", ".", 1): value for key, value in NEUTRAL.items()}
    assert scenario.with_overrides(named).digest == DIGESTS[name]  # said or not, what changes nothing does not count


def test_the_digest_changes_with_sizes_and_hours_and_not_with_words():
    assert VIDEO.with_overrides({"shape.users": 9999}).digest != VIDEO.digest
    assert VIDEO.with_overrides({"day.hours": [1.0] * 24}).digest != VIDEO.digest
    assert VIDEO.with_overrides({"reward": "clicks"}).digest != VIDEO.digest
    same = dataclasses.replace(VIDEO, name="other", sources={}, ranges={}, catalog="another")
    assert same.digest == VIDEO.digest
    assert same == VIDEO
    assert hash(same) == hash(VIDEO)
    as_float = dataclasses.replace(VIDEO, values={k: v if k in WORDS else float(v) for k, v in VIDEO.values.items()})
    assert as_float.digest == VIDEO.digest


@pytest.mark.parametrize("name", ["flares", "sales"])
def test_examples_of_options_say_where_their_values_are_from(name):
    file = Path(longplay.__file__).parent / "docs" / "examples" / f"{name}.toml"
    scenario = Scenario.load(file)
    given = [key for key, value in scenario.values.items() if NEUTRAL.get(key, value) != value]
    own = [key for key in given if key.startswith(("items_", "purchase_", "choice_price"))]
    assert len(own) >= 1
    for key in own:
        low, high = scenario.ranges[key]
        assert low <= scenario.values[key] <= high
        assert len(scenario.sources[key]) > 20

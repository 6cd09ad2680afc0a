"""The docstring of each environment is its specification: what it says is so, and its examples run."""

import doctest
import inspect
import re

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import longplay
from longplay.envs.candidates.retriever import count_candidates
from longplay.envs.env import LATENT, LATENT_MEMORY
from longplay.envs.make import make_vector_env
from longplay.envs.named.base import NamedEnv
from longplay.envs.named.registry import ENVIRONMENTS
from longplay.envs.users.params import Scenario
from longplay.tests.envs.worlds import make_catalog

SECTIONS = [
    "Description",
    "Action space",
    "Observation space",
    "Reward",
    "Starting state",
    "Episode end",
    "Info, arguments, seeding",
    "Known optimum",
    "Examples",
    "Version history",
]
HOMES = {name: name.replace("Shifted", "") for name in ENVIRONMENTS}  # where a shifted one's tables stand


def sections(documented):
    """The texts of a docstring's sections by their headings, in order."""
    parts = re.split(r"^(\w[^\n]*)\n(-{3,})$", inspect.getdoc(documented), flags=re.MULTILINE)
    headings, rules = parts[1::3], parts[2::3]
    assert [len(heading) for heading in headings] == [len(rule) for rule in rules]
    return dict(zip(headings, parts[3::3], strict=True))


def table(text):
    """Rows of the first table of a text, without its head; a row without a key goes on with the one above."""
    rule = re.search(r"^=+(?:  +=+)+$", text, flags=re.MULTILINE).group()
    starts = [match.start() for match in re.finditer("=+", rule)]
    rows = []
    for line in text.split(rule)[2].strip("\n").split("\n"):
        cells = [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
        if cells[0]:
            rows.append([cells[0].strip("`"), *cells[1:]])
        else:
            rows[-1] = [" ".join([old, new]).strip() for old, new in zip(rows[-1], cells, strict=True)]
    return rows


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def env(request):
    return gymnasium.make(request.param)


def section(env, heading, home=False):
    name = env.spec.id
    return sections(ENVIRONMENTS[HOMES[name] if home else name])[heading]


# --- what is said is so ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_environment_has_every_section_in_order(name):
    found = sections(ENVIRONMENTS[name])
    assert list(found) == SECTIONS
    assert all(text.strip() for text in found.values())
    history, version = found["Version history"].strip(), name.rpartition("-")[2]
    assert history.startswith(f"{version}: ")
    assert (history == "v0: first version.") == (version == "v0")


def test_the_observation_table_is_the_observation_space(env):
    rows = table(section(env, "Observation space", home=True))
    documented = {key: (eval(shape), np.float32(low), np.float32(high)) for key, shape, _, low, high, _ in rows}
    candidates = documented.pop("candidates")
    space = dict(env.observation_space.spaces)
    context = space.pop("context")
    expected = {key: (box.shape, box.low.min(), box.high.max()) for key, box in space.items()}
    for place, (low, high) in enumerate(zip(context.low, context.high, strict=True)):
        expected[f"context[{place}]"] = (), low, high
    assert documented == expected
    assert all(np.unique(bound).size == 1 for box in space.values() for bound in (box.low, box.high))
    world = env.unwrapped.world
    assert candidates == ((count_candidates(world),), 0, len(world.catalog))
    assert all(unit for _, _, unit, *_ in rows)


def test_the_action_space_is_as_documented(env):
    said = re.search(r"``MultiDiscrete\((.*?)\)``", section(env, "Action space")).group(1)
    assert env.action_space == gymnasium.spaces.MultiDiscrete(eval(said))


def test_the_reward_and_the_horizon_are_as_documented(env):
    scenario = env.unwrapped.world.scenario
    kind, low, high = re.search(r'``"(\w+)"``[^,]*, ([\d.]+) to ([\d.]+) a slate', section(env, "Reward")).groups()
    assert kind == scenario.reward
    most = {"minutes": scenario.params.items_longest, "clicks": 1}[kind]
    assert (float(low), float(high)) == (0, most)
    days = re.search(r"(\d+) days", section(env, "Episode end")).group(1)
    assert float(days) == scenario.params.horizon_days


def test_the_catalogue_and_the_start_are_as_documented(env):
    world, text = env.unwrapped.world, section(env, "Description", home=True)
    assert f"{len(world.people):,} users" in text
    if world.catalog.name != "tiny":
        items = re.search(r"([\d,]+) (?:films|headlines|products|posts)", text).group(1)
        assert items == f"{len(world.catalog):,}"
    if labels := re.search(r"(\d+) (?:sections|departments|tags)", text):
        assert int(labels.group(1)) == len({label for own in world.catalog.topics for label in own})
    past = re.search(r"past of (\d+)", section(env, "Starting state", home=True)).group(1)
    assert int(past) == world.scenario.shape.past


def shown(value):
    return value if isinstance(value, str) else float(value)


def find_bases():
    """Ids whose description tells in what they differ from another, with that other."""
    for name, home in HOMES.items():
        if home != name:
            yield name, home
        elif name.endswith("-v1"):
            yield name, f"{name[:-1]}0"
    for name in ("Season", "Minds", "Habit", "Garden"):
        yield f"longplay/{name}-v0", "longplay/Video-v1"
    yield "longplay/Feed-v0", "longplay/Social-v1"


def _read_sizes(scenario):
    return {f"shape_{name}": size for name, size in vars(scenario.shape).items()}


@pytest.mark.parametrize(("name", "home"), list(find_bases()))
def test_the_table_of_differences_is_the_difference_of_the_scenarios(name, home):
    here, there = (Scenario.load(ENVIRONMENTS[id].scenario) for id in (name, home))
    assert (here.hours, here.catalog) == (there.hours, there.catalog)
    assert here.reward == there.reward or "where version 0 paid" in " ".join(
        sections(ENVIRONMENTS[name])["Description"].split()
    )
    known, others = (_read_sizes(scenario) | dict(scenario.values) for scenario in (here, there))
    differ = {key for key in known if known[key] != others[key]}
    rows = table(sections(ENVIRONMENTS[name])["Description"])
    assert {key.replace(".", "_", 1) for key, *_ in rows} == differ
    for key, *cells in rows:
        values = [values[key.replace(".", "_", 1)] for values in (known, others)]
        if len(cells) == 2:
            assert cells == [f"{value}" for value in values], key
        elif isinstance(values[0], str):
            assert cells == values[:1], key
        else:
            assert cells == ["higher" if values[0] > values[1] else "lower"], key


def test_every_keyword_is_documented_with_its_default():
    vector = inspect.signature(longplay.SlateVectorEnv).parameters
    options = {**inspect.signature(make_vector_env).parameters, **vector}
    # Not of `gymnasium.make`: what it fills in itself, and what a batch alone has.
    for name in ("world", "num_envs", "options", "base", "autoreset_mode"):
        del options[name]
    rows = table(sections(NamedEnv)["Arguments"])
    assert {name: default.strip("`") for name, default, _ in rows} == {k: repr(v.default) for k, v in options.items()}
    of_class = sections(longplay.SlateVectorEnv)["Parameters"]
    assert re.findall(r"^(\w+)$", of_class, flags=re.MULTILINE) == list(vector)


def test_every_key_of_info_is_documented():
    env = gymnasium.make("longplay/Tiny-v0", privileged=True)
    rows = table(sections(NamedEnv)["Info"])
    said, with_memory = sections(NamedEnv)["Info"].split("``latent`` holds")[1].split("it also holds")
    assert set(re.findall(r"``([a-z]+_?[a-z]+)``", with_memory)) == set(LATENT_MEMORY)
    start = {"choice": -1, "item": 0, "completion": 0.0, "left": False}
    first = env.reset(seed=0)[1]
    assert {key: first[key] for key in start} == start
    selling = gymnasium.make("longplay/Tiny-v0", privileged=True, scenario={"purchase.rate": 0.1})
    of_sales = {key for key, *_ in rows} - set(first)
    assert of_sales == set(selling.reset(seed=0)[1]) - set(first) == {"bought", "paid"}
    for info in (first, env.step([1, 2])[4]):
        assert {key for key, *_ in rows} - of_sales == set(info)
        assert set(re.findall(r"``(\w+)``", said)) == set(info["latent"]) == set(LATENT)


def test_what_is_said_of_tiny_is_what_the_planner_finds():
    planners = pytest.importorskip("longplay.agents.references.tiny")
    text = sections(ENVIRONMENTS["longplay/Tiny-v0"])
    world = longplay.make_world("tiny")
    planner, myopic = planners.TinyPlanner(world), planners.TinyPlanner(world, greedy=True)
    assert {slate for _, slate in myopic.solution.values()} == {(1, 2)}
    values = [planner.value, *(planner.evaluate(lambda _, fixed=slate: fixed) for slate in ((2, 1), (1, 2)))]
    assert [minutes for _, minutes in table(text["Known optimum"])] == [f"{value:.4f}" for value in values]
    assert world.catalog.ids == ("bait", "gem")
    assert f"{len(planner.solution)} such states" in text["Description"]
    assert f"{planner.ticks} slates at most" in text["Episode end"]


def test_what_is_said_of_tiny_trust_is_what_the_planner_finds():
    planners = pytest.importorskip("longplay.agents.references.exact.trust")
    text = sections(ENVIRONMENTS["longplay/TinyTrust-v0"])
    world = longplay.make_world("tiny-trust")
    planner, myopic = planners.TinyTrustPlanner(world), planners.TinyTrustPlanner(world, greedy=True)
    assert {slate for _, slate in myopic.solution.values()} == {(1, 2)}
    fixed = [planner.evaluate(lambda _, slate=slate: slate) for slate in ((1, 2), (1, 0), (2, 0))]
    values = [planner.value, *fixed]
    assert [minutes for _, minutes in table(text["Known optimum"])] == [f"{value:.4f}" for value in values]
    assert f"worth {planner.value / myopic.value - 1:.0%}".replace("%", " %") in text["Known optimum"]
    assert values == sorted(values, reverse=True)
    assert f"{len(planner.solution):,} such states" in text["Description"]
    assert f"{planner.ticks} slates" in text["Description"]
    assert f"{planner.ticks} slates at most" in text["Episode end"]
    said = " ".join(text["Description"].split())
    bait, gem = (f"{planner.verdicts[item]:.4f}" for item in (1, 2))
    assert f"0, {bait} (the bait), 0.5 (the start) and {gem} (the gem)" in said
    assert {round(state.trust, 4) for state in planner.states} == {0.0, float(bait), 0.5, float(gem)}


def test_the_proof_stands_on_what_the_control_is():
    values = Scenario.load("control").values
    weights = ("satiation_sensitivity", "momentum_weight", "repeat_penalty", "choice_appeal", "dwell_utility")
    weights += ("dwell_noise", "leave_fatigue", "leave_satisfaction", "leave_skips", "churn_trust", "gap_trust")
    assert not any(values[name] for name in (*weights, "time_coupling", "items_life"))
    assert values["items_shortest"] == values["items_longest"] == 10
    assert (values["time_pace"], values["choice_position"], values["choice_model"]) == (3, 0.5, "logit")
    assert f"{10 / (1 + np.exp(-values['dwell_base'])):.4f}" in sections(ENVIRONMENTS["longplay/Control-v0"])["Reward"]


# --- what is shown runs ----------------------------------------------------------------------------------------------


def run_examples(kind):
    (found,) = doctest.DocTestFinder(recurse=False).find(kind, kind.__name__, globs={})
    assert found.examples
    if any("longplay.agents" in example.source for example in found.examples):
        pytest.importorskip("longplay.agents")
    report = []
    done = doctest.DocTestRunner().run(found, out=report.append)
    assert not done.failed, "".join(report)


def test_the_examples_run(env):
    run_examples(type(env.unwrapped))


@pytest.mark.parametrize("kind", [NamedEnv, longplay.SlateEnv, longplay.SlateVectorEnv])
def test_the_examples_of_what_they_have_in_common_run(kind):
    run_examples(kind)


def test_the_checker_of_gymnasium_has_nothing_to_say(env):
    name = env.spec.id
    assert env.spec.kwargs == {"base": ENVIRONMENTS[name].scenario}
    assert gymnasium.spec(name).entry_point == f"longplay.envs:{ENVIRONMENTS[name].__name__}"
    assert type(env.unwrapped) is ENVIRONMENTS[name]
    check_env(env.unwrapped, skip_render_check=True)


@pytest.mark.parametrize("items", ["table", "catalogue"])
@pytest.mark.parametrize("constants", ["file", "overrides", "scenario"])
def test_own_items_and_constants(tmp_path, items, constants):
    own = make_catalog(40)
    lines = [f"{name},{text}" for name, text in zip(own.ids, own.texts, strict=True)]
    (tmp_path / "items.csv").write_text("\n".join(["id,text", *lines]), encoding="utf-8")
    (tmp_path / "mine.toml").write_text('base = "shop"\n[satiation]\nsensitivity = 0.8\n[shape]\nusers = 50\n')
    overrides = {"satiation.sensitivity": 0.8, "shape.users": 50}
    known = {"file": tmp_path / "mine.toml", "overrides": overrides}
    known["scenario"] = Scenario.load("shop").with_overrides(overrides)
    catalog = {"table": str(tmp_path / "items.csv"), "catalogue": own}[items]
    env = gymnasium.make("longplay/Shop-v0", catalog=catalog, scenario=known[constants])
    world = env.unwrapped.world
    assert world.catalog.texts == own.texts
    assert (world.scenario, len(world.people)) == (known["scenario"], 50)
    assert env.action_space == gymnasium.spaces.MultiDiscrete([41] * 8)
    env.reset(seed=1)
    assert env.step(np.arange(1, 9))[0]["slate_ids"].tolist() == list(range(1, 9))

"""Specifications make their environment again: from any folder, through JSON, whatever they were made of."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode

from longplay.envs.catalogs.table import CatalogError
from longplay.envs.specs import PortableSpec, read_item_vectors
from longplay.envs.users.params import Scenario
from longplay.tests.envs.worlds import make_catalog, small, vectors

SMALL = {"shape.users": 60, "shape.candidates": 20}
TOML = 'base = "video"\n[shape]\nusers = 60\ncandidates = 20\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the environment is made: with a table and a scenario, its cache beside them."""
    monkeypatch.setenv("LONGPLAY_CACHE", str(tmp_path / "cache"))
    here = tmp_path / "here"
    here.mkdir()
    catalog = make_catalog(40)
    rows = [f'{i},"{text}"' for i, text in zip(catalog.ids, catalog.texts, strict=True)]
    (here / "items.csv").write_text("\n".join(["id,text", *rows]) + "\n", encoding="utf-8")
    (here / "goods.csv").write_text("\n".join(["sku,words", *rows]) + "\n", encoding="utf-8")
    (here / "small.toml").write_text(TOML, encoding="utf-8")
    monkeypatch.chdir(here)
    return here


def live(env):
    """What a first slates' life is like."""
    observation, info = env.reset(seed=5)
    seen = [observation["history_ids"], info["user"]]
    for k in range(4):
        observation, minutes, *_ = env.step(np.full(env.action_space.shape, k + 1))
        seen += [minutes, observation["context"], *([observation["candidates"]] if "candidates" in observation else [])]
    return [np.asarray(value).tolist() for value in seen]


def portable(kwargs):
    """Video's specification with these keywords."""
    spec = copy.deepcopy(gymnasium.spec("longplay/Video-v0"))
    spec.kwargs |= kwargs
    return PortableSpec.of(spec)


def elsewhere(spec, tmp_path, monkeypatch):
    """The specification, by way of JSON, read in another folder."""
    text = spec.to_json()
    other = tmp_path / "other"
    other.mkdir(exist_ok=True)
    monkeypatch.chdir(other)
    return EnvSpec.from_json(text)


@pytest.mark.parametrize("name", ["items.csv", "./items.csv", Path("items.csv")], ids=repr)
def test_paths_are_absolute(folder, tmp_path, monkeypatch, name):
    env = gymnasium.make("longplay/Video-v0", catalog=name, scenario="small.toml")
    assert env.spec.kwargs["catalog"] == str(folder / "items.csv")
    assert env.spec.kwargs["scenario"] == str(folder / "small.toml")
    lived = live(env)
    assert live(gymnasium.make(elsewhere(env.spec, tmp_path, monkeypatch))) == lived


def test_a_scenario_s_name_is_no_path(folder):
    (folder / "tiny").write_text("no scenario", encoding="utf-8")
    env = gymnasium.make("longplay/Tiny-v0", scenario="tiny")
    assert env.spec.kwargs["scenario"] == "tiny"


def test_a_catalogue_vectors_and_a_scenario_in_memory_go_through_json(folder, tmp_path, monkeypatch):
    catalog, scenario = replace(make_catalog(40), price=np.linspace(1, 9, 40)), small(**SMALL)
    table = vectors(catalog)
    env = gymnasium.make(
        "longplay/Video-v0",
        catalog=catalog,
        scenario=scenario,
        item_vectors=table,
        candidates=True,
        world_seed=np.int64(3),
    )
    lived, world = live(env), env.unwrapped.world
    again = gymnasium.make(elsewhere(env.spec, tmp_path, monkeypatch))
    assert again.unwrapped.world.catalog.digest == catalog.digest
    assert again.unwrapped.world.catalog.price_digest == catalog.price_digest != ""
    assert again.unwrapped.world.scenario == scenario
    assert again.unwrapped.world.people.dtype == world.people.dtype
    assert live(again) == lived
    # Its own specification says the same, and so does the one of the vector environment.
    assert json.loads(again.spec.to_json())["kwargs"] == json.loads(env.spec.to_json())["kwargs"]


def test_a_vector_environment_s_goes_through_json_too(folder, tmp_path, monkeypatch):
    catalog = make_catalog(40)
    options = {"catalog": catalog, "scenario": SMALL, "item_vectors": vectors(catalog), "action": "weights"}
    env = gymnasium.make_vec("longplay/Video-v0", num_envs=3, autoreset_mode=AutoresetMode.SAME_STEP, **options)
    spec = elsewhere(env.spec, tmp_path, monkeypatch)
    again = gymnasium.make_vec(spec)
    assert again.num_envs == 3
    assert again.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert np.array_equal(again.reset(seed=1)[0]["candidates"], env.reset(seed=1)[0]["candidates"])


def test_the_files_of_the_cache_are_named_by_what_they_hold(folder, tmp_path):
    catalog = make_catalog(40)
    first, second = (portable({"catalog": catalog, "item_vectors": vectors(catalog) + number}) for number in (0, 1))
    paths = [json.loads(spec.to_json())["kwargs"] for spec in (first, first, second)]
    assert paths[0] == paths[1]
    assert paths[0]["catalog"] == paths[2]["catalog"]
    assert paths[0]["item_vectors"] != paths[2]["item_vectors"]
    assert {Path(paths[0][name]).parent for name in ("catalog", "item_vectors")} == {tmp_path / "cache" / "specs"}


def test_films_with_unknown_ratings_come_back_to_the_bit(folder):
    catalog = replace(make_catalog(40), rating=np.r_[np.full(30, 0.5), np.linspace(0, 1, 10)])
    spec = EnvSpec.from_json(portable({"catalog": catalog, "scenario": SMALL}).to_json())
    assert gymnasium.make(spec).unwrapped.world.catalog.digest == catalog.digest


@pytest.mark.parametrize("name", ["catalog", "item_vectors"])
def test_a_file_that_is_gone_is_named_with_the_fix(folder, name):
    catalog = make_catalog(40)
    kwargs = {"catalog": catalog, "scenario": SMALL, "item_vectors": vectors(catalog), "candidates": True}
    spec = EnvSpec.from_json(portable(kwargs).to_json())
    Path(spec.kwargs[name]).unlink()
    with pytest.raises(
        (ValueError, CatalogError), match=rf"{name} = '.*': no such file.*pass {name}=\.\.\. to gymnasium"
    ):
        gymnasium.make(spec)


def test_vectors_that_would_run_something_are_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("run",)

    np.save(tmp_path / "evil.npy", np.array([Evil()], object), allow_pickle=True)
    with pytest.raises(ValueError, match="cannot be read as an array"):
        read_item_vectors(tmp_path / "evil.npy")


def test_columns_of_a_table_are_named_where_it_is_given(folder, tmp_path, monkeypatch):
    with pytest.raises(CatalogError, match="id_column"):
        gymnasium.make("longplay/Video-v0", catalog="goods.csv", scenario=SMALL)
    env = gymnasium.make("longplay/Video-v0", catalog="goods.csv", id_column="sku", text_column="words", scenario=SMALL)
    plain = gymnasium.make("longplay/Video-v0", catalog="items.csv", scenario=SMALL)
    assert env.unwrapped.world.catalog.digest == plain.unwrapped.world.catalog.digest
    lived = live(env)
    assert live(gymnasium.make(elsewhere(env.spec, tmp_path, monkeypatch))) == lived


@pytest.mark.parametrize("catalog", [None, make_catalog(40)], ids=["its own", "in memory"])
def test_columns_without_a_table_are_refused(catalog):
    with pytest.raises(ValueError, match="id_column = 'sku' names a column of a table, and there is none; fix: pass"):
        gymnasium.make("longplay/Video-v0", id_column="sku", catalog=catalog)


def test_all_that_a_scenario_says_is_in_its_overrides():
    spec = portable({"scenario": Scenario.load("news")})
    assert Scenario.load("video").with_overrides(json.loads(spec.to_json())["kwargs"]["scenario"]) == Scenario.load(
        "news"
    )

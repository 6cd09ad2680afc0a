"""Files saved by an earlier version are loaded, and give the same: `make_fixtures.py` tells how they were made."""

import shutil
from pathlib import Path

import gymnasium
import numpy as np
import pandas as pd
import pytest
from gymnasium.envs.registration import EnvSpec
from safetensors.numpy import load_file

from longplay.tests.compatibility import api, playing

MOST = 1_000_000  # bytes of all that is saved
PLAYED, SPECS = playing.read(playing.SAVED / playing.PLAYED), playing.read(playing.SAVED / playing.SPECS)
SPECIFIED = [(kind, name) for kind, found in SPECS.items() for name in found]


def names(kind):
    """What is saved in a folder."""
    return sorted(path.name for path in (playing.SAVED / kind).iterdir())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A copy of the folder, which nothing may be written to."""
    folder = tmp_path_factory.mktemp("compatibility") / "saved"
    shutil.copytree(playing.SAVED, folder)
    return folder


@pytest.fixture(autouse=True)
def here(place, monkeypatch):
    """Paths in configurations are relative."""
    monkeypatch.chdir(place)


@pytest.fixture(scope="module")
def setting(place):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        made = playing.make_setting()
        assert len(made.world.catalog) == len(made.item_vectors)
    return made


@pytest.fixture(scope="module")
def expected():
    return load_file(playing.SAVED / playing.EXPECTED)


def test_it_is_small_and_whole():
    assert sum(path.stat().st_size for path in playing.SAVED.rglob("*") if path.is_file()) < MOST
    choosing = {f"{kind}/{name}" for kind in ("trained", "rules", "offline") for name in names(kind)} | {"linear.json"}
    assert choosing == set(PLAYED["slates"])
    assert {f"interrupted/{name}" for name in names("interrupted")} == set(PLAYED["curves"])


@pytest.mark.parametrize("path", PLAYED["slates"])
def test_policies_show_the_same_slates(path, setting):
    found = playing.play(playing.load(Path(path), setting), setting)
    np.testing.assert_array_equal(found, PLAYED["slates"][path])


def test_a_linear_oracle_is_found_by_the_same_search(setting):
    found, known = playing.fit_linear(setting), playing.load(Path("linear.json"), setting)
    for name in ("weights", "centre", "scale"):
        np.testing.assert_array_equal(getattr(found, name), getattr(known, name))


@pytest.mark.parametrize("name", names("trained"))
def test_configurations_of_runs_are_written_as_they_were(name):
    file = Path("trained") / name / "config.json"
    assert api.RunConfig.from_json(file).to_json() == file.read_text(encoding="utf-8")


def test_options_and_trials_of_a_searched_rule_are_kept(setting):
    tuned, _ = api.load_rule(Path("rules/searched"), setting)
    assert tuned.rule == "dpp"
    assert len(tuned.trials) == tuned.search["trials"] == 3
    assert tuned.trials["minutes"].max() > 0
    assert vars(tuned.options).items() <= tuned.trials.loc[tuned.trials["minutes"].idxmax()].to_dict().items()


@pytest.mark.parametrize("name", names("encoders"))
def test_encoders_give_the_same_vectors(name, setting, expected):
    encoder = api.load_encoder(Path("encoders") / name, setting.items)
    for part, vectors in playing.encoded(encoder, load_file(playing.OBSERVATIONS)).items():
        known = expected[f"encoders/{name}/{part}"]
        assert (vectors.shape, vectors.dtype) == (known.shape, known.dtype)
        np.testing.assert_allclose(vectors, known, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", names("encoders"))
def test_encoders_are_saved_as_they_were(name, setting, tmp_path):
    folder = Path("encoders") / name
    api.load_encoder(folder, setting.items).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in folder.iterdir())
    for path in folder.glob("*.safetensors"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", names("models"))
def test_models_say_the_same(name, expected):
    found = playing.predicted(Path("models") / name)
    np.testing.assert_allclose(found, expected[f"models/{name}"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("path", PLAYED["curves"])
def test_interrupted_trainings_arrive_at_the_same_curve(path, tmp_path):
    folder, known = tmp_path / Path(path).name, PLAYED["curves"][path]
    shutil.copytree(path, folder)
    found = playing.resume(folder)
    curves = (playing.read_curve(content["curve"]) for content in (found, known))
    pd.testing.assert_frame_equal(*curves, check_exact=False, rtol=1e-6, atol=1e-9)
    assert found["weights"] == pytest.approx(known["weights"], rel=1e-5, abs=1e-8)
    assert (folder / "finished.json").is_file()


def test_a_search_goes_on(setting, tmp_path):
    folder, known = tmp_path / "study", PLAYED["study"]
    shutil.copytree("study", folder)
    found = playing.go_on(folder, setting)
    assert found["number"] == known["number"] == 2
    assert found["parameters"] == pytest.approx(known["parameters"])
    assert found["minutes"] == pytest.approx(known["minutes"], rel=1e-6)


def test_a_preset_of_a_search_is_read():
    preset = api.read_preset(Path("preset.toml"))
    assert preset.agent == "slateq"
    assert preset.settings("video")["options"]["hidden"] == 4


def test_minari_plays_the_lives_it_keeps_again():
    dataset = api.read_minari(Path("lives"))
    assert dataset.total_episodes == 2
    about = list(dataset.storage.get_episode_metadata(range(2)))
    for env in (dataset.recover_environment(), gymnasium.make(dataset.env_spec)):
        for episode, known in zip(dataset.iterate_episodes(), about, strict=True):
            user = {"user": int(known["options"]["user"])}
            observation, info = env.reset(seed=int(known["seed"]), options=user)
            assert info["user"] == user["user"]
            for t, slate in enumerate(episode.actions):
                np.testing.assert_array_equal(observation["history_ids"], episode.observations["history_ids"][t])
                observation, minutes, terminated, truncated, _ = env.step(slate)
                assert minutes == pytest.approx(episode.rewards[t], rel=1e-6)
                assert (terminated, truncated) == (episode.terminations[t], episode.truncations[t])
            assert terminated or truncated
        env.close()


def test_a_log_is_read_with_its_propensities(setting):
    log = api.read_log(Path("log"))
    assert log.log_propensities.shape == log.slates.shape
    policy = api.PlackettLuce(api.weighted_scores(setting.scorer, {"length": 1.0}), setting.scorer.slots, 0.5)
    observation = log.at(log.before)
    np.testing.assert_array_equal(policy.act(observation), log.slates)
    np.testing.assert_allclose(policy.log_propensities(observation, log.slates), log.log_propensities, rtol=1e-5)


@pytest.mark.parametrize(("kind", "name"), SPECIFIED)
def test_specifications_make_the_same_environment(kind, name):
    spec = EnvSpec.from_json(SPECS[kind][name]["spec"])
    changes = playing.smaller(name) if kind == "registered" else {}
    assert playing.live(spec, **changes) == SPECS[kind][name]["lived"]


@pytest.mark.parametrize("name", SPECS["registered"])
def test_specifications_of_batches_make_one(name):
    spec = EnvSpec.from_json(SPECS["registered"][name]["spec"])
    env = gymnasium.make_vec(spec, num_envs=2, **playing.smaller(name))
    assert env.reset(seed=7)[0]["history_ids"].shape[0] == 2
    env.close()


def test_every_environment_is_registered_still():
    assert set(SPECS["registered"]) <= set(api.ENVIRONMENTS)

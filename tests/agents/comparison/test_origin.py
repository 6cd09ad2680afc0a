"""What made a comparison: each part from the thing itself, whatever the machine has of git."""

import json
import subprocess
import tomllib
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
import tomli_w

import longplay
from longplay.agents.comparison import origin
from longplay.agents.comparison.contestants import Contestant, make_references, tune_rules
from longplay.agents.comparison.origin import describe_environment, describe_origin, find_commit, make_plain
from longplay.agents.playing.luck import TEST_LUCK, VALIDATION_LUCK
from longplay.agents.setting import Setting
from longplay.envs.users.params import Scenario


def git(folder, *words):
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A repository with one commit."""
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


class TestCommit:
    def test_it_is_that_of_the_checkout_and_says_if_files_changed(self, checkout):
        commit = git(checkout, "rev-parse", "HEAD")
        assert find_commit(checkout) == commit
        (checkout / "other").write_text("not tracked")
        assert find_commit(checkout) == commit
        (checkout / "file").write_text("2")
        assert find_commit(checkout) == f"{commit}, with changes"

    def test_a_package_installed_inside_another_repository_is_not_of_it(self, checkout):
        (checkout / "site-packages" / "longplay").mkdir(parents=True)
        assert find_commit(checkout / "site-packages" / "longplay") == "unknown: not a git checkout"

    def test_without_a_commit_a_repository_or_git_it_says_so(self, tmp_path, monkeypatch):
        assert find_commit(tmp_path) == "unknown: not a git checkout"
        git(tmp_path, "init", "-q")
        assert find_commit(tmp_path) == "unknown: not a git checkout"
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_commit(tmp_path) == "unknown: git is not installed"

    def test_variables_of_a_hook_do_not_mislead(self, checkout, tmp_path_factory, monkeypatch):
        monkeypatch.setenv("GIT_DIR", str(checkout / ".git"))
        assert find_commit(tmp_path_factory.mktemp("plain")) == "unknown: not a git checkout"


class TestEnvironment:
    def test_id_version_and_what_was_overridden(self, tmp_path):
        file = tmp_path / "mine.toml"
        file.write_text('base = "tiny"\n[satiation]\nsensitivity = 0.25\n[horizon]\ndays = 3.0\n[shape]\nusers = 50\n')
        found = describe_environment(Setting("longplay/Tiny-v0", scenario=str(file), world_seed=3, strength=0.5))
        assert (found["id"], found["version"], found["world_seed"], found["strength"]) == (
            "longplay/Tiny-v0",
            0,
            3,
            0.5,
        )
        assert found["scenario"] == str(file)
        own = Scenario.load("tiny")
        assert own.values["satiation_sensitivity"] != 0.25
        assert found["overrides"] == {"satiation.sensitivity": 0.25, "horizon.days": 3.0, "shape.users": 50}
        assert (found["items"], found["people"]) == (2, 50)

    def test_an_id_as_it_is_overrides_nothing(self):
        found = describe_environment(Setting("longplay/Tiny-v0"))
        assert found["overrides"] == {}
        assert found["scenario_digest"] == Scenario.load("tiny").digest
        assert found["text_model"] == "the default"


class TestOrigin:
    @pytest.fixture(scope="class")
    @staticmethod
    def found(setting):
        tuned = tune_rules(setting, 4, lambda what: None, names=("mmr", "popularity"), trials=2)
        learned = Contestant("PPO", "learned", [], "1 seed", about={"seeds": [3], "slates_spent": [np.int64(256)]})
        return describe_origin(setting, [*tuned, learned, *make_references(setting)], 12, 4)

    def test_rules_have_their_options_and_how_they_were_found(self, found):
        mmr = found["policies"]["MMR"]
        assert (mmr["kind"], mmr["rule"]) == ("rule", "mmr")
        assert mmr["note"] == f"λ = {mmr['options']['trade_off']:.3g}"
        assert mmr["search"]["trials"] == 2
        assert found["policies"]["PPO"]["seeds"] == [3]
        assert set(found["policies"]) == {"MMR", "popularity", "PPO", "items oracle", "myopic oracle", "taste oracle"}

    def test_users_and_luck_are_those_who_play(self, found, world):
        test, validation = world.split("test"), world.split("validation")
        assert found["users"] == {
            "test": {"count": 12, "first": test.start, "luck": TEST_LUCK},
            "validation": {"count": 4, "first": validation.start, "luck": VALIDATION_LUCK},
        }

    def test_sealed_users_are_said_to_be(self, remembering_setting):
        found = describe_origin(remembering_setting, [], 6, 4, sealed=True)["users"]["test"]
        assert found == {"count": 6, "first": 190, "luck": TEST_LUCK, "sealed": True}
        assert "sealed" not in describe_origin(remembering_setting, [], 6, 4)["users"]["test"]

    def test_versions_are_those_installed(self, found, monkeypatch):
        software = found["software"]
        assert software["longplay"] == longplay.__version__
        for name in ("numpy", "torch", "gymnasium"):
            assert software["packages"][name] == version(name)
        monkeypatch.setattr(origin, "PACKAGES", ("no-such-package-here",))
        assert origin.describe_software()["packages"] == {"no-such-package-here": "not installed"}

    def test_it_survives_toml_and_parquet(self, found, tmp_path):
        assert tomllib.loads(tomli_w.dumps(found)) == found
        table = pd.DataFrame({"minutes": [1.0]})
        table.attrs = {"origin": found}
        table.to_parquet(tmp_path / "results.parquet")
        assert pd.read_parquet(tmp_path / "results.parquet").attrs["origin"] == found


def test_plain_data_is_what_json_takes(tmp_path):
    found = make_plain({"a": np.arange(2), "b": None, "c": (np.float64(0.5), "x"), "d": {"e": tmp_path}})
    assert found == {"a": [0, 1], "c": [0.5, "x"], "d": {"e": tmp_path.as_posix()}}
    assert json.loads(json.dumps(found)) == found

"""What takes part in a comparison: the rules and references asked for; tuned rules are kept and used again."""

import tomllib

import numpy as np
import pandas as pd
import pytest

from longplay.agents.comparison import contestants as comparison
from longplay.agents.references.features import FEATURES
from longplay.agents.references.linear import LinearOracle
from longplay.agents.rules import kept, tuning
from longplay.agents.setting import Setting
from longplay.scripts import compare
from longplay.tests.agents.small import unit_vectors

SMALL = "--users 6 --validation-users 4 --scenario small.toml --catalog items.csv --track off"


@pytest.fixture
def ready(place, monkeypatch):
    """Vectors without BERT, short logs, and a file of weights."""
    monkeypatch.setattr(Setting, "item_vectors", property(lambda self: unit_vectors(self.world.catalog)))
    monkeypatch.setattr(comparison, "LOGGED_STEPS", 2)
    world = Setting(scenario=str(place / "small.toml"), catalog=str(place / "items.csv")).world
    LinearOracle(world, np.linspace(-1.0, 1.0, len(FEATURES))).save(place / "weights.json")
    return place


def test_rules_and_references_asked_for_take_part_and_are_kept(ready, call, monkeypatch):
    tuned = []
    tune = tuning.tune

    def watched(name, *rest):
        tuned.append((name, rest[2]))
        return tune(name, *rest)

    monkeypatch.setattr(tuning, "tune", watched)
    words = (
        "--name some --rules similarity mmr lints --rule-trials 2 --rules-folder kept --linear weights.json "
        f"--env longplay/Video-v0 {SMALL}"
    )
    code, output = call(compare, *words.split(), "--linear", "weights.json", folder=ready)
    assert code == 0, output
    assert tuned == [("similarity", 2), ("mmr", 2), ("lints", 2)]
    results = pd.read_parquet(ready / "runs/some/results.parquet")
    kinds = results.groupby("policy")["kind"].first().to_dict()
    assert kinds == {
        **dict.fromkeys(("greedy similarity", "MMR", "LinTS"), "rule"),
        **dict.fromkeys(("items oracle", "myopic oracle", "taste oracle", "linear oracle"), "reference"),
    }
    config = tomllib.loads((ready / "runs/some/config.toml").read_text(encoding="utf-8"))
    origin = results.attrs["origin"]
    assert origin == config["origin"]
    assert origin["environment"]["overrides"] == {"shape.users": 200, "shape.candidates": 40, "horizon.days": 4.0}
    assert set(origin["policies"]) == set(kinds)
    assert origin["policies"]["MMR"]["options"].keys() == {"trade_off"}
    assert origin["users"]["test"]["count"] == 6
    assert origin["software"]["commit"]
    assert config["rules"] == ["similarity", "mmr", "lints"]
    assert (config["rule_trials"], config["rules_folder"], config["linear"]) == (2, "kept", "weights.json")

    again = f"--name again --rules similarity lints --rule-trials 2 --rules-folder kept --env longplay/Video-v0 {SMALL}"
    code, output = call(compare, *again.split(), folder=ready)
    assert code == 0, output
    assert len(tuned) == 3
    second = pd.read_parquet(ready / "runs/again/results.parquet")
    for policy in ("greedy similarity", "LinTS"):
        one, two = (table[table["policy"] == policy]["minutes"].tolist() for table in (results, second))
        assert one == two
    assert "linear oracle" not in set(second["policy"])

    before = (ready / "runs/again/results.parquet").read_bytes()
    code, output = call(compare, *again.split(), folder=ready)
    assert code == 2
    assert "runs/again holds a comparison; give --overwrite to replace it, or another --name" in output
    assert (ready / "runs/again/results.parquet").read_bytes() == before


@pytest.mark.parametrize("rules", ["popularity", ""])
def test_a_table_comes_without_similarity_and_without_rules(ready, call, rules):
    code, output = call(compare, *f"--name few{len(rules)} --rules {rules} {SMALL}".split(), folder=ready)
    assert code == 0, output
    assert "myopic oracle" in output
    assert "− similarity" not in output
    assert f"best rule: {rules or 'none took part'}" in output


TRACED = SMALL.replace("small.toml", "remembering.toml")


@pytest.mark.parametrize("sealed", [False, True])
def test_sealed_users_are_played_on_demand_and_said_to_be(ready, call, sealed):
    name = f"sealed-{sealed}"
    words = f"--name {name} --rules similarity similarity-fresh {'--sealed' * sealed} {TRACED}"
    code, output = call(compare, *words.split(), folder=ready)
    assert code == 0, output
    assert f"Minutes in 4 days, 6 {'sealed ' * sealed}test users, same luck" in output
    results = pd.read_parquet(ready / f"runs/{name}/results.parquet")
    first = 190 if sealed else 180
    assert set(results["user"]) == set(range(first, first + 6))
    repeated = results.groupby("policy")["repeated"].mean()
    assert repeated["greedy similarity"] > repeated["greedy similarity, fresh"]
    origin = results.attrs["origin"]["users"]["test"]
    assert (origin["first"], origin.get("sealed", False)) == (first, sealed)
    config = tomllib.loads((ready / f"runs/{name}/config.toml").read_text(encoding="utf-8"))
    assert config["sealed"] == sealed
    report = (ready / f"runs/{name}/report.html").read_text(encoding="utf-8")
    assert f"6 {'sealed ' * sealed}test users" in report
    assert "<th>repeated</th>" in report


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (f"--sealed {SMALL}", "sealed = True with split = 'test' in scenario 'small.toml': sealed are the last half"),
        (f"{TRACED} --users 11", "users = 11 is out of range; the test split has 1 to 10 and 10 sealed ones"),
        (f"--rules similarity longest {SMALL}", "rules = 'longest' shows nothing twice in a session, but scenario 's"),
        (f"--rules mnr {SMALL}", "rules = 'mnr' is unknown"),
    ],
)
def test_what_a_world_does_not_offer_is_refused(ready, call, words, said):
    code, output = call(compare, "--name", "refused", *words.split(), folder=ready)
    assert code == 2
    assert said in output
    assert not (ready / "runs/refused").exists()


@pytest.fixture
def tuned(monkeypatch, ready, tmp_path):
    """Names of the rules that are tuned; the cache is empty at first."""
    names, tune = [], tuning.tune

    def watched(name, *rest):
        names.append(name)
        return tune(name, *rest)

    monkeypatch.setattr(tuning, "tune", watched)
    monkeypatch.setenv("LONGPLAY_CACHE", str(tmp_path / "cache"))
    return names


WORDS = f"--overwrite --rules similarity mmr --rule-trials 2 {SMALL}"


def test_a_second_comparison_takes_the_rules_of_the_first(tuned, ready, call, tmp_path):
    code, output = call(compare, "--name", "first", *WORDS.split(), folder=ready)
    assert code == 0, output
    assert f"2 rules are kept in {tmp_path}/cache/rules/" in output
    assert "the next comparison takes them" in output
    assert tuned == ["similarity", "mmr"]
    code, output = call(compare, "--name", "second", *WORDS.split(), folder=ready)
    assert code == 0, output
    assert "; 2 were tuned before and are used again" in output
    assert tuned == ["similarity", "mmr"]
    one, two = (pd.read_parquet(ready / f"runs/{name}/results.parquet") for name in ("first", "second"))
    pd.testing.assert_frame_equal(one, two)
    # Nothing that could run is kept.
    endings = {path.suffix for path in (tmp_path / "cache" / "rules").rglob("*") if path.is_file()}
    assert endings <= {".json", ".safetensors", ".lock"}


@pytest.mark.parametrize("change", ["world", "budget", "code", "off", "broken"])
def test_what_was_tuned_otherwise_is_not_taken(tuned, ready, call, monkeypatch, tmp_path, change):
    assert call(compare, "--name", "before", *WORDS.split(), folder=ready)[0] == 0
    words = WORDS.split()
    if change == "world":
        words += ["--world-seed", "1"]
    elif change == "budget":
        words[words.index("--rule-trials") + 1] = "3"
    elif change == "code":
        monkeypatch.setattr(kept, "digest_code", lambda: "of other sources")
    elif change == "off":
        words += ["--no-keep-rules"]
    else:
        for file in (tmp_path / "cache" / "rules").rglob("rule.json"):
            file.write_text("{", encoding="utf-8")
    code, output = call(compare, "--name", "after", *words, folder=ready)
    assert code == 0, output
    assert tuned == ["similarity", "mmr"] * 2


def test_the_digest_of_the_code_is_of_every_source(monkeypatch, tmp_path):
    for folder in kept.FOLDERS:
        (tmp_path / folder).mkdir()
    source, constants = tmp_path / "agents" / "rule.py", tmp_path / "envs" / "video.toml"
    source.write_text("a = 1", encoding="utf-8")
    constants.write_text("b = 1", encoding="utf-8")
    monkeypatch.setattr(kept, "PACKAGE", tmp_path)
    digests = [kept.digest_code.__wrapped__()]
    for file in (source, constants):
        file.write_text("a = 2", encoding="utf-8")
        digests.append(kept.digest_code.__wrapped__())
    monkeypatch.setattr(kept, "LIBRARIES", ("numpy",))
    digests.append(kept.digest_code.__wrapped__())
    assert len(set(digests)) == 4

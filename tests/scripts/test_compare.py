"""What takes part in a comparison: the rules and references asked for; tuned rules are kept and used again."""

import tomllib

import numpy as np
import pandas as pd
import pytest

from longplay.agents.comparison import contestants as comparison
from longplay.agents.references.features import FEATURES
from longplay.agents.references.linear import LinearOracle
from longplay.agents.rules import tuning
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
        f"--name some --rules similarity mmr lints --rule-trials 2 --rules-folder kept --linear weights.json {SMALL}"
    )
    code, output = call(compare, *words.split(), "--linear", "weights.json", folder=ready)
    assert code == 0, output
    assert tuned == [("similarity", 2), ("mmr", 2), ("lints", 2)]
    results = pd.read_parquet(ready / "runs/some/results.parquet")
    kinds = results.groupby("policy")["kind"].first().to_dict()
    assert kinds == {
        **dict.fromkeys(("greedy similarity", "MMR", "LinTS"), "rule"),
        **dict.fromkeys(("myopic oracle", "taste oracle", "linear oracle"), "reference"),
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

    again = f"--name again --rules similarity lints --rule-trials 2 --rules-folder kept {SMALL}"
    code, output = call(compare, *again.split(), folder=ready)
    assert code == 0, output
    assert len(tuned) == 3
    second = pd.read_parquet(ready / "runs/again/results.parquet")
    for policy in ("greedy similarity", "LinTS"):
        one, two = (table[table["policy"] == policy]["minutes"].tolist() for table in (results, second))
        assert one == two
    assert "linear oracle" not in set(second["policy"])


@pytest.mark.parametrize("rules", ["popularity", ""])
def test_a_table_comes_without_similarity_and_without_rules(ready, call, rules):
    code, output = call(compare, *f"--name few{len(rules)} --rules {rules} {SMALL}".split(), folder=ready)
    assert code == 0, output
    assert "myopic oracle" in output
    assert "− similarity" not in output
    assert f"best rule: {rules or 'none took part'}" in output

"""Logging policies by name, and trained ones by their folder."""

import json

import pytest

from longplay.agents.base import Agent
from longplay.agents.fresh import Fresh
from longplay.agents.offline.logging_policies import POLICIES, make_policy
from longplay.agents.registry import RULES
from longplay.agents.rules.context import RuleModels
from longplay.agents.rules.tuning import is_always_fresh
from longplay.agents.runs.training import train
from longplay.agents.setting import Setting
from longplay.tests.agents.small import tiny_run


@pytest.fixture(scope="module")
def visible(states):
    observation, _ = states
    return {key: value for key, value in observation.items() if key != "latent"}


class TestPolicies:
    @pytest.mark.parametrize("name", POLICIES)
    def test_each_name_is_a_policy(self, setting, visible, name, monkeypatch):
        monkeypatch.setattr(RuleModels.__init__, "__defaults__", (lambda what: None, 2, 20, 1, 0))
        if name in RULES and is_always_fresh(name):
            with pytest.raises(ValueError, match="shows nothing twice in a session, but scenario 'video' does not say"):
                make_policy(name, setting, seed=2)
            return
        policy = make_policy(name, setting, seed=2)
        assert isinstance(policy, Agent)
        assert not policy.privileged
        assert policy.act(visible).shape == (len(visible["context"]), 10)

    def test_rules_are_fresh_where_it_is_known_what_was_shown(self, remembering_setting):
        names = ("mmr", "longest", "similarity", "front-page", "random")
        assert [isinstance(make_policy(name, remembering_setting), Fresh) for name in names] == [True, True] + 3 * [
            False
        ]

    def test_a_random_policy_needs_no_vectors(self, world, visible):
        bare = Setting()
        bare.__dict__["world"] = world
        policy = make_policy("random", bare)
        assert policy.act({key: value for key, value in visible.items() if key != "candidates"}).min() >= 1
        assert "item_vectors" not in bare.__dict__

    def test_exploration_is_named(self, setting):
        assert make_policy("similarity", setting, epsilon=0.25).name == "greedy similarity, 25% random"

    def test_a_trained_run_chooses(self, setting, visible, tmp_path):
        config = tiny_run(setting, steps=64, evals=1)
        train(config, tmp_path / "run", False, lambda row: None)
        policy = make_policy(str(tmp_path / "run"), setting)
        assert policy.name == config.label
        assert policy.act(visible).shape == (len(visible["context"]), 10)
        content = json.loads((tmp_path / "run" / "config.json").read_text())
        content["setting"]["world_seed"] = 5
        (tmp_path / "run" / "config.json").write_text(json.dumps(content))
        with pytest.raises(
            ValueError, match=r"was trained on longplay/Video-v1, world seed 5, the log is of .*; collect in its world"
        ):
            make_policy(str(tmp_path / "run"), setting)

    @pytest.mark.parametrize(
        ("name", "epsilon", "said"),
        [
            ("simlarity", 0.0, r"policy = 'simlarity' is unknown \(did you mean 'similarity'\?\); allowed: 'random'"),
            ("nobody", 0.0, r"or the folder of a run that scripts/train\.py wrote"),
            ("popularity", 1.5, r"epsilon = 1\.5 is out of range; allowed: 0 to 1"),
            ("random", 0.1, r"the policy 'random' is random already; leave epsilon out"),
        ],
    )
    def test_refusals_name_what_is_allowed(self, setting, name, epsilon, said):
        with pytest.raises(ValueError, match=said):
            make_policy(name, setting, epsilon)

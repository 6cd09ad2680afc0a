"""Our own agents as runs: found by name, refused with a reason, resumed to the bit, loaded as they were kept."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from longplay.agents.learners.learner import SlateAgent
from longplay.agents.learners.training import LearnerEntry
from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.luck import VALIDATION_LUCK
from longplay.agents.registry import AGENTS
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.progress import CHECKPOINT, CURVE
from longplay.agents.runs.reading import load_agent, read_run
from longplay.agents.runs.training import train
from longplay.tests.agents.sb3.test_training import another_process, checkpoint, interrupting, quiet
from longplay.tests.agents.small import tiny_run
from longplay.tests.assertions import assert_same

OPTIONS = {
    "slateq": {"segment": 16, "epochs": 1, "batch": 32, "hidden": 16, "match": 4},
    "pl-ppo": {"rollout": 16, "epochs": 1, "minibatch": 64, "hidden": 16, "match": 4},
    "wolpertinger": {"segment": 16, "epochs": 1, "batch": 32, "hidden": 16, "text": 4},
}


def own_run(setting, agent, **changes):
    return tiny_run(setting, agent=agent, options=OPTIONS[agent], **changes)


@pytest.fixture(scope="module")
def straight(setting, tmp_path_factory):
    """Runs that nobody interrupted: agent to configuration, folder, curve and rows reported."""
    found = {}
    for agent in OPTIONS:
        folder, seen = tmp_path_factory.mktemp(agent), []
        config = own_run(setting, agent)
        found[agent] = config, folder, train(config, folder, False, seen.append, seconds=0.0), seen
    return found


@pytest.mark.parametrize("agent", OPTIONS)
class TestResumption:
    @pytest.mark.parametrize(("at", "evaluation", "seconds"), [(1, False, 0.0), (300, True, 0.0), (500, False, 1e9)])
    def test_resumed_run_is_the_straight_run(self, straight, tmp_path, agent, at, evaluation, seconds):
        config, folder, curve, _ = straight[agent]
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path, False, interrupting(at, evaluation), seconds=seconds)
        assert checkpoint(tmp_path)["steps"] < config.steps
        another_process()
        resumed = train(config, tmp_path, True, quiet, seconds=0.0)
        pd.testing.assert_frame_equal(resumed, curve, check_exact=True)
        assert (tmp_path / CURVE).read_bytes() == (folder / CURVE).read_bytes()
        assert (tmp_path / "policy.safetensors").read_bytes() == (folder / "policy.safetensors").read_bytes()
        assert_same(checkpoint(tmp_path), checkpoint(folder))

    def test_resuming_a_finished_run_changes_nothing(self, straight, agent):
        config, folder, curve, _ = straight[agent]
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        pd.testing.assert_frame_equal(train(config, folder, True, quiet), curve, check_exact=True)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    def test_checkpoint_of_other_options_is_refused(self, straight, setting, tmp_path, agent):
        _, folder, _, _ = straight[agent]
        (tmp_path / CHECKPOINT).write_bytes((folder / CHECKPOINT).read_bytes())
        wider = tiny_run(setting, agent=agent, options={**OPTIONS[agent], "hidden": 8})
        with pytest.raises(ValueError, match=r"(?s)holds no checkpoint of .* as configured: .*again: give --overwrite"):
            train(wider, tmp_path, True, quiet)


@pytest.mark.parametrize("agent", OPTIONS)
class TestRun:
    def test_policy_kept_is_the_best_of_the_curve(self, straight, setting, agent):
        config, folder, curve, _ = straight[agent]
        best = curve.loc[curve["minutes"].idxmax()]
        about = json.loads((folder / "policy.json").read_text())
        assert about["step"] == best["step"]
        assert about["label"] == config.label
        kept = load_agent(folder, config, setting)
        assert isinstance(kept, SlateAgent)
        assert kept.name == config.label
        users = held_out_users(setting.world, "validation", config.eval_users)
        evaluator = Evaluator(setting.world, setting.item_vectors, users, VALIDATION_LUCK)
        assert evaluator.mean_minutes(kept) == about["minutes"] == best["minutes"]

    def test_the_curve_begins_before_learning_and_ends_with_the_run(self, straight, agent):
        config, _, curve, seen = straight[agent]
        steps = curve["step"].to_numpy()
        assert steps[0] < config.steps / config.evals  # SlateQ counts the slates that it is calibrated on
        assert steps[-1] == config.steps
        assert (np.diff(steps)[:-1] >= config.steps / config.evals).all()
        assert [row["step"] for row in seen if "minutes" in row] == list(curve["step"])
        assert curve["minutes"].nunique() > 1  # it learns something
        assert curve.filter(like="loss/").iloc[1:].notna().all().all()

    def test_a_run_is_read_back_with_its_options(self, straight, agent):
        config, folder, _, _ = straight[agent]
        again = RunConfig.from_json(folder / "config.json")
        assert again.options == OPTIONS[agent]
        assert (again.agent, again.action, again.label) == (agent, "items", config.label)

    def test_the_twin_that_does_not_look_ahead_trains(self, setting, tmp_path, agent):
        config = own_run(setting, agent, gamma=0.0, steps=256, evals=1)
        assert "γ=0" in config.label
        curve = train(config, tmp_path, False, quiet)
        assert curve["step"].iloc[-1] == 256.0

    def test_starting_again_forgets_the_checkpoint(self, setting, tmp_path, agent):
        (tmp_path / CHECKPOINT).write_text("of an earlier run")
        with pytest.raises(KeyboardInterrupt):  # before the first checkpoint is written
            train(own_run(setting, agent), tmp_path, False, interrupting(0, True))
        assert not (tmp_path / CHECKPOINT).exists()

    def test_weights_of_another_network_are_refused(self, straight, setting, agent):
        _, folder, _, _ = straight[agent]
        other = tiny_run(setting, agent=agent, options={**OPTIONS[agent], "hidden": 8})
        with pytest.raises(ValueError, match="does not fit the network"):
            load_agent(folder, other, setting)


class TestOptions:
    def test_every_own_agent_can_be_built_with_its_defaults(self, setting):
        entries = {name: entry for name, entry in AGENTS.items() if isinstance(entry, LearnerEntry)}
        assert {"slateq", "pl-ppo", "pl-ppo-catalog", "reinforce", "wolpertinger"} <= set(entries)
        for name, entry in entries.items():
            config = RunConfig(agent=name)
            agent = entry.make_agent(config, read_run(config, setting))
            assert agent.name == config.label
            assert entry.title in config.label
            assert callable(entry.kind.iterate)
            weights = agent.network.state_dict().values()
            assert all(torch.isfinite(w).all() for w in weights if w.is_floating_point())

    @pytest.mark.parametrize(("agent", "among"), [("pl-ppo", True), ("pl-ppo-catalog", False)])
    def test_candidates_are_found_for_those_who_choose_among_them(self, setting, agent, among):
        config = tiny_run(setting, agent=agent, options=OPTIONS["pl-ppo"])
        trainer = config.entry.make_trainer(config, read_run(config))
        assert ("candidates" in trainer.players.observation) == among
        trainer.iterate()
        trainer.close()

    def test_options_reach_the_learner(self):
        options = RunConfig(agent="slateq", options={"polyak": 0.5}).agent_options
        assert options.polyak == 0.5
        assert options.batch == RunConfig(agent="slateq").agent_options.batch

    def test_an_option_by_its_former_name_is_read(self):
        assert RunConfig(agent="wolpertinger", options={"twins": True}).agent_options.double_critic

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"options": {"polyac": 0.5}}, r"options of 'slateq': name = 'polyac' is unknown \(did you mean 'polyak'"),
            ({"options": {"polyak": 2.0}}, "polyak = 2.0 is out of range; allowed: 1e-06 to 1$"),
            ({"options": {"polyak": "x"}}, "polyak = 'x' must be a number, 1e-06 to 1"),
            ({"options": {"batch": 2.5}}, r"batch = 2\.5 must be a whole number"),
            ({"action": "weights"}, "'slateq' chooses slates of items; leave out --action"),
            ({"fine_tune": True}, "'slateq' chooses slates of items"),
        ],
    )
    def test_what_an_agent_cannot_do_is_refused(self, given, said):
        with pytest.raises(ValueError, match=said):
            RunConfig(agent="slateq", **given)

    def test_slates_are_of_candidates(self, straight, setting):
        for agent in OPTIONS:
            config, folder, _, _ = straight[agent]
            kept = load_agent(folder, config, setting)
            env = setting.vector_env(6, "items", split="validation")
            observation, _ = env.reset(seed=3)
            for slate, candidates in zip(kept.act(observation), observation["candidates"], strict=True):
                shown = slate[slate > 0]
                assert set(shown) <= set(candidates.astype(int))
                assert len(np.unique(shown)) == len(shown)


def test_a_run_shorter_than_the_first_random_slates_keeps_a_policy(setting, tmp_path):
    config = own_run(setting, "slateq", steps=8)
    curve = train(config, tmp_path, False, lambda row: None)
    assert len(curve) == 1
    assert load_agent(tmp_path, config, setting).name == config.label

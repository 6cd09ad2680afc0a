"""The search for options: one budget for all, deterministic; and tuned rules on disk."""

import json

import numpy as np
import optuna
import pytest

from longplay.agents.fresh import Fresh
from longplay.agents.options import make_space
from longplay.agents.playing.evaluate import Evaluator
from longplay.agents.registry import RULES
from longplay.agents.rules import encoded, tuning
from longplay.agents.rules.bandits.linear import BanditRuleOptions
from longplay.agents.rules.bandits.personal import PersonalOptions
from longplay.agents.rules.context import RuleModels
from longplay.agents.rules.diversity import MMROptions
from longplay.agents.rules.encoded import EncoderOptions
from longplay.agents.rules.topics import CapOptions
from longplay.agents.rules.tuning import (
    TunedRule,
    describe_search,
    load_rule,
    propose_options,
    save_rule,
    tune,
    tune_or_load,
)
from longplay.envs.users.world import build_world
from longplay.tests.agents.small import make_setting
from longplay.tests.envs.worlds import make_catalog, small

EVERYWHERE = [name for name, rule in RULES.items() if rule.fresh != "always"]
OPTIONED = [name for name in EVERYWHERE if make_space(RULES[name].options)]


@pytest.fixture(scope="module")
def context(setting):
    return RuleModels(setting, logged_steps=2, log_users=40)


@pytest.fixture(scope="module")
def traced_context(remembering_setting):
    return RuleModels(remembering_setting, logged_steps=2, log_users=40)


@pytest.fixture(scope="module")
def evaluator(setting):
    return Evaluator(setting.world, setting.item_vectors, np.arange(160, 164), 7)


class Judge:
    """An evaluator by a formula, which counts what it is asked."""

    users, luck = np.arange(3), 0

    def __init__(self, value):
        self.value, self.asked = value, []

    def mean_minutes(self, agent):
        self.asked.append(agent)
        return self.value(agent)


class TestTune:
    @pytest.mark.parametrize("name", OPTIONED)
    def test_every_rule_gets_the_same_number_of_different_trials(self, context, name):
        judge = Judge(lambda agent: float(len(judge.asked) == 3))
        tuned = tune(name, context, judge, trials=6)
        assert len(judge.asked) == len(tuned.trials) == 6
        names = list(make_space(RULES[name].options))
        assert not tuned.trials.duplicated(names).any()
        assert list(tuned.trials.columns) == [*names, "minutes"]
        assert tuned.trials["minutes"].tolist() == [0, 0, 1, 0, 0, 0]
        assert {key: tuned.trials.loc[2, key] for key in names} == vars(tuned.options)

    @pytest.mark.parametrize("name", OPTIONED)
    def test_the_first_trial_is_of_the_defaults(self, context, name):
        tuned = tune(name, context, Judge(lambda agent: 1.0), trials=2)
        defaults = RULES[name].options()
        assert {key: tuned.trials.loc[0, key] for key in vars(defaults)} == vars(defaults)
        assert tuned.options == defaults  # where all are alike

    def test_a_space_that_is_small_enough_is_tried_whole(self, context):
        tuned = tune("static-cap", context, Judge(lambda agent: -abs(agent.cap - 7)), trials=20)
        assert len(tuned.trials) == 20
        assert set(zip(tuned.trials["cap"], tuned.trials["on"], strict=True)) == {
            (cap, on) for cap in range(1, 11) for on in ("similarity", "minutes")
        }
        assert tuned.options.cap == 7
        assert len(tune("static-cap", context, Judge(lambda agent: 0.0), trials=100).trials) == 20

    def test_a_rule_without_options_needs_no_trial(self, context):
        judge = Judge(lambda agent: 0.0)
        assert tune("popularity", context, judge).trials.empty
        assert not judge.asked

    def test_the_estimator_finds_the_peak_better_than_its_start(self, context):
        tuned = tune("mmr", context, Judge(lambda agent: -((agent.trade_off - 0.83) ** 2)), trials=25)
        assert abs(tuned.options.trade_off - 0.83) < 0.05
        late = (tuned.trials["trade_off"][12:] - 0.83).abs().median()
        assert late < (tuned.trials["trade_off"][:8] - 0.83).abs().median()

    def test_same_seed_gives_the_same_trials(self, context, evaluator):
        first, again = (tune("mmr", context, evaluator, trials=4, seed=3) for _ in range(2))
        assert first.trials.equals(again.trials)
        assert first.options == again.options
        other = tune("mmr", context, evaluator, trials=4, seed=4)
        assert not first.trials.equals(other.trials)
        assert first.trials["minutes"].nunique() > 1

    def test_values_are_mean_minutes_of_the_validation_users(self, context, evaluator):
        tuned = tune("mmr", context, evaluator, trials=3)
        for row in tuned.trials.to_dict("records"):
            agent = RULES["mmr"].build(context, MMROptions(row["trade_off"]))
            assert row["minutes"] == evaluator.mean_minutes(agent)
        assert tuned.trials["minutes"].max() == evaluator.mean_minutes(tuned.build(context))

    def test_optunas_log_is_left_as_it_was(self, context):
        level = optuna.logging.get_verbosity()
        tune("mmr", context, Judge(lambda agent: 0.0), trials=2)
        assert optuna.logging.get_verbosity() == level

    def test_unknown_rules_and_budgets_are_refused(self, context, evaluator):
        with pytest.raises(ValueError, match=r"rule = 'mnr' is unknown \(did you mean 'mmr'\?\)"):
            tune("mnr", context, evaluator)
        with pytest.raises(ValueError, match="trials = 0 is out of range; allowed: from 1"):
            tune("mmr", context, evaluator, trials=0)


class TestFresh:
    """In worlds that say what they have shown the option is searched like any other; elsewhere there is none."""

    @pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.fresh == "asked"])
    def test_the_defaults_are_tried_fresh_and_then_as_they_are(self, traced_context, name):
        judge = Judge(lambda agent: float(len(judge.asked)))
        rule = RULES[name]
        tuned = tune(name, traced_context, judge, trials=2)
        assert tuned.trials["fresh"].tolist() == [True, False]
        assert [isinstance(agent, Fresh) for agent in judge.asked] == [True, False]
        defaults = vars(rule.options())
        for row in tuned.trials.to_dict("records"):
            assert {key: row[key] for key in defaults} == defaults
        assert vars(tuned.options) == defaults | {"fresh": False}

    def test_many_trials_try_both_and_find_the_better(self, traced_context):
        judge = Judge(
            lambda agent: isinstance(agent, Fresh) - 0.01 * abs(getattr(agent, "agent", agent).trade_off - 0.8)
        )
        tuned = tune("mmr", traced_context, judge, trials=12)
        assert len(tuned.trials) == 12
        assert tuned.trials["fresh"].nunique() == 2
        assert tuned.options.fresh
        assert tuned.note == f"λ = {tuned.options.trade_off:.3g}, fresh"

    def test_a_rule_without_other_options_is_tried_with_and_without(self, traced_context):
        tuned = tune("popularity", traced_context, Judge(lambda agent: 1.0 - isinstance(agent, Fresh)))
        assert tuned.trials["fresh"].tolist() == [True, False]
        assert (tuned.options.fresh, tuned.note) == (False, "")
        for name in ("similarity", "similarity-fresh", "longest", "random"):
            assert tune(name, traced_context, Judge(lambda agent: 0.0)).trials.empty

    def test_the_weight_of_the_rating_is_searched_from_0_to_4(self, traced_context):
        tuned = tune("minutes-rating", traced_context, Judge(lambda agent: -abs(agent.agent.rating - 3.0)), trials=12)
        assert tuned.trials["rating"].between(0.0, 4.0).all()
        assert abs(tuned.options.rating - 3.0) < 0.6
        assert tuned.note == f"predicted minutes + {tuned.options.rating:.2g} × rating, fresh"

    @pytest.mark.parametrize("name", OPTIONED)
    def test_elsewhere_search_and_file_know_nothing_of_it(self, context, tmp_path, name):
        tuned = tune(name, context, Judge(lambda agent: 0.0), trials=4)
        kind = RULES[name].options
        assert type(tuned.options) is kind
        expected = []
        for options, values in propose_options(kind, make_space(kind), 4, 0):
            values.append(0.0)
            expected.append(vars(options))
        assert tuned.trials.drop(columns="minutes").to_dict("records") == expected
        save_rule(tuned, tmp_path / "kept", context)
        assert "fresh" not in (tmp_path / "kept" / "rule.json").read_text()

    @pytest.mark.parametrize("fresh", [True, False, None])
    def test_it_comes_back_from_a_file_and_is_off_where_the_file_does_not_name_it(
        self, traced_context, remembering_setting, remembering_states, tmp_path, fresh
    ):
        rule = RULES["mmr"]
        options = MMROptions(0.7) if fresh is None else rule.fresh_options(trade_off=0.7, fresh=fresh)
        save_rule(TunedRule("mmr", options), tmp_path / "kept", traced_context)
        found, agent = load_rule(tmp_path / "kept", remembering_setting)
        assert found.options == options
        assert isinstance(agent, Fresh) == bool(fresh)
        expected = rule.make(traced_context, options).act(remembering_states[0])
        np.testing.assert_array_equal(agent.act(remembering_states[0]), expected)

    def test_a_fresh_rule_is_not_for_a_world_without(self, traced_context, setting, tmp_path):
        save_rule(TunedRule("mmr", RULES["mmr"].fresh_options()), tmp_path / "kept", traced_context)
        with pytest.raises(ValueError, match="was tuned on another scenario"):
            load_rule(tmp_path / "kept", setting)


class TestSaved:
    @pytest.mark.parametrize("name", EVERYWHERE)
    def test_saved_and_loaded_it_gives_equal_slates(self, context, setting, states, tmp_path, name):
        tuned = TunedRule(name, RULES[name].options())
        save_rule(tuned, tmp_path / "kept", context)
        found, agent = load_rule(tmp_path / "kept", setting)
        assert (found.rule, found.options) == (name, tuned.options)
        visible = {key: value for key, value in states[0].items() if key != "latent"}
        np.testing.assert_array_equal(agent.act(visible), tuned.build(context).act(visible))
        endings = {path.suffix for path in (tmp_path / "kept").rglob("*") if path.is_file()}
        assert endings <= {".json", ".safetensors"}
        assert [path.name for path in tmp_path.iterdir()] == ["kept"]

    def test_the_search_comes_back_whole(self, context, evaluator, setting, tmp_path):
        tuned = tune("fatigue", context, evaluator, trials=3)
        for _ in range(2):  # over itself, too
            save_rule(tuned, tmp_path / "kept", context)
        found, _ = load_rule(tmp_path / "kept", setting)
        assert found.trials.equals(tuned.trials)
        assert found.search == tuned.search == describe_search(context, evaluator, 3, 0)
        assert found.note == tuned.note

    def test_a_world_of_another_kind_is_refused(self, context, tmp_path):
        save_rule(TunedRule("mmr", MMROptions()), tmp_path / "kept", context)
        for world, what in (
            (build_world(make_catalog(), small(horizon__days=5)), "scenario"),
            (build_world(make_catalog(80), small(horizon__days=6)), "catalog"),
        ):
            with pytest.raises(ValueError, match=f"was tuned on another {what}; tune the rule again"):
                load_rule(tmp_path / "kept", make_setting(world))

    def test_what_is_no_rule_is_named(self, setting, tmp_path):
        with pytest.raises(ValueError, match=r"rule\.json cannot be read .*name a folder that holds a saved rule"):
            load_rule(tmp_path, setting)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"format": 1}, "its format is 1, here it is 2"),
            ({"rule": "mnr"}, "rule = 'mnr' is unknown"),
            ({"options": {"trade_off": 7.0}}, "trade_off = 7.0 is out of range"),
            ({"options": {"color": 7.0}}, "color"),
            ({"search": None}, "describes no rule of this version"),
        ],
    )
    def test_what_it_says_of_itself_is_checked(self, context, setting, tmp_path, change, words):
        save_rule(TunedRule("mmr", MMROptions()), tmp_path / "kept", context)
        file = tmp_path / "kept" / "rule.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
        with pytest.raises(ValueError, match=words):
            load_rule(tmp_path / "kept", setting)

    def test_text_that_is_no_json_is_named(self, setting, tmp_path):
        (tmp_path / "rule.json").write_text("{")
        with pytest.raises(ValueError, match="describes no rule of this version"):
            load_rule(tmp_path, setting)

    def test_a_folder_of_something_else_is_left_alone(self, context, tmp_path):
        (tmp_path / "config.json").write_text("mine")
        with pytest.raises(ValueError, match="exists and holds no rule"):
            save_rule(TunedRule("mmr", MMROptions()), tmp_path, context)
        assert (tmp_path / "config.json").read_text() == "mine"

    def test_a_failing_writer_leaves_the_rule_before(self, context, setting, tmp_path, monkeypatch):
        save_rule(TunedRule("mmr", MMROptions(0.25)), tmp_path / "kept", context)

        def full_disk(path, text):
            raise OSError("no space left")

        monkeypatch.setattr(tuning, "write_whole", full_disk)
        with pytest.raises(OSError, match="no space left"):
            save_rule(TunedRule("mmr", MMROptions(0.75)), tmp_path / "kept", context)
        assert load_rule(tmp_path / "kept", setting)[0].options == MMROptions(0.25)


class TestTunedRule:
    def test_a_kept_rule_is_not_tuned_again(self, context, tmp_path):
        judge = Judge(lambda agent: agent.cap)
        first, agent = tune_or_load("als", context, judge, trials=2, folder=tmp_path)
        assert len(judge.asked) == 2
        second, again = tune_or_load("als", context, judge, trials=2, folder=tmp_path)
        assert len(judge.asked) == 2
        assert first.options == second.options
        assert first.trials.equals(second.trials)
        assert agent.cap == again.cap > 0

    def test_another_budget_tunes_anew(self, context, tmp_path):
        judge = Judge(lambda agent: 0.0)
        tune_or_load("mmr", context, judge, trials=2, folder=tmp_path)
        tuned, _ = tune_or_load("mmr", context, judge, trials=3, folder=tmp_path)
        assert len(tuned.trials) == 3
        assert len(judge.asked) == 5
        more = RuleModels(context.setting, logged_steps=3, log_users=40)
        tune_or_load("mmr", more, judge, trials=3, folder=tmp_path)
        assert len(judge.asked) == 8

    def test_other_settings_of_the_fit_fit_and_tune_anew(self, setting, tmp_path, monkeypatch):
        judge = Judge(lambda agent: agent.cap)
        for width, asked in ((4, 2), (4, 2), (6, 4)):
            monkeypatch.setitem(encoded.FITTED, "als", {"width": width})
            context = RuleModels(setting, logged_steps=2, log_users=40)
            tune_or_load("als", context, judge, trials=2, folder=tmp_path)
            assert len(judge.asked) == asked

    def test_without_a_folder_nothing_is_kept(self, context, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        tuned, agent = tune_or_load("static-cap", context, Judge(lambda agent: -agent.cap), trials=4)
        assert tuned.options.cap == agent.cap
        assert not list(tmp_path.iterdir())

    def test_rules_of_another_setting_are_not_written_over(self, context, tmp_path):
        tune_or_load("mmr", context, Judge(lambda agent: 0.0), trials=1, folder=tmp_path)
        other = make_setting(build_world(make_catalog(), small(horizon__days=5)))
        with pytest.raises(ValueError, match="was tuned on another scenario"):
            tune_or_load("mmr", RuleModels(other), Judge(lambda agent: 0.0), trials=1, folder=tmp_path)


class TestOptionsOfTables:
    def test_caps_and_encoders_say_what_was_chosen(self):
        assert TunedRule("static-cap", CapOptions(cap=3)).note == "at most 3 per topic on predicted minutes"
        assert TunedRule("als", EncoderOptions(cap=4)).note == "at most 4 per topic (0: any)"

    def test_bandits_say_how_many_slates_taught_them(self, context):
        assert TunedRule("lints", BanditRuleOptions()).note == "bandit feedback on 15,360 slates, α = 1, 0 when played"
        tuned = tune("personal-linucb", context, Judge(lambda agent: 0.0), trials=1)
        expected = "bandit feedback on 512 slates, α = 1, 0 when played, prior of 1e+03 slots"
        assert tuned.note == expected


class TestBandits:
    def test_what_changes_only_the_playing_is_not_learned_again(self, setting):
        said = []
        fresh = RuleModels(setting, said.append, logged_steps=2)
        tuned = tune("personal-lints", fresh, Judge(lambda agent: 0.0), trials=8)
        assert tuned.trials["play_alpha"].nunique() > 5
        assert tuned.trials["prior_slots"].nunique() > 5
        learned = [what for what in said if what.startswith("LinTS learns")]
        assert len(learned) == tuned.trials["alpha"].nunique() <= 3
        tune("lints", fresh, Judge(lambda agent: 0.0), trials=1)  # by the same posterior
        assert len([what for what in said if what.startswith("LinTS learns")]) == len(learned)

    @pytest.mark.parametrize("name", ["lints", "personal-linucb"])
    def test_options_come_back_with_what_was_learned(self, context, setting, states, tmp_path, name):
        kind = RULES[name].options
        more = {"prior_slots": 50.0} if kind is PersonalOptions else {}
        tuned = TunedRule(name, kind(alpha=3.0, play_alpha=1.5, **more))
        save_rule(tuned, tmp_path / "kept", context)
        found, agent = load_rule(tmp_path / "kept", setting)
        assert found.options == tuned.options
        assert (agent.options.alpha, agent.options.play_alpha) == (3.0, 1.5)
        visible = {key: value for key, value in states[0].items() if key != "latent"}
        np.testing.assert_array_equal(agent.act(visible), tuned.build(context).act(visible))
        other = TunedRule(name, kind(alpha=3.0, **more)).build(context)
        assert (agent.act(visible) != other.act(visible)).any()

    def test_a_rule_without_its_posterior_is_refused(self, context, setting, tmp_path):
        save_rule(TunedRule("linucb", BanditRuleOptions()), tmp_path / "kept", context)
        (tmp_path / "kept" / "bandit" / "bandit.json").unlink()
        with pytest.raises(ValueError, match=r"bandit\.json cannot be read"):
            load_rule(tmp_path / "kept", setting)

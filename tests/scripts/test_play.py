"""Playing one agent from the command line: options of the rule that is named, what is printed, kept and refused."""

import io
import re
import sys

import pandas as pd
import pytest

from longplay.agents.options import make_space
from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.luck import TEST_LUCK
from longplay.agents.registry import REFERENCES, RULES
from longplay.agents.rules.context import RuleModels
from longplay.agents.rules.topics import CapOptions
from longplay.agents.rules.tuning import load_rule
from longplay.agents.runs.training import train
from longplay.agents.setting import Setting
from longplay.agents.stats import bootstrap_difference
from longplay.scripts import play
from longplay.scripts.shared.console import run_command
from longplay.tests.agents.small import tiny_run, unit_vectors

SMALL = ("--scenario", "small.toml", "--catalog", "items.csv", "--users", "6")
TRACED = ("--scenario", "remembering.toml", *SMALL[2:])


@pytest.fixture
def quick(monkeypatch, place):
    """Vectors without BERT, and a short log."""
    monkeypatch.setattr(Setting, "item_vectors", property(lambda self: unit_vectors(self.world.catalog)))
    init = RuleModels.__init__
    monkeypatch.setattr(RuleModels, "__init__", lambda self, setting, *rest: init(self, setting, *rest, logged_steps=2))
    return Setting(scenario=str(place / "small.toml"), catalog=str(place / "items.csv"))


@pytest.fixture
def remembering(quick, place):
    """A world in which impressions leave a trace."""
    return Setting(scenario=str(place / "remembering.toml"), catalog=str(place / "items.csv"))


@pytest.fixture
def say(monkeypatch, capsys, place, quick):
    """Run the script's own entry in the place; gives its exit code and its words."""

    def run(*words):
        monkeypatch.chdir(place)
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "argv", ["play.py", *map(str, words)])
        code = 0
        try:
            run_command(play.main, play.make_arguments_type)
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return code, " ".join((captured.out + captured.err).replace("│", " ").split())

    return run


def played(setting, agent, split="test", luck=TEST_LUCK):
    users = held_out_users(setting.world, split, 6)
    return Evaluator(setting.world, setting.item_vectors, users, luck).play(agent)


class TestHelp:
    @pytest.mark.parametrize("name", list(RULES))
    def test_help_shows_the_options_of_the_rule_named(self, say, name):
        code, words = say("--agent", name, "--help")
        assert code == 0
        for rule in RULES.values():
            for option in make_space(rule.options):
                here = option in make_space(RULES[name].options)
                assert bool(re.search(rf"--{option.replace('_', '-')} (INT|FLOAT|STR|{{)", words)) == here
        assert ("--fresh {None,True,False}" in words) == (RULES[name].fresh == "asked")
        for option in ("--agent", "--users", "--split", "--trials", "--save", "--env"):
            assert option in words

    def test_help_without_an_agent_names_all_of_them(self, say):
        code, words = say("--help")
        assert code == 0
        for name in (*RULES, *REFERENCES, "run"):
            assert name in words
        assert "python scripts/play.py --agent mmr --trade-off 0.7" in words


class TestPlay:
    @pytest.mark.parametrize("name", ["random", "mmr", "static-cap"])
    def test_a_rule_is_played_with_its_defaults(self, say, quick, name):
        code, words = say("--agent", name, *SMALL)
        assert code == 0, words
        table = played(quick, RULES[name].build(RuleModels(quick), RULES[name].options()))
        minutes = bootstrap_difference(table["minutes"].to_numpy())
        assert f"{minutes.mean:.1f} minutes [{minutes.low:.1f}, {minutes.high:.1f}]" in words
        assert f"{table['sessions'].mean():.1f} sessions, {table['churned'].mean():.0%} left for good" in words
        assert f"{RULES[name].title} (" in words
        assert "6 test users of longplay/Video-v1" in words

    def test_a_shop_s_purchases_and_arrivals_are_told(self, say, quick, place):
        lines = "[items]\narrivals = 0.3\n[purchase]\nrate = 0.3\n"
        file = place / "selling.toml"
        file.write_text(f'base = "small.toml"\n{lines}')
        code, words = say("--agent", "random", *SMALL[2:], "--scenario", "selling.toml")
        assert code == 0, words
        setting = Setting(scenario=str(file), catalog=str(place / "items.csv"))
        table = played(setting, RULES["random"].build(RuleModels(setting), RULES["random"].options()))
        assert table["purchases"].sum() > 0
        conversion = table["purchases"].sum() / table["clicks"].sum()
        assert f"{conversion:.1%} of {table['clicks'].sum():,.0f} looks end in a purchase" in words
        assert f"sales of {table['sales'].mean():.1f} a user" in words
        assert f"{table.attrs['arrived']:.1%} on those that appeared within the horizon" in words

    def test_options_are_heard(self, say, quick):
        code, words = say("--agent", "static-cap", "--cap", "9", "--on", "similarity", "--split", "validation", *SMALL)
        assert code == 0, words
        agent = RULES["static-cap"].build(RuleModels(quick), CapOptions(cap=9, on="similarity"))
        table = played(quick, agent, "validation", play.VALIDATION_LUCK)
        assert "static cap (at most 9 per topic on similarity), 6 validation users" in words
        assert f"{table['minutes'].mean():.1f} minutes" in words

    @pytest.mark.parametrize(
        ("words", "fresh"), [((), True), (("--fresh", "True"), True), (("--fresh", "False"), False)]
    )
    def test_rules_are_fresh_where_it_is_known_what_was_shown(self, say, remembering, words, fresh):
        code, said = say("--agent", "mmr", "--trade-off", "0.9", *words, *TRACED)
        assert code == 0, said
        kind = RULES["mmr"].fresh_options
        table = played(remembering, RULES["mmr"].make(RuleModels(remembering), kind(trade_off=0.9, fresh=fresh)))
        assert f"MMR (λ = 0.9{', fresh' if fresh else ''}), 6 test users" in said
        assert f"{table['minutes'].mean():.1f} minutes" in said

    def test_rules_that_are_always_fresh_are_played_tuned_and_kept(self, say, remembering, place):
        code, said = say("--agent", "similarity-fresh", *TRACED)
        assert code == 0, said
        assert "greedy similarity, fresh (BERT cosine to the pooled history, fresh), 6 test users" in said
        code, said = say(
            "--agent", "popularity", "--trials", 4, "--validation-users", 4, "--save", "kept-fresh", *TRACED
        )
        assert code == 0, said
        tuned, _ = load_rule(place / "runs" / "kept-fresh", remembering)
        assert tuned.trials["fresh"].tolist() == [True, False]

    @pytest.mark.parametrize("name", list(REFERENCES))
    def test_references_are_played(self, say, quick, name):
        code, words = say("--agent", name, *SMALL)
        assert code == 0, words
        table = played(quick, REFERENCES[name].build(quick.world))
        assert f"{table['minutes'].mean():.1f} minutes" in words
        assert "(reads hidden state)" in words

    def test_a_rule_is_tuned_kept_and_played_again(self, say, quick, place):
        code, words = say("--agent", "mmr", "--trials", 3, "--validation-users", 4, "--save", "mine", *SMALL)
        assert code == 0, words
        monthly = re.search(r"[\d.]+ minutes \[.*? left for good", words).group()
        tuned, agent = load_rule(place / "runs" / "mine", quick)
        assert len(tuned.trials) == 3
        assert "trade_off minutes" in words
        assert isinstance(tuned.trials, pd.DataFrame)
        assert f"{played(quick, agent)['minutes'].mean():.1f} minutes" in monthly
        code, words = say("--agent", "run", "--run", "mine", *SMALL)
        assert code == 0, words
        assert monthly in words
        code, words = say("--agent", "mmr", "--save", "mine", *SMALL)
        assert code == 2
        assert "runs/mine exists; give another --save" in words

    def test_a_trained_run_is_played(self, say, quick, place, monkeypatch):
        monkeypatch.chdir(place)
        setting = Setting(scenario="small.toml", catalog="items.csv")
        train(tiny_run(setting, steps=64, evals=1, eval_users=2), place / "runs" / "ppo", False, lambda row: None)
        code, words = say("--agent", "run", "--run", "ppo", *SMALL)
        assert code == 0, words
        assert re.search(r"PPO weights γ=0.95 \(seed 0, 64 steps\), 6 test users", words)
        code, words = say("--agent", "run", "--run", "ppo", *SMALL, "--world-seed", "3")
        assert code == 2
        assert "was trained on" in words


class TestRefusals:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--agent", "mnr"], "agent = 'mnr' is unknown (did you mean 'mmr'?); allowed: "),
            (["--agent"], "agent = '' is unknown"),
            (["--agent", "mmr", "--trade-off", "3"], "trade_off = 3.0 is out of range; allowed: 0 to 1"),
            (["--agent", "run"], "run = None with agent = 'run': --agent run --run NAME plays runs/NAME"),
            (["--run", "x"], "run = 'x' with agent = 'similarity'"),
            (["--agent", "run", "--run", "nothing"], "config.json does not exist"),
            (["--agent", "taste", "--trials", "3"], "agent = 'taste' is no rule: only rules are tuned and saved"),
            (["--agent", "myopic", "--save", "x"], "agent = 'myopic' is no rule"),
            (["--agent", "mmr", "--trials", "-1"], "trials = -1 must be at least 0"),
            (["--agent", "mmr", "--trials", "2", "--trade-off", "0.1"], "trials = 2 would search for the options"),
            (["--split", "train"], "split = 'train' is unknown (did you mean 'validation'?); allowed:"),
            (
                ["--agent", "mmr", "--fresh", "True"],
                "fresh = True shows nothing twice in a session, but scenario 'small.toml'",
            ),
            (
                ["--agent", "longest"],
                "agent = 'longest' shows nothing twice in a session, but scenario 'small.toml'",
            ),
            (["--users", "5000"], "users = 5000 is out of range; the test split has 1 to"),
            (["--agent", "mmr", "--save", "../x"], "name = '../x' must be a folder name below runs/"),
        ],
    )
    def test_what_cannot_be_is_refused(self, say, words, said):
        small = [word for word in SMALL if "--users" not in words or word not in ("--users", "6")]
        code, found = say(*words, *small) if words != ["--agent"] else say(*words)
        assert code == 2
        assert said in found


class TestMe:
    """A person at the terminal, here by lines that are piped in."""

    @pytest.fixture
    def typed(self, say, monkeypatch):
        """Type these lines in a world in which impressions leave a trace."""

        def run(lines, *words):
            monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
            return say("--me", *TRACED[:4], *words)

        return run

    def test_a_life_is_lived_to_its_end(self, typed):
        code, said = typed("1\n0\n2\n" * 400, "--agent", "similarity-fresh")
        assert code == 0, said
        assert "chooses what you see" in said
        assert said.count("which one (1 to 10, 0 for nothing, q to stop)?") > 3
        assert "watched " in said
        end = re.search(r"(\d+) sessions, ([\d.]+) minutes, day (\d+); (lost: they would not|still there)", said)
        assert end, said[-300:]
        assert float(end[2]) > 0
        same = re.search(r"would have chosen the same in (\d+) of (\d+) slates; in (\d+)% of all luck", said)
        assert 0 <= int(same[1]) <= int(same[2]) == said.count("which one")

    @pytest.mark.parametrize("lines", ["1\nfive\nq\n", "1\nfive\n"])
    def test_q_and_the_end_of_input_end_it(self, typed, lines):
        code, said = typed(lines)
        assert code == 0
        assert "'five' is no answer; allowed: 1 to 10, 0 for nothing, q to stop" in said
        assert re.search(r"\d sessions?, [\d.]+ minutes, day \d; not lost so far", said)
        assert "in 0 of 1 slates" in said or "in 1 of 1 slates" in said

    def test_without_a_single_answer_nothing_was_lived(self, typed):
        code, said = typed("", "--agent", "myopic", "--split", "validation")  # one that reads hidden state
        assert code == 0
        assert "0 sessions, 0.0 minutes, day 1; not lost so far" in said
        assert "the simulated user" not in said.split("not lost so far")[1]

    def test_one_life_is_all_there_is(self, typed):
        code, said = typed("q\n", "--users", "5")
        assert code == 2
        assert "users = 5 with --me: you live one life; leave out --users" in said

"""scripts/tune.py: a search from the command line, interrupted and gone on with, and the preset that it writes."""

import json
import re
import signal
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from longplay.agents.runs.presets import read_preset
from longplay.scripts import train, tune
from longplay.tests.scripts.programs import Program
from longplay.tests.scripts.test_command_lines import SCRIPTS, SMALL

TINY = f"{SMALL} --agent pl-ppo --steps 256 --num-envs 8 --eval-users 5 --evals 2"


@pytest.fixture
def here(monkeypatch, place):
    """Workers in this process, where nothing has to be imported again."""

    monkeypatch.setattr(tune, "open_pool", lambda workers, stop: ThreadPoolExecutor(workers))
    monkeypatch.setenv("LONGPLAY_CACHE", str(place / "cache"))


@pytest.fixture
def search(call, here, place):
    def run(name, more=""):
        return call(tune, "--name", name, *f"{TINY} {more}".split(), folder=place)

    return run


def trials(place, name):
    table = pd.read_csv(place / "runs" / name / "trials.csv")
    return table.drop(columns=[column for column in table if column.startswith(("datetime", "duration"))])


class TestSearch:
    def test_settings_are_found_and_trained_with(self, search, call, place):
        code, output = search("found", "--trials 3")
        assert code == 0, output
        for number in range(3):
            assert f"trial {number}:" in output
        table = trials(place, "found")
        assert list(table["number"]) == [0, 1, 2]
        best = table.loc[table["value"].idxmax()]
        assert f"settings of trial {best['number']}: runs/found/preset.toml" in output
        preset = read_preset(place / "runs/found/preset.toml")
        assert preset.command == f"python scripts/tune.py --name found {TINY} --trials 3"
        # What is trained with the preset is what the trial trained.
        words = f"{SMALL} --agent pl-ppo --steps 256 --eval-users 5 --evals 2 --track off"
        given = ["--name", "with-it", "--preset", "runs/found/preset.toml", *words.split()]
        code, output = call(train, *given, folder=place)
        assert code == 0, output
        of_trial, of_run = (
            json.loads((place / "runs" / name / "config.json").read_text())
            for name in (f"found/trial-{best['number']:04d}", "with-it")
        )
        assert of_trial == of_run
        assert f"best: {best['value']:.1f} validation minutes" in output

    def test_an_interrupted_search_goes_on_to_the_same_trials(self, search, place, monkeypatch):
        search("straight", "--trials 3")
        run_trial = tune.run_trial

        def interrupted(folder, number, config, prune, tell):
            def heed(row):
                if number == 1 and row["step"] > 0:
                    raise KeyboardInterrupt

            return run_trial(folder, number, config, prune, heed)

        monkeypatch.setattr(tune, "run_trial", interrupted)
        code, output = search("cut", "--trials 3")
        assert code == 130
        assert output.endswith("interrupted")
        assert list(trials(place, "cut")["state"]) == ["COMPLETE", "RUNNING"]
        monkeypatch.setattr(tune, "run_trial", run_trial)
        code, output = search("cut", "--trials 3")
        assert code == 0, output
        assert "trial 1: " in output
        assert not re.search(r"trial 0: [0-9]", output)  # which is not trained again
        pd.testing.assert_frame_equal(trials(place, "cut"), trials(place, "straight"), check_exact=True)
        found = [(place / "runs" / name / "preset.toml").read_text() for name in ("straight", "cut")]
        assert found[0] == found[1].replace("--name cut", "--name straight")

    def test_a_discount_may_be_fixed_and_trials_added(self, search, place):
        code, _ = search("fixed", "--trials 1 --gamma 0")
        assert code == 0
        code, output = search("fixed", "--trials 2 --gamma 0")
        assert code == 0
        assert "lookahead" not in output
        for number in range(2):
            config = json.loads((place / f"runs/fixed/trial-{number:04d}/config.json").read_text())
            assert config["gamma"] == 0.0
        assert read_preset(place / "runs/fixed/preset.toml").settings("video-v1")["gamma"] == 0.0
        code, output = search("fixed", "--trials 2")
        assert code == 2
        assert "was begun with gamma = 0.0, not None; give another --name" in output

    def test_settings_that_cannot_be_trained_with_do_not_end_the_search(self, search, place, monkeypatch):
        run_trial = tune.run_trial

        def refused(folder, number, *rest):
            if number == 0:
                raise ValueError("the policy became infinite")
            return run_trial(folder, number, *rest)

        monkeypatch.setattr(tune, "run_trial", refused)
        code, output = search("failing", "--trials 3 --workers 2")
        assert code == 0, output
        assert "trial 0: failed, the policy became infinite" in output
        assert list(trials(place, "failing")["state"]) == ["FAIL", "COMPLETE", "COMPLETE"]


class TestProcesses:
    def test_an_interruption_stops_the_worker_and_leaves_its_trial_to_go_on_with(self, place, environment):
        words = ["--name", "signal", *TINY.replace("--steps 256", "--steps 100000").split()]
        begun = place / "runs" / "signal" / "trial-0000" / "checkpoint.pt"
        with Program([SCRIPTS / "tune.py", *words], place, environment) as program:
            program.wait_for(begun.is_file)
            code, output = program.send(signal.SIGINT)
            program.wait_until_alone()
        assert code == 130, output
        assert "Traceback" not in output
        assert "interrupted" in output
        assert list(trials(place, "signal")["state"]) == ["RUNNING"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("--agent slateg", "agent = 'slateg' is unknown (did you mean 'slateq'?)"),
            ("--agent sac --action candidates", "'sac' does not take the action 'candidates'"),
            ("--trials 0", "trials = 0 must be at least 1"),
            ("--workers 0", "workers = 0 must be at least 1"),
            ("--gamma 2", "gamma = 2.0 is out of range; allowed: 0 to 1"),
            ("--eval-users 100", "eval_users = 100 is out of range"),
            ("--env longplay/Vido-v0", "env = 'longplay/Vido-v0' is unknown"),
            ("--scores nowhere", "nowhere"),
            ("--steps 0", "steps = 0 is out of range; allowed: 1 to"),
        ],
    )
    def test_a_wrong_argument_is_named(self, call, place, monkeypatch, words, said):
        monkeypatch.setenv("LONGPLAY_CACHE", str(place / "cache"))
        code, output = call(tune, "--name", "wrong", *SMALL.split(), *words.split(), folder=place)
        assert code == 2
        assert said in output
        assert not (place / "runs" / "wrong").exists()

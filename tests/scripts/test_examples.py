"""The guides' worked examples, run as a reader would run them: outside the package, through the commands."""

import inspect
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import longplay
from longplay.agents.playing.readers import load_reader
from longplay.envs.users.opinions import Consumed, Question, digest_reader

ROOT = Path(longplay.__file__).parent
EXAMPLES = ROOT / "docs" / "examples"
SMALL = ["--catalog", "items.csv", "--scenario", "small.toml"]
QUIET = ["--track", "off"]
TOY_RUN = ["--num-envs", "16", "--eval-users", "4", "--evals", "2", *SMALL, *QUIET]


@pytest.fixture
def run(place, environment):
    """Run a file with arguments in the folder of small items, the examples and more folders on the path."""

    def call(file, *arguments, path=()):
        folders = [*map(str, path), str(EXAMPLES), *filter(None, [environment.get("PYTHONPATH")])]
        variables = {**environment, "PYTHONPATH": ":".join(folders), "WANDB_MODE": "offline"}
        command = [sys.executable, str(file), *map(str, arguments)]
        done = subprocess.run(command, cwd=place, env=variables, capture_output=True, text=True, timeout=300)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    return call


def test_an_agent_is_sixty_lines_is_trained_goes_on_and_is_compared(run, place):
    lines = (EXAMPLES / "toy_agent.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60
    name = "toy_agent:LinearMinutes"
    code, words = run(ROOT / "scripts/train.py", "--name", "toy", "--agent", name, "--steps", 2000, *TOY_RUN)
    assert code == 0, words
    assert "Toy γ=0.95, seed 0, 2,000 steps" in words
    assert len((place / "runs/toy/curve.csv").read_text().splitlines()) == 4
    code, words = run(ROOT / "scripts/train.py", "--name", "toy", "--resume", *QUIET)
    assert code == 0, words
    rules = ["--rules", "similarity", "toy_rule:NewestFirst", "--rule-trials", 2]
    players = ["--users", 4, "--validation-users", 4]
    code, words = run(ROOT / "scripts/compare.py", "--name", "c", "--runs", "toy", *rules, *players, *SMALL, *QUIET)
    assert code == 0, words
    assert "Toy γ=0.95" in words
    assert "newest first" in words


def test_an_option_of_the_agent_is_on_the_command_line(run):
    code, words = run(ROOT / "scripts/train.py", "--agent", "toy_agent:LinearMinutes", "--help")
    assert code == 0
    assert "--options.noise" in words
    code, words = run(
        ROOT / "scripts/train.py", "--name", "x", "--agent", "toy_agent:LinearMinutes", "--options.noise", -1
    )
    assert code == 2
    assert "noise = -1.0 is out of range; allowed: 0 to 10" in words


def test_a_class_that_is_no_agent_is_refused(run):
    code, words = run(ROOT / "scripts/train.py", "--name", "x", "--agent", "toy_rule:NewestFirst")
    assert code == 2
    assert "importing toy_rule registered no such agent; fix: end the file with AGENTS.register(" in words


def test_a_package_announces_its_agent(run, tmp_path):
    info = tmp_path / "someones_agent-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: someones-agent\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[longplay.agents]\nsomeones-agent = toy_agent:LinearMinutes\n")
    arguments = ["--name", "announced", "--agent", "someones-agent", "--steps", 64, *TOY_RUN]
    code, words = run(ROOT / "scripts/train.py", *arguments, path=[tmp_path])
    assert code == 0, words
    code, words = run(ROOT / "scripts/train.py", "--name", "x", "--agent", "somebodys-agent", path=[tmp_path])
    assert code == 2
    assert "agent = 'somebodys-agent' is unknown (did you mean 'someones-agent'?)" in words


def test_a_scenario_is_an_id_of_its_own(run, tmp_path):
    (tmp_path / "use.py").write_text(
        "import gymnasium\n"
        'env = gymnasium.make("toy_scenario:toy/Impatient-v0", catalog="items.csv")\n'
        "observation, info = env.reset(seed=1)\n"
        'print("sensitivity", float(env.unwrapped.world.scenario.params.satiation_sensitivity))\n'
        'vector = gymnasium.make_vec("toy_scenario:toy/Impatient-v0", num_envs=3, catalog="items.csv")\n'
        'print("users", len(vector.reset(seed=1)[0]["context"]))\n'
    )
    code, words = run(tmp_path / "use.py")
    assert code == 0, words
    assert "sensitivity 0.8 users 3" in words
    play = ["--agent", "similarity", "--env", "toy_scenario:toy/Impatient-v0", "--catalog", "items.csv", "--users", 4]
    code, words = run(ROOT / "scripts/play.py", *play)
    assert code == 0, words
    assert "toy/Impatient-v0" in words


def test_a_leaving_rule_is_fifteen_lines_and_a_scenario_names_it(run, place):
    rule = runpy.run_path(str(EXAMPLES / "toy_leaving.py"))["leaves_by_the_clock"]
    assert len(inspect.getsource(rule).splitlines()) <= 15
    (place / "impatient.toml").write_text(
        f'base = "{EXAMPLES / "toy_leaving.toml"}"\n[shape]\nusers = 200\n', encoding="utf-8"
    )
    play = ["--agent", "similarity", "--catalog", "items.csv", "--users", 4, "--scenario", "impatient.toml"]
    code, words = run(ROOT / "scripts/play.py", *play)
    assert code == 0, words
    assert "users' leaves is toy_leaving:leaves_by_the_clock of" in words


def test_a_reader_takes_what_has_most_words_in_common(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    reader = load_reader("toy_reader:WordsInCommon")
    texts = ("A duel on the ranch at dawn.", "", "Robot, planet, orbit.")
    past = tuple(Consumed(f"i{n}", f"A robot on planet {n}, lost in orbit.", 0.9, n) for n in range(20))
    about = {"user": 1, "session": 0, "depth": 0, "day": 0.5, "hour": 12.0, "items": ("a", "", "b"), "favourites": ()}
    assert reader.answer(Question(**about, texts=texts, history=past)) == 2
    assert reader.answer(Question(**about, texts=texts, history=past[:1])) is None
    assert reader.answer(Question(**about, texts=("", "", ""), history=past)) is None
    assert digest_reader(reader) != digest_reader(type(reader)(least=1.0))


def test_a_study_prints_its_difference(run):
    code, words = run(EXAMPLES / "toy_study.py", "--users", 6, *SMALL)
    assert code == 0, words
    assert "first session: " in words
    code, words = run(EXAMPLES / "toy_study.py", "--help")
    assert "python docs/examples/toy_study.py --users 200" in words

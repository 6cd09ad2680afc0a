"""What the command lines say: help, and refusals that name field, value and what is allowed."""

import io
import re
import runpy
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from pathlib import Path

import pytest

import longplay
from longplay.agents.registry import AGENTS
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.presets import DEFAULT, configure_run
from longplay.agents.setting import Setting
from longplay.scripts import compare, demo, offline, play, train, tune
from longplay.scripts.bench import environment as bench
from longplay.scripts.bench import training as bench_training
from longplay.scripts.shared import trainings
from longplay.scripts.shared.folders import RUNS, run_folder
from longplay.scripts.studies import slateq_bias
from longplay.scripts.studies.interest_evolution import study as interest_evolution
from longplay.scripts.studies.results import study as results

SCRIPTS = Path(longplay.__file__).parent / "scripts"
COMMANDS = {
    "train": "python scripts/train.py --name my-ppo --resume",
    "compare": "python scripts/compare.py --name first --runs my-ppo my-myopic-ppo",
    "demo": "python scripts/demo.py",
    "collect": "python scripts/collect.py --name log --items 1000 --users 3000 --policy random",
    "bench": "python -m longplay.scripts.bench.environment",
    "encode": "python scripts/encode.py --name my-gru --encoder gru --log log",
    "pretrain": "python scripts/pretrain.py --name films-bert",
    "compare_encoders": "python -m longplay.scripts.studies.encoders --name encoders --log log --ratings FOLDER",
    "explain": "python scripts/explain.py --name why --user 9123",
    "predict": "python scripts/predict.py --name predictors --log log",
    "bench_encoders": "python -m longplay.scripts.bench.encoders",
    "scenarios": "python -m longplay.scripts.studies.scenarios --name scenarios",
    "headroom": "python -m longplay.scripts.studies.headroom --name headroom --envs longplay/Video-v1 --seeds 1 2 3",
    "diagnosis": ("python -m longplay.scripts.studies.diagnosis --name diagnosis --env longplay/Video-v1 --users 300"),
    "tune": "python scripts/tune.py --name slateq-video --agent slateq --trials 40 --steps 150000 --workers 2",
    "play": "python scripts/play.py --agent mmr --trade-off 0.7",
    "offline": "python scripts/offline.py estimate --name ope --log soft",
    "results": "python -m longplay.scripts.studies.results --name results --agents ppo slateq --seeds 5 --workers 2",
    "slateq_bias": "python -m longplay.scripts.studies.slateq_bias --env longplay/Video-v0 --users 2000",
    "languages": "python -m longplay.scripts.studies.languages --catalogs runs/films/english.csv",
    "interest_evolution": "python -m longplay.scripts.studies.interest_evolution --seeds 5",
    "agreement": (
        "python -m longplay.scripts.studies.agreement --env longplay/Video-v1 "
        "--reader toy_reader:WordsInCommon --users 20"
    ),
    "bench_behaviours": "python -m longplay.scripts.bench.behaviours",
    "bench_training": "python -m longplay.scripts.bench.training",
    "bench_judging": "python -m longplay.scripts.bench.judging --users 10000 --people 100000",
    "signatures": (
        "python -m longplay.scripts.studies.signatures --name news-log --env longplay/News-v0 "
        "--reference signatures.json"
    ),
}


def module_of(name):
    """The module of a command that is run as ``python -m``, or None."""
    words = COMMANDS[name].split()
    return words[2] if words[1] == "-m" else None


def run(name):
    """Run a command in this process."""
    module = module_of(name)
    if module is None:
        runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that it has been imported by tests
            runpy.run_module(module, run_name="__main__", alter_sys=True)


def source_of(name):
    """The file whose docstring a command's help shows."""
    module = module_of(name)
    if module is None:
        return SCRIPTS / f"{name}.py"
    place = SCRIPTS.joinpath(*module.split(".")[2:])
    return place / "study.py" if place.is_dir() else place.with_suffix(".py")


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A folder to ask for help in."""
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="module")
def helped(empty, environment):
    """Each script's answer to ``--help``; train's, and its answer to a wrong number, in processes of their own."""
    answers = {}
    for key, words in {"train": ["--help"], "wrong": ["--name", "x", "--steps", "-5"]}.items():
        command = [sys.executable, str(SCRIPTS / "train.py"), *words]
        done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, timeout=120)
        answers[key] = done.returncode, done.stdout + done.stderr
    for name in COMMANDS.keys() - {"train"}:
        said = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
            patch.chdir(empty)
            patch.setenv("COLUMNS", environment["COLUMNS"])
            patch.setattr(sys, "argv", [f"{name}.py", "--help"])
            with pytest.raises(SystemExit) as end:
                run(name)
        answers[name] = end.value.code, said.getvalue()
    return answers


class TestHelp:
    @pytest.mark.parametrize("name", list(COMMANDS))
    def test_help_shows_the_exact_command(self, helped, name):
        code, output = helped[name]
        assert code == 0, output
        assert COMMANDS[name] in re.sub(r" \\\n +", " ", output)  # a long one is broken as shells take it
        assert COMMANDS[name] in source_of(name).read_text(encoding="utf-8").split('"""')[1]
        assert "Traceback" not in output

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            (
                "train",
                ["--name", "--gamma", "--seed", "--steps", "--env", "--catalog", "--scenario", "--resume", "--track"],
            ),
            ("train", ["--agent", "--action", "--scores", "--preset", "--options.n-steps", "--options.gae-lambda"]),
            ("tune", ["--agent", "--gamma", "--trials", "--steps", "--evals", "--workers", "--no-prune", "--env"]),
            ("compare", ["--name", "--runs", "--users", "--validation-users", "--env", "--catalog", "--track"]),
            ("compare", ["--rules", "--rule-trials", "--rules-folder", "--linear"]),
            ("play", ["--agent", "--run", "--users", "--me", "--split", "--trials", "--save", "--linear", "--env"]),
            ("offline", ["log", "estimate", "learn"]),
            (
                "results",
                ["--name", "--envs", "--agents", "--seeds", "--seeds-of", "--more-rules", "--trials", "--workers"],
            ),
            ("slateq_bias", ["--env", "--users", "--seen", "--moments", "--seed"]),
            ("interest_evolution", ["--seeds", "--steps", "--num-envs", "--gamma", "--sessions"]),
            ("agreement", ["--reader", "--name", "--users", "--slates", "--rule", "--env", "--catalog"]),
            ("bench_behaviours", ["--scenarios", "--users", "--plain-users", "--slates", "--rounds", "--json"]),
            ("bench_training", ["--users", "--rounds", "--only", "--json"]),
            ("bench_judging", ["--users", "--people", "--rules", "--trials", "--workers", "--env", "--json"]),
            ("demo", ["--seeds", "--steps", "--workers", "--track"]),
            ("bench", ["--batches", "--seconds", "--rounds", "--items", "--no-peers", "--json"]),
        ],
    )
    def test_help_lists_the_options(self, helped, name, options):
        for option in options:
            assert option in helped[name][1]

    @pytest.mark.parametrize("name", list(COMMANDS))
    def test_help_fits_80_columns_with_one_title_on_each_box(self, helped, name):
        lines = helped[name][1].splitlines()
        assert max(map(len, lines)) <= 80
        titles = [line.strip("╭╮─ ") for line in lines if line.startswith("╭")]
        assert titles[0] == "options"
        assert not [title for title in titles[1:] if title.endswith(" options")]
        assert not [line for line in lines if line.startswith("│ ───")]

    @pytest.mark.parametrize("name", ["train", "compare", "play", "tune", "collect"])
    def test_help_shows_what_may_be_chosen(self, helped, name):
        said = " ".join(helped[name][1].replace("│", " ").split())
        assert "--env {longplay/Control-v0, longplay/Tiny-v0," in said
        about = "Environment id; one of another module as module:id."
        assert f"longplay/SocialShifted-v1}} {about} (default: longplay/Video-v1)" in said
        assert "--id-column" in said
        assert "--text-column" in said

    def test_a_refusal_in_a_process_of_its_own_exits_with_2(self, helped):
        code, output = helped["wrong"]
        assert code == 2
        assert "steps = -5 is out of range; allowed: 1 to" in " ".join(output.replace("│", " ").split())
        assert "Traceback" not in output

    @pytest.mark.usefixtures("helped")
    def test_nothing_was_written(self, empty):
        assert list(empty.iterdir()) == []


NAMELESS = (bench, bench_training, interest_evolution, play, slateq_bias)
SMALL = "--catalog items.csv --scenario small.toml"
NEAR = "(did you mean 'longplay/Video-v0'?)"


class TestRefusals:
    @pytest.mark.parametrize(
        ("script", "arguments", "said"),
        [
            # unknown names, with what is allowed and the closest
            (
                train,
                "--env longplay/Vido-v0",
                f"env = 'longplay/Vido-v0' is unknown {NEAR}; allowed: 'longplay/Control-v0'",
            ),
            (
                compare,
                "--env Video",
                "env = 'Video' is unknown (did you mean 'longplay/Video-v1'?); allowed: 'longplay/Con",
            ),
            (train, "--agent poo", "agent = 'poo' is unknown (did you mean 'ppo'?); allowed: 'ppo', 'a2c'"),
            (train, "--action weigths", "'ppo' does not take the action 'weigths'; it takes 'weights', 'query'"),
            (train, "--agent sac --action candidates", "'sac' does not take the action 'candidates'; it takes"),
            (train, "--agent slateq --action weights", "'slateq' chooses slates of items; leave out --action"),
            (train, "--agent slateq --options.polyac 3", "--options.polyak"),
            (train, "--agent slateq --options.polyak 3", "polyak = 3.0 is out of range; allowed: 1e-06 to 1"),
            (train, "--agent slateq --learning-rate 0.1", "learning_rate = 0.1 would change nothing: 'slateq' has its"),
            (train, "--options.polyak 0.5", "Unrecognized options: --options.polyak"),
            (train, "--options.n-steps 0", "n_steps = 0 is out of range; allowed: 1 to"),
            (train, "--preset nowhere.toml", "preset = 'nowhere.toml' is no file; give a TOML file, 'default' or"),
            (train, "--preset", "Missing value for argument '--preset'"),
            (train, "--state poled", "state = 'poled' is unknown (did you mean 'pooled'?); allowed: 'pooled', 'mean'"),
            (train, "--track onlin", "track = 'onlin' is unknown (did you mean 'online'?); allowed: 'online', 'off"),
            (compare, "--track no", "track = 'no' is unknown"),
            (demo, "--track of", "track = 'of' is unknown (did you mean 'off'?)"),
            (play, "--agent mnr", "agent = 'mnr' is unknown (did you mean 'mmr'?); allowed: "),
            (play, "--split tets", "split = 'tets' is unknown (did you mean 'test'?); allowed: 'validation', 'test'"),
            (tune, "--agent slatq", "agent = 'slatq' is unknown (did you mean 'slateq'?)"),
            (results, "--envs Vido", "'Vido' is unknown"),
            (results, "--agents poo", "agents = 'poo' is unknown (did you mean 'ppo'?)"),
            (results, "--more-rules als als", "names something twice; name each once"),
            (slateq_bias, "--env Vido", "env = 'Vido' is unknown"),
            (bench_training, "--only PPOO", "only = 'PPOO' is unknown; allowed:"),
            # numbers out of range
            (train, "--steps -5", "steps = -5 is out of range; allowed: 1 to"),
            (train, "--num-envs 0", "num_envs = 0 is out of range; allowed: 1 to"),
            (train, "--seed -1", "seed = -1 is out of range; allowed: 0 to"),
            (train, "--gamma 1.01", "gamma = 1.01 is out of range; allowed: 0 to 1"),
            (train, "--learning-rate -0.1", "learning_rate = -0.1 is out of range"),
            (train, "--eval-users -2", "eval_users = -2 is out of range"),
            (train, f"--eval-users 999 --track off {SMALL}", "eval_users = 999 is out of range; the validation split"),
            (train, f"--world-seed -1 --track off {SMALL}", "world_seed = -1 must be a whole number from 0"),
            (compare, f"--users -3 {SMALL}", "users = -3 is out of range; the test split has 1 to 20"),
            (compare, f"--users 21 {SMALL}", "users = 21 is out of range; the test split has 1 to 20"),
            (compare, f"--users 5 --validation-users 0 {SMALL}", "users = 0 is out of range; the validation split has"),
            (demo, "--seeds 0", "seeds = 0 must be at least 1"),
            (demo, "--workers -1", "workers = -1 must be at least 1"),
            (bench, "--rounds 0", "rounds must be at least 1"),
            (bench, "--batches 0", "batches and rounds must be at least 1"),
            (bench, "--seconds -1", "seconds above 0"),
            (train, "--track off --name Läufe/eins", "name = 'Läufe/eins' has 'ä'; allowed: letters A to Z and a to z"),
            (compare, f"--workers 0 {SMALL}", "workers = 0 must be at least 1"),
            (compare, "--rule-trials 0", "rule_trials = 0 is out of range; allowed: from 1"),
            (play, f"--users 0 {SMALL}", "users = 0 is out of range"),
            (play, "--trials -1", "trials = -1 must be at least 0"),
            (tune, "--trials 0", "trials = 0 must be at least 1"),
            (tune, "--workers 0", "workers = 0 must be at least 1"),
            (results, "--seeds 0", "seeds = 0 must be at least 1"),
            (results, "--trials 0", "trials = 0 must be at least 1"),
            (results, "--planner-users 501", "planner_users = 501 is out of range; allowed: 0 to users = 500"),
            (slateq_bias, "--users 1", "users = 1 is out of range; allowed: from 2"),
            (slateq_bias, "--seen -0.1", "seen = -0.1 is out of range; allowed: from 0.0"),
            (interest_evolution, "--sessions 1", "sessions = 1 is out of range; allowed: from 2"),
            (interest_evolution, "--gamma 0", "gamma = 0.0 is out of range; allowed: above 0, to 1"),
            (slateq_bias, "--moments -1", "moments = -1 is out of range; allowed: from 0"),
            (bench_training, "--rounds 0", "rounds = 0 must be at least 1"),
            # what rules and references are given
            (compare, "--rules similarity mmrr", "rules = 'mmrr' is unknown (did you mean 'mmr'?); allowed: "),
            (compare, "--rules similarity mmr mmr", "rules = ['similarity', 'mmr', 'mmr'] must be different ones"),
            (compare, "--rules-folder ../x", "name = '../x' must be a folder name below runs/"),
            (
                compare,
                f"--linear no.json --users 5 --validation-users 5 {SMALL}",
                "no.json does not exist; write it",
            ),
            (play, "--agent linear --linear no.json " + SMALL, "no.json does not exist; write it"),
            (
                play,
                "--agent myopic --linear no.json",
                "linear = 'no.json' with agent = 'myopic': --agent linear",
            ),
            (play, "--agent run", "run = None with agent = 'run': --agent run --run NAME plays runs/NAME"),
            (play, "--agent taste --trials 3", "agent = 'taste' is no rule: only rules are tuned and saved"),
            # not a number, unknown option
            (train, "--steps many", "many"),
            (train, "--gama 0.5", "--gamma"),
            (compare, "--user 5", "--users"),
            # files
            (train, "--catalog missing.csv --track off", "missing.csv: no such file"),
            (train, "--catalog goods.csv --track off", "no column 'id' among 'sku', 'words', 'topics'"),
            (train, "--catalog goods.csv --track off", "or pass one of them as id_column (--id-column)"),
            (
                train,
                "--catalog goods.csv --id-column sku --track off",
                "pass one of them as text_column (--text-column)",
            ),
            (train, "--scenario missing.toml --catalog items.csv --track off", "'missing.toml' does not exist"),
            (train, "--resume", "runs/x/config.json does not exist; name a folder that scripts/train.py wrote"),
            (
                compare,
                f"--runs nobody --users 5 --validation-users 5 {SMALL}",
                "runs/nobody/config.json does not exist",
            ),
        ],
    )
    def test_a_wrong_argument_is_named(self, call, place, monkeypatch, script, arguments, said):
        monkeypatch.setenv("LONGPLAY_CACHE", str(place / "cache"))
        named = () if script in NAMELESS else ("--name", "x")
        code, output = call(script, *named, *arguments.split(), folder=place)
        assert code == 2
        assert said in output
        assert "Traceback" not in output
        assert not (place / "runs" / "x").exists()

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ("log --name x --temperature 0", "temperature = 0.0 must be above 0"),
            ("log --name x --weights similrity 1", "weights = 'similrity' is unknown (did you mean 'similarity'?)"),
            ("learn --name x --log nowhere", "nowhere"),
            ("learn --name x --log y --agent iqq", "agent = 'iqq' is unknown (did you mean 'iql'?)"),
            ("lern --name x", "learn"),
        ],
    )
    def test_a_wrong_argument_of_an_offline_job_is_named(self, call, arguments, said):
        code, output = call(offline, *arguments.split())
        assert code == 2
        assert said in output
        assert "Traceback" not in output

    @pytest.mark.parametrize("script", [train, compare, tune])
    def test_a_missing_name_is_asked_for(self, call, script):
        code, output = call(script)
        assert code == 2
        assert "--name" in output

    @pytest.mark.parametrize("script", [train, compare, demo])
    @pytest.mark.parametrize("name", ["../out", "", ".", "a/../..", "/elsewhere/out", "a/../../runs-of-others"])
    def test_a_name_that_leads_out_of_runs_is_refused(self, call, tmp_path, script, name):
        code, output = call(script, "--name", name)
        assert code == 2
        assert f"name = {name!r} must be a folder name below runs/" in output
        assert not list(tmp_path.iterdir())

    def test_runs_to_compare_stay_in_runs_too(self, call):
        code, output = call(compare, "--name", "x", "--runs", "../elsewhere")
        assert code == 2
        assert "name = '../elsewhere' must be a folder name below runs/" in output

    def test_an_existing_run_is_not_overwritten_by_accident(self, call, tmp_path):
        folder = tmp_path / "runs" / "x"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("precious")
        code, output = call(train, "--name", "x")
        assert code == 2
        assert "runs/x exists; give --resume to continue it, --overwrite to start again, or another --name" in output
        assert (folder / "config.json").read_text() == "precious"
        assert len(list(folder.iterdir())) == 1

    def test_a_run_without_a_checkpoint_cannot_be_resumed(self, call, place, monkeypatch, environment):
        monkeypatch.setenv("LONGPLAY_CACHE", environment["LONGPLAY_CACHE"])
        folder = place / "runs" / "bare"
        folder.mkdir(parents=True)
        setting = {"env": "longplay/Video-v0", "catalog": "items.csv", "scenario": "small.toml", "world_seed": 0}
        (folder / "config.json").write_text(RunConfig(setting=Setting(**setting), eval_users=5).to_json())
        code, output = call(train, "--name", "bare", "--resume", "--track", "off", folder=place)
        assert code == 2
        assert (
            "runs/bare/checkpoint.pt does not exist; there is nothing to resume: give --overwrite in place of --resume"
            in output
        )


class TestAgents:
    """The options of train.py are those of the agent named."""

    @pytest.mark.parametrize("agent", list(AGENTS))
    def test_help_is_that_of_the_agent(self, call, agent):
        code, output = call(train, "--agent", agent, "--help")
        assert code == 0
        shipped = configure_run(agent, "", Setting.env, DEFAULT)
        for name, value in asdict(shipped.agent_options).items():
            flag = f"--options.{name}".replace("_", "-")
            assert flag in output
            if not isinstance(value, bool):
                assert f"(default: {value})" in output

    @pytest.fixture
    def trained(self, call, place, monkeypatch):
        """The configuration that a command line comes to."""
        asked = []

        def train_nothing(config, folder, resume, report):
            asked.append(config)
            raise ValueError("enough")

        monkeypatch.setattr(train, "train", train_nothing)
        monkeypatch.setattr(train, "load_world", lambda setting: None)

        def run(*words):
            code, output = call(train, "--name", "x", "--track", "off", *words, folder=place)
            assert (code, output.endswith("error: enough")) == (2, True), output
            return asked.pop()

        return run

    def test_options_that_differ_from_the_defaults_are_kept(self, trained):
        config = trained("--agent", "slateq", "--options.polyak", "0.5", "--options.no-fill", "--options.batch", "1024")
        assert config == RunConfig(agent="slateq", options={"polyak": 0.5, "fill": False})
        assert trained("--options.n-steps", "8").algorithm_arguments["n_steps"] == 8
        assert trained() == RunConfig()

    def test_a_preset_is_overridden_by_flags(self, trained, place):
        (place / "mine.toml").write_text(
            'agent = "slateq"\n[all]\ngamma = 0.9\n[all.options]\npolyak = 0.5\nepochs = 2\n[news]\ngamma = 0.8\n'
        )
        given = ("--agent", "slateq", "--preset", "mine.toml")
        assert trained(*given) == RunConfig(agent="slateq", gamma=0.9, options={"polyak": 0.5, "epochs": 2})
        assert trained(*given, "--env", "longplay/News-v0").gamma == 0.8
        other = trained(*given, "--options.epochs", "3", "--gamma", "0")
        assert (other.gamma, other.options) == (0.0, {"polyak": 0.5, "epochs": 3})
        # An option that a flag sets back to the agent's default is no setting of the run.
        default = str(RunConfig(agent="slateq").agent_options.polyak)
        assert trained(*given, "--options.polyak", default).options == {"epochs": 2}

    @pytest.mark.parametrize(
        "config",
        [
            RunConfig(agent="slateq", options={"polyak": 0.5, "fill": False, "by_time": True}, gamma=0.9),
            RunConfig(agent="ppo", action="candidates", options={"target_kl": 0.1}),
            RunConfig(),
        ],
    )
    def test_a_job_is_the_run_that_its_words_are_of(self, trained, config, monkeypatch, place):
        started = []
        monkeypatch.setattr(trainings.subprocess, "Popen", lambda command, **more: started.append(command))
        monkeypatch.chdir(place)
        trainings.start_training(trainings.Training("job", config), "off")
        words = started[0][started[0].index("--preset") :]
        assert trained(*words) == config


class TestCommon:
    def test_interruption_is_one_word_and_exit_code_130(self, call, monkeypatch):
        def interrupt(args):
            raise KeyboardInterrupt

        interrupt.__module__ = train.__name__
        monkeypatch.setattr(train, "main", interrupt)
        code, output = call(train, "--name", "x")
        assert code == 130
        assert output == "interrupted"

    @pytest.mark.parametrize("name", ["a", "demo/ppo-0", "a/../b"])
    def test_names_below_runs_are_folders(self, tmp_path, monkeypatch, name):
        monkeypatch.chdir(tmp_path)
        assert run_folder(name) == RUNS / name

    def test_a_link_out_of_runs_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs" / "link").symlink_to("/tmp")
        with pytest.raises(ValueError, match="must be a folder name below runs/"):
            run_folder("link/x")

    def test_messages_are_shown_as_they_are(self, call, monkeypatch):
        def refuse(args):
            raise ValueError("options[red] = [bold] is odd")

        refuse.__module__ = train.__name__
        monkeypatch.setattr(train, "main", refuse)
        code, output = call(train, "--name", "x")
        assert code == 2
        assert output == "error: options[red] = [bold] is odd"

"""Extras: the environment runs without any, and whoever needs one is told its name and the command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import longplay
from longplay.envs.shared import extras
from longplay.envs.shared.extras import EXTRAS, MissingExtraError, explain_installation, list_missing, require_extra

ROOT = Path(longplay.__file__).parent
ALL = [module for modules in EXTRAS.values() for module in modules]

# Read by Python when it starts: finders that know nothing of the modules hidden.
HIDING = """
import os, sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in os.environ["HIDDEN"].split()
        return None if hidden else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""


@pytest.fixture
def run_without(tmp_path):
    """A function that runs Python in an environment that lacks modules."""
    (tmp_path / "sitecustomize.py").write_text(HIDING)

    def run(*command, hidden=ALL):
        path = os.pathsep.join([str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        environment = {**os.environ, "PYTHONPATH": path, "HIDDEN": " ".join(hidden)}
        return subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment, cwd=tmp_path)

    return run


ALONE = """
import importlib, pkgutil, sys
import gymnasium, longplay
from longplay import envs

for module in pkgutil.walk_packages(envs.__path__, "longplay.envs."):
    importlib.import_module(module.name)
for name in envs.__all__:
    getattr(envs, name)
env = gymnasium.make("longplay/Tiny-v0", render_mode="rgb_array")
env.reset(seed=7)
env.step([1, 2])
assert env.render().shape == (720, 1280, 3)
for statement in (
    "from longplay import TextEncoder",
    "import longplay.encoders.base",
    "from longplay.agents import RULES",
    "from longplay.agents.sb3 import SlateVecEnv",
    "import longplay.scripts.shared.console",
):
    try:
        exec(statement)
    except ModuleNotFoundError as error:
        print(error)
    else:
        print("no error")
"""


def test_the_environment_runs_without_any_extra(run_without):
    done = run_without("-W", "error", "-c", ALONE)
    assert done.returncode == 0, done.stderr
    rest = {"encoders": len(EXTRAS["encoders"]) - 1, "agents": len(EXTRAS["encoders"] + EXTRAS["agents"]) - 1}
    asked = [("encoders", "encoders")] * 2 + [("agents", "agents")] * 2 + [("scripts", "agents")]
    assert done.stdout.splitlines() == [
        f'longplay.{package} needs torch and {rest[extra]} more: not installed; fix: pip install "longplay[{extra}]"'
        for package, extra in asked
    ]


@pytest.mark.parametrize(
    ("hidden", "command", "called"),
    [
        (ALL, ["scripts/train.py", "--help"], "python scripts/train.py"),
        (["transformers"], ["scripts/encode.py"], "python scripts/encode.py"),
        (["torch"], ["-m", "longplay.scripts.bench.encoders"], "python -m longplay.scripts.bench.encoders"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_command_says_in_one_line_which_extra_it_needs(run_without, hidden, command, called):
    words = [str(ROOT / word) if word.startswith("scripts/") else word for word in command]
    done = run_without(*words, hidden=hidden)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    needed = [module for extra in ("encoders", "agents") for module in EXTRAS[extra]]
    needed = [module for module in needed if module in {*hidden, *list_missing("agents")}]
    what = needed[0] if len(needed) == 1 else f"{needed[0]} and {len(needed) - 1} more"
    fix = 'fix: pip install "longplay[agents]"'
    assert done.stderr == f"error: {called} needs {what}: not installed; {fix}\n"


class TestByHand:
    @pytest.fixture(autouse=True)
    def lacking(self, monkeypatch):
        """Of some extras, of which "big" includes "small", a module each is not there."""
        monkeypatch.setattr(extras, "EXTRAS", {"small": ("json", "no_such_a"), "big": ("no_such_b",), "fine": ("csv",)})
        monkeypatch.setattr(extras, "INCLUDED", {"big": ("small",)})

    def test_an_extra_lacks_what_those_that_it_includes_lack(self):
        assert list_missing("fine") == []
        assert list_missing("small") == ["no_such_a"]
        assert list_missing("big") == ["no_such_a", "no_such_b"]

    def test_who_requires_what_is_there_goes_on(self):
        require_extra("fine", "someone")

    def test_who_requires_what_is_not_is_told_the_command(self):
        message = r'^someone needs no_such_a and 1 more: not installed; fix: pip install "longplay\[big\]"$'
        with pytest.raises(MissingExtraError, match=message) as caught:
            require_extra("big", "someone")
        assert caught.value.name == "no_such_a"
        assert isinstance(caught.value, ImportError)

    def test_a_module_is_installed_by_its_extra_or_its_own_name(self):
        assert explain_installation("no_such_b.part") == 'pip install "longplay[big]"'
        assert explain_installation("no_such_c") == "pip install no-such-c"

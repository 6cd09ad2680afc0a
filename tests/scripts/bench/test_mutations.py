"""Changes of one operator or constant, and what becomes of those that tests notice and those that they do not."""

import shutil
import time

import pandas as pd
import pytest

from longplay.scripts.bench import mutations
from longplay.scripts.bench.mutants import list_mutants
from longplay.scripts.shared import processes


def mutate(source):
    return [mutant.apply(source) for mutant in list_mutants(source)]


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("a = b + c", ["a = b - c"]),
        ("a -= b", ["a += b"]),
        ("a = (b) // (c)  # b / c", ["a = (b) * (c)  # b / c"]),
        ("a = b ** c", ["a = b * c"]),
        ("a = b * c", ["a = b / c"]),
        ("a = b < c <= d", ["a = b <= c <= d", "a = b < c < d"]),
        ("a = b and c", ["a = b or c"]),
        ("a = not b", ["a = b"]),
        ("a = -b", ["a = b"]),
        ("a = True", ["a = False"]),
        ("a = 2", ["a = 3"]),
        ("a = 0.5", ["a = 0.55"]),
        ("a = 0.0", ["a = 1.0"]),
        ("γ = 'é'; a = b + c", ["γ = 'é'; a = b - c"]),
        ("def f(a: 'int' | None = None) -> 'int' | None: ...", []),
        ("raise ValueError(a + 1)", []),
        ("a = f'{b + 1}'", []),
        ("a = b is c", []),
    ],
)
def test_one_place_is_changed(source, changed):
    assert mutate(source) == changed


def test_a_line_is_that_of_the_change():
    source = "a = (\n    b\n    + c\n)\nd = 1\n"
    assert [mutant.line for mutant in list_mutants(source)] == [3, 5]


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A project of two small files, of which the tests hold one."""
    root = tmp_path / "project"
    (root / "envs").mkdir(parents=True)
    (root / "tests" / "envs").mkdir(parents=True)
    (root / "scripts" / "shared").mkdir(parents=True)
    shutil.copy(processes.__file__, root / "scripts" / "shared" / "processes.py")
    (root / "tests" / "pytest.ini").write_text("[pytest]\naddopts = -q -p no:cacheprovider\n")
    (root / "envs" / "held.py").write_text("def add(a, b):\n    return a + b\n")
    (root / "envs" / "loose.py").write_text("def add(a, b):\n    return a + b\n")
    test = "import runpy\n\ndef test_it():\n    assert runpy.run_path('envs/held.py')['add'](1, 2) == 3\n"
    (root / "tests" / "envs" / "test_held.py").write_text(test)
    monkeypatch.setattr(mutations, "ROOT", root)
    monkeypatch.setattr(mutations, "NEUTRAL", tmp_path / "mutations.toml")
    monkeypatch.setattr(mutations, "SUBJECTS", {"sums": ("envs/held.py",), "others": ("envs/loose.py",)})
    monkeypatch.setattr(mutations, "read_commit", lambda: "abc")

    def copy_project(folder):
        mutations.shutil.copytree(root, folder / "longplay")
        return folder / "longplay"

    monkeypatch.setattr(mutations, "copy_project", copy_project)
    monkeypatch.setattr(mutations, "list_tests", lambda copy, file: {"file": ["tests/envs"]})
    return tmp_path


def test_what_is_noticed_is_told_from_what_is_not(call, small, monkeypatch):
    options = ["--name", "m", "--mutants", "2"]
    code, output = call(mutations, *options, folder=small)
    assert code == 0, output
    outcomes = pd.read_parquet(small / "runs/m/outcomes.parquet").set_index("file")
    assert outcomes["noticed_by"].to_dict() == {"envs/held.py": "tests/envs", "envs/loose.py": ""}
    assert "none: it is missed" in (small / "runs/m/mutations.md").read_text()
    assert "return a - b" in outcomes["after"].to_list()

    # Nothing is tested twice, but what is left can meet the whole suite, and an argument takes it out of the count.
    code, output = call(mutations, *options, "--suite", folder=small)
    assert code == 0, output
    outcomes = pd.read_parquet(small / "runs/m/outcomes.parquet").set_index("file")
    assert outcomes["reached"].to_dict() == {"envs/held.py": "file", "envs/loose.py": "suite"}
    assert outcomes["commit"].to_dict() == {"envs/held.py": "abc", "envs/loose.py": "abc"}

    # After a test was added.
    test = small / "project" / "tests" / "envs" / "test_held.py"
    whole = test.read_text()
    monkeypatch.setattr(mutations, "read_commit", lambda: "def")
    test.write_text(whole + whole.replace("test_it", "test_loose").replace("held", "loose"))
    code, output = call(mutations, *options, "--missed", folder=small)
    assert code == 0, output
    outcomes = pd.read_parquet(small / "runs/m/outcomes.parquet").set_index("file")
    assert outcomes["noticed_by"].to_dict() == dict.fromkeys(["envs/held.py", "envs/loose.py"], "tests/envs")
    assert outcomes["commit"].to_dict() == {"envs/held.py": "abc", "envs/loose.py": "def"}
    assert "Tests of abc, def." in (small / "runs/m/mutations.md").read_text()
    code, output = call(mutations, *options, "--seed", "1", folder=small)
    assert code == 2
    assert "was begun with seed = 0, not 1" in output


def test_an_argument_takes_a_change_out_of_the_count(call, small):
    (small / "mutations.toml").write_text('"envs/loose.py: return a + b -> return a - b" = "nobody calls it"\n')
    options = ["--name", "m", "--mutants", "2"]
    for more in ([], ["--missed"], ["--suite"]):
        code, output = call(mutations, *options, *more, folder=small)
        assert code == 0, output
    assert "nobody calls it" in (small / "runs/m/mutations.md").read_text()
    reached = pd.read_parquet(small / "runs/m/outcomes.parquet").set_index("file")["reached"]
    assert reached.to_dict() == {"envs/held.py": "file", "envs/loose.py": "file"}
    (small / "project/envs/loose.py").write_text("def add(a, b):\n    return b + a\n")
    code, output = call(mutations, *options, folder=small)
    assert code == 2
    assert "was begun with sources = " in output


def test_tests_that_fail_by_themselves_are_refused(call, small):
    (small / "project/envs/held.py").write_text("def add(a, b):\n    return a - b\n")
    code, output = call(mutations, "--name", "m", "--mutants", "2", folder=small)
    assert code == 2
    assert "fail without any change; mend them first" in output


def test_an_interruption_ends_the_tests_that_run(call, small, monkeypatch):
    test = small / "project" / "tests" / "envs" / "test_held.py"
    whole = test.read_text()
    test.write_text("import time\ntime.sleep(30)\n" + whole)
    monkeypatch.setattr(mutations.Trial, "try_mutant", lambda self, copy, *_: self.run_tests(copy, ["tests/envs"]))

    def interrupt(futures):
        time.sleep(1.0)
        raise KeyboardInterrupt

    monkeypatch.setattr(mutations, "as_completed", interrupt)
    start = time.monotonic()
    code, output = call(mutations, "--name", "m", "--mutants", "2", "--workers", "2", folder=small)
    assert code == 130, output
    assert time.monotonic() - start < 20

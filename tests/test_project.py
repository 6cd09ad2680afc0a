"""The shape of the project: what is packaged, what git keeps, and that a wheel works; `test_imports` has the rest."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import longplay
from longplay.envs.shared.extras import EXTRAS, INCLUDED

ROOT = Path(longplay.__file__).parent
GUIDE = ROOT / "docs" / "contracts.md"
LAYERS = ["envs", "encoders", "agents", "scripts"]  # each may import those before it, and itself
MODULES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def test_the_packages_listed_are_the_folders_on_disk():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    folders = {path.parent for layer in LAYERS for path in (ROOT / layer).rglob("*.py")}
    folders |= {path.parent for path in (ROOT / "envs").rglob("*.toml")}
    found = {"longplay"} | {".".join(["longplay", *folder.relative_to(ROOT).parts]) for folder in folders}
    assert sorted(listed) == sorted(found)
    for folder in folders:
        assert (folder / "__init__.py").is_file(), folder


def list_kits():
    """Modules of test kits that are packaged."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["py-modules"]


def test_all_test_kits_are_packaged_with_what_they_import_and_are_in_the_guide():
    needed = {".".join(["longplay", *path.relative_to(ROOT).with_suffix("").parts]) for path in find_contracts()}
    guide = GUIDE.read_text(encoding="utf-8")
    assert needed == set(re.findall(r"\| `(longplay\.tests\.[\w.]+)` \|", guide))
    for path in find_contracts():
        for kit in re.findall(r"^class (\w+Contract)", path.read_text(encoding="utf-8"), re.M):
            assert f"| `{kit}` |" in guide
    waiting = set(needed)
    while waiting:
        path = ROOT.joinpath(*waiting.pop().split(".")[1:]).with_suffix(".py")
        found = re.findall(r"^from (longplay\.tests[\w.]*) import", path.read_text(encoding="utf-8"), re.M)
        waiting |= set(found) - needed
        needed |= set(found)
    assert sorted(needed) == sorted(list_kits())


def find_contracts():
    """Files of test kits."""
    return sorted((ROOT / "tests").rglob("contracts.py"))


def read_dependencies():
    """Modules that the environment's packages bring, and by extra, its own modules and the extras it includes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    renamed = {"scikit-learn": "sklearn", "pillow": "PIL"}
    own, included = {}, {}
    for extra, lines in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        needed = [Requirement(line) for line in lines]
        names = [one.name for one in needed if one.name != "longplay"]
        own[extra] = tuple(renamed.get(name, name.replace("-", "_")) for name in names)
        included[extra] = {
            one for requirement in needed if requirement.name == "longplay" for one in requirement.extras
        }
    return set(own.pop("")), own, included


def test_the_extras_that_errors_name_are_those_of_the_package():
    _, own, included = read_dependencies()
    assert included["dev"] == {"all"}
    own.pop("dev")
    assert own.pop("all") == ()
    assert own == EXTRAS
    brought = included["all"] | {one for extra in included["all"] for one in included[extra]}
    assert brought == set(EXTRAS) - {"multilingual"}  # 90 MB that few need
    assert {extra: set(INCLUDED.get(extra, ())) for extra in EXTRAS} == {extra: included[extra] for extra in EXTRAS}


def read_requirements():
    """All direct dependencies, those of tools for development left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = list(project["dependencies"])
    lines += [line for extra, own in project["optional-dependencies"].items() if extra != "dev" for line in own]
    return [needed for needed in map(Requirement, lines) if needed.name != "longplay"]


def read_pins(name):
    """Version by package, of a file of constraints."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    for pin in pins:
        assert [one.operator for one in pin.specifier] == ["=="], pin
    return {pin.name: Version(next(iter(pin.specifier)).version) for pin in pins}


def test_the_lowest_versions_are_the_floors():
    pins = read_pins("constraints-lowest.txt")
    for needed in read_requirements():
        (floor,) = (Version(one.version) for one in needed.specifier if one.operator == ">=")
        assert pins[needed.name] == floor, needed


def test_the_versions_of_the_figures_are_allowed():
    pins = read_pins("constraints.txt")
    for needed in read_requirements():
        assert needed.specifier.contains(pins[needed.name]), needed
        assert pins[needed.name].local is None, "a build of one machine"


# What our packages bring along and cannot be without: by transformers, and by the package of the BERT's weights.
BROUGHT = {"tokenizers", "huggingface_hub", "sentence_transformers"}


def list_imports(path, nodes):
    """Packages that statements of a file import, in order, those of Python left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in nodes(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name.partition(".")[0] for name in names if name.partition(".")[0] not in sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("layer", "extras"),
    [
        ("envs", ()),
        ("encoders", ("encoders", "multilingual")),
        ("agents", ("encoders", "agents")),
        ("scripts", ("encoders", "agents", "wandb")),
    ],
)
def test_a_layer_imports_what_its_extra_installs(layer, extras):
    light, _, _ = read_dependencies()
    allowed = light | {"longplay"} | {module for extra in extras for module in EXTRAS[extra]}
    allowed |= BROUGHT if extras else set()
    for path in (ROOT / layer).rglob("*.py"):
        assert set(list_imports(path, ast.walk)) <= allowed, path


def test_a_command_meets_the_sentence_about_extras_before_it_imports_one():
    light, _, _ = read_dependencies()
    commands = sorted((ROOT / "scripts").glob("[!_]*.py"))
    assert len(commands) > 12
    for path in commands:
        imported = list(list_imports(path, lambda tree: tree.body))
        assert set(imported[: imported.index("longplay")]) <= light, path


def test_git_ignores_no_file_of_the_package():
    if not (ROOT / ".git").exists():
        pytest.skip("no clone")
    folders = [*LAYERS, "tests", "docs"]
    names = [
        "agents/runs/anything.py",
        "scripts/runs/anything.py",
    ]  # what a pattern for the root's folder must not take
    names += [path.relative_to(ROOT).as_posix() for one in folders for path in (ROOT / one).rglob("*.*") if kept(path)]
    run = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        input="\n".join(names),
        cwd=ROOT,
        text=True,
        capture_output=True,
    )
    assert run.stdout.split() == []
    check = [sys.executable, "-m", "ruff", "check", "--show-files", "agents", "envs", "encoders", "scripts"]
    seen = {Path(line) for line in subprocess.run(check, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()}
    assert {path.resolve() for path in MODULES} <= {path.resolve() for path in seen}


def kept(path):
    """Whether a file is of the sources, not made by tools."""
    return path.is_file() and not {"__pycache__", "build"} & set(path.parts) and path.suffix != ".pyc"


def test_the_environment_imports_neither_torch_nor_transformers():
    code = "import sys, longplay.envs.env, longplay.envs.make; print(*{name.split('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert {"longplay", "numba", "gymnasium"} <= loaded
    assert not loaded & {"torch", "transformers", "stable_baselines3", "sentence_transformers", "wandb"}


def test_the_wheel_works_installed_elsewhere(tmp_path):
    # A copy, so that building leaves nothing behind in the tree.
    source = tmp_path / "source"
    for name in LAYERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    for module in list_kits():
        path = Path(*module.split(".")[1:]).with_suffix(".py")
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, source / path)
    for name in ("pyproject.toml", "README.md", "LICENSE", "py.typed", "__init__.py", "__init__.pyi"):
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--skip-dependency-check", "--outdir", "."]
    subprocess.run([*build, str(source)], cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    smoke = """
import longplay, longplay.scripts.train
from longplay.envs.catalogs.registry import CATALOGS
from longplay.envs.users.params import Scenario, list_scenarios
assert {"control", "news", "tiny", "video"} <= set(list_scenarios()), list_scenarios()
assert len(longplay.make_world("tiny").catalog) == 2
assert len(CATALOGS["news"]()) == 12_000
items = longplay.Catalog.from_table("items.csv")
small = Scenario.load("video").with_overrides({"shape.users": 10, "shape.candidates": 10})
env = longplay.SlateVectorEnv(longplay.build_world(items, small), 2)
env.reset(seed=1)
env.step([list(range(1, 11))] * 2)
assert longplay.envs.Video is longplay.ENVIRONMENTS["longplay/Video-v0"]
print(longplay.__file__)
"""
    words = ("cat", "dog", "sea", "war", "ice", "sun", "spy", "cook", "judge", "king", "ship", "horse")
    rows = [f"{n},a {word} film about a {word}" for n, word in enumerate(words)]
    (tmp_path / "items.csv").write_text("\n".join(["id,text", *rows]))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run([sys.executable, "-c", smoke], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(str(tmp_path / "site"))
    # The guide's tests, as somebody with the package alone would run them.
    (tmp_path / "mine").mkdir()
    for n, code in enumerate(re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)):
        (tmp_path / "mine" / f"test_{n}.py").write_text(code, encoding="utf-8")
    environment["PYTHONPATH"] += os.pathsep + str(ROOT / "docs" / "examples")
    some = "NewestFirst and agent or ByTheClock and parameters or Pooled and finite"
    run = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", some, "mine"]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert re.search(r"3 passed, \d\d deselected", done.stdout)

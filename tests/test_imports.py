"""Imports run one way, and in no circle: layers, rooms (folders) within a layer, and files within a room."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import longplay

ROOT = Path(longplay.__file__).parent
LAYERS = ("envs", "encoders", "agents", "scripts")  # each may import those before it, and itself
FLOORS = {  # rooms of agents/, each floor above the one that it may import from
    "slates": 1,
    "playing": 2,
    "references": 3,
    "logs": 3,
    "rules": 4,
    "runs": 5,
    "learners": 6,
    "sb3": 6,
    "offline": 7,
    "comparison": 7,
}
MOST_FILES = 12
FILES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def module_of(path):
    """Parts of a file's module below the package: ("agents", "rules", "simple")."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {module_of(path): path for path in FILES}


def imported(path):
    """Modules of the package that a file imports, wherever in the file: in functions and for type checkers, too."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ("longplay", *package[: len(package) + 1 - node.level]) if node.level else ()
            base += tuple(filter(None, (node.module or "").split(".")))
            names = [(*base, alias.name) for alias in node.names]
        else:
            continue
        for name in names:
            if name[0] == "longplay":
                yield name[1:] if name[1:] in MODULES else name[1:-1]


def arrows(key):
    """Who imports whom, by a key of modules; what a package exports lazily is no import of its own."""
    graph = {}
    for module, path in MODULES.items():
        if path.name == "__init__.py":
            continue
        graph.setdefault(key(module), set()).update(
            key(other) for other in imported(path) if other and key(other) != key(module)
        )
    return graph


def room_of(module):
    """The folder of a module, and the file itself where it stands in a layer's own folder."""
    return module[:2] if module[0] != "scripts" or len(module) < 4 else module[:3]


@pytest.mark.parametrize("key", [lambda module: module, room_of], ids=["files", "rooms"])
def test_there_is_no_circle(key):
    try:
        tuple(TopologicalSorter(arrows(key)).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join("/".join(module) for module in error.args[1]))


def test_the_reading_of_imports_finds_them_all():
    found = set(imported(ROOT / "agents" / "setting.py"))
    assert ("envs", "users", "world") in found
    assert ("encoders", "text", "encoder") in found  # for type checkers, and in a function


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_layers_and_floors_are_kept(path):
    module = module_of(path)
    for other in imported(path):
        arrow = f"{'/'.join(module)} imports {'/'.join(other)}"
        assert other[:1] != ("tests",), arrow
        if other:
            assert LAYERS.index(other[0]) <= LAYERS.index(module[0]), arrow
        if module[0] == "agents" and other[:1] == ("agents",) and module[1:2] != other[1:2]:
            assert floor_of(other) == 0 or floor_of(other) < floor_of(module), arrow


def floor_of(module):
    """The floor of a file of agents/; those beside the rooms are the ground."""
    return FLOORS.get(module[1], 0) if len(module) > 1 else 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_inside_the_package_imports_are_relative(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for name in names:
                top = name.split(".")[0]
                assert getattr(node, "level", 0) or top not in LAYERS, f"{path}: say .{name} or longplay.{name}"
                assert top != "longplay" or path.relative_to(ROOT).parts[0] == "scripts", f"{path}: import relatively"


def test_no_folder_holds_more_than_a_dozen_files():
    for folder in {path.parent for path in FILES}:
        names = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        if folder == ROOT / "scripts":  # old paths, which only say where a command is now
            names = [name for name in names if "moved import point_to" not in (folder / name).read_text("utf-8")]
        assert len(names) <= MOST_FILES, (folder, len(names))

"""What documents and docstrings point at exists: files, folders, modules and names of the package."""

import importlib
import re
from pathlib import Path

import pytest

import longplay

ROOT = Path(longplay.__file__).parent
DOCUMENTS = [*ROOT.glob("[A-Z]*.md"), *(ROOT / "docs").glob("*.md")]
SOURCES = [path for layer in ("envs", "encoders", "agents", "scripts") for path in (ROOT / layer).rglob("*.py")]
DOTTED = re.compile(r"\blongplay\.(?:envs|encoders|agents|scripts)(?:\.[A-Za-z_0-9]+)+")
PLACEHOLDERS = {"longplay.scripts.studies.NAME", "longplay.scripts.bench.NAME"}


def resolve(name):
    """Import the longest module of a dotted name, and get the rest from it; attributes of instances are in __init__."""
    parts = name.split(".")
    for end in range(len(parts), 1, -1):
        try:
            thing = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if isinstance(thing, type) and not hasattr(thing, part):
                source = Path(importlib.import_module(thing.__module__).__file__).read_text("utf-8")
                assert f"self.{part}" in source, name
                return
            thing = getattr(thing, part)
        return
    raise AssertionError(f"{name}: no such module")


@pytest.mark.parametrize("path", [*DOCUMENTS, *SOURCES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_names_of_the_package_exist(path):
    for name in {match.group(0) for match in DOTTED.finditer(path.read_text(encoding="utf-8"))} - PLACEHOLDERS:
        resolve(name)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(path):
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"(?<![\w/.-])(?:envs|encoders|agents|scripts|tests|docs)/[\w./-]*[\w]", text):
        known = (ROOT / name).exists() or (ROOT / f"{name}.py").exists() or "NAME" in name or "AGENT" in name
        assert known, f"{path.name} names {name}"
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (path.parent / link).exists(), f"{path.name} links to {link}"


def test_the_ten_questions_are_answered_by_two_files_at_most():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line for line in text.split("## Ten questions")[1].split("\n## ")[0].splitlines() if "?" in line]
    assert len(rows) == 10
    for row in rows:
        assert 1 <= len(re.findall(r"`[\w/]+\.(?:py|toml)`", row)) <= 2, row

